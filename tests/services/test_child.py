"""Real processes: the tasks are functions of this module, which the child imports by name."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from psm.db import Database, metadata
from psm.errors import Interrupted, PsmError, RefusedError, UsageError
from psm.progress import Progress, ProgressCallback, StopSignal
from psm.services import child
from psm.services.child import run_in_child

_LONG_S = 60.0


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as db:
        yield db


def test_it_returns_what_the_task_returned(db: Database) -> None:
    assert run_in_child(add, db, 2, more=3) == 5


def test_the_task_runs_in_another_process_and_session(db: Database) -> None:
    pid, session_id = run_in_child(who, db)
    assert pid != os.getpid()
    assert session_id != os.getsid(0)


def test_the_task_has_the_same_database(db: Database) -> None:
    with db.transaction() as connection:
        metadata.put(connection, "asked", "yes")
    run_in_child(answer, db)
    assert metadata.get(db.connection, "answer") == "yes"


@pytest.mark.parametrize("wal", [True, False])
def test_the_task_opens_the_database_in_the_same_way(tmp_path: Path, wal: bool) -> None:
    with Database(tmp_path / "other.db", wal=wal) as db:
        assert run_in_child(journal, db) == ("wal" if wal else "delete")


def test_progress_comes_here_in_order(db: Database) -> None:
    told: list[Progress] = []
    run_in_child(count, db, 100, progress=told.append)
    assert told == [Progress("count", n, 100) for n in range(100)]


def test_a_large_answer_arrives_whole(db: Database) -> None:
    assert len(run_in_child(bytes_of, db, 5_000_000)) == 5_000_000


def test_what_a_task_prints_does_not_disturb_the_answer(db: Database, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_in_child(chatter, db) == "answer"
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.split() == ["from", "Python", "from", "a", "program"]


@pytest.mark.parametrize("error", [UsageError("no such folder"), RefusedError("too much would go")])
def test_an_error_of_the_task_is_raised_here(db: Database, error: PsmError) -> None:
    with pytest.raises(type(error), match=str(error)) as raised:
        run_in_child(fail, db, error)
    assert raised.value.exit_code == error.exit_code


def test_a_defect_is_raised_here_with_its_traceback_as_a_note(db: Database) -> None:
    with pytest.raises(KeyError) as raised:
        run_in_child(fail, db, KeyError("who"))
    assert "raise error" in raised.value.__notes__[0]


def test_an_error_that_cannot_be_sent_comes_as_its_sentence(db: Database) -> None:
    with pytest.raises(PsmError, match=r"^two words$") as raised:
        run_in_child(fail_strangely, db)
    assert type(raised.value) is PsmError


def test_a_result_that_cannot_be_sent_is_a_defect_that_says_so(db: Database) -> None:
    with pytest.raises(Exception, match="pickle"):
        run_in_child(give_a_lock, db)


def test_a_child_that_dies_is_an_error_that_says_how(db: Database) -> None:
    with pytest.raises(PsmError, match=r"die.*SIGKILL, for lack of memory perhaps"):
        run_in_child(die, db, signal.SIGKILL)
    with pytest.raises(PsmError, match="exit code 7"):
        run_in_child(leave, db, 7)


def test_a_child_that_dies_while_it_answers_is_told_of_too(db: Database) -> None:
    with pytest.raises(PsmError, match="exit code 0"):
        run_in_child(say_half, db)


def test_stop_is_passed_on_and_what_was_done_comes_back(db: Database) -> None:
    stop = threading.Event()
    assert run_in_child(wait_for_stop, db, progress=lambda _: stop.set(), stop=stop) == "stopped"


def test_a_child_that_does_not_stop_is_killed(db: Database, tmp_path: Path) -> None:
    stop, told = threading.Event(), tmp_path / "pid"

    def stop_it(progress: Progress) -> None:
        told.write_text(progress.detail)
        stop.set()

    with pytest.raises(Interrupted, match=r"did not stop within 0\.2 s"):
        run_in_child(never_stop, db, progress=stop_it, stop=stop, end_within_s=0.2)
    assert not _is_alive(int(told.read_text()))


def test_a_callback_that_raises_ends_the_child(db: Database) -> None:
    pids: list[int] = []

    def interrupt(progress: Progress) -> None:
        pids.append(int(progress.detail))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_child(never_stop, db, progress=interrupt)
    assert not _is_alive(pids[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_child_outlives_signals_that_were_meant_for_its_parent(db: Database, number: signal.Signals) -> None:
    # A service manager ends every process of a service; the terminal's Ctrl-C goes to all of a group.
    assert run_in_child(hit_oneself, db, number) == (number is signal.SIGTERM)


def test_the_child_ends_when_its_parent_was_killed(db: Database, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    script = (
        "import sys; from pathlib import Path; from psm.db import Database\n"
        "from psm.services.child import run_in_child; from tests.services.test_child import tell_and_wait\n"
        "run_in_child(tell_and_wait, Database(Path(sys.argv[1])), sys.argv[2])"
    )
    with subprocess.Popen([sys.executable, "-c", script, db.path, mark], stdin=subprocess.DEVNULL) as parent:
        _wait_until(lambda: mark.exists() and mark.read_text().endswith("\n"))
        parent.kill()
    _wait_until(lambda: not _is_alive(int(mark.read_text())))


def test_it_works_without_standard_streams(db: Database, tmp_path: Path) -> None:
    script = (
        "import os, sys; os.closerange(0, 3); from pathlib import Path; from psm.db import Database\n"
        "from psm.services.child import run_in_child; from tests.services.test_child import chatter\n"
        "Path(sys.argv[2]).write_text(run_in_child(chatter, Database(Path(sys.argv[1]))))"
    )
    done = subprocess.run([sys.executable, "-c", script, db.path, tmp_path / "answer"], check=False)
    assert done.returncode == 0
    assert (tmp_path / "answer").read_text() == "answer"


def test_the_child_imports_nothing_from_the_folder_that_psm_was_started_in(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", ".")])
    assert run_in_child(add, db, 1, more=1) == 2


def test_a_database_that_was_moved_away_is_not_made_anew(db: Database, tmp_path: Path) -> None:
    db.path.rename(tmp_path / "elsewhere.db")
    with pytest.raises(PsmError, match="not there any more"):
        run_in_child(add, db, 1, more=1)
    assert not db.path.exists()


def test_a_psm_that_was_updated_meanwhile_says_so(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "__version__", "0.0.1")
    with pytest.raises(PsmError, match=r"updated from 0\.0\.1 to"):
        run_in_child(add, db, 1, more=1)


def test_a_python_that_was_moved_away_is_an_error_that_says_so(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(PsmError, match="start psm again"):
        run_in_child(add, db, 1, more=1)


def test_neither_a_process_nor_an_open_file_is_left(db: Database) -> None:
    run_in_child(add, db, 1, more=1)
    before, threads, children = _open_files(), threading.active_count(), _children()
    for _ in range(3):
        run_in_child(add, db, 1, more=1)
        with pytest.raises(PsmError):
            run_in_child(leave, db, 1)
    assert _open_files() == before
    assert threading.active_count() == threads
    assert not _children() - children


def add(db: Database, number: int, *, more: int, progress: ProgressCallback, stop: StopSignal) -> int:
    return number + more


def who(db: Database, *, progress: ProgressCallback, stop: StopSignal) -> tuple[int, int]:
    return os.getpid(), os.getsid(0)


def answer(db: Database, *, progress: ProgressCallback, stop: StopSignal) -> None:
    with db.transaction() as connection:
        metadata.put(connection, "answer", str(metadata.get(connection, "asked")))


def journal(db: Database, *, progress: ProgressCallback, stop: StopSignal) -> str:
    return str(db.connection.execute("PRAGMA journal_mode").fetchone()[0])


def count(db: Database, total: int, *, progress: ProgressCallback, stop: StopSignal) -> None:
    for n in range(total):
        progress(Progress("count", n, total))


def bytes_of(db: Database, size: int, *, progress: ProgressCallback, stop: StopSignal) -> bytes:
    return bytes(size)


def chatter(db: Database, *, progress: ProgressCallback, stop: StopSignal) -> str:
    print("from Python", flush=True)
    subprocess.run(["echo", "from a program"], check=True)
    return "answer"


def fail(db: Database, error: Exception, *, progress: ProgressCallback, stop: StopSignal) -> None:
    raise error


class StrangeError(PsmError):
    """It can be made of two arguments only, so it cannot be unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def fail_strangely(db: Database, *, progress: ProgressCallback, stop: StopSignal) -> None:
    raise StrangeError("two", "words")


def give_a_lock(db: Database, *, progress: ProgressCallback, stop: StopSignal) -> object:
    return threading.Lock()


def die(db: Database, number: int, *, progress: ProgressCallback, stop: StopSignal) -> None:
    os.kill(os.getpid(), number)
    time.sleep(_LONG_S)


def leave(db: Database, code: int, *, progress: ProgressCallback, stop: StopSignal) -> None:
    os._exit(code)


class HalfAnAnswer:
    def __reduce__(self) -> tuple[Callable[[int], None], tuple[int]]:
        os._exit(0)  # while it is being written


def say_half(db: Database, *, progress: ProgressCallback, stop: StopSignal) -> HalfAnAnswer:
    progress(Progress("half", 1))
    return HalfAnAnswer()


def wait_for_stop(db: Database, *, progress: ProgressCallback, stop: StopSignal) -> str:
    progress(Progress("wait", 0))
    assert isinstance(stop, threading.Event)
    return "stopped" if stop.wait(_LONG_S) else "never"


def never_stop(db: Database, *, progress: ProgressCallback, stop: StopSignal) -> None:
    progress(Progress("never", 0, detail=str(os.getpid())))
    time.sleep(_LONG_S)


def hit_oneself(db: Database, number: int, *, progress: ProgressCallback, stop: StopSignal) -> bool:
    os.kill(os.getpid(), number)
    return stop.is_set()


def tell_and_wait(db: Database, mark: str, *, progress: ProgressCallback, stop: StopSignal) -> None:
    Path(mark).write_text(f"{os.getpid()}\n")
    assert isinstance(stop, threading.Event)
    stop.wait(_LONG_S)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One whose parent was killed may wait for its new parent to notice that it has ended.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def _children() -> set[str]:
    """The processes that this one has started and not waited for; other tests may have left some."""
    children = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):  # it has ended meanwhile
            if f"\nPPid:\t{os.getpid()}\n" in status.read_text():
                children.add(status.parent.name)
    return children


def _open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LONG_S
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
