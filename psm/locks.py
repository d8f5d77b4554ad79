"""Advisory file locks, held for the length of one scan, match or export, or for a watcher's life.

The system holds the lock, on an open file: it goes with the process, however that ends, so a stale lock cannot exist.
The file itself stays for ever (to delete it would let two processes lock two files of one name) and says in one line of
JSON who holds the lock, for those who wait.

Our own lines instead of filelock: who holds the lock would have to be written past it (its file is its own affair), and
it adds 6 MB and 16 ms to a watcher that has 50 MB in all.
"""

import errno
import json
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from psm.errors import Interrupted, PsmError
from psm.progress import NeverStop, StopSignal

_POLL_S = 0.1
_GLANCE_S = 0.1
"""How long a lock may be taken without being held: somebody looks (:func:`held_by`)."""
_TEXT_MAX_BYTES = 4096
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class LockHeld(PsmError):  # noqa: N818  (a state of the world, not a defect)
    """Another scan, match or export is at work; the message names it."""


@contextmanager
def hold(
    path: Path,
    *,
    what: str,
    wait: bool = True,
    on_wait: Callable[[str], None] | None = None,
    stop: StopSignal = NeverStop(),
    sleep: Callable[[float], None] = time.sleep,
    timeout_s: float | None = None,
    now: Callable[[], datetime] = datetime.now,
) -> Iterator[None]:
    """Holds the lock at ``path`` while the block runs, also against the other threads of this process.

    ``what`` tells others who holds it ("psm scan"). While it waits, ``on_wait`` is called once with who holds it now
    ("psm scan, process 123, since 12:30").

    :raises LockHeld: when another holds it: at once with ``wait=False``, else after ``timeout_s`` (None: never).
    :raises Interrupted: when ``stop`` is set while waiting.
    :raises PsmError: when the lock file cannot be written, or its file system has no locks.
    """
    pauses = 0
    patience_s = timeout_s if wait else _GLANCE_S
    while (file := _take(path)) is None:
        holder = _holder(path, now())
        if patience_s is not None and pauses * _POLL_S >= patience_s:
            raise LockHeld(f"Another psm is at work: {holder}. Try again when it is done, or end it.")
        if wait and on_wait is not None:
            on_wait(holder)
            on_wait = None
        if wait and stop.is_set():
            raise Interrupted(f"Stopped while waiting for {holder}. Nothing was changed.")
        sleep(_POLL_S)
        pauses += 1
    try:
        _describe(file, what, now())
        yield
    finally:
        _release(file)


def held_by(path: Path, *, now: Callable[[], datetime] = datetime.now) -> str | None:
    """Who holds the lock at ``path`` ("psm scan, process 123, since 12:30"); None when nobody does.

    Does not wait, and makes no file. A lock file that cannot be read counts as free.
    """
    with _guard:
        try:
            file = os.open(path, os.O_RDONLY | _SAFELY)
        except OSError:
            return None
        try:
            # Shared, so that two who look do not take each other for holders.
            if not stat.S_ISREG(os.fstat(file).st_mode) or _lock_shared(file):
                return None
        except OSError:  # a file system without locks
            return None
        finally:
            os.close(file)
    return _holder(path, now())


def _take(path: Path) -> int | None:
    """Opens and locks the file; None when another has it."""
    while True:
        # Nobody forks between the opening and the entry in _held: the child would keep the lock.
        with _guard:
            file = _open(path)
            try:
                locked = _lock(file)
            except OSError as e:
                os.close(file)
                raise PsmError(
                    f"The file system of {path} cannot lock files ({e.strerror}). "
                    "Set database.path to a folder on a local disk."
                ) from e
            if not locked:
                os.close(file)
                return None
            _held.add(file)
        if _is_still_at(path, file):
            return file
        _release(file)  # somebody deleted it meanwhile: locked is a file that nobody else will find


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o666)
    except OSError as e:
        raise PsmError(
            f"Cannot write the lock file {path}: {e.strerror}. "
            "Mend the permissions of its folder, or set database.path to a place you can write to."
        ) from e
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise PsmError(f"The lock file {path} is not a file. Move away what lies there.")


def _is_still_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except OSError:
        return False


def _describe(file: int, what: str, at: datetime) -> None:
    holder = {"what": what, "pid": os.getpid(), "since": at.astimezone().isoformat(), "host": socket.gethostname()}
    with suppress(OSError):  # on a full disk the lock holds without its description
        _replace(file, json.dumps(holder).encode() + b"\n")


def _replace(file: int, content: bytes) -> None:
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, content)


def _holder(path: Path, now: datetime) -> str:
    """Who holds the lock, as far as the file tells: it may be empty for a moment, or hold anything."""
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(_TEXT_MAX_BYTES))
        what, pid, host = str(told["what"])[:80], int(told["pid"]), str(told["host"])[:80]
        since = datetime.fromisoformat(told["since"]).astimezone()
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return "another process"
    time_text = since.strftime("%H:%M" if since.date() == now.astimezone().date() else "%Y-%m-%d %H:%M")
    place = "" if host == socket.gethostname() else f" on {host}"
    text = f"{what}, process {pid}{place}, since {time_text}"
    return text if text.isprintable() else "another process"


def _release(file: int) -> None:
    with _guard:
        if file not in _held:  # a forked child has closed its copy; the lock is its parent's
            return
        _held.discard(file)
        try:
            with suppress(OSError):
                os.ftruncate(file, 0)
            with suppress(OSError):
                _unlock(file)
        finally:
            os.close(file)


_held: set[int] = set()
"""The locked files of this process."""

_guard = threading.RLock()


def _after_fork_in_child() -> None:
    """A child has a copy of every open file, and with it would keep the lock when its parent ends."""
    for file in _held:
        os.close(file)
    _held.clear()
    _guard.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_after_fork_in_child)


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    # Windows forbids others to read what is locked, so a byte far behind the text is.
    _FAR = 0x7FFF_FFFE

    def _lock(file: int) -> bool:
        return _far(file, msvcrt.LK_NBLCK)

    def _lock_shared(file: int) -> bool:
        return _lock(file)  # there is no other kind; it goes with the closing of the file

    def _unlock(file: int) -> None:
        _far(file, msvcrt.LK_UNLCK)

    def _far(file: int, mode: int) -> bool:
        os.lseek(file, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file, mode, 1)
        except OSError as e:
            if e.errno in _BUSY:
                return False
            raise
        return True

else:
    import fcntl

    def _lock(file: int) -> bool:
        return _flock(file, fcntl.LOCK_EX)

    def _lock_shared(file: int) -> bool:
        return _flock(file, fcntl.LOCK_SH)

    def _flock(file: int, kind: int) -> bool:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except OSError as e:
            if e.errno in _BUSY:
                return False
            raise
        return True

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
