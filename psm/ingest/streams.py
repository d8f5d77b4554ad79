"""What the headers of a stream say: length, bitrate, sample rate, channels and codec. mutagen reads them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from typing import Any

from psm.ingest.formats import Anatomy, Kind, Source, Window

# What lies outside is damage, or a joke of a fuzzer: it must not reach the database, whose integers end at 63 bits.
_LONGEST_S = 30 * 24 * 3600
_MOST_KBPS = 1_000_000
_MOST_HZ = 100_000_000
_MOST_CHANNELS = 255

_READERS: Mapping[Kind, tuple[str, str]] = {
    Kind.MPEG: ("mp3", "MPEGInfo"),
    Kind.ADTS: ("aac", "AACInfo"),
    Kind.AC3: ("ac3", "AC3Info"),
    Kind.FLAC: ("flac", "FLAC"),
    Kind.MP4: ("mp4", "MP4"),
    Kind.ASF: ("asf", "ASF"),
    Kind.WAVE: ("wave", "WAVE"),
    Kind.AIFF: ("aiff", "AIFF"),
    Kind.DSF: ("dsf", "DSF"),
    Kind.DSDIFF: ("dsdiff", "DSDIFF"),
    Kind.APE: ("monkeysaudio", "MonkeysAudioInfo"),
    Kind.WAVPACK: ("wavpack", "WavPackInfo"),
    Kind.MUSEPACK: ("musepack", "MusepackInfo"),
    Kind.TAK: ("tak", "TAKInfo"),
    Kind.OPTIMFROG: ("optimfrog", "OptimFROGInfo"),
}
"""mutagen's module and class for each: a reader of the stream alone, or of the whole (miniature) file."""

_COUNTED = frozenset({Kind.FLAC, Kind.MP4})
"""Where the bitrate is counted from the audio's bytes: mutagen would take FLAC's from the size of the miniature, and
the headers of MP4 say 0 or, for ALAC, what the music had before it was compressed."""

_CODECS = {
    "ac-3": "ac3",
    "ec-3": "eac3",
    "mp4a.69": "mp3",
    "mp4a.6b": "mp3",
    "mp4a.40.34": "mp3",
}


@dataclass(frozen=True, slots=True)
class Stream:
    """One file's stream. None is what its headers do not say, or what cannot be."""

    duration_s: float | None
    bitrate_kbps: int | None
    sample_rate_hz: int | None
    channels: int | None
    codec: str | None


def stream_of(source: Source, parts: Anatomy) -> Stream:
    """Raises whatever mutagen raises on damage: any exception at all."""
    info: Any = None
    if parts.facts is not None:
        facts = parts.facts
        duration, bitrate, rate, channels = facts.duration_s, facts.bitrate_bps, facts.sample_rate_hz, facts.channels
    else:
        info = _info(source, parts)
        duration, bitrate = getattr(info, "length", 0) or 0, getattr(info, "bitrate", 0) or 0
        rate, channels = getattr(info, "sample_rate", 0) or 0, getattr(info, "channels", 0) or 0
    duration = duration or parts.duration_s or 0
    if not _within(duration, _LONGEST_S):
        duration = 0
    if duration and (bitrate <= 0 or (parts.kind in _COUNTED and parts.audio_bytes)):
        bitrate = parts.audio_bytes * 8 / duration
    elif bitrate > 0 and parts.kind is Kind.MPEG and not duration:
        duration = parts.audio_bytes * 8 / bitrate  # a Xing frame that says 0 frames
    return Stream(
        duration_s=duration or None,
        bitrate_kbps=round(bitrate / 1000) or None if _within(bitrate / 1000, _MOST_KBPS) else None,
        sample_rate_hz=int(rate) if _within(rate, _MOST_HZ) else None,
        channels=int(channels) if _within(channels, _MOST_CHANNELS) else None,
        codec=parts.codec or _codec(info),
    )


def _within(value: float, most: float) -> bool:
    return math.isfinite(value) and 0 < value <= most


def _info(source: Source, parts: Anatomy) -> Any:
    module, name = _READERS[parts.kind]
    reader = getattr(import_module(f"mutagen.{module}"), name)
    if parts.stream is not None:
        return reader(Window(source, parts.stream.start, parts.stream.end))
    return reader(BytesIO(parts.header or b"")).info


def _codec(info: Any) -> str | None:
    """Of those whose container may hold several: MP4 and AC-3."""
    said = str(getattr(info, "codec", "")).lower()
    return _CODECS.get(said, "aac" if said.startswith("mp4a") else said) or None
