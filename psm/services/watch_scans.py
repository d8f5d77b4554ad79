"""The scans of a watcher: small ones in its own process, large ones in another, and none that a dead drive can hold."""

import os
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from psm.abandon import POLL_S, Question, wait_for_drives
from psm.config import Config, LibraryConfig
from psm.db import Database
from psm.errors import Interrupted, PsmError
from psm.ingest.library import ScanResult, any_long_missing, scan_specific_files
from psm.ingest.targets import join
from psm.ingest.terms import ScanIsLarge, Terms
from psm.models import FileStat, Library
from psm.progress import Progress, ProgressCallback, StopSignal
from psm.services.child import run_in_child
from psm.services.growth import is_quiet
from psm.services.watched_root import ANSWER_S, WatchedRoot

READ_HERE = 200
"""So many files are read in the watcher's own process: what that leaves behind in memory stays small, and a process of
its own would take longer to start."""

STALLED_S = 60.0
"""How long a scan of a network drive may make no step before the drive is taken for hung, though it answers."""

_SLOW_S = 3.0
"""After so long without a step the drive is asked whether it is there: a hung one holds up the other libraries."""

LOSSES_LAST_S = 600.0
"""For how long files that went missing count against the limit of what may go missing at once."""


class NoChild(Exception):  # noqa: N818  (a state of the world)
    """A large scan had no process to run in. Smaller ones, of parts, can do without."""


@dataclass(frozen=True, slots=True)
class Done:
    """A scan that came to an end. ``stalled``: a drive did not answer any more, and the scan was given up."""

    result: ScanResult
    in_child: bool
    stalled: bool


class Losses:
    """How many files went missing lately, by library: a tree that is deleted comes in many small scans."""

    def __init__(self) -> None:
        self._lately: deque[tuple[float, int, int]] = deque()
        self._held: set[int] = set()

    def add(self, missing: Mapping[int, int], now: float) -> None:
        """So many files of each library went missing at ``now`` (seconds of a clock that only runs)."""
        self._lately.extend((now, library, count) for library, count in missing.items())

    def counts(self, now: float) -> dict[int, int]:
        """How many that are, by library."""
        self._lately = deque(e for e in self._lately if now - e[0] <= LOSSES_LAST_S or e[1] in self._held)
        counts: dict[int, int] = {}
        for _, library, count in self._lately:
            counts[library] = counts.get(library, 0) + count
        return counts

    def hold(self, libraries: Collection[int]) -> None:
        """Files of these were kept because too many are gone: what counted for that goes on to count, or the next look
        would let them go without a word.
        """
        self._held.update(libraries)

    def release(self, libraries: Collection[int]) -> None:
        """These were looked at as a whole, and nothing had to be kept."""
        self._held.difference_update(libraries)


class WatchScans:
    """Runs them. ``clock`` is in seconds, ``wall`` in seconds since the epoch."""

    def __init__(
        self,
        db: Database,
        config: LibraryConfig,
        *,
        progress: ProgressCallback,
        on_wait: Callable[[str], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._db = db
        self._config = config
        self._losses = Losses()
        self._on_wait = on_wait
        self._progress = progress
        self._clock = clock
        self._wall = wall

    def scan(self, batch: Mapping[WatchedRoot, Sequence[bytes]], stop: StopSignal) -> Done:
        """Scans paths, relative to their libraries.

        :raises PsmError: when the database cannot be written, or a path belongs to no library any more.
        :raises NoChild: when the process for a large scan cannot be started, or died.
        """
        guard = _Guard(stop, self._clock, [drive for root in batch for drive in root.drives])
        paths = [Path(os.fsdecode(join(root.library.root, path))) for root, paths in batch.items() for path in paths]
        losses = self._losses.counts(self._clock())
        in_child = False

        def step(progress: Progress) -> None:
            guard.step()
            self._progress(progress)

        if not guard.is_answered():
            return Done(ScanResult(complete=False, stopped=True), False, True)
        try:
            result = scan_specific_files(
                self._db,
                self._config,
                paths,
                terms=_terms(batch, losses),
                progress=step,
                stop=guard,
                now=self._wall,
                on_wait=self._on_wait,
            )
        except ScanIsLarge:
            in_child = True
            guard.step()
            try:
                result = run_in_child(
                    scan_apart,
                    self._db,
                    self._config,
                    paths,
                    losses=losses,
                    open_files=frozenset(join(root.library.root, path) for root in batch for path in root.open_files),
                    quiet_s={root.library.id: root.quiet_s for root in batch},
                    progress=step,
                    stop=guard,
                )
            except Interrupted:  # it hung so that it had to be killed
                if not guard.stalled:
                    raise
                result = ScanResult(complete=False, stopped=True)
            except PsmError as e:
                if type(e) is not PsmError:
                    raise
                raise NoChild(str(e)) from e
        self._remember_losses(batch, result)
        return Done(result, in_child, guard.stalled)

    def _remember_losses(self, batch: Mapping[WatchedRoot, Sequence[bytes]], result: ScanResult) -> None:
        self._losses.add(result.missing_by_library, self._clock())
        if result.refused:
            self._losses.hold({root.library.id for root in batch})
        elif result.complete:
            self._losses.release({root.library.id for root, paths in batch.items() if root.below in paths})

    def forget_long_missing(self, config: Config, stop: StopSignal) -> None:
        """Forgets files that are missing for longer than the grace time."""
        if any_long_missing(self._db, self._config, now=self._wall()):
            run_in_child(forget_apart, self._db, config, stop=stop)


def scan_apart(
    db: Database,
    config: LibraryConfig,
    paths: list[Path],
    *,
    losses: Mapping[int, int],
    open_files: frozenset[bytes],
    quiet_s: Mapping[int, float],
    progress: ProgressCallback,
    stop: StopSignal,
) -> ScanResult:
    """A large scan, in a process of its own. ``open_files`` are the absolute paths of files that are being written;
    ``quiet_s`` is how long, by library, others must not have been written.
    """

    def is_finished(library: Library, path: bytes, found: FileStat) -> bool:
        if join(library.root, path) in open_files:
            return False
        # Two looks, which would tell more where the clock of a drive is ahead, are not to be had here. Should such a
        # file still grow, it is read again.
        now_ns = time.time_ns()
        return found.mtime_ns > now_ns or is_quiet(found, quiet_s=quiet_s[library.id], now_ns=now_ns)

    terms = Terms(is_finished=is_finished, missing_lately=losses)
    return scan_specific_files(db, config, paths, terms=terms, progress=progress, stop=stop)


def forget_apart(db: Database, config: Config, *, progress: ProgressCallback, stop: StopSignal) -> None:  # noqa: ARG001
    """Forgets what is missing for too long, in a process of its own: the decisions by hand are read for that."""
    from psm.services.scanning import forget_long_missing

    forget_long_missing(db, config, now=time.time)


def _terms(batch: Mapping[WatchedRoot, Sequence[bytes]], losses: Mapping[int, int]) -> Terms:
    by_library = {root.library.id: root for root in batch}

    def is_finished(library: Library, path: bytes, found: FileStat) -> bool:
        root = by_library.get(library.id)
        return root is None or root.is_finished(path, found)

    def on_folder(library: Library, path: bytes, behind_link: bool) -> None:
        if (root := by_library.get(library.id)) is not None:
            root.note_folder(path, behind_link)

    return Terms(
        is_finished=is_finished,
        read_at_most=READ_HERE,
        missing_lately=losses,
        on_folder=on_folder,
        is_routine=True,
    )


class Deadline:
    """A stop signal that is set from a moment on: ``at`` on ``clock``, in seconds."""

    def __init__(self, clock: Callable[[], float], at: float) -> None:
        self._clock = clock
        self._at = at

    def is_set(self) -> bool:
        """Whether it is that late."""
        return self._clock() >= self._at


class _Guard:
    """The stop signal of a scan that may hang: set when it should stop, or when one of ``drives`` does not answer.

    ``drives`` are the folders on network drives that are scanned. A slow one is waited for, as long as it says
    anything.
    """

    def __init__(self, stop: StopSignal, clock: Callable[[], float], drives: Sequence[bytes]) -> None:
        self.stalled = False
        self._stop = stop
        self._clock = clock
        self._drives = drives
        self._last = clock()
        self._question: Question[bool] | None = None
        self._asked_at = 0.0

    def is_answered(self) -> bool:
        """Whether the drives answer now: what waits for one that does not may never come back."""
        if not self._drives:
            return True
        question = Question(partial(_ask, self._drives))
        until = self._clock() + _SLOW_S
        while not question.is_answered and self._clock() < until and not self._stop.is_set():
            question.answer(within_s=POLL_S)
        return question.is_answered

    def step(self) -> None:
        """The scan got on."""
        self._last = self._clock()

    def is_set(self) -> bool:
        if self._drives and not self.stalled and self._clock() - self._last > _SLOW_S:
            self.stalled = self._clock() - self._last > STALLED_S or not self._answers()
        return self.stalled or self._stop.is_set()

    def _answers(self) -> bool:
        """Whether all drives do, as far as is known: False when one took too long."""
        now = self._clock()
        if self._question is None or (self._question.is_answered and now - self._asked_at > _SLOW_S):
            self._asked_at = now
            self._question = Question(partial(_ask, self._drives))
        if self._question.is_answered:
            return True
        return now - self._asked_at <= ANSWER_S


def _ask(drives: Sequence[bytes]) -> bool:
    wait_for_drives(drives)
    return True
