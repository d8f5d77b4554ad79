"""``psm-overrides.yaml``: hand edits win, nothing of the file is lost, and the database can be."""

import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from psm import atomic
from psm.config import Config
from psm.db import Database, decisions, files, libraries, matches, metadata, playlists, tracks
from psm.models import LibraryFile, PlaylistEntry, Track
from psm.services import overrides
from psm.services.decisions import reject_match, remove_match, reset_match, set_match
from psm.services.overrides import FILE_NAME, OverridesResult, sync
from psm.services.overrides_state import OverridesError, content_of
from psm.services.playlists import key_of
from tests.factories import add_file, add_library, entry, lose_file, source_playlist

NOW = 1_760_000_000.0


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


def want(db: Database, *entries: PlaylistEntry | str, name: str = "Mix") -> list[Track]:
    """Takes a playlist in as psm does, and returns its tracks."""
    rows = [
        replace(entry(e, position=n) if isinstance(e, str) else e, position=n) for n, e in enumerate(entries, start=1)
    ]
    with db.transaction() as connection:
        stored = playlists.store(
            connection, source_playlist(*rows, name=name), folder=None, source_state="", now=1.0, key=key_of
        )
    return [row.track for row in playlists.rows(db.connection, stored.playlist_id)]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(textwrap.dedent(text).encode())


def synced(db: Database, path: Path, text: str | None = None) -> OverridesResult:
    if text is not None:
        write(path, text)
    return sync(db, path.parent, now=NOW)


def held(db: Database) -> set[tuple[str, str, int | None]]:
    """What is decided: (track label, kind, file id)."""
    known = {track.key: track.label for track in tracks.all_tracks(db.connection)}
    return {
        (known.get(d.track_key, d.track_key), d.kind.value, d.file_id) for d in decisions.all_decisions(db.connection)
    }


def move_file(db: Database, file: LibraryFile, to: bytes) -> None:
    """What a scan does with a file that was renamed."""
    with db.transaction() as connection:
        files.update(
            connection,
            file.id,
            file.library_id,
            to,
            stat=file.stat,
            reading=files.reading_of(connection, file.id),
            reread=False,
            generation=metadata.bump(connection, "library_files"),
        )


def another_database(tmp_path: Path, name: str = "new.db") -> Database:
    return Database(tmp_path / name)


class TestDeciding:
    def test_writes_track_and_file_so_that_a_person_can_read_them(
        self, db: Database, config: Config, path: Path
    ) -> None:
        file = add_file(db, b"Jazz/So What.flac", fingerprint="flac:1")
        [track] = want(db, PlaylistEntry(1, "So What", ("Miles Davis", "John Coltrane"), album="Kind of Blue"))
        set_match(db, config, track, file, now=NOW)
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# What you decided by hand")
        assert text[text.index("decisions:") :] == textwrap.dedent("""\
            decisions:
              - track: "Miles Davis, John Coltrane - So What"
                artists: ["Miles Davis", "John Coltrane"]
                title: "So What"
                album: "Kind of Blue"
                decision: set
                library: "music"
                path: "Jazz/So What.flac"
                fingerprint: "flac:1"
                decided_at: "2025-10-09T08:53:20Z"
            """)
        assert held(db) == {(track.label, "set", file.id)}

    def test_names_a_track_by_what_its_key_is_made_of(self, db: Database, config: Config, path: Path) -> None:
        recording = "f27ec8db-af05-4f36-916e-3d57f91ecf5e"
        found = want(
            db,
            PlaylistEntry(1, "One", ("A",), isrc="GBAYE0601498"),
            PlaylistEntry(2, "Two", ("A",), mb_recording_id=recording),
            PlaylistEntry(3, "Three", ()),
            PlaylistEntry(4, "song", (), locations=(b"/x/song\xff.mp3",), guessed=True),
        )
        for track in found:
            remove_match(db, config, track, now=NOW)
        text = path.read_text(encoding="utf-8")
        assert "    isrc: GBAYE0601498\n" in text
        assert f"    musicbrainz: {recording}\n" in text
        assert '    artist: ""\n    title: "Three"\n    album: ""\n' in text
        assert '    key: "path:/x/song%FF.mp3"\n' in text
        with another_database(path.parent) as other:
            again = want(other, *(PlaylistEntry(n, f"other {n}") for n in range(3)))  # other ids
            sync(other, path.parent, now=NOW)
            assert len(again) == 3
            assert {d.track_key for d in decisions.all_decisions(other.connection)} == {t.key for t in found}

    def test_adds_to_the_file_and_leaves_everything_else_as_it_is(
        self, db: Database, config: Config, path: Path
    ) -> None:
        [one, two] = want(db, "A - One", "A - Two")
        before = textwrap.dedent("""\
            # my notes
            decisions:

            -   decision: none   # cannot stand it
                title: Two
                artist: 'A'
            # the end
            future: {kept: [1, 2]}
            """)
        write(path, before)
        remove_match(db, config, one, now=NOW)
        text = path.read_text()
        start = text.index('- track: "A - One"')
        assert text[:start] + text[text.index("# the end") :] == before
        assert held(db) == {(one.label, "none", None), (two.label, "none", None)}

    def test_puts_the_new_decision_in_the_place_of_the_old_and_keeps_its_comments(
        self, db: Database, config: Config, path: Path
    ) -> None:
        first, second = add_file(db, b"1.mp3"), add_file(db, b"2.mp3")
        [one, _] = want(db, "A - One", "A - Two")
        synced(
            db,
            path,
            """\
            decisions:
            # the studio one
            - artist: A  # not B
              title: One
              # found it at last
              path: 1.mp3
            - {artist: A, title: Two, decision: none}
            """,
        )
        assert held(db) == {("A - One", "set", first.id), ("A - Two", "none", None)}
        set_match(db, config, one, second, now=NOW)
        text = path.read_text()
        assert [line for line in text.splitlines() if "#" in line] == [
            "# the studio one",
            "# not B",
            "# found it at last",
        ]
        assert "1.mp3" not in text
        assert text.index("2.mp3") < text.index("title: Two")
        assert held(db) == {("A - One", "set", second.id), ("A - Two", "none", None)}

    def test_rejections_add_up_and_a_reset_takes_all_back(self, db: Database, config: Config, path: Path) -> None:
        one, two = add_file(db, b"1.mp3"), add_file(db, b"2.mp3")
        [track, other] = want(db, "A - One", "A - Two")
        remove_match(db, config, other, now=NOW)
        before = path.read_text()
        reject_match(db, config, track, one, now=NOW)
        reject_match(db, config, track, two, now=NOW)
        assert held(db) == {
            ("A - One", "reject", one.id),
            ("A - One", "reject", two.id),
            ("A - Two", "none", None),
        }
        assert reset_match(db, config, track, now=NOW).changed
        assert held(db) == {("A - Two", "none", None)}
        assert path.read_text() == before
        assert not reset_match(db, config, track, now=NOW).changed

    def test_the_same_again_does_not_touch_the_file(self, db: Database, config: Config, path: Path) -> None:
        [track] = want(db, "A - One")
        file = add_file(db)
        set_match(db, config, track, file, now=NOW)
        before = path.stat()
        assert not set_match(db, config, track, file, now=NOW + 1).changed
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    def test_an_entry_that_means_several_tracks_is_split_when_one_is_decided_otherwise(
        self, db: Database, config: Config, path: Path
    ) -> None:
        file = add_file(db, b"1.mp3")
        [single, album] = want(db, "A - One", replace(entry("A - One"), album="Best of"))
        synced(db, path, "decisions:\n- {artist: A, title: One, path: 1.mp3} # both\n")
        assert {d.track_key for d in decisions.all_decisions(db.connection)} == {single.key, album.key}
        remove_match(db, config, single, now=NOW)
        by_key = {d.track_key: (d.kind.value, d.file_id) for d in decisions.all_decisions(db.connection)}
        assert by_key == {single.key: ("none", None), album.key: ("set", file.id)}
        with another_database(path.parent) as other:
            want(other, "A - One", replace(entry("A - One"), album="Best of"))
            new = add_file(other, b"1.mp3")
            sync(other, path.parent, now=NOW)
            again = {d.track_key: (d.kind.value, d.file_id) for d in decisions.all_decisions(other.connection)}
            assert again == {single.key: ("none", None), album.key: ("set", new.id)}

    @pytest.mark.parametrize(
        "text",
        [
            "decisions:\n",
            "decisions: []\n",
            "decisions: ~ # none yet\n",
            "# only a comment",
            "",
            "other: 1\r\ndecisions:\r\n- {title: x, decision: none}\r\n",
            "decisions: [{title: x, decision: none}]",
            "{decisions: []}",
            '{"decisions": [{"title": "x", "decision": "none"}]}',
            "decisions:\n    - title: x\n      decision: none",
            "\ufeffdecisions:\n- title: x\n  decision: |-\n    none\n\n\nother: 2\n",
        ],
    )
    def test_works_in_whatever_way_the_file_is_written(
        self, db: Database, config: Config, path: Path, text: str
    ) -> None:
        [track, other] = want(db, "A - One", "x")
        write(path, text)
        before = "x" in text
        set_match(db, config, track, add_file(db, b"1.mp3"), now=NOW)
        labels = {(label, kind) for label, kind, _ in held(db)}
        assert labels == {("A - One", "set")} | ({("x", "none")} if before else set())
        after = path.read_bytes().decode()
        assert after.startswith("\ufeff") == text.startswith("\ufeff")
        assert ("\r\n" in after) == ("\r\n" in text)
        assert after.count("\n") == after.count("\r\n") or "\r\n" not in text
        reset_match(db, config, track, now=NOW)
        reset_match(db, config, other, now=NOW)
        assert held(db) == set()
        sync(db, path.parent, now=NOW)
        assert held(db) == set()

    @pytest.mark.parametrize(
        "text",
        [
            "{other: 1}",
            "decisions: [ # nothing yet\n]\n",
            "decisions: [{title: One, artist: A, # why\n decision: none}]",
            "decisions:\n- {artist: &a A, title: One, decision: none}\n- {artist: *a, title: Two, decision: none}\n",
        ],
    )
    def test_refuses_a_file_that_it_could_only_change_by_losing_something(
        self, db: Database, config: Config, path: Path, text: str
    ) -> None:
        [track] = want(db, "A - One")
        write(path, text)
        before = held(db)
        with pytest.raises(OverridesError):
            set_match(db, config, track, add_file(db, b"1.mp3"), now=NOW)
        assert path.read_text() == text
        assert "set" not in {kind for _, kind, _ in held(db) - before}

    def test_names_that_are_odd_come_back_as_they_were(self, db: Database, config: Config, path: Path) -> None:
        names = [
            b"caf\xe9 100%.mp3",
            b"line\nbreak\t\x01.mp3",
            '🎵 \u2028\ufeff\x85 "q" \\ #: \'.mp3'.encode(),
            b"- a: b",
        ]
        labels = ["A - 1", 'Ä\n🎵 - 100% \\ "x" # y', "  - : ", "\x07 - \u2029"]
        found = want(db, *(PlaylistEntry(n, label, ("A\nB", "#")) for n, label in enumerate(labels)))
        made = {track.key: add_file(db, name) for track, name in zip(found, names, strict=True)}
        for track in found:
            set_match(db, config, track, made[track.key], now=NOW)
        with another_database(path.parent) as other:
            for name in names:
                add_file(other, name)
            want(other, *(PlaylistEntry(n, label, ("A\nB", "#")) for n, label in enumerate(labels)))
            result = sync(other, path.parent, now=NOW)
            assert result.problems == ()
            again = {d.track_key: d.file_path for d in decisions.all_decisions(other.connection)}
            assert again == {key: file.path for key, file in made.items()}


class TestHandEdits:
    @pytest.mark.parametrize(
        ("named", "wanted"),
        [
            ("isrc: gb-aye-06-01498", PlaylistEntry(1, "x", isrc="GBAYE0601498")),
            ("artist: A\n  title: One", entry("A - One")),
            ("artist: a\n  title: ONE", replace(entry("A - One"), album="Best of", isrc="GBAYE0601498")),
            ("artists: [B, A]\n  title: One", PlaylistEntry(1, "One", ("A", "B"))),
            ("artists: A\n  title: One", entry("A - One")),
            ("artist: A, B\n  title: One", PlaylistEntry(1, "One", ("A", "B"))),
            ("artist: B\n  title: One", PlaylistEntry(1, "One", ("A", "B"))),
            ("track: A - One", entry("A - One")),
            ("track: One", entry("One")),
            ("title: One", entry("A - One")),
            ("title: 1999\n  artist: 4:44", entry("4:44 - 1999")),
            ("title: Yes\n  artist: No", entry("No - Yes")),
            ("title: One\n  artist: A\n  album: X", replace(entry("A - One"), album="X", isrc="GBAYE0601498")),
            (
                "musicbrainz: https://musicbrainz.org/recording/F27EC8DB-AF05-4F36-916E-3D57F91ECF5E",
                PlaylistEntry(1, "x", mb_recording_id="f27ec8db-af05-4f36-916e-3d57f91ecf5e", isrc="GBAYE0601498"),
            ),
            ("key: name:a|one|", entry("A - One")),
        ],
    )
    def test_name_a_track_in_any_way_that_is_clear(
        self, db: Database, path: Path, named: str, wanted: PlaylistEntry
    ) -> None:
        file = add_file(db, b"song.mp3")
        want(db, wanted, "Somebody - Else")
        result = synced(db, path, f"decisions:\n- {named}\n  path: song.mp3\n")
        label = next(t for t in tracks.all_tracks(db.connection) if t.title != "Else").label
        assert held(db) == {(label, "set", file.id)}
        assert result.problems == ()
        assert result.read
        assert result.changed == 1

    def test_name_a_file_in_any_way_that_is_clear(self, db: Database, path: Path, tmp_path: Path) -> None:
        root = tmp_path / "Music"
        root.mkdir()
        (tmp_path / "link").symlink_to(root)
        library = add_library(db, name="music", root=os.fsencode(root))
        file = add_file(db, b"a/song.mp3", library=library, fingerprint="audio:1")
        want(db, "A - One")
        for named in (
            "path: a/song.mp3",
            "library: music\n  path: a/song.mp3",
            f"path: {root}/a/song.mp3",
            f"path: {tmp_path}/link/a/song.mp3",
            "path_encoded: a/s%6Fng.mp3",
            "fingerprint: audio:1",
            "path: gone.mp3\n  fingerprint: audio:1",
        ):
            synced(db, path, "decisions: []")
            assert held(db) == set()
            result = synced(db, path, f"decisions:\n- track: A - One\n  {named}\n")
            assert (result.problems, held(db)) == ((), {("A - One", "set", file.id)}), named

    def test_may_start_a_path_at_home(self, db: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/music")
        file = add_file(db, b"song.mp3")
        want(db, "A - One")
        synced(db, path, "decisions:\n- track: A - One\n  path: ~/song.mp3\n")
        assert held(db) == {("A - One", "set", file.id)}

    def test_are_told_the_fingerprint_and_otherwise_left_alone(self, db: Database, path: Path) -> None:
        add_file(db, b"song.mp3", fingerprint="audio:1")
        want(db, "A - One")
        text = "decisions:\n# mine\n- track: A - One\n  path: 'song.mp3' # yes\n\n# end\n"
        result = synced(db, path, text)
        assert result.written
        assert path.read_text() == text.replace("# yes\n", '# yes\n  fingerprint: "audio:1"\n')
        assert not synced(db, path).read

    def test_win_over_what_the_database_says(self, db: Database, config: Config, path: Path) -> None:
        one, two = add_file(db, b"1.mp3"), add_file(db, b"2.mp3")
        [track, other] = want(db, "A - One", "A - Two")
        set_match(db, config, track, one, now=NOW)
        remove_match(db, config, other, now=NOW)
        text = path.read_text()
        edited = text.replace('path: "1.mp3"', "path: 2.mp3")[: text.index('  - track: "A - Two"') - 2]
        result = synced(db, path, edited)
        assert (result.read, result.changed) == (True, 2)
        assert held(db) == {("A - One", "set", two.id)}
        assert f'fingerprint: "{two.fingerprint}"' in path.read_text()
        assert {q.track.id for q in matches.next_queued(db.connection, limit=9)} == {track.id, other.id}

    def test_that_empty_the_list_take_everything_back(self, db: Database, config: Config, path: Path) -> None:
        [track] = want(db, "A - One")
        remove_match(db, config, track, now=NOW)
        synced(db, path, "# none left\n")
        assert held(db) == set()

    def test_of_a_path_that_is_not_there_are_kept_and_reported(self, db: Database, config: Config, path: Path) -> None:
        file = add_file(db, b"1.mp3")
        [track] = want(db, "A - One")
        set_match(db, config, track, file, now=NOW)
        text = path.read_text().replace('path: "1.mp3"', "path: 1.mp4")
        for _ in range(2):
            result = synced(db, path, text)
            assert path.read_text() == text
            assert held(db) == {("A - One", "set", file.id)}
            assert 'psm knows no file "1.mp4", and took "1.mp3"' in result.problems[0].reason
            with db.transaction() as connection:
                metadata.bump(connection, "tracks")  # looks at everything again

    def test_of_a_file_that_comes_later_wait_for_it(self, db: Database, path: Path) -> None:
        want(db, "A - One")
        add_library(db)
        result = synced(db, path, "decisions:\n- track: A - One\n  path: later.mp3\n")
        assert held(db) == {("A - One", "set", None)}
        assert result.problems[0].line == 2
        assert synced(db, path).problems == result.problems
        file = add_file(db, b"later.mp3")
        assert synced(db, path).problems == ()
        assert held(db) == {("A - One", "set", file.id)}

    def test_of_a_track_that_comes_later_wait_for_it(self, db: Database, path: Path) -> None:
        file = add_file(db, b"song.mp3")
        result = synced(db, path, "decisions:\n- {artist: A, title: One, path: song.mp3}\n")
        assert 'no playlist has a track "A - One"' in result.problems[0].reason
        want(db, replace(entry("A - One"), album="Best of", isrc="GBAYE0601498"))
        assert synced(db, path).problems == ()
        assert held(db) == {("A - One", "set", file.id)}

    def test_that_contradict_each_other_the_later_counts(self, db: Database, path: Path) -> None:
        add_file(db, b"1.mp3")
        two = add_file(db, b"2.mp3")
        want(db, "A - One")
        result = synced(db, path, "decisions:\n- {track: A - One, path: 1.mp3}\n- {track: A - One, path: 2.mp3}\n")
        assert held(db) == {("A - One", "set", two.id)}
        assert [p.line for p in result.problems] == [2]
        assert "line 3" in result.problems[0].reason

    def test_that_psm_does_not_understand_stay_and_are_reported(self, db: Database, config: Config, path: Path) -> None:
        [track] = want(db, "A - One")
        text = textwrap.dedent("""\
            version: 9
            decisions:
            - {track: A - One, decision: prefer, path: x.mp3}
            - {track: A - One, decision: sett, path: x.mp3}
            - {decision: none}
            - {track: A - One}
            - {track: A - One, decision: set}
            - {isrc: nonsense, decision: none}
            - {musicbrainz: nonsense, decision: none}
            - {track: A - One, decision: reject, path: no.mp3, colour: red}
            - {title: Twice, decision: none}
            """)
        want(db, "B - Twice", "C - Twice", name="Other")
        result = synced(db, path, text)
        assert [(p.line, p.reason.split(":")[0]) for p in result.problems] == [
            (1, 'psm does not know "version", and leaves it alone'),
            (3, 'psm does not know the decision "prefer"'),
            (4, 'psm does not know the decision "sett"'),
            (5, "this entry names no track"),
            (6, "this entry decides nothing"),
            (7, "this entry names no file"),
            (8, '"nonsense" is no ISRC'),
            (9, '"nonsense" is no MusicBrainz id of a recording'),
            (10, 'psm does not know "colour", and leaves it alone'),
            (10, 'psm knows no file "no.mp3"'),
            (11, 'several tracks are called "Twice"'),
        ]
        assert 'did you mean "set"?' in result.problems[2].reason
        assert path.read_text() == text
        remove_match(db, config, track, now=NOW)
        assert path.read_text().startswith(text)

    @pytest.mark.parametrize(
        ("text", "line", "reason"),
        [
            ("decisions:\n- [", 2, "did not find expected node content"),
            ('decisions:\n- path: "C:\\Music"\n', 2, "single quotes"),
            ("- title: One\n", 1, "it has to begin with"),
            ("decisions: yes\n", 1, "has to be a list"),
            ("decisions:\n- One\n", 2, "has to be made of lines"),
            ("decisions:\n- title: One\n  path: [a]\n", 3, '"path" has to be a text'),
            ("decisions:\n- title: One\n  title: Two\n", 3, "given twice"),
            ("decisions:\n- title: One\n  path: !!binary Y2Fm6Q==\n", 3, "path_encoded"),
            ("decisions:\n- title: One\n  artists: [[a]]\n", 3, '"artists" has to be a text'),
            ("decisions:\n- title: a\x07b\n", 2, "control character"),
            ("decisions: []\n---\ndecisions: []\n", 2, "expected a single document"),
            ("decisions:\n- *nobody\n", 2, "undefined alias"),
            ("[" * 200_000 + "]" * 200_000, 1, "nested too deeply"),
        ],
    )
    def test_that_are_broken_change_nothing_and_say_where(
        self, db: Database, config: Config, path: Path, text: str, line: int, reason: str
    ) -> None:
        [track] = want(db, "A - One")
        remove_match(db, config, track, now=NOW)
        before = held(db)
        write(path, text)
        for attempt in (lambda: synced(db, path), lambda: reset_match(db, config, track, now=NOW)):
            with pytest.raises(OverridesError, match=f"line {line}: .*{reason}"):
                attempt()
            assert path.read_text() == text
            assert held(db) == before

    def test_all_mistakes_are_named_at_once(self, db: Database, path: Path) -> None:
        with pytest.raises(OverridesError) as told:
            synced(db, path, "decisions:\n- One\n- title: [x]\n- path: {}\n")
        assert [f"line {n}:" in str(told.value) for n in (2, 3, 4)] == [True, True, True]

    def test_in_another_encoding_are_named(self, db: Database, path: Path) -> None:
        path.parent.mkdir()
        path.write_bytes("decisions:\n- title: Caf\xe9\n".encode("latin-1"))
        with pytest.raises(OverridesError, match=r"not in UTF-8 \(line 2\)"):
            synced(db, path)


class TestMovedFiles:
    def test_get_their_new_name_in_the_file_and_nothing_else_changes(
        self, db: Database, config: Config, path: Path
    ) -> None:
        file = add_file(db, b"old.mp3")
        want(db, "A - One", "A - Two")
        text = "decisions:\n- track: A - One # c\n  library: music\n  path: old.mp3 # p\n"
        text += f"  fingerprint: {file.fingerprint}\n"
        synced(db, path, text)
        assert path.read_text() == text
        move_file(db, file, b"caf\xe9/new.mp3")
        result = synced(db, path)
        assert (result.written, result.read, result.changed) == (True, False, 0)
        assert path.read_text() == text.replace("path: old.mp3", 'path_encoded: "caf%E9/new.mp3"')
        move_file(db, file, b"new.mp3")
        synced(db, path)
        assert path.read_text() == text.replace("old.mp3", '"new.mp3"')
        assert held(db) == {("A - One", "set", file.id)}

    def test_in_another_library_get_that_too(self, db: Database, path: Path) -> None:
        file = add_file(db, b"old.mp3")
        want(db, "A - One")
        synced(db, path, "decisions:\n- {track: A - One, path: old.mp3}\n")
        other = add_library(db, name="other", root=b"/other")
        move_file(db, replace(file, library_id=other.id), b"new.mp3")
        synced(db, path)
        assert path.read_text() == (
            f'decisions:\n- {{track: A - One, path: "new.mp3", fingerprint: "{file.fingerprint}", library: "other"}}\n'
        )

    def test_that_are_missing_keep_their_decision_and_name(self, db: Database, config: Config, path: Path) -> None:
        file = add_file(db, b"song.mp3")
        [track] = want(db, "A - One")
        set_match(db, config, track, file, now=NOW)
        before = path.read_text()
        lose_file(db, file)
        assert synced(db, path).problems == ()
        assert (path.read_text(), held(db)) == (before, {("A - One", "set", file.id)})
        assert not set_match(db, config, track, file, now=NOW).changed

    def test_of_a_library_that_was_removed_are_waited_for(self, db: Database, config: Config, path: Path) -> None:
        file = add_file(db, b"song.mp3", fingerprint="audio:1")
        [track] = want(db, "A - One")
        set_match(db, config, track, file, now=NOW)
        before = path.read_text()
        with db.transaction() as connection:
            libraries.remove(connection, file.library_id)
        synced(db, path)
        assert (path.read_text(), held(db)) == (before, {("A - One", "set", None)})
        other = add_file(db, b"other.mp3", fingerprint="audio:2")
        assert other.id == file.id  # SQLite gives ids out again
        back = add_file(db, b"song.mp3", fingerprint="audio:1")
        synced(db, path)
        assert held(db) == {("A - One", "set", back.id)}

    def test_are_told_later_when_the_file_cannot_be_written_now(
        self, db: Database, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = add_file(db, b"old.mp3")
        want(db, "A - One")
        synced(db, path, "decisions:\n- {track: A - One, path: old.mp3}\n")
        move_file(db, file, b"new.mp3")
        before = path.read_text()
        with monkeypatch.context() as broken:
            broken.setattr(atomic, "write", full_disk)
            result = synced(db, path)
        assert "No space left" in (result.unwritten or "")
        assert (path.read_text(), held(db)) == (before, {("A - One", "set", file.id)})
        add_file(db)
        assert synced(db, path).written
        assert "new.mp3" in path.read_text()


def full_disk(path: bytes, content: bytes, *, kind: str) -> None:
    raise OSError(28, os.strerror(28))


class TestLosses:
    def test_of_the_database_are_made_good_by_the_file(
        self, db: Database, config: Config, path: Path, tmp_path: Path
    ) -> None:
        found = want(db, "A - One", "A - Two", "A - Three")
        file, other = add_file(db, b"1.mp3"), add_file(db, b"2.mp3")
        set_match(db, config, found[0], file, now=NOW)
        reject_match(db, config, found[1], other, now=NOW)
        remove_match(db, config, found[2], now=NOW)
        with another_database(tmp_path) as new:
            add_file(new, b"0.mp3")
            files_again = [add_file(new, b"2.mp3"), add_file(new, b"1.mp3")]
            want(new, "A - Three", "A - Two", "A - One")
            result = synced(new, path)
            assert (result.read, result.decisions, result.changed) == (True, 3, 3)
            assert held(new) == {
                ("A - One", "set", files_again[1].id),
                ("A - Two", "reject", files_again[0].id),
                ("A - Three", "none", None),
            }
            stored = {d.decided_at for d in decisions.all_decisions(new.connection)}
            assert stored == {"2025-10-09T08:53:20Z"}

    @pytest.mark.parametrize("left", [None, b"", b" \n"])
    def test_of_the_file_are_made_good_by_the_database(
        self, db: Database, config: Config, path: Path, left: bytes | None
    ) -> None:
        [one, two] = want(db, "A - One", "A - Two")
        file = add_file(db, b"1.mp3")
        set_match(db, config, one, file, now=NOW)
        remove_match(db, config, two, now=NOW)
        before, known = path.read_text(), held(db)
        path.unlink() if left is None else path.write_bytes(left)
        result = synced(db, path)
        assert (result.restored, result.written, result.read, result.changed) == (True, False, False, 0)
        assert (path.read_text(), held(db)) == (before, known)
        assert not synced(db, path).restored

    def test_a_missing_file_without_decisions_is_not_made(self, db: Database, path: Path) -> None:
        assert synced(db, path) == OverridesResult(path)
        assert not path.parent.exists()

    def test_of_a_track_from_all_playlists_lose_no_decision(self, db: Database, config: Config, path: Path) -> None:
        [track] = want(db, "A - One")
        remove_match(db, config, track, now=NOW)
        want(db, "B - Other")
        path.unlink()
        assert synced(db, path).restored
        assert f'key: "{track.key}"' in path.read_text()
        want(db, "A - One")
        assert held(db) == {("A - One", "none", None)}

    def test_by_a_crash_between_file_and_database_are_mended_by_the_next_reading(
        self, db: Database, config: Config, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [track] = want(db, "A - One")
        file = add_file(db, b"1.mp3")

        def killed(*_: object, content: str, **__: object) -> int:
            if content != before:
                raise KeyboardInterrupt
            return 0

        before = content_of(None)
        with monkeypatch.context() as broken:
            broken.setattr(overrides, "_store", killed)
            with pytest.raises(KeyboardInterrupt):
                set_match(db, config, track, file, now=NOW)
        assert held(db) == set()
        assert synced(db, path).read
        assert held(db) == {("A - One", "set", file.id)}


class TestWriting:
    def test_on_a_full_disk_decides_nothing(
        self, db: Database, config: Config, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [track] = want(db, "A - One")
        with monkeypatch.context() as broken:
            broken.setattr(atomic, "write", full_disk)
            with pytest.raises(OverridesError, match="cannot be written: No space left on device"):
                remove_match(db, config, track, now=NOW)
        assert not path.exists()
        assert held(db) == set()
        remove_match(db, config, track, now=NOW)
        assert held(db) == {("A - One", "none", None)}

    def test_goes_through_a_link_and_keeps_the_permissions(
        self, db: Database, config: Config, path: Path, tmp_path: Path
    ) -> None:
        target = tmp_path / "dotfiles" / "overrides.yaml"
        write(target, "# mine\n")
        target.chmod(0o640)
        path.parent.mkdir()
        path.symlink_to(target)
        [track] = want(db, "A - One")
        remove_match(db, config, track, now=NOW)
        assert path.is_symlink()
        assert target.read_text().startswith("# mine\ndecisions:\n")
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
        assert os.listdir(target.parent) == [target.name]

    def test_does_not_overwrite_what_another_program_wrote_at_this_moment(
        self, db: Database, config: Config, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [track] = want(db, "A - One")
        write(path, "decisions: []\n")
        understand = overrides._with_decisions

        def slow(*args: object) -> str:
            text = understand(*args)  # type: ignore[arg-type]
            write(path, "decisions: [] # just edited\n")
            return text

        monkeypatch.setattr(overrides, "_with_decisions", slow)
        with pytest.raises(OverridesError, match="changed by another program at this moment"):
            remove_match(db, config, track, now=NOW)
        assert path.read_text() == "decisions: [] # just edited\n"
        assert held(db) == set()

    def test_says_why_a_folder_or_file_cannot_be_used(self, db: Database, tmp_path: Path) -> None:
        [track] = want(db, "A - One")
        (tmp_path / "file").touch()
        with pytest.raises(OverridesError, match=r"cannot be made: (File exists|Not a directory)"):
            remove_match(db, Config(folder=tmp_path / "file"), track, now=NOW)
        (tmp_path / "config" / FILE_NAME).mkdir(parents=True)
        with pytest.raises(OverridesError, match="cannot be read: Is a directory"):
            sync(db, tmp_path / "config", now=NOW)

    def test_a_folder_that_cannot_be_written_is_still_read(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        for parent in tmp_path.parents:
            if parent.owner() == "root" and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
        folder = tmp_path / "config"
        write(folder / FILE_NAME, "decisions:\n- {track: A - One, decision: none}\n")
        own = tmp_path / "own"
        own.mkdir()
        os.chown(own, 65534, 65534)
        script = textwrap.dedent("""\
            import importlib.readers, os, sys  # root may read where others may not: all imports come first
            from pathlib import Path
            from psm.db import Database, decisions
            from psm.config import Config
            from psm.errors import PsmError
            from psm.services.decisions import remove_match
            from psm.services.overrides import sync
            from tests.services.test_overrides import want
            folder, own = map(Path, sys.argv[1:])
            os.setgid(65534), os.setuid(65534)
            with Database(own / "psm.db") as db:
                [track, other] = want(db, "A - One", "A - Two")
                print(sync(db, folder, now=0.0).decisions)
                try:
                    remove_match(db, Config(folder=folder), other, now=0.0)
                except PsmError as e:
                    print(e)
                print(len(decisions.all_decisions(db.connection)))
            """)
        done = subprocess.run(
            [sys.executable, "-c", script, folder, own],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")},  # it could not write its data
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": str(Path(__file__).parents[2]),
            },
        )
        assert done.stderr == ""
        first, *told, last = done.stdout.splitlines()
        assert (first, last) == ("1", "1")
        assert "ermission" in "".join(told)

    def test_two_programs_that_decide_at_once_lose_nothing(self, tmp_path: Path, config: Config, path: Path) -> None:
        with another_database(tmp_path, "psm.db") as db:
            found = want(db, *(f"A - {n}" for n in range(12)))
        script = textwrap.dedent("""\
            import sys
            from pathlib import Path
            from psm.config import Config
            from psm.db import Database, tracks
            from psm.services.decisions import remove_match
            database, folder, *ids = sys.argv[1:]
            with Database(Path(database)) as db:
                for number in ids:
                    remove_match(db, Config(folder=Path(folder)), tracks.by_id(db.connection, int(number)), now=0.0)
            """)
        ids = [str(track.id) for track in found]
        running = [
            subprocess.Popen([sys.executable, "-c", script, tmp_path / "psm.db", config.folder, *ids[start::2]])
            for start in (0, 1)
        ]
        assert [process.wait() for process in running] == [0, 0]
        with another_database(tmp_path, "psm.db") as db:
            assert held(db) == {(track.label, "none", None) for track in found}
            assert not synced(db, path).changed
        assert path.read_text().count("decision: none") == 12


class TestCost:
    def test_nothing_is_read_twice_or_written_when_nothing_changed(
        self, db: Database, config: Config, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [track] = want(db, "A - One")
        set_match(db, config, track, add_file(db), now=NOW)
        synced(db, path)
        state = [metadata.get(db.connection, "overrides"), metadata.generation(db.connection, "decisions")]
        monkeypatch.setattr(overrides, "parse", None)
        monkeypatch.setattr(overrides, "_locked", None)
        assert synced(db, path) == OverridesResult(path, decisions=1)
        add_file(db)  # another file: the one that was chosen is where it was
        assert synced(db, path) == OverridesResult(path, decisions=1)
        now = [metadata.get(db.connection, "overrides"), metadata.generation(db.connection, "decisions")]
        assert now[1] == state[1]
        assert now[0] != state[0]
