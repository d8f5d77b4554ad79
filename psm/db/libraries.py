"""``libraries``: the roots of the collection. They never overlap."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from psm.db import metadata
from psm.models import Library

_COLUMNS = "id, name, root, watch"
_LIBRARY = f"SELECT {_COLUMNS} FROM libraries"


def all_libraries(connection: sqlite3.Connection) -> list[Library]:
    """Every library, by name."""
    return [_library(row) for row in connection.execute(f"{_LIBRARY} ORDER BY name")]


def by_name(connection: sqlite3.Connection, name: str) -> Library | None:
    """The library called ``name``."""
    row = connection.execute(f"{_LIBRARY} WHERE name = ?", (name,)).fetchone()
    return None if row is None else _library(row)


def add(connection: sqlite3.Connection, name: str, root: bytes, *, now: float, watch: bool = True) -> Library:
    """Adds a library. The caller has made sure that the name is free and the root overlaps no other."""
    # Every change counts one, so there was never a higher id: SQLite would give that of a removed library out again,
    # and with it the lock of a watcher that may still run.
    library_id = metadata.bump(connection, "libraries")
    row = connection.execute(
        f"INSERT INTO libraries (id, name, root, added_at, watch) VALUES (?, ?, ?, ?, ?) RETURNING {_COLUMNS}",
        (library_id, name, root, now, int(watch)),
    ).fetchone()
    return _library(row)


def set_watch(connection: sqlite3.Connection, library_id: int, *, watch: bool) -> None:
    """Marks a library as one to watch, or to leave to scans."""
    connection.execute("UPDATE libraries SET watch = ? WHERE id = ?", (int(watch), library_id))
    metadata.bump(connection, "libraries")


def move(connection: sqlite3.Connection, library_id: int, root: bytes) -> None:
    """Sets a library's root. Every row keeps its relative path, so all files are where they were, below the new
    root.
    """
    connection.execute("UPDATE libraries SET root = ? WHERE id = ?", (root, library_id))
    metadata.bump(connection, "libraries")
    _touch_files(connection, library_id)


def absorb(connection: sqlite3.Connection, child_id: int, parent_id: int, prefix: bytes) -> None:
    """Makes a library part of another one below whose root it lies: its rows are rebased to ``prefix`` + ``/`` +
    path.
    """
    connection.execute(
        "UPDATE library_files SET library_id = ?, path = CAST(? || path AS BLOB), "
        "folder = CAST(CASE WHEN folder = x'' THEN ? ELSE ? || folder END AS BLOB) WHERE library_id = ?",
        (parent_id, prefix + b"/", prefix, prefix + b"/", child_id),
    )
    # What their folders said of them may be another thing now that more folders are above.
    connection.execute(
        "UPDATE library_files SET reread = 1 WHERE library_id = ? AND (guessed <> '[]' OR error IS NOT NULL)",
        (parent_id,),
    )
    _delete(connection, child_id)
    _touch_files(connection, parent_id)


def remove(connection: sqlite3.Connection, library_id: int) -> int:
    """Forgets a library, its rows and their matches; returns how many files that were."""
    count = connection.execute("DELETE FROM library_files WHERE library_id = ?", (library_id,)).rowcount
    _delete(connection, library_id)
    metadata.bump(connection, "library_files")
    metadata.bump(connection, "matches")
    return count


def knows(connection: sqlite3.Connection, library_id: int, path: bytes) -> bool:
    """Whether there is a row, present or missing, of this file or below this folder."""
    row = connection.execute(
        # What lies below sorts from "path/" up to "path0": '0' follows '/'.
        "SELECT 1 FROM library_files WHERE library_id = ? AND (path = ? OR (path > ? AND path < ?)) LIMIT 1",
        (library_id, path, path + b"/", path + b"0"),
    ).fetchone()
    return row is not None


def count_folders(connection: sqlite3.Connection, library_id: int) -> int:
    """How many folders of a library hold files that are on disk, here or further below; its root is one."""
    found = {b""}
    for row in connection.execute(
        "SELECT DISTINCT folder FROM library_files WHERE library_id = ? AND status = 'present'", (library_id,)
    ):
        folder = row[0]
        while folder not in found:
            found.add(folder)
            folder = folder.rpartition(b"/")[0]
    return len(found)


def last_scan(connection: sqlite3.Connection, library_id: int) -> str | None:
    """When and how a library was scanned last, as the scan noted it (JSON); None when it never was."""
    return metadata.get(connection, _last_scan_key(library_id))


def _library(row: Sequence[Any]) -> Library:
    library_id, name, root, watch = row
    return Library(library_id, name, root, watch=bool(watch))


def _delete(connection: sqlite3.Connection, library_id: int) -> None:
    """Deletes the row, and what was noted under its id."""
    connection.execute("DELETE FROM libraries WHERE id = ?", (library_id,))
    metadata.delete(connection, _last_scan_key(library_id))
    metadata.bump(connection, "libraries")


def _last_scan_key(library_id: int) -> str:
    return f"last_scan:{library_id}"


def _touch_files(connection: sqlite3.Connection, library_id: int) -> None:
    """The absolute path of every file changed, and later stages see that."""
    generation = metadata.bump(connection, "library_files")
    connection.execute("UPDATE library_files SET generation = ? WHERE library_id = ?", (generation, library_id))
