"""``python -m psm`` and the ``psm`` script.

Imports the command line only when run: spawned workers import this module too.
"""

import gc
import signal
import sys


def main() -> None:
    """Runs the command line and exits with its code."""
    try:
        from psm.cli import run

        code = run()
    except KeyboardInterrupt:
        # Before the command line could take the signal over, or while it was saying that it was interrupted.
        code = 130
    # What is left is Python's own end, which would answer one more Ctrl-C with a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Python would look through all that is loaded for garbage once more before it ends: up to 25 ms.
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()
