"""Runs the stages after the scan whenever one of them is due, for as long as a watcher watches.

Whoever changes something that a stage goes by says so in the database: the watcher's own scans, and every other psm.
So once a second one number is read that tells whether anyone has committed, and only then are the stages asked whether
they are due. What the database does not tell is looked at as well: the file of decisions each second, playlists where
they are followed (:mod:`psm.services.playlist_watch`), and what psm wrote, when everything is reconciled.

What is due runs in a process of its own, so that this one stays small. A stage that did not run, was stopped or failed
is due still: nothing is noted here that would have to be kept.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Protocol, get_args

from psm.config import Config
from psm.db import Database, explained, metadata
from psm.errors import Interrupted, PsmError
from psm.locks import held_by
from psm.progress import Progress, ProgressCallback, StopSignal
from psm.services.child import run_in_child
from psm.services.overrides_state import FILE_NAME
from psm.services.playlist_watch import PlaylistWatch
from psm.services.stage_news import StagesNews, answers_now, run_and_tell
from psm.services.stage_schedule import StageSchedule
from psm.services.stage_telling import StageTelling
from psm.services.stages import ALL_STAGES, Stage, stages_due
from psm.services.watch_events import WatchEvent, WatchEventKind, ignore_event

__all__ = ["Stage", "StageFollower"]

logger = logging.getLogger(__name__)

TURN_S = 1.0
STOP_WITHIN_S = 5.0
_RUN_SHARE = 0.65
"""Of the time that an end may take, how much the stages have; then they are told to stop, and a while later killed."""
_END_SHARE = 0.25

LONGEST_SILENCE_S = 600.0
"""Stages that report nothing for so long hang, on a dead network drive most likely, and are ended."""

WAIT_FOR_SCAN_S = 10.0
"""How long a run waits for a scan that is at work: what it finds would make another run necessary."""

_SCAN_LOOK_S = 0.2
_SHORTEST_PAUSE_S = 0.05

Clock = Callable[[], float]


class RunStages(Protocol):
    """Runs the task somewhere; :func:`psm.services.child.run_in_child` is one."""

    def __call__(
        self,
        task: Callable[..., StagesNews],
        db: Database,
        config: Config,
        stages: frozenset[Stage],
        before: bytes,
        /,
        *,
        progress: ProgressCallback,
        stop: StopSignal,
        end_within_s: float,
    ) -> StagesNews: ...


class StageFollower:
    """Follows the database and the playlists, and runs ``stages``. Can be stopped, and started again.

    ``on_event`` hears what happened, in the follower's thread. ``wake_at_start``: what is due at the start runs at
    once, not only when something changes. ``announce``: it says when it is ready and when it ends; beside a library's
    watcher, that one does.
    """

    def __init__(
        self,
        db: Database,
        config: Config,
        *,
        stages: Collection[Stage] = ALL_STAGES,
        on_event: Callable[[WatchEvent], None] = ignore_event,
        wake_at_start: bool = True,
        announce: bool = False,
        run: RunStages = run_in_child,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self._db = db
        self._config = config
        self._stages = frozenset(stages)
        self._on_event = on_event
        self._wake_at_start = wake_at_start
        self._announce = announce
        self._run_stages = run
        self._clock = clock
        self._wall = wall
        self._thread: threading.Thread | None = None
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._ended.set()
        self._clear()

    def _clear(self) -> None:
        watch = self._config.library.watch
        self._schedule = StageSchedule(interval_s=watch.stage_interval)
        self._playlists: PlaylistWatch | None = None
        self._ask = self._wake_at_start
        self._due: frozenset[Stage] = frozenset()
        self._version: int | None = None
        self._overrides = self._overrides_asked = self._overrides_now()
        self._reconcile_at = self._clock() + watch.reconcile_interval
        self._stop_at: float | None = None
        self._end_within_s = STOP_WITHIN_S * _END_SHARE
        self._heard_at = 0.0
        self._scan_since: float | None = None
        self._left: dict[Stage, object] = {}
        self._told = b""
        self._telling = StageTelling(self._on_event, wall=self._wall)
        self._identity = self._database_now()

    # For its owner

    def start(self) -> None:
        """Begins to follow; returns at once. Nothing happens when it runs.

        :raises PsmError: when it was stopped, and has not ended yet.
        """
        if self.is_running():
            return
        if not self._ended.is_set():
            raise PsmError("The stages were stopped, and what they did last has not ended yet. Try again in a while.")
        self._clear()
        self._stopping.clear()
        self._ended.clear()
        self._woken.clear()
        self._thread = threading.Thread(target=self._follow, name="psm-stages", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = STOP_WITHIN_S) -> None:
        """Runs what has become due, as far as ``timeout_s`` allows, and ends. The rest is due at the next start."""
        if self._thread is None:
            self._close_playlists()
            return
        self._end_within_s = timeout_s * _END_SHARE
        self._stop_at = self._clock() + timeout_s * _RUN_SHARE
        self._stopping.set()
        self._woken.set()
        # Not join(): interrupted by Ctrl-C, it may leave a thread that runs and says it does not.
        self._ended.wait(timeout_s)
        self._thread = None

    def is_running(self) -> bool:
        """Whether it follows."""
        return self._thread is not None and not self._ended.is_set()

    def wake(self) -> None:
        """Something changed: what is due is looked for now. May be called from any thread."""
        self._ask = True
        self._woken.set()

    # The thread

    def _follow(self) -> None:
        try:
            if self._announce:
                names = " and ".join(stage.value for stage in Stage if stage in self._stages)
                self._telling.say(WatchEventKind.READY, f"Following the database: {names}.")
            while not self._stopping.is_set():
                self.turn()
                self._woken.wait(self._pause())
                self._woken.clear()
            self._finish()
        except Exception:  # the boundary of the thread
            logger.exception("the stages are not followed any more")
        finally:
            self._close_playlists()
            self._ended.set()
            if self._announce:
                self._telling.say(WatchEventKind.STOPPED, "Stopped following.")

    def _close_playlists(self) -> None:
        if self._playlists is not None:
            self._playlists.stop()
            self._playlists = None

    def turn(self) -> None:
        """Looks once whether anything is due, and runs it when it may run. The thread does so each second."""
        problems = frozenset[str]()
        try:
            with explained(self._db.path):
                self._turn(self._clock())
        except PsmError as e:
            problems = frozenset({str(e)})
        except Exception as e:  # it follows on, whatever happens in one turn
            logger.exception("a turn of the stages failed")
            problems = frozenset({f"psm has a defect here ({type(e).__name__}: {e}). It is tried again."})
        self._telling.tell_problems({None: problems})

    def _turn(self, now: float) -> None:
        self._check_database()
        self._notice(now)
        runnable = self._schedule.runnable(self._what_is_due(), now)
        if not runnable:
            self._scan_since = None
        elif not self._waits_for_scan(now):
            self._run(self._with_what_follows(runnable, now))

    def _finish(self) -> None:
        """The end: what has become due meanwhile runs, without the usual pauses."""
        try:
            with explained(self._db.path):
                self._check_database()
                self._notice(self._clock())
                if self._playlists is not None and self._playlists.is_waiting:
                    self._playlists.look_now(self._end_within_s)
                runnable = self._schedule.runnable(self._what_is_due(), self._clock(), hurry=True)
                if runnable and not self._is_time_to_end():
                    self._run(self._with_what_follows(runnable, self._clock()))
        except PsmError as e:
            self._telling.tell_problems({None: frozenset({str(e)})})

    def _pause(self) -> float:
        """How long until the next turn, in seconds."""
        now = self._clock()
        at = [now + TURN_S]
        if self._playlists is not None:
            at.append(self._playlists.next_at())
        if self._scan_since is not None:
            at.append(now + _SCAN_LOOK_S)
        elif (next_run := self._schedule.next_at(self._due)) is not None:
            at.append(next_run)
        return max(_SHORTEST_PAUSE_S, min(at) - now)

    # What is due

    def _check_database(self) -> None:
        """Raises PsmError when it is not the database that this follower began with: a run would make a new one."""
        now = self._database_now()
        if now is None:
            raise PsmError(f"The database is not there any more: {self._db.path}. Put it back, or end psm.")
        # On network drives the numbers of files change by themselves.
        if self._db.wal and now != self._identity:
            raise PsmError(f"There is another database now: {self._db.path}. Start psm again.")

    def _database_now(self) -> tuple[int, int] | None:
        with suppress(OSError):
            found = os.stat(self._db.path)
            return found.st_dev, found.st_ino
        return None

    def _notice(self, now: float) -> None:
        """Finds out whether anything may have become due."""
        if not self._told:
            self._told = answers_now(self._db, as_matched=True)
        version = metadata.data_version(self._db.connection)
        if version != self._version:
            self._ask = self._ask or self._version is not None
            self._version = version
            if self._playlists is not None:
                self._playlists.refresh()
        if Stage.MATCH in self._stages:
            self._notice_overrides()
        if now >= self._reconcile_at:
            self._reconcile_at = now + self._config.library.watch.reconcile_interval
            self._ask = True
        if Stage.PLAYLISTS in self._stages:
            if self._playlists is None:
                self._playlists = self._watch_playlists()
            self._playlists.turn(now)

    def _notice_overrides(self) -> None:
        """A person edits the file of decisions: it is taken in once it was the same for a turn."""
        before, self._overrides = self._overrides, self._overrides_now()
        if self._overrides not in (before, self._overrides_asked):
            return
        if self._overrides != self._overrides_asked:
            self._overrides_asked = self._overrides
            self._schedule.settled({Stage.MATCH})
            self._ask = True

    def _overrides_now(self) -> tuple[int, ...] | None:
        with suppress(OSError):
            found = os.stat(self._config.folder / FILE_NAME)
            return found.st_ino, found.st_size, found.st_mtime_ns
        return None

    def _watch_playlists(self) -> PlaylistWatch:
        return PlaylistWatch(
            self._db,
            self._config,
            on_change=self._woken.set,
            say=lambda text: self._telling.say(WatchEventKind.NOTE, text),
            clock=self._clock,
            wall_ns=lambda: int(self._wall() * 10**9),
        )

    def _what_is_due(self) -> frozenset[Stage]:
        if self._ask:
            self._ask = False  # first: whoever wakes it meanwhile is heard
            try:
                self._due = stages_due(self._db, self._config, self._stages)
            except BaseException:
                self._ask = True
                raise
            self._note_stuck()
        if self._playlists is not None and self._playlists.is_due:
            return self._due | {Stage.PLAYLISTS}
        return self._due

    def _note_stuck(self) -> None:
        """A stage that is due again after it ran, although nothing that it goes by changed, waits before the next."""
        inputs = self._inputs()
        stuck = {stage for stage in self._due if self._left.get(stage) == inputs}
        self._schedule.failed(stuck, self._clock())
        self._schedule.settled(self._stages - self._due - {Stage.PLAYLISTS})
        self._left = {stage: left for stage, left in self._left.items() if stage in self._due - stuck}

    def _with_what_follows(self, runnable: frozenset[Stage], now: float) -> frozenset[Stage]:
        """The other stages too, which may become due by what these do; not those that wait because they failed."""
        return runnable | self._schedule.runnable(self._stages - {Stage.PLAYLISTS}, now, hurry=True)

    def _inputs(self) -> object:
        generations = tuple(metadata.generation(self._db.connection, table) for table in get_args(metadata.Table))
        return generations, self._overrides

    def _waits_for_scan(self, now: float) -> bool:
        if held_by(self._db.scan_lock) is None:
            self._scan_since = None
            return False
        if self._scan_since is None:
            self._scan_since = now
        return now - self._scan_since < WAIT_FOR_SCAN_S

    # Running

    def _run(self, stages: frozenset[Stage]) -> None:
        began = self._heard_at = self._clock()
        seen = self._playlists.seen if self._playlists is not None else None
        news = StagesNews(complete=False)
        failure: str | None = None
        try:
            news = self._run_stages(
                run_and_tell,
                self._db,
                self._config,
                stages,
                self._told,
                progress=self._hear,
                stop=_Stop(self._is_to_stop),
                end_within_s=self._end_within_s,
            )
        except Interrupted as e:
            failure = None if self._stopping.is_set() else str(e)
        except PsmError as e:
            failure = str(e)
        except Exception as e:  # a boundary: another process
            logger.exception("the stages failed")
            failure = f"psm has a defect here ({type(e).__name__}: {e}). It is tried again."
        ended = self._clock()
        self._schedule.ran(began=began, ended=ended)
        self._ask = True
        problems: dict[Stage | None, frozenset[str]] = {
            stage: frozenset(p.text for p in news.problems if p.stage is stage) for stage in stages
        }
        failed = {stage for stage in stages - {Stage.PLAYLISTS} if problems[stage]} | {*news.failed}
        if failure is not None:
            problems, failed = {stage: frozenset({failure}) for stage in stages}, {*stages}
        self._telling.tell(news)
        self._told = news.after or self._told
        if news.complete or failure is not None:
            self._telling.tell_problems(problems)
        self._schedule.failed(failed, ended)
        if news.complete and self._playlists is not None and Stage.PLAYLISTS in stages - failed:
            self._playlists.pulled(seen, complete=not problems[Stage.PLAYLISTS])
            self._schedule.settled({Stage.PLAYLISTS})
        self._left |= dict.fromkeys(stages - failed - {Stage.PLAYLISTS}, self._inputs())

    def _hear(self, _: Progress) -> None:
        self._heard_at = self._clock()

    def _is_to_stop(self) -> bool:
        return self._is_time_to_end() or self._clock() - self._heard_at >= LONGEST_SILENCE_S

    def _is_time_to_end(self) -> bool:
        return self._stop_at is not None and self._clock() >= self._stop_at


class _Stop:
    """A stop signal that asks."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask = ask

    def is_set(self) -> bool:
        """Whether to end."""
        return self._ask()
