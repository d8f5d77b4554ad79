"""Which files are read, and which are waited for because somebody is writing them."""

from dataclasses import dataclass

import pytest

from psm.models import FileStat
from psm.services.growth import STALLED_S, Growth, is_quiet

NS = 1_000_000_000
T0 = 2_000_000_000.0
"""When a story begins, in seconds since the epoch."""

SONG = b"album/song.flac"


def stat_of(size_bytes: int, mtime: float) -> FileStat:
    """``mtime`` is in seconds after the beginning."""
    return FileStat(size_bytes, int((T0 + mtime) * NS), int((T0 + mtime) * NS), 1, 1)


class Story:
    """One root's unfinished files, told in seconds after the beginning."""

    def __init__(self, *, quiet_s: float = 2.0, most: int = 1_000) -> None:
        self.growth = Growth(quiet_s=quiet_s, most=most)

    def written(self, *, at: float, path: bytes = SONG) -> None:
        self.growth.written(path, int((T0 + at) * NS))

    def is_finished(self, *, at: float, mtime: float, size: int = 100, path: bytes = SONG) -> bool:
        return self.growth.is_finished(path, stat_of(size, mtime), now_ns=int((T0 + at) * NS))


@dataclass(frozen=True)
class Look:
    """A single look at a file that is not known to be open. Times are in seconds after the beginning."""

    says: str
    mtime: float
    at: float
    finished: bool
    quiet_s: float = 2.0


@pytest.mark.parametrize(
    "look",
    [
        Look("an old file that was linked or moved in", mtime=-1e6, at=0.0, finished=True),
        Look("just written", mtime=0.0, at=0.0, finished=False),
        Look("written a moment ago", mtime=0.0, at=1.99, finished=False),
        Look("not written for the quiet time", mtime=0.0, at=2.0, finished=True),
        Look("just written, and no quiet time asked for", mtime=0.0, at=0.0, finished=True, quiet_s=0.0),
        Look("a long quiet time", mtime=0.0, at=59.0, finished=False, quiet_s=60.0),
        Look("from the future, as far as can be told", mtime=3600.0, at=0.0, finished=False),
        Look("a little from the future, without a quiet time", mtime=0.5, at=0.0, finished=False, quiet_s=0.0),
        Look("a clock that is behind makes it look old", mtime=-3600.0, at=0.0, finished=True),
        Look("a time in whole seconds", mtime=0.0, at=1.9, finished=False),
    ],
    ids=lambda look: look.says,
)
def test_a_file_that_is_not_known_to_be_open_is_judged_by_its_time(look: Look) -> None:
    story = Story(quiet_s=look.quiet_s)
    assert story.is_finished(at=look.at, mtime=look.mtime) is look.finished
    found = stat_of(100, look.mtime)
    assert is_quiet(found, quiet_s=look.quiet_s, now_ns=int((T0 + look.at) * NS)) is look.finished


def test_an_empty_file_is_waited_for_as_one_that_is_open_and_will_be_filled() -> None:
    story = Story()
    assert not story.is_finished(at=10.0, mtime=0.0, size=0)
    assert not story.is_finished(at=20.0, mtime=0.0, size=0)
    assert story.is_finished(at=20.0, mtime=0.0, size=100)
    assert story.is_finished(at=STALLED_S, mtime=0.0, size=0)


def test_a_new_file_that_is_written_slowly_with_stalls_is_waited_for_until_it_is_closed() -> None:
    story = Story()
    for minute in range(4):
        wrote = 60.0 * minute
        story.written(at=wrote)
        for later in (0.0, 5.0, 59.0):  # long after the quiet time, but it is still open
            assert not story.is_finished(at=wrote + later, mtime=wrote, size=1_000 * (minute + 1))
    story.growth.closed(SONG)
    assert not story.is_finished(at=181.0, mtime=180.0, size=4_000)
    assert story.is_finished(at=182.0, mtime=180.0, size=4_000)


def test_a_file_that_is_closed_is_read_after_the_quiet_time() -> None:
    story = Story()
    story.written(at=0.0)
    assert story.growth.open_files == {SONG}
    story.growth.closed(SONG)
    assert story.growth.open_files == frozenset()
    assert story.is_finished(at=2.0, mtime=0.0)


def test_a_file_that_stays_open_without_growing_is_read_all_the_same() -> None:
    story = Story()
    story.written(at=0.0)
    assert not story.is_finished(at=10.0, mtime=0.0)
    assert not story.is_finished(at=10.0 + STALLED_S - 1, mtime=0.0)
    assert story.is_finished(at=10.0 + STALLED_S, mtime=0.0)


def test_growing_once_more_begins_the_stall_anew() -> None:
    story = Story()
    story.written(at=0.0)
    assert not story.is_finished(at=10.0, mtime=0.0, size=100)
    story.written(at=100.0)
    assert not story.is_finished(at=10.0 + STALLED_S, mtime=100.0, size=200)
    assert not story.is_finished(at=9.0 + 2 * STALLED_S, mtime=100.0, size=200)
    assert story.is_finished(at=10.0 + 2 * STALLED_S, mtime=100.0, size=200)


def test_a_file_that_was_cut_by_its_path_is_read_although_nothing_ever_closes() -> None:
    story = Story()
    story.written(at=0.0)  # truncate() opens nothing
    assert not story.is_finished(at=2.0, mtime=0.0, size=50)
    assert story.is_finished(at=2.0 + STALLED_S, mtime=0.0, size=50)


def test_a_file_of_full_size_that_is_filled_bit_by_bit_is_waited_for() -> None:
    """As some download programs do."""
    story = Story()
    for minute in range(5):
        story.written(at=60.0 * minute)
        assert not story.is_finished(at=60.0 * minute + 30, mtime=60.0 * minute, size=4_000)
    story.growth.closed(SONG)
    assert story.is_finished(at=270.0, mtime=240.0, size=4_000)


def test_a_time_in_the_future_that_somebody_set_holds_up_nothing() -> None:
    growth = Growth(quiet_s=2.0)
    set_ahead = FileStat(100, int((T0 + 1e6) * NS), int(T0 * NS), 1, 1)
    assert not growth.is_finished(SONG, set_ahead, now_ns=int((T0 + 1.9) * NS))
    assert growth.is_finished(SONG, set_ahead, now_ns=int((T0 + 2.0) * NS))
    assert is_quiet(set_ahead, quiet_s=2.0, now_ns=int((T0 + 2.0) * NS))


def test_an_open_file_whose_time_was_set_back_is_read() -> None:
    story = Story()
    story.written(at=0.0)
    assert story.is_finished(at=2.0, mtime=-3600.0)


@pytest.mark.parametrize("tick", [0.0, 1.0, 2.0])
def test_a_coarse_time_does_not_make_a_growing_file_look_old(tick: float) -> None:
    story = Story()
    story.written(at=1.9)
    mtime = 1.9 // tick * tick if tick else 1.9
    assert not story.is_finished(at=4.0, mtime=mtime)


def test_a_file_from_the_future_is_read_when_two_looks_show_the_same() -> None:
    story = Story()
    assert not story.is_finished(at=0.0, mtime=3600.0)
    assert not story.is_finished(at=1.9, mtime=3600.0)
    assert story.is_finished(at=2.0, mtime=3600.0)


def test_a_file_from_the_future_that_grows_is_waited_for() -> None:
    story = Story()
    for second in range(0, 20, 2):
        assert not story.is_finished(at=float(second), mtime=3600.0, size=100 + second)
    assert story.is_finished(at=20.0, mtime=3600.0, size=118)


def test_after_it_was_read_the_looks_at_a_file_begin_anew() -> None:
    story = Story()
    story.is_finished(at=0.0, mtime=3600.0)
    assert story.is_finished(at=2.0, mtime=3600.0)
    assert not story.is_finished(at=3.0, mtime=3600.0)


def test_a_file_that_is_renamed_while_it_is_open_still_is() -> None:
    story = Story()
    story.written(at=0.0)
    story.growth.moved(SONG, b"album/renamed.flac")
    assert story.growth.open_files == {b"album/renamed.flac"}
    assert not story.is_finished(at=60.0, mtime=30.0, path=b"album/renamed.flac")
    assert story.is_finished(at=60.0, mtime=30.0)  # what may be at the old name now is another file
    story.growth.closed(b"album/renamed.flac")
    assert story.is_finished(at=60.0, mtime=30.0, path=b"album/renamed.flac")


def test_a_whole_file_that_is_moved_over_an_open_one_is_whole() -> None:
    story = Story()
    story.written(at=0.0)
    story.growth.moved(b"album/.new", SONG)
    assert story.growth.open_files == frozenset()
    assert story.is_finished(at=60.0, mtime=30.0)


def test_moving_a_file_onto_itself_or_from_nowhere_is_no_opening() -> None:
    story = Story()
    story.growth.moved(b"unknown", SONG)
    assert story.growth.open_files == frozenset()
    assert story.is_finished(at=2.0, mtime=0.0)


def test_when_events_were_lost_a_closing_may_be_one_of_them() -> None:
    story = Story()
    story.written(at=0.0)
    assert not story.is_finished(at=2.0, mtime=0.0)
    story.growth.forget()
    assert story.is_finished(at=2.0, mtime=0.0)
    assert not story.is_finished(at=2.0, mtime=1.0)


def test_what_is_remembered_is_bounded_and_the_oldest_is_judged_by_its_time() -> None:
    story = Story(most=10)
    for n in range(50):
        path = b"%d.flac" % n
        story.written(at=float(n), path=path)
        assert not story.is_finished(at=float(n), mtime=float(n), path=path)
    assert story.growth.open_files == {b"%d.flac" % n for n in range(40, 50)}
    assert story.is_finished(at=60.0, mtime=0.0, path=b"0.flac")
    assert not story.is_finished(at=60.0, mtime=49.0, path=b"49.flac")


def test_more_files_from_the_future_than_are_remembered_are_all_read_in_the_end() -> None:
    story = Story(most=10)
    waiting = {b"%d.flac" % n for n in range(35)}
    for at in range(0, 100, 3):
        waiting -= {path for path in sorted(waiting) if story.is_finished(at=float(at), mtime=1e6, path=path)}
    assert not waiting


def test_files_that_went_away_without_a_word_do_not_hold_up_others() -> None:
    story = Story(most=10)
    for n in range(10):
        assert not story.is_finished(at=0.0, mtime=1e6, path=b"gone %d.flac" % n)
    finished = [at for at in range(0, 700, 10) if story.is_finished(at=float(at), mtime=1e6)]
    assert finished[0] == 620
