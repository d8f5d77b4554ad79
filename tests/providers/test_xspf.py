"""XSPF, as VLC and others write it."""

from pathlib import Path

import pytest

from psm.models import GENERATED_XSPF_REL, SourcePlaylist
from psm.providers.protocol import NoPlaylist, WrittenByPsm
from psm.providers.xspf import Xspf

DATA = Path(__file__).parent / "data"


def read(content: bytes | str, source: bytes = b"/lists/mix.xspf") -> SourcePlaylist:
    return Xspf().read(content.encode() if isinstance(content, str) else content, source)


def wrapped(tracks: str, more: str = "") -> str:
    return f'<playlist xmlns="http://xspf.org/ns/0/" version="1">{more}<trackList>{tracks}</trackList></playlist>'


def test_reads_what_vlc_writes() -> None:
    playlist = read((DATA / "vlc.xspf").read_bytes(), b"/home/me/lists/vlc.xspf")

    assert playlist.name == "Late & slow"
    grass, roygbiv = playlist.entries
    assert (grass.title, grass.artists, grass.album) == ("Green Grass of Tunnel", ("Múm",), "Finally We Are No One")
    assert (grass.duration_s, grass.isrc) == (291.0, "GBAAA0200123")
    assert grass.mb_recording_id == "0f3e1a55-7a0e-4d3b-9f6b-0f0f0f0f0f0f"
    assert grass.locations[0] == "/srv/music/Múm/Green Grass.ogg".encode()
    assert (roygbiv.position, roygbiv.title, roygbiv.artists) == (3, "Roygbiv", ("Boards of Canada",))
    assert roygbiv.guessed
    assert roygbiv.locations[0] == b"/home/me/Other/Boards of Canada - Roygbiv.mp3"


def test_unusable_tracks_are_reported_with_the_line_they_begin_on() -> None:
    playlist = read((DATA / "vlc.xspf").read_bytes())

    assert [(error.line, "stream" in error.reason) for error in playlist.errors] == [(15, False), (21, True)]


def test_several_locations_and_a_base_for_all() -> None:
    playlist = read(
        '<playlist xml:base="/music/"><trackList><track><location>a.mp3</location><location>b.mp3</location>'
        "<title>T</title></track></trackList></playlist>"
    )

    assert playlist.entries[0].locations == (b"/music/a.mp3", b"/music/b.mp3")
    assert playlist.name == "mix"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_reads_the_encoding_that_the_file_declares(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + wrapped("<track><title>Jóga</title></track>")

    assert read(text.encode(encoding)).entries[0].title == "Jóga"


def test_a_list_without_tracks_is_a_playlist() -> None:
    assert read(wrapped("")).entries == ()


def test_a_harmless_doctype_is_read() -> None:
    assert read("<!DOCTYPE playlist>" + wrapped("<track><title>A</title></track>")).entries[0].title == "A"


@pytest.mark.parametrize("duration", ["", "0", "-1", "1e999", "NaN", "long"])
def test_a_senseless_duration_is_unknown(duration: str) -> None:
    track = f"<track><title>A</title><duration>{duration}</duration></track>"

    assert read(wrapped(track)).entries[0].duration_s is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty"),
        ("no xml", "line 1"),
        ("<playlist>\n<trackList>&x;</trackList></playlist>", "line 2"),
        ("<html></html>", "outermost element is <html>"),
        ('<?xml version="1.0" encoding="klingon"?><playlist/>', "XML"),
        ('<!DOCTYPE p [<!ENTITY a "b">]><playlist>&a;</playlist>', "entities"),
        ('<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]><playlist>&a;</playlist>', "entities"),
    ],
)
def test_what_is_no_xspf_says_what_is_wrong(content: str, reason: str) -> None:
    with pytest.raises(NoPlaylist, match=reason):
        read(content)


def test_what_psm_wrote_is_never_imported() -> None:
    with pytest.raises(WrittenByPsm):
        read(wrapped("<track><title>A</title></track>", f'<meta rel="{GENERATED_XSPF_REL}">yes</meta>'))


def test_another_program_s_meta_is_none_of_ours() -> None:
    assert read(wrapped("<track><title>A</title></track>", '<meta rel="urn:other">yes</meta>')).entries
