"""M3U and M3U8: one path per line, with comments that describe the next one.

There is no standard; this reads what players write (https://en.wikipedia.org/wiki/M3U lists the directives). A line is
UTF-8 when it is valid UTF-8 and Windows-1252 otherwise, each for itself: a single odd file name must not turn the rest
to mojibake.
"""

import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from psm.models import GENERATED_MARK, PlaylistEntry, RowError, SourcePlaylist
from psm.providers.entries import make_entry, why_not
from psm.providers.locations import Located, locate_path
from psm.providers.protocol import NoPlaylist, WrittenByPsm
from psm.providers.text import clean, decode_line, seconds, stem, without_bom

# Nothing here is tried twice (++, *+): a line of 30,000 spaces or letters costs one pass.
_EXTINF = re.compile(
    r"#EXTINF:\s*+(?P<duration>[-+\d.]*+)(?:\s++[\w-]++=(?:\"[^\"]*+\"|[^\s,\"]*+))*+\s*+,(?P<title>.*)",
    re.IGNORECASE,
)
_NO_NUMBER = re.compile(r"[^\d\s.+-]")
_LONGEST_LINE = 32 * 1024  # no system takes longer paths; percent-encoding makes three bytes of one
_ARTIST_TITLE = re.compile(r"(?<!\s)\s++[-–—]\s++")


@dataclass(slots=True)
class _Said:
    """What the comments since the last path say about the next one."""

    title: str = ""
    artist: str = ""
    album: str = ""
    duration_s: float | None = None


class M3u:
    """The provider for ``.m3u`` and ``.m3u8``."""

    name = "m3u"
    suffixes: tuple[str, ...] = (".m3u", ".m3u8")
    shared_suffixes: tuple[str, ...] = ()

    def read(self, content: bytes, source: bytes) -> SourcePlaylist:
        """See :class:`~psm.providers.protocol.Provider`. Positions count path lines, errors name lines."""
        lines = _lines(content)
        _refuse_others(lines)
        folder = os.path.dirname(source)
        name = ""
        said = _Said()
        position = 0
        entries: list[PlaylistEntry] = []
        errors: list[RowError] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            if line.lstrip().startswith(b"#"):
                text = decode_line(line.strip())[:_LONGEST_LINE]
                if text.upper().startswith("#PLAYLIST:"):
                    name = name or clean(text[len("#PLAYLIST:") :])
                else:
                    _note(text, said)
                continue
            position += 1
            if len(line) > _LONGEST_LINE:
                errors.append(RowError(number, "the line is longer than any path"))
                continue
            located = locate_path(line, folder)
            entry = _entry(position, said, located)
            if entry is None:
                errors.append(RowError(number, why_not([located])))
            else:
                entries.append(entry)
            said = _Said()
        return SourcePlaylist(self.name, source, name or stem(source), tuple(entries), tuple(errors))


def _lines(content: bytes) -> list[bytes]:
    """The lines without their ends. A path keeps its bytes, also when no encoding makes text of them."""
    body, encoding = without_bom(content)
    if encoding and encoding != "utf-8":
        body = body.decode(encoding, "replace").encode()
    if b"\n" in body:
        return [line.removesuffix(b"\r") for line in body.split(b"\n")]
    return body.split(b"\r")


def _refuse_others(lines: list[bytes]) -> None:
    filled = (stripped for line in lines if (stripped := line.strip()))
    opening = next(filled, None)
    if opening is None:
        raise NoPlaylist("the file is empty")
    # People put lines of their own above what psm wrote.
    if any(line.startswith(GENERATED_MARK.encode()) for line in _leading_comments(opening, filled)):
        raise WrittenByPsm
    if any(b"\0" in line for line in lines):
        raise NoPlaylist("it is no text, so it is not an M3U playlist")
    start = opening.lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise NoPlaylist("it is a web page or XML, not an M3U playlist")
    if start == b"[playlist]":
        raise NoPlaylist("it is a PLS playlist, not an M3U one")
    if any(line.startswith((b"#EXT-X-TARGETDURATION", b"#EXT-X-STREAM-INF")) for line in lines):
        raise NoPlaylist("it lists the parts of a video or radio stream (HLS), not tracks")


def _leading_comments(opening: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """The comments that speak of the whole list: those above the first track."""
    return itertools.takewhile(
        lambda line: line.startswith(b"#") and not line.upper().startswith(b"#EXTINF"),
        itertools.chain((opening,), rest),
    )


def _note(text: str, said: _Said) -> None:
    directive, _, value = text.partition(":")
    match directive.upper():
        case "#EXTINF":
            found = _EXTINF.match(text)
            if found:
                said.title, said.duration_s = found["title"], seconds(found["duration"])
            elif "," not in value and _NO_NUMBER.search(value):
                said.title = value
            else:
                said.duration_s = seconds(value.strip())
        case "#EXTART":
            said.artist = value
        case "#EXTALB":
            said.album = value


def _entry(position: int, said: _Said, located: Located) -> PlaylistEntry | None:
    artist, title = clean(said.artist), clean(said.title)
    if title == clean(located.name):
        title = ""  # some programs write the file's name where the title belongs
    if artist and title.casefold().startswith(artist.casefold()):
        dash = _ARTIST_TITLE.match(title, len(artist))
        title = title[dash.end() :] if dash else title
    elif not artist:
        parts = _ARTIST_TITLE.split(title, maxsplit=1)
        if len(parts) == 2 and all(parts):
            artist, title = parts
    return make_entry(
        position,
        title=title,
        artists=(artist,),
        album=said.album,
        duration_s=said.duration_s,
        located=(located,),
    )
