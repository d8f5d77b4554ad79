"""FLAC: its metadata blocks without pictures, and its frames.

Format: https://www.rfc-editor.org/rfc/rfc9639
"""

from psm.ingest.formats.anatomy import Anatomy, Kind, Span, TagBlock, anatomy
from psm.ingest.formats.edges import tags_behind
from psm.ingest.formats.source import Malformed, Source
from psm.ingest.formats.vorbis import wanted_comments

_STREAMINFO, _COMMENTS, _PICTURE, _INVALID = 0, 4, 6, 127
_STREAMINFO_BYTES = 34
_MOST_BLOCKS = 1_000


def flac_file(source: Source, start: int, front: list[TagBlock]) -> Anatomy:
    """The file whose ``fLaC`` stands at ``start``."""
    info = b""
    tags: list[TagBlock] = []
    position = start + 4
    for _ in range(_MOST_BLOCKS):
        head = source.exactly(position, 4)
        code, size = head[0] & 0x7F, int.from_bytes(head[1:], "big")
        position += 4
        if code == _INVALID:
            raise Malformed("a FLAC metadata block has no valid type")
        if code == _STREAMINFO:
            info = info or source.exactly(position, _STREAMINFO_BYTES)
        elif code == _COMMENTS:
            comments = _Bytes(source, position)
            tags.append(wanted_comments(comments))
            size = _true_size(source, position, size, comments.position - position)
        elif code == _PICTURE:
            size = _true_size(source, position, size, _picture_bytes(source, position))
        position += size
        if head[0] & 0x80:
            break
    if not info:
        raise Malformed("the FLAC file says nothing of its stream")
    end, behind = tags_behind(source, position)
    header = b"fLaC" + bytes((_STREAMINFO | 0x80,)) + _STREAMINFO_BYTES.to_bytes(3, "big") + info
    md5 = info[18:34].hex() if any(info[18:34]) else None
    return anatomy(
        Kind.FLAC, [Span(position, end)], tags + front + behind, header=header, codec=Kind.FLAC.value, md5=md5
    )


class _Bytes:
    """Comments that lie in the file in one piece."""

    def __init__(self, source: Source, position: int) -> None:
        self._source = source
        self.position = position

    def read(self, length: int) -> bytes:
        data = self._source.read(self.position, length)
        self.position += len(data)
        return data

    def skip(self, length: int) -> None:
        self.position += length


def _picture_bytes(source: Source, position: int) -> int:
    """How long the picture block says that it is by its content: type, MIME type, description, four sizes, data."""
    stream = _Bytes(source, position + 4)
    stream.skip(int.from_bytes(stream.read(4), "big"))
    stream.skip(int.from_bytes(stream.read(4), "big") + 16)
    stream.skip(int.from_bytes(stream.read(4), "big"))
    return stream.position - position


def _true_size(source: Source, position: int, declared: int, counted: int) -> int:
    """A block's size. Some programs write a wrong one, and a picture above 16 MB does not fit into its 24 bits: the
    reference decoder goes by the content's own count, and so does psm, unless what it leads to is neither block nor
    frame."""
    return counted if declared == counted or _is_plausible(source, position + counted) else declared


def _is_plausible(source: Source, position: int) -> bool:
    head = source.read(position, 4)
    if len(head) < 4:
        return position == source.size
    is_frame = head[0] == 0xFF and head[1] & 0xFC == 0xF8
    is_block = head[0] & 0x7F <= _PICTURE and position + 4 + int.from_bytes(head[1:], "big") <= source.size
    return is_frame or is_block
