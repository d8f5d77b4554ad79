"""The readings of one file or track: its tags, with or without a track number, "Artist - Title", the file's name."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from psm.match.artists import Artists, is_nobody, latin_artists, parse_artists
from psm.match.titles import Album, Title, latin_title, one_width, parse_album, parse_title
from psm.match.vocabulary import UNKNOWN_ALBUMS
from psm.models import FileFacts, Track
from psm.normalize import normalize

_TRACK_NUMBER = re.compile(r"^\s*(?:\d{1,2}[-.])?(?P<number>\d{1,3})(?:\s*[-._)]+\s*|\s+)(?=\S)")
_SPLIT = re.compile(r"\s+[-–—]\s+")
_UNKNOWN_TITLE = re.compile(
    r"^(?:unknown|untitled|unknown title|no title|na|(?:track|audiotrack|piste|titel) ?\d+|0\d+)$"
)
_MOST_VIEWS = 4


@dataclass(frozen=True, slots=True)
class View:
    """One reading: a title and whose it is.

    ``untitled``: the title is a placeholder, such as "Track 03". ``doubted``: the artist is read from the title, and
    the artist field names somebody else.
    """

    title: Title
    artists: Artists
    untitled: bool = False
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class Described:
    """A file or a track, ready to be compared."""

    views: tuple[View, ...]
    album: Album | None
    duration_s: float | None
    isrcs: frozenset[str]
    mb_recording_id: str | None


def describe_track(track: Track) -> Described:
    """The readings of what a playlist asks for."""
    return Described(
        views=tuple(_views(track.title, track.artists, None, number=None, album=track.album)),
        album=_album(track.album),
        duration_s=track.duration_s or None,
        isrcs=frozenset([_isrc(track.isrc)] if track.isrc else []),
        mb_recording_id=track.mb_recording_id.lower() if track.mb_recording_id else None,
    )


def describe_file(file: FileFacts) -> Described:
    """The readings of a file."""
    tags = file.tags
    return Described(
        views=tuple(
            _views(
                tags.title or "",
                tags.artists,
                tags.album_artist,
                number=tags.track_number,
                album=tags.album,
                path=file.path,
            )
        ),
        album=_album(tags.album),
        duration_s=tags.duration_s or None,
        isrcs=frozenset(map(_isrc, tags.isrcs)),
        mb_recording_id=tags.mb_recording_id.lower() if tags.mb_recording_id else None,
    )


def _views(
    title: str,
    credited: tuple[str, ...],
    album_artist: str | None,
    *,
    number: int | None,
    album: str | None,
    path: bytes = b"",
) -> Iterator[View]:
    seen: set[tuple[str, Artists]] = set()
    for reading in _readings(one_width(title), credited, album_artist, number, path):
        parsed = parse_title(reading.text, album)
        artists = parse_artists(reading.artists, parsed.guests)
        if parsed.core and (parsed.full, artists) not in seen and len(seen) < _MOST_VIEWS:
            seen.add((parsed.full, artists))
            view = View(parsed, artists, reading.untitled, reading.doubted)
            yield view
            if not (parsed.full.isascii() and artists.all.isascii()):
                yield from _by_sound(view)


def _by_sound(view: View) -> Iterator[View]:
    """The reading in Latin letters, for one that is not."""
    title, artists = latin_title(view.title), latin_artists(view.artists)
    if title or artists:
        yield replace(view, title=title or view.title, artists=artists or view.artists)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A title and artists as texts; the rest as in :class:`View`."""

    text: str
    artists: tuple[str, ...]
    untitled: bool = False
    doubted: bool = False


def _readings(
    title: str, credited: tuple[str, ...], album_artist: str | None, number: int | None, path: bytes
) -> Iterator[_Reading]:
    known = tuple(artist for artist in credited if not is_nobody(artist))
    credited = known
    if not known and album_artist and not is_nobody(album_artist):
        known = (album_artist,)
    named = bool(title) and not _is_placeholder(title)
    if named:
        yield _Reading(title, known)
        bare = _without_number(title, number)
        if bare != title:
            yield _Reading(bare, known)
        yield from _split(bare, known)
        if known and not credited:  # the album's artist may not be the song's
            yield from _split(bare, ())
    if path and (not named or not known):
        name = os.fsdecode(os.path.splitext(os.path.basename(path))[0]).replace("_", " ")
        bare = _without_number(name, number)
        yield from _split(bare, known)
        if not named:
            yield _Reading(bare, known, untitled=_is_placeholder(bare))
    if title and not named:
        yield _Reading(title, known, untitled=True)


def _is_placeholder(title: str) -> bool:
    return bool(_UNKNOWN_TITLE.match(normalize(title)))


def _split(text: str, known: tuple[str, ...]) -> Iterator[_Reading]:
    """ "Artist - Title" in one field, "Title - Artist" where the artist is known, "Title / Artist" where none is.

    A video's title names its artist, and the artist field who put it online: then the title is believed, with a doubt.
    """
    song, slash, artist = text.rpartition(" / ")
    if slash and not known:
        yield _Reading(song, (artist,))
    parts = _SPLIT.split(text)
    if len(parts) < 2:
        return
    left, right = parts[0], text[len(parts[0]) :].lstrip(" -–—")
    if not right.strip() or not left.strip():
        return
    names = parse_artists(known)
    if not known:
        yield _Reading(right, (left,))
    elif parse_artists((left,)).names & names.names:
        yield _Reading(right, known)
    elif len(parts) == 2 and set() < parse_artists((right,)).names <= names.names:
        yield _Reading(left, known)
    elif len(parts) == 2 and parse_title(text).subtitles:  # what follows the dash is no version
        yield _Reading(right, (left,), doubted=True)


def _without_number(text: str, number: int | None) -> str:
    """A title without the track number in front of it; as the number may be its own, the whole title counts too."""
    found = _TRACK_NUMBER.match(text)
    if found is None:
        return text
    digits = found["number"]
    if int(digits) == number or len(digits) == 2 or digits.startswith("0"):
        return text[found.end() :]
    return text


def _album(text: str | None) -> Album | None:
    return parse_album(text) if text and normalize(text) not in UNKNOWN_ALBUMS else None


def _isrc(text: str) -> str:
    return text.upper().replace("-", "").replace(" ", "")
