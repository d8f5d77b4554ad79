"""What the export reads, and what it remembers of the last one."""

import json
import os
import sqlite3
from dataclasses import dataclass

from psm.db import metadata
from psm.db.playlists import removed_sources
from psm.owned import Output

Connection = sqlite3.Connection

_STATE = "stage:export"
_FOLDERS = "export:folders"
_OWNER = "export:owner"


@dataclass(frozen=True, slots=True)
class ExportPlaylist:
    """A playlist to be written."""

    id: int
    name: str
    provider: str
    source: bytes


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One row of a playlist, with what its source and the file found for it say.

    ``path`` is absolute; it and all ``file_`` fields are None or empty when there is no present file. ``guessed`` names
    what the file's tags did not say.
    """

    position: int
    title: str
    artists: tuple[str, ...]
    album: str | None
    duration_s: float | None
    path: bytes | None
    file_title: str | None
    file_artists: tuple[str, ...]
    file_album: str | None
    file_duration_s: float | None
    guessed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Generations:
    """The state of the tables that an export depends on."""

    playlists: int
    tracks: int
    matches: int
    library_files: int


@dataclass(frozen=True, slots=True)
class WrittenPlaylist:
    """A playlist file of the last export: whose it is, as in the manifest, and the ``hash`` of what is in it."""

    path: bytes
    profile: str
    playlist: str
    hash: str


@dataclass(frozen=True, slots=True)
class ExportState:
    """What the last complete export consumed and made.

    ``settings`` stands for the profiles, their real folders and the version of the format. ``outputs`` are all that has
    to be as it was left, ``files`` the playlists among them: they tell psm's own files when a manifest is lost.
    """

    settings: str
    generations: Generations
    outputs: tuple[Output, ...]
    files: tuple[WrittenPlaylist, ...] = ()


def to_write(connection: sqlite3.Connection) -> tuple[ExportPlaylist, ...]:
    """The playlists that are there, in an order that does not depend on the database: by source."""
    rows = connection.execute(
        "SELECT id, name, provider, source FROM playlists WHERE status = 'present' ORDER BY source, provider"
    )
    return tuple(ExportPlaylist(*row) for row in rows)


def gone_sources(connection: sqlite3.Connection) -> frozenset[bytes]:
    """The sources whose playlists went away, as far as this database knows: missing from their folder, or removed."""
    rows = connection.execute("SELECT source FROM playlists WHERE status <> 'present'")
    return removed_sources(connection).union(row[0] for row in rows)


def rows(connection: sqlite3.Connection, playlist_id: int) -> tuple[ExportRow, ...]:
    """The rows of a playlist in its order. A file that is missing from the disk counts as none."""
    found = connection.execute(
        "SELECT p.position, t.title, t.artists, t.album, t.duration_s, l.root, f.path, "
        "f.title, f.artists, f.album, f.duration_s, f.guessed FROM playlist_tracks p "
        "JOIN tracks t ON t.id = p.track_id LEFT JOIN matches m ON m.track_id = t.id "
        "LEFT JOIN library_files f ON f.id = m.file_id AND f.status = 'present' "
        "LEFT JOIN libraries l ON l.id = f.library_id WHERE p.playlist_id = ? ORDER BY p.position",
        (playlist_id,),
    )
    return tuple(
        ExportRow(
            position=row[0],
            title=row[1],
            artists=tuple(json.loads(row[2])),
            album=row[3],
            duration_s=row[4],
            path=None if row[6] is None else row[5].rstrip(b"/") + b"/" + row[6],
            file_title=row[7],
            file_artists=tuple(json.loads(row[8] or "[]")),
            file_album=row[9],
            file_duration_s=row[10],
            guessed=tuple(json.loads(row[11] or "[]")),
        )
        for row in found
    )


def generations(connection: sqlite3.Connection) -> Generations:
    """The state of the tables now. Take it before reading them: what changes meanwhile is then seen the next time."""
    return Generations(
        playlists=metadata.generation(connection, "playlists"),
        tracks=metadata.generation(connection, "tracks"),
        matches=metadata.generation(connection, "matches"),
        library_files=metadata.generation(connection, "library_files"),
    )


def state(connection: sqlite3.Connection) -> ExportState | None:
    """What the last complete export left; None when there was none, or an older psm's that this one cannot read."""
    try:
        stored = json.loads(metadata.get(connection, _STATE) or "null")
        return ExportState(
            settings=stored["settings"],
            generations=Generations(*stored["generations"]),
            outputs=tuple(Output(os.fsencode(path), size, mtime) for path, size, mtime in stored["outputs"]),
            files=tuple(WrittenPlaylist(os.fsencode(path), *said) for path, *said in stored["files"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def put_state(connection: sqlite3.Connection, new: ExportState) -> None:
    """Remembers a complete export."""
    g = new.generations
    document = {
        "settings": new.settings,
        "generations": [g.playlists, g.tracks, g.matches, g.library_files],
        "outputs": [[os.fsdecode(o.path), o.size_bytes, o.mtime_ns] for o in new.outputs],
        "files": [[os.fsdecode(f.path), f.profile, f.playlist, f.hash] for f in new.files],
    }
    metadata.put(connection, _STATE, json.dumps(document))


def folders(connection: sqlite3.Connection) -> tuple[bytes, ...]:
    """The folders that this database has exported to and not cleaned up since."""
    return tuple(os.fsencode(name) for name in json.loads(metadata.get(connection, _FOLDERS) or "[]"))


def put_folders(connection: sqlite3.Connection, new: tuple[bytes, ...]) -> None:
    """Remembers the folders exported to."""
    metadata.put(connection, _FOLDERS, json.dumps([os.fsdecode(folder) for folder in new]))


def owner(connection: sqlite3.Connection, *, default: str) -> str:
    """The name under which this database's files are listed in a folder that it shares with others'.

    ``default`` is taken, and kept, by a database that has none yet. Call it in a transaction.
    """
    known = metadata.get(connection, _OWNER)
    if known is None:
        metadata.put(connection, _OWNER, default)
    return known or default


def known_owner(connection: sqlite3.Connection) -> str | None:
    """The same, None for a database that never exported."""
    return metadata.get(connection, _OWNER)
