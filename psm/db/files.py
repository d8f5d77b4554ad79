"""``library_files``: every audio file psm has seen, on disk or missing."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from psm.models import FileStat, LibraryFile, Reading, Status, TrackTags

FileRow = tuple[int, bytes, int, int, int, int, int]
"""id, path, size_bytes, mtime_ns, ctime_ns, reread, device."""

_ROW_COLUMNS = "id, path, size_bytes, mtime_ns, ctime_ns, reread, device"
_TAG_COLUMNS = (
    "title, artists, album, album_artist, track_number, disc_number, year, genre, duration_s, bitrate_kbps, "
    "sample_rate_hz, channels, codec, isrcs, mb_recording_id, mb_release_id, compilation, guessed"
)
_STAT_COLUMNS = "size_bytes, mtime_ns, ctime_ns, inode, device"
_READING_COLUMNS = f"fingerprint, error, {_TAG_COLUMNS}"
_FILE = (
    "SELECT f.id, f.library_id, l.name, l.root, f.path, f.status, f.first_seen, f.missing_since, f.generation, "
    + ", ".join(f"f.{c.strip()}" for c in f"{_STAT_COLUMNS}, {_READING_COLUMNS}".split(","))
    + " FROM library_files f JOIN libraries l ON l.id = f.library_id"
)


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What the scan compares a file on disk with. ``path`` is relative to the library's root.

    ``reread``: it changed so shortly before it was read that a later change may carry the same time.
    """

    id: int
    library_id: int
    path: bytes
    status: Status
    stat: FileStat
    reread: bool
    fingerprint: str | None


_KNOWN = f"SELECT id, library_id, path, status, {_STAT_COLUMNS}, reread, fingerprint FROM library_files"


def folder_rows(connection: sqlite3.Connection, library_id: int, folder: bytes) -> dict[bytes, FileRow]:
    """The present files directly in ``folder``, by path, as bare rows."""
    rows = connection.execute(
        f"SELECT {_ROW_COLUMNS} FROM library_files WHERE library_id = ? AND folder = ? AND status = 'present'",
        (library_id, folder),
    )
    return {row[1]: row for row in rows}


class RowsAhead:
    """As :func:`folder_rows`, for a walk: reads the rows of the folders that come next with those that are asked for.

    A walk takes "a/x" before "a b", which the database has the other way round. So the rows of a stretch of folders are
    kept until one is asked for that lies outside of it. A stretch is twice as long as the one before, up to ``most``
    rows, when most of that was asked for; otherwise it is short again, so that a few folders here and there cost no
    more than their own rows.
    """

    def __init__(self, connection: sqlite3.Connection, library_id: int, *, least: int = 64, most: int = 1024) -> None:
        self._connection = connection
        self._library_id = library_id
        self._least = least
        self._most = most
        self._size = least
        self._read = self._given = 0
        """Rows of this stretch, and how many of them were asked for."""
        self._first = b""
        self._end: bytes | None = b""
        """The folder before which the stretch ends; None when nothing follows it."""
        self._folders: dict[bytes, dict[bytes, FileRow] | None] = {}
        """By folder; None for one that was handed out already."""

    def of(self, folder: bytes) -> dict[bytes, FileRow]:
        """The present files directly in ``folder``, as when its stretch was read."""
        if folder < self._first or (self._end is not None and folder >= self._end):
            self._read_from(folder)
        rows = self._folders.get(folder, {})
        if rows is None or folder == self._end:  # asked for once more, or of more files than a stretch has room for
            return folder_rows(self._connection, self._library_id, folder)
        self._folders[folder] = None
        self._given += len(rows)
        return rows

    def _read_from(self, folder: bytes) -> None:
        self._size = min(self._size * 2, self._most) if self._given * 2 > self._read else self._least
        self._folders = {}
        self._first, self._end = folder, None
        last: bytes | None = None
        count = 0
        rows: dict[bytes, FileRow] = {}
        for row in self._connection.execute(
            f"SELECT {_ROW_COLUMNS}, folder FROM library_files "
            "WHERE library_id = ? AND folder >= ? AND status = 'present' ORDER BY folder LIMIT ?",
            (self._library_id, folder, self._size),
        ):
            count += 1
            if row[7] != last:
                last = row[7]
                self._folders[row[7]] = rows = {}
            rows[row[1]] = row
        self._read, self._given = count, 0
        if count == self._size and last is not None:
            # Of the last folder, there may be more.
            del self._folders[last]
            self._end = last


def missing_at(connection: sqlite3.Connection, library_id: int, path: bytes) -> KnownFile | None:
    """The row that went missing last from ``path``."""
    row = connection.execute(
        f"{_KNOWN} WHERE library_id = ? AND path = ? AND status = 'missing' "
        "ORDER BY missing_since DESC, id DESC LIMIT 1",
        (library_id, path),
    ).fetchone()
    return None if row is None else _known(row)


def known(connection: sqlite3.Connection, file_id: int) -> KnownFile | None:
    """The row with this id."""
    row = connection.execute(f"{_KNOWN} WHERE id = ?", (file_id,)).fetchone()
    return None if row is None else _known(row)


def with_fingerprint(connection: sqlite3.Connection, fingerprint: str) -> list[KnownFile]:
    """All rows, present and missing and in every library, that hold this audio."""
    rows = connection.execute(f"{_KNOWN} WHERE fingerprint = ? ORDER BY id", (fingerprint,))
    return [_known(row) for row in rows]


def folders_below(connection: sqlite3.Connection, library_id: int, below: bytes) -> Iterator[bytes]:
    """The folders, ``below`` itself included, that hold present files."""
    select = "SELECT DISTINCT folder FROM library_files WHERE library_id = ? AND status = 'present'"
    if below:
        # What lies below sorts from "below/" up to "below0": '0' follows '/'.
        select += " AND (folder = ? OR (folder >= ? AND folder < ?))"
        rows = connection.execute(f"{select} ORDER BY folder", (library_id, below, below + b"/", below + b"0"))
    else:
        rows = connection.execute(f"{select} ORDER BY folder", (library_id,))
    for (folder,) in rows:
        yield bytes(folder)


def count_present(connection: sqlite3.Connection, library_id: int) -> int:
    """How many files of a library are on disk."""
    row = connection.execute(
        "SELECT count(*) FROM library_files WHERE library_id = ? AND status = 'present'", (library_id,)
    ).fetchone()
    return int(row[0])


def present_ids(connection: sqlite3.Connection, library_id: int) -> set[int]:
    """The ids of a library's files that are on disk."""
    rows = connection.execute("SELECT id FROM library_files WHERE library_id = ? AND status = 'present'", (library_id,))
    return {int(row[0]) for row in rows}


def count_missing(connection: sqlite3.Connection, library_id: int) -> int:
    """How many files of a library are missing."""
    row = connection.execute(
        "SELECT count(*) FROM library_files WHERE library_id = ? AND status = 'missing'", (library_id,)
    ).fetchone()
    return int(row[0])


def insert(
    connection: sqlite3.Connection,
    library_id: int,
    path: bytes,
    *,
    stat: FileStat,
    reading: Reading,
    reread: bool,
    first_seen: float,
    generation: int,
) -> int:
    """Adds a file on disk and returns its id."""
    values = (*_stat_values(stat), int(reread), *_reading_values(reading), generation)
    row = connection.execute(
        f"INSERT INTO library_files (library_id, path, folder, status, first_seen, {_STAT_COLUMNS}, reread, "
        f"{_READING_COLUMNS}, generation) VALUES (?, ?, ?, 'present', ?, {_marks(len(values))}) RETURNING id",
        (library_id, path, folder_of(path), first_seen, *values),
    ).fetchone()
    return int(row[0])


def update(
    connection: sqlite3.Connection,
    file_id: int,
    library_id: int,
    path: bytes,
    *,
    stat: FileStat,
    reading: Reading,
    reread: bool,
    generation: int | None,
) -> None:
    """Writes what was read of a file that is on disk, wherever it is now. ``generation`` is None when nothing visible
    changed.
    """
    columns = f"library_id, path, folder, status, missing_since, {_STAT_COLUMNS}, reread, {_READING_COLUMNS}"
    values: tuple[object, ...] = (
        *(library_id, path, folder_of(path), Status.PRESENT, None),
        *(*_stat_values(stat), int(reread), *_reading_values(reading)),
    )
    if generation is not None:
        columns, values = f"{columns}, generation", (*values, generation)
    connection.execute(
        f"UPDATE library_files SET ({columns}) = ({_marks(len(values))}) WHERE id = ?", (*values, file_id)
    )


def park(connection: sqlite3.Connection, file_ids: Iterable[int], *, now: float) -> None:
    """Frees the paths of rows that are about to move, so that two files can swap their names."""
    connection.executemany(
        "UPDATE library_files SET status = 'missing', missing_since = ? WHERE id = ?", [(now, i) for i in file_ids]
    )


def mark_missing(connection: sqlite3.Connection, file_ids: Sequence[int], *, now: float, generation: int) -> None:
    """Sets files to missing: they keep their identity, matches and decisions."""
    connection.executemany(
        "UPDATE library_files SET status = 'missing', "
        "missing_since = CASE WHEN first_seen > ? THEN first_seen ELSE ? END, "
        "generation = ? WHERE id = ?",
        [(now, now, generation, i) for i in file_ids],
    )


def any_missing(connection: sqlite3.Connection, *, missing_before: float) -> bool:
    """Whether a row went missing before ``missing_before``."""
    found = connection.execute(
        "SELECT 1 FROM library_files WHERE status = 'missing' AND missing_since < ? LIMIT 1", (missing_before,)
    )
    return found.fetchone() is not None


def purge_missing(connection: sqlite3.Connection, *, missing_before: float) -> int:
    """Deletes rows that went missing before ``missing_before``, never one that a decision may mean; returns how many.

    A decision means a file by its row, by its fingerprint, or by a path: relative in whatever library, or absolute.
    """
    return connection.execute(
        "DELETE FROM library_files WHERE status = 'missing' AND missing_since < ? "
        "AND id NOT IN (SELECT file_id FROM decisions WHERE file_id IS NOT NULL) "
        "AND path NOT IN (SELECT file_path FROM decisions WHERE file_path IS NOT NULL) "
        "AND CAST((SELECT root FROM libraries l WHERE l.id = library_id) || '/' || path AS BLOB) "
        "NOT IN (SELECT file_path FROM decisions WHERE file_path IS NOT NULL) "
        "AND (fingerprint IS NULL OR fingerprint NOT IN "
        "(SELECT file_fingerprint FROM decisions WHERE file_fingerprint IS NOT NULL))",
        (missing_before,),
    ).rowcount


def on_device(
    connection: sqlite3.Connection, library_id: int, device: int, *, limit: int
) -> list[tuple[bytes, int, int]]:
    """Path, size and mtime of some present files that were read on ``device``, from all over the library."""
    return connection.execute(
        "SELECT path, size_bytes, mtime_ns FROM library_files "
        "WHERE library_id = ? AND device = ? AND status = 'present' ORDER BY id * 7919 % 10007, id LIMIT ?",
        (library_id, device, limit),
    ).fetchall()


def reading_of(connection: sqlite3.Connection, file_id: int) -> Reading:
    """What the last reading of a file gave. The file must be known."""
    row = connection.execute(f"SELECT {_READING_COLUMNS} FROM library_files WHERE id = ?", (file_id,)).fetchone()
    return _reading(row)


def get(connection: sqlite3.Connection, file_id: int) -> LibraryFile | None:
    """The file with this id."""
    row = connection.execute(f"{_FILE} WHERE f.id = ?", (file_id,)).fetchone()
    return None if row is None else _file(row)


def get_many(connection: sqlite3.Connection, file_ids: Iterable[int]) -> dict[int, LibraryFile]:
    """The files with these ids, those that are known."""
    found = (get(connection, i) for i in file_ids)
    return {f.id: f for f in found if f is not None}


def at_path(connection: sqlite3.Connection, library_id: int, path: bytes) -> LibraryFile | None:
    """The present file at ``path`` below the library's root."""
    row = connection.execute(
        f"{_FILE} WHERE f.library_id = ? AND f.path = ? AND f.status = 'present'", (library_id, path)
    ).fetchone()
    return None if row is None else _file(row)


def all_files(connection: sqlite3.Connection, *, status: Status | None = None) -> Iterator[LibraryFile]:
    """Every file, by library and path."""
    where, values = ("", ()) if status is None else (" WHERE f.status = ?", (status,))
    for row in connection.execute(f"{_FILE}{where} ORDER BY l.name, f.path, f.id", values):
        yield _file(row)


def changed_since(connection: sqlite3.Connection, generation: int) -> Iterator[LibraryFile]:
    """The files, missing ones too, that changed visibly after ``generation``."""
    for row in connection.execute(f"{_FILE} WHERE f.generation > ? ORDER BY f.id", (generation,)):
        yield _file(row)


def folder_of(path: bytes) -> bytes:
    """The folder part of a relative path; ``b""`` for the root."""
    return path.rpartition(b"/")[0]


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _stat_values(stat: FileStat) -> tuple[int, ...]:
    return (stat.size_bytes, stat.mtime_ns, stat.ctime_ns, stat.inode, stat.device)


def _reading_values(reading: Reading) -> tuple[object, ...]:
    t = reading.tags
    return (
        *(reading.fingerprint, reading.error, t.title, json.dumps(t.artists), t.album, t.album_artist),
        *(t.track_number, t.disc_number, t.year, t.genre, t.duration_s, t.bitrate_kbps, t.sample_rate_hz),
        *(t.channels, t.codec, json.dumps(t.isrcs), t.mb_recording_id, t.mb_release_id),
        *(int(t.compilation), json.dumps(t.guessed)),
    )


def _reading(row: Sequence[object]) -> Reading:
    fingerprint, error, *tags = row
    return Reading(tags=_tags(tags), fingerprint=fingerprint, error=error)  # type: ignore[arg-type]


def _tags(values: Sequence[object]) -> TrackTags:
    v = list(values)
    for place in (1, 13, 17):
        v[place] = tuple(json.loads(str(v[place]))) if v[place] != "[]" else ()
    v[16] = bool(v[16])
    return TrackTags(*v)  # type: ignore[arg-type]


def _known(row: Sequence[object]) -> KnownFile:
    file_id, library_id, path, status, *rest = row
    *stat, reread, fingerprint = rest
    return KnownFile(
        id=file_id,  # type: ignore[arg-type]
        library_id=library_id,  # type: ignore[arg-type]
        path=path,  # type: ignore[arg-type]
        status=Status(str(status)),
        stat=FileStat(*stat),  # type: ignore[arg-type]
        reread=bool(reread),
        fingerprint=fingerprint,  # type: ignore[arg-type]
    )


def _file(row: Sequence[object]) -> LibraryFile:
    file_id, library_id, library, root, path, status, first_seen, missing_since, generation, *rest = row
    reading = _reading(rest[5:])
    return LibraryFile(
        id=file_id,  # type: ignore[arg-type]
        library_id=library_id,  # type: ignore[arg-type]
        library=library,  # type: ignore[arg-type]
        root=root,  # type: ignore[arg-type]
        path=path,  # type: ignore[arg-type]
        status=Status(str(status)),
        stat=FileStat(*rest[:5]),  # type: ignore[arg-type]
        tags=reading.tags,
        fingerprint=reading.fingerprint,
        error=reading.error,
        first_seen=first_seen,  # type: ignore[arg-type]
        missing_since=missing_since,  # type: ignore[arg-type]
        generation=generation,  # type: ignore[arg-type]
    )
