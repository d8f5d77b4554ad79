"""``psm status``: what the database holds, who watches it, and how much of the playlists is found."""

import json
from dataclasses import dataclass

from psm.db import Database, libraries
from psm.db.coverage import Coverage, coverage
from psm.services.libraries import LibraryState, list_libraries
from psm.services.watch_status import Watcher, watcher_of


@dataclass(frozen=True, slots=True)
class LastScan:
    """When a library was scanned last, in seconds since the epoch; ``complete`` tells whether all was looked at."""

    mode: str
    at: float
    complete: bool


@dataclass(frozen=True, slots=True)
class LibraryStatus:
    """A library, its counts, its last scan, and the watcher that runs for it."""

    state: LibraryState
    last_scan: LastScan | None
    watcher: Watcher | None


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at a glance."""

    libraries: tuple[LibraryStatus, ...]
    playlists: tuple[Coverage, ...]


def status(db: Database) -> Status:
    """What psm knows, without looking at the disk more than it must."""
    with db.snapshot() as connection:
        states = list_libraries(db)
        scans = {s.library.id: libraries.last_scan(connection, s.library.id) for s in states}
        found = coverage(connection)
    return Status(
        tuple(LibraryStatus(s, _last_scan(scans[s.library.id]), watcher_of(db, s.library)) for s in states), found
    )


def _last_scan(record: str | None) -> LastScan | None:
    return None if record is None else LastScan(**json.loads(record))
