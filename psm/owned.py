"""The files of a folder that are psm's own: export and report may replace and remove those, and no others.

A hidden list in the folder says which they are and what was in them. It is written before the files are, so an entry
may hold two hashes, the old content's and the new one's: killed at any moment, psm still knows its own file afterwards.
"""

import errno
import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import MISSING, asdict, dataclass, fields
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from psm import atomic
from psm.progress import StopSignal

LOCK_WAIT_S = 60.0
_LOCK_PAUSE_S = 0.1
_VERSION = 1


@dataclass(frozen=True, slots=True)
class OwnedFile:
    """A file that psm wrote: ``name`` in the folder, ``hashes`` (SHA-256, hex) of what may be in it."""

    name: str
    hashes: tuple[str, ...]


class ManifestDamaged(ValueError):  # noqa: N818  (a state of the file)
    """The list cannot be understood; the message says why."""


class ManifestNewer(ValueError):  # noqa: N818
    """The list was written by a newer psm."""


class FolderBusy(OSError):  # noqa: N818
    """Another psm writes to the folder and does not end."""


class State(Enum):
    """Whose the file at a name is."""

    ABSENT = auto()
    OURS = auto()
    """As psm wrote it."""
    EDITED = auto()
    """psm wrote it, and a person changed it since."""
    FOREIGN = auto()
    """Not written by psm."""


@dataclass(frozen=True, slots=True)
class Found:
    """The file at a name: whose it is, what is in it (None when that is no regular file), and which version it is."""

    state: State
    hash: str | None
    version: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """A file or folder as a stage left it. ``mtime_ns`` is nanoseconds since the epoch; both are -1 for none."""

    path: bytes
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: bytes) -> "Output":
        """What is at ``path`` now."""
        with suppress(OSError):
            info = os.lstat(path)
            return cls(path, info.st_size, info.st_mtime_ns)
        return cls(path, -1, -1)

    @property
    def is_as_left(self) -> bool:
        """Whether it is still the same."""
        return Output.of(self.path) == self


Entry = TypeVar("Entry", bound=OwnedFile)


@dataclass(frozen=True)  # a generic class with slots cannot be made
class Manifest(Generic[Entry]):
    """The list of one kind, ``export`` or ``report``; its entries are flat: text, ``hashes``, and yes or no."""

    kind: str
    entry: type[Entry]

    @property
    def name(self) -> bytes:
        """The name of the list in its folder."""
        return f".psm-{self.kind}.json".encode()

    @property
    def damaged_name(self) -> bytes:
        """The name that a damaged one gets."""
        return f".psm-{self.kind}.damaged.json".encode()

    def read(self, folder: bytes) -> tuple[Entry, ...]:
        """The entries of ``folder``, by name; empty when there is no list.

        Raises OSError, ManifestDamaged, ManifestNewer.
        """
        try:
            with open(os.path.join(folder, self.name), "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return ()
        try:
            document = json.loads(content.decode("utf-8"))
            if document["format"] != self._format:
                raise ValueError("it is another program's")
            version = document["version"]
            if type(version) is not int or version < 1:
                raise ValueError("its version is none that psm wrote")
        except (KeyError, TypeError, RecursionError) as e:
            raise ManifestDamaged("it is not as psm writes it") from e
        except ValueError as e:
            raise ManifestDamaged(str(e)) from e
        if version > _VERSION:
            raise ManifestNewer("it was written by a newer psm")
        try:
            return tuple(self._entry(item) for item in document["files"])
        except (KeyError, TypeError) as e:
            raise ManifestDamaged("an entry is not as psm writes it") from e
        except ValueError as e:
            raise ManifestDamaged(str(e)) from e

    def write(self, folder: bytes, entries: Iterable[Entry]) -> None:
        """Makes the list of ``folder`` hold ``entries``, atomically; removes it when there are none. Raises OSError.

        One that holds them already is not touched.
        """
        path = os.path.join(folder, self.name)
        files = sorted(map(asdict, entries), key=lambda f: (f["name"], json.dumps(f)))
        if not files:
            if os.path.lexists(path):
                os.unlink(path)
            return
        document = {"format": self._format, "version": _VERSION, "files": files}
        content = (json.dumps(document, indent=1, ensure_ascii=True) + "\n").encode()
        try:
            with open(path, "rb") as file:
                if file.read() == content:
                    return
        except OSError:
            pass  # not there, or not readable: writing tells
        atomic.write(path, content, kind=self.kind)

    def set_aside(self, folder: bytes) -> None:
        """Renames a damaged list, so that a person can look at it. Raises OSError."""
        os.replace(os.path.join(folder, self.name), os.path.join(folder, self.damaged_name))

    @property
    def _format(self) -> str:
        return f"psm {self.kind} manifest"

    def _entry(self, item: dict[str, Any]) -> Entry:
        values: dict[str, Any] = {}
        for field in fields(self.entry):
            if field.default is not MISSING and field.name not in item:
                continue
            value = item[field.name]
            if field.name == "hashes":
                if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
                    raise TypeError(field.name)
                value = tuple(value)
            elif type(value) is not field.type:
                raise TypeError(field.name)
            values[field.name] = value
        _check_name(values["name"])
        return self.entry(**values)


def hash_of(content: bytes) -> str:
    """The hash by which a content is known."""
    return hashlib.sha256(content).hexdigest()


def find(folder: bytes, name: str, known: Iterable[str] | None) -> Found:
    """The file ``name``; ``known`` are the hashes that psm knows for it, None when psm never wrote it."""
    path = os.path.join(folder, os.fsencode(name))
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return Found(State.ABSENT, None, ())
    version = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_mode)
    if not stat.S_ISREG(info.st_mode):  # a link or a folder: psm writes neither
        return Found(State.FOREIGN, None, version)
    try:
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError:
        return Found(State.FOREIGN, None, version)
    if known is None:
        return Found(State.FOREIGN, content, version)
    return Found(State.OURS if content in known else State.EDITED, content, version)


def remove(folder: bytes, entry: OwnedFile) -> bool:
    """Removes a file that is as psm wrote it, and returns whether that was done."""
    if find(folder, entry.name, entry.hashes).state is not State.OURS:
        return False
    with suppress(OSError):
        os.unlink(os.path.join(folder, os.fsencode(entry.name)))
        return True
    return False


@contextmanager
def locked(
    folder: bytes, *, kind: str, stop: StopSignal, sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Keeps other psm processes out of ``folder``, and takes away what killed ones left. Leaves no lock file.

    Raises FolderBusy when another one holds it for over a minute, or when ``stop`` is set while waiting.
    """
    with _folder_lock(folder, stop=stop, sleep=sleep):
        for name in os.listdir(folder):
            if atomic.is_leftover(name, kind=kind):
                with suppress(OSError):
                    os.unlink(os.path.join(folder, name))
        yield


if sys.platform == "win32":

    @contextmanager
    def _folder_lock(
        folder: bytes,  # noqa: ARG001  (as below)
        *,
        stop: StopSignal,  # noqa: ARG001
        sleep: Callable[[float], None],  # noqa: ARG001
    ) -> Iterator[None]:
        # A folder cannot be locked there. A second psm would at worst take a temporary file away from the first one,
        # whose file then fails and is written again.
        yield

else:
    import fcntl

    @contextmanager
    def _folder_lock(folder: bytes, *, stop: StopSignal, sleep: Callable[[float], None]) -> Iterator[None]:
        handle = os.open(folder, os.O_RDONLY)
        try:
            _wait_for(handle, stop=stop, sleep=sleep)
            yield
        finally:
            os.close(handle)

    def _wait_for(handle: int, *, stop: StopSignal, sleep: Callable[[float], None]) -> None:
        waited = 0.0
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as e:
                if e.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    return  # this file system has no locks
            if waited >= LOCK_WAIT_S or stop.is_set():
                raise FolderBusy(errno.EBUSY, "another psm is writing to it; try again when that has ended")
            sleep(_LOCK_PAUSE_S)
            waited += _LOCK_PAUSE_S


def _check_name(name: str) -> None:
    """Raises ValueError for what psm never calls a file: what is listed may be removed, and must lie in the folder."""
    hidden = name.startswith(".")
    if not name or hidden or any(c in "/\\\0" or "\ud800" <= c <= "\udfff" for c in name):
        raise ValueError(f"an entry names no file that psm writes: {name!a}")
