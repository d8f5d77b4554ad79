"""Which files are still being written, and are left alone until they are whole (rule 6).

Where the system tells of the closing of a file (Linux), one that was written is finished when it was closed. That event
is lost when it came before the watch began, and files that were linked or moved in never have one. So a file of which
only its creation was heard, or nothing, is judged by its time: it is finished when it was not written for the quiet
time. An empty one has a longer time to be filled: nothing is told of a file that was opened and not written yet. A
clock that is ahead (that of a NAS, say) makes such a time worthless; then two looks that long apart must show the same
size and time. Only the file's time may lie in the future (it was set): the system's own time of its last change counts
then.
"""

from collections import OrderedDict
from typing import TypeVar

from psm.models import FileStat

STALLED_S = 120.0
"""How long a file may stay open without growing before it is read all the same; its closing has it read again."""

MOST = 1_000
_LOOK_LASTS_S = 600.0
"""After so long, a file that was seen unfinished is not there any more, or its second look has long been."""
_NS = 1_000_000_000
T = TypeVar("T")

_EARLIER_NS = 2 * _NS
"""How much older than the event the time of a file may be: clocks tick coarsely, on some drives in steps of 2 s."""


class Growth:
    """What is known of the unfinished files below one root. Paths are relative to it."""

    def __init__(self, *, quiet_s: float, most: int = MOST) -> None:
        self.quiet_s = quiet_s
        self._most = most
        self._open: OrderedDict[bytes, int] = OrderedDict()
        """By path, when it was first heard that a file is being written, in nanoseconds since the epoch."""
        self._looks: OrderedDict[bytes, tuple[int, int, int]] = OrderedDict()
        """By path, the size and time of an unfinished file, and when it was first seen so, all in ns and bytes."""

    def written(self, path: bytes, now_ns: int) -> None:
        """A file was modified; its closing is still to come."""
        _put(self._open, path, self._open.get(path, now_ns), self._most)

    def closed(self, path: bytes) -> None:
        """A file was closed after writing, or is not there any more."""
        self._open.pop(path, None)
        self._looks.pop(path, None)

    def moved(self, source: bytes, target: bytes) -> None:
        """A file that may be open was renamed: it still is."""
        self.closed(target)
        since_ns = self._open.pop(source, None)
        self._looks.pop(source, None)
        if since_ns is not None:
            self._open[target] = since_ns

    def forget(self) -> None:
        """Events were lost, so a closing may be one of them: the times of the files decide."""
        self._open.clear()

    @property
    def open_files(self) -> frozenset[bytes]:
        """The files that were written and not closed."""
        return frozenset(self._open)

    def is_finished(self, path: bytes, found: FileStat, *, now_ns: int) -> bool:
        """Whether a file can be read."""
        since_ns = self._open.get(path)
        if since_ns is None:
            quiet = is_quiet(found, quiet_s=self.quiet_s, now_ns=now_ns)
            finished = quiet or self._is_still(path, found, now_ns, _long_enough_s(found, self.quiet_s))
        else:
            # One that was given an older time holds nothing new that could be half written. Its size says nothing:
            # download programs make a file in its full size, and fill it then.
            untouched = found.mtime_ns < since_ns - _EARLIER_NS
            finished = untouched or self._is_still(path, found, now_ns, STALLED_S)
        if finished:
            self._looks.pop(path, None)
        return finished

    def _is_still(self, path: bytes, found: FileStat, now_ns: int, long_enough_s: float) -> bool:
        """Whether a file looks the same since an earlier look, that long ago."""
        look = self._looks.get(path)
        if look is not None and look[:2] == (found.size_bytes, found.mtime_ns):
            return now_ns - look[2] >= long_enough_s * _NS
        self._looks.pop(path, None)
        # Where there is no room, the files that were seen first come first: were they to make room, many files would
        # push each other out for ever, and none had its second look.
        if len(self._looks) >= self._most and now_ns - next(iter(self._looks.values()))[2] > _LOOK_LASTS_S * _NS:
            self._looks.popitem(last=False)
        if len(self._looks) < self._most:
            self._looks[path] = (found.size_bytes, found.mtime_ns, now_ns)
        return False


def is_quiet(found: FileStat, *, quiet_s: float, now_ns: int) -> bool:
    """Whether a file was not written for the quiet time, by its own times alone."""
    written_ns = found.mtime_ns if found.mtime_ns <= now_ns else min(found.mtime_ns, found.ctime_ns)
    return now_ns - written_ns >= _long_enough_s(found, quiet_s) * _NS


def _long_enough_s(found: FileStat, quiet_s: float) -> float:
    return quiet_s if found.size_bytes else max(quiet_s, STALLED_S)


def _put(entries: OrderedDict[bytes, T], path: bytes, value: T, most: int) -> None:
    entries[path] = value
    if len(entries) > most:
        entries.popitem(last=False)
