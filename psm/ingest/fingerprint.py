"""A name for the audio of a file, which a retag, a rename and a move keep.

FLAC files carry one: the MD5 of the decoded audio, which even another compression level keeps. For all others it is a
hash over two samples of the audio's bytes and their whole length. What a tag editor may touch is left out: tags and
pictures wherever they stand, container headers, an MP3's Xing frame, and the pages of Ogg, since a longer comment
renumbers every page behind it. One sample is from the start and one from the middle (of Ogg, whose middle cannot be
found without its pages, from the end): many recordings begin with the same silence.

Kept by: everything mutagen writes, and a stream copy by ffmpeg to the same format, except to fragmented MP4, which it
packs anew (measured, see tests/ingest/test_fingerprint.py). Not kept by: a cut, another encoding, and gain written into
the frames themselves (mp3gain). Not told apart: a FLAC file and the same file cut short, whose header still names the
sum of the whole.
"""

from typing import BinaryIO

from psm.digest import blake2b
from psm.ingest.formats import Anatomy, Malformed, Source, Span, dissect

_SAMPLE_BYTES = 16 * 1024
_DIGEST_BYTES = 16


def audio_fingerprint(file: BinaryIO, *, extension: bytes = b"") -> str | None:
    """``flac:<md5>`` or ``audio:<hash>``, both 32 hexadecimal digits; None when no audio was found.

    ``file`` is open for reading, its position does not matter. ``extension`` is that of its name, lower case, with the
    dot. Reads the file's headers and two samples of 16 KB. Raises OSError when it cannot be read.
    """
    source = Source(file)
    try:
        return fingerprint(source, dissect(source, extension=extension))
    except Malformed:
        return None


def fingerprint(source: Source, parts: Anatomy) -> str | None:
    """As :func:`audio_fingerprint`, of a file that has been dissected."""
    if parts.md5:
        return f"flac:{parts.md5}"
    length = sum(span.length for span in parts.audio)
    if not length:
        return None
    digest = blake2b(f"{parts.extent}:".encode(), digest_size=_DIGEST_BYTES)
    if length <= 2 * _SAMPLE_BYTES:
        samples = [(0, length)]
    else:
        samples = [(0, _SAMPLE_BYTES), (max(_SAMPLE_BYTES, length // 2 - _SAMPLE_BYTES // 2), _SAMPLE_BYTES)]
    read = 0
    for start, size in samples:
        for span in _part(parts.audio, start, size):
            data = source.read(span.start, span.length)
            read += len(data)
            digest.update(data)
    return f"audio:{digest.hexdigest()}" if read else None


def _part(spans: tuple[Span, ...], start: int, size: int) -> list[Span]:
    """``size`` bytes from ``start``, counted over the spans as if they were one."""
    found: list[Span] = []
    for span in spans:
        first, last = span.start + max(0, start), min(span.end, span.start + start + size)
        if first < last:
            found.append(Span(first, last))
        start -= span.length
        if start + size <= 0:
            break
    return found
