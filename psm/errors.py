"""What a user can cause.

Every message says what happened and what to do next; only ``psm.cli.run`` maps one to an exit code.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of every command, documented in docs/cli.md."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    INTERRUPTED = 130


class PsmError(Exception):
    """Something went wrong that a person can mend: the message is shown as it is, without a traceback."""

    exit_code = ExitCode.FAILED


class UsageError(PsmError):
    """The command line or the configuration is wrong."""

    exit_code = ExitCode.USAGE


class RefusedError(PsmError):
    """psm could do it, but will not before it was confirmed."""

    exit_code = ExitCode.REFUSED


class Interrupted(PsmError):  # noqa: N818  (it is no error: the person asked for it)
    """The person, or the system, asked psm to stop; what was done so far is kept."""

    exit_code = ExitCode.INTERRUPTED
