"""``playlists`` and ``playlist_tracks``: the playlists taken in, and which track stands where."""

import sqlite3
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psm.db import metadata, playlist_sources
from psm.db.tracks import COLUMNS, KeyOf, delete_orphans, ensure, identity, track_of
from psm.errors import UsageError
from psm.models import Playlist, SourcePlaylist, Status, Track
from psm.normalize import normalize

_COLUMNS = (
    "id, name, provider, source, folder, status, "
    "(SELECT COUNT(*) FROM playlist_tracks WHERE playlist_id = playlists.id) AS track_count"
)


@dataclass(frozen=True, slots=True)
class StoredPlaylist:
    """What storing a playlist changed. ``added``, ``removed`` and ``moved`` count rows.

    A row moved when it left the order of its neighbours: rows that only made room for another one did not.
    """

    playlist_id: int
    created: bool = False
    renamed: bool = False
    restored: bool = False
    added: int = 0
    removed: int = 0
    moved: int = 0
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class PlaylistRow:
    """One row of a stored playlist. ``path`` is the absolute path of the file found for it, None when there is none."""

    position: int
    track: Track
    path: bytes | None


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A source that playlists were taken from before, and the state it was in then."""

    playlist: Playlist
    source_state: str


def store(
    connection: sqlite3.Connection,
    playlist: SourcePlaylist,
    *,
    folder: bytes | None,
    source_state: str,
    now: float,
    key: KeyOf = identity,
) -> StoredPlaylist:
    """Makes the database say what ``playlist`` says, in the caller's transaction; the source tells which it is.

    ``folder`` None leaves the folder of a known playlist as it is. ``key`` names a track for manual decisions: the
    default is the track's identity; whoever takes playlists in for people passes ``psm.match.track_key``. A source that
    belongs to no folder is remembered as imported by name (:mod:`psm.db.playlist_sources`). Generations
    move, and are written into the changed rows, only when a later stage would see a difference; tracks that no playlist
    holds any more are deleted.
    """
    known = connection.execute(
        "SELECT id, name, status, folder FROM playlists WHERE source = ?", (playlist.source,)
    ).fetchone()
    if folder is None and (known is None or known[3] is None):
        playlist_sources.remember_file(connection, playlist.source)
    connection.execute("DELETE FROM removed_playlists WHERE source = ?", (playlist.source,))
    ensured = ensure(connection, playlist.entries, key=key)
    new = {entry.position: track_id for entry, track_id in zip(playlist.entries, ensured.ids, strict=True)}
    if known is None:
        playlist_id = _insert(connection, playlist, folder, source_state, now)
        _write_rows(connection, playlist_id, new)
        return StoredPlaylist(playlist_id, created=True, added=len(new))
    playlist_id, old_name, old_status = int(known[0]), str(known[1]), str(known[2])
    old = _positions(connection, playlist_id)
    renamed, restored = old_name != playlist.name, old_status != Status.PRESENT
    visible = renamed or restored or old != new
    _update(connection, playlist_id, playlist, folder, source_state, now=now if visible else None)
    if old != new:
        connection.execute("DELETE FROM playlist_tracks WHERE playlist_id = ?", (playlist_id,))
        _write_rows(connection, playlist_id, new)
        delete_orphans(connection, set(old.values()) - set(new.values()))
    before, after = Counter(old.values()), Counter(new.values())
    return StoredPlaylist(
        playlist_id,
        renamed=renamed,
        restored=restored,
        added=(after - before).total(),
        removed=(before - after).total(),
        moved=_moved(old, new),
        unchanged=not visible,
    )


def all_playlists(connection: sqlite3.Connection, *, status: Status | None = None) -> tuple[Playlist, ...]:
    """Every playlist (of this status), by name, then id."""
    where, values = ("", ()) if status is None else (" WHERE status = ?", (status.value,))
    rows = connection.execute(f"SELECT {_COLUMNS} FROM playlists{where}", values)
    return tuple(sorted(map(_playlist, rows), key=lambda p: (normalize(p.name), p.name, p.id)))


def changed_since(connection: sqlite3.Connection, generation: int) -> tuple[Playlist, ...]:
    """The playlists that are new or changed after ``generation`` of the table ``playlists``, by id."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM playlists WHERE generation > ? ORDER BY id", (generation,))
    return tuple(map(_playlist, rows))


def by_id(connection: sqlite3.Connection, playlist_id: int) -> Playlist | None:
    """The playlist with this id, or None."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM playlists WHERE id = ?", (playlist_id,)).fetchone()
    return None if row is None else _playlist(row)


def find_playlist(connection: sqlite3.Connection, text: str) -> Playlist:
    """The playlist a person means: its name, its id, or as much of its name as is unique, however it is spelt.

    Raises UsageError when several playlists or none answer to ``text``; the message lists them with their ids.
    """
    wanted = text.strip()
    everything = all_playlists(connection)
    spelt = normalize(wanted)
    for found in (
        [p for p in everything if p.name == text],
        [p for p in everything if str(p.id) == wanted],
        [p for p in everything if p.name.casefold() == wanted.casefold()],  # "rock" is Rock before it is Rock!
        [p for p in everything if normalize(p.name) == spelt],
        [p for p in everything if spelt and spelt in normalize(p.name)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(f'{len(found)} playlists answer to "{text}". Name one by its id:\n{_listed(found)}')
    if not everything:
        raise UsageError(f'No playlist answers to "{text}": there are none yet. Take some in with psm playlist import.')
    raise UsageError(f'No playlist answers to "{text}". psm playlist list shows them all.')


def rows(connection: sqlite3.Connection, playlist_id: int) -> tuple[PlaylistRow, ...]:
    """The rows of a playlist in its order, each with the present file that was found for it."""
    columns = ", ".join(f"tracks.{name.strip()}" for name in COLUMNS.split(","))
    found = connection.execute(
        f"SELECT playlist_tracks.position, libraries.root, library_files.path, {columns} FROM playlist_tracks "
        "JOIN tracks ON tracks.id = playlist_tracks.track_id "
        "LEFT JOIN matches ON matches.track_id = tracks.id "
        "LEFT JOIN library_files ON library_files.id = matches.file_id AND library_files.status = 'present' "
        "LEFT JOIN libraries ON libraries.id = library_files.library_id "
        "WHERE playlist_tracks.playlist_id = ? ORDER BY playlist_tracks.position",
        (playlist_id,),
    )
    return tuple(
        PlaylistRow(
            position=row[0],
            track=track_of(row[3:]),
            path=None if row[2] is None else row[1].rstrip(b"/") + b"/" + row[2],
        )
        for row in found
    )


def known_sources(connection: sqlite3.Connection) -> dict[bytes, KnownSource]:
    """Every playlist with the state its source was in when it was last read, by source."""
    found = connection.execute(f"SELECT {_COLUMNS}, source_state FROM playlists ORDER BY id")
    return {row[3]: KnownSource(_playlist(row[:-1]), row[-1]) for row in found}


def note_state(connection: sqlite3.Connection, playlist_id: int, source_state: str, *, folder: bytes | None) -> None:
    """Remembers the state of a source whose playlist says the same as before. No later stage sees this."""
    connection.execute(
        "UPDATE playlists SET source_state = ?, folder = COALESCE(?, folder) WHERE id = ?",
        (source_state, folder, playlist_id),
    )


def release(connection: sqlite3.Connection, playlist_id: int) -> None:
    """Takes a playlist out of its folder, which is not followed any more: from now on it counts as imported by name."""
    source, status = connection.execute(
        "UPDATE playlists SET folder = NULL WHERE id = ? RETURNING source, status", (playlist_id,)
    ).fetchone()
    if status == Status.PRESENT:
        playlist_sources.remember_file(connection, source)


def set_status(connection: sqlite3.Connection, playlist_id: int, status: Status) -> bool:
    """Marks a playlist as missing or present, and returns whether that is a change."""
    changed = connection.execute(
        "UPDATE playlists SET status = ? WHERE id = ? AND status <> ?", (status.value, playlist_id, status.value)
    ).rowcount
    if changed:
        _stamp(connection, playlist_id)
    return bool(changed)


def remove(connection: sqlite3.Connection, playlist_id: int) -> None:
    """Deletes a playlist, and the tracks that no other playlist holds. Manual decisions stay.

    That it was removed is remembered (see :func:`removed_sources`), that it was imported by name is not.
    """
    held = set(_positions(connection, playlist_id).values())
    (source,) = connection.execute("DELETE FROM playlists WHERE id = ? RETURNING source", (playlist_id,)).fetchone()
    playlist_sources.forget(connection, source)
    connection.execute("INSERT INTO removed_playlists (source) VALUES (?) ON CONFLICT DO NOTHING", (source,))
    metadata.bump(connection, "playlists")
    delete_orphans(connection, held)


def removed_sources(connection: sqlite3.Connection) -> frozenset[bytes]:
    """The sources of the playlists that were removed by hand and not taken in again since.

    A source that is neither here nor among the playlists proves nothing: the database may be a new one.
    """
    return frozenset(row[0] for row in connection.execute("SELECT source FROM removed_playlists"))


def _insert(
    connection: sqlite3.Connection, playlist: SourcePlaylist, folder: bytes | None, source_state: str, now: float
) -> int:
    row = connection.execute(
        "INSERT INTO playlists (name, provider, source, folder, source_state, status, imported_at, generation) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (
            playlist.name,
            playlist.provider,
            playlist.source,
            folder,
            source_state,
            Status.PRESENT.value,
            now,
            metadata.bump(connection, "playlists"),
        ),
    ).fetchone()
    return int(row[0])


def _update(
    connection: sqlite3.Connection,
    playlist_id: int,
    playlist: SourcePlaylist,
    folder: bytes | None,
    source_state: str,
    *,
    now: float | None,
) -> None:
    connection.execute(
        "UPDATE playlists SET name = ?, provider = ?, folder = COALESCE(?, folder), source_state = ?, status = ?, "
        "imported_at = COALESCE(?, imported_at) WHERE id = ?",
        (playlist.name, playlist.provider, folder, source_state, Status.PRESENT.value, now, playlist_id),
    )
    if now is not None:
        _stamp(connection, playlist_id)


def _stamp(connection: sqlite3.Connection, playlist_id: int) -> None:
    generation = metadata.bump(connection, "playlists")
    connection.execute("UPDATE playlists SET generation = ? WHERE id = ?", (generation, playlist_id))


def _positions(connection: sqlite3.Connection, playlist_id: int) -> dict[int, int]:
    found = connection.execute(
        "SELECT position, track_id FROM playlist_tracks WHERE playlist_id = ? ORDER BY position", (playlist_id,)
    )
    return dict(found.fetchall())


def _write_rows(connection: sqlite3.Connection, playlist_id: int, positions: Mapping[int, int]) -> None:
    connection.executemany(
        "INSERT INTO playlist_tracks (playlist_id, position, track_id) VALUES (?, ?, ?)",
        [(playlist_id, position, track_id) for position, track_id in positions.items()],
    )


def _moved(old: Mapping[int, int], new: Mapping[int, int]) -> int:
    """How many rows have to move for the old order to become the new: all that stay, less the longest run in order."""
    places = {row: place for place, row in enumerate(_numbered([old[position] for position in sorted(old)]))}
    order = [places[row] for row in _numbered([new[position] for position in sorted(new)]) if row in places]
    tails: list[int] = []
    for place in order:
        at = bisect_left(tails, place)
        tails[at : at + 1] = [place]
    return len(order) - len(tails)


def _numbered(track_ids: Sequence[int]) -> list[tuple[int, int]]:
    """Each row with a number that tells a track's repetitions apart."""
    seen: Counter[int] = Counter()
    numbered = []
    for track_id in track_ids:
        numbered.append((track_id, seen[track_id]))
        seen[track_id] += 1
    return numbered


def _playlist(row: Sequence[object]) -> Playlist:
    playlist_id, name, provider, source, folder, status, track_count = row
    return Playlist(
        id=int(str(playlist_id)),
        name=str(name),
        provider=str(provider),
        source=source if isinstance(source, bytes) else b"",
        folder=folder if isinstance(folder, bytes) else None,
        status=Status(str(status)),
        track_count=int(str(track_count)),
    )


def _listed(found: Sequence[Playlist]) -> str:
    return "\n".join(f"  {p.id}  {p.name} ({p.source.decode('utf-8', 'backslashreplace')})" for p in found)
