"""What the report remembers of the last one. Apart from what it reads, for those who only ask whether one is due."""

import json
import os
import sqlite3
from dataclasses import dataclass

from psm.db import metadata
from psm.db.exports import Generations, generations
from psm.owned import Output

__all__ = ["Generations", "ReportState", "WrittenReport", "generations", "put_state", "state"]

Connection = sqlite3.Connection

_STATE = "stage:report"


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A file of the last report as it was left; ``hash`` is that of its content."""

    output: Output
    hash: str


@dataclass(frozen=True, slots=True)
class ReportState:
    """What the last complete report consumed and made. ``settings`` stands for them and the version of the report.

    ``manifest`` is the list of psm's own files beside them.
    """

    settings: str
    generations: Generations
    files: tuple[WrittenReport, ...]
    manifest: Output


def state(connection: Connection) -> ReportState | None:
    """What the last complete report left; None when there was none, or one that this psm cannot read."""
    try:
        stored = json.loads(metadata.get(connection, _STATE) or "null")
        return ReportState(
            settings=stored["settings"],
            generations=Generations(*stored["generations"]),
            files=tuple(WrittenReport(Output(os.fsencode(p), size, mtime), h) for p, size, mtime, h in stored["files"]),
            manifest=Output(os.fsencode(stored["manifest"][0]), *stored["manifest"][1:]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def put_state(connection: Connection, new: ReportState) -> None:
    """Remembers a complete report."""
    g = new.generations
    document = {
        "settings": new.settings,
        "generations": [g.playlists, g.tracks, g.matches, g.library_files],
        "files": [[os.fsdecode(w.output.path), w.output.size_bytes, w.output.mtime_ns, w.hash] for w in new.files],
        "manifest": [os.fsdecode(new.manifest.path), new.manifest.size_bytes, new.manifest.mtime_ns],
    }
    metadata.put(connection, _STATE, json.dumps(document))
