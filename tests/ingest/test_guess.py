from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psm.ingest.guess import fill_from_name, guess
from psm.models import TrackTags


def said(
    title: str | None = None,
    artist: str | None = None,
    album: str | None = None,
    track: int | None = None,
    disc: int | None = None,
    year: int | None = None,
) -> TrackTags:
    artists = (artist,) if artist else ()
    return TrackTags(title=title, artists=artists, album=album, track_number=track, disc_number=disc, year=year)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        # the file's name alone
        ("So What.mp3", said("So What")),
        ("So What .mp3", said("So What")),
        ("Miles Davis - So What.mp3", said("So What", "Miles Davis")),
        ("Miles Davis – So What.mp3", said("So What", "Miles Davis")),
        ("Miles_Davis_-_So_What.mp3", said("So What", "Miles Davis")),
        ("01 - Miles Davis - So What.mp3", said("So What", "Miles Davis", track=1)),
        ("01 - So What.mp3", said("So What", track=1)),
        ("01. So What.mp3", said("So What", track=1)),
        ("1. So What.mp3", said("So What", track=1)),
        ("01.So What.mp3", said("So What", track=1)),
        ("01-So What.mp3", said("So What", track=1)),
        ("01 So What.mp3", said("So What", track=1)),
        ("01_So_What.mp3", said("So What", track=1)),
        ("[03] Freddie Freeloader.mp3", said("Freddie Freeloader", track=3)),
        ("(03) Freddie Freeloader.mp3", said("Freddie Freeloader", track=3)),
        ("3) Freddie Freeloader.mp3", said("Freddie Freeloader", track=3)),
        ("1-03 Title.flac", said("Title", track=3, disc=1)),
        ("1-03. Title.flac", said("Title", track=3, disc=1)),
        ("2.11 - Title.flac", said("Title", track=11, disc=2)),
        ("CD2-03 Title.flac", said("Title", track=3, disc=2)),
        ("Artist - 03 - Title.mp3", said("Title", "Artist", track=3)),
        ("Artist - Album - 03 - Title.mp3", said("Title", "Artist", "Album", track=3)),
        ("Artist - Album - 03 Title.mp3", said("Title", "Artist", "Album", track=3)),
        ("Artist - Album - 03. Title - Part.mp3", said("Title - Part", "Artist", "Album", track=3)),
        ("Queen - Somebody To Love - Live.mp3", said("Somebody To Love - Live", "Queen")),
        ("Rick Astley - Never Gonna Give You Up [dQw4w9WgXcQ].opus", said("Never Gonna Give You Up", "Rick Astley")),
        # no number, though it looks like one
        ("99 Luftballons.mp3", said("99 Luftballons")),
        ("21 Guns.mp3", said("21 Guns")),
        ("1979.mp3", said("1979")),
        ("22.mp3", said("22")),
        ("311 - Amber.mp3", said("Amber", "311")),
        ("4 Non Blondes - What's Up.mp3", said("What's Up", "4 Non Blondes")),
        ("U2 - One.mp3", said("One", "U2")),
        ("50 Cent - In Da Club.mp3", said("In Da Club", "50 Cent")),
        ("7 Seconds.mp3", said("7 Seconds")),
        # no title
        ("Track 01.mp3", said(track=1)),
        ("AudioTrack 07.wav", said(track=7)),
        ("03.flac", said(track=3)),
        # folders
        ("Miles Davis/Kind of Blue/So What.flac", said("So What", "Miles Davis", "Kind of Blue")),
        ("Miles Davis/Kind of Blue/03 Blue in Green.flac", said("Blue in Green", "Miles Davis", "Kind of Blue", 3)),
        ("Miles Davis/Kind of Blue/12 Flamenco.flac", said("Flamenco", "Miles Davis", "Kind of Blue", 12)),
        (
            "Miles Davis/Kind of Blue (1959)/1-03. All Blues",
            said("All Blues", "Miles Davis", "Kind of Blue", 3, 1, 1959),
        ),
        ("Miles Davis/1959 - Kind of Blue/CD2/03 X.mp3", said("X", "Miles Davis", "Kind of Blue", 3, 2, 1959)),
        ("Miles Davis/(1959) Kind of Blue/03 X.mp3", said("X", "Miles Davis", "Kind of Blue", 3, None, 1959)),
        ("Miles Davis/Kind of Blue [1959] [FLAC]/03 X.mp3", said("X", "Miles Davis", "Kind of Blue", 3, None, 1959)),
        ("Miles Davis/Miles Davis - Kind of Blue (1959)/X.mp3", said("X", "Miles Davis", "Kind of Blue", year=1959)),
        ("Miles Davis - Kind of Blue (1959)/1-03. X.mp3", said("X", "Miles Davis", "Kind of Blue", 3, 1, 1959)),
        ("Miles Davis - 1959 - Kind of Blue/03 X.mp3", said("X", "Miles Davis", "Kind of Blue", 3, None, 1959)),
        ("Jazz/Miles Davis - Kind of Blue/03 X.mp3", said("X", "Miles Davis", "Kind of Blue", 3)),
        ("Music/M/Miles Davis/Kind of Blue/Disc 1 - Side A/03 X.mp3", said("X", "Miles Davis", "Kind of Blue", 3, 1)),
        ("Beatles, The/Help!/03 X.mp3", said("X", "The Beatles", "Help!", 3)),
        (
            "Queen/Live at Wembley/03 - Hammer to Fall - Live.mp3",
            said("Hammer to Fall - Live", "Queen", "Live at Wembley", 3),
        ),
        ("Queen/Best/03 - Somebody to Love - Queen.mp3", said("Somebody to Love", "Queen", "Best", 3)),
        ("Taylor Swift/1989/03 Style.mp3", said("Style", "Taylor Swift", None, 3)),
        ("Miles Davis/So What.mp3", said("So What", "Miles Davis")),
        ("Kind of Blue/03 - Blue in Green.mp3", said("Blue in Green", None, "Kind of Blue", 3)),
        ("Kind of Blue (1959)/Blue in Green.mp3", said("Blue in Green", None, "Kind of Blue", year=1959)),
        # folders that say nothing
        ("Music/So What.mp3", said("So What")),
        ("Unknown Artist/Unknown Album/01 Track 01.mp3", said(track=1)),
        (
            "Various Artists/Jazz Nights/03 - Miles Davis - So What.mp3",
            said("So What", "Miles Davis", "Jazz Nights", 3),
        ),
        ("Various Artists/Jazz Nights/03 So What.mp3", said("So What", None, "Jazz Nights", 3)),
        ("2019/Song.mp3", said("Song")),
        ("Downloads/Miles Davis - So What.mp3", said("So What", "Miles Davis")),
        # who made it cannot be told
        ("My Stuff/Queen - Jazz/03 Jealousy.mp3", said("Jealousy", None, "Queen - Jazz", 3)),
    ],
)
def test_what_a_path_says(path: str, expected: TrackTags) -> None:
    assert guess(path.encode()) == expected


def test_names_that_are_no_utf8_are_windows_1252_or_latin_1() -> None:
    assert guess("Björk/Jóga.mp3".encode("cp1252")) == said("Jóga", "Björk")
    assert guess(b"Bj\xf6rk \x81 - J\xf3ga.mp3") == said("Jóga", "Björk \x81")


def test_only_missing_fields_are_filled_and_named() -> None:
    tags = TrackTags(title="Real title", year=2001)
    filled = fill_from_name(tags, b"Miles/Album (1999)/03 Other title.mp3")
    assert filled == replace(
        tags, artists=("Miles",), album="Album", track_number=3, guessed=("artists", "album", "track_number")
    )


def test_complete_tags_stay_as_they_are() -> None:
    tags = TrackTags("t", ("a",), "b", track_number=1, disc_number=1, year=1999)
    assert fill_from_name(tags, b"Artist/Album (1999)/03 Other title.mp3") is tags


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(max_size=20), st.sampled_from([b"CD1", b"03 - a", b"- - -", b"(1999)", b" - "])), max_size=5
    )
)
def test_any_path_gives_a_guess(parts: list[bytes]) -> None:
    found = guess(b"/".join(parts))
    assert all(text == text.strip() and text for text in (found.title, found.album, *found.artists) if text is not None)
