"""From what stands in tags to what is meant: text, numbers, years, codes. Pure functions."""

import re
from collections.abc import Iterable

_SPACE = re.compile(r"\s+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f\u200b\ufeff\ufffe\uffff]")
_HIGH_CONTROL = re.compile("[\x80-\x9f]")
_HIGH = re.compile("[\x80-\xff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_TEXT = 2_000

_YEAR = re.compile(r"(?<!\d)(1\d{3}|20\d{2}|2100)")
_NUMBER = re.compile(r"\s*(\d{1,5})(?!\d)")
_ISRC_SEPARATOR = re.compile(r"[;/,\s\x00]+")
_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}\d{7}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LARGEST_NUMBER = 9_999


def clean_text(text: str) -> str:
    """Without control characters and needless white space, at most 2,000 characters, mended where decoded wrongly.

    Mending can show a control character, and removing one what can be mended: it goes on until nothing changes, which
    ends because each round takes something away.
    """
    text = text[: 2 * _LONGEST_TEXT]
    while (cleaner := _SPACE.sub(" ", _CONTROL.sub("", _mended(text))).strip()[:_LONGEST_TEXT].rstrip()) != text:
        text = cleaner
    return text


def clean_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """Each text cleaned; empty ones and repetitions are dropped. A NUL separates values, as ID3v2.4 and APEv2 have
    it."""
    found: dict[str, None] = {}
    for text in texts:
        for part in text.split("\0"):
            if cleaned := clean_text(part):
                found[cleaned] = None
    return tuple(found)


def _mended(text: str) -> str:
    """Text whose bytes were read in the wrong encoding, where that is beyond doubt.

    UTF-8 in a field that says Latin-1 ("BjÃ¶rk"): no sensible text is valid UTF-8 by accident. Windows-1252 in such a
    field: it has quotes and dashes where Latin-1 has control characters nobody uses. Bytes that are no UTF-8 in a field
    that has to be (kept as lone surrogates until here): one of the two.
    """
    if _SURROGATE.search(text):
        # A surrogate that stands for no byte is half of a character whose other half is lost.
        kept = "".join(c for c in text if not "\ud800" <= c <= "\udfff" or "\udc80" <= c <= "\udcff")
        return decode_sensibly(kept.encode("utf-8", "surrogateescape"))
    if not _HIGH.search(text):
        return text
    for encoding in ("latin-1", "cp1252"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    if _HIGH_CONTROL.search(text):
        try:
            return text.encode("latin-1").decode("cp1252")
        except UnicodeError:
            pass
    return text


def decode_sensibly(data: bytes) -> str:
    """Bytes of unknown origin as text: UTF-8 if they are that, Windows-1252 otherwise, Latin-1 for what that does not
    define."""
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def first_number(texts: Iterable[str]) -> int | None:
    """The number that a track or disc field begins with: 3 for "3", "03" and "3/12"; None for "A1" and 0, which is no
    place."""
    for text in texts:
        if (found := _NUMBER.match(text)) and 0 < int(found[1]) <= _LARGEST_NUMBER:
            return int(found[1])
    return None


def first_year(texts: Iterable[str]) -> int | None:
    """The first plausible year, 1000 to 2100, in dates of any form: "1999", "1999-05-03", "3.5.1999", "19990503"."""
    for text in texts:
        if found := _YEAR.search(text):
            return int(found[1])
    return None


def isrcs(texts: Iterable[str]) -> tuple[str, ...]:
    """The valid ISRCs, 12 characters each, without hyphens and spaces, in their order.

    One field may hold several, separated by ; / , or white space. Format: ISO 3901.
    """
    found: dict[str, None] = {}
    for text in texts:
        whole = _bare_isrc(re.sub(r"^ISRC[:\s]+", "", text.strip(), flags=re.IGNORECASE))
        for candidate in [whole, *(_bare_isrc(part) for part in _ISRC_SEPARATOR.split(text))]:
            if _ISRC.fullmatch(candidate):
                found[candidate] = None
    return tuple(found)


def _bare_isrc(text: str) -> str:
    return re.sub(r"[\s\-\u2010\u2011\u2013]", "", text).upper()


def first_uuid(texts: Iterable[str]) -> str | None:
    """The first MusicBrainz id, lower case; also out of a link to it."""
    for text in texts:
        if found := _UUID.search(text.lower()):
            return found[0]
    return None


def is_true(texts: Iterable[str]) -> bool:
    """Whether a flag field is set."""
    return any(text.strip().lower() in {"1", "true", "yes"} for text in texts)
