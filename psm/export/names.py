"""File names from playlist names: safe on every system, never the same one twice, and the same ones at the next export.

A playlist keeps the file name that the manifest has for it as long as that name still fits; only then are names given
to new playlists, in the order of their sources. So "Mix" and another "Mix" become ``Mix.m3u8`` and ``Mix (2).m3u8`` and
stay that, even when a third arrives or the first goes away.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MAX_NAME_BYTES = 240
"""File systems allow 255 bytes; the rest is for the ``.bak`` of a file that a person edited."""

_FALLBACK = "playlist"
_FORBIDDEN = frozenset('<>:"/\\|?*')
_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³])", re.IGNORECASE)
_NUMBER = re.compile(r" \(\d+\)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that needs a name. ``profile`` and ``playlist`` identify it across exports; ``suffix`` has its dot."""

    profile: str
    playlist: str
    title: str
    suffix: str


def safe_stem(title: str, *, max_bytes: int = MAX_NAME_BYTES) -> str:
    """``title`` as a file name without suffix that Linux, macOS, Windows and their file shares all accept."""
    text = "".join(_safe_character(c) for c in unicodedata.normalize("NFC", title))
    text = " ".join(text.split())
    if text.startswith("."):
        text = "_" + text[1:]  # hidden files are skipped by players
    text = _cut(text, max_bytes - 1).rstrip(". ")
    device, dot, rest = text.partition(".")
    if _DEVICE.fullmatch(device.rstrip()):
        text = f"{device.rstrip()}_{dot}{rest}"
    return text or _FALLBACK


def assign(
    wanted: Sequence[Wanted], *, kept: Mapping[tuple[str, str], str], taken: Iterable[str] = ()
) -> dict[tuple[str, str], str]:
    """A file name for each wanted file, by (profile, playlist); no two are equal, in whatever case or Unicode form.

    ``kept`` are the names of the last export, which stay when they still fit the title; ``taken`` are not available. A
    name that differs from one of ``kept`` in case only is spelt like it: to some file systems both are one file.
    """
    used = {fold(name) for name in taken}
    spelling = {fold(name): name for name in kept.values()}
    names: dict[tuple[str, str], str] = {}
    for want in wanted:
        name = kept.get((want.profile, want.playlist))
        if name is not None and fold(name) not in used and _fits(name, want):
            names[want.profile, want.playlist] = name
            used.add(fold(name))
    for want in wanted:
        if (want.profile, want.playlist) not in names:
            free = next(n for n in _candidates(want) if fold(n) not in used)
            name = spelling.get(fold(free), free)
            names[want.profile, want.playlist] = name
            used.add(fold(name))
    return names


def fold(name: str) -> str:
    """What file systems that ignore case or Unicode form take for the same name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _candidates(want: Wanted) -> Iterable[str]:
    yield safe_stem(want.title, max_bytes=MAX_NAME_BYTES - len(want.suffix)) + want.suffix
    number = 2
    while True:
        mark = f" ({number})"
        yield safe_stem(want.title, max_bytes=MAX_NAME_BYTES - len(want.suffix) - len(mark)) + mark + want.suffix
        number += 1


def _fits(name: str, want: Wanted) -> bool:
    if not name.endswith(want.suffix):
        return False
    stem = name[: -len(want.suffix)]
    room = MAX_NAME_BYTES - len(want.suffix)
    if fold(stem) == fold(safe_stem(want.title, max_bytes=room)):
        return True
    number = _NUMBER.search(stem, len(stem.rpartition(" (")[0]))
    if number is None or number.end() != len(stem):
        return False
    return fold(stem[: number.start()]) == fold(safe_stem(want.title, max_bytes=room - len(number.group())))


def _safe_character(character: str) -> str:
    if character in _FORBIDDEN:
        return "_"
    match unicodedata.category(character):
        case "Cc" | "Zl" | "Zp":
            return " "
        case "Cs":
            return "_"  # half a character, from a name that was no text
        case _:
            return character


def _cut(text: str, max_bytes: int) -> str:
    """The longest beginning of ``text`` that fits, without half a character or a letter robbed of its accents."""
    encoded = text.encode("utf-8")
    if len(encoded) <= max_bytes:
        return text
    short = encoded[:max_bytes].decode("utf-8", "ignore")
    cut = len(short)
    while cut > 0 and unicodedata.combining(text[cut]):
        cut -= 1
    return short[:cut]
