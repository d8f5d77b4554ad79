"""What the bytes of a playlist file say: encodings, and the small values that every format holds."""

import codecs
import math
import os
import re

_BOMS = (
    # UTF-32's little-endian mark begins with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029\ud800-\udfff\ufeff]+")
_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
_ISRC_URI = re.compile(r"(?:urn:|https?://\S*)?isrc[:/](\S+)", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RECORDING_URI = re.compile(r"(?:https?://(?:[a-z]+\.)?musicbrainz\.org/recording/|mbid:)(" + _UUID.pattern + ")")
_LONGEST_S = 30 * 24 * 3600.0
LONGEST_TEXT = 2_000
"""Characters of a field that are kept: more than any title has, and little enough for whatever reads it further on."""


def without_bom(content: bytes) -> tuple[bytes, str | None]:
    """``content`` without its byte order mark, and the encoding that the mark names (None without one)."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return content[len(mark) :], encoding
    # Windows programs write UTF-16 without a mark too: every other byte of Latin text is then zero.
    head = content[:200]
    if len(head) >= 4 and len(content) % 2 == 0:
        if not any(head[1::2]) and all(head[::2]):
            return content, "utf-16-le"
        if not any(head[::2]) and all(head[1::2]):
            return content, "utf-16-be"
    return content, None


def decode(content: bytes) -> str:
    """The text in ``content``: as its byte order mark says, else UTF-8 when it is valid, else Windows-1252."""
    body, encoding = without_bom(content)
    return body.decode(encoding, "replace") if encoding else decode_line(body)


def decode_line(line: bytes) -> str:
    """Text without a mark. Latin-1 files practically never happen to be valid UTF-8, so validity decides."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return line.decode("cp1252")
    except UnicodeDecodeError:
        return line.decode("latin-1")  # the five bytes that Windows-1252 leaves undefined


def clean(text: str | None) -> str:
    """``text`` on one line: without control characters, halves of surrogate pairs, and spaces around it.

    At most ``LONGEST_TEXT`` characters of it.
    """
    return _NO_TEXT.sub(" ", (text or "").lstrip()[:LONGEST_TEXT]).strip()


def isrc_of(text: str | None) -> str | None:
    """An ISRC as 12 characters without hyphens, from itself or a URI (``isrc:…``); None when it is none."""
    said = clean(text)
    if found := _ISRC_URI.fullmatch(said):
        said = found.group(1)
    plain = said.replace("-", "").replace(" ", "").upper()
    return plain if _ISRC.fullmatch(plain) else None


def recording_id_of(text: str | None) -> str | None:
    """A MusicBrainz recording id as a lower-case UUID, from itself or its address; None when it is neither."""
    said = clean(text).lower()
    if _UUID.fullmatch(said):
        return said
    found = _RECORDING_URI.match(said)
    return found.group(1) if found else None


def seconds(value: float | str | None, *, per_second: float = 1.0) -> float | None:
    """A duration in seconds from a number in units of which ``per_second`` make one; None when unknown or senseless."""
    try:
        number = float(value) / per_second if value is not None else math.nan
    except (ValueError, OverflowError):
        return None
    return round(number, 3) if 0 < number <= _LONGEST_S else None


def stem(source: bytes) -> str:
    """The name of a playlist that does not name itself: its file's, without the ending."""
    name = os.path.basename(source)
    text = clean(decode_line(os.path.splitext(name)[0]))
    return text or clean(decode_line(name)) or "playlist"
