"""Proof that changes in a library are noticed: a marker file is written into it, and somebody has to see it.

Where a watcher runs, it is the one: it says in its status file which marker it saw last, and when. Where none runs, the
file system itself is tried, with a watch of our own. A network drive is not tried: it tells of what this machine
changes, which proves nothing about the changes of others.
"""

import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from watchdog.events import FileCreatedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from psm.config import WatchConfig
from psm.db import Database
from psm.filesystems import filesystem_of, mounts_below
from psm.ingest.targets import join
from psm.locks import held_by
from psm.models import Library
from psm.progress import NeverStop, StopSignal
from psm.services import watch_status
from psm.services.checks import Check, Verdict
from psm.services.drives import ANSWER_S, answered
from psm.services.event_source import how_to_raise, limit_behind, limit_reached
from psm.services.watch_status import MARKER_PREFIX, MARKER_SUFFIX, RootMode, Watcher, WatcherStatus, watcher_of
from psm.services.watched_root import choose

SEEN_WITHIN_S = 5.0
"""How long an event may take."""

AFTER_PASS_S = 10.0
"""How long a look at a whole library may take."""

LONGEST_WAIT_S = 150.0
"""A look that is due later is not waited for."""

_REMOVED_WITHIN_S = 1.0
_PAUSE_S = 0.02

Clock = Callable[[], float]


def prove(
    db: Database,
    config: WatchConfig,
    libraries: Sequence[Library],
    *,
    now: Clock = time.time,
    say: Callable[[str], None] = lambda _: None,
    stop: StopSignal = NeverStop(),
    clock: Clock = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Check, ...]:
    """Whether changes in these libraries, whose roots are there, are noticed. Those left to scans are passed over.

    ``say`` is told for what psm waits. When ``stop`` is set, what is not proved yet is left out; no marker stays.
    """
    found: list[Check] = []
    asked: list[_Asked] = []
    try:
        for library in libraries:
            if stop.is_set():
                break
            watcher = watcher_of(db, library)
            if watcher is not None:
                answer = _ask(library, watcher, now=now, clock=clock, stop=stop)
                if isinstance(answer, Check):
                    found.append(answer)
                else:
                    asked.append(answer)
            elif library.watch:
                check = _try_drive(library.name, library.root, config, stop=stop)
                found += [] if stop.is_set() else [check]
        waited_s = max((a.until - clock() for a in asked), default=0.0)
        if waited_s > SEEN_WITHIN_S:
            names = ", ".join(a.library.name for a in asked if a.until - clock() > SEEN_WITHIN_S)
            say(f"Waiting up to {waited_s:.0f} s for the next look at {names}, which is polled.")
        while asked and not stop.is_set():
            for each in list(asked):
                verdict = _answer(db, each, late=clock() >= each.until)
                if verdict is not None:
                    found.append(verdict)
                    asked.remove(each)
                    each.marker.remove()
            sleep(_PAUSE_S if asked else 0.0)
    finally:
        for each in asked:
            each.marker.remove()
    return tuple(found)


def limits(folders: int, sources: int, *, watches: int | None, instances: int | None) -> tuple[Check, ...]:
    """Whether the kernel lets so many ``folders`` be watched, by so many ``sources`` of events.

    ``watches`` and ``instances`` are the limits in force for one user (``max_user_watches``, ``max_user_instances``),
    None where there is none.
    """
    found = []
    for name, thing, needed, limit, usual in (
        ("max_user_watches", "watched folders", folders, watches, 524_288),
        ("max_user_instances", "watchers", sources, instances, 1_024),
    ):
        if limit is not None and needed > limit:
            finding = f"the libraries need {needed:,} {thing}, and the kernel's limit for all programs is {limit:,}"
            found.append(Check("watching", Verdict.NOTE, finding, how_to_raise(name, max(usual, 2 * needed))))
    return tuple(found)


def gives_events(library: Library, config: WatchConfig) -> bool:
    """Whether a watcher of this library takes events, and needs a watch for each of its folders."""
    return choose(filesystem_of(library.root), mounts_below(library.root), config.fallback_to_polling).events


# A watcher that runs


@dataclass(frozen=True, slots=True)
class _Asked:
    """A watcher that has a marker to find. ``at`` is in seconds since the epoch, ``until`` in those of the clock."""

    library: Library
    holder: str
    said: WatcherStatus
    marker: "_Marker"
    at: float
    until: float


def _ask(library: Library, watcher: Watcher, *, now: Clock, clock: Clock, stop: StopSignal) -> "Check | _Asked":
    """Writes the marker for a watcher, or says why that would tell nothing."""
    said, holder = watcher.status, watcher.holder
    if said is None or said.mode is RootMode.STARTING:
        return _check(library.name, Verdict.NOTE, f"{holder}, is only beginning", "Ask again when it is ready.")
    if said.mode is RootMode.OFFLINE:
        return _check(library.name, Verdict.NOTE, f"{holder}, waits for its folder: {said.reason}")
    wait_s = SEEN_WITHIN_S
    if said.mode is RootMode.POLLING:
        at = now()
        wait_s = max(SEEN_WITHIN_S, (said.next_pass_at or at) - at + AFTER_PASS_S)
        if wait_s > LONGEST_WAIT_S:
            finding = f"{holder}, polls it and looks again in {wait_s - AFTER_PASS_S:,.0f} s, which is not waited for"
            return _check(library.name, Verdict.OK, f"{finding}: {said.reason}")
    marker = _Marker(said.root)
    at = now()
    problem = marker.put(stop)
    if problem is not None:
        marker.give_up()
        return _check(library.name, Verdict.NOTE, f"{holder}, cannot be tried: {problem}")
    return _Asked(library, holder, said, marker, at, clock() + wait_s)


def _answer(db: Database, asked: _Asked, *, late: bool) -> Check | None:
    """What became of the marker; None while there is hope."""
    name = asked.library.name
    said = watch_status.read(db.watch_status(asked.library.id))
    if said is not None and said.marker == os.fsdecode(asked.marker.name):
        took_s = max(0.0, (said.marker_seen_at or asked.at) - asked.at)
        how = "by polling" if said.mode is RootMode.POLLING else "by events"
        why = f" ({said.reason})" if said.reason else ""
        return _check(name, Verdict.OK, f"{asked.holder}, sees changes {how}, this one after {_span(took_s)}{why}")
    if not late:
        return None
    if said is None or held_by(db.watch_lock(asked.library.id)) is None:
        return _check(name, Verdict.NOTE, f"{asked.holder}, has ended meanwhile")
    missed = f"{asked.holder}, has not seen a new file"
    busy = held_by(db.scan_lock)
    if busy is not None or not said.ready:
        doing = "still looks at everything" if busy is None else f"waits for a scan ({busy})"
        return _check(name, Verdict.NOTE, f"{missed}: it {doing}", "Ask again when that is done.")
    why = f": {said.reason}" if said.reason else ""
    if said.mode is RootMode.BOTH:
        return _check(name, Verdict.NOTE, f"{missed} by events, but it polls as well{why}")
    return _check(
        name,
        Verdict.PROBLEM,
        f"{missed}, although it watches {'by polling' if said.mode is RootMode.POLLING else 'by events'}{why}",
        "psm scan --quick takes in what it missed. Start it again; when that does not help, set "
        "library.watch.fallback_to_polling to true.",
    )


# A drive that nobody watches


def _try_drive(name: str, root: bytes, config: WatchConfig, *, stop: StopSignal) -> Check:
    """Whether the file system tells a watch of our own about a new file."""
    choice = choose(filesystem_of(root), mounts_below(root), config.fallback_to_polling)
    polls = f"psm looks for changes every {config.polling_interval:g} s"
    if not choice.events:
        return _check(name, Verdict.OK, f"no watcher runs; when one does, {polls}: {choice.reason}")
    marker = _Marker(root)
    try:
        seen = answered(root, lambda: _seen_after(root, marker, stop), stop=stop, within_s=SEEN_WITHIN_S + ANSWER_S)
    finally:
        marker.remove()
    beside = f", and {polls} as well: {choice.reason}" if choice.polls else ""
    if seen is None:
        seen = "it does not answer"
    if isinstance(seen, float) and seen < math.inf:
        return _check(name, Verdict.OK, f"no watcher runs; its drive tells about changes (after {_span(seen)}){beside}")
    if isinstance(seen, str):
        return _check(name, Verdict.NOTE, f"no watcher runs, and whether its drive tells about changes is open: {seen}")
    limit = limit_reached()
    if limit is not None:
        return _check(name, Verdict.NOTE, f"no watcher runs, and one would poll: {limit.sentence}")
    return _check(
        name,
        Verdict.NOTE,
        f"no watcher runs, and its drive does not tell about changes{beside}",
        "" if choice.polls else "Set library.watch.fallback_to_polling to true, so that psm polls it.",
    )


def _seen_after(root: bytes, marker: "_Marker", stop: StopSignal) -> float | str:
    """After how many seconds the file system told of the marker (inf: it did not), or why that is not known."""
    waiter = _Waiter(marker.name)
    observer = Observer(timeout=0.1)  # on Windows it delivers only after it was quiet for so long
    observer.daemon = True
    try:
        observer.schedule(waiter, os.fsdecode(root), recursive=False, event_filter=[FileCreatedEvent])
        observer.start()
        began = time.monotonic()
        problem = marker.put(stop)
        if problem is not None:
            return problem
        while not stop.is_set() and time.monotonic() - began < SEEN_WITHIN_S:
            if waiter.seen.wait(0.1):
                return waiter.at - began
    except OSError as e:
        limit = limit_behind(e)
        return f"it cannot be watched: {e.strerror or e}" if limit is None else limit.sentence
    finally:
        observer.stop()
        if observer.ident is not None:
            observer.join()
    return math.inf


class _Waiter(FileSystemEventHandler):
    """Waits for the event of one file."""

    def __init__(self, name: bytes) -> None:
        self.seen = threading.Event()
        self.at = 0.0
        self._name = name

    def dispatch(self, event: FileSystemEvent) -> None:
        """Takes an event, in watchdog's thread."""
        if os.path.basename(os.fsencode(event.src_path)) == self._name:
            self.at = time.monotonic()
            self.seen.set()


class _Marker:
    """A file that is written to see whether somebody notices. It has a name that every scan ignores."""

    def __init__(self, folder: bytes) -> None:
        self.name = MARKER_PREFIX + secrets.token_hex(6).encode() + MARKER_SUFFIX
        self._folder = folder
        self._path = join(folder, self.name)
        self._wanted = True

    def put(self, stop: StopSignal) -> str | None:
        """Writes it. Returns why that cannot be done, None when it is."""
        problem = answered(self._folder, self._create, stop=stop)
        return "its drive does not answer" if problem is None else problem or None

    def give_up(self) -> None:
        """Has it removed as soon as it is there, should a drive that does not answer write it after all."""
        self._wanted = False

    def remove(self) -> None:
        """Removes it."""
        self.give_up()
        answered(self._folder, self._unlink, within_s=_REMOVED_WITHIN_S)

    def _create(self) -> str:
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except OSError as e:
            return f"{os.fsdecode(self._folder)} cannot be written: {e.strerror or e}"
        if not self._wanted:
            self._unlink()
        return ""

    def _unlink(self) -> None:
        with suppress(OSError):
            os.unlink(self._path)


def _check(name: str, verdict: Verdict, finding: str, remedy: str = "") -> Check:
    return Check(f"watching {name}", verdict, finding, remedy)


def _span(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
