"""XSPF (https://www.xspf.org/spec): a playlist in XML, its locations as URI references, its durations in milliseconds.

Read with expat itself: it tells the line of every element, and it can refuse entity declarations, by which a small file
would grow without bound or read other files (ElementTree offers neither; see the vulnerabilities in Python's ``xml``
documentation).
"""

import os
from dataclasses import dataclass, field
from xml.parsers import expat

from psm.models import GENERATED_XSPF_REL, PlaylistEntry, RowError, SourcePlaylist
from psm.providers.entries import make_entry, why_not
from psm.providers.locations import base_folder, locate_uri
from psm.providers.protocol import NoPlaylist, WrittenByPsm
from psm.providers.text import clean, seconds, stem

_XML_BASE = "http://www.w3.org/XML/1998/namespace base"
_TRACK_FIELDS = ("title", "creator", "album", "duration", "location", "identifier")


class Xspf:
    """The provider for ``.xspf``."""

    name = "xspf"
    suffixes: tuple[str, ...] = (".xspf",)
    shared_suffixes: tuple[str, ...] = ()

    def read(self, content: bytes, source: bytes) -> SourcePlaylist:
        """See :class:`~psm.providers.protocol.Provider`. Positions count tracks, errors name lines."""
        if not content.strip():
            raise NoPlaylist("the file is empty")
        reading = _Reading(os.path.dirname(source))
        reading.parse(content)
        entries: list[PlaylistEntry] = []
        errors: list[RowError] = []
        for position, track in enumerate(reading.tracks, start=1):
            located = [locate_uri(uri, track.folder) for uri in track.values("location")]
            entry = make_entry(
                position,
                title=track.value("title"),
                artists=(track.value("creator"),),
                album=track.value("album"),
                duration_s=seconds(track.value("duration"), per_second=1000),
                identifiers=track.values("identifier"),
                located=located,
            )
            if entry is None:
                errors.append(RowError(track.line, why_not(located)))
            else:
                entries.append(entry)
        return SourcePlaylist(self.name, source, clean(reading.title) or stem(source), tuple(entries), tuple(errors))


@dataclass(slots=True)
class _Track:
    line: int
    folder: bytes | None
    fields: list[tuple[str, str]] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        return [text.strip() for field_name, text in self.fields if field_name == name and text.strip()]

    def value(self, name: str) -> str | None:
        return next(iter(self.values(name)), None)


class _Reading:
    """What expat has met so far: the open elements by local name, and the folder that each one's ``xml:base`` means."""

    def __init__(self, folder: bytes) -> None:
        self.title = ""
        self.tracks: list[_Track] = []
        self._open: list[str] = []
        self._folders: list[bytes | None] = [folder]
        self._text: list[str] = []

    def parse(self, content: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.EntityDeclHandler = _refuse_entities
        self._parser = parser
        try:
            parser.Parse(content, True)
        except expat.ExpatError as e:
            raise NoPlaylist(f"it is not valid XML: line {e.lineno}, {expat.ErrorString(e.code)}") from e
        except (ValueError, LookupError) as e:
            raise NoPlaylist(f"it is XML in an encoding that cannot be read: {clean(str(e))}") from e

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        if not self._open and local != "playlist":
            raise NoPlaylist(f"it is XML, but no XSPF playlist: its outermost element is <{clean(local)}>")
        folder = self._folders[-1]
        self._folders.append(base_folder(attributes[_XML_BASE], folder) if _XML_BASE in attributes else folder)
        self._open.append(local)
        self._text.clear()
        if self._open == ["playlist", "meta"] and attributes.get("rel") == GENERATED_XSPF_REL:
            raise WrittenByPsm
        if self._open == ["playlist", "trackList", "track"]:
            self.tracks.append(_Track(self._parser.CurrentLineNumber, self._folders[-1]))

    def _end(self, _: str) -> None:
        match self._open:
            case ["playlist", "title"]:
                self.title = "".join(self._text)
            case ["playlist", "trackList", "track", name] if name in _TRACK_FIELDS:
                self.tracks[-1].fields.append((name, "".join(self._text)))
        self._text.clear()
        self._open.pop()
        self._folders.pop()


def _refuse_entities(*_: object) -> None:
    raise NoPlaylist("it declares XML entities, which no playlist needs and which can be used for attacks")
