"""APEv2 tags: how far one reaches, and a copy of it with its text items alone.

Format: https://wiki.hydrogenaud.io/index.php?title=APEv2_specification
"""

import struct
from dataclasses import dataclass

from psm.ingest.formats.anatomy import LARGEST_VALUE, TagBlock, TagForm
from psm.ingest.formats.source import Source

_MARK = b"APETAGEX"
_FRAME_BYTES = 32  # header and footer have the same form
_MOST_ITEMS = 2_000
_HAS_HEADER, _IS_HEADER = 1 << 31, 1 << 29
_LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class ApeTag:
    """Where a tag lies: the whole of it, and its items within."""

    start: int
    end: int
    items_start: int
    items_end: int


def ape_tag_before(source: Source, start: int, end: int) -> ApeTag | None:
    """The tag whose footer ends at ``end`` and which does not reach before ``start``."""
    footer = source.read(end - _FRAME_BYTES, _FRAME_BYTES) if end - start >= _FRAME_BYTES else b""
    if footer[:8] != _MARK:
        return None
    size, flags = _size_and_flags(footer)
    items_start = end - size
    first = items_start - _FRAME_BYTES if flags & _HAS_HEADER else items_start
    if flags & _IS_HEADER or size < _FRAME_BYTES or first < start:
        return None
    return ApeTag(first, end, items_start, end - _FRAME_BYTES)


def ape_tag_at(source: Source, start: int) -> ApeTag | None:
    """The tag whose header stands at ``start``: some programs write it in front."""
    header = source.read(start, _FRAME_BYTES)
    if len(header) < _FRAME_BYTES or header[:8] != _MARK:
        return None
    size, flags = _size_and_flags(header)
    end = start + _FRAME_BYTES + size
    if not flags & _IS_HEADER or end > source.size or size < _FRAME_BYTES:
        return None
    return ApeTag(start, end, start + _FRAME_BYTES, end - _FRAME_BYTES)


def _size_and_flags(frame: bytes) -> tuple[int, int]:
    size, flags = struct.unpack_from("<I4xI", frame, 12)
    return size, flags


def wanted_ape(source: Source, tag: ApeTag) -> TagBlock:
    """The tag with its short text items alone: pictures are skipped, not read. A damaged tag gives the items before the
    damage."""
    items: list[bytes] = []
    position = tag.items_start
    for _ in range(_MOST_ITEMS):
        head = source.read(position, 8 + _LONGEST_KEY + 1)[: tag.items_end - position]
        key_end = head.find(b"\0", 8)
        if key_end < 0:
            break
        size, flags = struct.unpack_from("<II", head)
        key = head[8:key_end]
        value = position + key_end + 1
        if value + size > tag.items_end:
            break
        if size <= LARGEST_VALUE and flags & 6 == 0 and _is_key(key):
            items.append(struct.pack("<II", size, flags) + key + b"\0" + source.read(value, size))
        position = value + size
    body = b"".join(items)
    if not body:
        return TagBlock(TagForm.APE, b"")
    footer = _MARK + struct.pack("<IIII8x", 2000, len(body) + _FRAME_BYTES, len(items), 0)
    return TagBlock(TagForm.APE, body + footer)


def _is_key(key: bytes) -> bool:
    return (
        2 <= len(key) <= _LONGEST_KEY
        and all(0x20 <= byte <= 0x7E for byte in key)
        and key not in {b"OggS", b"TAG", b"ID3", b"MP+"}
    )
