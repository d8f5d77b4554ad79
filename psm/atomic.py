"""Writing a file whole or not at all: a temporary file in the same folder, flushed to disk, then renamed into place."""

import itertools
import os
import re
import stat
from contextlib import suppress

_numbers = itertools.count()
_NO_DATA_SYNC = os.name == "nt"


def write(path: bytes, content: bytes, *, kind: str) -> None:
    """Makes ``path`` hold ``content``. Whoever reads it sees the old file or the new one, even after a power cut.

    Raises OSError; the old file is then still there and no temporary one is left.
    """
    folder = os.path.dirname(path) or b"."
    temporary = stage(folder, content, kind=kind, like=path)
    try:
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(folder)


def stage(folder: bytes, content: bytes, *, kind: str, like: bytes | None = None) -> bytes:
    """Writes ``content`` to a temporary file in ``folder``, flushed to the disk, and returns its path.

    ``kind`` becomes part of its name, so that leftovers of a killed run can be told apart (see :func:`is_leftover`).
    The file gets the permissions of ``like``, when that is there, otherwise those that the umask gives a new file: a
    player that runs as another user has to read it.
    """
    while True:
        path = os.path.join(folder, f".psm-{kind}-{os.getpid()}-{next(_numbers)}.tmp".encode())
        with suppress(FileExistsError):  # of another machine that shares the folder, or of a killed run
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
            break
    try:
        with os.fdopen(handle, "wb") as file:
            if like is not None and not _NO_DATA_SYNC:
                with suppress(OSError):
                    os.fchmod(file.fileno(), stat.S_IMODE(os.stat(like).st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    return path


def set_aside(path: bytes) -> bytes:
    """Gives what is at ``path`` a second name that is free, ``….bak`` or ``….bak2`` and so on, and returns it.

    It may still be at ``path`` as well. Raises OSError.
    """
    number = 1
    while True:
        backup = path + (b".bak" if number == 1 else b".bak%d" % number)
        number += 1
        if os.path.lexists(backup):
            continue
        try:
            os.link(path, backup, follow_symlinks=False)
        except FileExistsError:
            continue
        except (OSError, NotImplementedError):  # FAT has no links, and folders cannot be linked
            os.rename(path, backup)
        return backup


def is_leftover(name: bytes, *, kind: str) -> bool:
    """Whether ``name`` is that of a temporary file of ``kind``."""
    return re.fullmatch(rb"\.psm-" + kind.encode() + rb"-\d+-\d+\.tmp", name) is not None


def sync_folder(folder: bytes) -> None:
    """Flushes the names in ``folder`` to the disk, where the system can do that."""
    if _NO_DATA_SYNC:
        return
    with suppress(OSError):  # some network file systems refuse; the names are then theirs to keep
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
