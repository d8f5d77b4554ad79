"""What a path of a playlist means, as a path of its own kind."""

import unicodedata

import pytest

from psm.providers.locations import base_folder, guess, locate_path, locate_uri

FOLDER = b"/lists"
JOGA_NFC = unicodedata.normalize("NFC", "/lists/Jóga.mp3").encode()
JOGA_NFD = unicodedata.normalize("NFD", "/lists/Jóga.mp3").encode()
JOGA_LATIN = "/lists/Jóga.mp3".encode("latin-1")


@pytest.mark.parametrize(
    ("raw", "paths"),
    [
        (b"x.mp3", (b"/lists/x.mp3",)),
        (b"./a/../b//c.mp3", (b"/lists/b/c.mp3",)),
        (b"../../../x.mp3", (b"/x.mp3",)),
        (b"//nas/x.mp3", (b"/nas/x.mp3",)),
        (b"/abs/x.mp3", (b"/abs/x.mp3",)),
        ("Jóga.mp3".encode(), (JOGA_NFC, JOGA_NFD, JOGA_LATIN)),
        ("Jóga.mp3".encode("latin-1"), (JOGA_LATIN, JOGA_NFC, JOGA_NFD)),
        (unicodedata.normalize("NFD", "Jóga.mp3").encode(), (JOGA_NFD, JOGA_NFC, JOGA_LATIN)),
        (b"AC\\DC.mp3", (b"/lists/AC\\DC.mp3", b"/lists/AC/DC.mp3")),
        (b"\\Music\\x.mp3", (b"/lists/\\Music\\x.mp3", b"/Music/x.mp3")),
        (b"A%20B.mp3", (b"/lists/A%20B.mp3", b"/lists/A B.mp3")),
        (b"100% x.mp3", (b"/lists/100% x.mp3",)),
        (b"C:\\Music\\x.mp3", ()),
        (b"c:/Music/x.mp3", ()),
        (b"\\\\nas\\music\\x.mp3", ()),
        (b"file:///m/J%C3%B3ga%FF.mp3", (b"/m/J\xc3\xb3ga\xff.mp3",)),
        (b"FILE://localhost/m/x.mp3", (b"/m/x.mp3",)),
        (b"file:/m/x.mp3", (b"/m/x.mp3",)),
        (b"file:///C:/Music/x.mp3", ()),
        (b"file://nas/music/x.mp3", ()),
        (b"https://example.org/x.mp3", ()),
        (b"Re: Stacks.mp3", (b"/lists/Re: Stacks.mp3",)),
        (b"nul\0l.mp3", ()),
    ],
)
def test_a_path_on_posix(raw: bytes, paths: tuple[bytes, ...]) -> None:
    found = locate_path(raw, FOLDER, windows=False).paths

    if "Jóga".encode() in raw or b"\xf3" in raw or b"\xcc" in raw:
        assert found == paths
    else:
        assert found[: len(paths)] == paths
        assert bool(found) == bool(paths)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"C:\\Music\\x.mp3", rb"C:\Music\x.mp3"),
        (b"..\\x.mp3", rb"D:\x.mp3"),
        (b"a/b.mp3", rb"D:\lists\a\b.mp3"),
        (b"\\Music\\x.mp3", rb"D:\Music\x.mp3"),
        (b"\\\\nas\\music\\x.mp3", rb"\\nas\music\x.mp3"),
        (b"file:///C:/Music/x%20y.mp3", rb"C:\Music\x y.mp3"),
        (b"file://nas/music/x.mp3", rb"\\nas\music\x.mp3"),
        ("Jóga.mp3".encode("latin-1"), "D:\\lists\\Jóga.mp3".encode()),
    ],
)
def test_a_path_on_windows(raw: bytes, path: bytes) -> None:
    assert locate_path(raw, rb"D:\lists", windows=True).paths[0] == path


def test_a_windows_path_still_says_its_name() -> None:
    assert locate_path(b"C:\\Music\\Artist - Title.mp3", FOLDER, windows=False).name == "Artist - Title.mp3"
    assert locate_uri("file:///C:/Music/Artist%20-%20Title.mp3", FOLDER, windows=False).name == "Artist - Title.mp3"


@pytest.mark.parametrize(
    ("uri", "paths"),
    [
        ("a%20b.mp3", (b"/lists/a b.mp3", b"/lists/a%20b.mp3")),
        ("a b.mp3", (b"/lists/a b.mp3",)),
        ("../x.mp3", (b"/x.mp3",)),
        ("/abs/x.mp3", (b"/abs/x.mp3",)),
        ("%FF.mp3", (b"/lists/\xff.mp3",)),
        ("\udcff.mp3", (b"/lists/\xff.mp3",)),
        ("\ud800.mp3", (b"/lists/?.mp3",)),
        ("C:\\x.mp3", ()),
    ],
)
def test_a_uri_reference(uri: str, paths: tuple[bytes, ...]) -> None:
    assert locate_uri(uri, FOLDER, windows=False).paths[: len(paths) or 1] == paths


def test_an_address_is_remote() -> None:
    assert locate_uri("https://example.org/x.mp3", FOLDER).remote
    assert locate_uri("spotify:track:1", FOLDER).remote
    assert locate_uri("x.mp3", None).remote


@pytest.mark.parametrize(
    ("base", "folder"),
    [
        ("sub/", b"/lists/sub"),
        ("sub/file.xspf", b"/lists/sub"),
        ("../up/", b"/up"),
        ("file:///music/", b"/music"),
        ("name", b"/lists"),
        ("https://example.org/a/", None),
        ("file:///C:/m/", b"/lists"),
    ],
)
def test_the_base_of_uri_references(base: str, folder: bytes | None) -> None:
    assert base_folder(base, FOLDER, windows=False) == folder


@pytest.mark.parametrize(
    ("name", "title", "artists"),
    [
        ("Roygbiv.mp3", "Roygbiv", ()),
        ("Boards of Canada - Roygbiv.flac", "Roygbiv", ("Boards of Canada",)),
        ("03 Roygbiv.mp3", "Roygbiv", ()),
        ("03. Roygbiv.mp3", "Roygbiv", ()),
        ("1-03 - Boards of Canada - Roygbiv.mp3", "Roygbiv", ("Boards of Canada",)),
        ("03 - Boards of Canada - Roygbiv.mp3", "Roygbiv", ("Boards of Canada",)),
        ("Boards of Canada - Geogaddi - 03 - Roygbiv.mp3", "Roygbiv", ("Boards of Canada",)),
        ("Boards of Canada - Roygbiv - Live.mp3", "Roygbiv - Live", ("Boards of Canada",)),
        ("boards_of_canada_-_roygbiv.mp3", "roygbiv", ("boards of canada",)),
        ("1979.mp3", "1979", ()),
        ("1979 - Smashing.mp3", "Smashing", ("1979",)),
        ("03-roygbiv.mp3", "roygbiv", ()),
        ("1-03 Roygbiv.mp3", "Roygbiv", ()),
        ("99 Luftballons.mp3", "99 Luftballons", ()),
        ("1-800-273-8255.mp3", "1-800-273-8255", ()),
        ("103 - Boards of Canada - Roygbiv.mp3", "Roygbiv", ("Boards of Canada",)),
        ("311 - Down.mp3", "Down", ("311",)),
        ("Mr. Brightside", "Mr. Brightside", ()),
        (".mp3", ".mp3", ()),
        ("_.mp3", "_", ()),
    ],
)
def test_a_name_says_title_and_artist(name: str, title: str, artists: tuple[str, ...]) -> None:
    assert (guess(name).title, guess(name).artists) == (title, artists)


@pytest.mark.parametrize("said", ["NFC", "NFD"])
@pytest.mark.parametrize("on_disk", [("NFC", "NFD", "NFD"), ("NFD", "NFC", "NFC"), ("NFC", "NFC", "NFD")])
def test_folders_and_files_may_have_been_named_in_different_unicode_forms(said: str, on_disk: tuple[str, ...]) -> None:
    parts = ("Björk", "Début", "Jóga.flac")
    there = "/music/" + "/".join(unicodedata.normalize(f, p) for f, p in zip(on_disk, parts, strict=True))  # type: ignore[arg-type]
    line = unicodedata.normalize(said, "/music/" + "/".join(parts))  # type: ignore[arg-type]

    assert there.encode() in locate_path(line.encode(), FOLDER, windows=False).paths


def test_a_path_of_many_parts_gives_few_readings() -> None:
    assert len(locate_path(("ö/" * 500 + "ö.mp3").encode(), FOLDER, windows=False).paths) < 25


def test_a_name_with_a_long_run_of_spaces_is_read_in_one_pass() -> None:
    assert guess("a" + " " * 600_000 + "b").title == "a"
