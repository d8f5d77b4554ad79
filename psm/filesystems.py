"""What kind of file system a path lies on, and what can be trusted there."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileSystem:
    """One mounted file system.

    ``keeps_inodes``: inode and ctime of a file only change when the file does. ``delivers_events``: a change by anyone is
    reported to a watcher on this machine.
    """

    type: str
    is_local: bool
    keeps_inodes: bool
    delivers_events: bool
    mount_point: bytes


def filesystem_of(path: Path | bytes | str) -> FileSystem:
    """The file system that ``path`` lies on, or its nearest existing parent's. Never waits for a dead network mount."""
    raise NotImplementedError


def mounts_below(root: bytes) -> tuple[bytes, ...]:
    """The mount points below ``root`` (not the root itself), sorted."""
    raise NotImplementedError
