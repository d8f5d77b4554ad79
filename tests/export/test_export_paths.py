import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from psm.config import ExportProfile, PathForm, Slashes, UnicodeForm
from psm.export.paths import Place, Target, Unwritable, check, from_uri, resolve, target


def place(folder: bytes = b"/music/playlists", *, windows: bool = False, **settings: Any) -> Place:
    profile = ExportProfile("p", Path(os.fsdecode(folder)), **settings)
    return Place.of(profile, folder=folder, windows=windows)


NAS: dict[str, Any] = {"paths": PathForm.MAPPED, "map_from": "/mnt/nas/music"}


@pytest.mark.parametrize(
    ("path", "settings", "text"),
    [
        (b"/music/A/b.flac", {}, "/music/A/b.flac"),
        (b"/music/A/b.flac", {"slashes": Slashes.BACK}, "\\music\\A\\b.flac"),
        (b"/music/A/b.flac", {"paths": PathForm.RELATIVE}, "../A/b.flac"),
        (b"/music/playlists/b.flac", {"paths": PathForm.RELATIVE}, "b.flac"),
        (b"/music/A/b.flac", {"paths": PathForm.RELATIVE, "slashes": Slashes.BACK}, "..\\A\\b.flac"),
        (b"/music/A/b.flac", {"paths": PathForm.BELOW, "root": Path("/music")}, "A/b.flac"),
        (b"/music/A/b.flac", {"paths": PathForm.BELOW, "root": Path("/")}, "music/A/b.flac"),
        (b"/mnt/nas/music/A/b.flac", {**NAS, "map_to": r"\\nas\music"}, r"\\nas\music\A\b.flac"),
        (b"/mnt/nas/music/A/b.flac", {**NAS, "map_to": "\\\\nas\\music\\"}, r"\\nas\music\A\b.flac"),
        (b"/mnt/nas/music/A/b.flac", {**NAS, "map_to": "//nas/music"}, "//nas/music/A/b.flac"),
        (b"/mnt/nas/music/A/b.flac", {**NAS, "map_to": "M:"}, "M:/A/b.flac"),
        (b"/mnt/nas/music/A/b.flac", {**NAS, "map_to": "M:/", "slashes": Slashes.BACK}, "M:\\A\\b.flac"),
        (b"/mnt/nas/music/A/b.flac", {**NAS, "map_to": "/"}, "/A/b.flac"),
        (b"/mnt/nas/music/A/b.flac", {**NAS, "map_to": ""}, "A/b.flac"),
        (b"/mnt/nas/music/A/b.flac", {**NAS, "map_to": "../Music"}, "../Music/A/b.flac"),
        (b"/mnt/nas/music/A/b.flac", {**NAS, "map_to": "smb://nas/music/"}, "smb://nas/music/A/b.flac"),
        (b"/music/\xe9.flac", {"unicode": UnicodeForm.NFC}, "/music/\udce9.flac"),
        ("/music/é.flac".encode(), {"unicode": UnicodeForm.NFD}, "/music/e\u0301.flac"),
        ("/music/e\u0301.flac".encode(), {"unicode": UnicodeForm.NFC}, "/music/é.flac"),
        ("/music/e\u0301.flac".encode(), {}, "/music/e\u0301.flac"),
    ],
)
def test_a_path_as_the_player_knows_it(path: bytes, settings: dict[str, Any], text: str) -> None:
    assert target(path, place(**settings)).text == text


@pytest.mark.parametrize(
    ("path", "settings", "reason"),
    [
        (b"/other/b.flac", {"paths": PathForm.BELOW, "root": Path("/music")}, "not below root, /music"),
        (b"/musical/b.flac", {"paths": PathForm.BELOW, "root": Path("/music")}, "not below root"),
        (b"/mnt/nas/musical/b.flac", {**NAS, "map_to": "M:"}, "not below map_from, /mnt/nas/music"),
        (b"/music/a\\b.flac", {"slashes": Slashes.BACK}, "backslash"),
    ],
)
def test_a_file_that_the_player_cannot_be_told(path: bytes, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unwritable, match=reason):
        target(path, place(**settings))


def test_a_backslash_in_a_name_is_kept_where_it_means_nothing() -> None:
    assert target(b"/music/a\\b.flac", place()).text == "/music/a\\b.flac"


@pytest.mark.parametrize(
    ("path", "settings", "text"),
    [
        (rb"C:\Music\A/b.flac", {}, "C:/Music/A/b.flac"),
        (rb"C:\Music\A/b.flac", {"slashes": Slashes.BACK}, r"C:\Music\A\b.flac"),
        (rb"C:\Music\A/b.flac", {"paths": PathForm.RELATIVE}, "../A/b.flac"),
        (
            rb"C:\Music\A/b.flac",
            {"paths": PathForm.MAPPED, "map_from": r"c:\music", "map_to": "/music"},
            "/music/A/b.flac",
        ),
        (rb"\\nas\share\A/b.flac", {"slashes": Slashes.BACK}, r"\\nas\share\A\b.flac"),
    ],
)
def test_psm_itself_on_windows(path: bytes, settings: dict[str, Any], text: str) -> None:
    assert target(path, place(rb"C:\Music\playlists", windows=True, **settings)).text == text


def test_there_is_no_relative_path_to_another_drive() -> None:
    with pytest.raises(Unwritable, match="another drive"):
        target(rb"D:\b.flac", place(rb"C:\playlists", windows=True, paths=PathForm.RELATIVE))


@pytest.mark.parametrize(
    ("path", "settings", "uri"),
    [
        (b"/music/A b/#1?.flac", {}, "file:///music/A%20b/%231%3F.flac"),
        (b"/music/\xe9.flac", {}, "file:///music/%E9.flac"),
        (b"/music/a\nb.flac", {}, "file:///music/a%0Ab.flac"),
        (b"/C:/b.flac", {}, "file:///C%3A/b.flac"),
        (b"/music/A:b/c.flac", {"paths": PathForm.RELATIVE}, "../A%3Ab/c.flac"),
        (b"/mnt/nas/music/A/b.flac", {**NAS, "map_to": r"\\nas\music"}, "file://nas/music/A/b.flac"),
        (b"/mnt/nas/music/A/b.flac", {**NAS, "map_to": r"M:\x"}, "file:///M:/x/A/b.flac"),
        (b"/mnt/nas/music/A b.flac", {**NAS, "map_to": "smb://nas/music"}, "smb://nas/music/A%20b.flac"),
    ],
)
def test_a_path_as_a_uri_and_back(path: bytes, settings: dict[str, Any], uri: str) -> None:
    found = target(path, place(**settings))
    assert found.uri == uri
    assert from_uri(uri) == found.forward


def test_symlinked_roots_count_as_what_they_point_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    path = os.fsencode((tmp_path / "real").resolve()) + b"/a.flac"
    assert target(path, place(paths=PathForm.BELOW, root=tmp_path / "link")).text == "a.flac"
    mapped = place(paths=PathForm.MAPPED, map_from=str(tmp_path / "link"), map_to="M:")
    assert target(path, mapped).text == "M:/a.flac"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"paths": PathForm.BELOW}, "needs root"),
        ({"paths": PathForm.MAPPED, "map_from": "/x"}, "needs map_from"),
        ({"encoding": "utf-9"}, 'no encoding called "utf-9"'),
        ({}, None),
    ],
)
def test_a_profile_that_cannot_work_is_named(settings: dict[str, Any], reason: str | None) -> None:
    found = check(ExportProfile("p", Path("/p"), **settings))
    assert (found is None) if reason is None else (found is not None and reason in found)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"slashes": Slashes.BACK},
        {"paths": PathForm.RELATIVE},
        {"paths": PathForm.RELATIVE, "slashes": Slashes.BACK},
        {"paths": PathForm.BELOW, "root": "MUSIC"},
        {"paths": PathForm.MAPPED, "map_from": "MUSIC", "map_to": r"\\nas\music"},
        {"paths": PathForm.MAPPED, "map_from": "MUSIC", "map_to": ""},
    ],
)
def test_what_the_player_is_told_leads_back_to_the_file(tmp_path: Path, settings: dict[str, Any]) -> None:
    music = tmp_path / "music"
    name = b"A/#\xe9 one.flac"
    path = os.fsencode(music) + b"/" + name
    os.makedirs(os.path.dirname(path))
    Path(os.fsdecode(path)).touch()
    real: dict[str, Any] = {
        k: (music if k == "root" else str(music)) if v == "MUSIC" else v for k, v in settings.items()
    }
    (tmp_path / "lists").mkdir()
    where = place(os.fsencode(tmp_path / "lists"), **real)
    found = target(path, where)
    back = resolve(found.text, where)
    assert back is not None
    assert os.path.samefile(back, path)
    os.unlink(path)
    assert resolve(found.text, where) is None


def test_a_line_of_another_prefix_leads_nowhere() -> None:
    assert resolve(r"\\other\music\a.flac", place(**NAS, map_to=r"\\nas\music")) is None


def test_another_unicode_form_is_found_as_on_the_players_system(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Café/é.flac")
    (tmp_path / decomposed).parent.mkdir()
    (tmp_path / decomposed).touch()
    where = place(unicode=UnicodeForm.NFC)
    found = target(os.fsencode(tmp_path / decomposed), where)
    assert "é.flac" in found.text
    assert resolve(found.text, where) == os.fsencode(tmp_path / decomposed)
    assert resolve(found.text, place()) is None
    assert resolve(found.text.replace("Caf", "Kaf"), where) is None
    assert resolve("/nowhere/at/all.flac", where) is None


def test_a_relative_target_says_so() -> None:
    assert target(b"/music/a.flac", place(paths=PathForm.RELATIVE)) == Target("../a.flac", "../a.flac", relative=True)
    assert not target(b"/music/a.flac", place()).relative
