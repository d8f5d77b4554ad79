"""The report: read in one go, written where it changed."""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum

from psm import atomic
from psm.config import ReportConfig
from psm.db import Database, reports
from psm.db.reports import Output, ReportState, WrittenReport
from psm.progress import NeverStop, Progress, ProgressCallback, StopSignal, no_progress
from psm.report.collect import collect
from psm.report.model import Summary
from psm.report.render import RenderedFile, render

REPORT_VERSION = 1
"""Goes up when the same input gives other files."""

_TEMPORARY_KIND = "report"


class Outcome(StrEnum):
    """What became of one file of the report."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReportFile:
    """One file of the report.

    ``backup`` is where a person's version of it went; ``error`` says why it could not be written.
    """

    path: bytes
    outcome: Outcome
    backup: bytes | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ReportResult:
    """What was written and what it says. ``complete`` is false when it was stopped; ``summary`` is then None."""

    files: tuple[ReportFile, ...] = ()
    removed: tuple[bytes, ...] = ()
    summary: Summary | None = None
    complete: bool = True

    @property
    def failed(self) -> tuple[ReportFile, ...]:
        """What could not be written."""
        return tuple(f for f in self.files if f.outcome is Outcome.FAILED)


def write_report(
    db: Database,
    cfg: ReportConfig,
    *,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    one_off: bool = False,
) -> ReportResult:
    """Writes the report into ``cfg.folder``.

    Each file is written whole or not at all, and not touched when it is the same. One that a person edited, or that psm
    did not write, is kept as ``.bak``. Files of the last report that this one does not have are removed when nobody
    edited them. ``one_off``: the folder is not the configured one, so nothing is remembered or removed.
    """
    with db.snapshot() as connection:
        before = reports.state(connection)
        generations = reports.generations(connection)
        progress(Progress("report", 0, None, "reading"))
        report = collect(connection)
    known = {w.output.path: w.hash for w in before.files} if before else {}
    folder = os.path.abspath(os.fsencode(cfg.folder))
    files: list[ReportFile] = []
    hashes: dict[bytes, str] = {}
    for number, new in enumerate(render(report, cfg.formats), start=1):
        if stop.is_set():
            return ReportResult(tuple(files), complete=False)
        path = os.path.join(folder, os.fsencode(new.name))
        hashes[path] = _hash(new.content)
        files.append(_write(path, new, known.get(path)))
        progress(Progress("report", number, None, new.name))
    if one_off:
        return ReportResult(tuple(files), summary=report.summary)
    removed = tuple(path for path, digest in known.items() if path not in hashes and _remove(path, digest))
    result = ReportResult(tuple(files), removed, report.summary)
    if not result.failed:
        written = tuple(WrittenReport(_output(path), digest) for path, digest in hashes.items())
        with db.transaction() as connection:
            reports.put_state(connection, ReportState(_settings(cfg), generations, written))
    return result


def is_due(connection: reports.Connection, cfg: ReportConfig) -> bool:
    """Whether a report would say anything new, or one of its files is not as it was left."""
    state = reports.state(connection)
    if state is None or state.settings != _settings(cfg) or state.generations != reports.generations(connection):
        return True
    return any(_output(w.output.path) != w.output for w in state.files)


def _write(path: bytes, new: RenderedFile, known: str | None) -> ReportFile:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _sweep(os.path.dirname(path))
        there = _read(path)
        if there == new.content:
            return ReportFile(path, Outcome.UNCHANGED)
        backup = None
        if os.path.lexists(path) and not _is_ours(there, new, known):
            backup = atomic.set_aside(path)
        atomic.write(path, new.content, kind=_TEMPORARY_KIND)
    except OSError as e:
        return ReportFile(path, Outcome.FAILED, error=e.strerror or str(e))
    return ReportFile(path, Outcome.WRITTEN, backup)


def _read(path: bytes) -> bytes | None:
    """The content of a regular file; None when there is none."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return file.read()


def _is_ours(there: bytes | None, new: RenderedFile, known: str | None) -> bool:
    """Whether psm wrote what is there: it remembers, or after the database was lost, it looks like it."""
    if there is None:
        return False
    return _hash(there) == known if known is not None else there.startswith(new.start)


def _remove(path: bytes, digest: str) -> bool:
    with suppress(OSError):
        there = _read(path)
        if there is not None and _hash(there) == digest:
            os.unlink(path)
            return True
    return False


def _sweep(folder: bytes) -> None:
    for name in os.listdir(folder):
        if atomic.is_leftover(name, kind=_TEMPORARY_KIND):
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _settings(cfg: ReportConfig) -> str:
    return json.dumps([REPORT_VERSION, asdict(cfg)], default=os.fsdecode)


def _output(path: bytes) -> Output:
    with suppress(OSError):
        info = os.lstat(path)
        return Output(path, info.st_size, info.st_mtime_ns)
    return Output(path, -1, -1)
