"""What a watcher scans in one turn: whole roots, and the paths that are due; and what becomes of a scan that fails.

A failure of the database or of the disk is the caller's: nothing is done then, and all waits. Any other failure is that
of one path: the batch is parted until it is found, it is reported and put off, and the rest is done.
"""

import logging
import os
import random
from collections.abc import Callable, Mapping, Sequence

from psm.config import LibraryConfig
from psm.db import Database, files
from psm.errors import PsmError
from psm.ingest.ignore import shown
from psm.ingest.library import ScanResult
from psm.ingest.targets import join
from psm.progress import StopSignal
from psm.services.watch_log import WatchLog
from psm.services.watch_scans import Done, NoChild, WatchScans
from psm.services.watched_root import WatchedRoot
from psm.services.watched_roots import Watched, WatchedRoots

logger = logging.getLogger(__name__)

_LONGEST_PUT_OFF_S = 600.0
_JITTER = 0.2
_SPOILED_KEPT = 1_000
_MOST_IN_A_ROW = 64
"""So many files that spoil a scan, one after the other, say that the scan itself is what fails."""
_CHILD = "child"
LOOK_AGAIN_S = 2.0
"""How long a file that is still being written is left alone, at least."""

Clock = Callable[[], float]
Batch = Mapping[WatchedRoot, tuple[bytes, ...]]
"""Paths to scan, relative to the library, by the root that they belong to."""


class WatchRounds:
    """Runs the scans of ``roots`` and settles what they leave. Belongs to the watcher's thread.

    ``on_change`` hears of every scan that changed something, ``on_success`` of every one that came to its end.
    """

    def __init__(
        self,
        db: Database,
        config: LibraryConfig,
        roots: WatchedRoots,
        scans: WatchScans,
        *,
        log: WatchLog,
        stopping: StopSignal,
        on_change: Callable[[ScanResult], None] | None,
        on_success: Callable[[], None],
        clock: Clock,
        wall: Clock,
    ) -> None:
        self._db = db
        self._config = config
        self._roots = roots
        self._scans = scans
        self._log = log
        self._stopping = stopping
        self._on_change = on_change
        self._succeeded = on_success
        self._clock = clock
        self._wall = wall
        self.clear()

    def clear(self) -> None:
        """Forgets what failed: a new start."""
        self._in_a_row = 0
        self._spoiled: dict[tuple[int, bytes], int] = {}
        """How often a path spoiled a scan, by library and path."""

    def scan_what_is_due(self, now: float) -> None:
        """The roots whose time has come as a whole, and the paths that are due.

        :raises PsmError: when the database or the disk is not to be had. What was to be scanned waits again.
        """
        self._in_a_row = 0
        for together in self._by_patience():
            for watched in together:
                if not watched.root.is_offline and watched.root.pass_at <= now and not self._stopping.is_set():
                    self._pass(watched)
            self._take_in({w.root: w.root.take(self._clock()) for w in together})

    def scan_what_is_left(self, deadline: StopSignal) -> None:
        """The last scan: of all that is pending, until ``deadline`` is set. The next start finds what is left."""
        for together in self._by_patience():
            pending = {w.root: paths for w in together if not w.root.is_offline and (paths := w.root.take_all())}
            if pending:
                self._flush(pending, deadline)

    def _by_patience(self) -> list[list[Watched]]:
        """What is scanned together: the local drives first, because a network drive may hang, each of those alone."""
        local = [w for w in self._roots if not w.root.drives]
        return [local, *([w] for w in self._roots if w.root.drives)]

    def _pass(self, watched: Watched) -> None:
        """Looks at a whole root; everything noted of it is taken in with that."""
        root = watched.root
        root.begin_pass()
        taken = root.take_all()
        began = self._clock()
        spoiled: Exception | None = None
        try:
            done = self._scans.scan({root: (root.below,)}, self._stopping)
        except BaseException as e:
            root.put_back(taken, not_before=self._clock())
            root.end_pass(self._clock(), took_s=self._clock() - began, complete=False)
            if isinstance(e, PsmError) or not isinstance(e, Exception):
                root.pass_at = self._clock()
                raise
            spoiled = e
        if spoiled is not None:
            # A file spoils it: the rest is done, part by part, and the file found and reported.
            next_pass, root.pass_at = root.pass_at, self._clock()
            self._take_in_parts({root: (root.below,)}, spoiled)
            root.pass_at = next_pass
            watched.settled = True
            return
        now = self._clock()
        went_through = not (done.result.stopped or done.stalled or done.result.offline)
        if went_through:
            root.done(taken)
        else:
            root.put_back(taken, not_before=now)
        root.end_pass(now, took_s=now - began, complete=went_through and not done.in_child)
        if done.in_child and done.result.changed:
            # What was walked there is not known here, and much may have happened meanwhile. One that changed nothing
            # would change nothing again: many files that cannot be read make every look a large one.
            root.pass_at = now
        elif went_through:
            watched.settled = True
            watched.last_pass_at = self._wall()
        self._succeeded()
        for name in root.markers() if went_through else ():
            self._roots.marked(root, name)
        self._told({root: (root.below,)}, done)

    def _take_in(self, batch: Batch) -> None:
        """Scans what is due; what cannot be scanned waits again."""
        batch = {root: paths for root, paths in batch.items() if paths}
        if not batch:
            return
        spoiled: Exception | None = None
        try:
            done = self._scans.scan(batch, self._stopping)
        except BaseException as e:
            if isinstance(e, PsmError) or not isinstance(e, Exception):
                _put_back(batch, not_before=self._clock())
                raise
            spoiled = e
        if spoiled is not None:
            self._take_in_parts(batch, spoiled)
            return
        if done.result.stopped or done.stalled:
            _put_back(batch, not_before=self._clock())
        else:
            for root, paths in batch.items():
                root.done(paths)
                for path in paths:
                    self._spoiled.pop((root.library.id, path), None)
            self._in_a_row = 0
            self._succeeded()
        self._told(batch, done)

    def _take_in_parts(self, batch: Batch, e: Exception) -> None:
        """A scan failed, and not for want of the database: one of the paths spoils it, and the others are scanned.

        Or it was too large to be run here, and nowhere else could it be: its parts can.
        """
        logger.info("a scan of %d paths failed: %r", sum(map(len, batch.values())), e)
        if isinstance(e, NoChild):
            self._log.error(str(e), about=_CHILD)
        parts = self._parts(batch)
        if not parts:
            self._put_off(batch, e)
        try:
            for part in parts:
                self._take_in(part)
        except BaseException:
            _put_back(batch, not_before=self._clock())
            raise
        # What was in flight as a folder was taken in by its parts.
        for root, paths in batch.items():
            root.done(paths)

    def _parts(self, batch: Batch) -> list[Batch]:
        """A batch in two halves; a single folder as all that is in it, or was; in no parts when it is a single file."""
        pairs = [(root, path) for root, paths in batch.items() for path in paths]
        if len(pairs) > 1:
            return _halves(pairs)
        root, path = pairs[0]
        base = path + b"/" if path else b""
        inside = {base + name for name in _entries(join(root.library.root, path) if path else root.library.root)}
        connection, library = self._db.connection, root.library.id
        inside.update(files.folder_rows(connection, library, path))
        for folder in files.folders_below(connection, library, path):
            if folder != path:
                inside.add(base + folder[len(base) :].partition(b"/")[0])
        return [{root: tuple(sorted(inside))}] if inside else []

    def _put_off(self, batch: Batch, e: Exception) -> None:
        """Reports the one path that spoils a scan; it is tried again, later each time."""
        self._in_a_row += 1
        if self._in_a_row > _MOST_IN_A_ROW:
            raise e  # it is not the files: to try each of them would go on for ever
        for root, paths in batch.items():
            for path in paths:
                key = (root.library.id, path)
                times = self._spoiled[key] = self._spoiled.get(key, 0) + 1
                if times == 1:
                    logger.error("%r spoils a scan", path, exc_info=e)
                root.done([path])
                root.changed(path, not_before=self._clock() + pause(times, longest_s=_LONGEST_PUT_OFF_S))
                where = shown(join(root.library.root, path))
                sentence = f"{where} cannot be scanned ({type(e).__name__}: {e}). It is tried again."
                self._log.error(sentence, about=where, library=root.library.name)
        while len(self._spoiled) > _SPOILED_KEPT:
            del self._spoiled[next(iter(self._spoiled))]

    def _told(self, batch: Batch, done: Done) -> None:
        """What a scan says, told on: to the roots, to whoever listens, and to the callback."""
        now, result = self._clock(), done.result
        if done.in_child:
            self._log.is_over(_CHILD)
        quiet_s = max(LOOK_AGAIN_S, self._config.watch.debounce_seconds)
        for path in result.unfinished:
            if (place := self._roots.place_of(path)) is not None:
                place[0].changed(place[1], not_before=now + quiet_s)
        for root in batch:
            if done.stalled:
                root.away("it stopped answering", now)
            elif root.library.name in result.offline:
                root.away("it cannot be read", now)
        if result.changed:
            for watched in self._roots:
                if watched.root in batch:
                    watched.last_change_at = self._wall()
        names = ", ".join(sorted(root.library.name for root in batch))
        self._log.scanned(result, library=names, whole=any(root.below in paths for root, paths in batch.items()))
        if result.changed and self._on_change is not None:
            try:
                self._on_change(result)
            except Exception:  # the boundary to foreign code: the watcher lives
                logger.exception("the callback failed")

    def _flush(self, pending: Batch, deadline: StopSignal) -> None:
        for root in pending:
            root.hurry()
        try:
            done = self._scans.scan(pending, deadline)
        except Exception as e:  # the next start finds what was not taken in
            logger.warning("what was pending at the end is left to the next start: %s", e)
            return
        self._told(pending, done)


def pause(times: int, *, longest_s: float) -> float:
    """How long to wait after so many failures, in seconds: longer each time, and never for two at once."""
    pause = min(2.0 ** min(times, 20), longest_s)
    return pause * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  (spreads retries, guards nothing)


def _put_back(batch: Batch, *, not_before: float) -> None:
    for root, paths in batch.items():
        root.put_back(paths, not_before=not_before)


def _halves(pairs: Sequence[tuple[WatchedRoot, bytes]]) -> list[Batch]:
    middle = len(pairs) // 2
    halves: list[Batch] = []
    for half in (pairs[:middle], pairs[middle:]):
        by_root: dict[WatchedRoot, tuple[bytes, ...]] = {}
        for root, path in half:
            by_root[root] = (*by_root.get(root, ()), path)
        halves.append(by_root)
    return halves


def _entries(folder: bytes) -> list[bytes]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
