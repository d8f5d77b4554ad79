import hashlib
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from psm.config import Config, LibraryConfig, PlaylistsConfig
from psm.db import Database, decisions, files, libraries, matches, playlists, tracks
from psm.errors import UsageError
from psm.ingest.library import MISSING_LIMIT
from psm.models import DecisionKind, Method
from psm.progress import Progress
from psm.services.decisions import remove_match, set_match
from psm.services.demo import write_demo
from psm.services.libraries import ensure_libraries, move_library
from psm.services.pipeline import BuildResult, build
from tests.factories import write_flac


class Box:
    """The demo, with a database that is open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = write_demo(folder).config
        self.db = Database(self.config.database.path)

    def build(self, **options: Any) -> BuildResult:
        return build(self.db, options.pop("config", self.config), **options)

    def lose_database(self) -> None:
        self.db.close()
        for file in self.folder.glob("psm.db*"):
            file.unlink()
        self.db = Database(self.config.database.path)

    @property
    def music(self) -> Path:
        return self.folder / "music"

    def outputs(self) -> dict[str, tuple[str, int, int]]:
        """Everything that psm wrote but the database: content, time and inode of each file."""
        return {
            str(f.relative_to(self.folder)): (
                hashlib.sha256(f.read_bytes()).hexdigest(),
                f.stat().st_mtime_ns,
                f.stat().st_ino,
            )
            for below in ("exports", "reports")
            for f in (self.folder / below).rglob("*")
            if f.is_file()
        }

    def playlists(self) -> dict[str, bytes]:
        found = {str(f.relative_to(self.folder)): f.read_bytes() for f in (self.folder / "exports").rglob("*.m3u8")}
        assert found
        return found

    def rows(self) -> dict[str, list[Any]]:
        """The whole database but the times of the last scans."""
        names = [r[0] for r in self.db.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: sorted(map(repr, self.db.connection.execute(f"SELECT * FROM {name}"))) for name in names}
        found["metadata"] = [row for row in found["metadata"] if "last_scan:" not in row]
        return found

    def track(self, text: str) -> Any:
        return tracks.find_track(self.db.connection, text)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path / "demo")
    for file in box.music.rglob("*.*"):
        os.utime(file, (1_600_000_000, 1_600_000_000))  # long ago: a fresh one is read once more by the next scan
    yield box
    box.db.close()


class StopAt:
    """A stop signal that sets itself when a stage reports for the first time."""

    def __init__(self, stage: str) -> None:
        self._stage = stage.lower()
        self._stop = threading.Event()

    def progress(self, step: Progress) -> None:
        if self._stage in step.stage.lower():
            self._stop.set()

    def is_set(self) -> bool:
        return self._stop.is_set()


def stages(result: BuildResult) -> list[str]:
    """The stages that ran because they were due."""
    return [name for name in ("match", "export", "report") if getattr(result, name) is not None]


def sourceless(config: Config) -> Config:
    """The demo's configuration without its library and playlists: they come from the command line."""
    return replace(config, library=LibraryConfig(), playlists=PlaylistsConfig())


def test_the_first_build_runs_every_stage(box: Box) -> None:
    result = box.build()
    assert stages(result) == ["match", "export", "report"]
    assert (result.scan.added, result.complete, result.nothing_to_do) == (14, True, False)
    assert result.pull is not None
    assert len(result.pull.added) == 2
    assert box.playlists()


def test_rule_07_an_idle_build_says_so_and_writes_nothing_but_the_time_of_the_scan(box: Box) -> None:
    box.build()
    outputs, rows = box.outputs(), box.rows()
    result = box.build()
    assert result.nothing_to_do
    assert stages(result) == []
    assert (box.outputs(), box.rows()) == (outputs, rows)


def test_an_idle_build_without_a_scan_time_to_note_leaves_the_database_untouched(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.build()
    monkeypatch.setattr("psm.ingest.library._Scan._remember", lambda *_: None)
    with Database(box.config.database.path) as other:
        before = other.connection.execute("PRAGMA data_version").fetchone()
        assert box.build().nothing_to_do
        assert other.connection.execute("PRAGMA data_version").fetchone() == before


def test_a_new_file_runs_what_depends_on_it(box: Box) -> None:
    box.build()
    before = box.playlists()
    write_flac(box.music / "new.flac", seconds=200, title="Something else", artist="Nobody")
    result = box.build()
    assert (result.scan.added, stages(result)[0]) == (1, "match")
    assert result.match is not None
    assert result.match.evaluated < result.match.tracks
    assert not result.nothing_to_do
    assert box.playlists() == before


def test_a_changed_playlist_runs_match_and_export(box: Box) -> None:
    box.build()
    source = next((box.folder / "playlists").glob("*.m3u8"))
    source.write_text("#EXTM3U\n#EXTINF:1,The Copper Foxes - Last Stop\n\n", encoding="utf-8")
    source.with_suffix(".csv").write_text("Title,Artist\nIvy,Juno Vale\n")
    result = box.build()
    assert result.pull is not None
    assert len(result.pull.added) == 1
    assert stages(result)[:2] == ["match", "export"]


def test_no_pull_no_export_and_no_report_leave_those_stages_out(box: Box) -> None:
    result = box.build(pull_playlists=False, export=False, report=False)
    assert (result.pull, stages(result)) == (None, ["match"])
    assert not (box.folder / "exports").exists()
    assert stages(box.build(export=False, report=False)) == ["match"]
    assert stages(box.build(report=False)) == ["export"]
    assert stages(box.build()) == ["report"]
    assert box.build().nothing_to_do


def test_full_does_every_stage_and_changes_no_output(box: Box) -> None:
    box.build()
    before = box.outputs()
    result = box.build(full=True)
    assert stages(result) == ["match", "export", "report"]
    assert result.match is not None
    assert result.match.evaluated == result.match.tracks
    assert {k: v for k, v in box.outputs().items() if "exports" in k} == {
        k: v for k, v in before.items() if "exports" in k
    }


def test_a_deleted_playlist_is_written_again(box: Box) -> None:
    box.build()
    before = box.playlists()
    next((box.folder / "exports").rglob("*.m3u8")).unlink()
    assert stages(box.build()) == ["export"]
    assert box.playlists() == before


def test_a_changed_setting_runs_what_it_concerns(box: Box) -> None:
    box.build()
    stricter = replace(box.config, match=replace(box.config.match, threshold=0.95))
    assert stages(box.build(config=stricter))[0] == "match"
    profile = replace(stricter.export.profiles[0], folder=box.folder / "exports" / "elsewhere")
    elsewhere = replace(stricter, export=replace(stricter.export, profiles=(profile,)))
    assert stages(box.build(config=elsewhere)) == ["export"]


def test_a_manual_decision_runs_match_and_export(box: Box) -> None:
    box.build()
    assert any(b"Slow Tide.flac" in text for text in box.playlists().values())
    remove_match(box.db, box.config, box.track("Slow Tide"), now=0.0)
    result = box.build()
    assert "export" in stages(result)
    assert not any(b"Slow Tide.flac" in line for text in box.playlists().values() for line in text.splitlines())


@pytest.mark.parametrize("stage", ["Looking", "Reading", "playlists", "match", "export", "report"])
def test_a_build_that_was_stopped_is_finished_by_the_next(box: Box, stage: str, tmp_path: Path) -> None:
    stop = StopAt(stage)
    stopped = box.build(stop=stop, progress=stop.progress)
    assert stop.is_set()
    assert stopped.stopped
    assert not stopped.complete
    assert not stopped.nothing_to_do
    box.build()
    undisturbed = Box(tmp_path / "other")
    for file in undisturbed.music.rglob("*.*"):
        os.utime(file, (1_600_000_000, 1_600_000_000))
    undisturbed.build()
    mine = {name: content.replace(b"/demo/", b"/other/") for name, content in box.playlists().items()}
    assert mine == undisturbed.playlists()
    assert {n for n in box.outputs() if "reports" in n} == {n for n in undisturbed.outputs() if "reports" in n}
    assert box.build().nothing_to_do
    undisturbed.db.close()


def test_a_stop_before_the_first_stage_runs_none(box: Box) -> None:
    stop = threading.Event()
    stop.set()
    result = box.build(stop=stop)
    assert (result.stopped, result.pull, stages(result)) == (True, None, [])


def test_what_is_refused_for_safety_keeps_no_other_stage_from_its_work(box: Box) -> None:
    extra = box.music / "extra"
    for number in range(MISSING_LIMIT + 1):
        write_flac(extra / f"{number}.flac", seconds=10, title=f"Song {number}", artist="Many")
    box.build()
    shutil.rmtree(extra)
    (box.folder / "playlists" / "late.csv").write_text("Title,Artist\nIvy,Juno Vale\n")
    result = box.build()
    assert result.scan.refused == MISSING_LIMIT + 1
    assert "export" in stages(result)
    assert not result.nothing_to_do
    assert not result.complete
    accepted = box.build(accept_missing=True)
    assert (accepted.scan.refused, accepted.scan.missing) == (0, MISSING_LIMIT + 1)


def test_a_library_that_is_away_keeps_no_other_stage_from_its_work(box: Box) -> None:
    box.build()
    before = box.playlists()
    box.music.rename(box.folder / "unmounted")
    result = box.build()
    assert result.scan.offline == ("demo",)
    assert not result.nothing_to_do
    assert box.playlists() == before


def test_folders_of_the_command_line_are_remembered(box: Box, tmp_path: Path) -> None:
    config = sourceless(box.config)
    single = tmp_path / "single.csv"
    single.write_text("Title,Artist\nIvy,Juno Vale\n")
    result = box.build(config=config, library_folders=[box.music], playlist_paths=[box.folder / "playlists", single])
    assert result.scan.notes == (f"{box.music} is a library now, called music.",)
    assert (result.imported is not None and len(result.imported.added), len(box.playlists())) == (1, 6)
    assert box.build(config=config).nothing_to_do
    single.write_text("Title,Artist\nIvy,Juno Vale\nLast Stop,The Copper Foxes\n")
    (box.folder / "playlists" / "later.csv").write_text("Title,Artist\nIvy,Juno Vale\n")
    again = box.build(config=config)
    assert again.pull is not None
    assert (len(again.pull.added), len(again.pull.updated)) == (1, 1)


def test_a_playlist_named_with_no_pull_is_taken_in_all_the_same(box: Box, tmp_path: Path) -> None:
    single = tmp_path / "single.csv"
    single.write_text("Title,Artist\nIvy,Juno Vale\n")
    result = box.build(playlist_paths=[single], pull_playlists=False)
    assert (result.imported is not None, result.pull) == (True, None)
    assert [p.name for p in playlists.all_playlists(box.db.connection)] == ["single"]


@pytest.mark.parametrize("argument", ["library_folders", "playlist_paths"])
def test_a_path_that_is_not_there_ends_the_build_before_it_begins(box: Box, tmp_path: Path, argument: str) -> None:
    with pytest.raises(UsageError, match="gone is not there"):
        box.build(**{argument: [tmp_path / "gone"]})
    assert libraries.all_libraries(box.db.connection) == []


def test_without_a_library_it_says_how_to_add_one(box: Box) -> None:
    with pytest.raises(UsageError, match="psm library add FOLDER"):
        box.build(config=sourceless(box.config))


def decide(box: Box) -> None:
    """Overrules two matches by hand: another file for one track, none for another."""
    [chosen] = [f for f in files.all_files(box.db.connection) if f.tags.title == "Steam"]
    set_match(box.db, box.config, box.track("Glass Mountain"), chosen, now=0.0)
    remove_match(box.db, box.config, box.track("Last Stop"), now=0.0)


@pytest.mark.parametrize("from_command_line", [False, True])
def test_rule_04_a_rebuilt_database_gives_the_same_playlists_byte_for_byte(box: Box, from_command_line: bool) -> None:
    config = sourceless(box.config) if from_command_line else box.config
    sources: dict[str, Sequence[Path]] = {"playlist_paths": [box.folder / "playlists"]} if from_command_line else {}
    if from_command_line:
        box.build(config=config, library_folders=[box.music], **sources)
    else:
        box.build()
    undecided = box.playlists()
    decide(box)
    box.build(config=config)
    before, outputs = box.playlists(), box.outputs()
    assert before != undecided
    box.lose_database()
    result = box.build(config=config, **sources)
    assert result.scan.added == 14  # the library came from libraries.yaml or the configuration
    assert box.playlists() == before
    written = {k: v for k, v in box.outputs().items() if k.endswith(".m3u8")}
    assert written == {k: v for k, v in outputs.items() if k.endswith(".m3u8")}  # not even touched
    by_hand = [m for m in matches.all_matches(box.db.connection) if m.method is Method.MANUAL]
    assert len(by_hand) == 1
    assert box.build(config=config).nothing_to_do


def test_a_rebuilt_database_keeps_every_decision(box: Box) -> None:
    box.build()
    decide(box)
    box.lose_database()
    ensure_libraries(box.db, box.config, now=lambda: 0.0)
    box.build()
    kinds = [d.kind for d in decisions.all_decisions(box.db.connection)]
    assert sorted(kinds) == [DecisionKind.NONE, DecisionKind.SET]


def untagged(box: Box) -> Path:
    """A file without tags, which only its path can find, in a playlist that names it by that."""
    file = write_flac(box.music / "zz" / "01.flac", audio="only here")
    (box.folder / "playlists" / "named.m3u8").write_text(f"#EXTM3U\n{file}\n")
    return file


def file_of(box: Box, playlist: str) -> list[bytes | None]:
    found = playlists.find_playlist(box.db.connection, playlist)
    return [row.path for row in playlists.rows(box.db.connection, found.id)]


def test_a_file_that_a_playlist_names_is_still_meant_when_it_is_renamed(box: Box) -> None:
    file = untagged(box)
    box.build()
    assert file_of(box, "named") == [os.fsencode(file)]
    for name in ("a.flac", "b.flac"):
        file = file.rename(file.with_name(name))
        box.build(pull_playlists=name == "a.flac")
        assert file_of(box, "named") == [os.fsencode(file)]
    box.build(full=True)
    assert file_of(box, "named") == [os.fsencode(file)]


def test_a_file_that_a_playlist_names_is_still_meant_when_its_library_moves(box: Box, tmp_path: Path) -> None:
    config = replace(sourceless(box.config), playlists=box.config.playlists)
    untagged(box)
    box.build(config=config, library_folders=[box.music])
    (box.folder / "music").rename(tmp_path / "moved")
    move_library(box.db, config.folder, "music", tmp_path / "moved", now=lambda: 0.0)
    box.build(config=config)
    assert file_of(box, "named") == [os.fsencode(tmp_path / "moved" / "zz" / "01.flac")]

    # Whoever wrote the playlist goes on naming files by the folder that was.
    write_flac(tmp_path / "moved" / "zz" / "02.flac", audio="another")
    (box.folder / "playlists" / "later.m3u8").write_text(f"#EXTM3U\n{box.music}/zz/02.flac\n")
    box.build(config=config)
    assert file_of(box, "later") == [os.fsencode(tmp_path / "moved" / "zz" / "02.flac")]


def test_a_playlist_may_name_files_by_a_way_through_links(box: Box, tmp_path: Path) -> None:
    file = untagged(box)
    (tmp_path / "Music").symlink_to(box.music)
    (box.folder / "playlists" / "named.m3u8").write_text(f"#EXTM3U\n{tmp_path}/Music/zz/01.flac\n")
    box.build()
    assert file_of(box, "named") == [os.fsencode(file)]


@pytest.mark.parametrize("first", [{"pull_playlists": False}, {"export": False}, {"full": True}, {}])
def test_a_lost_database_loses_no_source_and_no_output_whatever_build_comes_first(
    box: Box, tmp_path: Path, first: dict[str, bool]
) -> None:
    config = sourceless(box.config)
    away, here = tmp_path / "away", tmp_path / "here.csv"
    away.mkdir()
    for file in (away / "far.csv", here):
        file.write_text("Title,Artist\nIvy,Juno Vale\n")
    sources = [box.folder / "playlists", away, here]
    box.build(config=config, library_folders=[box.music], playlist_paths=sources)
    before = box.playlists()
    box.lose_database()
    away.rename(tmp_path / "unplugged")

    box.build(config=config, **first)
    assert box.playlists() == before
    (tmp_path / "unplugged").rename(away)
    box.build(config=config)

    assert box.playlists() == before
    assert {p.name for p in playlists.all_playlists(box.db.connection)} >= {"far", "here"}
