"""Watch mode: keeps the database true to the disk for as long as it runs.

    watchdog → DebouncedLibraryWatcher → ChangeBuffer → one worker → scan_specific_files → callback

Events are hints. What is true is told by a scan, which compares the disk with the database: of the paths that events
named, when these are quiet; and of whole libraries, at the start, after any doubt, and on a timer. A change that no
event told of is found all the same, only later. Nothing is kept on disk about what is pending: the start looks
at everything, and that is the journal.

One worker thread owns the roots and runs the scans. Small scans run in it. Large ones run in a process of their own, so
that the watcher stays as small as it began.
"""

import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path

from watchdog.events import (
    EVENT_TYPE_ATTRIB,
    EVENT_TYPE_CLOSED,
    EVENT_TYPE_CREATED,
    EVENT_TYPE_DELETED,
    EVENT_TYPE_MODIFIED,
    EVENT_TYPE_MOVED,
    FileSystemEvent,
    FileSystemEventHandler,
)

from psm.config import Config
from psm.db import Database, files, libraries, metadata
from psm.errors import Interrupted, PsmError, UsageError
from psm.ingest.extensions import has_audio_name
from psm.ingest.ignore import MARKERS, IgnorePolicy
from psm.ingest.library import ScanResult
from psm.ingest.targets import join, locate
from psm.locks import LockHeld, held_by, hold
from psm.models import Library
from psm.progress import ProgressCallback, no_progress
from psm.services import watch_status
from psm.services.event_source import doubts
from psm.services.watch_events import WatchEvent, WatchEventKind, ignore_event
from psm.services.watch_scans import Losses, WatchScans
from psm.services.watch_status import MARKER_PREFIX, MARKER_SUFFIX, WatcherStatus
from psm.services.watched_root import WatchedRoot

logger = logging.getLogger(__name__)

TICK_S = 1.0
"""How often the roots and what brings their events are looked at."""

STOP_WITHIN_S = 5.0
_FLUSH_SHARE = 0.8
"""Of the time that an end may take, how much the last scan has."""

_LONGEST_PAUSE_S = 60.0
_JITTER = 0.2
_LOOK_AGAIN_S = 2.0
"""How long a file that is still being written is left alone, at least."""

_ASLEEP_S = 10.0
"""A clock on the wall that is ahead of the other by so much says that the machine was asleep."""

_ERRORS_KEPT = 10

Clock = Callable[[], float]


class DebouncedLibraryWatcher(FileSystemEventHandler):
    """Hears the events of one folder, and notes the paths that can matter in the root's buffer.

    ``folder`` is the real path that is watched, ``path`` what it is called in the library: they differ for what a link
    leads to. watchdog calls ``dispatch`` in its own thread, under its own lock; an exception would end that thread.
    """

    def __init__(
        self, root: WatchedRoot, folder: bytes, path: bytes, policy: IgnorePolicy, on_marker: Callable[[bytes], None]
    ) -> None:
        self._root = root
        self._folder = folder
        self._inside = folder.rstrip(os.fsencode(os.sep)) + os.fsencode(os.sep)
        self._path = path
        self._policy = policy
        self._on_marker = on_marker

    def dispatch(self, event: FileSystemEvent) -> None:
        """Takes one event."""
        try:
            self._hear(event)
        except Exception:  # the boundary to watchdog's thread
            logger.exception("an event could not be taken: %r", event)
            self._root.doubt("an event could not be taken")

    def _hear(self, event: FileSystemEvent) -> None:
        kind, is_folder = event.event_type, event.is_directory
        path = self._relative(event.src_path)
        if kind == EVENT_TYPE_MOVED:
            target = self._relative(event.dest_path)
            if path is not None and target is not None and not is_folder:
                self._root.moved(path, target)
            self._note(path, EVENT_TYPE_DELETED, is_folder=is_folder)
            self._note(target, EVENT_TYPE_CREATED, is_folder=is_folder)
        else:
            self._note(path, kind, is_folder=is_folder)

    def _relative(self, path: str | bytes) -> bytes | None:
        """The path below the library's root; None when it is not below the watched folder."""
        native = os.fsencode(path)
        if native == self._folder:
            return self._path
        if not native.startswith(self._inside):
            return None
        below = native[len(self._inside) :].replace(os.fsencode(os.sep), b"/")
        return self._path + b"/" + below if self._path else below

    def _note(self, path: bytes | None, kind: str, *, is_folder: bool) -> None:
        if path is None:
            return
        name = path.rpartition(b"/")[2]
        if path == self._path:
            self._note_itself(kind)
        elif name in MARKERS:
            self._root.changed(files.folder_of(path))
        elif name.startswith(MARKER_PREFIX) and name.endswith(MARKER_SUFFIX):
            if kind == EVENT_TYPE_CREATED:
                self._on_marker(name)
        elif is_folder or has_audio_name(name):
            if self._policy.path_reason(path, is_folder=is_folder) is None:
                self._note_wanted(path, kind, is_folder=is_folder)
        elif self._may_be_a_folder(path, kind) and self._policy.path_reason(path, is_folder=True) is None:
            # A link to a folder, or something that was one: what it leads to is to be watched, or is not any more.
            self._root.changed(path)
            self._root.relook()

    def _note_itself(self, kind: str) -> None:
        if kind == EVENT_TYPE_ATTRIB:
            self._root.changed(self._path)
        else:
            self._root.doubt("the folder itself was moved or deleted")

    def _note_wanted(self, path: bytes, kind: str, *, is_folder: bool) -> None:
        if is_folder or kind in (EVENT_TYPE_CREATED, EVENT_TYPE_ATTRIB):
            self._root.changed(path)
        elif kind == EVENT_TYPE_MODIFIED:
            self._root.written(path)
        elif kind in (EVENT_TYPE_CLOSED, EVENT_TYPE_DELETED):
            self._root.closed(path)

    def _may_be_a_folder(self, path: bytes, kind: str) -> bool:
        """Links come as files; and Windows does not know what it was that was deleted."""
        if kind == EVENT_TYPE_DELETED:
            return path in self._root.links or os.name == "nt"
        return kind == EVENT_TYPE_CREATED and os.path.islink(join(self._root.library.root, path))


class LibraryWatcher:
    """Follows what happens in the libraries, and keeps their rows true. Can be stopped, and started again.

    ``on_change_callback`` hears of every scan that changed something, ``on_event`` of everything worth a line; both in
    the worker's thread. What they raise is logged, and the watcher lives. ``paths`` narrows it to these folders and
    their libraries; otherwise all are watched but those marked not to be. ``what`` is the command, for others to see.
    """

    def __init__(
        self,
        db: Database,
        config: Config,
        on_change_callback: Callable[[ScanResult], None] | None = None,
        *,
        paths: Sequence[Path] = (),
        what: str = "psm scan --watch",
        on_event: Callable[[WatchEvent], None] = ignore_event,
        progress: ProgressCallback = no_progress,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self._db = db
        self._config = config
        self._on_change = on_change_callback
        self._paths = tuple(paths)
        self._what = what
        self._on_event = on_event
        self._clock = clock
        self._wall = wall
        self._policy = IgnorePolicy(config.library.ignored)
        self._roots: dict[int, _Watched] = {}
        self._losses = Losses()
        self._scans = WatchScans(db, config.library, losses=self._losses, progress=progress, clock=clock, wall=wall)
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._ready = threading.Event()
        self._asleep_until = 0.0
        self._stop_at = 0.0
        self._started_at = 0.0
        self._clear()

    def _clear(self) -> None:
        self._retry_at = 0.0
        self._failures = 0
        self._tick_at = 0.0
        self._clocks: tuple[float, float] | None = None
        self._data_version = -1
        self._generation = -1
        self._errors: deque[str] = deque(maxlen=_ERRORS_KEPT)
        self._said: dict[str, str] = {}
        self._forgot_at = -float("inf")

    # For its owner

    def start(self) -> None:
        """Begins to watch, and catches up on what changed before; returns at once. Nothing happens when it runs.

        :raises UsageError: when there is no library to watch.
        :raises LockHeld: when another watcher has one of them; the message names it.
        """
        if self.is_running():
            return
        self._clear()
        for event in (self._stopping, self._ended, self._ready, self._wake):
            event.clear()
        self._started_at = self._wall()
        chosen = self._chosen()
        if not chosen:
            raise UsageError(self._why_nothing())
        try:
            for library, below in chosen:
                self._add(library, below)
        except BaseException:
            self._close_roots()
            raise
        self._thread = threading.Thread(target=self._run, name="psm-watch", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = STOP_WITHIN_S) -> None:
        """Takes in what is pending, and ends. What cannot be taken in within ``timeout_s`` is found by the next start.

        It returns after that time at the latest, also when a drive hangs.
        """
        thread = self._thread
        if thread is None:
            return
        self._stop_at = self._clock() + timeout_s
        self._stopping.set()
        self._wake.set()
        # Not join(): interrupted by Ctrl-C, it may leave a thread that runs and says it does not.
        self._ended.wait(timeout_s)
        self._thread = None

    def is_running(self) -> bool:
        """Whether it watches."""
        return self._thread is not None and not self._ended.is_set()

    def wait_until_ready(self, timeout_s: float | None = None) -> bool:
        """Waits until all that changed before the start is known; False when that took longer."""
        return self._ready.wait(timeout_s)

    # The worker

    def _run(self) -> None:
        try:
            self._say(WatchEventKind.STARTING, f"Looking at {_named(w.root for w in self._roots.values())}.")
            with doubts(self._hear_watchdog):
                while not self._stopping.is_set():
                    self._turn_safely()
                    self._sleep()
                self._flush()
        except Exception:  # the boundary of the thread
            logger.exception("the watcher ends")
        finally:
            self._close_roots()
            self._ended.set()
            self._say(WatchEventKind.STOPPED, "Stopped watching.")

    def _turn_safely(self) -> None:
        try:
            self._turn()
        except Interrupted:
            pass
        except PsmError as e:
            self._fail(str(e))
        except Exception as e:  # the watcher lives, whatever happens in one turn
            logger.exception("a turn of the watcher failed")
            self._fail(f"psm has a defect here ({type(e).__name__}: {e}). It is tried again.")

    def _turn(self) -> None:
        now = self._clock()
        if now >= self._tick_at:
            self._tick_at = now + TICK_S
            self._tick(now)
        if now < self._retry_at:
            return
        for watched in list(self._roots.values()):
            if not watched.root.is_offline and watched.root.pass_at <= now and not self._stopping.is_set():
                self._pass(watched)
        self._take_in({w.root: w.root.take(self._clock()) for w in self._roots.values()})
        self._forget_long_missing(now)
        if not self._ready.is_set() and all(w.settled or w.root.is_offline for w in self._roots.values()):
            self._ready.set()
            self._write_status()
            self._say(WatchEventKind.READY, f"Watching {'; '.join(_how(w.root) for w in self._roots.values())}.")

    def _sleep(self) -> None:
        dues = [d for w in self._roots.values() if (d := w.root.next_due()) is not None]
        passes = [w.root.pass_at for w in self._roots.values() if not w.root.is_offline]
        until = min([self._tick_at, max(self._retry_at, min([*dues, *passes, self._tick_at]))])
        self._asleep_until = until
        if not self._stopping.is_set():
            self._wake.wait(max(0.0, until - self._clock()))
        self._asleep_until = 0.0
        self._wake.clear()

    def _due(self, at: float) -> None:
        """Called from watchdog's threads."""
        if at < self._asleep_until:
            self._wake.set()

    def _hear_watchdog(self, warning: str) -> None:
        """Called from watchdog's threads. Which root it is about cannot be told."""
        if "inactive" in warning:  # it says so of a thread that was told to stop
            return
        for watched in list(self._roots.values()):
            watched.root.doubt(f"watchdog warns: {warning}")

    def _tick(self, now: float) -> None:
        if self._was_asleep(now):
            for watched in self._roots.values():
                watched.root.doubt("the machine was asleep")
        self._follow_libraries()
        for watched in self._roots.values():
            watched.root.supervise(now)
        self._write_status()

    def _was_asleep(self, now: float) -> bool:
        wall, before = self._wall(), self._clocks
        self._clocks = (now, wall)
        return before is not None and (wall - before[1]) - (now - before[0]) > _ASLEEP_S

    # Scanning

    def _pass(self, watched: "_Watched") -> None:
        """Looks at a whole root; everything noted of it is taken in with that."""
        root = watched.root
        root.begin_pass()
        taken = root.take_all()
        began = self._clock()
        try:
            done = self._scans.scan({root: (root.below,)}, self._stopping)
        except BaseException:
            root.put_back(taken, not_before=self._clock())
            root.end_pass(self._clock(), took_s=self._clock() - began, complete=False)
            root.pass_at = 0.0
            raise
        now = self._clock()
        went_through = not (done.result.stopped or done.stalled or done.result.offline)
        if went_through:
            root.done(taken)
        else:
            root.put_back(taken, not_before=now)
        root.end_pass(now, took_s=now - began, complete=went_through and not done.in_child)
        if done.in_child:
            # What was walked there is not known here, and much has happened meanwhile.
            root.pass_at = now
        elif went_through:
            watched.settled = True
            watched.last_pass_at = self._wall()
        self._succeeded()
        self._find_markers(watched)
        self._told({root: (root.below,)}, done.result, stalled=done.stalled)

    def _take_in(self, batch: Mapping[WatchedRoot, tuple[bytes, ...]]) -> None:
        """Scans what is due; what cannot be scanned waits again."""
        batch = {root: paths for root, paths in batch.items() if paths}
        if not batch:
            return
        try:
            done = self._scans.scan(batch, self._stopping)
        except (PsmError, KeyboardInterrupt):
            self._put_back(batch, not_before=self._clock())
            raise
        except Exception as e:  # one of them spoils it: it is found, reported, and the rest done
            logger.exception("a batch of %d paths failed", sum(map(len, batch.values())))
            halves = list(_halves(batch))
            if len(halves) > 1:
                for half in halves:
                    self._take_in(half)
            else:
                self._put_back(batch, not_before=self._clock() + self._pause())
                self._report_spoiled(batch, e)
            return
        if done.result.stopped or done.stalled:
            self._put_back(batch, not_before=self._clock())
        else:
            for root, paths in batch.items():
                root.done(paths)
            self._succeeded()
        self._told(batch, done.result, stalled=done.stalled)

    def _put_back(self, batch: Mapping[WatchedRoot, tuple[bytes, ...]], *, not_before: float) -> None:
        for root, paths in batch.items():
            root.put_back(paths, not_before=not_before)

    def _report_spoiled(self, batch: Mapping[WatchedRoot, tuple[bytes, ...]], e: Exception) -> None:
        self._failures += 1
        for root, paths in batch.items():
            for path in paths:
                where = os.fsdecode(join(root.library.root, path))
                self._report(f"{where} cannot be scanned ({type(e).__name__}: {e}). It is tried again.", root)

    def _told(self, batch: Mapping[WatchedRoot, tuple[bytes, ...]], result: ScanResult, *, stalled: bool) -> None:
        """What a scan says, told on: to the roots, to whoever listens, and to the callback."""
        now = self._clock()
        quiet_s = max(_LOOK_AGAIN_S, self._config.library.watch.debounce_seconds)
        for path in result.unfinished:
            if (place := self._place_of(path)) is not None:
                place[0].changed(place[1], not_before=now + quiet_s)
        for root in batch:
            if stalled:
                root.away("it stopped answering", now)
            elif root.library.name in result.offline:
                root.away("it cannot be read", now)
        self._losses.add(result.missing_by_library, now)
        self._say_notes(batch, result)
        if result.changed:
            for watched in self._roots.values():
                if watched.root in batch:
                    watched.last_change_at = self._wall()
            self._say(WatchEventKind.SCANNED, _counts(result), scan=result)
            self._call_back(result)

    def _place_of(self, path: bytes) -> tuple[WatchedRoot, bytes] | None:
        for watched in self._roots.values():
            inside = join(watched.root.library.root, b"")
            if path.startswith(inside):
                return watched.root, path[len(inside) :]
        return None

    def _say_notes(self, batch: Collection[WatchedRoot], result: ScanResult) -> None:
        """Says what is new about what could not be done: a file that cannot be read is one line, not one a minute."""
        name = ", ".join(sorted(root.library.name for root in batch))
        notes = " ".join(result.notes)
        if notes and self._said.get(name) != notes:
            self._said[name] = notes
            self._say(WatchEventKind.NOTE, notes, library=name)
        elif not notes and result.refused == 0 and any(root.below == b"" for root in batch):
            self._said.pop(name, None)
        for error in result.errors:
            if error.path in result.unfinished:
                continue
            where = os.fsdecode(error.path)
            if self._said.get(where) != error.reason:
                self._said[where] = error.reason
                self._report(f"{where}: {error.reason}", None)
        if len(self._said) > 1_000:
            self._said.clear()

    def _call_back(self, result: ScanResult) -> None:
        if self._on_change is None:
            return
        try:
            self._on_change(result)
        except Exception:  # the boundary to foreign code: the watcher lives
            logger.exception("the callback failed")

    def _flush(self) -> None:
        """The last scan: of all that is pending, as far as the time goes."""
        deadline = _Deadline(self._clock, self._clock() + (self._stop_at - self._clock()) * _FLUSH_SHARE)
        pending = {
            w.root: paths for w in self._roots.values() if not w.root.is_offline and (paths := w.root.take_all())
        }
        if not pending:
            return
        for root in pending:
            root.hurry()
        try:
            done = self._scans.scan(pending, deadline)
        except Exception as e:  # the next start finds what was not taken in
            logger.warning("what was pending at the end is left to the next start: %s", e)
            return
        self._told(pending, done.result, stalled=False)

    def _forget_long_missing(self, now: float) -> None:
        if self._ready.is_set() and now - self._forgot_at > 86_400:
            self._forgot_at = now
            self._scans.forget_long_missing(self._config, self._stopping)

    # Failing

    def _pause(self) -> float:
        pause = min(2.0 ** min(self._failures, 10), _LONGEST_PAUSE_S)
        return pause * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  (spreads retries, guards nothing)

    def _fail(self, sentence: str) -> None:
        """The database or the disk is not to be had: all waits, longer each time."""
        self._failures += 1
        self._retry_at = self._clock() + self._pause()
        if self._said.get("failure") != sentence:
            self._said["failure"] = sentence
            self._report(sentence, None)

    def _succeeded(self) -> None:
        if self._said.pop("failure", None) is not None:
            self._say(WatchEventKind.NOTE, "It works again: what waited is taken in.")
        self._failures = 0
        self._retry_at = 0.0

    def _report(self, sentence: str, root: WatchedRoot | None) -> None:
        self._errors.append(f"{datetime.fromtimestamp(self._wall()):%Y-%m-%d %H:%M:%S} {sentence}")
        self._say(WatchEventKind.ERROR, sentence, library=None if root is None else root.library.name)

    # Libraries that come and go

    def _chosen(self) -> list[tuple[Library, bytes]]:
        """What is to be watched, as the database says now."""
        known = libraries.all_libraries(self._db.connection)
        if not self._paths:
            return [(library, b"") for library in known if library.watch]
        chosen: dict[Library, bytes] = {}
        for path in self._paths:
            place = locate(known, path)
            if place is not None:
                library, below = place
                chosen[library] = _common(chosen[library], below) if library in chosen else below
        return list(chosen.items())

    def _why_nothing(self) -> str:
        known = libraries.all_libraries(self._db.connection)
        if not known:
            return "psm knows no music library yet. Add one with: psm library add FOLDER"
        if self._paths:
            return "None of the paths belongs to a library. Add their folder with: psm library add FOLDER"
        return "All libraries are marked not to be watched. Change that with psm library watch, or name a folder."

    def _follow_libraries(self) -> None:
        """Another psm may add, move and remove libraries meanwhile."""
        version = self._db.connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._data_version:
            return
        self._data_version = version
        generation = metadata.generation(self._db.connection, "libraries")
        if generation == self._generation:
            return
        first, self._generation = self._generation == -1, generation
        if first:
            return
        wanted = {library.id: (library, below) for library, below in self._chosen()}
        for number, watched in list(self._roots.items()):
            if wanted.get(number) != (watched.root.library, watched.root.below):
                self._drop(number)
        for number, (library, below) in wanted.items():
            if number not in self._roots:
                try:
                    self._add(library, below)
                except LockHeld as e:
                    self._report(str(e), None)
                else:
                    self._say(WatchEventKind.NOTE, f"Library {library.name} is watched too now.", library=library.name)

    def _add(self, library: Library, below: bytes) -> None:
        locked = ExitStack()
        lock = self._db.watch_lock(library.id)
        try:
            locked.enter_context(hold(lock, what=self._what, wait=False))
        except LockHeld as e:
            holder = held_by(lock) or "another process"
            raise LockHeld(
                f"Library {library.name} is watched already, by {holder}. One watcher is enough: end that one first, "
                "or look at it with: psm status"
            ) from e
        root = WatchedRoot(
            library,
            below,
            self._config.library,
            has_files=lambda: files.count_present(self._db.connection, library.id) > 0,
            make_handler=self._make_handler,
            on_due=self._due,
            say=self._say_of_root,
            clock=self._clock,
            wall_ns=lambda: int(self._wall() * 1_000_000_000),
        )
        self._roots[library.id] = _Watched(root, locked)

    def _make_handler(self, root: WatchedRoot, folder: bytes, path: bytes) -> FileSystemEventHandler:
        return DebouncedLibraryWatcher(root, folder, path, self._policy, lambda name: self._marker(root, name))

    def _drop(self, number: int) -> None:
        watched = self._roots.pop(number)
        watched.root.close()
        watch_status.forget(self._db.watch_status(number))
        watched.locked.close()

    def _close_roots(self) -> None:
        for number in list(self._roots):
            self._drop(number)

    # Telling

    def _say(
        self, kind: WatchEventKind, text: str, *, library: str | None = None, scan: ScanResult | None = None
    ) -> None:
        try:
            self._on_event(WatchEvent(kind, text, self._wall(), library=library, scan=scan))
        except Exception:  # the boundary to foreign code: the watcher lives
            logger.exception("a listener failed")

    def _say_of_root(self, root: WatchedRoot, text: str) -> None:
        self._say(WatchEventKind.ROOT, text, library=root.library.name)

    def _marker(self, root: WatchedRoot, name: bytes) -> None:
        """Called from watchdog's threads: somebody wants to know whether changes are seen."""
        watched = self._roots.get(root.library.id)
        if watched is not None:
            watched.marker = (os.fsdecode(name), self._wall())
            self._tick_at = 0.0
            self._wake.set()

    def _find_markers(self, watched: "_Watched") -> None:
        for name in watched.root.markers():
            if watched.marker is None or watched.marker[0] != os.fsdecode(name):
                self._marker(watched.root, name)

    def _write_status(self) -> None:
        """Writes what has changed of what is said beside the database; idle, nothing is written."""
        for number, watched in self._roots.items():
            status = self._status(watched)
            if status != watched.written:
                with suppress(OSError):
                    watch_status.write(self._db.watch_status(number), status)
                    watched.written = status

    def _status(self, watched: "_Watched") -> WatcherStatus:
        root = watched.root
        marker, seen_at = watched.marker or (None, None)
        return WatcherStatus(
            library=root.library.name,
            root=root.path,
            what=self._what,
            pid=os.getpid(),
            started_at=self._started_at,
            ready=watched.settled,
            mode=root.mode,
            reason=root.reason,
            folders=root.folders,
            pending=root.pending,
            last_change_at=watched.last_change_at,
            last_reconcile_at=watched.last_pass_at,
            next_pass_at=self._wall_time_of(root.pass_at, watched),
            restarts=root.restarts,
            errors=tuple(self._errors),
            marker=marker,
            marker_seen_at=seen_at,
        )

    def _wall_time_of(self, at: float, watched: "_Watched") -> float | None:
        """A time of the clock as one of the wall; computed once, so that a clock that is set looks like no news."""
        if watched.next_pass is None or watched.next_pass[0] != at:
            watched.next_pass = (at, self._wall() + at - self._clock())
        return None if watched.root.is_offline else watched.next_pass[1]


class _Watched:
    """A root, and what its watcher remembers about it."""

    def __init__(self, root: WatchedRoot, locked: ExitStack) -> None:
        self.root = root
        self.locked = locked
        self.settled = False
        """Whether everything in it was looked at since the start."""
        self.last_pass_at: float | None = None
        self.last_change_at: float | None = None
        self.next_pass: tuple[float, float] | None = None
        self.marker: tuple[str, float] | None = None
        self.written: WatcherStatus | None = None


class _Deadline:
    """A stop signal that is set from a moment on."""

    def __init__(self, clock: Clock, at: float) -> None:
        self._clock = clock
        self._at = at

    def is_set(self) -> bool:
        return self._clock() >= self._at


def _halves(
    batch: Mapping[WatchedRoot, tuple[bytes, ...]],
) -> Iterator[Mapping[WatchedRoot, tuple[bytes, ...]]]:
    """A batch in two parts; in one when it is a single path."""
    pairs = [(root, path) for root, paths in batch.items() for path in paths]
    middle = len(pairs) // 2
    for part in (pairs[:middle], pairs[middle:]):
        if part:
            half: dict[WatchedRoot, tuple[bytes, ...]] = {}
            for root, path in part:
                half[root] = (*half.get(root, ()), path)
            yield half


def _common(one: bytes, other: bytes) -> bytes:
    """The folder that both paths lie in or are."""
    parts = []
    for a, b in zip(one.split(b"/"), other.split(b"/"), strict=False):
        if a != b:
            break
        parts.append(a)
    return b"/".join(parts)


def _counts(result: ScanResult) -> str:
    counts = ("added", "updated", "moved", "restored", "missing")
    return ", ".join(f"{n:,} {name}" for name in counts if (n := getattr(result, name)))


def _named(roots: Iterator[WatchedRoot]) -> str:
    return ", ".join(f"{root.library.name} ({os.fsdecode(root.path)})" for root in roots)


def _how(root: WatchedRoot) -> str:
    why = f", because {root.reason}" if root.reason else ""
    return f"{root.library.name}: {root.mode}{why}"
