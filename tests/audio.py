"""Small real audio files of every format that ffmpeg writes, for tests; and the odd ones of mutagen's own tests.

    make_audio(tmp_path / "a.mp3")                       one second, 440 Hz, stereo, no tags
    make_audio(tmp_path / "b.m4a", "alac", tone=880)     other audio, in a format that its extension does not tell
    write_tags(path, title=["So What"], artist=["Miles Davis"])

Each combination is encoded once and kept in pytest's cache folder.
"""

import base64
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from functools import cache as cached
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FORMATS: dict[str, tuple[str, list[str]]] = {
    "mp3": (".mp3", ["-c:a", "libmp3lame", "-b:a", "64k"]),
    "mp3-plain": (".mp3", ["-c:a", "libmp3lame", "-b:a", "64k", "-write_xing", "0", "-id3v2_version", "0"]),
    "mp3-vbr": (".mp3", ["-c:a", "libmp3lame", "-q:a", "5"]),
    "mp2": (".mp2", ["-c:a", "mp2", "-b:a", "96k"]),
    "flac": (".flac", ["-c:a", "flac", "-sample_fmt", "s16"]),
    "vorbis": (".ogg", ["-c:a", "libvorbis", "-q:a", "1"]),
    "opus": (".opus", ["-c:a", "libopus", "-b:a", "48k"]),
    "speex": (".spx", ["-c:a", "libspeex", "-ar", "16000"]),
    "oggflac": (".oga", ["-c:a", "flac", "-sample_fmt", "s16", "-f", "ogg"]),
    "m4a": (".m4a", ["-c:a", "aac", "-b:a", "64k"]),
    "m4a-fast": (".m4a", ["-c:a", "aac", "-b:a", "64k", "-movflags", "+faststart"]),
    "m4a-fragments": (
        ".m4a",
        ["-c:a", "aac", "-b:a", "64k", "-movflags", "+frag_keyframe+empty_moov", "-frag_duration", "200000"],
    ),
    "alac": (".m4a", ["-c:a", "alac"]),
    "aac": (".aac", ["-c:a", "aac", "-b:a", "64k"]),
    "wma": (".wma", ["-c:a", "wmav2", "-b:a", "64k", "-f", "asf"]),
    "wav": (".wav", ["-c:a", "pcm_s16le"]),
    "aiff": (".aiff", ["-c:a", "pcm_s16be"]),
    "wavpack": (".wv", ["-c:a", "wavpack"]),
    "tta": (".tta", ["-c:a", "tta"]),
    "ac3": (".ac3", ["-c:a", "ac3", "-b:a", "96k"]),
    "eac3": (".eac3", ["-c:a", "eac3", "-b:a", "96k", "-f", "eac3"]),
}
"""Name: the usual extension, and what makes ffmpeg write it."""

_ID3_IN_FRONT = {".aac", ".ac3", ".eac3"}
"""mutagen reads these streams but leaves their tags to its ID3 class."""

_OF_EXTENSION = {extension: name for name, (extension, _) in reversed(FORMATS.items())}


_CACHE = Path(__file__).parent.parent / ".pytest_cache" / "audio"


@cached
def audio_bytes(
    format_name: str, *, tone: int = 440, seconds: float = 1.0, channels: int = 2, rate: int = 44_100
) -> bytes:
    """A file of a decaying, trembling tone: not silence, and no two moments of it alike."""
    extension, arguments = FORMATS[format_name]
    wave = f"0.4*sin(2*PI*t*{tone}*(1+t/9))+0.1*sin(2*PI*t*{3 * tone + 7})*cos(t*5)"
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-f", "lavfi"]
    command += ["-i", f"aevalsrc=exprs={wave}:s={rate}:d={seconds}", "-ac", str(channels), *arguments]
    command += ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
    kept = _CACHE / f"{sha256(repr(command).encode()).hexdigest()}{extension}"
    if not kept.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=_CACHE) as folder:
            target = Path(folder, f"audio{extension}")
            subprocess.run([*command, str(target)], check=True, timeout=60)
            target.replace(kept)  # whole or not at all: test processes run side by side
    return kept.read_bytes()


def make_audio(path: Path, format_name: str | None = None, **options: Any) -> Path:
    """Write a file; its format is that of its extension unless named. Options as for :func:`audio_bytes`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(audio_bytes(format_name or _OF_EXTENSION[path.suffix.lower()], **options))
    return path


def write_tags(path: Path, *, cover: bytes | None = None, **values: Sequence[str]) -> None:
    """Replace the tags by mutagen. Names: title, artist, artists, album, albumartist, tracknumber, discnumber, date,
    genre, isrc, musicbrainz_trackid, musicbrainz_albumid, compilation; each with its values. ``cover`` is any bytes,
    taken for a JPEG."""
    import mutagen

    if path.suffix in _ID3_IN_FRONT:
        _write_id3_in_front(path, values, cover)
        return
    file = mutagen.File(os.fspath(path))
    if file.tags is None:
        file.add_tags()
    kind = type(file.tags).__name__
    if "ID3" in kind:
        _fill_id3(file.tags, values, cover)
    elif kind == "MP4Tags":
        _fill_mp4(file.tags, values, cover)
    elif kind == "ASFTags":
        _fill_asf(file.tags, values, cover)
    elif kind == "APEv2":
        _fill_ape(file.tags, values, cover)
    else:
        file.tags.clear()
        for name, texts in values.items():
            file.tags[name] = list(texts)
        _add_vorbis_cover(file, cover)
    file.save()


def remove_tags(path: Path) -> None:
    """Remove all tags by mutagen, pictures included."""
    import mutagen
    from mutagen.id3 import ID3

    if path.suffix in _ID3_IN_FRONT:
        ID3().delete(os.fspath(path))
        return
    file = mutagen.File(os.fspath(path))
    if file.tags is not None:
        if hasattr(file, "clear_pictures"):
            file.clear_pictures()
        file.delete()


def _write_id3_in_front(path: Path, values: dict[str, Sequence[str]], cover: bytes | None) -> None:
    from mutagen.id3 import ID3

    tag = ID3()
    _fill_id3(tag, values, cover)
    tag.save(os.fspath(path))


_ID3 = {
    "title": "TIT2",
    "artist": "TPE1",
    "album": "TALB",
    "albumartist": "TPE2",
    "tracknumber": "TRCK",
    "discnumber": "TPOS",
    "date": "TDRC",
    "genre": "TCON",
    "isrc": "TSRC",
    "compilation": "TCMP",
}


def _fill_id3(tag: Any, values: dict[str, Sequence[str]], cover: bytes | None) -> None:
    from mutagen import id3

    tag.clear()
    for name, texts in values.items():
        if name in _ID3:
            tag.add(getattr(id3, _ID3[name])(encoding=3, text=list(texts)))
        elif name == "musicbrainz_trackid":
            tag.add(id3.UFID(owner="http://musicbrainz.org", data=texts[0].encode()))
        else:
            description = {"artists": "ARTISTS", "musicbrainz_albumid": "MusicBrainz Album Id"}[name]
            tag.add(id3.TXXX(encoding=3, desc=description, text=list(texts)))
    if cover is not None:
        tag.add(id3.APIC(encoding=3, mime="image/jpeg", type=3, desc="", data=cover))


def _fill_mp4(tag: Any, values: dict[str, Sequence[str]], cover: bytes | None) -> None:
    from mutagen.mp4 import MP4Cover

    atoms = {
        "title": "\xa9nam",
        "artist": "\xa9ART",
        "album": "\xa9alb",
        "albumartist": "aART",
        "date": "\xa9day",
        "genre": "\xa9gen",
    }
    free = {"musicbrainz_trackid": "MusicBrainz Track Id", "musicbrainz_albumid": "MusicBrainz Album Id"}
    tag.clear()
    for name, texts in values.items():
        if name in atoms:
            tag[atoms[name]] = list(texts)
        elif name in {"tracknumber", "discnumber"}:
            number, _, total = texts[0].partition("/")
            tag["trkn" if name == "tracknumber" else "disk"] = [(int(number), int(total or 0))]
        elif name == "compilation":
            tag["cpil"] = texts[0] == "1"
        else:
            tag[f"----:com.apple.iTunes:{free.get(name, name.upper())}"] = [text.encode() for text in texts]
    if cover is not None:
        tag["covr"] = [MP4Cover(cover)]


def _fill_asf(tag: Any, values: dict[str, Sequence[str]], cover: bytes | None) -> None:
    from mutagen.asf import ASFByteArrayAttribute

    names = {
        "title": "Title",
        "artist": "Author",
        "artists": "WM/ARTISTS",
        "album": "WM/AlbumTitle",
        "albumartist": "WM/AlbumArtist",
        "tracknumber": "WM/TrackNumber",
        "discnumber": "WM/PartOfSet",
        "date": "WM/Year",
        "genre": "WM/Genre",
        "isrc": "WM/ISRC",
        "musicbrainz_trackid": "MusicBrainz/Track Id",
        "musicbrainz_albumid": "MusicBrainz/Album Id",
        "compilation": "WM/IsCompilation",
    }
    tag.clear()
    for name, texts in values.items():
        tag[names[name]] = [text == "1" for text in texts] if name == "compilation" else list(texts)
    if cover is not None:
        picture = b"\x03" + len(cover).to_bytes(4, "little") + "image/jpeg\0\0".encode("utf-16-le") + cover
        tag["WM/Picture"] = [ASFByteArrayAttribute(picture)]


def _fill_ape(tag: Any, values: dict[str, Sequence[str]], cover: bytes | None) -> None:
    names = {"albumartist": "Album Artist", "tracknumber": "Track", "discnumber": "Disc", "date": "Year"}
    tag.clear()
    for name, texts in values.items():
        tag[names.get(name, name.upper() if "_" in name else name.title())] = list(texts)
    if cover is not None:
        tag["Cover Art (Front)"] = b"cover.jpg\0" + cover


def _add_vorbis_cover(file: Any, cover: bytes | None) -> None:
    from mutagen.flac import FLAC, Picture

    if cover is None:
        return
    picture = Picture()
    picture.data, picture.type, picture.mime = cover, 3, "image/jpeg"
    if isinstance(file, FLAC):
        file.add_picture(picture)
    else:
        file["metadata_block_picture"] = [base64.b64encode(picture.write()).decode("ascii")]


def mutagen_samples(cache: Path, *, version: str = "1.48.1") -> Path | None:
    """The folder of mutagen's own test files, from its source distribution, which pip fetches once into ``cache``.

    None when the package index cannot be reached. (Formats that ffmpeg cannot write are there, and files that broke
    mutagen.)
    """
    data = cache / f"mutagen-{version}" / "tests" / "data"
    if not data.is_dir():
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-binary",
            ":all:",
            "--no-deps",
            f"mutagen=={version}",
        ]
        with TemporaryDirectory(dir=cache) as folder:
            done = subprocess.run([*command, "-d", folder], capture_output=True, timeout=240, check=False)
            archives = list(Path(folder).glob("*.tar.gz"))
            if done.returncode != 0 or not archives:
                return None
            unpacked = Path(folder, "unpacked")
            _unpack(archives[0], f"mutagen-{version}/tests/data", unpacked)
            data.parent.mkdir(parents=True, exist_ok=True)
            # Whole or not at all: test processes run side by side.
            try:
                unpacked.rename(data)
            except OSError:
                if not data.is_dir():
                    raise
    return data


def _unpack(archive: Path, folder: str, target: Path) -> None:
    """Write the files of one folder of an archive. By hand: extractall() asks for a filter since Python 3.14 and does
    not know the argument in 3.11.2, which is Debian 12's."""
    target.mkdir()
    with tarfile.open(archive) as opened:
        for member in opened:
            parent, _, name = member.name.rpartition("/")
            content = opened.extractfile(member) if parent == folder and member.isfile() else None
            if content is not None:
                (target / name).write_bytes(content.read())


_DEBIAN_MUSIC = ("singularity-music", "wesnoth-1.16-music")


def debian_music() -> list[Path]:
    """The Ogg files of Debian's music packages, made by many hands and encoders; none where they are not installed."""
    if shutil.which("dpkg") is None:
        return []
    listed = subprocess.run(["dpkg", "-L", *_DEBIAN_MUSIC], capture_output=True, timeout=60, check=False).stdout
    paths = [Path(os.fsdecode(line)) for line in listed.splitlines()]
    return sorted(path for path in paths if path.suffix in {".ogg", ".opus"})
