"""Where playlist files are, and whether they changed: folders walked, files read whole, states compared."""

import codecs
import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from psm.errors import PsmError
from psm.export import manifest
from psm.models import GENERATED_MARK, GENERATED_XSPF_REL
from psm.progress import StopSignal
from psm.providers import VERSION

_LARGEST_BYTES = 64 * 1024 * 1024
_START_BYTES = 8 * 1024
_MARKS = (b"\n" + GENERATED_MARK.encode(), GENERATED_XSPF_REL.encode())
# The first lines of the report's tables as psm.report writes them, which is not loaded for this; a test compares them.
_REPORT_HEADERS = frozenset(
    {
        b"rank,wanted_by,artists,title,album,duration_s,isrc,playlists",
        b"missing,wanted,owned,artist,album,titles,playlists",
        b"playlist,share,tracks,found,missing,provider,source",
        b"score,confidence,wanted,file,method,reasons,path,playlists",
        b"group,kind,song,album,codec,bitrate_kbps,duration_s,size_bytes,path",
        b"problems,artists,title,album,path",
    }
)
_REPORT_JSON = b'{\n "psm": "report",\n'
_RACY_NS = 2 * 10**9
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Unreadable(PsmError):  # noqa: N818  (the message says what is wrong)
    """A file, or a folder, cannot be read; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Content:
    """A file read whole. ``state`` is what to remember, so that an unchanged file costs one ``stat`` next time."""

    data: bytes
    state: "SourceState"


@dataclass(frozen=True, slots=True)
class SourceState:
    """What a file was like when it was read. ``racy``: so shortly after a change that a later one may not show."""

    size_bytes: int
    mtime_ns: int
    digest: str
    racy: bool
    version: int = VERSION

    def __str__(self) -> str:
        return f"{self.version}:{self.size_bytes}:{self.mtime_ns}:{self.digest}:{'racy' if self.racy else 'settled'}"

    @classmethod
    def parse(cls, text: str) -> "SourceState | None":
        """The state written as ``text``; None when this version of psm did not write it."""
        parts = text.split(":")
        if (
            len(parts) != 5
            or parts[0] != str(VERSION)
            or not (parts[1].isdecimal() and parts[2].lstrip("-").isdecimal())
        ):
            return None
        return cls(int(parts[1]), int(parts[2]), parts[3], parts[4] == "racy")

    def still_holds(self, found: os.stat_result) -> bool:
        """Whether a file with this ``stat`` is surely the one that was read."""
        return not self.racy and (found.st_size, found.st_mtime_ns) == (self.size_bytes, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class Walk:
    """What lies below a folder of playlists. Paths are absolute and real.

    ``files`` are all that are not hidden, sorted; ``own`` those that psm wrote there, which are not among them.
    ``names`` holds, for every folder that was listed without error, all the names in it.
    """

    root: bytes
    files: tuple[bytes, ...]
    own: tuple[bytes, ...]
    names: Mapping[bytes, frozenset[bytes]] = field(default_factory=dict)
    problems: tuple[tuple[bytes, str], ...] = ()

    def proves_gone(self, path: bytes) -> bool:
        """Whether ``path`` is not there, proven by the listing of its nearest folder that is.

        An empty folder proves nothing: that is what an unmounted drive looks like.
        """
        name = path
        folder = os.path.dirname(path)
        while folder not in self.names and folder != os.path.dirname(folder):
            name, folder = folder, os.path.dirname(folder)
        known = self.names.get(folder)
        return bool(known) and os.path.basename(name) not in (known or ())


def source_path(path: bytes) -> bytes:
    """The one path that names this file: its folder without links and ``..``, its own name as it is."""
    absolute = os.path.abspath(path)
    return os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))


def walk(root: bytes, *, stop: StopSignal) -> Walk:
    """Lists ``root`` and all below it that is not hidden, through links to folders, each folder once.

    Raises Unreadable when ``root`` itself cannot be listed.
    """
    start = os.path.realpath(root)
    files: list[bytes] = []
    own: list[bytes] = []
    names: dict[bytes, frozenset[bytes]] = {}
    problems: list[tuple[bytes, str]] = []
    visited: set[tuple[int, int]] = set()
    waiting = [start]
    while waiting and not stop.is_set():
        folder = waiting.pop()
        try:
            identity = os.stat(folder)
            if (identity.st_dev, identity.st_ino) in visited:
                continue
            visited.add((identity.st_dev, identity.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as e:
            if folder == start:
                raise Unreadable(_reason(e)) from e
            problems.append((folder, _reason(e)))
            continue
        names[folder] = frozenset(entry.name for entry in entries)
        listed = _listed_names(folder) if manifest.NAME in names[folder] else frozenset()
        for entry in entries:
            if entry.name.startswith(b"."):
                continue
            if _is_folder(entry):
                waiting.append(os.path.realpath(entry.path) if entry.is_symlink() else entry.path)
            elif entry.name in listed and _says_that_psm_wrote_it(entry.path):
                own.append(entry.path)
            else:
                files.append(entry.path)
    return Walk(start, tuple(sorted(files)), tuple(sorted(own)), names, tuple(problems))


def read_content(path: bytes, *, now: float) -> Content:
    """The content of a regular file, and its state. Raises Unreadable, also when the file changed while it was read."""
    try:
        # Opening a named pipe would wait for a writer; O_NONBLOCK does not.
        handle = os.open(path, _OPEN_FLAGS)
        with open(handle, "rb") as file:
            before = os.fstat(handle)
            if not stat.S_ISREG(before.st_mode):
                raise Unreadable("it is no regular file")
            if before.st_size > _LARGEST_BYTES:
                raise Unreadable(f"it is larger than any playlist ({before.st_size:,} bytes)")
            data = file.read(_LARGEST_BYTES + 1)
            after = os.fstat(handle)
    except OSError as e:
        raise Unreadable(_reason(e)) from e
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
        raise Unreadable("it changed while it was read; it will be read again next time")
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    racy = now * 10**9 - after.st_mtime_ns < _RACY_NS
    return Content(data, SourceState(after.st_size, after.st_mtime_ns, digest, racy))


def stat_of(path: bytes) -> os.stat_result | None:
    """The file's ``stat``; None when it is not there. Raises Unreadable when that cannot be told."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise Unreadable(_reason(e)) from e


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_report(path: bytes, data: bytes) -> bool:
    """Whether this is a file of psm's own report, which lists tracks as a playlist does."""
    name, _, ending = os.path.basename(path).rpartition(b".")
    if not name.startswith(b"psm-"):
        return False
    start = data.removeprefix(codecs.BOM_UTF8)
    return (ending == b"csv" and start.partition(b"\r\n")[0] in _REPORT_HEADERS) or (
        ending == b"json" and start.startswith(_REPORT_JSON)
    )


def _listed_names(folder: bytes) -> frozenset[bytes]:
    """The names of the files that psm wrote into this folder, from the manifest it keeps there."""
    try:
        return frozenset(os.fsencode(entry.name) for entry in manifest.read(folder))
    except (OSError, manifest.ManifestDamaged, manifest.ManifestNewer):
        return frozenset()  # the files say themselves that psm wrote them


def _says_that_psm_wrote_it(path: bytes) -> bool:
    """Whether a file begins as psm's playlists do. A person may have saved one of their own under a name that psm used.

    Only the beginning is read: an export folder may hold thousands of them, and is walked at every build.
    """
    try:
        with open(os.open(path, _OPEN_FLAGS), "rb") as file:
            start = file.read(_START_BYTES)
    except OSError:
        return False
    return any(mark in start for mark in _MARKS)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
