"""Streams without a container: MPEG audio, AAC in ADTS, and the lossless formats whose file is header, frames and
tags."""

import struct
from collections.abc import Callable

from psm.ingest.formats.anatomy import Anatomy, Kind, Span, StreamFacts, TagBlock, TagForm, anatomy
from psm.ingest.formats.edges import tags_behind
from psm.ingest.formats.source import HEAD_BYTES, NEAR_BYTES, Source

_SEARCHED_BYTES = 4 * HEAD_BYTES
_SEARCH_STEP = 4 * 1024
_LONGEST_HEADER = 7
_FRAMES_IN_A_ROW = 3

_MPEG1_KBPS = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_MPEG2_KBPS = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG1_RATES = (44_100, 48_000, 32_000)
_RATE_DIVISOR = {3: 1, 2: 2, 0: 4}  # MPEG 1, 2 and 2.5 by the two bits of their version


def whole_stream(source: Source, kind: Kind, start: int, front: list[TagBlock]) -> Anatomy:
    """A file that is all stream from ``start`` to the tags behind it."""
    end, behind = tags_behind(source, start)
    stream = Span(start, end)
    return anatomy(
        kind, [stream], _by_trust(kind, front + behind), stream=stream, codec=None if kind is Kind.AC3 else kind.value
    )


def tta_stream(source: Source, start: int, front: list[TagBlock]) -> Anatomy:
    """True Audio, read here because mutagen does not know its channels
    (http://tausoft.org/wiki/True_Audio_Codec_Format)."""
    end, behind = tags_behind(source, start)
    channels, rate, samples = struct.unpack_from("<6xH2xII", source.exactly(start, 18))
    facts = StreamFacts(samples / rate if rate else 0.0, 0, rate, channels)
    return anatomy(Kind.TTA, [Span(start, end)], _by_trust(Kind.TTA, front + behind), facts=facts, codec=Kind.TTA.value)


def framed_stream(source: Source, start: int, front: list[TagBlock]) -> Anatomy | None:
    """MPEG audio (layer 1 to 3) or AAC in ADTS frames, if either is what begins at or soon after ``start``.

    MPEG audio begins with the first real frame: the Xing, Info or VBRI frame before it holds no sound, and programs
    that repair or copy a stream write it anew.
    """
    end, behind = tags_behind(source, start)
    first = _first_frame(source, start, end)
    if first is None:
        return None
    header = source.read(first, _LONGEST_HEADER)
    stream = Span(first, end)
    if _adts_frame_bytes(header):
        tags = _by_trust(Kind.ADTS, front + behind)
        return anatomy(Kind.ADTS, [stream], tags, stream=stream, codec=Kind.ADTS.value)
    audio = first + _mpeg_frame_bytes(header) if _is_info_frame(source, first) else first
    tags = _by_trust(Kind.MPEG, front + behind)
    return anatomy(Kind.MPEG, [Span(audio, end)], tags, stream=stream, codec=f"mp{_layer(header)}")


def is_old_musepack(header: bytes) -> bool:
    """Whether these are the first four bytes of Musepack SV4 to SV6, which has no mark: only the name tells it from
    noise."""
    return len(header) >= 4 and 4 <= int.from_bytes(header[:4], "little") >> 11 & 0x3FF <= 6


def _by_trust(kind: Kind, blocks: list[TagBlock]) -> list[TagBlock]:
    """APEv2 is the native tag of some formats and a leftover in others; ID3v1 is always the last."""
    id3_first = kind in {Kind.MPEG, Kind.ADTS, Kind.AC3, Kind.TTA}
    order = [TagForm.ID3V2, TagForm.APE] if id3_first else [TagForm.APE, TagForm.ID3V2]
    return sorted(blocks, key=lambda block: order.index(block.form) if block.form in order else len(order))


def _first_frame(source: Source, start: int, end: int) -> int | None:
    """The first place where several frames of one kind follow each other without a gap (or fill what is there)."""
    for position in range(start, min(start + _SEARCHED_BYTES, end), _SEARCH_STEP):
        ahead = NEAR_BYTES if position == start else HEAD_BYTES
        searched = source.read(position, min(_SEARCH_STEP + _LONGEST_HEADER, end - position), ahead=ahead)
        offset = searched.find(b"\xff", 0, _SEARCH_STEP)
        while offset >= 0:
            header = searched[offset : offset + _LONGEST_HEADER]
            if any(
                frame_bytes(header) and _frames_follow(source, position + offset, end, frame_bytes)
                for frame_bytes in (_mpeg_frame_bytes, _adts_frame_bytes)
            ):
                return position + offset
            offset = searched.find(b"\xff", offset + 1, _SEARCH_STEP)
    return None


def _frames_follow(source: Source, position: int, end: int, frame_bytes: Callable[[bytes], int]) -> bool:
    for count in range(_FRAMES_IN_A_ROW):
        length = frame_bytes(source.read(position, min(_LONGEST_HEADER, end - position)))
        if not length:
            # A very short file may hold fewer frames; what follows them is then its end.
            return count >= 2 and position >= end
        position += length
    return True


def _mpeg_frame_bytes(header: bytes) -> int:
    """The length of the frame with this header, 0 when it is none (ISO 11172-3, 13818-3; "free" bitrate is not in
    use)."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, _layer(header)
    bitrate, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or bitrate in {0, 15} or rate == 3:
        return 0
    bits = (_MPEG1_KBPS if version == 3 else _MPEG2_KBPS)[layer][bitrate - 1] * 1000
    hertz = _MPEG1_RATES[rate] // _RATE_DIVISOR[version]
    padding = header[2] >> 1 & 1
    if layer == 1:
        return (12 * bits // hertz + padding) * 4
    slots = 72 if layer == 3 and version != 3 else 144
    return slots * bits // hertz + padding


def _layer(header: bytes) -> int:
    return 4 - (header[1] >> 1 & 3)


def _is_info_frame(source: Source, frame: int) -> bool:
    header = source.read(frame, 4 + 36)
    if len(header) < 40:
        return False
    mono, mpeg1 = header[3] >> 6 == 3, header[1] >> 3 & 3 == 3
    side_info = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    return header[4 + side_info : 8 + side_info] in {b"Xing", b"Info"} or header[36:40] == b"VBRI"


def _adts_frame_bytes(header: bytes) -> int:
    """The length of the ADTS frame with this header, 0 when it is none (ISO 13818-7)."""
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 0xF > 12:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length >= 7 else 0
