"""run.sh on small checkouts with wheels of our own: the real shell, venv and pip, no network."""

import base64
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def make_wheel(folder: Path, name: str, version: str, files: dict[str, bytes]) -> str:
    """Writes a pure wheel and returns its line for a lock file."""
    info = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in files.items()
    ]
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
        archive.writestr(f"{info}/RECORD", "".join([*record, f"{info}/RECORD,,\n"]))
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def installed_files(distribution: str, package: str) -> dict[str, bytes]:
    """The Python files of an installed package, to make a wheel of it again."""
    found = importlib.metadata.files(distribution) or []
    return {f.as_posix(): f.read_binary() for f in found if f.parts[0] == package and f.suffix != ".pyc"}


class Checkout:
    """A checkout with the real run.sh and a psm that prints its arguments, its folder and what it depends on."""

    def __init__(self, root: Path, wheels: Path) -> None:
        self.root = root
        self.wheels = wheels
        (root / "psm").mkdir(parents=True)
        (root / "psm/__init__.py").write_text('"""psm."""\n__version__ = "0"\n')
        (root / "psm/__main__.py").write_text(
            textwrap.dedent("""\
            import os, sys, dependency

            def main():
                print(sys.argv[1:], os.getcwd(), dependency.VALUE, sep="\\n")
                sys.exit(7 if "fail" in sys.argv else 0)
            """)
        )
        (root / "pyproject.toml").write_text(
            textwrap.dedent("""\
            [build-system]
            requires = ["flit_core"]
            build-backend = "flit_core.buildapi"
            [project]
            name = "psm"
            dynamic = ["version", "description"]
            [project.scripts]
            psm = "psm.__main__:main"
            """)
        )
        shutil.copy(ROOT / "run.sh", root)
        (root / "tools").mkdir()
        for tool in ("set_up.py", "run_tests.py"):
            shutil.copy(ROOT / "tools" / tool, root / "tools")
        self.version = ""
        self.flit = make_wheel(
            wheels, "flit_core", importlib.metadata.version("flit_core"), installed_files("flit_core", "flit_core")
        )
        (root / "requirements-dev.lock").write_text("")
        self.depend_on("1")

    def depend_on(self, version: str) -> None:
        """Writes a lock that asks for this version of the only dependency."""
        self.version = version
        line = make_wheel(self.wheels, "dependency", version, {"dependency.py": f"VALUE = {version!r}\n".encode()})
        (self.root / "requirements.lock").write_text(self.flit + line)

    def forbid_set_up(self) -> None:
        """From now on a start that does not find everything as it should be fails."""
        (self.root / "tools/set_up.py").write_text("raise SystemExit('set up again')\n")

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": f"{PYTHON.parent}:/usr/bin:/bin",
            "HOME": str(self.wheels),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": self.wheels.as_uri(),
            "PIP_CONFIG_FILE": os.devnull,
            **more,
        }

    def start(
        self, *arguments: str, command: Sequence[str | Path] = (), cwd: Path | None = None, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        """Runs run.sh and waits for it."""
        return subprocess.run(
            [*(command or [self.root / "run.sh"]), *arguments],
            cwd=cwd or self.root,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout, in a folder with spaces, that two starts at the same moment have set up."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "wheels").mkdir()
    checkout = Checkout(folder / "a checkout's folder", folder / "wheels")
    both = [
        subprocess.Popen(
            [checkout.root / "run.sh", "scan", "two words"],
            cwd=folder,
            env=checkout.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate() for process in both]
    assert [p.returncode for p in both] == [0, 0], outputs
    # Only psm's own output is on stdout, and only one of the two has done the work.
    assert [out for out, _ in outputs] == [f"['scan', 'two words']\n{folder}\n1\n"] * 2
    assert sum("Setting up psm" in err for _, err in outputs) == 1
    return checkout


@pytest.fixture
def settled(ready: Checkout) -> Iterator[Checkout]:
    """The checkout of ``ready``, where setting up once more would fail."""
    tool = ready.root / "tools/set_up.py"
    ready.forbid_set_up()
    yield ready
    shutil.copy(ROOT / "tools/set_up.py", tool)


def test_a_second_start_sets_nothing_up_and_runs_in_the_folder_it_was_called_from(
    settled: Checkout, tmp_path: Path
) -> None:
    result = settled.start("files", "--json", cwd=tmp_path)
    assert (result.stdout, result.stderr) == (f"['files', '--json']\n{tmp_path}\n{settled.version}\n", "")


def test_the_exit_code_is_psms(settled: Checkout) -> None:
    assert settled.start("fail").returncode == 7


def test_it_works_through_a_chain_of_symlinks(settled: Checkout, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "absolute").symlink_to(settled.root / "run.sh")
    (tmp_path / "bin/psm").symlink_to("../absolute")
    assert (
        settled.start("a", command=[tmp_path / "bin/psm"], cwd=tmp_path).stdout
        == f"['a']\n{tmp_path}\n{settled.version}\n"
    )
    by_path = settled.start("a", command=["psm"], cwd=tmp_path, PATH=f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert by_path.stdout == f"['a']\n{tmp_path}\n{settled.version}\n"


def test_cdpath_and_an_activated_environment_do_not_mislead_it(settled: Checkout, tmp_path: Path) -> None:
    decoy = tmp_path / settled.root.name
    decoy.mkdir()
    relative = [f"{settled.root.name}/run.sh"]
    result = settled.start("a", command=relative, cwd=settled.root.parent, CDPATH=str(tmp_path), VIRTUAL_ENV=str(decoy))
    assert (result.returncode, result.stderr) == (0, "")
    assert settled.start("a", command=["sh", "run.sh"], CDPATH=str(tmp_path)).returncode == 0


def test_a_changed_lock_is_installed_and_a_moved_checkout_heals(ready: Checkout, tmp_path: Path) -> None:
    ready.depend_on("2")
    changed = ready.start("a")
    assert changed.stdout == f"['a']\n{ready.root}\n2\n", changed.stderr
    ready.root = Path(shutil.move(ready.root, tmp_path / "a moved folder"))
    moved = ready.start("a")
    assert moved.stdout == f"['a']\n{ready.root}\n2\n", moved.stderr
    assert "Setting up psm" in moved.stderr


def write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def bare(tmp_path: Path) -> Checkout:
    """A checkout that was never set up, and ``PATH`` folders of its own: ``bin`` has no Python."""
    wheels, programs = tmp_path / "wheels", tmp_path / "bin"
    wheels.mkdir()
    programs.mkdir()
    for name in ("sh", "cat", "cmp", "readlink"):
        (programs / name).symlink_to(str(shutil.which(name)))
    return Checkout(tmp_path / "checkout", wheels)


def test_no_python_is_one_clear_sentence(bare: Checkout) -> None:
    result = bare.start("scan", PATH=str(bare.wheels.parent / "bin"))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("psm needs Python 3.11 or newer, and there is none here: ")
    assert len(result.stderr.splitlines()) == 1


def test_an_old_python_is_passed_over_for_a_newer_one(bare: Checkout) -> None:
    programs = bare.wheels.parent / "bin"
    write_program(programs / "python3", "exit 3")
    assert "there is none here" in bare.start(PATH=str(programs)).stderr
    write_program(programs / "python3.12", 'test "$1" = -c && exit 0; echo "3.12 runs ${1##*/} $2" >&2; exit 1')
    assert bare.start("scan", PATH=str(programs)).stderr == "3.12 runs set_up.py run\n"


def test_a_python_that_cannot_make_environments_is_passed_over_for_one_that_can(bare: Checkout) -> None:
    programs = bare.wheels.parent / "bin"
    write_program(programs / "python3", 'test "$1" = -c && exit 1; echo "set up by the first" >&2; exit 1')
    result = bare.start("scan", PATH=str(programs))
    assert (result.returncode, result.stderr) == (1, "set up by the first\n")
    write_program(programs / "python3.13", 'test "$1" = -c && exit 0; echo "set up by 3.13" >&2; exit 1')
    assert bare.start("scan", PATH=str(programs)).stderr == "set up by 3.13\n"


def test_the_python_that_was_asked_for_is_used_or_refused(bare: Checkout) -> None:
    programs = bare.wheels.parent / "bin"
    mine = programs / "my python"
    write_program(mine, 'test "$1" = -c && exit 0; echo "set up by mine" >&2; exit 1')
    assert bare.start("scan", PYTHON=str(mine)).stderr == "set up by mine\n"
    write_program(mine, "exit 3")
    result = bare.start("scan", PYTHON=str(mine))
    assert (result.returncode, result.stderr) == (
        1,
        f"psm needs Python 3.11 or newer, and PYTHON={mine} is not one.\n",
    )


class Programs:
    """Stands in for venv and pip: records what is called, and leaves what they would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[list[str]] = []
        self.fail_at: str | None = None
        self.interrupt_at: str | None = None

    def __call__(self, command: list[str], lock: IO[bytes]) -> int:
        self.calls.append(command)
        if self.interrupt_at in command:
            raise KeyboardInterrupt
        if self.fail_at in command:
            return 1
        if "venv" in command:
            shutil.rmtree(self.root / ".venv", ignore_errors=True)
            (self.root / ".venv/bin").mkdir(parents=True)
            (self.root / ".venv/bin/python").touch()
            (self.root / ".venv/pyvenv.cfg").write_text(f"prompt = 'psm'\nexecutable = {command[0]}\n")
        return 0

    def take(self) -> list[str]:
        """What was called since the last time: venv, the lock file that was installed, or psm itself."""
        names = ["venv" if "venv" in c else "psm" if "--editable" in c else Path(c[-1]).name for c in self.calls]
        self.calls.clear()
        return names


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The set-up of a checkout in ``tmp_path``, with ``tool.programs`` in the place of venv and pip."""
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / "tools").mkdir()
    source = Path(shutil.copy(ROOT / "tools/set_up.py", tmp_path / "tools"))
    spec = importlib.util.spec_from_file_location("set_up", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "programs", Programs(tmp_path), raising=False)
    monkeypatch.setattr(module, "_call", module.programs)
    monkeypatch.delenv("PYTHON", raising=False)
    return module


def test_the_packages_of_the_tests_come_only_with_the_tests(tool: ModuleType) -> None:
    assert tool.main(["run"]) == 0
    assert tool.programs.take() == ["venv", "requirements.lock", "psm"]
    assert tool.main(["test"]) == 0
    assert tool.programs.take() == ["requirements-dev.lock", "psm"]
    assert tool.main(["run"]) == 0
    assert tool.main(["test"]) == 0
    assert tool.programs.take() == []


def test_packages_are_installed_by_hash_and_psm_without_the_network(tool: ModuleType) -> None:
    tool.main(["run"])
    _, packages, psm = tool.programs.calls
    assert "--require-hashes" in packages
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(psm)


@pytest.mark.parametrize("changed", ["pyproject.toml", "requirements.lock"])
def test_a_changed_file_installs_again_into_the_same_environment(
    tool: ModuleType, tmp_path: Path, changed: str
) -> None:
    tool.main(["test"])
    tool.programs.take()
    (tmp_path / changed).write_text("changed\n")
    assert (tool.main(["--check", "run"]), tool.main(["--check", "test"])) == (1, 1)
    assert tool.main(["run"]) == 0
    assert tool.programs.take() == ["requirements.lock", "psm"]
    assert (tool.main(["--check", "run"]), tool.main(["--check", "test"])) == (0, 1)


def test_a_change_of_the_tests_packages_is_no_business_of_psm(tool: ModuleType, tmp_path: Path) -> None:
    tool.main(["test"])
    (tmp_path / "requirements-dev.lock").write_text("changed\n")
    assert (tool.main(["--check", "run"]), tool.main(["--check", "test"])) == (0, 1)


@pytest.mark.parametrize("where", ["venv", "--require-hashes", "--editable"])
def test_an_interrupted_set_up_begins_anew(tool: ModuleType, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    tool.programs.interrupt_at = where
    assert tool.main(["run"]) == 130
    assert tool.main(["--check", "run"]) == 1
    tool.programs.interrupt_at = None
    tool.programs.take()
    assert tool.main(["run"]) == 0
    assert tool.programs.take() == ["venv", "requirements.lock", "psm"]


def test_an_interrupted_update_leaves_no_stamp_of_the_time_before(tool: ModuleType, tmp_path: Path) -> None:
    tool.main(["run"])
    before = (tmp_path / "requirements.lock").read_text()
    (tmp_path / "requirements.lock").write_text("changed\n")
    tool.programs.interrupt_at = "--require-hashes"
    assert tool.main(["run"]) == 130
    (tmp_path / "requirements.lock").write_text(before)
    assert tool.main(["--check", "run"]) == 1


@pytest.mark.parametrize("where", ["venv", "--require-hashes", "--editable"])
def test_a_failed_set_up_says_so_and_leaves_no_stamp(
    tool: ModuleType, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tool.programs.fail_at = where
    assert tool.main(["run"]) == 1
    assert "see above" in capsys.readouterr().err
    assert tool.main(["--check", "run"]) == 1


def test_an_environment_whose_python_is_gone_is_made_again(tool: ModuleType, tmp_path: Path) -> None:
    tool.main(["run"])
    tool.programs.take()
    (tmp_path / ".venv/bin/python").unlink()
    assert tool.main(["run"]) == 0
    assert tool.programs.take() == ["venv", "requirements.lock", "psm"]


def test_another_python_that_was_asked_for_makes_the_environment_again(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool.main(["run"])
    monkeypatch.setenv("PYTHON", sys.executable)
    tool.programs.take()
    assert tool.main(["run"]) == 0
    assert tool.programs.take() == []
    (tmp_path / ".venv/pyvenv.cfg").write_text("prompt = 'psm'\nexecutable = /usr/bin/python3.99\n")
    assert tool.main(["run"]) == 0
    assert tool.programs.take() == ["venv", "requirements.lock", "psm"]


def test_an_environment_that_somebody_else_made_is_not_cleared(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/pyvenv.cfg").write_text("home = /usr/bin\nprompt = 'other'\n")
    assert tool.main(["run"]) == 1
    assert "made by something else: move it away" in capsys.readouterr().err
    assert tool.programs.calls == []


@pytest.mark.parametrize("absent", ["venv", "ensurepip"])
def test_a_python_without_venv_or_ensurepip_names_the_package(
    tool: ModuleType, absent: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == absent else find(name))
    assert tool.main(["run"]) == 1
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"({absent} missing): install python{version}-venv (Debian, Ubuntu: sudo apt-get install" in said
    assert tool.programs.calls == []


def test_a_checkout_that_cannot_be_written_is_one_sentence(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".venv.lock").mkdir()
    assert tool.main(["run"]) == 1
    assert capsys.readouterr().err == (
        f"psm cannot be set up in {tmp_path}: Is a directory ({tmp_path / '.venv.lock'}).\n"
    )


def test_pip_is_protected_from_settings_that_lead_it_elsewhere(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    for name in ("PIP_TARGET", "PIP_PREFIX", "PYTHONPATH", "PIP_USER"):
        monkeypatch.setenv(name, "1")
    seen = tmp_path / "seen"
    code = "import os, sys; open(sys.argv[1], 'w').write(str([k for k in os.environ if k[:4] in ('PIP_', 'PYTH')]))"
    with (tmp_path / "lock").open("ab") as lock:
        assert tool._call([sys.executable, "-c", f"{code}; os.fstat({lock.fileno()})", str(seen)], lock) == 0
    assert "PIP_USER" in seen.read_text()
    assert not {"PIP_TARGET", "PIP_PREFIX", "PYTHONPATH"} & set(seen.read_text().split("'"))


TESTS_OF_ITS_OWN = """
import multiprocessing, subprocess, sys
from concurrent.futures import ProcessPoolExecutor
import pytest
import psm


def test_program(tmp_path):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "psm"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (result.stdout, result.stderr) == ("ran\\n", "")


def test_worker():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(psm.work).result() == 1


def test_no_psm(tmp_path):
    result = subprocess.run([sys.executable, "-W", "error", "-c", ""], cwd=tmp_path, capture_output=True)
    assert result.stderr == b""


def test_failing():
    assert not "good"
"""


def test_the_tests_run_in_parallel_and_count_the_lines_of_every_process(tmp_path: Path) -> None:
    for folder in ("psm", "tests", "tools"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "tools/run_tests.py", tmp_path / "tools")
    (tmp_path / "psm/__init__.py").write_text("def work():\n    return 1\n")
    (tmp_path / "psm/__main__.py").write_text("print('ran')\n")
    (tmp_path / "tests/test_psm.py").write_text(TESTS_OF_ITS_OWN)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTEST", "PSM"))}
    environment["PYTHONPATH"] = str(tmp_path)

    def run(*command: str) -> "subprocess.CompletedProcess[str]":
        call = [sys.executable, *command]
        return subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    tests = run(str(tmp_path / "tools/run_tests.py"), "-q", f"--basetemp={tmp_path / 'temporary'}")
    assert (tests.returncode, "1 failed, 3 passed" in tests.stdout.splitlines()[-1]) == (1, True), tests
    report = run("-m", "coverage", "report", f"--rcfile={tmp_path}/pyproject.toml", f"--data-file={tmp_path}/.coverage")
    assert [row.split()[-1] for row in report.stdout.splitlines() if row.startswith("TOTAL")] == ["100%"], report
    assert [p.name for p in tmp_path.rglob(".coverage*")] == [".coverage"]
