"""psm with its output in a file, for services that have no log: ``python -m psm.cli.logged FILE ARGUMENTS…``."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

_LARGE_BYTES = 5_000_000


def main(arguments: Sequence[str]) -> int:
    """Runs psm with what follows the file's name, and returns its exit code.

    What is in the file stays; one that has become large is first renamed to ``….old``. When it cannot be written, psm
    runs all the same.
    """
    log, *rest = arguments
    with suppress(OSError):
        _open(Path(log))
    from psm.cli import render, run

    if sys.stdout is not None:
        render.line(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S%z}  psm {' '.join(rest)}")
    return run(rest)


def _open(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        if log.stat().st_size > _LARGE_BYTES:
            log.replace(log.with_name(log.name + ".old"))
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    # By number: what libraries and children of psm print belongs into it as well.
    for number in (1, 2):
        os.dup2(handle, number)
    if handle > 2:
        os.close(handle)
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
