"""The scan: makes ``library_files`` true to the disk.

Every mode chooses which paths are looked at and which files are read, and then runs the same phases: look at the disk,
read what is new or differs, pair what moved, and mark missing what is proven to be gone.
"""

import json
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from psm.abandon import abandonable
from psm.config import LibraryConfig
from psm.db import Connection, Database, explained, files, libraries, metadata
from psm.db.files import KnownFile
from psm.errors import UsageError
from psm.filesystems import filesystem_of
from psm.ingest.files import FoundFile
from psm.ingest.ground import ANSWER_S, Finding, Ground, Grounds, Whereabouts, may_hang
from psm.ingest.ignore import IgnorePolicy
from psm.ingest.moves import Observed, pair_moves
from psm.ingest.observe import Observation, ToRead, observe
from psm.ingest.targets import choose_targets, join
from psm.ingest.terms import NO_TERMS, Terms
from psm.locks import hold
from psm.models import FileStat, Library, Reading, Status
from psm.progress import NeverStop, Progress, ProgressCallback, StopSignal, no_progress

if TYPE_CHECKING:
    from psm.ingest.reading import Job, Outcome

MISSING_LIMIT = 50
MISSING_SHARE = 0.3
BATCH = 200
_SECONDS_PER_DAY = 86_400
_ROUTINE_S = 3_600.0
"""A scan on a timer that finds nothing is noted so rarely: a drive can sleep in between."""


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
    ``offline`` names the libraries whose root could not be read at all. ``unfinished`` are the absolute paths of files
    that were left as they are because somebody is writing them; ``missing_by_library`` says how many went missing, by
    the libraries' ids.
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
    unfinished: tuple[bytes, ...] = ()
    missing_by_library: Mapping[int, int] = field(default_factory=dict)

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
    scan = _Scan(db, cfg, "scan", lambda _: True, accept_missing, NO_TERMS, progress, stop, now)
    return scan.run(paths, on_wait)


def scan_library_incremental(
    db: Database,
    cfg: LibraryConfig,
    changed_since: float | None = None,
    specific_paths: list[Path] | None = None,
    *,
    accept_missing: bool = False,
    terms: Terms = NO_TERMS,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    now: Callable[[], float] = time.time,
    on_wait: Callable[[str], None] | None = None,
) -> ScanResult:
    """Reads new files and those that differ from their row; with ``changed_since`` (seconds since the epoch) also
    those whose times are not older. ``specific_paths`` narrows it to these files and folders.

    :raises ScanIsLarge: when more files would be read than ``terms`` allow. Otherwise raises as
        :func:`scan_library` does.
    """
    if changed_since is not None and not math.isfinite(changed_since):
        raise UsageError("The moment to scan since must be a number of seconds since 1970.")
    since_ns = None if changed_since is None else int(changed_since * 1_000_000_000)

    def is_young(file: FoundFile) -> bool:
        return since_ns is not None and max(file.stat.mtime_ns, file.stat.ctime_ns) >= since_ns

    mode, reads = ("quick", None) if since_ns is None else ("since", is_young)
    scan = _Scan(db, cfg, mode, reads, accept_missing, terms, progress, stop, now)
    return scan.run(specific_paths, on_wait)


def scan_specific_files(
    db: Database,
    cfg: LibraryConfig,
    paths: list[Path],
    *,
    terms: Terms = NO_TERMS,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    now: Callable[[], float] = time.time,
    on_wait: Callable[[str], None] | None = None,
) -> ScanResult:
    """Looks at just these paths: a folder is walked, a file read when it is new or differs, one that is gone marked."""
    return scan_library_incremental(
        db, cfg, specific_paths=paths, terms=terms, progress=progress, stop=stop, now=now, on_wait=on_wait
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
    unfinished: list[bytes] = field(default_factory=list)
    missing_by_library: dict[int, int] = field(default_factory=dict)
    complete: bool = True


class _Scan:
    """One run of the phases."""

    def __init__(
        self,
        db: Database,
        cfg: LibraryConfig,
        mode: str,
        reads: Callable[[FoundFile], bool] | None,
        accept_missing: bool,
        terms: Terms,
        progress: ProgressCallback,
        stop: StopSignal,
        now: Callable[[], float],
    ) -> None:
        self._db = db
        self._cfg = cfg
        self._mode = mode
        self._reads = reads
        self._accept_missing = accept_missing
        self._terms = terms
        self._progress = progress
        self._stop = stop
        self._now = now
        self._at = now()
        self._counts = _Counts()
        self._generation: int | None = None
        self._grounds = Grounds()
        self._where = Whereabouts(self._grounds)
        self._unsettled: list[_ReadFile] = []
        self._alone: set[str] = set()
        """Fingerprints of which every known file is where it was: another file of that audio is a copy."""

    def run(self, paths: Sequence[Path] | None, on_wait: Callable[[str], None] | None) -> ScanResult:
        """The phases, one after the other, under the lock."""
        with (
            hold(self._db.scan_lock, what="psm scan", on_wait=on_wait, stop=self._stop),
            explained(self._db.path),
        ):
            started = self._now()
            known = libraries.all_libraries(self._db.connection)
            targets = self._choose(known, paths)
            self._at = max([started, *last_scans(self._db.connection)])
            policy = IgnorePolicy(self._cfg.ignored)
            for library in known:
                patience_s = None if library in targets else ANSWER_S
                self._grounds.prepare(library, partial(self._ground, library, known, policy, patience_s))
            seen = self._look(targets, policy)
            self._read(seen)
            self._gather_strays()
            stopped = self._stop.is_set()
            if not stopped:
                self._settle(seen)
                self._mark_missing(seen)
                self._remember(targets)
            ended = self._now()
        counts = self._counts
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
            unfinished=tuple(counts.unfinished),
            missing_by_library=counts.missing_by_library,
        )

    def _choose(self, known: Sequence[Library], paths: Sequence[Path] | None) -> dict[Library, list[bytes]]:
        """What to look at; nothing when it was stopped before a network drive had told where its links lead."""
        if paths is None or not any(map(may_hang, known)):
            return choose_targets(known, paths)
        return next(abandonable((choose_targets(known, paths) for _ in (0,)), stop=self._stop), {})

    def _ground(
        self, library: Library, known: Collection[Library], policy: IgnorePolicy, patience_s: float | None
    ) -> Ground:
        others = [other.root for other in known if other != library]
        return Ground(self._db, library, policy, others=others, stop=self._stop, answer_within_s=patience_s)

    # Looking

    def _look(self, targets: dict[Library, list[bytes]], policy: IgnorePolicy) -> list[Observation]:
        seen: list[Observation] = []
        found_before = 0
        for library, relatives in targets.items():
            observation = observe(
                self._db,
                self._grounds[library.id],
                relatives,
                policy,
                follow_symlinks=self._cfg.follow_symlinks,
                reads=self._reads,
                accept_missing=self._accept_missing,
                terms=self._terms,
                stop=self._stop,
                on_found=partial(self._found, found_before),
            )
            found_before += observation.unchanged + len(observation.to_read)
            root = library.root
            self._counts.errors += [ScanError(join(root, path), reason) for path, reason in observation.errors]
            self._counts.unfinished += [join(root, path) for path in observation.unfinished]
            self._counts.notes += observation.notes
            self._counts.unchanged += observation.unchanged
            self._counts.refused += len(observation.kept)
            self._counts.complete = self._counts.complete and observation.complete
            self._counts.offline += [library.name] if observation.offline else []
            self._where.gone |= observation.gone.keys()
            self._where.kept |= observation.kept
            self._where.unread |= {item.row_id for item in observation.to_read if item.row_id is not None}
            seen.append(observation)
        return seen

    def _found(self, before: int, now: int) -> None:
        self._progress(Progress("Looking", before + now))

    # Reading

    def _read(self, seen: list[Observation]) -> None:
        total = sum(len(observation.to_read) for observation in seen)
        done = 0
        for observation in seen:
            library, items = observation.library, observation.to_read
            outcomes = self._outcomes(library, [item.path for item in items])
            while batch := list(islice(outcomes, BATCH)):
                self._take_batch([self._taken(library, items[o.job], o) for o in batch])
                done += len(batch)
                self._progress(Progress("Reading", done, total))

    def _outcomes(self, library: Library, paths: Sequence[bytes]) -> "Iterator[Outcome]":
        if not paths:
            return iter(())
        from psm.ingest.reading import Job

        jobs = [Job(library.root, path) for path in paths]
        return read_many(jobs, network=self._grounds[library.id].network, stop=self._stop)

    def _taken(self, library: Library, item: ToRead, outcome: "Outcome") -> _ReadFile | None:
        """What reading a file gave, with what psm holds of its path; None when it could not be read."""
        path = join(library.root, item.path)
        if outcome.in_motion:
            self._counts.unfinished.append(path)
        if outcome.stat is None or outcome.reading is None:
            self._counts.errors.append(ScanError(path, outcome.failure or ""))
            self._counts.complete = False
            return None
        if outcome.reading.error is not None:
            self._counts.errors.append(ScanError(path, outcome.reading.error))
        row = None if item.row_id is None else files.known(self._db.connection, item.row_id)
        return _ReadFile(library, item.path, row, outcome.stat, outcome.reading, outcome.reread)

    def _take_batch(self, batch: list[_ReadFile | None]) -> None:
        """Commits what is certain already, and keeps back what may be a move until all is read."""
        certain: list[_ReadFile] = []
        for file in batch:
            if file is None:
                continue
            # Asked before the transaction: the answer may have to come from a slow disk.
            if self._may_be_a_move(file):
                self._unsettled.append(file)
            else:
                certain.append(file)
                if file.row is not None:
                    self._where.unread.discard(file.row.id)
        with self._writing():
            for file in certain:
                self._store(file)

    def _may_be_a_move(self, file: _ReadFile) -> bool:
        """Whether another row may be this file, or this file's row another file."""
        fingerprint = file.reading.fingerprint
        if file.row is not None and file.row.fingerprint is not None:
            return file.row.fingerprint != fingerprint
        if fingerprint is None:
            # An unreadable file has no identity but its place and its inode.
            return file.row is None and (bool(self._where.gone) or self._missing_at(file) is not None)
        if fingerprint in self._alone:
            return False
        for row in files.with_fingerprint(self._db.connection, fingerprint):
            if self._where.of(row) in {Finding.GONE, Finding.CHANGED}:
                return True
        self._alone.add(fingerprint)
        return False

    def _missing_at(self, file: _ReadFile) -> KnownFile | None:
        return files.missing_at(self._db.connection, file.library.id, file.path)

    # Settling

    def _gather_strays(self) -> None:
        """Reads the files, anywhere, whose rows may have swapped their audio with what was read.

        A row that this scan was not asked to look at may hold the audio that was just found elsewhere. Its own place is
        looked at then: one that still holds it is a copy, one that holds something else is a part of the same move.
        """
        asked: set[str | None] = {None}
        while not self._stop.is_set():
            new = {file.reading.fingerprint for file in self._unsettled} - asked
            if not new:
                return
            asked |= new
            mine = {file.row.id for file in self._unsettled if file.row is not None}
            for fingerprint in sorted(f for f in new if f is not None):
                for row in files.with_fingerprint(self._db.connection, fingerprint):
                    if row.id in mine or row.id in self._where.unread or self._where.of(row) is not Finding.CHANGED:
                        continue
                    mine.add(row.id)
                    self._read_stray(row)

    def _read_stray(self, row: KnownFile) -> None:
        ground = self._grounds[row.library_id]
        for outcome in self._outcomes(ground.library, [row.path]):
            self._where.unread.add(row.id)
            file = self._taken(ground.library, ToRead(row.path, row.id), outcome)
            if file is not None:
                self._take_batch([file])

    def _settle(self, seen: list[Observation]) -> None:
        """Pairs the files that moved with their rows, and writes what was kept back."""
        if not self._unsettled:
            return
        displaced, present = self._displaced()
        pairs = pair_moves(
            [Observed(f.library.id, f.path, f.stat, f.reading.fingerprint) for f in self._unsettled],
            displaced,
            present=present,
            keeps_inodes=self._keeps_inodes,
        )
        taken = {row.id for row in pairs.values()}
        # A file that was moved over another one: what was there is on disk no more.
        overwritten = [
            row.id for index in pairs if (row := self._unsettled[index].row) is not None and row.id not in taken
        ]
        for observation in seen:
            for row_id in taken & observation.gone.keys():
                del observation.gone[row_id]
        with self._writing() as connection:
            # Names may be swapped, so every row that moves lets go of its path first.
            files.park(connection, taken, now=self._at)
            if overwritten:
                files.mark_missing(connection, overwritten, now=self._at, generation=self._changed())
                self._counts.missing += len(overwritten)
            for index, file in enumerate(self._unsettled):
                if index in pairs:
                    self._move(file, pairs[index])
                else:
                    self._store(file, taken=taken)

    def _displaced(self) -> tuple[list[KnownFile], dict[str, int]]:
        """The rows whose audio is not where they say, and, by fingerprint, how many files are where psm knew them."""
        replaced = {file.row.id for file in self._unsettled if file.row is not None}
        displaced: dict[int, KnownFile] = {}
        present: dict[str, int] = {}
        for fingerprint in {file.reading.fingerprint for file in self._unsettled}:
            if fingerprint is None:
                displaced.update({row.id: row for row in self._nameless()})
                continue
            for row in files.with_fingerprint(self._db.connection, fingerprint):
                if row.id in replaced or self._where.of(row) is Finding.GONE:
                    displaced[row.id] = row
                else:
                    present[fingerprint] = present.get(fingerprint, 0) + 1
        return [displaced[i] for i in sorted(displaced)], present

    def _nameless(self) -> list[KnownFile]:
        """Rows without a fingerprint that an unreadable file may be: just gone, or missing from its place."""
        just_gone = (files.known(self._db.connection, row_id) for row_id in self._where.gone)
        in_place = (self._missing_at(f) for f in self._unsettled if f.row is None and f.reading.fingerprint is None)
        rows = [row for row in just_gone if row is not None and row.fingerprint is None]
        rows += [row for row in in_place if row is not None]
        return rows

    def _keeps_inodes(self, library_id: int) -> bool:
        return filesystem_of(self._grounds[library_id].library.root).keeps_inodes

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

    def _store(self, file: _ReadFile, *, taken: Collection[int] = ()) -> None:
        """Writes a file that did not move; ``taken`` are rows that became other files."""
        if file.row is None or file.row.id in taken:
            self._insert(file)
        else:
            self._update(file, file.row)

    def _insert(self, file: _ReadFile) -> None:
        files.insert(
            self._db.connection,
            file.library.id,
            file.path,
            stat=file.stat,
            reading=file.reading,
            reread=file.reread,
            first_seen=self._at,
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
            reread=file.reread,
            generation=self._changed() if visible else None,
        )

    # Missing

    def _mark_missing(self, seen: list[Observation]) -> None:
        for observation in seen:
            library, count = observation.library, len(observation.gone)
            before = self._terms.missing_lately.get(library.id, 0)
            if _is_too_many(count, before, observation.known) and not self._accept_missing:
                self._counts.refused += count
                self._counts.complete = False
                self._counts.notes.append(
                    f"{count:,} of {observation.known:,} files of library {library.name} are gone from the disk at "
                    "once. They were kept, in case a drive is away. If it is meant, run the scan again with "
                    "--accept-missing."
                )
                continue
            for batch in _batches(observation.gone, BATCH):
                with self._db.transaction() as connection:
                    generation = metadata.bump(connection, "library_files")
                    files.mark_missing(connection, batch, now=self._at, generation=generation)
                self._counts.missing += len(batch)
                self._counts.missing_by_library[library.id] = self._counts.missing_by_library.get(library.id, 0) + len(
                    batch
                )

    def _remember(self, targets: dict[Library, list[bytes]]) -> None:
        """Notes the time of the scan."""
        whole = [library for library, relatives in targets.items() if relatives == [b""]]
        if self._terms.is_routine and not self._has_changed():
            whole = [library for library in whole if not self._is_remembered(library)]
        if not whole:
            return
        record = json.dumps({"mode": self._mode, "at": self._now(), "complete": self._counts.complete})
        with self._db.transaction() as connection:
            for library in whole:
                metadata.put(connection, f"last_scan:{library.id}", record)

    def _has_changed(self) -> bool:
        counts = self._counts
        return any((counts.added, counts.updated, counts.moved, counts.restored, counts.missing))

    def _is_remembered(self, library: Library) -> bool:
        """Whether the last scan that was noted is not long ago, and went as this one did."""
        noted = metadata.get(self._db.connection, f"last_scan:{library.id}")
        if noted is None:
            return False
        last = json.loads(noted)
        same = (last["mode"], last["complete"]) == (self._mode, self._counts.complete)
        return same and self._now() - float(last["at"]) < _ROUTINE_S


def read_many(jobs: "Sequence[Job]", *, network: bool, stop: StopSignal) -> "Iterator[Outcome]":
    """As :func:`psm.ingest.reading.read_many`, which brings process pools: most scans find nothing to read."""
    from psm.ingest import reading

    return reading.read_many(jobs, network=network, stop=stop)


def _is_too_many(count: int, before: int, known: int) -> bool:
    """Whether so many of ``known`` files are not let go at once; ``before`` are those that went missing just now."""
    together = count + before
    return count > 0 and together > MISSING_LIMIT and together > MISSING_SHARE * (known + before)


def last_scans(connection: Connection) -> Iterator[float]:
    """When each library was scanned last, in seconds since the epoch.

    What a clock that went wrong says of now is never earlier than that.
    """
    for library in libraries.all_libraries(connection):
        record = metadata.get(connection, f"last_scan:{library.id}")
        if record is not None:
            yield float(json.loads(record)["at"])


def any_long_missing(db: Database, cfg: LibraryConfig, *, now: float) -> bool:
    """Whether a row has been missing for longer than the grace time."""
    return files.any_missing(db.connection, missing_before=now - cfg.missing_grace_days * _SECONDS_PER_DAY)


def forget_long_missing(db: Database, cfg: LibraryConfig, *, now: float) -> int:
    """Deletes rows that have been missing for longer than the grace time, never one that a manual decision may mean.

    Call it when the decisions are up to date with ``psm-overrides.yaml``. Returns how many that were.
    """
    before = now - cfg.missing_grace_days * _SECONDS_PER_DAY
    with db.transaction() as connection:
        count = files.purge_missing(connection, missing_before=before)
        if count:
            metadata.bump(connection, "library_files")
    return count


def _batches(items: Iterable[int], size: int) -> Iterator[list[int]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
