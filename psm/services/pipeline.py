"""``psm build``: scan, playlists in, match, export, report, each stage only when what it goes by has changed."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from psm.config import Config
from psm.db import Database
from psm.errors import UsageError
from psm.export.due import is_due as export_is_due
from psm.ingest.library import ScanResult
from psm.progress import NeverStop, ProgressCallback, StopSignal, no_progress
from psm.report.due import is_due as report_is_due
from psm.services.libraries import add_library, added_notes, real_folder, shown
from psm.services.match_due import is_due as match_is_due
from psm.services.overrides_state import OverridesResult, unchanged
from psm.services.playlists import ImportResult, follow, follow_files, import_playlists, pull
from psm.services.playlists_file import keep, restore
from psm.services.scanning import scan

if TYPE_CHECKING:
    from psm.export import ExportResult
    from psm.report import ReportResult
    from psm.services.matching import MatchResult

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What each stage did; None for one that was left out, or had nothing to do."""

    scan: ScanResult
    imported: ImportResult | None = None
    pull: ImportResult | None = None
    overrides: OverridesResult | None = None
    match: "MatchResult | None" = None
    export: "ExportResult | None" = None
    report: "ReportResult | None" = None
    duration_s: float = 0.0
    stopped: bool = False

    @property
    def nothing_to_do(self) -> bool:
        """Whether everything was as the last build left it."""
        taken_in = [r for r in (self.imported, self.pull) if r is not None and (r.added or r.updated or r.missing)]
        done = self.scan.changed or taken_in or self.match or self.export or self.report
        return not done and self.scan.complete and not self.stopped

    @property
    def complete(self) -> bool:
        """Whether every stage that ran came to its end, and all could be looked at."""
        stages = (self.scan, self.imported, self.pull, self.match, self.export, self.report)
        return not self.stopped and all(stage is None or stage.complete for stage in stages)


def build(
    db: Database,
    config: Config,
    *,
    library_folders: Sequence[Path] = (),
    playlist_paths: Sequence[Path] = (),
    full: bool = False,
    pull_playlists: bool = True,
    export: bool = True,
    report: bool = True,
    accept_missing: bool = False,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    now: Callable[[], float] = time.time,
    on_wait: Callable[[str], None] | None = None,
) -> BuildResult:
    """Brings everything up to date with the disk and the playlists. ``full`` does every stage anew.

    ``library_folders`` and ``playlist_paths`` (files and folders) are taken in and remembered. A stage that was
    interrupted, or never reached, is due again at the next build.

    :raises UsageError: when there is no library, or one of the paths is not there. Nothing is changed then.
    :raises PsmError: when the database or ``psm-overrides.yaml`` cannot be read or written.
    """
    started = now()
    connection = db.connection
    folders, files = _playlist_sources(playlist_paths)
    restore(db, config.folder)
    notes = _add_libraries(db, config, library_folders, now=now, on_wait=on_wait)

    def unless_stopped(due: bool, stage: Callable[[], T]) -> T | None:
        return stage() if due and not stop.is_set() else None

    scanned = scan(
        db,
        config,
        quick=not full,
        accept_missing=accept_missing,
        progress=progress,
        stop=stop,
        now=now,
        on_wait=on_wait,
    )
    named = [os.fsencode(f) for f in files]
    imported = unless_stopped(bool(named), lambda: import_playlists(db, named, clock=now, progress=progress, stop=stop))
    if folders:
        follow(db, folders)
    pulled = unless_stopped(
        pull_playlists or bool(folders),
        lambda: pull(db, config.playlists.folders, clock=now, progress=progress, stop=stop),
    )
    unkept = keep(db, config.folder)
    follow_files(db)
    decided = unless_stopped(True, lambda: _sync(db, config, now=now()))
    matched = unless_stopped(
        full or match_is_due(connection, config.match),
        lambda: _match(db, config, full=full, progress=progress, stop=stop),
    )
    exported = unless_stopped(
        export and (full or export_is_due(connection, config.export)),
        lambda: _export(db, config, progress=progress, stop=stop),
    )
    reported = unless_stopped(
        report and (full or report_is_due(connection, config.report)),
        lambda: _report(db, config, progress=progress, stop=stop),
    )
    return BuildResult(
        scan=replace(scanned, notes=(*notes, *scanned.notes, *([] if unkept is None else [unkept]))),
        imported=imported,
        pull=pulled,
        overrides=decided,
        match=matched,
        export=exported,
        report=reported,
        duration_s=now() - started,
        stopped=stop.is_set(),
    )


# A stage is imported when it is due: a build with nothing to do loads neither rapidfuzz nor the template engine.


def _sync(db: Database, config: Config, *, now: float) -> OverridesResult:
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


def _playlist_sources(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The folders among ``paths``, and the files."""
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"{shown(path)} is not there. Name a playlist file, or a folder of them.")
    return [p for p in paths if os.path.isdir(p)], [p for p in paths if not os.path.isdir(p)]


def _add_libraries(
    db: Database,
    config: Config,
    paths: Sequence[Path],
    *,
    now: Callable[[], float],
    on_wait: Callable[[str], None] | None,
) -> list[str]:
    for path in paths:
        real_folder(path)  # a wrong one is named before the others are added
    notes: list[str] = []
    for path in paths:
        notes += added_notes(add_library(db, config.folder, path, now=now, on_wait=on_wait))
    return notes
