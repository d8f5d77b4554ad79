from typing import Any

from psm.db.reports import WantedTrack
from psm.models import Status
from psm.report.collect import same_songs
from tests.factories import add_file, entry, lose_file
from tests.report.shelf import Shelf

ISRC = "GBAYE0601498"


def wanted(number: int, title: str, *artists: str, isrc: str | None = None, album: str | None = None) -> WantedTrack:
    return WantedTrack(number, title, artists, album, None, isrc, (number,))


def test_one_song_by_isrc_name_or_a_chain_of_both() -> None:
    songs = same_songs(
        [
            wanted(1, "Help!", "The Beatles", isrc=ISRC),
            wanted(2, "HELP", "the beatles"),
            wanted(3, "Help! - Remastered", "The Beatles", isrc=ISRC),
            wanted(4, "Help", "Bananarama"),
        ]
    )
    assert sorted(sorted(t.id for t in song) for song in songs) == [[1, 2, 3], [4]]


def test_missing_tracks_are_ranked_by_the_playlists_that_want_them(shelf: Shelf) -> None:
    shelf.playlist("One", "A - Rare", "B - Hit", entry("B - HIT!", position=3))
    shelf.playlist("Two", "b - Hit", entry("C - Owned", position=2))
    shelf.playlist("Three", entry("B - Hit (2009)", isrc=ISRC), entry("B - Hit", position=2, isrc=ISRC, album="Hits"))
    shelf.match("Owned", add_file(shelf.db))
    tracks = shelf.report().missing_tracks
    assert [(t.rank, t.title, t.playlists) for t in tracks] == [
        (1, "Hit", ("One", "Three", "Two")),
        (2, "Rare", ("One",)),
    ]
    assert (tracks[0].isrc, tracks[0].album) == (ISRC, "Hits")  # the row that says most


def test_two_playlists_of_one_name_count_as_two(shelf: Shelf) -> None:
    for source in ("a", "b"):
        shelf.playlist(source, "A - One")
    with shelf.db.transaction() as connection:
        connection.execute("UPDATE playlists SET name = 'Mix'")
    assert shelf.report().missing_tracks[0].playlists == ("Mix", "Mix")


def test_playlists_that_are_gone_want_nothing(shelf: Shelf) -> None:
    shelf.playlist("Gone", "A - One", status=Status.MISSING)
    report = shelf.report()
    assert (report.missing_tracks, report.coverage, report.summary.wanted) == ((), (), 0)


def test_a_file_that_went_missing_counts_as_none(shelf: Shelf) -> None:
    shelf.playlist("Mix", "A - One")
    file = add_file(shelf.db)
    shelf.match("One", file, confidence="low")
    assert shelf.report().summary.found == 1
    lose_file(shelf.db, file)
    report = shelf.report()
    assert [t.title for t in report.missing_tracks] == ["One"]
    assert (report.summary.found, report.summary.missing_files, report.unsure_matches) == (0, 1, ())


def test_missing_albums_say_what_is_wanted_and_what_is_there(shelf: Shelf) -> None:
    shelf.playlist(
        "Mix",
        entry("Björk - Army of Me", album="Post"),
        entry("Bjork - Hyperballad", position=2, album="post"),
        entry("Björk - Isobel", position=3, album="Post"),
        entry("X - No album", position=4),
        entry("Y - Single", position=5, album="Other"),
        entry("Y - Single", position=6, album="Other"),
    )
    shelf.match("Isobel", add_file(shelf.db, artists=("Björk",), album="POST", title="Isobel"))
    add_file(shelf.db, artists=("Somebody",), album_artist="Björk", album="Post", title="Enjoy")
    add_file(shelf.db, artists=("Another",), album="Post", title="Not this one")
    albums = shelf.report().missing_albums
    assert [(a.artist, a.album, a.missing, a.wanted, a.owned, a.titles) for a in albums] == [
        ("Björk", "Post", 2, 3, 2, ("Army of Me", "Hyperballad")),
        ("Y", "Other", 1, 1, 0, ("Single",)),
    ]


def test_coverage_begins_with_the_least_complete(shelf: Shelf) -> None:
    shelf.playlist("Full", "A - One")
    shelf.playlist("Half", "A - One", "A - Two")
    shelf.playlist("Empty")
    shelf.match("One", add_file(shelf.db))
    rows = [(c.playlist, c.tracks, c.found, c.missing, c.share) for c in shelf.report().coverage]
    assert rows == [("Half", 2, 1, 1, 0.5), ("Empty", 0, 0, 0, 1.0), ("Full", 1, 1, 0, 1.0)]


def test_matches_that_are_not_sure_come_with_their_reasons(shelf: Shelf) -> None:
    shelf.playlist("Mix", "A - Sure", "A - Medium", "A - Low", "A - By hand")
    shelf.playlist("Other", "A - Low")
    for title, confidence, score, method in (
        ("Sure", "high", 1.0, "exact"),
        ("Medium", "medium", 0.9, "fuzzy"),
        ("Low", "low", 0.8, "fuzzy"),
        ("By hand", "low", 0.5, "manual"),
    ):
        file = add_file(shelf.db, f"{title}.flac", title=f"{title} (Live)", artists=("A",))
        shelf.match(title, file, confidence=confidence, score=score, method=method)
    found = shelf.report().unsure_matches
    assert [(u.wanted, u.file, u.score, u.playlists) for u in found] == [
        ("A - Low", "A - Low (Live)", 0.8, ("Mix", "Other")),
        ("A - Medium", "A - Medium (Live)", 0.9, ("Mix",)),
    ]
    assert found[0].reasons == ("the titles are alike",)
    assert found[0].path == b"/music/Low.flac"


def test_duplicates_by_audio_and_by_tags(shelf: Shelf) -> None:
    same: dict[str, Any] = {"title": "One", "artists": ("A",), "album": "X", "duration_s": 100.0}
    add_file(shelf.db, "a/1.mp3", fingerprint="audio:1", bitrate_kbps=128, size_bytes=10, **same)
    add_file(shelf.db, "b/1.mp3", fingerprint="audio:1", bitrate_kbps=320, size_bytes=20, **same)
    add_file(shelf.db, "c/2.mp3", title="Two!", artists=("B",), duration_s=200.0, size_bytes=30)
    add_file(shelf.db, "d/2.flac", title="two", artists=("b",), duration_s=201.5, size_bytes=90)
    add_file(shelf.db, "e/2.flac", title="two", artists=("b",), duration_s=260.0)  # another recording
    add_file(shelf.db, "f/3.flac", title="Three", artists=("C",), guessed=("title",))
    add_file(shelf.db, "g/3.flac", title="Three", artists=("C",), guessed=("title",))
    report = shelf.report()
    assert [(d.group, d.kind, d.path) for d in report.duplicates] == [
        (1, "audio", b"/music/b/1.mp3"),
        (1, "audio", b"/music/a/1.mp3"),
        (2, "tags", b"/music/d/2.flac"),
        (2, "tags", b"/music/c/2.mp3"),
    ]
    assert (report.summary.duplicate_groups, report.summary.duplicate_bytes) == (2, 10 + 30)


def test_a_missing_file_is_no_duplicate(shelf: Shelf) -> None:
    add_file(shelf.db, "a.mp3", fingerprint="audio:1")
    lose_file(shelf.db, add_file(shelf.db, "b.mp3", fingerprint="audio:1"))
    assert shelf.report().duplicates == ()


def test_an_album_may_hold_a_title_twice(shelf: Shelf) -> None:
    same: dict[str, Any] = {"title": "Interlude", "artists": ("A",), "album": "X", "duration_s": 30.0}
    add_file(shelf.db, "X/3.flac", track_number=3, **same)
    add_file(shelf.db, "X/9.flac", track_number=9, **same)
    assert shelf.report().duplicates == ()
    add_file(shelf.db, "X copy/3.flac", track_number=3, **same)
    assert len(shelf.report().duplicates) == 3


def test_files_that_say_too_little_or_cannot_be_read(shelf: Shelf) -> None:
    add_file(shelf.db, "fine.flac", title="T", artists=("A",), album="X")
    add_file(shelf.db, "guessed.flac", title="T", artists=("A",), album="X", guessed=("title", "artists"))
    add_file(shelf.db, "bare.flac")
    add_file(shelf.db, "broken.flac", title="T", artists=("A",), album="X", error="the header is damaged")
    add_file(shelf.db, "year.flac", title="T2", artists=("A",), album="X", guessed=("track_number",))
    assert [(b.path, b.problems) for b in shelf.report().bad_files] == [
        (b"/music/bare.flac", ("no title", "no artist", "no album")),
        (b"/music/guessed.flac", ("no title", "no artist")),
        (b"/music/broken.flac", ("the header is damaged",)),
    ]


def test_the_report_does_not_depend_on_the_order_of_ids(shelf: Shelf) -> None:
    labels = ["B - Two", "A - One", "a - ONE", "C - Three"]
    shelf.playlist("X", *labels)
    shelf.playlist("Y", *labels[::-1])
    first = shelf.report()
    for number in (1, 2):
        with shelf.db.transaction() as connection:
            connection.execute("DELETE FROM playlist_tracks WHERE playlist_id = ?", (number,))
    with shelf.db.transaction() as connection:
        connection.execute("DELETE FROM tracks")
    shelf.playlist("Y", *labels[::-1])
    shelf.playlist("X", *labels)
    assert shelf.report() == first
