"""The configuration: frozen, typed sections, loaded once at the edge, with all mistakes reported at once.

Every setting is a field below, with its kind, what it means and its default: what reads and checks the configuration,
and what writes the commented file of ``psm config init``, goes by these. What comes later wins: defaults, file,
environment (``PSM__SECTION__KEY``), flags.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args

from psm import places
from psm.config.file import Mistake, read_file
from psm.config.keys import ANY, Findings, Key, KeyPath, gather_environment, gather_file, gather_flags
from psm.config.profiles import DEFAULT_PROFILE, check_profiles
from psm.config.values import (
    Choice,
    Encoding,
    Location,
    Many,
    NamedPath,
    NamedPaths,
    Number,
    Switch,
    SwitchOr,
    Text,
)
from psm.errors import UsageError

_PLAYLISTS_FOLDER = Path("playlists")


@dataclass(frozen=True, slots=True)
class Doc:
    """What a field means to people, and how a value looks in YAML."""

    about: str
    example: str


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


class Polling(StrEnum):
    """Whether a library is looked at on a timer, because events may not come. AUTO decides for each library."""

    AUTO = "auto"
    ALWAYS = "true"
    NEVER = "false"


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """``library.watch``: how changes in the library are followed. Everything that lasts is in seconds."""

    enabled: Annotated[
        bool, Switch(), Doc("Whether 'psm build' goes on watching, as with --watch, once everything is built.", "true")
    ] = False
    debounce_seconds: Annotated[
        float,
        Number(0, 3600, "seconds"),
        Doc("How many seconds a changed file must stay as it is before it is read; 0 reads it at once.", "5"),
    ] = 2.0
    max_wait_seconds: Annotated[
        float,
        Number(0, 86400, "seconds"),
        Doc("How many seconds a change waits at most while it, or what is beside it, keeps changing.", "60"),
    ] = 30.0
    ignore_patterns: Annotated[
        tuple[str, ...],
        Many(Text(), "a pattern or a list of patterns"),
        Doc(
            "Files and folders that are still being written. They are left out by scans too, as those of "
            "library.ignore_patterns are, and are written as those.",
            '["*.tmp", "*.part", "*.download", "*.!ut"]',
        ),
    ] = ("*.tmp", "*.part", "*.download")
    fallback_to_polling: Annotated[
        Polling,
        SwitchOr(Polling),
        Doc(
            "Whether psm looks for changes on a timer as well: for every library (true), for none (false), or where "
            "the system tells of no changes, or not of all (auto): network drives, unknown file systems, and folders "
            "that the kernel's limits leave out.",
            "true",
        ),
    ] = Polling.AUTO
    polling_interval: Annotated[
        float,
        Number(1, 86400, "seconds"),
        Doc("How many seconds pass between two looks at a library that is polled.", "300"),
    ] = 60.0
    reconcile_interval: Annotated[
        float,
        Number(10, 86400, "seconds"),
        Doc("How many seconds pass between two looks at everything, in case that an event was lost.", "900"),
    ] = 480.0
    stage_interval: Annotated[
        float,
        Number(0, 3600, "seconds"),
        Doc(
            "How many seconds pass at least between two runs of what comes after the scan in 'psm build --watch': "
            "matching, playlists and the report.",
            "60",
        ),
    ] = 5.0


@dataclass(frozen=True, slots=True)
class LibraryConfig:
    """``library``: which files are music, and how their folders are walked."""

    paths: Annotated[
        tuple[NamedPath, ...],
        NamedPaths(),
        Doc(
            "The folders that hold your music: a list of paths, or a section of names with a path each. "
            "Folders added with 'psm library add' come on top.",
            "{main: ~/Music, live: /mnt/nas/live}",
        ),
    ] = ()
    ignore_patterns: Annotated[
        tuple[str, ...],
        Many(Text(), "a pattern or a list of patterns"),
        Doc(
            "Files and folders that are left out, on top of hidden, unfinished and NAS litter files: patterns with "
            "* and ? for a name or, with a slash in them, for a path below the library's folder.",
            '["*.instrumental.*", "Podcasts/*"]',
        ),
    ] = ()
    follow_symlinks: Annotated[bool, Switch(), Doc("Whether folders that are symbolic links are walked.", "false")] = (
        True
    )
    missing_grace_days: Annotated[
        int,
        Number(0, 36500, "days", whole=True),
        Doc(
            "How many days a file may be missing before psm forgets it. Files that a manual decision names are never "
            "forgotten.",
            "365",
        ),
    ] = 90
    watch: WatchConfig = field(default_factory=WatchConfig)

    @property
    def ignored(self) -> tuple[str, ...]:
        """The patterns of what is left out, by scans and by watching alike."""
        return tuple(dict.fromkeys((*self.ignore_patterns, *self.watch.ignore_patterns)))


@dataclass(frozen=True, slots=True)
class PlaylistsConfig:
    """``playlists``: folders whose playlist files ``psm build`` takes in."""

    folders: Annotated[
        tuple[Path, ...],
        Many(Location(), "a path or a list of paths", os.pathsep),
        Doc("Folders whose playlist files 'psm build' takes in.", "[~/playlists]"),
    ] = ()


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """``database``: where the database lives."""

    path: Annotated[
        Path,
        Location(is_file=True),
        Doc(
            "The database file. It belongs on a local disk: SQLite is slow and unsafe on network drives.",
            "~/psm/psm.db",
        ),
    ] = Path("psm.db")


@dataclass(frozen=True, slots=True)
class MatchConfig:
    """``match``: when two descriptions are one recording. ``threshold`` is a score from 0 to 1."""

    threshold: Annotated[
        float,
        Number(0, 1),
        Doc("The score that a file must reach to be taken for a track: higher is stricter.", "0.9"),
    ] = 0.82
    duration_tolerance_s: Annotated[
        float,
        Number(0, 600, "seconds"),
        Doc("How many seconds the lengths of a track and a file may differ without speaking against them.", "5"),
    ] = 8.0


@dataclass(frozen=True, slots=True)
class ExportProfile:
    """``export.profiles.NAME``: how one player wants its playlists.

    ``root`` is the folder that ``paths: below`` counts from; ``map_from`` and ``map_to`` are the prefixes of
    ``paths: mapped``.
    """

    name: str
    folder: Annotated[Path, Location(), Doc("The folder that the playlists are written to.", "~/Music/playlists")]
    format: Annotated[
        PlaylistFormat, Choice(PlaylistFormat), Doc("The file format. m3u8 and xspf are always UTF-8.", "m3u")
    ] = PlaylistFormat.M3U8
    mode: Annotated[
        ExportMode,
        Choice(ExportMode),
        Doc(
            "What becomes of tracks that have no file: left out (strict), kept as comments (mirrored), "
            "or kept as entries that do not play (placeholders).",
            "mirrored",
        ),
    ] = ExportMode.STRICT
    paths: Annotated[
        PathForm,
        Choice(PathForm),
        Doc(
            "How a file is named: by its full path (absolute), from the playlist's folder (relative), from the folder "
            "root (below), or with the beginning map_from replaced by map_to (mapped).",
            "relative",
        ),
    ] = PathForm.ABSOLUTE
    root: Annotated[
        Path | None, Location(), Doc("The folder that paths count from with 'paths: below'.", "/mnt/nas/music")
    ] = None
    map_from: Annotated[
        str | None,
        Location(as_text=True),
        Doc("With 'paths: mapped', the beginning of the paths on this machine.", "/mnt/nas/music"),
    ] = None
    map_to: Annotated[
        str | None,
        Text(),
        Doc("With 'paths: mapped', what the player has in its place, taken as it is written.", r"'\\nas\music'"),
    ] = None
    slashes: Annotated[
        Slashes, Choice(Slashes), Doc("The separator in paths: / (forward) or \\ (back, for Windows).", "back")
    ] = Slashes.FORWARD
    unicode: Annotated[
        UnicodeForm,
        Choice(UnicodeForm),
        Doc(
            "How accented letters in paths are written: as on disk (keep), in one piece (nfc), "
            "or as letter and accent (nfd, which older macOS wants).",
            "nfc",
        ),
    ] = UnicodeForm.KEEP
    encoding: Annotated[
        str,
        Encoding(),
        Doc("The encoding of m3u files. utf-8-sig is UTF-8 with a byte order mark.", "latin-1"),
    ] = "utf-8"
    line_ends: Annotated[
        LineEnds, Choice(LineEnds), Doc("How lines end: lf, or crlf for Windows and some cars.", "crlf")
    ] = LineEnds.LF


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """``export``: the profiles, each with its folder."""

    profiles: tuple[ExportProfile, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """``report``: where the report goes and in which formats (``html``, ``csv``, ``json``)."""

    folder: Annotated[Path, Location(), Doc("The folder that the report is written to.", "~/Music/report")] = Path(
        "reports"
    )
    formats: Annotated[
        tuple[str, ...],
        Many(Choice(("html", "csv", "json")), "a list of html, csv and json", empty=False),
        Doc("The formats that the report is written in: any of html, csv and json.", "[html]"),
    ] = ("html", "csv", "json")


@dataclass(frozen=True, slots=True)
class Config:
    """All sections. ``folder`` is the configuration folder: ``psm-overrides.yaml`` and ``libraries.yaml`` are in it."""

    folder: Path
    library: LibraryConfig = field(default_factory=LibraryConfig)
    playlists: PlaylistsConfig = field(default_factory=PlaylistsConfig)
    database: DatabaseConfig = field(default_factory=DatabaseConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    report: ReportConfig = field(default_factory=ReportConfig)


_SECTIONS: Mapping[KeyPath, type[Any]] = {
    ("library",): LibraryConfig,
    ("library", "watch"): WatchConfig,
    ("playlists",): PlaylistsConfig,
    ("database",): DatabaseConfig,
    ("match",): MatchConfig,
    ("export", "profiles", ANY): ExportProfile,
    ("report",): ReportConfig,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as it is in force. ``source`` is ``default``, ``file:LINE``, ``environment VARIABLE`` or ``flag``."""

    key: str
    value: object
    source: str


class ConfigError(UsageError):
    """The configuration has mistakes; the message names them all. ``file`` is the configuration file that was meant."""

    def __init__(self, file: Path, mistakes: tuple[Mistake, ...]) -> None:
        count = "a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n  ".join([f"The configuration has {count}:", *(describe(m, file) for m in mistakes)]))
        self.file = file
        self.mistakes = mistakes


def load_config(
    path: Path | None = None, *, flags: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None
) -> Config:
    """The configuration in force: defaults, then the file, then ``env`` (by default this process's), then ``flags``.

    ``path`` is the configuration file; without it, the platform's is read if it is there. ``flags`` have dotted names
    (``database.path``). Raises :class:`ConfigError` with all mistakes at once.
    """
    loaded = _load(path, flags, env)
    return _build(loaded.file.parent, loaded.settings())


def resolve(
    path: Path | None = None, *, flags: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None
) -> tuple[Setting, ...]:
    """Every setting with its value and where that came from. Arguments and errors as :func:`load_config`."""
    return _load(path, flags, env).settings()


def config_file(path: Path | None = None) -> Path:
    """The absolute path of the configuration file: ``path``, or the platform's. It need not exist."""
    return places.default_config_file() if path is None else places.working_folder() / path


def describe(mistake: Mistake, file: Path) -> str:
    """A mistake as a line for people: where it is, then what it is."""
    where = mistake.source.removeprefix("environment ")
    if mistake.source == "file":
        where = f"{file}, line {mistake.line}" if mistake.line else str(file)
    return ": ".join(part for part in (where, mistake.key, mistake.message) if part)


@cache
def keys() -> tuple[Key, ...]:
    """Every setting there is."""
    return tuple(_keys())


def _keys() -> Iterator[Key]:
    for path, section in _SECTIONS.items():
        for f in fields(section):
            match get_args(f.type):
                case (_, kind, Doc(about, example)):
                    default = _PLAYLISTS_FOLDER if f.default is MISSING else f.default
                    yield Key((*path, f.name), kind, about, example, default)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the sources say, free of mistakes."""

    file: Path
    findings: Findings

    def settings(self) -> tuple[Setting, ...]:
        """Every setting, those of one profile together."""
        return tuple(self._setting(key, path) for key, path in _paths(self.findings))

    def _setting(self, key: Key, path: KeyPath) -> Setting:
        found = self.findings.values.get(path)
        if found is None:
            default = key.default
            return Setting(
                ".".join(path), places.data_folder() / default if isinstance(default, Path) else default, "default"
            )
        return Setting(".".join(path), found.value, f"file:{found.line}" if found.source == "file" else found.source)


def _load(path: Path | None, flags: Mapping[str, object] | None, env: Mapping[str, str] | None) -> _Loaded:
    env = os.environ if env is None else env
    file = config_file(path)
    findings = Findings()
    root, mistakes = read_file(file, required=path is not None)
    findings.mistakes += mistakes
    gather_file(keys(), root, file.parent, env, findings)
    gather_environment(keys(), env, places.working_folder(), findings)
    gather_flags(keys(), flags or {}, places.working_folder(), findings)
    check_profiles(keys(), findings)
    if findings.mistakes:
        raise ConfigError(file, tuple(sorted(findings.mistakes, key=lambda m: (m.source != "file", m.line or 0))))
    return _Loaded(file, findings)


def _paths(findings: Findings) -> Iterator[tuple[Key, KeyPath]]:
    """Every setting with its full path: those with a user's name in them once for each name."""
    names = [path[-1] for path in findings.named] or [DEFAULT_PROFILE]
    for section in _SECTIONS:
        for name in names if ANY in section else [ANY]:
            for key in keys():
                if key.path[:-1] == section:
                    yield key, tuple(name if part == ANY else part for part in key.path)


def _build(folder: Path, settings: tuple[Setting, ...]) -> Config:
    sections: dict[KeyPath, dict[str, Any]] = {}
    for setting in settings:
        *section, name = setting.key.split(".")
        sections.setdefault(tuple(section), {})[name] = setting.value
    profiles = tuple(ExportProfile(path[-1], **values) for path, values in sections.items() if path[:1] == ("export",))
    whole: dict[str, Any] = {"folder": folder, "export": ExportConfig(profiles)}
    # Deepest first: a section inside another one is a value of that one.
    for path in sorted((path for path in _SECTIONS if ANY not in path), key=len, reverse=True):
        above = sections[path[:-1]] if path[:-1] else whole
        above[path[-1]] = _SECTIONS[path](**sections[path])
    return Config(**whole)
