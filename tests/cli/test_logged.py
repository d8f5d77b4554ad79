import os
import subprocess
import sys
from pathlib import Path

from psm import __version__
from psm.cli import logged


def run(log: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "psm.cli.logged", str(log), *arguments],
        env={**os.environ, "HOME": str(log.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done
    return done.stdout + done.stderr


def test_results_and_errors_go_into_the_file_behind_what_is_there(tmp_path: Path) -> None:
    log = tmp_path / "new folder" / "é.log"
    assert run(log, "--version") == ""
    assert run(log, "nonsense", code=2) == ""
    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines[0].endswith("psm --version")
    assert lines[1] == f"psm {__version__}"
    assert lines[2].endswith("psm nonsense")
    assert any("No such command 'nonsense'" in line for line in lines)


def test_a_large_file_is_set_aside(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (logged._LARGE_BYTES + 1))
    (tmp_path / "log.old").write_text("older")
    run(log, "--version")
    assert (tmp_path / "log.old").stat().st_size == logged._LARGE_BYTES + 1
    assert log.stat().st_size < 1000


def test_psm_runs_without_its_log(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert f"psm {__version__}" in run(tmp_path / "file" / "log", "--version")


def test_it_does_without_standard_streams(tmp_path: Path) -> None:
    """As under pythonw, which has none."""
    log = tmp_path / "log"
    script = 'exec "$0" -m psm.cli.logged "$@" <&- >&- 2>&-'
    subprocess.run(["/bin/sh", "-c", script, sys.executable, str(log), "--version"], check=True)
    assert f"psm {__version__}" in log.read_text()
    (tmp_path / "file").write_text("")
    nowhere = str(tmp_path / "file" / "log")
    subprocess.run(["/bin/sh", "-c", script, sys.executable, nowhere, "--version"], check=True)
