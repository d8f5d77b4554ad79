"""The table of manual decisions: what replaces what, which file is meant, and who has to be matched again."""

import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from psm.db import Database, decisions, files, libraries, matches, metadata, tracks
from psm.models import Decision, DecisionKind, LibraryFile
from tests.factories import add_file, add_library, add_playlist, lose_file


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as opened:
        yield opened


def decision(
    kind: str = "set", file: LibraryFile | None = None, *, key: str = "name:a|song|", **fields: object
) -> Decision:
    made = Decision(key, "A - Song", DecisionKind(kind), decided_at="2025-10-08T10:00:00Z")
    if file is not None:
        made = replace(
            made,
            file_library=file.library,
            file_path=file.path,
            file_fingerprint=file.fingerprint,
            file_id=file.id,
        )
    return replace(made, **fields)  # type: ignore[arg-type]


def named(**fields: object) -> Decision:
    """A decision that names its file, but not by the id of this database."""
    return decision(**{"file_library": "music", **fields})  # type: ignore[arg-type]


def put(db: Database, *made: Decision) -> None:
    with db.transaction(durable=True) as connection:
        for one in made:
            decisions.put(connection, one)


def held(db: Database, key: str = "name:a|song|") -> list[tuple[str, int | None]]:
    found = decisions.for_keys(db.connection, [key]).get(key, [])
    return sorted((d.kind.value, d.file_id) for d in found)


def resolved(db: Database, made: Decision, *, path_first: bool = False) -> int | None:
    return decisions.resolved(db.connection, [made], path_first=path_first)[0].file_id


def move_file(db: Database, file: LibraryFile, path: bytes) -> None:
    with db.transaction() as connection:
        generation = metadata.bump(connection, "library_files")
        files.update(
            connection,
            file.id,
            file.library_id,
            path,
            stat=file.stat,
            reading=files.reading_of(connection, file.id),
            reread=False,
            generation=generation,
        )


class TestWhatReplacesWhat:
    """Two files, 1 and 2: what holds after decisions that follow each other."""

    @pytest.mark.parametrize(
        ("made", "holds"),
        [
            ([("set", 1)], [("set", 1)]),
            ([("set", 1), ("set", 2)], [("set", 2)]),
            ([("set", 1), ("none", None)], [("none", None)]),
            ([("none", None), ("set", 1)], [("set", 1)]),
            ([("set", 1), ("reject", 1)], [("reject", 1)]),
            ([("reject", 1), ("set", 1)], [("set", 1)]),
            ([("set", 1), ("reject", 2)], [("reject", 2), ("set", 1)]),
            ([("reject", 1), ("set", 2)], [("reject", 1), ("set", 2)]),
            ([("reject", 1), ("reject", 2)], [("reject", 1), ("reject", 2)]),
            ([("reject", 1), ("reject", 1)], [("reject", 1)]),
            ([("reject", 1), ("none", None)], [("none", None), ("reject", 1)]),
            ([("none", None), ("reject", 1)], [("none", None), ("reject", 1)]),
            ([("none", None), ("none", None)], [("none", None)]),
        ],
    )
    def test_of_one_track(
        self, db: Database, made: list[tuple[str, int | None]], holds: list[tuple[str, int | None]]
    ) -> None:
        known: dict[int | None, LibraryFile] = {1: add_file(db), 2: add_file(db)}
        put(db, *(decision(kind, known.get(number)) for kind, number in made))
        ids = {known[1].id: 1, known[2].id: 2}
        assert [(kind, ids.get(file_id or 0)) for kind, file_id in held(db)] == holds

    def test_files_that_are_not_known_are_told_apart_by_library_and_path(self, db: Database) -> None:
        one, other = named(kind="reject", file_path=b"1"), named(kind="reject", file_path=b"2")
        put(db, one, other, one)
        assert sorted(str(d.file_path) for d in decisions.all_decisions(db.connection)) == ["b'1'", "b'2'"]

    def test_tracks_do_not_touch_each_other(self, db: Database) -> None:
        file = add_file(db)
        put(db, decision("set", file), decision("none", key="name:b|song|"))
        assert held(db) == [("set", file.id)]
        assert held(db, "name:b|song|") == [("none", None)]

    def test_removing_takes_all_of_a_track_back_and_says_whether_there_was_any(self, db: Database) -> None:
        put(db, decision("set", add_file(db)), decision("reject", add_file(db)), decision("none", key="other"))
        with db.transaction() as connection:
            assert decisions.remove(connection, "name:a|song|")
            assert not decisions.remove(connection, "name:a|song|")
        assert held(db) == []
        assert held(db, "other") == [("none", None)]


class TestStorage:
    def test_every_field_and_every_byte_comes_back(self, db: Database) -> None:
        made = decision(
            "reject",
            track_label="Ä\n🎵 - \x00",
            file_library="bücher",
            file_path=b"caf\xe9/\n\xff.mp3",
            file_fingerprint="audio:1",
            decided_at="2025-10-08T10:00:00Z",
            said_library="b\u00fccher",
            said_path=b"caf\xe9.mp3",
            said_fingerprint="audio:0",
        )
        put(db, made)
        assert decisions.all_decisions(db.connection) == [made]
        assert decisions.for_keys(db.connection, [made.track_key, "no such"]) == {made.track_key: [made]}

    def test_asks_for_thousands_of_keys(self, db: Database) -> None:
        put(db, decision("none", key="k7"), decision("none", key="k1999"))
        assert set(decisions.for_keys(db.connection, [f"k{n}" for n in range(2_000)])) == {"k7", "k1999"}

    def test_replacing_all_adds_changes_and_removes(self, db: Database) -> None:
        one, two = add_file(db), add_file(db)
        put(db, decision("set", one, key="a"), decision("set", one, key="b"), decision("none", key="c"))
        with db.transaction() as connection:
            wanted = [decision("set", two, key="a"), decision("none", key="c"), decision("reject", one, key="d")]
            assert decisions.replace_all(connection, wanted) == {"a", "b", "d"}
        assert {d.track_key: d.file_id for d in decisions.all_decisions(db.connection)} == {
            "a": two.id,
            "c": None,
            "d": one.id,
        }


class TestWhoIsMatchedAgain:
    @pytest.fixture
    def track_id(self, db: Database) -> int:
        add_playlist(db, "A - Song", "B - Other")
        track = tracks.find_track(db.connection, "A - Song")
        return track.id

    def key(self, db: Database, track_id: int) -> str:
        found = tracks.by_id(db.connection, track_id)
        assert found is not None
        return found.key

    def queued(self, db: Database) -> list[int]:
        return [q.track.id for q in matches.next_queued(db.connection, limit=10)]

    def test_a_decision_queues_its_tracks_and_moves_the_generation(self, db: Database, track_id: int) -> None:
        put(db, decision("none", key=self.key(db, track_id)))
        assert self.queued(db) == [track_id]
        assert metadata.generation(db.connection, "decisions") == 1

    def test_the_same_decision_again_changes_nothing(self, db: Database, track_id: int) -> None:
        put(db, decision("none", key=self.key(db, track_id)))
        put(db, decision("none", key=self.key(db, track_id), decided_at="2026-01-01T00:00:00Z"))
        assert metadata.generation(db.connection, "decisions") == 1
        assert decisions.all_decisions(db.connection)[0].decided_at == "2026-01-01T00:00:00Z"

    def test_a_file_that_only_got_another_name_changes_nothing(self, db: Database, track_id: int) -> None:
        file = add_file(db, b"old.mp3")
        put(db, decision("set", file, key=self.key(db, track_id), said_path=b"said.mp3"))
        move_file(db, file, b"new.mp3")
        with db.transaction() as connection:
            assert decisions.resolve(connection) == frozenset()
        [stored] = decisions.all_decisions(db.connection)
        assert (stored.file_path, stored.said_path) == (b"new.mp3", b"said.mp3")
        assert metadata.generation(db.connection, "decisions") == 1

    def test_a_file_that_is_found_queues_the_track(self, db: Database, track_id: int) -> None:
        put(db, named(key=self.key(db, track_id), file_path=b"song.mp3"))
        file = add_file(db, b"song.mp3")
        with db.transaction() as connection:
            assert decisions.resolve(connection) == {self.key(db, track_id)}
        assert self.queued(db) == [track_id]
        assert held(db, self.key(db, track_id)) == [("set", file.id)]


class TestWhichFileIsMeant:
    def test_the_row_it_knows_while_that_is_present_wherever_it_is_now(self, db: Database) -> None:
        file = add_file(db, b"old.mp3")
        move_file(db, file, b"new.mp3")
        add_file(db, b"old.mp3")
        made = decisions.resolved(db.connection, [decision("set", file)])[0]
        assert (made.file_id, made.file_path) == (file.id, b"new.mp3")

    def test_the_row_it_knows_while_that_is_in_place_whatever_it_sounds_like_now(self, db: Database) -> None:
        file = add_file(db, b"song.mp3", fingerprint="audio:better")
        made = decisions.resolved(db.connection, [replace(decision("set", file), file_fingerprint="audio:worse")])[0]
        assert (made.file_id, made.file_fingerprint) == (file.id, "audio:better")

    def test_not_the_row_that_got_the_id_of_a_deleted_one(self, db: Database) -> None:
        other = add_file(db, b"other.mp3")
        gone = decision("set", other, file_path=b"gone.mp3", file_fingerprint="audio:gone")
        assert resolved(db, gone) is None

    def test_the_file_at_its_path_unless_another_one_alone_sounds_like_it(self, db: Database) -> None:
        at_path = add_file(db, b"song.mp3", fingerprint="audio:new")
        wanted = named(file_path=b"song.mp3", file_fingerprint="audio:old")
        assert resolved(db, wanted) == at_path.id
        other = add_file(db, b"other.mp3", fingerprint="audio:old")
        assert resolved(db, wanted) == other.id
        assert resolved(db, wanted, path_first=True) == at_path.id
        add_file(db, b"copy.mp3", fingerprint="audio:old")
        assert resolved(db, wanted) == at_path.id

    def test_the_missing_file_that_was_at_its_path_and_sounds_like_it_before_a_copy(self, db: Database) -> None:
        gone = add_file(db, b"song.mp3", fingerprint="audio:1")
        lose_file(db, gone)
        add_file(db, b"song.mp3", fingerprint="audio:2")
        add_file(db, b"copy.mp3", fingerprint="audio:1")
        assert resolved(db, named(file_path=b"song.mp3", file_fingerprint="audio:1")) == gone.id

    def test_the_one_file_with_its_fingerprint_in_whatever_library(self, db: Database) -> None:
        other = add_library(db, name="other", root=b"/other")
        moved = add_file(db, b"moved.mp3", library=other, fingerprint="audio:1")
        made = decisions.resolved(db.connection, [named(file_path=b"song.mp3", file_fingerprint="audio:1")])[0]
        assert (made.file_id, made.file_library, made.file_path) == (moved.id, "other", b"moved.mp3")

    def test_neither_of_two_files_that_share_a_fingerprint(self, db: Database) -> None:
        add_file(db, b"1.mp3", fingerprint="audio:1")
        second = add_file(db, b"2.mp3", fingerprint="audio:1")
        made = named(file_path=b"song.mp3", file_fingerprint="audio:1")
        assert resolved(db, made) is None
        lose_file(db, second)
        assert resolved(db, made) is not None

    @pytest.mark.parametrize("kind", ["set", "reject"])
    def test_a_missing_row_keeps_the_decision_whatever_else_has_its_audio_or_its_place(
        self, db: Database, kind: str
    ) -> None:
        file = add_file(db, b"song.mp3", fingerprint="audio:1")
        other = add_file(db, b"other.mp3", fingerprint="audio:2")
        add_file(db, b"copy.mp3", fingerprint="audio:1")
        lose_file(db, file)
        move_file(db, other, b"song.mp3")
        assert resolved(db, decision(kind, file)) == file.id

    def test_a_file_put_in_the_place_of_a_missing_one_takes_over_what_was_chosen_not_what_was_rejected(
        self, db: Database
    ) -> None:
        file = add_file(db, b"song.mp3", fingerprint="audio:1")
        lose_file(db, file)
        better = add_file(db, b"song.mp3", fingerprint="audio:2")
        assert resolved(db, decision("set", file)) == file.id  # it was first seen before that one went
        with db.transaction() as connection:
            connection.execute("UPDATE library_files SET first_seen = 2001.0 WHERE id = ?", (better.id,))
        assert resolved(db, decision("set", file)) == better.id
        assert resolved(db, decision("reject", file)) == file.id

    def test_the_file_that_went_missing_last_at_its_path(self, db: Database) -> None:
        lose_file(db, add_file(db, b"song.mp3"))
        last = add_file(db, b"song.mp3")
        lose_file(db, last)
        assert resolved(db, named(file_path=b"song.mp3")) == last.id

    def test_an_absolute_path_or_one_below_the_only_library_that_has_it(self, db: Database) -> None:
        other = add_library(db, name="other", root=b"/other")
        file = add_file(db, b"a/song.mp3", library=other)
        assert resolved(db, named(file_library=None, file_path=b"/other/a/song.mp3")) == file.id
        assert resolved(db, named(file_library=None, file_path=b"a/song.mp3")) == file.id
        assert resolved(db, named(file_library=None, file_path=b"/others/a/song.mp3")) is None
        add_file(db, b"a/song.mp3")
        assert resolved(db, named(file_library=None, file_path=b"a/song.mp3")) is None
        assert resolved(db, named(file_library="other", file_path=b"a/song.mp3")) == file.id

    def test_a_library_that_is_gone_is_not_mistaken_for_another_one(self, db: Database) -> None:
        file = add_file(db, b"01.mp3", fingerprint="audio:1")
        assert resolved(db, named(file_library="gone", file_path=b"01.mp3", file_fingerprint="audio:2")) is None
        assert resolved(db, named(file_library="gone", file_path=b"01.mp3")) is None
        assert resolved(db, named(file_library="gone", file_path=b"01.mp3", file_fingerprint="audio:1")) == file.id

    def test_a_name_typed_in_the_other_unicode_form(self, db: Database) -> None:
        decomposed = unicodedata.normalize("NFD", "café.mp3").encode()
        file = add_file(db, decomposed)
        made = decisions.resolved(db.connection, [named(file_path="café.mp3".encode())])[0]
        assert (made.file_id, made.file_path) == (file.id, decomposed)
        exact = add_file(db, "café.mp3".encode())
        assert resolved(db, named(file_path="café.mp3".encode())) == exact.id

    def test_a_name_that_is_no_text(self, db: Database) -> None:
        file = add_file(db, b"caf\xe9.mp3")
        assert resolved(db, named(file_path=b"caf\xe9.mp3")) == file.id
        assert resolved(db, named(file_path=b"caf\xe8.mp3")) is None

    def test_nothing_that_is_not_there(self, db: Database) -> None:
        add_file(db)
        assert resolved(db, named(file_path=b"no such.mp3", file_fingerprint="audio:none")) is None
        assert resolved(db, decision("set")) is None
        assert resolved(db, decision("none")) is None

    def test_it_follows_a_library_that_got_another_name_or_place(self, db: Database) -> None:
        file = add_file(db, b"song.mp3")
        made = decision("set", file)
        with db.transaction() as connection:
            libraries.move(connection, file.library_id, b"/elsewhere")
        assert resolved(db, made) == file.id
        assert resolved(db, named(file_library=None, file_path=b"/elsewhere/song.mp3")) == file.id

    def test_a_fingerprint_that_can_no_longer_be_read_is_kept(self, db: Database) -> None:
        file = add_file(db, b"song.mp3", fingerprint="audio:1")
        with db.transaction() as connection:
            unread = replace(files.reading_of(connection, file.id), fingerprint=None, error="broken")
            files.update(
                connection,
                file.id,
                file.library_id,
                file.path,
                stat=file.stat,
                reading=unread,
                reread=False,
                generation=1,
            )
        assert decisions.resolved(db.connection, [decision("set", file)])[0].file_fingerprint == "audio:1"
