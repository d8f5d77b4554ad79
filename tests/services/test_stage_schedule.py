import pytest

from psm.services.stage_schedule import FIRST_RETRY_S, LONGEST_RETRY_S, StageSchedule
from psm.services.stages import Stage

MATCH, EXPORT = Stage.MATCH, Stage.EXPORT


@pytest.fixture
def schedule() -> StageSchedule:
    return StageSchedule(interval_s=5.0, jitter=lambda: 0.5)


def test_the_first_run_is_at_once(schedule: StageSchedule) -> None:
    assert schedule.runnable({MATCH, EXPORT}, 0.0) == {MATCH, EXPORT}


def test_runs_keep_their_interval_however_fast_things_change(schedule: StageSchedule) -> None:
    now, runs = 0.0, []
    while now < 60.0:
        if schedule.runnable({MATCH}, now):
            runs.append(now)
            schedule.ran(began=now, ended=now + 1.0)
        now += 0.25
    assert runs == [n * 6.0 for n in range(10)]


def test_after_a_long_run_the_pause_is_longer(schedule: StageSchedule) -> None:
    schedule.ran(began=0.0, ended=10.0)
    assert schedule.next_at({MATCH}) == 30.0
    assert not schedule.runnable({MATCH}, 29.9)
    assert schedule.runnable({MATCH}, 30.0)


def test_without_an_interval_there_is_no_pause() -> None:
    schedule = StageSchedule(interval_s=0.0)
    schedule.ran(began=0.0, ended=10.0)
    assert schedule.runnable({MATCH}, 10.0)


def test_a_stage_that_fails_waits_longer_each_time_and_the_others_do_not_wait_for_it(schedule: StageSchedule) -> None:
    pauses = []
    for _ in range(12):
        schedule.failed({EXPORT}, 0.0)
        pauses.append(schedule.next_at({EXPORT}))
        assert schedule.runnable({MATCH, EXPORT}, 0.0) == {MATCH}
    assert pauses[:4] == [FIRST_RETRY_S * n for n in (1, 2, 4, 8)]
    assert pauses[-1] == LONGEST_RETRY_S


def test_pauses_are_jittered() -> None:
    early, late = (StageSchedule(interval_s=0.0, jitter=lambda j=j: j) for j in (0.0, 1.0))  # type: ignore[misc]
    for schedule in (early, late):
        schedule.failed({MATCH}, 0.0)
    first, last = early.next_at({MATCH}), late.next_at({MATCH})
    assert first is not None
    assert last is not None
    assert first == pytest.approx(FIRST_RETRY_S * 0.8)
    assert last == pytest.approx(FIRST_RETRY_S * 1.2)


def test_a_stage_that_settled_runs_at_once_when_it_is_due_again(schedule: StageSchedule) -> None:
    schedule.failed({MATCH}, 0.0)
    schedule.failed({MATCH}, 0.0)
    schedule.settled({MATCH})
    assert schedule.runnable({MATCH}, 0.0) == {MATCH}
    schedule.failed({MATCH}, 0.0)
    assert schedule.next_at({MATCH}) == FIRST_RETRY_S


def test_in_a_hurry_only_what_failed_waits(schedule: StageSchedule) -> None:
    schedule.ran(began=0.0, ended=1.0)
    schedule.failed({EXPORT}, 1.0)
    assert schedule.runnable({MATCH, EXPORT}, 1.5, hurry=True) == {MATCH}


def test_nothing_due_has_no_time(schedule: StageSchedule) -> None:
    assert schedule.next_at(frozenset()) is None
