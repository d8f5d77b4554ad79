"""Runs psm as a person does: a process of its own, with a home of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def without_coverage(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that is not measured: what coverage loads would count as psm's own."""
    return {name: value for name, value in environment.items() if not name.startswith("COVERAGE")}


class Psm:
    """psm with an empty HOME below ``folder``; every call is a process."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """What the process sees: nothing of this machine's configuration."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "PSM_", "PSM__"))}
        return {**kept, "HOME": str(self.home), "PYTHONUTF8": "1", "COLUMNS": "200"}

    @property
    def config_folder(self) -> Path:
        return self.home / ".config" / "psm"

    @property
    def data_folder(self) -> Path:
        return self.home / ".local" / "share" / "psm"

    @property
    def database(self) -> Path:
        return self.data_folder / "psm.db"

    def __call__(
        self,
        *arguments: str | Path,
        code: int = 0,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end and checks its exit code."""
        done = subprocess.run(
            self.command(*arguments),
            env={**self.environment, **(env or {})},
            cwd=cwd or self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        assert "psm has a defect" not in done.stderr, done.stderr
        return done

    def json(self, *arguments: str | Path, code: int = 0) -> Any:
        """Runs a command with ``--json`` and returns the one document that it prints."""
        return json.loads(self(*arguments, "--json", code=code).stdout)

    def start(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Starts a command in a process group of its own, for tests that interrupt it."""
        return subprocess.Popen(
            self.command(*arguments),
            env={**self.environment, **(env or {})},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
            start_new_session=True,
        )

    @staticmethod
    def command(*arguments: str | Path) -> Sequence[str]:
        return [sys.executable, "-m", "psm", *map(str, arguments)]


def kill_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Sends a signal to a started command and its workers, as a terminal does."""
    os.killpg(process.pid, number)


@contextlib.contextmanager
def lock_holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock while the block runs; closing its stdin lets go of it."""
    script = (
        "import sys; from pathlib import Path; from psm.locks import hold\n"
        "with hold(Path(sys.argv[1]), what='psm scan'):\n print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()
