import os
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.factories import write_flac


@pytest.fixture
def music(cli: Cli) -> Path:
    write_flac(cli.home / "Music" / "Jazz" / "a.flac", title="One")
    return cli.home / "Music"


def test_a_library_is_added_listed_moved_and_removed(cli: Cli, music: Path) -> None:
    assert cli("library", "add", music).out == f"Added library Music: {music}. Read it with: psm scan\n"
    cli("scan")
    assert cli("library", "list").out.splitlines()[1].split() == ["Music", "1", "0", str(music)]
    music.rename(cli.home / "mnt")
    assert cli("library", "list").out.splitlines()[1].endswith("(away)")
    assert cli("library", "move", "Music", "mnt").out == f"Library Music is at {cli.home}/mnt now.\n"
    assert cli.json("files")[0]["path"] == str(cli.home / "mnt" / "Jazz" / "a.flac")
    assert cli.json("scan", "--quick")["unchanged"] == 1
    assert cli("library", "remove", "Music").out == "Forgot library Music (1 files). Nothing on disk was changed.\n"
    assert (cli.home / "mnt" / "Jazz" / "a.flac").is_file()
    assert cli("library", "list").out == "No library yet. Add one with: psm library add FOLDER\n"


def test_each_answers_with_one_document(cli: Cli, music: Path) -> None:
    assert cli.json("library", "add", music, "--name", "NAS") == {
        "name": "NAS",
        "path": str(music),
        "watch": True,
        "new": True,
        "absorbed": [],
    }
    assert cli.json("library", "add", music / "Jazz")["new"] is False
    assert cli.json("library", "list") == [
        {"name": "NAS", "path": str(music), "watch": True, "present": 0, "missing": 0, "available": True}
    ]
    other = cli.home / "other"
    other.mkdir()
    assert cli.json("library", "move", "NAS", other) == {"name": "NAS", "path": str(other), "watch": True}
    assert cli.json("library", "remove", "NAS") == {"name": "NAS", "path": str(other), "watch": True, "files": 0}
    assert cli.json("library", "list") == []


def test_a_library_is_left_to_scans_and_watched_again(cli: Cli, music: Path) -> None:
    assert cli.json("library", "add", music, "--no-watch")["watch"] is False
    assert cli("library", "list").out.splitlines()[1].endswith(f"{music}  (not watched)")
    assert cli.json("library", "list")[0]["watch"] is False
    assert cli("library", "watch", "Music").out == "Library Music is watched.\n"
    assert cli("library", "list").out.splitlines()[1].endswith(str(music))
    assert cli("library", "watch", "Music", "--off").out == "Library Music is left to scans.\n"
    music.rename(cli.home / "gone")
    assert cli("library", "list").out.splitlines()[1].endswith("(away, not watched)")
    assert cli.json("library", "watch", "Music", "--on") == {"name": "Music", "path": str(music), "watch": True}
    assert "psm knows: Music" in cli("library", "watch", "NAS", code=2).err


def test_a_folder_that_is_in_a_library_already_is_said(cli: Cli, music: Path) -> None:
    cli("library", "add", music)
    assert cli("library", "add", "Music/Jazz").out == f"Music/Jazz is in library Music already ({music}).\n"


def test_a_parent_names_what_it_takes_in(cli: Cli, music: Path) -> None:
    cli("library", "add", music / "Jazz")
    assert cli("library", "add", music).out.splitlines()[1] == "Library Jazz is a part of it now."


def test_a_root_that_is_no_utf8_is_shown_and_kept(cli: Cli) -> None:
    root = cli.home / os.fsdecode(b"caf\xe9")
    root.mkdir()
    assert "caf\\xe9" in cli("library", "add", root).out
    [library] = cli.json("library", "list")
    assert os.fsencode(library["path"]) == os.fsencode(root)
    for file in cli.data_folder.glob("psm.db*"):
        file.unlink()
    assert cli.json("library", "list") == [library]  # from libraries.yaml


def test_a_configured_library_that_is_removed_comes_back_and_that_is_said(cli: Cli, music: Path) -> None:
    cli.config_folder.mkdir(parents=True)
    (cli.config_folder / "config.yaml").write_text(f"library: {{paths: '{music}'}}\n")
    assert "is a library now" in cli("library", "list").err
    assert "comes back" in cli("library", "remove", "Music").err
    assert cli.json("library", "list")[0]["name"] == "Music"


def test_a_broken_libraries_yaml_is_named(cli: Cli) -> None:
    cli.config_folder.mkdir(parents=True)
    (cli.config_folder / "libraries.yaml").write_text("libraries: [")
    for command in (("library", "list"), ("status",), ("scan",), ("build",)):
        assert "libraries.yaml is not YAML" in cli(*command, code=2).err
