"""One library under watch: what was heard of it, how it is watched now, and what has to be done next.

File events come in from watchdog's threads and are kept in the buffer, under a lock. All else belongs to the one thread
that supervises: it calls :meth:`WatchedRoot.supervise` each second, takes what is due, and says how the scan went.

A root is there, or it is waited for. It is the same root as long as its device and inode are: one that is another (a
drive was mounted over it, or it was made anew) is watched anew, and looked at as a whole before its events count again.
"""

import logging
import os
import stat
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from watchdog.events import FileSystemEventHandler

from psm.abandon import Question, wait_for_drives
from psm.config import LibraryConfig, Polling
from psm.filesystems import FileSystem, filesystem_of, mount_table, mounts_below
from psm.ingest.ignore import IgnorePolicy, parents, shown
from psm.ingest.targets import join
from psm.models import FileStat, Library
from psm.services.change_buffer import ChangeBuffer
from psm.services.event_source import EventSource, limit_behind, limit_reached
from psm.services.growth import Growth
from psm.services.watch_status import MARKER_PREFIX, MARKER_SUFFIX, RootMode

logger = logging.getLogger(__name__)

POLLED_QUIET_S = 2.0
"""How long a file must not have grown before it is read, at least, where no closing of files is told of."""

ANSWER_S = 10.0
"""How long a network drive may take to answer before it is taken for hung."""

_AT_ONCE_S = 0.2
"""How long the answer of a network drive is waited for; one that comes later is taken at the next look."""

_AHEAD_S = 2.0
"""How long before a look at all of a network drive it is asked whether it is there: in between it is left in peace."""

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_STEADY_S = 60.0
"""After so long without trouble, the pause before a restart is the first one again."""
_PASSES_APART = 20
"""A poller sleeps at least so many times as long as a look takes."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How a root is watched: by events, by looking on a timer, or both, and why not by events alone."""

    events: bool
    polls: bool
    reason: str = ""


def choose(filesystem: FileSystem, mounts: Collection[bytes], polling: Polling) -> Choice:
    """How a root on this file system, with these mounts below it, is watched."""
    kind = filesystem.type
    if polling is Polling.ALWAYS:
        return Choice(events=False, polls=True, reason="the configuration asks for polling")
    if polling is Polling.NEVER:
        trusted = filesystem.delivers_events and not mounts
        reason = "" if trusted else f"{kind} may not tell of every change, but polling is off"
        return Choice(events=True, polls=False, reason=reason)
    if not filesystem.is_local:
        reason = f"{kind} is a network drive or unknown: it does not tell of changes that are made elsewhere"
        return Choice(events=False, polls=True, reason=reason)
    if not filesystem.delivers_events:
        return Choice(events=True, polls=True, reason=f"{kind} does not tell of every change")
    if mounts:
        names = ", ".join(shown(m) for m in sorted(mounts)[:3])
        return Choice(events=True, polls=True, reason=f"other drives are mounted in it ({names})")
    return Choice(events=True, polls=False)


class WatchedRoot:
    """A library, or the part of it that lies at and below ``below``. Paths are relative to the library's root.

    ``make_handler`` gives the handler for the events of a folder, by the path that psm knows the folder under.
    ``on_due`` hears when something noted is due. ``clock`` is in seconds, ``wall_ns`` in nanoseconds since the epoch.
    """

    def __init__(
        self,
        library: Library,
        below: bytes,
        config: LibraryConfig,
        *,
        has_files: Callable[[], bool],
        make_handler: "Callable[[WatchedRoot, bytes, bytes], FileSystemEventHandler]",
        on_due: Callable[[float], None],
        say: Callable[["WatchedRoot", str], None],
        clock: Callable[[], float],
        wall_ns: Callable[[], int],
    ) -> None:
        watch = config.watch
        self.library = library
        self.below = below
        self.mode = RootMode.STARTING
        self.reason = ""
        self.folders = 0
        self.restarts = 0
        self.pass_at = 0.0
        """When the root is next looked at as a whole."""
        self.links: dict[bytes, bytes] = {}
        """Where the links lead that are followed: real paths, by the link's own."""
        self._config = config
        self._polling = watch.fallback_to_polling
        self._policy = IgnorePolicy(config.ignored)
        self._has_files = has_files
        self._make_handler = make_handler
        self._on_due = on_due
        self._say = say
        self._clock = clock
        self._wall_ns = wall_ns
        self._lock = threading.Lock()
        self._buffer = ChangeBuffer(quiet_s=watch.debounce_seconds, longest_s=watch.max_wait_seconds)
        self._growth = Growth(quiet_s=watch.debounce_seconds)
        self._doubt: str | None = None
        self._relook = False
        self._source: EventSource | None = None
        self._choice = Choice(events=False, polls=False)
        self._limit: str | None = None
        self._identity: tuple[int, int] | None = None
        self._place = self.path
        """The real path. The root may have become a link, and watchdog watches a link itself."""
        self._found_links: dict[bytes, bytes] = {}
        """Those of the look that is under way."""
        self._own_folders = 0
        """How many of the folders do not lie behind a link."""
        self._mounts: tuple[bytes, ...] = ()
        """The mount points in it for which it was chosen how it is watched."""
        # What the table of mounts says, and of which table: to find it out anew each second costs more than all else.
        self._table: object = None
        self._mounted: tuple[bytes, ...] = ()
        self._drives: tuple[bytes, ...] = ()
        self._filesystem = filesystem_of(self.path)
        self._look_at = 0.0
        self._restart_at: float | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._steady_from = 0.0
        self._question: Question[tuple[tuple[int, int], bool] | str] | None = None
        self._asked_at = 0.0
        self._marker_question: Question[list[bytes]] | None = None
        self._walked: set[bytes] | None = None

    # What watchdog's threads tell

    def changed(self, path: bytes, *, not_before: float = 0.0) -> None:
        """Something happened to a path."""
        with self._lock:
            due = self._buffer.note(path, self._clock(), not_before=not_before)
        self._on_due(due)

    def written(self, path: bytes) -> None:
        """A file was modified, and is open still."""
        with self._lock:
            self._growth.written(path, self._wall_ns())
        self.changed(path)

    def closed(self, path: bytes) -> None:
        """A file was closed after writing, or is gone."""
        with self._lock:
            self._growth.closed(path)
        self.changed(path)

    def moved(self, source: bytes, target: bytes) -> None:
        """A file was renamed; what it becomes of both ends is said by ``changed``."""
        with self._lock:
            self._growth.moved(source, target)

    def were_one(self, source: bytes, target: bytes) -> None:
        """The two changes that were told of last are both ends of a move."""
        with self._lock:
            self._buffer.moved(source, target)

    def doubt(self, why: str) -> None:
        """Events may have been lost: the source is made anew, and everything looked at."""
        with self._lock:
            self._doubt = self._doubt or why
        self._on_due(self._clock())

    def relook(self) -> None:
        """A link to a folder came, went or changed: what it leads to is found by looking at everything."""
        with self._lock:
            self._relook = True

    # What the scans tell

    @property
    def path(self) -> bytes:
        """The absolute path of what is watched."""
        return join(self.library.root, self.below) if self.below else self.library.root

    @property
    def is_offline(self) -> bool:
        """Whether the root is waited for."""
        return self.mode is RootMode.OFFLINE

    @property
    def drives(self) -> tuple[bytes, ...]:
        """Where the network drives are mounted that the root lies on, or that are mounted in it: they may hang."""
        return self._drives

    @property
    def pending(self) -> int:
        """How many paths wait for a scan."""
        with self._lock:
            return len(self._buffer)

    def next_due(self) -> float | None:
        """When the next path is due; None when none is, or the root is away."""
        if self.is_offline:
            return None
        with self._lock:
            return self._buffer.next_due()

    def take(self, now: float) -> tuple[bytes, ...]:
        """The paths that are due, in flight from now on."""
        if self.is_offline:
            return ()
        with self._lock:
            return self._buffer.take(now)

    def take_all(self) -> tuple[bytes, ...]:
        """Everything noted, in flight from now on."""
        with self._lock:
            return self._buffer.take_all()

    def done(self, paths: Collection[bytes] | None = None) -> None:
        """A scan took in what is in flight, or these of it."""
        with self._lock:
            self._buffer.done(paths)

    def put_back(self, paths: Collection[bytes] | None = None, *, not_before: float) -> None:
        """A scan did not take in what is in flight, or these of it."""
        with self._lock:
            self._buffer.put_back(paths, not_before=not_before)

    def is_finished(self, path: bytes, found: FileStat) -> bool:
        """Whether a file may be read."""
        with self._lock:
            return self._growth.is_finished(path, found, now_ns=self._wall_ns())

    def hurry(self) -> None:
        """The watcher ends: what is closed is read, however young it is."""
        with self._lock:
            self._growth.quiet_s = 0.0

    @property
    def quiet_s(self) -> float:
        """How long a file must not have been written, in seconds."""
        with self._lock:
            return self._growth.quiet_s

    @property
    def open_files(self) -> frozenset[bytes]:
        """The files that are being written."""
        with self._lock:
            return self._growth.open_files

    def is_link(self, path: bytes) -> bool:
        """Whether a path is that of a link that is followed, or was one at the last look."""
        return path in self.links or path in self._found_links

    def begin_pass(self) -> None:
        """A look at the whole root begins."""
        self._walked = set()
        self._found_links = {}
        self.folders = self._own_folders = 0

    def note_folder(self, path: bytes, behind_link: bool) -> None:
        """The pass came to a folder, by way of a link perhaps."""
        if self._walked is None:
            return
        self.folders += 1
        if not behind_link:
            self._own_folders += 1
            return
        native = join(self.library.root, path)
        in_peace = not self._config.follow_symlinks or any(_lies_below(native, drive) for drive in self._drives)
        if path and not in_peace and os.path.islink(native):
            self._found_links[path] = os.path.realpath(native)
        self._own_folders += path not in self._found_links and self._found_links.keys().isdisjoint(parents(path))

    def end_pass(self, now: float, *, took_s: float, complete: bool) -> None:
        """The look at the whole root is over. ``took_s`` is how long it took, in seconds."""
        self._walked = None
        if complete:
            self.links = self._found_links
            self._watch_links()
            self._check_watches()
        interval = self._config.watch.reconcile_interval
        if self.mode is not RootMode.EVENTS:
            interval = min(interval, self._config.watch.polling_interval)
        self.pass_at = now + max(interval, _PASSES_APART * took_s)

    def markers(self) -> list[bytes]:
        """The files in the root by which somebody asks whether changes are seen: what events would tell of."""
        if self._source is not None or self.is_offline:
            return []
        if not self._drives:
            return _markers_in(self.path)
        if self._marker_question is None or self._marker_question.is_answered:
            self._marker_question = Question(lambda: _markers_in(self.path))
        return self._marker_question.answer(within_s=_AT_ONCE_S) or []

    def away(self, problem: str, now: float) -> None:
        """The root cannot be looked at: it is waited for, and nothing is concluded."""
        self._go_offline(problem, now)

    # Supervision

    def supervise(self, now: float) -> None:
        """Looks whether the root is there, the same, and truly watched; mends what is not."""
        if self.is_offline and now < self._look_at:
            return
        found = self._look(now)
        if found is None:
            # It is not scanned before it has answered.
            self.pass_at = max(self.pass_at, now + _AHEAD_S)
        elif isinstance(found, str):
            self._go_offline(found, now)
        elif self._identity != found or self.is_offline:
            self._arrive(found, now)
        else:
            self._check(now)

    def close(self) -> None:
        """Stops watching; what is noted stays."""
        self._drop_source()

    def _look(self, now: float) -> tuple[int, int] | str | None:
        """The identity of the root, or why it has none; None when a network drive has not answered yet."""
        table, before = mount_table(), (self._filesystem, self._drives)
        if table is not self._table or self._identity is None:
            self._table = table
            self._filesystem = filesystem_of(self.path)
            self._mounted = mounts_below(self._place)
            self._drives = (
                *(() if self._filesystem.is_local else (self.path,)),
                *(point for point in self._mounted if not filesystem_of(point).is_local),
            )
        filesystem = self._filesystem
        if not self._drives:
            self._question = None
            return self._judged(self._look_now())
        if self._question is None:
            is_known = self._identity is not None and before == (filesystem, self._drives) and self._doubt is None
            if is_known and now < self.pass_at - _AHEAD_S:
                # Until it is looked at as a whole, the drive is left in peace.
                return self._judged(self._look_now()) if filesystem.is_local else self._identity
            self._question, self._asked_at = Question(partial(self._look_patiently, self._drives)), now
        found = self._question.answer(within_s=_AT_ONCE_S if now == self._asked_at else 0.0)
        if self._question.is_answered:
            self._question = None
        elif now - self._asked_at > ANSWER_S:
            return f"{_named(self._drives)} does not answer"
        return None if found is None else self._judged(found)

    def _look_patiently(self, drives: tuple[bytes, ...]) -> tuple[tuple[int, int], bool] | str:
        """As ``_look_now``, when all the drives answer: in a thread of its own, for that may be never."""
        wait_for_drives(drives)
        return self._look_now()

    def _judged(self, found: tuple[tuple[int, int], bool] | str) -> tuple[int, int] | str:
        """What a look found, with what the database says of it: asked in the thread that owns the connection."""
        if isinstance(found, str):
            return found
        identity, is_empty = found
        return (
            "its folder is empty, as that of a drive that is not mounted"
            if is_empty and self._has_files()
            else identity
        )

    def _look_now(self) -> tuple[tuple[int, int], bool] | str:
        """The identity of the root, and whether one that came just now holds nothing of interest."""
        try:
            found = os.stat(self.path)
            if not stat.S_ISDIR(found.st_mode):
                return "it is no folder"
            identity = (found.st_dev, found.st_ino)
            is_new = self._identity != identity or self.is_offline
            return identity, is_new and self._looks_empty(os.listdir(self.path))
        except OSError as e:
            return e.strerror or str(e)

    def _looks_empty(self, names: list[bytes]) -> bool:
        return all(self._policy.reason(name, is_folder=True) is not None for name in names)

    def _go_offline(self, problem: str, now: float) -> None:
        pause_s = min(self._config.watch.polling_interval, _LONGEST_PAUSE_S)
        # One that was asked already, or of which the table of mounts tells, costs nothing.
        self._look_at = now + (pause_s if self._drives and self._question is None else 1.0)
        if self.is_offline and self.reason == problem:
            return
        self._drop_source()
        self._identity = None
        self._enter(RootMode.OFFLINE, problem)
        self._say(self, f"Waiting for library {self.library.name} ({shown(self.path)}): {problem}.")

    def _arrive(self, identity: tuple[int, int], now: float) -> None:
        was_there = self.mode is not RootMode.STARTING
        self._identity = identity
        is_local = filesystem_of(self.path).is_local
        self._place = os.path.realpath(self.path) if is_local else self.path
        self._mounts = self._mounted = mounts_below(self._place)
        self._choice = choose(filesystem_of(self.path), self._mounts, self._polling)
        if was_there:
            self._say(self, f"Library {self.library.name} is there again.")
        self._renew(now)

    def _check(self, now: float) -> None:
        with self._lock:
            doubt, self._doubt = self._doubt, None
            relook, self._relook = self._relook, False
        if self._mounts != self._mounted:
            doubt = doubt or "what is mounted in it has changed"
            self._mounts = self._mounted
            self._choice = choose(filesystem_of(self.path), self._mounts, self._polling)
        if self._source is not None and not self._source.is_healthy():
            doubt = doubt or "a thread that brought its events has ended"
        if doubt is not None:
            self._restart(doubt, now)
        elif self._restart_at is not None and now >= self._restart_at:
            self._renew(now)
        elif now - self._steady_from > _STEADY_S:
            self._pause_s = _FIRST_PAUSE_S
        if relook:
            self.pass_at = min(self.pass_at, now)

    def _restart(self, why: str, now: float) -> None:
        """Drops the source, and makes a new one: at once, or after a pause when that happens again and again."""
        logger.info("library %s: %s; watching it anew", self.library.name, why)
        self._drop_source()
        self.restarts += 1
        again = now - self._steady_from <= _STEADY_S and self.restarts > 1
        self._steady_from = now
        if again:
            self._restart_at = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            self._enter(RootMode.POLLING, f"its events had to be begun anew ({why})")
            self.pass_at = now
        else:
            self._say(self, f"Events of library {self.library.name} begin anew, and all is looked at: {why}.")
            self._renew(now)

    def _renew(self, now: float) -> None:
        """Watches first, and then looks at everything, so that nothing falls between."""
        self._restart_at = None
        self._steady_from = now
        self._limit = None
        self._drop_source()
        problem = self._choice.reason
        if self._choice.events:
            problem = self._start_source(now) or problem
        polls = self._choice.polls or self._source is None or self._limit is not None
        if self._source is None:
            mode = RootMode.POLLING
        else:
            mode = RootMode.BOTH if polls and self._polling is not Polling.NEVER else RootMode.EVENTS
        self._enter(mode, problem)
        self.pass_at = now

    def _start_source(self, now: float) -> str:
        """Starts the events. Returns what keeps them from being all, "" when nothing does."""
        source = EventSource(self._place, self._make_handler(self, self._place, self.below))
        try:
            source.start()
        except OSError as e:
            limit = limit_behind(e)
            self._restart_at = now + self._config.watch.polling_interval
            return limit.sentence if limit is not None else f"its events cannot be had: {e.strerror or e}"
        self._source = source
        return self._check_limit()

    def _check_limit(self) -> str:
        limit = limit_reached()
        self._limit = None if limit is None else limit.sentence
        return self._limit or ""

    def _drop_source(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.stop()
        with self._lock:
            self._growth.forget()

    def _watch_links(self) -> None:
        """Watches what the links lead to that the pass followed. What is new is looked at once more, now that it is
        watched: something may have changed in between.
        """
        if self._source is None:
            return
        before = self._source.linked
        wanted = {
            target: self._handler_for(target, link)
            for link, target in self.links.items()
            if filesystem_of(target).delivers_events
        }
        try:
            self._source.watch_links(wanted)
        except OSError as e:
            logger.warning("library %s: a linked folder cannot be watched: %s", self.library.name, e)
        for link, target in self.links.items():
            if target in self._source.linked - before:
                self.changed(link)
        if len(wanted) < len(self.links) and self.mode is RootMode.EVENTS and self._polling is not Polling.NEVER:
            self._choice = Choice(True, True, "links in it lead to drives that do not tell of every change")
            self._enter(RootMode.BOTH, self._choice.reason)

    def _handler_for(self, target: bytes, link: bytes) -> Callable[[], FileSystemEventHandler]:
        return lambda: self._make_handler(self, target, link)

    def _check_watches(self) -> None:
        """Compares what the kernel watches with what was walked: watchdog leaves folders out without a word."""
        if self._source is None:
            return
        watched = self._source.count_watches()
        # While something comes and goes, the two are not of the same moment.
        left_out = watched is not None and watched < self._own_folders and not self.pending
        had_limit = self._limit is not None
        problem = self._check_limit()
        if problem and self.mode is RootMode.EVENTS and self._polling is not Polling.NEVER:
            self._enter(RootMode.BOTH, problem)
        elif had_limit and not problem:
            self.doubt("there is room for more watches again")
        elif left_out and not problem:
            self.doubt(f"only {watched} of {self._own_folders} folders are watched")

    def _enter(self, mode: RootMode, reason: str) -> None:
        if (mode, reason) == (self.mode, self.reason):
            return
        before, self.mode, self.reason = self.mode, mode, reason
        quiet_s = self._config.watch.debounce_seconds
        with self._lock:
            self._growth.quiet_s = quiet_s if mode is RootMode.EVENTS else max(quiet_s, POLLED_QUIET_S)
        if mode is RootMode.OFFLINE:
            return
        name, how = self.library.name, {RootMode.EVENTS: "by events", RootMode.POLLING: "by polling"}.get(mode)
        why = f": {reason}" if reason else ""
        if before is not RootMode.STARTING or reason:
            self._say(self, f"Library {name} is watched {how or 'by events and polling'}{why}.")


def _named(drives: tuple[bytes, ...]) -> str:
    return " or ".join(f"{filesystem_of(drive).type} ({shown(drive)})" for drive in drives)


def _lies_below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(join(folder, b""))


def _markers_in(folder: bytes) -> list[bytes]:
    with suppress(OSError):
        return [n for n in os.listdir(folder) if n.startswith(MARKER_PREFIX) and n.endswith(MARKER_SUFFIX)]
    return []
