"""What holds for every provider, whatever the bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psm.errors import PsmError
from psm.providers import PROVIDERS, Provider, is_shared, provider_for
from psm.providers.text import clean, isrc_of, recording_id_of

PIECES = [
    *(b"#EXTM3U\n", b"#EXTINF:", b"12,", b"A - B\n", b"\\", b"/", b"..", b"\r", b"\n", b"%C3%A9", b"file://", b"C:\\"),
    *(b"\xe9", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"title,artist,duration,isrc\n", b'"', b",", b";", b"\t"),
    *(b"<playlist><trackList><track>", b"<title>", b"</title>", b"<location>", b"</location>", b'xml:base="', b"&x;"),
    *(b"</track></trackList></playlist>", b'<!DOCTYPE a [<!ENTITY x "y">]>', b'<?xml version="1.0" encoding="utf-7"?>'),
    *(b'{"playlist":{"track":[', b'{"title":"x\\ud800"}', b"]}}", b"1e999", b"NaN", b'"duration":', b"[", b"9" * 5000),
]
CONTENT = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)), max_size=30).map(b"".join),
)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
@settings(max_examples=150, deadline=None)
@given(
    content=CONTENT, name=st.binary(min_size=1, max_size=8).map(lambda b: b.replace(b"/", b"_").replace(b"\0", b"_"))
)
def test_no_bytes_make_a_provider_fail_in_any_other_way_than_it_says(
    provider: Provider, content: bytes, name: bytes
) -> None:
    try:
        playlist = provider.read(content, b"/lists/" + name)
    except PsmError:
        return
    positions = [entry.position for entry in playlist.entries]
    assert positions == sorted(set(positions))
    assert len(positions) + len(playlist.errors) >= max(positions, default=0)
    assert playlist.name == clean(playlist.name) != ""
    for entry in playlist.entries:
        for text in (entry.title, entry.album or "-", *entry.artists):
            assert text == clean(text) != ""
            text.encode()
        assert entry.duration_s is None or entry.duration_s > 0
        assert all(path.startswith(b"/") and b"\0" not in path and b"/../" not in path for path in entry.locations)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/x/a.m3u", "m3u"),
        (b"/x/a.M3U8", "m3u"),
        (b"/x/\xff.xspf", "xspf"),
        (b"/x/a.jspf", "jspf"),
        (b"/x/a.b.csv", "csv"),
        (b"/x/a.pls", None),
        (b"/x.csv/a", None),
        (b"m3u", None),
    ],
)
def test_a_file_s_ending_tells_its_provider(path: bytes, name: str | None) -> None:
    found = provider_for(path)

    assert (found.name if found else None) == name


def test_endings_that_other_programs_use_too() -> None:
    assert is_shared(b"/x/notes.TXT")
    assert is_shared(b"/x/package.json")
    assert not is_shared(b"/x/a.jspf")
    assert not is_shared(b"/x/a.pls")


@pytest.mark.parametrize(
    ("text", "isrc"),
    [
        ("US-SM1-79-00045", "USSM17900045"),
        ("ussm17900045", "USSM17900045"),
        ("isrc:USSM17900045", "USSM17900045"),
        ("urn:isrc:US-SM1-79-00045", "USSM17900045"),
        ("USSM1790004", None),
        ("ÜSSM17900045", None),
        ("USSM1790004٥", None),
        ("", None),
        (None, None),
    ],
)
def test_isrcs_are_normalised_and_checked(text: str | None, isrc: str | None) -> None:
    assert isrc_of(text) == isrc


@pytest.mark.parametrize(
    "text",
    [
        "7a8b9c0d-1111-4222-8333-444455556666",
        "7A8B9C0D-1111-4222-8333-444455556666",
        "https://musicbrainz.org/recording/7a8b9c0d-1111-4222-8333-444455556666",
        "http://beta.musicbrainz.org/recording/7a8b9c0d-1111-4222-8333-444455556666?x=y",
    ],
)
def test_recording_ids_are_found(text: str) -> None:
    assert recording_id_of(text) == "7a8b9c0d-1111-4222-8333-444455556666"


def test_other_musicbrainz_ids_are_no_recordings() -> None:
    assert recording_id_of("https://musicbrainz.org/release/7a8b9c0d-1111-4222-8333-444455556666") is None
