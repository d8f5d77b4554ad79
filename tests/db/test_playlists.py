"""Playlists and tracks as the database keeps them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psm.db import Database, files, libraries, matches, metadata, playlists, tracks
from psm.errors import UsageError
from psm.models import Confidence, Match, Method, PlaylistEntry, Reading, SourcePlaylist, Status
from tests.factories import add_file


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as database:
        yield database


def source(*titles: str, name: str = "Mix", path: bytes = b"/lists/mix.m3u") -> SourcePlaylist:
    entries = tuple(PlaylistEntry(n, title, ("Artist",)) for n, title in enumerate(titles, start=1) if title)
    return SourcePlaylist("m3u", path, name, entries)


def store(db: Database, playlist: SourcePlaylist, *, folder: bytes | None = None) -> playlists.StoredPlaylist:
    with db.transaction() as connection:
        return playlists.store(connection, playlist, folder=folder, source_state="s", now=1.0)


def titles(db: Database, playlist_id: int) -> list[tuple[int, str]]:
    return [(row.position, row.track.title) for row in playlists.rows(db.connection, playlist_id)]


def generations(db: Database) -> tuple[int, int]:
    return metadata.generation(db.connection, "tracks"), metadata.generation(db.connection, "playlists")


def test_a_playlist_comes_back_as_it_was_stored(db: Database) -> None:
    entry = PlaylistEntry(
        3, "T", ("A", "B"), "Album", 12.5, "USSM17900045", "7a8b9c0d-1111-4222-8333-444455556666", (b"/a\xff", b"/b")
    )
    stored = store(db, SourcePlaylist("csv", b"/l/\xff.csv", "Ünï", (entry,)), folder=b"/l")

    (row,) = playlists.rows(db.connection, stored.playlist_id)
    assert row.position == 3
    for name in ("title", "artists", "album", "duration_s", "isrc", "mb_recording_id", "locations"):
        assert getattr(row.track, name) == getattr(entry, name)
    (playlist,) = playlists.all_playlists(db.connection)
    assert (playlist.name, playlist.provider, playlist.source, playlist.folder) == ("Ünï", "csv", b"/l/\xff.csv", b"/l")
    assert (playlist.status, playlist.track_count) == (Status.PRESENT, 1)


def test_storing_again_changes_nothing_and_moves_no_generation(db: Database) -> None:
    first = store(db, source("a", "b"))
    before = generations(db)

    again = store(db, source("a", "b"))

    assert (first.created, first.added) == (True, 2)
    assert again == playlists.StoredPlaylist(first.playlist_id, unchanged=True)
    assert generations(db) == before


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("abc", "abcd", (1, 0, 0)),
        ("abc", "xabc", (1, 0, 0)),
        ("abc", "ac", (0, 1, 0)),
        ("abc", "cab", (0, 0, 1)),
        ("abc", "cba", (0, 0, 2)),
        ("abc", "xyz", (3, 3, 0)),
        ("aab", "ab", (0, 1, 0)),
        ("ab", "aab", (1, 0, 0)),
        ("abc", "", (0, 3, 0)),
    ],
)
def test_order_additions_and_removals_update(db: Database, old: str, new: str, counts: tuple[int, int, int]) -> None:
    playlist_id = store(db, source(*old)).playlist_id
    before = metadata.generation(db.connection, "playlists")

    stored = store(db, source(*new))

    assert (stored.added, stored.removed, stored.moved) == counts
    assert titles(db, playlist_id) == list(enumerate(new, start=1))
    assert playlists.changed_since(db.connection, before)[0].id == playlist_id


def test_a_row_that_became_unusable_leaves_a_gap(db: Database) -> None:
    playlist_id = store(db, source("a", "b", "c")).playlist_id

    store(db, source("a", "", "c"))

    assert titles(db, playlist_id) == [(1, "a"), (3, "c")]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abcd", max_size=6), min_size=1, max_size=5))
def test_after_any_sequence_the_database_says_what_was_stored_last(versions: list[str]) -> None:
    with Database(Path(":memory:")) as db:
        for version in versions:
            stored = store(db, source(*version))
            assert titles(db, stored.playlist_id) == list(enumerate(version, start=1))
            assert {track.title for track in tracks.all_tracks(db.connection)} == set(version)


def test_only_new_tracks_carry_the_new_generation(db: Database) -> None:
    store(db, source("a", "b"))
    mark = metadata.generation(db.connection, "tracks")

    store(db, source("a", "b", "c"))

    assert [track.title for track in tracks.changed_since(db.connection, mark)] == ["c"]


def test_playlists_share_the_tracks_they_both_hold(db: Database) -> None:
    one = store(db, source("a", "b")).playlist_id
    other = store(db, source("a", "c", path=b"/lists/other.m3u")).playlist_id
    assert tracks.count(db.connection) == 3

    with db.transaction() as connection:
        playlists.remove(connection, one)

    assert [track.title for track in tracks.all_tracks(db.connection)] == ["a", "c"]
    assert titles(db, other) == [(1, "a"), (2, "c")]


def test_a_new_name_is_a_change_and_a_new_state_is_not(db: Database) -> None:
    playlist_id = store(db, source("a")).playlist_id
    before = generations(db)

    with db.transaction() as connection:
        playlists.note_state(connection, playlist_id, "later", folder=b"/lists")
    assert generations(db) == before
    assert playlists.known_sources(db.connection)[b"/lists/mix.m3u"].source_state == "later"

    renamed = store(db, source("a", name="Other"))

    assert renamed.renamed
    assert not renamed.unchanged
    assert generations(db) == (before[0], before[1] + 1)


def test_a_folder_once_known_stays_when_imported_by_name(db: Database) -> None:
    store(db, source("a"), folder=b"/lists")
    store(db, source("a"))

    assert playlists.all_playlists(db.connection)[0].folder == b"/lists"


def test_a_missing_playlist_keeps_its_tracks_and_comes_back(db: Database) -> None:
    playlist_id = store(db, source("a")).playlist_id
    with db.transaction() as connection:
        assert playlists.set_status(connection, playlist_id, Status.MISSING)
        assert not playlists.set_status(connection, playlist_id, Status.MISSING)
    assert playlists.all_playlists(db.connection, status=Status.PRESENT) == ()
    assert tracks.count(db.connection) == 1

    assert store(db, source("a")).restored
    assert playlists.all_playlists(db.connection)[0].status is Status.PRESENT


def test_a_key_that_is_told_otherwise_is_written_anew(db: Database) -> None:
    store(db, source("a"))
    mark = metadata.generation(db.connection, "tracks")

    with db.transaction() as connection:
        playlists.store(connection, source("a"), folder=None, source_state="s", now=1.0, key=lambda e: f"k:{e.title}")

    assert [track.key for track in tracks.changed_since(db.connection, mark)] == ["k:a"]
    assert tracks.by_key(db.connection, "k:a")[0].title == "a"


def test_a_change_that_fails_leaves_nothing_behind(db: Database) -> None:
    playlist_id = store(db, source("a", "b")).playlist_id
    broken = SourcePlaylist("m3u", b"/lists/mix.m3u", "Mix", (PlaylistEntry(1, "x"), PlaylistEntry(2, "\ud800")))

    with pytest.raises(UnicodeEncodeError):
        store(db, broken)

    assert titles(db, playlist_id) == [(1, "a"), (2, "b")]


def test_rows_name_the_present_file_that_was_found(db: Database) -> None:
    playlist_id = store(db, source("a", "b")).playlist_id
    here, gone = add_file(db, b"x/\xff.flac"), add_file(db, b"y.flac")
    with db.transaction() as connection:
        for row, file in zip(playlists.rows(connection, playlist_id), (here, gone), strict=True):
            connection.execute(
                "INSERT INTO matches (track_id, file_id, score, method, confidence, reasons, generation) "
                "VALUES (?, ?, 1, 'exact', 'high', '[]', 1)",
                (row.track.id, file.id),
            )
        connection.execute("UPDATE library_files SET status = 'missing' WHERE id = ?", (gone.id,))

    assert [row.path for row in playlists.rows(db.connection, playlist_id)] == [b"/music/x/\xff.flac", None]


def test_a_large_playlist_is_stored_in_one_go(db: Database) -> None:
    names = [f"t{n}" for n in range(3000)]
    playlist_id = store(db, source(*names)).playlist_id

    assert store(db, source(*names[:10], *names[20:])).removed == 10
    assert tracks.count(db.connection) == 2990
    ids = [row.track.id for row in playlists.rows(db.connection, playlist_id)]
    assert len(tracks.by_ids(db.connection, [*ids, -1])) == 2990


def several(db: Database) -> None:
    entries = (
        PlaylistEntry(1, "Jóga", ("Björk",), "Homogenic"),
        PlaylistEntry(2, "Jóga", ("Björk",), "Greatest Hits"),
        PlaylistEntry(3, "Under Pressure", ("Queen", "David Bowie")),
        PlaylistEntry(4, "Pressure", ("Muse",)),
        PlaylistEntry(5, "1979", ("The Smashing Pumpkins",)),
    )
    store(db, SourcePlaylist("csv", b"/lists/a.csv", "A", entries))


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("3", "Under Pressure"),
        ("queen", "Under Pressure"),
        ("david bowie - under pressure", "Under Pressure"),
        ("MUSE - PRESS", "Pressure"),
        ("muse - pressure", "Pressure"),
        ("1979", "1979"),
        ("9" * 40 + "1979", None),
    ],
)
def test_a_track_is_found_by_as_much_as_is_unique(db: Database, text: str, title: str | None) -> None:
    several(db)

    if title is None:
        with pytest.raises(UsageError):
            tracks.find_track(db.connection, text)
    else:
        assert tracks.find_track(db.connection, text).title == title


def test_an_ambiguous_track_is_refused_with_the_candidates_and_their_ids(db: Database) -> None:
    several(db)

    with pytest.raises(UsageError, match=r"2 tracks answer(.|\n)*1  Björk - Jóga \(Homogenic\)(.|\n)*2  Björk"):
        tracks.find_track(db.connection, "bjork - joga")
    with pytest.raises(UsageError, match=r"3 tracks"):
        tracks.find_track(db.connection, "e")


def test_many_candidates_are_cut_short(db: Database) -> None:
    store(db, source(*(f"song {n}" for n in range(25))))

    with pytest.raises(UsageError, match="and 15 more"):
        tracks.find_track(db.connection, "song")


def test_tracks_of_one_key_are_one_track_to_a_person(db: Database) -> None:
    entries = (PlaylistEntry(1, "T", ("A",), duration_s=100.0), PlaylistEntry(2, "T", ("A",), duration_s=101.0))
    with db.transaction() as connection:
        playlists.store(
            connection,
            SourcePlaylist("csv", b"/a", "A", entries),
            folder=None,
            source_state="",
            now=1.0,
            key=lambda _: "k",
        )

    assert tracks.find_track(db.connection, "a - t").id == 1


def test_an_unknown_track_is_refused_with_near_ones(db: Database) -> None:
    with pytest.raises(UsageError, match="none yet"):
        tracks.find_track(db.connection, "x")
    several(db)

    with pytest.raises(UsageError, match=r"Near ones are:\n  3  Queen"):
        tracks.find_track(db.connection, "Quen - Under Presure")
    with pytest.raises(UsageError, match="playlist show"):
        tracks.find_track(db.connection, "zzzz")
    with pytest.raises(UsageError, match="No track"):
        tracks.find_track(db.connection, "  ")


def test_a_track_is_found_however_it_is_spelt(db: Database) -> None:
    names = (("Must Be the Moon", "!!!"), ("Hoppípolla", "Sigur Rós"), ("T.N.T.", "AC/DC"), ("So What", "P!nk"))
    rows = tuple(PlaylistEntry(n, title, (artist,)) for n, (title, artist) in enumerate(names, start=1))
    store(db, SourcePlaylist("csv", b"/lists/a.csv", "A", rows))
    typed = ("!!!", "sigur ros - hoppipolla", "AC⁄DC - TNT", "pink")
    assert [tracks.find_track(db.connection, text).id for text in typed] == [1, 2, 3, 4]


def test_a_playlist_is_found_by_name_then_id_then_part_of_its_name(db: Database) -> None:
    for number, name in enumerate(("Road trip", "road trip", "Été", "Road works", "2"), start=1):
        store(db, source("a", name=name, path=b"/l/%d" % number))

    def found(text: str) -> int:
        return playlists.find_playlist(db.connection, text).id

    assert [found("Road trip"), found("road trip"), found("3"), found("2"), found("ete"), found("works")] == [
        *(1, 2, 3, 5, 3, 4)
    ]
    with pytest.raises(UsageError, match="2 playlists answer"):
        found("ROAD TRIP")
    with pytest.raises(UsageError, match="psm playlist list"):
        found("nothing")


def test_without_playlists_the_way_to_the_first_is_told(db: Database) -> None:
    with pytest.raises(UsageError, match="psm playlist import"):
        playlists.find_playlist(db.connection, "x")


def test_a_playlist_is_known_by_its_id(db: Database) -> None:
    playlist_id = store(db, source("a")).playlist_id

    found = playlists.by_id(db.connection, playlist_id)

    assert found is not None
    assert found.source == b"/lists/mix.m3u"
    assert playlists.by_id(db.connection, playlist_id + 1) is None


def test_two_playlists_may_have_one_name(db: Database) -> None:
    store(db, source("a"))
    store(db, source("b", path=b"/other/mix.m3u"))

    with pytest.raises(UsageError, match=r"1  Mix \(/lists/mix.m3u\)"):
        playlists.find_playlist(db.connection, "mix")


def test_a_removed_playlist_is_remembered_until_it_is_taken_in_again(db: Database) -> None:
    gone = store(db, source("a", path=b"/l/gone\xff.m3u"))
    store(db, source("a", path=b"/l/kept.m3u"))
    assert playlists.removed_sources(db.connection) == frozenset()

    with db.transaction() as connection:
        playlists.remove(connection, gone.playlist_id)
    assert playlists.removed_sources(db.connection) == {b"/l/gone\xff.m3u"}

    store(db, source("a", path=b"/l/gone\xff.m3u"))
    assert playlists.removed_sources(db.connection) == frozenset()


# Places of tracks


def named(*locations: bytes, resolved: tuple[bytes, ...] = (), title: str = "T") -> SourcePlaylist:
    return SourcePlaylist("m3u", b"/l/x.m3u", "x", (PlaylistEntry(1, title, locations=locations, resolved=resolved),))


def places(db: Database) -> tuple[bytes, ...]:
    [track] = tracks.all_tracks(db.connection)
    return track.locations


def test_places_that_the_source_does_not_say_make_no_other_track(db: Database) -> None:
    store(db, named(b"/a"))
    before = generations(db)
    again = store(db, named(b"/a", resolved=(b"/real/a",)))
    assert (again.unchanged, places(db)) == (True, (b"/a", b"/real/a"))
    assert generations(db)[0] > before[0]  # matching has to look again


def test_a_place_that_was_not_found_this_time_stays_behind_those_that_were(db: Database) -> None:
    store(db, named(b"/a", resolved=(b"/one/a",)))
    store(db, named(b"/a", resolved=(b"/other/a",)))
    assert places(db) == (b"/a", b"/other/a", b"/one/a")
    before = generations(db)
    store(db, named(b"/a", resolved=(b"/other/a",)))
    assert generations(db) == before


def follow(db: Database) -> int:
    with db.transaction() as connection:
        return tracks.follow_files(connection)


def rename(db: Database, file_id: int, path: bytes) -> None:
    """Renames a file as a scan would."""
    with db.transaction() as connection:
        file = files.get(connection, file_id)
        assert file is not None
        files.update(
            connection,
            file.id,
            file.library_id,
            path,
            stat=file.stat,
            reading=Reading(file.tags, file.fingerprint, file.error),
            reread=False,
            generation=metadata.bump(connection, "library_files"),
        )


def match_all(db: Database, file_id: int, method: Method) -> None:
    """Finds one file for every track."""
    with db.transaction() as connection:
        matches.queue_all_tracks(connection)
        waiting = matches.next_queued(connection, limit=100)
        matches.store(connection, [(q, Match(q.track.id, file_id, 1.0, method, Confidence.HIGH)) for q in waiting])


def test_a_track_found_by_path_follows_its_file_when_it_is_renamed_and_when_its_library_moves(db: Database) -> None:
    file = add_file(db, b"a.flac")
    other = add_file(db, b"other.flac")
    store(db, named(b"/music/a.flac"))
    match_all(db, file.id, Method.PATH)
    assert follow(db) == 0
    assert tracks.files_are_followed(db.connection)

    rename(db, file.id, b"tmp.flac")
    assert not tracks.files_are_followed(db.connection)
    before = generations(db)
    assert (follow(db), places(db)) == (1, (b"/music/a.flac", b"/music/tmp.flac"))
    assert generations(db)[0] > before[0]

    # A place on the way is forgotten: another file may have that name later.
    rename(db, file.id, b"b.flac")
    rename(db, other.id, b"tmp.flac")
    assert (follow(db), places(db)) == (1, (b"/music/a.flac", b"/music/b.flac"))

    with db.transaction() as connection:
        libraries.move(connection, file.library_id, b"/new")
    assert (follow(db), places(db)) == (1, (b"/music/a.flac", b"/new/b.flac"))

    # What the source says is not touched by this, and reading it again does not undo it.
    assert store(db, named(b"/music/a.flac")).unchanged
    assert places(db) == (b"/music/a.flac", b"/new/b.flac")
    assert follow(db) == 0


def test_a_track_found_otherwise_follows_no_file(db: Database) -> None:
    file = add_file(db, b"a.flac")
    store(db, named(b"/elsewhere/x.flac"))
    match_all(db, file.id, Method.EXACT)
    rename(db, file.id, b"b.flac")
    assert (follow(db), places(db)) == (0, (b"/elsewhere/x.flac",))
