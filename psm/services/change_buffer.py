"""The paths that changed and wait for a scan: pure, with the clock passed in.

A path is due when nothing was heard of it for the quiet time, and at the latest when the longest wait is over since
it was first heard of, so that a busy file cannot starve itself and a busy neighbour nobody. For example, with 2 s of
quiet and 30 s at most::

    t=0  note(b"a.mp3")      due at 2
    t=1  note(b"a.mp3")      due at 3
    t=3  take()              gives a.mp3, which is now in flight
    t=4  note(b"a.mp3")      waits again, due at 6: what is in flight may have been read too early
    t=5  done()              a.mp3 of t=0 is forgotten; that of t=4 is not

Nothing leaves the buffer but by ``done``, which its owner calls after a scan that succeeded. Its size is bounded: many
paths directly in one folder become that folder, and too many altogether become the root. A folder stands for all that
is below it.

What was renamed is two paths, and the old one is never taken without the new one: alone it would look deleted. The new
one may be taken alone, because a scan looks where the rows of what it finds were.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from psm.ingest.ignore import parents

FILES_PER_FOLDER = 64
MOST = 2_000


@dataclass(slots=True)
class _Waiting:
    """When a path was first and last heard of, and before when it is not due, in seconds of the owner's clock."""

    first: float
    last: float
    not_before: float = 0.0


class ChangeBuffer:
    """What waits below one root. Paths are relative to it, parts joined by ``/``; ``b""`` is the root itself."""

    def __init__(
        self, *, quiet_s: float, longest_s: float, files_per_folder: int = FILES_PER_FOLDER, most: int = MOST
    ) -> None:
        self._quiet_s = quiet_s
        self._longest_s = max(longest_s, quiet_s)
        self._files_per_folder = files_per_folder
        self._most = most
        self._waiting: dict[bytes, _Waiting] = {}
        self._in_flight: dict[bytes, _Waiting] = {}
        self._held: dict[bytes, int] = {}
        """By folder, how many of the waiting paths lie directly in it."""
        self._moves: dict[tuple[bytes, bytes], None] = {}
        """Which waiting path, or one below it, became which other."""

    def __len__(self) -> int:
        """How many paths wait or are in flight."""
        return len(self._waiting) + len(self._in_flight)

    def note(self, path: bytes, now: float, *, not_before: float = 0.0) -> float:
        """A path changed at ``now``. Returns when it is due."""
        name = self._covering(path)
        entry = self._waiting.get(name)
        if entry is None:
            entry = self._add(path, _Waiting(now, now, not_before))
        else:
            entry.first = min(entry.first, now)
            entry.last = max(entry.last, now)
            # A change says that it may be worth a look again, however often it failed before; and a look that is meant
            # for later does not hold up what has changed.
            entry.not_before = min(entry.not_before, not_before)
        return self._due_at(entry)

    def moved(self, source: bytes, target: bytes) -> None:
        """What was at ``source`` is at ``target`` now. Both were noted before, if they matter."""
        move = self._covering(source), self._covering(target)
        if move[0] == move[1] or any(path not in self._waiting for path in move):
            return
        self._moves[move] = None
        if len(self._moves) > self._most:
            del self._moves[next(iter(self._moves))]

    def next_due(self) -> float | None:
        """When the first path is due; None when nothing waits."""
        return min((self._due_at(entry) for entry in self._waiting.values()), default=None)

    def take(self, now: float) -> tuple[bytes, ...]:
        """The paths that are due, sorted. They are in flight until ``done`` or ``put_back``."""
        due = [path for path, entry in self._waiting.items() if self._due_at(entry) <= now]
        return self._take(self._with_targets(due, now) if due and self._moves else due)

    def take_all(self) -> tuple[bytes, ...]:
        """All paths, due or not: for the last scan before the end, and the one that looks at everything."""
        self._moves.clear()
        return self._take(list(self._waiting))

    def done(self, paths: Iterable[bytes] | None = None) -> None:
        """A scan has taken in what is in flight (or just these of it): it is forgotten."""
        for path in list(self._in_flight if paths is None else paths):
            self._in_flight.pop(path, None)

    def put_back(self, paths: Iterable[bytes] | None = None, *, not_before: float) -> None:
        """A scan failed: what is in flight (or just these of it) waits again, and is not due before ``not_before``."""
        for path in list(self._in_flight if paths is None else paths):
            entry = self._in_flight.pop(path, None)
            if entry is None:
                continue
            # One that changed once more meanwhile, or whose folder did, is due as that says.
            if self._covering(path) not in self._waiting:
                # It had its turn, so its longest wait is not over already at the next change of it.
                self._add(path, _Waiting(max(entry.first, not_before), entry.last, not_before))

    def _due_at(self, entry: _Waiting) -> float:
        return max(entry.not_before, min(entry.last + self._quiet_s, entry.first + self._longest_s))

    def _with_targets(self, due: list[bytes], now: float) -> list[bytes]:
        """The paths, and what they became, and what that became."""
        became: dict[bytes, list[bytes]] = {}
        for source, target in self._moves:
            became.setdefault(self._covering(source), []).append(self._covering(target))
        taken = dict.fromkeys(due)
        todo = list(due)
        while todo:
            for target in became.get(todo.pop(), ()):
                entry = self._waiting.get(target)
                if entry is not None and entry.not_before <= now and target not in taken:
                    taken[target] = None
                    todo.append(target)
        self._moves = {move: None for move in self._moves if self._covering(move[0]) not in taken}
        return list(taken)

    def _take(self, paths: list[bytes]) -> tuple[bytes, ...]:
        for path in paths:
            self._in_flight[path] = self._remove(path)
        return tuple(sorted(paths))

    def _covering(self, path: bytes) -> bytes:
        """The waiting folder above ``path`` that stands for it, or the path itself."""
        if b"" in self._waiting:
            return b""
        return next((folder for folder in parents(path) if folder in self._waiting), path)

    def _add(self, path: bytes, entry: _Waiting) -> _Waiting:
        """Enters a path that no waiting folder stands for, and lets it stand for what lies below it."""
        inside = path + b"/" if path else b""
        if any(folder == path or folder.startswith(inside) for folder in self._held):
            for below in [p for p in self._waiting if p.startswith(inside)]:
                entry = _merged(entry, self._remove(below))
        self._waiting[path] = entry
        folder = _folder_of(path)
        if folder is None:
            return entry
        self._held[folder] = self._held.get(folder, 0) + 1
        if self._held[folder] > self._files_per_folder:
            return self._add(folder, _Waiting(entry.first, entry.last, entry.not_before))
        if len(self._waiting) > self._most:
            return self._add(b"", _Waiting(entry.first, entry.last, entry.not_before))
        return entry

    def _remove(self, path: bytes) -> _Waiting:
        folder = _folder_of(path)
        if folder is not None:
            self._held[folder] -= 1
            if not self._held[folder]:
                del self._held[folder]
        return self._waiting.pop(path)


def _merged(one: _Waiting, other: _Waiting) -> _Waiting:
    """For a folder and what lay below it: the longest wait counts from the first that was heard of any."""
    return _Waiting(min(one.first, other.first), max(one.last, other.last), min(one.not_before, other.not_before))


def _folder_of(path: bytes) -> bytes | None:
    """The folder that a path lies in; None for the root."""
    return path.rpartition(b"/")[0] if path else None
