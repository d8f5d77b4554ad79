"""Finding files by what they are called: every word of a query, however it is spelt."""

import json
import sqlite3
from collections.abc import Iterator

from psm.db import files
from psm.models import LibraryFile, Status
from psm.normalize import normalize


def search(connection: sqlite3.Connection, query: str = "", *, status: Status | None = None) -> Iterator[LibraryFile]:
    """The files, by library and path, in whose title, artists, album or path every word of ``query`` occurs.

    An empty query finds all. Files are read as they are consumed: take them inside ``db.snapshot()``.
    """
    words = {normalize(word) for word in query.split()}
    if not words:
        yield from files.all_files(connection, status=status)
        return
    where, values = ("", ()) if status is None else ("WHERE f.status = ? ", (status.value,))
    rows = connection.execute(
        "SELECT f.id, f.title, f.artists, f.album, f.album_artist, f.path FROM library_files f "
        f"JOIN libraries l ON l.id = f.library_id {where}ORDER BY l.name, f.path, f.id",
        values,
    )
    for file_id, title, artists, album, album_artist, path in rows:
        said = (title or "", *_names(artists), album or "", album_artist or "", path.decode("utf-8", "replace"))
        text = "\n".join(said)
        spelt = normalize(text)
        # In the text as it is, too: of a name without any letter nothing is left beside others.
        if (
            all(word in spelt or word in text for word in words)
            and (found := files.get(connection, file_id)) is not None
        ):
            yield found


def _names(artists: str) -> list[str]:
    return [] if artists == "[]" else json.loads(artists)
