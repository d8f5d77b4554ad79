"""Deciding by hand: what a track's match is afterwards, whatever happens to the file and the database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from psm.config import Config
from psm.db import Database, files, libraries, playlists, tracks
from psm.errors import UsageError
from psm.ingest.library import scan_library, scan_library_incremental
from psm.models import Confidence, Method, Track
from psm.services.decisions import find_file, reject_match, remove_match, reset_match, set_match
from psm.services.libraries import add_library
from psm.services.matching import match_tracks
from psm.services.overrides import FILE_NAME, sync
from psm.services.playlists import import_playlists
from tests.factories import add_file, add_playlist, lose_file, write_flac
from tests.factories import add_library as known_library

NOW = 1_760_000_000.0


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as opened:
        yield opened


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(folder=tmp_path / "config")


def find(db: Database, label: str) -> Track:
    return tracks.find_track(db.connection, label)


class TestWhatTheMatchIsAfterwards:
    @pytest.fixture
    def track(self, db: Database) -> Track:
        add_playlist(db, "A - One")
        add_file(db, b"one.flac", title="One", artists=("A",))
        add_file(db, b"other.flac", title="Other", artists=("B",))
        return find(db, "A - One")

    def test_of_set_the_file_whatever_it_is_called(self, db: Database, config: Config, track: Track) -> None:
        other = find_file(db, "other.flac", folder=Path("/"))
        decided = set_match(db, config, track, other, now=NOW)
        assert decided.match is not None
        assert (decided.match.file_id, decided.match.method) == (other.id, Method.MANUAL)
        assert decided.file is not None
        assert decided.file.path == b"other.flac"
        assert decided.changed

    def test_of_reject_the_next_best_or_none(self, db: Database, config: Config, track: Track) -> None:
        match_tracks(db, config.match)
        better = find_file(db, "one.flac", folder=Path("/"))
        worse = add_file(db, b"Live/one.flac", title="One", artists=("A",), error=None, bitrate_kbps=1)
        decided = reject_match(db, config, track, None, now=NOW)
        assert decided.decisions[0].file_id == better.id
        assert decided.match is not None
        assert decided.match.file_id == worse.id
        assert reject_match(db, config, track, None, now=NOW).match is None
        with pytest.raises(UsageError, match="has no match to reject"):
            reject_match(db, config, track, None, now=NOW)

    def test_of_remove_none_for_good(self, db: Database, config: Config, track: Track) -> None:
        assert remove_match(db, config, track, now=NOW).match is None
        add_file(db, b"again.flac", title="One", artists=("A",))
        match_tracks(db, config.match, full=True)
        assert [row.path for row in playlists.rows(db.connection, 1)] == [None]

    def test_of_reset_what_psm_finds(self, db: Database, config: Config, track: Track) -> None:
        remove_match(db, config, track, now=NOW)
        decided = reset_match(db, config, track, now=NOW)
        assert decided.match is not None
        assert decided.match.method is Method.EXACT
        assert decided.decisions == ()

    def test_of_a_missing_file_a_stand_in_until_it_is_back(self, db: Database, config: Config, track: Track) -> None:
        other = find_file(db, "other.flac", folder=Path("/"))
        lose_file(db, other)
        assert find_file(db, "other.flac", folder=Path("/")).id == other.id
        decided = set_match(db, config, track, other, now=NOW)
        assert decided.match is not None
        assert (decided.match.method, decided.match.confidence) == (Method.EXACT, Confidence.LOW)
        assert decided.decisions[0].file_id == other.id


class TestFindingTheFile:
    @pytest.fixture
    def music(self, tmp_path: Path, db: Database) -> Path:
        root = tmp_path / "Music"
        write_flac(root / "Jazz/so what.flac")
        known_library(db, root=bytes(root))
        add_file(db, b"Jazz/so what.flac")
        return root

    @pytest.mark.parametrize("said", ["{root}/Jazz/so what.flac", "Jazz/so what.flac", "so what.flac", "#1", "1"])
    def test_by_path_or_id(self, db: Database, music: Path, said: str) -> None:
        assert find_file(db, said.format(root=music), folder=music / "Jazz").path == b"Jazz/so what.flac"

    def test_through_a_link_to_the_library(self, db: Database, music: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(music)
        assert find_file(db, "link/Jazz/so what.flac", folder=tmp_path).path == b"Jazz/so what.flac"

    def test_a_name_that_is_no_text(self, db: Database, music: Path) -> None:
        add_file(db, b"caf\xe9.mp3")
        assert find_file(db, "caf\udce9.mp3", folder=music).path == b"caf\xe9.mp3"

    def test_a_path_before_an_id(self, db: Database, music: Path) -> None:
        named = add_file(db, b"1")
        assert find_file(db, "1", folder=Path("/")).id == named.id

    def test_says_what_to_do_about_one_that_psm_does_not_know(self, db: Database, music: Path, tmp_path: Path) -> None:
        write_flac(music / "new.flac")
        write_flac(tmp_path / "elsewhere.flac")
        for said, told in (
            ("new.flac", "Take it in first: psm scan new.flac"),
            (str(tmp_path / "elsewhere.flac"), "psm library add FOLDER"),
            ("no such.flac", "psm files QUERY"),
            ("999", "psm files QUERY"),
            ("9" * 40, "psm files QUERY"),
        ):
            with pytest.raises(UsageError, match=told):
                find_file(db, said, folder=music)

    def test_asks_which_when_several_libraries_have_it(self, db: Database, music: Path) -> None:
        other = known_library(db, name="other", root=b"/other")
        add_file(db, b"Jazz/so what.flac", library=other)
        with pytest.raises(UsageError, match=r"/other/Jazz/so what\.flac"):
            find_file(db, "Jazz/so what.flac", folder=Path("/"))


class TestManualDecisionsOutliveEverything:
    """Rule 4, with real files: re-match, rescan, retag, rename, and a database that is built again."""

    @pytest.fixture
    def music(self, tmp_path: Path) -> Path:
        root = tmp_path / "Music"
        write_flac(root / "studio.flac", title="One", artist="A", album="Studio")
        write_flac(root / "live.flac", title="One", artist="A", album="Live")
        write_flac(root / "two.flac", title="Two", artist="A")
        write_flac(root / "three.flac", title="Three", artist="A")
        write_flac(root / "demo.flac", title="Something", artist="Else")
        (tmp_path / "mix.csv").write_text("title,artist\nOne,A\nTwo,A\nThree,A\nFour,A\n")
        return root

    def build(self, db: Database, config: Config, music: Path) -> list[bytes | None]:
        """What a build does up to the match; returns the names of the files of the playlist's rows."""
        with db.snapshot() as connection:
            known = libraries.all_libraries(connection)
        if not known:
            add_library(db, config.folder, music, now=lambda: NOW)
        scan_library(db, config.library)
        import_playlists(db, [bytes(music.parent / "mix.csv")])
        sync(db, config.folder, now=NOW)
        match_tracks(db, config.match)
        return self.names(db)

    def names(self, db: Database) -> list[bytes | None]:
        rows = playlists.rows(db.connection, playlists.all_playlists(db.connection)[0].id)
        return [None if row.path is None else row.path.rpartition(b"/")[2] for row in rows]

    @pytest.fixture
    def decided(self, db: Database, config: Config, music: Path) -> list[bytes | None]:
        self.build(db, config, music)
        live, two = (find_file(db, name, folder=music) for name in ("live.flac", "two.flac"))
        set_match(db, config, find(db, "A - One"), live, now=NOW)
        reject_match(db, config, find(db, "A - Two"), two, now=NOW)
        remove_match(db, config, find(db, "A - Three"), now=NOW)
        demo = find_file(db, "demo.flac", folder=music)
        set_match(db, config, find(db, "A - Four"), demo, now=NOW)
        assert self.names(db) == [b"live.flac", None, None, b"demo.flac"]
        return self.names(db)

    def test_a_full_rematch(self, db: Database, config: Config, music: Path, decided: list[bytes | None]) -> None:
        match_tracks(db, config.match, full=True)
        assert self.names(db) == decided

    def test_a_rescan_and_a_retag(self, db: Database, config: Config, music: Path, decided: list[bytes | None]) -> None:
        for name in ("live.flac", "two.flac", "demo.flac"):
            write_flac(music / name, audio=name, title="Retagged", artist="Nobody")
        assert self.build(db, config, music) == decided

    def test_a_rename(self, db: Database, config: Config, music: Path, decided: list[bytes | None]) -> None:
        (music / "sub").mkdir()
        (music / "live.flac").rename(music / "sub" / "concert.flac")
        (music / "two.flac").rename(music / "zwei.flac")
        assert self.build(db, config, music) == [b"concert.flac", None, None, b"demo.flac"]
        assert "sub/concert.flac" in (config.folder / FILE_NAME).read_text()

    def test_a_file_that_goes_away_and_comes_back(
        self, db: Database, config: Config, music: Path, decided: list[bytes | None]
    ) -> None:
        (music / "live.flac").rename(music.parent / "away.flac")
        assert self.build(db, config, music)[0] == b"studio.flac"  # stands in for it
        (music.parent / "away.flac").rename(music / "back.flac")
        assert self.build(db, config, music) == [b"back.flac", *decided[1:]]

    @pytest.mark.parametrize("renamed", [False, True])
    def test_a_database_that_is_built_again(
        self, db: Database, config: Config, music: Path, decided: list[bytes | None], tmp_path: Path, renamed: bool
    ) -> None:
        db.close()
        for left in tmp_path.glob("psm.db*"):
            left.unlink()
        if renamed:
            (music / "live.flac").rename(music / "aaa.flac")
            (music / "two.flac").rename(music / "zzz.flac")
        with Database(tmp_path / "psm.db") as new:
            names = self.build(new, config, music)
            assert names == ([b"aaa.flac", None, None, b"demo.flac"] if renamed else decided)
            with new.snapshot() as connection:
                assert len(list(files.all_files(connection))) == 5

    def test_a_library_at_another_place(
        self, db: Database, config: Config, music: Path, decided: list[bytes | None], tmp_path: Path
    ) -> None:
        db.close()
        (tmp_path / "psm.db").unlink()
        music.rename(tmp_path / "Elsewhere")
        with Database(tmp_path / "new.db") as new:
            assert self.build(new, Config(folder=config.folder), tmp_path / "Elsewhere") == decided

    def test_a_quick_scan_that_finds_a_better_file(
        self, db: Database, config: Config, music: Path, decided: list[bytes | None]
    ) -> None:
        write_flac(music / "best.flac", title="One", artist="A", seconds=181)
        scan_library_incremental(db, config.library)
        sync(db, config.folder, now=NOW)
        match_tracks(db, config.match)
        assert self.names(db) == decided
