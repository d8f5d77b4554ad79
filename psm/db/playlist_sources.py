"""``playlist_sources``: where playlists come from, for as long as a person wants it so, whatever is there just now."""

import sqlite3
from dataclasses import dataclass

_FOLDER = "folder"
_FILE = "file"


@dataclass(frozen=True, slots=True)
class PlaylistSources:
    """The folders whose playlists are followed, and the files that were imported by name. Absolute, real paths."""

    folders: tuple[bytes, ...] = ()
    files: tuple[bytes, ...] = ()


def remembered(connection: sqlite3.Connection) -> PlaylistSources:
    """All of them, each kind sorted. Folders that only the configuration names are not among them."""
    rows = connection.execute("SELECT kind, path FROM playlist_sources ORDER BY path").fetchall()
    return PlaylistSources(
        folders=tuple(path for kind, path in rows if kind == _FOLDER),
        files=tuple(path for kind, path in rows if kind == _FILE),
    )


def remember_folder(connection: sqlite3.Connection, path: bytes) -> None:
    """Remembers a folder that is to be followed."""
    _remember(connection, path, _FOLDER)


def remember_file(connection: sqlite3.Connection, path: bytes) -> None:
    """Remembers a file that was imported by name."""
    _remember(connection, path, _FILE)


def forget(connection: sqlite3.Connection, path: bytes) -> bool:
    """Takes a folder or file out, and returns whether it was there."""
    return bool(connection.execute("DELETE FROM playlist_sources WHERE path = ?", (path,)).rowcount)


def _remember(connection: sqlite3.Connection, path: bytes, kind: str) -> None:
    connection.execute(
        "INSERT INTO playlist_sources (path, kind) VALUES (?, ?) ON CONFLICT (path) DO UPDATE SET kind = excluded.kind",
        (path, kind),
    )
