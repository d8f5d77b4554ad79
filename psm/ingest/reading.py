"""Reads the tags of many files: side by side when the work is large, and so that a dead network drive cannot hold
psm.
"""

import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import active_children, get_context, parent_process

from psm.abandon import POLL_S
from psm.ingest.files import file_stat
from psm.ingest.paths import open_path
from psm.models import FileStat, Reading
from psm.progress import StopSignal

# Measured: a spawned worker costs about as much as reading 300 small files, so that less is not worth it.
PARALLEL_FROM = 600
CHUNK = 32
MAX_WORKERS = 4
NETWORK_THREADS = 4
_RACE_NS = 2_000_000_000
_END_WITHIN_S = 3.0
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Job:
    """One file to read: ``relative`` below ``root``."""

    root: bytes
    relative: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job. Either ``stat`` and ``reading``, or the ``failure`` in a person's words.

    ``reread``: the file changed within 2 s of its reading, so a later change may carry the same time. ``in_motion``: it
    could not be read because it was written, or taken away, meanwhile.
    """

    job: int
    stat: FileStat | None = None
    reading: Reading | None = None
    reread: bool = False
    failure: str | None = None
    in_motion: bool = False


def read_many(jobs: Sequence[Job], *, network: bool, stop: StopSignal) -> Iterator[Outcome]:
    """Reads every file, in no particular order; ends early, within moments, once ``stop`` is set.

    ``network``: the files lie behind a network, where the wait is not the processor's and may never end.
    """
    if network:
        return _read_in_threads(jobs, stop)
    if len(jobs) >= PARALLEL_FROM and (os.cpu_count() or 1) > 1:
        return _read_in_processes(jobs, stop)
    return _read_here(jobs, stop)


def read_one(number: int, job: Job) -> Outcome:
    """Reads one file, and makes sure that it was not being written meanwhile."""
    from psm.ingest.tags import read_file

    try:
        with open_path(job.root, job.relative) as path:
            before = file_stat(os.stat(path))
            reading = read_file(path, job.relative)
            after = file_stat(os.stat(path))
    except FileNotFoundError:
        return Outcome(number, failure="it went away while psm looked at it; the next scan will tell", in_motion=True)
    except OSError as e:
        return Outcome(number, failure=f"cannot be read: {e.strerror or e}")
    if (before.size_bytes, before.mtime_ns) != (after.size_bytes, after.mtime_ns):
        return Outcome(number, failure="it is still being written; the next scan reads it", in_motion=True)
    return Outcome(number, stat=after, reading=reading, reread=abs(time.time_ns() - after.mtime_ns) <= _RACE_NS)


def _read_here(jobs: Sequence[Job], stop: StopSignal) -> Iterator[Outcome]:
    for number, job in enumerate(jobs):
        if stop.is_set():
            return
        yield read_one(number, job)


def _read_in_threads(jobs: Sequence[Job], stop: StopSignal) -> Iterator[Outcome]:
    """Daemon threads, because the interpreter waits for those of a pool, and one may hang for ever."""
    todo = iter(enumerate(jobs))
    todo_lock = threading.Lock()
    outcomes: queue.Queue[Outcome | None] = queue.Queue(maxsize=CHUNK)
    given_up = threading.Event()

    def work() -> None:
        while not given_up.is_set():
            with todo_lock:
                job = next(todo, None)
            outcome = None if job is None else read_one(*job)
            while not given_up.is_set():
                try:
                    outcomes.put(outcome, timeout=POLL_S)
                    break
                except queue.Full:
                    continue
            if outcome is None:
                return

    working = min(NETWORK_THREADS, max(1, len(jobs)))
    for _ in range(working):
        threading.Thread(target=work, name="psm-read", daemon=True).start()
    try:
        while working and not stop.is_set():
            try:
                outcome = outcomes.get(timeout=POLL_S)
            except queue.Empty:
                continue
            if outcome is None:
                working -= 1
            else:
                yield outcome
    finally:
        given_up.set()


def _read_in_processes(jobs: Sequence[Job], stop: StopSignal) -> Iterator[Outcome]:
    """Spawned workers: a fork after threads hangs."""
    workers = min(MAX_WORKERS, os.cpu_count() or 1)
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    chunks = _chunks(jobs)
    running: dict[Future[list[Outcome]], list[tuple[int, Job]]] = {}
    try:
        while not stop.is_set():
            for chunk in islice(chunks, 2 * workers - len(running)):
                with _ctrl_c_held_back():  # the first ones start workers
                    running[pool.submit(_read_chunk, chunk)] = chunk
            if not running:
                return
            finished, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in finished:
                chunk = running.pop(future)
                yield from future.result()
    except BrokenProcessPool:
        # A worker died (killed for its memory, most likely): what is left is read here, one by one.
        left = [*chunk, *(job for c in running.values() for job in c), *(job for c in chunks for job in c)]
        for number, job in left:
            if stop.is_set():
                return
            yield read_one(number, job)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        _end_workers()


def _end_workers() -> None:
    """Waits for the workers as long as they may take for the last chunk.

    The pool itself would wait for ever for one that was started in the moment in which another one died.
    """
    deadline = time.monotonic() + _END_WITHIN_S
    while active_children() and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    for worker in active_children():
        worker.kill()


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Processes that are started in the block never hear Ctrl-C: it would end them before they can ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _chunks(jobs: Sequence[Job]) -> Iterator[list[tuple[int, Job]]]:
    numbered = iter(enumerate(jobs))
    while chunk := list(islice(numbered, CHUNK)):
        yield chunk


def _read_chunk(chunk: list[tuple[int, Job]]) -> list[Outcome]:
    return [read_one(number, job) for number, job in chunk]


def _start_worker() -> None:
    """Ctrl-C is the parent's to handle; and a worker whose parent was killed ends instead of waiting for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow_parent() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=follow_parent, name="psm-parent", daemon=True).start()
