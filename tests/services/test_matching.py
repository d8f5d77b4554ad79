"""The match stage: what a change re-opens, what stays, and that no interruption is seen afterwards."""

import gc
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psm.config import MatchConfig
from psm.db import Connection, Database, decisions, files, libraries, matches, metadata, tracks
from psm.match.decide import decide
from psm.models import Confidence, Decision, DecisionKind, LibraryFile, Match, Method, Track
from psm.progress import Progress
from psm.services import match_index, match_questions, matching
from psm.services.matching import diagnose, is_due, match_tracks
from tests.factories import add_file, add_library, add_playlist, entry, lose_file, retag_file

CFG = MatchConfig()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as database:
        yield database


def song(db: Database, label: str, path: str | None = None, **tags: object) -> LibraryFile:
    artist, _, title = label.partition(" - ")
    return add_file(db, path, **{"title": title, "artists": (artist,), **tags})  # type: ignore[arg-type]


def the_track(db: Database, title: str) -> Track:
    return next(t for t in tracks.all_tracks(db.connection) if t.title == title)


def the_match(db: Database, title: str) -> Match | None:
    return matches.get(db.connection, the_track(db, title).id)


def answer(db: Database, title: str) -> bytes | None:
    """The path of the file that was found."""
    found = the_match(db, title)
    if found is None:
        return None
    file = files.get(db.connection, found.file_id)
    assert file is not None
    return file.path


def decide_by_hand(db: Database, title: str, kind: DecisionKind, file: LibraryFile | None = None) -> None:
    track = the_track(db, title)
    decision = Decision(track.key, track.label, kind, decided_at="2026-01-01T00:00:00Z")
    if file is not None:
        decision = replace(
            decision,
            file_library=file.library,
            file_path=file.path,
            file_fingerprint=file.fingerprint,
            file_id=file.id,
        )
    with db.transaction(durable=True) as connection:
        decisions.put(connection, decision)


def keep_few(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Compares a track with so many files at most."""
    monkeypatch.setattr(match_index, "MOST_CANDIDATES", most)
    monkeypatch.setattr(match_questions, "MOST_CANDIDATES", most)


class StopAfter:
    """A stop signal that is set from the n-th question on."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_tracks_find_their_files_and_the_rest_stays_open(db: Database) -> None:
    song(db, "Beyoncé - Halo")
    song(db, "Queen - Innuendo")
    add_playlist(db, "Beyonce - Halo", "Portishead - Roads")
    result = match_tracks(db, CFG)
    assert (result.tracks, result.matched, result.newly_matched, result.unmatched) == (2, 1, 1, 1)
    assert (result.evaluated, result.changed, result.lost, result.complete) == (2, 0, 0, True)
    assert result.by_method == ((Method.EXACT, 1),)
    found = the_match(db, "Halo")
    assert found is not None
    assert found.reasons[:2] == ("same title", "artists: 1 of 1")


def test_the_duration_of_the_run_comes_from_the_clock(db: Database) -> None:
    times = iter([10.0, 12.5])
    assert match_tracks(db, CFG, clock=lambda: next(times)).duration_s == 2.5


def test_a_second_run_has_nothing_to_do(db: Database) -> None:
    song(db, "Beyoncé - Halo")
    add_playlist(db, "Beyoncé - Halo", "Portishead - Roads")
    assert is_due(db.connection, CFG)
    match_tracks(db, CFG)
    assert not is_due(db.connection, CFG)
    before = metadata.generation(db.connection, "matches")
    assert match_tracks(db, CFG).evaluated == 0
    assert metadata.generation(db.connection, "matches") == before


def test_only_tracks_that_a_new_file_could_answer_are_matched_again(db: Database) -> None:
    add_playlist(db, "Beyoncé - Halo", *(f"Artist {n:03d}x - Some{n:03d}thing" for n in range(30)))
    match_tracks(db, CFG)
    song(db, "Beyoncé - Halo")
    result = match_tracks(db, CFG)
    assert (result.evaluated, result.newly_matched) == (1, 1)


def test_a_new_file_that_is_no_answer_reopens_nothing(db: Database) -> None:
    song(db, "Beyoncé - Halo")
    add_playlist(db, replace(entry("Beyoncé - Halo"), duration_s=180.0))
    match_tracks(db, CFG)
    song(db, "Beyoncé - Halo", duration_s=300.0)
    song(db, "Beyoncé - Halo (Live)", duration_s=182.0)
    assert match_tracks(db, CFG).evaluated == 0
    song(db, "Beyoncé - Halo", "also.flac")
    assert match_tracks(db, CFG).evaluated == 1


def test_a_track_with_more_candidates_than_are_compared_is_reopened_by_each_of_them(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_few(monkeypatch, 2)
    for n in range(4):
        song(db, "Beyoncé - Halo", f"{n}.flac", duration_s=None)
    add_playlist(db, replace(entry("Beyoncé - Halo"), duration_s=180.0))
    match_tracks(db, CFG)
    song(db, "Beyoncé - Halo (Live)", duration_s=None)
    assert match_tracks(db, CFG).evaluated == 1


def test_a_file_that_changes_while_it_is_read_is_read_again(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    file = song(db, "Queen - Innuendo")
    add_playlist(db, "Queen - Innuendo", "Beyoncé - Halo")
    match_tracks(db, CFG)
    retag_file(db, file, title="Bohemian Rhapsody")
    read = match_index._read
    times: list[None] = []

    def retag_meanwhile(connection: Connection, ids: Sequence[int]) -> object:
        found = read(connection, ids)
        if not times:
            with Database(db.path) as other:
                retag_file(other, file, title="Halo", artists=("Beyoncé",))
        times.append(None)
        return found

    monkeypatch.setattr(match_index, "_read", retag_meanwhile)
    match_tracks(db, CFG)
    assert len(times) == 2
    assert (answer(db, "Innuendo"), answer(db, "Halo")) == (None, file.path)
    match_tracks(db, CFG)
    assert not is_due(db.connection, CFG)
    assert answer(db, "Halo") == file.path


def test_what_was_read_of_files_is_kept_in_bounds(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match_questions, "_KEPT", 3)
    monkeypatch.setattr(match_questions, "_AT_ONCE", 4)
    labels = [f"Artist{n % 2} - Number {n}" for n in range(20)]
    for label in labels:
        song(db, label)
    add_playlist(db, *labels)
    match_tracks(db, CFG)
    assert matches.count(db.connection) == 20


def test_a_better_file_takes_over_and_the_old_one_comes_back(db: Database) -> None:
    song(db, "Beyoncé - Halo", "halo.mp3", codec="mp3", bitrate_kbps=320)
    add_playlist(db, "Beyoncé - Halo")
    match_tracks(db, CFG)
    better = song(db, "Beyoncé - Halo", "halo.flac", codec="flac")
    assert match_tracks(db, CFG).changed == 1
    assert answer(db, "Halo") == b"halo.flac"
    lose_file(db, better)
    match_tracks(db, CFG)
    assert answer(db, "Halo") == b"halo.mp3"


def test_a_retag_reopens_the_tracks_of_the_old_and_of_the_new_name(db: Database) -> None:
    file = song(db, "Queen - Innuendo")
    add_playlist(db, "Queen - Innuendo", "Beyoncé - Halo")
    match_tracks(db, CFG)
    retag_file(db, file, title="Halo", artists=("Beyoncé",))
    result = match_tracks(db, CFG)
    assert (result.newly_matched, result.lost) == (1, 1)
    assert answer(db, "Innuendo") is None
    assert answer(db, "Halo") == file.path


def test_a_lost_file_is_no_answer_until_it_is_back(db: Database) -> None:
    file = song(db, "Queen - Innuendo")
    add_playlist(db, "Queen - Innuendo")
    match_tracks(db, CFG)
    first = the_match(db, "Innuendo")
    lose_file(db, file)
    assert match_tracks(db, CFG).lost == 1
    assert the_match(db, "Innuendo") is None
    retag_file(db, file)  # a scan that finds it again
    assert match_tracks(db, CFG).newly_matched == 1
    assert the_match(db, "Innuendo") == first


def test_a_purged_file_takes_its_match_and_its_keys_with_it(db: Database) -> None:
    file = song(db, "Queen - Innuendo", "a.flac")
    add_playlist(db, "Queen - Innuendo")
    match_tracks(db, CFG)
    lose_file(db, file)
    with db.transaction() as connection:
        files.purge_missing(connection, missing_before=10_000.0)
    match_tracks(db, CFG)
    assert the_match(db, "Innuendo") is None
    assert db.connection.execute("SELECT count(*) FROM file_keys").fetchone() == (0,)


def test_the_row_number_of_a_purged_file_may_be_used_again(db: Database) -> None:
    old = song(db, "Queen - Innuendo", "a.flac")
    add_playlist(db, "Queen - Innuendo", "Beyoncé - Halo")
    match_tracks(db, CFG)
    with db.transaction() as connection:
        libraries.remove(connection, old.library_id)
    new = song(db, "Beyoncé - Halo", "b.flac")
    assert new.id == old.id
    match_tracks(db, CFG)
    assert (answer(db, "Innuendo"), answer(db, "Halo")) == (None, b"b.flac")


def test_a_removed_playlist_leaves_no_keys_behind(db: Database) -> None:
    from psm.db import playlists

    playlist = add_playlist(db, "Queen - Innuendo")
    match_tracks(db, CFG)
    with db.transaction() as connection:
        playlists.remove(connection, playlist)
    result = match_tracks(db, CFG)
    assert (result.tracks, result.complete) == (0, True)
    assert db.connection.execute("SELECT count(*) FROM track_keys").fetchone() == (0,)


def test_a_playlist_that_names_a_file_gets_that_file_whatever_it_is_called(db: Database) -> None:
    song(db, "Beyoncé - Halo", "right name.flac")
    song(db, "x - y", b"odd \xff.mp3")  # type: ignore[arg-type]
    add_playlist(db, replace(entry("Beyoncé - Halo"), locations=(b"/elsewhere/a.mp3", b"/music/odd \xff.mp3")))
    match_tracks(db, CFG)
    found = the_match(db, "Halo")
    assert found is not None
    assert (found.method, found.score, answer(db, "Halo")) == (Method.PATH, 1.0, b"odd \xff.mp3")


def test_the_first_location_that_is_there_wins_and_gives_way_when_a_better_one_comes(db: Database) -> None:
    song(db, "x - y", "second.flac")
    add_playlist(db, replace(entry("Beyoncé - Halo"), locations=(b"/music/first.mp3", b"/music/second.flac")))
    match_tracks(db, CFG)
    assert answer(db, "Halo") == b"second.flac"
    song(db, "v - w", "first.mp3", codec="mp3")
    match_tracks(db, CFG)
    assert answer(db, "Halo") == b"first.mp3"


def test_a_library_that_moves_keeps_its_matches_and_follows_named_paths(db: Database) -> None:
    song(db, "x - y", "a.flac")
    song(db, "Queen - Innuendo", "b.flac")
    add_playlist(
        db, replace(entry("Beyoncé - Halo"), locations=(b"/mnt/new/a.flac",)), entry("Queen - Innuendo", position=2)
    )
    match_tracks(db, CFG)
    assert answer(db, "Halo") is None
    with db.transaction() as connection:
        libraries.move(connection, add_library(db).id, b"/mnt/new")
    match_tracks(db, CFG)
    assert (answer(db, "Halo"), answer(db, "Innuendo")) == (b"a.flac", b"b.flac")


def test_a_broken_file_is_an_answer_only_by_name_or_by_hand(db: Database) -> None:
    broken = song(db, "Queen - Innuendo", "broken.flac", error="not a FLAC file", duration_s=None)
    add_playlist(db, "Queen - Innuendo", replace(entry("Queen - Named", position=2), locations=(broken.absolute_path,)))
    match_tracks(db, CFG)
    assert (answer(db, "Innuendo"), answer(db, "Named")) == (None, b"broken.flac")
    decide_by_hand(db, "Innuendo", DecisionKind.SET, broken)
    match_tracks(db, CFG)
    assert answer(db, "Innuendo") == b"broken.flac"


def test_a_file_with_a_broken_tag_block_is_an_answer_when_its_audio_was_read(db: Database) -> None:
    song(db, "Queen - Innuendo", "damaged.mp3", error="its APE tag cannot be read", duration_s=180.0)
    add_playlist(db, replace(entry("Queen - Innuendo"), duration_s=180.0))
    match_tracks(db, CFG)
    assert answer(db, "Innuendo") == b"damaged.mp3"


def test_a_file_chosen_by_hand_wins_over_everything(db: Database) -> None:
    song(db, "Queen - Innuendo", "named.flac")
    other = song(db, "Nobody - Nothing alike", "other.mp3", codec="mp3")
    add_playlist(db, replace(entry("Queen - Innuendo"), locations=(b"/music/named.flac",)))
    match_tracks(db, CFG)
    decide_by_hand(db, "Innuendo", DecisionKind.SET, other)
    match_tracks(db, CFG)
    found = the_match(db, "Innuendo")
    assert found is not None
    assert (found.method, found.confidence, answer(db, "Innuendo")) == (Method.MANUAL, Confidence.HIGH, b"other.mp3")


def test_a_choice_survives_the_loss_of_its_file_and_the_stand_in_is_worth_a_look(db: Database) -> None:
    song(db, "Queen - Innuendo", "stand-in.flac")
    other = song(db, "Nobody - Nothing alike", "other.mp3")
    add_playlist(db, "Queen - Innuendo")
    decide_by_hand(db, "Innuendo", DecisionKind.SET, other)
    match_tracks(db, CFG)
    lose_file(db, other)
    match_tracks(db, CFG)
    found = the_match(db, "Innuendo")
    assert found is not None
    assert (found.confidence, answer(db, "Innuendo")) == (Confidence.LOW, b"stand-in.flac")
    assert "the file chosen by hand is not on disk" in found.reasons
    retag_file(db, other, title="Retagged too")
    match_tracks(db, CFG)
    assert answer(db, "Innuendo") == b"other.mp3"


def test_a_rejected_file_is_never_proposed_again(db: Database) -> None:
    best = song(db, "Queen - Innuendo", "best.flac")
    song(db, "Queen - Innuendo", "next.mp3", codec="mp3")
    add_playlist(db, "Queen - Innuendo")
    match_tracks(db, CFG)
    decide_by_hand(db, "Innuendo", DecisionKind.REJECT, best)
    match_tracks(db, CFG)
    assert answer(db, "Innuendo") == b"next.mp3"
    retag_file(db, best, album="Innuendo")
    match_tracks(db, CFG, full=True)
    assert answer(db, "Innuendo") == b"next.mp3"


def test_no_file_at_all_may_be_decided_and_taken_back(db: Database) -> None:
    song(db, "Queen - Innuendo", "a.flac")
    add_playlist(db, "Queen - Innuendo")
    match_tracks(db, CFG)
    decide_by_hand(db, "Innuendo", DecisionKind.NONE)
    assert match_tracks(db, CFG).lost == 1
    with db.transaction() as connection:
        decisions.remove(connection, the_track(db, "Innuendo").key)
    match_tracks(db, CFG)
    assert answer(db, "Innuendo") == b"a.flac"


def test_a_decision_whose_file_comes_later_holds_from_then_on(db: Database) -> None:
    song(db, "Queen - Innuendo", "a.flac")
    add_playlist(db, "Queen - Innuendo")
    track = the_track(db, "Innuendo")
    with db.transaction() as connection:
        later = Decision(track.key, track.label, DecisionKind.SET, "music", b"later.flac", decided_at="2026-01-01")
        decisions.put(connection, later)
    match_tracks(db, CFG)
    assert answer(db, "Innuendo") == b"a.flac"
    song(db, "Nobody - Nothing alike", "later.flac")
    match_tracks(db, CFG)
    assert answer(db, "Innuendo") == b"later.flac"


def test_another_threshold_asks_every_track_again(db: Database) -> None:
    song(db, "Queen - Innuendo", duration_s=200.0)
    add_playlist(db, replace(entry("Queen - Innuendo"), duration_s=180.0))
    match_tracks(db, CFG)
    assert the_match(db, "Innuendo") is None
    lax = MatchConfig(threshold=0.6)
    assert is_due(db.connection, lax)
    result = match_tracks(db, lax)
    assert (result.evaluated, result.newly_matched) == (1, 1)
    assert not is_due(db.connection, lax)


def test_another_version_of_the_algorithm_builds_all_anew(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    song(db, "Queen - Innuendo")
    add_playlist(db, "Queen - Innuendo")
    match_tracks(db, CFG)
    with db.transaction() as connection:
        connection.execute("DELETE FROM file_keys")
        connection.execute("DELETE FROM file_keyed")
    monkeypatch.setattr(match_index, "ALGORITHM_VERSION", "next")
    assert is_due(db.connection, CFG)
    assert match_tracks(db, CFG).evaluated == 1
    assert the_match(db, "Innuendo") is not None


def test_generations_move_only_for_what_visibly_changed(db: Database) -> None:
    file = song(db, "Queen - Innuendo")
    song(db, "Beyoncé - Halo")
    add_playlist(db, "Queen - Innuendo", "Beyoncé - Halo")
    match_tracks(db, CFG)
    before = metadata.generation(db.connection, "matches")
    retag_file(db, file, genre="Rock")
    assert match_tracks(db, CFG).evaluated >= 1
    assert metadata.generation(db.connection, "matches") == before
    retag_file(db, file, duration_s=181.0, title="Innuendo (live)")
    match_tracks(db, CFG)
    assert metadata.generation(db.connection, "matches") == before + 1
    assert list(matches.changed_since(db.connection, before)) == []


def test_a_stopped_run_loses_nothing(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match_index, "KEY_BATCH", 4)
    monkeypatch.setattr(matching, "TRACK_BATCH", 4)
    names = [f"Artist{n} - Number{n}title" for n in range(20)]
    for name in names:
        song(db, name)
    add_playlist(db, *names)
    finished = False
    for questions in range(0, 120, 7):
        finished = match_tracks(db, CFG, stop=StopAfter(questions)).complete
        if finished:
            break
        assert is_due(db.connection, CFG)
    assert finished
    assert matches.count(db.connection) == 20


def test_a_full_run_that_was_stopped_is_still_due(db: Database) -> None:
    song(db, "Queen - Innuendo")
    add_playlist(db, "Queen - Innuendo")
    match_tracks(db, CFG)
    assert not match_tracks(db, CFG, full=True, stop=StopAfter(0)).complete
    assert is_due(db.connection, CFG)
    match_tracks(db, CFG)
    assert the_match(db, "Innuendo") is not None


def test_garbage_is_looked_for_again_afterwards(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    match_tracks(db, CFG)
    assert gc.isenabled()

    def fail(*args: object, **kwargs: object) -> bool:
        assert not gc.isenabled()
        raise RuntimeError

    monkeypatch.setattr(matching, "find_affected", fail)
    with pytest.raises(RuntimeError):
        match_tracks(db, CFG)
    assert gc.isenabled()


def test_progress_counts_up_to_all_tracks(db: Database) -> None:
    song(db, "Queen - Innuendo")
    add_playlist(db, "Queen - Innuendo", "Beyoncé - Halo")
    seen: list[Progress] = []
    match_tracks(db, CFG, progress=seen.append)
    assert {p.stage for p in seen} == {"match"}
    assert (seen[-1].done, seen[-1].total) == (2, 2)


def test_a_change_while_a_track_is_matched_is_not_lost(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    file = song(db, "Queen - Innuendo")
    add_playlist(db, "Queen - Innuendo")
    answers: list[bool] = []

    def reject_meanwhile(*arguments: object) -> object:
        if not answers:
            with Database(db.path) as other:  # as another process would
                decide_by_hand(other, "Innuendo", DecisionKind.REJECT, file)
        answers.append(True)
        return decide(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(matching, "decide", reject_meanwhile)
    result = match_tracks(db, CFG)
    assert (len(answers), result.evaluated, result.matched, result.complete) == (2, 1, 0, True)


def test_new_tracks_are_matched_with_the_files_that_are_there(db: Database) -> None:
    song(db, "Queen - Innuendo")
    match_tracks(db, CFG)
    add_playlist(db, "Queen - Innuendo")
    assert match_tracks(db, CFG).newly_matched == 1


def test_a_named_file_is_never_cut_from_thousands(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_few(monkeypatch, 5)
    for n in range(10):
        song(db, "Queen - Innuendo", f"{n}.flac")
    song(db, "Somebody - Else", "named.flac", duration_s=400.0)
    add_playlist(db, replace(entry("Queen - Innuendo"), locations=(b"/music/named.flac",)))
    match_tracks(db, CFG)
    assert answer(db, "Innuendo") == b"named.flac"


def test_thousands_of_files_of_one_name_are_cut_to_the_most_promising(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_few(monkeypatch, 5)
    for n in range(40):
        song(db, "Somebody - Crossroads", f"{n:02d}.flac", duration_s=100.0 + n * 5)
    add_playlist(db, replace(entry("Somebody - Crossroads"), duration_s=270.0))
    match_tracks(db, CFG)
    assert answer(db, "Crossroads") == b"34.flac"


def test_a_thousand_intros_of_others_are_no_candidates(db: Database) -> None:
    for n in range(26):
        song(db, f"{chr(ord('A') + n) * 4} - Intro")
    add_playlist(db, "CCCC - Intro")
    match_tracks(db, CFG)
    found = diagnose(db, CFG, the_track(db, "Intro"), limit=50)
    assert [c.file.tags.artists for c in found.candidates] == [("CCCC",)]


# Diagnosis


def test_a_diagnosis_tells_why_each_candidate_won_or_lost(db: Database) -> None:
    song(db, "Queen - Innuendo", "best.flac")
    song(db, "Queen - Innuendo", "copy.mp3", codec="mp3")
    song(db, "Queen - Innuendo (Live at Wembley)", "live.flac")
    longer = song(db, "Queen - Innuendo", "longer.flac", duration_s=190.0)
    add_playlist(db, replace(entry("Queen - Innuendo"), duration_s=180.0))
    match_tracks(db, CFG)
    decide_by_hand(db, "Innuendo", DecisionKind.REJECT, longer)
    found = diagnose(db, CFG, the_track(db, "Innuendo"))
    said = {c.file.path: c for c in found.candidates}
    assert found.match is not None
    assert found.match.file_id == said[b"best.flac"].file.id
    assert said[b"best.flac"].chosen
    assert said[b"best.flac"].verdict == "won: the best candidate"
    assert [weight.of for weight in said[b"best.flac"].weights] == ["title", "artists", "duration"]
    assert said[b"best.flac"].sure > 0.99
    assert said[b"live.flac"].sure < 0.2
    assert (
        said[b"copy.mp3"].verdict == "lost: another file is as good, and preferred for its sound, its album or its path"
    )
    assert "only the file is live" in said[b"live.flac"].reasons_against
    assert said[b"live.flac"].verdict.startswith("lost: its score is below 0.82")
    assert said[b"longer.flac"].verdict == "lost: rejected by hand"
    assert [d.kind for d in found.decisions] == [DecisionKind.REJECT]


def test_a_diagnosis_names_missing_and_broken_files(db: Database) -> None:
    gone = song(db, "Queen - Innuendo", "gone.flac")
    song(db, "Queen - Innuendo", "broken.flac", error="cut short", duration_s=None)
    rejected = song(db, "Queen - Innuendo", "rejected.flac")
    song(db, "Beyoncé - Halo", "unrelated.flac", error="cut short", duration_s=None)
    add_playlist(db, "Queen - Innuendo")
    decide_by_hand(db, "Innuendo", DecisionKind.REJECT, rejected)
    lose_file(db, gone)
    lose_file(db, rejected)
    match_tracks(db, CFG)
    found = diagnose(db, CFG, the_track(db, "Innuendo"))
    assert {c.file.path: c.verdict for c in found.candidates} == {
        b"gone.flac": "lost: the file is missing from disk",
        b"broken.flac": "lost: the file could not be read: cut short",
        b"rejected.flac": "lost: rejected by hand; the file is missing from disk",
    }


def test_a_diagnosis_says_when_changes_wait_to_be_matched(db: Database) -> None:
    add_playlist(db, "Queen - Innuendo")
    match_tracks(db, CFG)
    assert not diagnose(db, CFG, the_track(db, "Innuendo")).outdated
    song(db, "Queen - Innuendo")
    assert diagnose(db, CFG, the_track(db, "Innuendo")).outdated


def test_a_diagnosis_shows_the_best_only_and_what_a_decision_names(db: Database) -> None:
    for n in range(8):
        song(db, "Queen - Innuendo", f"{n}.flac")
    odd = song(db, "Nobody - Nothing alike", "odd.flac")
    add_playlist(db, "Queen - Innuendo")
    match_tracks(db, CFG)
    decide_by_hand(db, "Innuendo", DecisionKind.SET, odd)
    found = diagnose(db, CFG, the_track(db, "Innuendo"), limit=3)
    assert [c.file.path for c in found.candidates] == [b"odd.flac", b"0.flac", b"1.flac"]
    assert found.candidates[0].verdict == "won: chosen by hand"
    assert found.candidates[1].verdict == "lost: another file was found by a surer method (manual)"
    decide_by_hand(db, "Innuendo", DecisionKind.NONE)
    found = diagnose(db, CFG, the_track(db, "Innuendo"), limit=1)
    assert found.candidates[0].verdict == "lost: no file was wanted for this track, by hand"


def test_a_diagnosis_says_when_another_scores_higher_and_when_a_rejected_file_is_unlike(db: Database) -> None:
    song(db, "Queen - Innuendo", "near.flac", duration_s=180.0)
    song(db, "Queen - Innuendo", "far.flac", duration_s=187.0)
    odd = song(db, "Nobody - Nothing alike", "odd.flac")
    broken = song(db, "Queen - Innuendo", "broken.flac", error="cut short", duration_s=None)
    add_playlist(db, replace(entry("Queen - Innuendo"), duration_s=180.0, locations=(b"/music/none",)))
    match_tracks(db, CFG)
    decide_by_hand(db, "Innuendo", DecisionKind.REJECT, odd)
    said = {c.file.path: c.verdict for c in diagnose(db, CFG, the_track(db, "Innuendo")).candidates}
    assert said[b"far.flac"] == "lost: another file scores higher"
    assert said[b"odd.flac"] == "lost: rejected by hand; nothing in its tags or its name resembles the track"
    assert said[broken.path] == "lost: the file could not be read: cut short"


# Incremental and full


ARTISTS = ("Queen", "Beyoncé", "Simon & Garfunkel", "Unknown Artist")
TITLES = ("Innuendo", "Halo", "Halo (Live)", "Intro", "Inuendo", "Bridge Over Troubled Water", "Halo - Queen")
PATHS = ("a.flac", "b.mp3", "c/d.ogg")
KINDS = [
    "match",
    "add",
    "playlist",
    "retag",
    "match",
    "add",
    "lose",
    "restore",
    "move",
    "set",
    "reject",
    "none",
    "forget",
]
CHANGE = st.tuples(
    st.sampled_from(KINDS),
    st.integers(0, 5),
    st.sampled_from(ARTISTS),
    st.sampled_from(TITLES),
    st.sampled_from([170.0, 180.0, 184.0, None]),
    st.sampled_from(["USRC17607839", "GBAYE7500101", None]),
)


class World:
    """A database with a few files and playlists, changed as scans, imports and people change it."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.files: list[LibraryFile] = []
        self.count = 0

    def apply(self, what: str, which: int, artist: str, title: str, duration_s: float | None, isrc: str | None) -> None:
        self.count += 1
        file = self.files[which % len(self.files)] if self.files else None
        fields: dict[str, object] = {"title": title, "artists": (artist,), "duration_s": duration_s}
        fields["isrcs"] = (isrc,) if isrc else ()
        match what:
            case "add":
                error = "cut short" if which == 5 else None
                self.files.append(add_file(self.db, f"{which}/{self.count}.flac", error=error, **fields))  # type: ignore[arg-type]
            case "retag" | "restore" if file is not None:
                tags = fields if what == "retag" else {}
                self.files[which % len(self.files)] = retag_file(self.db, file, **tags)
            case "lose" if file is not None:
                lose_file(self.db, file)
            case "move" if file is not None:
                self.move(file, b"moved/%d.flac" % self.count)
            case "playlist":
                self.playlist(which, artist, title, duration_s, isrc)
            case "set" | "reject" | "none" | "forget":
                self.decide(what, which, file)
            case "match":
                assert match_tracks(self.db, CFG).complete
            case _:
                pass

    def move(self, file: LibraryFile, path: bytes) -> None:
        from psm.models import Reading

        with self.db.transaction() as connection:
            files.update(
                connection,
                file.id,
                file.library_id,
                path,
                stat=file.stat,
                reading=Reading(file.tags, file.fingerprint, file.error),
                reread=False,
                generation=metadata.bump(connection, "library_files"),
            )
            moved = files.get(connection, file.id)
        assert moved is not None
        self.files[self.files.index(file)] = moved

    def playlist(self, which: int, artist: str, title: str, duration_s: float | None, isrc: str | None) -> None:
        named = tuple(f.absolute_path for f in self.files[which : which + 2]) if which % 2 else ()
        one = replace(entry(f"{artist} - {title}"), duration_s=duration_s, isrc=isrc, locations=named)
        other = replace(entry(f"{artist} - Innuendo", position=2), duration_s=180.0)
        add_playlist(self.db, one, other, name=f"Mix {which % 3}")

    def decide(self, what: str, which: int, file: LibraryFile | None) -> None:
        known = list(tracks.all_tracks(self.db.connection))
        if not known:
            return
        title = known[which % len(known)].title
        if what == "forget":
            with self.db.transaction() as connection:
                decisions.remove(connection, the_track(self.db, title).key)
        elif what == "none":
            decide_by_hand(self.db, title, DecisionKind.NONE)
        elif file is not None:
            decide_by_hand(self.db, title, DecisionKind(what), file)


def table(db: Database) -> dict[str, tuple[object, ...]]:
    """The matches by the identity of track and file."""
    rows = db.connection.execute(
        "SELECT t.identity, l.root, f.path, m.score, m.method, m.confidence, m.reasons FROM matches m "
        "JOIN tracks t ON t.id = m.track_id JOIN library_files f ON f.id = m.file_id "
        "JOIN libraries l ON l.id = f.library_id"
    )
    return {row[0]: row[1:] for row in rows}


@contextmanager
def fresh_database() -> Iterator[Database]:
    """A database for one example."""
    with tempfile.TemporaryDirectory() as folder, Database(Path(folder) / "psm.db") as db:
        yield db


@pytest.mark.parametrize(("most", "few"), [(2_000, 2_000), (2, 2_000), (2_000, 0)])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=st.lists(CHANGE, min_size=6, max_size=30))
def test_matching_what_changed_gives_the_same_as_matching_all(
    changes: list[tuple[str, int, str, str, float | None, str | None]],
    most: int,
    few: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep_few(monkeypatch, most)
    monkeypatch.setattr(match_index, "FEW_CHANGES", few)
    with fresh_database() as db:
        world = World(db)
        for change in changes:
            world.apply(*change)
        match_tracks(db, CFG)
        incremental = table(db)
        with db.transaction() as connection:
            connection.execute("DELETE FROM matches")
        match_tracks(db, CFG, full=True)
        assert incremental == table(db)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_in_which_files_were_found_does_not_matter(shuffle: random.Random) -> None:
    library = [(f"{n % 4}/{n}.flac", ARTISTS[n % 3], TITLES[n % 7], 178.0 + n % 5) for n in range(24)]
    wanted = [f"{artist} - {title}" for artist in ARTISTS[:3] for title in TITLES]
    tables = []
    for order in (library, shuffle.sample(library, len(library))):
        with fresh_database() as db:
            for path, artist, title, duration_s in order:
                add_file(db, path, title=title, artists=(artist,), duration_s=duration_s)
            add_playlist(db, *(wanted if order is library else reversed(wanted)))
            match_tracks(db, CFG)
            tables.append(table(db))
    assert tables[0]
    assert tables[0] == tables[1]


def test_an_unrelated_file_changes_nothing(db: Database) -> None:
    song(db, "Queen - Innuendo")
    song(db, "Queen - Innuendo (Live)")
    add_playlist(db, "Queen - Innuendo", "Queen - Inuendo")
    match_tracks(db, CFG)
    before = table(db)
    song(db, "Portishead - Roads")
    assert match_tracks(db, CFG).evaluated == 0
    match_tracks(db, CFG, full=True)
    assert table(db) == before


KILLED = """
import sys
from pathlib import Path
from psm.config import MatchConfig
from psm.db import Database
from psm.services import match_index, match_questions, matching
matching.KEY_BATCH = matching.TRACK_BATCH = 10
db = Database(Path(sys.argv[1]))
def tell(event):
    sys.stdout.write("x")
    sys.stdout.flush()
print("ready", flush=True)
matching.match_tracks(db, MatchConfig(), progress=tell, full=sys.argv[2] == "full")
"""


def run_and_kill(path: Path, *, after: int, full: bool) -> None:
    """Starts the stage in another process and kills it when it has told of its progress ``after`` times."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), "full" if full else ""], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdout.read(after)
        os.kill(process.pid, signal.SIGKILL)


def test_kill_9_at_any_moment_leaves_nothing_that_the_next_run_does_not_mend(tmp_path: Path) -> None:
    moments = random.Random(20261120)
    with Database(tmp_path / "undisturbed.db") as calm, Database(tmp_path / "killed.db") as hurt:
        for db in (calm, hurt):
            for n in range(120):
                song(db, f"Artist{n % 17} - Number {n} title", f"{n}.flac")
            add_playlist(db, *(f"Artist{n % 17} - Number {n} title" for n in range(150)))
        match_tracks(calm, CFG)
        for attempt in range(4):
            run_and_kill(hurt.path, after=moments.randrange(0, 40), full=attempt % 2 == 1)
        assert match_tracks(hurt, CFG).complete
        assert len(table(calm)) == 120
        assert table(hurt) == table(calm)
        assert not is_due(hurt.connection, CFG)
