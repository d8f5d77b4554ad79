"""The scans of a watcher: what runs apart, and what it leaves for a later look."""

import time
from pathlib import Path

from psm.progress import NeverStop, no_progress
from psm.services.watch_scans import LOSSES_LAST_S, Losses, scan_apart
from tests.ingest.scanned import Box

HOUR_S = 3_600


def test_a_scan_apart_leaves_what_is_open_and_what_was_just_written(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.add("whole.flac")
    box.add("young.flac", mtime=int(time.time()))
    opened = box.add("open.flac")
    result = scan_apart(
        box.db,
        box.cfg,
        [box.root],
        losses={},
        open_files=frozenset([bytes(opened)]),
        quiet_s={1: 2.0},
        progress=no_progress,
        stop=NeverStop(),
    )
    assert box.rows().keys() == {"whole.flac"}
    assert sorted(result.unfinished) == sorted([bytes(opened), bytes(box.root / "young.flac")])


def test_a_scan_apart_does_not_wait_until_the_clock_of_a_drive_is_caught_up_with(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.add("ahead.flac", mtime=int(time.time()) + HOUR_S)
    result = scan_apart(
        box.db,
        box.cfg,
        [box.root],
        losses={},
        open_files=frozenset(),
        quiet_s={1: 2.0},
        progress=no_progress,
        stop=NeverStop(),
    )
    assert box.rows().keys() == {"ahead.flac"}
    assert not result.unfinished


def test_losses_count_for_a_while_and_by_library() -> None:
    losses = Losses()
    losses.add({1: 30, 2: 5}, 0.0)
    losses.add({1: 10}, 100.0)
    assert losses.counts(100.0) == {1: 40, 2: 5}
    assert losses.counts(LOSSES_LAST_S + 50.0) == {1: 10}
    assert losses.counts(LOSSES_LAST_S + 101.0) == {}


def test_losses_that_were_refused_count_until_nothing_has_to_be_kept() -> None:
    losses = Losses()
    losses.add({1: 60, 2: 60}, 0.0)
    losses.hold({1})
    assert losses.counts(10 * LOSSES_LAST_S) == {1: 60}
    losses.release({1})
    assert losses.counts(10 * LOSSES_LAST_S) == {}
