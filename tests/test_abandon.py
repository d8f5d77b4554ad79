"""Work that hangs is left behind."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from psm.abandon import Question, abandonable, wait_for_drives
from psm.progress import NeverStop


def test_the_items_come_through_in_order() -> None:
    assert list(abandonable(range(1000), stop=NeverStop(), buffer=3)) == list(range(1000))


def test_an_error_comes_through_where_it_happened() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the drive is dead")

    found = abandonable(items(), stop=NeverStop())
    assert next(found) == 1
    with pytest.raises(OSError, match="the drive is dead"):
        next(found)


def test_a_stop_leaves_a_hanging_producer_behind() -> None:
    stop, released = threading.Event(), threading.Event()

    def hanging() -> Iterator[int]:
        yield 1
        released.wait(timeout=60)
        yield 2

    try:
        found = abandonable(hanging(), stop=stop)
        assert next(found) == 1
        stop.set()
        assert list(found) == []
        assert not released.is_set()
    finally:
        released.set()


def test_a_consumer_that_leaves_early_ends_the_producer() -> None:
    produced: list[int] = []

    def items() -> Iterator[int]:
        for n in range(10**9):
            produced.append(n)
            yield n

    found = abandonable(items(), stop=NeverStop(), buffer=2)
    assert next(found) == 0
    found.close()  # type: ignore[attr-defined]
    for producer in [t for t in threading.enumerate() if t.name == "psm-abandonable"]:
        producer.join(timeout=60)
        assert not producer.is_alive()
    assert len(produced) < 10


def test_a_question_is_answered_when_the_drive_answers_and_nobody_has_to_wait() -> None:
    released = threading.Event()

    def ask() -> str:
        released.wait(timeout=60)
        return "here"

    question = Question(ask)
    assert (question.is_answered, question.answer()) == (False, None)
    released.set()
    assert question.answer(within_s=60) == "here"
    assert question.is_answered


def test_drives_that_answer_are_not_waited_for_whatever_they_answer(tmp_path: Path) -> None:
    wait_for_drives([bytes(tmp_path), bytes(tmp_path / "not there"), b"/not\xff text"])
