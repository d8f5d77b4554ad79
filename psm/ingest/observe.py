"""The first half of a scan: walks the disk and compares it with the database, reading no tags and writing nothing."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from psm.abandon import abandonable
from psm.db import Database, files
from psm.db.files import FileRow
from psm.filesystems import filesystem_of
from psm.ingest.files import FoundFile, FoundFolder, list_folder, open_path, walk
from psm.ingest.ignore import IgnorePolicy
from psm.models import Library
from psm.progress import StopSignal

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ToRead:
    """A file whose tags are to be read; ``row_id`` is None for one that psm does not know at this path."""

    path: bytes
    row_id: int | None


@dataclass(slots=True)
class Observation:
    """What a look at one library showed.

    ``gone`` are the ids of present rows that are proven not to be on disk any more (rule 1), with their paths.
    ``complete`` is false when something could not be looked at, ``notes`` then say why; ``refused`` counts the rows
    that look gone but are kept, because a drive may be away.
    """

    library: Library
    to_read: list[ToRead] = field(default_factory=list)
    gone: dict[int, bytes] = field(default_factory=dict)
    unchanged: int = 0
    errors: list[tuple[bytes, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = True
    refused: int = 0
    offline: bool = False
    root_device: int = 0
    network: bool = False


def observe(
    db: Database,
    library: Library,
    targets: Sequence[bytes],
    policy: IgnorePolicy,
    *,
    follow_symlinks: bool,
    reads: Callable[[FoundFile], bool],
    accept_missing: bool,
    stop: StopSignal,
    on_found: Callable[[int], None],
) -> Observation:
    """Looks at ``targets`` (paths relative to the root; ``[b""]`` is the whole library).

    ``reads`` says of a file that looks unchanged whether it is read all the same; ``on_found`` hears how many were
    looked at.
    """
    seen = Observation(library, network=not filesystem_of(library.root).is_local)
    before = _root_identity(library, seen, stop)
    if before is None:
        return seen
    seen.root_device = before[0]
    look = _Look(db, seen, policy, follow_symlinks, reads, accept_missing)
    planned = _patient(seen, lambda: _plan(library.root, targets), stop)
    folders, singles = planned if planned is not None else ([], {})
    for below in folders:
        found = walk(library.root, policy, below=below, follow_symlinks=follow_symlinks, stop=stop)
        for folder in abandonable(found, stop=stop) if seen.network else found:
            look.compare(folder)
            on_found(look.looked_at)
        if not stop.is_set():
            look.conclude(below, stop)
    for parent, paths in singles.items():
        listing = partial(list_folder, library.root, parent, policy, follow_symlinks=follow_symlinks)
        one = _patient(seen, listing, stop)
        if one is not None and not stop.is_set():
            look.compare_some(one, paths)
            on_found(look.looked_at)
    if stop.is_set():
        seen.complete = False
        seen.gone.clear()
    elif _root_identity(library, seen, stop) != before:
        seen.complete = False
        seen.gone.clear()
        seen.notes.append(f"The root of {library.name} changed while it was scanned: nothing was marked missing.")
    return seen


def _patient(seen: Observation, ask: Callable[[], T], stop: StopSignal) -> T | None:
    """What ``ask`` finds on the disk; None when ``stop`` was set while a network drive did not answer."""
    if not seen.network:
        return ask()
    return next(abandonable((ask() for _ in (0,)), stop=stop), None)


def _plan(root: bytes, targets: Sequence[bytes]) -> tuple[list[bytes], dict[bytes, list[bytes]]]:
    """The folders to walk, none inside another, and the single paths to look at, by the nearest folder that exists."""
    folders: list[bytes] = []
    singles: dict[bytes, list[bytes]] = {}
    for target in sorted(set(targets)):
        # Sorted, a folder comes before what lies below it.
        if any(not f or target == f or target.startswith(f + b"/") for f in folders):
            continue
        existing = _nearest_folder(root, target)
        if existing == target:
            folders.append(target)
        else:
            singles.setdefault(existing, []).append(target)
    return folders, singles


def _nearest_folder(root: bytes, path: bytes) -> bytes:
    while path:
        try:
            with open_path(root, path) as place:
                if os.path.isdir(place):
                    return path
        except OSError:
            pass
        path = files.folder_of(path)
    return path


def is_gone(root: bytes, relative: bytes) -> bool:
    """Proof that a file is not on disk: its nearest existing folder below a root that is there was listed without
    it.
    """
    folder, _, name = relative.rpartition(b"/")
    while True:
        try:
            with open_path(root, folder) if folder else _itself(root) as place:
                names = os.listdir(place)
        except (FileNotFoundError, NotADirectoryError):
            if not folder:
                return False
            folder, _, name = folder.rpartition(b"/")
            continue
        except OSError:
            return False
        return name not in names and (bool(folder) or bool(names))


def _itself(path: bytes) -> AbstractContextManager[bytes]:
    return nullcontext(path)


def _root_identity(library: Library, seen: Observation, stop: StopSignal) -> tuple[int, int] | None:
    """The root's (device, inode), or None, with a note, when it is not there."""
    shown = os.fsdecode(library.root)

    def look() -> os.stat_result | OSError:
        try:
            found = os.stat(library.root)
            os.scandir(library.root).close()
        except OSError as e:
            return e
        return found

    found = _patient(seen, look, stop)
    if isinstance(found, os.stat_result):
        return found.st_dev, found.st_ino
    seen.complete = False
    if found is not None:
        seen.offline = True
        seen.notes.append(
            f"The folder of library {library.name} cannot be read ({shown}: {found.strerror or found}). "
            "Nothing was changed. Mount it or mend its permissions; psm library move tells psm where it is now."
        )
    return None


class _Look:
    """Compares folders with their rows, and concludes what is gone."""

    def __init__(
        self,
        db: Database,
        seen: Observation,
        policy: IgnorePolicy,
        follow_symlinks: bool,
        reads: Callable[[FoundFile], bool],
        accept_missing: bool,
    ) -> None:
        self.looked_at = 0
        self._connection = db.connection
        self._seen = seen
        self._policy = policy
        self._follow_symlinks = follow_symlinks
        self._reads = reads
        self._accept_missing = accept_missing
        self._devices: dict[bytes, int] = {}
        """The device of every folder that was listed without error."""
        self._protected: set[bytes] = set()
        """Folders that could not be listed: nothing is concluded about what lies in or below them."""
        self._keeps_ctime: dict[int, bool] = {}

    def compare(self, folder: FoundFolder) -> None:
        """Compares all that lies directly in a folder with what the database holds of it."""
        if not self._listed(folder):
            return
        base = folder.path + b"/" if folder.path else b""
        rows = self._rows(folder.path)
        for file in folder.files:
            self._look_at(base + file.name, file, rows.pop(base + file.name, None))
        unreadable = {base + name for name, _ in folder.file_errors}
        for path, row in rows.items():
            if path not in unreadable:
                self._lost(row[0], path, mounted=bool(row[7]), device=folder.device)

    def compare_some(self, folder: FoundFolder, paths: Sequence[bytes]) -> None:
        """Compares only ``paths``, which are no folders, with what was found in the nearest folder that exists."""
        if not self._listed(folder):
            return
        base = folder.path + b"/" if folder.path else b""
        found = {base + file.name: file for file in folder.files}
        unreadable = {base + name for name, _ in folder.file_errors}
        rows = self._rows(folder.path)
        for path in paths:
            row = rows.get(path)
            if path in found:
                self._look_at(path, found[path], row)
            elif row is not None and path not in unreadable:
                self._lost(row[0], path, mounted=bool(row[7]), device=folder.device)
            # The path may have been a folder, or have lain in one.
            if path not in unreadable:
                above = self._rows(files.folder_of(path)).get(path) if files.folder_of(path) != folder.path else None
                below = [r for f in self._folders_below(path) for r in self._rows(f).values()]
                for lost in [above, *below] if above is not None else below:
                    self._lost(lost[0], lost[1], mounted=bool(lost[7]), device=folder.device)

    def conclude(self, target: bytes, stop: StopSignal) -> None:
        """Finds the rows of folders that the walk did not come to, and whether that proves them gone."""
        for folder in self._folders_below(target):
            if folder in self._devices:
                continue
            parent = folder
            while parent and parent not in self._devices:
                if parent in self._protected:
                    break
                parent = files.folder_of(parent)
            if parent in self._protected or parent not in self._devices:
                continue
            if not _patient(self._seen, partial(self._gone_below, parent, folder), stop):
                continue
            for row in self._rows(folder).values():
                self._lost(row[0], row[1], mounted=bool(row[7]), device=self._devices[parent])

    def _listed(self, folder: FoundFolder) -> bool:
        """Whether something can be concluded from this listing; notes what went wrong."""
        seen = self._seen
        self.looked_at += len(folder.files)
        base = folder.path + b"/" if folder.path else b""
        for name, reason in folder.file_errors:
            seen.errors.append((base + name, reason))
            seen.complete = False
        if folder.error is not None:
            seen.errors.append((folder.path, folder.error))
            seen.complete = False
            self._protected.add(folder.path)
            return False
        if not folder.path and not self._accept_missing and all(name[:1] == b"." for name in folder.names):
            self._protected.add(b"")
            self._note_empty_root()
            return False
        self._devices[folder.path] = folder.device
        return True

    def _look_at(self, path: bytes, file: FoundFile, row: FileRow | None) -> None:
        if row is None:
            self._seen.to_read.append(ToRead(path, None))
        elif self._differs(file, row) or self._reads(file):
            self._seen.to_read.append(ToRead(path, row[0]))
        else:
            self._seen.unchanged += 1

    def _rows(self, folder: bytes) -> dict[bytes, FileRow]:
        return {row[1]: row for row in files.folder_rows(self._connection, self._seen.library.id, folder)}

    def _folders_below(self, path: bytes) -> list[bytes]:
        return list(files.folders_below(self._connection, self._seen.library.id, path))

    def _gone_below(self, parent: bytes, folder: bytes) -> bool:
        """Whether ``folder``, below the listed ``parent``, is not there or not scanned any more."""
        child = folder[len(parent) + 1 if parent else 0 :].partition(b"/")[0]
        path = parent + b"/" + child if parent else child
        root = self._seen.library.root
        try:
            with open_path(root, path) as place:
                os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            return is_gone(root, path)
        except OSError:
            return False
        # It is there, was not walked and gave no error: it is ignored, or not a folder any more.
        return True

    def _lost(self, row_id: int, path: bytes, *, mounted: bool, device: int) -> None:
        if mounted and device == self._seen.root_device and not self._accept_missing:
            note = (
                f"A drive that was mounted inside library {self._seen.library.name} is away: its files are kept "
                "(--accept-missing lets them go)."
            )
            if note not in self._seen.notes:
                self._seen.notes.append(note)
            self._seen.complete = False
            self._seen.refused += 1
            return
        self._seen.gone[row_id] = path

    def _note_empty_root(self) -> None:
        library = self._seen.library
        if kept := files.count_present(self._connection, library.id):
            self._seen.complete = False
            self._seen.refused += kept
            self._seen.notes.append(
                f"The folder of library {library.name} is empty ({os.fsdecode(library.root)}), as that of a drive "
                "that is not mounted: nothing was marked missing. If it is meant, use --accept-missing."
            )

    def _differs(self, file: FoundFile, row: FileRow) -> bool:
        stat = file.stat
        if row[2] != stat.size_bytes or row[3] != stat.mtime_ns or row[6]:
            return True
        return row[4] != stat.ctime_ns and self._ctime_counts(stat.device)

    def _ctime_counts(self, device: int) -> bool:
        """Network mounts change ctimes by themselves, and what is mounted below the root may be one."""
        counts = self._keeps_ctime.get(device)
        if counts is None:
            counts = device == self._seen.root_device and filesystem_of(self._seen.library.root).keeps_inodes
            self._keeps_ctime[device] = counts
        return counts
