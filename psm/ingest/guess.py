"""What a file's name and folders say of it, for the tags that it lacks.

Only what is plain is taken, because a wrong artist is worse than none:

    Artist/Album (1999)/1-03. Title.flac    artist, album, year, disc 1, track 3, title
    Artist/1999 - Album/CD2/03 Title.mp3    the same, disc 2
    Artist - Album (1999)/03 - Title.mp3    the same, without a disc
    Artist - Title.mp3                      artist, title
    01 - Artist - Title.mp3                 artist, title, track 1
    Artist - Album - 03 - Title.mp3         all four
    Artist/Title.mp3                        artist, title
    Album/03 - Title.mp3                    album, title, track 3: a numbered file is part of something

A folder called "Unknown Artist", "Various Artists" or "Music" says nothing, nor does a file called "Track 03" more than
its number.
"""

import re
from dataclasses import dataclass, replace

from psm.ingest.values import clean_text, decode_sensibly
from psm.models import TrackTags

_GUESSED_FIELDS = ("title", "artists", "album", "track_number", "disc_number", "year")

_DASH = re.compile(r"\s+[-\u2013\u2014]\s+")
_DISC_AND_TRACK = re.compile(
    r"(?:cd|disc|disk|d)?\s?(\d{1,2})[-.](\d{2})(?:\s*[-.\u2013)]\s+|\s+)(?=\S)", re.IGNORECASE
)
_TRACK_MARKED = re.compile(
    r"(?:[\[(](\d{1,3})[\])]\s*[-.]?\s*|(\d{1,3})(?:\s+[-\u2013\u2014]\s+|\s*[.)]\s+|[.-](?=[^\W\d])))(?=\S)"
)
_TRACK_PADDED = re.compile(r"(0\d\d?)\s+(?=\S)")
_TRACK_PLAIN = re.compile(r"([12]\d|30)\s+(?=\S)")
_NUMBER_ALONE = re.compile(r"(?:audio\s?)?(?:track|titel|piste|pista|untitled)\W*(\d{1,3})|(0\d\d?)", re.IGNORECASE)
_VIDEO_ID = re.compile(r"\s\[[\w-]{11}\]$")

_DISC_FOLDER = re.compile(
    r"(?:cd|dis[ck]|vinyl|lp)\s*[-_#]?\s*(\d{1,2})(?:\s*(?:of|/)\s*\d+)?(?:\s*[-:(\[.].*)?", re.IGNORECASE
)
_YEAR = r"(1[89]\d\d|20\d\d)"
_YEAR_FIRST = re.compile(
    rf"{_YEAR}(?:[-.]\d\d){{0,2}}(?:\s*[-\u2013.]\s+|\s+)(?=\S)|[\[(]{_YEAR}[\])]\s*[-\u2013]?\s*(?=\S)"
)
_YEAR_LAST = re.compile(rf"\s*[\[(]{_YEAR}(?:[-.]\d\d){{0,2}}[\])]$|\s+[-\u2013]\s+{_YEAR}$")
_FORMAT_NAMES = (
    r"flac|mp3|alac|aac|ogg|opus|wav|ape|dsd\d*|v0|v2|\d{2,3}\s?k(?:bps|b)?|\d{2}\s?bit|vinyl|cd|web|hi-?res|eac"
)
_QUALITY = re.compile(rf"\s*[\[({{][^\])}}]*\b(?:{_FORMAT_NAMES})\b[^\])}}]*[\])}}]$", re.IGNORECASE)
_VERSION = re.compile(
    r"(?:\d{4} )?(?:[\w'’.]+ ){0,3}"
    r"(?:remix|mix|edit|version|demo|instrumental|acoustic|unplugged|reprise|take|mono|stereo"
    r"|remaster(?:ed)?|live|bonus track)"
    r"(?: (?:\d+|(?:at|in|from|on) .*|version|mix))?|(?:part|pt\.?|teil|vol\.?) ?[\divx]+",
    re.IGNORECASE,
)
_ARTICLE_LAST = re.compile(r"(.+), (The|Die|Der|Das|Les|Los)", re.IGNORECASE)

_NO_ARTIST = frozenset(
    {
        *("unknown", "unknown artist", "<unknown>", "no artist", "artist", "artists", "various", "various artists"),
        *("va", "v.a.", "v/a", "verschiedene", "diverse", "sampler", "varios artistas", "artistes divers"),
        *("unbekannter künstler", "soundtrack", "soundtracks", "ost", "compilation", "compilations", "samplers"),
        *("mixes", "mixtapes", "podcasts", "audiobooks", "hörbücher", "books", "playlists", "music", "musik"),
        *("musique", "música", "musica", "my music", "audio", "songs", "mp3", "mp3s", "flac", "ogg", "opus"),
        *("lossless", "media", "download", "downloads", "new", "incoming", "inbox", "import", "imports", "temp"),
        *("tmp", "misc", "miscellaneous", "other", "others", "library", "collection", "albums", "singles", "eps"),
        *("live", "loose", "loose tracks", "favorites", "favourites", "youtube", "torrent", "torrents", "itunes"),
        *("itunes media", "completed", "complete", "data", "share", "public", "shared music", "sorted", "unsorted"),
        *("rock", "pop", "jazz", "classical", "klassik", "metal", "hip-hop", "hip hop", "rap", "electronic"),
        *("techno", "house", "blues", "folk", "country", "reggae", "soul", "punk", "indie", "ambient", "world"),
        *("latin", "christmas", "weihnachten", "kids", "party", "chill"),
    }
)
"""Folder names, in lower case, that say where files came from or of what sort they are, but not who made them."""

_NO_ALBUM = _NO_ARTIST | {
    *("unknown album", "[unknown album]", "no album", "non-album", "non-album tracks", "untitled", "unbekanntes album")
}


@dataclass(frozen=True, slots=True)
class _Said:
    """What a part of the path says."""

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    track: int | None = None
    disc: int | None = None
    year: int | None = None


def fill_from_name(tags: TrackTags, relative: bytes) -> TrackTags:
    """The tags, with what they lack taken from the path below the library's root; ``guessed`` then names those
    fields."""
    missing = [name for name in _GUESSED_FIELDS if not getattr(tags, name)]
    if not missing:
        return tags
    said = guess(relative)
    filled = {name: getattr(said, name) for name in missing if getattr(said, name)}
    return replace(tags, **filled, guessed=tuple(filled))


def guess(relative: bytes) -> TrackTags:
    """What the path below the library's root says, as far as it is plain: title, artists, album, track and disc number,
    year."""
    *folders, name = [_readable(decode_sensibly(part)) for part in relative.split(b"/") if part] or [""]
    disc = _disc_of(folders[-1]) if folders else None
    if disc is not None:
        folders.pop()
    own = _from_name(
        _VIDEO_ID.sub("", _without_extension(name)).strip(), in_album=len(folders) >= 2 or disc is not None
    )
    above = _from_folders(folders, numbered=own.track is not None or disc is not None)
    if above.artist and own.artist and own.title and own.title.casefold() == above.artist.casefold():
        own = replace(own, title=own.artist, artist=own.title)  # "Title - Artist", as the folder tells
    artist = own.artist or above.artist
    return TrackTags(
        title=own.title,
        artists=(artist,) if artist else (),
        album=own.album or above.album,
        track_number=own.track,
        disc_number=own.disc or disc,
        year=above.year,
    )


def _readable(name: str) -> str:
    """Underscores are blanks where there are no others."""
    return clean_text(name if " " in name else name.replace("_", " "))


def _without_extension(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return stem if dot and stem and len(extension) <= 5 and " " not in extension else name


def _disc_of(folder: str) -> int | None:
    found = _DISC_FOLDER.fullmatch(folder)
    return int(found[1]) if found and int(found[1]) else None


def _from_name(stem: str, *, in_album: bool) -> _Said:
    if alone := _NUMBER_ALONE.fullmatch(stem):
        return _Said(track=int(alone[1] or alone[2]) or None)
    disc, track, rest = _leading_number(stem, in_album=in_album)
    if track is not None and _NUMBER_ALONE.fullmatch(rest):
        return _Said(track=track, disc=disc)  # "01 Track 01"
    parts = _DASH.split(rest)
    for place in range(1, len(parts)):
        if place + 1 < len(parts) and re.fullmatch(r"\d{1,3}", parts[place]):
            number, title = int(parts[place]), " - ".join(parts[place + 1 :])
        elif found := _TRACK_PADDED.match(parts[place]) or re.match(r"(\d{1,3})[.)]\s+", parts[place]):
            number, title = int(found[1]), " - ".join([parts[place][found.end() :], *parts[place + 1 :]])
        else:
            continue
        if track is None and number:
            return _Said(title, parts[0], " - ".join(parts[1:place]) or None, number, disc)
    if len(parts) == 1 or (_VERSION.fullmatch(parts[1]) and (track is not None or in_album)):
        return _Said(rest or None, track=track, disc=disc)
    return _Said(" - ".join(parts[1:]), parts[0], track=track, disc=disc)


def _leading_number(stem: str, *, in_album: bool) -> tuple[int | None, int | None, str]:
    """Disc, track and what follows them. "99 Luftballons" begins with no track number, "07 Title" and "7. Title" do;
    where files lie in an album's folder, so does "12 Title"."""
    if found := _DISC_AND_TRACK.match(stem):
        return int(found[1]) or None, int(found[2]) or None, stem[found.end() :]
    if found := _TRACK_MARKED.match(stem):
        number, rest = int(found[1] or found[2]), stem[found.end() :]
        # "311 - Amber" and "112 - Cupid" are bands, unless there is another name behind.
        if number < 100 or in_album or _DASH.search(rest):
            return None, number or None, rest
    found = _TRACK_PADDED.match(stem) or (_TRACK_PLAIN.match(stem) if in_album else None)
    if found:
        return None, int(found[1]) or None, stem[found.end() :]
    return None, None, stem


def _from_folders(folders: list[str], *, numbered: bool) -> _Said:
    """Artist, album and year. A lone folder of numbered files, or one with a year, is an album; any other lone one is
    an artist."""
    if not folders:
        return _Said()
    parent = _artist(folders[-2]) if len(folders) > 1 else None
    text, year = _without_year(_QUALITY.sub("", folders[-1]))
    parts = _DASH.split(text)
    if len(parts) == 3 and re.fullmatch(_YEAR, parts[1]):
        return _Said(artist=_artist(parts[0]), album=_album(parts[2]), year=int(parts[1]))
    if len(parts) > 1 and (parent is None or parent.casefold() == (_artist(parts[0]) or "").casefold()):
        return _Said(artist=_artist(parts[0]), album=_album(" - ".join(parts[1:])), year=year)
    if len(parts) > 1:
        # "Somebody/Album - Edition" or "Some sort/Somebody - Album": who made it cannot be told.
        return _Said(album=_album(text), year=year)
    if len(folders) > 1 or numbered or year:
        return _Said(artist=parent, album=_album(text), year=year)
    return _Said(artist=_artist(text))


def _without_year(folder: str) -> tuple[str, int | None]:
    found = _YEAR_LAST.search(folder) or _YEAR_FIRST.match(folder)
    if not found:
        return folder, None
    rest = folder[: found.start()] + folder[found.end() :]
    return rest.strip() or folder, int(found[1] or found[2])


def _artist(name: str) -> str | None:
    if _is_no_name(name) or name.casefold() in _NO_ARTIST:
        return None
    found = _ARTICLE_LAST.fullmatch(name)
    return f"{found[2]} {found[1]}" if found else name


def _album(name: str) -> str | None:
    return None if _is_no_name(name) or name.casefold() in _NO_ALBUM else name


def _is_no_name(name: str) -> bool:
    """Drawers of an alphabet, and years."""
    return len(name) < 2 or re.fullmatch(rf"[#\d][-\u2013][#\d\w]|\w-\w|{_YEAR}", name) is not None
