"""File names from playlist names: safe on every system, never the same one twice, and the same ones at the next export.

A playlist keeps the file name that the manifest has for it as long as that name still fits; only then are names given
to new playlists. One that nobody else wants is the playlist's name alone. Playlists of one name all get something of
where they come from beside it, none the plain name: "Mix" from ``rock.csv`` and "Mix" from ``jazz.csv`` become
``Mix (rock).m3u8`` and ``Mix (jazz).m3u8``. So nothing depends on which came first, and when everything has to be
written anew, a name never comes to mean the other playlist.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count as count_from

MAX_NAME_BYTES = 240
"""File systems allow 255 bytes; the rest is for the ``.bak`` of a file that a person edited."""

_FALLBACK = "playlist"
_FORBIDDEN = frozenset('<>:"/\\|?*')
_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³])", re.IGNORECASE)
_NUMBER = re.compile(r" \((\d+)\)")
_LABEL_BYTES = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that needs a name.

    ``profile`` and ``playlist`` identify it across exports; ``suffix`` has its dot. ``labels`` tell it from others of
    its title, the most telling first.
    """

    profile: str
    playlist: str
    title: str
    suffix: str
    labels: tuple[str, ...] = ()


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

    def give(want: Wanted, name: str) -> None:
        names[want.profile, want.playlist] = name
        used.add(fold(name))

    for want in wanted:
        name = kept.get((want.profile, want.playlist))
        if name is not None and fold(name) not in used and _fits(name, want):
            give(want, name)
    for choices_of in (_plain, _labelled):
        rest = [want for want in wanted if (want.profile, want.playlist) not in names]
        choices = [choices_of(want) for want in rest]
        # What two could be called, in whichever order they came, neither is: else the name could change hands.
        count = Counter(fold(name) for those in choices for name in those)
        for want, those in zip(rest, choices, strict=True):
            name = next((n for n in those if count[fold(n)] == 1 and fold(n) not in used), None)
            if name is not None:
                give(want, spelling.get(fold(name), name))
    rest = [want for want in wanted if (want.profile, want.playlist) not in names]
    for want in rest:  # a name is taken by a file that is not to be touched
        name = next(n for n in (_named(want, str(number)) for number in count_from(2)) if fold(n) not in used)
        give(want, spelling.get(fold(name), name))
    return names


def fold(name: str) -> str:
    """What file systems that ignore case or Unicode form take for the same name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _plain(want: Wanted) -> list[str]:
    return [_named(want, "")]


def _labelled(want: Wanted) -> list[str]:
    by_name = {fold(name): name for label in reversed(want.labels) for name in [_named(want, label)]}
    return list(reversed(by_name.values()))


def _named(want: Wanted, label: str) -> str:
    """The title with ``label`` in parentheses, or alone when that is empty."""
    room = MAX_NAME_BYTES - len(want.suffix)
    # A label is cut before the title is: it may be as long as any file name.
    mark = f" ({safe_stem(label, max_bytes=_LABEL_BYTES)})" if label else ""
    return safe_stem(want.title, max_bytes=room - len(mark.encode())) + mark + want.suffix


def _fits(name: str, want: Wanted) -> bool:
    """Whether ``name`` is one that the playlist could be given now."""
    number = _NUMBER.fullmatch(name[len(name.rpartition(" (")[0]) : len(name) - len(want.suffix)])
    labels = ("", *want.labels, *([number[1]] if number else []))
    return name.endswith(want.suffix) and any(fold(name) == fold(_named(want, label)) for label in labels)


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
