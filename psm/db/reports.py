"""What the report reads. Files that are missing from the disk count as none."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Connection = sqlite3.Connection
_Row = tuple[Any, ...]

_CHUNK = 500
_TRACK_COLUMNS = "t.id, t.title, t.artists, t.album, t.duration_s, t.isrc, pt.playlist_id"
_FOUND = (
    "LEFT JOIN matches m ON m.track_id = t.id LEFT JOIN library_files f ON f.id = m.file_id AND f.status = 'present'"
)
_WANTED = (
    "FROM playlist_tracks pt JOIN playlists p ON p.id = pt.playlist_id AND p.status = 'present' "
    f"JOIN tracks t ON t.id = pt.track_id {_FOUND}"
)
_FILE = (
    "SELECT f.id, l.root, f.path, f.title, f.artists, f.album, f.album_artist, f.track_number, f.duration_s, f.codec, "
    "f.bitrate_kbps, f.size_bytes, f.fingerprint, f.error, f.guessed FROM library_files f "
    "JOIN libraries l ON l.id = f.library_id WHERE f.status = 'present'"
)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is. ``wanted`` are rows of playlists, ``found`` those of them that have a file."""

    files: int
    missing_files: int
    size_bytes: int
    playlists: int
    wanted: int
    found: int


@dataclass(frozen=True, slots=True)
class WantedTrack:
    """A track, with the ids of the present playlists that hold it."""

    id: int
    title: str
    artists: tuple[str, ...]
    album: str | None
    duration_s: float | None
    isrc: str | None
    playlist_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PlaylistRow:
    """A present playlist: of its ``tracks`` rows, ``found`` have a file."""

    id: int
    name: str
    provider: str
    source: bytes
    tracks: int
    found: int


@dataclass(frozen=True, slots=True)
class MatchRow:
    """A match that is in use. ``score`` is 0 to 1; ``reasons`` are sentences."""

    track: WantedTrack
    file_id: int
    score: float
    method: str
    confidence: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileRow:
    """A present file. ``path`` is absolute; ``guessed`` names what its tags did not say."""

    id: int
    path: bytes
    title: str | None
    artists: tuple[str, ...]
    album: str | None
    album_artist: str | None
    track_number: int | None
    duration_s: float | None
    codec: str | None
    bitrate_kbps: int | None
    size_bytes: int
    fingerprint: str | None
    error: str | None
    guessed: tuple[str, ...]


def counts(connection: Connection) -> Counts:
    """How much there is."""
    files = connection.execute(
        "SELECT COUNT(*) FILTER (WHERE status = 'present'), COUNT(*) FILTER (WHERE status <> 'present'), "
        "COALESCE(SUM(size_bytes) FILTER (WHERE status = 'present'), 0) FROM library_files"
    ).fetchone()
    rows = connection.execute(f"SELECT COUNT(*), COUNT(f.id) {_WANTED}").fetchone()
    playlists = connection.execute("SELECT COUNT(*) FROM playlists WHERE status = 'present'").fetchone()
    return Counts(*files, *playlists, *rows)


def playlists(connection: Connection) -> tuple[PlaylistRow, ...]:
    """The present playlists, by source."""
    rows = connection.execute(
        "SELECT p.id, p.name, p.provider, p.source, COUNT(pt.position), COUNT(f.id) FROM playlists p "
        f"LEFT JOIN playlist_tracks pt ON pt.playlist_id = p.id LEFT JOIN tracks t ON t.id = pt.track_id {_FOUND} "
        "WHERE p.status = 'present' GROUP BY p.id ORDER BY p.source"
    )
    return tuple(PlaylistRow(*row) for row in rows)


def wanted_tracks(connection: Connection, *, found: bool) -> Iterator[WantedTrack]:
    """The tracks that present playlists hold and that have a file, or those that have none; by id."""
    rows = connection.execute(
        f"SELECT {_TRACK_COLUMNS} {_WANTED} WHERE f.id IS {'NOT NULL' if found else 'NULL'} "
        "ORDER BY t.id, pt.playlist_id"
    )
    return map(_track, _by_first(rows))


def unsure_matches(connection: Connection) -> Iterator[MatchRow]:
    """The matches of tracks in present playlists that are less than sure; by track."""
    rows = connection.execute(
        f"SELECT {_TRACK_COLUMNS}, f.id, m.score, m.method, m.confidence, m.reasons {_WANTED} "
        "WHERE f.id IS NOT NULL AND m.confidence IN ('low', 'medium') AND m.method <> 'manual' "
        "ORDER BY t.id, pt.playlist_id"
    )
    for group in _by_first(rows):
        file_id, score, method, confidence, reasons = group[0][7:]
        yield MatchRow(_track(group), file_id, score, method, confidence, tuple(json.loads(reasons)))


def files(connection: Connection) -> Iterator[FileRow]:
    """Every present file, by library and path."""
    return map(_file, connection.execute(f"{_FILE} ORDER BY l.root, f.path"))


def files_by_id(connection: Connection, file_ids: Iterable[int]) -> dict[int, FileRow]:
    """The present files with these ids."""
    wanted = tuple(file_ids)
    found: dict[int, FileRow] = {}
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        marks = ", ".join("?" * len(chunk))
        for row in connection.execute(f"{_FILE} AND f.id IN ({marks})", chunk):
            found[row[0]] = _file(row)
    return found


def files_of_shared_audio(connection: Connection) -> Iterator[FileRow]:
    """The present files whose fingerprint another present file has as well."""
    shared = (
        "SELECT fingerprint FROM library_files WHERE status = 'present' AND fingerprint IS NOT NULL "
        "GROUP BY fingerprint HAVING COUNT(*) > 1"
    )
    return map(_file, connection.execute(f"{_FILE} AND f.fingerprint IN ({shared}) ORDER BY l.root, f.path"))


def _by_first(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Runs of rows with the same first column."""
    group: list[_Row] = []
    for row in rows:
        if group and group[0][0] != row[0]:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _track(group: list[_Row]) -> WantedTrack:
    track_id, title, artists, album, duration_s, isrc, *_ = group[0]
    playlist_ids = tuple(dict.fromkeys(row[6] for row in group))
    return WantedTrack(track_id, title, tuple(json.loads(artists)), album, duration_s, isrc, playlist_ids)


def _file(row: _Row) -> FileRow:
    return FileRow(
        id=row[0],
        path=row[1].rstrip(b"/") + b"/" + row[2],
        title=row[3],
        artists=tuple(json.loads(row[4])),
        album=row[5],
        album_artist=row[6],
        track_number=row[7],
        duration_s=row[8],
        codec=row[9],
        bitrate_kbps=row[10],
        size_bytes=row[11],
        fingerprint=row[12],
        error=row[13],
        guessed=tuple(json.loads(row[14])),
    )
