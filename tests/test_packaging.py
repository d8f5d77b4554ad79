"""What pip and pipx install: the built wheel, in an environment away from the checkout, without the network."""

import os
import site
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from psm import __version__

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PSM", "XDG_"))}
    result = subprocess.run(command, cwd=cwd, env=clean | environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result
    return result


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the checkout as it is now."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel")
    run(*pip, "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT, cwd=folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The folder of the programs of a new environment that has the wheel, and otherwise only what psm depends on."""
    home = wheel.parent / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=wheel.parent)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(home)}))
    # A path file inside a path file's folder is not followed, so the checkout itself stays out of sight.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", home, "install")
    run(*pip, "--no-index", "--no-deps", wheel, cwd=wheel.parent)
    return Path(sysconfig.get_path("scripts", "venv", {"base": str(home)}))


def test_the_wheel_holds_every_file_of_psm(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if name.startswith("psm/")}
    expected = {
        f.relative_to(ROOT).as_posix(): f.read_bytes()
        for f in (ROOT / "psm").rglob("*")
        if f.is_file() and "__pycache__" not in f.parts
    }
    assert packed == expected
    assert "psm/py.typed" in packed
    assert {Path(name).suffix for name in packed} >= {
        *(".sql", ".py", ".html", ".css", ".js", ".csv", ".m3u8", ".yaml"),
        *(".mp3", ".flac", ".m4a", ".ogg", ".opus"),
    }


def test_the_wheel_says_what_psm_needs_and_which_program_it_brings(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = message_from_string(archive.read(f"psm-{__version__}.dist-info/METADATA").decode())
        programs = archive.read(f"psm-{__version__}.dist-info/entry_points.txt").decode()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert metadata.get_all("Requires-Dist") == project["dependencies"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert "psm=psm.__main__:main" in programs


def test_the_installed_program_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "psm", "--version", cwd=tmp_path).stdout == f"psm {__version__}\n"
    where = "import psm, os; print(os.path.dirname(psm.__file__))"
    found = Path(run(installed / "python", "-c", where, cwd=tmp_path).stdout.strip())
    assert found.is_relative_to(installed.parent)


def test_the_installed_program_has_its_demo_its_database_and_its_templates(installed: Path, tmp_path: Path) -> None:
    run(installed / "psm", "demo", "here", cwd=tmp_path, HOME=str(tmp_path / "home"))
    assert [p.name for p in tmp_path.iterdir()] == ["here"]
    assert {"music", "playlists", "config.yaml", "psm.db", "exports", "reports"} <= {
        p.name for p in (tmp_path / "here").iterdir()
    }
