"""Asking drives that may never answer: what is on the network is asked in a thread that is left behind."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from psm.abandon import abandonable
from psm.filesystems import filesystem_of
from psm.progress import NeverStop, StopSignal

ANSWER_S = 5.0
"""How long a network drive may take to answer."""

T = TypeVar("T")


def answered(
    path: Path | bytes, ask: Callable[[], T], *, stop: StopSignal = NeverStop(), within_s: float | None = None
) -> T | None:
    """What ``ask`` says about ``path``; None when that lies on the network and its drive does not answer in time.

    That is ``within_s`` seconds (None: ``ANSWER_S``), or until ``stop`` is set. A local drive is asked directly.
    """
    if filesystem_of(path).is_local:
        return ask()
    deadline = _Deadline(stop, time.monotonic() + (ANSWER_S if within_s is None else within_s))
    return next(abandonable((ask() for _ in (0,)), stop=deadline), None)


class _Deadline:
    """A stop signal that sets itself."""

    def __init__(self, stop: StopSignal, end: float) -> None:
        self._stop = stop
        self._end = end

    def is_set(self) -> bool:
        return self._stop.is_set() or time.monotonic() >= self._end
