"""Files made of chunks: WAVE (RIFF, RF64), AIFF, DSDIFF and DSF.

Formats: "Multimedia Programming Interface and Data Specifications 1.0" (RIFF), EBU Tech 3306 (RF64), "Audio Interchange
File Format: AIFF-C" (Apple), "DSDIFF 1.5" (Philips), "DSF File Format Specification 1.01" (Sony).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from psm.ingest.formats.anatomy import LARGEST_VALUE, Anatomy, Kind, Span, TagBlock, TagForm, anatomy
from psm.ingest.formats.id3 import wanted_id3v2
from psm.ingest.formats.source import Malformed, Source

_MOST_CHUNKS = 1_000
_UNKNOWN_32 = 0xFFFF_FFFF
_OPEN_32 = 0x7F00_0000
"""A program that writes into a pipe, or was switched off, leaves a size from here on (sox, mplayer, ffmpeg), or 0."""
_WAVE_CODECS = {
    0x0001: "pcm",
    0x0003: "pcm",
    0x0002: "adpcm",
    0x0006: "alaw",
    0x0007: "mulaw",
    0x0011: "adpcm",
    0x0050: "mp2",
    0x0055: "mp3",
}
_WAVE_EXTENSIBLE = 0xFFFE


@dataclass(frozen=True, slots=True)
class _Chunk:
    name: bytes
    start: int
    end: int
    promised_end: int

    def read(self, source: Source, most: int = LARGEST_VALUE) -> bytes:
        return source.read(self.start, min(most, self.end - self.start))


def _chunks(source: Source, start: int, end: int, layout: struct.Struct) -> Iterator[_Chunk]:
    """The chunks of a range, each padded to an even size. One that reaches beyond the file's end is cut there."""
    position = start
    for _ in range(_MOST_CHUNKS):
        head = source.read(position, layout.size)
        if position + layout.size > end or len(head) < layout.size:
            return
        name, size = layout.unpack(head)
        body = position + layout.size
        yield _Chunk(name, body, min(body + size, source.size), body + size)
        position = body + size + size % 2


def _is_cut(source: Source, layout: struct.Struct, start: int, chunk: _Chunk) -> bool:
    """Whether the file, whose outermost chunk stands at ``start``, ends before this one does. Both must say so: one
    size alone may have been written wrong."""
    size: int = layout.unpack(source.read(start, layout.size))[1]
    promised = (size, chunk.promised_end - chunk.start)
    if layout.size < _DSDIFF_CHUNK.size and max(promised) >= _OPEN_32:
        return False
    return min(start + layout.size + size, chunk.promised_end) > source.size


_RIFF_CHUNK = struct.Struct("<4sI")
_IFF_CHUNK = struct.Struct(">4sI")
_DSDIFF_CHUNK = struct.Struct(">4sQ")


def is_wave(header: bytes) -> bool:
    """Whether a file that begins so is WAVE, also in its form for sizes above 4 GB."""
    return header[:4] in {b"RIFF", b"RF64", b"BW64"} and header[8:12] == b"WAVE"


def is_aiff(header: bytes) -> bool:
    """Whether a file that begins so is AIFF or AIFF-C."""
    return header[:4] == b"FORM" and header[8:12] in {b"AIFF", b"AIFC"}


def is_dsdiff(header: bytes) -> bool:
    """Whether a file that begins so is DSDIFF."""
    return header[:4] == b"FRM8" and header[12:16] == b"DSD "


def wave_file(source: Source, start: int, front: list[TagBlock]) -> Anatomy:
    """The file whose RIFF header stands at ``start``."""
    form = b""
    audio: list[Span] = []
    id3: list[TagBlock] = []
    info: list[TagBlock] = []
    long_size = 0
    cut = False
    for chunk in _wave_chunks(source, start + 12):
        if chunk.name == b"fmt " and not form:
            form = chunk.read(source, 40)
        elif chunk.name == b"ds64":
            long_size = int.from_bytes(chunk.read(source, 16)[8:16], "little")
        elif chunk.name == b"data" and not audio:
            audio.append(_data_span(chunk, source, long_size))
            cut = _is_cut(source, _RIFF_CHUNK, start, chunk)
        elif chunk.name in {b"id3 ", b"ID3 "}:
            id3.append(wanted_id3v2(source, chunk.start, limit=chunk.end))
        elif chunk.name == b"LIST" and source.read(chunk.start, 4) == b"INFO":
            info.append(
                TagBlock(TagForm.INFO, source.read(chunk.start + 4, min(LARGEST_VALUE, chunk.end - chunk.start - 4)))
            )
    if len(form) < 16:
        raise Malformed("the WAVE file does not say what it holds")
    size = sum(span.length for span in audio)
    content = (
        b"WAVE" + _RIFF_CHUNK.pack(b"fmt ", 16) + form[:16] + _RIFF_CHUNK.pack(b"data", min(size, _UNKNOWN_32 - 64))
    )
    header = _RIFF_CHUNK.pack(b"RIFF", min(len(content) + size, _UNKNOWN_32 - 1)) + content
    tag = int.from_bytes(form[:2], "little")
    if tag == _WAVE_EXTENSIBLE and len(form) >= 26:
        tag = int.from_bytes(form[24:26], "little")
    codec = _WAVE_CODECS.get(tag, f"wav-{tag:04x}")
    return anatomy(Kind.WAVE, audio, id3 + front + info, header=header, codec=codec, cut=cut)


def _wave_chunks(source: Source, start: int) -> Iterator[_Chunk]:
    # Not to the end that the header names: a recorder that was switched off leaves 0 there.
    return _chunks(source, start, source.size, _RIFF_CHUNK)


def _data_span(chunk: _Chunk, source: Source, long_size: int) -> Span:
    """The content of a ``data`` chunk; sizes of 0 and -1 stand for "in ds64" or "never closed"."""
    size = chunk.end - chunk.start
    declared = int.from_bytes(source.read(chunk.start - 4, 4), "little")
    if declared == _UNKNOWN_32 and long_size:
        size = long_size
    elif declared == 0:
        size = source.size - chunk.start
    return Span(chunk.start, min(chunk.start + size, source.size))


def aiff_file(source: Source, start: int, front: list[TagBlock]) -> Anatomy:
    """The file whose FORM header stands at ``start``."""
    common = b""
    audio: list[Span] = []
    id3: list[TagBlock] = []
    texts: list[bytes] = []
    cut = False
    for chunk in _chunks(source, start + 12, source.size, _IFF_CHUNK):
        if chunk.name == b"COMM" and not common:
            common = chunk.read(source, 64)
        elif chunk.name == b"SSND" and not audio:
            audio.append(Span(min(chunk.start + 8, chunk.end), chunk.end))  # offset and block size come first
            cut = _is_cut(source, _IFF_CHUNK, start, chunk)
        elif chunk.name in {b"ID3 ", b"id3 "}:
            id3.append(wanted_id3v2(source, chunk.start, limit=chunk.end))
        elif chunk.name in _AIFF_TEXTS:
            texts.append(_info_item(_AIFF_TEXTS[chunk.name], chunk.read(source)))
    if len(common) < 18:
        raise Malformed("the AIFF file does not say what it holds")
    content = b"AIFF" + _IFF_CHUNK.pack(b"COMM", 18) + common[:18]
    header = _IFF_CHUNK.pack(b"FORM", len(content)) + content
    tags = [*id3, *front, TagBlock(TagForm.INFO, b"".join(texts))]
    return anatomy(Kind.AIFF, audio, tags, header=header, codec=_aiff_codec(common[18:22]), cut=cut)


_AIFF_TEXTS = {b"NAME": b"INAM", b"AUTH": b"IART"}
_AIFF_CODECS = {b"ulaw": "mulaw", b"ULAW": "mulaw", b"alaw": "alaw", b"ALAW": "alaw", b"ima4": "adpcm"}


def _aiff_codec(compression: bytes) -> str:
    return _AIFF_CODECS.get(compression, "pcm")


def _info_item(name: bytes, text: bytes) -> bytes:
    return _RIFF_CHUNK.pack(name, len(text)) + text + b"\0" * (len(text) % 2)


def dsdiff_file(source: Source, start: int, front: list[TagBlock]) -> Anatomy:
    """The file whose FRM8 header stands at ``start``."""
    header_chunks = b""
    audio: list[Span] = []
    id3: list[TagBlock] = []
    codec = "dsd"
    cut = False
    for chunk in _chunks(source, start + 16, source.size, _DSDIFF_CHUNK):
        if chunk.name == b"PROP" and not header_chunks:
            content = chunk.read(source)
            header_chunks = _DSDIFF_CHUNK.pack(b"PROP", len(content)) + content + b"\0" * (len(content) % 2)
        elif chunk.name in {b"DSD ", b"DST "} and not audio:
            audio.append(Span(chunk.start, chunk.end))
            cut = _is_cut(source, _DSDIFF_CHUNK, start, chunk)
            header_chunks += source.read(chunk.start - 12, 12)
            if chunk.name == b"DST ":
                codec = "dst"
                header_chunks += chunk.read(source, 18)  # the frame count, which is a chunk within
        elif chunk.name in {b"ID3 ", b"id3 "}:
            id3.append(wanted_id3v2(source, chunk.start, limit=chunk.end))
    if not header_chunks:
        raise Malformed("the DSDIFF file does not say what it holds")
    size = len(header_chunks) + 4 + sum(span.length for span in audio)
    header = _DSDIFF_CHUNK.pack(b"FRM8", size + size % 2) + b"DSD " + header_chunks
    return anatomy(Kind.DSDIFF, audio, id3 + front, header=header, codec=codec, cut=cut)


_DSF_HEADERS = 28 + 52 + 12


def dsf_file(source: Source, start: int, front: list[TagBlock]) -> Anatomy:
    """The file whose ``DSD`` chunk stands at ``start``."""
    head = source.exactly(start, _DSF_HEADERS)
    pointer = int.from_bytes(head[20:28], "little")
    size = int.from_bytes(head[84:92], "little")
    if head[80:84] != b"data" or size < 12:
        raise Malformed("the DSF file has no audio where it must be")
    id3 = [wanted_id3v2(source, start + pointer)] if pointer else []
    # Without its pointer to the tag, which the miniature does not hold.
    header = head[:20] + bytes(8) + head[28:]
    promised_end = start + 80 + size
    audio = Span(start + _DSF_HEADERS, min(promised_end, source.size))
    cut = min(promised_end, start + int.from_bytes(head[12:20], "little")) > source.size
    return anatomy(Kind.DSF, [audio], id3 + front, header=header, codec="dsd", cut=cut)
