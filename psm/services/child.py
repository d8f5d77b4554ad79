"""Runs a piece of work in a process of its own, so that a process that watches for weeks stays as small as it began.

What a stage loads (string distances, the template engine, tens of thousands of rows) goes with the child; Python gives
little of it back while a process lives. Our own lines instead of multiprocessing, whose resource tracker is one more
process that stays for ever.

The parent writes one request to the child's stdin and leaves it open. The child answers on its stdout with progress,
and at last with what the task returned or raised. When stdin closes, the child is to stop: because its parent was told
to, or because it is gone.
"""

import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import IO, Any, TypeVar

from psm import __version__
from psm.db import Database, DatabaseError, explained
from psm.errors import Interrupted, PsmError
from psm.progress import NeverStop, Progress, ProgressCallback, StopSignal, no_progress

END_WITHIN_S = 3.0
"""How long a child may take to end once it was told to stop, or has answered; then it is killed."""

_POLL_S = 0.1
_STDERR = 2
# -P: the folder that psm was started in is no place to import from. The parent's own places are told instead.
_START = "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); from psm.services.child import main; main()"

T = TypeVar("T")


def run_in_child(
    task: Callable[..., T],
    db: Database,
    *args: Any,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    end_within_s: float = END_WITHIN_S,
    **kwargs: Any,
) -> T:
    """Calls ``task(db, *args, progress=…, stop=…, **kwargs)`` in a new process, and returns what it returned.

    ``task`` is a function that can be imported by its name; arguments, progress and result are pickled, so whatever
    module their types are in is loaded here too. The child opens the database by itself. What the task raises is
    raised here. ``stop`` is passed on; a child that has not ended ``end_within_s`` later is killed.

    :raises PsmError: when the process cannot be started, or dies.
    :raises Interrupted: when it had to be killed after ``stop``.
    """
    logs = logging.getLogger()
    request = pickle.dumps(sys.path) + pickle.dumps(
        _Request(
            version=__version__,
            task=task,
            database=db.path,
            wal=db.wal,
            args=args,
            kwargs=kwargs,
            wants_progress=progress is not no_progress,
            log_level=logs.level if logs.handlers else None,
        )
    )
    with _Child(task.__name__, end_within_s=end_within_s) as child:
        child.ask(request)
        told_at: float | None = None
        while True:
            if told_at is None and stop.is_set():
                child.tell_to_stop()
                told_at = time.monotonic()
            answer = child.next_answer(timeout_s=_POLL_S)
            if answer is None:
                if told_at is not None and time.monotonic() - told_at >= end_within_s:
                    raise Interrupted(f"{task.__name__} did not stop within {end_within_s:g} s and was ended.")
                continue
            kind, value = answer
            if kind is _Kind.PROGRESS:
                progress(value)
            elif kind is _Kind.DONE:
                result: T = value
                return result
            elif kind is _Kind.RAISED:
                raise value
            else:
                raise PsmError(
                    f"The process that did the work ({task.__name__}) ended early: {child.how_it_ended()}. "
                    "What it had done is kept; the rest is done by the next run."
                )


@dataclass(frozen=True, slots=True)
class _Request:
    """What the child is to do. ``log_level`` is None when nobody reads this process's log."""

    version: str
    task: Callable[..., Any]
    database: Path
    wal: bool
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    wants_progress: bool
    log_level: int | None


class _Kind(Enum):
    """What an answer is. ENDED is no answer of the child: there will be none any more."""

    PROGRESS = auto()
    DONE = auto()
    RAISED = auto()
    ENDED = auto()


_Answer = tuple[_Kind, Any]


class _Child:
    """The process as its parent sees it; at the end of the block it has ended, and its pipes are closed."""

    def __init__(self, name: str, *, end_within_s: float) -> None:
        self._end_within_s = end_within_s
        self._has_answered = False
        self._answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        try:
            # The last words are for whoever looks at a list of processes. A session of its own: Ctrl-C in the terminal
            # is its parent's to hear.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, "psm", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as e:
            raise PsmError(
                f"Cannot start a process ({sys.executable}): {e.strerror}. When Python or psm was updated or moved, "
                "start psm again; otherwise the system may be out of memory or processes."
            ) from e
        self._reader = threading.Thread(target=self._read, name="psm-child", daemon=True)
        self._reader.start()

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.tell_to_stop()
        try:
            self._process.wait(self._end_within_s if self._has_answered else 0)
        except subprocess.TimeoutExpired:
            self._kill()
        self._reader.join(self._end_within_s)
        if not self._reader.is_alive():
            self._out.close()

    def ask(self, request: bytes) -> None:
        """Writes the request. A child that died at once is found out about when its answer is read."""
        with suppress(BrokenPipeError):
            self._in.write(request)
            self._in.flush()

    def tell_to_stop(self) -> None:
        """Closes the child's stdin."""
        with suppress(OSError):
            self._in.close()

    def next_answer(self, *, timeout_s: float) -> _Answer | None:
        """What the child says next, None when it says nothing for ``timeout_s``."""
        try:
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._has_answered = answer[0] is not _Kind.PROGRESS
        return answer

    def how_it_ended(self) -> str:
        """The reason of its end, as far as the system tells."""
        try:
            code = self._process.wait(self._end_within_s)
        except subprocess.TimeoutExpired:
            return "it stopped answering"
        if code >= 0:
            return f"exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"{name}, for lack of memory perhaps" if name == "SIGKILL" else name

    @property
    def _in(self) -> IO[bytes]:
        assert self._process.stdin is not None  # noqa: S101  (both are pipes)
        return self._process.stdin

    @property
    def _out(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101
        return self._process.stdout

    def _read(self) -> None:
        """Runs in a thread: not every system can wait for a pipe and look at a stop signal in between."""
        while True:
            try:
                answer = pickle.load(self._out)  # noqa: S301  (our own child's)
            except Exception as e:  # a thread boundary: the pipe ended, in the middle of an answer perhaps
                if not isinstance(e, EOFError):
                    logging.getLogger(__name__).info("a child process gave no whole answer", exc_info=True)
                self._answers.put((_Kind.ENDED, None))
                return
            self._answers.put(answer)

    def _kill(self) -> None:
        """Ends the process and those that it started."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        try:
            self._process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            # It hangs on a dead network drive, and the system lets go of it only when that answers.
            threading.Thread(target=self._process.wait, name="psm-child-end", daemon=True).start()


def main() -> None:
    """The child: does what stdin asks for. Its folders to import from are set."""
    request_in, answers = _take_the_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with answers:
        try:
            request: _Request = pickle.load(sys.stdin.buffer)  # noqa: S301  (our own parent's)
            if request.version != __version__:
                raise PsmError(f"psm was updated from {request.version} to {__version__} meanwhile. Start it again.")
            if request.log_level is not None:
                logging.basicConfig(level=request.log_level)
            threading.Thread(target=_stop_when_closed, args=(request_in, stop), name="psm-parent", daemon=True).start()
            answer = pickle.dumps((_Kind.DONE, _do(request, stop, answers)))
        except BrokenPipeError:  # nobody is there any more to hear of it
            return
        except Exception as e:  # a process boundary: the parent raises it
            answer = pickle.dumps((_Kind.RAISED, _that_can_be_sent(e)))
        with suppress(BrokenPipeError):
            _send(answers, answer)


def _take_the_pipes() -> tuple[int, IO[bytes]]:
    """The pipes to the parent, out of reach of whatever prints to stdout, and of processes that this one starts."""
    try:
        os.write(_STDERR, b"")
    except OSError:  # the parent has none
        nothing = os.open(os.devnull, os.O_WRONLY)
        if nothing != _STDERR:
            os.dup2(nothing, _STDERR)
            os.close(nothing)
    request_in, answers = os.dup(0), os.dup(1)
    os.dup2(_STDERR, 1)
    return request_in, os.fdopen(answers, "wb")


def _stop_when_closed(request_in: int, stop: threading.Event) -> None:
    """Runs in a thread. What hangs for much longer than the parent waits is ended: the parent may be gone."""
    with suppress(OSError):
        while os.read(request_in, 1):
            pass
    stop.set()
    time.sleep(10 * END_WITHIN_S)
    os._exit(1)


def _do(request: _Request, stop: threading.Event, answers: IO[bytes]) -> Any:
    def report(progress: Progress) -> None:
        _send(answers, pickle.dumps((_Kind.PROGRESS, progress)))

    if not request.database.is_file():
        raise DatabaseError(f"The database is not there any more: {request.database}. Put it back, or start psm again.")
    with explained(request.database), Database(request.database, wal=request.wal) as db:
        progress = report if request.wants_progress else no_progress
        return request.task(db, *request.args, progress=progress, stop=stop, **request.kwargs)


def _that_can_be_sent(error: Exception) -> Exception:
    """The error, with what led to it as a note when it is no person's; one that cannot be pickled as its sentence."""
    if not isinstance(error, PsmError):
        import traceback

        error.add_note("In a child process: " + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  (what was pickled a moment ago)
    except Exception:  # a boundary too: errors of libraries have all kinds of signatures
        text = str(error)
        return PsmError(text) if isinstance(error, PsmError) else RuntimeError(f"{type(error).__name__}: {text}")
    return error


def _send(answers: IO[bytes], answer: bytes) -> None:
    answers.write(answer)
    answers.flush()
