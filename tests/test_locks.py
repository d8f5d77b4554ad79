"""Locks, between real processes, threads and forks."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from psm import locks
from psm.errors import ExitCode, Interrupted, PsmError
from psm.locks import LockHeld, held_by, hold

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}

HOLDER = """
import sys
from pathlib import Path
from psm.locks import hold
with hold(Path(sys.argv[1]), what="psm scan"):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "scan.lock"


@contextmanager
def another_process(path: Path, program: str = HOLDER) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock until it reads a line, or is killed."""
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def refused(path: Path) -> str:
    with pytest.raises(LockHeld) as caught, hold(path, what="psm match", wait=False):
        pass
    return str(caught.value)


def is_free(path: Path) -> bool:
    try:
        with hold(path, what="a look", wait=False):
            return True
    except LockHeld:
        return False


def test_another_process_is_refused_and_told_who_holds_the_lock(path: Path) -> None:
    with another_process(path) as holder:
        assert f"psm scan, process {holder.pid}, since " in refused(path)
        assert holder.stdin is not None
        holder.stdin.write("\n")
        holder.stdin.flush()
        holder.wait()
    assert is_free(path)


def test_the_file_stays_and_a_holder_that_ended_is_not_named_any_more(path: Path) -> None:
    with hold(path, what="psm scan"):
        inode = path.stat().st_ino
        assert json.loads(path.read_bytes())["pid"] == os.getpid()
    assert (path.stat().st_ino, path.read_bytes()) == (inode, b"")
    with hold(path, what="psm scan"):
        assert path.stat().st_ino == inode


def test_a_killed_holder_leaves_no_lock(path: Path) -> None:
    with another_process(path) as holder:
        assert not is_free(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert path.read_bytes()  # its description is still there, and means nothing
        with hold(path, what="psm match", wait=False):
            assert json.loads(path.read_bytes())["what"] == "psm match"


def test_two_threads_of_one_process_exclude_each_other(path: Path) -> None:
    answers: list[str] = []
    with hold(path, what="psm scan"):
        thread = threading.Thread(target=lambda: answers.append(refused(path)))
        thread.start()
        thread.join()
        assert "psm scan" in refused(path)
    assert f"process {os.getpid()}" in answers[0]
    assert is_free(path)


def test_waiting_ends_when_the_lock_is_released_and_tells_once_who_holds_it(path: Path) -> None:
    told: list[str] = []
    pauses: list[float] = []
    with another_process(path) as holder:

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                holder.kill()
                holder.wait()

        with hold(path, what="psm match", on_wait=told.append, sleep=sleep):
            assert not is_free(path)
    assert pauses == [0.1, 0.1, 0.1]
    assert len(told) == 1
    assert told[0].startswith(f"psm scan, process {holder.pid}, since ")


def test_a_stop_ends_the_waiting(path: Path) -> None:
    stop = threading.Event()
    with hold(path, what="psm scan"):
        with (
            pytest.raises(Interrupted, match="waiting for psm scan") as caught,
            hold(path, what="psm match", stop=stop, sleep=lambda _: stop.set()),
        ):
            pass
        assert caught.value.exit_code == ExitCode.INTERRUPTED
        assert not is_free(path)


def test_waiting_has_an_end_when_it_is_given_one(path: Path) -> None:
    pauses: list[float] = []
    with (
        hold(path, what="psm scan"),
        pytest.raises(LockHeld, match="psm scan"),
        hold(path, what="psm match", timeout_s=1.0, sleep=pauses.append),
    ):
        pass
    assert sum(pauses) == pytest.approx(1.0)


def test_the_lock_is_released_when_the_block_raises(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold(path, what="psm scan"):
        raise ZeroDivisionError
    assert is_free(path)


def test_a_program_that_is_started_does_not_inherit_the_lock(path: Path) -> None:
    with hold(path, what="psm scan"):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    with child:
        assert is_free(path)
        child.kill()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_neither_keeps_the_lock_nor_gives_it_up(path: Path) -> None:
    """In a process of its own, because pytest's has threads."""
    program = HOLDER.replace(
        '    print("held", flush=True)\n',
        """    import os, time
    reader, writer = os.pipe()
    leaving = os.fork()
    if leaving == 0:
        sys.exit(0)  # runs the end of the block, with its parent's lock in hand
    os.waitpid(leaving, 0)
    staying = os.fork()
    if staying == 0:
        os.close(writer)
        os.read(reader, 1)  # lives as long as the parent
        os.write(1, b"child went\\n")
        time.sleep(60)
    print("held", flush=True)
    print(staying, flush=True)
""",
    )
    with another_process(path, program) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        try:
            assert f"process {holder.pid}," in refused(path)
            holder.kill()
            holder.wait()
            assert holder.stdout.readline() == "child went\n"
            assert is_free(path)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\x00\xff", b"{", b"[]", b"3", b'{"what": "x"}', b"[" * 100_000),
        b'{"what": "x", "pid": 1, "host": "h", "since": 5}',
        b'{"what": "x", "pid": 1, "host": "h", "since": "soon"}',
        b'{"what": "x", "pid": {}, "host": "h", "since": "2025-10-08"}',
        b'{"what": "\\u001b[2J", "pid": 1, "host": "h", "since": "2025-10-08"}',
        b'{"what": "x", "pid": 1e999, "host": "h", "since": "2025-10-08"}',
    ],
)
def test_a_description_that_makes_no_sense_is_another_process(path: Path, content: bytes) -> None:
    with hold(path, what="psm scan"):
        path.write_bytes(content)
        assert refused(path).startswith("Another psm is at work: another process. ")


@pytest.mark.parametrize(
    ("age", "shown"), [(timedelta(minutes=5), "since 12:25"), (timedelta(days=2), "since 2025-10-06 12:30")]
)
def test_the_time_has_its_day_unless_that_is_today(path: Path, age: timedelta, shown: str) -> None:
    now = datetime(2025, 10, 8, 12, 30)
    with (
        hold(path, what="psm scan", now=lambda: now - age),
        pytest.raises(LockHeld, match=shown),
        hold(path, what="psm match", wait=False, now=lambda: now),
    ):
        pass


def test_a_holder_on_another_machine_is_named_with_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hold(path, what="psm scan"):
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
        told = refused(path)
    assert f"psm scan, process {os.getpid()} on " in told


def test_a_lock_file_that_is_deleted_while_it_is_opened_is_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = locks._lock
    seen: list[int] = []

    def lock(file: int) -> bool:
        if not seen:
            seen.append(file)
            path.unlink()
        return real(file)

    monkeypatch.setattr(locks, "_lock", lock)
    with hold(path, what="psm scan"):
        assert json.loads(path.read_bytes())["what"] == "psm scan"
        assert not is_free(path)


def test_what_is_no_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "link").symlink_to(precious)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "folder", "fifo"):
        with pytest.raises(PsmError, match="lock file") as caught, hold(tmp_path / name, what="psm scan"):
            pass
        assert str(tmp_path / name) in str(caught.value)
    assert precious.read_text() == "precious"


def test_a_file_system_without_locks_is_an_error_that_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lock(_: int) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_lock", lock)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(PsmError, match=r"cannot lock files \(No locks available\)"), hold(path, what="psm scan"):
        pass
    assert os.listdir("/proc/self/fd") == before


def test_on_a_full_disk_the_lock_holds_without_its_description(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_: int, __: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(locks, "_replace", write)
    with hold(path, what="psm scan"):
        assert "another process" in refused(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_may_not_be_written_is_an_error_that_says_what_to_do() -> None:
    program = "import os, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n" + HOLDER
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", f"import psm.locks\n{program}", f"{folder}/scan.lock"],
            capture_output=True,
            text=True,
            check=False,
            env=ENVIRONMENT,
        )
    assert f"PsmError: Cannot write the lock file {folder}/scan.lock: Permission denied. Mend" in done.stderr


def test_a_look_tells_who_holds_the_lock_and_changes_nothing(path: Path) -> None:
    assert held_by(path) is None
    assert not path.parent.exists()
    with another_process(path) as holder:
        assert (held_by(path) or "").startswith(f"psm scan, process {holder.pid}, since ")
        holder.kill()
        holder.wait()
        assert held_by(path) is None
    with hold(path, what="psm match"):
        before = path.read_bytes()
        assert (held_by(path) or "").startswith(f"psm match, process {os.getpid()}, since ")
        assert path.read_bytes() == before
        assert not is_free(path)
    assert held_by(path) is None


def test_a_look_leaves_nothing_open(path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with hold(path, what="psm scan"):
        held_by(path)
    held_by(path)
    assert os.listdir("/proc/self/fd") == before


def test_two_that_look_at_once_see_no_holder(path: Path) -> None:
    with hold(path, what="psm scan"):
        pass
    file = os.open(path, os.O_RDONLY)
    try:
        assert locks._lock_shared(file)
        assert held_by(path) is None
    finally:
        os.close(file)


def test_who_does_not_wait_is_not_kept_out_by_somebody_who_looks(path: Path) -> None:
    with hold(path, what="psm scan"):
        pass
    looking = os.open(path, os.O_RDONLY)
    assert locks._lock_shared(looking)
    with hold(path, what="psm scan --watch", wait=False, sleep=lambda _: os.close(looking)):
        assert "psm scan --watch" in (held_by(path) or "")


def test_a_look_at_what_is_no_lock_file_finds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    (tmp_path / "file").touch()
    assert [held_by(tmp_path / name) for name in ("folder", "fifo", "link", "file", "file/below")] == [None] * 5

    def no_locks(_: int) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_lock_shared", no_locks)
    assert held_by(tmp_path / "file") is None
