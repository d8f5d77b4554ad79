"""What a watcher says: each thing once, to whoever listens, and the last errors for ``psm status``."""

import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime

from psm.ingest.ignore import shown
from psm.ingest.library import ScanResult
from psm.services.watch_events import WatchEvent, WatchEventKind

logger = logging.getLogger(__name__)

_ERRORS_KEPT = 10
_SAID_KEPT = 1_000
_ERRORS_SAID = 100
"""Of one scan, so many errors are told one by one. All of them would not be remembered, and be told at every look."""
_MORE = "more errors"


class WatchLog:
    """Tells events, and remembers what was said: a file that cannot be read is one line, not one a minute.

    What ``on_event`` raises is logged. ``wall`` is in seconds since the epoch.
    """

    def __init__(self, on_event: Callable[[WatchEvent], None], wall: Callable[[], float]) -> None:
        self._on_event = on_event
        self._wall = wall
        self._errors: deque[str] = deque(maxlen=_ERRORS_KEPT)
        self._said: dict[str, str] = {}

    @property
    def errors(self) -> tuple[str, ...]:
        """The last ones, each with its time in front."""
        return tuple(self._errors)

    def clear(self) -> None:
        """Forgets what was said: a new start."""
        self._errors.clear()
        self._said.clear()

    def say(
        self, kind: WatchEventKind, text: str, *, library: str | None = None, scan: ScanResult | None = None
    ) -> None:
        """Tells one event."""
        try:
            self._on_event(WatchEvent(kind, text, self._wall(), library=library, scan=scan))
        except Exception:  # the boundary to foreign code: the watcher lives
            logger.exception("a listener failed")

    def error(self, sentence: str, *, about: str, library: str | None = None) -> None:
        """Tells an error, unless the last one said about the same thing was just this."""
        if self._said.get(about) == sentence:
            return
        self._remember(about, sentence)
        self._errors.append(f"{datetime.fromtimestamp(self._wall()):%Y-%m-%d %H:%M:%S} {sentence}")
        self.say(WatchEventKind.ERROR, sentence, library=library)

    def is_over(self, about: str) -> bool:
        """Whether an error was said about something: it is forgotten, and said again when it comes back."""
        return self._said.pop(about, None) is not None

    def scanned(self, result: ScanResult, *, library: str, whole: bool) -> None:
        """Tells what a scan did, and what is new about what it could not do. ``whole``: it looked at everything."""
        notes = " ".join(result.notes)
        if notes and self._said.get(library) != notes:
            self._remember(library, notes)
            self.say(WatchEventKind.NOTE, notes, library=library)
        elif not notes and whole:
            self._said.pop(library, None)
        unfinished = frozenset(result.unfinished)
        errors = [error for error in result.errors if error.path not in unfinished]
        for error in errors[:_ERRORS_SAID]:
            where = shown(error.path)
            self.error(f"{where}: {error.reason}", about=where)
        if (more := len(errors) - _ERRORS_SAID) > 0:
            self.error(f"{more:,} more could not be read. To see them all: psm scan --quick", about=_MORE)
        elif whole:
            self._said.pop(_MORE, None)
        if result.changed:
            self.say(WatchEventKind.SCANNED, _counts(result), scan=result)

    def _remember(self, about: str, sentence: str) -> None:
        if len(self._said) >= _SAID_KEPT:
            self._said.clear()
        self._said[about] = sentence


def _counts(result: ScanResult) -> str:
    counts = ("added", "updated", "moved", "restored", "missing")
    return ", ".join(f"{n:,} {name}" for name in counts if (n := getattr(result, name)))
