import os
import re
import shutil
import signal
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from psm.db import Database, libraries
from psm.locks import hold
from psm.services.watch_status import RootMode, WatcherStatus, write
from tests.cli.conftest import Cli
from tests.factories import write_flac
from tests.running import Psm


@pytest.fixture
def music(cli: Cli) -> Path:
    for title in ("One", "Two"):
        write_flac(cli.home / "Music" / f"{title}.flac", title=title, artist="A")
    (cli.home / "Mix.csv").write_text("Title,Artist\nOne,A\nTwo,A\nThree,A\n")
    (cli.home / "None.csv").write_text("Title,Artist\nTwo,A\n")
    return cli.home / "Music"


def test_an_empty_status_says_how_to_begin(cli: Cli) -> None:
    said = cli("status").out
    assert "psm library add FOLDER" in said
    assert "psm playlist import" in said
    assert cli.json("status") == {"libraries": [], "playlists": []}


def test_it_shows_libraries_scans_and_coverage(cli: Cli, music: Path) -> None:
    cli("library", "add", music)
    assert "never" in cli("status").out
    cli("build", "--playlists", "Mix.csv", "--playlists", "None.csv")
    lines = cli("status").out.splitlines()
    assert re.fullmatch(rf"Music +2 +0 +\d{{4}}-\d\d-\d\d \d\d:\d\d \(quick\) +{music}", lines[1])
    assert [line.split() for line in lines[4:]] == [["Mix", "3", "2", "66", "%"], ["None", "1", "1", "100", "%"]]


def test_the_document_has_the_same(cli: Cli, music: Path) -> None:
    cli("build", "--library", music, "--playlists", "Mix.csv")
    found = cli.json("status")
    [library] = found["libraries"]
    scan = library.pop("last_scan")
    assert library == {
        "name": "Music",
        "path": str(music),
        "present": 2,
        "missing": 0,
        "available": True,
        "watch": True,
        "watcher": None,
    }
    assert (scan["mode"], scan["complete"]) == ("quick", True)
    assert datetime.fromisoformat(scan["at"]).tzinfo is not None
    assert found["playlists"] == [{"id": 1, "name": "Mix", "tracks": 3, "found": 2}]


WATCHER = WatcherStatus(
    "Music",
    b"/music",
    "psm build --watch",
    os.getpid(),
    1_000.0,
    ready=True,
    mode=RootMode.BOTH,
    reason="other drives are mounted in it (/music/usb)",
    folders=12,
    pending=3,
    last_change_at=2_000.0,
    restarts=2,
    errors=("12:30:01 the disk is full",),
)


def test_it_shows_what_a_running_watcher_does(cli: Cli, music: Path) -> None:
    cli("library", "add", music)
    with Database(cli.data_folder / "psm.db") as db:
        [library] = libraries.all_libraries(db.connection)
        write(db.watch_status(library.id), WATCHER)
        with hold(db.watch_lock(library.id), what="psm build --watch"):
            lines = cli("status").out.splitlines()
            [found] = cli.json("status")["libraries"]
            write(db.watch_status(library.id), replace(WATCHER, ready=False, restarts=1))
            catching_up = cli("status").out
            db.watch_status(library.id).write_text("{}")
            assert "Music: it has not said yet what it does" in cli("status").out
            assert cli.json("status")["libraries"][0]["watcher"]["mode"] is None
    assert re.fullmatch(r"Music +events and polling +12 +3 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +never", lines[4])
    assert lines[5].startswith(f"Music: psm build --watch, process {os.getpid()}, since ")
    assert lines[6:9] == [
        "Music: other drives are mounted in it (/music/usb)",
        "Music: its events were begun anew 2 times",
        "Music: 12:30:01 the disk is full",
    ]
    watcher = found["watcher"]
    assert watcher.pop("holder").startswith("psm build --watch, process ")
    assert datetime.fromisoformat(watcher.pop("started_at")).timestamp() == 1_000.0
    assert datetime.fromisoformat(watcher.pop("last_change_at")).timestamp() == 2_000.0
    assert watcher == {
        "what": "psm build --watch",
        "pid": os.getpid(),
        "ready": True,
        "mode": "events and polling",
        "reason": "other drives are mounted in it (/music/usb)",
        "folders": 12,
        "pending": 3,
        "last_reconcile_at": None,
        "next_pass_at": None,
        "restarts": 2,
        "errors": ["12:30:01 the disk is full"],
    }
    assert "events and polling, catching up" in catching_up
    assert "begun anew once" in catching_up
    assert "Watched" not in cli("status").out


def test_a_library_that_is_left_to_scans_is_shown_as_that(cli: Cli, music: Path) -> None:
    cli("library", "add", music, "--no-watch")
    assert cli("status").out.splitlines()[1].endswith(f"{music}  (not watched)")
    assert cli.json("status")["libraries"][0]["watch"] is False


def test_a_drive_that_is_away_and_a_scan_that_saw_not_all_are_shown(cli: Cli, music: Path) -> None:
    cli("scan", music)
    shutil.rmtree(music)
    assert "(away)" in cli("status").out
    music.mkdir()
    cli("scan", code=3)
    assert "(scan, not complete)" in cli("status").out


def test_a_playlist_without_tracks_has_no_share(cli: Cli, music: Path) -> None:
    (cli.home / "Empty.m3u8").write_text("#EXTM3U\n")
    cli("build", "--library", music, "--playlists", "Empty.m3u8")
    assert cli("status").out.splitlines()[-1].split() == ["Empty", "0", "0", "-"]


def test_what_the_configuration_names_in_vain_is_a_note(cli: Cli) -> None:
    cli.config_folder.mkdir(parents=True)
    (cli.config_folder / "config.yaml").write_text("library: {paths: /nowhere}\n")
    assert "/nowhere is not there" in cli("status").err


def test_a_sound_set_up_is_exit_code_0(cli: Cli, music: Path) -> None:
    cli("scan", music)
    said = cli("doctor").out
    assert all(line.startswith("ok ") for line in said.splitlines())
    assert {check["verdict"] for check in cli.json("doctor")} == {"ok"}


def test_ctrl_c_ends_the_waiting_for_a_watcher(cli: Cli, psm: Psm, music: Path) -> None:
    psm("library", "add", music)
    with Database(psm.database) as db:
        [library] = libraries.all_libraries(db.connection)
        polling = replace(WATCHER, mode=RootMode.POLLING, root=library.root, next_pass_at=time.time() + 100)
        write(db.watch_status(library.id), polling)
        with hold(db.watch_lock(library.id), what="psm build --watch"), psm.start("doctor") as doctor:
            assert doctor.stderr is not None
            assert doctor.stderr.readline().startswith("Waiting up to ")
            began = time.monotonic()
            doctor.send_signal(signal.SIGINT)
            out, err = doctor.communicate(timeout=30)
    assert (doctor.returncode, err) == (130, "")
    assert time.monotonic() - began < 5
    assert "ok       library Music: " in out
    assert sorted(p.name for p in music.iterdir()) == ["One.flac", "Two.flac"]


def test_a_problem_is_exit_code_1_with_what_to_do(cli: Cli) -> None:
    said = cli("doctor", code=1).out.splitlines()
    problem = next(n for n, line in enumerate(said) if line.startswith("PROBLEM  library: "))
    assert said[problem + 1].strip() == "→ Add one with: psm library add FOLDER"
    [check] = [check for check in cli.json("doctor", code=1) if check["verdict"] == "problem"]
    assert set(check) == {"what", "verdict", "finding", "remedy"}


def test_a_broken_database_is_a_problem_and_not_the_end(cli: Cli) -> None:
    cli.data_folder.mkdir(parents=True)
    (cli.data_folder / "psm.db").write_bytes(b"no database" * 400)
    said = cli("doctor", code=1).out
    assert "PROBLEM  database: " in said
    assert "ok       report: " in said
