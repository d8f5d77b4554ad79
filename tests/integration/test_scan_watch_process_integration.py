"""psm scan --watch as a process: told to end, killed, beside other psm, with a locked database, without rights."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from psm.locks import held_by
from psm.services.watch_events import WatchEventKind
from tests.factories import write_flac
from tests.nobody import as_nobody, shared_folder
from tests.running import Psm
from tests.watched import DEADLINE_S, Process, Shelf, Watched, album, counted_scans, process, wait_until, watching

END_S = 5.0
"""How long the end may take at most."""


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A folder of music that psm does not know yet."""
    for name in ("One", "Two"):
        album(tmp_path / "music" / name)
    return tmp_path / "music"


@pytest.fixture
def shelf(psm: Psm) -> Iterator[Shelf]:
    """psm's own database, looked at from here."""
    made = Shelf(psm.data_folder)
    yield made
    made.close()


# Its words


def test_it_says_what_it_sees_one_event_per_line(psm: Psm, music: Path) -> None:
    with process(psm, music) as watcher:
        write_flac(music / "One" / "new.flac", title="New")
        watcher.wait_for("scanned", "1 added")
        (music / "One" / "new.flac").rename(music / "Two" / "renamed.flac")
        watcher.wait_for("scanned", "1 moved")
        (music / "Two" / "renamed.flac").unlink()
        watcher.wait_for("scanned", "1 missing")
        (music / "broken.flac").write_bytes(b"no music at all")
        watcher.wait_for("error", "broken.flac")
    assert watcher.popen.returncode == 0
    assert [event["event"] for event in watcher.events][:3] == ["starting", "scanned", "ready"]
    assert watcher.events[-1]["event"] == "stopped"
    assert all(line.isascii() and line.endswith("\n") for line in watcher.lines)
    scanned = next(event for event in watcher.events if event["text"] == "1 moved")
    assert scanned["scan"]["moved"] == 1
    assert psm.json("scan", "--quick")["added"] == 0


def test_people_see_a_line_with_the_time_for_each(psm: Psm, music: Path) -> None:
    watcher = Process(psm, music, as_json=False)
    wait_until(lambda: any("Watching music: events." in line for line in watcher.lines), "psm is ready")
    write_flac(music / "One" / "new.flac", title="New")
    wait_until(lambda: any(line.endswith("  1 added\n") for line in watcher.lines), "psm says so")
    watcher.end()
    assert watcher.errors == [f"{music} is a library now, called music.\n"]
    assert watcher.lines[-1].endswith("  Stopped watching.\n")


def test_it_ends_when_nobody_reads_what_it_says(psm: Psm, music: Path) -> None:
    read, write = os.pipe()
    command = psm.command("scan", "--watch", "--json", "--debounce", "0.1", music)
    with subprocess.Popen(command, env=psm.environment, cwd=psm.home, stdout=write, stderr=subprocess.PIPE) as watcher:
        os.close(write)
        with os.fdopen(read, encoding="utf-8") as lines:
            while json.loads(lines.readline())["event"] != "ready":
                pass
        write_flac(music / "One" / "new.flac", title="New")
        assert watcher.wait(DEADLINE_S) == 0
        assert watcher.stderr is not None
        assert b"Traceback" not in watcher.stderr.read()
    assert psm.json("scan", "--quick")["added"] == 0


# Its end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("count", [3, 400])
def test_what_is_pending_is_written_before_the_end(
    psm: Psm, music: Path, shelf: Shelf, number: signal.Signals, count: int
) -> None:
    with process(psm, music, quiet_s=60.0) as watcher:
        before = shelf.ids()
        album(music / "New", count, long_ago=False)
        (music / "One").rename(music / "Eins")
        wait_until(lambda: (status := shelf.status()) and status.pending >= 3, "the changes were heard of")
        assert shelf.ids() == before
        assert watcher.end(number) < END_S
    assert watcher.popen.returncode == 0
    assert shelf.known() == shelf.on_disk()
    assert {audio: shelf.ids()[audio] for audio in before} == before
    assert held_by(shelf.db.watch_lock(1)) is None
    shelf.verify()


def test_a_file_that_is_open_at_the_end_is_left_to_the_next_start(psm: Psm, music: Path, shelf: Shelf) -> None:
    with process(psm, music) as watcher, (music / "open.flac").open("wb", buffering=0) as file:
        file.write(b"fLaC")
        shelf.leave_cookie(music)
        assert watcher.end() < END_S
        assert shelf.row(music / "open.flac") is None
    write_flac(music / "open.flac", title="Whole")
    with process(psm, music):
        shelf.settle()
    shelf.verify()


@pytest.mark.parametrize("moment", range(4))
def test_kill_9_while_files_change_loses_nothing(psm: Psm, music: Path, shelf: Shelf, moment: int) -> None:
    psm("scan", music)
    before = shelf.ids()
    watcher = Process(psm, music, quiet_s=0.1)
    watcher.wait_for("ready")
    album(music / "Large", 250, long_ago=False)
    for n in range(60):
        write_flac(music / "Small" / f"{n}.flac", title=f"{n}")
        if n == 15 * moment:
            watcher.kill()
            (music / "One").rename(music / "Eins")
    (music / "Small" / "7.flac").unlink()
    shutil.copytree(music / "Two", music / "Copy")
    with process(psm, music, quiet_s=0.1):
        assert shelf.known() == shelf.on_disk()
    assert {audio: shelf.ids()[audio] for audio in before} == before
    assert "is whole" in psm("doctor").stdout
    shelf.verify()


# Beside others


def test_a_second_one_says_who_has_the_library(psm: Psm, music: Path) -> None:
    with process(psm, music) as watcher:
        said = psm("scan", "--watch", code=1).stderr
        assert f"Library music is watched already, by psm scan --watch, process {watcher.popen.pid}, since" in said
        assert watcher.popen.poll() is None


def test_scans_of_cron_run_beside_it(psm: Psm, music: Path, shelf: Shelf) -> None:
    with process(psm, music) as watcher:
        for arguments in (("--quick",), ("--since", "1 hour ago"), ()):
            write_flac(music / "One" / f"{len(arguments)}.flac", title="New")
            assert psm.json("scan", *arguments)["complete"]
        shelf.settle()
        said = len(watcher.events)
        psm("scan")
        shelf.leave_cookie(music)
        wait_until(lambda: len(watcher.events) > said, "the watcher says what it saw")
        assert [event["text"] for event in watcher.events[said:]] == ["1 added"]
    shelf.verify()


def test_libraries_that_another_psm_adds_moves_and_removes_are_followed(psm: Psm, music: Path, shelf: Shelf) -> None:
    other = album(music.parent / "other" / "Three").parent
    with process(psm, music.parent / "music"):
        pass
    with process(psm) as watcher:
        psm("library", "add", other)
        watcher.wait_for("note", "Library other is watched now")
        shelf.settle()
        before = shelf.ids()
        psm("library", "move", "other", other.rename(music.parent / "moved"))
        write_flac(music.parent / "moved" / "new.flac", title="New")
        shelf.settle()
        assert {audio: shelf.ids()[audio] for audio in before} == before
        psm("library", "remove", "other")
        shelf.settle()
        assert len(shelf.rows()) == 6
    shelf.verify()


# Without a database that can be written


@contextlib.contextmanager
def database_locked(database: Path) -> Iterator[None]:
    """Another process writes to the database for as long as the block runs."""
    script = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE')\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.kill()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked database is an error after moments already."""
    monkeypatch.setattr("psm.db.connection.BUSY_TIMEOUT_S", 0.2)


@pytest.mark.usefixtures("impatient")
def test_a_locked_database_is_waited_for_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scans = counted_scans(monkeypatch)
    shelf = Watched(tmp_path)
    root = album(shelf.library() / "One").parent
    with watching(shelf):
        with database_locked(shelf.db.path):
            album(root / "New")
            shelf.wait_for(WatchEventKind.ERROR, "locked")
            failed = len(scans)
            wait_until(lambda: len(scans) >= failed + 2, "it was tried again and again")
            (root / "One" / "000 song.flac").rename(root / "New" / "renamed.flac")
            assert len(shelf.rows()) == 3
        shelf.settle()
        assert len(shelf.said(WatchEventKind.ERROR)) == 1
        shelf.wait_for(WatchEventKind.NOTE, "works again")
    shelf.verify()
    shelf.close()


@pytest.mark.usefixtures("impatient")
def test_a_database_that_is_locked_at_the_end_does_not_hold_it_up(tmp_path: Path) -> None:
    shelf = Watched(tmp_path)
    root = album(shelf.library() / "One").parent
    shelf.start()
    with database_locked(shelf.db.path):
        album(root / "New")
        shelf.wait_for(WatchEventKind.ERROR, "locked")
        began = time.monotonic()
        shelf.stop()
        assert time.monotonic() - began < END_S
        assert len(shelf.rows()) == 3
    shelf.start()
    assert shelf.known() == shelf.on_disk()
    shelf.stop()
    shelf.verify()
    shelf.close()


def test_a_process_ends_in_time_although_the_database_is_locked(psm: Psm, music: Path, shelf: Shelf) -> None:
    with process(psm, music) as watcher:
        with database_locked(psm.database):
            album(music / "New")
            wait_until(lambda: held_by(shelf.db.scan_lock), "the watcher scans")
            assert watcher.end(signal.SIGTERM) < END_S
        assert len(shelf.rows()) == 6
    with process(psm, music):
        assert shelf.known() == shelf.on_disk()
    shelf.verify()


def test_a_full_disk_is_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", size="1m") as small:
        shelf = Watched(tmp_path, database=small / "psm.db")
        root = album(shelf.library() / "One").parent
        with watching(shelf):
            fill(small / "ballast")
            album(root / "New", 150)
            shelf.wait_for(WatchEventKind.ERROR, "full")
            (root / "One" / "000 song.flac").rename(root / "New" / "renamed.flac")
            (small / "ballast").unlink()
            shelf.settle()
            shelf.wait_for(WatchEventKind.NOTE, "works again")
        shelf.verify()
        shelf.close()


def fill(ballast: Path) -> None:
    """Writes a file until the disk is full."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@contextlib.contextmanager
def mounted(place: Path, *, size: str) -> Iterator[Path]:
    """A file system in memory, mounted at ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "psm-test", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


# Without rights


def test_files_and_folders_that_cannot_be_read_keep_their_rows_until_they_can() -> None:
    # What is imported late is imported by a first watcher.
    imports = """
import tempfile
from pathlib import Path
from psm.services.watch_events import WatchEventKind
from tests.factories import write_flac
from tests.watched import *
with tempfile.TemporaryDirectory() as place:
    warm = Watched(Path(place))
    album(warm.library() / "One")
    warm.start()
    warm.close()
"""
    code = """
shelf = Watched(Path(sys.argv[1]))
root = shelf.library()
for name in ("One", "Two"):
    album(root / name)
with watching(shelf):
    before = shelf.ids()
    (root / "One").chmod(0)
    shelf.wait_for(WatchEventKind.ERROR, "Permission denied")
    (root / "Two" / "000 song.flac").chmod(0)
    write_flac(root / "Two" / "001 song.flac", audio="other", title="Changed")
    shelf.leave_cookie(root)
    assert len(shelf.rows()) == 6
    assert {row for row, _ in shelf.ids().values()} == {row for row, _ in before.values()}
    secret = write_flac(root / "Two" / "secret.flac", title="Secret")
    secret.chmod(0)
    shelf.wait_for(WatchEventKind.ERROR, "secret.flac")
    secret.chmod(0o644)
    (root / "One").chmod(0o755)
    (root / "Two" / "000 song.flac").chmod(0o644)
    write_flac(root / "One" / "new.flac", title="New")
    shelf.settle()
    assert shelf.row(secret).tags.title == "Secret"
    assert len(shelf.rows()) == 8
shelf.verify()
shelf.close()
print("done")
"""
    with shared_folder() as folder:
        assert as_nobody(imports, code, folder).endswith("done\n")
