"""Where the files that playlists name really are: behind symbolic links, and in libraries that have moved since.

A library's files are known by their real path. A playlist may name one by a way through links (``~/Music`` leads to
``/mnt/nas/music``), or by the folder in which the library was before ``psm library move``.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from psm.abandon import abandonable
from psm.db.library_roots import FormerRoot
from psm.models import PlaylistEntry, SourcePlaylist
from psm.progress import StopSignal

PATIENCE_S = 5.0
"""How long one folder may take to say whether it is a link, before no more are asked: its drive is dead."""
_MOST_WAYS = 4  # to one folder: a link in a link in a link


class Places:
    """Finds the real places of entries; folders are asked once. Belongs to one thread."""

    def __init__(
        self,
        former: Sequence[FormerRoot],
        stop: StopSignal,
        *,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._former = former
        self._stop = stop
        self._patience_s = patience_s
        self._clock = clock
        self._ways: dict[bytes, tuple[bytes, ...]] = {}
        self._asked: dict[bytes, tuple[bytes, ...]] = {}
        self._given_up = False

    def resolve(self, playlist: SourcePlaylist) -> SourcePlaylist:
        """The playlist with what is found as ``resolved`` of its entries; what is not asked in time is left out."""
        named = {os.path.dirname(path) for entry in playlist.entries for path in entry.locations}
        self._ask([folder for folder in sorted(named) if folder not in self._ways])
        return replace(playlist, entries=tuple(map(self._resolved, playlist.entries)))

    def _resolved(self, entry: PlaylistEntry) -> PlaylistEntry:
        real = [
            os.path.join(way, os.path.basename(path))
            for path in entry.locations
            for way in self._ways.get(os.path.dirname(path), ())
        ]
        moved = [
            root.now + path[len(root.before) :]
            for path in (*entry.locations, *real)
            for root in self._former
            if path.startswith(root.before + b"/")
        ]
        more = [path for path in dict.fromkeys((*real, *moved)) if path not in entry.locations]
        return replace(entry, resolved=tuple(more)) if more else entry

    def _ask(self, folders: Sequence[bytes]) -> None:
        if not folders or self._given_up:
            return
        patience = _Patience(self._stop, self._clock, self._patience_s)
        answered = 0
        for folder, ways in abandonable(self._answers(folders), stop=patience):
            self._ways[folder] = ways
            patience.renew()
            answered += 1
        self._given_up = answered < len(folders)

    def _answers(self, folders: Iterable[bytes]) -> Iterator[tuple[bytes, tuple[bytes, ...]]]:
        """The ways to each folder, its own name first. Runs in a thread that is left behind when a drive hangs."""
        for folder in folders:
            unknown = []
            above = folder
            while above not in self._asked and above != os.path.dirname(above):
                unknown.append(above)
                above = os.path.dirname(above)
            ways = self._asked.get(above, (above,))
            for below in reversed(unknown):
                ways = self._asked[below] = _ways_into(ways, os.path.basename(below))
            yield folder, ways


def _ways_into(above: tuple[bytes, ...], name: bytes) -> tuple[bytes, ...]:
    """The ways to a folder from those to the folder above it, whose last one is real. The last one is real again."""
    ways = [os.path.join(way, name) for way in above]
    # One question per folder: what is above is real already.
    if os.path.islink(ways[-1]):
        ways = [*ways[: _MOST_WAYS - 1], os.path.realpath(ways[-1])]
    return tuple(dict.fromkeys(ways))


class _Patience:
    """A stop signal that sets itself when no answer came for a while."""

    def __init__(self, stop: StopSignal, clock: Callable[[], float], patience_s: float) -> None:
        self._stop = stop
        self._clock = clock
        self._patience_s = patience_s
        self.renew()

    def renew(self) -> None:
        self._until = self._clock() + self._patience_s

    def is_set(self) -> bool:
        return self._stop.is_set() or self._clock() >= self._until
