"""Tags in front of the audio and behind it, as any stream without a container of its own may have them.

In front: ID3v2 (several, Windows Media Player stacks them) and APEv2. Behind: ID3v1 (with its "enhanced" form), APEv2,
Lyrics3 (https://id3.org/Lyrics3, https://id3.org/Lyrics3v2) and ID3v2.4 with a footer, in any order.
"""

from psm.ingest.formats.anatomy import TagBlock, TagForm
from psm.ingest.formats.ape import ape_tag_at, ape_tag_before, wanted_ape
from psm.ingest.formats.id3 import id3v2_length, synchsafe, wanted_id3v2
from psm.ingest.formats.source import NEAR_BYTES, Source

_MOST_TAGS = 8
_ID3V1_BYTES, _ENHANCED_BYTES = 128, 227
_LYRICS3V1_MOST = 5_100 + 11


def tags_in_front(source: Source) -> tuple[int, list[TagBlock]]:
    """Where the audio begins, and the tags before it."""
    start = 0
    blocks: list[TagBlock] = []
    for _ in range(_MOST_TAGS):
        length = id3v2_length(source.read(start, 10))
        if length and start + length < source.size:
            blocks.append(wanted_id3v2(source, start))
            start += length
        elif tag := ape_tag_at(source, start):
            blocks.append(wanted_ape(source, tag))
            start = tag.end
        else:
            break
    return start, blocks


def tags_behind(source: Source, start: int) -> tuple[int, list[TagBlock]]:
    """Where the audio that begins at ``start`` ends, and the tags behind it: ID3v1, cut to 30 letters a field, comes
    last."""
    end = source.size
    # One read for all the small reads below.
    source.read(max(start, end - NEAR_BYTES), NEAR_BYTES)
    blocks: list[TagBlock] = []
    for _ in range(_MOST_TAGS):
        # APEv2 first: in one of 131 bytes the "TAG" of its "APETAGEX" stands where that of ID3v1 would.
        if tag := ape_tag_before(source, start, end):
            blocks.append(wanted_ape(source, tag))
            end = tag.start
        elif (id3v1 := _id3v1_before(source, start, end)) is not None:
            end -= _ID3V1_BYTES
            blocks.append(TagBlock(TagForm.ID3V1, id3v1))
            if _starts(source, start, end - _ENHANCED_BYTES, b"TAG+"):
                end -= _ENHANCED_BYTES
        elif length := _lyrics3_before(source, start, end):
            end -= length
        elif length := _id3v2_before(source, start, end):
            blocks.append(wanted_id3v2(source, end - length, limit=end))
            end -= length
        else:
            break
    return end, sorted(blocks, key=lambda block: block.form is TagForm.ID3V1)


def _starts(source: Source, start: int, offset: int, mark: bytes) -> bool:
    return offset >= start and source.read(offset, len(mark)) == mark


def _id3v1_before(source: Source, start: int, end: int) -> bytes | None:
    offset = end - _ID3V1_BYTES
    return source.read(offset, _ID3V1_BYTES) if _starts(source, start, offset, b"TAG") else None


def _lyrics3_before(source: Source, start: int, end: int) -> int:
    """The length of a Lyrics3 tag that ends here, 0 when there is none."""
    if _starts(source, start, end - 9, b"LYRICS200"):
        digits = source.read(end - 15, 6)
        length = int(digits) + 15 if digits.isdigit() else 0
        return length if _starts(source, start, end - length, b"LYRICSBEGIN") else 0
    if _starts(source, start, end - 9, b"LYRICSEND"):
        first = max(start, end - _LYRICS3V1_MOST)
        found = source.read(first, end - first).rfind(b"LYRICSBEGIN")
        return end - first - found if found >= 0 else 0
    return 0


def _id3v2_before(source: Source, start: int, end: int) -> int:
    """The length of an ID3v2.4 tag that ends here with its footer, 0 when there is none."""
    footer = source.read(end - 10, 10) if end - 10 >= start else b""
    if footer[:3] != b"3DI" or max(footer[6:10]) >= 0x80:
        return 0
    length = synchsafe(footer[6:10]) + 20
    return length if _starts(source, start, end - length, b"ID3") else 0
