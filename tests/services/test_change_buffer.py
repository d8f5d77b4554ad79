"""The buffer of changed paths: what is noted leaves it only by a scan that succeeded, and in time."""

from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from psm.services.change_buffer import ChangeBuffer

QUIET, LONGEST = 2.0, 30.0


def make_buffer(*, files_per_folder: int = 64, most: int = 2_000) -> ChangeBuffer:
    return ChangeBuffer(quiet_s=QUIET, longest_s=LONGEST, files_per_folder=files_per_folder, most=most)


def waiting_in(buffer: ChangeBuffer) -> tuple[bytes, ...]:
    """What waits, found out without disturbing it."""
    return deepcopy(buffer).take_all()


def covers(name: bytes, path: bytes) -> bool:
    return not name or name == path or path.startswith(name + b"/")


def is_covered(path: bytes, names: tuple[bytes, ...] | set[bytes]) -> bool:
    return any(covers(name, path) for name in names)


def test_an_empty_buffer_has_nothing_due() -> None:
    buffer = make_buffer()
    assert (len(buffer), buffer.next_due(), buffer.take(1e9), buffer.take_all()) == (0, None, (), ())
    buffer.done()
    buffer.put_back(not_before=5.0)
    assert len(buffer) == 0


def test_what_was_taken_is_held_until_it_is_done() -> None:
    buffer = make_buffer()
    buffer.note(b"a", 0.0)
    assert buffer.take(QUIET) == (b"a",)
    assert (len(buffer), buffer.next_due(), buffer.take(1e9)) == (1, None, ())
    buffer.done()
    assert len(buffer) == 0


def test_what_changes_while_it_is_in_flight_waits_once_more() -> None:
    buffer = make_buffer()
    buffer.note(b"a", 0.0)
    buffer.take(2.0)
    assert buffer.note(b"a", 4.0) == 6.0
    buffer.done()
    assert buffer.take(5.9) == ()
    assert buffer.take(6.0) == (b"a",)


def test_done_names_what_is_done_and_leaves_the_rest_in_flight() -> None:
    buffer = make_buffer()
    for name in (b"a", b"b", b"c"):
        buffer.note(name, 0.0)
    buffer.take_all()
    buffer.done([b"a", b"never taken"])
    buffer.put_back([b"b", b"never taken"], not_before=9.0)
    assert len(buffer) == 2
    assert waiting_in(buffer) == (b"b",)
    buffer.put_back(not_before=9.0)
    assert waiting_in(buffer) == (b"b", b"c")


def test_done_or_put_back_for_the_second_time_changes_nothing() -> None:
    buffer = make_buffer()
    buffer.note(b"a", 0.0)
    buffer.take_all()
    buffer.put_back([b"a"], not_before=5.0)
    buffer.put_back([b"a"], not_before=50.0)
    buffer.done([b"a"])
    buffer.done()
    assert buffer.next_due() == 5.0


def test_what_is_taken_comes_in_order() -> None:
    buffer = make_buffer()
    for name in (b"b/2", b"a", b"b/1"):
        buffer.note(name, 0.0)
    assert buffer.take(9.0) == (b"a", b"b/1", b"b/2")


# Folders stand for what is below them


@pytest.mark.parametrize("order", [(b"a/b", b"a/b/1", b"a/b/c/2"), (b"a/b/1", b"a/b/c/2", b"a/b")])
def test_a_folder_stands_for_what_is_below_it_in_any_order(order: tuple[bytes, ...]) -> None:
    buffer = make_buffer()
    for name in (b"a/bc", *order, b"a.b"):
        buffer.note(name, 0.0)
    assert buffer.take_all() == (b"a.b", b"a/b", b"a/bc")


@pytest.mark.parametrize("order", [(b"", b"a/1", b"2"), (b"a/1", b"2", b"")])
def test_the_root_stands_for_everything(order: tuple[bytes, ...]) -> None:
    buffer = make_buffer()
    for name in order:
        buffer.note(name, 0.0)
    assert buffer.take_all() == (b"",)
    buffer.done()
    buffer.note(b"a/1", 0.0)
    assert buffer.take_all() == (b"a/1",)


def test_a_folder_that_is_in_flight_does_not_stand_for_what_changes_now() -> None:
    buffer = make_buffer()
    buffer.note(b"a", 0.0)
    buffer.take_all()
    buffer.note(b"a/1", 1.0)
    buffer.done()
    assert buffer.take_all() == (b"a/1",)


def test_a_path_that_is_put_back_below_a_waiting_folder_is_covered_by_it() -> None:
    buffer = make_buffer()
    buffer.note(b"a/1", 0.0)
    buffer.take_all()
    buffer.note(b"a", 10.0)
    buffer.put_back(not_before=60.0)
    assert buffer.next_due() == 12.0
    assert buffer.take(12.0) == (b"a",)


def test_a_folder_that_is_put_back_takes_in_what_waits_below_it() -> None:
    buffer = make_buffer()
    buffer.note(b"a", 0.0)
    buffer.take_all()
    buffer.note(b"a/1", 10.0)
    buffer.put_back(not_before=60.0)
    assert waiting_in(buffer) == (b"a",)
    assert buffer.next_due() == 12.0  # the change below it does not wait for the retry


def test_more_files_of_a_folder_than_allowed_become_the_folder() -> None:
    buffer = make_buffer(files_per_folder=3)
    for n in range(3):
        buffer.note(b"a/b/%d" % n, float(n))
    assert len(buffer) == 3
    assert buffer.note(b"a/b/3", 3.0) == 5.0
    assert waiting_in(buffer) == (b"a/b",)
    assert buffer.take(4.9) == ()


def test_more_folders_than_allowed_become_the_folder_above() -> None:
    buffer = make_buffer(files_per_folder=2)
    for folder in (b"x/1", b"x/2", b"x/3"):
        for n in range(3):
            buffer.note(b"%s/%d" % (folder, n), 0.0)
    assert waiting_in(buffer) == (b"x",)


def test_too_many_altogether_become_the_root() -> None:
    buffer = make_buffer(files_per_folder=4, most=10)
    for n in range(11):
        buffer.note(b"%d/file" % n, 0.0)
    assert waiting_in(buffer) == (b"",)


def test_a_storm_is_held_in_few_entries() -> None:
    buffer = make_buffer()
    largest = 0
    for n in range(20_000):
        buffer.note(b"%d/%d/%d" % (n % 7, n % 211, n), n / 1_000)
        largest = max(largest, len(buffer))
    assert largest <= 2_000
    assert all(is_covered(b"%d/%d/%d" % (n % 7, n % 211, n), waiting_in(buffer)) for n in (0, 9_999, 19_999))


def test_what_becomes_a_folder_keeps_the_longest_wait_of_the_first() -> None:
    buffer = make_buffer(files_per_folder=1)
    buffer.note(b"a/1", 0.0)
    buffer.note(b"a/2", 29.0)
    assert buffer.next_due() == LONGEST


# Any order of operations

FOLDERS = (b"", b"a", b"a/b", b"a/b/c", b"d")
NAMES = tuple(b"%s/%d" % (folder, n) if folder else b"%d" % n for folder in FOLDERS for n in range(4))
PATHS = (*FOLDERS, *NAMES, b"a/bc", b"a.b", b"d/\xff/\n")
paths = st.sampled_from(PATHS)
moments = st.sampled_from((0.0, 0.1, 1.0, 2.0, 5.0, 31.0))


class AnyOrder(RuleBasedStateMachine):
    """What the buffer owes its owner, kept by hand beside it."""

    @initialize(files_per_folder=st.sampled_from((1, 2, 3, 64)), most=st.sampled_from((4, 8, 2_000)))
    def begin(self, files_per_folder: int, most: int) -> None:
        self.buffer = make_buffer(files_per_folder=files_per_folder, most=most)
        self.files_per_folder, self.most = files_per_folder, most
        self.now = 100.0
        self.latest: dict[bytes, float] = {}
        """By each path that has to be looked at, when it has to be due at the latest."""
        self.holder: dict[bytes, bytes] = {}
        """By each path that was taken, the name that it was taken under."""
        self.in_flight: set[bytes] = set()
        self.longest_pause = 0.0

    @rule(by=moments)
    def time_passes(self, by: float) -> None:
        self.now += by

    @rule(path=paths)
    def a_change_is_noted(self, path: bytes) -> None:
        self.note(path, 0.0)

    @rule(path=paths, pause=moments)
    def a_change_is_noted_for_later(self, path: bytes, pause: float) -> None:
        self.note(path, self.now + pause)

    def note(self, path: bytes, not_before: float) -> None:
        due = self.buffer.note(path, self.now, not_before=not_before)
        self.longest_pause = max(self.longest_pause, not_before)
        latest = max(self.now + LONGEST, not_before)
        self.latest[path] = min(self.latest.get(path, latest), latest)
        assert due <= self.latest[path]
        next_due = self.buffer.next_due()
        assert next_due is not None
        assert next_due <= due

    @rule()
    def what_is_due_is_taken(self) -> None:
        taken = self.buffer.take(self.now)
        assert all(is_covered(p, taken) for p, latest in self.latest.items() if latest <= self.now)
        self.take(taken)

    @rule()
    def everything_is_taken(self) -> None:
        self.take(self.buffer.take_all())
        assert not self.latest

    def take(self, taken: tuple[bytes, ...]) -> None:
        assert list(taken) == sorted(set(taken))
        self.in_flight |= set(taken)
        for path in [p for p in self.latest if is_covered(p, taken)]:
            del self.latest[path]
            self.holder[path] = next(name for name in taken if covers(name, path))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), every=st.booleans())
    def a_scan_succeeds(self, data: st.DataObject, every: bool) -> None:
        names = self.choose(data, every)
        self.buffer.done(None if every else names)
        self.in_flight -= names
        self.holder = {path: name for path, name in self.holder.items() if name not in names}

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), every=st.booleans(), pause=moments)
    def a_scan_fails(self, data: st.DataObject, every: bool, pause: float) -> None:
        names = self.choose(data, every)
        self.longest_pause = max(self.longest_pause, self.now + pause)
        self.buffer.put_back(None if every else names, not_before=self.now + pause)
        self.in_flight -= names
        for path in [p for p, name in self.holder.items() if name in names]:
            del self.holder[path]
            # It had its turn: the longest wait counts anew, from when it may be tried again.
            latest = max(self.now, self.longest_pause) + LONGEST
            self.latest[path] = min(self.latest.get(path, latest), latest)

    def choose(self, data: st.DataObject, every: bool) -> set[bytes]:
        if every:
            return set(self.in_flight)
        return set(data.draw(st.lists(st.sampled_from(sorted(self.in_flight)), min_size=1, unique=True)))

    @invariant()
    def nothing_is_lost(self) -> None:
        names = waiting_in(self.buffer)
        assert all(is_covered(path, names) for path in self.latest)
        assert len(self.buffer) == len(names) + len(self.in_flight)

    @invariant()
    def nothing_waits_longer_than_it_may(self) -> None:
        for moment in sorted(set(self.latest.values())):
            due = deepcopy(self.buffer).take(moment)
            assert all(is_covered(p, due) for p, latest in self.latest.items() if latest <= moment)

    @invariant()
    def no_name_lies_below_another_and_there_are_few(self) -> None:
        names = waiting_in(self.buffer)
        assert len(names) <= self.most
        assert not any(covers(one, other) for one in names for other in names if one != other)
        for folder in FOLDERS:
            assert self.directly_in(folder, names) <= self.files_per_folder

    @invariant()
    def a_folder_becomes_one_name_exactly_when_it_holds_too_many(self) -> None:
        names = waiting_in(self.buffer)
        for folder in FOLDERS:
            room = self.files_per_folder - self.directly_in(folder, names)
            if is_covered(folder, names) or room > 8 or len(names) + room >= self.most:
                continue
            buffer = deepcopy(self.buffer)
            inside = folder + b"/" if folder else b""
            for n in range(room):
                buffer.note(inside + b"new %d" % n, self.now)
            assert len(waiting_in(buffer)) == len(names) + room
            buffer.note(inside + b"one too many", self.now)
            assert is_covered(folder, waiting_in(buffer))

    def directly_in(self, folder: bytes, names: tuple[bytes, ...]) -> int:
        return sum(name != b"" and name.rpartition(b"/")[0] == folder for name in names)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)


@given(st.lists(st.tuples(paths, st.floats(0, 3)), min_size=1, max_size=60), st.integers(1, 5))
def test_however_busy_it_is_everything_is_taken_within_the_longest_wait(
    changes: list[tuple[bytes, float]], files_per_folder: int
) -> None:
    buffer = make_buffer(files_per_folder=files_per_folder)
    first: dict[bytes, float] = {}
    now = 0.0
    for path, pause in changes:
        now += pause
        for name in buffer.take(now):
            first = {p: at for p, at in first.items() if not covers(name, p)}
        buffer.done()
        buffer.note(path, now)
        first.setdefault(path, now)
        assert all(now <= at + LONGEST + 3 for at in first.values())
    assert is_covered(changes[-1][0], waiting_in(buffer))
