"""The watcher as its owner sees it: starting and stopping, who else may watch, and what it survives."""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from psm.db import connection as connection_module
from psm.db import libraries
from psm.errors import UsageError
from psm.ingest.library import ScanResult
from psm.locks import LockHeld, held_by
from psm.services.watch_events import WatchEvent, WatchEventKind
from psm.services.watch_service import LibraryWatcher
from tests.factories import write_flac
from tests.watched import Watched, album, wait_until, watching


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    wait_until(lambda: set(threading.enumerate()) <= before, "its threads have ended")


# Starting and stopping


def test_a_watcher_that_was_never_started_does_not_run_and_can_be_stopped(shelf: Watched) -> None:
    shelf.library()
    assert not shelf.watcher.is_running()
    shelf.watcher.stop()
    assert not shelf.watcher.is_running()
    assert not shelf.watcher.wait_until_ready(0)
    assert shelf.events == []


def test_it_runs_from_start_to_stop_and_can_be_started_again(shelf: Watched) -> None:
    root = shelf.library()
    for turn in range(3):
        album(root / f"{turn}")
        shelf.watcher.start()
        assert shelf.watcher.is_running()
        assert shelf.watcher.wait_until_ready(60)
        assert len(shelf.rows()) == 3 * (turn + 1)
        shelf.stop()
        assert not shelf.watcher.is_running()
    kinds = [event.kind for event in shelf.events if event.kind is not WatchEventKind.ROOT]
    once = [WatchEventKind.STARTING, WatchEventKind.SCANNED, WatchEventKind.READY, WatchEventKind.STOPPED]
    assert kinds == once * 3
    shelf.verify()


def test_starting_or_stopping_twice_changes_nothing(shelf: Watched) -> None:
    shelf.library()
    with watching(shelf):
        threads = threading.active_count()
        shelf.watcher.start()
        assert threading.active_count() == threads
    shelf.watcher.stop()
    assert len(shelf.said(WatchEventKind.STARTING)) == len(shelf.said(WatchEventKind.STOPPED)) == 1


def test_what_is_pending_is_taken_in_before_it_ends(tmp_path: Path) -> None:
    shelf = Watched(tmp_path, quiet_s=3600.0, library__watch__max_wait_seconds=3600.0)
    root = shelf.library()
    shelf.start()
    album(root / "new")
    # The events are on their way: only the watcher itself says when they are there.
    status = shelf.db.watch_status(1)
    wait_until(lambda: b'"pending": 0' not in status.read_bytes(), "something is pending")
    shelf.stop()
    assert len(shelf.rows()) == 3
    shelf.close()


def test_the_callback_hears_of_every_scan_that_changed_something_and_of_no_other(shelf: Watched) -> None:
    root = shelf.library()
    album(root)
    with watching(shelf):
        assert [result.added for result in shelf.results] == [3]
        shelf.settle(root)
    assert all(result.changed for result in shelf.results)
    assert sum(result.added for result in shelf.results) == 4


# What it is asked to watch


def test_without_a_library_there_is_nothing_to_watch(shelf: Watched) -> None:
    with pytest.raises(UsageError, match="psm library add"):
        shelf.watcher.start()
    assert not shelf.watcher.is_running()


def test_a_library_that_is_left_to_scans_is_not_watched_unless_it_is_named(shelf: Watched) -> None:
    root = shelf.library()
    with shelf.db.transaction() as connection:
        libraries.set_watch(connection, 1, watch=False)
    with pytest.raises(UsageError, match="marked"):
        shelf.watcher.start()
    shelf.watcher = shelf.new_watcher(paths=[root])
    with watching(shelf):
        shelf.wait_for(WatchEventKind.READY, "music")


def test_a_path_of_no_library_cannot_be_watched(shelf: Watched, tmp_path: Path) -> None:
    shelf.library()
    with pytest.raises(UsageError, match="belongs to a library"):
        shelf.new_watcher(paths=[tmp_path / "elsewhere"]).start()


def test_a_named_folder_is_watched_and_the_rest_of_its_library_is_not(shelf: Watched) -> None:
    root = shelf.library()
    album(root / "in")
    album(root / "out")
    shelf.watcher = shelf.new_watcher(paths=[root / "in"])
    with watching(shelf):
        write_flac(root / "out" / "new.flac")
        shelf.leave_cookie(root / "in")
        assert {Path(os.fsdecode(path)).parent.name for path in shelf.rows()} == {"in"}


# One watcher per library


def test_a_second_watcher_is_refused_and_told_who_has_it(shelf: Watched) -> None:
    root = shelf.library()
    shelf.watcher = shelf.new_watcher(what="psm build --watch")
    with watching(shelf):
        second = shelf.new_watcher()
        with pytest.raises(LockHeld, match=rf"music is watched already, by .*psm build --watch.*{os.getpid()}"):
            second.start()
        assert not second.is_running()
        second.stop()
        shelf.settle(root)
    second.start()
    second.stop()
    assert held_by(shelf.db.watch_lock(1)) is None


def test_one_library_that_is_taken_leaves_no_other_locked(shelf: Watched, tmp_path: Path) -> None:
    first, second = shelf.library("first"), shelf.library("second")
    shelf.watcher = shelf.new_watcher(paths=[second])
    both = shelf.new_watcher()
    with watching(shelf):
        with pytest.raises(LockHeld, match="second"):
            both.start()
        third = shelf.new_watcher(paths=[first])
        third.start()
        third.stop()


# What others raise


def test_a_callback_that_raises_is_logged_and_the_watcher_lives(
    shelf: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: ScanResult) -> None:
        raise RuntimeError("a defect of somebody else")

    root = shelf.library()
    album(root)
    shelf.watcher = shelf.new_watcher(on_change_callback=fail)
    with watching(shelf):
        shelf.settle(root)
        assert shelf.watcher.is_running()
    assert "a defect of somebody else" in caplog.text
    shelf.verify()


def test_a_listener_that_raises_is_logged_and_the_watcher_lives(
    shelf: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: WatchEvent) -> None:
        raise RuntimeError("a defect of somebody else")

    root = shelf.library()
    shelf.watcher = LibraryWatcher(shelf.db, shelf.config, on_event=fail)
    with watching(shelf):
        shelf.settle(root)
        assert shelf.watcher.is_running()
    assert "a defect of somebody else" in caplog.text


# What goes wrong at the disk and the database


def spoil(monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    """The system answers for files of that name with what nobody expects."""
    real = os.stat

    def stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if isinstance(path, bytes) and path.endswith(name):
            raise RuntimeError("nobody expects this")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)


def test_one_file_that_spoils_the_scans_is_found_and_reported_and_the_rest_done(
    shelf: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    root = shelf.library()
    with watching(shelf):
        spoil(monkeypatch, b"spoiled.flac")
        for n in range(7):
            write_flac(root / "a" / f"{n}.flac")
        write_flac(root / "a" / "spoiled.flac")
        shelf.wait_for(WatchEventKind.ERROR, "spoiled.flac cannot be scanned (RuntimeError: nobody expects this)")
        wait_until(lambda: len(shelf.rows()) == 7, "the others are there")
        shelf.leave_cookie(root)
        monkeypatch.undo()
        os.utime(root / "a" / "spoiled.flac")
        shelf.settle(root)
    assert all("spoiled.flac" in said for said in shelf.said(WatchEventKind.ERROR))
    shelf.verify()


def test_a_file_that_spoils_the_first_look_does_not_keep_it_from_being_ready(
    shelf: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    root = shelf.library()
    album(root / "a", 5)
    write_flac(root / "b" / "spoiled.flac")
    spoil(monkeypatch, b"spoiled.flac")
    with watching(shelf):
        assert len(shelf.rows()) == 5
        monkeypatch.undo()
        os.utime(root / "b" / "spoiled.flac")
        shelf.settle(root)
    shelf.verify()


def test_while_the_database_is_locked_all_waits_and_nothing_is_lost(
    shelf: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shelf.library()
    with watching(shelf):
        monkeypatch.setattr(connection_module, "BUSY_TIMEOUT_S", 0.05)
        other = sqlite3.connect(shelf.db.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        album(root / "new", 5)
        (root / "new" / "000 song.flac").rename(root / "new" / "renamed.flac")
        wait_until(lambda: shelf.said(WatchEventKind.ERROR), "it says that the database is busy")
        assert shelf.watcher.is_running()
        other.execute("ROLLBACK")
        other.close()
        monkeypatch.undo()
        shelf.wait_for(WatchEventKind.NOTE, "It works again")
        shelf.settle(root)
        assert len(shelf.said(WatchEventKind.ERROR)) == 1  # it is said once, however often it is tried
    shelf.verify()


def test_a_file_that_cannot_be_read_is_one_line_and_holds_up_nobody(shelf: Watched) -> None:
    root = shelf.library()
    with watching(shelf):
        (root / "loop.flac").symlink_to("loop.flac")
        (root / "broken.flac").write_bytes(b"fLaC and then nothing of use")
        for _ in range(3):
            shelf.settle(root)
    lines = [said for said in shelf.said(WatchEventKind.ERROR) if "broken.flac" in said]
    assert len(lines) <= 1
    shelf.verify()
