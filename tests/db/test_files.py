"""Reading rows ahead of a walk: whatever is asked for, and in whatever order, it is what the database holds."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from psm.db import Database, files
from psm.models import Library
from tests.factories import add_file, add_library, lose_file

FOLDERS = ("", "a", "a b", "a b/x", "a/x", "a/x/y", "a-", "b", "c/d/e", "nothing", "é")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Library]]:
    """Folders of no file, of one missing one, and of up to nine; and another library with the same folders."""
    with Database(tmp_path_factory.mktemp("rows") / "psm.db") as db:
        library, other = add_library(db), add_library(db, name="other", root=b"/other")
        for count, folder in enumerate(f for f in FOLDERS if f != "nothing"):
            lose_file(db, add_file(db, Path(folder, "gone.flac").as_posix(), library=library))
            for number in range(count):
                add_file(db, Path(folder, f"{number}.flac").as_posix(), library=library)
            add_file(db, Path(folder, "theirs.flac").as_posix(), library=other)
        yield db, library


def direct(db: Database, library: Library, folder: bytes) -> list[tuple[object, ...]]:
    return sorted(files.folder_rows(db.connection, library.id, folder).values())


@pytest.mark.parametrize("most", [1, 2, 5, 20, 1000])
@pytest.mark.parametrize("seed", range(20))
def test_rows_read_ahead_are_those_of_the_folder_in_any_order(
    library: tuple[Database, Library], most: int, seed: int
) -> None:
    db, own = library
    chance = random.Random(seed)
    asked = [os.fsencode(f) for f in chance.choices(FOLDERS, k=30)]
    if seed % 2:
        asked.sort(key=lambda f: f.split(b"/"))  # as a walk goes
    ahead = files.RowsAhead(db.connection, own.id, least=1 + seed % 3, most=most)
    for folder in asked:
        given = ahead.of(folder)
        assert sorted(row[:7] for row in given.values()) == direct(db, own, folder)
        assert all(row[1] == path for path, row in given.items())
        given.clear()  # it is the asker's: the next who asks has all of them again


def test_a_folder_of_more_files_than_are_read_at_once_is_whole(tmp_path: Path) -> None:
    with Database(tmp_path / "psm.db") as db:
        own = add_library(db)
        for number in range(300):
            add_file(db, f"many/{number}.flac", library=own)
        ahead = files.RowsAhead(db.connection, own.id, least=8, most=16)
        assert (len(ahead.of(b"")), len(ahead.of(b"many")), len(ahead.of(b"more"))) == (0, 300, 0)


def test_few_queries_serve_a_walk(tmp_path: Path) -> None:
    with Database(tmp_path / "psm.db") as db:
        own = add_library(db)
        folders = [b"artist %03d/album %d" % (a, b) for a in range(60) for b in range(5)]
        for folder in folders:
            add_file(db, folder + b"/1.flac", library=own)
        queries: list[str] = []
        db.connection.set_trace_callback(queries.append)
        ahead = files.RowsAhead(db.connection, own.id)
        assert sum(len(ahead.of(folder)) for folder in folders) == 300
        assert len(queries) < 10
