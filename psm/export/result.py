"""What an export did, and what a check of its outputs found."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What became of one playlist file."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    """The file there is a person's, or was edited by one: it was left as it is."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Unusable:
    """A track whose file this profile's player cannot be told; it was treated as missing."""

    position: int
    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class ExportedPlaylist:
    """One playlist in one profile. Of its ``tracks`` rows, ``found`` have a file that was written down.

    ``backup`` is where a person's version went when it was overwritten on request; ``note`` says why a file was kept.
    """

    profile: str
    playlist: str
    path: bytes
    outcome: Outcome
    tracks: int
    found: int
    unusable: tuple[Unusable, ...] = ()
    backup: bytes | None = None
    note: str | None = None

    @property
    def missing(self) -> int:
        """How many rows have no file."""
        return self.tracks - self.found


@dataclass(frozen=True, slots=True)
class KeptFile:
    """The file of a playlist that went away, left where it is because a person edited it."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class ExportProblem:
    """Why something could not be written. ``profiles`` are those concerned; the others went on."""

    profiles: tuple[str, ...]
    folder: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export did. ``complete`` is false when it was stopped before its end.

    ``away`` are folders on drives that are not connected now: no failure, they are written when they are back.
    """

    playlists: tuple[ExportedPlaylist, ...] = ()
    removed: tuple[bytes, ...] = ()
    kept: tuple[KeptFile, ...] = ()
    problems: tuple[ExportProblem, ...] = ()
    away: tuple[ExportProblem, ...] = ()
    complete: bool = True

    def count(self, outcome: Outcome) -> int:
        """How many playlist files had this outcome."""
        return sum(p.outcome is outcome for p in self.playlists)


@dataclass(frozen=True, slots=True)
class VerifyProblem:
    """A line that does not lead to a file, or a playlist file that is not as psm wrote it (``line`` is then None).

    ``line`` counts from 1; in XSPF it is the track's number. ``entry`` is the line, as far as it is text.
    """

    profile: str
    playlist: bytes
    line: int | None
    entry: str
    reason: str


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """How many playlist ``files`` and ``lines`` naming music were checked, and what is wrong with them."""

    files: int
    lines: int
    problems: tuple[VerifyProblem, ...] = ()
    complete: bool = True
