"""A fingerprint names the audio: every retag keeps it, other audio has another."""

import io
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psm.ingest.fingerprint import audio_fingerprint
from tests.audio import FORMATS, audio_bytes, debian_music, make_audio, remove_tags, write_tags

ALL = sorted(FORMATS)


def fingerprint_of(path: Path) -> str | None:
    with path.open("rb", buffering=0) as file:
        return audio_fingerprint(file, extension=os.fsencode(path.suffix))


def fingerprint_of_bytes(data: bytes, extension: bytes = b"") -> str | None:
    return audio_fingerprint(io.BytesIO(data), extension=extension)


@pytest.fixture(params=ALL)
def audio(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_audio(tmp_path / f"a{FORMATS[request.param][0]}", request.param)


def test_other_audio_has_another_fingerprint(audio: Path, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["audio"]
    others = [audio_bytes(name, tone=441), audio_bytes(name, seconds=1.2), audio_bytes(name, channels=1)]
    assert len({fingerprint_of(audio), *map(fingerprint_of_bytes, others)}) == 4


def test_flac_is_named_by_its_own_md5(tmp_path: Path) -> None:
    path = make_audio(tmp_path / "a.flac")
    said = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-f", "md5", "-"], capture_output=True, check=True, text=True
    ).stdout
    assert fingerprint_of(path) == "flac:" + said.strip().removeprefix("MD5=")


def test_a_retag_keeps_it_whatever_shifts(audio: Path) -> None:
    before = fingerprint_of(audio)
    assert before is not None
    for title in ("x" * 30_000, "short"):
        write_tags(audio, cover=random.Random(1).randbytes(500_000), title=[title], artist=["a", "b"])
        assert audio.stat().st_size > 500_000
        assert fingerprint_of(audio) == before
        write_tags(audio, title=[title])
        assert fingerprint_of(audio) == before
    remove_tags(audio)
    assert fingerprint_of(audio) == before


tag_steps = st.lists(
    st.one_of(
        st.just(None),
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=400),
            st.one_of(st.none(), st.integers(0, 200_000)),
        ),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=tag_steps)
def test_any_series_of_retags_keeps_it(name: str, steps: list[tuple[str, int | None] | None], tmp_path: Path) -> None:
    path = make_audio(tmp_path / f"b{FORMATS[name][0]}", name)
    before = fingerprint_of(path)
    for step in steps:
        if step is None:
            remove_tags(path)
        else:
            text, cover_bytes = step
            cover = None if cover_bytes is None else random.Random(cover_bytes).randbytes(cover_bytes)
            write_tags(path, title=[text], artist=[text[::-1], "b"], cover=cover)
        assert fingerprint_of(path) == before


@pytest.mark.parametrize("name", [name for name in ALL if name not in {"flac", "oggflac"}])
def test_padding_that_grows_and_goes_keeps_it(name: str, tmp_path: Path) -> None:
    import mutagen

    path = make_audio(tmp_path / f"a{FORMATS[name][0]}", name)
    before = fingerprint_of(path)
    write_tags(path, title=["t"])
    if path.suffix in {".aac", ".ac3", ".eac3"}:
        from mutagen.id3 import ID3

        tag = ID3(path)
    else:
        tag = mutagen.File(path)
    for room in (100_000, 0):
        if path.suffix == ".wv":
            tag.save()  # APEv2 has no padding
        else:
            tag.save(padding=lambda _, room=room: room)
        assert fingerprint_of(path) == before


@pytest.mark.parametrize(
    "name",
    # From fragments ffmpeg leaves out the silence before the first sample: those are other audio bytes.
    [name for name in ALL if name != "m4a-fragments"],
)
def test_a_stream_copy_with_other_tags_keeps_it(name: str, tmp_path: Path) -> None:
    """ffmpeg draws the pages of Ogg anew, writes MP3's Xing frame and MP4's header, and gives other serial numbers."""
    path = make_audio(tmp_path / f"a{FORMATS[name][0]}", name)
    copy = path.with_stem("copy")
    kind = ["-f", {"oggflac": "ogg", "eac3": "eac3", "wma": "asf"}[name]] if name in {"oggflac", "eac3", "wma"} else []
    long_comment = f"comment={'x' * 70_000}"
    tags = ["-metadata", "title=Another", *(["-metadata", long_comment] if name != "wma" else [])]
    command: list[str] = ["ffmpeg", "-v", "error", "-i", str(path), "-c", "copy", *tags, *kind, str(copy)]
    subprocess.run(command, check=True, timeout=60)
    assert fingerprint_of(copy) == fingerprint_of(path)


def test_ogg_keeps_it_through_new_pages(tmp_path: Path) -> None:
    """The same packets, one to a page instead of many."""
    for name in ("vorbis", "opus"):
        path = make_audio(tmp_path / f"a{FORMATS[name][0]}", name, seconds=3)
        copy = path.with_stem("copy")
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-c", "copy", "-page_duration", "1000", str(copy)]
        subprocess.run(command, check=True, timeout=60)
        assert copy.read_bytes().count(b"OggS") > 2 * path.read_bytes().count(b"OggS")
        assert fingerprint_of(copy) == fingerprint_of(path)


def test_a_retag_keeps_it_in_all_music_of_debian(tmp_path: Path) -> None:
    """Of the 57 files, 11 have their first audio on the page of the headers: mutagen moves it to a page of its own."""
    import mutagen

    paths = debian_music()
    if not paths:
        pytest.skip("Debian's singularity-music and wesnoth-1.16-music are not installed")
    lost = []
    for original in paths:
        path = tmp_path / original.name
        shutil.copyfile(original, path)
        before = fingerprint_of(path)
        assert before is not None
        for title, comment in (("Another title", ""), ("t", "x" * 30_000), ("", "")):
            file = mutagen.File(path)
            if title:
                file["title"], file["comment"] = [title], [comment]
                file.save()
            else:
                file.delete()
            if fingerprint_of(path) != before:
                lost.append((path.name, title, len(comment)))
        path.unlink()
    assert lost == []


OGG = ("vorbis", "opus", "speex", "oggflac")


def _packets_of(data: bytes) -> tuple[list[Any], list[bytes]]:
    from mutagen.ogg import OggPage

    stream = io.BytesIO(data)
    pages = []
    while stream.tell() < len(data):
        pages.append(OggPage(stream))
    return pages, OggPage.to_packets(pages)


def _paged(pages: list[Any], packets: list[bytes], page_bytes: int) -> bytes:
    """The packets on pages of about that size, behind the first without regard to what is header and what is audio."""
    drawn: list[list[bytes]] = [[]]
    for packet in packets:
        for start in range(0, len(packet) + 1, 255):  # a last segment below 255 bytes, or of none, ends a packet
            if len(drawn[-1]) == 255 or sum(map(len, drawn[-1])) >= page_bytes:
                drawn.append([])
            drawn[-1].append(packet[start : start + 255])
        if packet is packets[0]:
            drawn.append([])
    written = []
    for number, segments in enumerate(drawn):
        is_last = number == len(drawn) - 1
        flags = 2 if number == 0 else 4 * is_last
        granule = pages[-1].position if is_last else 0
        head = struct.pack("<5sBqIIIB", b"OggS", flags, granule, pages[0].serial, number, 0, len(segments))
        written.append(head + bytes(map(len, segments)) + b"".join(segments))
    return b"".join(written)


@pytest.mark.parametrize("seconds", [0.1, 0.6, 2, 20])
@pytest.mark.parametrize("name", OGG)
def test_ogg_keeps_it_wherever_the_pages_break(name: str, seconds: float) -> None:
    """Pages that hold headers and audio, pages larger than a sample, and pages smaller than a packet."""
    data = audio_bytes(name, seconds=seconds)
    before = fingerprint_of_bytes(data)
    assert before is not None
    pages, packets = _packets_of(data)
    for page_bytes in (600, 4_000, 20_000, 60_000):
        drawn = _paged(pages, packets, page_bytes)
        assert drawn != data
        assert fingerprint_of_bytes(drawn) == before, page_bytes
        file = _Counting(drawn)
        audio_fingerprint(file)
        assert file.reads <= 7


@pytest.mark.parametrize("name", OGG)
def test_ogg_counts_every_packet_of_audio_and_no_other(name: str) -> None:
    """Another byte at either end is other audio; another byte in a header is not."""
    pages, packets = _packets_of(audio_bytes(name))
    packets = [packet for packet in packets if packet]
    headers = 3 if name == "vorbis" else 2

    def named(place: int) -> str | None:
        changed = list(packets)
        changed[place] = changed[place][:-1] + bytes((changed[place][-1] ^ 1,))
        return fingerprint_of_bytes(_paged(pages, changed, 4_000))

    before = fingerprint_of_bytes(_paged(pages, packets, 4_000))
    assert named(headers - 1) == before
    assert len({before, named(headers), named(headers + 1), named(len(packets) - 1)}) == 4


def test_flac_in_ogg_says_itself_where_its_headers_end() -> None:
    """Its first packet may count them, or not know."""
    pages, packets = _packets_of(audio_bytes("oggflac"))
    before = fingerprint_of_bytes(_paged(pages, packets, 4_000))
    assert packets[1][0] == 0x84  # comments, the last block
    more = [b"\x04" + packets[1][1:], b"\x02\0\0\x04abcd", b"\x81" + (9_000).to_bytes(3, "big") + bytes(9_000)]
    for count in (0, 3):
        first = packets[0][:7] + count.to_bytes(2, "big") + packets[0][9:]
        drawn = _paged(pages, [first, *more, *packets[2:]], 4_000)
        assert fingerprint_of_bytes(drawn) == before


def test_ogg_finds_the_last_audio_between_pictures() -> None:
    """A film's pages stand between those of its sound, here enough that the file's last 64 KB hold little of it."""
    from mutagen.ogg import OggPage

    pages, packets = _packets_of(audio_bytes("vorbis", seconds=20))
    named = set()
    for page_bytes in (1_000, 4_000):
        drawn = _packets_of(_paged(pages, packets, page_bytes))[0]
        film = []
        for page in drawn:
            picture = OggPage()
            picture.serial, picture.packets = page.serial + 1, [bytes(8 * page_bytes)]
            film += [page.write(), picture.write()] if page is not drawn[0] else [page.write()]
        named.add(fingerprint_of_bytes(b"".join(film)))
    assert named == {fingerprint_of_bytes(audio_bytes("vorbis", seconds=20))}


def _with_zero_md5(flac: bytes) -> bytes:
    return flac[:26] + bytes(16) + flac[42:]


def test_flac_without_a_sum_is_named_by_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(_with_zero_md5(audio_bytes("flac")))
    before = fingerprint_of(path)
    assert before is not None
    assert before.startswith("audio:")
    write_tags(path, title=["x" * 20_000], cover=random.Random(2).randbytes(300_000))
    assert fingerprint_of(path) == before
    assert before != fingerprint_of_bytes(_with_zero_md5(audio_bytes("flac", tone=900)))


def _id3v2(size: int) -> bytes:
    return b"ID3\x04\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


def _id3v1() -> bytes:
    return b"TAG" + b"x" * 124 + b"\x0c"


def _ape(*, header: bool = True, letters: int = 5) -> bytes:
    item = bytes((letters, 0, 0, 0, 0, 0, 0, 0)) + b"Title\0" + b"x" * letters
    rest = (2000).to_bytes(4, "little") + (len(item) + 32).to_bytes(4, "little") + b"\x01\0\0\0"
    top = b"APETAGEX" + rest + (0xA0000000).to_bytes(4, "little") + bytes(8) if header else b""
    return top + item + b"APETAGEX" + rest + (0x80000000 if header else 0).to_bytes(4, "little") + bytes(8)


def _lyrics3() -> bytes:
    body = b"LYRICSBEGIN" + b"LYR00005Hello"
    return body + f"{len(body):06}".encode() + b"LYRICS200"


def _id3v2_with_footer() -> bytes:
    size = bytes((0, 0, 2, 0))
    return b"ID3\x04\0\x10" + size + bytes(256) + b"3DI\x04\0\x10" + size


BEHIND = {
    "ID3v1": _id3v1(),
    "enhanced ID3v1": b"TAG+" + bytes(223) + _id3v1(),
    "APEv2": _ape(),
    "APEv2 whose TAGEX stands where ID3v1 would": _ape(letters=131 - 64 - 14),
    "APEv2 without header": _ape(header=False),
    "APEv2 and ID3v1": _ape() + _id3v1(),
    "Lyrics3 2.00 and ID3v1": _lyrics3() + _id3v1(),
    "Lyrics3 1.00 and ID3v1": b"LYRICSBEGINla la laLYRICSEND" + _id3v1(),
    "APEv2, Lyrics3 and ID3v1": _ape() + _lyrics3() + _id3v1(),
    "ID3v2.4 with a footer": _id3v2_with_footer(),
}
FRONT = {"ID3v2": _id3v2(70_000), "two ID3v2": _id3v2(500) + _id3v2(0), "APEv2": _ape()}


@pytest.mark.parametrize("name", ["mp3", "mp2", "aac", "ac3", "flac", "wavpack", "tta", "m4a-fast", "vorbis", "wav"])
@pytest.mark.parametrize("tag", FRONT)
def test_tags_in_front_do_not_count(tag: str, name: str) -> None:
    data = audio_bytes(name)
    assert fingerprint_of_bytes(FRONT[tag] + data) == fingerprint_of_bytes(data) is not None


@pytest.mark.parametrize("name", ["mp3", "mp2", "aac", "ac3", "wavpack", "tta", "flac"])
@pytest.mark.parametrize("tag", BEHIND)
def test_tags_behind_do_not_count(tag: str, name: str) -> None:
    data = _with_zero_md5(audio_bytes(name)) if name == "flac" else audio_bytes(name)
    assert fingerprint_of_bytes(data + BEHIND[tag]) == fingerprint_of_bytes(data) is not None


def test_formats_ffmpeg_cannot_write(odd_files: list[Path], tmp_path: Path) -> None:
    """Monkey's Audio, Musepack, TAK, OptimFROG, DSF and DSDIFF: found, kept by tags behind and by mutagen's retag."""
    wanted = {
        *("mac-399.ape", "click.mpc", "has-tags.tak", "silence-44-s.tak", "silence-2s-44100-16.ofr"),
        *("silence-2s-44100-16.ofs", "5644800-2ch-s01-silence.dsf", "5644800-2ch-s01-silence.dff"),
    }
    files = [path for path in odd_files if path.name in wanted]
    assert len(files) == len(wanted)
    for original in files:
        path = tmp_path / original.name
        path.write_bytes(original.read_bytes())
        before = fingerprint_of(path)
        assert before is not None
        write_tags(path, title=["A title"], artist=["Someone"], cover=bytes(100_000))
        assert path.stat().st_size > 100_000
        assert fingerprint_of(path) == before
        remove_tags(path)
        assert fingerprint_of(path) == before


@pytest.mark.parametrize("start", ["lead-in", "ending"])
def test_the_same_silence_at_one_end_is_not_the_same_recording(start: str) -> None:
    """Ten seconds of digital silence before or behind noise, in the format where silence takes most room."""

    def wave(samples: bytes) -> bytes:
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
        body = b"WAVE" + form + struct.pack("<4sI", b"data", len(samples)) + samples
        return struct.pack("<4sI", b"RIFF", len(body)) + body

    silence = bytes(160_000)
    tones = [random.Random(seed).randbytes(200_000) for seed in (1, 2)]
    files = [wave(silence + tone if start == "lead-in" else tone + silence) for tone in tones]
    assert len({fingerprint_of_bytes(data) for data in files}) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100_000,
        b"<html><body>404</body></html>" * 100,
        random.Random(3).randbytes(200_000),
        b"ID3\x04\0\0\0\0\0\x0a" + bytes(10),
        _id3v2(2000),
        b"fLaC",
        b"OggS" + bytes(100),
        b"RIFF\xff\xff\xff\xffWAVE",
        b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0",
        b"FORM\0\0\0\x04AIFF",
        b"\0\0\0\x20ftypM4A " + bytes(16),
        b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff" + bytes(100),
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c" + b"\xff" * 100,
        b"FRM8" + b"\xff" * 8 + b"DSD " + b"\xff" * 30,
        b"DSD \x1c" + bytes(200),
    ],
)
def test_no_audio_gives_none(data: bytes) -> None:
    assert fingerprint_of_bytes(data, b".mp3") is None


class _Counting(io.BytesIO):
    """A file that counts what is asked of it."""

    reads = 0
    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.reads += 1
        self.bytes_read += len(data)
        return data


@pytest.mark.parametrize("name", [name for name in ALL if name != "m4a-fragments"])
def test_a_long_file_costs_few_short_reads(name: str) -> None:
    """Half a minute stands for any length: the head, the tail and two samples are read, what lies between is not."""
    file = _Counting(audio_bytes(name, seconds=30))
    assert audio_fingerprint(file) is not None
    assert file.reads <= 7
    assert file.bytes_read <= 150_000


def test_sizes_that_lie_do_not_keep_it_busy() -> None:
    """Chunks of 4 GB, atoms within themselves, pages and frames without end."""
    deep = b""
    for _ in range(500):
        deep = (len(deep) + 8).to_bytes(4, "big") + b"trak" + deep
    hostile = [
        b"\0\0\0\x10ftypM4A " + bytes(4) + (len(deep) + 8).to_bytes(4, "big") + b"moov" + deep,
        b"\0\0\0\x10ftypM4A " + bytes(4) + b"\0\0\0\x08free" * 50_000,
        b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * 50_000,
        b"fLaC" + b"\x01\0\0\0" * 50_000,
        (b"OggS\0\x02" + bytes(8) + b"\1\0\0\0" + bytes(8) + b"\0") * 20_000,
        b"ID3\x03\0\0\0\x1f\0\0" + b"TIT2\0\0\0\0\0\0" * 50_000,
        b"ID3\x03\0\0\0\0\0\0" * 50_000,
        _ape() * 1_000,
    ]
    for data in hostile:
        file = _Counting(data)
        assert audio_fingerprint(file) is None
        assert file.reads < 200
