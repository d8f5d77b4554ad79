"""When a changed path is looked at: once it has been quiet, never too late, and after a pause when that failed."""

import pytest

from psm.services.change_buffer import ChangeBuffer


class Buffer:
    """A buffer whose clock is set by the test. Times are in seconds."""

    def __init__(self, *, quiet_s: float = 2.0, longest_s: float = 30.0) -> None:
        self.inner = ChangeBuffer(quiet_s=quiet_s, longest_s=longest_s)

    def changes(self, path: bytes, *, at: float) -> None:
        self.inner.note(path, at)

    def taken(self, *, at: float) -> tuple[bytes, ...]:
        return self.inner.take(at)


def test_one_change_is_due_after_the_quiet_time() -> None:
    buffer = Buffer()
    buffer.changes(b"song.flac", at=10.0)
    assert buffer.taken(at=11.99) == ()
    assert buffer.taken(at=12.0) == (b"song.flac",)


def test_each_change_begins_the_quiet_time_anew() -> None:
    buffer = Buffer()
    for at in (0.0, 1.5, 3.0, 4.5):
        buffer.changes(b"song.flac", at=at)
        assert buffer.taken(at=at) == ()
    assert buffer.taken(at=6.4) == ()
    assert buffer.taken(at=6.5) == (b"song.flac",)


def test_a_file_that_is_never_quiet_is_due_after_the_longest_wait() -> None:
    buffer = Buffer()
    for at in range(30):
        buffer.changes(b"busy.flac", at=float(at))
        assert buffer.taken(at=float(at)) == ()
    assert buffer.taken(at=30.0) == (b"busy.flac",)


def test_after_it_was_taken_the_longest_wait_begins_anew() -> None:
    buffer = Buffer()
    for at in range(31):
        buffer.changes(b"busy.flac", at=float(at))
    assert buffer.taken(at=30.0) == (b"busy.flac",)
    buffer.changes(b"busy.flac", at=31.0)
    buffer.inner.done()
    buffer.changes(b"busy.flac", at=32.0)
    assert buffer.taken(at=33.9) == ()
    assert buffer.taken(at=34.0) == (b"busy.flac",)


def test_a_busy_neighbour_holds_up_nobody() -> None:
    buffer = Buffer()
    buffer.changes(b"album/quiet.flac", at=0.0)
    for tenth in range(20):
        buffer.changes(b"album/busy.flac", at=tenth / 10)
    assert buffer.taken(at=2.0) == (b"album/quiet.flac",)


def test_an_album_that_is_copied_slowly_is_due_file_by_file() -> None:
    buffer = Buffer()
    taken: list[bytes] = []
    for track in range(10):
        at = 3.0 * track
        taken += buffer.taken(at=at)
        buffer.inner.done()
        buffer.changes(b"album/%02d.flac" % track, at=at)
    assert taken == [b"album/%02d.flac" % track for track in range(9)]


def test_a_folder_that_stands_for_many_busy_files_is_due_after_the_longest_wait() -> None:
    buffer = Buffer()
    for n in range(290):
        buffer.changes(b"album/%03d.flac" % n, at=n / 10)
    assert buffer.taken(at=29.9) == ()
    assert buffer.taken(at=30.0) == (b"album",)


def test_without_a_quiet_time_a_change_is_due_at_once() -> None:
    buffer = Buffer(quiet_s=0.0)
    buffer.changes(b"song.flac", at=7.0)
    assert buffer.taken(at=7.0) == (b"song.flac",)


@pytest.mark.parametrize("longest_s", [0.0, 1.0, 5.0])
def test_the_longest_wait_is_never_shorter_than_the_quiet_time(longest_s: float) -> None:
    buffer = Buffer(quiet_s=5.0, longest_s=longest_s)
    buffer.changes(b"song.flac", at=0.0)
    assert buffer.taken(at=4.9) == ()
    buffer.changes(b"song.flac", at=4.9)
    assert buffer.taken(at=5.0) == (b"song.flac",)


def test_with_nothing_to_wait_for_even_a_busy_file_is_due_at_once() -> None:
    buffer = Buffer(quiet_s=0.0, longest_s=0.0)
    for at in (0.0, 0.0, 0.1):
        buffer.changes(b"song.flac", at=at)
        assert buffer.taken(at=at) == (b"song.flac",)


def test_the_next_moment_to_look_is_that_of_the_first_that_is_due() -> None:
    buffer = Buffer()
    assert buffer.inner.next_due() is None
    buffer.changes(b"b.flac", at=1.0)
    buffer.changes(b"a.flac", at=0.5)
    assert buffer.inner.next_due() == 2.5
    buffer.changes(b"a.flac", at=2.0)
    assert buffer.inner.next_due() == 3.0


def test_after_a_scan_that_failed_it_waits_for_the_pause() -> None:
    buffer = Buffer()
    buffer.changes(b"song.flac", at=0.0)
    buffer.taken(at=2.0)
    buffer.inner.put_back(not_before=60.0)
    assert buffer.inner.next_due() == 60.0
    assert buffer.taken(at=59.9) == ()
    assert buffer.taken(at=60.0) == (b"song.flac",)


def test_a_new_change_ends_the_pause_but_has_its_quiet_time() -> None:
    buffer = Buffer()
    buffer.changes(b"song.flac", at=0.0)
    buffer.taken(at=2.0)
    buffer.inner.put_back(not_before=600.0)
    buffer.changes(b"song.flac", at=50.0)
    assert buffer.taken(at=51.9) == ()
    assert buffer.taken(at=52.0) == (b"song.flac",)


def test_a_busy_file_that_failed_waits_no_longer_than_the_longest_wait() -> None:
    buffer = Buffer()
    buffer.changes(b"song.flac", at=0.0)
    buffer.taken(at=2.0)
    buffer.inner.put_back(not_before=600.0)
    for at in range(50, 80):
        buffer.changes(b"song.flac", at=float(at))
        assert buffer.taken(at=float(at)) == ()
    assert buffer.taken(at=80.0) == (b"song.flac",)


def test_a_pause_of_one_path_holds_up_no_other() -> None:
    buffer = Buffer()
    for path in (b"bad.flac", b"good.flac"):
        buffer.changes(path, at=0.0)
    buffer.taken(at=2.0)
    buffer.inner.done([b"good.flac"])
    buffer.inner.put_back([b"bad.flac"], not_before=600.0)
    buffer.changes(b"other.flac", at=3.0)
    assert buffer.taken(at=5.0) == (b"other.flac",)


def test_a_change_during_the_scan_that_fails_is_due_after_its_own_quiet_time() -> None:
    buffer = Buffer()
    buffer.changes(b"song.flac", at=0.0)
    buffer.taken(at=2.0)
    buffer.changes(b"song.flac", at=3.0)
    buffer.inner.put_back(not_before=600.0)
    assert buffer.taken(at=5.0) == (b"song.flac",)


def test_a_later_look_at_an_unfinished_file_does_not_hold_up_its_closing() -> None:
    buffer = Buffer()
    buffer.changes(b"song.flac", at=0.0)
    buffer.taken(at=2.0)
    buffer.changes(b"song.flac", at=2.5)  # it is closed while the scan that found it unfinished ends
    buffer.inner.done()
    buffer.inner.note(b"song.flac", 2.6, not_before=62.6)
    assert buffer.taken(at=4.6) == (b"song.flac",)


def test_an_unfinished_file_is_looked_at_again_at_the_time_that_was_said() -> None:
    buffer = Buffer()
    assert buffer.inner.note(b"song.flac", 0.0, not_before=10.0) == 10.0
    assert buffer.taken(at=9.9) == ()
    assert buffer.taken(at=10.0) == (b"song.flac",)


def test_a_clock_that_seems_to_go_back_loses_no_time() -> None:
    buffer = Buffer()
    buffer.changes(b"song.flac", at=10.0)
    buffer.changes(b"song.flac", at=9.0)  # two threads may note in another order than they looked at the clock
    assert buffer.inner.next_due() == 12.0


def test_the_old_end_of_a_move_is_not_taken_without_the_new_one() -> None:
    buffer = Buffer()
    for path in (b"new", b"old"):
        buffer.changes(path, at=0.0)
    buffer.inner.moved(b"old", b"new")
    buffer.changes(b"new", at=1.0)
    buffer.changes(b"other", at=1.0)
    assert buffer.taken(at=2.0) == (b"new", b"old")
    buffer.changes(b"new", at=2.0)
    assert buffer.taken(at=3.0) == (b"other",)


def test_the_new_end_of_a_move_may_be_taken_alone() -> None:
    buffer = Buffer()
    for path in (b"new", b"old"):
        buffer.changes(path, at=0.0)
    buffer.inner.moved(b"old", b"new")
    buffer.changes(b"old", at=1.0)
    assert buffer.taken(at=2.0) == (b"new",)
    assert buffer.taken(at=3.0) == (b"old",)


def test_moves_one_after_the_other_are_taken_together() -> None:
    buffer = Buffer()
    for path in (b"1", b"2", b"3"):
        buffer.changes(path, at=0.0)
    buffer.inner.moved(b"1", b"2")
    buffer.inner.moved(b"2", b"3")
    buffer.changes(b"2", at=1.0)
    buffer.changes(b"3", at=1.5)
    assert buffer.taken(at=2.0) == (b"1", b"2", b"3")


def test_many_files_that_moved_into_another_folder_are_taken_together_as_two_folders() -> None:
    buffer = Buffer()
    for number in range(100):
        for folder in (b"new", b"old"):
            buffer.changes(b"%s/%d" % (folder, number), at=0.0)
        buffer.inner.moved(b"old/%d" % number, b"new/%d" % number)
    buffer.changes(b"new/99", at=1.0)
    assert buffer.taken(at=2.0) == (b"new", b"old")


def test_a_move_of_which_one_end_does_not_matter_holds_up_nothing() -> None:
    buffer = Buffer()
    buffer.changes(b"song.flac", at=0.0)
    buffer.inner.moved(b"song.flac.part", b"song.flac")
    assert buffer.taken(at=2.0) == (b"song.flac",)


def test_the_new_end_of_a_move_that_failed_has_its_pause() -> None:
    buffer = Buffer()
    buffer.changes(b"new", at=0.0)
    buffer.taken(at=2.0)
    buffer.inner.put_back(not_before=600.0)
    buffer.changes(b"old", at=3.0)
    buffer.inner.moved(b"old", b"new")
    assert buffer.taken(at=5.0) == (b"old",)
