"""The scan: makes ``library_files`` true to the disk.

Every mode chooses which paths are looked at and which files are read, and then runs the same phases: look at the disk,
read what is new or differs, pair what moved, and mark missing what is proven to be gone.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from psm.config import LibraryConfig
from psm.db import Connection, Database, files, libraries, metadata
from psm.db.files import KnownFile
from psm.errors import UsageError
from psm.filesystems import filesystem_of
from psm.ingest.files import FoundFile
from psm.ingest.ignore import IgnorePolicy
from psm.ingest.moves import Observed, pair_moves
from psm.ingest.observe import Observation, ToRead, is_gone, observe
from psm.ingest.reading import Job, Outcome, read_many
from psm.locks import hold
from psm.models import FileStat, Library, Reading, Status
from psm.progress import NeverStop, Progress, ProgressCallback, StopSignal, no_progress

MISSING_LIMIT = 50
MISSING_SHARE = 0.3
BATCH = 200
_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True)
class ScanError:
    """One file or folder that could not be read. ``path`` is absolute."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a scan did. The counts are files.

    ``refused`` is how many files look gone and were kept all the same, in case a drive is away (rule 1). ``complete``
    is false when something could not be looked at, or the scan was stopped; ``notes`` say why, in sentences.
    ``offline`` names the libraries whose root could not be read at all.
    """

    added: int = 0
    updated: int = 0
    moved: int = 0
    restored: int = 0
    missing: int = 0
    unchanged: int = 0
    errors: tuple[ScanError, ...] = ()
    notes: tuple[str, ...] = ()
    refused: int = 0
    duration_s: float = 0.0
    complete: bool = True
    stopped: bool = False
    offline: tuple[str, ...] = ()

    @property
    def changed(self) -> int:
        """How many files are not as they were."""
        return self.added + self.updated + self.moved + self.restored + self.missing


def scan_library(
    db: Database,
    cfg: LibraryConfig,
    paths: Sequence[Path] | None = None,
    *,
    accept_missing: bool = False,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    now: Callable[[], float] = time.time,
    on_wait: Callable[[str], None] | None = None,
) -> ScanResult:
    """Reads the tags of every file in all libraries, or in ``paths`` below them.

    :raises UsageError: when a path belongs to no library.
    :raises PsmError: when the database cannot be written; what was committed before is kept.
    """
    scan = _Scan(db, cfg, "scan", lambda _: True, accept_missing, progress, stop, now)
    return scan.run(paths, on_wait)


def scan_library_incremental(
    db: Database,
    cfg: LibraryConfig,
    changed_since: float | None = None,
    specific_paths: list[Path] | None = None,
    *,
    accept_missing: bool = False,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    now: Callable[[], float] = time.time,
    on_wait: Callable[[str], None] | None = None,
) -> ScanResult:
    """Reads new files and those that differ from their row; with ``changed_since`` (seconds since the epoch) also
    those whose times are not older. ``specific_paths`` narrows it to these files and folders.

    Raises as :func:`scan_library` does.
    """
    since_ns = None if changed_since is None else int(changed_since * 1_000_000_000)

    def reads(file: FoundFile) -> bool:
        return since_ns is not None and max(file.stat.mtime_ns, file.stat.ctime_ns) >= since_ns

    mode = "quick" if since_ns is None else "since"
    scan = _Scan(db, cfg, mode, reads, accept_missing, progress, stop, now)
    return scan.run(specific_paths, on_wait)


def scan_specific_files(
    db: Database,
    cfg: LibraryConfig,
    paths: list[Path],
    *,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    now: Callable[[], float] = time.time,
    on_wait: Callable[[str], None] | None = None,
) -> ScanResult:
    """Looks at just these paths: a folder is walked, a file read when it is new or differs, one that is gone marked."""
    return scan_library_incremental(
        db, cfg, specific_paths=paths, progress=progress, stop=stop, now=now, on_wait=on_wait
    )


@dataclass(frozen=True, slots=True)
class _ReadFile:
    """A file that was read. ``row`` is what psm held of this path, None for a path that it did not know."""

    library: Library
    path: bytes
    row: KnownFile | None
    stat: FileStat
    reading: Reading
    reread: bool


@dataclass(slots=True)
class _Counts:
    added: int = 0
    updated: int = 0
    moved: int = 0
    restored: int = 0
    missing: int = 0
    unchanged: int = 0
    refused: int = 0
    errors: list[ScanError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    offline: list[str] = field(default_factory=list)
    complete: bool = True


class _Scan:
    """One run of the phases."""

    def __init__(
        self,
        db: Database,
        cfg: LibraryConfig,
        mode: str,
        reads: Callable[[FoundFile], bool],
        accept_missing: bool,
        progress: ProgressCallback,
        stop: StopSignal,
        now: Callable[[], float],
    ) -> None:
        self._db = db
        self._cfg = cfg
        self._mode = mode
        self._reads = reads
        self._accept_missing = accept_missing
        self._progress = progress
        self._stop = stop
        self._now = now
        self._counts = _Counts()
        self._generation: int | None = None
        self._libraries: dict[int, Library] = {}
        self._root_devices: dict[int, int] = {}
        self._unsettled: list[_ReadFile] = []
        self._unread: set[int] = set()
        """Rows whose file is still to be read: nothing is concluded from what they held."""

    def run(self, paths: Sequence[Path] | None, on_wait: Callable[[str], None] | None) -> ScanResult:
        """The phases, one after the other, under the lock."""
        lock = self._db.path.with_name(self._db.path.name + ".scan.lock")
        with hold(lock, what="psm scan", on_wait=on_wait, stop=self._stop):
            started = self._now()
            self._libraries = {library.id: library for library in libraries.all_libraries(self._db.connection)}
            targets = choose_targets(list(self._libraries.values()), paths)
            seen = self._look(targets)
            self._read(seen)
            if not self._stop.is_set():
                self._settle(seen)
                self._mark_missing(seen)
                self._remember(targets)
            ended = self._now()
        counts = self._counts
        stopped = self._stop.is_set()
        return ScanResult(
            added=counts.added,
            updated=counts.updated,
            moved=counts.moved,
            restored=counts.restored,
            missing=counts.missing,
            unchanged=counts.unchanged,
            errors=tuple(counts.errors),
            notes=tuple(counts.notes),
            refused=counts.refused,
            duration_s=ended - started,
            complete=counts.complete and not stopped,
            stopped=stopped,
            offline=tuple(counts.offline),
        )

    # Looking

    def _look(self, targets: dict[Library, list[bytes]]) -> list[Observation]:
        policy = IgnorePolicy(self._cfg.ignore_patterns)
        seen: list[Observation] = []
        found_before = 0
        for library, relatives in targets.items():
            observation = observe(
                self._db,
                library,
                relatives,
                policy,
                follow_symlinks=self._cfg.follow_symlinks,
                reads=self._reads,
                accept_missing=self._accept_missing,
                stop=self._stop,
                on_found=partial(self._found, found_before),
            )
            found_before += observation.unchanged + len(observation.to_read)
            root = library.root
            self._counts.errors += [ScanError(_join(root, path), reason) for path, reason in observation.errors]
            self._counts.notes += observation.notes
            self._counts.unchanged += observation.unchanged
            self._counts.refused += observation.refused
            self._counts.complete = self._counts.complete and observation.complete
            self._counts.offline += [library.name] if observation.offline else []
            self._root_devices[library.id] = observation.root_device
            self._unread |= {item.row_id for item in observation.to_read if item.row_id is not None}
            seen.append(observation)
        return seen

    def _found(self, before: int, now: int) -> None:
        self._progress(Progress("Looking", before + now))

    # Reading

    def _read(self, seen: list[Observation]) -> None:
        total = sum(len(observation.to_read) for observation in seen)
        gone = {row_id for observation in seen for row_id in observation.gone}
        done = 0
        for observation in seen:
            items = observation.to_read
            jobs = [Job(observation.library.root, item.path) for item in items]
            outcomes = read_many(jobs, network=observation.network, stop=self._stop)
            while batch := list(islice(outcomes, BATCH)):
                self._take_batch(observation.library, [(items[o.job], o) for o in batch], gone)
                done += len(batch)
                self._progress(Progress("Reading", done, total))

    def _take_batch(self, library: Library, batch: list[tuple[ToRead, Outcome]], gone: set[int]) -> None:
        """Commits what is certain already, and keeps what may be a move until all is read."""
        with self._writing():
            for item, outcome in batch:
                if outcome.stat is None or outcome.reading is None:
                    self._counts.errors.append(ScanError(_join(library.root, item.path), outcome.failure or ""))
                    self._counts.complete = False
                    continue
                if outcome.reading.error is not None:
                    self._counts.errors.append(ScanError(_join(library.root, item.path), outcome.reading.error))
                row = None if item.row_id is None else files.known(self._db.connection, item.row_id)
                file = _ReadFile(library, item.path, row, outcome.stat, outcome.reading, outcome.reread)
                if self._may_be_a_move(file, gone):
                    self._unsettled.append(file)
                elif row is None:
                    self._insert(file)
                else:
                    self._update(file, row)
                    self._unread.discard(row.id)

    def _may_be_a_move(self, file: _ReadFile, gone: set[int]) -> bool:
        """Whether another row may be this file, or this file's row another file."""
        connection = self._db.connection
        fingerprint = file.reading.fingerprint
        if file.row is not None:
            return fingerprint is not None and file.row.fingerprint not in {None, fingerprint}
        if fingerprint is None:
            # An unreadable file has no identity but its place.
            return bool(gone) or self._missing_at(file) is not None
        return any(
            row.status is Status.MISSING or row.id in gone or row.id in self._unread or self._left_its_place(row)
            for row in files.with_fingerprint(connection, fingerprint)
        )

    def _missing_at(self, file: _ReadFile) -> KnownFile | None:
        return files.known_at(self._db.connection, file.library.id, file.path, status=Status.MISSING)

    def _left_its_place(self, row: KnownFile) -> bool:
        """Whether a row that this scan does not look at is gone from its place all the same."""
        return is_gone(self._libraries[row.library_id].root, row.path)

    # Settling

    def _settle(self, seen: list[Observation]) -> None:
        """Pairs the files that moved with their rows, and writes what was kept back."""
        if not self._unsettled:
            return
        displaced, present = self._displaced({i for o in seen for i in o.gone})
        pairs = pair_moves(
            [Observed(f.library.id, f.path, f.stat, f.reading.fingerprint) for f in self._unsettled],
            displaced,
            present=present,
            keeps_inodes=self._keeps_inodes,
        )
        taken = {row.id for row in pairs.values()}
        for observation in seen:
            for row_id in taken & observation.gone.keys():
                del observation.gone[row_id]
        with self._writing() as connection:
            # Names may be swapped, so every row that moves lets go of its path first.
            files.park(connection, taken, now=self._now())
            for index, file in enumerate(self._unsettled):
                if index in pairs:
                    self._move(file, pairs[index])
                elif file.row is None or file.row.id in taken:
                    self._insert(file)
                else:
                    self._update(file, file.row)

    def _displaced(self, gone: set[int]) -> tuple[list[KnownFile], dict[str, int]]:
        """The rows whose audio is not where they say, and how many files of each fingerprint are where psm knew
        them.
        """
        connection = self._db.connection
        replaced = {file.row.id for file in self._unsettled if file.row is not None}
        displaced: dict[int, KnownFile] = {}
        present: dict[str, int] = {}
        for fingerprint in {file.reading.fingerprint for file in self._unsettled}:
            rows = files.with_fingerprint(connection, fingerprint) if fingerprint is not None else self._nameless(gone)
            for row in rows:
                if row.status is Status.MISSING or row.id in gone or row.id in replaced or self._left_its_place(row):
                    displaced[row.id] = row
                elif fingerprint is not None:
                    present[fingerprint] = present.get(fingerprint, 0) + 1
        return [displaced[i] for i in sorted(displaced)], present

    def _nameless(self, gone: set[int]) -> list[KnownFile]:
        """Rows without a fingerprint that an unreadable file may be: just gone, or missing from its place."""
        connection = self._db.connection
        just_gone = (files.known(connection, row_id) for row_id in gone)
        in_place = (self._missing_at(f) for f in self._unsettled if f.row is None and f.reading.fingerprint is None)
        rows = [row for row in just_gone if row is not None and row.fingerprint is None]
        rows += [row for row in in_place if row is not None]
        return rows

    def _keeps_inodes(self, library_id: int) -> bool:
        return filesystem_of(self._libraries[library_id].root).keeps_inodes

    # Writing, in the transaction of the caller

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction in which all that changes visibly gets one new generation."""
        self._generation = None
        with self._db.transaction() as connection:
            yield connection

    def _changed(self) -> int:
        if self._generation is None:
            self._generation = metadata.bump(self._db.connection, "library_files")
        return self._generation

    def _insert(self, file: _ReadFile) -> None:
        files.insert(
            self._db.connection,
            file.library.id,
            file.path,
            stat=file.stat,
            reading=file.reading,
            mounted=self._mounted(file),
            reread=file.reread,
            first_seen=self._now(),
            generation=self._changed(),
        )
        self._counts.added += 1

    def _update(self, file: _ReadFile, row: KnownFile) -> None:
        """Writes what was read of a file that is where it was; the generation moves only when a later stage sees it."""
        reading = file.reading
        if reading.error is not None and reading.fingerprint is None:
            # It may be mended: it keeps its identity until then.
            reading = Reading(reading.tags, row.fingerprint, reading.error)
        known = files.reading_of(self._db.connection, row.id)
        same = reading == known and file.stat.size_bytes == row.stat.size_bytes
        self._write(file, row, reading, visible=not same)
        if same:
            self._counts.unchanged += 1
        else:
            self._counts.updated += 1

    def _move(self, file: _ReadFile, row: KnownFile) -> None:
        self._write(file, row, file.reading, visible=True)
        if row.status is Status.MISSING:
            self._counts.restored += 1
        else:
            self._counts.moved += 1

    def _write(self, file: _ReadFile, row: KnownFile, reading: Reading, *, visible: bool) -> None:
        files.update(
            self._db.connection,
            row.id,
            file.library.id,
            file.path,
            stat=file.stat,
            reading=reading,
            mounted=self._mounted(file),
            reread=file.reread,
            generation=self._changed() if visible else None,
        )

    def _mounted(self, file: _ReadFile) -> bool:
        return file.stat.device != self._root_devices[file.library.id]

    # Missing

    def _mark_missing(self, seen: list[Observation]) -> None:
        for observation in seen:
            library = observation.library
            count = len(observation.gone)
            known = files.count_present(self._db.connection, library.id)
            if count > MISSING_LIMIT and count > MISSING_SHARE * known and not self._accept_missing:
                self._counts.refused += count
                self._counts.complete = False
                self._counts.notes.append(
                    f"{count:,} of {known:,} files of library {library.name} are gone from the disk at once. They were "
                    "kept, in case a drive is away. If it is meant, run the scan again with --accept-missing."
                )
                continue
            for batch in _batches(observation.gone, BATCH):
                with self._db.transaction() as connection:
                    generation = metadata.bump(connection, "library_files")
                    files.mark_missing(connection, batch, now=self._now(), generation=generation)
                self._counts.missing += len(batch)

    def _remember(self, targets: dict[Library, list[bytes]]) -> None:
        """Notes the time of the scan, and forgets what has been missing for longer than the grace time."""
        whole = [library for library, relatives in targets.items() if relatives == [b""]]
        if not whole:
            return
        now = self._now()
        record = json.dumps({"mode": self._mode, "at": now, "complete": self._counts.complete})
        before = now - self._cfg.missing_grace_days * _SECONDS_PER_DAY
        with self._db.transaction() as connection:
            for library in whole:
                metadata.put(connection, f"last_scan:{library.id}", record)
            if self._counts.complete and files.purge_missing(connection, missing_before=before):
                metadata.bump(connection, "library_files")


def choose_targets(known: Sequence[Library], paths: Sequence[Path] | None) -> dict[Library, list[bytes]]:
    """The libraries to scan, and in each the paths relative to its root; ``[b""]`` is the whole library.

    :raises UsageError: when there is no library, or a path belongs to none.
    """
    if not known:
        raise UsageError("psm knows no music library yet. Add one with: psm library add FOLDER")
    if paths is None:
        return {library: [b""] for library in known}
    targets: dict[Library, list[bytes]] = {}
    for path in paths:
        place = locate(known, path)
        if place is None:
            raise UsageError(f"{path} belongs to no library. Add its folder with: psm library add FOLDER")
        targets.setdefault(place[0], []).append(place[1])
    return {library: [b""] if b"" in relatives else relatives for library, relatives in targets.items()}


def locate(known: Sequence[Library], path: Path | bytes) -> tuple[Library, bytes] | None:
    """The library that ``path`` belongs to, and the path relative to its root; None when it belongs to none.

    Links in the folders above are resolved, because that is how the walk names a file; a link to a folder outside the
    root keeps its own name.
    """
    absolute = os.path.abspath(os.fsencode(path))
    folder, name = os.path.split(absolute)
    candidates = (os.path.join(os.path.realpath(folder), name), absolute, os.path.realpath(absolute))
    for candidate in candidates:
        for library in known:
            if candidate == library.root:
                return library, b""
            if candidate.startswith(_join(library.root, b"")):
                return library, candidate[len(_join(library.root, b"")) :].replace(os.fsencode(os.sep), b"/")
    return None


def _batches(items: Iterable[int], size: int) -> Iterator[list[int]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _join(root: bytes, relative: bytes) -> bytes:
    return root.rstrip(b"/") + b"/" + relative
