"""What watching a large library costs, in counts rather than in seconds."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from psm.services.watch_events import WatchEventKind
from psm.services.watched_root import WatchedRoot
from tests.factories import write_flac
from tests.watched import Watched, album, wait_until, watching

FOLDERS = 4_500

_opened: list[str] | None = None


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """Python tells of each file that is opened; what is heard cannot be unheard, so it is one for all tests."""
    if _opened is not None and event == "open" and isinstance(arguments[0], str | bytes):
        name = arguments[0]
        _opened.append(name if isinstance(name, str) else name.decode("utf-8", "surrogateescape"))


sys.addaudithook(_hear)


@contextmanager
def files_opened() -> Iterator[list[str]]:
    """The files that this process opens while the block runs, by name."""
    global _opened  # noqa: PLW0603  (an audit hook takes no arguments of ours)
    opened: list[str] = []
    _opened = opened
    try:
        yield opened
    finally:
        _opened = None


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A library of 4,500 folders, scanned, each fifth with a song."""
    shelf = Watched(tmp_path_factory.mktemp("large"), library__watch__reconcile_interval=3_600)
    root = shelf.library()
    for n in range(FOLDERS - 1):
        folder = root / f"album {n}"
        folder.mkdir()
        if n % 5 == 0:
            album(folder, 1)
    shelf.scan()
    yield shelf
    shelf.close()


def only_root(shelf: Watched) -> WatchedRoot:
    (watched,) = shelf.watcher._roots
    return watched.root


def look_again(shelf: Watched) -> None:
    """Has the watcher look at everything once more, and waits until it has."""
    root = only_root(shelf)
    root.relook()
    before = root.pass_at
    wait_until(lambda: root.pass_at > before, "everything was looked at")


def test_each_folder_has_one_watch(shelf: Watched) -> None:
    with watching(shelf):
        root = only_root(shelf)
        assert root._source is not None
        assert (root.folders, root._source.count_watches()) == (FOLDERS, FOLDERS)


def test_a_full_scan_beside_it_is_no_news(shelf: Watched) -> None:
    with watching(shelf):
        shelf.settle()
        scanned = len(shelf.results)
        result = shelf.scan()
        assert result.unchanged + result.updated >= FOLDERS // 5
        # What the scan causes would be noted before this file is, and be taken in with it.
        shelf.leave_cookie(shelf.folder / "music")
        assert only_root(shelf).pending == 0
        assert [r.added + r.updated for r in shelf.results[scanned:]] == [1]
        assert shelf.results[-1].unchanged <= 1


def test_a_look_that_finds_nothing_opens_no_file_and_writes_nothing(shelf: Watched) -> None:
    with watching(shelf):
        for young in (shelf.folder / "music").glob("*.flac"):  # it is read once more by the next look
            young.unlink()
        wait_until(lambda: shelf.known() == shelf.on_disk(), "the database is the disk")
        wait_until(lambda: only_root(shelf).pending == 0, "nothing is pending")
        changes = shelf.db.connection.execute("PRAGMA data_version").fetchone()
        said = len(shelf.events)
        with files_opened() as opened:
            look_again(shelf)
        music = str(shelf.folder / "music")
        assert [name for name in opened if name.startswith(music)] == []
        assert shelf.db.connection.execute("PRAGMA data_version").fetchone() == changes
        assert shelf.events[said:] == []


def test_the_hook_hears_of_songs_that_are_opened(shelf: Watched) -> None:
    with files_opened() as opened, watching(shelf):
        write_flac(shelf.folder / "music" / "heard.flac", title="Heard")
        opened.clear()
        shelf.settle()
    assert any(name.endswith("heard.flac") for name in opened)


def test_songs_that_are_read_by_a_player_are_no_news(shelf: Watched) -> None:
    with watching(shelf):
        shelf.settle()
        said = len(shelf.events)
        for path in list(shelf.rows())[:200]:
            Path(path.decode()).read_bytes()
        shelf.leave_cookie(shelf.folder / "music")
        kinds = [e.kind for e in shelf.events[said:]]
        assert kinds == [WatchEventKind.SCANNED]
