"""``python -m psm`` and the ``psm`` script.

Imports the command line only when run: spawned workers import this module too.
"""

import sys


def main() -> None:
    """Runs the command line and exits with its code."""
    try:
        from psm.cli import run

        sys.exit(run())
    except KeyboardInterrupt:
        # Before the command line could take the signal over.
        sys.exit(130)


if __name__ == "__main__":
    main()
