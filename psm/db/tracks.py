"""``tracks``: what playlists ask for, each once, however many playlists hold it."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from psm.db import metadata
from psm.digest import blake2b
from psm.errors import UsageError
from psm.models import Method, PlaylistEntry, Status, Track
from psm.normalize import normalize

COLUMNS = "id, key, title, artists, album, duration_s, isrc, mb_recording_id, locations, followed"
_CANDIDATES_SHOWN = 10
_CHUNK = 500
_FOLLOWED = "tracks:followed_files"
"""In the metadata: the generation of ``library_files`` up to which tracks found by path have followed their files."""

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
    return blake2b(said.encode(), digest_size=16).hexdigest()


def ensure(connection: sqlite3.Connection, entries: Sequence[PlaylistEntry], *, key: KeyOf) -> Ensured:
    """Stores the tracks that are not known yet.

    Places that are new are added to known ones; none is taken away. The generation of ``tracks`` moves when a row is
    new, or its key or a place is.
    """
    identities = [identity(entry) for entry in entries]
    wanted = dict(zip(identities, entries, strict=True))
    known: dict[str, tuple[int, str, bytes | None]] = {}
    for chunk in _chunks(tuple(wanted)):
        marks = ", ".join("?" * len(chunk))
        for row in connection.execute(
            f"SELECT identity, id, key, locations FROM tracks WHERE identity IN ({marks})", chunk
        ):
            known[row[0]] = (row[1], row[2], row[3])
    keys = {name: key(entry) for name, entry in wanted.items()}
    stale = [
        (keys[name], places, known[name][0])
        for name, entry in wanted.items()
        if name in known and known[name][1:] != (keys[name], places := _places(entry, known[name][2]))
    ]
    fresh = [name for name in wanted if name not in known]
    ids = {name: found[0] for name, found in known.items()}
    if stale or fresh:
        generation = metadata.bump(connection, "tracks")
        for new_key, places, track_id in stale:
            connection.execute(
                "UPDATE tracks SET key = ?, locations = ?, generation = ? WHERE id = ?",
                (new_key, places, generation, track_id),
            )
        for name in fresh:
            ids[name] = _insert(connection, name, keys[name], wanted[name], generation)
    return Ensured(tuple(ids[name] for name in identities), bool(stale or fresh))


def follow_files(connection: sqlite3.Connection) -> int:
    """Tells every track that was found by its path where that file is now; returns how many were told anything new.

    So a playlist that names a file goes on meaning it when the file is renamed or its library moves: the row stays, and
    with it the match. Call it in a transaction, after a scan and before matching. Costs two look-ups when no file
    changed since the last time.
    """
    generation = metadata.generation(connection, "library_files")
    seen = int(metadata.get(connection, _FOLLOWED) or 0)
    if generation == seen:
        return 0
    found = connection.execute(
        "SELECT tracks.id, tracks.locations, tracks.followed, libraries.root, library_files.path FROM library_files "
        "JOIN matches ON matches.file_id = library_files.id AND matches.method = ? "
        "JOIN tracks ON tracks.id = matches.track_id JOIN libraries ON libraries.id = library_files.library_id "
        "WHERE library_files.generation > ? AND library_files.status = ?",
        (Method.PATH.value, seen, Status.PRESENT.value),
    ).fetchall()
    moved = []
    for track_id, locations, followed, root, path in found:
        there = root.rstrip(b"/") + b"/" + path
        now = None if there in (locations or b"").split(b"\0") else there
        if now != followed:
            moved.append((now, track_id))
    if moved:
        tracks_generation = metadata.bump(connection, "tracks")
        connection.executemany(
            "UPDATE tracks SET followed = ?, generation = ? WHERE id = ?",
            [(now, tracks_generation, track_id) for now, track_id in moved],
        )
    metadata.put(connection, _FOLLOWED, str(generation))
    return len(moved)


def files_are_followed(connection: sqlite3.Connection) -> bool:
    """Whether :func:`follow_files` has nothing to do."""
    return int(metadata.get(connection, _FOLLOWED) or 0) == metadata.generation(connection, "library_files")


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
    track_id, key, title, artists, album, duration_s, isrc, recording, locations, followed = row
    places = (locations, followed)
    return Track(
        id=int(str(track_id)),
        key=str(key),
        title=str(title),
        artists=tuple(json.loads(str(artists))),
        album=None if album is None else str(album),
        duration_s=duration_s if isinstance(duration_s, float) else None,
        isrc=None if isrc is None else str(isrc),
        mb_recording_id=None if recording is None else str(recording),
        locations=tuple(path for place in places if isinstance(place, bytes) for path in place.split(b"\0")),
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
            _places(entry, None),
            generation,
        ),
    ).fetchone()
    return int(row[0])


def _places(entry: PlaylistEntry, stored: bytes | None) -> bytes | None:
    """The places as they are stored: those that hold now, then those known before. None when there are none.

    A place is not taken away because it was not found this time: the drive that tells may be dead.
    """
    every = dict.fromkeys((*entry.locations, *entry.resolved, *(stored.split(b"\0") if stored else ())))
    return b"\0".join(every) if every else None


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
