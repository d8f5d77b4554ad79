"""ASF (Windows Media): a copy of its header without pictures, and its packets.

Format: "Advanced Systems Format (ASF) Specification", Microsoft, revision 01.20.05
"""

import struct
from collections.abc import Iterator
from uuid import UUID

from psm.ingest.formats.anatomy import LARGEST_VALUE, Anatomy, Kind, Span, TagBlock, TagForm, anatomy
from psm.ingest.formats.source import Malformed, Source


def _guid(text: str) -> bytes:
    return UUID(text).bytes_le


_HEADER = _guid("75B22630-668E-11CF-A6D9-00AA0062CE6C")
_DATA = _guid("75B22636-668E-11CF-A6D9-00AA0062CE6C")
_FILE_PROPERTIES = _guid("8CABDCA1-A947-11CF-8EE4-00C00C205365")
_STREAM_PROPERTIES = _guid("B7DC0791-A9B7-11CF-8EE6-00C00C205365")
_AUDIO_MEDIA = _guid("F8699E40-5B4D-11CF-A8FD-00805F5C442B")
_HEADER_EXTENSION = _guid("5FBF03B5-A92E-11CF-8EE3-00C00C205365")
_CONTENT_DESCRIPTION = _guid("75B22633-668E-11CF-A6D9-00AA0062CE6C")
_EXTENDED_DESCRIPTION = _guid("D2D0A440-E307-11D2-97F0-00A0C95EA850")
_METADATA = _guid("C5F8CBEA-5BAF-4877-8467-AA8C44FA4CCA")
_METADATA_LIBRARY = _guid("44231C94-9498-49D1-A141-1D134E457054")

_OBJECT_HEAD = struct.Struct("<16sQ")
_HEADER_BYTES, _DATA_HEADER_BYTES, _EXTENSION_BYTES = 30, 50, 46
_MOST_OBJECTS = 500
_MOST_ATTRIBUTES = 10_000
_BYTE_ARRAY = 1

_CODECS = {
    0x000A: "wmavoice",
    0x0160: "wmav1",
    0x0161: "wmav2",
    0x0162: "wmapro",
    0x0163: "wmalossless",
    0x0055: "mp3",
    0x0001: "pcm",
}


def is_asf(header: bytes) -> bool:
    """Whether a file that begins so is ASF."""
    return header.startswith(_HEADER)


def asf_file(source: Source, start: int, front: list[TagBlock]) -> Anatomy:
    """The file whose header object stands at ``start``."""
    size = int.from_bytes(source.exactly(start, _HEADER_BYTES)[16:24], "little")
    end = start + size
    streams: list[bytes] = []
    texts: list[bytes] = []
    codec = None
    promised = 0
    for guid, body, body_end in _objects(source, start + _HEADER_BYTES, end):
        if guid == _STREAM_PROPERTIES:
            stream = source.read(body, min(body_end - body, LARGEST_VALUE))
            if stream[:16] == _AUDIO_MEDIA and len(stream) >= 70 and codec is None:
                tag = int.from_bytes(stream[54:56], "little")
                codec = _CODECS.get(tag, f"asf-{tag:04x}")
                streams.append(_object(guid, stream))
        elif guid == _FILE_PROPERTIES:
            properties = source.read(body, min(body_end - body, LARGEST_VALUE))
            promised = _file_bytes(properties)
            streams.append(_object(guid, properties))
        elif guid == _HEADER_EXTENSION:
            reserved = source.read(body, _EXTENSION_BYTES - _OBJECT_HEAD.size)
            inner = b"".join(_wanted(source, *found) for found in _objects(source, body + len(reserved), body_end))
            texts.append(_object(guid, reserved[:18] + struct.pack("<I", len(inner)) + inner))
        else:
            texts.append(_wanted(source, guid, body, body_end))
    tags = [TagBlock(TagForm.ASF, _header(texts)), *front]
    audio, audio_end = _packets(source, end)
    cut = min(audio_end, start + promised) > source.size
    return anatomy(Kind.ASF, audio, tags, header=_header(streams), codec=codec, cut=cut)


def _file_bytes(properties: bytes) -> int:
    """The file's whole size by its own account; 0 while it is a broadcast, which does not know."""
    is_broadcast = int.from_bytes(properties[64:68], "little") & 1
    return 0 if is_broadcast else int.from_bytes(properties[16:24], "little")


def _header(objects: list[bytes]) -> bytes:
    kept = [part for part in objects if part]
    content = b"".join(kept)
    return _HEADER + struct.pack("<QI", _HEADER_BYTES + len(content), len(kept)) + b"\x01\x02" + content


def _packets(source: Source, start: int) -> tuple[list[Span], int]:
    """The content of the data object, which follows the header, and where the object says that it ends. A size of 0
    stands for a recording that was never closed."""
    head = source.read(start, _DATA_HEADER_BYTES)
    if len(head) < _DATA_HEADER_BYTES or head[:16] != _DATA:
        return [], 0
    size = int.from_bytes(head[16:24], "little")
    end = start + size if size > _DATA_HEADER_BYTES else source.size
    return [Span(start + _DATA_HEADER_BYTES, min(source.size, end))], end


def _objects(source: Source, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """GUID, start and end of the content of each object in a range."""
    position = start
    for _ in range(_MOST_OBJECTS):
        head = source.read(position, _OBJECT_HEAD.size)
        if position + _OBJECT_HEAD.size > end or len(head) < _OBJECT_HEAD.size:
            return
        guid, size = _OBJECT_HEAD.unpack(head)
        if size < _OBJECT_HEAD.size or position + size > end:
            raise Malformed("an object of the ASF header has an impossible size")
        yield guid, position + _OBJECT_HEAD.size, position + size
        position += size


def _wanted(source: Source, guid: bytes, start: int, end: int) -> bytes:
    """An object with text in it, as psm needs it; empty when it does not."""
    if guid == _CONTENT_DESCRIPTION and end - start <= 5 * LARGEST_VALUE:
        return _object(guid, source.read(start, end - start))
    if guid == _EXTENDED_DESCRIPTION:
        return _object(guid, _attributes(source, start, end, library=False))
    if guid in {_METADATA, _METADATA_LIBRARY}:
        return _object(guid, _attributes(source, start, end, library=True))
    return b""


def _attributes(source: Source, start: int, end: int, *, library: bool) -> bytes:
    """The attributes of a list without byte arrays (pictures are such) and without very long ones."""
    kept: list[bytes] = []
    count = int.from_bytes(source.read(start, 2), "little")
    position = start + 2
    for _ in range(min(count, _MOST_ATTRIBUTES)):
        head = source.read(position, 12 if library else 2)
        if len(head) < (12 if library else 2):
            break
        if library:
            name_bytes, kind, value_bytes = struct.unpack_from("<HHI", head, 4)
            value = position + 12 + name_bytes
        else:
            name_bytes = int.from_bytes(head, "little")
            rest = source.read(position + 2 + name_bytes, 4)
            if len(rest) < 4:
                break
            kind, value_bytes = struct.unpack("<HH", rest)
            value = position + 6 + name_bytes
        if value + value_bytes > end:
            break
        if kind != _BYTE_ARRAY and value_bytes <= LARGEST_VALUE:
            kept.append(source.read(position, value + value_bytes - position))
        position = value + value_bytes
    return len(kept).to_bytes(2, "little") + b"".join(kept)


def _object(guid: bytes, content: bytes) -> bytes:
    return _OBJECT_HEAD.pack(guid, _OBJECT_HEAD.size + len(content)) + content
