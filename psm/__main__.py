"""``python -m psm`` and the ``psm`` script.

Imports the command line only when run: spawned workers import this module too.
"""

import sys


def main() -> None:
    """Runs the command line and exits with its code."""
    from psm.cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()
