import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from psm.cli import run
from psm.cli.report_commands import show_report
from psm.db import Database
from psm.errors import ExitCode
from psm.report import Outcome, ReportFile, ReportResult
from psm.report.model import Summary
from tests.factories import add_playlist

Command = Callable[..., ExitCode]


@pytest.fixture
def psm(tmp_path: Path) -> Command:
    """Runs psm with a configured report folder and a database that holds one playlist."""
    (tmp_path / "psm.yaml").write_text(
        f"database: {{path: {tmp_path / 'psm.db'}}}\nreport: {{folder: {tmp_path / 'report'}}}\n"
    )
    with Database(tmp_path / "psm.db") as db:
        add_playlist(db, "A - One", "B - Two")

    def command(*arguments: str) -> ExitCode:
        return ExitCode(run(["--config", str(tmp_path / "psm.yaml"), "--quiet", "report", *arguments]))

    return command


def test_it_says_where_the_page_is_and_what_it_says(
    psm: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert psm() is ExitCode.DONE
    out = capsys.readouterr().out
    assert "0 of 2 playlist entries have a file." in out
    assert "2 missing tracks" in out
    assert f"The report: {tmp_path / 'report' / 'psm-report.html'}" in out


def test_json_is_one_document(psm: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert psm("--json") is ExitCode.DONE
    document = json.loads(capsys.readouterr().out)
    assert document["summary"]["missing_tracks"] == 2
    assert document["files"][0] == {
        "path": str(tmp_path / "report" / "psm-report.html"),
        "outcome": "written",
        "backup": None,
        "error": None,
    }


def test_another_folder_just_this_once(psm: Command, tmp_path: Path) -> None:
    assert psm("--to", str(tmp_path / "once")) is ExitCode.DONE
    assert (tmp_path / "once" / "psm-report.html").exists()
    assert not (tmp_path / "report").exists()


def test_a_folder_that_cannot_be_written_fails_and_is_named(
    psm: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report").touch()
    assert psm() is ExitCode.FAILED
    assert f"{tmp_path / 'report'} could not be written" in capsys.readouterr().err


def test_what_was_set_aside_and_a_stop_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    file = ReportFile(b"/r/psm-coverage.csv", Outcome.WRITTEN, backup=b"/r/psm-coverage.csv.bak")
    show_report(ReportResult((file,), complete=False), as_json=False)
    err = capsys.readouterr().err
    assert "Your version of /r/psm-coverage.csv is now /r/psm-coverage.csv.bak." in err
    assert "Stopped early" in err


def test_one_of_each_is_said_in_the_singular(capsys: pytest.CaptureFixture[str]) -> None:
    for number, expected in (
        (
            1,
            "1 of 1 playlist entry has a file.\n1 missing track, 1 album with missing tracks, "
            "1 match worth a second look, 1 group of duplicates, 1 badly tagged file.\n",
        ),
        (
            2000,
            "2,000 of 2,000 playlist entries have a file.\n2,000 missing tracks, 2,000 albums with missing tracks, "
            "2,000 matches worth a second look, 2,000 groups of duplicates, 2,000 badly tagged files.\n",
        ),
    ):
        show_report(ReportResult(summary=Summary(*[number] * len(fields(Summary)))), as_json=False)
        assert capsys.readouterr().out == expected
