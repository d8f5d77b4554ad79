"""M3U and M3U8, as players write them."""

import os
from pathlib import Path

import pytest

from psm.models import GENERATED_MARK, PlaylistEntry, SourcePlaylist
from psm.providers.m3u import M3u
from psm.providers.protocol import NoPlaylist, WrittenByPsm
from psm.providers.text import LONGEST_TEXT

DATA = Path(__file__).parent / "data"


def read(content: bytes | str, source: bytes = b"/lists/mix.m3u") -> SourcePlaylist:
    return M3u().read(content.encode() if isinstance(content, str) else content, source)


def only(content: bytes | str) -> PlaylistEntry:
    (entry,) = read(content).entries
    return entry


def test_reads_what_the_comments_say_about_each_path() -> None:
    playlist = read((DATA / "road_trip.m3u8").read_bytes(), b"/home/me/lists/road_trip.m3u8")

    assert playlist.name == "Road trip"
    assert [(e.position, e.title, e.artists, e.album, e.duration_s, e.guessed) for e in playlist.entries] == [
        (1, "Jóga", ("Björk",), "Homogenic", 301.0, False),
        (2, "Morning show", (), None, None, False),
        (4, "Hoppípolla", ("Sigur Rós",), None, None, False),
        (5, "Avril 14th", ("Aphex Twin",), None, None, True),
    ]
    assert playlist.entries[0].locations[0] == os.fsencode("/home/me/Music/Björk/Homogenic/02 Jóga.flac")
    assert playlist.entries[1].locations == ()


def test_a_stream_without_a_title_keeps_its_place_and_is_reported_with_its_line() -> None:
    playlist = read((DATA / "road_trip.m3u8").read_bytes())

    assert [error.line for error in playlist.errors] == [11]
    assert "stream" in playlist.errors[0].reason


def test_a_latin_1_file_of_windows_gives_titles_and_both_spellings_of_relative_paths() -> None:
    playlist = read((DATA / "winamp_latin1.m3u").read_bytes())

    assert [(e.artists, e.title) for e in playlist.entries] == [
        (("Mötley Crüe",), "Kickstart My Heart"),
        (("Café Tacvba",), "Eres"),
    ]
    assert playlist.entries[0].locations == ()
    wanted = playlist.entries[1].locations
    assert wanted[0] == "/lists/Rock\\Café Tacvba\\Eres.mp3".encode("latin-1")
    assert wanted[1] == "/lists/Rock/Café Tacvba/Eres.mp3".encode("latin-1")
    assert "/lists/Rock/Café Tacvba/Eres.mp3".encode() in wanted


def test_utf_16_is_read_by_its_mark() -> None:
    (entry,) = read((DATA / "foobar_utf16.m3u").read_bytes()).entries

    assert (entry.artists, entry.title) == (("Молчат Дома",), "Судно")
    assert "/lists/Музыка/Судно.flac".encode() in entry.locations


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
def test_every_encoding_gives_the_same_playlist(encoding: str) -> None:
    text = "#EXTM3U\n#EXTINF:10,Artist - Title of some length\nfolder/file.mp3\n"

    assert read(text.encode(encoding)) == read(text)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_gives_the_same_playlist(end: str) -> None:
    text = end.join(["#EXTM3U", "#EXTINF:10,A - B", "x.mp3", "y.mp3", ""])

    assert read(text).entries == read("#EXTM3U\n#EXTINF:10,A - B\nx.mp3\ny.mp3\n").entries


def test_a_name_that_is_no_text_keeps_its_bytes_beside_lines_in_utf_8() -> None:
    playlist = read("#EXTM3U\nJóga.mp3\n".encode() + b"a\xff\xfeb.mp3\n")

    assert playlist.entries[0].title == "Jóga"
    assert playlist.entries[1].locations[0] == b"/lists/a\xff\xfeb.mp3"


def test_spaces_around_a_name_are_tried_first_as_they_are() -> None:
    assert only(" x.mp3 \n").locations == (b"/lists/ x.mp3 ", b"/lists/x.mp3")


@pytest.mark.parametrize(
    ("directives", "title", "artists", "duration_s"),
    [
        ("#EXTINF:123,A - B", "B", ("A",), 123.0),
        ("#EXTINF:123.5,A - B", "B", ("A",), 123.5),
        ("#EXTINF: 123 , A - B ", "B", ("A",), 123.0),
        ("#EXTINF:,A - B - C", "B - C", ("A",), None),
        ("#EXTINF:-1,A – B", "B", ("A",), None),
        ("#extinf:7,Only a title", "Only a title", (), 7.0),
        ('#EXTINF:7 logo="a, b" x=y,A - B', "B", ("A",), 7.0),
        ("#EXTINF:A - B", "B", ("A",), None),
        ("#EXTINF:7,A - B\n#EXTART:A", "B", ("A",), 7.0),
        ("#EXTINF:7,B\n#EXTART:A", "B", ("A",), 7.0),
        ("#EXTINF:7,Jay-Z", "Jay-Z", (), 7.0),
        ("#EXTINF:7", "file", (), 7.0),
        ("#EXTINF:7,file.mp3", "file", (), 7.0),
        ("#EXTINF:99999999999999999999,A - B", "B", ("A",), None),
        ("#EXTINF:7,A\0 - \x1bB", "B", ("A",), 7.0),
    ],
)
def test_extinf_in_all_its_forms(
    directives: str, title: str, artists: tuple[str, ...], duration_s: float | None
) -> None:
    if "\0" in directives:
        with pytest.raises(NoPlaylist):
            read(f"#EXTM3U\n{directives}\nfile.mp3\n")
        return
    entry = only(f"#EXTM3U\n{directives}\nfile.mp3\n")

    assert (entry.title, entry.artists, entry.duration_s) == (title, artists, duration_s)


def test_comments_belong_to_the_next_path_only() -> None:
    first, second = read("#EXTINF:7,A - B\n#EXTALB:Album\nx.mp3\ny.mp3\n").entries

    assert (first.album, second.album, second.title, second.duration_s) == ("Album", None, "y", None)


def test_a_list_that_names_itself_nowhere_has_its_file_s_name() -> None:
    assert read("x.mp3\n", "/lists/Été 2024.m3u".encode()).name == "Été 2024"
    assert read("x.mp3\n", b"/lists/\xe9t\xe9.m3u").name == "été"


def test_a_list_without_tracks_is_a_playlist() -> None:
    assert read("#EXTM3U\n").entries == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b" \n\r\n ", "empty"),
        (b"\x89PNG\r\n\0\0\0", "no text"),
        (b"<!DOCTYPE html>\n<html></html>", "web page"),
        (b"[playlist]\nFile1=x.mp3\n", "PLS"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9.9,\nseg1.ts\n", "HLS"),
    ],
)
def test_what_is_no_m3u_says_what_it_is(content: bytes, reason: str) -> None:
    with pytest.raises(NoPlaylist, match=reason):
        read(content)


def test_what_psm_wrote_is_never_imported() -> None:
    with pytest.raises(WrittenByPsm):
        read(f"#EXTM3U\n{GENERATED_MARK}written by psm\nx.mp3\n")


def test_the_mark_counts_at_the_start_only() -> None:
    assert only(f"#EXTM3U\n#EXTINF:1,A - B\n{GENERATED_MARK} odd\nx.mp3\n").title == "B"


def test_a_line_longer_than_any_path_is_reported() -> None:
    playlist = read("a.mp3\n" + "x" * 40_000 + "\nb.mp3\n")

    assert [e.position for e in playlist.entries] == [1, 3]
    assert [error.line for error in playlist.errors] == [2]


def test_a_path_of_4000_bytes_is_a_path() -> None:
    assert len(only("d" * 200 + ("/" + "d" * 199) * 19 + "\n").locations[0]) > 4000


@pytest.mark.parametrize(
    "above", ["# from my phone\n", "\n# one\n\n#EXTENC:UTF-8\n# two\n", "#EXTM3U\n#PLAYLIST:Mine\n# since May\n"]
)
def test_what_psm_wrote_is_known_below_comments_that_a_person_put_above(above: str) -> None:
    with pytest.raises(WrittenByPsm):
        read(f"{above}#EXTM3U\n{GENERATED_MARK}written by psm\nx.mp3\n")


# Before each of these was read in one pass, it took a minute at a tenth of this length, and four times that at twice.
LONG = 600_000


@pytest.mark.parametrize(
    "extinf",
    [
        "a" * LONG + ",x",
        "1,a" + " " * LONG + "b",
        " " * LONG + "x",
        "1 " + "a=b " * (LONG // 4) + "x",
        "1 " + 'a="' * (LONG // 3) + "x",
        "1" * LONG + "x",
        "1,a" + " -" * (LONG // 2) + "b",
    ],
)
def test_a_comment_of_any_length_is_read_in_one_pass(extinf: str) -> None:
    entry = only(f"#EXTM3U\n#EXTINF:{extinf}\nq.flac\n")

    assert 0 < len(entry.title) <= LONGEST_TEXT
    assert all(len(artist) <= LONGEST_TEXT for artist in entry.artists)
