"""A watcher runs for weeks beside everything else, on machines that have little memory: it stays small."""

import os
from pathlib import Path

import pytest

from tests.factories import write_flac
from tests.running import Psm, without_coverage
from tests.watched import LONG_AGO_S, Process, process, wait_until

AT_MOST_MB = {1_000: 35.0, 10_000: 40.0}
"""What docs/performance.md promises, by the number of files."""

_MARGIN = 1.25
"""Builds of Python and the C library differ from one system to the next."""

DEADLINE_S = 90.0


class PsmAlone(Psm):
    """psm as a person runs it: no coverage is measured in it."""

    @property
    def environment(self) -> dict[str, str]:
        return without_coverage(super().environment)


@pytest.fixture
def psm(tmp_path: Path) -> Psm:
    return PsmAlone(tmp_path)


def make_files(root: Path, count: int) -> None:
    for n in range(count):
        song = write_flac(root / f"Artist {n // 100}" / f"Album {n // 10}" / f"{n} song.flac", title=f"Song {n}")
        os.utime(song, (LONG_AGO_S, LONG_AGO_S))


def resident_mb(running: Process) -> float:
    """What the process holds in memory, without the others that it started."""
    lines = Path(f"/proc/{running.popen.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def taken_in(running: Process) -> int:
    return sum(e["scan"]["added"] for e in running.events if "scan" in e)


def test_a_watcher_stays_small_and_gives_back_what_a_storm_took(psm: Psm, tmp_path: Path) -> None:
    root = tmp_path / "music"
    make_files(root, 1_000)
    psm("scan", root)
    with process(psm) as running:
        before_mb = resident_mb(running)
        make_files(root / "new", 10_000)
        wait_until(lambda: taken_in(running) == 10_000, "all are in the database", within_s=DEADLINE_S)
        after_mb = resident_mb(running)
    print(f"{before_mb:.1f} MB at 1,000 files, {after_mb:.1f} MB at 11,000, after a storm of 10,000")
    assert before_mb < AT_MOST_MB[1_000] * _MARGIN
    assert after_mb < AT_MOST_MB[10_000] * _MARGIN
