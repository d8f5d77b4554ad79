from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from psm.db import Database, files, libraries, matches, metadata
from psm.db.coverage import coverage
from psm.models import Confidence, Library, Match, Method
from tests.factories import add_file, add_library, add_playlist, lose_file


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as db:
        yield db


def generations(db: Database) -> tuple[int, ...]:
    tables: tuple[metadata.Table, ...] = ("libraries", "library_files", "matches")
    return tuple(metadata.generation(db.connection, table) for table in tables)


def note_scan(db: Database, library: Library) -> None:
    with db.transaction() as c:
        metadata.put(c, f"last_scan:{library.id}", "{}")


def match_first_track(db: Database, file_id: int) -> None:
    [(track_id,)] = db.connection.execute("SELECT id FROM tracks ORDER BY id LIMIT 1")
    db.connection.execute(
        "INSERT INTO matches (track_id, file_id, score, method, confidence, reasons, generation) "
        "VALUES (?, ?, 1, ?, ?, '[]', 1)",
        (track_id, file_id, Method.EXACT.value, Confidence.HIGH.value),
    )
    assert matches.get(db.connection, track_id) == Match(track_id, file_id, 1.0, Method.EXACT, Confidence.HIGH)


def test_libraries_are_listed_by_name_and_found_by_it(db: Database) -> None:
    nas, music = add_library(db, name="NAS", root=b"/nas"), add_library(db, name="Music", root=b"/caf\xe9")
    assert libraries.all_libraries(db.connection) == [music, nas]
    assert libraries.by_name(db.connection, "Music") == music
    assert libraries.by_name(db.connection, "music") is None


def test_adding_a_library_moves_only_the_generation_of_the_libraries(db: Database) -> None:
    add_library(db)
    assert generations(db) == (1, 0, 0)


def test_a_library_is_marked_to_be_left_to_scans(db: Database) -> None:
    library = add_library(db)
    assert library.watch is True
    before = generations(db)
    with db.transaction() as c:
        libraries.set_watch(c, library.id, watch=False)
    assert libraries.by_name(db.connection, library.name) == replace(library, watch=False)
    assert libraries.all_libraries(db.connection)[0].watch is False
    assert generations(db) == (before[0] + 1, *before[1:])  # no file, and no match, is another one


def test_no_id_is_given_twice(db: Database) -> None:
    seen: set[int] = set()
    for number in range(4):
        library = add_library(db, name=f"{number}", root=b"/%d" % number)
        assert library.id not in seen
        seen.add(library.id)
        with db.transaction() as c:
            libraries.remove(c, library.id)


def test_a_move_keeps_every_row_and_tells_later_stages(db: Database) -> None:
    file = add_file(db, b"a/\xff.mp3")
    before = generations(db)
    with db.transaction() as c:
        libraries.move(c, file.library_id, b"/elsewhere")
    moved = files.get(db.connection, file.id)
    assert moved is not None
    assert moved.absolute_path == b"/elsewhere/a/\xff.mp3"
    assert moved.generation > file.generation
    assert generations(db) > before


@pytest.mark.parametrize(
    ("prefix", "path", "wanted"),
    [
        (b"jazz", b"a.mp3", (b"jazz/a.mp3", b"jazz")),
        (b"jazz", b"x/y/a.mp3", (b"jazz/x/y/a.mp3", b"jazz/x/y")),
        (b"deep/ja\xffzz", b"x/\xfe.mp3", (b"deep/ja\xffzz/x/\xfe.mp3", b"deep/ja\xffzz/x")),
    ],
)
def test_absorbed_rows_are_rebased_byte_for_byte(
    db: Database, prefix: bytes, path: bytes, wanted: tuple[bytes, bytes]
) -> None:
    parent, child = add_library(db, name="all", root=b"/all"), add_library(db, name="child", root=b"/all/" + prefix)
    file, gone = add_file(db, path, library=child), add_file(db, b"gone.mp3", library=child)
    lose_file(db, gone)
    note_scan(db, child)
    with db.transaction() as c:
        libraries.absorb(c, child.id, parent.id, prefix)
    row = db.connection.execute(
        "SELECT library_id, path, folder, typeof(path), typeof(folder), status, generation FROM library_files "
        "WHERE id = ?",
        (file.id,),
    ).fetchone()
    assert row[:6] == (parent.id, *wanted, "blob", "blob", "present")
    assert row[6] == metadata.generation(db.connection, "library_files")
    assert files.count_missing(db.connection, parent.id) == 1
    assert libraries.all_libraries(db.connection) == [parent]
    assert libraries.last_scan(db.connection, child.id) is None


def test_a_removed_library_takes_rows_matches_and_scan_times_with_it(db: Database) -> None:
    kept, lost = add_library(db, name="kept", root=b"/kept"), add_library(db, name="lost", root=b"/lost")
    add_file(db, "a.mp3", library=kept)
    file = add_file(db, "a.mp3", library=lost)
    add_playlist(db, "A - One")
    match_first_track(db, file.id)
    note_scan(db, lost)
    before = generations(db)
    with db.transaction() as c:
        assert libraries.remove(c, lost.id) == 1
    assert all(now > then for now, then in zip(generations(db), before, strict=True))
    assert coverage(db.connection)[0].found == 0
    again = add_library(db, name="other", root=b"/other")
    assert again.id not in (kept.id, lost.id)  # SQLite would give the number out again
    assert libraries.last_scan(db.connection, again.id) is None
    assert files.count_present(db.connection, again.id) == 0
    assert files.count_present(db.connection, kept.id) == 1


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (b"Jazz/a.mp3", True),
        (b"Jazz", True),
        (b"Rock/gone.mp3", True),
        (b"Rock", True),
        (b"Jaz", False),
        (b"Jazz/a.mp", False),
        (b"Jazz0", False),
        (b"Jazz/a.mp3/b", False),
    ],
)
def test_a_path_is_known_when_a_row_is_it_or_lies_below_it(db: Database, path: bytes, known: bool) -> None:
    library = add_library(db)
    add_file(db, "Jazz/a.mp3")
    lose_file(db, add_file(db, "Rock/gone.mp3"))
    assert libraries.knows(db.connection, library.id, path) is known


def test_folders_are_counted_with_those_above_them(db: Database) -> None:
    library, other = add_library(db), add_library(db, name="other", root=b"/other")
    assert libraries.count_folders(db.connection, library.id) == 1
    for path in ("a.mp3", "Jazz/x/b.mp3", "Jazz/x/c.mp3", "Jazz/y/c.mp3", "Jazz x/d.mp3"):
        add_file(db, path, library=library)
    lose_file(db, add_file(db, "Rock/gone.mp3", library=library))
    add_file(db, "far/away.mp3", library=other)
    assert libraries.count_folders(db.connection, library.id) == 5  # the root, Jazz, Jazz/x, Jazz/y, Jazz x


def test_coverage_counts_rows_with_a_file_that_is_on_disk(db: Database) -> None:
    file = add_file(db, "a.mp3")
    add_playlist(db, "A - One", "A - Two", "A - One", name="Mix")
    add_playlist(db, name="Empty")
    match_first_track(db, file.id)
    assert [(c.name, c.tracks, c.found) for c in coverage(db.connection)] == [("Empty", 0, 0), ("Mix", 3, 2)]
    lose_file(db, file)
    assert [(c.name, c.found) for c in coverage(db.connection)] == [("Empty", 0), ("Mix", 0)]


def test_metadata_is_stored_replaced_and_forgotten(db: Database) -> None:
    with db.transaction() as c:
        metadata.put(c, "key", "one")
        metadata.put(c, "key", "two")
        assert metadata.get(c, "key") == "two"
        metadata.delete(c, "key")
        metadata.delete(c, "key")
        assert metadata.get(c, "key") is None


def test_a_generation_counts_up_and_is_back_when_the_transaction_is_rolled_back(db: Database) -> None:
    with db.transaction() as c:
        assert [metadata.bump(c, "tracks"), metadata.bump(c, "tracks")] == [1, 2]
    with pytest.raises(ZeroDivisionError), db.transaction() as c:
        assert 1 / (metadata.bump(c, "tracks") - 3)
    assert metadata.generation(db.connection, "tracks") == 2
    assert metadata.generation(db.connection, "matches") == 0
