"""The report: read in one go, written where it changed."""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from psm import atomic
from psm.config import ReportConfig
from psm.db import Database, report_state
from psm.db.report_state import ReportState, WrittenReport
from psm.owned import (
    Manifest,
    ManifestDamaged,
    ManifestNewer,
    Output,
    OwnedFile,
    State,
    find,
    hash_of,
    locked,
    remove,
)
from psm.progress import NeverStop, Progress, ProgressCallback, StopSignal, no_progress
from psm.report.collect import Stopped, collect
from psm.report.due import settings_of
from psm.report.render import RenderedFile, render
from psm.report.result import Outcome, ReportFile, ReportResult

_MANIFEST = Manifest("report", OwnedFile)


def write_report(
    db: Database,
    cfg: ReportConfig,
    *,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    one_off: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> ReportResult:
    """Writes the report into ``cfg.folder``.

    Each file is written whole or not at all, and not touched when it is the same. One that a person edited, or that psm
    did not write, is kept as ``.bak``: ``.psm-report.json`` beside them tells. Files of the last report that this one
    does not have are removed when nobody edited them. ``one_off``: the folder is not the configured one, so no database
    remembers it and nothing is removed.
    """
    folder = os.path.abspath(os.fsencode(cfg.folder))
    try:
        os.makedirs(folder, exist_ok=True)
        with locked(folder, kind=_MANIFEST.kind, stop=stop, sleep=sleep):
            return _write_report(db, cfg, folder, progress=progress, stop=stop, one_off=one_off)
    except Stopped:
        return ReportResult(complete=False)
    except ManifestNewer as e:
        path = os.path.join(folder, _MANIFEST.name)
        return ReportResult((ReportFile(path, Outcome.FAILED, error=f"{e}; update psm"),))
    except OSError as e:
        if stop.is_set():
            return ReportResult(complete=False)
        return ReportResult((_failed(folder, e),))


def _write_report(
    db: Database, cfg: ReportConfig, folder: bytes, *, progress: ProgressCallback, stop: StopSignal, one_off: bool
) -> ReportResult:
    with db.snapshot() as connection:
        before = report_state.state(connection)
        generations = report_state.generations(connection)
        progress(Progress("report", 0, None, "reading"))
        report = collect(connection, stop=stop)
    last = () if before is None else before.files
    ours = _ours(folder, last)
    files: list[ReportFile] = []
    names: list[str] = []
    for number, new in enumerate(render(report, cfg.formats), start=1):
        if stop.is_set():
            return ReportResult(tuple(files), complete=False)
        names.append(new.name)
        files.append(_write(folder, new, ours))
        progress(Progress("report", number, None, new.name))
    removed: list[bytes] = []
    if not one_off:
        removed = _retire(folder, ours, [name for name in ours if name not in names])
        for other in {os.path.dirname(w.output.path) for w in last} - {folder}:
            with suppress(OSError, ManifestNewer), locked(other, kind=_MANIFEST.kind, stop=stop):
                theirs = _ours(other, last)
                removed += _retire(other, theirs, _names_in(other, last))
                _MANIFEST.write(other, theirs.values())
    try:
        _MANIFEST.write(folder, ours.values())
    except OSError as e:
        files.append(_failed(os.path.join(folder, _MANIFEST.name), e))
    result = ReportResult(tuple(files), tuple(removed), report.summary)
    if not one_off and not result.failed:
        written = tuple(
            WrittenReport(Output.of(os.path.join(folder, os.fsencode(n))), ours[n].hashes[0]) for n in names
        )
        state = ReportState(settings_of(cfg), generations, written, Output.of(os.path.join(folder, _MANIFEST.name)))
        with db.transaction() as connection:
            report_state.put_state(connection, state)
    return result


def _ours(folder: bytes, last: Iterable[WrittenReport]) -> dict[str, OwnedFile]:
    """The files of ``folder`` that psm wrote, by name: those listed, and untouched ones of the ``last`` report.

    Raises OSError and ManifestNewer.
    """
    try:
        ours = {entry.name: entry for entry in _MANIFEST.read(folder)}
    except ManifestDamaged:
        _MANIFEST.set_aside(folder)
        ours = {}
    for written in last:
        name = os.fsdecode(os.path.basename(written.output.path))
        if os.path.dirname(written.output.path) != folder or name in ours:
            continue
        if find(folder, name, (written.hash,)).state is State.OURS:
            ours[name] = OwnedFile(name, (written.hash,))
    return ours


def _write(folder: bytes, new: RenderedFile, ours: dict[str, OwnedFile]) -> ReportFile:
    """Puts a file in place, and notes in ``ours`` that it is psm's."""
    path = os.path.join(folder, os.fsencode(new.name))
    entry = OwnedFile(new.name, (hash_of(new.content),))
    try:
        found = find(folder, new.name, ours[new.name].hashes if new.name in ours else None)
        if found.hash in entry.hashes:
            ours[new.name] = entry
            return ReportFile(path, Outcome.UNCHANGED)
        backup = None
        old: tuple[str, ...] = ()
        if found.state in (State.EDITED, State.FOREIGN):
            backup = atomic.set_aside(path)
        elif new.name in ours:
            old = ours[new.name].hashes
        ours[new.name] = OwnedFile(new.name, (*entry.hashes, *old))
        _MANIFEST.write(folder, ours.values())
        atomic.write(path, new.content, kind=_MANIFEST.kind)
    except OSError as e:
        return _failed(path, e)
    ours[new.name] = entry
    return ReportFile(path, Outcome.WRITTEN, backup)


def _retire(folder: bytes, ours: dict[str, OwnedFile], names: Iterable[str]) -> list[bytes]:
    """Removes files that nobody edited, and returns their paths; none of them is psm's any more."""
    gone = [ours.pop(name) for name in names if name in ours]
    return [os.path.join(folder, os.fsencode(entry.name)) for entry in gone if remove(folder, entry)]


def _names_in(folder: bytes, last: Iterable[WrittenReport]) -> list[str]:
    paths = [os.path.split(w.output.path) for w in last]
    return [os.fsdecode(name) for parent, name in paths if parent == folder]


def _failed(path: bytes, e: OSError) -> ReportFile:
    return ReportFile(path, Outcome.FAILED, error=e.strerror or str(e))
