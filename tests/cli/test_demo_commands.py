import json
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from psm.cli import run
from psm.ingest.library import ScanResult
from psm.services import pipeline
from psm.services.scanning import scan

FOUND = {
    "Harbour Lights - Album Version": "isrc",
    "Slow Tide": "isrc",
    "Rain on Neon": "exact",
    "Last Stop - Remastered 2011": "exact",
    "Window Seat": "exact",
    "FJARILAR": "exact",
    "Ivy": "exact",
    "Foxgloves": "fuzzy",
    "First Cup": "path",
    "Steam": "exact",
    "Second Cup": "path",
    "Over bron": "path",
    "Low Water": "path",
}
MISSING = ["Glass Mountain", "Northern Line", "Northern Line", "Terminus"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HOME, and an empty folder to be in."""
    folder = tmp_path / "home"
    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(folder))
    for name in [name for name in os.environ if name.startswith(("PSM", "XDG_"))]:
        monkeypatch.delenv(name)
    folder.mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def test_the_demo_finds_what_is_there_and_touches_nothing_else(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PSM__DATABASE__PATH", str(home / "mine.db"))
    assert run(["demo"]) == 0
    monkeypatch.delenv("PSM__DATABASE__PATH")
    assert os.listdir(home) == []
    assert os.listdir() == ["psm-demo"]
    capsys.readouterr()
    assert run(["--config", "psm-demo/config.yaml", "matches", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["title"]: row["method"] for row in rows if row["path"] is not None} == FOUND
    assert sorted(row["title"] for row in rows if row["path"] is None) == MISSING
    assert {p.name for p in Path("psm-demo/exports").rglob("*.m3u8")} == {"Evening.m3u8", "Sunday breakfast.m3u8"}
    reports = Path("psm-demo/reports")
    assert (reports / "psm-report.html").is_file()
    # The report has something to say in every section.
    assert {f.name for f in reports.glob("*.csv") if len(f.read_text().splitlines()) < 2} == set()


def test_every_suggested_command_works_as_it_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PSM_COMMAND", "./my psm/run.sh")
    assert run(["demo", "a folder"]) == 0
    shown = capsys.readouterr().out
    commands = [shlex.split(line) for line in shown.splitlines() if line.startswith("  './my psm/run.sh' --config")]
    assert len(commands) >= 4
    for command in commands:
        assert run(command[1:]) == 0, command
    assert "Nothing to do" in capsys.readouterr().out


def test_a_second_demo_renews_the_first_and_names_what_stays(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--quiet"]) == 0
    Path("psm-demo/playlists/Evening.csv").write_text('"Track Name"\n"Ivy"\n')
    capsys.readouterr()
    assert run(["demo", "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert "The demo is renewed in psm-demo:" in shown
    assert "(You changed playlists/Evening.csv: it stays as it is.)" in shown


def test_a_folder_with_something_else_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("other").mkdir()
    Path("other/file").write_text("x")
    assert run(["demo", "other"]) == 3
    assert "Name a new or empty folder" in capsys.readouterr().err
    assert run(["demo", "other/file"]) == 2
    assert os.listdir("other") == ["file"]


def test_a_demo_that_is_interrupted_suggests_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: Any, **options: Any) -> ScanResult:
        signal.raise_signal(signal.SIGINT)
        return scan(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "scan", interrupted)
        assert run(["demo"]) == 130
    assert "Try next" not in capsys.readouterr().out
    assert run(["demo"]) == 0
    assert "Try next" in capsys.readouterr().out
