"""Random access to a file in few, large reads: on a network drive every read is a round trip."""

from collections import deque
from io import SEEK_CUR, SEEK_END, SEEK_SET
from typing import BinaryIO

HEAD_BYTES = 64 * 1024
NEAR_BYTES = 16 * 1024
_WINDOW_BYTES = 4 * 1024
_KEPT_CHUNKS = 6

LARGEST_READ = 1024 * 1024
"""No header or text that psm wants is larger: a size above it is a picture, or damage."""

_BUDGET = 64 * 1024 * 1024
"""What may be read of one file in all, so that damaged sizes cannot keep a scan busy. Only an Ogg file with tens of
megabytes of pictures comes near it: its pages have to be walked one by one."""


_MOST_WINDOW_READS = 100_000
"""mutagen's readers do not all notice that they go round in circles: that of Musepack SV8 steps back over a packet
whose size is less than its own header, for ever."""


class Malformed(Exception):  # noqa: N818  (it is what the file is, and never leaves the ingest package)
    """The bytes are not what their format promises; the message says so in a person's words."""


class Source:
    """A file read at offsets, with the last few pieces kept.

    ``failure`` is the error the operating system gave, if it gave one: mutagen turns those into its own, and the scan
    has to tell a drive that fails from a file that is broken.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._chunks: deque[tuple[int, bytes]] = deque(maxlen=_KEPT_CHUNKS)
        self._left = _BUDGET
        self.failure: OSError | None = None
        self.size = file.seek(0, SEEK_END)

    def read(self, offset: int, length: int, *, ahead: int = NEAR_BYTES) -> bytes:
        """``length`` bytes at ``offset``, fewer at the end of the file; at least ``ahead`` bytes are fetched in one
        go."""
        length = min(length, self.size - offset)
        if offset < 0 or length <= 0:
            return b""
        if length > LARGEST_READ:
            raise Malformed(f"a part of it claims to be {length} bytes long")
        for start, chunk in self._chunks:
            if start <= offset and offset + length <= start + len(chunk):
                return chunk[offset - start : offset - start + length]
        chunk = self._fetch(offset, max(length, ahead if offset else HEAD_BYTES))
        self._chunks.append((offset, chunk))
        return chunk[:length]

    def exactly(self, offset: int, length: int) -> bytes:
        """As :meth:`read`, but a file that ends before is malformed."""
        data = self.read(offset, length)
        if len(data) < length:
            raise Malformed("the file ends too early")
        return data

    def _fetch(self, offset: int, length: int) -> bytes:
        self._left -= length
        if self._left < 0:
            raise Malformed("its structure never ends")
        try:
            self._file.seek(offset)
            pieces: list[bytes] = []
            missing = length
            # An unbuffered file may give less than asked for, long before its end.
            while missing > 0 and (piece := self._file.read(missing)):
                pieces.append(piece)
                missing -= len(piece)
        except OSError as error:
            self.failure = error
            raise
        return b"".join(pieces)


class Window:
    """A part of a source as the file object that mutagen wants: what lies around it (tags, mostly) is not there."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self._source = source
        self._start = start
        self._size = max(0, end - start)
        self._position = 0
        self._reads_left = _MOST_WINDOW_READS

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes from here, all that is left if negative."""
        self._reads_left -= 1
        if self._reads_left < 0:
            raise Malformed("its structure never ends")
        left = max(0, self._size - self._position)
        data = self._source.read(
            self._start + self._position, left if size < 0 else min(size, left), ahead=_WINDOW_BYTES
        )
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """As of any file; a place before the start is an OSError, as the operating system gives it."""
        base = {SEEK_SET: 0, SEEK_CUR: self._position, SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(22, "Invalid argument")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The offset from the window's start."""
        return self._position
