r"""CSV with a header: Exportify's exports of Spotify playlists, and any table with a column for the title.

Exportify comes in two kinds (https://github.com/watsonbox/exportify, https://github.com/pavelkomarov/exportify), and
their columns of several artists differ:

- ``Track Duration (ms)``: artists separated by ", ", with ``\,`` for a comma inside a name. Its headers are in the
  language of the person's browser.
- ``Duration (ms)``: artists separated by ";" since July 2025, before that by "," without a space. ``Earth, Wind &
  Fire`` and ``10,000 Maniacs`` are one artist each there.

Other tables: ";" separates artists, and ", " does too when the column's name is in the plural.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from psm.models import PlaylistEntry, RowError, SourcePlaylist
from psm.providers.entries import make_entry
from psm.providers.protocol import NoPlaylist
from psm.providers.text import clean, decode, seconds, stem

_DELIMITERS = (",", ";", "\t", "|")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_LONGEST_ROW = 100  # lines: a quote that is opened and never closed would swallow the rest of the file
_ESCAPED_COMMA = re.compile(r"(?<!\\),\s+")
_TIGHT_COMMA = re.compile(r"(?<!\d),(?!\s)|,(?![\s\d])")
_CLOCK = re.compile(r"(?:(?:(\d{1,3}):)?(\d{1,3}):)(\d{1,2}(?:[.,]\d+)?)")
_MS_IF_ABOVE = 10_000  # a median track of 10,000 s would be a table of audiobooks; of 10,000 ms, of jingles

# Headers of Exportify (watsonbox) in the languages that it speaks: title, artists, album, duration.
_TRANSLATED = (
    ("Track Name", "Artist Name(s)", "Album Name", "Track Duration (ms)"),
    ("Track-Name", "Künstlername(n)", "Album-Name", "Track-Dauer (ms)"),
    ("Nom du titre", "Nom(s) de l'artiste", "Nom de l'album", "Durée du titre (ms)"),
    ("Nombre de la canción", "Nombre(s) del artista", "Nombre del álbum", "Duración de la canción (ms)"),
    ("Nome della traccia", "Nome dell'artista", "Nome dell'album", "Durata della traccia (ms)"),
    ("Nummernaam", "Naam van artiest", "Naam van album", "Nummerduur (ms)"),
    ("Nome da faixa", "Nome(s) do artista", "Nome do álbum", "Duração da faixa (ms)"),
    ("Låtens namn", "Artistens namn", "Albumets namn", "Låtlängd (ms)"),
    ("Parça Adı", "Sanatçı Adı", "Albüm Adı", "Parça Süresi (ms)"),
    ("トラック名", "アーティスト名", "アルバム名", "トラックの長さ（ミリ秒）"),
)


def _key(heading: str) -> str:
    """A heading without case, spaces, underscores and signs."""
    return "".join(c for c in heading.casefold() if c.isalnum())


def _keys(*headings: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_key, headings)))


_ESCAPING_DURATIONS = _keys(*(row[3] for row in _TRANSLATED))
_PLURAL = _keys(*(row[1] for row in _TRANSLATED), "Artist Names", "Artists", "Performers")
_IN_MS = (*_ESCAPING_DURATIONS, *_keys("Duration (ms)", "duration_ms", "Length (ms)", "milliseconds"))
_IN_S = _keys("Duration (s)", "duration_s", "Duration (sec)", "Duration (seconds)", "Length (s)", "seconds")
_COLUMNS = {
    "title": (
        *_keys(*(row[0] for row in _TRANSLATED), "title", "track title", "song title", "song name"),
        *_keys("track", "song", "name"),
    ),
    "artists": (*_PLURAL, *_keys("artist", "artist name", "track artist", "creator", "performer")),
    "album": _keys(*(row[2] for row in _TRANSLATED), "album", "album title", "release"),
    "duration": (*_IN_MS, *_IN_S, *_keys("duration", "track duration", "length", "time")),
    "isrc": _keys("isrc", "track isrc"),
    "recording": _keys("MusicBrainz recording id", "recording_mbid", "mb_recording_id", "MusicBrainz id", "mbid"),
}


class Csv:
    """The provider for ``.csv``, and for ``.tsv`` and ``.txt`` tables."""

    name = "csv"
    suffixes: tuple[str, ...] = (".csv", ".tsv", ".txt")
    shared_suffixes: tuple[str, ...] = (".csv", ".tsv", ".txt")

    def read(self, content: bytes, source: bytes) -> SourcePlaylist:
        """See :class:`~psm.providers.protocol.Provider`. Positions count the rows below the header."""
        lines = _LINE.findall(decode(content))
        header = _header(lines)
        rows = [row for row in _rows(lines, start=header.lines, delimiter=header.delimiter) if row.cells or row.problem]
        split = _splitter(header, rows)
        per_second = _units_per_second(header, rows)
        entries: list[PlaylistEntry] = []
        errors: list[RowError] = []
        for position, row in enumerate(rows, start=1):
            problem = row.problem or _misfit(header, row)
            entry = None
            if not problem:
                entry = make_entry(
                    position,
                    title=header.cell(row, "title"),
                    artists=split(header.cell(row, "artists")),
                    album=header.cell(row, "album"),
                    duration_s=_duration(header.cell(row, "duration"), per_second),
                    identifiers=(header.cell(row, "isrc"), header.cell(row, "recording")),
                )
            if entry is None:
                errors.append(RowError(row.line, problem or "it has no title"))
            else:
                entries.append(entry)
        return SourcePlaylist(self.name, source, stem(source), tuple(entries), tuple(errors))


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    cells: tuple[str, ...] = ()
    problem: str | None = None
    lines: int = 1


@dataclass(frozen=True, slots=True)
class _Header:
    """``lines`` is how many lines of the file it ends after; ``places`` maps what psm wants to a column's number."""

    delimiter: str
    lines: int
    width: int
    headings: tuple[str, ...]
    places: dict[str, int]

    def cell(self, row: _Row, wanted: str) -> str:
        place = self.places.get(wanted)
        return row.cells[place] if place is not None and place < len(row.cells) else ""

    def column(self, wanted: str) -> str:
        """The key of the heading under which ``wanted`` was found."""
        return _key(self.headings[self.places[wanted]]) if wanted in self.places else ""


def _header(lines: Sequence[str]) -> _Header:
    at = next((n for n, line in enumerate(lines) if line.strip()), None)
    if at is None:
        raise NoPlaylist("the file is empty")
    delimiters: Sequence[str] = _DELIMITERS
    told = lines[at].strip().casefold()
    if told.startswith("sep=") and len(told) == 5 and at + 1 < len(lines):  # Excel's way to name the delimiter
        at, delimiters = at + 1, (told[4],)
    candidates = [_read_header(lines, at, delimiter) for delimiter in delimiters]
    best = max(candidates, key=lambda header: ("title" in header.places, len(header.places), header.width))
    if "title" not in best.places:
        found = ", ".join(f'"{clean(heading)}"' for heading in best.headings[:12] if clean(heading))[:300]
        raise NoPlaylist(
            f"its first row names no column for the title. Found: {found or 'nothing'}. "
            'Understood are, among others: "Track Name", "Title", "Artist Name(s)", "Artist", "Album Name", "Album", '
            '"Track Duration (ms)", "Duration", "ISRC".'
        )
    return best


def _read_header(lines: Sequence[str], at: int, delimiter: str) -> _Header:
    row = next(_rows(lines, start=at, delimiter=delimiter))
    keys = [_key(cell) for cell in row.cells]
    places: dict[str, int] = {}
    for wanted, names in _COLUMNS.items():
        place = next((keys.index(name) for name in names if name in keys), None)
        if place is not None:
            places[wanted] = place
    return _Header(delimiter, at + row.lines, len(row.cells), row.cells, places)


def _rows(lines: Sequence[str], *, start: int, delimiter: str) -> Iterator[_Row]:
    """The rows from line ``start`` (from 0) on. One that cannot be read takes one line; reading goes on below it.

    A quote that is opened and never closed would glue rows together up to the next quote. So a row has more than one
    line only when its quotes are as RFC 4180 has them; otherwise its first line stands for itself.
    """
    at = start
    while at < len(lines):
        row = _strict_row(lines, at, delimiter) or _line_row(lines[at], at, delimiter)
        yield row
        at += row.lines


def _strict_row(lines: Sequence[str], at: int, delimiter: str) -> _Row | None:
    import csv  # not above, nor statistics: most builds read no playlist, but all ask which files are playlists

    reader = csv.reader(lines[at : at + _LONGEST_ROW], delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        return _Row(at + 1, tuple(next(reader)), lines=reader.line_num)
    except csv.Error:
        return None


def _line_row(line: str, at: int, delimiter: str) -> _Row:
    import csv

    reader = csv.reader([line, "\n"], delimiter=delimiter, skipinitialspace=True)
    try:
        cells = next(reader)
    except csv.Error:
        return _Row(at + 1, problem="a cell of it is longer than any name")
    if reader.line_num > 1:
        return _Row(at + 1, problem="a quote is opened in it and never closed")
    return _Row(at + 1, tuple(cells))


def _misfit(header: _Header, row: _Row) -> str | None:
    if any(cell.strip() for cell in row.cells[header.width :]):
        return (
            f"it has {len(row.cells)} columns where the header has {header.width}: "
            "a quote or a separator inside a name is not escaped"
        )
    return None


def _splitter(header: _Header, rows: Sequence[_Row]) -> Callable[[str], list[str]]:
    """How the cells of the artists' column are to be split: see the module's docstring."""
    column = header.column("artists")
    exportify = column in _PLURAL and header.column("title") in _keys("Track Name")
    cells = [header.cell(row, "artists") for row in rows]
    if header.column("duration") in _ESCAPING_DURATIONS or any("\\," in cell for cell in cells):
        return lambda cell: [name.replace("\\,", ",") for name in _ESCAPED_COMMA.split(cell)]
    if any(";" in cell for cell in cells):
        return lambda cell: cell.split(";")
    if exportify and header.column("duration") == _key("Duration (ms)"):
        return _TIGHT_COMMA.split
    if column in _PLURAL:
        return lambda cell: re.split(r",\s+", cell)
    return lambda cell: [cell]


def _units_per_second(header: _Header, rows: Sequence[_Row]) -> float:
    column = header.column("duration")
    from statistics import median

    if column in _IN_MS or column in _IN_S:
        return 1000.0 if column in _IN_MS else 1.0
    numbers = [number for row in rows if (number := seconds(header.cell(row, "duration"), per_second=1000)) is not None]
    return 1000.0 if numbers and median(numbers) * 1000 > _MS_IF_ABOVE else 1.0


def _duration(cell: str, per_second: float) -> float | None:
    said = cell.strip()
    if clock := _CLOCK.fullmatch(said):
        hours, minutes, rest = clock.groups()
        return seconds(int(hours or 0) * 3600 + int(minutes) * 60 + float(rest.replace(",", ".")))
    return seconds(said, per_second=per_second)
