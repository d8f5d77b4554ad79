"""``psm build``: scan, playlists in, match, export, report, each stage only when what it goes by has changed."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from psm.config import Config
from psm.db import Database, playlist_sources
from psm.errors import UsageError
from psm.ingest.library import ScanResult
from psm.progress import NeverStop, ProgressCallback, StopSignal, no_progress
from psm.providers import provider_for
from psm.services.libraries import add_library, added_notes, real_folder, shown
from psm.services.overrides_state import OverridesResult
from psm.services.playlist_sources import source_path
from psm.services.playlists import ImportResult, follow, import_playlists
from psm.services.playlists_file import restore
from psm.services.scanning import scan, take_in
from psm.services.stages import Stage, run_stages

if TYPE_CHECKING:
    from psm.export import ExportResult
    from psm.report import ReportResult
    from psm.services.matching import MatchResult


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
    folders, files = _playlist_sources(playlist_paths)
    restore(db, config.folder)
    notes = _add_libraries(db, config, library_folders, now=now, on_wait=on_wait)

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
    imported = None
    if named and not stop.is_set():
        imported = import_playlists(db, named, clock=now, progress=progress, stop=stop)
    if folders:
        follow(db, folders)
    stages = {
        Stage.MATCH,
        *([Stage.PLAYLISTS] if pull_playlists or folders else []),
        *([Stage.EXPORT] if export else []),
        *([Stage.REPORT] if report else []),
    }
    done = run_stages(db, config, stages=stages, full=full, progress=progress, stop=stop, now=now)
    return BuildResult(
        scan=replace(scanned, notes=(*notes, *scanned.notes, *([] if done.unkept is None else [done.unkept]))),
        imported=imported,
        pull=done.pull,
        overrides=done.overrides,
        match=done.match,
        export=done.export,
        report=done.report,
        duration_s=now() - started,
        stopped=stop.is_set(),
    )


def prepare_to_watch(
    db: Database,
    config: Config,
    *,
    library_folders: Sequence[Path] = (),
    playlist_paths: Sequence[Path] = (),
    now: Callable[[], float] = time.time,
    on_wait: Callable[[str], None] | None = None,
) -> tuple[str, ...]:
    """Takes in and remembers what a build that watches is to follow; returns sentences about that.

    The playlists themselves are read by the stages.

    :raises UsageError: when one of the paths is not there, or is no playlist. Nothing is changed then.
    """
    folders, files = _playlist_sources(playlist_paths)
    for file in files:
        if provider_for(os.fsencode(file)) is None:
            raise UsageError(f"{shown(file)} has no ending of a playlist that psm reads.")
    restore(db, config.folder)
    notes = _add_libraries(db, config, library_folders, now=now, on_wait=on_wait)
    notes += take_in(db, config, now=now, on_wait=on_wait)
    follow(db, folders)
    with db.transaction() as connection:
        for file in files:
            playlist_sources.remember_file(connection, source_path(os.fsencode(file)))
    return tuple(notes)


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
