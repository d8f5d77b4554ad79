"""What a title says: the song, which version of it, and who else is on it."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from rapidfuzz import fuzz

from psm.match.latin import latin
from psm.match.vocabulary import NO_CREDIT, SAYS_NOTHING
from psm.normalize import normalize

# Version words, on normalised text. A version is another recording: a track that asks for one does not get another.
_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(rf"\b(?:{pattern})\b"))
    for kind, pattern in (
        (
            "karaoke",
            "karaoke|караоке|カラオケ|in the style of|originally performed|made (?:famous|popular)|backing track"
            "|sing ?along|play ?along|minus one|drumless",
        ),
        ("tribute", "tribute(?: to)?|as performed by"),
        (
            "live",
            "live|ライブ|живой звук|концертная версия|unplugged|in concert|en vivo|ao vivo|en directo"
            "|(?:bbc|peel|kexp|radio|spotify) sessions?|tiny desk|npr|kexp",
        ),
        ("acoustic", "acoustic|acustic[oa]|akustik|akustisch|acoustique|акустика|stripped"),
        ("instrumental", "instrumentals?|instrumentale|strumentale|инструментал|минус|inst|off vocal|without vocals"),
        ("a cappella", "a ?cap+el+as?|(?:isolated )?vocals only|isolated vocals|vocal only"),
        ("demo", "demos?"),
        ("cover", "cover(?:ed)?|кавер"),
        ("orchestral", "orchestral?|symphonic|philharmonic|string quartet|strings version"),
        ("piano", "piano (?:version|cover|solo)|solo piano|^piano$"),
        ("sped up", "sped up|speed up|nightcore"),
        ("slowed", "slowed|chopped|screwed"),
        ("8D", "8d"),
        ("lo-fi", "lo ?fi"),
        ("reprise", "reprise"),
        (
            "alternate",
            "alternat(?:e|ive)|outtake|take \\d+|rehearsal|early version|rough mix|unreleased version|reimagined",
        ),
        ("re-recorded", "re ?record(?:ed|ing)"),
        ("Taylor's version", "taylors version"),
        ("extended", "extended|12 inch|12 mix|club (?:mix|version)|long version"),
        ("interlude", "interlude|skit"),
        ("commentary", "commentary|interview"),
        ("medley", "medley"),
    )
)
_ANY_KIND = re.compile("|".join(f"(?:{pattern.pattern})" for _, pattern in _KINDS))
_REMIX = re.compile(
    r"\b(?:remix(?:ed)?|ремикс|リミックス|rmx|remake|re ?work(?:ed)?|bootleg|refix|mash ?up|dub|flip|vip|mix|edit"
    r"|mixed)\b"
)
# "Live in Rome", "Queen Live", but neither "Live Through This" nor "Long Live".
_LIVE_ALBUM = re.compile(
    r"^live$|\blive (?:at|in|from|on|aus|auf|im|au|en|tour|album|recordings?|sessions?|\d)"
    r"|(?<!\bto)(?<!\bwe)(?<!\bi)(?<!\byou)(?<!\bthey)(?<!\blong)(?<!\band)(?<!\blet) live$"
    r"|ライブ|unplugged|in concert|en vivo|ao vivo|en directo|(?:bbc|peel|kexp|radio|spotify) sessions?"
)
_OTHER_VERSION = re.compile(r"\b(?:version|ver|rendition)$")
_LANGUAGE = re.compile(
    r"\b(spanish|english|german|french|italian|japanese|korean|portuguese|chinese|mandarin|russian|arabic|hebrew"
    r"|espanol|deutsch|deutsche|francais|italiano)\b(?: (?:version|ver))?$"
)
_PART = re.compile(r"\b(?:part|parts|pt|pts|teil|chapter|act|vol|volume)\s+(\d+|[ivx]+|one|two|three|four|five|six)\b")
_NUMBERS = {
    name: str(value)
    for names in (("one", "two", "three", "four", "five", "six"), ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii"))
    for value, name in enumerate(names, start=1)
} | {"ix": "9", "x": "10", "xi": "11", "xii": "12"}
_MEANINGFUL_NUMBER = re.compile(r"^(?:\d{1,4}|\d+(?:st|nd|rd|th))$")
_FROM = re.compile(r"^(?:from|aus|de la|theme from|title track from|music from|taken from|inspired by)\b")
_GUESTS = re.compile(r"^(?:feat|featuring|ft|with|w|prod(?:uced)?(?: by)?|duet with)\b\s*(.*)$", re.IGNORECASE)
_RAW_GUESTS = re.compile(r"^\s*(?:feat\.?|featuring|ft\.?|with|w/|duet with|con|mit|avec)\s+(.+)$", re.IGNORECASE)
_INNER_GUESTS = re.compile(r"[\[({（]\s*(?:feat\.?|featuring|ft\.?|with|w/)\s+([^\])}）]+)[\])}）]?", re.IGNORECASE)
_TRAILING_GUESTS = re.compile(r"(?<=\S)\s+(?:feat\.?|ft\.?|featuring)\s+(?P<guests>.+)$", re.IGNORECASE)
_TRAILING_KIND = re.compile(
    r"^(?P<core>.+?) (?P<kind>(?:acoustic|instrumental|karaoke|demo|reprise|remix|orchestral)(?: (?:version|ver|mix))?"
    r"|live (?:at|from) .+)$"
)
_DASH = re.compile(r"\s+[-–—~]+\s+|\s+[-–—](?=\S)")
_BRACKET = re.compile(r"[\[({（【「]")
_OPEN, _CLOSE = "([{（【「", ")]}）】」"


@dataclass(frozen=True, slots=True)
class Title:
    """A title, parsed. All texts are normalised but ``guests``, which are as written.

    ``core`` is the song's name alone; ``subtitles`` are additions that no rule knows; ``full`` is everything written.
    ``kinds`` are the versions it names (``live``, ``remix``, ``part 2`` …), ``credit`` the words that say whose.
    ``spellings`` are the name, the name with its subtitles, and all of it, squashed: two that share one are the same.
    """

    core: str
    full: str
    subtitles: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()
    credit: frozenset[str] = frozenset()
    guests: tuple[str, ...] = ()
    spellings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Album:
    """An album's name, normalised, and the versions that its songs are: live, karaoke …"""

    core: str
    kinds: frozenset[str]


@lru_cache(maxsize=16_384)
def parse_title(text: str, album: str | None = None) -> Title:
    """Takes a title apart: "Song (feat. X) - Live at Wembley [2011 Remaster]" is "song", live, with guest X.

    An addition that repeats the ``album`` says nothing about the song, other than that it is live.
    """
    text = one_width(text)
    main, additions = _segments(text)
    guests: list[str] = []
    if found := _TRAILING_GUESTS.search(main):
        guests.append(found["guests"])
        main = main[: found.start()]
    core = normalize(main)
    kinds: set[str] = set()
    credit: set[str] = set()
    subtitles: list[str] = []
    collection = normalize(album) if album else ""
    for whole in additions:
        raw = whole
        if found := _INNER_GUESTS.search(whole):  # "(Extended Mix (feat. X))"
            guests.append(found[1])
            raw = whole[: found.start()] + whole[found.end() :]
        addition = normalize(raw)
        if found := _RAW_GUESTS.match(raw):
            guests.append(found[1])
        elif _GUESTS.match(addition):
            continue
        elif collection and _is_same(addition, collection):
            kinds |= _kinds_of(addition) & {"live"}
        elif named := _kinds_of(addition):
            kinds |= named
            credit |= set(addition.split()) - NO_CREDIT
        elif not _says_nothing(addition):
            subtitles.append(addition)
    if found := _TRAILING_KIND.match(core):
        core, tail = found["core"], found["kind"]
        kinds |= _kinds_of(tail)
    if (found := _PART.search(core)) and found.start() > 0:
        kinds.add(f"part {_number(found[1])}")
        core = " ".join((core[: found.start()] + core[found.end() :]).split())
    for name in tuple(kinds):
        if name.startswith("part "):
            credit -= {"part", "pt", name.removeprefix("part ")}
    full = normalize(text)
    if full == core and not subtitles:  # most titles say nothing but the song's name
        return Title(core, full, (), frozenset(kinds), frozenset(credit), tuple(guests), (core.replace(" ", ""),))
    spellings = _spellings(core, subtitles, full)
    return Title(core, full, tuple(subtitles), frozenset(kinds), frozenset(credit), tuple(guests), spellings)


def latin_title(title: Title) -> Title | None:
    """The same title in Latin letters, None when its name is written in these, or has no such reading."""
    core = latin(title.core)
    if core is None:
        return None
    full = latin(title.full) or title.full
    subtitles = tuple(latin(text) or text for text in title.subtitles)
    credit = frozenset(latin(word) or word for word in title.credit)
    return replace(
        title, core=core, full=full, subtitles=subtitles, credit=credit, spellings=_spellings(core, subtitles, full)
    )


@lru_cache(maxsize=16_384)
def parse_album(text: str) -> Album:
    """An album's name without its edition, and the versions that any of its words name: "Live at Wembley" is live."""
    title = parse_title(text)
    kinds = title.kinds | _kinds_of(title.full)
    if "live" not in title.kinds and not _LIVE_ALBUM.search(title.full):
        kinds -= {"live"}
    return Album(title.core, kinds)


def one_width(text: str) -> str:
    """``text`` with letters, brackets and dashes of one width (NFKC), for what is looked for before normalising."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def numbers(core: str) -> tuple[str, ...]:
    """The numbers in a normalised title, in order; Roman ones count when they end it ("Rocky II")."""
    tokens = core.split()
    found = [t.lstrip("0") or "0" for t in tokens if t.isdigit()]
    if len(tokens) > 1 and tokens[-1] in _NUMBERS and not tokens[-1].isdigit() and tokens[-1] not in ("i", "x", "v"):
        found.append(_NUMBERS[tokens[-1]])
    return tuple(found)


def _spellings(core: str, subtitles: Sequence[str], full: str) -> tuple[str, ...]:
    squashed = (text.replace(" ", "") for text in (core, " ".join((core, *subtitles)), full))
    return tuple(dict.fromkeys(squashed))


def _segments(text: str) -> tuple[str, list[str]]:
    """The main part of a title and what is added in brackets or after a dash. Leading brackets belong to the title."""
    main: list[str] = []
    additions: list[str] = []
    for piece, bracketed in _brackets(text):
        if bracketed and any(part.strip() for part in main):
            additions.append(piece)
        else:
            main.append(piece)
    first, *rest = _DASH.split("".join(main).strip())
    if not first.strip():
        return text, []
    return first.strip(), [part for part in rest if part.strip()] + additions


def _brackets(text: str) -> Iterator[tuple[str, bool]]:
    """Cuts a text at its outermost brackets; one that is never closed runs to the end."""
    if not _BRACKET.search(text):
        yield text, False
        return
    depth, start = 0, 0
    for place, character in enumerate(text):
        if character in _OPEN:
            if depth == 0:
                yield text[start:place], False
                start = place + 1
            depth += 1
        elif character in _CLOSE and depth:
            depth -= 1
            if depth == 0:
                yield text[start:place], True
                start = place + 1
    yield text[start:], depth > 0


def _kinds_of(addition: str) -> set[str]:
    """The versions that an addition names."""
    kinds = {k for k, pattern in _KINDS if pattern.search(addition)} if _ANY_KIND.search(addition) else set()
    if found := _PART.search(addition):
        kinds.add(f"part {_number(found[1])}")
    if found := _LANGUAGE.search(addition):
        kinds.add(f"{found[1]} version")
    if not kinds and _OTHER_VERSION.search(addition) and not _says_nothing(addition):
        kinds.add(addition)  # "guitar version": whatever it is, it is one
    if _REMIX.search(addition) and not _says_nothing(addition) and not kinds & {"extended", "alternate"}:
        kinds.add("remix")
    return kinds


def _says_nothing(addition: str) -> bool:
    """Whether an addition is about the release, not the recording: remaster, deluxe, explicit, "from …"."""
    if _FROM.match(addition) or " soundtrack" in addition or "remaster" in addition:
        return True
    return all(word in SAYS_NOTHING or _MEANINGFUL_NUMBER.match(word) for word in addition.split()) and any(
        not word.isdigit() for word in addition.split()
    )


def _is_same(addition: str, collection: str) -> bool:
    return addition == collection or (len(collection) >= 8 and fuzz.ratio(addition, collection) >= 90)


def _number(word: str) -> str:
    return _NUMBERS.get(word, word.lstrip("0") or "0")
