"""What the kernel does to a watcher: full queues, no room for watches, threads that die."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from watchdog.observers.api import BaseObserver

from psm.services import watch_status
from psm.services.watch_events import WatchEventKind
from psm.services.watch_status import WatcherStatus
from psm.services.watched_root import WatchedRoot
from tests.factories import flac_bytes
from tests.kernel_limits import LimitedPsm, raise_limits
from tests.running import Psm
from tests.watched import Watched, album, process, wait_until, watching

DEADLINE_S = 90.0

_PLAIN_HANDLER = """
import os, sys
from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

class Handler(FileSystemEventHandler):
    seen = set()
    def on_created(self, event):
        name = os.path.basename(event.src_path)
        if name.startswith("cookie"):
            print(len(self.seen), flush=True)
        elif name.startswith("new"):
            self.seen.add(name)

observer = Observer()
observer.schedule(Handler(), sys.argv[1], recursive=True)
observer.start()
print("ready", flush=True)
sys.stdin.read()
observer.stop()
observer.join()
"""


def present(psm: Psm) -> int:
    with closing(sqlite3.connect(psm.database)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM library_files WHERE status = 'present'").fetchone()
        return int(count)


def said_of_itself(psm: Psm) -> WatcherStatus:
    """What the watcher of the one library says in its file."""
    (file,) = psm.data_folder.glob("*.watch-*.json")
    status = watch_status.read(file)
    assert status is not None
    return status


def cpu_s(process_id: int) -> float:
    """How many seconds of CPU time a process has had."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share_of_cpu(process_id: int, *, over_s: float) -> float:
    before = cpu_s(process_id)
    threading.Event().wait(over_s)
    return (cpu_s(process_id) - before) / over_s


def test_nothing_is_lost_when_the_kernels_queue_overflows_and_nothing_spins_afterwards(
    psm: Psm, tmp_path: Path
) -> None:
    root = tmp_path / "music"
    for n in range(4_500):
        (root / f"artist {n // 10}" / f"album {n}").mkdir(parents=True)
    place = root / "artist 0" / "album 0"
    psm("library", "add", root)
    # Each file is created, written and closed: three events, and none is like another.
    count = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()) // 3 + 1_000
    with (
        process(psm) as running,
        subprocess.Popen(
            [sys.executable, "-c", _PLAIN_HANDLER, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as plain,
    ):
        assert plain.stdin is not None
        assert plain.stdout is not None
        assert plain.stdout.readline() == "ready\n"
        watchers = (running.popen.pid, plain.pid)
        for watcher in watchers:
            os.kill(watcher, signal.SIGSTOP)
        for n in range(count):
            (place / f"new {n}.flac").write_bytes(flac_bytes(f"{n}"))
        for watcher in watchers:
            os.kill(watcher, signal.SIGCONT)
        assert seen_by(plain, place) < count
        wait_until(lambda: present(psm) == count, "all files are in the database", within_s=DEADLINE_S)
        running.wait_for("root", "begin anew, and all is looked at: watchdog warns: Inotify queue overflowed")
        wait_until(lambda: (status := said_of_itself(psm)).restarts == 1 and status.pending == 0, "it has settled")
        wait_until(lambda: share_of_cpu(running.popen.pid, over_s=3.0) < 0.05, "it does not spin")


def seen_by(plain: "subprocess.Popen[str]", place: Path) -> int:
    """How many files a handler saw that was told of everything it will ever be told."""
    assert plain.stdin is not None
    assert plain.stdout is not None
    answers: list[str] = []
    reader = threading.Thread(target=lambda: answers.append(plain.stdout.readline()))  # type: ignore[union-attr]
    reader.start()
    number = 0
    while reader.is_alive():
        number += 1
        (place / f"cookie {number}").touch()
        reader.join(0.5)
    plain.stdin.close()
    return int(answers[0])


@pytest.mark.parametrize("by", ["kernel", "stand-in"])
def test_folders_without_a_watch_are_polled_until_the_limit_is_raised(tmp_path: Path, by: str) -> None:
    psm = LimitedPsm(tmp_path, by=by, watches=20)
    root = tmp_path / "music"
    for n in range(50):
        album(root / f"album {n:02}", 1)
    psm("library", "add", root)
    with process(psm, "--interval", "1") as running:
        said = next(e["text"] for e in running.events if e["event"] == "root")
        assert "by events and polling: the kernel's limit of watched folders" in said
        assert re.search(r"sudo sysctl (fs\.inotify\.max_user|user\.max_inotify)_watches=\d{6} ", said)
        assert said.partition(": ")[2].rstrip(".") in psm("status").stdout
        for n in range(50):
            album(root / f"album {n:02}", 2)
        wait_until(lambda: present(psm) == 100, "all are in the database", within_s=DEADLINE_S)
        raise_limits(running.popen)
        wait_until(
            lambda: any(e["text"].endswith("is watched by events.") for e in running.events),
            "it is watched by events",
            within_s=DEADLINE_S,
        )
        album(root / "album 49", 3)
        wait_until(lambda: present(psm) == 101, "it is in the database", within_s=DEADLINE_S)
        assert "sysctl" not in psm("status").stdout


@pytest.mark.parametrize("by", ["kernel", "stand-in"])
def test_without_a_single_event_queue_everything_is_polled_until_the_limit_is_raised(tmp_path: Path, by: str) -> None:
    psm = LimitedPsm(tmp_path, by=by, instances=0)
    root = album(tmp_path / "music")
    psm("library", "add", root)
    with process(psm, "--interval", "1") as running:
        said = next(e["text"] for e in running.events if e["event"] == "root")
        assert "by polling: the kernel's limit of programs that watch folders" in said
        assert re.search(r"sudo sysctl (fs\.inotify\.max_user|user\.max_inotify)_instances=\d{4} ", said)
        assert said.partition(": ")[2].rstrip(".") in psm("status").stdout
        album(root, 4)
        wait_until(lambda: present(psm) == 4, "it is in the database", within_s=DEADLINE_S)
        raise_limits(running.popen)
        wait_until(
            lambda: any(e["text"].endswith("is watched by events.") for e in running.events),
            "it is watched by events",
            within_s=DEADLINE_S,
        )
        album(root, 5)
        wait_until(lambda: present(psm) == 5, "it is in the database", within_s=DEADLINE_S)


# Threads that die


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Watched]:
    shelf = Watched(tmp_path)
    album(shelf.library())
    yield shelf
    shelf.close()


def fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError("this thread dies")


def kill_reader(observer: BaseObserver) -> None:
    observer._inotify_fd.read_events = fail  # type: ignore[attr-defined]


def kill_emitter(observer: BaseObserver) -> None:
    for emitter in observer.emitters:
        emitter.queue_events = fail  # type: ignore[method-assign]


def kill_dispatcher(observer: BaseObserver) -> None:
    observer.dispatch_events = fail  # type: ignore[method-assign]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("kill", [kill_reader, kill_emitter, kill_dispatcher])
def test_nothing_is_lost_when_a_thread_that_brings_events_dies(
    shelf: Watched, kill: Callable[[BaseObserver], None]
) -> None:
    with watching(shelf):
        root = only_root(shelf)
        source = root._source
        assert source is not None
        assert source._observer is not None
        kill(source._observer)
        # The first events end the thread, and are lost with it.
        album(shelf.folder / "music" / "new", 2)
        shelf.settle()
        wait_until(lambda: root.restarts == 1, "its events are begun anew")
        album(shelf.folder / "music" / "newer", 2)
        shelf.settle()
        assert root.restarts == 1
        assert not any("defect" in text for text in shelf.said(WatchEventKind.ERROR))
        shelf.verify()


def only_root(shelf: Watched) -> WatchedRoot:
    (watched,) = shelf.watcher._roots
    return watched.root
