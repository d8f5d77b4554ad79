"""Runs pytest for run.sh and run.bat: in parallel, in random order, with branch coverage of every process.

Arguments go to pytest. The coverage data is left combined in ``.coverage``, for ``coverage report`` and ``html``.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Returns pytest's exit code."""
    os.chdir(Path(__file__).resolve().parent.parent)
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "erase"], check=True)
    with tempfile.TemporaryDirectory(prefix="psm-coverage-", ignore_cleanup_errors=True) as folder:
        # Some tests become another user, to meet files that they may not read: coverage writes its data as that user.
        os.chmod(folder, 0o1777)  # noqa: S103  (as open as /tmp itself)
        tests = ["-m", "pytest", "--numprocesses=auto", *arguments]
        try:
            code = subprocess.run([*coverage, "run", f"--data-file={folder}/.coverage", *tests], check=False).returncode
        except KeyboardInterrupt:  # pytest got it too, and has said so
            return 130
        # A process that a test killed leaves an unfinished file, which is left out; and a run like `--version` leaves
        # none at all.
        combine = [*coverage, "combine", "--quiet", "--data-file=.coverage", folder]
        subprocess.run(combine, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return code


if __name__ == "__main__":
    # run.bat cannot take the first of its arguments away.
    sys.exit(main(sys.argv[2:] if sys.argv[1:2] == ["test"] and os.name == "nt" else sys.argv[1:]))
