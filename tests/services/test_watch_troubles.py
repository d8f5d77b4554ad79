"""What a watcher does when much goes wrong at once, or goes wrong again and again."""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from psm.errors import PsmError
from psm.ingest import reading
from psm.ingest.library import ScanResult, scan_specific_files
from psm.locks import hold
from psm.services import watch_rounds, watch_scans, watched_roots
from psm.services.watch_events import WatchEventKind
from tests.factories import write_flac
from tests.watched import Watched, album, wait_until, watching


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.close()


def test_a_library_that_another_watcher_had_is_watched_when_that_one_has_ended(
    shelf: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_roots, "_AGAIN_S", 0.0)
    shelf.library("one")
    with watching(shelf):
        with hold(shelf.db.watch_lock(2), what="another watcher"):
            two = shelf.library("two")
            shelf.wait_for(WatchEventKind.ERROR, "watched already, by another watcher")
        album(two)
        wait_until(lambda: len(shelf.rows()) == 3, "the library is watched")
    assert sum("watched already" in text for text in shelf.said(WatchEventKind.ERROR)) == 1


def test_many_files_that_cannot_be_read_are_tried_at_the_next_look_and_not_over_and_over(
    shelf: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[int] = []

    def scan_in_vain(*_: object, **__: object) -> ScanResult:
        scans.append(1)
        return ScanResult(unchanged=3, complete=False)

    monkeypatch.setattr(watch_scans, "READ_HERE", 0)
    monkeypatch.setattr(watch_scans, "run_in_child", scan_in_vain)
    album(shelf.library())
    with watching(shelf):
        assert shelf.watcher.wait_until_ready(60)
    assert len(scans) == 1


def test_what_went_missing_beside_a_file_that_spoils_every_scan_is_noticed(
    shelf: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_one = reading.read_one

    def read_unless_spoiled(number: int, job: reading.Job) -> reading.Outcome:
        if b"spoiled" in job.relative:
            raise ValueError("it is spoiled")
        return read_one(number, job)

    root = shelf.library()
    album(root / "a")
    album(root / "b")
    with watching(shelf):
        pass
    monkeypatch.setattr(reading, "read_one", read_unless_spoiled)
    write_flac(root / "a" / "spoiled.flac")
    (root / "a" / "000 song.flac").unlink()
    shutil.rmtree(root / "b")
    with watching(shelf):
        wait_until(
            lambda: {os.path.basename(path) for path in shelf.rows()} == {b"001 song.flac", b"002 song.flac"}, "gone"
        )
        shelf.wait_for(WatchEventKind.ERROR, "spoiled.flac cannot be scanned (ValueError: it is spoiled)")


def test_a_scan_that_fails_for_every_file_is_given_up_and_tried_again_later(
    shelf: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[int] = []
    scan = scan_specific_files

    def fail(*_: Any, **__: Any) -> ScanResult:
        scans.append(1)
        raise ValueError("a defect")

    monkeypatch.setattr(watch_scans, "scan_specific_files", fail)
    monkeypatch.setattr(watch_rounds, "_MOST_IN_A_ROW", 4)
    album(shelf.library(), 100)
    shelf.watcher.start()
    shelf.wait_for(WatchEventKind.ERROR, "psm has a defect here (ValueError: a defect)")
    assert len(shelf.said(WatchEventKind.ERROR)) == 5
    assert len(scans) < 25
    monkeypatch.setattr(watch_scans, "scan_specific_files", scan)
    wait_until(lambda: len(shelf.rows()) == 100, "all is taken in")


def test_where_no_process_can_be_started_a_large_scan_is_done_in_parts(
    shelf: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> ScanResult:
        raise PsmError("Cannot start a process.")

    monkeypatch.setattr(watch_scans, "READ_HERE", 5)
    monkeypatch.setattr(watch_scans, "run_in_child", fail)
    one, other = shelf.library("one"), shelf.library("other")
    album(one / "large", 30)
    album(other)
    with watching(shelf):
        assert len(shelf.rows()) == 33
        album(one / "new", 20)
        shelf.settle()
    assert shelf.said(WatchEventKind.ERROR) == ["Cannot start a process."]
    shelf.verify()


def test_one_that_was_stopped_and_has_not_ended_is_not_started_beside_itself(
    shelf: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, answers = threading.Event(), threading.Event()

    def hang(*arguments: Any, **options: Any) -> ScanResult:
        hangs.set()
        answers.wait(60)
        return scan_specific_files(*arguments, **options)

    root = shelf.library()
    shelf.start()
    monkeypatch.setattr(watch_scans, "scan_specific_files", hang)
    write_flac(root / "new.flac")
    assert hangs.wait(60)
    shelf.watcher.stop(0.01)
    with pytest.raises(PsmError, match="has not ended yet"):
        shelf.watcher.start()
    assert not shelf.watcher.is_running()
    answers.set()
    wait_until(lambda: all(t.name != "psm-watch" for t in threading.enumerate()), "it has ended")
    album(root / "more")
    with watching(shelf):
        shelf.settle()
    shelf.verify()


def test_a_large_loss_that_was_refused_is_not_let_go_when_time_has_passed(
    shelf: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shelf.library()
    one, two = album(root / "one", 45), album(root / "two", 45)
    album(root / "three", 30)
    with watching(shelf):
        shutil.rmtree(one)
        wait_until(lambda: len(shelf.rows()) == 75, "the first loss is taken in")
        shutil.rmtree(two)
        shelf.wait_for(WatchEventKind.NOTE, "--accept-missing")
        monkeypatch.setattr(watch_scans, "LOSSES_LAST_S", 0.0)
        (watched,) = shelf.watcher._roots
        before = watched.last_pass_at
        watched.root.relook()
        wait_until(lambda: watched.last_pass_at != before, "everything is looked at once more")
        shelf.leave_cookie(root)
        assert len(shelf.rows()) == 75
