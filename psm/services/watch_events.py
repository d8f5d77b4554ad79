"""What a watcher tells whoever listens: one event per thing that happened, with a sentence for people."""

from dataclasses import dataclass
from enum import StrEnum

from psm.ingest.library import ScanResult


class WatchEventKind(StrEnum):
    """What happened. READY: all that changed before is known, and from now on every change is followed."""

    STARTING = "starting"
    READY = "ready"
    SCANNED = "scanned"
    ROOT = "root"
    """How a library is watched has changed: events, polling, or waiting for its drive."""
    STAGES = "stages"
    PLAYLIST = "playlist"
    NOTE = "note"
    ERROR = "error"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One thing that happened. ``text`` is a sentence; ``at`` is in seconds since the epoch.

    ``library`` and ``playlist`` are names; ``stages`` the names of those that ran; ``scan`` is the result of a scan.
    """

    kind: WatchEventKind
    text: str
    at: float
    library: str | None = None
    playlist: str | None = None
    stages: tuple[str, ...] = ()
    scan: ScanResult | None = None


def ignore_event(_: WatchEvent) -> None:
    """Nobody listens."""
