"""Leaving work behind that hangs: a dead network drive may never answer, and psm must end all the same."""

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from psm.progress import StopSignal

POLL_S = 0.1
"""How often a waiting thread looks at its stop signal."""

T = TypeVar("T")


def abandonable(items: Iterable[T], *, stop: StopSignal, buffer: int = 64) -> Iterator[T]:
    """The same items, produced in a thread that is left behind when ``stop`` is set while it hangs on a dead drive."""
    done = object()
    ready: queue.Queue[object] = queue.Queue(maxsize=buffer)
    given_up = threading.Event()

    def hand_over(item: object) -> bool:
        while not given_up.is_set():
            try:
                ready.put(item, timeout=POLL_S)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not hand_over(item):
                    return
            hand_over(done)
        except BaseException as e:  # a thread boundary: the consumer raises it
            hand_over(_Raised(e))

    threading.Thread(target=produce, name="psm-abandonable", daemon=True).start()
    try:
        while not stop.is_set():
            try:
                item = ready.get(timeout=POLL_S)
            except queue.Empty:
                continue
            if item is done:
                return
            if isinstance(item, _Raised):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        given_up.set()


class Question(Generic[T]):
    """Something that is asked of a drive that may hang, in a thread that is left behind then.

    ``ask`` raises nothing: what it would tell so is a part of its answer.
    """

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._answers: list[T] = []
        self._is_over = threading.Event()
        threading.Thread(target=self._run, name="psm-ask", daemon=True).start()

    @property
    def is_answered(self) -> bool:
        """Whether ``ask`` came back."""
        return self._is_over.is_set()

    def answer(self, *, within_s: float = 0.0) -> T | None:
        """The answer; None when there is none after that time."""
        self._is_over.wait(within_s)
        return self._answers[0] if self._answers else None

    def _run(self) -> None:
        try:
            self._answers.append(self._ask())
        finally:
            self._is_over.set()


def wait_for_drives(places: Sequence[bytes]) -> None:
    """Returns when every drive has answered; what it answered does not matter.

    It is another process that asks. On Linux a thread that waits for a FUSE file system (sshfs, rclone) keeps its
    process from ending, even when that is killed, until there is an answer; a process that is left behind holds up
    nobody. It asks for the room on the drive too: systems keep no copy of that, as they do of folders.
    """
    with suppress(OSError):
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", _ASK, *places],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            check=False,
        )


_ASK = """
import os, sys
for place in map(os.fsencode, sys.argv[1:]):
    for ask in (os.stat, getattr(os, "statvfs", os.stat)):
        try:
            ask(place)
        except OSError:
            pass
"""


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException
