"""Matches as they are stored, the key index and the queue."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from psm.db import Database, matches, metadata, tracks
from psm.db.matches import QueuedTrack
from psm.models import Confidence, Match, Method
from tests.factories import add_file, add_playlist, lose_file


def lists(found: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
    return {key: sorted(items) for key, items in found.items()}


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as database:
        yield database


def queued(db: Database) -> list[QueuedTrack]:
    return matches.next_queued(db.connection, limit=100)


def found(track_id: int, file_id: int, **fields: object) -> Match:
    values: dict[str, object] = {"score": 0.9, "method": Method.EXACT, "confidence": Confidence.HIGH, "reasons": ("é",)}
    return Match(track_id, file_id, **{**values, **fields})  # type: ignore[arg-type]


def store(db: Database, file_id: int | None, **fields: object) -> matches.Stored:
    """Answers every queued track with one file."""
    waiting = queued(db)
    results = [(q, None if file_id is None else found(q.track.id, file_id, **fields)) for q in waiting]
    with db.transaction() as connection:
        return matches.store(connection, results)


def queue_all(db: Database) -> None:
    with db.transaction() as connection:
        matches.queue_all_tracks(connection)


def test_a_queue_gives_tracks_once_each_and_ignores_those_that_are_gone(db: Database) -> None:
    add_playlist(db, "A - One", "B - Two")
    ids = [t.id for t in tracks.all_tracks(db.connection)]
    assert matches.is_queue_empty(db.connection)
    with db.transaction() as connection:
        matches.queue_tracks(connection, [ids[1], ids[1], 999])
        matches.queue_tracks(connection, [ids[0], ids[1]])
    assert [q.track.id for q in queued(db)] == ids
    assert matches.queue_length(db.connection) == 2
    assert not matches.is_queue_empty(db.connection)


def test_matches_come_back_as_they_were_stored(db: Database) -> None:
    file = add_file(db)
    add_playlist(db, "A - One")
    queue_all(db)
    assert store(db, file.id) == matches.Stored(evaluated=1, gained=1)
    [match] = matches.all_matches(db.connection)
    assert match == found(match.track_id, file.id)
    assert matches.get(db.connection, match.track_id) == match
    assert matches.count(db.connection) == 1
    assert matches.count_by_method(db.connection) == ((Method.EXACT, 1),)
    assert matches.is_queue_empty(db.connection)


def test_the_generation_moves_only_when_a_match_visibly_changes(db: Database) -> None:
    file = add_file(db)
    add_playlist(db, "A - One")
    seen = []
    for step in (file.id, file.id, None, None):
        queue_all(db)
        store(db, step)
        seen.append(metadata.generation(db.connection, "matches"))
    assert seen == [1, 1, 2, 2]
    queue_all(db)
    store(db, file.id)
    queue_all(db)
    assert store(db, file.id, reasons=("else",)) == matches.Stored(evaluated=1, changed=1)
    assert [m.reasons for m in matches.changed_since(db.connection, 3)] == [("else",)]
    queue_all(db)
    assert store(db, None) == matches.Stored(evaluated=1, lost=1)


def test_a_void_ticket_writes_nothing(db: Database) -> None:
    file = add_file(db)
    add_playlist(db, "A - One")
    queue_all(db)
    [old] = queued(db)
    queue_all(db)
    with db.transaction() as connection:
        assert matches.store(connection, [(old, found(old.track.id, file.id))]) == matches.Stored()
    assert matches.get(db.connection, old.track.id) is None
    assert matches.queue_length(db.connection) == 1


def test_files_are_found_by_their_keys_until_they_lose_them(db: Database) -> None:
    with db.transaction() as connection:
        matches.replace_file_keys(connection, {1: (5, -7), 2: (5,)})
    assert lists(matches.candidates(db.connection, [5, -7, 9])) == {5: [1, 2], -7: [1]}
    assert matches.key_counts(db.connection, [5, -7, 9]) == {5: 2, -7: 1}
    assert matches.keys_of_files(db.connection, [1, 2, 3]) == {1: (-7, 5), 2: (5,)}
    with db.transaction() as connection:
        matches.replace_file_keys(connection, {1: (), 2: (5, 2**63 - 1)})
    assert lists(matches.candidates(db.connection, [5, -7, 2**63 - 1])) == {5: [2], 2**63 - 1: [2]}
    assert matches.keys_of_files(db.connection, [1, 2]) == {2: (5, 2**63 - 1)}


def test_an_index_that_is_filled_in_order_is_the_same_as_one_that_grew(db: Database) -> None:
    with db.transaction() as connection:
        matches.remember_file_keys(connection, {1: (5, -7), 2: (5,), 3: ()})
        matches.add_file_keys(connection, [(-7, 1), (5, 1), (5, 2)])
        matches.add_file_keys(connection, [(5, 2)])
        matches.replace_file_keys(connection, {1: (5,)})
    assert lists(matches.candidates(db.connection, [5, -7])) == {5: [1, 2]}


def test_tracks_are_found_by_their_keys_and_by_their_answers(db: Database) -> None:
    file = add_file(db)
    add_playlist(db, "A - One", "B - Two", "C - Three")
    one, two, three = (t.id for t in tracks.all_tracks(db.connection))
    with db.transaction() as connection:
        matches.replace_track_keys(connection, {one: (1, 2), two: (2,)})
    assert [(q.track.id, set(q.hashes)) for q in queued(db)] == [(one, {1, 2}), (two, {2})]
    assert lists(matches.tracks_with_keys(db.connection, [2, 1, 9])) == {1: [one], 2: [one, two]}
    assert matches.keys_of_tracks(db.connection, [one, two, three]) == {one: (1, 2), two: (2,)}
    store(db, file.id)
    assert matches.tracks_answered_by(db.connection, [file.id, 999]) == {one, two}


def test_all_tracks_are_queued_by_artist(db: Database) -> None:
    add_playlist(db, "B - Two", "A - One", "B - One")
    queue_all(db)
    assert [q.track.label for q in queued(db)] == ["A - One", "B - One", "B - Two"]


def test_durations_and_paths_of_files_are_read_alone(db: Database) -> None:
    one, two = add_file(db, b"a\xff.flac"), add_file(db, "b.flac", duration_s=None)
    assert matches.durations(db.connection, [one.id, two.id, 999]) == {one.id: 180.0, two.id: None}
    assert matches.paths(db.connection, [one.id, 999]) == {one.id: b"/music/a\xff.flac"}


def test_files_on_disk_are_read_and_the_others_are_unusable(db: Database) -> None:
    names = ("A", 'B "', "C\\", "D, E", "é", "[]")
    there = add_file(db, b"a\xff.flac", artists=names, compilation=True, isrcs=("USRC17607839", "GBAYE7500101"))
    broken = add_file(db, "b.flac", error="cut short", duration_s=None)
    lost = add_file(db, "c.flac")
    lose_file(db, lost)
    present = matches.present_files(db.connection, [there.id, broken.id, lost.id, 999])
    assert present.keys() == {there.id, broken.id}
    assert present[there.id].path == b"/music/a\xff.flac"
    assert (present[there.id].tags, present[there.id].readable) == (there.tags, True)
    assert not present[broken.id].readable
    assert [f.path for f in matches.unusable_files(db.connection)] == [b"/music/b.flac", b"/music/c.flac"]


def test_a_file_with_an_error_is_usable_when_its_duration_is_known(db: Database) -> None:
    damaged = add_file(db, error="one of its tag blocks is broken", duration_s=180.0)
    assert matches.present_files(db.connection, [damaged.id])[damaged.id].readable
    assert list(matches.unusable_files(db.connection)) == []


def test_what_was_consumed_is_remembered_until_the_keys_are_forgotten(db: Database) -> None:
    add_file(db)
    assert matches.consumed(db.connection) is None
    with db.transaction() as connection:
        now = matches.inputs(connection, settings="{}", version="1")
        matches.record_consumed(connection, now)
    assert matches.consumed(db.connection) == now
    assert now.library_files == 1
    with db.transaction() as connection:
        metadata.put(connection, "stage:match", '{"library_files": 1, "of another version": 2}')
    assert matches.consumed(db.connection) is None
    with db.transaction() as connection:
        matches.record_consumed(connection, now)
    with db.transaction() as connection:
        matches.forget_keys(connection)
    assert matches.consumed(db.connection) is None
