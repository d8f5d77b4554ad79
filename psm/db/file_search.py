"""Finding files by what they are called: every word of a query, whatever its case and accents."""

import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterator

from psm.db import files
from psm.models import LibraryFile, Status

_MARKS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")


def search(connection: sqlite3.Connection, query: str = "", *, status: Status | None = None) -> Iterator[LibraryFile]:
    """The files, by library and path, in whose title, artists, album or path every word of ``query`` occurs.

    An empty query finds all. Files are read as they are consumed: take them inside ``db.snapshot()``.
    """
    words = set(fold(query).split())
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
        text = fold("\n".join(said))
        if all(word in text for word in words) and (found := files.get(connection, file_id)) is not None:
            yield found


def fold(text: str) -> str:
    """``text`` without case and accents."""
    if text.isascii():
        return text.lower()  # most names, and ten times as fast
    return _MARKS.sub("", unicodedata.normalize("NFKD", text.casefold()))


def _names(artists: str) -> list[str]:
    return [] if artists == "[]" else json.loads(artists)
