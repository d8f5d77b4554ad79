"""CSV: both kinds of Exportify, and tables that people make."""

from pathlib import Path

import pytest

from psm.models import PlaylistEntry, SourcePlaylist
from psm.providers.csv_file import Csv
from psm.providers.protocol import NoPlaylist

DATA = Path(__file__).parent / "data"


def read(content: bytes | str, source: bytes = b"/lists/mix.csv") -> SourcePlaylist:
    return Csv().read(content.encode() if isinstance(content, str) else content, source)


def only(content: str) -> PlaylistEntry:
    (entry,) = read(content).entries
    return entry


def test_reads_exportify_with_its_escaped_commas() -> None:
    playlist = read((DATA / "exportify.csv").read_bytes(), b"/lists/liked_songs.csv")

    assert playlist.name == "liked_songs"
    assert [(e.position, e.title, e.artists, e.album, e.duration_s, e.isrc) for e in playlist.entries] == [
        (1, "Boogie Wonderland", ("Earth, Wind & Fire", "The Emotions"), "I Am", 287.0, "USSM17900045"),
        (2, "thank you, next", ("Ariadne Grove",), "thank you, next", 207.32, None),
        (4, 'Feel It (From "Invincible")', ("d4vd",), "Feel It (Deluxe)", 157.5, "USUG12400001"),
        (5, "Home recording", (), None, 61.0, None),
    ]
    assert [(error.line, error.reason) for error in playlist.errors] == [(4, "it has no title")]


def test_reads_exportify_with_its_semicolons() -> None:
    under, days = read((DATA / "exportify_semicolons.csv").read_bytes()).entries

    assert (under.artists, under.duration_s) == (("Queen", "David Bowie"), 248.44)
    assert days.artists == ("10,000 Maniacs",)


def test_reads_exportify_in_the_language_of_the_browser() -> None:
    (entry,) = read((DATA / "exportify_deutsch.csv").read_bytes()).entries

    assert (entry.title, entry.artists, entry.album) == ("Autobahn", ("Kraftwerk",), "Autobahn")
    assert (entry.duration_s, entry.isrc) == (1365.0, "DEUM70900100")


@pytest.mark.parametrize(
    ("header", "cell", "artists"),
    [
        ("Track Name,Artist Name(s),Duration (ms)", "Eminem,KXNG Crooked", ("Eminem", "KXNG Crooked")),
        ("Track Name,Artist Name(s),Duration (ms)", "Earth, Wind & Fire", ("Earth, Wind & Fire",)),
        ("Track Name,Artist Name(s),Duration (ms)", "10,000 Maniacs", ("10,000 Maniacs",)),
        ("Track Name,Artist Name(s),Duration (ms)", "Blink-182,3 Doors", ("Blink-182,3 Doors",)),
        ("Track Name,Artist Name,Track Duration (ms)", "A, B", ("A", "B")),
        ("Track Name,Artist Name(s),Track Duration (ms)", r"A\, B", ("A, B",)),
        ("title,artists,duration", "A, B", ("A", "B")),
        ("title,artists,duration", "A; B", ("A", "B")),
        ("title,artist,duration", "Simon, Garfunkel", ("Simon, Garfunkel",)),
        ("title,artist,duration", "A;B", ("A", "B")),
    ],
)
def test_several_artists_in_each_dialect(header: str, cell: str, artists: tuple[str, ...]) -> None:
    assert only(f'{header}\nT,"{cell}",1000\n').artists == artists


@pytest.mark.parametrize(
    ("header", "cell", "duration_s"),
    [
        ("duration", "225", 225.0),
        ("duration", "225.5", 225.5),
        ("Duration", "3:45", 225.0),
        ("length", "1:02:03", 3723.0),
        ("Time", "3:45.5", 225.5),
        ("duration", "225000", 225.0),
        ("Duration (ms)", "225000", 225.0),
        ("duration_ms", "9000", 9.0),
        ("Duration (s)", "225000", 225000.0),
        ("duration_ms", "3:45", 225.0),
        ("duration", "", None),
        ("duration", "unknown", None),
        ("duration", "-1", None),
        ("duration", "1e999", None),
        ("duration", "nan", None),
        ("duration", "9" * 400 + ":00:00", None),
        ("duration", "9" * 5000 + ":00:00", None),
    ],
)
def test_durations_in_each_unit(header: str, cell: str, duration_s: float | None) -> None:
    assert only(f"title,{header}\nT,{cell}\n").duration_s == duration_s


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_by_the_header(delimiter: str) -> None:
    entry = only(delimiter.join(("Title", "Artist", "ISRC")) + "\n" + delimiter.join(("T", "A", "usabc1234567")))

    assert (entry.title, entry.artists, entry.isrc) == ("T", ("A",), "USABC1234567")


def test_excel_may_name_the_delimiter_on_a_line_of_its_own() -> None:
    playlist = read("sep=;\r\nTitle;Artist\r\n;x\r\nT;A\r\n")

    assert playlist.entries == (PlaylistEntry(2, "T", ("A",)),)
    assert [error.line for error in playlist.errors] == [3]


@pytest.mark.parametrize(
    "heading", ["TRACK NAME", "track_name", "Track-Name", " Track  Name ", "song", "Name", "Title"]
)
def test_headings_are_known_in_any_spelling(heading: str) -> None:
    assert only(f"{heading},other\nT,x\n").title == "T"


def test_the_surest_heading_wins() -> None:
    assert only("Name,Title\nMy list,T\n").title == "T"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_every_encoding_gives_the_same_playlist(encoding: str) -> None:
    text = "Title,Artist,Album\r\nJóga,Björk,Homogenic\r\n"

    assert read(text.encode(encoding)) == read(text)


def test_blank_lines_are_no_rows_and_rows_of_nothing_are() -> None:
    playlist = read("\n\nTitle,Artist\n\nA,x\n,\n\nB,y\n")

    assert [(e.position, e.title) for e in playlist.entries] == [(1, "A"), (3, "B")]
    assert [error.line for error in playlist.errors] == [6]


def test_a_short_row_is_taken_and_one_that_is_too_long_is_reported() -> None:
    playlist = read('Title,Artist,Album\nA\nB,"x"y",z,w\nC,x,,,\n')

    assert [(e.position, e.title) for e in playlist.entries] == [(1, "A"), (3, "C")]
    assert [error.line for error in playlist.errors] == [3]
    assert "4 columns" in playlist.errors[0].reason


def test_a_quote_that_is_never_closed_costs_its_own_row_only() -> None:
    rows = [f"T{n},A" for n in range(300)]
    rows[5] = '"T5,A'
    playlist = read("Title,Artist\n" + "\n".join(rows) + "\n")

    assert [error.line for error in playlist.errors] == [7]
    assert len(playlist.entries) == 299
    assert playlist.entries[5].position == 7


def test_an_unclosed_quote_near_the_end_costs_its_own_row_only() -> None:
    playlist = read('Title\nA\n"B\nC\nD\n')

    assert [e.title for e in playlist.entries] == ["A", "C", "D"]
    assert [error.line for error in playlist.errors] == [3]


def test_an_endless_cell_costs_its_own_row_only() -> None:
    playlist = read("Title\nA\n" + "x" * 200_000 + "\nB\n")

    assert [e.title for e in playlist.entries] == ["A", "B"]
    assert [error.line for error in playlist.errors] == [3]


def test_a_line_break_in_a_cell_does_not_shift_the_lines_of_later_errors() -> None:
    playlist = read('Title,Album\nA,"x\ny"\n,z\n')

    assert playlist.entries[0].album == "x y"
    assert [error.line for error in playlist.errors] == [4]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"date,amount\n2024,5\n", '"date", "amount"'),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "no column for the title"),
        (b",,,\n", "Found: nothing"),
    ],
)
def test_what_is_no_table_of_tracks_says_what_is_missing(content: bytes, reason: str) -> None:
    with pytest.raises(NoPlaylist, match=reason):
        read(content)


def test_a_musicbrainz_id_is_taken() -> None:
    mbid = "AAAAAAAA-1111-4222-8333-444455556666"

    assert only(f"title,recording_mbid\nT,{mbid}\n").mb_recording_id == mbid.lower()


def test_an_unclosed_quote_does_not_reach_as_far_as_the_next_quote() -> None:
    playlist = read('Title,Artist\n"Heroes,David Bowie\n"Station to Station",David Bowie\nA,B\n')

    assert [(e.position, e.title, e.artists) for e in playlist.entries] == [
        (2, "Station to Station", ("David Bowie",)),
        (3, "A", ("B",)),
    ]
    assert [(error.line, "quote" in error.reason) for error in playlist.errors] == [(2, True)]


def test_a_quote_that_is_not_doubled_inside_a_cell_is_taken_as_it_is() -> None:
    playlist = read('Title,Artist\n"The "Best" of",A\nB,C\n')

    assert [e.artists for e in playlist.entries] == [("A",), ("C",)]
    assert "Best" in playlist.entries[0].title
    assert playlist.errors == ()
