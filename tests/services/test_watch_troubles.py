"""What a watcher does when much goes wrong at once, or goes wrong again and again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from psm.ingest.library import ScanResult
from psm.locks import hold
from psm.services import watch_scans, watched_roots
from psm.services.watch_events import WatchEventKind
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
