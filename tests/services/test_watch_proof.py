"""The proof that changes are noticed: with real watchers, real file events, and everything that can be in the way."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from psm.config import Config, LibraryConfig, Polling, WatchConfig
from psm.db import Database
from psm.filesystems import FileSystem
from psm.locks import hold
from psm.models import Library
from psm.services import drives, watch_proof
from psm.services.checks import Check, Verdict
from psm.services.event_source import Limit
from psm.services.watch_proof import gives_events, limits, prove
from psm.services.watch_service import LibraryWatcher
from psm.services.watch_status import RootMode, WatcherStatus, write
from tests.factories import add_library

LOCAL = FileSystem("ext4", is_local=True, keeps_inodes=True, delivers_events=True, mount_point=b"/")
NETWORK = FileSystem("nfs4", is_local=False, keeps_inodes=False, delivers_events=False, mount_point=b"/mnt")


class Place:
    """A database with one library, whose folder is there."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / os.fsdecode(b"m\xfcsic")
        self.root.mkdir()
        self.db = Database(folder / "psm.db")
        self.library = add_library(self.db, name="Music", root=os.path.realpath(os.fsencode(self.root)))
        self.heard: list[str] = []

    def prove(self, watch: WatchConfig | None = None, **options: object) -> Check:
        [check] = prove(self.db, watch or WatchConfig(), [self.library], say=self.heard.append, **options)  # type: ignore[arg-type]  # of any kind
        assert list(self.root.iterdir()) == []  # no marker stays
        assert check.what == "watching Music"
        return check

    def says(self, **fields: object) -> WatcherStatus:
        status = WatcherStatus("Music", self.library.root, "psm build --watch", os.getpid(), 1.0)
        status = replace(status, **{"ready": True, "mode": RootMode.EVENTS, **fields})  # type: ignore[arg-type]  # of any kind
        write(self.db.watch_status(self.library.id), status)
        return status

    @contextmanager
    def watched(self, **fields: object) -> Iterator[None]:
        """While the block runs, somebody holds the watcher's lock, says this, and sees nothing."""
        with hold(self.db.watch_lock(self.library.id), what="psm build --watch"):
            self.says(**fields)
            yield


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.db.close()


@pytest.fixture
def on_a_local_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    lies_on(monkeypatch, LOCAL)


def lies_on(monkeypatch: pytest.MonkeyPatch, drive: FileSystem) -> None:
    for module in (watch_proof, drives):
        monkeypatch.setattr(module, "filesystem_of", lambda _: drive)
    monkeypatch.setattr(watch_proof, "mounts_below", lambda _: ())


def jumping_clock() -> Callable[[], float]:
    """A clock on which each look is a second after the last."""
    times = iter(range(10_000))
    return lambda: float(next(times))


# Nobody watches


@pytest.mark.usefixtures("on_a_local_drive")
def test_a_drive_that_tells_about_changes_is_said_to(place: Place) -> None:
    check = place.prove()
    assert (check.verdict, check.remedy) == (Verdict.OK, "")
    assert check.finding.startswith("no watcher runs; its drive tells about changes (after ")


def test_a_drive_that_is_polled_is_not_tried(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    lies_on(monkeypatch, NETWORK)
    check = place.prove()
    assert check.verdict is Verdict.OK
    assert "psm looks for changes every 60 s: nfs4 is a network drive" in check.finding
    lies_on(monkeypatch, LOCAL)
    assert "the configuration asks for polling" in place.prove(WatchConfig(fallback_to_polling=Polling.ALWAYS)).finding


def test_a_drive_that_may_not_tell_everything_is_tried_and_polled(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    lies_on(monkeypatch, replace(LOCAL, type="overlay", delivers_events=False))
    finding = place.prove(WatchConfig(polling_interval=90)).finding
    assert "its drive tells about changes" in finding
    assert "psm looks for changes every 90 s as well: overlay does not tell of every change" in finding


@pytest.mark.usefixtures("on_a_local_drive")
def test_a_drive_that_tells_nothing_is_noted_with_what_to_do(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_proof, "SEEN_WITHIN_S", 0.2)
    monkeypatch.setattr(watch_proof._Waiter, "dispatch", lambda *_: None)
    check = place.prove()
    assert (check.verdict, "does not tell about changes" in check.finding) == (Verdict.NOTE, True)
    assert "fallback_to_polling to true" in check.remedy
    monkeypatch.setattr(watch_proof, "limit_reached", lambda: Limit("max_user_watches", "the limit is used up"))
    assert place.prove().finding.endswith("one would poll: the limit is used up")


@pytest.mark.usefixtures("on_a_local_drive")
def test_a_watch_that_cannot_be_had_says_why(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr("watchdog.observers.api.BaseObserver.start", refused)
    check = place.prove()
    assert check.verdict is Verdict.NOTE
    assert "sudo sysctl fs.inotify.max_user_instances=" in check.finding
    assert not [t for t in threading.enumerate() if "notify" in t.name.lower()]


@pytest.mark.usefixtures("on_a_local_drive")
def test_a_folder_that_cannot_be_written_is_no_problem(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as closed:
        closed.setattr(os, "open", refused)
        alone = place.prove()
    with place.watched():
        monkeypatch.setattr(watch_proof._Marker, "_create", lambda _: "it cannot be written: Permission denied")
        watched = place.prove()
    for check in (alone, watched):
        assert (check.verdict, "cannot be written: Permission denied" in check.finding) == (Verdict.NOTE, True)


def test_a_hung_drive_is_given_up_and_its_marker_removed_when_it_wakes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    lies_on(monkeypatch, NETWORK)
    monkeypatch.setattr(drives, "ANSWER_S", 0.2)
    released, done = threading.Event(), threading.Event()
    create = watch_proof._Marker._create

    def hangs(marker: watch_proof._Marker) -> str:
        released.wait(60)
        said = create(marker)
        done.set()
        return said

    monkeypatch.setattr(watch_proof._Marker, "_create", hangs)
    with place.watched(mode=RootMode.POLLING):
        check = place.prove()
    assert (check.verdict, "its drive does not answer" in check.finding) == (Verdict.NOTE, True)
    released.set()
    assert done.wait(30)
    assert list(place.root.iterdir()) == []


def test_a_library_that_is_left_to_scans_is_passed_over(place: Place) -> None:
    assert prove(place.db, WatchConfig(), [replace(place.library, watch=False)]) == ()


def test_a_stop_leaves_out_what_is_not_proved(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    lies_on(monkeypatch, LOCAL)
    stop = threading.Event()

    class Stopping(watch_proof._Waiter):
        def dispatch(self, _: object) -> None:
            stop.set()

    monkeypatch.setattr(watch_proof, "_Waiter", Stopping)
    began = time.monotonic()
    assert prove(place.db, WatchConfig(), [place.library, place.library], stop=stop) == ()
    assert time.monotonic() - began < 4
    assert list(place.root.iterdir()) == []


# A watcher runs


@pytest.mark.parametrize(("polling", "how"), [(Polling.NEVER, "by events"), (Polling.ALWAYS, "by polling")])
def test_a_running_watcher_sees_the_marker(place: Place, polling: Polling, how: str) -> None:
    watch = WatchConfig(fallback_to_polling=polling, polling_interval=1, debounce_seconds=0)
    config = Config(folder=place.root.parent / "config", library=LibraryConfig(watch=watch))
    watcher = LibraryWatcher(place.db, config)
    watcher.start()
    try:
        assert watcher.wait_until_ready(30)
        check = place.prove(watch)
    finally:
        watcher.stop()
    assert check.verdict is Verdict.OK, check
    assert f"psm scan --watch, process {os.getpid()}, since " in check.finding
    assert f", sees changes {how}, this one after " in check.finding
    assert place.heard == ([] if how == "by events" else [place.heard[0]])


def test_a_watcher_that_sees_nothing_is_a_problem(place: Place) -> None:
    with place.watched():
        check = place.prove(clock=jumping_clock())
    assert (check.verdict, "has not seen a new file, although it watches by events" in check.finding) == (
        Verdict.PROBLEM,
        True,
    )
    assert "psm scan --quick" in check.remedy


def test_a_watcher_that_polls_as_well_may_miss_an_event(place: Place) -> None:
    with place.watched(mode=RootMode.BOTH, reason="overlay does not tell of every change"):
        check = place.prove(clock=jumping_clock())
    assert check.verdict is Verdict.NOTE
    assert check.finding.endswith("but it polls as well: overlay does not tell of every change")


def test_a_watcher_that_polls_is_waited_for_until_its_next_look(place: Place) -> None:
    now = time.time()
    with place.watched(mode=RootMode.POLLING, next_pass_at=now + 40, reason="nfs4"):
        check = place.prove(clock=jumping_clock(), now=lambda: now)
        assert place.heard[0].startswith("Waiting up to ")
        assert check.verdict is Verdict.PROBLEM
        place.says(mode=RootMode.POLLING, next_pass_at=now + 4_000, reason="nfs4")
        check = place.prove(now=lambda: now)
    assert (check.verdict, "looks again in 4,000 s, which is not waited for: nfs4" in check.finding) == (
        Verdict.OK,
        True,
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mode": RootMode.STARTING}, "is only beginning"),
        ({"mode": RootMode.OFFLINE, "reason": "it is no folder"}, "waits for its folder: it is no folder"),
        ({"ready": False}, "still looks at everything"),
        ({"pid": 1}, "is only beginning"),
    ],
)
def test_what_explains_it_is_no_problem(place: Place, fields: dict[str, object], said: str) -> None:
    with place.watched(**fields):
        check = place.prove(clock=jumping_clock())
    assert (check.verdict, said in check.finding) == (Verdict.NOTE, True)


def test_a_watcher_that_waits_for_a_scan_is_no_problem(place: Place) -> None:
    with place.watched(), hold(place.db.scan_lock, what="psm scan"):
        check = place.prove(clock=jumping_clock())
    assert (check.verdict, "it waits for a scan (psm scan, process " in check.finding) == (Verdict.NOTE, True)


def test_a_watcher_that_ends_meanwhile_is_said_to(place: Place) -> None:
    watcher = hold(place.db.watch_lock(place.library.id), what="psm build --watch")
    with watcher:
        place.says()
        ended = threading.Event()

        def end(_: float) -> None:
            if not ended.is_set():
                ended.set()
                watcher.__exit__(None, None, None)

        check = place.prove(clock=jumping_clock(), sleep=end)
    assert (check.verdict, "has ended meanwhile" in check.finding) == (Verdict.NOTE, True)


def test_a_stop_ends_the_waiting_for_a_watcher(place: Place) -> None:
    stop = threading.Event()
    with place.watched():
        assert prove(place.db, WatchConfig(), [place.library], stop=stop, sleep=lambda _: stop.set()) == ()
    assert list(place.root.iterdir()) == []


# The kernel's limits


@pytest.mark.parametrize(
    ("folders", "sources", "watches", "instances", "raised"),
    [
        (8_192, 1, 8_192, 128, []),
        (8_193, 1, 8_192, 128, ["fs.inotify.max_user_watches=524288"]),
        (400_000, 1, 300_000, 128, ["fs.inotify.max_user_watches=800000"]),
        (10, 3, 8_192, 2, ["fs.inotify.max_user_instances=1024"]),
        (10, 3, 0, 0, ["fs.inotify.max_user_watches=524288", "fs.inotify.max_user_instances=1024"]),
        (10**9, 10**9, None, None, []),
    ],
)
def test_limits_that_will_not_do_come_with_the_command_that_raises_them(
    folders: int, sources: int, watches: int | None, instances: int | None, raised: list[str]
) -> None:
    found = limits(folders, sources, watches=watches, instances=instances)
    assert [check.verdict for check in found] == [Verdict.NOTE] * len(raised)
    assert all(f"sudo sysctl {line}" in check.remedy for check, line in zip(found, raised, strict=True))


def test_only_what_is_watched_by_events_needs_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(1, "Music", b"/music")
    lies_on(monkeypatch, LOCAL)
    assert gives_events(library, WatchConfig())
    assert not gives_events(library, WatchConfig(fallback_to_polling=Polling.ALWAYS))
    lies_on(monkeypatch, NETWORK)
    assert not gives_events(library, WatchConfig())
