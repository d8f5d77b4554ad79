"""``psm doctor``: looks for what would go wrong, and says how to mend it."""

import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from functools import partial
from importlib.metadata import version
from pathlib import Path

from psm import __version__
from psm.config import Config
from psm.db import Database, DatabaseError, libraries, metadata
from psm.errors import PsmError, UsageError
from psm.filesystems import FileSystem, filesystem_of, mounts_below
from psm.models import Library
from psm.progress import NeverStop, StopSignal
from psm.services.checks import Check, Verdict
from psm.services.drives import answered
from psm.services.event_source import limit_in_force
from psm.services.libraries import LibraryState, ensure_libraries, list_libraries
from psm.services.overrides import sync
from psm.services.watch_proof import gives_events, limits, prove

__all__ = ["Check", "Verdict", "examine"]

_SILENT = "its drive does not answer"


def examine(
    config: Config,
    open_database: Callable[[], AbstractContextManager[Database]],
    *,
    now: Callable[[], float],
    say: Callable[[str], None] = lambda _: None,
    stop: StopSignal = NeverStop(),
) -> tuple[Check, ...]:
    """Checks versions, the database, the libraries and their watching, and the folders that psm writes to.

    What the database knows is left out when it cannot be opened or read; that is then one of the problems. ``say`` is
    told for what psm waits. When ``stop`` is set, it ends soon, and what was not looked at is left out.
    """
    found: list[Check] = []
    with closing(_checks(config, open_database, now=now, say=say, stop=stop)) as checks:
        for check in checks:
            found.append(check)
            if stop.is_set():
                break
    return tuple(found)


def _checks(
    config: Config,
    open_database: Callable[[], AbstractContextManager[Database]],
    *,
    now: Callable[[], float],
    say: Callable[[str], None],
    stop: StopSignal,
) -> Generator[Check, None, None]:
    yield from _versions()
    try:
        with open_database() as db:
            yield from _database(db)
            yield from _named_libraries(db, config, now=now)
            yield from _libraries(db, config, now=now, say=say, stop=stop)
            yield from _overrides(db, config, now=now())
    except DatabaseError as e:
        yield Check("database", Verdict.PROBLEM, str(e))
    yield from _playlist_folders(config, stop=stop)
    yield from _outputs(config, stop=stop)


def _named_libraries(db: Database, config: Config, *, now: Callable[[], float]) -> Iterator[Check]:
    """What keeps libraries.yaml and the configuration from being taken over."""
    try:
        for sentence in ensure_libraries(db, config, now=now):
            yield Check("libraries", Verdict.NOTE, sentence)
    except UsageError as e:
        yield Check("libraries", Verdict.PROBLEM, str(e))


def _versions() -> Iterator[Check]:
    names = ("mutagen", "rapidfuzz", "watchdog", "typer")
    found = ", ".join(f"{name} {version(name)}" for name in names)
    yield Check("versions", Verdict.OK, f"psm {__version__}, Python {platform.python_version()}, {found}")
    if sys.getfilesystemencoding().lower() != "utf-8":
        yield Check(
            "names",
            Verdict.NOTE,
            f"this system writes names in {sys.getfilesystemencoding()}",
            "Set the environment variable PYTHONUTF8=1, so that names look right.",
        )


def _database(db: Database) -> Iterator[Check]:
    problems = db.check()
    if problems:
        yield Check(
            "database",
            Verdict.PROBLEM,
            f"{db.path} is damaged: {'; '.join(problems[:3])}",
            "Move it away and run psm build: it is built again, and decisions come back from psm-overrides.yaml.",
        )
    else:
        schema = metadata.get(db.connection, "schema_version")
        yield Check("database", Verdict.OK, f"{db.path} is whole (schema {schema}, SQLite {db.engine_version})")
    system = filesystem_of(db.path.parent)
    if not system.is_local:
        yield Check(
            "database",
            Verdict.NOTE,
            f"it lies on a network drive ({system.type}), where locks are slow and not always kept",
            "Set database.path to a folder on this machine.",
        )


def _libraries(
    db: Database, config: Config, *, now: Callable[[], float], say: Callable[[str], None], stop: StopSignal
) -> Iterator[Check]:
    states = list_libraries(db)
    if not states:
        yield Check("library", Verdict.PROBLEM, "there is none yet", "Add one with: psm library add FOLDER")
    sound = []
    for state in states:
        checks = list(_library(state, stop=stop))
        if all(check.verdict is not Verdict.PROBLEM for check in checks):
            sound.append(state.library)
        yield from checks
    watch = config.library.watch
    yield from prove(db, watch, sound, now=now, say=say, stop=stop)
    watched = [library for library in sound if library.watch and gives_events(library, watch)]
    yield from limits(
        sum(libraries.count_folders(db.connection, library.id) for library in watched),
        len(watched),
        watches=limit_in_force("max_user_watches"),
        instances=limit_in_force("max_user_instances"),
    )


def _library(state: LibraryState, *, stop: StopSignal = NeverStop()) -> Iterator[Check]:
    library, root = state.library, os.fsdecode(state.library.root)
    what = f"library {library.name}"
    move = f"psm library move {shlex.quote(library.name)} FOLDER"
    if not state.there:
        finding = f"{root} is not there"
        yield Check(what, Verdict.PROBLEM, finding, f"Mount its drive, or tell where it is now: {move}")
        return
    empty = answered(library.root, lambda: _is_empty(library.root), stop=stop)
    if not isinstance(empty, bool):
        finding = f"{root} cannot be read: {empty or _SILENT}"
        yield Check(what, Verdict.PROBLEM, finding, f"Mend its permissions, or tell where it is now: {move}")
        return
    if empty and state.present:
        yield Check(
            what,
            Verdict.PROBLEM,
            f"{root} is empty, but psm knows {state.present:,} files in it",
            "Mount its drive. If the files were deleted on purpose: psm scan --quick --accept-missing",
        )
        return
    yield Check(what, Verdict.OK, f"{root}: {state.present:,} files on {_kind(filesystem_of(library.root))}")
    yield from _mounts(what, library)


def _is_empty(folder: bytes) -> bool | str:
    """Whether nothing is in a folder; the reason when it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError as e:
        return e.strerror or str(e)


def _mounts(what: str, library: Library) -> Iterator[Check]:
    for place in mounts_below(library.root):
        system = filesystem_of(place)
        yield Check(what, Verdict.NOTE, f"{os.fsdecode(place)} is a mount of its own, {_kind(system)}")


def _kind(system: FileSystem) -> str:
    return f"{system.type} ({'local' if system.is_local else 'network or unknown'})"


def _overrides(db: Database, config: Config, *, now: float) -> Iterator[Check]:
    try:
        result = sync(db, config.folder, now=now)
    except PsmError as e:
        yield Check("decisions", Verdict.PROBLEM, str(e), "Mend the file; until then the decisions stay as they were.")
        return
    yield Check("decisions", Verdict.OK, f"{result.decisions:,} manual decisions in {result.path}")
    for problem in (*result.notices, *result.problems):
        yield Check("decisions", Verdict.NOTE, f"line {problem.line}: {problem.reason}", f"Mend it in {result.path}.")


def _playlist_folders(config: Config, *, stop: StopSignal) -> Iterator[Check]:
    for folder in config.playlists.folders:
        if not answered(folder, partial(os.path.isdir, folder), stop=stop):
            yield Check(
                "playlists",
                Verdict.NOTE,
                f"the folder {folder} is not there",
                "Mount its drive, or correct playlists.folders in the configuration.",
            )


def _outputs(config: Config, *, stop: StopSignal = NeverStop()) -> Iterator[Check]:
    folders = {f"profile {p.name}": p.folder for p in config.export.profiles}
    for what, folder in {**folders, "report": config.report.folder, "configuration": config.folder}.items():
        place, reason = answered(folder, partial(_place_to_write, folder), stop=stop) or (folder, _SILENT)
        if reason is not None:
            yield Check(
                what,
                Verdict.PROBLEM,
                f"{folder} cannot be written: {reason}" + ("" if place == folder else f" ({place})"),
                "Mend its permissions, or configure another folder.",
            )
        elif place == folder:
            yield Check(what, Verdict.OK, f"{folder} can be written")
        else:
            yield Check(what, Verdict.OK, f"{folder} is not there yet; psm makes it in {place}")


def _place_to_write(folder: Path) -> tuple[Path, str | None]:
    """Where a folder is or would be made, and why nothing can be written there, None when something can."""
    place = _nearest(folder)
    return place, _why_not_writable(place)


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest thing above it that is there."""
    return next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)


def _why_not_writable(place: Path) -> str | None:
    """The reason why nothing can be written to a folder, None when something can."""
    try:
        with tempfile.TemporaryFile(dir=place, prefix=".psm-doctor-"):
            return None
    except OSError as e:
        return e.strerror or str(e)
