"""``psm scan``: takes in new library folders, then runs the scan that was asked for."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from psm.config import Config
from psm.db import Database, libraries
from psm.errors import PsmError, UsageError
from psm.ingest.files import explain
from psm.ingest.ignore import IgnorePolicy
from psm.ingest.library import ScanResult, any_long_missing, scan_library, scan_library_incremental
from psm.ingest.library import forget_long_missing as forget_rows
from psm.ingest.targets import locate
from psm.progress import NeverStop, ProgressCallback, StopSignal, no_progress
from psm.services.libraries import add_library, added_notes, ensure_libraries, shown


def scan(
    db: Database,
    config: Config,
    paths: Sequence[Path] = (),
    *,
    quick: bool = False,
    since: float | None = None,
    accept_missing: bool = False,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    now: Callable[[], float] = time.time,
    on_wait: Callable[[str], None] | None = None,
) -> ScanResult:
    """Scans all libraries, or ``paths``; a folder that belongs to none becomes one, and the result's notes say so.

    Reads every file, unless ``quick`` (new and differing ones) or ``since`` (seconds since the epoch; also those whose
    times are not older).

    :raises UsageError: when there is no library, or a path is neither in one nor a folder.
    """
    notes = take_in(db, config, paths, now=now, on_wait=on_wait)
    chosen = list(paths) or None
    if quick or since is not None:
        result = scan_library_incremental(
            db,
            config.library,
            since,
            chosen,
            accept_missing=accept_missing,
            progress=progress,
            stop=stop,
            now=now,
            on_wait=on_wait,
        )
    else:
        result = scan_library(
            db,
            config.library,
            chosen,
            accept_missing=accept_missing,
            progress=progress,
            stop=stop,
            now=now,
            on_wait=on_wait,
        )
    if result.complete and not paths:
        forget_long_missing(db, config, now=now)
    return replace(result, notes=(*notes, *result.notes))


def take_in(
    db: Database,
    config: Config,
    paths: Sequence[Path] = (),
    *,
    now: Callable[[], float] = time.time,
    on_wait: Callable[[str], None] | None = None,
) -> list[str]:
    """Makes libraries of the configured folders, and of those among ``paths`` that belong to none; says which.

    :raises UsageError: when a path is neither in a library nor a folder.
    """
    return [
        *ensure_libraries(db, config, now=now, on_wait=on_wait),
        *_adopt(db, config, paths, now=now, on_wait=on_wait),
    ]


def forget_long_missing(db: Database, config: Config, *, now: Callable[[], float]) -> None:
    """Forgets files that are missing for longer than the grace time, once the decisions by hand are known."""
    if not any_long_missing(db, config.library, now=now()):
        return
    from psm.services.overrides import sync  # it brings YAML, and is rarely needed

    try:
        sync(db, config.folder, now=now())
    except PsmError:
        # The build says what is wrong with the decisions; until it is mended, nothing is forgotten.
        return
    forget_rows(db, config.library, now=now())


def explain_path(db: Database, config: Config, path: Path, *, now: Callable[[], float] = time.time) -> tuple[str, ...]:
    """Sentences that say why ``path`` is or is not scanned."""
    ensure_libraries(db, config, now=now)
    known = libraries.all_libraries(db.connection)
    place = locate(known, path)
    if place is None:
        return (f"{shown(path)} belongs to no library. Add its folder with: psm library add FOLDER",)
    library, relative = place
    policy = IgnorePolicy(config.library.ignored)
    others = [other.root for other in known if other != library]
    said = explain(library.root, relative, policy, follow_symlinks=config.library.follow_symlinks, others=others)
    return (f"It belongs to library {library.name}.", *said)


def _adopt(
    db: Database,
    config: Config,
    paths: Sequence[Path],
    *,
    now: Callable[[], float],
    on_wait: Callable[[str], None] | None,
) -> list[str]:
    """Makes the folders that belong to no library one. Nothing is changed when one of the paths is wrong."""
    known = libraries.all_libraries(db.connection)
    for path in paths:
        place = locate(known, path)
        if place is None and not os.path.isdir(path):
            what = "is a file in no library" if os.path.lexists(path) else "is not there"
            raise UsageError(f"{shown(path)} {what}. Name a folder of music, or add one with: psm library add FOLDER")
        if (
            place is not None
            and not os.path.lexists(path)
            and not libraries.knows(db.connection, place[0].id, place[1])
        ):
            raise UsageError(
                f"{shown(path)} is not there, and psm knows no file by that name. Check how it is spelled."
            )
    notes: list[str] = []
    for path in paths:
        if locate(libraries.all_libraries(db.connection), path) is None:
            notes += added_notes(add_library(db, config.folder, path, now=now, on_wait=on_wait))
    return notes
