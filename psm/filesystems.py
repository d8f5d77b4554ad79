"""What kind of file system a path lies on, and what can be trusted there.

Nothing here asks the path itself: a network mount whose server is gone answers no ``stat``, for minutes or for ever.
The system's table of mounts is read instead, and the longest mount point that the path lies below decides. Links on the
way are resolved only as long as the way leads over local file systems.
"""

import os
import re
import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

_SYSTEM: str = sys.platform
_MOUNTINFO = "/proc/self/mountinfo"
_MAX_LINKS = 40  # as the kernel

_DELIVERS_EVENTS = frozenset(
    (
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "tmpfs", "ramfs"),
        *("ntfs3", "vfat", "msdos", "exfat", "fuseblk"),  # other systems' disks on Linux
        *("apfs", "hfs", "hfsplus", "ntfs", "refs", "fat", "fat32"),
    )
)
# FAT has no inodes of its own, and fuseblk is whatever a program makes of a disk.
_KEEPS_INODES = _DELIVERS_EVENTS - {"vfat", "msdos", "exfat", "fuseblk", "fat", "fat32"}
# An overlay changes a file's inode and ctime at the first write, and is silent when the folder below it changes.
_LOCAL = _DELIVERS_EVENTS | {"overlay", "overlayfs", "aufs"}
# File systems that several machines share over one block device.
_CLUSTER = ("gfs2", "ocfs2")


@dataclass(frozen=True, slots=True)
class FileSystem:
    """One mounted file system. What is not known to deserve trust gets none.

    ``type`` is the system's name for it in lower case (``ext4``, ``nfs4``, ``apfs``, ``ntfs``), ``unknown`` when it
    does not say. ``is_local``: no other machine stands behind it, so it cannot hang, and SQLite's WAL works.
    ``keeps_inodes``: a file's inode and ctime only change when the file does. ``delivers_events``: a change by anyone
    is reported to a watcher on this machine.
    """

    type: str
    is_local: bool
    keeps_inodes: bool
    delivers_events: bool
    mount_point: bytes


def filesystem_of(path: Path | bytes | str) -> FileSystem:
    """The file system that ``path`` lies on, or would lie on. Never waits for a network mount."""
    where = os.path.abspath(os.fsencode(path))
    if _SYSTEM == "win32":
        return _on_windows(where)
    mounts, foreign = _mounts()
    return _told(mount_of(resolve(where, foreign), mounts))


def mounts_below(root: bytes) -> tuple[bytes, ...]:
    """The mount points below ``root`` (not the root itself), sorted. Windows has none: there a mount is a drive."""
    if _SYSTEM == "win32":
        return ()
    inside = root.rstrip(b"/") + b"/"
    return tuple(sorted({m.point for m in _mounts()[0] if m.point.startswith(inside) and m.point != inside}))


def mount_table() -> object:
    """Something that stays the same object for as long as nothing is mounted or unmounted. Asks no drive.

    Windows does not tell of that in one piece: there it is another one each time.
    """
    return object() if _SYSTEM == "win32" else _mounts()[0]


class Mount(NamedTuple):
    """A line of the table of mounts. ``parent`` is the id of the mount that it is mounted on, -1 when not told."""

    id: int
    parent: int
    point: bytes
    type: str
    source: bytes = b""
    is_remote: bool = False


def mount_of(path: bytes, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that an absolute path without links lies on, None when the table has none for it.

    It is found as the kernel finds it, from the root on: what is mounted on a folder hides whatever was mounted inside
    that folder before, and of two mounts on one folder the later is seen.
    """
    candidates = [m for m in mounts if _lies_below(path, m.point)]
    ids = {m.id for m in candidates}
    best: Mount | None = None
    tops = [m for m in candidates if m.parent not in ids or m.parent == m.id]
    while tops:
        # Where the parents are not told all are tops, and the longest one is it.
        point = min(tops, key=lambda m: len(m.point)).point if best else max(tops, key=lambda m: len(m.point)).point
        best = [m for m in tops if m.point == point][-1]
        tops = [m for m in candidates if m.parent == best.id and m.id != best.id]
    return best


def resolve(path: bytes, foreign: Iterable[bytes], readlink: Callable[[bytes], bytes] = os.readlink) -> bytes:
    """An absolute path without the links in it; at one of the mount points ``foreign`` it stops to look for links."""
    todo = path.split(b"/")[::-1]
    done = b""
    links = 0
    while todo:
        name = todo.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            done = done.rpartition(b"/")[0]
            continue
        here = done + b"/" + name
        if any(_lies_below(here, point) for point in foreign):
            return b"/".join((here, *reversed(todo)))
        try:
            target = readlink(here)
        except OSError:
            done = here
            continue
        links += 1
        if links > _MAX_LINKS:
            return path
        todo.extend(target.split(b"/")[::-1])
        if target.startswith(b"/"):
            done = b""
    return done or b"/"


def parse_mountinfo(text: bytes) -> tuple[Mount, ...]:
    """The mounts of /proc/self/mountinfo (https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html)."""
    mounts = []
    for line in text.splitlines():
        before, _, after = line.partition(b" - ")
        fields, rest = before.split(b" "), after.split(b" ")
        if len(fields) < 6 or len(rest) < 2 or not fields[0].isdigit() or not fields[1].isdigit():
            continue
        kind = rest[0].decode("ascii", "replace").lower()
        mounts.append(Mount(int(fields[0]), int(fields[1]), _unescaped(fields[4]), kind, _unescaped(rest[1])))
    return tuple(mounts)


_STATFS = struct.Struct("=Ii5Q2iIIII16s1024s1024s8I")
_MNT_LOCAL = 0x1000


def parse_statfs(buffer: bytes) -> tuple[Mount, ...]:
    """The mounts in an array of macOS's ``struct statfs`` with 64-bit inodes (sys/mount.h)."""
    mounts = []
    for number, entry in enumerate(_STATFS.iter_unpack(buffer)):
        flags, kind, point, source = entry[11], *(text.split(b"\0", 1)[0] for text in entry[13:16])
        is_remote = not flags & _MNT_LOCAL
        mounts.append(Mount(number, -1, point, kind.decode("ascii", "replace").lower(), source, is_remote))
    return tuple(mounts)


@dataclass(frozen=True, slots=True)
class Drives:
    r"""What Windows says of drives.

    ``kind`` is GetDriveTypeW's number for a root (``C:\``), ``device`` what QueryDosDeviceW says a drive (``C:``)
    stands for, ``file_system`` the name that GetVolumeInformationW has for a root.
    """

    kind: Callable[[str], int]
    device: Callable[[str], str]
    file_system: Callable[[str], str]


_DRIVE_REMOTE = 4


def windows_filesystem(path: str, drives: Drives) -> FileSystem:
    r"""The file system of an absolute Windows path.

    A drive made with ``subst`` stands for a folder (``\??\D:\Music``, ``\??\UNC\server\share``), which is looked at
    instead. The file system's name is asked of local drives only.
    """
    for _ in range(26):
        path = re.sub(
            r"^\\\\[?.]\\(UNC\\)?", lambda m: r"\\" if m[1] else "", path.replace("/", "\\"), flags=re.IGNORECASE
        )
        if path.startswith("\\\\"):
            share = "\\".join(path.split("\\")[:4]) + "\\"
            return FileSystem("unc", False, False, False, os.fsencode(share))
        drive = path[:2].upper()
        target = drives.device(drive)
        if not target.startswith("\\??\\"):
            break
        path = re.sub(r"^UNC\\", r"\\\\", target.removeprefix("\\??\\"), flags=re.IGNORECASE)
    root = drive + "\\"
    if drives.kind(root) == _DRIVE_REMOTE:
        return FileSystem("unc", False, False, False, os.fsencode(root))
    kind = drives.file_system(root).lower() or "unknown"
    # The walk's listing tells no inodes there, and what Python calls ctime is the time of creation.
    return FileSystem(kind, True, False, kind in _DELIVERS_EVENTS, os.fsencode(root))


def _told(mount: Mount | None) -> FileSystem:
    if mount is None:
        return FileSystem("unknown", False, False, False, b"/")
    kind = mount.type
    on_disk = mount.source.startswith(b"/dev/") and not kind.startswith("fuse") and kind not in _CLUSTER
    is_local = not mount.is_remote and (kind in _LOCAL or on_disk)
    return FileSystem(
        kind, is_local, is_local and kind in _KEEPS_INODES, is_local and kind in _DELIVERS_EVENTS, mount.point
    )


def _lies_below(path: bytes, point: bytes) -> bool:
    return path == point or path.startswith(point.rstrip(b"/") + b"/")


def _unescaped(field: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda m: bytes((int(m[1], 8) & 0xFF,)), field)


def _mounts() -> tuple[tuple[Mount, ...], tuple[bytes, ...]]:
    """The table of mounts, and the points of those that might not answer."""
    try:
        return _table(_mac_mounts() if _SYSTEM == "darwin" else Path(_MOUNTINFO).read_bytes())
    except OSError:
        return (), ()


@lru_cache(maxsize=1)
def _table(text: bytes) -> tuple[tuple[Mount, ...], tuple[bytes, ...]]:
    mounts = parse_statfs(text) if _SYSTEM == "darwin" else parse_mountinfo(text)
    return mounts, tuple({m.point for m in mounts if not _told(m).is_local})


def _mac_mounts() -> bytes:  # pragma: no cover
    """The array of ``struct statfs`` of all mounts, as the system has them in memory: no server is asked."""
    import ctypes

    no_wait = 2
    system = ctypes.CDLL(None, use_errno=True)
    try:
        getfsstat = system["getfsstat$INODE64"]
    except AttributeError:  # on ARM there is only the one with 64-bit inodes
        getfsstat = system.getfsstat
    count = getfsstat(None, 0, no_wait)
    buffer = ctypes.create_string_buffer(max(count, 0) * _STATFS.size)
    count = getfsstat(buffer, len(buffer), no_wait)
    return buffer.raw[: max(count, 0) * _STATFS.size]


def _on_windows(path: bytes) -> FileSystem:  # pragma: no cover
    import ctypes

    kernel = getattr(ctypes, "WinDLL")("kernel32", use_last_error=True)  # noqa: B009  (it is there on Windows only)

    def device(drive: str) -> str:
        text = ctypes.create_unicode_buffer(32_768)
        return text.value if kernel.QueryDosDeviceW(drive, text, len(text)) else ""

    def file_system(root: str) -> str:
        text = ctypes.create_unicode_buffer(64)
        return text.value if kernel.GetVolumeInformationW(root, None, 0, None, None, None, text, len(text)) else ""

    return windows_filesystem(os.fsdecode(path), Drives(kernel.GetDriveTypeW, device, file_system))
