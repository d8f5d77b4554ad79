"""What a playlist file looks like: M3U, M3U8 and XSPF, in the three modes.

- ``strict``: the tracks that have a file.
- ``mirrored``: the others too, as comments where they belong: a person sees what is missing, a player does not.
- ``placeholders``: the others as entries of their own, so that the n-th entry is always the n-th track. Their path is
  ``Missing/artist - title.mp3``, which no file has; players show it greyed out or skip it. XSPF knows tracks without a
  place.

Nothing in a file depends on when or from which database it was written. Sources: XSPF 1 (https://xspf.org/spec), and
for M3U what players do, as there is no standard: ``#EXTM3U`` first, ``#EXTINF:seconds,artist - title`` before a path,
``#PLAYLIST:name``.
"""

import codecs
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from psm.config import ExportMode, ExportProfile, LineEnds, PlaylistFormat
from psm.export.names import safe_stem
from psm.export.paths import Place, Target, Unwritable
from psm.models import GENERATED_MARK, GENERATED_XSPF_REL

MISSING_MARK = "#MISSING:"
"""How the comment of a missing track begins in an M3U file."""

_MISSING_FOLDER = "Missing"
_PLACEHOLDER_NAME_BYTES = 200
_GENERATED = "written by psm; to change it, change the playlist that it was made from"
# What begins a line that readers take for something else than a path: a comment, a home folder, a Windows share.
_MISREAD_STARTS = ("#", "~", "\\", "\ufeff")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a playlist. ``target`` is None when no file was found; ``duration_s`` is None when it is not known."""

    title: str
    artists: tuple[str, ...] = ()
    album: str | None = None
    duration_s: float | None = None
    target: Target | None = None

    @property
    def label(self) -> str:
        """ "artist - title", in one line."""
        label = f"{', '.join(self.artists)} - {self.title}" if self.artists else self.title
        return one_line(label)


def check(target: Target, profile: ExportProfile) -> None:
    """Raises Unwritable when the format or the encoding of ``profile`` cannot hold this path."""
    if profile.format is PlaylistFormat.XSPF:
        return  # percent-encoding holds every byte
    line = _m3u_path(target)
    if "\n" in line or "\r" in line:
        raise Unwritable("its path holds a line break, which an M3U playlist cannot hold; xspf can")
    if line != line.rstrip():
        raise Unwritable("its path ends with a space, which players of M3U playlists cut off; xspf holds it")
    encoding = encoding_of(profile)
    try:
        line.encode(encoding, _errors(encoding))
    except UnicodeEncodeError as e:
        raise Unwritable(f"its path holds {line[e.start]!a}, which the encoding {encoding} does not have") from e


def render(name: str, entries: Sequence[Entry], place: Place) -> bytes:
    """The playlist file. The targets have passed :func:`check`."""
    profile = place.profile
    if profile.format is PlaylistFormat.XSPF:
        return _joined(_xspf_lines(name, entries, profile), profile).encode()
    encoding = encoding_of(profile)
    return _joined(_m3u_lines(name, entries, place), profile).encode(encoding, _errors(encoding))


def encoding_of(profile: ExportProfile) -> str:
    """The encoding of a profile's files: M3U8 and XSPF are UTF-8, M3U8 with a byte order mark when asked for."""
    name = codecs.lookup(profile.encoding).name
    if profile.format is PlaylistFormat.M3U or (profile.format is PlaylistFormat.M3U8 and name == "utf-8-sig"):
        return name
    return "utf-8"


def one_line(text: str) -> str:
    """``text`` with line breaks and control characters flattened to spaces."""
    flat = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    return " ".join(flat.split())


def placeholder(label: str, *, backslashes: bool) -> str:
    """The path line of a missing track that is ``label`` in the file."""
    slash = "\\" if backslashes else "/"
    return f"{_MISSING_FOLDER}{slash}{safe_stem(label, max_bytes=_PLACEHOLDER_NAME_BYTES)}.mp3"


def _m3u_lines(name: str, entries: Iterable[Entry], place: Place) -> Iterator[str]:
    profile = place.profile
    yield "#EXTM3U"
    yield f"{GENERATED_MARK}{_GENERATED}"
    yield f"#PLAYLIST:{_sayable(one_line(name), profile)}"
    for entry in entries:
        label = _sayable(entry.label, profile)
        seconds = -1 if entry.duration_s is None else round(entry.duration_s)
        if entry.target is not None:
            yield f"#EXTINF:{seconds},{label}"
            yield _m3u_path(entry.target)
        elif profile.mode is ExportMode.MIRRORED:
            yield f"{MISSING_MARK}{label}"
        elif profile.mode is ExportMode.PLACEHOLDERS:
            yield f"{MISSING_MARK}{label}"
            yield f"#EXTINF:{seconds},{label}"
            yield placeholder(label, backslashes=place.backslashes)


def _m3u_path(target: Target) -> str:
    """The line, in a form that no reader takes for a comment or a URL, or strips of a leading space."""
    if not target.relative:
        return target.text
    first = target.forward.partition("/")[0]
    if target.text.startswith(_MISREAD_STARTS) or target.text[:1].isspace() or ":" in first:
        return ".\\" + target.text if target.text != target.forward else "./" + target.text
    return target.text


def _sayable(text: str, profile: ExportProfile) -> str:
    """``text`` without what the encoding does not have: a title is for people, so a question mark will do."""
    encoding = encoding_of(profile)
    return text.encode(encoding, "replace").decode(encoding)


def _errors(encoding: str) -> str:
    # In UTF-8 a file name keeps its bytes, also those that are no text; elsewhere it has to be text.
    return "surrogateescape" if encoding.startswith("utf-8") else "strict"


def _joined(lines: Iterable[str], profile: ExportProfile) -> str:
    end = "\r\n" if profile.line_ends is LineEnds.CRLF else "\n"
    return "".join(line + end for line in lines)


def _xspf_lines(name: str, entries: Iterable[Entry], profile: ExportProfile) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield '<playlist version="1" xmlns="http://xspf.org/ns/0/">'
    yield f"  <title>{_xml(name)}</title>"
    yield f'  <meta rel="{GENERATED_XSPF_REL}">{_xml(_GENERATED)}</meta>'
    yield "  <trackList>"
    for entry in entries:
        if entry.target is None and profile.mode is ExportMode.MIRRORED:
            # "--" would end the comment.
            yield f"    <!-- missing: {_xml(entry.label).replace('--', '- -').rstrip('-')} -->"
        if entry.target is None and profile.mode is not ExportMode.PLACEHOLDERS:
            continue
        yield "    <track>"
        if entry.target is not None:
            yield f"      <location>{_xml(entry.target.uri)}</location>"
        yield f"      <title>{_xml(entry.title)}</title>"
        if entry.artists:
            yield f"      <creator>{_xml(', '.join(entry.artists))}</creator>"
        if entry.album:
            yield f"      <album>{_xml(entry.album)}</album>"
        if entry.duration_s is not None:
            yield f"      <duration>{round(entry.duration_s * 1000)}</duration>"
        yield "    </track>"
    yield "  </trackList>"
    yield "</playlist>"


def _xml(text: str) -> str:
    """``text`` in one line, escaped, without the characters that XML 1.0 cannot hold at all."""
    allowed = "".join(c for c in text if c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c >= "\U00010000")
    # The same three letters as html.escape and xml.sax.saxutils, which would load a table of entities and half of the
    # network modules.
    return one_line(allowed).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
