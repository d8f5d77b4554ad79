"""The command line: parses, loads the configuration, makes one call, renders the result."""

import os
import sys
from collections.abc import Sequence

from psm.errors import ExitCode, PsmError

_GLOBAL_FLAGS = ("--quiet", "-q")
DEBUG_VARIABLE = "PSM_DEBUG"
_GLOBAL_OPTIONS = ("--config", "--database")


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. The one place that maps errors to exit codes."""
    import typer
    from typer._click.exceptions import ClickException  # typer ships its own click since 0.28, under this name only

    from psm.cli.app import app
    from psm.cli.render import error

    _make_output_safe()
    args = hoist_global_options(sys.argv[1:] if arguments is None else arguments)
    try:
        result = app(args=args, prog_name="psm", standalone_mode=False)
        sys.stdout.flush()
    except typer.Exit as e:
        return e.exit_code
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except ClickException as e:
        e.show()
        return e.exit_code
    except PsmError as e:
        error(str(e))
        return e.exit_code
    except KeyboardInterrupt:
        error("Interrupted. What was done so far is kept.")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except Exception as e:  # the last boundary: a person gets a sentence, whoever mends it the traceback
        if os.environ.get(DEBUG_VARIABLE):
            raise
        error(
            f"psm has a defect here ({type(e).__name__}: {e}). What was committed before is safe. "
            f"Please report it, with what {DEBUG_VARIABLE}=1 in the environment prints."
        )
        return ExitCode.FAILED
    return result if isinstance(result, int) else ExitCode.DONE


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


def _make_output_safe() -> None:
    """A name that the terminal's encoding cannot show is escaped instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
