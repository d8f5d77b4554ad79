"""What the report tests share."""

import json
import os
from dataclasses import dataclass

from psm.db import Database, metadata, playlists
from psm.models import LibraryFile, PlaylistEntry, SourcePlaylist, Status
from psm.report.collect import collect
from psm.report.model import Report
from tests.factories import entry


@dataclass(slots=True)
class Shelf:
    """A database to report on."""

    db: Database

    def playlist(self, name: str, *labels: str | PlaylistEntry, status: Status = Status.PRESENT) -> int:
        """A playlist; a string is a track's "artist - title"."""
        rows = tuple(e if isinstance(e, PlaylistEntry) else entry(e, position=n) for n, e in enumerate(labels, 1))
        given = SourcePlaylist("csv", os.fsencode(f"/in/{name}"), name, rows)
        with self.db.transaction() as connection:
            number = playlists.store(connection, given, folder=None, source_state="", now=1.0).playlist_id
            playlists.set_status(connection, number, status)
        return number

    def match(
        self, title: str, file: LibraryFile, *, confidence: str = "high", score: float = 1.0, method: str = "fuzzy"
    ) -> None:
        """The match of the tracks of this title."""
        with self.db.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO matches (track_id, file_id, score, method, confidence, reasons, generation) "
                "SELECT id, ?, ?, ?, ?, ?, ? FROM tracks WHERE title = ?",
                (
                    *(file.id, score, method, confidence, json.dumps(["the titles are alike"])),
                    *(metadata.bump(connection, "matches"), title),
                ),
            )

    def report(self) -> Report:
        """The report as it is now."""
        with self.db.snapshot() as connection:
            return collect(connection)
