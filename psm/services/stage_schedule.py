"""When a stage that is due may run: pure, with the clock passed in.

Runs keep a pause between them, however fast things change, and a longer one after a run that took long: at most a third
of the time is spent in them. A stage that fails, or is due again although nothing that it goes by has changed, waits
longer each time; the others do not wait for it.
"""

import random
from collections.abc import Callable, Collection, Iterable

from psm.services.stages import Stage

FIRST_RETRY_S = 2.0
LONGEST_RETRY_S = 300.0
_JITTER = 0.2
_REST = 2.0
"""How many times as long as a run took the pause after it is, at least."""


class StageSchedule:
    """Times are in seconds of the owner's clock. ``jitter`` gives a number from 0 to 1."""

    def __init__(self, *, interval_s: float, jitter: Callable[[], float] = random.random) -> None:
        self._interval_s = interval_s
        self._jitter = jitter
        self._not_before = float("-inf")
        self._failures: dict[Stage, int] = {}
        self._retry_at: dict[Stage, float] = {}

    def runnable(self, due: Iterable[Stage], now: float, *, hurry: bool = False) -> frozenset[Stage]:
        """Those of the stages that may run now. In a ``hurry`` only those wait that failed."""
        if now < self._not_before and not hurry:
            return frozenset()
        return frozenset(stage for stage in due if now >= self._retry_at.get(stage, now))

    def next_at(self, due: Collection[Stage]) -> float | None:
        """When the first of the stages may run; None when there are none."""
        at = [max(self._not_before, self._retry_at.get(stage, self._not_before)) for stage in due]
        return min(at, default=None)

    def ran(self, *, began: float, ended: float) -> None:
        """A run is over."""
        pause = max(self._interval_s, _REST * (ended - began)) if self._interval_s else 0.0
        self._not_before = ended + pause

    def failed(self, stages: Iterable[Stage], now: float) -> None:
        """They could not do what they were to do, or it had no effect."""
        spread = 1 - _JITTER + 2 * _JITTER * self._jitter()  # one for all, so that they run together again
        for stage in stages:
            count = self._failures[stage] = self._failures.get(stage, 0) + 1
            pause = min(FIRST_RETRY_S * 2.0 ** min(count - 1, 20), LONGEST_RETRY_S)
            self._retry_at[stage] = now + pause * spread

    def settled(self, stages: Iterable[Stage]) -> None:
        """They have nothing to do, or a person did something about what kept them from it: no pause any more."""
        for stage in stages:
            self._failures.pop(stage, None)
            self._retry_at.pop(stage, None)
