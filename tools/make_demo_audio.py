"""Makes the audio of ``psm demo`` (psm/demo/music): short plucked melodies, synthesised here, so that we may ship them.

Needs ffmpeg and mutagen, and nothing of psm. A melody follows from its title, so it sounds the same each time;
the bytes depend on the encoders' versions, so making the files again changes them.
"""

import math
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass, field
from pathlib import Path

import mutagen
from mutagen.easymp4 import EasyMP4Tags

MUSIC = Path(__file__).resolve().parent.parent / "psm" / "demo" / "music"
RATE_HZ = 16_000
PENTATONIC = (0, 2, 4, 7, 9)  # in semitones; any of its notes sound well together
ENCODERS = {
    ".mp3": ("-c:a", "libmp3lame", "-b:a", "16k"),
    ".flac": ("-c:a", "flac", "-compression_level", "12"),
    ".m4a": ("-c:a", "aac", "-b:a", "20k"),
    ".ogg": ("-c:a", "libvorbis", "-q:a", "-1"),
    ".opus": ("-c:a", "libopus", "-b:a", "14k"),
}


@dataclass(frozen=True)
class Song:
    """One file: where it goes below MUSIC, how long it plays, and its tags (none for a file without tags)."""

    path: str
    seconds: float
    title: str
    artists: tuple[str, ...]
    tags: dict[str, str] = field(default_factory=dict)


def _album(
    folder: str, suffix: str, artist: str, album: str, year: int, genre: str, songs: list[tuple[str, str, float, str]]
) -> list[Song]:
    """The songs of one album, each (file name, title, seconds, ISRC or nothing)."""
    return [
        Song(
            f"{folder}/{number:02} {name}{suffix}",
            seconds,
            title,
            (artist,),
            {
                "album": album,
                "albumartist": artist,
                "date": str(year),
                "genre": genre,
                "tracknumber": str(number),
                **({"isrc": isrc} if isrc else {}),
            },
        )
        for number, (name, title, seconds, isrc) in enumerate(songs, start=1)
    ]


def _compilation(name: str, number: int, title: str, artists: tuple[str, ...], seconds: float) -> Song:
    tags = {
        "album": "Garden Sessions",
        "albumartist": "Various Artists",
        "compilation": "1",
        "date": "2022",
        "genre": "Folk",
        "tracknumber": str(number),
    }
    return Song(f"Various Artists/Garden Sessions/{number:02} {name}.opus", seconds, title, artists, tags)


# The ISRCs begin with XX, which belongs to no country.
SONGS = [
    *_album(
        "Ottoline Marsh/Paper Lanterns",
        ".flac",
        "Ottoline Marsh",
        "Paper Lanterns",
        2019,
        "Folk",
        [("Harbour Lights", "Harbour Lights", 3.2, "XXPSM1900001"), ("Slow Tide", "Slow Tide", 2.8, "XXPSM1900002")],
    ),
    *_album(
        "The Copper Foxes/Night Bus Home",
        ".mp3",
        "The Copper Foxes",
        "Night Bus Home",
        2011,
        "Indie",
        [
            ("Last Stop", "Last Stop", 5.0, ""),
            ("Rain on Neon", "Rain on Neon", 4.4, ""),
            ("Window Seat", "Window Seat (feat. Juno Vale)", 6.1, ""),
        ],
    ),
    *_album(
        "Zoe Akerlund/Sma timmar",
        ".m4a",
        "Zoë Åkerlund",
        "Små timmar",
        2016,
        "Pop",
        [("Fjarilar", "Fjärilar", 4.8, ""), ("Over bron", "Över bron", 5.5, "XXPSM1600002")],
    ),
    *_album(
        "Brass Kettle Trio/Tea at Midnight",
        ".ogg",
        "Brass Kettle Trio",
        "Tea at Midnight",
        2008,
        "Jazz",
        [("First Cup", "First Cup", 4.0, ""), ("Steam", "Steam", 5.2, ""), ("Second Cup", "Second Cup", 4.6, "")],
    ),
    _compilation("Ivy", 1, "Ivy", ("Juno Vale", "The Copper Foxes"), 6.4),
    _compilation("Foxglove", 2, "Foxglove", ("Halden & Moor",), 5.7),
    # A song twice in the library, and a file without any tags: a report should name both.
    Song("Downloads/Slow Tide.mp3", 2.8, "Slow Tide", ("Ottoline Marsh",), {"album": "Paper Lanterns"}),
    Song("Unsorted/Ottoline Marsh - Low Water.mp3", 3.6, "Low Water", ()),
]


def main() -> int:
    """Writes all files anew."""
    shutil.rmtree(MUSIC, ignore_errors=True)
    for song in SONGS:
        target = MUSIC / song.path
        target.parent.mkdir(parents=True, exist_ok=True)
        _encode(_melody(song.title, song.seconds), target)
        if song.artists:
            _tag(target, song)
    total = sum(f.stat().st_size for f in MUSIC.rglob("*.*") if f.is_file())
    print(f"{len(SONGS)} files, {total:,} bytes")
    return 0


def _melody(title: str, seconds: float) -> bytes:
    """A melody that follows from its title: samples of 16 bits, mono."""
    dice = random.Random(title)  # noqa: S311  (music, no secret)
    base = dice.choice((196.0, 220.0, 246.9, 261.6))
    beat = dice.choice((0.25, 0.3, 0.4))
    samples = [0.0] * int(seconds * RATE_HZ)
    start, step = 0.0, dice.randrange(5)
    while start < seconds - beat:
        step = min(9, max(0, step + dice.choice((-2, -1, 1, 1, 2))))
        octave, note = divmod(step, len(PENTATONIC))
        length = beat * dice.choice((1, 1, 2))
        _pluck(samples, start, base * 2 ** (octave + PENTATONIC[note] / 12), min(2 * length, seconds - start))
        start += length
    return struct.pack(f"<{len(samples)}h", *(round(9000 * math.tanh(s)) for s in samples))


def _pluck(samples: list[float], start: float, pitch_hz: float, length: float) -> None:
    """Adds one note: three overtones, a quick rise and a long fall."""
    first = int(start * RATE_HZ)
    for n in range(int(length * RATE_HZ)):
        t = n / RATE_HZ
        envelope = min(1.0, t / 0.008) * math.exp(-4.5 * t) * min(1.0, (length - t) / 0.05)
        wave_ = sum(math.sin(math.tau * pitch_hz * k * t) / k**2 for k in (1, 2, 3))
        samples[first + n] += 0.6 * envelope * wave_


def _encode(samples: bytes, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "melody.wav"
        with wave.open(str(source), "wb") as out:
            out.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            out.writeframes(samples)
        quiet = ("-hide_banner", "-loglevel", "error", "-y")
        # Bit-exact: no encoder name or version is written into the file.
        exact = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact")
        subprocess.run(["ffmpeg", *quiet, "-i", str(source), *exact, *ENCODERS[target.suffix], str(target)], check=True)


def _tag(target: Path, song: Song) -> None:
    EasyMP4Tags.RegisterFreeformKey("isrc", "ISRC")  # the one name that mutagen's easy tags do not have for MP4
    file = mutagen.File(target, easy=True)
    if file.tags is None:
        file.add_tags()
    file.tags.update({"title": song.title, "artist": list(song.artists), **song.tags})
    # The usual kilobytes of padding would be a fifth of the file.
    file.save(padding=lambda _: 0)


if __name__ == "__main__":
    sys.exit(main())
