"""psm called inside the test's own process: fast, and its parts can be replaced."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from psm.cli import run


@dataclass(frozen=True, slots=True)
class Said:
    out: str
    err: str


class Cli:
    """``psm.cli.run`` with an empty home below ``folder``, which is the current folder as well."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = folder
        self._capsys = capsys

    def __call__(self, *arguments: str | Path, code: int = 0) -> Said:
        """Runs a command and checks its exit code."""
        self._capsys.readouterr()
        done = run([str(argument) for argument in arguments])
        out, err = self._capsys.readouterr()
        assert int(done) == code, f"exit code {done}\n{out}\n{err}"
        assert "psm has a defect" not in err
        return Said(out, err)

    def json(self, *arguments: str | Path, code: int = 0) -> Any:
        """Runs a command with ``--json``: stdout holds one document, in ASCII, and nothing else."""
        said = self(*arguments, "--json", code=code)
        assert said.out.isascii()
        return json.loads(said.out)

    @property
    def config_folder(self) -> Path:
        return self.home / ".config" / "psm"

    @property
    def data_folder(self) -> Path:
        return self.home / ".local" / "share" / "psm"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    for name in list(os.environ):
        if name.startswith(("XDG_", "PSM_", "_PSM_")):
            monkeypatch.delenv(name)
    home = Path(os.path.realpath(tmp_path)) / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(home)
    return Cli(home, capsys)
