"""``decisions``: what a person decided for a track, by hand and for good.

A decision names its track by key and its file by library, path and fingerprint, so that it holds in any database;
``file_id`` is what those names stand for in this one. Finding a file again (:func:`resolve`) brings the names up to
date, and never what psm-overrides.yaml said (``said_*``): without that, a line that psm could not write would look like
one that a person changed. The changing functions want ``db.transaction(durable=True)``.
"""

import sqlite3
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from psm.db import metadata, tracks
from psm.db.matches import queue_tracks
from psm.models import Decision, DecisionKind

_COLUMNS = (
    "track_key, track_label, kind, file_library, file_path, file_fingerprint, file_id, decided_at, "
    "said_library, said_path, said_fingerprint"
)
_CHUNK = 500


def for_keys(connection: sqlite3.Connection, keys: Iterable[str]) -> dict[str, list[Decision]]:
    """The decisions for the tracks with these keys, oldest first; a key without any is left out."""
    found: defaultdict[str, list[Decision]] = defaultdict(list)
    wanted = list(dict.fromkeys(keys))
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        marks = ", ".join("?" * len(chunk))
        for row in connection.execute(
            f"SELECT {_COLUMNS} FROM decisions WHERE track_key IN ({marks}) ORDER BY id", chunk
        ):
            found[row[0]].append(_decision(row))
    return dict(found)


def all_decisions(connection: sqlite3.Connection) -> list[Decision]:
    """Every decision, in the order in which they were stored."""
    return [_decision(row) for row in connection.execute(f"SELECT {_COLUMNS} FROM decisions ORDER BY id")]


def merge(decided: Sequence[Decision], decision: Decision) -> list[Decision]:
    """What holds for one track when ``decision`` is added to what was ``decided`` for it before.

    ``set`` takes the place of an earlier set or none and takes back the rejection of the same file; ``none`` takes the
    place of a set; ``reject`` takes back the set of the same file. Rejections of different files add up.
    """
    match decision.kind:
        case DecisionKind.SET:
            kept = [d for d in decided if d.kind is DecisionKind.REJECT and not same_file(d, decision)]
        case DecisionKind.NONE:
            kept = [d for d in decided if d.kind is DecisionKind.REJECT]
        case DecisionKind.REJECT:
            kept = [d for d in decided if d.kind is DecisionKind.NONE or not same_file(d, decision)]
    return [*kept, decision]


def same_file(one: Decision, other: Decision) -> bool:
    """Whether two decisions speak of one file: two copies of a recording are two files."""
    if one.file_id is not None and other.file_id is not None:
        return one.file_id == other.file_id
    return (one.file_library, one.file_path) == (other.file_library, other.file_path)


def put(connection: sqlite3.Connection, decision: Decision) -> None:
    """Adds a decision to those of its track, by the rules of :func:`merge`."""
    decided = for_keys(connection, [decision.track_key]).get(decision.track_key, [])
    _write(connection, {decision.track_key: merge(decided, decision)})


def remove(connection: sqlite3.Connection, key: str) -> bool:
    """Takes back everything that was decided for a track; returns whether there was anything."""
    return bool(_write(connection, {key: []}))


def replace_all(connection: sqlite3.Connection, decisions: Iterable[Decision]) -> frozenset[str]:
    """Makes the table hold exactly these; returns the keys of the tracks for which something else holds now.

    Those tracks are queued for matching, and the generation moves. A decision whose file only got another name is
    written without that: nothing else holds.
    """
    wanted: defaultdict[str, list[Decision]] = defaultdict(list)
    for decision in decisions:
        wanted[decision.track_key].append(decision)
    stored = [str(key) for (key,) in connection.execute("SELECT DISTINCT track_key FROM decisions")]
    gone: dict[str, list[Decision]] = {key: [] for key in stored if key not in wanted}
    return _write(connection, {**wanted, **gone})


def resolve(connection: sqlite3.Connection) -> frozenset[str]:
    """Finds the files of all decisions again, as :func:`resolved` does, and stores what it found."""
    return replace_all(connection, resolved(connection, all_decisions(connection)))


def resolved(
    connection: sqlite3.Connection, decisions: Iterable[Decision], *, path_first: bool = False
) -> list[Decision]:
    """``decisions`` with the file that each means now, and with that file's present names.

    The row of ``file_id`` keeps its decision wherever it is and whatever it sounds like now, also while it is missing:
    a copy that was there all along is another file. Only a file that took a missing one's place later takes over its
    ``set``. A decision without a row means the file at the library and path; but when that sounds otherwise, and one
    present file has the fingerprint, it means that one (names swap, audio does not), unless ``path_first``: the path
    was just written by hand. One fingerprint that two files share identifies neither. A decision without a library
    means the one library that holds its path; its path may be absolute.
    """
    return [
        _resolved(connection, d, path_first=path_first) if d.kind is not DecisionKind.NONE else d for d in decisions
    ]


def _resolved(connection: sqlite3.Connection, decision: Decision, *, path_first: bool) -> Decision:
    known = _row_of_id(connection, decision)
    if known is None:
        known = _find(connection, decision, path_first=path_first)
    elif not known.present and decision.kind is DecisionKind.SET:
        known = _successor(connection, known) or known
    if known is None:
        return replace(decision, file_id=None)
    return replace(
        decision,
        file_id=known.id,
        file_library=known.library,
        file_path=known.path,
        file_fingerprint=known.fingerprint or decision.file_fingerprint,
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """What a decision needs to know of a file."""

    id: int
    library: str
    path: bytes
    fingerprint: str | None
    present: bool


_ROW = (
    "SELECT f.id, l.name, f.path, f.fingerprint, f.status = 'present' FROM library_files f "
    "JOIN libraries l ON l.id = f.library_id"
)


def _row_of_id(connection: sqlite3.Connection, decision: Decision) -> _Row | None:
    """The row of ``file_id``, unless it is another file's by now: SQLite gives the ids of deleted rows out again."""
    if decision.file_id is None:
        return None
    found = connection.execute(f"{_ROW} WHERE f.id = ?", (decision.file_id,)).fetchone()
    row = None if found is None else _row(found)
    if row is None or row.path == decision.file_path or row.fingerprint == decision.file_fingerprint:
        return row
    return None


def _successor(connection: sqlite3.Connection, gone: _Row) -> _Row | None:
    """The file that was put in the place of a missing one, by whoever got it in a better version."""
    found = connection.execute(
        f"{_ROW} JOIN library_files g ON g.library_id = f.library_id AND g.path = f.path "
        "WHERE g.id = ? AND f.status = 'present' AND f.first_seen >= g.missing_since",
        (gone.id,),
    ).fetchone()
    return None if found is None else _row(found)


def _find(connection: sqlite3.Connection, decision: Decision, *, path_first: bool) -> _Row | None:
    """The file that the names of a decision mean, those of its audio and of its place, when no row is known."""
    here = _at_path(connection, decision)
    gone = _missing_at(connection, decision)
    if path_first:
        return here or gone or _with_fingerprint(connection, decision)
    wanted = decision.file_fingerprint
    for row in (here, gone):
        if row is not None and (wanted is None or row.fingerprint == wanted):
            return row
    return _with_fingerprint(connection, decision) or here or gone


def _with_fingerprint(connection: sqlite3.Connection, decision: Decision) -> _Row | None:
    if decision.file_fingerprint is None:
        return None
    return _only(
        connection.execute(
            f"{_ROW} WHERE f.fingerprint = ? AND f.status = 'present' LIMIT 2", (decision.file_fingerprint,)
        )
    )


def _missing_at(connection: sqlite3.Connection, decision: Decision) -> _Row | None:
    found = connection.execute(
        f"{_ROW} WHERE l.name = ? AND f.path = ? AND f.status = 'missing' "
        "ORDER BY f.missing_since DESC, f.id DESC LIMIT 1",
        (decision.file_library, decision.file_path),
    ).fetchone()
    return None if found is None else _row(found)


def _at_path(connection: sqlite3.Connection, decision: Decision) -> _Row | None:
    if decision.file_path is None:
        return None
    roots = {str(name): bytes(root) for name, root in connection.execute("SELECT name, root FROM libraries")}
    if decision.file_library in roots:
        return _present(connection, [(decision.file_library, decision.file_path)])
    if decision.file_path.startswith(b"/"):
        below = {name: root.rstrip(b"/") + b"/" for name, root in roots.items()}
        places = [(n, decision.file_path[len(r) :]) for n, r in below.items() if decision.file_path.startswith(r)]
    else:
        places = [(name, decision.file_path) for name in roots]
    found = _present(connection, places)
    if found is None or decision.file_library is None:
        return found
    # The library it was in is gone: a file of the same name in another one is it only when it sounds the same.
    return found if found.fingerprint is not None and found.fingerprint == decision.file_fingerprint else None


def _present(connection: sqlite3.Connection, places: Iterable[tuple[str, bytes]]) -> _Row | None:
    """The one present file at these (library, path) places, byte for byte, else in the other Unicode form."""
    wanted = list(places)
    spellings: tuple[Callable[[bytes], list[bytes]], ...] = (lambda path: [path], _unicode_forms)
    for forms in spellings:
        rows = [
            found
            for library, path in wanted
            for form in forms(path)
            for found in connection.execute(
                f"{_ROW} WHERE l.name = ? AND f.path = ? AND f.status = 'present'", (library, form)
            )
        ]
        if rows:
            return _only(rows)
    return None


def _unicode_forms(path: bytes) -> list[bytes]:
    """The composed and the decomposed form: a person types one, a disk that came from a Mac holds the other."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return []
    return list({unicodedata.normalize(form, text).encode() for form in ("NFC", "NFD")})


def _only(rows: Iterable[Sequence[object]]) -> _Row | None:
    found = list(rows)
    return _row(found[0]) if len(found) == 1 else None


def _row(row: Sequence[object]) -> _Row:
    file_id, library, path, fingerprint, present = row
    return _Row(
        id=int(str(file_id)),
        library=str(library),
        path=path if isinstance(path, bytes) else b"",
        fingerprint=None if fingerprint is None else str(fingerprint),
        present=bool(present),
    )


def _write(connection: sqlite3.Connection, wanted: Mapping[str, Sequence[Decision]]) -> frozenset[str]:
    """Stores what holds for these tracks; returns the keys for which it is something else than before."""
    stored = for_keys(connection, wanted)
    differing = [key for key, decisions in wanted.items() if stored.get(key, []) != list(decisions)]
    for key in differing:
        connection.execute("DELETE FROM decisions WHERE track_key = ?", (key,))
        connection.executemany(
            f"INSERT INTO decisions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [_values(d) for d in wanted[key]],
        )
    changed = frozenset(key for key in differing if _effect(stored.get(key, [])) != _effect(wanted[key]))
    if changed:
        metadata.bump(connection, "decisions")
        queue_tracks(connection, [track.id for key in sorted(changed) for track in tracks.by_key(connection, key)])
    return changed


def _effect(decisions: Collection[Decision]) -> frozenset[tuple[object, ...]]:
    """What matching sees of the decisions for a track. A file that is not known yet has its names only."""
    return frozenset(
        (d.kind, d.file_id) if d.file_id is not None else (d.kind, d.file_library, d.file_path) for d in decisions
    )


def _values(decision: Decision) -> tuple[object, ...]:
    d = decision
    return (
        *(d.track_key, d.track_label, d.kind.value, d.file_library, d.file_path, d.file_fingerprint, d.file_id),
        *(d.decided_at, d.said_library, d.said_path, d.said_fingerprint),
    )


def _decision(row: Sequence[object]) -> Decision:
    key, label, kind, library, path, fingerprint, file_id, decided_at, said_library, said_path, said_fingerprint = row
    return Decision(
        track_key=str(key),
        track_label=str(label),
        kind=DecisionKind(str(kind)),
        file_library=None if library is None else str(library),
        file_path=path if isinstance(path, bytes) else None,
        file_fingerprint=None if fingerprint is None else str(fingerprint),
        file_id=None if file_id is None else int(str(file_id)),
        decided_at=str(decided_at),
        said_library=None if said_library is None else str(said_library),
        said_path=said_path if isinstance(said_path, bytes) else None,
        said_fingerprint=None if said_fingerprint is None else str(said_fingerprint),
    )
