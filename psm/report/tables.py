"""The sections as tables, for HTML and CSV alike: headings, kinds of columns, and rows of plain values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar, overload

from psm.report.model import (
    BadFile,
    Coverage,
    DuplicateFile,
    MissingAlbum,
    MissingTrack,
    Report,
    UnsureMatch,
)

Row = TypeVar("Row")
Value = str | int | float | None


class Kind(StrEnum):
    """How a value is shown and sorted."""

    TEXT = "text"
    PATH = "path"
    NUMBER = "number"
    DURATION = "duration"
    SHARE = "share"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class Column:
    """A heading (``name`` in CSV) and the kind of the values below it."""

    name: str
    label: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class Table:
    """A section.

    ``name`` is that of its CSV file and its place in the page; ``empty`` is said when there are no rows.
    """

    name: str
    title: str
    about: str
    empty: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Value, ...]]


def tables(report: Report) -> tuple[Table, ...]:
    """All sections, in the order in which they are read."""
    return (
        _MISSING_TRACKS.table(report.missing_tracks),
        _MISSING_ALBUMS.table(report.missing_albums),
        _COVERAGE.table(report.coverage),
        _UNSURE.table(report.unsure_matches),
        _DUPLICATES.table(report.duplicates),
        _BAD_FILES.table(report.bad_files),
    )


def shown(path: bytes) -> str:
    """A path for people: bytes that are no text are shown as escapes."""
    return path.decode("utf-8", "backslashreplace")


class _Rows(Sequence[tuple[Value, ...]], Generic[Row]):
    """Rows that are made when they are looked at: of 100,000 files no second copy is kept."""

    def __init__(self, rows: Sequence[Row], values: tuple[Callable[[Row], Value], ...]) -> None:
        self._rows = rows
        self._values = values

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, number: int) -> tuple[Value, ...]: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[tuple[Value, ...]]: ...

    def __getitem__(self, number: int | slice) -> tuple[Value, ...] | Sequence[tuple[Value, ...]]:
        if isinstance(number, slice):
            return _Rows(self._rows[number], self._values)
        row = self._rows[number]
        return tuple(value(row) for value in self._values)


@dataclass(frozen=True)  # a generic class with slots cannot be made
class _Section(Generic[Row]):
    name: str
    title: str
    about: str
    empty: str
    columns: tuple[tuple[Column, Callable[[Row], Value]], ...]

    def table(self, rows: Sequence[Row]) -> Table:
        return Table(
            *(self.name, self.title, self.about, self.empty),
            tuple(column for column, _ in self.columns),
            _Rows(rows, tuple(value for _, value in self.columns)),
        )


def _listed(values: Sequence[str]) -> str:
    return "; ".join(values)


_MISSING_TRACKS = _Section[MissingTrack](
    "missing-tracks",
    "Missing tracks",
    "Songs that your playlists want and no file was found for, those that most playlists want first.",
    "Every track of every playlist has a file.",
    (
        (Column("rank", "#", Kind.NUMBER), lambda r: r.rank),
        (Column("wanted_by", "Wanted by", Kind.NUMBER), lambda r: len(r.playlists)),
        (Column("artists", "Artists"), lambda r: _listed(r.artists)),
        (Column("title", "Title"), lambda r: r.title),
        (Column("album", "Album"), lambda r: r.album),
        (Column("duration_s", "Length", Kind.DURATION), lambda r: r.duration_s),
        (Column("isrc", "ISRC"), lambda r: r.isrc),
        (Column("playlists", "Playlists"), lambda r: _listed(r.playlists)),
    ),
)
_MISSING_ALBUMS = _Section[MissingAlbum](
    "missing-albums",
    "Missing albums",
    "Albums with missing tracks. Of the tracks that playlists want, how many are missing; and how many files of the "
    "album you have.",
    "No album is missing anything that a playlist wants.",
    (
        (Column("missing", "Missing", Kind.NUMBER), lambda r: r.missing),
        (Column("wanted", "Wanted", Kind.NUMBER), lambda r: r.wanted),
        (Column("owned", "Files you have", Kind.NUMBER), lambda r: r.owned),
        (Column("artist", "Artist"), lambda r: r.artist),
        (Column("album", "Album"), lambda r: r.album),
        (Column("titles", "Missing titles"), lambda r: _listed(r.titles)),
        (Column("playlists", "Playlists"), lambda r: _listed(r.playlists)),
    ),
)
_COVERAGE = _Section[Coverage](
    "coverage",
    "Playlist coverage",
    "How much of each playlist was found, the least complete first.",
    "There are no playlists yet: take some in with psm playlist import.",
    (
        (Column("playlist", "Playlist"), lambda r: r.playlist),
        (Column("share", "Found", Kind.SHARE), lambda r: r.share),
        (Column("tracks", "Tracks", Kind.NUMBER), lambda r: r.tracks),
        (Column("found", "With a file", Kind.NUMBER), lambda r: r.found),
        (Column("missing", "Missing", Kind.NUMBER), lambda r: r.missing),
        (Column("provider", "From"), lambda r: r.provider),
        (Column("source", "Source", Kind.PATH), lambda r: shown(r.source)),
    ),
)
_UNSURE = _Section[UnsureMatch](
    "unsure-matches",
    "Matches worth a second look",
    "Files that were taken for a track without being sure. psm diagnose TRACK says more, psm set-match and "
    "psm reject-match decide.",
    "All matches are sure.",
    (
        (Column("score", "Score", Kind.SHARE), lambda r: r.score),
        (Column("confidence", "Confidence"), lambda r: r.confidence),
        (Column("wanted", "Wanted"), lambda r: r.wanted),
        (Column("file", "Found"), lambda r: r.file),
        (Column("method", "Method"), lambda r: r.method),
        (Column("reasons", "Reasons"), lambda r: _listed(r.reasons)),
        (Column("path", "File", Kind.PATH), lambda r: shown(r.path)),
        (Column("playlists", "Playlists"), lambda r: _listed(r.playlists)),
    ),
)
_DUPLICATES = _Section[DuplicateFile](
    "duplicates",
    "Duplicates",
    "Files that hold the very same audio, and files tagged alike and equally long; the best of each group first.",
    "No file is there twice.",
    (
        (Column("group", "Group", Kind.NUMBER), lambda r: r.group),
        (Column("kind", "Same"), lambda r: r.kind),
        (Column("song", "Song"), lambda r: r.song),
        (Column("album", "Album"), lambda r: r.album),
        (Column("codec", "Codec"), lambda r: r.codec),
        (Column("bitrate_kbps", "kbit/s", Kind.NUMBER), lambda r: r.bitrate_kbps),
        (Column("duration_s", "Length", Kind.DURATION), lambda r: r.duration_s),
        (Column("size_bytes", "Size", Kind.SIZE), lambda r: r.size_bytes),
        (Column("path", "File", Kind.PATH), lambda r: shown(r.path)),
    ),
)
_BAD_FILES = _Section[BadFile](
    "bad-files",
    "Badly tagged files",
    "Files whose tags lack a title, an artist or an album (what is shown was guessed from the name), and files that "
    "could not be read.",
    "Every file is tagged and readable.",
    (
        (Column("problems", "Problem"), lambda r: _listed(r.problems)),
        (Column("artists", "Artists"), lambda r: _listed(r.artists)),
        (Column("title", "Title"), lambda r: r.title),
        (Column("album", "Album"), lambda r: r.album),
        (Column("path", "File", Kind.PATH), lambda r: shown(r.path)),
    ),
)
