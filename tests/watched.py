"""Libraries that are watched by real file events, in the test's own process or by psm as a person runs it.

A test changes the disk, and calls ``settle``: it writes one more file (a cookie), which is noticed after all that was
changed before, and waits until the database is the disk. Its last line is ``verify``: the rows are compared with those
that a full scan makes in a database of its own.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import pytest

from psm.config import Config, load_config
from psm.db import Database, files, libraries
from psm.ingest.files import walk
from psm.ingest.ignore import IgnorePolicy
from psm.ingest.library import ScanResult, scan_library, scan_specific_files
from psm.ingest.targets import join, locate
from psm.models import LibraryFile, Status
from psm.services.watch_events import WatchEvent, WatchEventKind
from psm.services.watch_service import LibraryWatcher
from psm.services.watch_status import WatcherStatus, watcher_of
from tests.factories import write_flac
from tests.running import Psm

DEADLINE_S = 60.0
LONG_AGO_S = 1_600_000_000
_LOOK_S = 0.02
_COOKIE = b"zz cookie "

State = dict[bytes, tuple[int, int]]
"""By absolute path, the size in bytes and the time in ns of a file."""


def wait_until(
    condition: Callable[[], Any],
    what: str,
    *,
    within_s: float = DEADLINE_S,
    instead: Callable[[], Any] = lambda: "",
) -> None:
    """Waits for something that happens in another thread or process; ``instead`` says what there was at the end."""
    began = time.monotonic()
    pause = threading.Event()
    while not condition():
        now = time.monotonic()
        assert now - began < within_s, f"waited in vain until {what} {instead()}"
        pause.wait(_LOOK_S + (now - began) / 20)


def album(folder: Path | bytes, count: int = 3, *, long_ago: bool = True, audio: str = "") -> Path:
    """Songs in a folder, each a recording of its own, written long ago."""
    place = Path(os.fsdecode(folder))
    for n in range(count):
        song = write_flac(
            place / f"{n:03} song.flac", audio=f"{audio or place} {n}", title=f"Song {n}", artist="Someone"
        )
        if long_ago:
            os.utime(song, (LONG_AGO_S, LONG_AGO_S))
    return place


def counted_scans(monkeypatch: pytest.MonkeyPatch) -> list[list[Path]]:
    """The paths of each scan of a watcher in this process, as they begin."""
    scans: list[list[Path]] = []

    def counted(db: Any, config: Any, paths: list[Path], **options: Any) -> ScanResult:
        scans.append(paths)
        return scan_specific_files(db, config, paths, **options)

    monkeypatch.setattr("psm.services.watch_scans.scan_specific_files", counted)
    return scans


class Shelf:
    """A database and a configuration below ``folder``, and the libraries in it."""

    def __init__(self, folder: Path, *, quiet_s: float = 0.15, database: Path | None = None, **settings: Any) -> None:
        self.folder = folder
        place = database or folder / "psm.db"
        flags = {
            "database.path": place,
            "library.watch.debounce_seconds": quiet_s,
            **{name.replace("__", "."): value for name, value in settings.items()},
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").touch()
        self.config: Config = load_config(folder / "config.yaml", flags=flags, env={})
        self.db = Database(place)
        self._cookies = 0

    def library(self, name: str = "music", root: Path | None = None) -> Path:
        """Adds a library; its folder is made."""
        place = root or self.folder / name
        place.mkdir(parents=True, exist_ok=True)
        with self.db.transaction() as connection:
            libraries.add(connection, name, os.fsencode(os.path.realpath(place)), now=time.time())
        return place

    def scan(self, *, accept_missing: bool = False) -> ScanResult:
        """A full scan, as another psm would run it."""
        return scan_library(self.db, self.config.library, accept_missing=accept_missing)

    def rows(self) -> dict[bytes, LibraryFile]:
        """The present files, by absolute path, without the cookies."""
        return {path: row for path, row in self._present().items() if not _is_cookie(path)}

    def row(self, path: Path | bytes) -> LibraryFile | None:
        """The present file at an absolute path."""
        place = locate(libraries.all_libraries(self.db.connection), path)
        return None if place is None else files.at_path(self.db.connection, place[0].id, place[1])

    def ids(self) -> dict[str | None, tuple[int, float]]:
        """By the audio of the present files: the oldest row's id, and when that was first seen."""
        rows = sorted(self.rows().values(), key=lambda row: row.id, reverse=True)
        return {row.fingerprint: (row.id, row.first_seen) for row in rows}

    def known(self) -> State:
        """What the database holds of the files that are on disk."""
        rows = self.db.connection.execute(
            "SELECT l.root, f.path, f.size_bytes, f.mtime_ns "
            "FROM library_files f JOIN libraries l ON l.id = f.library_id WHERE f.status = 'present'"
        )
        return {join(root, path): (size_bytes, mtime_ns) for root, path, size_bytes, mtime_ns in rows}

    def on_disk(self) -> State:
        """What a walk finds."""
        policy = IgnorePolicy(self.config.library.ignored)
        known = libraries.all_libraries(self.db.connection)
        return {
            join(library.root, folder.path + b"/" + name if folder.path else name): (found.st_size, found.st_mtime_ns)
            for library in known
            for folder in walk(
                library.root,
                policy,
                follow_symlinks=self.config.library.follow_symlinks,
                others=[other.root for other in known if other != library],
            )
            for name, found in folder.looked_at
        }

    def let_age(self) -> None:
        """Waits until no file is so young that it may still be written."""
        young_ns = int(self.config.library.watch.debounce_seconds * 1_000_000_000)
        wait_until(
            lambda: all(time.time_ns() - mtime_ns > young_ns for _, mtime_ns in self.on_disk().values()),
            "all files are older than the quiet time",
        )

    def leave_cookie(self, root: Path) -> None:
        """Writes one more file, and waits until its row is there."""
        self._cookies += 1
        cookie = root / f"{_COOKIE.decode()}{self._cookies}.flac"
        write_flac(cookie, title="Cookie")
        place = os.fsencode(os.path.realpath(cookie))
        wait_until(lambda: self.row(place) is not None, f"the row of {cookie} is there")

    def settle(self, *roots: Path) -> None:
        """Waits until the database is the disk; everything that was changed before has been looked at then."""
        for root in roots or [
            Path(os.fsdecode(x.root)) for x in libraries.all_libraries(self.db.connection) if x.watch
        ]:
            self.leave_cookie(root)
        wait_until(lambda: self.known() == self.on_disk(), "the database is the disk", instead=self._difference)

    def status(self, name: str = "music") -> WatcherStatus | None:
        """What the watcher of a library says of itself, None when nobody watches it."""
        library = libraries.by_name(self.db.connection, name)
        assert library is not None
        watcher = watcher_of(self.db, library)
        return None if watcher is None else watcher.status

    def close(self) -> None:
        """Closes the database."""
        self.db.close()

    def verify(self) -> None:
        """Database = disk, by a full scan of the same libraries into another database."""
        with Database(self.folder / f"fresh-{time.monotonic_ns()}.db") as fresh:
            for library in libraries.all_libraries(self.db.connection):
                with fresh.transaction() as connection:
                    libraries.add(connection, library.name, library.root, now=time.time())
            scanned = scan_library(fresh, self.config.library)
            assert not scanned.offline
            assert _facts(self.db) == _facts(fresh)
        assert self.db.check() == ()

    def _difference(self) -> str:
        known, found = self.known(), self.on_disk()
        only_known, only_found = sorted(known.items() - found.items()), sorted(found.items() - known.items())
        return f"\nonly in the database: {only_known}\nonly on disk: {only_found}"

    def _present(self) -> dict[bytes, LibraryFile]:
        with self.db.snapshot() as connection:
            return {row.absolute_path: row for row in files.all_files(connection, status=Status.PRESENT)}


class Watched(Shelf):
    """A shelf with a watcher in this process."""

    def __init__(self, folder: Path, *, quiet_s: float = 0.15, **settings: Any) -> None:
        super().__init__(folder, quiet_s=quiet_s, **settings)
        self.events: list[WatchEvent] = []
        self.results: list[ScanResult] = []
        self.watcher = self.new_watcher()

    def new_watcher(self, **options: Any) -> LibraryWatcher:
        """One more watcher of the same libraries; what it tells comes here."""
        callback = options.pop("on_change_callback", self.results.append)
        return LibraryWatcher(self.db, self.config, callback, on_event=self.events.append, **options)

    def start(self) -> None:
        """Starts the watcher, and waits until it is ready."""
        self.watcher.start()
        assert self.watcher.wait_until_ready(DEADLINE_S)

    def stop(self) -> None:
        """Stops it."""
        self.watcher.stop()
        assert not self.watcher.is_running()

    def close(self) -> None:
        """Stops it, and closes the database."""
        self.watcher.stop()
        super().close()

    def said(self, kind: WatchEventKind) -> list[str]:
        """The sentences of one kind so far."""
        return [event.text for event in self.events if event.kind is kind]

    def wait_for(self, kind: WatchEventKind, text: str) -> None:
        """Waits until the watcher has said so."""
        wait_until(
            lambda: any(text in said for said in self.said(kind)),
            f"the watcher says {text!r}",
            instead=lambda: self.events,
        )


@contextmanager
def watching(shelf: Watched) -> Iterator[Watched]:
    """The watcher runs while the block does."""
    shelf.start()
    try:
        yield shelf
    finally:
        shelf.stop()


class Process:
    """``psm scan --watch --json`` as a process of its own."""

    def __init__(self, psm: Psm, *arguments: str | Path, quiet_s: float = 0.15, as_json: bool = True) -> None:
        form = ("--json",) if as_json else ()
        self.popen = psm.start("scan", "--watch", *form, "--debounce", str(quiet_s), *arguments)
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(self.popen.stdout, self.lines)),
            threading.Thread(target=self._read, args=(self.popen.stderr, self.errors)),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has printed so far."""
        return [json.loads(line) for line in list(self.lines)]

    def wait_for(self, event: str, text: str = "") -> None:
        """Waits until it has printed such an event."""

        def came() -> bool:
            assert self.popen.poll() is None or event == "stopped", f"it ended: {self.lines} {self.errors}"
            return any(e["event"] == event and text in e["text"] for e in self.events)

        wait_until(came, f"psm prints {event} {text!r}", instead=lambda: [self.lines, self.errors])

    def end(self, number: signal.Signals = signal.SIGINT) -> float:
        """Sends a signal, waits for the end, and returns how many seconds that took."""
        began = time.monotonic()
        self.popen.send_signal(number)
        try:
            self.popen.wait(DEADLINE_S)
        except TimeoutExpired:
            self.kill()
            raise
        took_s = time.monotonic() - began
        self._finish()
        return took_s

    def kill(self) -> None:
        """Ends it as a power cut does."""
        self.popen.kill()
        self.popen.wait(DEADLINE_S)
        self._finish()

    def _finish(self) -> None:
        for reader in self._readers:
            reader.join(DEADLINE_S)
        for stream in (self.popen.stdout, self.popen.stderr):
            assert stream is not None
            stream.close()

    @staticmethod
    def _read(stream: Any, into: list[str]) -> None:
        into.extend(line for line in stream)


@contextmanager
def process(psm: Psm, *arguments: str | Path, quiet_s: float = 0.15) -> Iterator[Process]:
    """Such a process, ready; ended at the end of the block."""
    running = Process(psm, *arguments, quiet_s=quiet_s)
    try:
        running.wait_for("ready")
        yield running
    finally:
        if running.popen.returncode is None:
            running.end()
    assert "Traceback" not in "".join(running.errors), running.errors


def _is_cookie(path: bytes) -> bool:
    return os.path.basename(path).startswith(_COOKIE)


def _facts(db: Database) -> list[tuple[Any, ...]]:
    """All of a present file that does not depend on when it was read, or by whom."""
    return [
        (row.absolute_path, row.stat.size_bytes, row.stat.mtime_ns, row.fingerprint, row.error, row.tags)
        for row in sorted(files.all_files(db.connection, status=Status.PRESENT), key=lambda f: f.absolute_path)
    ]
