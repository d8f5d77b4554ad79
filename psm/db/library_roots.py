"""The folders in which libraries were before they moved: playlists go on naming files by those.

Kept in ``metadata``. A library is known by its id and the moment it was added: earlier versions gave ids out
again.
"""

import json
import os
import sqlite3
from dataclasses import dataclass

from psm.db import metadata

_ROOTS = "library_roots"
_SEEN = "library_roots:generation"


@dataclass(frozen=True, slots=True)
class FormerRoot:
    """A library was in the folder ``before`` and is in ``now``. Absolute paths, without a slash at the end."""

    before: bytes
    now: bytes


def note(connection: sqlite3.Connection) -> None:
    """Remembers where every library is. Costs two look-ups when none moved; call it in a transaction."""
    generation = str(metadata.generation(connection, "libraries"))
    if metadata.get(connection, _SEEN) == generation:
        return
    known = _stored(connection)
    roots = {
        library: [*(root for root in known.get(library, []) if root != now), now]
        for library, now in _current(connection).items()
    }
    metadata.put(connection, _ROOTS, json.dumps(roots))
    metadata.put(connection, _SEEN, generation)


def is_noted(connection: sqlite3.Connection) -> bool:
    """Whether :func:`note` has nothing to write."""
    return metadata.get(connection, _SEEN) == str(metadata.generation(connection, "libraries"))


def former(connection: sqlite3.Connection) -> tuple[FormerRoot, ...]:
    """The folders in which :func:`note` saw a library that is elsewhere now, the latest first.

    Folders that are, or lie in, or hold, a library now are left out: what is named there is there.
    """
    current = _current(connection)
    return tuple(
        FormerRoot(os.fsencode(before).rstrip(b"/"), os.fsencode(now).rstrip(b"/"))
        for library, now in current.items()
        for before in reversed(_stored(connection).get(library, []))
        if not any(_overlap(before, root) for root in current.values())
    )


def _current(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT id, added_at, root FROM libraries ORDER BY id")
    return {f"{library_id}:{added_at!r}": os.fsdecode(root) for library_id, added_at, root in rows}


def _stored(connection: sqlite3.Connection) -> dict[str, list[str]]:
    return dict(json.loads(metadata.get(connection, _ROOTS) or "{}"))


def _overlap(one: str, other: str) -> bool:
    a, b = one.rstrip("/") + "/", other.rstrip("/") + "/"
    return a.startswith(b) or b.startswith(a)
