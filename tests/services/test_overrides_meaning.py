"""What an entry means when files moved, copies exist, writing failed, the source says other things of the track, or two
configuration folders share one database."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from psm import atomic
from psm.config import Config
from psm.db import Database, decisions, files, metadata, playlists
from psm.ingest.library import scan_library, scan_library_incremental
from psm.models import LibraryFile, PlaylistEntry, Status
from psm.services import overrides
from psm.services.decisions import find_file, reject_match, remove_match, set_match
from psm.services.libraries import add_library
from psm.services.matching import match_tracks
from psm.services.overrides import FILE_NAME, sync
from tests.factories import add_file, entry, lose_file, write_flac
from tests.services.test_overrides import full_disk, held, move_file, synced, want

NOW = 1_760_000_000.0
ISRC, OTHER_ISRC = "GBAYE0601498", "USRC17607839"
RECORDING = "f27ec8db-af05-4f36-916e-3d57f91ecf5e"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as opened:
        yield opened


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(folder=tmp_path / "config")


@pytest.fixture
def path(config: Config) -> Path:
    return config.folder / FILE_NAME


def swap_files(db: Database, one: LibraryFile, other: LibraryFile) -> None:
    """What a scan does when two files swapped their names."""
    places = {f.id: files.get(db.connection, f.id) for f in (one, other)}
    first, second = places[one.id], places[other.id]
    assert first is not None
    assert second is not None
    with db.transaction() as connection:
        files.park(connection, [one.id, other.id], now=1.0)
    move_file(db, first, second.path)
    move_file(db, second, first.path)


class TestNamesThatCouldNotBeWritten:
    def test_are_no_hand_edit_even_when_the_files_swapped(
        self, db: Database, config: Config, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chosen, other = add_file(db, b"s.flac"), add_file(db, b"h.flac")
        [track] = want(db, "A - One")
        set_match(db, config, track, chosen, now=NOW)
        swap_files(db, chosen, other)
        with monkeypatch.context() as broken:
            broken.setattr(atomic, "write", full_disk)
            assert synced(db, path).unwritten is not None
            match_tracks(db, config.match)
        for _ in range(2):
            assert synced(db, path).problems == ()
            match_tracks(db, config.match)
        assert held(db) == {("A - One", "set", chosen.id)}
        text = path.read_text()
        assert 'path: "h.flac"' in text
        assert f'fingerprint: "{chosen.fingerprint}"' in text

    def test_are_written_when_that_works_again(
        self, db: Database, config: Config, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = add_file(db, b"old.flac")
        [track] = want(db, "A - One")
        set_match(db, config, track, file, now=NOW)
        move_file(db, file, b"new.flac")
        with monkeypatch.context() as broken:
            broken.setattr(atomic, "write", full_disk)
            for _ in range(3):
                result = synced(db, path)
                assert (result.problems, result.unwritten is None) == ((), False)
                match_tracks(db, config.match)
        assert synced(db, path).written
        assert 'path: "new.flac"' in path.read_text()
        assert synced(db, path).unwritten is None

    def test_are_written_though_matching_saw_the_move_first(self, db: Database, config: Config, path: Path) -> None:
        file = add_file(db, b"old.flac")
        [track] = want(db, "A - One")
        set_match(db, config, track, file, now=NOW)
        synced(db, path)
        move_file(db, file, b"new.flac")  # by another process, between the two
        match_tracks(db, config.match)
        assert synced(db, path).written
        assert 'path: "new.flac"' in path.read_text()

    def test_do_not_stand_in_the_way_of_a_hand_edit(
        self, db: Database, config: Config, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chosen, other, third = add_file(db, b"s.flac"), add_file(db, b"h.flac"), add_file(db, b"t.flac")
        [track] = want(db, "A - One")
        set_match(db, config, track, chosen, now=NOW)
        swap_files(db, chosen, other)
        with monkeypatch.context() as broken:
            broken.setattr(atomic, "write", full_disk)
            synced(db, path)
        synced(db, path, path.read_text().replace('path: "s.flac"', 'path: "t.flac"'))
        assert held(db) == {("A - One", "set", third.id)}
        assert f'fingerprint: "{third.fingerprint}"' in path.read_text()

    def test_that_a_crash_kept_from_the_database_are_taken_as_written(
        self, db: Database, config: Config, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chosen, other = add_file(db, b"s.flac"), add_file(db, b"h.flac")
        [track] = want(db, "A - One")
        set_match(db, config, track, chosen, now=NOW)
        swap_files(db, chosen, other)

        def killed(*_: object, **__: object) -> int:
            raise KeyboardInterrupt

        with monkeypatch.context() as broken:
            broken.setattr(overrides, "_store", killed)
            with pytest.raises(KeyboardInterrupt):
                synced(db, path)
        synced(db, path)
        assert held(db) == {("A - One", "set", chosen.id)}
        assert 'path: "h.flac"' in path.read_text()


class TestHandEditsOfAFile:
    @pytest.fixture
    def text(self, db: Database, config: Config, path: Path) -> str:
        add_file(db, b"1.flac", fingerprint="audio:1")
        add_file(db, b"2.flac", fingerprint="audio:2")
        [track] = want(db, "A - One")
        set_match(db, config, track, find_file(db, "1.flac", folder=Path("/")), now=NOW)
        return path.read_text()

    def meant(self, db: Database) -> bytes | None:
        [decision] = decisions.all_decisions(db.connection)
        return decision.file_path

    def test_of_the_path_alone_win_over_the_fingerprint_that_was_left(
        self, db: Database, path: Path, text: str
    ) -> None:
        assert synced(db, path, text.replace("1.flac", "2.flac")).notices == ()
        assert self.meant(db) == b"2.flac"

    def test_of_the_fingerprint_alone_mean_the_file_that_has_it(self, db: Database, path: Path, text: str) -> None:
        synced(db, path, text.replace("audio:1", "audio:2"))
        assert self.meant(db) == b"2.flac"
        assert 'path: "2.flac"' in path.read_text()

    @pytest.mark.parametrize("left_out", ['    fingerprint: "audio:1"\n', '    library: "music"\n', 'path: "1.flac"\n'])
    def test_that_leave_a_name_out_mean_the_same_file(self, db: Database, path: Path, text: str, left_out: str) -> None:
        [file] = [f for f in files.all_files(db.connection) if f.path == b"1.flac"]
        other = next(f for f in files.all_files(db.connection) if f.id != file.id)
        swap_files(db, file, other)
        synced(db, path, text.replace(left_out, "\n" if left_out.startswith("path") else ""))
        assert held(db) == {("A - One", "set", file.id)}
        assert 'path: "2.flac"' in path.read_text()

    def test_to_a_path_that_comes_later_wait_for_it(self, db: Database, path: Path, text: str) -> None:
        result = synced(db, path, text.replace("1.flac", "3.flac"))
        assert 'psm knows no file "3.flac", and took "1.flac"' in result.problems[0].reason
        third = add_file(db, b"3.flac")
        assert synced(db, path).problems == ()
        assert held(db) == {("A - One", "set", third.id)}

    def test_of_an_absolute_path_follow_a_library_that_moved(self, db: Database, path: Path, text: str) -> None:
        from psm.db import libraries

        synced(db, path, text.replace('path: "1.flac"', "path: /music/1.flac").replace('    library: "music"\n', ""))
        [library] = libraries.all_libraries(db.connection)
        with db.transaction() as connection:
            libraries.move(connection, library.id, b"/elsewhere")
        assert synced(db, path).problems == ()
        assert 'path: "1.flac"' in path.read_text()


class TestReplacedFiles:
    def test_keep_the_decision_and_a_person_is_told_once(self, db: Database, config: Config, path: Path) -> None:
        file = add_file(db, b"song.flac", fingerprint="audio:1")
        [track] = want(db, "A - One")
        set_match(db, config, track, file, now=NOW)
        with db.transaction() as connection:
            reading = replace(files.reading_of(connection, file.id), fingerprint="audio:2")
            files.update(
                connection,
                file.id,
                file.library_id,
                file.path,
                stat=file.stat,
                reading=reading,
                reread=False,
                generation=metadata.bump(connection, "library_files"),
            )
        match_tracks(db, config.match)
        result = synced(db, path)
        assert [(n.line, '"song.flac" holds other audio' in n.reason) for n in result.notices] == [(13, True)]
        assert (held(db), result.problems) == ({("A - One", "set", file.id)}, ())
        assert 'fingerprint: "audio:2"' in path.read_text()
        assert synced(db, path).notices == ()

    def test_are_told_of_when_the_database_is_new(self, db: Database, config: Config, path: Path) -> None:
        file = add_file(db, b"song.flac", fingerprint="audio:1")
        [track] = want(db, "A - One")
        set_match(db, config, track, file, now=NOW)
        with Database(path.parent / "new.db") as new:
            want(new, "A - One")
            add_file(new, b"song.flac", fingerprint="audio:2")
            assert len(synced(new, path).notices) == 1


class TestRealFiles:
    """With scans, as ``psm build`` runs them."""

    @pytest.fixture
    def music(self, tmp_path: Path) -> Path:
        return tmp_path / "Music"

    def build(self, db: Database, config: Config, music: Path) -> bytes | None:
        if not db.connection.execute("SELECT 1 FROM libraries").fetchone():
            add_library(db, config.folder, music, now=lambda: NOW)
            scan_library(db, config.library)
        else:
            scan_library_incremental(db, config.library)
        sync(db, config.folder, now=NOW)
        match_tracks(db, config.match)
        [playlist] = playlists.all_playlists(db.connection)
        path = playlists.rows(db.connection, playlist.id)[0].path
        return None if path is None else path.removeprefix(bytes(music) + b"/")

    @pytest.mark.parametrize(("decide", "chosen"), [("set", b"bad/2.flac"), ("reject", b"good/1.flac")])
    def test_a_copy_does_not_take_over_the_decision_while_the_file_is_away(
        self, db: Database, config: Config, path: Path, music: Path, decide: str, chosen: bytes
    ) -> None:
        for name in ("good/1.flac", "bad/2.flac"):
            write_flac(music / name, audio="same", title="One", artist="A")
        [track] = want(db, "A - One")
        self.build(db, config, music)
        file = find_file(db, "bad/2.flac", folder=music)
        (set_match if decide == "set" else reject_match)(db, config, track, file, now=NOW)
        before = path.read_text()
        (music / "bad" / "2.flac").rename(music.parent / "away.flac")
        assert self.build(db, config, music) == b"good/1.flac"
        assert path.read_text() == before
        (music.parent / "away.flac").rename(music / "bad" / "2.flac")
        assert self.build(db, config, music) == chosen
        assert path.read_text() == before

    def test_the_audio_says_which_file_is_meant_when_two_swapped_and_the_database_is_new(
        self, db: Database, config: Config, path: Path, music: Path, tmp_path: Path
    ) -> None:
        one, other = (write_flac(music / f"{n}.flac", audio=n, title=n, artist="A") for n in ("one", "other"))
        [track] = want(db, "B - Song")
        self.build(db, config, music)
        set_match(db, config, track, find_file(db, "one.flac", folder=music), now=NOW)
        one.rename(tmp_path / "free")
        other.rename(one)
        (tmp_path / "free").rename(other)
        with Database(tmp_path / "new.db") as new:
            want(new, "B - Song")
            assert self.build(new, config, music) == b"other.flac"
            assert 'path: "other.flac"' in path.read_text()

    def test_a_better_version_in_the_place_of_the_chosen_file_is_chosen(
        self, db: Database, config: Config, music: Path
    ) -> None:
        file = write_flac(music / "one.flac", audio="one", title="x", artist="y")
        write_flac(music / "else.flac")
        [track] = want(db, "A - One")
        self.build(db, config, music)
        set_match(db, config, track, find_file(db, "one.flac", folder=music), now=NOW)
        file.unlink()
        assert self.build(db, config, music) is None
        write_flac(file, audio="better", title="x", artist="y")
        assert self.build(db, config, music) == b"one.flac"


class TestTracksOfWhichTheSourceSaysOtherThings:
    plain = PlaylistEntry(1, "Song", ("A",))
    album = replace(plain, album="Alb")
    isrc = replace(album, isrc=ISRC)
    recording = replace(album, mb_recording_id=RECORDING)
    both = replace(isrc, mb_recording_id=RECORDING)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (plain, album),
            (album, plain),
            (plain, isrc),
            (isrc, plain),
            (album, replace(album, album="Alb (Deluxe Edition)")),
            (isrc, replace(isrc, isrc=OTHER_ISRC)),
            (isrc, replace(isrc, isrc=OTHER_ISRC, album="Alb (Deluxe Edition)")),
            (isrc, recording),
            (recording, isrc),
            (recording, both),
            (both, recording),
            (both, replace(recording, title="Song (Remaster)")),
            (album, replace(album, artists=("A", "B"))),
            (replace(album, artists=("A", "B")), album),
        ],
    )
    def test_keep_their_decision(
        self, db: Database, config: Config, path: Path, before: PlaylistEntry, after: PlaylistEntry
    ) -> None:
        file = add_file(db)
        others = [PlaylistEntry(2, "Song", ("C",), album="Alb"), PlaylistEntry(3, "Other", ("A",), album="Alb")]
        [track, *_] = want(db, before, *others)
        set_match(db, config, track, file, now=NOW)
        text = path.read_text()
        [track, *_] = want(db, after, *others)
        assert synced(db, path).problems == ()
        assert held(db) == {(track.label, "set", file.id)}
        assert path.read_text() == text
        assert not set_match(db, config, track, file, now=NOW).changed
        other = add_file(db)
        set_match(db, config, track, other, now=NOW)
        assert held(db) == {(track.label, "set", other.id)}
        assert path.read_text().count("- track:") == 1

    @pytest.mark.parametrize("names", ["isrc: GBAYE0601498", "key: name:a|song|", "musicbrainz: " + RECORDING])
    def test_keep_one_that_an_older_psm_wrote_with_one_name_only(self, db: Database, path: Path, names: str) -> None:
        file = add_file(db, b"1.flac")
        want(db, self.album)
        result = synced(db, path, f'decisions:\n- track: "A - Song"\n  {names}\n  path: 1.flac\n')
        assert (held(db), result.problems) == ({("A - Song", "set", file.id)}, ())

    def test_give_it_to_nobody_when_several_are_like_it(self, db: Database, config: Config, path: Path) -> None:
        [track] = want(db, self.isrc)
        remove_match(db, config, track, now=NOW)
        want(db, replace(self.isrc, isrc=OTHER_ISRC), replace(self.album, album="Alb"))
        [problem] = synced(db, path).problems
        assert "several are like" in problem.reason
        assert held(db) == set()

    def test_do_not_take_it_from_a_track_that_has_its_own(self, db: Database, config: Config, path: Path) -> None:
        one, two = add_file(db), add_file(db)
        relinked = replace(self.isrc, isrc=OTHER_ISRC)
        first, second = want(db, self.isrc, relinked)
        set_match(db, config, second, two, now=NOW)
        set_match(db, config, first, one, now=NOW)
        want(db, relinked)
        [problem] = synced(db, path).problems
        assert 'no playlist has a track "A - Song"' in problem.reason
        kept = {d.track_key: d.file_id for d in decisions.all_decisions(db.connection)}
        assert kept == {f"isrc:{ISRC}": one.id, f"isrc:{OTHER_ISRC}": two.id}

    def test_get_it_back_when_the_source_says_the_same_again(self, db: Database, config: Config, path: Path) -> None:
        [track] = want(db, self.isrc)
        remove_match(db, config, track, now=NOW)
        want(db, replace(self.isrc, isrc=OTHER_ISRC))
        synced(db, path)
        want(db, self.isrc, replace(self.isrc, isrc=OTHER_ISRC))
        assert synced(db, path).problems == ()
        assert {d.track_key for d in decisions.all_decisions(db.connection)} == {f"isrc:{ISRC}"}

    @pytest.mark.parametrize(
        ("before", "after", "kept"),
        [
            (b"/pl/songs/xyzzy.flac", b"/pl2/songs/xyzzy.flac", True),
            (b"/pl/xyzzy.flac", b"/pl2/xyzzy.flac", True),
            (b"/pl/caf\xe9 1%.flac", b"/x/caf\xe9 1%.flac", True),
            (b"/pl/xyzzy.flac", b"/pl2/plugh.flac", False),
            (b"/pl/01.flac", b"/pl2/01.flac", False),
            (b"/pl/CD1/Track 01.flac", b"/pl/CD2/Track 01.flac", False),
            (b"/pl/A/Best/01.flac", b"/pl2/A/Best/01.flac", True),
        ],
    )
    def test_of_which_only_the_path_is_known_are_known_by_the_end_of_it(
        self, db: Database, config: Config, path: Path, before: bytes, after: bytes, kept: bool
    ) -> None:
        guessed = PlaylistEntry(1, "guess", (), locations=(before,), guessed=True)
        [track] = want(db, guessed)
        remove_match(db, config, track, now=NOW)
        [track] = want(db, replace(guessed, locations=(after,)))
        result = synced(db, path)
        matched = [d for d in decisions.all_decisions(db.connection) if d.track_key == track.key]
        assert (len(matched), len(result.problems)) == ((1, 0) if kept else (0, 1))

    def test_that_got_a_title_are_known_by_their_path_still(self, db: Database, config: Config, path: Path) -> None:
        guessed = PlaylistEntry(1, "xyzzy", (), locations=(b"/pl/xyzzy.flac",), guessed=True)
        [track] = want(db, guessed)
        remove_match(db, config, track, now=NOW)
        want(db, replace(guessed, title="Song", artists=("A",), guessed=False))
        assert synced(db, path).problems == ()
        assert held(db) == {("A - Song", "none", None)}

    @pytest.mark.parametrize("names", [f"isrc: {ISRC}", "key: name:a|song|", f"musicbrainz: {RECORDING}"])
    def test_that_are_in_no_playlist_are_always_reported(self, db: Database, path: Path, names: str) -> None:
        want(db, "A - Other")
        result = synced(db, path, f"decisions:\n- {names}\n  decision: none\n")
        assert [(p.line, p.reason.split(' "')[0]) for p in result.problems] == [(2, "no playlist has a track")]

    def test_are_named_by_all_that_is_known(self, db: Database, config: Config, path: Path) -> None:
        [track] = want(db, self.both)
        remove_match(db, config, track, now=NOW)
        lines = [line.strip() for line in path.read_text().splitlines() if line.startswith("    ")]
        assert lines[:5] == [
            f"isrc: {ISRC}",
            f"musicbrainz: {RECORDING}",
            'artist: "A"',
            'title: "Song"',
            'album: "Alb"',
        ]


class TestTwoConfigurationFolders:
    @pytest.fixture
    def other(self, tmp_path: Path) -> Config:
        return Config(folder=tmp_path / "other")

    def test_of_one_database_keep_the_decisions_of_both(self, db: Database, config: Config, other: Config) -> None:
        one, two = want(db, "A - One", "A - Two")
        remove_match(db, config, one, now=NOW)
        (other.folder).mkdir()
        (other.folder / FILE_NAME).write_text("# mine\n")
        remove_match(db, other, two, now=NOW)
        result = sync(db, config.folder, now=NOW)
        assert (result.adopted, result.changed) == (1, 0)
        assert held(db) == {("A - One", "none", None), ("A - Two", "none", None)}
        for folder in (config.folder, other.folder):
            assert (folder / FILE_NAME).read_text().count("- track:") == 2
            again = sync(db, folder, now=NOW)
            assert (again.adopted, again.changed, again.unwritten) == (0, 0, None)

    def test_the_one_that_is_read_wins_where_both_speak(self, db: Database, config: Config, other: Config) -> None:
        file = add_file(db)
        [track] = want(db, "A - One")
        remove_match(db, config, track, now=NOW)
        set_match(db, other, track, file, now=NOW)
        assert held(db) == {("A - One", "set", file.id)}
        result = sync(db, config.folder, now=NOW)
        assert (result.adopted, result.changed) == (0, 1)
        assert held(db) == {("A - One", "none", None)}

    def test_nothing_is_lost_while_the_other_file_cannot_be_written(
        self, db: Database, config: Config, other: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, two = want(db, "A - One", "A - Two")
        remove_match(db, config, one, now=NOW)
        other.folder.mkdir()
        (other.folder / FILE_NAME).write_text("decisions:\n- {track: A - Two, decision: none}\n")
        with monkeypatch.context() as broken:
            broken.setattr(atomic, "write", full_disk)
            for _ in range(2):
                result = sync(db, other.folder, now=NOW)
                assert (result.adopted, result.unwritten is None) == (0, False)
                assert held(db) == {("A - One", "none", None), ("A - Two", "none", None)}
        assert sync(db, other.folder, now=NOW).adopted == 1
        assert two.label in (other.folder / FILE_NAME).read_text()

    def test_a_folder_that_only_moved_adds_nothing(self, db: Database, config: Config, other: Config) -> None:
        [one] = want(db, "A - One")
        remove_match(db, config, one, now=NOW)
        before = (config.folder / FILE_NAME).read_text()
        config.folder.rename(other.folder)
        assert sync(db, other.folder, now=NOW).adopted == 0
        assert (other.folder / FILE_NAME).read_text() == before

    def test_what_is_deleted_in_the_folder_in_use_stays_deleted(self, db: Database, config: Config, path: Path) -> None:
        [one] = want(db, "A - One")
        remove_match(db, config, one, now=NOW)
        result = synced(db, path, "decisions: []\n")
        assert (result.adopted, held(db)) == (0, set())


def test_a_missing_file_keeps_its_decision_and_name_though_a_copy_is_there(
    db: Database, config: Config, path: Path
) -> None:
    file = add_file(db, b"1.flac", fingerprint="audio:1")
    add_file(db, b"2.flac", fingerprint="audio:1")
    [track] = want(db, entry("A - One"))
    set_match(db, config, track, file, now=NOW)
    before = path.read_text()
    lose_file(db, file)
    match_tracks(db, config.match)
    assert (synced(db, path).problems, path.read_text()) == ((), before)
    assert held(db) == {("A - One", "set", file.id)}
    found = files.get(db.connection, file.id)
    assert found is not None
    assert found.status is Status.MISSING


@pytest.mark.parametrize(
    "names",
    [
        *(
            r'path: "/a\0b"',
            r'path: "~a\0b"',
            r'path: "a\0b"',
            "path_encoded: '%00'",
            "path_encoded: /%00",
            "path: ~nobody/x",
        ),
        *("path: /" + "a/" * 5_000, "path: " + "a" * 300, "path: ..", "path: /", "path: .", r'library: "\0"'),
        *(r'fingerprint: "\0"', r'path: "\uFFFE"', "decided_at: never", r'decided_at: "\0"'),
    ],
)
def test_a_name_that_no_file_can_have_is_reported(db: Database, config: Config, path: Path, names: str) -> None:
    add_file(db, b"1.flac")
    [track, other] = want(db, "A - One", "A - Two")
    more = "" if "path" in names or "fingerprint" in names else ", path: no.flac"
    result = synced(db, path, f"decisions: !!seq\n- {{track: A - One, {names}{more}}}\n")
    assert ["psm knows no file" in p.reason for p in result.problems] == [True]
    assert held(db) == {("A - One", "set", None)}
    remove_match(db, config, other, now=NOW)
    remove_match(db, config, track, now=NOW)
    assert held(db) == {("A - One", "none", None), ("A - Two", "none", None)}
