"""Artists as a set of names: order and separators vary, and some names contain them."""

import re
from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz

from psm.match.latin import latin
from psm.match.titles import one_width
from psm.match.vocabulary import NOBODY
from psm.normalize import normalize

_SEPARATOR = re.compile(
    r"\s*[,;/&+×、・|]\s*|\s+(?:feat\.?|ft\.?|featuring|with|x|vs\.?|versus|and|und|y|et|presents|pres\.?)\s+",
    re.IGNORECASE,
)
_CHANNEL = re.compile(r"(?:\s+-\s+topic|\s*vevo)\s*$", re.IGNORECASE)  # as a video site calls an artist's own channel
_SIMILAR = 88.0
_GUESTS_ALONE = 0.8


@dataclass(frozen=True, slots=True)
class Artists:
    """Who made a recording. ``names`` are single squashed names, ``wholes`` the strings as credited, also squashed.

    ``all`` is the whole credit in one, ``main`` the first name. None has a leading "the"; placeholders such as "Various
    Artists" are left out.
    """

    names: frozenset[str] = frozenset()
    wholes: frozenset[str] = frozenset()
    all: str = ""
    main: str = ""
    tokens: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ArtistVerdict:
    """How far artists agree: 0 to 1, None when one side names nobody. ``common`` of ``asked`` names are the same."""

    score: float | None
    common: int = 0
    asked: int = 0


@lru_cache(maxsize=16_384)
def parse_artists(credited: tuple[str, ...], guests: tuple[str, ...] = ()) -> Artists:
    """The artists in ``credited`` (strings as a source has them) and the guests that a title names."""
    credited = tuple(_CHANNEL.sub("", one_width(text)) or text for text in credited)
    wholes = [whole for text in credited if (whole := _name(text)) not in NOBODY]
    names: dict[str, None] = {}
    tokens: set[str] = set()
    for text in (*credited, *guests):
        for part in _SEPARATOR.split(one_width(text)):
            if (name := _name(part)) not in NOBODY:
                names[name] = None
                tokens.update(normalize(part).split())
    tokens.discard("the")
    return Artists(frozenset(names), frozenset(wholes), "".join(wholes), next(iter(names), ""), frozenset(tokens))


def latin_artists(artists: Artists) -> Artists | None:
    """The same people in Latin letters, None when all of them are written in these, or have no such reading."""
    names = {
        name: latin(name) for name in (*artists.names, *artists.wholes, *artists.tokens, artists.all, artists.main)
    }
    if not any(names.values()):
        return None

    def spelt(own: frozenset[str]) -> frozenset[str]:
        return frozenset(names[name] or name for name in own)

    return Artists(
        spelt(artists.names),
        spelt(artists.wholes),
        names[artists.all] or artists.all,
        names[artists.main] or artists.main,
        spelt(artists.tokens),
    )


def is_nobody(text: str) -> bool:
    """Whether an artist string says nothing: empty, "Unknown Artist", "Various Artists"."""
    return _name(text) in NOBODY


@lru_cache(maxsize=16_384)
def compare_artists(track: Artists, file: Artists) -> ArtistVerdict:
    """Whether the artists of a track and of a file are the same people.

    All names of the shorter list found in the other is full agreement (a file often credited the first artist alone);
    some of them is less; none but many words in common ("The Jimi Hendrix Experience", "Jimi Hendrix") less again.
    """
    if not track.names or not file.names:
        return ArtistVerdict(None)
    asked = len(track.names)
    common = len(track.names & file.names)
    if track.all and track.all == file.all:
        return ArtistVerdict(1.0, max(1, common), asked)
    if common < min(asked, len(file.names)):
        common += _similar(track.names - file.names, file.names - track.names)
    if not common:
        common = len(track.wholes & file.wholes)  # a name that holds a separator, among others: AC/DC
    if common:
        share = common / min(asked, len(file.names))
        # Who shares a guest alone ("X feat. Z", "Y feat. Z") is somebody else, more often than not.
        mine, theirs = track.names | track.wholes, file.names | file.wholes
        guests_alone = not _similar({track.main}, theirs) and not _similar({file.main}, mine)
        return ArtistVerdict(_GUESTS_ALONE if guests_alone else 0.93 + 0.07 * share, common, asked)
    return ArtistVerdict(_overlap(track.tokens, file.tokens), 0, asked)


def _similar(left: Set[str], right: Set[str]) -> int:
    """How many names of ``left`` are in ``right`` but for a slip of the pen."""
    free = sorted(right)
    count = 0
    for name in sorted(left):
        scored = ((fuzz.ratio(name, other), other) for other in free if min(len(name), len(other)) >= 4)
        best = (100.0, name) if name in free else max(scored, default=(0.0, ""))
        if best[0] >= _SIMILAR:
            free.remove(best[1])
            count += 1
    return count


def _overlap(left: frozenset[str], right: frozenset[str]) -> float:
    """Agreement of people who share no whole name: by the words of the shorter list that are in the longer one."""
    shared = sum(len(token) for token in left & right)
    total = min(sum(map(len, left)), sum(map(len, right)))
    share = shared / total if total else 0.0
    return 0.9 * share if share >= 0.5 else 0.0


@lru_cache(maxsize=16_384)
def _name(text: str) -> str:
    name = normalize(text)
    return name.removeprefix("the ").replace(" ", "")
