"""How alike two titles are: the same words, a slip of the pen, an addition left out, another word, another version."""

from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from psm.match.titles import Album, Title, numbers
from psm.match.views import View
from psm.match.vocabulary import COMMON_WORDS

SAME_TITLE = 0.97
"""From this title score on, the titles are the same words."""

_LIKE = 0.96  # the most for titles that are not the same words, or leave a version unsaid
_EDITIONS = ("karaoke", "instrumental", "a cappella", "sped up", "slowed")  # an album may come out as a whole so
_LIVE_BY_ALBUM = 0.85  # the most where only one album is live, and nothing says that the recordings last equally long
_OTHER_WORD = 0.75  # the most for titles in which one telling word stands for another
_AT_SAME_PLACE = 0.9  # titles that are roughly alike, at the same place on the same album of the same people
_UNTITLED = 0.85  # the same, where one side has no title
_ROUGHLY = 60.0  # titles that share less than this are not worth a look word by word
_ROUGHLY_SAME = 85.0
_CUT_TITLE = 28  # ID3v1 keeps 30 characters of a title
_LEFT_UNSAID = (
    "extended",
    "re-recorded",
)  # a file that lasts as long is that version, though its title does not say so


@dataclass(frozen=True, slots=True)
class TitleVerdict:
    """How alike two titles are, 0 to 1, in words too. ``other_version``: they name different versions."""

    score: float
    other_version: bool = False
    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()


def compare_titles(
    mine: View, theirs: View, my_album: Album | None, their_album: Album | None, *, close: bool
) -> TitleVerdict:
    """How alike the titles of two readings are. ``close``: the recordings last equally long."""
    a, b = mine.title, theirs.title
    same = a.full.replace(" ", "") == b.full.replace(" ", "")
    if not same and (mine.untitled or theirs.untitled):
        return TitleVerdict(0.0, bad=(f"“{(a if mine.untitled else b).full}” is no title",))
    verdict = TitleVerdict(1.0, good=("same title",)) if same else _compare_words(a, b)
    if verdict.score == 0.0:
        return verdict
    differing, unsaid = ([], []) if same else _differing_versions(mine, theirs, my_album, their_album, close=close)
    for kind in _editions(a, my_album, their_album):
        if side := _only_one(a, b, my_album, their_album, kind):
            differing.append(f"only the {side} is {kind}")
    if differing:
        return TitleVerdict(verdict.score * 0.5, True, verdict.good, (*verdict.bad, *differing))
    live = _only_one(a, b, my_album, their_album, "live")
    if live and not close:
        told = (*verdict.bad, *unsaid, f"only the album of the {live} is live")
        return TitleVerdict(min(verdict.score, _LIVE_BY_ALBUM), False, verdict.good, told)
    if unsaid:
        return TitleVerdict(min(verdict.score, _LIKE), False, verdict.good, (*verdict.bad, *unsaid))
    return verdict


def title_at_same_place(
    title: TitleVerdict, mine: View, theirs: View, my_album: Album | None, their_album: Album | None
) -> TitleVerdict:
    """Titles of two recordings of one artist, on one album, that last equally long: a likeness is enough there."""
    a, b = mine.title.core, theirs.title.core
    enough = _UNTITLED if mine.untitled or theirs.untitled else _AT_SAME_PLACE
    if title.score >= enough or title.other_version:
        return title
    if enough == _AT_SAME_PLACE and not (numbers(a) == numbers(b) and _is_roughly_same(a, b)):
        return title
    differing, _ = _differing_versions(mine, theirs, my_album, their_album, close=True)
    if differing:
        return TitleVerdict(title.score * 0.5, True, title.good, (*title.bad, *differing))
    return TitleVerdict(enough, good=(*title.good, "the same place on the album"), bad=title.bad)


def _is_roughly_same(one: str, other: str) -> bool:
    shorter, longer = sorted((one.replace(" ", ""), other.replace(" ", "")), key=len)
    return (len(shorter) >= 3 and shorter in longer) or fuzz.ratio(shorter, longer) >= _ROUGHLY_SAME


def _compare_words(a: Title, b: Title) -> TitleVerdict:
    """The titles without their versions: same words, else aligned word by word."""
    if set(a.spellings[:2]) & set(b.spellings[:2]) or a.core == b.core:
        return _compare_subtitles(a, b)
    if numbers(a.core) != numbers(b.core):
        return TitleVerdict(_similarity(a.core, b.core) * 0.6, bad=("another number in the title",))
    pairs = {(a.core, b.core), (_long(a), _long(b)), (a.core, _long(b)), (_long(a), b.core)}
    score = max(_similarity(*pair) for pair in sorted(pairs))
    said = f"similar title ({score:.0%})"
    return TitleVerdict(score, good=(said,)) if score >= 0.8 else TitleVerdict(score, bad=("different title",))


def _compare_subtitles(a: Title, b: Title) -> TitleVerdict:
    one, other = " ".join(a.subtitles), " ".join(b.subtitles)
    if one.replace(" ", "") == other.replace(" ", "") or a.core != b.core:
        return TitleVerdict(1.0, good=("same title",))
    if not one or not other:
        return TitleVerdict(SAME_TITLE, good=("same title",), bad=(f"only one says “{one or other}”",))
    if fuzz.token_sort_ratio(one, other) >= 80:
        return TitleVerdict(SAME_TITLE, good=("same title",))
    return TitleVerdict(0.8, bad=(f"“{one}” is not “{other}”",))


def _similarity(one: str, other: str) -> float:
    if not one or not other:
        return 0.0
    left, right = one.replace(" ", ""), other.replace(" ", "")
    if left == right:
        return 1.0
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) >= _CUT_TITLE and longer.startswith(shorter):
        return _LIKE
    roughly = fuzz.token_sort_ratio(one, other, score_cutoff=_ROUGHLY)
    if roughly == 0:
        return 0.0
    a, b = one.split(), other.split()
    if len(a) != len(b) and min(len(left), len(right)) >= 8:
        joined = fuzz.ratio(left, right) / 100
        if joined >= 0.95:  # words run together or pulled apart, and at most a slip
            return min(joined, _LIKE)
    return min(_align(a, b), _LIKE)


def _align(a: list[str], b: list[str]) -> float:
    """The share of words that both titles have, by weight; a word replaced by another one counts twice."""
    rest = list(b)
    alone: list[str] = []
    shared = 0.0
    for word in a:
        if word in rest:
            rest.remove(word)
            shared += 2 * _weight(word)
        else:
            alone.append(word)
    for word in list(alone):
        slip = next((other for other in rest if _is_slip(word, other)), None)
        if slip is not None:
            rest.remove(slip)
            alone.remove(word)
            shared += 0.9 * (_weight(word) + _weight(slip))
    total = sum(map(_weight, a)) + sum(map(_weight, b))
    score = shared / total if total else 0.0
    replaced = min(sum(map(_weight, alone)), sum(map(_weight, rest)))
    score = max(0.0, score - 2 * replaced / total) if total else 0.0
    if COMMON_WORDS.issuperset(alone) or COMMON_WORDS.issuperset(rest):
        return score
    # However long the titles: those that are made from one pattern differ in a single word.
    return min(score, _OTHER_WORD)


def _is_slip(one: str, other: str) -> bool:
    """Whether two words are one, misspelt: a letter of five or two of eight, never in a number or a short word.

    Words that begin otherwise are others ("night", "light"), unless their first two letters are swapped ("iDamond").
    """
    if any(c.isdigit() for c in one + other):
        return False
    if one[0] != other[0]:
        return len(one) >= 4 and one[:2] == other[1::-1] and one[2:] == other[2:]
    length = min(len(one), len(other))
    allowed = 2 if length >= 8 else 1 if length >= 4 else 0
    return OSA.distance(one, other, score_cutoff=allowed) <= allowed


@lru_cache(maxsize=16_384)
def _weight(word: str) -> float:
    return 0.2 if word in COMMON_WORDS else 0.5 + min(len(word), 8) / 8


def _long(title: Title) -> str:
    return " ".join((title.core, *title.subtitles))


def _differing_versions(
    mine: View, theirs: View, my_album: Album | None, their_album: Album | None, *, close: bool
) -> tuple[list[str], list[str]]:
    """The versions that the title of one side names and the other does not, in words; and those it may leave unsaid."""
    a, b = mine.title, theirs.title
    found: list[str] = []
    unsaid: list[str] = []
    for kinds, naming, other, side, other_album in (
        (a.kinds - b.kinds, mine, theirs, "track", their_album),
        (b.kinds - a.kinds, theirs, mine, "file", my_album),
    ):
        for kind in sorted(kinds):
            if any(_is_same_version(kind, named) for named in other.title.kinds):
                continue
            implied = _implied(kind, naming, other, other_album, close=close)
            (unsaid if implied else found).append(f"only the {side} is {kind}")
    if "remix" in a.kinds & b.kinds and a.credit and b.credit and not _same_credit(a, b):
        found.append("another remix")
    return found, unsaid


def _is_same_version(one: str, other: str) -> bool:
    """Whether two versions that no list knows are one but for a slip: "first version", "fist version"."""
    return one.endswith(" version") and other.endswith(" version") and fuzz.ratio(one[:-8], other[:-8]) >= 80


def _editions(title: Title, my_album: Album | None, their_album: Album | None) -> tuple[str, ...]:
    """The kinds that an album may give to all its songs. One that is named for the song is a single, and often holds
    the song itself as well."""
    if my_album and their_album and my_album.core == their_album.core and my_album.core != title.core:
        return _EDITIONS
    return _EDITIONS[:1]


def _only_one(a: Title, b: Title, my_album: Album | None, their_album: Album | None, kind: str) -> str:
    """Which side is of this kind by its album alone, while the other is not at all: "track", "file" or ""."""
    by_album = [album is not None and kind in album.kinds for album in (my_album, their_album)]
    if by_album[0] == by_album[1] or kind in a.kinds | b.kinds:
        return ""
    return "track" if by_album[0] else "file"


def _implied(kind: str, naming: View, other: View, other_album: Album | None, *, close: bool) -> bool:
    """Whether the other side may leave a version unsaid: its album says it, or the remixer is among the artists."""
    if kind in ("live", "acoustic", "instrumental") and other_album is not None and kind in other_album.kinds:
        return True
    if kind == "remix" and close and naming.title.credit:
        return bool(naming.title.credit & other.artists.tokens)
    return kind in _LEFT_UNSAID and close


def _same_credit(a: Title, b: Title) -> bool:
    if a.credit & b.credit:
        return True
    return fuzz.ratio("".join(sorted(a.credit)), "".join(sorted(b.credit))) >= 80
