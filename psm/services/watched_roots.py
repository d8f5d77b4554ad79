"""The libraries that one watcher watches: each with its lock, and with what is said of it beside the database.

Another psm may add, move and remove libraries meanwhile; the watcher follows.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from psm.db import Database, libraries, metadata
from psm.errors import UsageError
from psm.ingest.targets import join, locate
from psm.locks import LockHeld, held_by, hold
from psm.models import Library
from psm.services import watch_status
from psm.services.watch_events import WatchEventKind
from psm.services.watch_log import WatchLog
from psm.services.watch_status import WatcherStatus
from psm.services.watched_root import WatchedRoot

_AGAIN_S = 5.0
"""How long until a library is tried again that another watcher had."""


@dataclass(slots=True, eq=False)
class Watched:
    """A root, and what its watcher remembers of it. Times that end in ``_at`` are seconds since the epoch.

    ``settled``: everything in it was looked at since the start.
    """

    root: WatchedRoot
    lock: ExitStack
    settled: bool = False
    last_pass_at: float | None = None
    last_change_at: float | None = None
    marker: tuple[str, float] | None = None
    written: WatcherStatus | None = None
    next_pass: tuple[float, float] | None = field(default=None)
    """When it is looked at as a whole next, by the watcher's clock and by that on the wall."""


class WatchedRoots:
    """Those that were asked for: the libraries of ``paths``, or all but those marked not to be watched.

    ``what`` is the command, for others to see. ``make_root`` gets a library and the part of it that is watched.
    """

    def __init__(
        self,
        db: Database,
        *,
        paths: Sequence[Path],
        what: str,
        log: WatchLog,
        make_root: Callable[[Library, bytes], WatchedRoot],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._paths = tuple(paths)
        self._what = what
        self._log = log
        self._make_root = make_root
        self._clock = clock
        self._wall = wall
        self._watched: dict[int, Watched] = {}
        self._data_version = -1
        self._generation = -1
        self._again_at: float | None = None
        """When to try again what could not be followed: another watcher has a library that is to be watched, say."""
        self._started_at = 0.0

    def __iter__(self) -> Iterator[Watched]:
        return iter(list(self._watched.values()))

    def __len__(self) -> int:
        return len(self._watched)

    def open(self) -> None:
        """Takes the locks.

        :raises UsageError: when there is no library to watch.
        :raises LockHeld: when another watcher has one of them; the message names it.
        """
        self._started_at = self._wall()
        self._data_version = -1
        self._again_at = None
        self._generation = metadata.generation(self._db.connection, "libraries")
        chosen = self._chosen()
        if not chosen:
            raise UsageError(self._why_nothing())
        try:
            for library, below in chosen:
                self._add(library, below)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stops watching, and lets go of the locks."""
        for number in list(self._watched):
            self._drop(number)

    def follow(self) -> None:
        """Takes up what another psm did to the libraries. Asks little of the database as long as nobody wrote to it."""
        version = self._db.connection.execute("PRAGMA data_version").fetchone()[0]
        is_again = self._again_at is not None and self._clock() >= self._again_at
        if version == self._data_version and not is_again:
            return
        self._data_version = version
        generation = metadata.generation(self._db.connection, "libraries")
        if generation == self._generation and not is_again:
            return
        # Until all of it is done: what fails on the way is tried again.
        self._again_at = self._clock() + _AGAIN_S
        wanted = {library.id: (library, below) for library, below in self._chosen()}
        for number, watched in list(self._watched.items()):
            if wanted.get(number) != (watched.root.library, watched.root.below):
                name = watched.root.library.name
                self._drop(number)
                self._log.say(WatchEventKind.NOTE, f"Library {name} is not watched as it was.", library=name)
        is_held = False
        for number, (library, below) in wanted.items():
            if number not in self._watched:
                try:
                    self._add(library, below)
                except LockHeld as e:
                    is_held = True
                    self._log.error(str(e), about=f"lock of {library.name}", library=library.name)
                else:
                    self._log.is_over(f"lock of {library.name}")
                    self._log.say(WatchEventKind.NOTE, f"Library {library.name} is watched now.", library=library.name)
        self._generation = generation
        self._again_at = self._clock() + _AGAIN_S if is_held else None

    def place_of(self, path: bytes) -> tuple[WatchedRoot, bytes] | None:
        """The root that an absolute path belongs to, and the path relative to its library."""
        for watched in self._watched.values():
            inside = join(watched.root.library.root, b"")
            if path.startswith(inside):
                return watched.root, path[len(inside) :]
        return None

    def marked(self, root: WatchedRoot, name: bytes) -> None:
        """A marker file was seen: somebody wants to know whether changes are."""
        watched = self._watched.get(root.library.id)
        text = os.fsdecode(name)
        if watched is not None and (watched.marker is None or watched.marker[0] != text):
            watched.marker = (text, self._wall())

    def write_status(self) -> None:
        """Writes what has changed of what is said beside the database; idle, nothing is written."""
        for number, watched in self._watched.items():
            status = self._status(watched)
            if status != watched.written:
                with suppress(OSError):
                    watch_status.write(self._db.watch_status(number), status)
                    watched.written = status

    def _status(self, watched: Watched) -> WatcherStatus:
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
            next_pass_at=None if root.is_offline else self._next_pass_at(watched),
            restarts=root.restarts,
            errors=self._log.errors,
            marker=marker,
            marker_seen_at=seen_at,
        )

    def _next_pass_at(self, watched: Watched) -> float:
        """Computed once for each pass, so that a clock that is set looks like no news."""
        at = watched.root.pass_at
        if watched.next_pass is None or watched.next_pass[0] != at:
            watched.next_pass = (at, self._wall() + at - self._clock())
        return watched.next_pass[1]

    def _chosen(self) -> list[tuple[Library, bytes]]:
        """What is to be watched, as the database says now."""
        known = libraries.all_libraries(self._db.connection)
        if not self._paths:
            return [(library, b"") for library in known if library.watch]
        chosen: dict[Library, bytes] = {}
        for path in self._paths:
            if (place := locate(known, path)) is not None:
                library, below = place
                chosen[library] = _common(chosen[library], below) if library in chosen else below
        return list(chosen.items())

    def _why_nothing(self) -> str:
        if not libraries.all_libraries(self._db.connection):
            return "psm knows no music library yet. Add one with: psm library add FOLDER"
        if self._paths:
            return "None of the paths belongs to a library. Add their folder with: psm library add FOLDER"
        return "All libraries are marked not to be watched. Change that with psm library watch, or name a folder."

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
        self._watched[library.id] = Watched(self._make_root(library, below), locked)

    def _drop(self, number: int) -> None:
        watched = self._watched.pop(number)
        watched.root.close()
        watch_status.forget(self._db.watch_status(number))
        watched.lock.close()


def _common(one: bytes, other: bytes) -> bytes:
    """The folder that both paths lie in or are."""
    parts = []
    for a, b in zip(one.split(b"/"), other.split(b"/"), strict=False):
        if a != b:
            break
        parts.append(a)
    return b"/".join(parts)
