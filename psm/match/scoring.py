"""How alike a track and a file are: each piece of evidence graded, explained in words, and multiplied.

The weights are few and fixed; they do not depend on what else the library holds.
"""

from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz

from psm.config import MatchConfig
from psm.match.artists import ArtistVerdict, compare_artists
from psm.match.titles import Album, numbers
from psm.match.views import Described, View
from psm.match.vocabulary import COMMON_ALBUMS, COMMON_TITLES
from psm.match.wording import SAME_TITLE, compare_titles, title_at_same_place

SAME_ARTISTS = 0.93
"""From this artist score on, at least one name is the same."""

_CLOSE_S = 3.0
_SAME_ALBUM = 0.1  # so much of what is missing to 1 the same album makes up for
_DURATION_STEPS = ((1.0, 0.93), (1.5, 0.9), (2.5, 0.8), (5.0, 0.75))  # up to so many tolerances apart: this factor
_FAR = 0.65
_SAME_PLACE_S = 1.0
_OTHER_CREDIT = 0.85  # the same title there, of other people: the composer or the performer, the band or the singer
_ALBUM_SLIPS = 87.0


@dataclass(frozen=True, slots=True)
class Weight:
    """One piece of evidence: "title", "artists", "duration", "album" or "id", and what the score is multiplied by."""

    of: str
    factor: float


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike a track and a file are: ``score`` 0 to 1, with what speaks for and against, in words.

    ``title`` is 0 to 1, ``artists`` too or None when one side names nobody; ``apart_s`` is the difference in duration
    (positive: the file is longer), None when one is unknown. ``other_version``: they name different versions.
    The product of the ``weights`` is the score.
    """

    score: float
    title: float
    artists: float | None
    apart_s: float | None
    other_version: bool
    same_album: bool
    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    weights: tuple[Weight, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether title and artists are the same words, and no version differs."""
        return (
            self.title >= SAME_TITLE
            and self.artists is not None
            and self.artists >= SAME_ARTISTS
            and not self.other_version
        )


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
    least = _OTHER_CREDIT if same_album and apart_s is not None and abs(apart_s) <= _SAME_PLACE_S else 0.0

    def by(mine: View, theirs: View) -> float:
        artists = compare_artists(mine.artists, theirs.artists)
        return max(least, _artist_factor(artists, mine, theirs, apart_s, same_album=same_album))

    return any(
        _at_best(by(mine, theirs) * lasts, same_album) >= cfg.threshold for mine in track.views for theirs in file.views
    )


def _at_best(score: float, same_album: bool = True) -> float:
    """What a score may become when everything else agrees; rounded as scores are."""
    return round(score + (1 - score) * _SAME_ALBUM if same_album else score, 4)


def _apart(track: Described, file: Described) -> float | None:
    return None if track.duration_s is None or file.duration_s is None else file.duration_s - track.duration_s


def _compare_views(
    mine: View, theirs: View, track: Described, file: Described, apart_s: float | None, cfg: MatchConfig
) -> Likeness:
    close = apart_s is not None and abs(apart_s) <= _CLOSE_S
    artists = compare_artists(mine.artists, theirs.artists)
    title = compare_titles(mine, theirs, track.album, file.album, close=close)
    same_album = _same_album(track.album, file.album)
    told: list[str] = []
    same_place = same_album and apart_s is not None and abs(apart_s) <= _SAME_PLACE_S
    by = _artist_factor(artists, mine, theirs, apart_s, same_album=same_album)
    if same_place and (artists.score or 0.0) >= SAME_ARTISTS:
        title = title_at_same_place(title, mine, theirs, track.album, file.album)
    elif same_place and by < _OTHER_CREDIT and title.score >= SAME_TITLE and _is_telling(mine, theirs, track.album):
        by = _OTHER_CREDIT
        told.append("the same place on the album")
    good, bad = [*title.good, *told], list(title.bad)
    _tell_artists(artists, theirs, good, bad)
    lasts = _duration_factor(apart_s, cfg)
    _tell_duration(apart_s, cfg, good, bad)
    score = before = title.score * by * lasts
    if apart_s is None and track.album and file.album and not same_album:
        score *= 0.98
    if same_album:
        good.append("same album")
        score += (1 - score) * _SAME_ALBUM if score else 0.0
    weights = [Weight("title", title.score), Weight("artists", by), Weight("duration", lasts)]
    if before and score != before:
        weights.append(Weight("album", score / before))
    return Likeness(
        round(min(score, 1.0), 4),
        title.score,
        by if mine.doubted or theirs.doubted else artists.score,
        apart_s,
        title.other_version,
        same_album,
        tuple(good),
        tuple(bad),
        tuple(weights),
    )


def _artist_factor(
    artists: ArtistVerdict, mine: View, theirs: View, apart_s: float | None, *, same_album: bool
) -> float:
    close = abs(apart_s) <= _CLOSE_S if apart_s is not None else same_album
    if artists.score is None:
        telling = len(mine.title.core.replace(" ", "")) >= 8
        return 0.88 if telling and close else 0.75
    if artists.score == 0 or (mine.doubted and theirs.doubted):
        return 0.4
    return artists.score * (0.88 if close else 0.75) if mine.doubted or theirs.doubted else artists.score


def _is_telling(mine: View, theirs: View, album: Album | None) -> bool:
    """Whether title and album together are hardly those of another song: the album is more than a single's."""
    if mine.doubted or theirs.doubted:
        return False
    song = mine.title.core.replace(" ", "")
    name = album.core.replace(" ", "") if album else ""
    return len(name) >= 8 and song not in COMMON_TITLES and song not in name and name not in COMMON_ALBUMS


def _tell_artists(artists: ArtistVerdict, theirs: View, good: list[str], bad: list[str]) -> None:
    if theirs.doubted:
        bad.append("the artist is named in the title, and another one in the artist field")
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
    if mine is None or theirs is None or mine.kinds != theirs.kinds:
        return False
    return mine.core == theirs.core or _is_same_name(mine.core, theirs.core)


@lru_cache(maxsize=16_384)
def _is_same_name(one: str, other: str) -> bool:
    """Whether two albums have one name but for a slip of the pen; another number is another album."""
    left, right = one.replace(" ", ""), other.replace(" ", "")
    return (
        min(len(left), len(right)) >= 5
        and fuzz.ratio(left, right, score_cutoff=_ALBUM_SLIPS) > 0
        and numbers(one) == numbers(other)
    )
