"""What the disk says of one library's files, and what is proof that one is gone (rule 1).

A file is gone only when the nearest folder that still exists above it was listed without error and does not hold it,
and when that listing is of the drive that the file was on. A drive that is away leaves an empty folder, or one of
another drive, in its place: the device tells. Devices are numbered anew at every start of the system, so a number that
changed is looked up by files that are where they were.
"""

import errno
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import TypeVar

from psm.abandon import abandonable
from psm.db import Database, files
from psm.db.files import KnownFile
from psm.filesystems import filesystem_of, mounts_below
from psm.ingest.files import file_stat
from psm.ingest.ignore import IgnorePolicy
from psm.ingest.paths import open_path
from psm.ingest.spelling import takes_other_spellings
from psm.models import FileStat, Library, Status
from psm.progress import NeverStop, StopSignal

_CACHED_FOLDERS = 64
_SAMPLES = 32

ANSWER_S = 5.0
"""How long a network drive may take to answer a scan that was not asked to look there."""

T = TypeVar("T")


class Finding(Enum):
    """What became of a file: AWAY is one whose drive is not there, UNKNOWN one about which nothing can be said now."""

    HERE = "here"
    CHANGED = "changed"
    GONE = "gone"
    AWAY = "away"
    UNKNOWN = "unknown"


class Ground:
    """One library's folders as they are now. Asks the disk, never for ever, and writes nothing.

    ``answer_within_s`` is how many seconds a network drive has for each answer; without it, it is waited for until
    ``stop``. One that took longer is not asked again, and nothing can be said about its files.
    """

    def __init__(
        self,
        db: Database,
        library: Library,
        policy: IgnorePolicy,
        *,
        others: Collection[bytes] = (),
        stop: StopSignal = NeverStop(),
        answer_within_s: float | None = None,
    ) -> None:
        self.library = library
        self.others = others
        """The roots of the other libraries."""
        filesystem = filesystem_of(library.root)
        self.network = may_hang(library)
        self.takes_other_spellings = takes_other_spellings(filesystem.type)
        self.device = 0
        self.problem: str | None = None
        """Why the root cannot be read; nothing is gone then."""
        self._db = db
        self._policy = policy
        self._stop = stop
        self._answer_within_s = answer_within_s
        self._is_silent = False
        self._identity: tuple[int, int] | None = None
        self._alive: dict[int, set[int]] = {}
        self._sampled: set[int] = set()
        self._listings: OrderedDict[bytes, tuple[frozenset[bytes], int] | OSError] = OrderedDict()
        self._keeps_ctime: dict[int, bool] = {}
        self._arrive()

    @property
    def is_there(self) -> bool:
        """Whether the root could be read."""
        return self._identity is not None

    def is_the_same(self) -> bool:
        """Whether the root is still the folder that it was at the start."""
        found = self.patiently(lambda: _identity_of(self.library.root))
        return found is not None and found == self._identity

    def patiently(self, ask: Callable[[], T]) -> T | None:
        """What ``ask`` finds on the disk; None when it was stopped while a network drive did not answer."""
        if not self.network:
            return ask()
        if self._answer_within_s is None:
            return _answer(ask, self._stop)
        if self._is_silent:
            return None
        patience = _Patience(self._stop, self._answer_within_s)
        found = _answer(ask, patience)
        self._is_silent = found is None and patience.is_over
        return found

    def find(self, row: KnownFile) -> Finding:
        """Where the file of a present row is now."""
        if not self.is_there:
            return Finding.UNKNOWN
        found = self.patiently(lambda: self._stat(row.path))
        if isinstance(found, FileStat):
            return Finding.CHANGED if self.differs(row.stat, found) else Finding.HERE
        if found is None or found.errno not in (errno.ENOENT, errno.ENOTDIR):
            return Finding.UNKNOWN
        return self.proof(row.path, row.stat.device)

    def differs(self, known: FileStat, found: FileStat) -> bool:
        """Whether a file is another than the one that was read (rule 5)."""
        if (known.size_bytes, known.mtime_ns) != (found.size_bytes, found.mtime_ns):
            return True
        return known.ctime_ns != found.ctime_ns and self.ctime_counts(found.device)

    def ctime_counts(self, device: int) -> bool:
        """Network mounts change ctimes by themselves, and what is mounted below the root may be one."""
        counts = self._keeps_ctime.get(device)
        if counts is None:
            counts = device == self.device and filesystem_of(self.library.root).keeps_inodes
            self._keeps_ctime[device] = counts
        return counts

    def proof(self, path: bytes, device: int) -> Finding:
        """GONE when the file of a row is proven not to be on disk; ``device`` is the one that it was read on."""
        folder, _, name = path.rpartition(b"/")
        blocked = False
        while True:
            listing = self._list(folder)
            if isinstance(listing, OSError):
                if not folder or listing.errno not in (errno.ENOENT, errno.ENOTDIR):
                    return Finding.UNKNOWN
                # A part of the path that is no folder holds nothing, though its name is there.
                blocked = blocked or listing.errno == errno.ENOTDIR
                folder, _, name = folder.rpartition(b"/")
                continue
            names, listed_on = listing
            if (name in names and not blocked) or (not folder and self.looks_empty(names)):
                return Finding.UNKNOWN
            return Finding.GONE if self.same_drive(device, listed_on) else Finding.AWAY

    def looks_empty(self, names: frozenset[bytes]) -> bool:
        """Whether a root holds nothing that psm would look at, as the folder of a drive that is not mounted."""
        return all(self._policy.reason(name, is_folder=True) is not None for name in names)

    def same_drive(self, device: int, now: int) -> bool:
        """Whether what was read on ``device`` would be on ``now`` today."""
        if device == now:
            return True
        if now not in self._alive.get(device, ()) and device not in self._sampled:
            self._sampled.add(device)
            rows = files.on_device(self._db.connection, self.library.id, device, limit=_SAMPLES)
            self.patiently(lambda: self._sample(device, rows))
        return now in self._alive.get(device, ())

    def note_alive(self, device: int, now: int) -> None:
        """A file that was read on ``device`` was found as it was, on ``now``."""
        self._alive.setdefault(device, set()).add(now)

    def _arrive(self) -> None:
        found = self.patiently(lambda: _identity_of(self.library.root))
        if isinstance(found, OSError):
            self.problem = found.strerror or str(found)
        elif found is not None:
            self._identity = found
            self.device = found[0]

    def _sample(self, device: int, rows: list[tuple[bytes, int, int]]) -> None:
        for path, size_bytes, mtime_ns in rows:
            found = self._stat(path)
            if isinstance(found, FileStat) and (found.size_bytes, found.mtime_ns) == (size_bytes, mtime_ns):
                self.note_alive(device, found.device)

    def _stat(self, path: bytes) -> FileStat | OSError:
        try:
            with open_path(self.library.root, path) as place:
                return file_stat(os.stat(place))
        except OSError as e:
            return e

    def _list(self, folder: bytes) -> tuple[frozenset[bytes], int] | OSError:
        if folder not in self._listings:
            found = self.patiently(lambda: _listing(self.library.root, folder))
            if found is None:
                return OSError(errno.EINTR, "stopped")
            self._listings[folder] = found
            if len(self._listings) > _CACHED_FOLDERS:
                self._listings.popitem(last=False)
        return self._listings[folder]


def may_hang(library: Library) -> bool:
    """Whether a library lies on a network drive, or has one mounted in it."""
    return not all(filesystem_of(place).is_local for place in (library.root, *mounts_below(library.root)))


class Grounds(dict[int, Ground]):
    """Those of all libraries, by id; each is made when it is first asked for.

    A scan that was not asked to look at a library looks at it only when a file may be from there: so the dead drive of
    one library does not hold up the scan of another.
    """

    def __init__(self) -> None:
        super().__init__()
        self._prepared: dict[int, Callable[[], Ground]] = {}

    def prepare(self, library: Library, make: Callable[[], Ground]) -> None:
        """Says how that of a library is made."""
        self._prepared[library.id] = make

    def __missing__(self, library_id: int) -> Ground:
        ground = self[library_id] = self._prepared[library_id]()
        return ground


class Whereabouts:
    """Where the file of any row is now, in every library, as far as a scan knows or can find out."""

    def __init__(self, grounds: Mapping[int, Ground]) -> None:
        self.gone: set[int] = set()
        """Rows proven gone by this scan."""
        self.kept: set[int] = set()
        """Rows that look gone while a drive may be away."""
        self.unread: set[int] = set()
        """Rows whose file this scan has still to read: nothing is concluded from what they held."""
        self._grounds = grounds
        self._found: dict[int, Finding] = {}

    def of(self, row: KnownFile) -> Finding:
        """A missing row is GONE, one that is still to be read CHANGED."""
        if row.status is Status.MISSING or row.id in self.gone:
            return Finding.GONE
        if row.id in self.kept:
            return Finding.AWAY
        if row.id in self.unread:
            return Finding.CHANGED
        if row.id not in self._found:
            self._found[row.id] = self._grounds[row.library_id].find(row)
        return self._found[row.id]


class _Patience:
    """A stop signal that is also set when the time is over."""

    def __init__(self, stop: StopSignal, seconds: float) -> None:
        self._stop = stop
        self._until = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    def is_set(self) -> bool:
        return self.is_over or self._stop.is_set()


def _answer(ask: Callable[[], T], stop: StopSignal) -> T | None:
    return next(abandonable((ask() for _ in (0,)), stop=stop), None)


def _identity_of(root: bytes) -> tuple[int, int] | OSError:
    try:
        found = file_stat(os.stat(root))
        os.scandir(root).close()
    except OSError as e:
        return e
    return found.device, found.inode


def _listing(root: bytes, folder: bytes) -> tuple[frozenset[bytes], int] | OSError:
    try:
        with open_path(root, folder) as place:
            return frozenset(os.listdir(place)), file_stat(os.stat(place)).device
    except OSError as e:
        return e
