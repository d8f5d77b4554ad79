"""The walk: which audio files lie below a root, one listing per folder and one stat per file.

Symbolic links to folders are followed when the configuration says so, and a folder is walked once however many ways
lead to it. The real folder comes first: a link to a folder that is walked anyway gives nothing, in whatever order they
are met and whichever part of the library is walked. A link that leads back to a folder above itself gives nothing
either. Only between two links to one folder outside the library does the order decide: the first one walked has it.

Paths may be longer than the system takes in one piece: ``psm.ingest.paths`` reaches them here, and ``open_path`` for
readers.
"""

import errno
import os
import stat
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from psm.ingest.extensions import AUDIO_EXTENSIONS, has_audio_name
from psm.ingest.ignore import (
    MARKERS,
    NOMEDIA,
    PATTERN_MARKERS,
    FolderRules,
    IgnorePolicy,
    Marker,
    nomedia,
    parents,
    parse_marker,
    shown,
)
from psm.ingest.paths import has_room, is_long, native_path, open_path, reach, reach_folder
from psm.models import FileStat
from psm.progress import NeverStop, StopSignal

__all__ = ["FoundFile", "FoundFolder", "explain", "list_folder", "open_path", "walk"]

_MARKER_MAX_BYTES = 1 << 20
_SEPARATOR = os.fsencode(os.sep)
_IS_WINDOWS = sys.platform == "win32"
_JUNCTION = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT
_LINKS_OFF = "it is a symbolic link, and library.follow_symlinks is off"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An audio file that is not ignored. ``name`` is the last component of its path."""

    name: bytes
    stat: FileStat


class FoundFolder(NamedTuple):
    """What one folder held. ``path`` is relative to the root (b"" is the root itself), parts joined by b"/".

    ``names`` are all names that the listing showed, ignored ones too: a name that is not in them is not on disk,
    provided ``error`` is None. ``error`` says why the folder could not be listed (wholly or to its end), and then
    nothing can be concluded about what lies in or below it. ``ignored`` says why nothing in and below this folder is
    taken (a marker file, or the folder is walked by another path): there are no files then, and ``names`` is still
    true. ``looked_at`` are the audio files that are not ignored, by name, as the system tells of them. (``files`` are
    the same as psm keeps them: a scan, of which nearly all are as they were, does not ask for that of each.)
    ``file_errors`` are (name, reason) of entries that could not be looked at.
    ``device`` and ``inode`` identify the folder itself; 0 when it could not be opened. ``behind_link``: it or a folder
    above it is a symbolic link.
    """

    path: bytes
    looked_at: tuple[tuple[bytes, os.stat_result], ...] = ()
    names: frozenset[bytes] = frozenset()
    device: int = 0
    inode: int = 0
    error: str | None = None
    ignored: str | None = None
    file_errors: tuple[tuple[bytes, str], ...] = ()
    behind_link: bool = False

    @property
    def files(self) -> tuple[FoundFile, ...]:
        """The audio files in it that are not ignored."""
        return tuple(FoundFile(name, file_stat(found)) for name, found in self.looked_at)


def walk(
    root: bytes,
    policy: IgnorePolicy,
    *,
    below: bytes = b"",
    follow_symlinks: bool,
    others: Collection[bytes] = (),
    stop: StopSignal = NeverStop(),
) -> Iterator[FoundFolder]:
    """The folders at and below ``below``: parents before children, in the order of their names, links to folders last.

    Every folder that is entered is yielded, with or without music; one that is ignored for its name is not entered. A
    folder that cannot be listed is yielded with its ``error``, and the walk goes on. ``others`` are the real paths of
    other libraries: a link into one of them is not followed, since its files are found there. ``stop`` is looked at
    before each folder and ends the walk: ask it, whether the walk was complete. Nothing is opened but folders and
    marker files.
    """
    library = _Library(root, policy, follow_symlinks=follow_symlinks, others=others)
    first, seen = library.due(below)
    # What lies behind a link may be reached by another way too, so links wait until every real folder was walked.
    rounds = [first]
    while rounds:
        links: list[_Due] = []
        for start in rounds:
            stack = [start]
            while stack:
                if stop.is_set():
                    return
                due = stack.pop()
                listing = library.enter(due, seen)
                yield listing.folder._replace(behind_link=True) if due.behind_link else listing.folder
                stack.extend(reversed(listing.folders))
                links.extend(listing.links)
        rounds = sorted(links, key=lambda due: due.path)


def list_folder(
    root: bytes, relative: bytes, policy: IgnorePolicy, *, follow_symlinks: bool, others: Collection[bytes] = ()
) -> FoundFolder:
    """One folder alone, as the walk from the root gives it: what its parents and their marker files say holds."""
    library = _Library(root, policy, follow_symlinks=follow_symlinks, others=others)
    due, above = library.due(relative)
    return library.enter(due, above).folder._replace(behind_link=due.behind_link)


def explain(
    root: bytes, path: bytes, policy: IgnorePolicy, *, follow_symlinks: bool, others: Collection[bytes] = ()
) -> tuple[str, ...]:
    """Sentences that say why ``path`` (absolute, or relative to the root) is or is not scanned.

    When it is, and only then, the last one ends with "is scanned."
    """
    relative = _below_root(root, path)
    if relative is None:
        return (f"{shown(path)} is not below the library {shown(root)}.",)
    library = _Library(root, policy, follow_symlinks=follow_symlinks, others=others)
    return tuple(_sentences_against(library, relative)) or (f"{library.shown(relative)} is scanned.",)


_MOST = (1 << 63) - 1
_LEAST = -(1 << 63)


class _Due(NamedTuple):
    """A folder to be listed, and what is known of it by the way that leads to it."""

    path: bytes
    rules: FolderRules
    ignored: str | None = None
    error: str | None = None
    behind_link: bool = False


_Seen = dict[tuple[int, int], bytes]
"""The folders walked so far, by (device, inode)."""


_Entry = os.DirEntry[bytes] | os.DirEntry[str]


class _Listing(NamedTuple):
    """One folder, and the folders and links to folders in it, in the order of their names."""

    folder: FoundFolder
    folders: list[_Due]
    links: list[_Due]


class _Way(NamedTuple):
    """What the way from the root to a folder says: why it and the folders above are ignored, outermost first."""

    rules: FolderRules
    reasons: list[tuple[bytes, str]]
    error: str | None
    behind_link: bool
    above: _Seen


class _Library:
    """A root with all that decides about its files: lists one folder, or says what the way to one means for it."""

    def __init__(self, root: bytes, policy: IgnorePolicy, *, follow_symlinks: bool, others: Collection[bytes]) -> None:
        self.root = root
        self.others = others
        self.policy = policy
        self.follow_symlinks = follow_symlinks

    def due(self, relative: bytes) -> tuple[_Due, _Seen]:
        """A folder ready to be listed on its own, and the folders above it."""
        way = self.approach(relative)
        ignored = None
        if way.reasons:
            path, reason = way.reasons[0]
            ignored = reason if path == relative else f"{self.shown(path)} is ignored: {reason}"
        return _Due(relative, way.rules, ignored, way.error, way.behind_link), way.above

    def approach(self, relative: bytes) -> _Way:
        """Goes from the root down to a folder. Nothing is listed; marker files in the folder itself do not count."""
        rules = FolderRules()
        reasons: list[tuple[bytes, str]] = []
        above: _Seen = {}
        behind_link = False
        folder = b""
        for path in (*parents(relative), relative) if relative else ():
            try:
                markers = self.markers(folder)
                above.setdefault(self._identity(folder), folder)
                is_link = self.is_link(path)
            except OSError as e:
                error = f"{self.shown(folder)} cannot be read: {_reason(e)}"
                return _Way(rules, reasons, error, behind_link, above)
            if marked := FolderRules(markers).folder_reason():
                reasons.append((folder, marked))
            rules = rules.within(markers)
            behind_link = behind_link or is_link
            reason = self.reason(path, rules, is_folder=True)
            if reason is None and is_link:
                reason = self.reason_of_link(path)
            if reason is None and behind_link:
                reason = self._reason_of_loop(path, above)
            if reason is not None:
                reasons.append((path, reason))
            folder = path
        return _Way(rules, reasons, None, behind_link, above)

    def enter(self, due: _Due, seen: _Seen) -> _Listing:
        """Lists one folder, and enters it in ``seen``."""
        if due.error is not None:
            return _Listing(FoundFolder(due.path, error=due.error), [], [])
        path = native_path(self.root, due.path)
        try:
            if has_room(path):
                return self._enter(due, path, seen)
            with reach_folder(path) as place:
                return self._enter(due, place, seen)
        except OSError as e:
            return _Listing(FoundFolder(due.path, error=_reason(e)), [], [])

    def _enter(self, due: _Due, place: bytes | int, seen: _Seen) -> _Listing:
        here = os.stat(place)
        identity = (here.st_dev, here.st_ino)
        ignored = due.ignored
        if due.behind_link and ignored is None and identity in seen:
            ignored = f"it is the same folder as {self.shown(seen[identity])}"
        seen.setdefault(identity, due.path)
        entries, error = _entries(place)
        names = frozenset(entries)
        if ignored is None and not MARKERS.isdisjoint(names):
            try:
                markers = self.markers(due.path, names)
            except OSError as e:
                # Whether its files are wanted is not known: they are neither taken nor let go.
                error = f"a marker file in it cannot be read: {_reason(e)}"
                return _Listing(FoundFolder(due.path, (), names, *identity, error, ignored), [], [])
            due = due._replace(rules=due.rules.within(markers))
            ignored = FolderRules(markers).folder_reason()
        if ignored is not None:
            return _Listing(FoundFolder(due.path, (), names, *identity, error, ignored), [], [])
        return self._sort_out(due, entries, names, identity, error)

    def _sort_out(
        self,
        due: _Due,
        entries: dict[bytes, _Entry],
        names: frozenset[bytes],
        identity: tuple[int, int],
        error: str | None,
    ) -> _Listing:
        files: list[tuple[bytes, os.stat_result]] = []
        errors: list[tuple[bytes, str]] = []
        vanished: list[bytes] = []
        folders: list[_Due] = []
        links: list[_Due] = []
        base = due.path + b"/" if due.path else b""
        rules = due.rules
        only_names_count = not rules.markers and not self.policy.patterns
        for name in sorted(entries):
            entry = entries[name]
            # has_audio_name and is_plain, without two calls for every file.
            audio = name[name.rfind(b".") :].lower() in AUDIO_EXTENSIONS
            try:
                if audio and entry.is_file(follow_symlinks=False):
                    if (only_names_count and name[0] not in b".~") or (
                        self.reason(base + name, rules, is_folder=False) is None
                    ):
                        files.append((name, entry.stat(follow_symlinks=False)))
                elif entry.is_symlink() or (_IS_WINDOWS and _is_junction(entry)):
                    if self.follow_symlinks:
                        self._take_link(due, name, entry, files, links)
                elif entry.is_dir(follow_symlinks=False) and self.reason(base + name, rules, is_folder=True) is None:
                    folders.append(_Due(base + name, rules, behind_link=due.behind_link))
            except FileNotFoundError:
                vanished.append(name)
            except OSError as e:
                if audio:
                    errors.append((name, _reason(e)))
                else:
                    links.append(_Due(base + name, rules, error=_reason(e)))
        if vanished:
            names = names.difference(vanished)
        found = FoundFolder(due.path, tuple(files), names, *identity, error, None, tuple(errors))
        return _Listing(found, folders, links)

    def _take_link(
        self, due: _Due, name: bytes, entry: _Entry, files: list[tuple[bytes, os.stat_result]], links: list[_Due]
    ) -> None:
        path = _join(due.path, name)
        as_folder = self.reason(path, due.rules, is_folder=True) is None
        as_file = has_audio_name(name) and self.reason(path, due.rules, is_folder=False) is None
        if not (as_folder or as_file):
            return
        try:
            target = entry.stat()
        except OSError as e:
            if _leads_nowhere(e):
                return
            raise
        if as_file and stat.S_ISREG(target.st_mode):
            files.append((name, target))
        elif as_folder and stat.S_ISDIR(target.st_mode):
            links.append(_Due(path, due.rules, self.reason_of_link(path), behind_link=True))

    def reason(self, path: bytes, rules: FolderRules, *, is_folder: bool) -> str | None:
        """Why a path is ignored by its name or by the marker files above it."""
        reason = self.policy.reason(path, is_folder=is_folder)
        return rules.reason(path, is_folder=is_folder) if reason is None and rules.markers else reason

    def reason_of_link(self, path: bytes) -> str | None:
        """Why a link to a folder is not followed."""
        if not self.follow_symlinks:
            return _LINKS_OFF
        if self.others and (other := self._other_library(path)) is not None:
            return f"it is a link into the library {shown(other)}"
        home = self._home(path)
        return None if home is None else f"it is a link to {self.shown(home)}, which is scanned itself"

    def shown(self, path: bytes) -> str:
        """A path for people; the root by its own."""
        return shown(path or self.root)

    def _other_library(self, link: bytes) -> bytes | None:
        native = native_path(self.root, link)
        if is_long(native):
            return None
        real = os.path.realpath(native)
        inside = (
            other for other in self.others if (real + _SEPARATOR).startswith(other.rstrip(_SEPARATOR) + _SEPARATOR)
        )
        return next(inside, None)

    def _home(self, link: bytes) -> bytes | None:
        """The path below the root of the folder that a link leads to, when that is scanned without the link."""
        native = native_path(self.root, link)
        if is_long(native):
            return None
        root = os.path.realpath(self.root)
        real = os.path.realpath(native)
        inside = root.rstrip(_SEPARATOR) + _SEPARATOR
        if real != root and not real.startswith(inside):
            return None
        home = real[len(inside) :].replace(_SEPARATOR, b"/")
        try:
            way = self.approach(home)
            walked = not way.reasons and way.error is None and FolderRules(self.markers(home)).folder_reason() is None
        except OSError:
            return None
        return home if walked else None

    def _reason_of_loop(self, path: bytes, above: _Seen) -> str | None:
        try:
            other = above.get(self._identity(path))
        except OSError:
            return None
        return None if other is None else f"it is the same folder as {self.shown(other)}, above it"

    def look(self, path: bytes, *, follow_symlinks: bool = True) -> os.stat_result:
        """The stat of a path below the root."""
        with reach(native_path(self.root, path)) as (name, folder):
            return os.stat(name, dir_fd=folder, follow_symlinks=follow_symlinks)

    def problem_of_listing(self, folder: bytes) -> str | None:
        """Why a folder cannot be listed."""
        try:
            with reach_folder(native_path(self.root, folder)) as place:
                os.scandir(place).close()
        except OSError as e:
            return _reason(e)
        return None

    def _identity(self, path: bytes) -> tuple[int, int]:
        found = self.look(path)
        return found.st_dev, found.st_ino

    def is_link(self, path: bytes) -> bool:
        """Whether a path is a symbolic link or a junction; false when nothing is there."""
        try:
            found = self.look(path, follow_symlinks=False)
        except OSError as e:
            if _leads_nowhere(e):
                return False
            raise
        return stat.S_ISLNK(found.st_mode) or _leads_elsewhere(found)

    def markers(self, folder: bytes, names: frozenset[bytes] | None = None) -> tuple[Marker, ...]:
        """The marker files in a folder; ``names`` are all names in it, when they are known.

        :raises OSError: when there is one that cannot be read.
        """
        possible = [n for n in (NOMEDIA, *PATTERN_MARKERS) if names is None or n in names]
        found = (self._marker(_join(folder, name), name) for name in possible)
        return tuple(marker for marker in found if marker is not None)

    def _marker(self, path: bytes, name: bytes) -> Marker | None:
        try:
            with reach(native_path(self.root, path)) as (place, folder):
                if name == NOMEDIA:
                    os.stat(place, dir_fd=folder, follow_symlinks=False)
                    return nomedia(path)
                # Asked before it is opened: to open a named pipe would wake its writer.
                if not stat.S_ISREG(os.stat(place, dir_fd=folder).st_mode):
                    return None
                descriptor = os.open(place, os.O_RDONLY | getattr(os, "O_BINARY", 0), dir_fd=folder)
            with open(descriptor, "rb") as file:
                return parse_marker(path, file.read(_MARKER_MAX_BYTES))
        except OSError as e:
            if _leads_nowhere(e):
                return None
            raise


def _sentences_against(library: _Library, relative: bytes) -> Iterator[str]:
    """All that keeps a path from being scanned, outermost first."""
    path = library.shown(relative)
    try:
        itself = library.look(relative, follow_symlinks=False)
        is_link = stat.S_ISLNK(itself.st_mode)
        target = library.look(relative) if is_link else itself
    except OSError as e:
        if _leads_nowhere(e):
            leads = library.is_link(relative)
            yield f"{path} is a symbolic link that leads nowhere." if leads else f"There is no {path} on disk."
        else:
            yield f"{path} cannot be looked at: {_reason(e)}."
        return
    is_folder = stat.S_ISDIR(target.st_mode)
    folder = relative if is_folder else relative.rpartition(b"/")[0]
    way = library.approach(folder)
    reasons = way.reasons
    try:
        markers = library.markers(folder)
    except OSError as e:
        yield f"A marker file in {library.shown(folder)} cannot be read: {_reason(e)}."
        return
    if marked := FolderRules(markers).folder_reason():
        reasons.append((folder, marked))
    for ignored, why in reasons:
        below = "" if ignored == relative else ", and all that is below it"
        yield f"{library.shown(ignored)} is ignored{below}: {why}."
    if way.error is not None:
        yield f"{way.error}."
        return
    for above in (b"", *parents(folder), folder) if folder else (b"",):
        if problem := library.problem_of_listing(above):
            yield f"{library.shown(above)} cannot be listed: {problem}."
            return
    if is_folder:
        return
    if not stat.S_ISREG(target.st_mode):
        yield f"{path} is not a file but a pipe, a socket or a device, and never opened."
    elif is_link and not library.follow_symlinks:
        yield f"{path} is ignored: {_LINKS_OFF}."
    if reason := library.reason(relative, way.rules.within(markers), is_folder=False):
        yield f"{path} is ignored: {reason}."


def _below_root(root: bytes, path: bytes) -> bytes | None:
    """``path`` relative to the root; None when it is not below it. Its folder is resolved, the last name is not."""
    path = os.path.normpath(path)
    folder, name = os.path.split(path)
    if not path.startswith(_SEPARATOR) and not os.path.splitdrive(path)[0]:
        return _clean(path)
    for candidate in (path, os.path.join(os.path.realpath(folder), name), os.path.realpath(path)):
        if candidate == root:
            return b""
        inside = root.rstrip(_SEPARATOR) + _SEPARATOR
        if candidate.startswith(inside):
            return _clean(candidate[len(inside) :])
    return None


def _clean(relative: bytes) -> bytes | None:
    relative = relative.replace(_SEPARATOR, b"/")
    if relative == b".." or relative.startswith(b"../"):
        return None
    return b"" if relative == b"." else relative


def _entries(place: bytes | int) -> tuple[dict[bytes, _Entry], str | None]:
    """The entries of a folder by name, and why there are not all."""
    entries: dict[bytes, _Entry] = {}
    error = None
    try:
        if isinstance(place, bytes):
            with os.scandir(place) as listing:
                for entry in listing:
                    entries[entry.name] = entry
        else:
            with os.scandir(place) as listing_by_descriptor:  # which has the names as text
                for named in listing_by_descriptor:
                    entries[os.fsencode(named.name)] = named
    except OSError as e:
        error = _reason(e)
    return entries, error


def file_stat(found: os.stat_result) -> FileStat:
    """What psm keeps of a ``stat``, in numbers of 64 bits with a sign, which is what databases hold.

    Inodes and devices are unsigned on some systems, and some file systems take times far beyond the year 2262.
    """
    mtime, ctime, inode, device = found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev
    if not (_LEAST <= mtime <= _MOST and _LEAST <= ctime <= _MOST):
        mtime, ctime = (min(max(time, _LEAST), _MOST) for time in (mtime, ctime))
    if inode > _MOST or device > _MOST:
        inode, device = (number - (1 << 64) if number > _MOST else number for number in (inode, device))
    return FileStat(found.st_size, mtime, ctime, inode, device)


def _is_junction(entry: _Entry) -> bool:
    return _leads_elsewhere(entry.stat(follow_symlinks=False))


def _leads_elsewhere(found: Any) -> bool:
    """Whether a stat result is that of a Windows junction, which is no symbolic link and may loop all the same."""
    return bool(getattr(found, "st_reparse_tag", 0) == _JUNCTION)


def _leads_nowhere(e: OSError) -> bool:
    """Whether nothing is there: no such file, or a link that leads to none or to itself."""
    return e.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def _join(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def _reason(e: OSError) -> str:
    return e.strerror or str(e)
