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
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
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
from psm.db import Database, files
from psm.errors import Interrupted, PsmError
from psm.ingest.extensions import has_audio_name
from psm.ingest.ignore import MARKERS, IgnorePolicy, shown
from psm.ingest.library import ScanResult
from psm.ingest.targets import join
from psm.models import Library
from psm.progress import ProgressCallback, no_progress
from psm.services.event_source import doubts
from psm.services.watch_events import WatchEvent, WatchEventKind, ignore_event
from psm.services.watch_log import WatchLog
from psm.services.watch_rounds import LOOK_AGAIN_S, WatchRounds, pause
from psm.services.watch_scans import Deadline, WatchScans
from psm.services.watch_status import MARKER_PREFIX, MARKER_SUFFIX
from psm.services.watched_root import WatchedRoot
from psm.services.watched_roots import Watched, WatchedRoots

logger = logging.getLogger(__name__)

TICK_S = 1.0
"""How often the roots and what brings their events are looked at."""

STOP_WITHIN_S = 5.0
_LAST_S = 0.5
"""Of the time that an end may take, how much is kept for what comes after the last scan."""

_LONGEST_PAUSE_S = 60.0
_FAILURE = "failure"

_ASLEEP_S = 10.0
"""A clock on the wall that is ahead of the other by so much says that the machine was asleep."""

_SECONDS_PER_DAY = 86_400

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
            # The new end first: were the old one alone looked at in between, it would look deleted.
            self._note(target, EVENT_TYPE_CREATED, is_folder=is_folder)
            self._note(path, EVENT_TYPE_DELETED, is_folder=is_folder)
            if path is not None and target is not None:
                self._root.were_one(path, target)
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
            return self._root.is_link(path) or os.name == "nt"
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
        self._clock = clock
        self._wall = wall
        self._policy = IgnorePolicy(config.library.ignored)
        self._log = WatchLog(on_event, wall)
        self._roots = WatchedRoots(
            db, paths=paths, what=what, log=self._log, make_root=self._make_root, clock=clock, wall=wall
        )
        self._scans = WatchScans(
            db, config.library, progress=progress, on_wait=self._say_waiting, clock=clock, wall=wall
        )
        self._stopping = threading.Event()
        self._rounds = WatchRounds(
            db,
            config.library,
            self._roots,
            self._scans,
            log=self._log,
            stopping=self._stopping,
            on_change=on_change_callback,
            on_success=self._succeeded,
            clock=clock,
            wall=wall,
        )
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._ready = threading.Event()
        self._asleep_until = 0.0
        self._stop_at = 0.0
        self._hangs = False
        """Whether the last stop did not wait for the end."""
        self._clear()

    def _clear(self) -> None:
        for event in (self._stopping, self._ended, self._ready, self._wake):
            event.clear()
        self._log.clear()
        self._retry_at = 0.0
        self._failures = 0
        self._rounds.clear()
        self._tick_at = 0.0
        self._settled_at: float | None = None
        self._clocks: tuple[float, float] | None = None
        self._forgot_at = -float("inf")

    # For its owner

    def start(self) -> None:
        """Begins to watch, and catches up on what changed before; returns at once. Nothing happens when it runs.

        :raises UsageError: when there is no library to watch.
        :raises LockHeld: when another watcher has one of them; the message names it.
        :raises PsmError: when it was stopped, and has not ended yet.
        """
        if self.is_running():
            return
        if self._hangs and not self._ended.is_set():
            # To begin anew would wake the old thread, and two would be at work.
            raise PsmError("The watcher was stopped, and what it did last has not ended yet. Try again in a while.")
        self._clear()
        self._roots.open()
        self._thread = threading.Thread(target=self._run, name="psm-watch", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = STOP_WITHIN_S) -> None:
        """Takes in what is pending, and ends. What cannot be taken in within ``timeout_s`` is found by the next start.

        It returns after that time at the latest, also when a drive hangs.
        """
        if self._thread is None:
            return
        self._stop_at = self._clock() + timeout_s
        self._stopping.set()
        self._wake.set()
        # Not join(): interrupted by Ctrl-C, it may leave a thread that runs and says it does not.
        self._hangs = not self._ended.wait(timeout_s)
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
            self._log.say(WatchEventKind.STARTING, f"Looking at {', '.join(map(_named, self._roots))}.")
            with doubts(self._hear_watchdog), self._db.giving_up_when(self._must_end):
                while not self._stopping.is_set():
                    self._turn_safely()
                    self._sleep()
                self._rounds.scan_what_is_left(Deadline(self._clock, self._stop_at - _LAST_S))
        except Exception:  # the boundary of the thread
            logger.exception("the watcher ends")
        finally:
            self._roots.close()
            self._log.say(WatchEventKind.STOPPED, "Stopped watching.")
            self._ended.set()

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
        self._rounds.scan_what_is_due(now)
        self._forget_long_missing(now)
        self._tell_when_ready()

    def _tell_when_ready(self) -> None:
        """Says once that all is known that changed before the start. What was written just then is waited for, what
        somebody goes on writing is not.
        """
        if self._ready.is_set() or not all(w.settled or w.root.is_offline for w in self._roots):
            return
        self._settled_at = self._clock() if self._settled_at is None else self._settled_at
        waits_s = self._config.library.watch.debounce_seconds + 2 * LOOK_AGAIN_S
        is_waiting = any(w.root.pending and not w.root.is_offline for w in self._roots)
        if is_waiting and self._clock() < self._settled_at + waits_s:
            return
        self._ready.set()
        self._roots.write_status()
        self._log.say(WatchEventKind.READY, f"Watching {'; '.join(map(_how, self._roots))}.")

    def _sleep(self) -> None:
        self._asleep_until = math.inf  # what is noted from here on wakes it, also before it is asleep
        dues = [due for w in self._roots if (due := w.root.next_due()) is not None]
        passes = [w.root.pass_at for w in self._roots if not w.root.is_offline]
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
        for watched in self._roots:
            watched.root.doubt(f"watchdog warns: {warning}")

    def _must_end(self) -> bool:
        """Whether not even the last scan may wait any longer for the database."""
        return self._stopping.is_set() and self._clock() >= self._stop_at - _LAST_S

    def _tick(self, now: float) -> None:
        if self._was_asleep(now):
            for watched in self._roots:
                watched.root.doubt("the machine was asleep")
        self._roots.follow()
        for watched in self._roots:
            watched.root.supervise(now)
        self._roots.write_status()

    def _was_asleep(self, now: float) -> bool:
        wall, before = self._wall(), self._clocks
        self._clocks = (now, wall)
        return before is not None and (wall - before[1]) - (now - before[0]) > _ASLEEP_S

    def _forget_long_missing(self, now: float) -> None:
        if self._ready.is_set() and now - self._forgot_at > _SECONDS_PER_DAY:
            self._forgot_at = now
            self._scans.forget_long_missing(self._config, self._stopping)

    # Failing

    def _fail(self, sentence: str) -> None:
        """The database or the disk is not to be had: all waits, longer each time."""
        self._failures += 1
        self._retry_at = self._clock() + pause(self._failures, longest_s=_LONGEST_PAUSE_S)
        self._log.error(sentence, about=_FAILURE)

    def _succeeded(self) -> None:
        if self._log.is_over(_FAILURE):
            self._log.say(WatchEventKind.NOTE, "It works again: what waited is taken in.")
        self._failures = 0
        self._retry_at = 0.0

    def _say_waiting(self, holder: str) -> None:
        self._log.say(WatchEventKind.NOTE, f"Waiting until it is done: {holder}.")

    # What the roots are made of

    def _make_root(self, library: Library, below: bytes) -> WatchedRoot:
        return WatchedRoot(
            library,
            below,
            self._config.library,
            has_files=lambda: files.count_present(self._db.connection, library.id) > 0,
            make_handler=self._make_handler,
            on_due=self._due,
            say=lambda root, text: self._log.say(WatchEventKind.ROOT, text, library=root.library.name),
            clock=self._clock,
            wall_ns=lambda: int(self._wall() * 1_000_000_000),
        )

    def _make_handler(self, root: WatchedRoot, folder: bytes, path: bytes) -> FileSystemEventHandler:
        return DebouncedLibraryWatcher(root, folder, path, self._policy, lambda name: self._see_marker(root, name))

    def _see_marker(self, root: WatchedRoot, name: bytes) -> None:
        """Called from watchdog's threads."""
        self._roots.marked(root, name)
        self._tick_at = 0.0
        self._wake.set()


def _named(watched: Watched) -> str:
    return f"{watched.root.library.name} ({shown(watched.root.path)})"


def _how(watched: Watched) -> str:
    root = watched.root
    why = f", because {root.reason}" if root.reason else ""
    return f"{root.library.name}: {root.mode}{why}"
