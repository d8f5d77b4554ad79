"""ID3: how far a tag reaches, and a copy of it that holds only the frames psm asks for.

Format: https://id3.org/id3v2.4.0-structure, https://id3.org/id3v2.3.0, https://id3.org/id3v2-00
"""

from typing import Protocol

from psm.ingest.formats.anatomy import LARGEST_VALUE, TagBlock, TagForm
from psm.ingest.formats.source import Source

_HEADER_BYTES = 10
_MOST_FRAMES = 10_000
_LARGEST_COMPRESSED = 4 * 1024  # zlib makes up to 1,000 times as much of it
_UNSYNCHRONISED, _EXTENDED, _FOOTER = 0x80, 0x40, 0x10


def id3v2_length(header: bytes) -> int:
    """How many bytes the tag with this header takes, header and footer included; 0 when it is none."""
    if len(header) < _HEADER_BYTES or header[:3] != b"ID3" or not 2 <= header[3] <= 4 or max(header[6:10]) >= 0x80:
        return 0
    footer = _HEADER_BYTES if header[3] == 4 and header[5] & _FOOTER else 0
    return _HEADER_BYTES + synchsafe(header[6:10]) + footer


def synchsafe(data: bytes) -> int:
    """An ID3 integer: seven bits of each byte, the highest first."""
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
    return value


def wanted_id3v2(source: Source, start: int, *, limit: int | None = None) -> TagBlock:
    """The tag at ``start`` with its text frames and ids alone: pictures are skipped, not read.

    ``limit`` is where the room for it ends (a chunk's end). A damaged tag gives the frames before the damage.
    """
    header = source.read(start, _HEADER_BYTES)
    length = id3v2_length(header)
    if not length:
        return TagBlock(TagForm.ID3V2, b"")
    version, flags = header[3], header[5]
    end = min(start + length, source.size, limit if limit is not None else source.size)
    frames = _Frames(_open_frames(source, start + _HEADER_BYTES, end, version=version, flags=flags), version=version)
    if version > 2 and flags & _EXTENDED:
        frames.skip_extended_header()
    body = b"".join(frames.wanted())
    if not body:
        return TagBlock(TagForm.ID3V2, b"")
    # Whole-tag unsynchronisation (before 2.4) is undone by now; in 2.4 it belongs to each frame, and those are copied
    # as they are.
    kept_flags = flags & _UNSYNCHRONISED if version == 4 else 0
    size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return TagBlock(TagForm.ID3V2, b"ID3" + bytes((version, 0, kept_flags)) + size + body)


class _Stream(Protocol):
    def peek(self, length: int, *, after: int = 0) -> bytes: ...
    def skip(self, length: int) -> None: ...
    @property
    def left(self) -> int: ...


class _PlainStream:
    """The bytes as they lie in the file: what is skipped is never read."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self._source, self._position, self._end = source, start, end

    @property
    def left(self) -> int:
        return self._end - self._position

    def peek(self, length: int, *, after: int = 0) -> bytes:
        return self._source.read(self._position + after, min(length, self.left - after))

    def skip(self, length: int) -> None:
        self._position += length


class _UnsynchronisedStream:
    """The bytes with every ``FF 00`` turned back into ``FF``. Where one ends is known only by reading: a picture is
    read through in pieces, but never held."""

    _PIECE = 64 * 1024

    def __init__(self, source: Source, start: int, end: int) -> None:
        self._source, self._position, self._end = source, start, end
        self._buffer = b""
        self._after_ff = False

    @property
    def left(self) -> int:
        return len(self._buffer) + self._end - self._position

    def peek(self, length: int, *, after: int = 0) -> bytes:
        while len(self._buffer) < after + length and self._fill():
            pass
        return self._buffer[after : after + length]

    def skip(self, length: int) -> None:
        while length > len(self._buffer):
            length -= len(self._buffer)
            self._buffer = b""
            if not self._fill():
                return
        self._buffer = self._buffer[length:]

    def _fill(self) -> bool:
        raw = self._source.read(self._position, min(self._PIECE, self._end - self._position))
        if not raw:
            return False
        self._position += len(raw)
        text = raw[1:] if self._after_ff and raw[:1] == b"\0" else raw
        self._after_ff = raw.endswith(b"\xff")
        self._buffer += text.replace(b"\xff\0", b"\xff")
        return True


def _open_frames(source: Source, start: int, end: int, *, version: int, flags: int) -> _Stream:
    if version < 4 and flags & _UNSYNCHRONISED:
        return _UnsynchronisedStream(source, start, end)
    return _PlainStream(source, start, end)


class _Frames:
    """The frames of one tag."""

    def __init__(self, stream: _Stream, *, version: int) -> None:
        self._stream = stream
        self._version = version
        self._name_bytes = 3 if version == 2 else 4
        self._header_bytes = 6 if version == 2 else 10

    def skip_extended_header(self) -> None:
        """Go to the first frame. Some taggers set the flag and write no extended header: then a frame's name stands
        there."""
        size = self._stream.peek(4)
        if _is_name(size):
            return
        # 2.3 counts without the size itself, 2.4 with it.
        self._stream.skip(4 + int.from_bytes(size, "big") if self._version == 3 else max(4, synchsafe(size)))

    def wanted(self) -> list[bytes]:
        """The frames psm reads, each with its header, sizes written as the standard has them."""
        kept: list[bytes] = []
        total = 0
        for _ in range(_MOST_FRAMES):
            header = self._stream.peek(self._header_bytes)
            if len(header) < self._header_bytes or not _is_name(header[: self._name_bytes]):
                break
            size = self._size(header)
            flags = header[8:10]
            if 0 < size <= self._largest(header) and total + size <= 4 * LARGEST_VALUE:
                data = self._stream.peek(size, after=self._header_bytes)
                kept.append(header[: self._name_bytes] + self._written(len(data)) + flags + data)
                total += len(data)
            self._stream.skip(self._header_bytes + size)
        return kept

    def _largest(self, header: bytes) -> int:
        """How large this frame may be to be wanted: text frames and unique file ids are, pictures and the rest are
        not."""
        if header[:1] != b"T" and header[: self._name_bytes] not in {b"UFID", b"UFI"}:
            return 0
        compressed = {3: 0x80, 4: 0x08}.get(self._version, 0)
        return _LARGEST_COMPRESSED if header[-1] & compressed else LARGEST_VALUE

    def _size(self, header: bytes) -> int:
        raw = header[self._name_bytes : 8]
        plain = int.from_bytes(raw[: self._name_bytes], "big")
        if self._version == 2 or plain < 0x80:
            return plain
        # 2.4 sizes are synchsafe, but iTunes wrote plain ones for years, and some write synchsafe ones into 2.3: the
        # right size is the one that another frame, padding or the end follows.
        candidates = [synchsafe(raw)] if max(raw) < 0x80 else []
        candidates.insert(len(candidates) if self._version == 4 else 0, plain)
        if len(candidates) == 2 and isinstance(self._stream, _PlainStream):
            for size in candidates:
                behind = self._header_bytes + size
                if behind == self._stream.left:
                    return size
                name = self._stream.peek(4, after=behind) if behind < self._stream.left else b""
                if name and (_is_name(name) or not name.strip(b"\0")):
                    return size
        return candidates[0]

    def _written(self, size: int) -> bytes:
        if self._version == 4:
            return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
        return size.to_bytes(self._name_bytes, "big")


def _is_name(name: bytes) -> bool:
    """Whether a frame may be called so; a 2.2 name in a 2.3 tag, which some write, ends in a NUL."""
    letters = name[:-1] if len(name) == 4 and name.endswith(b"\0") else name
    return len(name) >= 3 and letters.isalnum() and letters.isupper()
