"""One library under watch: how it is watched, and what becomes of it when its folder or its events go away."""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from watchdog.events import FileSystemEvent, FileSystemEventHandler

from psm.config import LibraryConfig, Polling, WatchConfig
from psm.db import Database, files, libraries
from psm.filesystems import FileSystem
from psm.ingest.library import scan_library, scan_specific_files
from psm.ingest.terms import Terms
from psm.services import watched_root
from psm.services.event_source import EventSource, Limit
from psm.services.watch_status import MARKER_PREFIX, MARKER_SUFFIX, RootMode
from psm.services.watched_root import Choice, WatchedRoot, choose
from tests.factories import write_flac
from tests.watched import wait_until

EXT4 = FileSystem("ext4", True, True, True, b"/")
OVERLAY = FileSystem("overlay", True, False, False, b"/")
NFS = FileSystem("nfs4", False, False, False, b"/mnt")
UNKNOWN = FileSystem("unknown", False, False, False, b"/")


@pytest.mark.parametrize(
    ("filesystem", "mounts", "polling", "expected", "reason"),
    [
        (EXT4, (), Polling.AUTO, (True, False), ""),
        (EXT4, (b"/m/usb",), Polling.AUTO, (True, True), "other drives are mounted in it (/m/usb)"),
        (OVERLAY, (), Polling.AUTO, (True, True), "overlay does not tell of every change"),
        (NFS, (), Polling.AUTO, (False, True), "nfs4 is a network drive or unknown"),
        (UNKNOWN, (), Polling.AUTO, (False, True), "unknown is a network drive or unknown"),
        (EXT4, (), Polling.ALWAYS, (False, True), "the configuration asks for polling"),
        (NFS, (), Polling.ALWAYS, (False, True), "the configuration asks for polling"),
        (EXT4, (), Polling.NEVER, (True, False), ""),
        (EXT4, (b"/m/usb",), Polling.NEVER, (True, False), "may not tell of every change, but polling is off"),
        (NFS, (), Polling.NEVER, (True, False), "nfs4 may not tell of every change, but polling is off"),
        (OVERLAY, (), Polling.NEVER, (True, False), "overlay may not tell of every change, but polling is off"),
    ],
)
def test_how_a_root_is_watched(
    filesystem: FileSystem, mounts: tuple[bytes, ...], polling: Polling, expected: tuple[bool, bool], reason: str
) -> None:
    choice = choose(filesystem, mounts, polling)
    assert (choice.events, choice.polls) == expected
    assert reason in choice.reason
    assert bool(choice.reason) == bool(reason)


def test_not_more_than_three_mounts_are_named() -> None:
    choice = choose(EXT4, [b"/m/%d" % n for n in (4, 3, 2, 1)], Polling.AUTO)
    assert choice == Choice(events=True, polls=True, reason="other drives are mounted in it (/m/1, /m/2, /m/3)")


class Drives:
    """What the system's table of mounts says, as far as the root asks."""

    def __init__(self) -> None:
        self.kinds: dict[bytes, FileSystem] = {}
        self.below: tuple[bytes, ...] = ()

    def filesystem_of(self, path: bytes) -> FileSystem:
        inside = [point for point in self.kinds if path == point or path.startswith(point + b"/")]
        return self.kinds[max(inside, key=len)] if inside else EXT4

    def mounts_below(self, _: bytes) -> tuple[bytes, ...]:
        return self.below


@pytest.fixture
def drives(monkeypatch: pytest.MonkeyPatch) -> Drives:
    """The test's own folder lies on who knows what: here it is a local disk, unless the test says otherwise."""
    told = Drives()
    monkeypatch.setattr(watched_root, "filesystem_of", told.filesystem_of)
    monkeypatch.setattr(watched_root, "mounts_below", told.mounts_below)
    monkeypatch.setattr(watched_root, "mount_table", object)  # another one each time: what is told may change
    # The tests' clock stands still while a thread asks: the answer is waited for.
    monkeypatch.setattr(watched_root, "_AT_ONCE_S", 60.0)
    return told


class Heard(FileSystemEventHandler):
    def __init__(self) -> None:
        self.paths: set[bytes] = set()

    def dispatch(self, event: FileSystemEvent) -> None:
        self.paths.add(os.fsencode(event.src_path))


class Stage:
    """A library on disk and in a database, the root that watches it, and a clock that the test sets."""

    def __init__(self, folder: Path, db: Database, **settings: Any) -> None:
        below = settings.pop("below", b"")
        follow_symlinks = settings.pop("follow_symlinks", True)
        self.folder = folder
        self.db = db
        with db.transaction() as connection:
            self.library = libraries.add(connection, "music", os.fsencode(folder), now=0.0)
        self.config = LibraryConfig(follow_symlinks=follow_symlinks, watch=replace(WatchConfig(), **settings))
        self.now = 1_000.0
        self.said: list[str] = []
        self.dues: list[float] = []
        self.handlers: dict[bytes, tuple[bytes, Heard]] = {}
        self.asked_in: list[threading.Thread] = []
        self.root = WatchedRoot(
            self.library,
            below,
            self.config,
            has_files=self.has_files,
            make_handler=self.make_handler,
            on_due=self.dues.append,
            say=lambda _, text: self.said.append(text),
            clock=lambda: self.now,
            wall_ns=lambda: int(self.now * 1_000_000_000),
        )

    def has_files(self) -> bool:
        self.asked_in.append(threading.current_thread())
        return files.count_present(self.db.connection, self.library.id) > 0

    def make_handler(self, root: WatchedRoot, folder: bytes, path: bytes) -> Heard:
        assert root is self.root
        heard = Heard()
        self.handlers[path] = (folder, heard)
        return heard

    def tick(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.root.supervise(self.now)

    def look(self, *, took_s: float = 0.01) -> None:
        """A look at everything, as the watcher's thread does it."""
        self.root.begin_pass()
        self.root.take_all()
        terms = Terms(on_folder=lambda _, path, behind_link: self.root.note_folder(path, behind_link))
        result = scan_specific_files(self.db, self.config, [Path(os.fsdecode(self.root.path))], terms=terms)
        self.root.done()
        self.root.end_pass(self.now, took_s=took_s, complete=not result.offline)

    def wait_for_event(self, file: Path, path: bytes = b"") -> None:
        """Writes a file, and waits until the handler of the folder that is known as ``path`` has heard of it."""
        file.touch()
        folder, heard = self.handlers[path]
        name = os.path.join(folder, os.fsencode(file.name))
        wait_until(lambda: name in heard.paths, f"{name!r} is heard of")


Make = Callable[..., Stage]


@pytest.fixture
def make(tmp_path: Path, drives: Drives) -> Iterator[Make]:
    db = Database(tmp_path / "psm.db")
    made: list[Stage] = []

    def stage(*, exists: bool = True, songs: int = 1, **settings: Any) -> Stage:
        folder = tmp_path / "music"
        if exists:
            folder.mkdir()
        made.append(Stage(folder, db, **settings))
        for n in range(songs if exists else 0):
            write_flac(folder / f"{n}.flac")
        if exists:
            scan_library(db, made[0].config)
        return made[0]

    yield stage
    for one in made:
        one.root.close()
    db.close()


def inode(folder: Path) -> int:
    return folder.stat().st_ino


# Coming and going


def test_a_root_that_is_there_is_watched_by_events_and_looked_at_first(make: Make) -> None:
    stage = make()
    assert stage.root.mode is RootMode.STARTING
    stage.tick()
    assert (stage.root.mode, stage.root.reason) == (RootMode.EVENTS, "")
    assert stage.root.pass_at == stage.now
    assert stage.said == []
    stage.wait_for_event(stage.folder / "new.flac")


def test_a_root_that_is_missing_at_the_start_is_waited_for(make: Make) -> None:
    stage = make(exists=False)
    for _ in range(5):
        stage.tick()
    assert stage.root.is_offline
    assert stage.root.reason == "No such file or directory"
    assert stage.said == [f"Waiting for library music ({stage.folder}): No such file or directory."]
    stage.folder.mkdir()
    stage.tick()
    assert stage.root.mode is RootMode.EVENTS
    assert stage.root.pass_at == stage.now
    assert "Library music is there again." in stage.said
    stage.wait_for_event(stage.folder / "new.flac")


def test_a_root_that_is_a_file_is_no_folder(make: Make) -> None:
    stage = make(exists=False)
    stage.folder.touch()
    stage.tick()
    assert (stage.root.mode, stage.root.reason) == (RootMode.OFFLINE, "it is no folder")


def test_while_the_root_is_away_nothing_is_taken_and_nothing_forgotten(make: Make) -> None:
    stage = make()
    stage.tick()
    stage.root.changed(b"0.flac")
    stage.folder.rename(stage.folder.with_name("away"))
    stage.tick()
    assert stage.root.next_due() is None
    assert stage.root.take(stage.now + 1_000) == ()
    assert stage.root.pending == 1
    stage.folder.with_name("away").rename(stage.folder)
    stage.tick()
    assert stage.root.take(stage.now + 1_000) == (b"0.flac",)


def test_a_root_that_was_renamed_and_came_back_is_watched_anew(make: Make) -> None:
    stage = make()
    stage.tick()
    stage.look()
    stage.folder.rename(stage.folder.with_name("away"))
    stage.tick()
    assert stage.root.is_offline
    stage.folder.with_name("away").rename(stage.folder)
    stage.tick()
    assert stage.root.mode is RootMode.EVENTS
    assert stage.root.pass_at == stage.now
    stage.wait_for_event(stage.folder / "new.flac")


def test_a_root_that_is_replaced_between_two_looks_is_watched_anew(make: Make) -> None:
    stage = make()
    stage.tick()
    stage.look()
    other = stage.folder.with_name("other")
    write_flac(other / "other.flac")
    stage.folder.rename(stage.folder.with_name("away"))
    other.rename(stage.folder)
    stage.tick()
    assert stage.root.pass_at == stage.now
    stage.wait_for_event(stage.folder / "new.flac")


def test_a_root_that_is_made_again_with_the_same_inode_is_watched_anew(make: Make) -> None:
    """Its identity tells nothing: the end of its events does."""
    stage = make(songs=0)
    stage.tick()
    stage.look()
    first = inode(stage.folder)
    for _ in range(200):
        stage.folder.rmdir()
        stage.folder.mkdir()
        if inode(stage.folder) == first:
            break
    wait_until(lambda: ticked(stage).pass_at == stage.now, "a look at everything is due")
    wait_until(lambda: ticked(stage).mode is RootMode.EVENTS, "it is watched again")
    stage.wait_for_event(stage.folder / "new.flac")


def ticked(stage: Stage, seconds: float = 1.0) -> WatchedRoot:
    stage.tick(seconds)
    return stage.root


@pytest.mark.parametrize("litter", [None, "lost+found", ".hidden"])
def test_an_emptied_mount_point_of_known_files_is_waited_for(make: Make, litter: str | None) -> None:
    stage = make()
    stage.tick()
    shutil.rmtree(stage.folder)
    stage.tick()
    stage.folder.mkdir()
    if litter:
        (stage.folder / litter).mkdir()
    for _ in range(3):
        stage.tick()
    assert stage.root.is_offline
    assert stage.root.reason == "its folder is empty, as that of a drive that is not mounted"
    write_flac(stage.folder / "0.flac")
    stage.tick()
    assert stage.root.mode is RootMode.EVENTS


def test_an_empty_root_of_which_nothing_is_known_is_watched(make: Make) -> None:
    stage = make(songs=0)
    stage.tick()
    assert stage.root.mode is RootMode.EVENTS


def test_a_root_that_is_emptied_while_it_is_watched_stays_watched(make: Make) -> None:
    """Whether its files are gone is the scan's to say."""
    stage = make()
    stage.tick()
    (stage.folder / "0.flac").unlink()
    stage.tick()
    assert stage.root.mode is RootMode.EVENTS


def test_each_reason_to_wait_is_said_once(make: Make) -> None:
    stage = make(exists=False)
    for _ in range(3):
        stage.tick()
    stage.folder.touch()
    for _ in range(3):
        stage.tick()
    assert len(stage.said) == 2
    assert stage.said[1].endswith("it is no folder.")


def test_a_root_that_a_scan_could_not_read_is_waited_for(make: Make) -> None:
    stage = make()
    stage.tick()
    stage.root.away("it stopped answering", stage.now)
    assert (stage.root.mode, stage.root.reason) == (RootMode.OFFLINE, "it stopped answering")
    stage.tick(0.5)
    assert stage.root.is_offline  # a moment later is no news
    stage.tick()
    assert stage.root.mode is RootMode.EVENTS


@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_root_that_became_a_link_is_watched_where_it_leads(make: Make, from_the_start: bool) -> None:
    stage = make()
    if not from_the_start:
        stage.tick()
    moved = stage.folder.with_name("bigger drive")
    shutil.copytree(stage.folder, moved)
    shutil.rmtree(stage.folder)
    stage.folder.symlink_to(moved)
    for _ in range(2):
        stage.tick()
        stage.look()
    assert (stage.root.mode, stage.root.restarts) == (RootMode.EVENTS, 0)
    stage.wait_for_event(stage.folder / "new.flac")
    assert stage.handlers[b""][0] == os.fsencode(os.path.realpath(moved))


def test_a_part_of_a_library_is_watched_alone(make: Make) -> None:
    stage = make(below=b"album")
    stage.tick()
    assert stage.root.is_offline
    (stage.folder / "album").mkdir()
    write_flac(stage.folder / "album" / "1.flac")
    stage.tick()
    assert stage.root.path == os.fsencode(stage.folder / "album")
    stage.look()
    assert stage.root.folders == 1
    stage.wait_for_event(stage.folder / "album" / "new.flac", b"album")


# Network drives


def test_a_network_drive_is_polled_and_it_is_said_why(make: Make, drives: Drives) -> None:
    stage = make()
    drives.kinds[os.fsencode(stage.folder)] = NFS
    stage.tick()
    assert stage.root.mode is RootMode.POLLING
    assert stage.root.drives == (os.fsencode(stage.folder),)
    assert stage.said == [
        "Library music is watched by polling: nfs4 is a network drive or unknown: it does not tell of changes that "
        "are made elsewhere."
    ]
    stage.look()
    assert stage.root.pass_at == stage.now + 60


def test_a_network_drive_that_does_not_answer_is_waited_for(
    make: Make, drives: Drives, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = make()
    drives.kinds[os.fsencode(stage.folder)] = NFS
    stage.tick()
    answer = threading.Event()
    real = os.stat
    mine = threading.current_thread()

    def stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if threading.current_thread() is not mine:
            answer.wait(60)
        return real(path, *arguments, **options)

    with monkeypatch.context() as hung:
        hung.setattr(os, "stat", stat)
        hung.setattr(watched_root, "_AT_ONCE_S", 0.01)
        stage.tick(61)  # it is asked, and not waited for
        assert stage.root.pass_at > stage.now  # and not scanned before it has answered
        stage.tick(watched_root.ANSWER_S + 1)
        assert (stage.root.mode, stage.root.reason) == (RootMode.OFFLINE, f"nfs4 ({stage.folder}) does not answer")
        before = threading.active_count()
        for _ in range(5):
            stage.tick(61)
        assert threading.active_count() == before  # nobody else is sent after the one who waits
        answer.set()
        for thread in [t for t in threading.enumerate() if t.name == "psm-ask"]:
            thread.join(60)
    assert ticked(stage, 61).mode is RootMode.POLLING


def test_an_empty_network_drive_leaves_no_connection_behind_for_each_look(make: Make, drives: Drives) -> None:
    stage = make()
    drives.kinds[os.fsencode(stage.folder)] = NFS
    (stage.folder / "0.flac").unlink()
    for _ in range(3):
        stage.tick(61)
    assert stage.root.is_offline
    assert set(stage.asked_in) == {threading.current_thread()}


# Events that cannot be had, or are lost


def failing(monkeypatch: pytest.MonkeyPatch, e: OSError) -> None:
    def fail(_: EventSource) -> None:
        raise e

    monkeypatch.setattr(EventSource, "start", fail)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EMFILE, "sudo sysctl fs.inotify.max_user_instances="),
        (errno.ENOSPC, "sudo sysctl fs.inotify.max_user_watches="),
        (errno.EACCES, "its events cannot be had: Permission denied"),
    ],
)
def test_when_events_cannot_be_had_it_polls_says_why_and_tries_again(
    make: Make, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    stage = make()
    real = EventSource.start
    failing(monkeypatch, OSError(number, os.strerror(number)))
    stage.tick()
    assert stage.root.mode is RootMode.POLLING
    assert says in stage.root.reason
    assert says in stage.said[0]
    assert stage.root.pass_at == stage.now
    stage.look()
    assert stage.root.pass_at == stage.now + 60
    monkeypatch.setattr(EventSource, "start", real)
    stage.tick(59)
    assert stage.root.mode is RootMode.POLLING
    assert ticked(stage).mode is RootMode.EVENTS
    assert stage.root.pass_at == stage.now
    assert stage.said[-1] == "Library music is watched by events."


def test_when_the_kernel_has_no_room_for_more_watches_it_polls_too(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    limit: list[Limit | None] = [Limit("max_user_watches", "the limit is used up")]
    monkeypatch.setattr(watched_root, "limit_reached", lambda: limit[0])
    stage = make()
    stage.tick()
    assert (stage.root.mode, stage.root.reason) == (RootMode.BOTH, "the limit is used up")
    stage.look()
    assert stage.root.pass_at == stage.now + 60
    stage.tick()
    assert stage.root.restarts == 0
    limit[0] = None
    stage.look()
    stage.tick()
    assert (stage.root.mode, stage.root.reason) == (RootMode.EVENTS, "")


def test_a_limit_that_is_reached_later_is_found_by_the_next_look(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    limit: list[Limit | None] = [None]
    monkeypatch.setattr(watched_root, "limit_reached", lambda: limit[0])
    stage = make()
    stage.tick()
    stage.look()
    assert stage.root.mode is RootMode.EVENTS
    limit[0] = Limit("max_user_watches", "the limit is used up")
    stage.look()
    assert (stage.root.mode, stage.root.reason) == (RootMode.BOTH, "the limit is used up")
    assert stage.root.pass_at == stage.now + 60


def test_without_polling_a_limit_is_named_but_nothing_polls(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_root, "limit_reached", lambda: Limit("max_user_watches", "the limit is used up"))
    stage = make(fallback_to_polling=Polling.NEVER)
    stage.tick()
    stage.look()
    assert (stage.root.mode, stage.root.reason) == (RootMode.EVENTS, "the limit is used up")
    assert stage.root.pass_at == stage.now + 480


def test_after_a_doubt_it_is_watched_anew_and_looked_at(make: Make) -> None:
    stage = make()
    stage.tick()
    stage.look()
    stage.root.doubt("events were lost")
    assert stage.dues == [stage.now]
    stage.tick()
    assert stage.root.restarts == 1
    assert stage.root.mode is RootMode.EVENTS
    assert stage.root.pass_at == stage.now
    stage.wait_for_event(stage.folder / "new.flac")
    stage.tick()
    assert stage.root.restarts == 1


def test_pauses_between_restarts_grow_are_bounded_and_begin_anew_after_quiet_times(make: Make) -> None:
    stage = make()
    stage.tick()
    pauses: list[float] = []
    for _ in range(10):
        stage.root.doubt("events were lost")
        stage.tick(0.5)
        began = stage.now
        while stage.root.mode is not RootMode.EVENTS:
            assert "begun anew (events were lost)" in stage.root.reason
            stage.tick(0.5)
            assert stage.now - began <= 60
        pauses.append(stage.now - began)
    assert pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    for _ in range(70):
        stage.tick()
    for expected in (0, 1):
        stage.root.doubt("events were lost")
        stage.tick(0.5)
        began = stage.now
        while stage.root.mode is not RootMode.EVENTS:
            stage.tick(0.5)
        assert stage.now - began == expected


def test_while_it_waits_for_its_events_it_is_polled(make: Make) -> None:
    stage = make()
    stage.tick()
    for _ in range(2):
        stage.root.doubt("events were lost")
        stage.tick()
    assert stage.root.mode is RootMode.POLLING
    assert stage.root.pass_at == stage.now
    stage.look()
    assert stage.root.pass_at == stage.now + 60


def test_a_thread_of_its_source_that_ended_is_a_doubt(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = make()
    stage.tick()
    with monkeypatch.context() as patched:
        patched.setattr(EventSource, "is_healthy", lambda _: False)
        stage.tick()
    assert stage.root.restarts == 1
    assert "a thread that brought its events has ended" in stage.said[-1]


def test_folders_that_are_not_watched_are_a_doubt(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = make()
    (stage.folder / "album").mkdir()
    stage.tick()
    with monkeypatch.context() as patched:
        patched.setattr(EventSource, "count_watches", lambda _: 1)
        stage.look()
    stage.tick()
    assert stage.root.restarts == 1


def test_a_drive_that_is_mounted_inside_is_a_doubt_and_polled_from_then_on(make: Make, drives: Drives) -> None:
    stage = make()
    stage.tick()
    stage.look()
    drives.below = (os.fsencode(stage.folder / "usb"),)
    stage.tick()
    assert stage.root.mode is RootMode.BOTH
    assert "other drives are mounted in it" in stage.root.reason
    assert stage.root.pass_at == stage.now
    drives.below = ()
    assert ticked(stage, 100).mode is RootMode.EVENTS


# When everything is looked at again


@pytest.mark.parametrize(
    ("kind", "took_s", "expected"),
    [(EXT4, 0.1, 480), (EXT4, 30, 600), (OVERLAY, 0.1, 60), (OVERLAY, 4, 80), (NFS, 0.1, 60), (NFS, 10, 200)],
)
def test_the_next_look_comes_after_the_interval_or_twenty_times_what_one_takes(
    make: Make, drives: Drives, kind: FileSystem, took_s: float, expected: float
) -> None:
    stage = make()
    drives.kinds[os.fsencode(stage.folder)] = kind
    stage.tick()
    stage.look(took_s=took_s)
    assert stage.root.pass_at == stage.now + expected


def test_a_polling_interval_above_that_of_the_reconcile_does_not_delay_it(make: Make, drives: Drives) -> None:
    stage = make(polling_interval=900.0)
    drives.kinds[os.fsencode(stage.folder)] = NFS
    stage.tick()
    stage.look()
    assert stage.root.pass_at == stage.now + 480


def test_a_link_that_came_has_everything_looked_at_soon(make: Make) -> None:
    stage = make()
    stage.tick()
    stage.look()
    stage.root.relook()
    stage.tick()
    assert stage.root.pass_at == stage.now
    assert stage.root.restarts == 0


# Links


def test_what_a_link_leads_to_is_watched_under_the_links_name(make: Make, tmp_path: Path) -> None:
    stage = make()
    far = tmp_path / "far"
    write_flac(far / "deep" / "1.flac")
    (stage.folder / "link").symlink_to(far)
    stage.tick()
    stage.look()
    assert stage.root.links == {b"link": os.fsencode(os.path.realpath(far))}
    stage.wait_for_event(far / "new.flac", b"link")
    stage.tick()
    assert (stage.root.mode, stage.root.restarts) == (RootMode.EVENTS, 0)
    (stage.folder / "link").unlink()
    stage.look()
    stage.tick()
    assert stage.root.links == {}
    assert stage.root.restarts == 0


def test_links_are_not_followed_when_the_configuration_says_so(make: Make, tmp_path: Path) -> None:
    stage = make(follow_symlinks=False)
    write_flac(tmp_path / "far" / "1.flac")
    (stage.folder / "link").symlink_to(tmp_path / "far")
    stage.tick()
    stage.look()
    assert stage.root.links == {}


@pytest.mark.parametrize(
    "links",
    [
        {"link": "far", "another": "far"},
        {"1/link": "music/2"},
        {"link": "music"},
        {"link": "far", "deeper": "far/deep"},
        {"link": "far/deep", "z": "far"},
        {"broken": "nowhere"},
    ],
    ids=["two to one", "to a folder inside", "to the root", "and deeper", "deeper first", "broken"],
)
def test_links_of_any_kind_are_no_reason_to_doubt(make: Make, tmp_path: Path, links: dict[str, str]) -> None:
    stage = make()
    for name in ("1", "2"):
        write_flac(stage.folder / name / f"{name}.flac")
    write_flac(tmp_path / "far" / "deep" / "1.flac")
    for name, target in links.items():
        (stage.folder / name).symlink_to(tmp_path / target)
    stage.tick()
    for _ in range(3):
        stage.look()
        stage.tick()
    assert (stage.root.restarts, stage.root.mode) == (0, RootMode.EVENTS)


def test_a_link_to_a_drive_without_events_has_the_root_polled_and_is_no_reason_to_doubt(
    make: Make, drives: Drives, tmp_path: Path
) -> None:
    stage = make()
    write_flac(tmp_path / "nas" / "deep" / "1.flac")
    drives.kinds[os.fsencode(tmp_path / "nas")] = NFS
    (stage.folder / "link").symlink_to(tmp_path / "nas")
    stage.tick()
    for _ in range(3):
        stage.look()
        stage.tick()
        assert stage.root.mode is RootMode.BOTH
        assert "links in it lead to drives" in stage.root.reason
    assert stage.root.restarts == 0
    assert stage.root.pass_at <= stage.now + 60


# The end


def test_a_root_that_is_closed_leaves_no_thread(make: Make) -> None:
    before = set(threading.enumerate())
    stage = make()
    stage.tick()
    assert set(threading.enumerate()) > before
    stage.root.close()
    stage.root.close()
    assert set(threading.enumerate()) == before


def test_markers_are_looked_for_only_where_no_events_tell_of_them(make: Make, drives: Drives) -> None:
    stage = make()
    marker = os.fsencode(stage.folder) + b"/" + MARKER_PREFIX + b"1" + MARKER_SUFFIX
    Path(os.fsdecode(marker)).touch()
    stage.tick()
    assert stage.root.markers() == []
    drives.kinds[os.fsencode(stage.folder)] = NFS
    stage.root.away("it stopped answering", stage.now)
    assert stage.root.markers() == []
    stage.tick(61)
    assert stage.root.markers() == [os.path.basename(marker)]
