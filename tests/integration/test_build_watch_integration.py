"""psm build --watch as a person runs it: real processes, real file events, and other psm processes beside it.

Nothing is waited for by time. A cookie is a song that fills a gap in a playlist of its own: when that is announced,
what was changed before has been looked at, and what psm would have done about it has been done.
"""

import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import pytest

from psm.db import Database, files
from psm.models import Status
from psm.services import watch_status
from tests.factories import write_flac
from tests.running import Psm

DEADLINE_S = 90.0
COOKIES = 20
LONG_AGO_S = 1_600_000_000

Event = dict[str, Any]


class Watching:
    """A watching psm, whose events are read as they come."""

    def __init__(self, psm: Psm, *arguments: str | Path) -> None:
        self.popen = psm.start(*arguments, "--watch", "--json")
        self.events: list[Event] = []
        self.errors: list[str] = []
        self._readers = [threading.Thread(target=self._read_events), threading.Thread(target=self._read_errors)]
        for reader in self._readers:
            reader.start()

    def wait_for(self, text: str, *, event: str | None = None, times: int = 1, since: int = 0) -> None:
        """Waits until psm has said so; ``since`` leaves out the events before that number."""

        def came() -> bool:
            said = [e for e in self.events[since:] if text in e["text"] and event in (None, e["event"])]
            return len(said) >= times

        deadline = time.monotonic() + DEADLINE_S
        while not came():
            assert self.popen.poll() is None, f"it ended: {self.events} {self.errors}"
            assert time.monotonic() < deadline, f"waited in vain for {text!r}: {self.events} {self.errors}"
            threading.Event().wait(0.02)

    def of(self, event: str, *, since: int = 0) -> list[Event]:
        """The events of one kind."""
        return [e for e in self.events[since:] if e["event"] == event]

    def playlists(self, *, since: int = 0) -> list[str]:
        """What was announced of playlists."""
        return [e["text"] for e in self.of("playlist", since=since)]

    def end(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Sends a signal, and returns how long the end took, in seconds."""
        began = time.monotonic()
        self.popen.send_signal(number)
        try:
            self.popen.wait(DEADLINE_S)
        except TimeoutExpired:
            os.killpg(self.popen.pid, signal.SIGKILL)
            raise
        took_s = time.monotonic() - began
        for reader in self._readers:
            reader.join(DEADLINE_S)
        for stream in (self.popen.stdout, self.popen.stderr):
            assert stream is not None
            stream.close()
        return took_s

    def _read_events(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.events.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self.popen.stderr is not None
        self.errors.extend(self.popen.stderr)


class Home:
    """A home with music, playlists, and a configuration that is quick."""

    def __init__(self, psm: Psm) -> None:
        self.psm = psm
        self.music = psm.home / "Music"
        self.lists = psm.home / "Lists"
        self.out = psm.home / "out"
        self.report = psm.home / "report"
        self._cookies = 0
        self.lists.mkdir()
        self.song("Halo", "Beyonce")
        self.song("Creep", "Radiohead")
        self.playlist("Road Trip", "Beyonce - Halo", "Nena - Leuchtturm")
        self.playlist("Evening", "Radiohead - Creep")
        self.playlist("Cookies", *(f"Baker - Cookie {n}" for n in range(COOKIES)))
        self.configure()

    def configure(self, *, quiet_s: float = 0.2, interval_s: float = 0.2, **more: Any) -> None:
        watch = {"debounce_seconds": quiet_s, "stage_interval": interval_s, **more.pop("watch", {})}
        document = {
            "library": {"paths": {"music": str(self.music)}, "watch": watch},
            "playlists": {"folders": [str(self.lists)]},
            "export": {"profiles": {"player": {"folder": str(self.out)}}},
            "report": {"folder": str(self.report)},
        }
        self.psm.config_folder.mkdir(parents=True, exist_ok=True)
        (self.psm.config_folder / "config.yaml").write_text(json.dumps(document))  # JSON is YAML

    def song(self, title: str, artist: str, *, seconds: float = 180.0, folder: str = "songs") -> Path:
        """Comes under a name that is not read until the song is whole."""
        place = self.music / folder / f"{artist} - {title} {seconds:g}.flac"
        part = write_flac(place.with_suffix(".part"), audio=f"{place}", seconds=seconds, title=title, artist=artist)
        part.rename(place)
        return place

    def playlist(self, name: str, *labels: str, seconds: int = 180) -> Path:
        rows = "".join(f"#EXTINF:{seconds},{label}\nnowhere/{label}.mp3\n" for label in labels)
        path = self.lists / f"{name}.m3u8"
        path.write_text(f"#EXTM3U\n{rows}")
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))
        return path

    def exported(self) -> dict[str, tuple[str, int, int]]:
        return {f.name: (f.read_text(), f.stat().st_ino, f.stat().st_mtime_ns) for f in self.out.rglob("*.m3u8")}

    def leave_cookie(self, watching: Watching) -> None:
        """A change, and all that it causes: whatever was changed before has been dealt with then."""
        self._cookies += 1
        since = len(watching.events)
        self.song(f"Cookie {self._cookies - 1}", "Baker", folder="cookies")
        watching.wait_for("filled 1 gap in Cookies", since=since)

    def wait_until_pending(self, number: int) -> None:
        """Waits until a watcher says that it has heard of so many changes that it has not taken in."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            said = [watch_status.read(path) for path in self.psm.data_folder.glob("psm.db.watch-*.json")]
            if any(status is not None and status.pending >= number for status in said):
                return
            assert time.monotonic() < deadline, said
            threading.Event().wait(0.02)

    def rows(self) -> set[str]:
        """The titles of the present files."""
        with Database(self.psm.database) as db:
            return {str(f.tags.title) for f in files.all_files(db.connection, status=Status.PRESENT)}


@pytest.fixture
def home(psm: Psm) -> Home:
    return Home(psm)


@contextmanager
def watching(home: Home, *arguments: str | Path) -> Iterator[Watching]:
    """psm build --watch, when it has built everything; told to end with the block."""
    running = Watching(home.psm, *(arguments or ("build",)))
    try:
        running.wait_for("", event="ready")
        if not arguments or arguments[0] == "build":
            running.wait_for("Evening", event="playlist")
            home.leave_cookie(running)
        yield running
    finally:
        if running.popen.returncode is None:
            running.end()
    assert "Traceback" not in "".join(running.errors), running.errors


def test_a_song_fills_a_gap_a_better_one_replaces_it_and_both_go_again(home: Home) -> None:
    with watching(home) as psm:
        before, since = home.exported(), len(psm.events)
        worse = home.song("Leuchtturm", "Nena", seconds=185)
        psm.wait_for("filled 1 gap in Road Trip", since=since)
        better = home.song("Leuchtturm", "Nena", seconds=180)
        psm.wait_for("Road Trip: 1 track changed", since=since)
        assert better.name in home.exported()["Road Trip.m3u8"][0]
        better.unlink()
        psm.wait_for("Road Trip: 1 track changed", since=since, times=2)
        assert worse.name in home.exported()["Road Trip.m3u8"][0]
        worse.unlink()
        psm.wait_for("1 track of Road Trip is missing now", since=since)
        after = home.exported()
        assert after["Road Trip.m3u8"][0] == before["Road Trip.m3u8"][0]
        assert {name for name in after if after[name] != before[name]} == {"Road Trip.m3u8"}
        assert {e["playlist"] for e in psm.of("playlist", since=since)} == {"Road Trip"}
        scanned = psm.of("scanned", since=since)
        assert scanned[0]["scan"]["added"] == 1
    assert psm.popen.returncode == 0


def test_a_renamed_song_is_found_under_its_new_name(home: Home) -> None:
    with watching(home) as psm:
        since = len(psm.events)
        old = next(home.music.rglob("*Halo*"))
        old.rename(home.music / "renamed.flac")
        psm.wait_for("Road Trip", event="playlist", since=since)
        assert "renamed.flac" in home.exported()["Road Trip.m3u8"][0]
        assert not any("missing" in text for text in psm.playlists(since=since))


def test_what_other_psm_processes_write_starts_the_stages(home: Home) -> None:
    with watching(home) as psm:
        elsewhere = home.psm.home / "Elsewhere.csv"
        elsewhere.write_text("Title,Artist\nHalo,Beyonce\n")
        home.psm("playlist", "import", elsewhere)
        psm.wait_for("Elsewhere")
        assert (home.out / "Elsewhere.m3u8").exists()
        since = len(psm.events)
        home.psm("set-match", "leuchtturm", next(home.music.rglob("*Creep*")))
        psm.wait_for("filled 1 gap in Road Trip", since=since)
        assert "Creep" in home.exported()["Road Trip.m3u8"][0]
        home.psm("reset-match", "leuchtturm")
        psm.wait_for("1 track of Road Trip is missing now", since=since)
        elsewhere.write_text("Title,Artist\nHalo,Beyonce\nCreep,Radiohead\n")  # it is followed from now on
        psm.wait_for("Elsewhere has 1 more", since=since)


def test_playlists_come_change_and_go_with_their_files(home: Home) -> None:
    with watching(home) as psm:
        since = len(psm.events)
        home.playlist("New", "Beyonce - Halo")
        psm.wait_for("New is new: 1 of 1 track found", since=since)
        home.playlist("New", "Beyonce - Halo", "Radiohead - Creep")
        psm.wait_for("New has 1 more", since=since)
        assert "Creep" in home.exported()["New.m3u8"][0]
        (home.lists / "New.m3u8").unlink()
        psm.wait_for("New is gone", since=since)
        assert "New.m3u8" not in home.exported()
        assert {e["playlist"] for e in psm.of("playlist", since=since)} == {"New"}


def test_a_hand_edit_of_the_decisions_counts_and_an_invalid_one_is_said_once(home: Home) -> None:
    with watching(home) as psm:
        home.psm("remove-match", "halo")
        psm.wait_for("1 track of Road Trip is missing now")
        file = home.psm.config_folder / "psm-overrides.yaml"
        text = file.read_text()
        since = len(psm.events)
        file.write_text("decisions: [")
        psm.wait_for("psm-overrides.yaml", event="error", since=since)
        new = file.with_suffix(".new")  # as editors do
        new.write_text("decisions: []\n")
        new.replace(file)
        psm.wait_for("filled 1 gap in Road Trip", since=since)
        home.leave_cookie(psm)
        assert len(psm.of("error", since=since)) == 1
        new.write_text(text)
        new.replace(file)
        psm.wait_for("1 track of Road Trip is missing now", since=since)


@pytest.mark.parametrize("place", ["library", "playlists folder"])
def test_rule_07_what_psm_writes_itself_does_not_wake_it(home: Home, place: str) -> None:
    inside = home.music if place == "library" else home.lists
    home.out, home.report = inside / "out", inside / "report"
    home.configure(watch={"polling_interval": 1})  # looks at the playlists by the second as well
    with watching(home) as psm:
        assert home.exported()
        assert list(home.report.glob("*.csv"))
        home.leave_cookie(psm)
        since = len(psm.events)
        for _ in range(3):
            home.leave_cookie(psm)
        # Each cookie: one scan, one run of the stages, one playlist; nothing that its outputs caused.
        assert [e["event"] for e in psm.events[since:] if e["event"] != "note"] == ["scanned", "stages", "playlist"] * 3
        assert not [e for e in psm.of("stages", since=since) if "playlists" in e["stages"]]


def test_rapid_changes_run_the_stages_no_more_often_than_the_interval_allows(home: Home) -> None:
    home.configure(quiet_s=0.0, interval_s=3.0)
    with watching(home) as psm:
        since = len(psm.events)
        runs = len(psm.of("stages"))
        number = 0
        while len(psm.of("stages")) < runs + 3:  # changes go on until there were three runs
            number += 1
            home.song(f"Song {number}", "Many", folder="many")
            threading.Event().wait(0.2)
            assert number < 300, psm.events[since:]
        times = [datetime.fromisoformat(e["at"]).timestamp() for e in psm.of("stages")[runs:]]
        assert all(later - earlier >= 3.0 for earlier, later in pairwise(times))
        assert len(psm.of("scanned", since=since)) > 3


def test_a_playlists_folder_that_is_deleted_under_it_comes_back(home: Home) -> None:
    with watching(home) as psm:
        since, before = len(psm.events), home.exported()
        shutil.move(home.lists, home.psm.home / "away")
        psm.wait_for("Lists", event="error", since=since)
        home.leave_cookie(psm)
        assert home.exported()["Road Trip.m3u8"] == before["Road Trip.m3u8"], "no proof that it is gone"
        shutil.rmtree(home.psm.home / "away")
        home.lists.mkdir()
        home.playlist("Road Trip", "Beyonce - Halo", "Nena - Leuchtturm")
        home.playlist("New", "Beyonce - Halo")
        psm.wait_for("New is new", since=since)


def test_an_export_folder_that_is_deleted_is_written_again(home: Home) -> None:
    home.configure(watch={"reconcile_interval": 10})
    with watching(home) as psm:
        before = {name: text for name, (text, _, _) in home.exported().items()}
        since = len(psm.events)
        shutil.rmtree(home.out)
        psm.wait_for("wrote Road Trip again", since=since)
        assert {name: text for name, (text, _, _) in home.exported().items()} == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_changes_that_are_pending_are_written_before_the_end(home: Home, number: signal.Signals) -> None:
    home.configure(quiet_s=0.2)
    with watching(home) as psm:
        pass
    for song in home.music.rglob("*.flac"):
        os.utime(song, (LONG_AGO_S, LONG_AGO_S))  # a fresh one is read once more, after the quiet time
    home.psm("build")
    home.configure(quiet_s=3_600.0)
    running = Watching(home.psm, "build")
    running.wait_for("", event="ready")
    home.song("Leuchtturm", "Nena")
    home.wait_until_pending(1)
    took_s = running.end(number)
    assert took_s < 5.0
    assert running.popen.returncode == 0, running.errors
    assert "Leuchtturm" in home.rows()
    home.psm("build")
    assert "Leuchtturm" in home.exported()["Road Trip.m3u8"][0]
    assert psm.popen.returncode == 0


def test_a_database_that_another_process_has_locked_is_waited_for(home: Home) -> None:
    with watching(home) as psm:
        since = len(psm.events)
        other = sqlite3.connect(home.psm.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        home.song("Leuchtturm", "Nena")
        home.playlist("New", "Beyonce - Halo")
        threading.Event().wait(3.0)  # how long it is locked: not what is waited for
        assert not psm.playlists(since=since)
        other.execute("ROLLBACK")
        other.close()
        psm.wait_for("filled 1 gap in Road Trip", since=since)
        psm.wait_for("New is new", since=since)
        assert not psm.of("error", since=since)


def test_each_stage_can_follow_the_database_on_its_own(home: Home) -> None:
    home.psm("build")
    with (
        watching(home, "match") as match,
        watching(home, "export") as export,
        watching(home, "report") as report,
    ):
        home.song("Leuchtturm", "Nena")
        home.psm("scan", "--quick")
        match.wait_for("filled 1 gap in Road Trip")
        export.wait_for("Road Trip")
        report.wait_for("Wrote the report", event="stages")
        for psm, stage in ((match, "match"), (export, "export"), (report, "report")):
            assert {name for e in psm.of("stages") for name in e["stages"]} == {stage}
        assert "Leuchtturm" in home.exported()["Road Trip.m3u8"][0]


def test_the_configuration_can_make_build_watch(home: Home) -> None:
    home.configure(watch={"enabled": True})
    assert "Evening" in home.psm("build", "--no-watch").stdout
    running = home.psm.start("build")
    try:
        assert running.stdout is not None
        _until(running.stdout, lambda line: "Watching" in line)
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0


def test_a_second_build_that_watches_says_who_does_so_already(home: Home) -> None:
    with watching(home):
        done = home.psm("build", "--watch", code=1)
        assert "psm build --watch, process" in done.stderr


def test_stages_can_be_left_out(home: Home) -> None:
    with watching(home, "build", "--no-export", "--no-report", "--no-pull", "--playlists", home.lists):
        pass
    assert not home.out.exists()
    assert not home.report.exists()


def _until(lines: Iterator[str], holds: Callable[[str], bool]) -> None:
    for line in lines:
        if holds(line):
            return
    raise AssertionError("it ended before")
