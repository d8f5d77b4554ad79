"""Whether playlists have changed where they are followed: folders by file events, and all of it by a look on a timer.

An event only says that a look is worth it. The look lists the folders as an import does, without the playlists and
reports that psm wrote there itself, and gives one hash for all that it saw: a hash that is not that of the last import
says that another one is due. It runs in a thread that is left behind when a network drive does not answer.
"""

import logging
import os
import stat
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from watchdog.events import FileSystemEvent, FileSystemEventHandler

from psm.config import Config, Polling
from psm.db import Database, exports, playlist_sources, report_state
from psm.digest import blake2b
from psm.filesystems import filesystem_of
from psm.owned import Output
from psm.progress import NeverStop
from psm.providers import provider_for
from psm.services.change_buffer import ChangeBuffer
from psm.services.event_source import EventSource, limit_behind
from psm.services.libraries import shown
from psm.services.playlist_sources import Unreadable, is_report, stat_of, walk

logger = logging.getLogger(__name__)

HUNG_AFTER_S = 30.0
_EVERYTHING = b""
_PASSES_APART = 20
"""Looks are at least so many times as long apart as one takes."""
_RACY_NS = 2 * 10**9
_START_BYTES = 8 * 1024
_FEW_FILES = 100
_REMAKE_AFTER_S = 10.0


class PlaylistWatch:
    """What the configuration and the database say is followed. All but ``_hear`` belongs to one thread, its owner's.

    ``on_change`` is called from other threads, when :meth:`turn` is worth a call before its time; ``say`` with a
    sentence for people. ``wall_ns`` is in nanoseconds since the epoch.
    """

    def __init__(
        self,
        db: Database,
        config: Config,
        *,
        on_change: Callable[[], None],
        say: Callable[[str], None],
        clock: Callable[[], float],
        wall_ns: Callable[[], int],
    ) -> None:
        self._db = db
        self._config = config
        self._watch = config.library.watch
        self._on_change = on_change
        self._say = say
        self._clock = clock
        self._wall_ns = wall_ns
        self._lock = threading.Lock()
        self._buffer = ChangeBuffer(quiet_s=self._watch.debounce_seconds, longest_s=self._watch.max_wait_seconds)
        self._folders: dict[bytes, _Folder] = {}
        self._files: tuple[bytes, ...] = ()
        self._local_files: tuple[bytes, ...] = ()
        self._files_seen: list[tuple[int, ...]] | None = None
        self._sources_known = False
        self._look: _Look | None = None
        self._look_at = float("-inf")
        self._seen: str | None = None
        self._pulled: str | None = None
        self._again_at: float | None = None

    @property
    def is_due(self) -> bool:
        """Whether playlists are to be taken in; not while a drive they lie on hangs."""
        return self._seen is not None and self._seen != self._pulled and not self._hangs

    @property
    def is_waiting(self) -> bool:
        """Whether something was heard of, and has not been looked at yet."""
        with self._lock:
            return bool(len(self._buffer)) or self._look is not None

    def refresh(self) -> None:
        """The database changed: other places may be followed now."""
        self._sources_known = False

    def turn(self, now: float) -> None:
        """Looks after the events, and takes a look when one is due. Costs a ``stat`` for each local folder."""
        if not self._sources_known:
            self._follow_sources(now)
        for path, folder in self._folders.items():
            if folder.is_local:
                self._look_after(path, folder, now)
        self._look_at_files()
        self._end_look(now)
        if self._look is None and (now >= self._look_at or self._is_quiet(now)):
            self._begin_look(now)

    def next_at(self) -> float:
        """When the next look is due; never while one is under way, whose end is told by ``on_change``."""
        if self._look is not None:
            return float("inf")
        with self._lock:
            due = self._buffer.next_due()
        return self._look_at if due is None else min(due, self._look_at)

    def look_now(self, timeout_s: float) -> None:
        """Takes a look and waits for it: for the end, when nothing is waited for any more."""
        now = self._clock()
        self._end_look(now)
        if self._look is None:
            self._begin_look(now)
        if self._look is not None:
            self._look.done.wait(timeout_s)
            self._end_look(self._clock())

    def pulled(self, seen: str | None, *, complete: bool) -> None:
        """Playlists were taken in as they were at the look that gave ``seen``. When not all of them could be, it is
        tried again in a while."""
        self._pulled = seen
        self._again_at = None if complete else self._clock() + self._watch.reconcile_interval

    @property
    def seen(self) -> str | None:
        """What the last look saw."""
        return self._seen

    def stop(self) -> None:
        """Ends the events."""
        for folder in self._folders.values():
            folder.drop()
        self._folders.clear()

    # Events

    def _hear(self, event: FileSystemEvent) -> None:
        """Called in watchdog's threads."""
        paths = [os.fsencode(path) for path in (event.src_path, event.dest_path) if path]
        names = [os.path.basename(path) for path in paths]
        if not any((event.is_directory or provider_for(n)) and not n.startswith(b".") for n in names):
            return
        self._note()

    def _note(self) -> None:
        with self._lock:
            self._buffer.note(_EVERYTHING, self._clock())
        self._on_change()

    def _is_quiet(self, now: float) -> bool:
        with self._lock:
            due = self._buffer.next_due()
        return due is not None and due <= now

    # What is followed

    def _follow_sources(self, now: float) -> None:
        remembered = playlist_sources.remembered(self._db.connection)
        folders = {os.fsencode(folder.absolute()) for folder in self._config.playlists.folders} | {*remembered.folders}
        for gone in self._folders.keys() - folders:
            self._folders.pop(gone).drop()
        for new in folders - self._folders.keys():
            self._folders[new] = _Folder(is_local=filesystem_of(new).is_local)
            self._look_at = now
        if remembered.files != self._files:
            self._files = remembered.files
            local = tuple(path for path in self._files if filesystem_of(path).is_local)
            self._local_files = local if len(local) <= _FEW_FILES else ()
            self._files_seen = None
            self._look_at = now
        self._sources_known = True

    def _look_after(self, path: bytes, folder: "_Folder", now: float) -> None:
        """Makes the events of a folder anew when it is another one now, or when nothing brings them any more."""
        identity = _identity(path)
        if identity == folder.identity and (folder.source is None or folder.source.is_healthy()):
            return
        if identity == folder.identity and now < folder.remade_at + _REMAKE_AFTER_S:
            return
        folder.drop()
        folder.identity, folder.remade_at = identity, now
        self._note()
        if identity is None or self._watch.fallback_to_polling is Polling.ALWAYS:
            return
        source = EventSource(os.path.realpath(path), _Handler(self._hear))
        try:
            source.start()
            folder.source = source
        except OSError as e:
            limit = limit_behind(e)
            reason = limit.sentence if limit else (e.strerror or str(e))
            self._say(
                f"{shown(path)} is looked at every {self._watch.polling_interval:g} s only, because it cannot be "
                f"watched: {reason}."
            )

    def _look_at_files(self) -> None:
        """Followed files have no events: their folders may be large, and hold much that is none of psm's affair."""
        seen = [_state_of(path) for path in self._local_files]
        if seen != self._files_seen:
            if self._files_seen is not None:
                self._note()
            self._files_seen = seen

    # Looks

    @property
    def _hangs(self) -> bool:
        return self._look is not None and self._look.said_hung

    def _begin_look(self, now: float) -> None:
        with self._lock:
            self._buffer.take_all()
            self._buffer.done()
        self._look_at = float("inf")
        again = self._again_at is not None and now >= self._again_at
        if again:
            self._again_at, self._pulled = None, None
        own = {output.path: output for output in _outputs(self._db)}
        self._look = _Look(now)
        threading.Thread(
            target=self._take_look,
            args=(self._look, tuple(self._folders), self._files, own),
            name="psm-look",
            daemon=True,
        ).start()

    def _take_look(
        self, look: "_Look", folders: Collection[bytes], files: Collection[bytes], own: Mapping[bytes, Output]
    ) -> None:
        try:
            look.saw = _hash(_all_seen(folders, files, own, now_ns=self._wall_ns()))
        except Exception:  # the boundary of the thread
            logger.exception("the playlists cannot be looked at")
        finally:
            look.done.set()
            self._on_change()

    def _end_look(self, now: float) -> None:
        look = self._look
        if look is None:
            return
        if not look.done.is_set():
            if now - look.began >= HUNG_AFTER_S and not look.said_hung:
                look.said_hung = True
                places = ", ".join(shown(path) for path, folder in self._folders.items() if not folder.is_local)
                self._say(
                    f"A drive with playlists does not answer: {places or 'unknown'}. They are taken in when it does."
                )
            return
        self._look = None
        self._seen = look.saw or self._seen
        never = self._watch.fallback_to_polling is Polling.NEVER
        interval = self._watch.reconcile_interval if never else self._watch.polling_interval
        self._look_at = now + max(interval, _PASSES_APART * (now - look.began))


@dataclass(slots=True)
class _Folder:
    """A folder that is followed. ``identity`` is None while it is not there; ``source`` brings its events."""

    is_local: bool
    identity: tuple[int, int] | None = None
    source: EventSource | None = None
    remade_at: float = float("-inf")

    def drop(self) -> None:
        """Ends the events."""
        if self.source is not None:
            self.source.stop()
            self.source = None


@dataclass(slots=True)
class _Look:
    """One look, under way or done. ``saw`` is the hash of what was seen."""

    began: float
    done: threading.Event = field(default_factory=threading.Event)
    saw: str | None = None
    said_hung: bool = False


class _Handler(FileSystemEventHandler):
    def __init__(self, hear: Callable[[FileSystemEvent], None]) -> None:
        self._hear = hear

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            self._hear(event)
        except Exception:  # the boundary to watchdog's thread, which would end
            logger.exception("an event could not be taken: %r", event)


def _all_seen(
    folders: Collection[bytes], files: Collection[bytes], own: Mapping[bytes, Output], *, now_ns: int
) -> Iterator[tuple[object, ...]]:
    """What an import would go by: names, sizes and times."""
    for folder in sorted(folders):
        try:
            found = walk(folder, stop=NeverStop())
        except Unreadable as e:
            yield folder, str(e)
            continue
        yield folder, found.root
        yield from ((path, reason) for path, reason in found.problems)
        for path in found.files:
            if provider_for(path) and own.get(path) != Output.of(path) and not _is_own_report(path):
                yield (path, *_seen(path, now_ns))
    for path in files:
        yield (path, *_seen(path, now_ns))


def _seen(path: bytes, now_ns: int) -> tuple[object, ...]:
    """Size and time; and whether a change now could leave the same, so that the next look sees something else."""
    try:
        found = stat_of(path)
    except Unreadable as e:
        return (str(e),)
    if found is None:
        return ()
    return found.st_size, found.st_mtime_ns, abs(now_ns - found.st_mtime_ns) < _RACY_NS


def _is_own_report(path: bytes) -> bool:
    """Its name alone says nothing; a person's own file may be called so."""
    if not os.path.basename(path).startswith(b"psm-"):
        return False
    with suppress(OSError), open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        return is_report(path, file.read(_START_BYTES))
    return False


def _outputs(db: Database) -> Iterator[Output]:
    exported, reported = exports.state(db.connection), report_state.state(db.connection)
    if exported is not None:
        yield from exported.outputs
    if reported is not None:
        yield from (file.output for file in reported.files)


def _hash(seen: Iterator[tuple[object, ...]]) -> str:
    digest = blake2b(digest_size=16)
    for entry in seen:
        digest.update(repr(entry).encode())
    return digest.hexdigest()


def _identity(path: bytes) -> tuple[int, int] | None:
    with suppress(OSError):
        found = os.stat(path)
        return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None
    return None


def _state_of(path: bytes) -> tuple[int, ...]:
    with suppress(OSError):
        found = os.stat(path)
        return found.st_ino, found.st_size, found.st_mtime_ns
    return ()
