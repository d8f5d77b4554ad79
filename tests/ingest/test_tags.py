"""Tags and streams of real files, of every format, whole and broken."""

import errno
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import cache as cached
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psm.ingest.extensions import AUDIO_EXTENSIONS, has_audio_name
from psm.ingest.tags import read_file
from psm.models import Reading, TrackTags
from tests.audio import FORMATS, audio_bytes, debian_music, make_audio, write_tags

ALL = sorted(FORMATS)
RECORDING, RELEASE = "0b8e0d4d-4f5a-4f49-8f0b-7d3f4e4e2c11", "1b8e0d4d-4f5a-4f49-8f0b-7d3f4e4e2c11"
EVERYTHING: dict[str, Any] = {
    "title": ["Tïtle"],
    "artist": ["Artist One feat. Artist Two"],
    "artists": ["Artist One", "Artist Two"],
    "album": ["Älbum"],
    "albumartist": ["Album Artist"],
    "tracknumber": ["3/12"],
    "discnumber": ["2/2"],
    "date": ["1999-05-03"],
    "genre": ["Jazz"],
    "isrc": ["US-RC1-76-07839"],
    "musicbrainz_trackid": [RECORDING.upper()],
    "musicbrainz_albumid": [RELEASE],
    "compilation": ["1"],
}
SAME_NAME = ("mp2", "flac", "vorbis", "opus", "speex", "alac", "aac", "wavpack", "tta", "ac3", "eac3", "mp3")
CODECS = dict(
    zip(SAME_NAME, SAME_NAME, strict=True),
    **{"mp3-plain": "mp3", "mp3-vbr": "mp3", "oggflac": "flac", "m4a": "aac", "m4a-fast": "aac"},
    **{"m4a-fragments": "aac", "wma": "wmav2", "wav": "pcm", "aiff": "pcm"},
)


def read(path: Path, relative: str = "x/y") -> Reading:
    return read_file(os.fsencode(path), os.fsencode(relative))


def read_bytes(data: bytes, folder: Path, name: str = "file.mp3") -> Reading:
    path = folder / name
    path.write_bytes(data)
    return read(path, name)


@pytest.fixture(params=ALL)
def format_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def audio(format_name: str, tmp_path: Path) -> Path:
    return make_audio(tmp_path / f"a{FORMATS[format_name][0]}", format_name)


# --- names


@pytest.mark.parametrize("name", [b"a.mp3", b"A.MP3", b"a.b.FlaC", b"\xff.m4a", b"x.Opus", b"a.mp+", b"dir.d/a.dsf"])
def test_music_is_known_by_its_extension_in_any_case(name: bytes) -> None:
    assert has_audio_name(name)


@pytest.mark.parametrize("name", [b"a.mp4", b"a.jpg", b"mp3", b"a.mp3.part", b"a", b"", b"a.m3u8", b"a.mid"])
def test_other_names_are_not_music(name: bytes) -> None:
    assert not has_audio_name(name)


def test_every_format_that_is_made_here_is_in_the_list() -> None:
    assert {os.fsencode(extension) for extension, _ in FORMATS.values()} <= AUDIO_EXTENSIONS


# --- tags and streams of every format


def test_every_field_of_every_format_is_read(audio: Path, format_name: str) -> None:
    write_tags(audio, **EVERYTHING)
    reading = read(audio)
    assert reading.error is None
    tags = reading.tags
    assert (tags.title, tags.artists) == ("Tïtle", ("Artist One", "Artist Two"))
    assert (tags.album, tags.album_artist) == ("Älbum", "Album Artist")
    assert (tags.track_number, tags.disc_number, tags.year) == (3, 2, 1999)
    assert (tags.genre, tags.isrcs) == ("Jazz", ("USRC17607839",))
    assert (tags.mb_recording_id, tags.mb_release_id) == (RECORDING, RELEASE)
    assert tags.compilation
    assert tags.guessed == ()


def test_the_stream_of_every_format_is_read(audio: Path, format_name: str) -> None:
    tags = read(audio).tags
    assert tags.codec == CODECS[format_name]
    assert tags.duration_s == pytest.approx(1.0, abs=0.13)  # encoders pad to whole frames
    assert tags.sample_rate_hz == {"opus": 48_000, "speex": 16_000}.get(format_name, 44_100)
    assert tags.channels == 2
    size_kbps = audio.stat().st_size * 8 / 1000
    assert tags.bitrate_kbps == pytest.approx(size_kbps, rel=0.6, abs=25)


def test_several_artists_are_kept_apart_and_never_split(audio: Path, format_name: str) -> None:
    write_tags(audio, artist=["Simon & Garfunkel", "Earth, Wind & Fire", "AC/DC"])
    assert read(audio).tags.artists == ("Simon & Garfunkel", "Earth, Wind & Fire", "AC/DC")


def test_a_file_without_tags_says_what_its_name_says(audio: Path, format_name: str) -> None:
    reading = read(audio, "Miles Davis/Kind of Blue (1959)/1-03 Blue in Green.mp3")
    assert reading.error is None
    tags = reading.tags
    assert (tags.title, tags.artists, tags.album) == ("Blue in Green", ("Miles Davis",), "Kind of Blue")
    assert (tags.track_number, tags.disc_number, tags.year) == (3, 1, 1959)
    assert tags.guessed == ("title", "artists", "album", "track_number", "disc_number", "year")


def test_an_extension_that_lies_is_not_believed(audio: Path, format_name: str) -> None:
    write_tags(audio, title=["Tïtle"])
    for extension in (".mp3", ".flac", ".wav", ".mpc"):
        reading = read(audio.rename(audio.with_suffix(extension)), f"a{extension}")
        assert (reading.tags.title, reading.tags.codec) == ("Tïtle", CODECS[format_name])
        assert reading.fingerprint is not None
        audio = audio.with_suffix(extension)


@pytest.mark.parametrize("name", [name for name in ALL if name not in {"vorbis", "opus", "speex", "oggflac"}])
def test_a_picture_is_never_loaded(name: str, tmp_path: Path) -> None:
    path = make_audio(tmp_path / f"a{FORMATS[name][0]}", name)
    write_tags(path, title=["Tïtle"], artist=["A"], cover=random.Random(1).randbytes(8_000_000))
    read(path)  # mutagen's modules are imported by now
    tracemalloc.start()
    try:
        reading = read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (reading.tags.title, reading.tags.artists) == ("Tïtle", ("A",))
    assert peak < 1_000_000


@pytest.mark.parametrize("name", ["vorbis", "opus", "oggflac"])
def test_a_picture_in_ogg_is_walked_through_but_never_held(name: str, tmp_path: Path) -> None:
    path = make_audio(tmp_path / f"a{FORMATS[name][0]}", name)
    write_tags(path, title=["Tïtle"], artist=["A"], cover=random.Random(1).randbytes(3_000_000))
    read(path)
    tracemalloc.start()
    try:
        reading = read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (reading.tags.title, reading.tags.artists) == ("Tïtle", ("A",))
    assert peak < 1_500_000


# --- what only one kind of tag has


def _id3(version: int, frames: bytes, *, flags: int = 0) -> bytes:
    size = bytes(len(frames) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes((version, 0, flags)) + size + frames


def _frame(name: bytes, text: bytes, *, version: int = 3, plain: bool = False) -> bytes:
    if version == 2:
        return name + len(text).to_bytes(3, "big") + text
    size = len(text).to_bytes(4, "big")
    if version == 4 and not plain:
        size = bytes(len(text) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return name + size + b"\0\0" + text


MP3 = "mp3-plain"


def test_id3v2_2(tmp_path: Path) -> None:
    frames = _frame(b"TT2", b"\0Title", version=2) + _frame(b"PIC", b"\0JPG\3\0" + bytes(5000), version=2)
    frames += _frame(b"TP1", b"\0Artist", version=2) + _frame(b"TYE", b"\x001987", version=2)
    tags = read_bytes(_id3(2, frames) + audio_bytes(MP3), tmp_path).tags
    assert (tags.title, tags.artists, tags.year) == ("Title", ("Artist",), 1987)


def test_a_tag_that_is_unsynchronised_as_a_whole(tmp_path: Path) -> None:
    """UTF-16 text begins with FF FE, which becomes FF 00 FE; the picture before it holds many such."""
    picture = b"\0image/jpeg\0\3\0" + b"\xff\xe0\xff\0" * 40_000
    frames = _frame(b"APIC", picture) + _frame(b"TIT2", b"\1" + "Tïtle".encode("utf-16"))
    scrambled = (
        frames.replace(b"\xff\0", b"\xff\0\0").replace(b"\xff\xfe", b"\xff\0\xfe").replace(b"\xff\xe0", b"\xff\0\xe0")
    )
    tags = read_bytes(_id3(3, scrambled, flags=0x80) + audio_bytes(MP3), tmp_path).tags
    assert tags.title == "Tïtle"


def test_sizes_as_itunes_wrote_them_into_id3v2_4(tmp_path: Path) -> None:
    long_title = b"\0" + b"x" * 300
    frames = _frame(b"TIT2", long_title, version=4, plain=True) + _frame(b"TPE1", b"\0Artist", version=4, plain=True)
    tags = read_bytes(_id3(4, frames) + audio_bytes(MP3), tmp_path).tags
    assert (tags.title, tags.artists) == ("x" * 300, ("Artist",))


def test_sizes_of_id3v2_4_in_id3v2_3(tmp_path: Path) -> None:
    frames = _frame(b"TIT2", b"\0" + b"x" * 300, version=4) + _frame(b"TPE1", b"\0Artist") + bytes(50)
    tags = read_bytes(_id3(3, frames) + audio_bytes(MP3), tmp_path).tags
    assert (tags.title, tags.artists) == ("x" * 300, ("Artist",))


def test_an_extended_header_is_passed_over_also_where_it_is_only_promised(tmp_path: Path) -> None:
    title = _frame(b"TIT2", b"\0Title")
    real = b"\0\0\0\x06" + bytes(6)
    for frames in (real + title, title):
        assert read_bytes(_id3(3, frames, flags=0x40) + audio_bytes(MP3), tmp_path).tags.title == "Title"
    title4 = _frame(b"TIT2", b"\0Title", version=4)
    assert (
        read_bytes(_id3(4, b"\0\0\0\x06\1\0" + title4, flags=0x40) + audio_bytes(MP3), tmp_path).tags.title == "Title"
    )


def test_wrongly_encoded_id3_is_mended(tmp_path: Path) -> None:
    frames = _frame(b"TIT2", b"\0" + "Jóga".encode()) + _frame(b"TPE1", b"\0Don\x92t")
    tags = read_bytes(_id3(3, frames) + audio_bytes(MP3), tmp_path).tags
    assert (tags.title, tags.artists) == ("Jóga", ("Don’t",))


def test_a_compressed_frame_is_read_unless_it_might_be_a_bomb(tmp_path: Path) -> None:
    import zlib

    def packed(name: bytes, text: bytes) -> bytes:
        data = len(text).to_bytes(4, "big") + zlib.compress(text)
        return name + len(data).to_bytes(4, "big") + b"\0\x80" + data

    frames = packed(b"TIT2", b"\0Title") + packed(b"TALB", b"\0" + b"x" * 30_000_000)
    reading = read_bytes(_id3(3, frames) + audio_bytes(MP3), tmp_path)
    assert (reading.tags.title, reading.tags.album) == ("Title", None)


def test_id3v1_alone_and_behind_better_tags(tmp_path: Path) -> None:
    def field(text: bytes) -> bytes:
        return text.ljust(30, b"\0")

    v1 = (
        b"TAG"
        + field(b"Old title")
        + field(b"Old artist")
        + field(b"Old album")
        + b"1984"
        + field(b"")[:28]
        + b"\0\x07\x08"
    )
    tags = read_bytes(audio_bytes(MP3) + v1, tmp_path).tags
    assert (tags.title, tags.artists, tags.album) == ("Old title", ("Old artist",), "Old album")
    assert (tags.year, tags.track_number, tags.genre) == (1984, 7, "Jazz")
    both = read_bytes(_id3(3, _frame(b"TIT2", b"\0New title")) + audio_bytes(MP3) + v1, tmp_path).tags
    assert (both.title, both.album) == ("New title", "Old album")


def _ape_tag(**items: str) -> bytes:
    body = b"".join(
        struct.pack("<II", len(value.encode()), 0) + key.encode() + b"\0" + value.encode()
        for key, value in items.items()
    )
    return body + b"APETAGEX" + struct.pack("<IIII8x", 2000, len(body) + 32, len(items), 0)


def test_apev2_fills_what_id3_leaves_out_in_mp3_and_leads_in_wavpack(tmp_path: Path) -> None:
    ape = _ape_tag(Title="Ape title", Album="Ape album", Year="2001")
    id3 = _id3(3, _frame(b"TIT2", b"\0Id3 title"))
    tags = read_bytes(id3 + audio_bytes(MP3) + ape, tmp_path).tags
    assert (tags.title, tags.album, tags.year) == ("Id3 title", "Ape album", 2001)
    tags = read_bytes(id3 + audio_bytes("wavpack") + ape, tmp_path, "a.wv").tags
    assert (tags.title, tags.album) == ("Ape title", "Ape album")


def test_apev2_with_several_values_and_a_key_that_is_none(tmp_path: Path) -> None:
    tags = read_bytes(audio_bytes("wavpack") + _ape_tag(Artist="a\0b", X="?", Title="T"), tmp_path, "a.wv").tags
    assert (tags.title, tags.artists) == ("T", ("a", "b"))


def test_genre_numbers_are_resolved(tmp_path: Path) -> None:
    for text, genre in ((b"\x0017", "Rock"), (b"\0(8)Bebop", "Jazz; Bebop"), (b"\0Own", "Own")):
        assert read_bytes(_id3(3, _frame(b"TCON", text)) + audio_bytes(MP3), tmp_path).tags.genre == genre


def test_the_other_names_of_picard_in_id3(tmp_path: Path) -> None:
    texts = {
        b"MusicBrainz Track Id": RECORDING,
        b"ALBUM ARTIST": "AA",
        b"originalyear": "1959",
        b"ISRC": "GBAYE0601498",
    }
    frames = b"".join(_frame(b"TXXX", b"\0" + name + b"\0" + text.encode()) for name, text in texts.items())
    tags = read_bytes(_id3(3, frames) + audio_bytes(MP3), tmp_path).tags
    assert (tags.mb_recording_id, tags.album_artist, tags.year, tags.isrcs) == (
        RECORDING,
        "AA",
        1959,
        ("GBAYE0601498",),
    )


def _vorbis_file(*comments: bytes) -> bytes:
    flac = audio_bytes("flac")
    body = struct.pack("<II", 0, len(comments)) + b"".join(len(text).to_bytes(4, "little") + text for text in comments)
    block = b"\4" + len(body).to_bytes(3, "big") + body
    return b"fLaC\0" + flac[5:42] + block + flac[42:]


def test_vorbis_comments_that_are_no_utf8_or_no_comments(tmp_path: Path) -> None:
    data = _vorbis_file(b"TITLE=J\xf3ga", b"no equals sign", b"artist=A", b"ARTIST=B", b"album=", b"ISRC=GBAYE0601498")
    tags = read_bytes(data, tmp_path, "x.flac").tags
    assert (tags.title, tags.artists, tags.album, tags.isrcs) == ("Jóga", ("A", "B"), None, ("GBAYE0601498",))


def test_a_wave_file_with_info_chunks_alone(tmp_path: Path) -> None:
    path = make_audio(tmp_path / "a.wav")
    tagged = tmp_path / "b.wav"
    meta = ["-metadata", "title=Tïtle", "-metadata", "artist=A", "-metadata", "album=B", "-metadata", "track=4"]
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-c", "copy", *meta, "-metadata", "date=1999", str(tagged)]
    subprocess.run(command, check=True, timeout=60)
    tags = read(tagged).tags
    assert (tags.title, tags.artists, tags.album, tags.track_number, tags.year) == ("Tïtle", ("A",), "B", 4, 1999)


def test_an_aiff_file_with_text_chunks_alone(tmp_path: Path) -> None:
    data = audio_bytes("aiff") + b"NAME\0\0\0\5Title\0" + b"AUTH\0\0\0\6Artist"
    tags = read_bytes(data, tmp_path, "a.aif").tags
    assert (tags.title, tags.artists) == ("Title", ("Artist",))


def test_wave_sizes_that_a_recorder_left_open(tmp_path: Path) -> None:
    wave = audio_bytes("wav")
    at = wave.index(b"data") + 4
    for left in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
        reading = read_bytes(wave[:4] + left + wave[8:at] + left + wave[at + 4 :], tmp_path, "a.wav")
        assert reading.tags.duration_s == pytest.approx(1.0, abs=0.01)


def test_wave_above_4_gb_names_its_size_elsewhere(tmp_path: Path) -> None:
    wave = audio_bytes("wav")
    at = wave.index(b"data")
    size = len(wave) - at - 8
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 0, size, 0, 0)
    long = (
        b"RF64\xff\xff\xff\xffWAVE"
        + ds64
        + wave[12:at]
        + b"data\xff\xff\xff\xff"
        + wave[at + 8 :]
        + b"LIST\4\0\0\0INFO"
    )
    reading = read_bytes(long, tmp_path, "a.wav")
    assert reading.tags.duration_s == pytest.approx(1.0, abs=0.01)
    assert reading.fingerprint == read_bytes(wave, tmp_path, "b.wav").fingerprint


def test_mp4_with_64_bit_sizes_and_a_purchase(tmp_path: Path) -> None:
    path = make_audio(tmp_path / "a.m4a")
    write_tags(path, title=["Tïtle"])
    plain = read(path)
    from mutagen.mp4 import MP4

    file = MP4(path)
    file.tags["xid "] = ["Universal:isrc:GBAYE0601498"]
    file.save()
    data = path.read_bytes()
    at = data.index(b"mdat") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    long = data[:at] + b"\0\0\0\1mdat" + (size + 8).to_bytes(8, "big") + data[at + 8 :]
    reading = read_bytes(long, tmp_path, "b.m4a")
    assert (reading.tags.title, reading.tags.isrcs) == ("Tïtle", ("GBAYE0601498",))
    assert reading.fingerprint == plain.fingerprint


# --- what fails


def test_files_that_are_no_audio_are_an_error_in_words(tmp_path: Path) -> None:
    for data, words in (
        (b"", "empty"),
        (b"<html>404</html>", "no audio"),
        (bytes(100_000), "no audio"),
        (audio_bytes("flac")[:20], "too early"),
        (audio_bytes("m4a")[:2000], "moov"),
        (audio_bytes("vorbis")[:27], "Ogg"),
    ):
        reading = read_bytes(data, tmp_path, "Miles Davis - So What.mp3")
        assert reading.error is not None
        assert words in reading.error
        assert reading.tags == TrackTags(title="So What", artists=("Miles Davis",), guessed=("title", "artists"))


def test_a_musepack_packet_that_leads_back_to_itself_is_an_error(tmp_path: Path) -> None:
    """It holds mutagen 1.48 for ever."""
    reading = read_bytes(b"MPCKAA\0" + bytes(200), tmp_path, "a.mpc")
    assert reading.error == "its audio cannot be understood (its structure never ends)"


def test_tags_that_cannot_be_read_are_named_and_the_rest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mutagen.id3

    def broken(*_: object, **__: object) -> None:
        raise IndexError

    path = make_audio(tmp_path / "a.mp3")
    write_tags(path, title=["Title"])
    monkeypatch.setattr(mutagen.id3, "ID3", broken)
    reading = read(path, "03 - Name.mp3")
    assert reading.error == "its ID3v2 tags cannot be read (IndexError)"
    assert (reading.tags.title, reading.tags.codec) == ("Name", "mp3")
    assert reading.fingerprint is not None


def test_a_file_that_vanished_or_may_not_be_opened_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "gone.mp3")
    with pytest.raises(IsADirectoryError):
        read(tmp_path)


class _FailingFile:
    """A drive that gives so many reads and fails from then on."""

    def __init__(self, path: Path, *, good_reads: int) -> None:
        self._file = path.open("rb")
        self.left = good_reads

    def read(self, size: int) -> bytes:
        if self.left <= 0:
            raise OSError(errno.EIO, "Input/output error")
        self.left -= 1
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def __enter__(self) -> "_FailingFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@pytest.mark.parametrize("name", ["mp3", "wavpack", "m4a", "vorbis", "tta", "wma"])
def test_a_drive_that_fails_is_an_os_error_wherever_it_happens(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mutagen makes its own error of it, which would look like a broken file."""
    path = make_audio(tmp_path / f"a{FORMATS[name][0]}", name, seconds=8)
    enough = _FailingFile(path, good_reads=100)
    monkeypatch.setattr("builtins.open", lambda *_, **__: enough)
    read(path)
    used = 100 - enough.left
    assert used >= 1
    for good_reads in range(used):
        failing = _FailingFile(path, good_reads=good_reads)
        monkeypatch.setattr("builtins.open", lambda *_, _file=failing, **__: _file)
        with pytest.raises(OSError, match="Input/output error"):
            read(path)


def test_a_reading_travels_between_processes(tmp_path: Path) -> None:
    reading = read(make_audio(tmp_path / "a.flac"))
    assert pickle.loads(pickle.dumps(reading)) == reading


def test_importing_it_does_not_import_mutagen() -> None:
    code = "import sys, psm.ingest.tags; sys.exit(any(name.startswith('mutagen') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


# --- what ends too early

TOO_EARLY = "the file ends too early"


@pytest.mark.parametrize(
    "name", ["vorbis", "opus", "speex", "oggflac", "m4a-fast", "m4a-fragments", "wma", "wav", "aiff"]
)
def test_a_file_that_its_container_says_is_longer_is_named_and_the_rest_is_kept(name: str, tmp_path: Path) -> None:
    path = make_audio(tmp_path / f"a{FORMATS[name][0]}", name)
    # Another text than the audio's end: WAVE and AIFF have their tags behind, so there they are lost.
    write_tags(path, title=["Tïtle"], artist=["A"])
    whole = read(path)
    assert whole.error is None
    cut = read_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4], tmp_path, "cut")
    assert cut.error == TOO_EARLY
    assert cut.tags.codec == CODECS[name]
    assert cut.tags.duration_s is not None
    assert cut.tags.title == ("cut" if name in {"wav", "aiff"} else "Tïtle")
    assert cut.fingerprint not in {None, whole.fingerprint}


def test_dsd_that_ends_too_early(odd_files: list[Path], tmp_path: Path) -> None:
    names = {"5644800-2ch-s01-silence.dsf", "5644800-2ch-s01-silence.dff"}
    files = [path for path in odd_files if path.name in names]
    assert len(files) == len(names)
    for path in files:
        assert read_bytes(path.read_bytes()[:-1_000], tmp_path).error == TOO_EARLY


def test_a_retag_never_makes_a_file_seem_cut(audio: Path, format_name: str) -> None:
    for cover in (bytes(300_000), None):
        write_tags(audio, title=["Tïtle"], cover=cover)
        assert read(audio).error is None
    audio.write_bytes(audio.read_bytes() + b"TAG" + bytes(125))  # ID3v1, which some programs append to anything
    assert read(audio).error is None


@pytest.mark.parametrize("name", ["wav", "aiff"])
def test_a_size_that_its_program_could_not_know_is_no_promise(name: str, tmp_path: Path) -> None:
    """What is written into a pipe: sox leaves nearly 2 GB, ffmpeg 4 GB or 0."""
    data = audio_bytes(name)
    at = data.index(b"data" if name == "wav" else b"SSND") + 4
    order: Literal["little", "big"] = "little" if name == "wav" else "big"
    for size in (0x7F00_0000, 0x7FFF_F024, 0x8000_0000, 0xFFFF_FFFF):
        left = size.to_bytes(4, order)
        assert read_bytes(data[:4] + left + data[8:at] + left + data[at + 4 :], tmp_path).error is None
    piped = subprocess.run(
        ["ffmpeg", "-v", "error", "-f", name, "-i", "-", "-c", "copy", "-f", name, "-"],
        input=data,
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    assert read_bytes(piped, tmp_path).error is None


@pytest.mark.parametrize("name", ["wav", "aiff", "wma"])
def test_one_size_that_is_wrong_while_the_other_is_right_is_no_proof(name: str, tmp_path: Path) -> None:
    """Some programs count the header as audio."""
    data = bytearray(audio_bytes(name))
    if name == "wma":
        at, width = data.index(bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")) + 16, 8
    else:
        at, width = data.index(b"data" if name == "wav" else b"SSND") + 4, 4
    order: Literal["little", "big"] = "big" if name == "aiff" else "little"
    size = int.from_bytes(data[at : at + width], order) + 44
    data[at : at + width] = size.to_bytes(width, order)
    assert read_bytes(bytes(data), tmp_path).error is None


# --- a second opinion


def _ffprobe(path: Path) -> dict[str, Any] | None:
    """What ffprobe says of the first audio stream: facts, and tags under lower-case names; None when it finds none."""
    command = ["ffprobe", "-v", "error", "-print_format", "json", "-show_format", "-show_streams", str(path)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    said = json.loads(done.stdout or b"{}")
    audio = [stream for stream in said.get("streams", []) if stream.get("codec_type") == "audio"]
    if not audio or not int(audio[0].get("sample_rate") or 0):
        return None
    tags = {**audio[0].get("tags", {}), **said["format"].get("tags", {})}
    found = {name.lower(): value for name, value in tags.items()}
    found.update(
        duration=float(audio[0].get("duration") or said["format"].get("duration") or 0),
        codec=_codec(audio[0]["codec_name"]),
        rate=int(audio[0]["sample_rate"]),
        channels=audio[0]["channels"],
    )
    return found


def _codec(name: str) -> str:
    """ffprobe tells variants apart that psm calls by one name."""
    for prefix, ours in (("pcm_", "pcm"), ("dsd_", "dsd"), ("musepack", "musepack")):
        if name.startswith(prefix):
            return ours
    return name


# File: fields in which the two differ, and why psm is right, or no worse.
DIFFERENCES = {
    "52-too-short-block-size.flac": {"title", "artist", "album"},  # ffprobe believes the wrong size of the comments
    "audacious-trailing-id32-apev2.mp3": {"title", "artist", "album", "duration"},  # ffprobe knows no ID3v2 at the end
    "audacious-trailing-id32-id31.mp3": {"title", "artist", "album"},  # (the tag counts as audio for it)
    "bad-TYER-frame.mp3": {"artist", "album"},  # these are in the ID3v1 tag, which ffprobe leaves out beside ID3v2
    "id3v1v2-combined.mp3": {"album"},  # likewise
    "apev2-lyricsv2.mp3": {"duration"},  # ffprobe reports the TLEN tag of what was cut to 50 KB
    "bad-xing.mp3": {"duration"},  # its Xing frame says 0 frames: both estimate
    "example.opus": {"duration"},  # cut out of a longer stream: ffprobe takes the first page's position for a pause
    "issue_29.wma": {"duration"},  # cut: the header tells the whole length, ffprobe what is left
    "no-tags.3g2": {"duration", "channels"},  # header and packets disagree
    "silence-44-s-mpeg25.mp3": {"duration"},  # ffprobe counts the encoder's padding
    "silence-44-s.mp3": {"artist"},  # two artists: ffprobe shows the first
    "silence-44-s.wv": {"artist"},  # likewise
    "silence-2s-PCM-16000-08-ID3v23.wav": {"artist"},  # ID3 and INFO spell it differently: psm trusts ID3
    "silence-2s-PCM-44100-16-ID3v23.wav": {"artist"},  # likewise
    "wma.wma": {"duration"},  # ffprobe counts the time the player buffers ahead
    "2822400-1ch-0s-silence.dff": {"rate"},  # DSD: ffprobe counts bytes per second and psm bits, as everybody calls it
    "2822400-1ch-0s-silence.dsf": {"rate"},
    "5644800-2ch-s01-silence.dff": {"rate"},
    "5644800-2ch-s01-silence.dsf": {"rate"},
    "with-id3.dsf": {"rate"},
    "without-id3.dsf": {"rate"},
}


CUT_SHORT = {"issue_29.wma", "truncated-64bit.mp4"}


def _differing(reading: Reading, other: dict[str, Any]) -> set[str]:
    tags = reading.tags
    found = set()
    # A container's duration is given in its own clock's steps, and encoders pad.
    if other["duration"] and abs(other["duration"] - (tags.duration_s or 0)) > 0.1:
        found.add("duration")
    for name, theirs, ours in (
        ("codec", other["codec"], tags.codec),
        ("rate", other["rate"], tags.sample_rate_hz),
        ("channels", other["channels"], tags.channels),
        ("title", (other.get("title") or "").strip(), "" if "title" in tags.guessed else tags.title or ""),
        ("artist", other.get("artist", ""), ";".join(tags.artists)),
        ("album", other.get("album", ""), tags.album or ""),
    ):
        if theirs != ours:
            found.add(name)
    return found


def _compare(paths: list[Path]) -> None:
    disagree = {}
    compared = 0
    with ThreadPoolExecutor(4) as threads:
        said = list(threads.map(_ffprobe, paths))
    for path, other in zip(paths, said, strict=True):
        reading = read(path)
        if other is None:
            continue
        compared += 1
        assert reading.error == (TOO_EARLY if path.name in CUT_SHORT else None), path.name
        assert reading.tags.title, path.name
        if (found := _differing(reading, other)) != DIFFERENCES.get(path.name, set()):
            disagree[path.name] = (found, other, reading.tags)
    assert disagree == {}
    assert compared >= len(paths) / 2


def test_ffprobe_says_the_same_of_every_format(tmp_path: Path) -> None:
    paths = []
    for name, (extension, _) in FORMATS.items():
        path = make_audio(tmp_path / f"{name}{extension}", name)
        write_tags(path, title=["Tïtle"], artist=["Artist"], album=["Älbum"])
        paths.append(path)
    _compare(paths)


def test_ffprobe_says_the_same_of_odd_files(odd_files: list[Path]) -> None:
    assert len(odd_files) > 80
    _compare(odd_files)


def test_every_odd_file_gives_a_reading(odd_files: list[Path]) -> None:
    """Those that are no audio, nothing but a header, or cut off, say so; the rest are read whole."""
    unreadable = {path.name for path in odd_files if read(path, path.name).error is not None}
    assert unreadable == CUT_SHORT | {
        "emptyfile.mp3",
        "almostempty.mpc",
        "too-short.mp3",
        "ooming-header.flac",
        "sample.oggtheora",  # pictures alone
        "sample_bitrate.oggtheora",
    }


def test_ffprobe_says_the_same_of_music_in_debian() -> None:
    paths = debian_music()
    if not paths:
        pytest.skip("Debian's singularity-music and wesnoth-1.16-music are not installed")
    assert len({read(path).fingerprint for path in paths}) == len(paths)
    _compare(paths[::6])


# --- damage


@cached
def _tagged(name: str, folder: Path) -> bytes:
    path = make_audio(folder / f"tagged-{name}{FORMATS[name][0]}", name, seconds=0.3)
    write_tags(path, cover=bytes(3_000), **EVERYTHING)
    return path.read_bytes()


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=25, deadline=1_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_never_raises_and_never_hangs(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    damaged = bytearray(_tagged(name, folder))
    # Headers and tags stand at the ends: damage there tells most.
    place = st.one_of(st.integers(0, min(2_000, len(damaged) - 1)), st.integers(0, len(damaged) - 1))
    for offset, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=12)):
        damaged[offset] = value
    cut = data.draw(st.one_of(st.none(), place))
    reading = read_bytes(bytes(damaged[:cut]), folder, f"damaged-{os.getpid()}{FORMATS[name][0]}")
    _is_fit_for_the_database(reading)


def _is_fit_for_the_database(reading: Reading) -> None:
    tags = reading.tags
    for text in (tags.title, tags.album, tags.album_artist, tags.genre, reading.error, *tags.artists):
        assert text is None or text.encode("utf-8")
    for number in (
        tags.track_number,
        tags.disc_number,
        tags.year,
        tags.bitrate_kbps,
        tags.sample_rate_hz,
        tags.channels,
    ):
        assert number is None or 0 < number < 2**31
    assert tags.duration_s is None or 0 < tags.duration_s < 2_592_001
