"""The configuration: frozen, typed sections, loaded once at the edge, with all mistakes reported at once."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LibraryConfig:
    """``library``: which files are music, and how their folders are walked."""

    paths: tuple[Path, ...] = ()
    ignore_patterns: tuple[str, ...] = ()
    follow_symlinks: bool = True
    missing_grace_days: int = 90


@dataclass(frozen=True, slots=True)
class PlaylistsConfig:
    """``playlists``: folders whose playlist files ``psm build`` takes in."""

    folders: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """``database``: where the database lives."""

    path: Path = Path("psm.db")


@dataclass(frozen=True, slots=True)
class MatchConfig:
    """``match``: when two descriptions are one recording. ``threshold`` is a score from 0 to 1."""

    threshold: float = 0.82
    duration_tolerance_s: float = 8.0


class ExportMode(StrEnum):
    """What becomes of tracks that have no file."""

    STRICT = "strict"
    MIRRORED = "mirrored"
    PLACEHOLDERS = "placeholders"


class PathForm(StrEnum):
    """How a playlist names a file."""

    ABSOLUTE = "absolute"
    RELATIVE = "relative"
    BELOW = "below"
    MAPPED = "mapped"


class Slashes(StrEnum):
    """Which separator the player expects."""

    FORWARD = "forward"
    BACK = "back"


class UnicodeForm(StrEnum):
    """Whether accented letters are composed (NFC), decomposed (NFD, older macOS) or left as on disk."""

    KEEP = "keep"
    NFC = "nfc"
    NFD = "nfd"


class LineEnds(StrEnum):
    """How a line of a playlist ends."""

    LF = "lf"
    CRLF = "crlf"


class PlaylistFormat(StrEnum):
    """The playlist formats that psm writes."""

    M3U8 = "m3u8"
    M3U = "m3u"
    XSPF = "xspf"


@dataclass(frozen=True, slots=True)
class ExportProfile:
    """``export.profiles.NAME``: how one player wants its playlists.

    ``root`` is the folder that ``paths: below`` counts from; ``map_from`` and ``map_to`` are the prefixes of ``paths: mapped``.
    """

    name: str
    folder: Path
    format: PlaylistFormat = PlaylistFormat.M3U8
    mode: ExportMode = ExportMode.STRICT
    paths: PathForm = PathForm.ABSOLUTE
    root: Path | None = None
    map_from: str | None = None
    map_to: str | None = None
    slashes: Slashes = Slashes.FORWARD
    unicode: UnicodeForm = UnicodeForm.KEEP
    encoding: str = "utf-8"
    line_ends: LineEnds = LineEnds.LF


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """``export``: the profiles, each with its folder."""

    profiles: tuple[ExportProfile, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """``report``: where the report goes and in which formats (``html``, ``csv``, ``json``)."""

    folder: Path = Path("reports")
    formats: tuple[str, ...] = ("html", "csv", "json")


@dataclass(frozen=True, slots=True)
class Config:
    """All sections. ``folder`` is the configuration folder (``psm-overrides.yaml`` and ``libraries.yaml`` live there)."""

    folder: Path
    library: LibraryConfig = field(default_factory=LibraryConfig)
    playlists: PlaylistsConfig = field(default_factory=PlaylistsConfig)
    database: DatabaseConfig = field(default_factory=DatabaseConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
