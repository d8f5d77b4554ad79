"""Advisory file locks, held for the length of one scan, match or export."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from psm.errors import PsmError
from psm.progress import NeverStop, StopSignal


class LockHeld(PsmError):  # noqa: N818  (a state of the world, not a defect)
    """Another scan, match or export is at work; the message names it."""


@contextmanager
def hold(
    path: Path,
    *,
    what: str,
    wait: bool = True,
    on_wait: Callable[[str], None] | None = None,
    stop: StopSignal = NeverStop(),
    sleep: Callable[[float], None] = time.sleep,
    timeout_s: float | None = None,
) -> Iterator[None]:
    """Holds the lock at ``path`` while the block runs.

    :raises LockHeld: at once with ``wait=False``, else after ``timeout_s`` (None waits as long as it takes).
    :raises Interrupted: when ``stop`` is set while waiting.
    :raises PsmError: when the lock file cannot be written.
    """
    raise NotImplementedError
