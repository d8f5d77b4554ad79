"""Ogg with Vorbis, Opus, Speex or FLAC in it: comments without pictures, and the audio's packets without their pages.

A retag renumbers every page of the file and gives each a new checksum, may move the packets that share a page with the
headers to one of their own, and a copy by another program draws all pages anew. What stays is the packets, so the audio
named here is payload alone, counted from the first packet behind the headers, whatever page that is on: the first bytes
of it and the last.

Formats: https://www.rfc-editor.org/rfc/rfc3533 (Ogg), https://xiph.org/vorbis/doc/Vorbis_I_spec.html,
https://www.rfc-editor.org/rfc/rfc7845 (Opus), https://www.speex.org/docs/manual/speex-manual/,
https://xiph.org/flac/ogg_mapping.html
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from psm.ingest.formats.anatomy import Anatomy, Kind, Span, StreamFacts, TagBlock
from psm.ingest.formats.source import HEAD_BYTES, Malformed, Source
from psm.ingest.formats.vorbis import wanted_comments

_HEADER_BYTES = 27
_LARGEST_PAGE = _HEADER_BYTES + 255 + 255 * 255
_TAIL_ROOM = (_LARGEST_PAGE, 3 * _LARGEST_PAGE, 15 * _LARGEST_PAGE)
"""How far before the end of the file a sample's worth of audio is looked for: a page of it is enough in music, in films
there are pictures between."""
_NO_GRANULE = -1
_MOST_STREAMS = 16
_MOST_HEADERS = 1_000
_SAMPLE_BYTES = 16 * 1024
_OPUS_HZ = 48_000
_LAST_BLOCK = 0x80


@dataclass(frozen=True, slots=True)
class _Page:
    start: int
    body: int
    end: int
    serial: int
    granule: int
    first: bool
    lacing: bytes


@dataclass(frozen=True, slots=True)
class _Codec:
    """How a codec lays out its headers: how many packets at most, what stands before the comments in theirs, and
    whether a packet says itself that it is the last of them, as FLAC's metadata blocks do."""

    name: str
    headers: int
    comment_mark: bytes
    comment_prefix: int
    flagged: bool = False


def ogg_file(source: Source, start: int, front: list[TagBlock]) -> Anatomy:
    """The first audio stream that psm knows in the file whose pages begin at ``start``."""
    page, codec, identification = _audio_stream(source, start)
    packets = _Packets(source, page)
    tags = _headers(packets, codec)
    first = packets.rest_of_page()
    head = _first_of(source, chain([first], _pages(source, first.end, page.serial)), _SAMPLE_BYTES)
    tail_pages = _last_pages(source, first)
    tail = _last_of(source, tail_pages, _SAMPLE_BYTES)
    # A short file's end is its start again: each byte counts once.
    head_end = head[-1].end if head else first.body
    audio = [*head, *(Span(max(span.start, head_end), span.end) for span in tail)]
    samples = max((page.granule for page in tail_pages), default=0)
    audio_bytes = max(0, source.size - first.body)
    return Anatomy(
        Kind.OGG,
        tuple(span for span in audio if span.length > 0),
        max(0, samples),
        audio_bytes,
        tuple(block for block in (tags, *front) if block.data),
        facts=_facts(codec, identification, samples, audio_bytes),
        codec=codec.name,
        cut=any(page.end > source.size for page in tail_pages),
    )


def _page_at(source: Source, offset: int) -> _Page | None:
    head = source.read(offset, _HEADER_BYTES + 255, ahead=HEAD_BYTES)
    if len(head) < _HEADER_BYTES or head[:5] != b"OggS\0":
        return None
    flags, granule, serial = struct.unpack_from("<BqI", head, 5)
    body = offset + _HEADER_BYTES + head[26]
    lacing = head[_HEADER_BYTES : _HEADER_BYTES + head[26]]
    return _Page(offset, body, body + sum(lacing), serial, granule, bool(flags & 2), lacing)


def _pages(source: Source, offset: int, serial: int | None = None) -> Iterator[_Page]:
    while (page := _page_at(source, offset)) is not None:
        offset = page.end
        if serial is None or page.serial == serial:
            yield page


def _audio_stream(source: Source, start: int) -> tuple[_Page, _Codec, bytes]:
    """The first page of the first stream psm knows, its codec and its identification packet."""
    for count, page in enumerate(_pages(source, start)):
        if not page.first or count >= _MOST_STREAMS:
            break
        packet = source.exactly(page.body, page.end - page.body)
        if packet.startswith(b"\x01vorbis") and len(packet) >= 30:
            return page, _Codec("vorbis", 3, b"\x03vorbis", 7), packet
        if packet.startswith(b"OpusHead") and len(packet) >= 19:
            return page, _Codec("opus", 2, b"OpusTags", 8), packet
        if packet.startswith(b"Speex   ") and len(packet) >= 80:
            extra = int.from_bytes(packet[68:72], "little")
            return page, _Codec("speex", 2 + min(extra, 8), b"", 0), packet
        if packet.startswith(b"\x7fFLAC") and len(packet) >= 51:
            # It counts its header packets too, but may give 0 for unknown.
            return page, _Codec("flac", _MOST_HEADERS, b"", 4, flagged=True), packet
    raise Malformed("the Ogg file holds no audio of a kind psm knows")


class _Packets:
    """The packets of one stream behind those on ``page``, read across the pages that follow it."""

    def __init__(self, source: Source, page: _Page) -> None:
        self._source = source
        self._page = page
        self._runs = self._all_runs(_pages(source, page.end, page.serial))
        self._position, self._left, self._more = page.end, 0, False

    def _all_runs(self, pages: Iterator[_Page]) -> Iterator[tuple[int, int, bool]]:
        """Start and length of each piece of a packet, and whether the packet goes on in the next piece."""
        for page in pages:
            self._page = page
            position, length = page.body, 0
            for lace in page.lacing:
                length += lace
                if lace < 255:
                    yield position, length, False
                    position, length = position + length, 0
            if length:
                yield position, length, True

    def open(self) -> None:
        """Go to the start of the next packet; the one before must be at its end."""
        run = next(self._runs, None)  # which may move on to another page
        self._position, self._left, self._more = run or (self._page.end, 0, False)

    def close(self) -> None:
        """Go to the end of this packet."""
        while self._more:
            self.open()
        self._advance(self._left)

    def rest_of_page(self) -> _Page:
        """The page that the packet in hand ends on, its body from the packet's end on: often an empty one."""
        return replace(self._page, body=self._position)

    def read(self, length: int) -> bytes:
        """The next bytes of this packet, fewer at its end."""
        pieces: list[bytes] = []
        while length > 0 and (self._left or self._continue()):
            piece = self._source.read(self._position, min(length, self._left))
            if not piece:
                break
            pieces.append(piece)
            self._advance(len(piece))
            length -= len(piece)
        return b"".join(pieces)

    def skip(self, length: int) -> None:
        """Go on within this packet: the pages are walked, what is in them is not looked at."""
        while length > 0 and (self._left or self._continue()):
            step = min(length, self._left)
            self._advance(step)
            length -= step

    def _advance(self, step: int) -> None:
        self._position += step
        self._left -= step

    def _continue(self) -> bool:
        while self._more and not self._left:
            self.open()
        return self._left > 0


def _headers(packets: _Packets, codec: _Codec) -> TagBlock:
    """The comments; the packets stand at the end of the last header afterwards."""
    packets.open()
    prefix = packets.read(codec.comment_prefix)
    if not prefix.startswith(codec.comment_mark):
        raise Malformed(f"the {codec.name} stream has no comments where they must be")
    tags = wanted_comments(packets)
    packets.close()
    for _ in range(codec.headers - 2):
        if codec.flagged and (not prefix or prefix[0] & _LAST_BLOCK):
            break
        packets.open()
        prefix = packets.read(1)
        packets.close()
    return tags


def _first_of(source: Source, pages: Iterable[_Page], most: int) -> list[Span]:
    """The start of the pages' payload, at most so many bytes of it."""
    kept: list[Span] = []
    for page in pages:
        kept.append(Span(page.body, min(page.end, page.body + most, source.size)))
        most -= kept[-1].length
        if most <= 0:
            break
    return kept


def _last_of(source: Source, pages: list[_Page], most: int) -> list[Span]:
    """The end of the pages' payload, at most so many bytes of it."""
    kept: list[Span] = []
    for page in reversed(pages):
        end = max(page.body, min(page.end, source.size))
        kept.insert(0, Span(max(page.body, end - most), end))
        most -= kept[0].length
        if most <= 0:
            break
    return kept


def _last_pages(source: Source, first: _Page) -> list[_Page]:
    """The stream's last pages with a sample's worth of audio, as far as there is one; ``first`` is where it begins."""
    pages: list[_Page] = []
    for room in _TAIL_ROOM:
        offset = max(first.end, source.size - room)
        pages = _chain_in(source, offset, first.serial)
        if offset == first.end:
            return [first, *pages]
        if sum(page.end - page.body for page in pages) >= _SAMPLE_BYTES:
            break
    return pages


def _chain_in(source: Source, offset: int, serial: int) -> list[_Page]:
    """The stream's pages between here and the end of the file."""
    tail = source.read(offset, source.size - offset)
    found = tail.find(b"OggS\0")
    while found >= 0:
        pages = list(_pages(source, offset + found, serial))
        # Where "OggS" only happens to stand in a packet, no page follows it.
        if any(page.granule != _NO_GRANULE for page in pages):
            return pages
        found = tail.find(b"OggS\0", found + 1)
    return []


def _facts(codec: _Codec, packet: bytes, samples: int, audio_bytes: int) -> StreamFacts:
    """What the identification packet says, with the length from the last page."""
    if codec.name == "vorbis":
        channels, rate, highest, nominal, lowest = struct.unpack_from("<BIiii", packet, 11)
        bitrate = nominal if nominal > 0 else (max(0, highest) + max(0, lowest)) // 2
        return _measured(samples, rate, channels, bitrate, audio_bytes)
    if codec.name == "opus":
        pre_skip = int.from_bytes(packet[10:12], "little")
        return _measured(samples - pre_skip, _OPUS_HZ, packet[9], 0, audio_bytes)
    if codec.name == "speex":
        rate, _, _, channels, bitrate = struct.unpack_from("<IIIIi", packet, 36)
        return _measured(samples, rate, channels, bitrate, audio_bytes)
    info = packet[17:51]
    rate = int.from_bytes(info[10:13], "big") >> 4
    total = int.from_bytes(info[13:18], "big") & 0xF_FFFF_FFFF
    return _measured(total or samples, rate, (info[12] >> 1 & 7) + 1, 0, audio_bytes)


def _measured(samples: int, rate: int, channels: int, bitrate: int, audio_bytes: int) -> StreamFacts:
    duration = samples / rate if rate > 0 and samples > 0 else 0.0
    if bitrate <= 0:
        bitrate = round(audio_bytes * 8 / duration) if duration else 0
    return StreamFacts(duration, bitrate, rate, channels)
