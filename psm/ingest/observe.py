"""The first half of a scan: walks the disk and compares it with the database, reading no tags and writing nothing."""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from psm.abandon import abandonable
from psm.db import Database, files
from psm.db.files import FileRow
from psm.ingest.files import FoundFile, FoundFolder, file_stat, list_folder, walk
from psm.ingest.ground import Finding, Ground
from psm.ingest.ignore import IgnorePolicy
from psm.ingest.paths import open_path
from psm.ingest.spelling import on_disk
from psm.ingest.terms import ScanIsLarge, Terms
from psm.models import Library
from psm.progress import StopSignal


@dataclass(frozen=True, slots=True)
class ToRead:
    """A file whose tags are to be read; ``row_id`` is None for one that psm does not know at this path."""

    path: bytes
    row_id: int | None


@dataclass(slots=True)
class Observation:
    """What a look at one library showed.

    ``gone`` are the ids of present rows that are proven not to be on disk any more (rule 1), with their paths; ``kept``
    those that look gone while a drive may be away. ``unfinished`` are the paths of files that are still being written.
    ``known`` is how many files were present before, when there are ``gone`` ones. ``complete`` is false when something
    could not be looked at, ``notes`` then say why.
    """

    library: Library
    known: int = 0
    to_read: list[ToRead] = field(default_factory=list)
    gone: dict[int, bytes] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)
    unchanged: int = 0
    unfinished: list[bytes] = field(default_factory=list)
    errors: list[tuple[bytes, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = True
    offline: bool = False


def observe(
    db: Database,
    ground: Ground,
    targets: Sequence[bytes],
    policy: IgnorePolicy,
    *,
    follow_symlinks: bool,
    reads: Callable[[FoundFile], bool] | None,
    accept_missing: bool,
    terms: Terms,
    stop: StopSignal,
    on_found: Callable[[int], None],
) -> Observation:
    """Looks at ``targets`` (paths relative to the root; ``[b""]`` is the whole library).

    ``reads`` says of a file that looks unchanged whether it is read all the same (None: it is not); ``on_found`` hears
    how many were looked at.

    :raises ScanIsLarge: when more files would be read than the terms allow.
    """
    library = ground.library
    seen = Observation(library)
    if not ground.is_there:
        _note_absence(seen, ground)
        return seen
    look = _Look(db, ground, seen, policy, follow_symlinks, reads, accept_missing, terms)
    plan = ground.patiently(lambda: _plan(library.root, targets, spell=ground.takes_other_spellings)) or _Plan()
    for path, reason in plan.errors:
        seen.errors.append((path, reason))
        seen.complete = False
    for below in plan.folders:
        found = walk(
            library.root, policy, below=below, follow_symlinks=follow_symlinks, others=ground.others, stop=stop
        )
        for folder in abandonable(found, stop=stop) if ground.network else found:
            look.compare(folder)
            on_found(look.looked_at)
        if not stop.is_set():
            look.conclude(below)
    for parent, paths in plan.singles.items():
        if not stop.is_set() and (listing := look.list(parent)) is not None:
            look.compare_some(listing, paths)
            on_found(look.looked_at)
    if stop.is_set():
        seen.complete = False
        seen.gone.clear()
    elif not ground.is_the_same():
        seen.complete = False
        seen.gone.clear()
        seen.notes.append(f"The root of {library.name} changed while it was scanned: nothing was marked missing.")
    if seen.gone:  # counting takes longer than all the rest of a watcher's scan of one new file
        seen.known = files.count_present(db.connection, library.id)
    return seen


def _note_absence(seen: Observation, ground: Ground) -> None:
    seen.complete = False
    if ground.problem is not None:
        seen.offline = True
        seen.notes.append(
            f"The folder of library {seen.library.name} cannot be read ({os.fsdecode(seen.library.root)}: "
            f"{ground.problem}). Nothing was changed. Mount it or mend its permissions; psm library move tells psm "
            "where it is now."
        )


@dataclass(slots=True)
class _Plan:
    """The folders to walk, none inside another; single paths, by the nearest folder that exists; what went wrong."""

    folders: list[bytes] = field(default_factory=list)
    singles: dict[bytes, list[bytes]] = field(default_factory=dict)
    errors: list[tuple[bytes, str]] = field(default_factory=list)


def _plan(root: bytes, targets: Sequence[bytes], *, spell: bool) -> _Plan:
    plan = _Plan()
    for target in sorted({on_disk(root, target) if spell and target else target for target in targets}):
        # Sorted, a folder comes before what lies below it.
        if any(not f or target == f or target.startswith(f + b"/") for f in plan.folders):
            continue
        try:
            existing = _nearest_folder(root, target)
        except OSError as e:
            plan.errors.append((target, e.strerror or str(e)))
            continue
        if existing == target:
            plan.folders.append(target)
        else:
            plan.singles.setdefault(existing, []).append(target)
    return plan


def _nearest_folder(root: bytes, path: bytes) -> bytes:
    """The folder at ``path``, or the nearest one above it. Raises OSError when that cannot be told."""
    while path:
        try:
            # Listing "x/." asks for a folder and tells one that may not be entered from one that is not there.
            with open_path(root, path + b"/.") as place:
                os.stat(place)
        except OSError as e:
            if e.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
        else:
            return path
        path = files.folder_of(path)
    return path


class _Look:
    """Compares folders with their rows, and concludes what is gone."""

    def __init__(
        self,
        db: Database,
        ground: Ground,
        seen: Observation,
        policy: IgnorePolicy,
        follow_symlinks: bool,
        reads: Callable[[FoundFile], bool] | None,
        accept_missing: bool,
        terms: Terms,
    ) -> None:
        self.looked_at = 0
        self._connection = db.connection
        self._ahead = files.RowsAhead(db.connection, seen.library.id)
        self._ground = ground
        self._seen = seen
        self._policy = policy
        self._follow_symlinks = follow_symlinks
        self._reads = reads
        self._accept_missing = accept_missing
        self._terms = terms
        self._walked: set[bytes] = set()
        self._protected: set[bytes] = set()
        """Folders that could not be listed: nothing is concluded about what lies in or below them."""

    def list(self, folder: bytes) -> FoundFolder | None:
        """One folder as the walk would give it; None when it was stopped before the drive answered."""
        listing = partial(
            list_folder,
            self._seen.library.root,
            folder,
            self._policy,
            follow_symlinks=self._follow_symlinks,
            others=self._ground.others,
        )
        return self._ground.patiently(listing)

    def compare(self, folder: FoundFolder) -> None:
        """Compares all that lies directly in a folder with what the database holds of it."""
        if not self._listed(folder):
            return
        base = folder.path + b"/" if folder.path else b""
        rows = self._ahead.of(folder.path)
        unchanged = 0
        for name, found in folder.looked_at:
            row = rows.pop(base + name, None)
            # This is asked for every file, so what is the same to the last number is told at once. All else is looked
            # at as what psm keeps of it.
            if (
                row is not None
                and row[3] == found.st_mtime_ns
                and row[2] == found.st_size
                and row[4] == found.st_ctime_ns
                and row[6] == found.st_dev
                and not row[5]
                and self._reads is None
            ):
                unchanged += 1
            else:
                self._look_at(base + name, FoundFile(name, file_stat(found)), row)
        self._seen.unchanged += unchanged
        unreadable = {base + name for name, _ in folder.file_errors}
        for path, row in rows.items():
            if path not in unreadable:
                self._lost(row, on=folder.device)

    def compare_some(self, folder: FoundFolder, paths: Sequence[bytes]) -> None:
        """Compares only ``paths``, which were no folders, with what was found in the nearest folder that exists."""
        if not self._listed(folder):
            return
        base = folder.path + b"/" if folder.path else b""
        found = {base + file.name: file for file in folder.files}
        unreadable = {base + name for name, _ in folder.file_errors}
        rows = self._rows(folder.path)
        for path in paths:
            if path in unreadable:
                continue
            if path in found:
                self._look_at(path, found[path], rows.get(path))
            elif path in rows:
                self._lost(rows[path], on=folder.device)
            elif (row := self._rows(files.folder_of(path)).get(path)) is not None:
                self._lost_on_proof(row)
            for below in self._folders_below(path):
                for row in self._rows(below).values():
                    self._lost_on_proof(row)

    def conclude(self, target: bytes) -> None:
        """Looks for the rows of folders that the walk did not come to."""
        if target in self._walked:
            self._lose_what_became(target)
        for folder in self._folders_below(target):
            if folder in self._walked or self._is_protected(folder):
                continue
            listing = self.list(folder)
            if listing is None:
                return
            if listing.error is None:
                # Ignored, or it came back just now: either way it says for itself what is in it.
                self.compare(listing)
                continue
            for row in self._rows(folder).values():
                self._lost_on_proof(row)

    def _lose_what_became(self, folder: bytes) -> None:
        """A file in whose place a folder is now lies outside of what was walked, and is gone all the same."""
        parent = files.folder_of(folder)
        row = self._rows(parent).get(folder) if folder else None
        if row is None:
            return
        listing = self.list(parent)
        name = folder.rpartition(b"/")[2]
        if listing is not None and listing.error is None and all(name != file for file, _ in listing.looked_at):
            self._lost(row, on=listing.device)

    def _listed(self, folder: FoundFolder) -> bool:
        """Whether something can be concluded from this listing; notes what went wrong."""
        seen = self._seen
        self.looked_at += len(folder.looked_at)
        base = folder.path + b"/" if folder.path else b""
        for name, reason in folder.file_errors:
            seen.errors.append((base + name, reason))
            seen.complete = False
        if folder.error is not None:
            seen.errors.append((folder.path, folder.error))
            seen.complete = False
            self._protected.add(folder.path)
            return False
        if not folder.path and not self._accept_missing and self._ground.looks_empty(folder.names):
            self._protected.add(b"")
            self._note_empty_root()
            return False
        self._walked.add(folder.path)
        if folder.ignored is None:
            self._terms.on_folder(seen.library, folder.path, folder.behind_link)
        return True

    def _is_protected(self, folder: bytes) -> bool:
        while folder and folder not in self._protected:
            folder = files.folder_of(folder)
        return folder in self._protected

    def _look_at(self, path: bytes, file: FoundFile, row: FileRow | None) -> None:
        if row is None:
            self._take(path, file, None)
        elif self._differs(file, row) or (self._reads is not None and self._reads(file)):
            self._take(path, file, row[0])
        else:
            self._seen.unchanged += 1
            if row[6] != file.stat.device:
                self._ground.note_alive(row[6], file.stat.device)

    def _take(self, path: bytes, file: FoundFile, row_id: int | None) -> None:
        """A file that is to be read, unless it is still being written."""
        seen = self._seen
        if not self._terms.is_finished(seen.library, path, file.stat):
            seen.unfinished.append(path)
            return
        seen.to_read.append(ToRead(path, row_id))
        if self._terms.read_at_most is not None and len(seen.to_read) > self._terms.read_at_most:
            raise ScanIsLarge

    def _differs(self, file: FoundFile, row: FileRow) -> bool:
        """As :meth:`Ground.differs`, on a bare row."""
        stat = file.stat
        if row[2] != stat.size_bytes or row[3] != stat.mtime_ns or row[5]:
            return True
        return row[4] != stat.ctime_ns and self._ground.ctime_counts(stat.device)

    def _rows(self, folder: bytes) -> dict[bytes, FileRow]:
        return files.folder_rows(self._connection, self._seen.library.id, folder)

    def _folders_below(self, path: bytes) -> Sequence[bytes]:
        return tuple(files.folders_below(self._connection, self._seen.library.id, path))

    def _lost(self, row: FileRow, *, on: int) -> None:
        """A row whose folder was listed, on device ``on``, and does not give its file."""
        if self._accept_missing or self._ground.same_drive(row[6], on):
            self._seen.gone[row[0]] = row[1]
        else:
            self._keep(row)

    def _lost_on_proof(self, row: FileRow) -> None:
        """A row whose folder was not walked."""
        finding = self._ground.proof(row[1], row[6])
        if finding is Finding.GONE or (finding is Finding.AWAY and self._accept_missing):
            self._seen.gone[row[0]] = row[1]
        elif finding is Finding.AWAY:
            self._keep(row)
        else:
            self._seen.complete = False

    def _keep(self, row: FileRow) -> None:
        if not self._seen.kept:
            self._seen.notes.append(
                f"A drive that held files of library {self._seen.library.name} is away, or another one is in its "
                "place: its files are kept. If they are gone for good, use --accept-missing."
            )
        self._seen.kept.add(row[0])
        self._seen.complete = False

    def _note_empty_root(self) -> None:
        library = self._seen.library
        if present := files.present_ids(self._connection, library.id):
            self._seen.complete = False
            self._seen.kept |= present
            self._seen.notes.append(
                f"The folder of library {library.name} is empty ({os.fsdecode(library.root)}), as that of a drive "
                "that is not mounted: nothing was marked missing. If it is meant, use --accept-missing."
            )
