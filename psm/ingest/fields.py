"""What the fields of each kind of tag are called, and what they mean for psm.

Names: https://picard-docs.musicbrainz.org/en/appendices/tag_mapping.html, and what other programs write besides.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from io import BytesIO
from typing import Any

from psm.ingest.formats import TagBlock, TagForm
from psm.ingest.values import clean_texts, decode_sensibly, first_number, first_uuid, first_year, is_true, isrcs
from psm.models import TrackTags


@dataclass(frozen=True, slots=True)
class Fields:
    """The values of one block of tags, cleaned, several where the tag has several. ``all_artists`` are the single
    artists that Picard writes beside the artist credit ("A feat. B")."""

    title: tuple[str, ...] = ()
    artist: tuple[str, ...] = ()
    all_artists: tuple[str, ...] = ()
    album: tuple[str, ...] = ()
    album_artist: tuple[str, ...] = ()
    track: tuple[str, ...] = ()
    disc: tuple[str, ...] = ()
    date: tuple[str, ...] = ()
    genre: tuple[str, ...] = ()
    isrc: tuple[str, ...] = ()
    recording_id: tuple[str, ...] = ()
    release_id: tuple[str, ...] = ()
    compilation: tuple[str, ...] = ()

    def or_else(self, other: "Fields") -> "Fields":
        """Each field from here, or from the other where it is empty here. The two artist fields stay together."""
        own = {field.name: getattr(self, field.name) or getattr(other, field.name) for field in fields(self)}
        if self.artist and not self.all_artists:
            own["all_artists"] = ()
        return Fields(**own)

    def tags(self) -> TrackTags:
        """What they mean."""
        return TrackTags(
            title=_first(self.title),
            artists=self.all_artists or self.artist,
            album=_first(self.album),
            album_artist=_first(self.album_artist),
            track_number=first_number(self.track),
            disc_number=first_number(self.disc),
            year=first_year(self.date),
            genre="; ".join(self.genre) or None,
            isrcs=isrcs(self.isrc),
            mb_recording_id=first_uuid(self.recording_id),
            mb_release_id=first_uuid(self.release_id),
            compilation=is_true(self.compilation),
        )


def _first(texts: tuple[str, ...]) -> str | None:
    return texts[0] if texts else None


def fields_of(block: TagBlock) -> Fields:
    """Read one block of tags. Raises whatever mutagen raises on damage: any exception at all."""
    return _READERS[block.form](block.data)


_KEYS: Mapping[str, tuple[str, ...]] = {
    "title": ("title",),
    "artist": ("artist",),
    "all_artists": ("artists",),
    "album": ("album",),
    "album_artist": ("albumartist", "album artist", "album_artist"),
    "track": ("tracknumber", "track", "tracknum"),
    "disc": ("discnumber", "disc", "disk"),
    "date": ("date", "year", "record date", "originaldate", "originalyear"),
    "genre": ("genre",),
    "isrc": ("isrc",),
    "recording_id": ("musicbrainz_trackid", "musicbrainz track id"),
    "release_id": ("musicbrainz_albumid", "musicbrainz album id"),
    "compilation": ("compilation",),
}
"""Lower-case names of Vorbis comments, APEv2 items, and free-form fields of ID3 and MP4, the usual one first."""

_JOINED = {"artist", "all_artists", "genre", "isrc"}
"""Fields of which all values of the first name that is there count; of the others, all names are looked at in turn."""


def _by_keys(values: Callable[[str], Iterable[str]], keys: Mapping[str, tuple[str, ...]] = _KEYS) -> Fields:
    found: dict[str, tuple[str, ...]] = {}
    for field, names in keys.items():
        texts = [clean_texts(values(name)) for name in names]
        if field in _JOINED:
            found[field] = next((text for text in texts if text), ())
        else:
            found[field] = tuple(value for text in texts for value in text)
    return Fields(**found)


def _vorbis(data: bytes) -> Fields:
    from mutagen._vorbis import VCommentDict

    # Bytes that are no UTF-8 are kept as surrogates: what they were meant to be is found out when they are cleaned.
    comments = VCommentDict(data, errors="surrogateescape", framing=False)
    by_name: dict[str, list[str]] = {}
    for name, value in comments:
        by_name.setdefault(name.lower(), []).append(value)
    return _by_keys(lambda name: by_name.get(name, ()))


def _ape(data: bytes) -> Fields:
    from mutagen.apev2 import APEv2

    items = APEv2(BytesIO(data))
    by_name = {name.lower(): list(value) for name, value in items.items()}
    return _by_keys(lambda name: by_name.get(name, ()))


_ID3_FRAMES = {
    "title": ("TIT2",),
    "artist": ("TPE1",),
    "album": ("TALB",),
    "album_artist": ("TPE2",),
    "track": ("TRCK",),
    "disc": ("TPOS",),
    "date": ("TDRC", "TDRL", "TDOR"),
    "isrc": ("TSRC",),
    "compilation": ("TCMP",),
}


def _id3(data: bytes) -> Fields:
    from mutagen.id3 import ID3

    return _from_id3(ID3(BytesIO(data), load_v1=False))


def _id3v1(data: bytes) -> Fields:
    from mutagen.id3 import ID3

    return _from_id3(ID3(BytesIO(data)))


def _from_id3(tag: Any) -> Fields:
    texts: dict[str, list[str]] = {}
    for frame in tag.getall("TXXX"):
        texts.setdefault(frame.desc.lower(), []).extend(str(text) for text in frame.text)
    free = _by_keys(lambda name: texts.get(name, ()))
    frames = _by_keys(lambda name: [str(text) for frame in tag.getall(name) for text in frame.text], _ID3_FRAMES)
    genres = [genre for frame in tag.getall("TCON") for genre in frame.genres]
    owners = [frame.data for frame in tag.getall("UFID") if frame.owner.rstrip("/") == "http://musicbrainz.org"]
    return replace(
        frames.or_else(free),
        all_artists=free.all_artists,
        date=frames.date + free.date,
        genre=clean_texts(genres) or free.genre,
        recording_id=clean_texts(data.decode("ascii", "replace") for data in owners) + free.recording_id,
    )


_MP4_ATOMS = {
    "title": ("\xa9nam",),
    "artist": ("\xa9ART",),
    "album": ("\xa9alb",),
    "album_artist": ("aART",),
    "date": ("\xa9day",),
    "genre": ("\xa9gen",),
}


def _mp4(data: bytes) -> Fields:
    from mutagen.mp4 import MP4

    tag = MP4(BytesIO(data)).tags or {}
    texts: dict[str, list[str]] = {}
    for key, values in tag.items():
        if key.startswith("----:"):
            name = key.rpartition(":")[2].lower()
            texts.setdefault(name, []).extend(decode_sensibly(bytes(value)) for value in values)
    free = _by_keys(lambda name: texts.get(name, ()))
    atoms = _by_keys(lambda name: [value for value in tag.get(name, ()) if isinstance(value, str)], _MP4_ATOMS)
    # The iTunes Store names a purchase "label:isrc:USXX…" here.
    sold = [text.rpartition(":isrc:")[2] for text in tag.get("xid ", ()) if isinstance(text, str) and ":isrc:" in text]
    return replace(
        atoms.or_else(free),
        all_artists=free.all_artists,
        track=tuple(str(number) for number, _ in tag.get("trkn", ())) or free.track,
        disc=tuple(str(number) for number, _ in tag.get("disk", ())) or free.disc,
        isrc=free.isrc or clean_texts(sold),
        compilation=("1",) if tag.get("cpil") else free.compilation,
    )


_ASF_ATTRIBUTES = {
    "title": ("title",),
    "artist": ("author", "wm/author"),
    "all_artists": ("wm/artists",),
    "album": ("wm/albumtitle",),
    "album_artist": ("wm/albumartist",),
    "track": ("wm/tracknumber",),
    "disc": ("wm/partofset",),
    "date": ("wm/year", "wm/originalreleasetime", "wm/originalreleaseyear"),
    "genre": ("wm/genre",),
    "isrc": ("wm/isrc",),
    "recording_id": ("musicbrainz/track id",),
    "release_id": ("musicbrainz/album id",),
    "compilation": ("wm/iscompilation",),
}


def _asf(data: bytes) -> Fields:
    from mutagen.asf import ASF

    by_name: dict[str, list[str]] = {}
    for name, value in ASF(BytesIO(data)).tags:
        by_name.setdefault(name.lower(), []).append(str(value))
    return _by_keys(lambda name: by_name.get(name, ()), _ASF_ATTRIBUTES)


_INFO_CHUNKS = {
    "title": ("INAM",),
    "artist": ("IART",),
    "album": ("IPRD",),
    "track": ("ITRK", "IPRT"),
    "date": ("ICRD",),
    "genre": ("IGNR",),
}


def _info(data: bytes) -> Fields:
    """Format: "Multimedia Programming Interface and Data Specifications 1.0"; mutagen does not read these."""
    by_name: dict[str, list[str]] = {}
    position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        name = data[position : position + 4].decode("latin-1")
        text = data[position + 8 : position + 8 + size].split(b"\0")[0]
        by_name.setdefault(name, []).append(decode_sensibly(text))
        position += 8 + size + size % 2
    return _by_keys(lambda name: by_name.get(name, ()), _INFO_CHUNKS)


_READERS: Mapping[TagForm, Callable[[bytes], Fields]] = {
    TagForm.ID3V2: _id3,
    TagForm.ID3V1: _id3v1,
    TagForm.VORBIS: _vorbis,
    TagForm.APE: _ape,
    TagForm.MP4: _mp4,
    TagForm.ASF: _asf,
    TagForm.INFO: _info,
}
