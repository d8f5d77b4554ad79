"""``metadata``: facts about the database itself, and the generation counters that tell a stage what changed."""

import sqlite3
from typing import Literal

Table = Literal["libraries", "library_files", "tracks", "playlists", "matches", "decisions"]


def get(connection: sqlite3.Connection, key: str) -> str | None:
    """The value stored under ``key``, or None."""
    row = connection.execute("SELECT value FROM metadata WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def put(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Stores ``value`` under ``key``."""
    connection.execute(
        "INSERT INTO metadata (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def delete(connection: sqlite3.Connection, key: str) -> None:
    """Forgets ``key``."""
    connection.execute("DELETE FROM metadata WHERE key = ?", (key,))


def data_version(connection: sqlite3.Connection) -> int:
    """A number that is another one once anyone else, in this process or another, has committed. Costs next to nothing.

    It can only be compared with what the same connection said before.
    """
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def generation(connection: sqlite3.Connection, table: Table) -> int:
    """How often ``table`` changed in a way that a later stage can see."""
    return int(get(connection, f"generation:{table}") or 0)


def bump(connection: sqlite3.Connection, table: Table) -> int:
    """Counts one more visible change of ``table`` and returns the new generation, to be written into the changed rows.

    Call it in the transaction that changes the rows: a stage that has seen generation n has then seen all rows up to n.
    """
    row = connection.execute(
        "INSERT INTO metadata (key, value) VALUES (?, '1') "
        "ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(metadata.value AS INTEGER) + 1 AS TEXT) RETURNING value",
        (f"generation:{table}",),
    ).fetchone()
    return int(row[0])
