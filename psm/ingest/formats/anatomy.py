"""The parts of an audio file: where its audio lies, and its tags without their pictures."""

from dataclasses import dataclass
from enum import Enum, StrEnum

LARGEST_VALUE = 64 * 1024
"""A tag value above this many bytes is a picture, a lyric sheet or damage, and is not read."""


class Kind(StrEnum):
    """What a file is by its content, whatever its name says. The values are the codec's short name where there is only
    one."""

    MPEG = "mp3"
    ADTS = "aac"
    AC3 = "ac3"
    FLAC = "flac"
    OGG = "ogg"
    MP4 = "mp4"
    ASF = "asf"
    WAVE = "wav"
    AIFF = "aiff"
    DSF = "dsd"
    DSDIFF = "dsdiff"
    APE = "ape"
    WAVPACK = "wavpack"
    MUSEPACK = "musepack"
    TTA = "tta"
    TAK = "tak"
    OPTIMFROG = "optimfrog"


class TagForm(Enum):
    """How a block of tags is written. INFO is the content of a RIFF ``LIST`` of type ``INFO``; VORBIS is without a
    framing bit."""

    ID3V2 = "ID3v2"
    ID3V1 = "ID3v1"
    VORBIS = "Vorbis comments"
    APE = "APEv2"
    MP4 = "MP4"
    ASF = "ASF"
    INFO = "RIFF INFO"


@dataclass(frozen=True, slots=True)
class TagBlock:
    """One block of tags: whole and valid in its own form, without pictures and other large values."""

    form: TagForm
    data: bytes


@dataclass(frozen=True, slots=True)
class Span:
    """A range of bytes of the file; ``end`` is the first byte that does not belong to it."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """In bytes."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What the headers of a stream say of it; 0 where they do not."""

    duration_s: float = 0.0
    bitrate_bps: float = 0.0
    sample_rate_hz: int = 0
    channels: int = 0


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of one file.

    ``audio`` are the ranges that hold audio and nothing else, in order; of an Ogg file only those at its start and its
    end. ``extent`` is the audio's whole size, in bytes (in samples for Ogg, whose bytes can be known only by walking
    all its pages). ``tags`` come in order of trust. One of three says what the stream is: ``header``, a miniature of
    the file, its headers alone, for mutagen to read; ``stream``, the range that mutagen can read itself; or ``facts``.
    ``md5`` is FLAC's own sum of the decoded audio; ``duration_s`` is known here only where no header says it. ``cut``
    says that the container promises more audio than the file holds; most formats cannot tell.
    """

    kind: Kind
    audio: tuple[Span, ...]
    extent: int
    audio_bytes: int
    tags: tuple[TagBlock, ...] = ()
    header: bytes | None = None
    stream: Span | None = None
    facts: StreamFacts | None = None
    codec: str | None = None
    md5: str | None = None
    duration_s: float | None = None
    cut: bool = False


def anatomy(
    kind: Kind,
    audio: list[Span],
    tags: list[TagBlock],
    *,
    header: bytes | None = None,
    stream: Span | None = None,
    facts: StreamFacts | None = None,
    codec: str | None = None,
    md5: str | None = None,
    cut: bool = False,
) -> Anatomy:
    """The anatomy of a file whose audio is known to the byte; empty ranges and empty tags are dropped."""
    spans = tuple(span for span in audio if span.length > 0)
    length = sum(span.length for span in spans)
    kept = tuple(block for block in tags if block.data)
    return Anatomy(kind, spans, length, length, kept, header, stream, facts, codec, md5, cut=cut)
