"""One folder of playlist files: what psm wrote there, what a person did, and how the next version gets in.

The order makes a kill at any moment harmless: first all new contents are written to temporary files, then the manifest
says what old and new contents the names may have, then the files are renamed into place, then the manifest says what is
there now.
"""

import errno
import hashlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum, auto

from psm import atomic
from psm.export import manifest
from psm.export.manifest import TEMPORARY_KIND, ManifestEntry
from psm.progress import StopSignal

LOCK_WAIT_S = 60.0
_LOCK_PAUSE_S = 0.1


class FolderBusy(OSError):  # noqa: N818
    """Another psm exports to the folder and does not end."""


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
class Change:
    """A file that is to be written: ``temporary`` holds its content. ``backup`` says to keep what is there."""

    entry: ManifestEntry
    temporary: bytes
    found: Found
    backup: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a change: the person's version that was set aside, or the reason why it failed."""

    name: str
    backup: bytes | None = None
    kept: str | None = None
    error: str | None = None


def hash_of(content: bytes) -> str:
    """The hash by which a content is known in the manifest."""
    return hashlib.sha256(content).hexdigest()


def find(folder: bytes, name: str, known: Iterable[str] | None) -> Found:
    """The file ``name``; ``known`` are the hashes that the manifest has for it, None when it is not in it."""
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
            content = hash_of(file.read())
    except PermissionError:
        return Found(State.FOREIGN, None, version)
    if known is None:
        return Found(State.FOREIGN, content, version)
    return Found(State.OURS if content in known else State.EDITED, content, version)


def prepare(folder: bytes, entry: ManifestEntry, content: bytes, found: Found, *, backup: bool) -> Change:
    """Writes ``content`` beside its place. Raises OSError."""
    path = os.path.join(folder, os.fsencode(entry.name))
    temporary = atomic.stage(folder, content, kind=TEMPORARY_KIND, like=path)
    return Change(entry, temporary, found, backup)


def discard(changes: Iterable[Change]) -> None:
    """Takes prepared changes back."""
    for change in changes:
        with suppress(OSError):
            os.unlink(change.temporary)


def commit(
    folder: bytes,
    *,
    changes: Iterable[Change],
    settled: Iterable[ManifestEntry],
    removals: Iterable[ManifestEntry],
    forgotten: Iterable[ManifestEntry],
) -> tuple[tuple[Written, ...], tuple[str, ...]]:
    """Puts the changes in place and removes what went away; returns what became of each change, and the names removed.

    ``settled`` are the entries of files that stay, ``removals`` those of files that psm wrote and nobody edited,
    ``forgotten`` those of files that are no longer psm's. Raises OSError when the manifest cannot be written; nothing
    is then changed.
    """
    changes, settled, removals, forgotten = list(changes), list(settled), list(removals), list(forgotten)
    intent = [_with_hash(c) for c in changes]
    try:
        manifest.write(folder, [*settled, *intent, *removals, *forgotten])
        if changes or removals:
            atomic.sync_folder(folder)
    except OSError:
        discard(changes)
        raise
    written = [_put(folder, change) for change in changes]
    after = [_outcome(entry, w, c) for entry, w, c in zip(intent, written, changes, strict=True)]
    removed = [entry for entry in removals if _remove(folder, entry)]
    stuck = [e for e in removals if e not in removed and find(folder, e.name, e.hashes).state is State.OURS]
    with suppress(OSError):  # the one written before still tells the truth
        manifest.write(folder, [*settled, *(e for e in after if e is not None), *stuck])
    atomic.sync_folder(folder)
    return tuple(written), tuple(entry.name for entry in removed)


@contextmanager
def locked(folder: bytes, *, stop: StopSignal, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Keeps other psm processes out of ``folder``, and takes away what killed ones left. Leaves no lock file.

    Raises FolderBusy when another one holds it for over a minute, or when ``stop`` is set while waiting.
    """
    with _folder_lock(folder, stop=stop, sleep=sleep):
        for name in os.listdir(folder):
            if atomic.is_leftover(name, kind=TEMPORARY_KIND):
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
        # whose export then fails for that playlist and is done again.
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
                raise FolderBusy(errno.EBUSY, "another psm is exporting to it; try again when that has ended")
            sleep(_LOCK_PAUSE_S)
            waited += _LOCK_PAUSE_S


def _with_hash(change: Change) -> ManifestEntry:
    """The entry while the name may still have the old content."""
    old = () if change.backup or change.found.hash is None else (change.found.hash,)
    return replace(change.entry, hashes=tuple(dict.fromkeys((*old, *change.entry.hashes))))


def _put(folder: bytes, change: Change) -> Written:
    name = change.entry.name
    path = os.path.join(folder, os.fsencode(name))
    backup = None
    try:
        if find(folder, name, None).version != change.found.version:
            discard([change])
            return Written(name, kept="it was changed while psm was exporting")
        if change.backup:
            backup = atomic.set_aside(path)
        os.replace(change.temporary, path)
    except OSError as e:
        discard([change])
        return Written(name, backup=backup, error=e.strerror or str(e))
    return Written(name, backup=backup)


def _remove(folder: bytes, entry: ManifestEntry) -> bool:
    """Removes a file that is as psm wrote it, and returns whether that was done."""
    if find(folder, entry.name, entry.hashes).state is not State.OURS:
        return False
    with suppress(OSError):
        os.unlink(os.path.join(folder, os.fsencode(entry.name)))
        return True
    return False


def _outcome(intent: ManifestEntry, written: Written, change: Change) -> ManifestEntry | None:
    if written.error is None and written.kept is None:
        return change.entry
    # Not in place: psm's own old content is still its own, a person's is still not.
    return intent if change.found.state is State.OURS else None
