import os
import shutil
from pathlib import Path

import pytest

from psm.cli.scan_commands import scan_exit_code, scan_sentence, show_scan
from psm.ingest.library import MISSING_LIMIT, ScanError, ScanResult
from tests.cli.conftest import Cli
from tests.factories import write_flac

COUNTS = ("added", "updated", "moved", "restored", "missing", "unchanged")


@pytest.fixture
def music(cli: Cli) -> Path:
    for name in ("One", "Two"):
        write_flac(cli.home / "Music" / "Jazz" / f"{name}.flac", title=name)
    write_flac(cli.home / "Music" / "Rock" / "Three.flac", title="Three")
    return cli.home / "Music"


def counts(document: dict[str, object]) -> dict[str, object]:
    return {name: document[name] for name in COUNTS if document[name]}


# What becomes of a PATH


def test_a_folder_that_belongs_to_no_library_becomes_one_and_is_named(cli: Cli, music: Path) -> None:
    said = cli("scan", music)
    assert said.err == f"{music} is a library now, called Music.\n"
    assert said.out.startswith("Scan: 3 files in ")
    assert said.out.endswith(": 3 added.\n")
    assert [x["name"] for x in cli.json("library", "list")] == ["Music"]


def test_a_relative_path_counts_from_the_current_folder(cli: Cli, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(music)
    cli("scan", ".")
    assert cli.json("library", "list")[0]["path"] == str(music)
    assert counts(cli.json("scan", "Jazz")) == {"unchanged": 2}
    assert counts(cli.json("scan", "Rock/Three.flac")) == {"unchanged": 1}


def test_a_path_below_a_library_scans_that_part_of_it(cli: Cli, music: Path) -> None:
    cli("library", "add", music)
    assert counts(cli.json("scan", music / "Jazz")) == {"added": 2}
    assert len(cli.json("files")) == 2
    assert len(cli.json("library", "list")) == 1


def test_a_file_is_scanned_alone(cli: Cli, music: Path) -> None:
    cli("library", "add", music)
    assert counts(cli.json("scan", music / "Jazz" / "One.flac")) == {"added": 1}


def test_a_parent_takes_a_library_in_and_says_so(cli: Cli, music: Path) -> None:
    cli("scan", music / "Jazz")
    said = cli("scan", music)
    assert said.err.splitlines()[1] == "Library Jazz is a part of it now."
    assert ": 1 added." in said.out
    assert [x["name"] for x in cli.json("library", "list")] == ["Music"]


@pytest.mark.parametrize("mode", [(), ("--quick",), ("--since", "2 hours ago")])
def test_a_path_that_is_not_there_is_wrong_use(cli: Cli, music: Path, mode: tuple[str, ...]) -> None:
    assert "is not there. Name a folder of music" in cli("scan", cli.home / "absent", *mode, code=2).err
    cli("scan", music)
    said = cli("scan", music / "Jaz", *mode, code=2)
    assert "Jaz is not there, and psm knows no file by that name" in said.err
    assert said.out == ""


def test_nothing_is_added_when_one_of_the_paths_is_wrong(cli: Cli, music: Path) -> None:
    cli("scan", music, cli.home / "absent", code=2)
    assert cli.json("library", "list") == []


def test_a_file_in_no_library_is_wrong_use(cli: Cli, music: Path) -> None:
    assert "is a file in no library" in cli("scan", music / "Jazz" / "One.flac", code=2).err


@pytest.mark.parametrize("path", ["Jazz/One.flac", "Jazz"])
def test_a_path_that_is_gone_is_found_missing(cli: Cli, music: Path, path: str) -> None:
    cli("scan", music)
    gone = music / path
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    assert cli.json("scan", gone)["missing"] == (1 if path.endswith(".flac") else 2)
    assert cli.json("scan", gone)["missing"] == 0  # known, and known to be missing


def test_without_a_library_it_says_how_to_add_one(cli: Cli) -> None:
    assert "psm library add FOLDER" in cli("scan", code=2).err


def test_a_library_of_the_configuration_is_taken_in_and_said(cli: Cli, music: Path) -> None:
    cli.config_folder.mkdir(parents=True)
    (cli.config_folder / "config.yaml").write_text(f"library: {{paths: {{main: '{music}', gone: /nowhere}}}}\n")
    said = cli("scan")
    assert "is a library now, called main." in said.err
    assert "The configured library folder /nowhere is not there: it is left out." in said.err
    assert "is a library now" not in cli("scan").err


# Modes


def test_every_mode_finds_what_is_new(cli: Cli, music: Path) -> None:
    cli("scan", music)
    for number, mode in enumerate([(), ("--quick",), ("--since", "2 hours ago"), ("--since", "yesterday")]):
        write_flac(music / f"new {number}.flac", title="New")
        assert cli.json("scan", *mode)["added"] == 1


@pytest.mark.parametrize("when", ["some day", "in 2 hours", "tomorrow", "2999-01-01", "", "25:61"])
def test_a_moment_that_cannot_be_read_shows_examples_and_scans_nothing(cli: Cli, music: Path, when: str) -> None:
    cli("library", "add", music)
    assert "2 hours ago" in cli("scan", "--since", when, code=2).err
    assert cli.json("files") == []


def test_quick_and_since_exclude_each_other(cli: Cli, music: Path) -> None:
    assert "exclude each other" in cli("scan", music, "--quick", "--since", "yesterday", code=2).err
    assert cli.json("library", "list") == []


def test_quiet_prints_the_result_all_the_same(cli: Cli, music: Path) -> None:
    assert cli("scan", music, "--quiet").out.startswith("Scan: 3 files")


# Safety


def test_rule_01_what_is_refused_for_safety_is_exit_code_3_until_accepted(cli: Cli) -> None:
    music = cli.home / "Music"
    for number in range(MISSING_LIMIT + 1):
        write_flac(music / "many" / f"{number}.flac")
    write_flac(music / "left.flac")
    cli("scan", music)
    shutil.rmtree(music / "many")
    document = cli.json("scan", "--quick", code=3)
    assert (document["refused"], document["missing"], document["complete"]) == (MISSING_LIMIT + 1, 0, False)
    said = cli("scan", code=3)
    assert "--accept-missing" in said.err
    assert cli.json("scan", "--quick", "--accept-missing")["missing"] == MISSING_LIMIT + 1


def test_a_library_that_is_away_is_exit_code_1_and_named(cli: Cli, music: Path) -> None:
    cli("scan", music)
    music.rename(cli.home / "away")
    document = cli.json("scan", code=1)
    assert (document["offline"], document["complete"], document["missing"]) == (["Music"], False, 0)


def test_a_broken_file_is_a_line_and_no_failure(cli: Cli, music: Path) -> None:
    (music / os.fsdecode(b"caf\xe9\n.mp3")).write_bytes(b"no music at all")
    said = cli("scan", music)
    assert "/caf\\xe9\\n.mp3: " in said.err
    assert "1 with errors" in said.out
    [error] = cli.json("scan")["errors"]
    assert os.fsencode(error["path"]) == os.fsencode(music) + b"/caf\xe9\n.mp3"
    assert error["reason"]


# --explain


@pytest.mark.parametrize(
    ("path", "said"),
    [("Jazz/One.flac", "is scanned"), ("Jazz", "is scanned"), ("Jazz/.hidden.flac", "hidden"), ("a.part", "part")],
)
def test_it_explains_why_a_path_is_or_is_not_scanned(cli: Cli, music: Path, path: str, said: str) -> None:
    cli("library", "add", music)
    (music / path).touch()
    first, *rest = cli("scan", "--explain", music / path).out.splitlines()
    assert first == "It belongs to library Music."
    assert any(said in line for line in rest)
    document = cli.json("scan", "--explain", music / path)
    assert (document["path"], document["explanation"]) == (str(music / path), [first, *rest])
    assert cli.json("files") == []  # it scanned nothing


def test_it_explains_that_a_path_belongs_to_no_library(cli: Cli, music: Path) -> None:
    assert "belongs to no library. Add its folder with: psm library add" in cli("scan", "--explain", music).out


# What is said


def result(**fields: object) -> ScanResult:
    return ScanResult(**{"duration_s": 1.25, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scanned", "sentence"),
    [
        (result(unchanged=3), "Scan: 3 files in 1.2 s: nothing changed."),
        (
            result(added=1200, updated=1, moved=2, restored=3, missing=4, unchanged=5),
            "Scan: 1,211 files in 1.2 s: 1,200 added, 1 updated, 2 moved, 3 restored, 4 missing.",
        ),
        (
            result(errors=(ScanError(b"/a", "bad"),), complete=False),
            "Scan: 0 files in 1.2 s: nothing changed; 1 with errors. Not everything could be looked at.",
        ),
        (
            result(stopped=True, complete=False),
            "Scan: 0 files in 1.2 s: nothing changed. Stopped early: what was found is kept, "
            "nothing was marked missing.",
        ),
    ],
)
def test_the_counts_are_a_sentence(scanned: ScanResult, sentence: str) -> None:
    assert scan_sentence(scanned) == sentence


def test_many_errors_are_named_in_part(capsys: pytest.CaptureFixture[str]) -> None:
    show_scan(result(errors=tuple(ScanError(b"/%d" % n, "bad") for n in range(25))), as_json=False)
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines), lines[-1]) == (21, "  … and 5 more (--json lists all)")


@pytest.mark.parametrize(
    ("scanned", "code"),
    [
        (result(), 0),
        (result(complete=False, errors=(ScanError(b"/a", "bad"),)), 0),
        (result(offline=("NAS",)), 1),
        (result(refused=60, offline=("NAS",)), 3),
        (result(stopped=True, refused=60), 130),
    ],
)
def test_the_exit_code_tells_what_happened(scanned: ScanResult, code: int) -> None:
    assert scan_exit_code(scanned) == code
