import shutil
from pathlib import Path
from typing import Any

import pytest

from psm.cli.build_commands import build_exit_code
from psm.export.result import ExportProblem, ExportResult
from psm.ingest.library import MISSING_LIMIT, ScanResult
from psm.report import Outcome, ReportFile, ReportResult
from psm.services.pipeline import BuildResult
from psm.services.playlists import ImportResult, SourceProblem
from tests.cli.conftest import Cli
from tests.factories import write_flac

STAGES = ("import", "pull", "match", "export", "report")


@pytest.fixture
def music(cli: Cli) -> Path:
    for title in ("One", "Two"):
        write_flac(cli.home / "Music" / f"{title}.flac", title=title, artist="A")
    (cli.home / "playlists").mkdir()
    (cli.home / "playlists" / "Mix.csv").write_text("Title,Artist\nOne,A\nTwo,A\nThree,A\n")
    return cli.home / "Music"


def stages(document: dict[str, Any]) -> list[str]:
    return [stage for stage in STAGES if document[stage] is not None]


def test_one_command_on_an_empty_home_gives_playlists_and_a_report(cli: Cli, music: Path) -> None:
    said = cli("build", "--library", "Music", "--playlists", "playlists")
    written = cli.data_folder / "playlists" / "Mix.m3u8"
    assert [line for line in written.read_text().splitlines() if not line.startswith("#")] == [
        str(music / "One.flac"),
        str(music / "Two.flac"),
    ]
    assert (cli.data_folder / "reports" / "psm-report.html").is_file()
    for told in ("2 added", 'New: "Mix", 3 tracks', "2 of 3 tracks have a file", str(written), "psm-report.html"):
        assert told in said.out
    assert said.err == f"{music} is a library now, called Music.\n"


def test_the_second_says_that_there_is_nothing_to_do(cli: Cli, music: Path) -> None:
    cli("build", "--library", "Music", "--playlists", "playlists")
    cli("scan", "--quick")  # so fresh files are read once more; see rule 5
    said = cli("build")
    assert said.out.splitlines()[-1] == "Nothing to do: everything is as the last build left it."
    assert "psm-report" not in said.out


def test_the_document_tells_what_each_stage_did(cli: Cli, music: Path) -> None:
    document = cli.json("build", "--library", "Music", "--playlists", "playlists", "--playlists", "playlists/Mix.csv")
    assert stages(document) == list(STAGES)
    assert (document["nothing_to_do"], document["complete"], document["scan"]["added"]) == (False, True, 2)
    again = cli.json("build")
    assert (stages(again), again["nothing_to_do"]) == (["pull"], True)


def test_the_document_tells_of_manual_decisions_though_nothing_was_matched(cli: Cli, music: Path) -> None:
    cli("build", "--library", "Music", "--playlists", "playlists")
    (cli.config_folder / "psm-overrides.yaml").write_text("decisions:\n- {title: No such, decision: none}\n")
    cli("build")
    document = cli.json("build")
    assert document["match"] is None
    assert document["overrides"]["decisions"] == 1
    assert [p["line"] for p in document["overrides"]["problems"]] == [2]


def test_stages_can_be_left_out(cli: Cli, music: Path) -> None:
    flags = ("--no-pull", "--no-export", "--no-report")
    assert stages(cli.json("build", "--library", "Music", *flags)) == ["match"]
    assert stages(cli.json("build", "--full", "--no-report")) == ["pull", "match", "export"]


def test_rule_01_a_refusal_is_exit_code_3_and_the_other_stages_run(cli: Cli, music: Path) -> None:
    for number in range(MISSING_LIMIT + 1):
        write_flac(music / "many" / f"{number}.flac")
    cli("build", "--library", "Music")
    shutil.rmtree(music / "many")
    document = cli.json("build", "--playlists", "playlists", code=3)
    assert document["scan"]["refused"] == MISSING_LIMIT + 1
    assert stages(document) == ["pull", "match", "export", "report"]
    assert "Nothing to do" not in cli("build", code=3).out
    assert cli.json("build", "--accept-missing")["scan"]["missing"] == MISSING_LIMIT + 1


def test_a_library_that_is_away_is_exit_code_1_and_the_other_stages_run(cli: Cli, music: Path) -> None:
    cli("build", "--library", "Music")
    music.rename(cli.home / "away")
    assert stages(cli.json("build", "--playlists", "playlists", code=1)) == ["pull", "match", "export", "report"]


def test_a_playlist_that_cannot_be_used_is_exit_code_1(cli: Cli, music: Path) -> None:
    (cli.home / "broken.xspf").write_text("<playlist")
    said = cli("build", "--library", "Music", "--playlists", "broken.xspf", code=1)
    assert "broken.xspf" in said.err
    assert (cli.data_folder / "reports" / "psm-report.html").is_file()


@pytest.mark.parametrize("option", ["--library", "--playlists"])
def test_a_path_that_is_not_there_is_exit_code_2_and_changes_nothing(cli: Cli, music: Path, option: str) -> None:
    assert "absent is not there" in cli("build", "--library", "Music", option, "absent", code=2).err
    assert cli.json("status") == {"libraries": [], "playlists": []}


def test_decisions_that_cannot_be_understood_end_the_build_with_a_sentence(cli: Cli, music: Path) -> None:
    cli.config_folder.mkdir(parents=True)
    (cli.config_folder / "psm-overrides.yaml").write_text("{")
    assert "psm-overrides.yaml" in cli("build", "--library", "Music", code=1).err


def test_what_a_person_decided_is_told(cli: Cli, music: Path) -> None:
    cli("build", "--library", "Music", "--playlists", "playlists")
    cli("remove-match", "A - One")
    for file in cli.data_folder.glob("psm.db*"):
        file.unlink()
    said = cli("build", "--playlists", "playlists")
    assert "psm-overrides.yaml was read" in said.err
    assert "1 of 3 tracks have a file" in said.out


GOOD = ScanResult()
BAD_FILE = ReportFile(b"/r", Outcome.FAILED, error="full")


@pytest.mark.parametrize(
    ("built", "code"),
    [
        (BuildResult(GOOD), 0),
        (BuildResult(GOOD, export=ExportResult(), report=ReportResult(), pull=ImportResult()), 0),
        (BuildResult(GOOD, imported=ImportResult()), 1),
        (BuildResult(GOOD, pull=ImportResult(problems=(SourceProblem(b"/p", "unreadable"),))), 1),
        (BuildResult(GOOD, export=ExportResult(problems=(ExportProblem(("a",), b"/f", "full"),))), 1),
        (BuildResult(GOOD, report=ReportResult(files=(BAD_FILE,))), 1),
        (BuildResult(ScanResult(offline=("NAS",))), 1),
        (BuildResult(ScanResult(refused=60), imported=ImportResult()), 3),
        (BuildResult(ScanResult(refused=60), stopped=True), 130),
    ],
)
def test_the_gravest_of_the_stages_decides_the_exit_code(built: BuildResult, code: int) -> None:
    assert build_exit_code(built) == code
