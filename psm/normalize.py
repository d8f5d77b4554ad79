"""How names are compared: one spelling for all the ways in which people, shops and taggers write the same words."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote_from_bytes

_LETTERS = str.maketrans(
    dict(zip("øđðłħıŋŧƒĸſɓɗəς", "oddlhintfksbdeσ", strict=True))
    | {"ß": "ss", "ẞ": "ss", "æ": "ae", "œ": "oe", "þ": "th", "&": " and "}
    # Apostrophes and their look-alikes vanish, so that "don't" and "dont" are one word.
    | dict.fromkeys("'’‘ʼʻ`´＇′", "")
)
# Accents, Hebrew points, Arabic vowel signs and the tatweel are left out by some taggers. Marks of other scripts
# (the vowels of Devanagari and Thai, the voicing marks of kana) tell words apart and stay.
_MARKS = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670]")
_ASCII_PUNCTUATION = re.compile(r"[^a-z0-9]+")
_DOLLAR = re.compile(r"\$(?=[^\W\d_])|(?<=[^\W\d_])\$")
_BANG = re.compile(r"(?<=[^\W\d_])!(?=[^\W\d_])")
_INITIALS = re.compile(r"\b(?:[^\W\d_]\.){2,}(?:[^\W\d_]\b)?")
_KEY_RESERVED = str.maketrans({"%": "%25", "|": "%7C", ",": "%2C"})


@lru_cache(maxsize=32_768)
def normalize(text: str) -> str:
    """``text`` as words in one spelling, separated by single spaces: the same for every case, width and Unicode form.

    Accents go, letters like ø, ß and æ are folded, ``$`` and ``!`` inside a name are the letters they stand for
    (A$AP, P!nk), initials lose their dots (R.E.M.), other punctuation becomes a space; every script keeps its letters.
    Idempotent, and never empty for a text that is not: "!!!" stays as it is.
    """
    folded = text
    for _ in range(4):  # folding one thing can reveal another; hypothesis found no text that needs a third round
        before, folded = folded, _fold(folded)
        if folded == before:
            break
    if folded or not text:
        return folded
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip() or text


def track_key(
    *,
    title: str,
    artists: Sequence[str],
    album: str | None,
    isrc: str | None,
    mb_recording_id: str | None,
    locations: Sequence[bytes],
    guessed: bool = False,
) -> str:
    """The name of a track for manual decisions: the same in every database and at every import.

    ``isrc:USRC17607839``, else ``mbid:<uuid>``, else ``name:<artists>|<title>|<album>`` in normalised words (artists
    sorted, separated by commas). A title that was only guessed from a file's name says less than the file itself: then
    it is ``path:<the first location, percent-encoded>``.
    """
    if isrc:
        return f"isrc:{isrc.upper().replace('-', '')}"
    if mb_recording_id:
        return f"mbid:{mb_recording_id.lower()}"
    if guessed and locations:
        return f"path:{quote_from_bytes(locations[0])}"
    names = ",".join(sorted({_part(artist) for artist in artists if artist}))
    return f"name:{names}|{_part(title)}|{_part(album or '')}"


def _part(text: str) -> str:
    return normalize(text).translate(_KEY_RESERVED)


def _fold(text: str) -> str:
    if text.isascii():
        plain = text.lower()
    else:
        plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        plain = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", plain)))
    if "$" in plain:
        plain = _DOLLAR.sub("s", plain)
    if "!" in plain:
        plain = _BANG.sub("i", plain)
    if "." in plain:
        plain = _INITIALS.sub(lambda m: m.group().replace(".", ""), plain)
    plain = plain.translate(_LETTERS)
    if not plain.isascii():
        return " ".join("".join(c if _is_word(c) else " " for c in plain).split())
    return " ".join(_ASCII_PUNCTUATION.sub(" ", plain).split())


def _is_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"
