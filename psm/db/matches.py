"""``matches``, the key index that finds candidates, and the queue of tracks that are still to be matched."""

import json
import sqlite3
import struct
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from psm.db import metadata
from psm.db.tracks import COLUMNS, track_of
from psm.models import Confidence, FileFacts, Match, Method, Track, TrackTags

_CHUNK = 900
_MARK = "stage:match"
_MATCH = "track_id, file_id, score, method, confidence, reasons"

Item = TypeVar("Item", int, str, bytes)


@dataclass(frozen=True, slots=True)
class Consumed:
    """What the match stage has seen: the generations of its inputs, its settings and the version of its algorithm.

    Decisions are not among them: whoever stores one queues its tracks in the same transaction.
    """

    library_files: int
    tracks: int
    settings: str
    version: str


@dataclass(frozen=True, slots=True)
class QueuedTrack:
    """A track to be matched. The ticket is void when the track is queued again meanwhile. ``hashes`` are its keys'."""

    ticket: int
    track: Track
    hashes: tuple[int, ...]


def consumed(connection: sqlite3.Connection) -> Consumed | None:
    """What the last finished look for changes had seen.

    None before the first, after one that was cut short, and when another version of psm recorded it in another form.
    """
    record = json.loads(metadata.get(connection, _MARK) or "{}")
    return Consumed(**record) if record.keys() == set(Consumed.__slots__) else None


def inputs(connection: sqlite3.Connection, *, settings: str, version: str) -> Consumed:
    """The inputs of the match stage as they are now. Take it before reading them."""
    return Consumed(
        library_files=metadata.generation(connection, "library_files"),
        tracks=metadata.generation(connection, "tracks"),
        settings=settings,
        version=version,
    )


def record_consumed(connection: sqlite3.Connection, seen: Consumed) -> None:
    """Records that every change up to ``seen`` is in the keys and the queue."""
    metadata.put(connection, _MARK, json.dumps({name: getattr(seen, name) for name in Consumed.__slots__}))


def forget_keys(connection: sqlite3.Connection) -> None:
    """Empties the key index, and the record of what was consumed: whoever comes next builds it anew."""
    metadata.delete(connection, _MARK)
    for table in ("file_keys", "file_keyed", "track_keys", "track_keyed"):
        connection.execute(f"DELETE FROM {table}")


def queue_tracks(connection: sqlite3.Connection, track_ids: Iterable[int]) -> None:
    """Asks for these tracks to be matched again, in the caller's transaction. Tracks that are gone are ignored."""
    for chunk in _chunks(sorted(set(track_ids))):
        marks = _marks(chunk)
        # A new row is a new ticket: whoever is matching the track at this moment drops a result that is out of date.
        connection.execute(f"DELETE FROM match_queue WHERE track_id IN ({marks})", chunk)
        connection.execute(
            f"INSERT INTO match_queue (track_id) SELECT id FROM tracks WHERE id IN ({marks}) ORDER BY id", chunk
        )


def queue_all_tracks(connection: sqlite3.Connection) -> None:
    """Asks for every track to be matched again."""
    connection.execute("DELETE FROM match_queue")
    # By artist: what was read of the files for one track serves the next.
    connection.execute("INSERT INTO match_queue (track_id) SELECT id FROM tracks ORDER BY artists, title, id")


def queue_decided_files(connection: sqlite3.Connection, *, since: int) -> None:
    """Asks for the tracks to be matched again whose decision names a file that changed after generation ``since``.

    A decision names its file by id, by fingerprint or by library and path: one not found so far may be there now.
    """
    rows = connection.execute(
        "SELECT t.id FROM decisions d JOIN library_files f ON f.id = d.file_id "
        "JOIN tracks t ON t.key = d.track_key WHERE f.generation > ? "
        "UNION SELECT t.id FROM decisions d JOIN library_files f ON f.fingerprint = d.file_fingerprint "
        "JOIN tracks t ON t.key = d.track_key WHERE f.generation > ? "
        "UNION SELECT t.id FROM decisions d JOIN libraries l ON l.name = d.file_library "
        "JOIN library_files f ON f.library_id = l.id AND f.path = d.file_path "
        "JOIN tracks t ON t.key = d.track_key WHERE f.generation > ?",
        (since, since, since),
    ).fetchall()
    queue_tracks(connection, (row[0] for row in rows))


def is_queue_empty(connection: sqlite3.Connection) -> bool:
    """Whether no track waits to be matched."""
    return connection.execute("SELECT 1 FROM match_queue LIMIT 1").fetchone() is None


def queue_length(connection: sqlite3.Connection) -> int:
    """How many tracks wait to be matched."""
    return int(connection.execute("SELECT count(*) FROM match_queue").fetchone()[0])


def next_queued(connection: sqlite3.Connection, *, limit: int) -> list[QueuedTrack]:
    """The tracks that have waited longest."""
    columns = ", ".join(f"t.{name.strip()}" for name in COLUMNS.split(","))
    rows = connection.execute(
        f"SELECT q.ticket, k.hashes, {columns} FROM match_queue q JOIN tracks t ON t.id = q.track_id "
        "LEFT JOIN track_keyed k ON k.track_id = q.track_id ORDER BY q.ticket LIMIT ?",
        (limit,),
    )
    return [QueuedTrack(row[0], track_of(row[2:]), _unpack(row[1])) for row in rows]


def files_changed_since(connection: sqlite3.Connection, generation: int) -> list[int]:
    """The files that changed visibly after ``generation``, and those whose keys are known although they are gone."""
    return [
        row[0]
        for row in connection.execute(
            "SELECT id FROM library_files WHERE generation > ? "
            "UNION SELECT file_id FROM file_keyed WHERE file_id NOT IN (SELECT id FROM library_files)",
            (generation,),
        )
    ]


def tracks_changed_since(connection: sqlite3.Connection, generation: int) -> list[int]:
    """The tracks that changed visibly after ``generation``, and those whose keys are known although they are gone."""
    return [
        row[0]
        for row in connection.execute(
            "SELECT id FROM tracks WHERE generation > ? "
            "UNION SELECT track_id FROM track_keyed WHERE track_id NOT IN (SELECT id FROM tracks)",
            (generation,),
        )
    ]


def replace_file_keys(connection: sqlite3.Connection, hashes: Mapping[int, Collection[int]]) -> None:
    """Sets the keys of files. A file without keys (missing or gone) is no candidate."""
    _replace_keys(connection, "file", hashes)


def add_file_keys(connection: sqlite3.Connection, keyed: Iterable[tuple[int, int]]) -> None:
    """Adds (key hash, file id) pairs to an index that is built anew. In the order of the index it costs least."""
    connection.executemany(
        "INSERT INTO file_keys (key_hash, file_id) VALUES (?, ?) ON CONFLICT (key_hash, file_id) DO NOTHING", keyed
    )


def remember_file_keys(connection: sqlite3.Connection, hashes: Mapping[int, Collection[int]]) -> None:
    """Records which keys files have, for when they change. Goes with :func:`add_file_keys`."""
    _remember(connection, "file", hashes)


def replace_track_keys(connection: sqlite3.Connection, hashes: Mapping[int, Collection[int]]) -> None:
    """Sets the keys of tracks and queues the tracks."""
    _replace_keys(connection, "track", hashes)
    queue_tracks(connection, hashes)


def keys_of_files(connection: sqlite3.Connection, file_ids: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """The key hashes of these files, by file, as they were recorded; files without any are left out."""
    return _keyed(connection, "file", file_ids)


def keys_of_tracks(connection: sqlite3.Connection, track_ids: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """The key hashes of these tracks, by track, as they were recorded; tracks without any are left out."""
    return _keyed(connection, "track", track_ids)


def tracks_with_keys(connection: sqlite3.Connection, hashes: Iterable[int]) -> Mapping[int, Sequence[int]]:
    """For each key hash the ids of the tracks that have it; hashes that no track has are left out."""
    return _with_keys(connection, "track", hashes)


def tracks_answered_by(connection: sqlite3.Connection, file_ids: Iterable[int]) -> set[int]:
    """The tracks whose match is one of these files."""
    return {
        row[0]
        for chunk in _chunks(sorted(set(file_ids)))
        for row in connection.execute(f"SELECT track_id FROM matches WHERE file_id IN ({_marks(chunk)})", chunk)
    }


def key_counts(connection: sqlite3.Connection, hashes: Iterable[int]) -> dict[int, int]:
    """How many files have each of these keys; hashes that no file has are left out."""
    return {
        row[0]: row[1]
        for chunk in _chunks(sorted(set(hashes)))
        for row in connection.execute(
            f"SELECT key_hash, count(*) FROM file_keys WHERE key_hash IN ({_marks(chunk)}) GROUP BY key_hash", chunk
        )
    }


def candidates(connection: sqlite3.Connection, hashes: Iterable[int]) -> Mapping[int, Sequence[int]]:
    """For each key hash the ids of the files that have it; hashes that no file has are left out."""
    return _with_keys(connection, "file", hashes)


def durations(connection: sqlite3.Connection, file_ids: Iterable[int]) -> dict[int, float | None]:
    """How many seconds these files last; unknown files are left out."""
    return {
        row[0]: row[1]
        for chunk in _chunks(sorted(set(file_ids)))
        for row in connection.execute(f"SELECT id, duration_s FROM library_files WHERE id IN ({_marks(chunk)})", chunk)
    }


def paths(connection: sqlite3.Connection, file_ids: Iterable[int]) -> dict[int, bytes]:
    """The absolute paths of these files; unknown files are left out."""
    return {
        row[0]: row[1].rstrip(b"/") + b"/" + row[2]
        for chunk in _chunks(sorted(set(file_ids)))
        for row in connection.execute(
            "SELECT f.id, l.root, f.path FROM library_files f JOIN libraries l ON l.id = f.library_id "
            f"WHERE f.id IN ({_marks(chunk)})",
            chunk,
        )
    }


def present_files(connection: sqlite3.Connection, file_ids: Iterable[int]) -> dict[int, FileFacts]:
    """The files on disk with these ids; missing and unknown ones are left out."""
    found: dict[int, FileFacts] = {}
    for chunk in _chunks(sorted(set(file_ids))):
        rows = connection.execute(f"{_FACTS} WHERE f.status = 'present' AND f.id IN ({_marks(chunk)})", chunk)
        for file_id, root, path, error, *tags in rows:
            known = _tags(tags)
            # Where a block of tags is broken, the audio and its duration may well have been read.
            readable = error is None or known.duration_s is not None
            found[file_id] = FileFacts(file_id, root.rstrip(b"/") + b"/" + path, known, readable)
    return found


def unusable_files(connection: sqlite3.Connection) -> Iterator[FileFacts]:
    """The files that matching leaves out, as if it did not: those missing from disk, those that could not be read.

    Of a file that could not be read not even the duration is known.
    """
    for file_id, root, path, _, *tags in connection.execute(
        f"{_FACTS} WHERE f.status <> 'present' OR (f.error IS NOT NULL AND f.duration_s IS NULL) "
        "ORDER BY l.root, f.path"
    ):
        yield FileFacts(file_id, root.rstrip(b"/") + b"/" + path, _tags(tags))


def get(connection: sqlite3.Connection, track_id: int) -> Match | None:
    """The match of a track."""
    return by_tracks(connection, [track_id]).get(track_id)


def by_tracks(connection: sqlite3.Connection, track_ids: Iterable[int]) -> dict[int, Match]:
    """The matches of these tracks, by track; unmatched ones are left out."""
    found: dict[int, Match] = {}
    for chunk in _chunks(sorted(set(track_ids))):
        for row in connection.execute(f"SELECT {_MATCH} FROM matches WHERE track_id IN ({_marks(chunk)})", chunk):
            found[row[0]] = _match(row)
    return found


def all_matches(connection: sqlite3.Connection) -> Iterator[Match]:
    """Every match, by track."""
    return (_match(row) for row in connection.execute(f"SELECT {_MATCH} FROM matches ORDER BY track_id"))


def changed_since(connection: sqlite3.Connection, generation: int) -> Iterator[Match]:
    """The matches that are new or changed after ``generation`` of the table ``matches``; lost ones leave no row."""
    rows = connection.execute(f"SELECT {_MATCH} FROM matches WHERE generation > ? ORDER BY track_id", (generation,))
    return (_match(row) for row in rows)


def count(connection: sqlite3.Connection) -> int:
    """How many tracks have a match."""
    return int(connection.execute("SELECT count(*) FROM matches").fetchone()[0])


def count_by_method(connection: sqlite3.Connection) -> tuple[tuple[Method, int], ...]:
    """How many matches were found by which method, surest method first; methods without any are left out."""
    found = dict(connection.execute("SELECT method, count(*) FROM matches GROUP BY method").fetchall())
    return tuple((method, int(found[method.value])) for method in Method if method.value in found)


@dataclass(frozen=True, slots=True)
class Stored:
    """What :func:`store` did, in tracks. ``evaluated`` leaves out those whose ticket was void."""

    evaluated: int = 0
    gained: int = 0
    changed: int = 0
    lost: int = 0


def store(connection: sqlite3.Connection, results: Sequence[tuple[QueuedTrack, Match | None]]) -> Stored:
    """Writes matches and takes their tracks from the queue. The generation moves when one visibly changed."""
    valid = [
        (queued.track.id, match)
        for queued, match in results
        if connection.execute(
            "DELETE FROM match_queue WHERE track_id = ? AND ticket = ?", (queued.track.id, queued.ticket)
        ).rowcount
    ]
    old = by_tracks(connection, (track_id for track_id, _ in valid))
    lost = [track_id for track_id, match in valid if match is None and track_id in old]
    written = [match for track_id, match in valid if match is not None and old.get(track_id) != match]
    if lost or written:
        generation = metadata.bump(connection, "matches")
        connection.executemany("DELETE FROM matches WHERE track_id = ?", [(i,) for i in lost])
        connection.executemany(
            f"INSERT INTO matches ({_MATCH}, generation) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (track_id) DO UPDATE SET file_id = excluded.file_id, score = excluded.score, "
            "method = excluded.method, confidence = excluded.confidence, reasons = excluded.reasons, "
            "generation = excluded.generation",
            [(*_values(match), generation) for match in written],
        )
    gained = sum(match.track_id not in old for match in written)
    return Stored(len(valid), gained, len(written) - gained, len(lost))


def _replace_keys(
    connection: sqlite3.Connection, kind: Literal["file", "track"], hashes: Mapping[int, Collection[int]]
) -> None:
    stale: list[tuple[int, int]] = []
    fresh: list[tuple[int, int]] = []
    old = _keyed(connection, kind, hashes)
    for item, new in hashes.items():
        before, after = set(old.get(item, ())), set(new)
        stale += [(key_hash, item) for key_hash in before - after]
        fresh += [(key_hash, item) for key_hash in after - before]
    # In the order of the table, so that a first run of many files fills its pages one after the other.
    connection.executemany(f"DELETE FROM {kind}_keys WHERE key_hash = ? AND {kind}_id = ?", sorted(stale))
    connection.executemany(f"INSERT INTO {kind}_keys (key_hash, {kind}_id) VALUES (?, ?)", sorted(fresh))
    connection.executemany(
        f"DELETE FROM {kind}_keyed WHERE {kind}_id = ?", [(i,) for i, new in hashes.items() if i in old and not new]
    )
    _remember(connection, kind, hashes)


def _remember(
    connection: sqlite3.Connection, kind: Literal["file", "track"], hashes: Mapping[int, Collection[int]]
) -> None:
    connection.executemany(
        f"INSERT INTO {kind}_keyed ({kind}_id, hashes) VALUES (?, ?) "
        f"ON CONFLICT ({kind}_id) DO UPDATE SET hashes = excluded.hashes",
        [(i, _pack(new)) for i, new in sorted(hashes.items()) if new],
    )


def _keyed(
    connection: sqlite3.Connection, kind: Literal["file", "track"], items: Iterable[int]
) -> dict[int, tuple[int, ...]]:
    return {
        item: _unpack(packed)
        for chunk in _chunks(sorted(set(items)))
        for item, packed in connection.execute(
            f"SELECT {kind}_id, hashes FROM {kind}_keyed WHERE {kind}_id IN ({_marks(chunk)})", chunk
        )
    }


def _with_keys(
    connection: sqlite3.Connection, kind: Literal["file", "track"], hashes: Iterable[int]
) -> Mapping[int, Sequence[int]]:
    found: dict[int, array[int]] = {}
    for chunk in _chunks(sorted(set(hashes))):
        for key_hash, item in connection.execute(
            f"SELECT key_hash, {kind}_id FROM {kind}_keys WHERE key_hash IN ({_marks(chunk)})", chunk
        ):
            if key_hash not in found:
                found[key_hash] = array("q")  # eight bytes each: some keys are shared by tens of thousands
            found[key_hash].append(item)
    return found


def _pack(hashes: Collection[int]) -> bytes:
    return struct.pack(f"<{len(hashes)}q", *sorted(hashes))


def _unpack(packed: bytes | None) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed) // 8}q", packed) if packed else ()


def _values(match: Match) -> tuple[object, ...]:
    return (
        *(match.track_id, match.file_id, match.score, match.method.value, match.confidence.value),
        json.dumps(match.reasons, ensure_ascii=False),
    )


def _match(row: Sequence[object]) -> Match:
    track_id, file_id, score, method, confidence, reasons = row
    return Match(
        track_id=int(str(track_id)),
        file_id=int(str(file_id)),
        score=float(str(score)),
        method=Method(str(method)),
        confidence=Confidence(str(confidence)),
        reasons=tuple(json.loads(str(reasons))),
    )


_FACTS = (
    "SELECT f.id, l.root, f.path, f.error, f.title, f.artists, f.album, f.album_artist, f.track_number, "
    "f.disc_number, f.year, f.genre, f.duration_s, f.bitrate_kbps, f.sample_rate_hz, f.channels, f.codec, f.isrcs, "
    "f.mb_recording_id, f.mb_release_id, f.compilation, f.guessed FROM library_files f "
    "JOIN libraries l ON l.id = f.library_id"
)
_LISTS = (1, 13, 17)


def _tags(values: list[object]) -> TrackTags:
    for place in _LISTS:
        values[place] = _list(str(values[place]))
    values[16] = bool(values[16])
    return TrackTags(*values)  # type: ignore[arg-type]


def _list(text: str) -> tuple[str, ...]:
    """A JSON array of strings. Nearly all are empty or hold nothing escaped: those are read without a parser."""
    if text == "[]":
        return ()
    if "\\" in text or not text.startswith('["'):
        return tuple(json.loads(text))
    return tuple(text[2:-2].split('", "'))


def _marks(items: Sequence[object]) -> str:
    return ", ".join("?" * len(items))


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
