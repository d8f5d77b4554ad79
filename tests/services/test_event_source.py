"""The file events of real folders: what is told, what watchdog keeps to itself, and that nothing is left behind."""

import ctypes
import errno
import gc
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import inotify_c
from watchdog.observers.inotify import InotifyEmitter

from psm.services import event_source
from psm.services.event_source import EventSource, doubts, limit_behind, limit_reached
from tests.watched import wait_until


class Heard(FileSystemEventHandler):
    """Keeps the events, as (what, path)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, bytes]] = []

    def dispatch(self, event: FileSystemEvent) -> None:
        self.events.append((event.event_type, os.fsencode(event.src_path)))
        if event.dest_path:
            self.events.append(("moved to", os.fsencode(event.dest_path)))

    def of(self, path: Path | bytes) -> list[str]:
        return [what for what, where in self.events if where == os.fsencode(path)]


class Watch:
    """A folder, its source, and what is heard of it."""

    def __init__(self, folder: Path | bytes) -> None:
        self.folder = os.fsencode(folder)
        self.heard = Heard()
        self.source = EventSource(self.folder, self.heard)
        self.cookies = 0

    def settle(self, folder: bytes | None = None) -> None:
        """Waits until all events of what was done before are here.

        For the cookie's creation: a folder that was made just now may be watched too late for its closing.
        """
        self.cookies += 1
        cookie = os.path.join(folder or self.folder, b"cookie %d" % self.cookies)
        Path(os.fsdecode(cookie)).touch()
        wait_until(lambda: "created" in self.heard.of(cookie), "the events have come")


@contextmanager
def watching(folder: Path | bytes) -> Iterator[Watch]:
    watch = Watch(folder)
    watch.source.start()
    try:
        yield watch
    finally:
        watch.source.stop()


def descriptors() -> set[str]:
    """The open files of this process: what each number stands for."""
    gc.collect()
    return {f"{n}: {name}" for n in os.listdir("/proc/self/fd") if (name := _name_of(n)) is not None}


def _name_of(number: str) -> str | None:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return None


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """No thread and no open file stays after a test."""
    threads, files = set(threading.enumerate()), descriptors()
    yield
    wait_until(lambda: set(threading.enumerate()) <= threads, "its threads have ended")
    assert descriptors() <= files


# What is told


def test_what_happens_to_files_and_folders_is_told(tmp_path: Path) -> None:
    old = tmp_path / "old.flac"
    old.write_bytes(b"1")
    with watching(tmp_path) as watch:
        (tmp_path / "new.flac").write_bytes(b"1")
        old.chmod(0o600)
        old.rename(tmp_path / "renamed.flac")
        (tmp_path / "new.flac").unlink()
        (tmp_path / "folder").mkdir()
        watch.settle()
        assert watch.heard.of(tmp_path / "new.flac") == ["created", "modified", "closed", "deleted"]
        assert watch.heard.of(old) == ["attrib", "moved"]
        assert watch.heard.of(tmp_path / "renamed.flac") == ["moved to"]
        assert watch.heard.of(tmp_path / "folder") == ["created"]


def test_reading_and_listing_cause_no_event(tmp_path: Path) -> None:
    song = tmp_path / "a" / "song.flac"
    song.parent.mkdir()
    song.write_bytes(b"1")
    with watching(tmp_path) as watch:
        song.read_bytes()
        os.listdir(song.parent)
        watch.settle()
        assert {os.path.basename(where) for _, where in watch.heard.events} == {b"cookie 1"}


def test_the_folder_itself_is_told_of_when_it_is_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    with watching(folder) as watch:
        folder.rmdir()
        wait_until(lambda: watch.heard.of(folder) == ["deleted"], "the folder's end is told")
        wait_until(lambda: not watch.source.is_healthy(), "its thread has ended")


def test_folders_that_appear_are_watched_too(tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        deep = tmp_path / "a" / "b" / "c"
        deep.mkdir(parents=True)
        watch.settle(os.fsencode(deep))
        assert watch.source.count_watches() == 4


def test_a_folder_that_is_watched_for_the_second_time_makes_no_noise_and_ends_no_thread(tmp_path: Path) -> None:
    """watchdog comes upon a folder twice when it appears while the one above is looked through, and warns of it."""
    with watching(tmp_path) as watch:
        group = next(iter(t for t in threading.enumerate() if isinstance(t, InotifyEmitter)))._inotify
        assert group is not None
        group._add_callback(os.fsencode(tmp_path))
        watch.settle()
        assert watch.source.is_healthy()


@pytest.mark.parametrize("name", [b"music \xff\xe4", "Müsik ♫".encode(), b"new\nline"])
def test_a_folder_of_any_name_is_watched(tmp_path: Path, name: bytes) -> None:
    folder = os.path.join(os.fsencode(tmp_path), name)
    os.makedirs(os.path.join(folder, name))
    with watching(folder) as watch:
        song = os.path.join(folder, name, b"\xfe.flac")
        Path(os.fsdecode(song)).touch()
        watch.settle()
        assert "created" in watch.heard.of(song)
        assert watch.source.count_watches() == 2


# Starting and stopping


def test_it_can_be_stopped_and_started_again(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    for _ in range(3):
        assert not watch.source.is_healthy()
        watch.source.start()
        assert watch.source.is_healthy()
        watch.settle()
        watch.source.stop()
        watch.source.stop()
        assert watch.source.count_watches() is None
    watch.heard.events.clear()
    (tmp_path / "unseen").touch()
    assert not watch.heard.events


def test_what_was_never_started_can_be_asked_and_stopped(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    assert not watch.source.is_healthy()
    assert watch.source.count_watches() is None
    watch.source.watch_links({b"/": Heard})
    watch.source.stop()


def test_a_folder_that_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "missing")
    with pytest.raises(OSError, match="No such file"):
        watch.source.start()
    assert not watch.source.is_healthy()
    (tmp_path / "missing").mkdir()
    watch.source.start()
    watch.settle()
    watch.source.stop()


def test_watches_are_counted_for_each_source_alone(tmp_path: Path) -> None:
    for name in ("one/a", "one/b", "two"):
        (tmp_path / name).mkdir(parents=True)
    with watching(tmp_path / "one") as one, watching(tmp_path / "two") as two:
        assert one.source.count_watches() == 3
        assert two.source.count_watches() == 1


# Links


def test_what_links_lead_to_is_watched_by_its_own_path(tmp_path: Path) -> None:
    root, far, farther = tmp_path / "root", tmp_path / "far", tmp_path / "farther"
    for folder in (root, far / "deep", farther):
        folder.mkdir(parents=True)
    heard = {far: Heard(), farther: Heard()}
    wanted: dict[bytes, Callable[[], FileSystemEventHandler]]
    wanted = {os.fsencode(folder): lambda folder=folder: heard[folder] for folder in heard}  # type: ignore[misc]
    with watching(root) as watch:
        watch.source.watch_links(wanted)
        watch.source.watch_links(wanted)
        assert watch.source.count_watches() == 4
        (far / "deep" / "song.flac").touch()
        (farther / "song.flac").touch()
        wait_until(lambda: "closed" in heard[far].of(far / "deep" / "song.flac"), "the link's event is here")
        wait_until(lambda: "closed" in heard[farther].of(farther / "song.flac"), "the other link's event is here")
        assert heard[far].of(far / "deep" / "song.flac").count("created") == 1
        assert not watch.heard.events

        watch.source.watch_links({os.fsencode(farther): Heard})
        assert watch.source.is_healthy()
        assert watch.source.count_watches() == 2
        heard[far].events.clear()
        (far / "later.flac").touch()
        (farther / "later.flac").touch()
        wait_until(lambda: "closed" in heard[farther].of(farther / "later.flac"), "the link that stayed is watched")
        assert not heard[far].events

        watch.source.watch_links({})
        assert watch.source.count_watches() == 1
        watch.settle()


def test_a_link_that_leads_nowhere_is_an_error_and_the_rest_stays_watched(tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        with pytest.raises(OSError, match="No such file"):
            watch.source.watch_links({b"/nowhere at all": Heard})
        watch.settle()
        assert watch.source.is_healthy()
        watch.source.watch_links({})
        assert watch.source.is_healthy()


def test_what_a_link_led_to_can_be_deleted_and_made_again(tmp_path: Path) -> None:
    root, far = tmp_path / "root", tmp_path / "far"
    root.mkdir()
    far.mkdir()
    heard = Heard()
    with watching(root) as watch:
        watch.source.watch_links({os.fsencode(far): lambda: heard})
        far.rmdir()
        wait_until(lambda: not watch.source.is_healthy(), "its thread has ended")
        watch.source.watch_links({})
        assert watch.source.is_healthy()
        far.mkdir()
        watch.source.watch_links({os.fsencode(far): lambda: heard})
        (far / "song.flac").touch()
        wait_until(lambda: "closed" in heard.of(far / "song.flac"), "it is watched again")
        assert watch.source.is_healthy()


# What watchdog keeps to itself


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_reader_that_dies_is_noticed_and_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    with watching(tmp_path / "music") as watch:
        assert watch.source.is_healthy()
        spoil_reading(tmp_path)
        (tmp_path / "music" / "song.flac").touch()
        wait_until(lambda: not watch.source.is_healthy(), "it is known to be dead")


def spoil_reading(folder: Path) -> None:
    """Puts a folder in the place of the kernel's instance, which cannot be read: the thread that tries to ends."""
    (number,) = (int(n) for n in os.listdir("/proc/self/fd") if "inotify" in (_name_of(n) or ""))
    other = os.open(folder, os.O_RDONLY)
    os.dup2(other, number, inheritable=False)
    os.close(other)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_handler_that_raises_ends_the_thread_and_that_is_noticed(tmp_path: Path) -> None:
    class Bad(Heard):
        def dispatch(self, event: FileSystemEvent) -> None:
            raise RuntimeError("a defect")

    source = EventSource(os.fsencode(tmp_path), Bad())
    source.start()
    (tmp_path / "song.flac").touch()
    wait_until(lambda: not source.is_healthy(), "it is known to be dead")
    source.stop()


def test_what_watchdog_warns_of_is_heard_while_the_block_runs(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []
    logger = logging.getLogger("watchdog.observers.inotify_c")
    with doubts(heard.append):
        logger.warning("Inotify queue overflowed; %s were lost", "events")
        logger.info("nothing of note")
    logger.warning("after the block")
    assert heard == ["Inotify queue overflowed; events were lost"]


def test_an_overflow_of_the_kernels_queue_is_heard(tmp_path: Path) -> None:
    """The event is made by hand: what the kernel would send."""
    heard: list[str] = []
    with doubts(heard.append), watching(tmp_path) as watch:
        reader = next(t for t in threading.enumerate() if isinstance(t, inotify_c.InotifyFD))
        overflow = inotify_c.InotifyConstants.IN_Q_OVERFLOW
        reader.handle_event(inotify_c.InotifyEvent(inotify_c.WatchDescriptor(-1), overflow, 0, b""))
        watch.settle()
    assert any("overflow" in warning for warning in heard)


def test_who_hears_the_doubts_may_fail(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: str) -> None:
        raise RuntimeError("a defect")

    with doubts(fail):
        logging.getLogger("watchdog").warning("events were lost")
    assert "a defect" in capsys.readouterr().err


# The kernel's limits. What the kernel answers is put in its place: not every machine lets its limits be changed.


@pytest.fixture
def room_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Leaves room for so many more watches."""

    def leave(count: int) -> None:
        left = [count]
        real = inotify_c.inotify_add_watch

        def add_watch(instance: int, path: bytes, mask: int) -> int:
            if left[0] <= 0:
                ctypes.set_errno(errno.ENOSPC)
                return -1
            left[0] -= 1
            return real(instance, path, mask)

        monkeypatch.setattr(inotify_c, "inotify_add_watch", add_watch)

    return leave


def test_with_room_left_no_limit_is_reached() -> None:
    assert limit_reached() is None


def test_folders_that_the_kernel_has_no_room_for_are_found_by_counting(
    tmp_path: Path, room_for: Callable[[int], None]
) -> None:
    for n in range(50):
        (tmp_path / f"{n:02}").mkdir()
    room_for(20)
    with watching(tmp_path) as watch:
        assert watch.source.count_watches() == 20
        assert watch.source.is_healthy()  # watchdog says nothing
        limit = limit_reached()
        assert limit is not None
        assert limit.name == "max_user_watches"


def test_without_room_for_a_single_folder_it_does_not_start(tmp_path: Path, room_for: Callable[[int], None]) -> None:
    room_for(0)
    with pytest.raises(OSError, match="limit") as raised:
        Watch(tmp_path).source.start()
    limit = limit_behind(raised.value)
    assert limit is not None
    assert limit.name == "max_user_watches"


def test_without_room_for_an_instance_it_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> int:
        ctypes.set_errno(errno.EMFILE)
        return -1

    monkeypatch.setattr(inotify_c, "inotify_init", init)
    with pytest.raises(OSError, match="limit") as raised:
        Watch(tmp_path).source.start()
    limit = limit_behind(raised.value)
    assert limit is not None
    assert limit.name == "max_user_instances"
    assert limit_reached() is None


@pytest.mark.parametrize(
    ("number", "name", "in_force", "command"),
    [
        (errno.ENOSPC, "max_user_watches", 8_192, "sudo sysctl fs.inotify.max_user_watches=524288 "),
        (errno.ENOSPC, "max_user_watches", 524_288, "sudo sysctl fs.inotify.max_user_watches=1048576 "),
        (errno.EMFILE, "max_user_instances", 128, "sudo sysctl fs.inotify.max_user_instances=1024 "),
        (errno.EMFILE, "max_user_instances", 4_096, "sudo sysctl fs.inotify.max_user_instances=8192 "),
        (errno.EMFILE, "max_user_instances", None, "sudo sysctl fs.inotify.max_user_instances=1024 "),
    ],
)
def test_the_sentence_names_the_exact_command(
    monkeypatch: pytest.MonkeyPatch, number: int, name: str, in_force: int | None, command: str
) -> None:
    monkeypatch.setattr(event_source, "limit_in_force", lambda _: in_force)
    limit = limit_behind(OSError(number, "limit reached"))
    assert limit is not None
    assert limit.name == name
    assert command in limit.sentence
    assert f"write {command.removeprefix('sudo sysctl ')}into /etc/sysctl.d/60-psm.conf" in limit.sentence
    assert (" is used up" if in_force is None else f" ({in_force:,}) is used up") in limit.sentence


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENOTDIR, None])
def test_another_error_is_no_limit(number: int | None) -> None:
    assert limit_behind(OSError(number, "something else")) is None


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems_have_no_such_limits(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(event_source, "_SYSTEM", system)
    assert limit_behind(OSError(errno.ENOSPC, "")) is None
    assert limit_reached() is None
