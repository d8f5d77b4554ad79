"""How a stage tells what it does, without knowing who watches: a callback for progress and a signal to stop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a stage: ``done`` of ``total`` items (None while the total is unknown)."""

    stage: str
    done: int
    total: int | None = None
    detail: str = ""


ProgressCallback = Callable[[Progress], None]


def no_progress(_: Progress) -> None:
    """Nobody watches."""


class StopSignal(Protocol):
    """What a stage asks whether to end early; ``threading.Event`` is one."""

    def is_set(self) -> bool:
        """Whether the stage should end as soon as its data is safe."""
        ...


class NeverStop:
    """The stop signal of a caller that never interrupts."""

    def is_set(self) -> bool:
        """Never."""
        return False
