"""Vorbis comments, as FLAC and Ogg hold them: a copy without pictures.

Format: https://xiph.org/vorbis/doc/v-comment.html
"""

import struct
from typing import Protocol

from psm.ingest.formats.anatomy import LARGEST_VALUE, TagBlock, TagForm

_MOST_COMMENTS = 10_000
_PICTURES = (b"METADATA_BLOCK_PICTURE=", b"COVERART=")


class CommentStream(Protocol):
    """Bytes in order; both may give less at the end."""

    def read(self, length: int) -> bytes:
        """The next ``length`` bytes."""
        ...

    def skip(self, length: int) -> None:
        """Go on after them, without reading them where that can be helped."""
        ...


def wanted_comments(stream: CommentStream) -> TagBlock:
    """The comments without pictures and other large values; a damaged block gives those before the damage.

    The stream stands behind the last comment afterwards.
    """
    kept: list[bytes] = []
    total = 0
    vendor = stream.read(4)
    if len(vendor) == 4:
        stream.skip(int.from_bytes(vendor, "little"))
        for _ in range(min(int.from_bytes(stream.read(4), "little"), _MOST_COMMENTS)):
            size = stream.read(4)
            if len(size) < 4:
                break
            length = int.from_bytes(size, "little")
            if length > LARGEST_VALUE or total + length > 4 * LARGEST_VALUE:
                stream.skip(length)
                continue
            comment = stream.read(length)
            if len(comment) < length:
                break
            if b"=" in comment and not comment.upper().startswith(_PICTURES):
                kept.append(size + comment)
                total += length
    if not kept:
        return TagBlock(TagForm.VORBIS, b"")
    return TagBlock(TagForm.VORBIS, struct.pack("<II", 0, len(kept)) + b"".join(kept))
