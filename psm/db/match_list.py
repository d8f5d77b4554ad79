"""Every row of the playlists with the file that was found for it."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from psm.db.tracks import COLUMNS, track_of
from psm.models import Confidence, Match, Method, Playlist, Track


@dataclass(frozen=True, slots=True)
class PlaylistMatch:
    """A playlist's row. ``match`` and ``path`` (absolute) are None when no file that is on disk was found for it."""

    playlist: Playlist
    position: int
    track: Track
    match: Match | None
    path: bytes | None


def entries(
    connection: sqlite3.Connection, playlist: Playlist, *, unmatched_only: bool = False
) -> Iterator[PlaylistMatch]:
    """The rows of a playlist, in its order."""
    columns = ", ".join(f"t.{name.strip()}" for name in COLUMNS.split(","))
    rows = connection.execute(
        "SELECT p.position, l.root, f.path, f.id, m.score, m.method, m.confidence, m.reasons, "
        f"{columns} FROM playlist_tracks p JOIN tracks t ON t.id = p.track_id "
        "LEFT JOIN matches m ON m.track_id = t.id "
        "LEFT JOIN library_files f ON f.id = m.file_id AND f.status = 'present' "
        "LEFT JOIN libraries l ON l.id = f.library_id "
        f"WHERE p.playlist_id = ? {'AND f.id IS NULL ' if unmatched_only else ''}ORDER BY p.position",
        (playlist.id,),
    )
    for position, root, path, file_id, score, method, confidence, reasons, *said in rows:
        track = track_of(said)
        if file_id is None:
            yield PlaylistMatch(playlist, position, track, None, None)
            continue
        match = Match(track.id, file_id, score, Method(method), Confidence(confidence), tuple(json.loads(reasons)))
        yield PlaylistMatch(playlist, position, track, match, root.rstrip(b"/") + b"/" + path)
