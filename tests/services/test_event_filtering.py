"""Which file events matter, and what is noted of them."""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirModifiedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileClosedNoWriteEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileOpenedEvent,
    FileSystemEvent,
)

from psm.config import LibraryConfig, WatchConfig
from psm.filesystems import FileSystem
from psm.ingest.ignore import IgnorePolicy
from psm.models import Library
from psm.services import watched_root
from psm.services.watch_service import DebouncedLibraryWatcher
from psm.services.watch_status import MARKER_PREFIX, MARKER_SUFFIX
from psm.services.watched_root import WatchedRoot
from tests.watched import wait_until

NOW = 1_000.0
CONFIG = LibraryConfig(
    ignore_patterns=("*demo*", "Podcasts/*"),
    watch=replace(WatchConfig(), ignore_patterns=("*.tmp", "*.part", "*.download", "*.!ut")),
)


class Desk:
    """A root, the handler of a folder of it, and what was noted."""

    def __init__(self, root: Path, *, watched: bytes | None = None, path: bytes = b"") -> None:
        self.folder = root
        self.markers: list[bytes] = []
        self.now = NOW
        self.root = WatchedRoot(
            Library(1, "music", os.fsencode(root)),
            b"",
            CONFIG,
            has_files=lambda: False,
            make_handler=self.make_handler,
            on_due=lambda _: None,
            say=lambda _, __: None,
            clock=lambda: self.now,
            wall_ns=lambda: int(self.now * 1_000_000_000),
        )
        self.handler = self.make_handler(self.root, watched or os.fsencode(root), path)

    def make_handler(self, root: WatchedRoot, folder: bytes, path: bytes) -> DebouncedLibraryWatcher:
        return DebouncedLibraryWatcher(root, folder, path, IgnorePolicy(CONFIG.ignored), self.markers.append)

    def hear(self, event: type[FileSystemEvent], *names: str) -> None:
        """One event about paths below the watched folder."""
        source, *target = (os.path.join(self.folder, name) for name in names)
        self.handler.dispatch(event(source, target[0] if target else ""))

    @property
    def noted(self) -> set[str]:
        """What was noted since the last time."""
        taken = self.root.take_all()
        self.root.done()
        return {os.fsdecode(path) for path in taken}

    @property
    def open_files(self) -> set[str]:
        return {os.fsdecode(path) for path in self.root.open_files}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@dataclass(frozen=True)
class Case:
    event: type[FileSystemEvent]
    names: tuple[str, ...]
    noted: tuple[str, ...]
    open_files: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.event.__name__} {' to '.join(ascii(name) for name in self.names)}"


CASES = [
    # Files
    Case(FileCreatedEvent, ("a/1.mp3",), ("a/1.mp3",)),
    Case(FileModifiedEvent, ("a/1.mp3",), ("a/1.mp3",), ("a/1.mp3",)),
    Case(FileClosedEvent, ("a/1.mp3",), ("a/1.mp3",)),
    Case(FileAttribEvent, ("a/1.mp3",), ("a/1.mp3",)),
    Case(FileDeletedEvent, ("a/1.mp3",), ("a/1.mp3",)),
    Case(FileCreatedEvent, ("A/1.FLAC",), ("A/1.FLAC",)),
    Case(FileCreatedEvent, ("\udcff/\udcfe.opus",), ("\udcff/\udcfe.opus",)),
    Case(FileCreatedEvent, ("new\nline.mp3",), ("new\nline.mp3",)),
    # What reading causes
    Case(FileOpenedEvent, ("a/1.mp3",), ()),
    Case(FileClosedNoWriteEvent, ("a/1.mp3",), ()),
    # What is no music
    Case(FileCreatedEvent, ("a/cover.jpg",), ()),
    Case(FileModifiedEvent, ("a/Road Trip.m3u8",), ()),
    Case(FileDeletedEvent, ("a/notes",), ()),
    Case(FileMovedEvent, ("a/cover.tmp", "a/cover.jpg"), ()),
    Case(FileCreatedEvent, ("psm.db-wal",), ()),
    # What is still coming in, or ignored for its name
    Case(FileCreatedEvent, ("a/1.mp3.part",), ()),
    Case(FileModifiedEvent, ("a/1.mp3.!ut",), ()),
    Case(FileModifiedEvent, ("a/1.mp3.crdownload",), ()),
    Case(FileCreatedEvent, ("a/.1.mp3",), ()),
    Case(FileCreatedEvent, ("a/._1.mp3",), ()),
    Case(FileCreatedEvent, (".trash/1.mp3",), ()),
    Case(FileCreatedEvent, ("@eaDir/1.mp3",), ()),
    Case(FileCreatedEvent, ("a/my demo.mp3",), ()),
    Case(FileCreatedEvent, ("Podcasts/deep/1.mp3",), ()),
    Case(FileDeletedEvent, ("demos/1.mp3",), ()),
    Case(DirCreatedEvent, (".git",), ()),
    Case(DirDeletedEvent, ("Podcasts/x",), ()),
    # Moves, with both ends
    Case(FileMovedEvent, ("a/1.mp3", "b/2.mp3"), ("a/1.mp3", "b/2.mp3")),
    Case(FileMovedEvent, ("a/1.mp3.part", "a/1.mp3"), ("a/1.mp3",)),
    Case(FileMovedEvent, ("a/.tmp-x", "a/1.mp3"), ("a/1.mp3",)),
    Case(FileMovedEvent, ("a/1.mp3", "a/1.mp3.bak"), ("a/1.mp3",)),
    Case(FileMovedEvent, ("a/1.mp3", ".trash/1.mp3"), ("a/1.mp3",)),
    Case(DirMovedEvent, ("a", "b"), ("a", "b")),
    Case(DirMovedEvent, ("a", ".a"), ("a",)),
    Case(DirMovedEvent, ("incoming.part", "album"), ("album",)),
    # Folders
    Case(DirCreatedEvent, ("a/b",), ("a/b",)),
    Case(DirDeletedEvent, ("a/b",), ("a/b",)),
    Case(DirAttribEvent, ("a/b",), ("a/b",)),
    Case(DirCreatedEvent, ("a/looks like.mp3",), ("a/looks like.mp3",)),
    # Marker files change what their folder holds
    Case(FileCreatedEvent, ("a/.nomedia",), ("a",)),
    Case(FileDeletedEvent, ("a/.nomedia",), ("a",)),
    Case(FileModifiedEvent, ("a/b/.psmignore",), ("a/b",)),
    Case(FileClosedEvent, ("a/b/.ndignore",), ("a/b",)),
    Case(FileMovedEvent, ("a/.psmignore~", "a/.psmignore"), ("a",)),
    Case(FileMovedEvent, ("a/.nomedia", "b/.nomedia"), ("a", "b")),
    Case(FileDeletedEvent, (".psmignore",), ("",)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_noted_of_an_event(desk: Desk, case: Case) -> None:
    desk.hear(case.event, *case.names)
    assert desk.open_files == set(case.open_files)
    assert desk.noted == set(case.noted)
    assert desk.markers == []


def test_every_event_that_watchdog_knows_is_taken_or_left_and_never_an_error(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    for event in (*(case.event for case in CASES), DirModifiedEvent):
        for name in ("a/1.mp3", "a", "", "a/.nomedia", "\udcff"):
            desk.hear(event, name, name)
    assert not caplog.records


@pytest.mark.parametrize("path", ["/elsewhere/1.mp3", "", "relative.mp3"])
def test_what_is_not_below_the_watched_folder_is_left(desk: Desk, path: str) -> None:
    desk.handler.dispatch(FileCreatedEvent(path))
    desk.handler.dispatch(FileCreatedEvent(os.fspath(desk.folder) + "2/1.mp3"))
    assert desk.noted == set()


def test_a_move_from_outside_or_to_outside_has_one_end(desk: Desk) -> None:
    inside = os.path.join(desk.folder, "1.mp3")
    desk.handler.dispatch(FileMovedEvent("/elsewhere/1.mp3", inside))
    assert desk.noted == {"1.mp3"}
    desk.handler.dispatch(FileMovedEvent(inside, "/elsewhere/1.mp3"))
    assert desk.noted == {"1.mp3"}


def test_paths_given_as_bytes_are_taken_too(desk: Desk) -> None:
    desk.handler.dispatch(FileCreatedEvent(os.fsencode(desk.folder) + b"/\xff.mp3"))
    assert desk.root.take_all() == (b"\xff.mp3",)


def test_a_file_stays_open_from_its_writing_to_its_closing(desk: Desk) -> None:
    for event in (FileCreatedEvent, FileModifiedEvent, FileAttribEvent, FileModifiedEvent):
        desk.hear(event, "a/1.mp3")
    assert desk.open_files == {"a/1.mp3"}
    desk.hear(FileMovedEvent, "a/1.mp3", "a/2.mp3")
    assert desk.open_files == {"a/2.mp3"}
    desk.hear(FileClosedEvent, "a/2.mp3")
    assert desk.open_files == set()
    assert desk.noted == {"a/1.mp3", "a/2.mp3"}


def test_a_deleted_file_is_not_open_any_more(desk: Desk) -> None:
    desk.hear(FileModifiedEvent, "a/1.mp3")
    desk.hear(FileDeletedEvent, "a/1.mp3")
    assert desk.open_files == set()


def test_the_marker_of_somebody_who_asks_is_told_of_when_it_is_created(desk: Desk) -> None:
    name = os.fsdecode(MARKER_PREFIX + b"12" + MARKER_SUFFIX)
    for event in (FileCreatedEvent, FileModifiedEvent, FileClosedEvent, FileDeletedEvent):
        desk.hear(event, name)
    assert desk.markers == [os.fsencode(name)]
    assert desk.noted == set()


# Links


def test_a_link_to_a_folder_is_noted_and_has_everything_looked_at(tmp_path: Path, watched: Desk) -> None:
    (tmp_path / "far").mkdir()
    (watched.folder / "album").symlink_to(tmp_path / "far")
    watched.hear(FileCreatedEvent, "album")
    assert watched.noted == {"album"}
    assert is_looked_at_soon(watched)


def test_a_link_that_is_moved_into_place_is_noted(tmp_path: Path, watched: Desk) -> None:
    (watched.folder / "album").symlink_to(tmp_path)
    watched.hear(FileMovedEvent, "album.new", "album")
    assert "album" in watched.noted
    assert is_looked_at_soon(watched)


@pytest.mark.parametrize("during_the_next_look", [False, True])
def test_a_link_to_a_folder_that_is_deleted_is_noted(tmp_path: Path, watched: Desk, during_the_next_look: bool) -> None:
    (watched.folder / "album").symlink_to(tmp_path)
    wait_until(lambda: is_looked_at_soon(watched), "the link's own event has come")
    look(watched, b"", b"album")
    assert watched.noted == {"album"}
    if during_the_next_look:
        watched.root.begin_pass()
    (watched.folder / "album").unlink()
    watched.hear(FileDeletedEvent, "album")
    assert watched.noted == {"album"}
    assert is_looked_at_soon(watched)


def test_a_link_that_comes_and_goes_during_one_look_is_noted(tmp_path: Path, watched: Desk) -> None:
    watched.root.begin_pass()
    (watched.folder / "album").symlink_to(tmp_path)
    watched.root.note_folder(b"album", behind_link=True)
    (watched.folder / "album").unlink()
    watched.hear(FileDeletedEvent, "album")
    assert watched.noted == {"album"}


def test_a_file_without_a_musical_name_that_goes_is_no_link(watched: Desk) -> None:
    watched.hear(FileDeletedEvent, "album")
    assert watched.noted == set()
    assert not is_looked_at_soon(watched)


def test_a_link_with_an_ignored_name_is_left(tmp_path: Path, watched: Desk) -> None:
    (watched.folder / ".album").symlink_to(tmp_path)
    watched.hear(FileCreatedEvent, ".album")
    assert watched.noted == set()


def test_what_a_link_leads_to_is_noted_under_the_links_name(tmp_path: Path) -> None:
    desk = Desk(tmp_path, watched=b"/far/away", path=b"a/link")
    desk.handler.dispatch(FileCreatedEvent("/far/away/deep/1.mp3"))
    desk.handler.dispatch(DirMovedEvent("/far/away/x", "/far/away/y"))
    assert desk.noted == {"a/link/deep/1.mp3", "a/link/x", "a/link/y"}
    desk.hear(FileCreatedEvent, "1.mp3")  # this one belongs to another handler
    assert desk.noted == set()


# The watched folder itself


@pytest.mark.parametrize("event", [DirDeletedEvent, DirMovedEvent, FileDeletedEvent])
def test_when_the_folder_itself_goes_there_is_doubt(watched: Desk, event: type[FileSystemEvent]) -> None:
    before = watched.root.restarts
    watched.hear(event, "")
    tick(watched)
    assert watched.root.restarts == before + 1


def test_when_only_the_folders_rights_change_it_is_looked_at(watched: Desk) -> None:
    watched.hear(DirAttribEvent, "")
    tick(watched)
    assert watched.root.restarts == 0
    assert watched.noted == {""}


def test_an_event_that_cannot_be_taken_ends_no_thread_and_is_a_doubt(
    watched: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    watched.handler.dispatch(FileCreatedEvent(None))  # type: ignore[arg-type]
    assert "could not be taken" in caplog.text
    tick(watched)
    assert watched.root.restarts == 1


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk whose root is there, watched, and looked at. Its disk is a local one, whatever the machine has."""
    monkeypatch.setattr(watched_root, "filesystem_of", lambda _: FileSystem("ext4", True, True, True, b"/"))
    monkeypatch.setattr(watched_root, "mounts_below", lambda _: ())
    before = threading.active_count()
    folder = tmp_path / "music"
    folder.mkdir()
    desk = Desk(folder)
    tick(desk)
    look(desk, b"")
    yield desk
    desk.root.close()
    assert threading.active_count() == before


def tick(desk: Desk) -> None:
    desk.now += 1
    desk.root.supervise(desk.now)


def look(desk: Desk, *folders: bytes) -> None:
    """A look at everything that came to these folders."""
    desk.root.begin_pass()
    for folder in folders:
        desk.root.note_folder(folder, behind_link=True)
    desk.root.end_pass(desk.now, took_s=0.01, complete=True)
    assert not is_looked_at_soon(desk)


def is_looked_at_soon(desk: Desk) -> bool:
    tick(desk)
    return desk.root.pass_at <= desk.now
