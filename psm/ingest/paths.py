"""Opening what lies below a root, also when its path is longer than the system takes in one piece.

Linux takes 4,096 bytes in one piece, macOS 1,024; folders can be nested deeper than that. Such a path is opened step by
step, each part relative to the folder before it, so no depth needs more than two descriptors at once.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SEPARATOR = os.fsencode(os.sep)
_SYSTEM: str = sys.platform
_PATH_LIMIT = {"linux": 4_095, "win32": 32_767}.get(_SYSTEM, 1_023)
_NAME_MAX = 255
_LISTING = getattr(os, "O_DIRECTORY", 0) | os.O_RDONLY
_PASSING = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", os.O_RDONLY)  # needs no right to list the folder


def native_path(root: bytes, relative: bytes) -> bytes:
    """The path that the system knows a file of the library by."""
    path = root.rstrip(b"/") + b"/" + relative if relative else root
    return windows_path(path) if _SYSTEM == "win32" else path


def windows_path(path: bytes) -> bytes:
    r"""An absolute path as Windows takes it: with backslashes, and the prefix that lifts its limit of 260 characters.

    The prefix is ``\\?\`` before a drive and ``\\?\UNC\`` before a server
    (https://learn.microsoft.com/windows/win32/fileio/maximum-file-path-limitation).
    """
    path = path.replace(b"/", b"\\")
    if len(path) < 248 or path.startswith(b"\\\\?\\"):
        return path
    return b"\\\\?\\UNC\\" + path[2:] if path.startswith(b"\\\\") else b"\\\\?\\" + path


def is_long(path: bytes) -> bool:
    """Whether the system does not take this path in one piece."""
    return len(path) > _PATH_LIMIT


@contextmanager
def open_path(root: bytes, relative: bytes) -> Iterator[bytes]:
    """A path by which a file or folder of the library can be opened, or asked for its stat, while the block runs.

    That is its own path, unless it is too long for the system. On Linux it is then reached through its folder's
    descriptor, below /proc/self/fd (in this process only: a worker process calls this itself); on Windows by the prefix
    that lifts the limit. On other systems the path stays as it is, and opening it fails with "File name too long".

    :raises OSError: when the folder of a path that is too long cannot be entered.
    """
    path = native_path(root, relative)
    if _SYSTEM != "linux":
        yield path
        return
    with reach(path) as (name, folder):
        yield name if folder is None else b"/proc/self/fd/%d/%s" % (folder, name)


@contextmanager
def reach(path: bytes) -> Iterator[tuple[bytes, int | None]]:
    """What to give to ``os.stat`` and ``os.open`` for a native path: itself, or its name and its folder as ``dir_fd``.

    :raises OSError: when the folder of a path that is too long cannot be entered.
    """
    if not is_long(path) or os.open not in os.supports_dir_fd:
        yield path, None
        return
    folder, _, name = path.rpartition(b"/")
    descriptor = _open_folder(folder, _PASSING)
    try:
        yield name, descriptor
    finally:
        os.close(descriptor)


def has_room(folder: bytes) -> bool:
    """Whether every name in a folder can be reached by the folder's native path and the name."""
    return len(folder) + 1 + _NAME_MAX <= _PATH_LIMIT


@contextmanager
def reach_folder(path: bytes) -> Iterator[bytes | int]:
    """What to give to ``os.scandir`` for a native path: itself, or a descriptor when a name in it may be out of reach.

    :raises OSError: when a folder that is too long to name cannot be opened.
    """
    if has_room(path) or os.scandir not in os.supports_fd:
        yield path
        return
    descriptor = _open_folder(path, _LISTING)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_folder(path: bytes, flags: int) -> int:
    *before, last = _pieces(path, _PATH_LIMIT)
    folder: int | None = None
    try:
        for piece in before:
            deeper = os.open(piece, _PASSING, dir_fd=folder)
            if folder is not None:
                os.close(folder)
            folder = deeper
        return os.open(last, flags, dir_fd=folder)
    finally:
        if folder is not None:
            os.close(folder)


def _pieces(path: bytes, limit: int) -> Iterator[bytes]:
    """The path, cut at slashes into pieces of at most ``limit`` bytes (a single longer name stays whole)."""
    while len(path) > limit:
        cut = path.rfind(b"/", 1, limit + 1)
        if cut == -1:
            cut = path.find(b"/", limit)
        if cut == -1:
            break
        yield path[:cut]
        path = path[cut + 1 :]
    yield path
