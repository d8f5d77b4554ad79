"""The commands that follow what other processes write to the database: ``psm match --watch`` and its kind."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from psm.cli.session import Session, stoppable
from psm.cli.watching import printer, run_until_stopped
from psm.errors import UsageError

if TYPE_CHECKING:
    from psm.config import Config
    from psm.services.stages import Stage


def follow(chosen: Session, config: "Config", stages: "Collection[Stage]", *, as_json: bool) -> int:
    """Runs the stages whenever they are due, until psm is told to stop; returns the exit code."""
    from psm.services.following import StageFollower

    with chosen.database(config) as db, stoppable() as stop:
        listener = printer(as_json=as_json, stop=stop)
        return run_until_stopped([StageFollower(db, config, stages=stages, on_event=listener, announce=True)], stop)


def refuse_beside_watch(given: Mapping[str, bool]) -> None:
    """:raises UsageError: when one of the options is given: it is for one run."""
    if wrong := next((name for name, is_given in given.items() if is_given), None):
        raise UsageError(f"{wrong} and --watch exclude each other: run it with {wrong} first, then watch.")
