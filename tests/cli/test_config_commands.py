"""``psm config``: what it prints, what it writes, and how it ends."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import psm.cli.config_commands
from psm.cli import run
from psm.config import keys, load_config


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, where nothing of the person who runs the tests counts."""
    for name in [n for n in os.environ if n.startswith(("PSM_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def file(home: Path) -> Path:
    return home / ".config/psm/config.yaml"


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


class TestInit:
    def test_writes_a_file_that_changes_nothing(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        before = load_config()
        assert run(["config", "init"]) == 0
        assert capsys.readouterr().out == f"Written: {file}\n"
        assert load_config() == before
        assert all(f"#{key.path[-1]}: " in file.read_text(encoding="utf-8") for key in keys())

    def test_leaves_a_file_that_is_there(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        written(file, "mine")
        assert run(["config", "init"]) == 1
        assert file.read_text() == "mine"
        assert f"Error: {file} is there already and stays as it is." in capsys.readouterr().err

    def test_leaves_a_link_that_leads_nowhere(self, file: Path) -> None:
        file.parent.mkdir(parents=True)
        file.symlink_to("nowhere")
        assert run(["config", "init"]) == 1
        assert file.readlink() == Path("nowhere")

    def test_writes_where_it_is_told(self, tmp_path: Path, file: Path) -> None:
        other = tmp_path / "new" / "psm.yaml"
        assert run(["--config", str(other), "config", "init"]) == 0
        assert load_config(other).folder == other.parent
        assert not file.exists()

    def test_says_what_keeps_it_from_writing(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        home.write_text("a file where the home should be")
        assert run(["config", "init"]) == 1
        assert "config.yaml cannot be written: Not a directory." in capsys.readouterr().err

    def test_takes_a_file_in_the_place_of_the_folder_for_what_it_is(
        self, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file.parent.parent.mkdir(parents=True)
        file.parent.write_text("a file where the folder should be")
        assert run(["config", "init"]) == 1
        assert "config.yaml cannot be written:" in capsys.readouterr().err

    @pytest.mark.skipif(os.name == "nt", reason="the limit on file sizes is a Unix one")
    def test_leaves_nothing_behind_when_the_disk_is_full(self, file: Path) -> None:
        code = f"""
import resource, sys
sys.path[:] = {sys.path!r}
import yaml, platformdirs.unix, rich, psm.cli.config_commands, psm.cli
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
code = psm.cli.run(["config", "init"])
resource.setrlimit(resource.RLIMIT_FSIZE, before)  # what measures coverage writes at the end
sys.exit(code)
"""
        result = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=False)
        assert (result.returncode, "cannot be written: File too large" in result.stderr) == (1, True), result.stderr
        assert file.parent.exists()
        assert not file.exists()


class TestPath:
    def test_of_the_platform(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["config", "path"]) == 0
        assert capsys.readouterr().out == f"{file}\n"

    def test_of_the_option(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert run(["config", "path", "--config", "x.yaml"]) == 0
        assert capsys.readouterr().out == f"{tmp_path / 'x.yaml'}\n"

    def test_of_the_environment(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PSM_CONFIG", str(tmp_path / "y.yaml"))
        assert run(["config", "path"]) == 0
        assert capsys.readouterr().out == f"{tmp_path / 'y.yaml'}\n"


class TestShow:
    def test_names_the_source_of_each_value(
        self, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written(file, "library:\n  paths: {main: /m}\nmatch:\n  threshold: 0.5\n")
        monkeypatch.setenv("PSM__MATCH__THRESHOLD", "0.6")
        assert run(["config", "show", "--database", str(tmp_path / "x.db")]) == 0
        lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
        shown = {line[0]: line[1] for line in lines if len(line) == 2}
        assert re.fullmatch(r"\{main: /m\} +file:2", shown["library.paths"])
        assert shown["match.threshold"].endswith("environment PSM__MATCH__THRESHOLD")
        assert shown["database.path"].startswith(str(tmp_path / "x.db"))
        assert shown["database.path"].endswith("flag")
        assert shown["report.formats"].endswith("default")
        assert shown["file:"] == str(file)

    def test_says_that_no_file_is_fine(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["config", "show"]) == 0
        assert "(not there, which is fine)" in capsys.readouterr().out

    def test_as_json(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        written(file, 'library: {paths: ["/a", "/\\udce9"]}')
        assert run(["config", "show", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["file"], document["exists"]) == (str(file), True)
        values = {s["key"]: s for s in document["settings"]}
        assert values["library.paths"] == {"key": "library.paths", "value": ["/a", "/\udce9"], "source": "file:1"}
        assert values["match.threshold"] == {"key": "match.threshold", "value": 0.82, "source": "default"}
        assert values["export.profiles.default.mode"]["value"] == "strict"
        assert values["export.profiles.default.root"]["value"] is None

    def test_of_a_wrong_configuration_names_the_mistakes(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        written(file, "x: 1\ny: 2\n")
        assert run(["config", "show"]) == 2
        out = capsys.readouterr()
        assert out.out == ""
        assert f"{file}, line 1: x:" in out.err
        assert f"{file}, line 2: y:" in out.err


class TestCheck:
    def test_of_no_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["config", "check"]) == 0
        assert "The configuration is fine" in capsys.readouterr().out

    def test_of_a_good_file(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        written(file, "match: {threshold: 0.5}")
        assert run(["config", "check"]) == 0
        assert capsys.readouterr().out == f"The configuration is fine: {file}\n"

    def test_names_every_mistake_with_line_and_nearest_name(
        self, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        written(file, "match:\n  treshold: 0.5\nreport: {formats: pdf}\n")
        assert run(["config", "check"]) == 2
        assert capsys.readouterr().err.splitlines() == [
            "Error: The configuration has 2 mistakes:",
            f"  {file}, line 2: match.treshold: there is no such setting. Did you mean match.threshold?",
            f"  {file}, line 3: report.formats: must be html, csv or json, not 'pdf'.",
        ]

    def test_as_json(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        written(file, "match:\n  treshold: 0.5\n")
        assert run(["config", "check", "--json"]) == 2
        assert json.loads(capsys.readouterr().out) == {
            "file": str(file),
            "exists": True,
            "ok": False,
            "mistakes": [
                {
                    "message": "there is no such setting. Did you mean match.threshold?",
                    "key": "match.treshold",
                    "source": "file",
                    "line": 2,
                }
            ],
        }

    def test_of_a_good_file_as_json(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["config", "check", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"file": str(file), "exists": False, "ok": True, "mistakes": []}

    def test_of_a_named_file_that_is_not_there(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["--config", str(tmp_path / "no.yaml"), "config", "check"]) == 2
        assert "no.yaml: there is no such file; 'psm config init' writes one" in capsys.readouterr().err


def test_every_command_shows_an_example() -> None:
    commands = psm.cli.config_commands.config_app.registered_commands
    assert len(commands) == 4
    assert all("psm config" in (c.epilog or "").replace("--config new.yaml ", "") for c in commands)
