"""What an audio file says of itself: its tags, its stream and its fingerprint, from one opening of the file."""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import TypeVar

from psm.ingest.fields import Fields, fields_of
from psm.ingest.fingerprint import fingerprint
from psm.ingest.formats import Malformed, Source, dissect
from psm.ingest.guess import fill_from_name
from psm.ingest.streams import stream_of
from psm.models import Reading, TrackTags


def _extension(name: bytes) -> bytes:
    return os.path.splitext(name)[1].lower()


def read_file(path: bytes, relative: bytes) -> Reading:
    """Read one file. ``path`` is absolute, ``relative`` the same below the library's root: what the tags leave out is
    guessed from it.

    A file that is broken, or not what its name says, gives a :class:`Reading` with an error and what could be learned.
    Raises OSError alone, when the file cannot be opened or read (it vanished, may not be read, the drive fails).
    Pictures are never loaded.
    """
    # Unbuffered: Source decides how much a read fetches.
    with open(path, "rb", buffering=0, opener=_open_regular) as file:
        source = Source(file)
        reading = _read(source, _extension(relative))
    return replace(reading, tags=fill_from_name(reading.tags, relative))


def _open_regular(path: str | bytes, flags: int) -> int:
    """Opens a regular file only: a pipe that took its place since it was listed would be waited for, for ever."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        raise OSError(errno.EISDIR if stat.S_ISDIR(kind) else errno.EINVAL, "it is no regular file any more")
    return descriptor


def _read(source: Source, extension: bytes) -> Reading:
    try:
        parts = dissect(source, extension=extension)
        name = fingerprint(source, parts)
    except Malformed as damage:
        return Reading(TrackTags(), error=str(damage))
    problems: list[str] = []
    found = Fields()
    for block in parts.tags:
        values = _guarded(partial(fields_of, block), source, problems, f"its {block.form.value} tags cannot be read")
        found = found.or_else(values or Fields())
    tags = found.tags()
    stream = _guarded(partial(stream_of, source, parts), source, problems, "its audio cannot be understood")
    if stream is not None:
        tags = replace(tags, **asdict(stream))
    if parts.cut:
        problems.append("the file ends too early")
    return Reading(tags, name, "; ".join(problems) or None)


_Result = TypeVar("_Result")


def _guarded(read: Callable[[], _Result], source: Source, problems: list[str], what: str) -> _Result | None:
    """Run what hands bytes to mutagen. On damage that raises, besides its own errors, nearly anything: struct.error,
    IndexError, AssertionError, UnicodeDecodeError, RecursionError. A drive that fails is told from a broken file."""
    try:
        return read()
    except Exception as error:
        if source.failure is not None:
            raise source.failure from error
        problems.append(f"{what} ({str(error) or type(error).__name__})")
        return None
