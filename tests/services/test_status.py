import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from psm.db import Database, metadata
from psm.locks import hold
from psm.services.status import LastScan, status
from psm.services.watch_status import WatcherStatus, write
from tests.factories import add_file, add_library, add_playlist, lose_file


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as db:
        yield db


def test_an_empty_database_has_nothing_to_tell(db: Database) -> None:
    found = status(db)
    assert (found.libraries, found.playlists) == ((), ())


def test_it_tells_counts_the_last_scan_and_coverage(db: Database, tmp_path: Path) -> None:
    library = add_library(db, root=bytes(tmp_path))
    add_library(db, name="new", root=b"/new")
    add_file(db, "a.mp3", library=library)
    lose_file(db, add_file(db, "b.mp3", library=library))
    add_playlist(db, "A - One", "A - Two")
    with db.transaction() as c:
        metadata.put(c, f"last_scan:{library.id}", '{"mode": "quick", "at": 12.5, "complete": false}')
    music, new = status(db).libraries
    assert (music.state.present, music.state.missing, music.state.there) == (1, 1, True)
    assert music.last_scan == LastScan("quick", 12.5, complete=False)
    assert (new.state.there, new.last_scan) == (False, None)
    [playlist] = status(db).playlists
    assert (playlist.name, playlist.tracks, playlist.found) == ("Mix", 2, 0)


def test_it_tells_of_the_watcher_that_runs(db: Database) -> None:
    library = add_library(db)
    add_library(db, name="other", root=b"/other")
    said = WatcherStatus(library.name, library.root, "psm scan --watch", os.getpid(), 1.0)
    write(db.watch_status(library.id), said)
    with hold(db.watch_lock(library.id), what="psm scan --watch"):
        music, other = status(db).libraries
    assert (music.watcher and music.watcher.status, other.watcher) == (said, None)
    assert status(db).libraries[0].watcher is None


def test_reading_the_status_changes_nothing(db: Database) -> None:
    with Database(db.path) as other:
        before = other.connection.execute("PRAGMA data_version").fetchone()
        status(db)
        assert other.connection.execute("PRAGMA data_version").fetchone() == before
