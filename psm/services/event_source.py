"""File events from watchdog: one observer for a folder, all below it, and the folders that links in it lead to.

What watchdog does not tell is found out here. A kernel without room for one more watch leaves folders out in silence.
A full event queue is only logged. An observer whose thread has died still says that it is alive. In each of these cases
the owner drops the whole source, makes a new one, and looks at the disk itself: events are hints.
"""

import errno
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

_SYSTEM: str = sys.platform

# With the filter the kernel itself leaves the rest out: what psm's own reading causes (opened, closed without writing),
# and the modification of folders, which says nothing that the other events do not.
EVENTS: list[type[FileSystemEvent]] = [
    *(FileCreatedEvent, FileModifiedEvent, FileAttribEvent, FileClosedEvent, FileMovedEvent, FileDeletedEvent),
    *(DirCreatedEvent, DirAttribEvent, DirMovedEvent, DirDeletedEvent),
]

_TIMEOUT_S = 0.1
"""On Windows watchdog delivers only after it was quiet for so long."""

_creating = threading.Lock()
"""Held while an observer starts, so that the kernel's instance that appears meanwhile is known to be its own."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of the kernel that is used up. ``sentence`` says which, and the command that raises it."""

    name: str
    sentence: str


class EventSource:
    """The events of ``folder`` and all below it, given to ``handler`` in watchdog's own thread."""

    def __init__(self, folder: bytes, handler: FileSystemEventHandler) -> None:
        self.folder = folder
        self._handler = handler
        self._observer: BaseObserver | None = None
        self._links: dict[bytes, FileSystemEventHandler] = {}
        self._instances: frozenset[str] = frozenset()

    def start(self) -> None:
        """Begins to watch; returns when every folder that there is now is watched, as far as the kernel has room.

        :raises OSError: when the folder cannot be watched at all; ``limit_behind`` tells whether a limit is why.
        """
        # Said of a folder that appeared while the one above it was being looked through; it harms nothing. But it is
        # said in the thread that reads the events: where warnings are errors, that thread would end.
        warnings.filterwarnings("ignore", "Callback with id .* already exists", RuntimeWarning)
        with _creating:
            before = _inotify_instances()
            observer = Observer(timeout=_TIMEOUT_S)
            observer.daemon = True
            observer.schedule(self._handler, os.fsdecode(self.folder), recursive=True, event_filter=EVENTS)
            try:
                observer.start()
            except BaseException:
                _end(observer)
                raise
            self._instances = _inotify_instances() - before
        self._observer = observer

    @property
    def linked(self) -> frozenset[bytes]:
        """The folders that links lead to and that are watched."""
        return frozenset(self._links)

    def watch_links(self, wanted: Mapping[bytes, Callable[[], FileSystemEventHandler]]) -> None:
        """Watches the folders that links lead to, by their real paths, and no others any more.

        :raises OSError: when one cannot be watched.
        """
        observer = self._observer
        if observer is None:
            return
        for gone in self._links.keys() - wanted.keys():
            self._unwatch(observer, gone)
        for target in sorted(wanted.keys() - self._links.keys()):
            handler = wanted[target]()
            observer.schedule(handler, os.fsdecode(target), recursive=True, event_filter=EVENTS)
            self._links[target] = handler

    def is_healthy(self) -> bool:
        """Whether all threads that bring the events are alive."""
        observer = self._observer
        if observer is None or not observer.is_alive():
            return False
        # The thread that reads from the kernel (Linux); it may die alone.
        reader = getattr(observer, "_inotify_fd", None)
        return all(e.is_alive() for e in observer.emitters) and (reader is None or reader.is_alive())

    def count_watches(self) -> int | None:
        """How many folders the kernel watches for this source; None on systems that do not tell."""
        if not self._instances:
            return None
        return sum(_watches_of(number) for number in self._instances)

    def stop(self) -> None:
        """Ends it and joins its threads."""
        observer, self._observer = self._observer, None
        self._links.clear()
        self._instances = frozenset()
        if observer is not None:
            _end(observer)

    def _unwatch(self, observer: BaseObserver, target: bytes) -> None:
        del self._links[target]
        for emitter in list(observer.emitters):
            if emitter.watch.raw_path == os.fsdecode(target):
                with suppress(KeyError):
                    observer.unschedule(emitter.watch)


def limit_behind(e: OSError) -> Limit | None:
    """The limit that an error of ``start`` tells of; None when it is another error."""
    if _SYSTEM != "linux":
        return None
    if e.errno == errno.EMFILE:
        return _limit("max_user_instances", "programs that watch folders at the same time", at_least=1024)
    return _limit("max_user_watches", "watched folders", at_least=524_288) if e.errno == errno.ENOSPC else None


def limit_reached() -> Limit | None:
    """The kernel's limit of watched folders, when there is no room for one more: watchdog leaves folders out then.

    It is tried out, because the limit is one for all programs of the user.
    """
    if _SYSTEM != "linux":
        return None
    from watchdog.observers.inotify_c import InotifyConstants, inotify_add_watch, inotify_init

    instance = inotify_init()
    if instance == -1:
        return None  # that limit shows when a source starts
    try:
        import ctypes

        if inotify_add_watch(instance, b"/", InotifyConstants.IN_DELETE_SELF) == -1:
            return limit_behind(OSError(ctypes.get_errno(), "")) if ctypes.get_errno() == errno.ENOSPC else None
    finally:
        os.close(instance)
    return None


@contextmanager
def doubts(heard: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, ``heard`` is told what watchdog warns of: lost events among it."""
    logger = logging.getLogger("watchdog")
    listener = _Listener(heard)
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)


class _Listener(logging.Handler):
    def __init__(self, heard: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._heard(record.getMessage())
        except Exception:  # a thread of watchdog calls this: it would end
            self.handleError(record)


def _limit(name: str, what: str, *, at_least: int) -> Limit:
    now = limit_in_force(name)
    allowed = "" if now is None else f" ({now:,})"
    how = how_to_raise(name, max(at_least, 2 * (now or 0)))
    return Limit(name, f"the kernel's limit of {what}{allowed} is used up. {how}")


def how_to_raise(name: str, value: int) -> str:
    """A sentence with the command that raises a limit of the kernel."""
    setting = _setting(name)
    return (
        f"Raise it with: sudo sysctl {setting}={value} "
        f"(for good: write {setting}={value} into /etc/sysctl.d/60-psm.conf)"
    )


def limit_in_force(name: str) -> int | None:
    """A limit of the kernel (``max_user_watches``, ``max_user_instances``); None where there is none."""
    return _read(_setting(name))


def _setting(name: str) -> str:
    """What sysctl calls the limit that is reached first: a container may have one of its own, below the machine's."""
    machine, own = f"fs.inotify.{name}", f"user.{name.replace('user', 'inotify')}"
    (of_machine, of_own) = (_read(machine), _read(own))
    return own if of_machine is not None and of_own is not None and of_own < of_machine else machine


def _read(setting: str) -> int | None:
    try:
        return int(Path("/proc/sys", *setting.split(".")).read_text())
    except (OSError, ValueError):
        return None


def _end(observer: BaseObserver) -> None:
    reader = getattr(observer, "_inotify_fd", None)
    if reader is not None and not reader.is_alive():
        # watchdog leaves the closing to the thread that reads. One that died in the middle of it would do so never.
        reader._is_reading = False
    observer.stop()
    if observer.ident is not None:
        observer.join()


def _inotify_instances() -> frozenset[str]:
    """The open files of this process that are inotify instances, by number."""
    if _SYSTEM != "linux":
        return frozenset()
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if "inotify" in os.readlink(f"/proc/self/fd/{number}"):
                found.add(number)
    return frozenset(found)


def _watches_of(number: str) -> int:
    try:
        with open(f"/proc/self/fdinfo/{number}", encoding="ascii", errors="replace") as lines:
            return sum(line.startswith("inotify wd:") for line in lines)
    except OSError:
        return 0
