"""Clocks that are wrong while a library is watched: after sleep, set back, or ahead on the drive's side."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from psm.services.watch_events import WatchEventKind
from psm.services.watch_service import DebouncedLibraryWatcher
from tests.factories import write_flac
from tests.watched import Watched, album, wait_until, watching

HOUR_S = 3_600.0


class Wall:
    """The clock on the wall, which somebody sets."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def shelf(tmp_path: Path, wall: Wall) -> Iterator[Watched]:
    shelf = Watched(tmp_path)
    album(shelf.library())
    shelf.watcher = shelf.new_watcher(wall=wall)
    yield shelf
    shelf.close()


def test_after_sleep_everything_is_looked_at(shelf: Watched, wall: Wall, monkeypatch: pytest.MonkeyPatch) -> None:
    with watching(shelf):
        with monkeypatch.context() as asleep:
            asleep.setattr(DebouncedLibraryWatcher, "dispatch", lambda *_: None)
            missed = album(shelf.folder / "music" / "missed", 1) / "000 song.flac"
            assert shelf.row(missed) is None
            wall.ahead_s = HOUR_S
            wait_until(lambda: shelf.row(missed), "what was missed is there")
        assert any("the machine was asleep" in text for text in shelf.said(WatchEventKind.ROOT))
        shelf.settle()
        shelf.verify()


@pytest.mark.parametrize("ahead_s", [-HOUR_S, HOUR_S])
def test_a_clock_that_is_set_holds_up_nothing(shelf: Watched, wall: Wall, ahead_s: float) -> None:
    with watching(shelf):
        wall.ahead_s = ahead_s
        album(shelf.folder / "music" / "new", 2, long_ago=False)
        shelf.settle()
        (shelf.folder / "music" / "000 song.flac").unlink()
        shelf.settle()
        shelf.verify()


@pytest.mark.parametrize("polling", ["true", "auto"])
def test_files_of_a_drive_whose_clock_is_ahead_are_read_once(tmp_path: Path, polling: str) -> None:
    settings: dict[str, Any] = {"library__watch__polling_interval": 10, "library__watch__fallback_to_polling": polling}
    shelf = Watched(tmp_path, **settings)
    root = album(shelf.library())
    try:
        with watching(shelf):
            song = write_flac(root / "new" / "song.flac", title="From the future")
            os.utime(song, (time.time() + HOUR_S,) * 2)
            look_again(shelf)
            wait_until(lambda: shelf.row(song), f"{song} is in the database")
            results = len(shelf.results)
            for _ in range(2):
                look_again(shelf)
            assert len(shelf.results) == results
    finally:
        shelf.close()


def look_again(shelf: Watched) -> None:
    """Does not wait for the timer to look at everything."""
    (watched,) = shelf.watcher._roots
    before = watched.root.pass_at
    watched.root.relook()
    wait_until(lambda: watched.root.pass_at > before, "everything was looked at")
