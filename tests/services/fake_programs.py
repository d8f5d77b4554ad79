"""Programs of other systems, as far as psm can tell: real executables that write down how they were called."""

import os
import sys
from pathlib import Path

from psm.services.system_service.model import Account, Service

_PROGRAM = """#!/bin/sh
HERE='{folder}'
{{ printf '%s\\037' "${{0##*/}}" "$@"; echo; }} >> "$HERE/calls"
for word in "$@"; do
    answer="$HERE/${{0##*/}}.${{word##*/}}"
    if [ -e "$answer" ]; then
        . "$answer"
        exit 0
    fi
done
"""


class FakePrograms:
    """A folder of programs for the front of PATH. One that nothing was said about does nothing, well."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for name in names:
            program = folder / name
            program.write_text(_PROGRAM.format(folder=folder))
            program.chmod(0o755)

    def on(self, program: str, word: str, script: str) -> None:
        """What ``program`` does when ``word`` is among its arguments: a shell script, in which $HERE is the folder."""
        (self.folder / f"{program}.{word}").write_text(script + "\n")

    def calls(self) -> list[str]:
        """How they were called since this was last asked, one line each."""
        file = self.folder / "calls"
        lines = file.read_text().split("\037\n") if file.exists() else []
        file.unlink(missing_ok=True)
        return [line.replace("\037", " ") for line in lines if line]

    @property
    def path(self) -> str:
        """PATH with these programs first."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"


def ready_service(home: Path, *options: str) -> Service:
    """``psm build --watch`` for who runs the tests, with an empty home."""
    return Service(Account("ada", home), sys.executable, (*options, "build", "--watch"))
