"""What became of a report and its files."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psm.report.model import Summary


class Outcome(StrEnum):
    """What became of one file of the report."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReportFile:
    """One file of the report.

    ``backup`` is where a person's version of it went; ``error`` says why it could not be written.
    """

    path: bytes
    outcome: Outcome
    backup: bytes | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ReportResult:
    """What was written and what it says. ``complete`` is false when it was stopped; ``summary`` is then None."""

    files: tuple[ReportFile, ...] = ()
    removed: tuple[bytes, ...] = ()
    summary: "Summary | None" = None
    complete: bool = True

    @property
    def failed(self) -> tuple[ReportFile, ...]:
        """What could not be written."""
        return tuple(f for f in self.files if f.outcome is Outcome.FAILED)
