"""Reading many files: here, in worker processes, and in threads."""

import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

from psm.ingest import reading as reading_module
from psm.ingest.reading import Job, Outcome, read_many, read_one
from psm.models import Reading
from psm.progress import NeverStop
from tests.factories import write_flac
from tests.watched import wait_until


def jobs_in(folder: Path, count: int) -> list[Job]:
    return [
        Job(os.fsencode(folder), os.fsencode(write_flac(folder / f"{n}.flac", title=f"Song {n}").name))
        for n in range(count)
    ]


def titles(outcomes: list[Outcome]) -> dict[int, str | None]:
    return {o.job: o.reading.tags.title if o.reading else None for o in outcomes}


@pytest.mark.parametrize(("network", "parallel_from"), [(False, 1000), (False, 10), (True, 1000)])
def test_every_way_of_reading_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: bool, parallel_from: int
) -> None:
    monkeypatch.setattr(reading_module, "PARALLEL_FROM", parallel_from)
    jobs = jobs_in(tmp_path, 100)
    outcomes = list(read_many(jobs, network=network, stop=NeverStop()))
    assert titles(outcomes) == {n: f"Song {n}" for n in range(100)}
    assert all(o.stat is not None and o.stat.size_bytes > 0 for o in outcomes)


@pytest.mark.parametrize(("network", "parallel_from"), [(False, 1000), (False, 10), (True, 1000)])
def test_every_way_of_reading_ends_when_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: bool, parallel_from: int
) -> None:
    monkeypatch.setattr(reading_module, "PARALLEL_FROM", parallel_from)
    stop = threading.Event()
    outcomes = read_many(jobs_in(tmp_path, 400), network=network, stop=stop)
    read = 0
    for _ in outcomes:
        read += 1
        stop.set()
    assert 1 <= read < 400


def test_nothing_to_read_is_no_work() -> None:
    for network in (False, True):
        assert list(read_many([], network=network, stop=NeverStop())) == []


def test_what_a_dead_worker_left_is_read_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "PARALLEL_FROM", 1)
    jobs = jobs_in(tmp_path, 300)

    class DyingPool(ProcessPoolExecutor):
        submitted = 0

        def submit(self, *arguments: Any, **options: Any) -> Future[Any]:
            DyingPool.submitted += 1
            if DyingPool.submitted == 4:
                return super().submit(os._exit, 1)
            return super().submit(*arguments, **options)

    monkeypatch.setattr(reading_module, "ProcessPoolExecutor", DyingPool)
    assert titles(list(read_many(jobs, network=False, stop=NeverStop()))) == {n: f"Song {n}" for n in range(300)}


def test_a_pool_that_breaks_while_work_is_handed_to_it_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "PARALLEL_FROM", 1)

    class BrokenPool(ProcessPoolExecutor):
        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            raise BrokenProcessPool("a worker was killed")

    monkeypatch.setattr(reading_module, "ProcessPoolExecutor", BrokenPool)
    jobs = jobs_in(tmp_path, 70)
    assert titles(list(read_many(jobs, network=False, stop=NeverStop()))) == {n: f"Song {n}" for n in range(70)}


def test_a_worker_that_hangs_does_not_hold_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "PARALLEL_FROM", 1)
    monkeypatch.setattr(reading_module, "_END_WITHIN_S", 0.1)
    stop = threading.Event()
    outcomes = read_many(jobs_in(tmp_path, 400), network=False, stop=stop)
    next(outcomes)
    workers = active_children()
    os.kill(workers[0].pid or 0, signal.SIGSTOP)
    stop.set()
    list(outcomes)
    wait_until(lambda: not any(worker.is_alive() for worker in workers), "the workers ended")


def test_workers_cannot_be_ended_by_ctrl_c_while_they_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "PARALLEL_FROM", 1)
    outcomes = read_many(jobs_in(tmp_path, 100), network=False, stop=NeverStop())
    next(outcomes)
    for worker in active_children():
        status = Path(f"/proc/{worker.pid}/status").read_text()
        blocked = next(line for line in status.splitlines() if line.startswith("SigBlk:"))
        assert int(blocked.split()[1], 16) & 1 << (signal.SIGINT - 1)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert len(list(outcomes)) == 99


def test_a_file_that_went_away_and_one_that_cannot_be_read_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_flac(tmp_path / "a.flac")
    gone = read_one(0, Job(os.fsencode(tmp_path), b"gone.flac"))
    assert gone.reading is None
    assert "went away" in (gone.failure or "")

    def refuse(*_: object) -> Reading:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("psm.ingest.tags.read_file", refuse)
    closed = read_one(0, Job(os.fsencode(tmp_path), b"a.flac"))
    assert closed.failure == "cannot be read: Permission denied"


def test_rule_06_a_file_that_grows_while_it_is_read_is_left_for_the_next_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_flac(tmp_path / "a.flac")
    from psm.ingest.tags import read_file

    def read_and_grow(path: bytes, relative: bytes) -> Reading:
        found = read_file(path, relative)
        with place.open("ab") as file:
            file.write(b"more")
        return found

    monkeypatch.setattr("psm.ingest.tags.read_file", read_and_grow)
    outcome = read_one(0, Job(os.fsencode(tmp_path), b"a.flac"))
    assert outcome.reading is None
    assert "still being written" in (outcome.failure or "")


def test_a_hanging_drive_is_left_behind_when_the_scan_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, released = threading.Event(), threading.Event()
    jobs = jobs_in(tmp_path, 8)

    def hang(*_: object) -> Reading:
        stop.set()
        released.wait(timeout=60)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("psm.ingest.tags.read_file", hang)
    try:
        assert list(read_many(jobs, network=True, stop=stop)) == []
        assert not released.is_set()
    finally:
        released.set()


def test_workers_leave_ctrl_c_to_their_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    started: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        started.append(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    try:
        reading_module._start_worker()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert [t.daemon for t in started] == [True]
