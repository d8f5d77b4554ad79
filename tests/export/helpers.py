"""What the export tests share."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psm.config import ExportConfig, ExportProfile
from psm.db import Database, metadata, playlists
from psm.export import ExportResult, export_playlists
from psm.models import Library, LibraryFile, PlaylistEntry, SourcePlaylist, Status
from tests.factories import add_file, add_library, entry


@dataclass(slots=True)
class World:
    """A database with a music folder on disk; playlists are named by their source."""

    db: Database
    path: Path

    @property
    def music(self) -> Path:
        """The root of the library."""
        return self.path / "music"

    @property
    def out(self) -> Path:
        """A folder for playlists."""
        return self.path / "out"

    @property
    def library(self) -> Library:
        """The library."""
        self.music.mkdir(exist_ok=True)
        return add_library(self.db, root=os.fsencode(self.music))

    def file(self, name: bytes | str, **tags: Any) -> LibraryFile:
        """A file on disk and in the database."""
        path = os.path.join(os.fsencode(self.music), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"audio")
        return add_file(self.db, name, library=self.library, **tags)

    def playlist(self, name: str, *labels: str | PlaylistEntry, source: str | None = None) -> int:
        """A playlist; a string is a track's "artist - title"."""
        rows = tuple(e if isinstance(e, PlaylistEntry) else entry(e, position=n) for n, e in enumerate(labels, 1))
        given = SourcePlaylist("csv", os.path.join(b"/in", os.fsencode(source or name)), name, rows)
        with self.db.transaction() as connection:
            return playlists.store(connection, given, folder=None, source_state="", now=1.0).playlist_id

    def match(self, label: str, file: LibraryFile) -> None:
        """The match of the tracks with this title."""
        title = label.rpartition(" - ")[2]
        with self.db.transaction() as connection:
            generation = metadata.bump(connection, "matches")
            connection.execute(
                "INSERT OR REPLACE INTO matches (track_id, file_id, score, method, confidence, reasons, generation) "
                "SELECT id, ?, 1.0, 'exact', 'high', '[]', ? FROM tracks WHERE title = ?",
                (file.id, generation, title),
            )

    def mix(self, name: str = "Mix", *, source: str | None = None) -> LibraryFile:
        """A playlist of one found and one missing track."""
        found = self.file("A/one.flac", title="One", artists=("A",))
        self.playlist(name, "A - One", "B - Two", source=source)
        self.match("A - One", found)
        return found

    def lose_playlist(self, playlist_id: int) -> None:
        """Marks a playlist as gone."""
        with self.db.transaction() as connection:
            playlists.set_status(connection, playlist_id, Status.MISSING)

    def profile(self, name: str = "main", *, folder: Path | None = None, **settings: Any) -> ExportProfile:
        """A profile that writes to ``out``."""
        return ExportProfile(name, folder or self.out, **settings)

    def export(self, *profiles: ExportProfile, **options: Any) -> ExportResult:
        """An export of these profiles, by default one with default settings."""
        return export_playlists(self.db, config(*(profiles or (self.profile(),))), **options)

    def text(self, name: str = "Mix.m3u8") -> str:
        """What a playlist file holds."""
        return (self.out / name).read_bytes().decode("utf-8", "surrogateescape")

    def names(self) -> list[str]:
        """The playlist files, without the manifest."""
        return visible(self.out)


def config(*profiles: ExportProfile) -> ExportConfig:
    """The profiles as a section of the configuration."""
    return ExportConfig(tuple(profiles))


def visible(folder: Path) -> list[str]:
    """The names in a folder that are not hidden."""
    return sorted(n for n in os.listdir(folder) if not n.startswith("."))


def paths_in(text: str) -> Sequence[str]:
    """The path lines of an M3U playlist."""
    return [line for line in text.splitlines() if not line.startswith("#")]
