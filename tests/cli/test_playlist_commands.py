"""``psm playlist``: what it prints and how it ends."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from psm.cli import run
from psm.cli.playlist_commands import print_result
from psm.db import Database, playlists
from psm.errors import ExitCode
from psm.models import GENERATED_MARK
from psm.services.playlists import ImportResult, follow, pull

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, where nothing of the person who runs the tests counts."""
    for name in [n for n in os.environ if n.startswith(("PSM_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "psm.db"


@pytest.fixture
def call(database: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def command(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["--database", str(database), "playlist", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return command


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    file = tmp_path / "lists" / "Road trip.csv"
    file.parent.mkdir()
    file.write_text("Title,Artist,ISRC\nJóga,Björk,GBAAA9700001\n,nobody,\nRoads,Portishead,\n", encoding="utf-8")
    return file


def test_import_says_what_is_new_and_which_rows_were_left_out(call: Call, mix: Path) -> None:
    code, out, err = call("import", mix)

    assert (code, out) == (ExitCode.DONE, 'New: "Road trip", 2 tracks\n')
    assert err == f"Error: {mix}, line 3: it has no title.\n"


def test_import_again_says_what_changed(call: Call, mix: Path) -> None:
    call("import", mix)
    assert call("import", mix)[1] == "Unchanged: 1 playlist\n"

    mix.write_text("Title,Artist\nRoads,Portishead\nTeardrop,Massive Attack\n")

    assert call("import", mix)[1] == 'Updated: "Road trip", 2 tracks (1 added, 1 removed, 0 moved)\n'


def test_import_as_json_is_one_document(call: Call, mix: Path) -> None:
    code, out, _ = call("import", mix, mix.parent / "nowhere.m3u", "--json")

    document = json.loads(out)
    assert code == ExitCode.DONE
    assert document["added"] == [
        {"id": 1, "name": "Road trip", "source": str(mix), "tracks": 2, "added": 2, "removed": 0, "moved": 0}
    ]
    assert document["row_errors"] == [
        {"playlist": "Road trip", "source": str(mix), "line": 3, "reason": "it has no title"}
    ]
    assert document["errors"] == [{"path": str(mix.parent / "nowhere.m3u"), "reason": "there is no such file"}]
    assert document["complete"]
    assert {"updated", "unchanged", "missing", "gone", "notes", "written_by_psm"} <= document.keys()


@pytest.mark.parametrize("content", ["", "date,amount\n1,2\n", f"#EXTM3U\n{GENERATED_MARK}x\n"])
def test_import_fails_when_nothing_could_be_used(call: Call, tmp_path: Path, content: str) -> None:
    file = tmp_path / ("a.m3u" if "#EXTM3U" in content else "a.csv")
    file.write_text(content)

    code, out, err = call("import", file)

    assert (code, out) == (ExitCode.FAILED, "")
    assert f"Error: {file}: " in err


def test_import_names_what_a_folder_holds_besides_playlists(call: Call, mix: Path) -> None:
    (mix.parent / "notes.txt").write_text("milk\n")
    (mix.parent / "own.m3u8").write_text(f"#EXTM3U\n{GENERATED_MARK}x\n")

    code, _, err = call("import", mix.parent)

    assert code == ExitCode.DONE
    assert "1 file left out: psm wrote them itself" in err
    assert "notes.txt is no playlist: its first row names no column for the title" in err


def test_import_without_a_path_is_wrong_use(call: Call) -> None:
    assert call("import")[0] == ExitCode.USAGE


def test_list_shows_every_playlist(call: Call, mix: Path) -> None:
    assert "psm playlist import" in call("list")[2]
    assert json.loads(call("list", "--json")[1]) == []
    call("import", mix)

    assert call("list")[1].splitlines()[1].split() == ["1", "Road", "trip", "2", "present", *str(mix).split()]
    assert json.loads(call("list", "--json")[1]) == [
        {
            "id": 1,
            "name": "Road trip",
            "provider": "csv",
            "source": str(mix),
            "folder": None,
            "status": "present",
            "tracks": 2,
        }
    ]


def test_show_lists_positions_tracks_and_files(call: Call, mix: Path) -> None:
    call("import", mix)

    code, out, _ = call("show", "road")
    assert code == ExitCode.DONE
    assert out.splitlines()[0] == "Road trip: 2 tracks, 0 with a file"
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["1", "3"]

    document = json.loads(call("show", "1", "--json")[1])
    assert document["name"] == "Road trip"
    assert document["tracks"][0] == {
        "position": 1,
        "track_id": 1,
        "title": "Jóga",
        "artists": ["Björk"],
        "album": None,
        "duration_s": None,
        "isrc": "GBAAA9700001",
        "mb_recording_id": None,
        "path": None,
    }
    assert [row["position"] for row in document["tracks"]] == [1, 3]


@pytest.mark.parametrize("command", ["show", "remove"])
def test_an_unknown_playlist_is_wrong_use(call: Call, command: str) -> None:
    code, out, err = call(command, "nothing")

    assert (code, out) == (ExitCode.USAGE, "")
    assert 'No playlist answers to "nothing"' in err


def test_remove_forgets_the_playlist_and_leaves_its_file(call: Call, mix: Path, database: Path) -> None:
    call("import", mix)

    assert call("remove", "Road trip")[:2] == (ExitCode.DONE, 'Removed "Road trip".\n')
    assert mix.exists()
    with Database(database) as db:
        assert playlists.all_playlists(db.connection) == ()


def test_remove_says_when_the_next_build_takes_the_file_in_again(call: Call, mix: Path, database: Path) -> None:
    with Database(database) as db:
        pull(db, [mix.parent])

    code, out, err = call("remove", "1", "--json")

    assert code == ExitCode.DONE
    assert json.loads(out)["removed"]["folder"] == str(mix.parent)
    assert "psm build takes it in again" in err


def test_what_a_build_found_gone_is_told(mix: Path, database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = mix.with_name("other.csv")
    other.write_text("Title\nA\n")
    with Database(database) as db:
        pull(db, [mix.parent])
        mix.unlink()
        print_result(pull(db, [mix.parent]))
        other.unlink()
        print_result(pull(db, [mix.parent]))

    out, err = capsys.readouterr()
    assert f'Missing: "Road trip": {mix} is gone' in out
    assert f'"other" stays as it is, though {other} is not there now' in err


def test_an_import_that_was_stopped_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(ImportResult(complete=False))

    assert "Stopped early" in capsys.readouterr().err


def test_every_command_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("import", "list", "show", "remove"):
        assert run(["playlist", command, "--help"]) == ExitCode.DONE
        assert f"psm playlist {command}" in capsys.readouterr().out


def follow_folder(database: Path, folder: Path) -> None:
    with Database(database) as db:
        follow(db, [folder])
        pull(db, [])


def test_forget_ends_the_following_of_a_folder_and_names_the_playlists_that_stay(
    call: Call, database: Path, mix: Path
) -> None:
    follow_folder(database, mix.parent)

    code, out, err = call("forget", mix.parent)

    assert (code, out) == (ExitCode.DONE, f"Forgotten: {mix.parent}\n")
    assert err == (
        f'"Road trip" stays, though its folder is not followed any more: {mix}. psm playlist remove 1 removes it.\n'
    )
    assert call("forget", mix.parent)[0] == ExitCode.USAGE


def test_forget_as_json_is_one_document(call: Call, database: Path, mix: Path) -> None:
    follow_folder(database, mix.parent)

    document = json.loads(call("forget", mix.parent, "--json")[1])

    assert document["forgotten"] == str(mix.parent)
    assert [p["name"] for p in document["released"]] == ["Road trip"]


def test_forget_says_when_the_configuration_goes_on_naming_the_folder(
    call: Call, database: Path, mix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow_folder(database, mix.parent)
    monkeypatch.setenv("PSM__PLAYLISTS__FOLDERS", str(mix.parent))

    assert "The configuration names it" in call("forget", mix.parent)[2]


def test_import_into_a_new_database_forgets_no_source(call: Call, database: Path, home: Path, mix: Path) -> None:
    other = mix.with_name("other.csv")
    other.write_text("Title\nRoads\n")
    call("import", mix)
    for file in database.parent.glob("psm.db*"):
        file.unlink()

    call("import", other)

    [kept] = home.rglob("playlists.yaml")
    assert all(str(path) in kept.read_text() for path in (mix, other))


def test_a_remembered_file_that_is_away_is_named_with_the_way_to_forget_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(ImportResult(absent=(b"/l/my mix.m3u",)))

    assert "psm playlist forget '/l/my mix.m3u'" in capsys.readouterr().err
