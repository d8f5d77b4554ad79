"""JSPF (https://wiki.xiph.org/JSPF): XSPF as JSON, as ListenBrainz and others export it.

Programs differ in whether ``location`` and ``identifier`` are a string or a list, and whether numbers are quoted: all
are read.
"""

import json
import os
from collections.abc import Iterator

from psm.models import PlaylistEntry, RowError, SourcePlaylist
from psm.providers.entries import make_entry, why_not
from psm.providers.locations import locate_uri
from psm.providers.protocol import NoPlaylist
from psm.providers.text import clean, decode, seconds, stem


class Jspf:
    """The provider for ``.jspf``, and for ``.json`` files that hold a JSPF playlist."""

    name = "jspf"
    suffixes: tuple[str, ...] = (".jspf", ".json")
    shared_suffixes: tuple[str, ...] = (".json",)

    def read(self, content: bytes, source: bytes) -> SourcePlaylist:
        """See :class:`~psm.providers.protocol.Provider`. Positions and row errors count tracks."""
        playlist = _playlist(content)
        folder = os.path.dirname(source)
        entries: list[PlaylistEntry] = []
        errors: list[RowError] = []
        for position, track in enumerate(_tracks(playlist), start=1):
            if not isinstance(track, dict):
                errors.append(RowError(position, "it is no object with a title"))
                continue
            located = [locate_uri(uri, folder) for uri in _texts(track.get("location"))]
            duration = track.get("duration")
            entry = make_entry(
                position,
                title=_text(track.get("title")),
                artists=_texts(track.get("creator")),
                album=_text(track.get("album")),
                duration_s=seconds(duration if isinstance(duration, float | str) else None, per_second=1000),
                identifiers=list(_texts(track.get("identifier"))),
                located=located,
            )
            if entry is None:
                errors.append(RowError(position, why_not(located)))
            else:
                entries.append(entry)
        name = clean(_text(playlist.get("title"))) or stem(source)
        return SourcePlaylist(self.name, source, name, tuple(entries), tuple(errors))


def _playlist(content: bytes) -> dict[str, object]:
    if not content.strip():
        raise NoPlaylist("the file is empty")
    try:
        # As floats, integers of any length are read at once; Python refuses to turn very long ones into an int.
        document = json.loads(decode(content), parse_int=float)
    except json.JSONDecodeError as e:
        raise NoPlaylist(f"it is not valid JSON: line {e.lineno}, {e.msg}") from e
    except RecursionError as e:
        raise NoPlaylist("it is JSON nested deeper than any playlist") from e
    found = document.get("playlist", document) if isinstance(document, dict) else None
    if not isinstance(found, dict) or "track" not in found:
        raise NoPlaylist('it is JSON, but no JSPF playlist: it lacks {"playlist": {"track": […]}}')
    return found


def _tracks(playlist: dict[str, object]) -> list[object]:
    tracks = playlist["track"]
    if tracks is None:
        return []
    if not isinstance(tracks, list):
        raise NoPlaylist('it is JSON, but no JSPF playlist: its "track" is no list')
    return tracks


def _texts(value: object) -> Iterator[str]:
    yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))


def _text(value: object) -> str | None:
    if isinstance(value, float):  # a title such as 1979, written as a number
        return str(int(value)) if value.is_integer() else str(value)
    return next(_texts(value), None)
