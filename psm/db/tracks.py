"""``tracks``: what playlists ask for, each once, however many playlists hold it."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from psm.db import metadata
from psm.errors import UsageError
from psm.models import PlaylistEntry, Track
from psm.normalize import normalize

COLUMNS = "id, key, title, artists, album, duration_s, isrc, mb_recording_id, locations"
_CANDIDATES_SHOWN = 10
_CHUNK = 500

KeyOf = Callable[[PlaylistEntry], str]


@dataclass(frozen=True, slots=True)
class Ensured:
    """The ids of tracks that are now stored, one per entry asked for, and whether any row changed."""

    ids: tuple[int, ...]
    changed: bool


def identity(entry: PlaylistEntry) -> str:
    """A hash over everything the source says about the track: two rows that say the same are one track."""
    said = json.dumps(
        [
            entry.title,
            entry.artists,
            entry.album,
            entry.duration_s,
            entry.isrc,
            entry.mb_recording_id,
            [location.hex() for location in entry.locations],
            entry.guessed,
        ]
    )
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def ensure(connection: sqlite3.Connection, entries: Sequence[PlaylistEntry], *, key: KeyOf) -> Ensured:
    """Stores the tracks that are not known yet. The generation of ``tracks`` moves when a row is new or its key is."""
    identities = [identity(entry) for entry in entries]
    wanted = dict(zip(identities, entries, strict=True))
    known: dict[str, tuple[int, str]] = {}
    for chunk in _chunks(tuple(wanted)):
        marks = ", ".join("?" * len(chunk))
        for row in connection.execute(f"SELECT identity, id, key FROM tracks WHERE identity IN ({marks})", chunk):
            known[row[0]] = (row[1], row[2])
    keys = {name: key(entry) for name, entry in wanted.items()}
    stale = [(keys[name], known[name][0]) for name in wanted if name in known and known[name][1] != keys[name]]
    fresh = [name for name in wanted if name not in known]
    ids = {name: found[0] for name, found in known.items()}
    if stale or fresh:
        generation = metadata.bump(connection, "tracks")
        for new_key, track_id in stale:
            connection.execute(
                "UPDATE tracks SET key = ?, generation = ? WHERE id = ?", (new_key, generation, track_id)
            )
        for name in fresh:
            ids[name] = _insert(connection, name, keys[name], wanted[name], generation)
    return Ensured(tuple(ids[name] for name in identities), bool(stale or fresh))


def delete_orphans(connection: sqlite3.Connection, track_ids: Iterable[int]) -> int:
    """Deletes those of ``track_ids`` that no playlist holds any more, and returns how many they were."""
    deleted = 0
    for chunk in _chunks(tuple(track_ids)):
        marks = ", ".join("?" * len(chunk))
        deleted += connection.execute(
            f"DELETE FROM tracks WHERE id IN ({marks}) "
            "AND NOT EXISTS (SELECT 1 FROM playlist_tracks WHERE playlist_tracks.track_id = tracks.id)",
            chunk,
        ).rowcount
    if deleted:
        metadata.bump(connection, "tracks")
    return deleted


def by_id(connection: sqlite3.Connection, track_id: int) -> Track | None:
    """The track with this id, or None."""
    row = connection.execute(f"SELECT {COLUMNS} FROM tracks WHERE id = ?", (track_id,)).fetchone()
    return None if row is None else track_of(row)


def by_ids(connection: sqlite3.Connection, track_ids: Iterable[int]) -> dict[int, Track]:
    """The tracks with these ids, by id; unknown ids are left out."""
    found: dict[int, Track] = {}
    for chunk in _chunks(tuple(track_ids)):
        marks = ", ".join("?" * len(chunk))
        for row in connection.execute(f"SELECT {COLUMNS} FROM tracks WHERE id IN ({marks})", chunk):
            found[row[0]] = track_of(row)
    return found


def by_key(connection: sqlite3.Connection, key: str) -> tuple[Track, ...]:
    """The tracks that one manual decision speaks of: those with this key, by id."""
    rows = connection.execute(f"SELECT {COLUMNS} FROM tracks WHERE key = ? ORDER BY id", (key,))
    return tuple(track_of(row) for row in rows)


def all_tracks(connection: sqlite3.Connection) -> Iterator[Track]:
    """Every track, by id, read as it is consumed."""
    return (track_of(row) for row in connection.execute(f"SELECT {COLUMNS} FROM tracks ORDER BY id"))


def changed_since(connection: sqlite3.Connection, generation: int) -> Iterator[Track]:
    """The tracks that are new or changed after ``generation`` of the table ``tracks``, by id."""
    rows = connection.execute(f"SELECT {COLUMNS} FROM tracks WHERE generation > ? ORDER BY id", (generation,))
    return (track_of(row) for row in rows)


def count(connection: sqlite3.Connection) -> int:
    """How many tracks there are."""
    return int(connection.execute("SELECT COUNT(*) FROM tracks").fetchone()[0])


def find_track(connection: sqlite3.Connection, text: str) -> Track:
    """The track a person means: its id, or as much of "artist - title" as is unique, however it is spelt.

    Tracks that share their key are one track to a person, and the first of them stands for all. Raises UsageError when
    several tracks or none answer to ``text``; the message lists candidates with their ids.
    """
    wanted = text.strip()
    if wanted.isascii() and wanted.isdigit() and (track := by_id(connection, _small(wanted))) is not None:
        return track
    spelt = normalize(wanted)
    exact: list[Track] = []
    partial: list[Track] = []
    for track in all_tracks(connection) if spelt else ():
        names = _names(track)
        if spelt in names:
            exact.append(track)
        elif any(spelt in name for name in names):
            partial.append(track)
    found = exact or partial
    if len({track.key for track in found}) == 1:
        return found[0]
    if found:
        raise UsageError(
            f'{len(found)} tracks answer to "{text}". Name one by its id, or write more of it:\n{_listed(found)}'
        )
    raise UsageError(f'No track answers to "{text}".{_near(connection, spelt)}')


def track_of(row: Sequence[object]) -> Track:
    """The track in a row of ``COLUMNS``."""
    track_id, key, title, artists, album, duration_s, isrc, recording, locations = row
    return Track(
        id=int(str(track_id)),
        key=str(key),
        title=str(title),
        artists=tuple(json.loads(str(artists))),
        album=None if album is None else str(album),
        duration_s=duration_s if isinstance(duration_s, float) else None,
        isrc=None if isrc is None else str(isrc),
        mb_recording_id=None if recording is None else str(recording),
        locations=tuple(locations.split(b"\0")) if isinstance(locations, bytes) else (),
    )


def _insert(connection: sqlite3.Connection, name: str, key: str, entry: PlaylistEntry, generation: int) -> int:
    row = connection.execute(
        "INSERT INTO tracks "
        "(identity, key, title, artists, album, duration_s, isrc, mb_recording_id, locations, generation) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (
            name,
            key,
            entry.title,
            json.dumps(entry.artists, ensure_ascii=False),
            entry.album,
            entry.duration_s,
            entry.isrc,
            entry.mb_recording_id,
            b"\0".join(entry.locations) if entry.locations else None,
            generation,
        ),
    ).fetchone()
    return int(row[0])


def _small(digits: str) -> int:
    # SQLite cannot even be asked for an id beyond 64 bits.
    return int(digits) if len(digits) < 18 else -1


def _names(track: Track) -> set[str]:
    # Part by part: of an artist called "!!!" nothing would be left beside words.
    title = normalize(track.title)
    artists = {" ".join(map(normalize, track.artists)), *map(normalize, track.artists)}
    return {f"{artist} {title}".strip() for artist in artists}


def _listed(found: Sequence[Track]) -> str:
    lines = [_candidate(track) for track in found[:_CANDIDATES_SHOWN]]
    if len(found) > _CANDIDATES_SHOWN:
        lines.append(f"  … and {len(found) - _CANDIDATES_SHOWN} more")
    return "\n".join(lines)


def _candidate(track: Track) -> str:
    album = f" ({track.album})" if track.album else ""
    return f"  {track.id}  {track.label}{album}"


def _near(connection: sqlite3.Connection, spelt: str) -> str:
    from rapidfuzz import fuzz, process

    choices = {track.id: normalize(track.label) for track in all_tracks(connection)}
    if not choices:
        return " There are none yet: take some in with psm playlist import."
    near = process.extract(spelt, choices, scorer=fuzz.WRatio, limit=3, score_cutoff=70)
    if not near:
        return " psm playlist show NAME lists the tracks of a playlist."
    tracks = by_ids(connection, (found[2] for found in near))
    return " Near ones are:\n" + "\n".join(_candidate(tracks[found[2]]) for found in near)


def _chunks(items: Sequence[str] | Sequence[int]) -> Iterator[Sequence[str] | Sequence[int]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
