"""Runs code without root's rights: root ignores file modes, so a test of permissions has to be somebody else."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


def as_nobody(imports: str, code: str, *arguments: Path) -> str:
    """Runs ``imports`` as who runs the tests, then ``code`` as nobody; returns what was printed.

    Python itself may lie where nobody may read, so everything that is needed has to be imported before.
    """
    drop = f"os.setgroups([]); os.setgid({_NOBODY}); os.setuid({_NOBODY})" if os.geteuid() == 0 else ""
    program = f"import importlib.readers, os, sys\nfrom pathlib import Path\n{imports}\n{drop}\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A new folder that everybody may enter and nobody owns; pytest's own lie below one that is root's alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(os.path.realpath(name))
        folder.chmod(0o755)
        inside = folder / "nobody's"
        inside.mkdir()
        if os.geteuid() == 0:
            os.chown(inside, _NOBODY, _NOBODY)
        try:
            yield inside
        finally:
            for place, _, _ in os.walk(inside):
                os.chmod(place, 0o755)
