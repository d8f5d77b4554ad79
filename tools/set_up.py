"""Sets up ``.venv`` for run.sh and run.bat: ``set_up.py [--check] run|test``.

Needs nothing but Python 3.11. ``run`` installs what psm needs, ``test`` what its tests need as well: exactly the
packages of the lock files, by their hashes. Does nothing when nothing changed since; ``--check`` only tells (exit 0).
"""

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

STAGES = ("run", "test")
LOCKS = {"run": ("requirements.lock",), "test": ("requirements.lock", "requirements-dev.lock")}

PROMPT = "psm"  # written into every .venv made here: one without it is somebody's own, and not ours to clear


class SetUpError(Exception):
    """Set-up cannot go on; the message is for a person."""


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 when ``.venv`` is ready."""
    root = Path(__file__).resolve().parent.parent
    *flags, stage = arguments
    if flags == ["--check"]:
        return 0 if is_set_up(root, stage) else 1
    try:
        set_up(root, stage)
    except SetUpError as e:
        print(e, file=sys.stderr)
        return 1
    except OSError as e:
        print(f"psm cannot be set up in {root}: {e.strerror} ({e.filename}).", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. The next start sets psm up again.", file=sys.stderr)
        return 130
    return 0


def set_up(root: Path, stage: str) -> None:
    """Makes ``.venv`` ready for ``stage``, one process at a time.

    The stamps are removed before anything is changed and written after everything is done, so an interrupted set-up
    leaves none, and the next start begins with an empty ``.venv``: pip takes a package it was killed in for installed.
    """
    if is_set_up(root, stage):
        return
    # Beside .venv, not in it: clearing .venv would remove the file that others wait for.
    with (root / ".venv.lock").open("ab") as lock, _locked(lock):
        if is_set_up(root, stage):
            return
        venv = root / ".venv"
        reusable = any(_is_made_for(root, s) for s in STAGES)
        for s in STAGES:
            (venv / f".psm-{s}").unlink(missing_ok=True)
        print(f"Setting up psm in {venv} (only when something changed) ...", file=sys.stderr, flush=True)
        if not reusable:
            _make_venv(venv, lock)
        _install(root, venv, stage, lock)
        for s in STAGES[: STAGES.index(stage) + 1]:
            _write_whole(venv / f".psm-{s}", stamp(root, s))


def stamp(root: Path, stage: str) -> bytes:
    """Everything that the contents of ``.venv`` depend on. run.sh makes the same with cat.

    The checkout's own path is part of it, because scripts in ``.venv`` begin with it: a moved folder needs new ones.
    """
    files = (root / name for name in ("pyproject.toml", *LOCKS[stage]))
    return os.fsencode(root) + b"\n" + b"".join(f.read_bytes() for f in files)


def is_set_up(root: Path, stage: str) -> bool:
    """Whether ``.venv`` is ready for ``stage``, and made from the Python that was asked for, if one was."""
    try:
        current = (root / ".venv" / f".psm-{stage}").read_bytes() == stamp(root, stage)
    except FileNotFoundError:
        return False
    return current and _is_made_for(root, stage)


def _is_made_for(root: Path, stage: str) -> bool:
    """Whether ``.venv`` was finished once, in this folder, and its Python is still there and the right one."""
    venv = root / ".venv"
    try:
        with (venv / f".psm-{stage}").open("rb") as f:
            here = f.readline() == os.fsencode(root) + b"\n"
    except FileNotFoundError:
        return False
    if not here or not venv_python(venv).exists():
        return False
    return not os.environ.get("PYTHON") or _made_from(venv) == base_python()


def venv_python(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def base_python() -> Path:
    """The real file of the running Python, outside any virtual environment.

    Not ``/usr/bin/python3``: that name can become another version under a ``.venv`` that was made from it.
    """
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def _made_from(venv: Path) -> Path | None:
    executable = _settings(venv).get("executable")
    return Path(executable) if executable else None


def _settings(venv: Path) -> dict[str, str]:
    """What ``pyvenv.cfg`` says; nothing when there is none."""
    try:
        lines = (venv / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


def _make_venv(venv: Path, lock: IO[bytes]) -> None:
    missing = [m for m in ("venv", "ensurepip") if importlib.util.find_spec(m) is None]
    if missing:
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        raise SetUpError(
            f"{base_python()} cannot make virtual environments ({' and '.join(missing)} missing): install {package} "
            f"(Debian, Ubuntu: sudo apt-get install {package}), or set PYTHON to another Python 3.11 or newer."
        )
    settings = _settings(venv)
    if settings and settings.get("prompt") != repr(PROMPT):
        raise SetUpError(f"{venv} was there already, made by something else: move it away, and start psm again.")
    command = [str(base_python()), "-m", "venv", "--clear", "--prompt", PROMPT, str(venv)]
    if _call(command, lock) != 0:
        raise SetUpError(
            f"{base_python()} could not make {venv}: see above. Set PYTHON to another Python 3.11 or newer."
        )


def _install(root: Path, venv: Path, stage: str, lock: IO[bytes]) -> None:
    pip = [str(venv_python(venv)), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
    # The last lock holds everything of those before it.
    packages = [*pip, "--require-hashes", "--requirement", str(root / LOCKS[stage][-1])]
    # flit_core comes from the lock: without build isolation, nothing that is not pinned is fetched.
    psm = [*pip, "--no-index", "--no-deps", "--no-build-isolation", "--editable", str(root)]
    if _call(packages, lock) != 0 or _call(psm, lock) != 0:
        raise SetUpError("The packages that psm needs could not be installed: see above, and start it again.")


def _call(command: list[str], lock: IO[bytes]) -> int:
    """Runs ``command``, its output on stderr: stdout belongs to psm's own, which may be JSON."""
    environment = {
        k: v for k, v in os.environ.items() if k not in ("PIP_TARGET", "PIP_PREFIX", "PYTHONHOME", "PYTHONPATH")
    }
    environment["PIP_USER"] = "0"  # a user's pip.conf may say otherwise, which pip refuses in a virtual environment
    # The child holds the lock too: when this process alone is killed, pip goes on, and the next start must wait for it.
    inherited = () if os.name == "nt" else (lock.fileno(),)
    return subprocess.run(command, env=environment, stdout=sys.stderr, pass_fds=inherited, check=False).returncode


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


@contextlib.contextmanager
def _locked(lock: IO[bytes]) -> Iterator[None]:
    """Holds an exclusive lock that the system releases when its holders end, however they do."""
    if not _try_lock(lock, wait=False):
        print("psm is being set up by another start: waiting for it ...", file=sys.stderr, flush=True)
        while not _try_lock(lock, wait=True):
            pass
    yield  # closing the file releases it


if sys.platform == "win32":
    import msvcrt

    def _try_lock(lock: IO[bytes], *, wait: bool) -> bool:
        lock.seek(0)
        try:
            msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)  # LK_LOCK gives up after 10 s
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(lock: IO[bytes], *, wait: bool) -> bool:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
