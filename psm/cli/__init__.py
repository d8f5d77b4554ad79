"""The command line: parses, loads the configuration, makes one call, renders the result."""

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

from psm.errors import ExitCode, PsmError

DEBUG_VARIABLE = "PSM_DEBUG"
_COMPLETION_VARIABLE = "_PSM_COMPLETE"
_GLOBAL_FLAGS = ("--quiet", "-q")
_GLOBAL_OPTIONS = ("--config", "--database")


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. The one place that maps errors to exit codes."""
    _open_standard_streams()
    args = hoist_global_options(sys.argv[1:] if arguments is None else arguments)
    if os.environ.get(DEBUG_VARIABLE):
        import logging

        logging.basicConfig(level=logging.INFO)
    try:
        code = _command(args)
        sys.stdout.flush()  # when Python ends, it would be too late for a sentence
    except BaseException as e:  # the last boundary: a person gets a sentence, whoever mends it the traceback
        if os.environ.get(DEBUG_VARIABLE) and not isinstance(e, SystemExit | KeyboardInterrupt | BrokenPipeError):
            traceback.print_exc()
        code = _explain(e)
    _discard_what_cannot_be_written()
    return code


def _command(args: list[str]) -> int:
    from typer import Exit
    from typer.main import get_command

    from psm.cli.app import app

    if _COMPLETION_VARIABLE in os.environ:
        app(args=args, prog_name="psm")  # answers the shell, and ends with SystemExit
    try:
        # Not app(): it takes Ctrl-C and a closed pipe for itself, the one without a word, the other as a failure.
        with get_command(app).make_context("psm", args) as context:
            result = context.command.invoke(context)
    except Exit as e:
        return e.exit_code
    return result if isinstance(result, int) else ExitCode.DONE


def _explain(e: BaseException) -> int:
    """Says on stderr why a command ended early, and returns its exit code."""
    from typer import Abort
    from typer._click.exceptions import ClickException, NoArgsIsHelpError  # typer's own click, under no other name

    from psm.cli.render import error

    # rich makes a SystemExit of a pipe that was closed; the reader (head, less) has seen enough.
    if isinstance(e, BrokenPipeError) or isinstance(e.__context__, BrokenPipeError):
        return ExitCode.DONE
    if isinstance(e, SystemExit):  # typer's completion
        return e.code if isinstance(e.code, int) else ExitCode.DONE
    if isinstance(e, KeyboardInterrupt | Abort):
        error("Interrupted. What was done so far is kept.")
        return ExitCode.INTERRUPTED
    if isinstance(e, ClickException):
        if not isinstance(e, NoArgsIsHelpError):  # the help was its message
            with suppress(OSError):
                e.show()
        return e.exit_code
    if isinstance(e, PsmError):
        error(str(e))
        return e.exit_code
    if isinstance(e, OSError):
        about = "" if e.filename is None else f" ({os.fsdecode(e.filename)})"
        error(f"{e.strerror or e}{about}. What was done so far is kept.")
        return ExitCode.FAILED
    error(
        f"psm has a defect here ({type(e).__name__}: {e}). What was committed before is safe. "
        f"Please report it, with what {DEBUG_VARIABLE}=1 in the environment prints."
    )
    return ExitCode.FAILED


def hoist_global_options(arguments: Sequence[str]) -> list[str]:
    """Moves psm's own options to the front, so that ``psm scan --quiet`` works like ``psm --quiet scan``."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
        elif argument in _GLOBAL_FLAGS or argument.startswith(tuple(o + "=" for o in _GLOBAL_OPTIONS)):
            front.append(argument)
        elif argument in _GLOBAL_OPTIONS:
            front += [argument, *([value] if (value := next(waiting, None)) is not None else [])]
        else:
            rest.append(argument)
    return front + rest


def _open_standard_streams() -> None:
    """Makes stdin, stdout and stderr usable, whatever psm was started with.

    One that is closed (``>&-``, some services) is opened on nothing: otherwise the database would get its number, and
    what a library prints would land in it. A name that the terminal's encoding cannot show is escaped instead of
    ending the command.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            _occupy(number)
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  (open to the end)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _occupy(number: int) -> None:
    with suppress(OSError):
        os.fstat(number)
        return
    os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, and those below it were seen to before


def _discard_what_cannot_be_written() -> None:
    """What is left in a buffer then goes nowhere: Python would complain once more when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
