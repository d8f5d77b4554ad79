"""The length of a fragmented MPEG-4 file, as streaming sites serve them: the headers of such a file say 0.

Format: ISO 14496-12, 8.8 ("Movie Fragments").
"""

import struct
from collections.abc import Iterator

_FRAGMENT_PARTS = (b"moof", b"traf")
_HAS_OFFSET, _HAS_FIRST_FLAGS, _HAS_DURATION, _HAS_SIZE, _HAS_FLAGS, _HAS_COMPOSITION = 1, 4, 0x100, 0x200, 0x400, 0x800
_HEAD_HAS_OFFSET, _HEAD_HAS_DESCRIPTION, _HEAD_HAS_DURATION = 1, 2, 8


def timescale(mdhd: bytes) -> int:
    """Units per second, from the content of a track's ``mdhd``; 0 when it is cut off."""
    offset = 20 if mdhd[:1] == b"\1" else 12
    return int.from_bytes(mdhd[offset : offset + 4], "big") if len(mdhd) >= offset + 4 else 0


def fragment_units(moof: bytes, default: int) -> int:
    """One fragment's length in units of its track's time scale; ``default`` is a sample's length where it says none."""
    total = 0
    for name, content in _leaves(moof):
        flags = int.from_bytes(content[1:4], "big")
        if name == b"tfhd" and flags & _HEAD_HAS_DURATION:
            offset = 8 + 8 * bool(flags & _HEAD_HAS_OFFSET) + 4 * bool(flags & _HEAD_HAS_DESCRIPTION)
            default = int.from_bytes(content[offset : offset + 4], "big")
        elif name == b"trun":
            total += _run_units(content, flags, default)
    return total


def default_units(trex: bytes) -> int:
    """A sample's length for all fragments, from the content of ``trex``."""
    return int.from_bytes(trex[12:16], "big")


def _run_units(trun: bytes, flags: int, default: int) -> int:
    count = int.from_bytes(trun[4:8], "big")
    if not flags & _HAS_DURATION:
        return count * default
    first = 8 + 4 * bool(flags & _HAS_OFFSET) + 4 * bool(flags & _HAS_FIRST_FLAGS)
    step = 4 * sum(bool(flags & part) for part in (_HAS_DURATION, _HAS_SIZE, _HAS_FLAGS, _HAS_COMPOSITION))
    return sum(int.from_bytes(trun[place : place + 4], "big") for place in range(first, len(trun), step)[:count])


def _leaves(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the atoms in a fragment that hold no others."""
    position = 0
    while position + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, position)
        if size < 8:
            return
        if name in _FRAGMENT_PARTS:
            position += 8
            continue
        yield name, data[position + 8 : position + size]
        position += size
