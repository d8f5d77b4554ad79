"""What a running watcher says of itself: a small file beside the database, for ``psm status`` and ``psm doctor``.

The watcher writes it, others read it. It counts only while the watcher's lock is held: one that was killed leaves the
file behind.
"""

import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from psm.db import Database
from psm.locks import held_by
from psm.models import Library

MARKER_PREFIX = b".psm-watch-"
MARKER_SUFFIX = b".tmp"
"""How the name of a file begins and ends that somebody writes into a library to see whether its watcher notices."""

_MAX_BYTES = 1_000_000


class RootMode(StrEnum):
    """How the changes in a library are learned. OFFLINE: its folder is not there, and waited for."""

    STARTING = "starting"
    EVENTS = "events"
    POLLING = "polling"
    BOTH = "events and polling"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class WatcherStatus:
    """What the watcher of one library does. Times are seconds since the epoch.

    ``what`` is the command ("psm build --watch"), ``reason`` a sentence that says why it polls or is offline (empty for
    events alone). ``folders`` are those with a watch of their own; ``pending`` the changes that are not in the
    database yet; ``next_pass_at`` when all is looked at again; ``errors`` the last ones, each with its time in front.
    ``marker`` is the name of the last marker file that it saw, at ``marker_seen_at``.
    """

    library: str
    root: bytes
    what: str
    pid: int
    started_at: float
    ready: bool = False
    mode: RootMode = RootMode.STARTING
    reason: str = ""
    folders: int = 0
    pending: int = 0
    last_change_at: float | None = None
    last_reconcile_at: float | None = None
    next_pass_at: float | None = None
    restarts: int = 0
    errors: tuple[str, ...] = ()
    marker: str | None = None
    marker_seen_at: float | None = None


@dataclass(frozen=True, slots=True)
class Watcher:
    """A running watcher. ``holder`` names it ("psm build --watch, process 123, since 12:30").

    ``status`` is None as long as it has said nothing that can be understood.
    """

    holder: str
    status: WatcherStatus | None


def watcher_of(db: Database, library: Library) -> Watcher | None:
    """The watcher that runs for a library, None when none does."""
    holder = held_by(db.watch_lock(library.id))
    if holder is None:
        return None
    status = read(db.watch_status(library.id))
    # One that was killed has left its words behind, and the next one may not have spoken yet.
    speaks = status is not None and re.search(rf", process {status.pid}\b", holder) is not None
    return Watcher(holder, status if speaks else None)


def write(path: Path, status: WatcherStatus) -> None:
    """Makes the file hold ``status``. Whoever reads it sees the old one or the new one.

    It is not flushed to the disk: after a power cut nothing in it is true any more. Raises OSError.
    """
    content = json.dumps({**asdict(status), "root": os.fsdecode(status.root)}).encode("ascii")
    temporary = path.with_name(path.name + ".tmp")  # one name is enough: only who holds the lock writes
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def read(path: Path) -> WatcherStatus | None:
    """What the file says; None when it is not there or cannot be understood (another version of psm wrote it)."""
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(_MAX_BYTES))
        return WatcherStatus(
            library=_text(said["library"]),
            root=os.fsencode(_text(said["root"])),
            what=_text(said["what"]),
            pid=_count(said["pid"]),
            started_at=_moment(said["started_at"]),
            ready=said["ready"] is True,
            mode=RootMode(said["mode"]),
            reason=_text(said["reason"]),
            folders=_count(said["folders"]),
            pending=_count(said["pending"]),
            last_change_at=_moment_or_none(said["last_change_at"]),
            last_reconcile_at=_moment_or_none(said["last_reconcile_at"]),
            next_pass_at=_moment_or_none(said["next_pass_at"]),
            restarts=_count(said["restarts"]),
            errors=tuple(_text(error) for error in said["errors"]),
            marker=None if said["marker"] is None else _text(said["marker"]),
            marker_seen_at=_moment_or_none(said["marker_seen_at"]),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def forget(path: Path) -> None:
    """Removes the file: when a watcher ends, and when its library is no more."""
    with suppress(OSError):
        path.unlink()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _moment(value: object) -> float:
    # As far as a date can be made of it everywhere.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 32_000_000_000:
        raise TypeError
    return float(value)


def _moment_or_none(value: object) -> float | None:
    return None if value is None else _moment(value)
