"""psm scan as people run it: interrupted, killed, on full disks, beside another scan, with files that misbehave."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.factories import write_flac
from tests.running import Psm, kill_group, lock_holder

DEADLINE_S = 60.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Waits for something that happens in another process."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        os.sched_yield()


def make_library(root: Path, count: int) -> Path:
    for n in range(count):
        write_flac(root / f"Artist {n % 7}" / f"{n:04} song.flac", audio=str(n), title=f"Song {n}")
    return root


def listing(psm: Psm) -> list[tuple[str, str, str | None]]:
    """What the database holds, without what differs from run to run."""
    return sorted((f["path"], f["status"], f["title"]) for f in psm.json("files"))


@contextlib.contextmanager
def mounted(place: Path, *, size: str) -> Iterator[Path]:
    """A file system in memory, mounted at ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "psm-test", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_scan_keeps_what_it_found_and_says_so(psm: Psm, tmp_path: Path, number: signal.Signals) -> None:
    root = make_library(tmp_path / "music", 1500)
    process = psm.start("scan", root)
    lock = Path(f"{psm.database}.scan.lock")
    wait_until(lambda: lock.exists() and lock.stat().st_size > 0, "the scan holds its lock")
    kill_group(process, number)
    output, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "Stopped early" in output
    assert psm.json("scan", "--quick")["complete"]
    assert len(psm.json("files")) == 1500


def test_kill_9_at_random_moments_loses_nothing(psm: Psm, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    root = make_library(tmp_path / "music", 900)
    undisturbed = Psm(tmp_path / "undisturbed")
    undisturbed("scan", root)
    for _ in range(5):
        process = psm.start("scan", root)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=chance.uniform(0.1, 1.5))
        kill_group(process, signal.SIGKILL)
        process.communicate(timeout=DEADLINE_S)
    psm("scan", root)
    assert listing(psm) == listing(undisturbed)
    assert "is whole" in psm("doctor").stdout


def test_a_full_disk_ends_the_scan_with_a_sentence_and_keeps_what_was_found(psm: Psm, tmp_path: Path) -> None:
    root = make_library(tmp_path / "music", 1200)
    with mounted(tmp_path / "small", size="600k") as small:
        done = psm("--database", small / "psm.db", "scan", root, code=1)
        assert "full" in done.stderr
        kept = psm.json("--database", small / "psm.db", "files")
    assert 0 < len(kept) < 1200


def test_a_drive_inside_the_library_that_is_unmounted_keeps_its_rows(psm: Psm, tmp_path: Path) -> None:
    root = make_library(tmp_path / "music", 5)
    with mounted(root / "usb", size="4m"):
        write_flac(root / "usb" / "a.flac", title="On the drive")
        assert psm.json("scan", root)["added"] == 6
    gone = psm.json("scan", "--quick", code=3)
    assert (gone["missing"], gone["complete"]) == (0, False)
    assert "away" in gone["notes"][0]
    with mounted(root / "usb", size="4m"):
        write_flac(root / "usb" / "b.flac", audio="a.flac", title="On the drive")
        assert psm.json("scan", "--quick")["moved"] == 1


def test_a_second_scan_waits_for_the_first_and_says_for_whom(psm: Psm, tmp_path: Path) -> None:
    root = make_library(tmp_path / "music", 3)
    psm("scan", root)
    with lock_holder(Path(f"{psm.database}.scan.lock")) as holder:
        waiting = psm.start("scan", "--quick")
        assert waiting.stderr is not None
        assert f"process {holder.pid}" in waiting.stderr.readline()
        assert holder.stdin is not None
        holder.stdin.close()
        output, _ = waiting.communicate(timeout=DEADLINE_S)
    assert waiting.returncode == 0
    assert "3 files" in output


def test_a_lock_whose_holder_was_killed_does_not_block(psm: Psm, tmp_path: Path) -> None:
    root = make_library(tmp_path / "music", 3)
    psm("scan", root)
    lock = Path(f"{psm.database}.scan.lock")
    lock.write_text('{"what": "psm scan", "pid": 1, "since": "2020-01-01T00:00:00"}')
    assert psm.json("scan", "--quick")["complete"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users can enter: those of pytest are closed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_folder_without_permission_is_named_and_its_rows_stay(open_folder: Path) -> None:
    psm = Psm(open_folder)
    root = make_library(open_folder / "music", 4)
    write_flac(root / "locked" / "secret.flac", title="Secret")
    for place in (open_folder, *open_folder.rglob("*")):
        os.chown(place, 65534, 65534)
    # The interpreter may lie where nobody else can read, so the child loads what it needs before it drops its rights.
    warm = Psm(open_folder / "warm")
    (warm.home / "config.yaml").touch()
    script = (
        "import os, sys; from psm.cli import run\n"
        "own, root, *arguments = sys.argv[1:]\n"
        "run(['--config', own + '/config.yaml', '--database', own + '/psm.db', 'scan', root, '--json'])\n"
        "os.setgid(65534); os.setuid(65534); print('----')\n"
        "sys.exit(run(arguments))"
    )

    def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, str(warm.home), str(root), *arguments]
        return subprocess.run(command, env=psm.environment, cwd="/", capture_output=True, text=True, check=False)

    first = as_nobody("scan", str(root))
    assert first.returncode == 0, first.stderr
    (root / "locked").chmod(0)
    second = as_nobody("scan", "--quick")
    assert second.returncode == 0, second.stderr
    assert "locked" in second.stderr
    assert "Permission denied" in second.stderr
    assert "nothing changed" in second.stdout.partition("----")[2]
    (root / "locked").chmod(0o755)


def test_files_that_vanish_while_they_are_read_are_lines_in_the_result(psm: Psm, tmp_path: Path) -> None:
    root = make_library(tmp_path / "music", 1500)
    process = psm.start("scan", root)
    lock = Path(f"{psm.database}.scan.lock")
    wait_until(lambda: lock.exists() and lock.stat().st_size > 0, "the scan holds its lock")
    shutil.rmtree(root / "Artist 3")
    output, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    assert "Traceback" not in output + errors
    psm("scan", "--quick", "--accept-missing")
    on_disk = {str(p) for p in root.rglob("*.flac")}
    assert {f["path"] for f in psm.json("files") if f["status"] == "present"} == on_disk


@pytest.mark.usefixtures("removed_at_once")
def test_very_long_paths_and_names_of_any_bytes_are_scanned(psm: Psm, tmp_path: Path) -> None:
    root = tmp_path / "music"
    root.mkdir()
    names = [b"line\nbreak.flac", b"invalid \xff\xfe.flac", "ünïcödé.flac".encode(), b"-rf.flac", b" space .flac"]
    for name in names:
        write_flac(os.path.join(os.fsencode(root), name), title="x")
    here = os.getcwd()
    try:
        os.chdir(root)
        for _ in range(19):
            folder = "d" * 200
            os.mkdir(folder)  # by a relative name: the whole path is longer than the system takes
            os.chdir(folder)
        Path("deep.flac").write_bytes((root / "ünïcödé.flac").read_bytes())
    finally:
        os.chdir(here)
    assert psm.json("scan", root)["added"] == 6
    found = [os.fsencode(f["path"]) for f in psm.json("files")]
    assert {os.path.basename(path) for path in found} == {*names, b"deep.flac"}
    assert max(map(len, found)) > 3800
    assert psm.json("scan", "--quick")["unchanged"] == 6


def test_without_a_library_a_scan_says_how_to_add_one(psm: Psm) -> None:
    assert "psm library add" in psm("scan", code=2).stderr
    assert "psm library add" in psm("build", code=2).stderr


def test_a_refused_scan_ends_with_3_and_a_confirmed_one_with_0(psm: Psm, tmp_path: Path) -> None:
    root = make_library(tmp_path / "music", 100)
    psm("scan", root)
    for n in range(60):
        next(root.glob(f"*/{n:04} song.flac")).unlink()
    assert psm.json("scan", "--quick", code=3)["refused"] == 60
    assert psm.json("scan", "--quick", "--accept-missing")["missing"] == 60


def test_a_library_that_is_away_ends_with_1(psm: Psm, tmp_path: Path) -> None:
    root = make_library(tmp_path / "music", 2)
    psm("scan", root)
    root.rename(tmp_path / "elsewhere")
    done = psm("scan", "--quick", code=1)
    assert "cannot be read" in done.stderr
    psm("library", "move", "music", tmp_path / "elsewhere")
    assert psm.json("scan", "--quick")["unchanged"] == 2


def test_a_folder_of_a_library_that_is_mounted_elsewhere_too_belongs_to_it(psm: Psm, tmp_path: Path) -> None:
    root = make_library(tmp_path / "music", 3)
    psm("scan", root)
    (tmp_path / "door").mkdir()
    subprocess.run(["mount", "--bind", root, tmp_path / "door"], check=True)
    try:
        assert psm.json("scan", "--quick", tmp_path / "door" / "Artist 1")["unchanged"] == 1
        assert [library["name"] for library in psm.json("library", "list")] == ["music"]
    finally:
        subprocess.run(["umount", "-l", tmp_path / "door"], check=True)
