"""Scans that read only what changed, as cron and people run them: the database ends like that of a full scan."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from psm.ingest.library import ScanResult, scan_library_incremental, scan_specific_files
from tests.factories import write_flac
from tests.running import Psm, kill_group
from tests.watched import DEADLINE_S, Shelf, album, wait_until

COUNTS = ("added", "updated", "moved", "restored", "missing", "unchanged")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Three albums of three songs."""
    for name in ("One", "Two", "Three"):
        album(tmp_path / "music" / name)
    return tmp_path / "music"


@pytest.fixture
def shelf(psm: Psm, music: Path) -> Iterator[Shelf]:
    """psm's own database, after a full scan."""
    psm("scan", music)
    made = Shelf(psm.data_folder)
    yield made
    made.close()


def a_day_of_changes(root: Path) -> None:
    """What people and their programs do between two runs of cron."""
    album(root / "New" / "CD 1")
    write_flac(root / "One" / "000 song.flac", audio=f"{root / 'One'} 0", title="Retagged")
    (root / "One" / "001 song.flac").rename(root / "Two" / "moved.flac")
    (root / "One" / "002 song.flac").unlink()
    (root / "Three").rename(root / "Drei")
    shutil.copy2(root / "Two" / "000 song.flac", root / "Two" / "copy.flac")
    os.utime(root / "Two" / "001 song.flac", (1_000_000_000, 1_000_000_000))
    (root / "broken.mp3").write_bytes(b"no music")
    write_flac(os.fsencode(root) + b"/\xff\xfe/\xe9.flac", title="Odd")


DAY = {"added": 6, "updated": 1, "moved": 4, "missing": 1, "unchanged": 3}


def counts(result: dict[str, int] | ScanResult) -> dict[str, int]:
    values = result if isinstance(result, dict) else {name: getattr(result, name) for name in COUNTS}
    return {name: values[name] for name in COUNTS if values[name]}


def an_hour_ago() -> str:
    return datetime.fromtimestamp(time.time() - 3600).isoformat(timespec="seconds")


@pytest.mark.parametrize(
    "when",
    [("--quick",), ("--since", "1 hour ago"), ("--since", "yesterday"), ("--since", "0"), ("--since", an_hour_ago)],
    ids=["quick", "an hour ago", "yesterday", "1970", "ISO 8601"],
)
def test_a_day_of_changes_is_found_and_every_song_keeps_its_row(
    psm: Psm, music: Path, shelf: Shelf, when: tuple[str | Callable[[], str], ...]
) -> None:
    before = shelf.ids()
    a_day_of_changes(music)
    result = psm.json("scan", *[part if isinstance(part, str) else part() for part in when])
    assert counts(result) == DAY
    assert [os.path.basename(error["path"]) for error in result["errors"]] == ["broken.mp3"]
    after = shelf.ids()
    assert {audio: after[audio] for audio in before if audio in after} == {
        audio: row for audio, row in before.items() if audio in after
    }
    shelf.verify()


def test_a_quick_scan_without_changes_changes_nothing(psm: Psm, shelf: Shelf) -> None:
    before = shelf.rows()
    for _ in range(2):
        assert counts(psm.json("scan", "--quick")) == {"unchanged": 9}
    assert shelf.rows() == before


def test_a_change_that_only_the_system_s_own_time_tells_of_is_found(psm: Psm, music: Path, shelf: Shelf) -> None:
    song = music / "One" / "000 song.flac"
    before = song.stat()
    content = song.read_bytes()
    song.write_bytes(content.replace(b"Someone", b"SOMEONE"))
    os.utime(song, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (song.stat().st_size, song.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert counts(psm.json("scan", "--quick")) == {"updated": 1, "unchanged": 8}
    shelf.verify()


@pytest.mark.parametrize("mode", [("--quick",), ("--since", "1 hour ago"), ()])
def test_paths_narrow_it_and_the_rest_is_left_alone(psm: Psm, music: Path, shelf: Shelf, mode: tuple[str, ...]) -> None:
    before = shelf.rows()
    a_day_of_changes(music)
    assert counts(psm.json("scan", *mode, music / "One"))["missing"] == 2  # one moved to where nobody looks
    outside = [path for path in before if os.path.basename(os.path.dirname(path)) in (b"Two", b"Three")]
    assert len(outside) == 6
    assert {path: shelf.rows()[path] for path in outside} == {path: before[path] for path in outside}
    odd = os.fsdecode(os.fsencode(music) + b"/\xff\xfe/\xe9.flac")
    assert counts(psm.json("scan", *mode, odd)) == {"added": 1}
    psm("scan", "--quick")
    shelf.verify()


def test_cron_jobs_that_meet_wait_for_each_other(psm: Psm, music: Path, shelf: Shelf) -> None:
    before = shelf.ids()
    a_day_of_changes(music)
    jobs = [psm.start("scan", *mode) for mode in (("--quick",), ("--since", "1 hour ago"), (), ("--quick",))]
    for job in jobs:
        _, errors = job.communicate(timeout=DEADLINE_S)
        assert job.returncode == 0, errors
    assert {audio: row for audio, row in shelf.ids().items() if audio in before}.items() <= before.items()
    shelf.verify()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_one_that_is_ended_early_is_made_up_for_by_the_next(
    psm: Psm, music: Path, shelf: Shelf, number: signal.Signals
) -> None:
    before = shelf.ids()
    a_day_of_changes(music)
    album(music / "Large", 650)
    lock = Path(f"{psm.database}.scan.lock")
    lock.write_bytes(b"")
    job = psm.start("scan", "--quick")
    wait_until(lambda: lock.stat().st_size > 0, "the scan holds its lock")
    kill_group(job, number)
    job.communicate(timeout=DEADLINE_S)
    assert psm.json("scan", "--quick")["complete"]
    after = shelf.ids()
    assert {audio: after[audio] for audio in before if audio in after} == {
        audio: row for audio, row in before.items() if audio in after
    }
    shelf.verify()


def test_files_that_change_while_it_runs_are_found_by_the_next(psm: Psm, music: Path, shelf: Shelf) -> None:
    album(music / "Large", 620)
    job = psm.start("scan", "--quick")
    turn = 0
    while job.poll() is None:
        turn += 1
        write_flac(music / "One" / "busy.flac", title=f"Turn {turn}")
        (music / "Two").rename(music / "Zwei")
        (music / "Zwei").rename(music / "Two")
    job.communicate(timeout=DEADLINE_S)
    psm("scan", "--quick")
    shelf.verify()


# scan_library_incremental and scan_specific_files, as other programs call them


def test_specific_files_are_looked_at_and_no_others(shelf: Shelf, music: Path) -> None:
    before = shelf.ids()
    a_day_of_changes(music)
    paths = [music / "One" / "000 song.flac", music / "One" / "002 song.flac", music / "New", music / "nowhere.flac"]
    result = scan_specific_files(shelf.db, shelf.config.library, paths)
    assert counts(result) == {"added": 3, "updated": 1, "missing": 1}
    rest = scan_library_incremental(shelf.db, shelf.config.library)
    assert counts(rest) == {"added": 3, "moved": 4, "unchanged": 7}
    assert {audio: row for audio, row in shelf.ids().items() if audio in before}.items() <= before.items()
    shelf.verify()


@pytest.mark.parametrize("first", ["old", "new"])
def test_the_two_ends_of_a_move_may_come_one_after_the_other(shelf: Shelf, music: Path, first: str) -> None:
    before = shelf.ids()
    ends = {"old": music / "Three", "new": (music / "Three").rename(music / "Drei")}
    for end in sorted(ends, reverse=first == "old"):
        scan_specific_files(shelf.db, shelf.config.library, [ends[end]])
    assert shelf.ids() == before
    shelf.verify()


def test_times_and_paths_go_together(shelf: Shelf, music: Path) -> None:
    a_day_of_changes(music)
    result = scan_library_incremental(
        shelf.db, shelf.config.library, changed_since=time.time() - 60, specific_paths=[music / "Two"]
    )
    assert counts(result) == {"added": 1, "moved": 1, "unchanged": 3}
    scan_library_incremental(shelf.db, shelf.config.library, changed_since=time.time() - 60)
    shelf.verify()


def test_programs_that_read_beside_it_are_never_held_up(psm: Psm, music: Path, shelf: Shelf) -> None:
    album(music / "Large", 620)
    job = psm.start("scan", "--quick")
    while job.poll() is None:
        assert len(shelf.rows()) >= 9
        subprocess.run(psm.command("--version"), env=psm.environment, check=True, capture_output=True)
    job.communicate(timeout=DEADLINE_S)
    shelf.verify()
