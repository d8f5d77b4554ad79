"""``psm match``, ``matches``, ``diagnose`` and deciding by hand, as people and programs call them."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from psm.cli import run
from psm.db import Database
from psm.models import LibraryFile, PlaylistEntry
from tests.factories import add_file, add_playlist, entry, lose_file


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [n for n in os.environ if n.startswith(("PSM_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


class Psm:
    """A psm with a configuration folder and a database of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder / "config"
        self.folder.mkdir()
        (self.folder / "config.yaml").touch()
        self.database = folder / "psm.db"
        self.capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        self.capsys.readouterr()
        config = str(self.folder / "config.yaml")
        assert run(["--config", config, "--database", str(self.database), *arguments]) == code
        out, err = self.capsys.readouterr()
        return out, err

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json")[0])

    @property
    def overrides(self) -> Path:
        return self.folder / "psm-overrides.yaml"


@pytest.fixture
def psm(home: Path, capsys: pytest.CaptureFixture[str]) -> Psm:
    return Psm(home, capsys)


@pytest.fixture
def known(psm: Psm) -> list[LibraryFile]:
    """Two playlists and three files."""
    with Database(psm.database) as db:
        add_playlist(
            db,
            "A - One",
            PlaylistEntry(3, "Two", ("A", "B"), album="Best", duration_s=61.0, isrc="GBAYE0601498"),
            name="Mix",
        )
        add_playlist(db, "Nobody - Nowhere", "A - One", name="Zoo")
        return [
            add_file(db, b"caf\xe9/one.flac", title="One", artists=("A",)),
            add_file(db, b"two.flac", title="Two", artists=("A", "B"), isrcs=("GBAYE0601498",), duration_s=61.0),
            add_file(db, b"other.flac", title="Other", artists=("C",)),
        ]


class TestMatch:
    def test_says_nothing_of_ways_when_nothing_was_found(self, psm: Psm) -> None:
        with Database(psm.database) as db:
            add_playlist(db, "Nobody - Nowhere", name="Zoo")
        assert "Found by" not in psm("match")[0]

    def test_says_how_many_were_found_and_how(self, psm: Psm, known: list[LibraryFile]) -> None:
        out, err = psm("match")
        assert out.splitlines()[0] == "2 of 3 tracks have a file (66 %)."
        assert out.splitlines()[1].startswith("Looked at 3: 2 newly found, 0 changed, 0 lost, in ")
        assert out.splitlines()[2] == "Found by isrc: 1, exact: 1."
        assert err == ""
        assert psm("match")[0].splitlines() == [
            "2 of 3 tracks have a file (66 %).",
            "Nothing had changed since the last match.",
        ]

    def test_full_looks_at_every_track_again(self, psm: Psm, known: list[LibraryFile]) -> None:
        first = psm.json("match")
        assert first.pop("duration_s") > 0
        assert first.pop("overrides")["decisions"] == 0
        assert first == {
            "tracks": 3,
            "matched": 2,
            "unmatched": 1,
            "newly_matched": 2,
            "changed": 0,
            "lost": 0,
            "evaluated": 3,
            "by_method": {**dict.fromkeys(first["by_method"], 0), "isrc": 1, "exact": 1},
            "complete": True,
        }
        assert psm.json("match")["evaluated"] == 0
        assert psm.json("match", "--full")["evaluated"] == 3

    def test_nothing_at_all_is_fine(self, psm: Psm) -> None:
        assert psm("match")[0].startswith("There is nothing to match yet")

    def test_takes_hand_edits_over_and_tells_what_is_wrong_with_them(self, psm: Psm, known: list[LibraryFile]) -> None:
        psm.overrides.write_text("decisions:\n- {track: A - One, decision: none}\n- {track: A - One}\n")
        out, err = psm("match")
        assert out.startswith("1 of 3")
        assert "something else is decided now for 1 track.\n" in err
        assert "line 3: this entry decides nothing" in err
        assert psm.json("match")["overrides"]["problems"][0]["line"] == 3
        psm.overrides.unlink()
        assert "was gone: written again" in psm("match")[1]
        psm.overrides.write_text("decisions: [")
        assert "line 1" in psm("match", code=1)[1]


class TestMatches:
    def test_one_object_per_row_of_every_playlist_in_order(self, psm: Psm, known: list[LibraryFile]) -> None:
        psm("match")
        found = psm.json("matches")
        assert [(m["playlist"], m["position"], m["title"]) for m in found] == [
            ("Mix", 1, "One"),
            ("Mix", 3, "Two"),
            ("Zoo", 1, "Nowhere"),
            ("Zoo", 2, "One"),
        ]
        assert os.fsencode(found[0]["path"]) == b"/music/caf\xe9/one.flac"
        assert found[0]["track_id"] == found[3]["track_id"]
        two = found[1]
        assert two["key"]
        del two["key"]
        assert two == {
            "playlist": "Mix",
            "playlist_id": 1,
            "position": 3,
            "track_id": 2,
            "title": "Two",
            "artists": ["A", "B"],
            "album": "Best",
            "duration_s": 61.0,
            "isrc": "GBAYE0601498",
            "mb_recording_id": None,
            "locations": [],
            "path": "/music/two.flac",
            "file_id": 2,
            "score": 1.0,
            "method": "isrc",
            "confidence": "high",
            "reasons": two["reasons"],
        }
        assert two["reasons"]
        missing = {n: found[2][n] for n in ("path", "file_id", "score", "method", "confidence", "reasons")}
        assert missing == {**dict.fromkeys(missing), "reasons": []}

    def test_only_one_playlist_and_only_what_has_no_file(self, psm: Psm, known: list[LibraryFile]) -> None:
        psm("match")
        assert [m["title"] for m in psm.json("matches", "--unmatched")] == ["Nowhere"]
        assert [m["playlist"] for m in psm.json("matches", "--playlist", "zo")] == ["Zoo", "Zoo"]
        assert psm.json("matches", "--playlist", "mix", "--unmatched") == []
        assert "Every track has a file." in psm("matches", "--playlist", "mix", "--unmatched")[1]
        assert "No playlist answers" in psm("matches", "--playlist", "nope", code=2)[1]

    def test_a_table_for_people(self, psm: Psm, known: list[LibraryFile]) -> None:
        psm("match")
        lines = psm("matches")[0].splitlines()
        assert lines[0].split() == ["playlist", "no.", "track", "file", "method", "score", "confidence"]
        assert r"/music/caf\xe9/one.flac" in lines[1]
        assert lines[3].split() == ["Zoo", "1", "Nobody", "-", "Nowhere"]

    def test_without_playlists_says_how_to_take_some_in(self, psm: Psm) -> None:
        out, err = psm("matches")
        assert (out, "psm playlist import" in err) == ("", True)
        assert psm.json("matches") == []

    def test_a_file_that_is_missing_is_no_match(self, psm: Psm, known: list[LibraryFile]) -> None:
        psm("match")
        with Database(psm.database) as db:
            lose_file(db, known[1])
        assert [m["title"] for m in psm.json("matches", "--unmatched")] == ["Two", "Nowhere"]


class TestDiagnose:
    def test_shows_candidates_with_scores_and_verdicts(self, psm: Psm, known: list[LibraryFile]) -> None:
        psm("match")
        with Database(psm.database) as db:
            lose_file(db, add_file(db, b"gone.flac", title="One", artists=("A",)))
        psm("match")
        psm("reject-match", "a - one", "other.flac")
        found = psm.json("diagnose", "a - one")
        assert (found["track_id"], found["match"]["file_id"]) == (1, 1)
        assert [d["decision"] for d in found["decisions"]] == ["reject"]
        by_id = {c["file_id"]: c for c in found["candidates"]}
        assert by_id[1]["chosen"]
        assert by_id[1]["verdict"].startswith("won")
        assert by_id[1]["score"] == found["match"]["score"]
        assert by_id[1]["weights"]["title"] == 1.0
        assert math.isclose(math.prod(by_id[1]["weights"].values()), by_id[1]["score"])
        assert os.fsencode(by_id[1]["path"]) == b"/music/caf\xe9/one.flac"
        assert by_id[4]["status"] == "missing"
        assert "rejected by hand" in by_id[3]["verdict"]
        out, _ = psm("diagnose", "1")
        assert out.startswith("A - One  [track 1]\n  decided by hand: reject other.flac (20")
        assert r"1. /music/caf\xe9/one.flac  [file #1]" in out
        assert "[file #4, missing]" in out
        assert f", {100 * by_id[1]['sure']:.0f} % sure; won" in out
        assert "\n   title × 1.00, " in out
        assert "   + same title" in out

    def test_says_when_there_are_none_and_when_a_match_is_due(self, psm: Psm, known: list[LibraryFile]) -> None:
        assert "psm match brings this up to date" in psm("diagnose", "nowhere")[1]
        psm("match")
        out, err = psm("diagnose", "nowhere")
        assert out.splitlines() == ["Nobody - Nowhere  [track 3]", "  No file in the libraries comes near."]
        assert err == ""
        assert psm.json("diagnose", "nowhere")["match"] is None
        assert "(album Best, 1:01, ISRC GBAYE0601498)" in psm("diagnose", "two")[0]

    def test_of_a_track_that_is_not_clear_is_wrong_use(self, psm: Psm, known: list[LibraryFile]) -> None:
        assert "No track answers" in psm("diagnose", "no such", code=2)[1]


class TestDeciding:
    def test_set_match_prints_the_match_as_it_is_now(
        self, psm: Psm, known: list[LibraryFile], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out, _ = psm("set-match", "nowhere", "other.flac")
        assert out.splitlines() == [
            '"Nobody - Nowhere" is now /music/other.flac',
            "  manual, score 1.00, confidence high: chosen by hand",
        ]
        assert psm("set-match", "nowhere", "#3")[0].startswith("That was so before.\n")
        found = psm.json("set-match", "nowhere", "/music/two.flac")
        assert (found["track_id"], found["path"], found["file_id"]) == (3, "/music/two.flac", 2)
        assert (found["method"], found["changed"]) == ("manual", True)
        assert [(d["decision"], d["relative_path"], d["library"]) for d in found["decisions"]] == [
            ("set", "two.flac", "music")
        ]
        assert "two.flac" in psm.overrides.read_text()

    def test_the_file_may_have_any_name(self, psm: Psm, known: list[LibraryFile]) -> None:
        found = psm.json("set-match", "nowhere", "caf\udce9/one.flac")
        assert os.fsencode(found["path"]) == b"/music/caf\xe9/one.flac"
        assert 'path_encoded: "caf%E9/one.flac"' in psm.overrides.read_text()

    def test_reject_match_takes_the_present_match_or_a_file(self, psm: Psm, known: list[LibraryFile]) -> None:
        assert "has no match to reject" in psm("reject-match", "nowhere", code=2)[1]
        psm("match")
        assert psm("reject-match", "a - one")[0] == '"A - One" has no match now.\n'
        rejected = psm.json("reject-match", "a - one", "3")
        assert [d["file_id"] for d in rejected["decisions"]] == [1, 3]

    def test_remove_and_reset(self, psm: Psm, known: list[LibraryFile]) -> None:
        out, _ = psm("remove-match", "a - one")
        assert out == '"A - One" has no file now, and will get none. psm reset-match takes that back.\n'
        assert psm.json("match")["matched"] == 1
        assert psm("reset-match", "a - one")[0].startswith(r'"A - One" is now /music/caf\xe9/one.flac')
        assert psm("reset-match", "a - one")[0].startswith("That was so before.")

    def test_a_chosen_file_that_is_missing_is_told(self, psm: Psm, known: list[LibraryFile]) -> None:
        with Database(psm.database) as db:
            lose_file(db, known[2])
        out, _ = psm("set-match", "nowhere", "other.flac")
        assert "the file you chose is missing" in out

    def test_what_is_wrong_with_the_file_of_decisions_is_told(self, psm: Psm, known: list[LibraryFile]) -> None:
        psm.overrides.write_text("decisions:\n- {title: No such, decision: none}\n")
        out, err = psm("remove-match", "a - one")
        assert out.startswith('"A - One" has no file now')
        assert 'line 2: no playlist has a track "No such"' in " ".join(err.split())
        assert [p["line"] for p in psm.json("reset-match", "a - one")["overrides"]["problems"]] == [2]

    @pytest.mark.parametrize("typed", ["don't stop", "dont stop", "asap rocky", "A$AP ROCKY - Don't Stop"])
    def test_a_track_is_found_however_it_is_typed(self, psm: Psm, known: list[LibraryFile], typed: str) -> None:
        with Database(psm.database) as db:
            add_playlist(db, entry("A$AP Rocky - Don\u2019t Stop"), name="Other")
        assert psm.json("diagnose", typed)["title"] == "Don\u2019t Stop"
        assert psm.json("remove-match", typed)["title"] == "Don\u2019t Stop"

    def test_what_psm_does_not_know_is_wrong_use(self, psm: Psm, known: list[LibraryFile]) -> None:
        assert "psm files QUERY" in psm("set-match", "nowhere", "no such.flac", code=2)[1]
        assert "No track answers" in psm("set-match", "no such", "other.flac", code=2)[1]
        assert not psm.overrides.exists()

    def test_a_broken_overrides_file_stops_it(self, psm: Psm, known: list[LibraryFile]) -> None:
        psm.overrides.write_text("decisions: x")
        assert '"decisions" has to be a list' in psm("remove-match", "nowhere", code=1)[1]
        assert psm.overrides.read_text() == "decisions: x"


def test_every_title_is_shown_in_one_line(psm: Psm) -> None:
    with Database(psm.database) as db:
        add_playlist(db, entry("A\nB - \x1b[31mOne"))
    out, _ = psm("matches")
    assert r"A\nB - \x1b[31mOne" in out
    assert len(out.splitlines()) == 2
