"""How much of the playlists is found: counts over ``playlist_tracks`` and ``matches``."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Coverage:
    """One playlist that is present: how many of its rows have a file on disk."""

    playlist_id: int
    name: str
    tracks: int
    found: int


def coverage(connection: sqlite3.Connection) -> tuple[Coverage, ...]:
    """The coverage of every present playlist, by name."""
    rows = connection.execute(
        "SELECT p.id, p.name, count(pt.track_id), count(f.id) FROM playlists p "
        "LEFT JOIN playlist_tracks pt ON pt.playlist_id = p.id "
        "LEFT JOIN matches m ON m.track_id = pt.track_id "
        "LEFT JOIN library_files f ON f.id = m.file_id AND f.status = 'present' "
        "WHERE p.status = 'present' GROUP BY p.id, p.name ORDER BY p.name, p.id"
    )
    return tuple(Coverage(*row) for row in rows)


def answers(connection: sqlite3.Connection, *, as_matched: bool = False) -> Iterator[tuple[int, int, int | None]]:
    """For every row of the present playlists: the playlist's id, the track's, and that of its file, None without one.

    A file that is missing from the disk counts as none; ``as_matched`` counts it still, which is what the last match
    said of it.
    """
    there = "" if as_matched else " AND f.status = 'present'"
    return connection.execute(
        "SELECT p.id, pt.track_id, f.id FROM playlists p JOIN playlist_tracks pt ON pt.playlist_id = p.id "
        f"LEFT JOIN matches m ON m.track_id = pt.track_id LEFT JOIN library_files f ON f.id = m.file_id{there} "
        "WHERE p.status = 'present' ORDER BY p.id, pt.position"
    )
