import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from psm.config import Config, ExportConfig, ExportProfile, load_config
from psm.db import Database
from psm.models import LibraryFile
from psm.services.decisions import remove_match
from psm.services.overrides_state import FILE_NAME
from psm.services.stage_news import StagesNews, answers_now, run_and_tell
from psm.services.stages import ALL_STAGES, Stage, stages_due
from tests.factories import add_file, add_library, add_playlist, lose_file

_NO_PULL = ALL_STAGES - {Stage.PLAYLISTS}


class Shelf:
    """A database, and what the stages write beside it."""

    def __init__(self, folder: Path) -> None:
        self.db = Database(folder / "psm.db")
        plain = load_config(flags={"report.folder": str(folder / "report")}, env={"HOME": str(folder)})
        profiles = ExportConfig((ExportProfile("player", folder / "out"),))
        self.config: Config = replace(plain, folder=folder / "config", export=profiles)
        self.library = add_library(self.db, root=bytes(folder / "music"))
        self.before = answers_now(self.db)

    def song(self, label: str) -> LibraryFile:
        artist, _, title = label.partition(" - ")
        return add_file(self.db, f"{label}.flac", library=self.library, title=title, artists=(artist,))

    def run(self, stages: frozenset[Stage] = _NO_PULL) -> StagesNews:
        news = run_and_tell(self.db, self.config, stages, self.before)
        self.before = news.after
        return news


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.db.close()


def texts(news: StagesNews) -> list[str]:
    return [playlist.text for playlist in news.playlists]


def test_a_new_playlist_says_how_much_of_it_is_found(shelf: Shelf) -> None:
    shelf.song("Nena - Leuchtturm")
    add_playlist(shelf.db, "Nena - Leuchtturm", "Nena - Rette mich", name="Road Trip")
    news = shelf.run()
    assert texts(news) == ["Road Trip is new: 1 of 2 tracks found"]
    assert news.ran == (Stage.MATCH, Stage.EXPORT, Stage.REPORT)
    assert news.summary == "Matched 2 tracks, wrote 1 playlist file, wrote the report."


def test_filled_gaps_lost_tracks_and_changed_ones_are_counted(shelf: Shelf) -> None:
    first, second = shelf.song("Nena - Leuchtturm"), shelf.song("Radiohead - Creep")
    add_playlist(shelf.db, "Nena - Leuchtturm", "Nena - Rette mich", "A - B", "Radiohead - Creep", name="Road Trip")
    shelf.run()
    shelf.song("Nena - Rette mich")
    shelf.song("A - B")
    assert texts(shelf.run()) == ["filled 2 gaps in Road Trip"]
    lose_file(shelf.db, first)
    assert texts(shelf.run()) == ["1 track of Road Trip is missing now"]
    lose_file(shelf.db, second)
    add_file(shelf.db, "other.flac", library=shelf.library, title="Creep", artists=("Radiohead",))
    assert texts(shelf.run()) == ["Road Trip: 1 track changed"]


def test_what_another_process_matched_meanwhile_is_told_too(shelf: Shelf) -> None:
    from psm.db import tracks

    shelf.song("Nena - Leuchtturm")
    add_playlist(shelf.db, "Nena - Leuchtturm", name="Road Trip")
    shelf.run()
    remove_match(shelf.db, shelf.config, tracks.find_track(shelf.db.connection, "leuchtturm"), now=0.0)
    assert texts(shelf.run()) == ["1 track of Road Trip is missing now"]


def test_nothing_due_is_nothing_told(shelf: Shelf) -> None:
    add_playlist(shelf.db, "Nena - Leuchtturm", name="Road Trip")
    shelf.run()
    news = shelf.run()
    assert (news.ran, news.playlists, news.problems, news.notes) == ((), (), (), ())


def test_a_stage_that_cannot_run_keeps_no_other_from_its_work(shelf: Shelf) -> None:
    shelf.config.folder.mkdir()
    (shelf.config.folder / FILE_NAME).write_text("decisions: [")
    add_playlist(shelf.db, "Nena - Leuchtturm", name="Road Trip")
    news = shelf.run()
    assert news.failed == (Stage.MATCH,)
    assert [problem.stage for problem in news.problems] == [Stage.MATCH]
    assert news.ran == (Stage.EXPORT, Stage.REPORT)
    assert stages_due(shelf.db, shelf.config) == {Stage.MATCH}


def test_what_could_not_be_written_is_a_problem_of_its_stage(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    (tmp_path / "report").write_text("in the way")
    add_playlist(shelf.db, "Nena - Leuchtturm", name="Road Trip")
    news = shelf.run()
    assert [problem.stage for problem in news.problems] == [Stage.EXPORT, Stage.REPORT]
    assert (news.ran, news.failed) == ((Stage.MATCH,), ())


def test_a_file_that_a_person_edited_is_a_note(shelf: Shelf, tmp_path: Path) -> None:
    add_playlist(shelf.db, "Nena - Leuchtturm", name="Road Trip")
    shelf.run()
    (tmp_path / "out" / "Road Trip.m3u8").write_text("mine")
    [note] = shelf.run().notes
    assert "Road Trip.m3u8" in note


def test_playlists_that_cannot_be_read_are_problems_and_those_that_leave_are_told(shelf: Shelf, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "a.csv").write_text("Title,Artist\nCreep,Radiohead\n")
    (lists / "b.xspf").write_text("no XML")
    followed = replace(shelf.config.playlists, folders=(lists,))
    shelf.config = replace(shelf.config, playlists=followed)
    news = shelf.run(ALL_STAGES)
    assert news.ran[0] is Stage.PLAYLISTS
    assert [(p.stage, "b.xspf" in p.text) for p in news.problems] == [(Stage.PLAYLISTS, True)]
    assert news.failed == ()
    (lists / "a.csv").unlink()
    assert "a is gone: its file has left the playlists folder" in texts(shelf.run(ALL_STAGES))


def test_news_and_answers_come_through_a_pipe_without_what_stages_load(shelf: Shelf) -> None:
    add_playlist(shelf.db, "Nena - Leuchtturm", name="Road Trip")
    news = shelf.run()
    assert pickle.loads(pickle.dumps(news)) == news
    for heavy in (b"matching", b"export.stage", b"report.stage", b"MatchResult"):
        assert heavy not in pickle.dumps(news)


def test_answers_are_small(shelf: Shelf) -> None:
    add_playlist(shelf.db, *(f"Many - Song {n}" for n in range(5_000)), name="Large")
    assert len(answers_now(shelf.db)) < 5_000 * 8
