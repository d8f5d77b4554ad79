"""The stages that come after the scan, in their order, each only when what it goes by has changed."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from psm.config import Config
from psm.db import Database
from psm.export.due import is_due as export_is_due
from psm.progress import NeverStop, ProgressCallback, StopSignal, no_progress
from psm.report.due import is_due as report_is_due
from psm.services.match_due import is_due as match_is_due
from psm.services.overrides_state import OverridesError, OverridesResult, unchanged

if TYPE_CHECKING:
    from psm.export import ExportResult
    from psm.report import ReportResult
    from psm.services.matching import MatchResult
    from psm.services.playlists import ImportResult

T = TypeVar("T")


class Stage(StrEnum):
    """A stage, in the order in which they run."""

    PLAYLISTS = "playlists"
    """Playlists are taken in from where they are followed."""
    MATCH = "match"
    """Decisions by hand are taken over, and tracks matched."""
    EXPORT = "export"
    REPORT = "report"


ALL_STAGES = frozenset(Stage)


@dataclass(frozen=True, slots=True)
class StagesResult:
    """What each stage did; None for one that was left out, or had nothing to do.

    ``unkept`` is why the sources of the playlists could not be written down beside the configuration.
    """

    pull: "ImportResult | None" = None
    unkept: str | None = None
    overrides: OverridesResult | None = None
    match: "MatchResult | None" = None
    export: "ExportResult | None" = None
    report: "ReportResult | None" = None


def run_stages(
    db: Database,
    config: Config,
    *,
    stages: Collection[Stage] = ALL_STAGES,
    full: bool = False,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    now: Callable[[], float] = time.time,
) -> StagesResult:
    """Runs those of ``stages`` that are due; all of them when ``full``. Playlists are always looked at.

    A stage that was interrupted, or never reached, is due again the next time.

    :raises PsmError: when the database, ``playlists.yaml`` or ``psm-overrides.yaml`` cannot be read or written.
    """
    connection = db.connection

    def unless_stopped(due: bool, stage: Callable[[], T]) -> T | None:
        return stage() if due and not stop.is_set() else None

    pulled = unless_stopped(Stage.PLAYLISTS in stages, lambda: _pull(db, config, now=now, progress=progress, stop=stop))
    unkept = _keep(db, config) if {Stage.PLAYLISTS, Stage.MATCH} & set(stages) else None
    decided = unless_stopped(Stage.MATCH in stages, lambda: _decide(db, config, now=now()))
    matched = unless_stopped(
        Stage.MATCH in stages and (full or match_is_due(connection, config.match)),
        lambda: _match(db, config, full=full, progress=progress, stop=stop),
    )
    exported = unless_stopped(
        Stage.EXPORT in stages and (full or export_is_due(connection, config.export)),
        lambda: _export(db, config, progress=progress, stop=stop),
    )
    reported = unless_stopped(
        Stage.REPORT in stages and (full or report_is_due(connection, config.report)),
        lambda: _report(db, config, progress=progress, stop=stop),
    )
    return StagesResult(pulled, unkept, decided, matched, exported, reported)


def stages_due(db: Database, config: Config, stages: Collection[Stage] = ALL_STAGES) -> frozenset[Stage]:
    """Those of ``stages`` that have something to do. Whether PLAYLISTS has, only a look at the disk can tell."""
    connection = db.connection
    checks: dict[Stage, Callable[[], bool]] = {
        Stage.MATCH: lambda: match_is_due(connection, config.match) or _decisions_are_due(db, config),
        Stage.EXPORT: lambda: export_is_due(connection, config.export),
        Stage.REPORT: lambda: report_is_due(connection, config.report),
    }
    return frozenset(stage for stage, is_due in checks.items() if stage in stages and is_due())


def _decisions_are_due(db: Database, config: Config) -> bool:
    try:
        return unchanged(db, config.folder) is None
    except OverridesError:
        return True  # the stage says what is wrong


# A stage is imported when it is due: a build with nothing to do loads neither rapidfuzz nor the template engine.


def _pull(
    db: Database, config: Config, *, now: Callable[[], float], progress: ProgressCallback, stop: StopSignal
) -> "ImportResult":
    from psm.services.playlists import pull

    return pull(db, config.playlists.folders, clock=now, progress=progress, stop=stop)


def _keep(db: Database, config: Config) -> str | None:
    from psm.services.playlists_file import keep

    return keep(db, config.folder)


def _decide(db: Database, config: Config, *, now: float) -> OverridesResult:
    from psm.services.playlists import follow_files

    follow_files(db)
    if (known := unchanged(db, config.folder)) is not None:
        return known
    from psm.services.overrides import sync

    return sync(db, config.folder, now=now)


def _match(db: Database, config: Config, *, full: bool, progress: ProgressCallback, stop: StopSignal) -> "MatchResult":
    from psm.services.matching import match_tracks

    return match_tracks(db, config.match, full=full, progress=progress, stop=stop)


def _export(db: Database, config: Config, *, progress: ProgressCallback, stop: StopSignal) -> "ExportResult":
    from psm.export import export_playlists

    return export_playlists(db, config.export, progress=progress, stop=stop)


def _report(db: Database, config: Config, *, progress: ProgressCallback, stop: StopSignal) -> "ReportResult":
    from psm.report import write_report

    return write_report(db, config.report, progress=progress, stop=stop)
