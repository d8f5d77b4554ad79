"""JSPF, as ListenBrainz writes it."""

from pathlib import Path

import pytest

from psm.models import SourcePlaylist
from psm.providers.jspf import Jspf
from psm.providers.protocol import NoPlaylist

DATA = Path(__file__).parent / "data"


def read(content: bytes | str, source: bytes = b"/lists/mix.jspf") -> SourcePlaylist:
    return Jspf().read(content.encode() if isinstance(content, str) else content, source)


def track(fields: str) -> str:
    return f'{{"playlist": {{"track": [{{"title": "T", {fields}}}]}}}}'


def test_reads_what_listenbrainz_exports() -> None:
    playlist = read((DATA / "listenbrainz.jspf").read_bytes())

    assert playlist.name == "Weekly jams"
    assert [(e.position, e.title, e.artists, e.album, e.duration_s, e.mb_recording_id) for e in playlist.entries] == [
        (1, "Roads", ("Portishead",), "Dummy", 304.0, "7a8b9c0d-1111-4222-8333-444455556666"),
        (2, "Teardrop", ("Massive Attack",), None, 330.0, "aaaaaaaa-1111-4222-8333-444455556666"),
        (5, "B", ("A",), None, None, None),
    ]
    assert playlist.entries[2].locations == (b"/music/A - B.flac",)
    assert [error.line for error in playlist.errors] == [3, 4]


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ('"duration": 1e999', "duration_s", None),
        ('"duration": NaN', "duration_s", None),
        ('"duration": ' + "9" * 5000, "duration_s", None),
        ('"duration": true', "duration_s", None),
        ('"duration": {}', "duration_s", None),
        ('"duration": 1500', "duration_s", 1.5),
        ('"creator": ["A", 5, "", "B"]', "artists", ("A", "B")),
        ('"creator": null', "artists", ()),
        ('"album": "x\\ud800\\u0000y"', "album", "x y"),
        ('"identifier": ["isrc:us-abc-12-34567", 7]', "isrc", "USABC1234567"),
        ('"identifier": {"a": 1}', "isrc", None),
        ('"location": "a.mp3"', "locations", (b"/lists/a.mp3",)),
        ('"location": "https://example.org/a.mp3"', "locations", ()),
    ],
)
def test_odd_values_are_taken_or_left(fields: str, name: str, value: object) -> None:
    assert getattr(read(track(fields)).entries[0], name) == value


def test_a_title_written_as_a_number_is_a_title() -> None:
    playlist = read('{"playlist": {"title": 2024, "track": [{"title": 1979}, {"title": 22.5}]}}')

    assert [e.title for e in playlist.entries] == ["1979", "22.5"]
    assert playlist.name == "2024"


def test_the_playlist_may_be_the_document_and_may_be_empty() -> None:
    assert read('{"title": "X", "track": [{"title": "T"}]}').name == "X"
    assert read('{"playlist": {"track": null}}').entries == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty"),
        ("{", "line 1"),
        ("[]", "no JSPF"),
        ("5", "no JSPF"),
        ('{"name": "package"}', "no JSPF"),
        ('{"playlist": []}', "no JSPF"),
        ('{"playlist": {"track": {}}}', "no list"),
        ("[" * 100_000, "nested|line 1"),
    ],
)
def test_what_is_no_jspf_says_what_is_wrong(content: str, reason: str) -> None:
    with pytest.raises(NoPlaylist, match=reason):
        read(content)
