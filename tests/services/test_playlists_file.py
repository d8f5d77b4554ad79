"""Where playlists came from outlives the database."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from psm.db import Database
from psm.errors import UsageError
from psm.services.playlists import import_playlists, pull, remove
from psm.services.playlists_file import FILE_NAME, PlaylistSources, keep, known_sources, recall


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as database:
        yield database


@pytest.fixture
def sources(tmp_path: Path, db: Database) -> PlaylistSources:
    """A folder with one playlist, and another one imported by name; both names are odd."""
    folder = os.fsencode(tmp_path) + b"/play\xfflists: \xc3\xa9"
    os.makedirs(folder)
    named = os.fsencode(tmp_path) + b"/# mix\n.m3u8"
    for path in (folder + b"/one.m3u8", named):
        Path(os.fsdecode(path)).write_text("#EXTM3U\n#EXTINF:100,Someone - Something\nx.mp3\n")
    pull(db, [Path(os.fsdecode(folder))])
    import_playlists(db, [named])
    return PlaylistSources((folder,), (named,))


def test_sources_are_recalled_by_a_new_database(tmp_path: Path, db: Database, sources: PlaylistSources) -> None:
    assert known_sources(db) == sources
    assert keep(db, tmp_path / "config") is None
    with Database(tmp_path / "new.db") as new:
        assert recall(new, tmp_path / "config") == sources


@pytest.mark.usefixtures("sources")
def test_a_database_with_playlists_recalls_nothing(tmp_path: Path, db: Database) -> None:
    keep(db, tmp_path)
    assert recall(db, tmp_path) == PlaylistSources()


@pytest.mark.usefixtures("sources")
def test_an_unchanged_file_is_not_touched_and_a_deleted_one_written_again(tmp_path: Path, db: Database) -> None:
    keep(db, tmp_path)
    before = (tmp_path / FILE_NAME).stat()
    keep(db, tmp_path)
    assert (tmp_path / FILE_NAME).stat() == before
    (tmp_path / FILE_NAME).unlink()
    keep(db, tmp_path)
    assert (tmp_path / FILE_NAME).exists()


def test_a_removed_playlist_leaves_the_file(tmp_path: Path, db: Database, sources: PlaylistSources) -> None:
    keep(db, tmp_path)
    for name in ("one", "# mix\n"):
        remove(db, name)
    keep(db, tmp_path)
    with Database(tmp_path / "new.db") as new:
        assert recall(new, tmp_path) == PlaylistSources()


def test_without_playlists_no_file_is_made(tmp_path: Path, db: Database) -> None:
    assert keep(db, tmp_path / "config") is None
    assert not (tmp_path / "config").exists()
    assert recall(db, tmp_path / "config") == PlaylistSources()


@pytest.mark.usefixtures("sources")
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path, db: Database) -> None:
    (tmp_path / "config").write_text("a file")
    assert "cannot be written" in (keep(db, tmp_path / "config") or "")


@pytest.mark.parametrize("content", ["- a list", "folders: x", "folders: [relative]", "files: [1]", "a: [", "\x00"])
def test_a_file_that_makes_no_sense_is_named(tmp_path: Path, db: Database, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(UsageError, match=FILE_NAME):
        recall(db, tmp_path)


@pytest.mark.parametrize("content", ["", "folders:\nfiles:\n", "# nothing\n"])
def test_a_file_without_entries_recalls_nothing(tmp_path: Path, db: Database, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    assert recall(db, tmp_path) == PlaylistSources()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, db: Database) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        recall(db, tmp_path)
