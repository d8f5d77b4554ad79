"""Where playlists came from outlives the database, and whatever is not there just now."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from psm.db import Database, playlists
from psm.db.playlist_sources import PlaylistSources, remembered
from psm.errors import UsageError
from psm.services.playlists import follow, forget, import_playlists, pull, remove
from psm.services.playlists_file import FILE_NAME, keep, restore


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as database:
        yield database


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config"


@pytest.fixture
def sources(tmp_path: Path, db: Database) -> PlaylistSources:
    """A followed folder with one playlist, and another one imported by name; both names are odd."""
    folder = os.fsencode(tmp_path) + b"/play\xfflists: \xc3\xa9"
    os.makedirs(folder)
    named = os.fsencode(tmp_path) + b"/# mix\n.m3u8"
    for path in (folder + b"/one.m3u8", named):
        write(Path(os.fsdecode(path)))
    follow(db, [Path(os.fsdecode(folder))])
    pull(db, [])
    import_playlists(db, [named])
    return PlaylistSources((folder,), (named,))


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#EXTM3U\n#EXTINF:100,Someone - Something\nx.mp3\n")
    return path


def rebuilt(tmp_path: Path, config: Path) -> Database:
    """A database that knows nothing but what is in the configuration folder."""
    number = len(list(tmp_path.glob("new*.db")))
    new = Database(tmp_path / f"new{number}.db")
    restore(new, config)
    return new


def test_sources_are_restored_into_a_new_database(
    tmp_path: Path, db: Database, config: Path, sources: PlaylistSources
) -> None:
    assert remembered(db.connection) == sources
    assert keep(db, config) is None
    with rebuilt(tmp_path, config) as new:
        assert remembered(new.connection) == sources
        pull(new, [])
        assert {p.name for p in playlists.all_playlists(new.connection)} == {"one", "# mix"}


def test_a_new_database_that_never_read_the_file_does_not_overwrite_it(
    tmp_path: Path, db: Database, config: Path, sources: PlaylistSources
) -> None:
    keep(db, config)
    other = write(tmp_path / "other.m3u8")
    with Database(tmp_path / "new.db") as new:
        import_playlists(new, [os.fsencode(other)])
        keep(new, config)
    with rebuilt(tmp_path, config) as newer:
        assert remembered(newer.connection) == PlaylistSources(
            sources.folders, tuple(sorted((*sources.files, os.fsencode(other))))
        )


def test_what_is_away_when_the_database_is_built_again_stays_remembered(
    tmp_path: Path, db: Database, config: Path, sources: PlaylistSources
) -> None:
    keep(db, config)
    away = tmp_path / "away"
    away.mkdir()
    for path in (*sources.folders, *sources.files):
        os.rename(path, os.fsencode(away) + b"/" + os.path.basename(path))
    with rebuilt(tmp_path, config) as new:
        result = pull(new, [])
        assert [problem.path for problem in result.problems] == list(sources.folders)
        assert result.absent == sources.files
        keep(new, config)
    with rebuilt(tmp_path, config) as newer:
        assert remembered(newer.connection) == sources
        for path in (*sources.folders, *sources.files):
            os.rename(os.fsencode(away) + b"/" + os.path.basename(path), path)
        assert len(pull(newer, []).added) == 2


def test_a_folder_without_playlists_is_remembered(tmp_path: Path, db: Database, config: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    follow(db, [empty])
    pull(db, [])
    keep(db, config)
    with rebuilt(tmp_path, config) as new:
        write(empty / "first.m3u8")
        assert [change.name for change in pull(new, []).added] == ["first"]


def test_a_folder_whose_last_playlist_is_removed_stays_and_a_file_does_not(
    tmp_path: Path, db: Database, config: Path, sources: PlaylistSources
) -> None:
    keep(db, config)
    for name in ("one", "# mix\n"):
        remove(db, name)
    keep(db, config)
    with rebuilt(tmp_path, config) as new:
        assert remembered(new.connection) == PlaylistSources(folders=sources.folders)


def test_a_folder_that_the_configuration_names_is_not_repeated(tmp_path: Path, db: Database, config: Path) -> None:
    write(tmp_path / "lists" / "a.m3u8")
    pull(db, [tmp_path / "lists"])
    assert remembered(db.connection) == PlaylistSources()
    keep(db, config)
    assert not config.exists()


def test_a_folder_taken_out_of_the_configuration_is_let_go_and_its_playlists_stay(tmp_path: Path, db: Database) -> None:
    kept = write(tmp_path / "lists" / "a.m3u8")
    pull(db, [tmp_path / "lists"])

    result = pull(db, [])

    assert [p.name for p in result.released] == ["a"]
    assert remembered(db.connection) == PlaylistSources(files=(os.fsencode(kept),))
    write(tmp_path / "lists" / "new.m3u8")
    again = pull(db, [])
    assert ([c.name for c in again.unchanged], again.added, again.released) == (["a"], (), ())
    remove(db, "a")
    assert pull(db, []).added == ()


def test_a_folder_put_back_into_the_configuration_is_followed_as_before(tmp_path: Path, db: Database) -> None:
    file = write(tmp_path / "lists" / "a.m3u8")
    write(tmp_path / "lists" / "b.m3u8")
    pull(db, [tmp_path / "lists"])
    pull(db, [])
    pull(db, [tmp_path / "lists"])
    file.unlink()
    assert [p.name for p in pull(db, [tmp_path / "lists"]).missing] == ["a"]


def test_a_folder_that_was_named_as_well_is_followed_without_the_configuration(tmp_path: Path, db: Database) -> None:
    write(tmp_path / "lists" / "a.m3u8")
    follow(db, [tmp_path / "lists"])
    pull(db, [tmp_path / "lists"])
    write(tmp_path / "lists" / "b.m3u8")
    result = pull(db, [])
    assert ([c.name for c in result.added], result.released) == (["b"], ())


def test_a_followed_folder_that_is_away_lets_nothing_go(tmp_path: Path, db: Database) -> None:
    write(tmp_path / "real" / "a.m3u8")
    (tmp_path / "lists").symlink_to(tmp_path / "real")
    pull(db, [tmp_path / "lists"])
    shutil.move(tmp_path / "real", tmp_path / "unplugged")
    result = pull(db, [tmp_path / "lists"])
    assert ([p.name for p in result.gone], result.released) == (["a"], ())


def test_a_missing_playlist_that_was_let_go_comes_back_with_its_file(tmp_path: Path, db: Database) -> None:
    file = write(tmp_path / "lists" / "a.m3u8")
    write(tmp_path / "lists" / "b.m3u8")
    pull(db, [tmp_path / "lists"])
    file.unlink()
    assert [p.name for p in pull(db, [tmp_path / "lists"]).missing] == ["a"]
    result = pull(db, [])
    assert (result.gone, result.absent, len(result.released)) == ((), (), 2)
    write(file)
    assert [c.name for c in pull(db, []).updated] == ["a"]


def test_a_forgotten_folder_is_not_followed_and_its_playlists_stay(
    tmp_path: Path, db: Database, config: Path, sources: PlaylistSources
) -> None:
    [folder] = sources.folders
    (tmp_path / "link").symlink_to(os.fsdecode(folder))
    forgotten = forget(db, os.fsencode(tmp_path / "link"))
    assert (forgotten.path, [p.name for p in forgotten.released]) == (folder, ["one"])
    write(Path(os.fsdecode(folder)) / "new.m3u8")
    result = pull(db, [])
    assert (result.added, len(result.unchanged)) == ((), 2)
    keep(db, config)
    with rebuilt(tmp_path, config) as new:
        assert remembered(new.connection) == PlaylistSources(
            files=tuple(sorted((*sources.files, folder + b"/one.m3u8")))
        )


def test_a_file_that_is_gone_for_good_can_be_forgotten(
    tmp_path: Path, db: Database, config: Path, sources: PlaylistSources
) -> None:
    [file] = sources.files
    with pytest.raises(UsageError, match="psm playlist remove"):
        forget(db, file)
    keep(db, config)
    os.unlink(file)
    with rebuilt(tmp_path, config) as new:
        assert pull(new, []).absent == (file,)
        forget(new, file)
        assert pull(new, []).absent == ()


def test_forgetting_what_is_not_remembered_lists_what_is(tmp_path: Path, db: Database) -> None:
    with pytest.raises(UsageError, match="There is nothing"):
        forget(db, os.fsencode(tmp_path))
    follow(db, [tmp_path])
    with pytest.raises(UsageError, match=f"Those are:\n  {tmp_path}"):
        forget(db, b"/nowhere")


@pytest.mark.usefixtures("sources")
def test_a_database_that_read_the_file_once_does_not_read_it_again(tmp_path: Path, db: Database) -> None:
    keep(db, tmp_path)
    before = remembered(db.connection)
    (tmp_path / FILE_NAME).write_text("folders: [/other]\n")
    restore(db, tmp_path)
    assert remembered(db.connection) == before


@pytest.mark.usefixtures("sources")
def test_an_unchanged_file_is_not_touched_and_a_deleted_one_written_again(tmp_path: Path, db: Database) -> None:
    keep(db, tmp_path)
    before = (tmp_path / FILE_NAME).stat()
    keep(db, tmp_path)
    assert (tmp_path / FILE_NAME).stat() == before
    (tmp_path / FILE_NAME).unlink()
    keep(db, tmp_path)
    assert (tmp_path / FILE_NAME).exists()


def test_without_playlists_no_file_is_made(tmp_path: Path, db: Database) -> None:
    assert keep(db, tmp_path / "config") is None
    assert not (tmp_path / "config").exists()
    restore(db, tmp_path / "config")
    assert remembered(db.connection) == PlaylistSources()


@pytest.mark.usefixtures("sources")
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path, db: Database) -> None:
    (tmp_path / "config").write_text("a file")
    assert "cannot be written" in (keep(db, tmp_path / "config") or "")


@pytest.mark.parametrize("content", ["- a list", "folders: x", "folders: [relative]", "files: [1]", "a: [", "\x00"])
def test_a_file_that_makes_no_sense_is_named(tmp_path: Path, db: Database, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(UsageError, match=FILE_NAME):
        restore(db, tmp_path)
    follow(db, [tmp_path])
    with pytest.raises(UsageError, match=FILE_NAME):
        keep(db, tmp_path)
    assert (tmp_path / FILE_NAME).read_text() == content


@pytest.mark.parametrize("content", ["", "folders:\nfiles:\n", "# nothing\n"])
def test_a_file_without_entries_recalls_nothing(tmp_path: Path, db: Database, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    restore(db, tmp_path)
    assert remembered(db.connection) == PlaylistSources()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, db: Database) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        restore(db, tmp_path)
