import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from psm.config import ExportMode, ExportProfile, LineEnds, PathForm, PlaylistFormat, Slashes
from psm.export.formats import Entry, check, encoding_of, one_line, render
from psm.export.paths import Place, Unwritable, target

XSPF = "{http://xspf.org/ns/0/}"


def profile(**settings: Any) -> ExportProfile:
    return ExportProfile("p", Path("/lists"), **settings)


def place(**settings: Any) -> Place:
    return Place.of(profile(**settings), folder=b"/lists")


def rendered(*entries: Entry, name: str = "Mix", **settings: Any) -> bytes:
    return render(name, entries, place(**settings))


def found(path: bytes | str = b"/m/one.flac", **settings: Any) -> Entry:
    return Entry("One", ("A", "B"), "Album", 61.6, target(os.fsencode(path), place(**settings)))


LOST = Entry("Two", ("C",), None, None)
HEAD = "#EXTM3U\n#PSM:written by psm; to change it, change the playlist that it was made from\n#PLAYLIST:Mix\n"


def test_strict_holds_what_was_found() -> None:
    assert rendered(found(), LOST).decode() == HEAD + "#EXTINF:62,A, B - One\n/m/one.flac\n"


def test_mirrored_shows_missing_ones_as_comments_in_their_place() -> None:
    lines = rendered(LOST, found(), mode=ExportMode.MIRRORED).decode()
    assert lines == HEAD + "#MISSING:C - Two\n#EXTINF:62,A, B - One\n/m/one.flac\n"


def test_placeholders_give_every_track_a_line() -> None:
    text = rendered(LOST, found(), Entry("AC/DC?"), mode=ExportMode.PLACEHOLDERS).decode()
    paths = [line for line in text.splitlines() if not line.startswith("#")]
    assert paths == ["Missing/C - Two.mp3", "/m/one.flac", "Missing/AC_DC_.mp3"]
    assert "#EXTINF:-1,C - Two\nMissing/" in text
    back = rendered(LOST, mode=ExportMode.PLACEHOLDERS, slashes=Slashes.BACK).decode()
    assert back.endswith("Missing\\C - Two.mp3\n")


def test_line_ends_and_encodings() -> None:
    text = rendered(found(), line_ends=LineEnds.CRLF)
    assert text.count(b"\r\n") == text.count(b"\n") == 5
    assert rendered(found(), encoding="utf-8-sig").startswith(b"\xef\xbb\xbf#EXTM3U\n")
    assert rendered(found("/m/é.flac"), encoding="cp1252", format=PlaylistFormat.M3U).endswith(b"/m/\xe9.flac\n")
    wide = rendered(found(), encoding="utf-16", format=PlaylistFormat.M3U)
    assert wide.decode("utf-16").startswith("#EXTM3U\n")


def test_m3u8_and_xspf_are_always_utf_8() -> None:
    assert encoding_of(profile(encoding="latin-1")) == "utf-8"
    assert encoding_of(profile(encoding="latin-1", format=PlaylistFormat.XSPF)) == "utf-8"
    assert encoding_of(profile(encoding="utf-8-sig", format=PlaylistFormat.XSPF)) == "utf-8"
    assert encoding_of(profile(encoding="latin-1", format=PlaylistFormat.M3U)) == "iso8859-1"


def test_bytes_that_are_no_text_are_written_as_they_are() -> None:
    assert rendered(found(b"/m/\xff\xe9.flac")).endswith(b"\n/m/\xff\xe9.flac\n")


def test_titles_are_flattened_to_one_line_that_the_encoding_holds() -> None:
    odd = replace(found(), title="a\nb\r\x00c\u2028d \udce9 日", artists=())
    assert "#EXTINF:62,a b c d ? 日\n" in rendered(odd).decode()
    assert b"#EXTINF:62,a b c d ? ?\n" in rendered(odd, encoding="latin-1", format=PlaylistFormat.M3U)
    assert "#PLAYLIST:x y\n" in rendered(name="x\ny").decode()
    assert one_line(" \t ") == ""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (b"/m/#1.flac", "./#1.flac"),
        (b"/m/ one.flac", "./ one.flac"),
        (b"/m/~one.flac", "./~one.flac"),
        (b"/m/\\one.flac", "./\\one.flac"),
        (b"/m/C:/one.flac", "./C:/one.flac"),
        ("/m/\ufeffone.flac".encode(), "./\ufeffone.flac"),
        (b"/m/A/#1.flac", "A/#1.flac"),
        (b"/m/one#.flac", "one#.flac"),
    ],
)
def test_a_relative_path_is_never_taken_for_something_else(path: bytes, line: str) -> None:
    settings: dict[str, Any] = {"paths": PathForm.BELOW, "root": Path("/m")}
    text = rendered(found(path, **settings), **settings).decode()
    assert text.endswith(f"\n{line}\n")


def test_the_same_with_backslashes() -> None:
    settings: dict[str, Any] = {"paths": PathForm.BELOW, "root": Path("/m"), "slashes": Slashes.BACK}
    assert rendered(found(b"/m/#A/b.flac", **settings), **settings).endswith(b"\n.\\#A\\b.flac\n")


@pytest.mark.parametrize(
    ("path", "settings", "reason"),
    [
        (b"/m/a\nb.flac", {}, "line break"),
        (b"/m/a\rb.flac", {}, "line break"),
        (b"/m/a.flac ", {}, "ends with a space"),
        ("/m/日.flac".encode(), {"encoding": "cp1252", "format": PlaylistFormat.M3U}, "encoding cp1252 does not have"),
        (b"/m/\xe9.flac", {"encoding": "cp1252", "format": PlaylistFormat.M3U}, "'.udce9'"),
    ],
)
def test_what_m3u_cannot_hold_is_said(path: bytes, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unwritable, match=reason):
        check(target(path, place(**settings)), profile(**settings))


def test_xspf_holds_every_path() -> None:
    xspf = {"format": PlaylistFormat.XSPF}
    for path in (b"/m/a\nb.flac", b"/m/a.flac ", b"/m/\xe9.flac"):
        check(target(path, place(**xspf)), profile(**xspf))


def test_xspf_is_valid_xml_whatever_the_titles_are() -> None:
    odd = "a & b < c \x00\x0b\x1f \udce9 \ufffe ]]> -- 🎵"
    entries = [replace(found(), title=odd, artists=(odd,), album=odd), replace(LOST, title="x -- y-")]
    for mode in ExportMode:
        content = render(odd, entries, place(format=PlaylistFormat.XSPF, mode=mode))
        root = ET.fromstring(content)
        track = root.find(f".//{XSPF}track")
        assert track is not None
        assert track.findtext(f"{XSPF}title") == "a & b < c ]]> -- 🎵"
        assert track.findtext(f"{XSPF}location") == "file:///m/one.flac"
        assert track.findtext(f"{XSPF}duration") == "61600"
        meta = root.find(f"{XSPF}meta")
        assert meta is not None
        assert meta.get("rel") == "urn:psm:generated"


@pytest.mark.parametrize(
    ("mode", "tracks", "comment"), [("strict", 1, False), ("mirrored", 1, True), ("placeholders", 2, False)]
)
def test_the_modes_differ_in_xspf_too(mode: str, tracks: int, comment: bool) -> None:
    content = rendered(LOST, found(), mode=ExportMode(mode), format=PlaylistFormat.XSPF)
    root = ET.fromstring(content)
    assert len(root.findall(f".//{XSPF}track")) == tracks
    assert (b"<!-- missing: C - Two -->" in content) is comment
    assert len(root.findall(f".//{XSPF}location")) == 1
