"""What every command starts from: the configuration, the database, and the way to stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psm.errors import ExitCode

if TYPE_CHECKING:
    from psm.config import Config
    from psm.db import Database

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@dataclass(frozen=True, slots=True)
class Session:
    """The global options of one run of psm."""

    config_path: Path | None = None
    database_path: Path | None = None
    quiet: bool = False

    def config(self, **flags: Any) -> "Config":
        """The configuration: file, then environment, then ``flags`` (dotted names with ``__``, None when not given)."""
        from psm.config import load_config

        if self.database_path is not None:
            flags["database__path"] = self.database_path
        return load_config(self.config_path, flags={k.replace("__", "."): v for k, v in flags.items() if v is not None})

    @contextmanager
    def database(self, config: "Config") -> Iterator["Database"]:
        """The database, open for the length of the block."""
        from psm.db import Database, explained
        from psm.filesystems import filesystem_of

        # SQLite's shared memory needs a local file system.
        local = filesystem_of(config.database.path.parent).is_local
        with explained(config.database.path), Database(config.database.path, wal=local) as db:
            yield db


def session(context: typer.Context) -> Session:
    """The session of the running command."""
    found = context.obj
    return found if isinstance(found, Session) else Session()


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """A stop signal that Ctrl-C and SIGTERM set; a second Ctrl-C ends at once.

    A signal that psm was started to ignore (``nohup``, a job in the background) stays ignored.
    """
    stop = threading.Event()

    def ask(number: int, _: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    heard = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is not signal.SIG_IGN]
    before = {s: signal.signal(s, ask) for s in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(*, refused: bool = False, failed: bool = False, stopped: bool = False) -> ExitCode:
    """The exit code for a result that is data, not an exception."""
    if stopped:
        return ExitCode.INTERRUPTED
    if refused:
        return ExitCode.REFUSED
    return ExitCode.FAILED if failed else ExitCode.DONE
