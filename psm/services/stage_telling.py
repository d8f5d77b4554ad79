"""Tells whoever listens what came of the stages: each playlist that changed, and each trouble once."""

import logging
from collections.abc import Callable, Mapping

from psm.services.stage_news import StagesNews
from psm.services.stages import Stage
from psm.services.watch_events import WatchEvent, WatchEventKind

logger = logging.getLogger(__name__)

_NOTES_KEPT = 200

Problems = Mapping[Stage | None, frozenset[str]]
"""Sentences by stage; None stands for the following itself."""


class StageTelling:
    """Makes events of news. ``wall`` gives seconds since the epoch."""

    def __init__(self, on_event: Callable[[WatchEvent], None], *, wall: Callable[[], float]) -> None:
        self._on_event = on_event
        self._wall = wall
        self._problems: dict[Stage | None, frozenset[str]] = {}
        self._notes: dict[str, None] = {}

    def tell(self, news: StagesNews) -> None:
        """Says what was done, and which playlists changed; a note only when it was not said lately."""
        if news.ran:
            self.say(WatchEventKind.STAGES, news.summary, stages=news.ran)
        for playlist in news.playlists:
            self.say(WatchEventKind.PLAYLIST, playlist.text, playlist=playlist.name)
        for note in news.notes:
            if note not in self._notes:
                self.say(WatchEventKind.NOTE, note)
            self._notes.pop(note, None)
            self._notes[note] = None
        while len(self._notes) > _NOTES_KEPT:
            del self._notes[next(iter(self._notes))]

    def tell_problems(self, problems: Problems) -> None:
        """Says what is new about what could not be done, and when it can be done again."""
        known = frozenset[str]().union(*self._problems.values())
        for text in sorted(frozenset[str]().union(*problems.values()) - known):
            self.say(WatchEventKind.ERROR, text)
        for stage, texts in problems.items():
            if self._problems.get(stage) and not texts:
                self.say(WatchEventKind.NOTE, f"{(stage or 'following').capitalize()} works again.")
            self._problems[stage] = texts

    def say(
        self, kind: WatchEventKind, text: str, *, playlist: str | None = None, stages: tuple[Stage, ...] = ()
    ) -> None:
        """Gives one event to whoever listens. What that raises is logged."""
        names = tuple(stage.value for stage in stages)
        try:
            self._on_event(WatchEvent(kind, text, self._wall(), playlist=playlist, stages=names))
        except Exception:  # foreign code
            logger.exception("whoever listens to the stages failed")
