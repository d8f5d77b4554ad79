"""How alike a track and a file are: each piece of evidence graded, explained in words, and multiplied.

The weights are few and fixed; they do not depend on what else the library holds.
"""

from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from psm.config import MatchConfig
from psm.match.artists import ArtistVerdict, compare_artists
from psm.match.titles import Album, Title, numbers
from psm.match.views import Described, View
from psm.match.vocabulary import COMMON_WORDS

SAME_TITLE = 0.97
"""From this title score on, the titles are the same words."""

SAME_ARTISTS = 0.93
"""From this artist score on, at least one name is the same."""

_CLOSE_S = 3.0
_SAME_ALBUM = 0.1  # so much of what is missing to 1 the same album makes up for
_DURATION_STEPS = ((1.0, 0.985), (1.5, 0.93), (2.5, 0.8), (5.0, 0.75))  # up to so many tolerances apart: this factor
_FAR = 0.65
_LIKE = 0.96  # the most for titles that are not the same words, or leave a version unsaid
_ROUGHLY = 60.0  # titles that share less than this are not worth a look word by word
_LEFT_UNSAID = (
    "extended",
    "re-recorded",
)  # a file that lasts as long is that version, though its title does not say so
_CUT_TITLE = 28  # ID3v1 keeps 30 characters of a title


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike a track and a file are: ``score`` 0 to 1, with what speaks for and against, in words.

    ``title`` is 0 to 1, ``artists`` too or None when one side names nobody; ``apart_s`` is the difference in duration
    (positive: the file is longer), None when one is unknown. ``other_version``: they name different versions.
    """

    score: float
    title: float
    artists: float | None
    apart_s: float | None
    other_version: bool
    same_album: bool
    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether title and artists are the same words, and no version differs."""
        return (
            self.title >= SAME_TITLE
            and self.artists is not None
            and self.artists >= SAME_ARTISTS
            and not self.other_version
        )


@dataclass(frozen=True, slots=True)
class _TitleVerdict:
    score: float
    other_version: bool = False
    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()


def compare(track: Described, file: Described, cfg: MatchConfig) -> Likeness:
    """How alike a track and a file are, by the pair of their readings that agrees best."""
    apart_s = _apart(track, file)
    best: Likeness | None = None
    for mine in track.views:
        for theirs in file.views:
            found = _compare_views(mine, theirs, track, file, apart_s, cfg)
            if best is None or found.score > best.score:
                best = found
    return best or Likeness(0.0, 0.0, None, apart_s, False, False, bad=("no title to compare",))


def farthest_apart(cfg: MatchConfig) -> float | None:
    """With how many seconds between them a file may still reach the threshold, all else being equal; None: any."""
    if _at_best(_FAR) >= cfg.threshold:
        return None
    within = [limit for limit, factor in _DURATION_STEPS if _at_best(factor) >= cfg.threshold]
    return max(_CLOSE_S, max(within, default=0.0) * cfg.duration_tolerance_s)


def can_be_alike(track: Described, file: Described, cfg: MatchConfig) -> bool:
    """Whether a file may reach the threshold, by artists, duration and album alone: no title is compared.

    Most candidates fail here, at a tenth of the cost.
    """
    apart_s = _apart(track, file)
    lasts = _duration_factor(apart_s, cfg)
    same_album = _same_album(track.album, file.album)
    return any(
        _at_best(_artist_factor(compare_artists(mine.artists, theirs.artists), mine, apart_s) * lasts, same_album)
        >= cfg.threshold
        for mine in track.views
        for theirs in file.views
    )


def _at_best(score: float, same_album: bool = True) -> float:
    """What a score may become when everything else agrees; rounded as scores are."""
    return round(score + (1 - score) * _SAME_ALBUM if same_album else score, 4)


def _apart(track: Described, file: Described) -> float | None:
    return None if track.duration_s is None or file.duration_s is None else file.duration_s - track.duration_s


def _compare_views(
    mine: View, theirs: View, track: Described, file: Described, apart_s: float | None, cfg: MatchConfig
) -> Likeness:
    artists = compare_artists(mine.artists, theirs.artists)
    title = _compare_titles(mine, theirs, track.album, file.album, apart_s)
    same_album = _same_album(track.album, file.album)
    good, bad = list(title.good), list(title.bad)
    score = title.score * _artist_factor(artists, mine, apart_s)
    _tell_artists(artists, good, bad)
    score *= _duration_factor(apart_s, cfg)
    _tell_duration(apart_s, cfg, good, bad)
    if apart_s is None and track.album and file.album and not same_album:
        score *= 0.98
    if same_album:
        good.append("same album")
        score += (1 - score) * _SAME_ALBUM
    return Likeness(
        round(min(score, 1.0), 4),
        title.score,
        artists.score,
        apart_s,
        title.other_version,
        same_album,
        tuple(good),
        tuple(bad),
    )


def _artist_factor(artists: ArtistVerdict, mine: View, apart_s: float | None) -> float:
    if artists.score is None:
        telling = len(mine.title.core.replace(" ", "")) >= 8
        return 0.88 if telling and apart_s is not None and abs(apart_s) <= _CLOSE_S else 0.75
    return artists.score if artists.score > 0 else 0.4


def _tell_artists(artists: ArtistVerdict, good: list[str], bad: list[str]) -> None:
    if artists.score is None:
        bad.append("one side names no artist")
    elif artists.common:
        good.append(f"artists: {artists.common} of {artists.asked}")
    elif artists.score > 0:
        good.append("similar artists")
    else:
        bad.append("different artists")


def _duration_factor(apart_s: float | None, cfg: MatchConfig) -> float:
    """The same recording differs by 0.1 s in the median, by 5 s in one of twenty, by 10 s in one of a hundred."""
    if apart_s is None:
        return 0.97
    off = abs(apart_s)
    if off <= _CLOSE_S:
        return 1.0
    return next((factor for limit, factor in _DURATION_STEPS if off <= limit * cfg.duration_tolerance_s), _FAR)


def _tell_duration(apart_s: float | None, cfg: MatchConfig, good: list[str], bad: list[str]) -> None:
    if apart_s is None:
        return
    off = abs(apart_s)
    if off <= _CLOSE_S:
        good.append("same duration")
    else:
        said = good if off <= cfg.duration_tolerance_s else bad
        said.append(f"{off:.0f} s {'longer' if apart_s > 0 else 'shorter'}")


def _same_album(mine: Album | None, theirs: Album | None) -> bool:
    return mine is not None and theirs is not None and mine.core == theirs.core


def _compare_titles(
    mine: View, theirs: View, my_album: Album | None, their_album: Album | None, apart_s: float | None
) -> _TitleVerdict:
    a, b = mine.title, theirs.title
    same = a.full.replace(" ", "") == b.full.replace(" ", "")
    verdict = _TitleVerdict(1.0, good=("same title",)) if same else _compare_words(a, b)
    if verdict.score == 0.0:
        return verdict
    close = apart_s is not None and abs(apart_s) <= _CLOSE_S
    differing, unsaid = ([], []) if same else _differing_versions(mine, theirs, my_album, their_album, close=close)
    imitation = _only_one(a, b, my_album, their_album, "karaoke")
    if imitation:
        differing.append(f"only the {imitation} is karaoke")
    if differing:
        return _TitleVerdict(verdict.score * 0.5, True, verdict.good, (*verdict.bad, *differing))
    live = _only_one(a, b, my_album, their_album, "live")
    if live and not close:
        unsaid.append(f"only the album of the {live} is live")
    if unsaid:
        return _TitleVerdict(min(verdict.score, _LIKE), False, verdict.good, (*verdict.bad, *unsaid))
    return verdict


def _compare_words(a: Title, b: Title) -> _TitleVerdict:
    """The titles without their versions: same words, else aligned word by word."""
    if set(a.spellings[:2]) & set(b.spellings[:2]) or a.core == b.core:
        return _compare_subtitles(a, b)
    if numbers(a.core) != numbers(b.core):
        return _TitleVerdict(_similarity(a.core, b.core) * 0.6, bad=("another number in the title",))
    pairs = {(a.core, b.core), (_long(a), _long(b)), (a.core, _long(b)), (_long(a), b.core)}
    score = max(_similarity(*pair) for pair in sorted(pairs))
    said = f"similar title ({score:.0%})"
    return _TitleVerdict(score, good=(said,)) if score >= 0.8 else _TitleVerdict(score, bad=("different title",))


def _compare_subtitles(a: Title, b: Title) -> _TitleVerdict:
    one, other = " ".join(a.subtitles), " ".join(b.subtitles)
    if one.replace(" ", "") == other.replace(" ", "") or a.core != b.core:
        return _TitleVerdict(1.0, good=("same title",))
    if not one or not other:
        return _TitleVerdict(SAME_TITLE, good=("same title",), bad=(f"only one says “{one or other}”",))
    if fuzz.token_sort_ratio(one, other) >= 80:
        return _TitleVerdict(SAME_TITLE, good=("same title",))
    return _TitleVerdict(0.8, bad=(f"“{one}” is not “{other}”",))


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
    return max(0.0, score - 2 * replaced / total) if total else 0.0


def _is_slip(one: str, other: str) -> bool:
    """Whether two words are one, misspelt: a letter of five or two of eight, never in a number or a short word."""
    if one[0] != other[0] or any(c.isdigit() for c in one + other):
        return False
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
            implied = _implied(kind, naming, other, other_album, close=close)
            (unsaid if implied else found).append(f"only the {side} is {kind}")
    if "remix" in a.kinds & b.kinds and a.credit and b.credit and not _same_credit(a, b):
        found.append("another remix")
    return found, unsaid


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
