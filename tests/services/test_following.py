"""The follower turn by turn: a clock that the test sets, the stages in this process; real files and a real database."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from psm.config import Config, Polling
from psm.db import Database, tracks
from psm.errors import Interrupted, PsmError
from psm.locks import hold
from psm.progress import Progress, ProgressCallback, StopSignal
from psm.services import following
from psm.services.decisions import remove_match, reset_match
from psm.services.demo import write_demo
from psm.services.following import Stage, StageFollower
from psm.services.pipeline import build
from psm.services.playlist_watch import HUNG_AFTER_S
from psm.services.scanning import scan
from psm.services.stage_news import StagesNews
from psm.services.stages import ALL_STAGES, stages_due
from psm.services.watch_events import WatchEvent, WatchEventKind
from tests.factories import flac_bytes
from tests.running import without_coverage

_DEADLINE_S = 60.0
_NO_PULL = ALL_STAGES - {Stage.PLAYLISTS}


class Box:
    """The demo, built, and a follower that is turned by hand. ``runs`` are the stages of each run."""

    def __init__(self, folder: Path) -> None:
        self.config = write_demo(folder).config
        self.folder = folder
        self.db = Database(self.config.database.path)
        self.other = Database(self.config.database.path)
        self.events: list[WatchEvent] = []
        self.runs: list[frozenset[Stage]] = []
        self.followers: list[StageFollower] = []
        self.now = 1_000.0
        self.took_s = 0.0
        self.fail: Callable[[Collection[Stage]], None] = lambda _: None
        for file in [*self.music.rglob("*.*"), *self.lists.iterdir()]:
            os.utime(file, (1_600_000_000, 1_600_000_000))
        build(self.db, self.config)

    def follower(
        self, stages: Collection[Stage] = _NO_PULL, config: Config | None = None, **options: Any
    ) -> StageFollower:
        made = StageFollower(
            self.db,
            config or self.config,
            stages=stages,
            on_event=self.events.append,
            run=self._run,
            clock=lambda: self.now,
            **options,
        )
        self.followers.append(made)
        return made

    def _run(
        self,
        task: Callable[..., StagesNews],
        db: Database,
        config: Config,
        stages: frozenset[Stage],
        before: bytes,
        /,
        *,
        progress: ProgressCallback,
        stop: StopSignal,
        end_within_s: float,
    ) -> StagesNews:
        self.runs.append(stages)
        self.now += self.took_s
        self.fail(stages)
        return task(self.other, config, stages, before, progress=progress, stop=stop)

    def turn(self, follower: StageFollower, *, turns: int = 1, step_s: float = 1.0) -> None:
        for _ in range(turns):
            follower.turn()
            self.now += step_s

    def turn_until(self, follower: StageFollower, holds: Callable[[], bool], *, step_s: float = 0.1) -> None:
        deadline = time.monotonic() + _DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline, self.events
            self.turn(follower, step_s=step_s)
            threading.Event().wait(0.01)

    def add_song(self, title: str, artist: str) -> Path:
        """A file that a scan of another psm takes in."""
        path = self.music / f"{title}.flac"
        path.write_bytes(flac_bytes(title, seconds=200, title=title, artist=artist))
        self.scan()
        return path

    def scan(self) -> None:
        scan(self.other, self.config, quick=True)

    def told(self, kind: WatchEventKind) -> list[str]:
        return [event.text for event in self.events if event.kind is kind]

    @property
    def music(self) -> Path:
        return self.folder / "music"

    @property
    def lists(self) -> Path:
        return self.folder / "playlists"

    @property
    def overrides(self) -> Path:
        return self.config.folder / "psm-overrides.yaml"

    def exported(self) -> dict[str, tuple[bytes, int, int]]:
        found = {
            str(f.relative_to(self.folder)): (f.read_bytes(), f.stat().st_ino, f.stat().st_mtime_ns)
            for f in (self.folder / "exports").rglob("*.m3u8")
        }
        assert found
        return found


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path / "demo")
    yield box
    for follower in box.followers:
        follower.stop()
    box.db.close()
    box.other.close()


def test_rule_07_when_nothing_is_due_nothing_runs(box: Box) -> None:
    box.turn(box.follower(), turns=700)  # past the reconcile interval, twice
    assert (box.runs, box.events) == ([], [])


def test_what_is_due_at_the_start_runs_at_once(box: Box) -> None:
    box.add_song("Something Else", "Nobody")
    box.turn(box.follower())
    assert box.runs == [{Stage.MATCH, Stage.EXPORT, Stage.REPORT}]
    [event] = [event for event in box.events if event.kind is WatchEventKind.STAGES]
    assert event.stages == ("match", "export", "report")


def test_what_is_due_at_the_start_waits_for_a_change_when_that_is_asked_for(box: Box) -> None:
    box.add_song("Something Else", "Nobody")
    follower = box.follower(wake_at_start=False)
    box.turn(follower, turns=5)
    assert not box.runs
    follower.wake()
    box.turn(follower)
    assert len(box.runs) == 1


def test_a_commit_of_another_process_runs_what_is_due_and_then_all_is_quiet(box: Box) -> None:
    follower = box.follower()
    box.turn(follower, turns=3)
    box.add_song("Something Else", "Nobody")
    box.turn(follower, turns=60)
    assert len(box.runs) == 1


def test_a_filled_gap_is_announced_and_only_its_playlist_is_written(box: Box) -> None:
    (box.lists / "gap.csv").write_text("Title,Artist\nThe Missing Song,The Absent\n")
    build(box.db, box.config)
    before = box.exported()
    follower = box.follower()
    box.turn(follower)
    box.add_song("The Missing Song", "The Absent")
    box.turn(follower, turns=20)
    assert box.told(WatchEventKind.PLAYLIST) == ["filled 1 gap in gap"]
    after = box.exported()
    assert {name for name in after if after[name] != before[name]} == {
        "exports/player/gap.m3u8",
        "exports/phone/gap.m3u8",
    }
    assert [e.playlist for e in box.events if e.kind is WatchEventKind.PLAYLIST] == ["gap"]


def test_a_lost_file_is_announced(box: Box) -> None:
    follower = box.follower()
    box.turn(follower)
    next(box.music.rglob("*Rain on Neon*")).unlink()
    box.scan()
    box.turn(follower, turns=20)
    assert any("1 track of" in text and "is missing now" in text for text in box.told(WatchEventKind.PLAYLIST))


def test_a_decision_by_another_psm_runs_the_stages(box: Box) -> None:
    follower = box.follower()
    box.turn(follower)
    track = _track(box, "Slow Tide")
    remove_match(box.other, box.config, track, now=0.0)
    box.turn(follower, turns=20)
    assert any("is missing now" in text for text in box.told(WatchEventKind.PLAYLIST))
    reset_match(box.other, box.config, track, now=0.0)
    box.turn(follower, turns=20)
    assert any(text.startswith("filled 1 gap") for text in box.told(WatchEventKind.PLAYLIST))


def test_rapid_changes_run_the_stages_no_more_often_than_the_interval_allows(box: Box) -> None:
    follower, box.took_s = box.follower(), 0.5
    box.turn(follower)
    began = box.now
    for number in range(30):
        box.add_song(f"Song {number}", "Many")
        box.turn(follower)
    interval = box.config.library.watch.stage_interval
    assert 2 <= len(box.runs) <= 1 + (box.now - began) / interval
    box.turn(follower, turns=20)
    runs = len(box.runs)
    box.turn(follower, turns=60)
    assert len(box.runs) == runs


def test_only_the_stages_that_are_followed_run(box: Box) -> None:
    box.add_song("Something Else", "Nobody")
    box.turn(box.follower({Stage.REPORT}), turns=20)
    assert box.runs == [{Stage.REPORT}]


def test_a_run_waits_for_a_scan_that_is_at_work_but_not_for_ever(box: Box) -> None:
    box.add_song("Something Else", "Nobody")
    follower = box.follower()
    with hold(box.db.scan_lock, what="psm scan"):
        box.turn(follower, turns=int(following.WAIT_FOR_SCAN_S))
        assert not box.runs
        box.turn(follower, turns=2)
        assert len(box.runs) == 1
    box.add_song("Another", "Nobody")
    box.turn(follower, turns=10)
    assert len(box.runs) == 2


def test_an_export_folder_that_was_deleted_is_written_again_at_the_reconcile_interval(box: Box) -> None:
    before = {name: content for name, (content, _, _) in box.exported().items()}
    follower = box.follower()
    box.turn(follower, turns=10)
    shutil.rmtree(box.folder / "exports" / "player")
    box.turn(follower, turns=int(box.config.library.watch.reconcile_interval) + 20)
    assert [event.stages for event in box.events if event.kind is WatchEventKind.STAGES] == [("export",)]
    assert {name: content for name, (content, _, _) in box.exported().items()} == before


def test_a_stage_that_fails_is_told_of_once_and_tried_again_with_growing_pauses(box: Box) -> None:
    (box.folder / "reports").rename(box.folder / "elsewhere")
    (box.folder / "reports").write_text("in the way")
    follower = box.follower()
    box.turn(follower, turns=120)
    assert len(box.told(WatchEventKind.ERROR)) == 1
    assert 4 <= len(box.runs) <= 9
    assert all(Stage.REPORT in run for run in box.runs)
    (box.folder / "reports").unlink()
    box.turn(follower, turns=300)
    assert box.told(WatchEventKind.NOTE) == ["Report works again."]
    assert (box.folder / "reports" / "psm-report.html").exists() or list((box.folder / "reports").iterdir())


def test_a_stage_that_fails_keeps_no_other_from_its_work(box: Box) -> None:
    shutil.rmtree(box.folder / "reports")
    (box.folder / "reports").write_text("in the way")
    follower = box.follower()
    box.turn(follower, turns=60)
    box.add_song("Something Else", "Nobody")
    box.turn(follower, turns=6)  # the interval between two runs, at most
    assert [event.stages for event in box.events if event.kind is WatchEventKind.STAGES] == [("match", "export")]


def test_a_stage_that_stays_due_without_a_reason_is_not_run_again_and_again(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "stages_due", lambda *_: frozenset({Stage.REPORT}))
    box.turn(box.follower(), turns=120)
    assert 4 <= len(box.runs) <= 9


@pytest.mark.parametrize("error", [PsmError("The child died."), RuntimeError("odd"), Interrupted("It hung.")])
def test_a_run_that_dies_is_told_of_once_and_tried_again(box: Box, error: Exception) -> None:
    def fail(_: Collection[Stage]) -> None:
        raise error

    box.add_song("Something Else", "Nobody")
    box.fail = fail
    follower = box.follower()
    box.turn(follower, turns=60)
    [told] = box.told(WatchEventKind.ERROR)
    assert str(error) in told
    assert 3 <= len(box.runs) <= 7
    box.fail = lambda _: None
    box.turn(follower, turns=120)
    assert "Match works again." in box.told(WatchEventKind.NOTE)


def test_stages_that_hang_are_ended(box: Box) -> None:
    ended: list[bool] = []

    def hang(
        task: Any, db: Database, /, *_: Any, stop: StopSignal, progress: ProgressCallback, **__: Any
    ) -> StagesNews:
        box.now += following.LONGEST_SILENCE_S - 1
        ended.append(stop.is_set())
        progress(Progress("match", 1))
        box.now += following.LONGEST_SILENCE_S - 1
        ended.append(stop.is_set())
        box.now += 2
        ended.append(stop.is_set())
        raise Interrupted("It did not stop.")

    box.add_song("Something Else", "Nobody")
    follower = StageFollower(
        box.db, box.config, stages=_NO_PULL, on_event=box.events.append, run=hang, clock=lambda: box.now
    )
    box.turn(follower)
    assert ended == [False, False, True]
    assert box.told(WatchEventKind.ERROR) == ["It did not stop."]


def test_a_hand_edit_of_the_decisions_is_taken_in(box: Box) -> None:
    track = _track(box, "Slow Tide")
    remove_match(box.other, box.config, track, now=0.0)
    text = box.overrides.read_text()
    follower = box.follower()
    box.turn(follower, turns=10)
    box.events.clear()
    reset_match(box.other, box.config, track, now=0.0)
    box.turn(follower, turns=10)
    box.events.clear()
    edited = box.overrides.with_suffix(".new")  # as editors do
    edited.write_text(text)
    edited.replace(box.overrides)
    box.turn(follower, turns=10)
    assert any("is missing now" in event for event in box.told(WatchEventKind.PLAYLIST))


def test_an_invalid_edit_is_told_of_once_and_the_other_stages_go_on(box: Box) -> None:
    follower = box.follower()
    box.turn(follower, turns=3)
    box.overrides.write_text("decisions: [")
    box.turn(follower, turns=60)
    assert len(box.told(WatchEventKind.ERROR)) == 1
    next(box.music.rglob("*Rain on Neon*")).unlink()
    box.scan()
    box.turn(follower, turns=20)
    assert any(Stage.EXPORT in run for run in box.runs)
    runs = len(box.runs)
    box.overrides.unlink()
    box.turn(follower, turns=3)
    assert len(box.runs) == runs + 1, "a mended file is taken in at once"
    assert "Match works again." in box.told(WatchEventKind.NOTE)


def test_a_configuration_folder_that_is_not_there_is_no_trouble(box: Box, tmp_path: Path) -> None:
    follower = box.follower(config=replace(box.config, folder=tmp_path / "nowhere"))
    box.turn(follower, turns=20)
    assert not box.told(WatchEventKind.ERROR)


def test_a_database_that_was_moved_away_is_told_of_once_and_waited_for(box: Box, tmp_path: Path) -> None:
    follower = box.follower()
    box.turn(follower)
    box.add_song("Something Else", "Nobody")
    box.db.path.rename(tmp_path / "away.db")
    box.turn(follower, turns=20)
    assert len(box.told(WatchEventKind.ERROR)) == 1
    assert not box.runs
    assert not box.db.path.exists()
    (tmp_path / "away.db").rename(box.db.path)
    box.turn(follower, turns=3)
    assert len(box.runs) == 1


def test_another_database_at_the_same_place_is_not_touched(box: Box, tmp_path: Path) -> None:
    follower = box.follower()
    box.turn(follower)
    box.db.path.rename(tmp_path / "away.db")
    shutil.copy(tmp_path / "away.db", box.db.path)
    box.turn(follower, turns=5)
    [told] = box.told(WatchEventKind.ERROR)
    assert "Start psm again" in told


def test_a_playlist_that_is_dropped_into_the_folder_is_taken_in(box: Box) -> None:
    follower = box.follower(ALL_STAGES)
    box.turn_until(follower, lambda: len(box.runs) >= 1)
    (box.lists / "new.csv").write_text("Title,Artist\nSlow Tide,The Copper Foxes\n")
    box.turn_until(follower, lambda: any("new is new" in text for text in box.told(WatchEventKind.PLAYLIST)))
    (box.lists / "new.csv").unlink()
    box.turn_until(follower, lambda: any("new is gone" in text for text in box.told(WatchEventKind.PLAYLIST)))


def test_a_playlist_is_found_on_the_timer_when_no_event_tells_of_it(box: Box) -> None:
    watch = replace(box.config.library.watch, fallback_to_polling=Polling.ALWAYS)
    config = replace(box.config, library=replace(box.config.library, watch=watch))
    follower = box.follower(ALL_STAGES, config)
    box.turn_until(follower, lambda: len(box.runs) >= 1)
    (box.lists / "new.csv").write_text("Title,Artist\nSlow Tide,The Copper Foxes\n")
    box.turn(follower, turns=30)
    assert not box.told(WatchEventKind.PLAYLIST)
    box.turn_until(follower, lambda: bool(box.told(WatchEventKind.PLAYLIST)), step_s=5.0)


def test_psms_own_outputs_in_the_playlists_folder_start_nothing(box: Box) -> None:
    profiles = tuple(replace(p, folder=box.lists / "out" / p.name) for p in box.config.export.profiles)
    config = replace(
        box.config,
        export=replace(box.config.export, profiles=profiles),
        report=replace(box.config.report, folder=box.lists / "report"),
    )
    follower = box.follower(ALL_STAGES, config)
    box.turn_until(follower, lambda: (box.lists / "report").exists() and not stages_due(box.other, config))
    box.turn_until(follower, lambda: box.now > 1_200.0, step_s=1.0)  # several looks by the timer
    runs = len(box.runs)
    (box.lists / "out" / "player" / "cookie.csv").write_text("Title,Artist\nSlow Tide,The Copper Foxes\n")
    box.turn_until(follower, lambda: any("cookie is new" in text for text in box.told(WatchEventKind.PLAYLIST)))
    assert len([run for run in box.runs[runs:] if Stage.PLAYLISTS in run]) == 1
    assert runs <= 4


def test_a_playlists_folder_that_is_deleted_and_made_again_is_followed_again(box: Box) -> None:
    follower = box.follower(ALL_STAGES)
    box.turn_until(follower, lambda: len(box.runs) >= 1)
    runs = len(box.runs)
    box.lists.rename(box.folder / "away")
    box.turn_until(follower, lambda: len(box.runs) > runs)
    assert len(box.told(WatchEventKind.ERROR)) == 1
    (box.folder / "away").rename(box.lists)
    box.turn_until(follower, lambda: "Playlists works again." in box.told(WatchEventKind.NOTE))
    (box.lists / "new.csv").write_text("Title,Artist\nSlow Tide,The Copper Foxes\n")
    box.turn_until(follower, lambda: any("new is new" in text for text in box.told(WatchEventKind.PLAYLIST)))


def test_a_drive_with_playlists_that_hangs_keeps_no_other_stage_from_its_work(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr("psm.services.playlist_watch.walk", lambda *_, **__: answers.wait(_DEADLINE_S))
    follower = box.follower(ALL_STAGES)
    box.turn(follower, turns=int(HUNG_AFTER_S) + 5)
    assert [text for text in box.told(WatchEventKind.NOTE) if "does not answer" in text]
    box.add_song("Something Else", "Nobody")
    box.turn(follower, turns=10)
    assert box.runs == [{Stage.MATCH, Stage.EXPORT, Stage.REPORT}]
    answers.set()


def test_a_listener_that_raises_stops_nothing(box: Box) -> None:
    def listen(_: WatchEvent) -> None:
        raise RuntimeError("a defect in the listener")

    box.add_song("Something Else", "Nobody")
    follower = StageFollower(box.db, box.config, stages=_NO_PULL, on_event=listen, run=box._run, clock=lambda: box.now)
    box.turn(follower, turns=10)
    assert len(box.runs) == 1


def test_the_thread_runs_stages_in_a_child_until_it_is_stopped_and_can_be_started_again(box: Box) -> None:
    follower = StageFollower(box.db, box.config, stages=_NO_PULL, on_event=box.events.append)
    follower.start()
    follower.start()
    for number in range(2):
        box.add_song(f"Song {number}", "Nobody")
        follower.wake()
        wanted = number + 1
        _wait_until(lambda wanted=wanted: len(box.told(WatchEventKind.STAGES)) == wanted)  # type: ignore[misc]
        assert follower.is_running()
        follower.stop()
        assert not follower.is_running()
        follower.stop()
        follower.start()
    follower.stop()
    assert box.told(WatchEventKind.ERROR) == []


def test_it_does_not_begin_anew_beside_what_has_not_ended(box: Box) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(_: Collection[Stage]) -> None:
        hangs.set()
        goes_on.wait()

    box.fail = hang
    box.add_song("Something Else", "Nobody")
    follower = StageFollower(box.db, box.config, stages=_NO_PULL, on_event=box.events.append, run=box._run)
    follower.start()
    hangs.wait()
    follower.stop(timeout_s=0.01)
    with pytest.raises(PsmError, match="not ended yet"):
        follower.start()
    goes_on.set()
    _wait_until(follower._ended.is_set)
    follower.start()
    follower.stop()


def test_what_became_due_runs_before_the_end(box: Box) -> None:
    watch = replace(box.config.library.watch, stage_interval=3_600.0)
    config = replace(box.config, library=replace(box.config.library, watch=watch))
    box.add_song("Something Else", "Nobody")
    follower = StageFollower(box.db, config, stages=_NO_PULL, on_event=box.events.append, run=box._run)
    follower.start()
    _wait_until(lambda: bool(box.told(WatchEventKind.STAGES)))
    box.add_song("Another", "Nobody")
    follower.stop()
    assert len(box.runs) == 2


def _track(box: Box, text: str) -> Any:
    return tracks.find_track(box.other.connection, text)


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_following_loads_nothing_that_only_stages_need(box: Box) -> None:
    script = (
        "import sys; from psm.config import load_config; from psm.db import Database; from pathlib import Path\n"
        "from psm.services.following import StageFollower\n"
        "config = load_config(Path(sys.argv[1])); follower = StageFollower(Database(config.database.path), config)\n"
        "follower.turn(); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, box.folder / "config.yaml"],
        env=without_coverage(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"rapidfuzz", "jinja2", "csv", "rich", "mutagen", "multiprocessing", "concurrent.futures", "typer"}
    stages = {"psm.services.matching", "psm.match.decide", "psm.export.stage", "psm.report.stage", "psm.ingest.tags"}
    assert not {*heavy, *stages} & {*done.stdout.split()}
