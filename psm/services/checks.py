"""What ``psm doctor`` says of each thing that it looks at."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check went."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``remedy`` says what to do about a note or a problem."""

    what: str
    verdict: Verdict
    finding: str
    remedy: str = ""
