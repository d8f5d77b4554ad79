"""A library on disk with its database, for tests of the scan."""

import os
from pathlib import Path

from psm.config import LibraryConfig
from psm.db import Database, files, libraries, metadata
from psm.ingest.library import ScanResult, scan_library, scan_library_incremental, scan_specific_files
from psm.ingest.terms import NO_TERMS, Terms
from psm.models import LibraryFile, Status
from tests.factories import write_flac

NOW = 2_000_000_000.0
OLD = 1_500_000_000


class Box:
    """A library on disk with its database."""

    def __init__(self, tmp_path: Path, *, cfg: LibraryConfig | None = None) -> None:
        self.root = tmp_path / "music"
        self.root.mkdir(parents=True)
        self.db = Database(tmp_path / "psm.db")
        self.cfg = cfg or LibraryConfig()
        self.now = NOW
        with self.db.transaction() as connection:
            self.library = libraries.add(connection, "music", os.fsencode(self.root), now=NOW)

    def add(self, path: str, *, mtime: int = OLD, audio: str | None = None, **tags: str) -> Path:
        place = write_flac(self.root / path, audio=audio or path, **{"title": path, **tags})  # type: ignore[arg-type]
        os.utime(place, (mtime, mtime))
        return place

    def full(self, *paths: Path, accept_missing: bool = False) -> ScanResult:
        return scan_library(self.db, self.cfg, paths or None, accept_missing=accept_missing, now=lambda: self.now)

    def quick(self, *, accept_missing: bool = False) -> ScanResult:
        return scan_library_incremental(self.db, self.cfg, accept_missing=accept_missing, now=lambda: self.now)

    def since(self, moment: float) -> ScanResult:
        return scan_library_incremental(self.db, self.cfg, moment, now=lambda: self.now)

    def some(self, *paths: Path | str, terms: Terms = NO_TERMS) -> ScanResult:
        return scan_specific_files(self.db, self.cfg, [self.root / p for p in paths], terms=terms, now=lambda: self.now)

    def rows(self) -> dict[str, LibraryFile]:
        """The present files by path."""
        return {os.fsdecode(f.path): f for f in files.all_files(self.db.connection, status=Status.PRESENT)}

    def missing(self) -> dict[str, LibraryFile]:
        return {os.fsdecode(f.path): f for f in files.all_files(self.db.connection, status=Status.MISSING)}

    def id_of(self, path: str) -> int:
        return self.rows()[path].id

    def generation(self) -> int:
        return metadata.generation(self.db.connection, "library_files")


def counts(result: ScanResult) -> dict[str, int]:
    names = ("added", "updated", "moved", "restored", "missing", "unchanged", "refused")
    return {name: getattr(result, name) for name in names if getattr(result, name)}
