"""The walk: which audio files lie below a root, one listing per folder and one stat per file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psm.ingest.ignore import IgnorePolicy
from psm.models import FileStat
from psm.progress import NeverStop, StopSignal


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An audio file that is not ignored. ``name`` is the last component of its path."""

    name: bytes
    stat: FileStat


@dataclass(frozen=True, slots=True)
class FoundFolder:
    """What one folder held. ``path`` is relative to the root (b"" is the root itself), parts joined by b"/".

    ``names`` are all names that the listing showed, ignored ones too: a name that is not in them is not on disk, provided
    ``error`` is None. ``error`` says why the folder could not be listed (wholly or to its end), and then nothing can be
    concluded about what lies in or below it. ``ignored`` says why nothing in and below this folder is taken (a marker file,
    or the folder is reached another way already); ``files`` is then empty and ``names`` still true.
    ``file_errors`` are (name, reason) of entries that could not be looked at.
    ``device`` and ``inode`` identify the folder itself.
    """

    path: bytes
    files: tuple[FoundFile, ...] = ()
    names: frozenset[bytes] = frozenset()
    device: int = 0
    inode: int = 0
    error: str | None = None
    ignored: str | None = None
    file_errors: tuple[tuple[bytes, str], ...] = ()


def walk(
    root: bytes,
    policy: IgnorePolicy,
    *,
    below: bytes = b"",
    follow_symlinks: bool,
    stop: StopSignal = NeverStop(),
) -> Iterator[FoundFolder]:
    """The folders at and below ``below``, parents before children, in the order of their names."""
    raise NotImplementedError


def list_folder(root: bytes, relative: bytes, policy: IgnorePolicy, *, follow_symlinks: bool) -> FoundFolder:
    """One folder alone, exactly as the walk from the root would give it."""
    raise NotImplementedError


def explain(root: bytes, path: bytes, policy: IgnorePolicy, *, follow_symlinks: bool) -> tuple[str, ...]:
    """Sentences that say why ``path`` (absolute, or relative to the root) is or is not scanned."""
    raise NotImplementedError


@contextmanager
def open_path(root: bytes, relative: bytes) -> Iterator[bytes]:
    """A path by which the file can be opened while the block runs, also when its own path is too long for the system."""
    raise NotImplementedError
