"""Which file answers a track: decisions by hand, the file a playlist names, equal ids, then the best likeness."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from psm.config import MatchConfig
from psm.match.scoring import Likeness, Weight, can_be_alike, compare
from psm.match.views import Described
from psm.match.wording import SAME_TITLE
from psm.models import Confidence, FileFacts, Method, Track

_LOSSLESS = frozenset(["flac", "alac", "wav", "aiff", "ape", "wavpack", "tta", "dsf", "dff", "dsd", "pcm"])
_FAR_S = 15.0
_CLOSE_S = 3.0
_LIKE_TITLE = 0.6


@dataclass(frozen=True, slots=True)
class Candidate:
    """A present file that may answer a track."""

    file: FileFacts
    described: Described


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a person decided for a track: ``chosen`` is the file's id (``chosen_away`` when it is not on disk)."""

    chosen: int | None = None
    chosen_away: bool = False
    rejected: frozenset[int] = field(default=frozenset())
    none: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found about one candidate. ``accepted`` says whether it may answer the track at all.

    The product of the ``weights`` is the score; a file that is named by hand or by path has none.
    """

    candidate: Candidate
    score: float
    method: Method
    confidence: Confidence
    good: tuple[str, ...]
    bad: tuple[str, ...]
    accepted: bool
    weights: tuple[Weight, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """What speaks for it, then what speaks against it."""
        return self.good + self.bad


def decide(
    track: Track, described: Described, candidates: Iterable[Candidate], ruling: Ruling, cfg: MatchConfig
) -> Judgement | None:
    """The file that answers a track, or None. It depends on what the files are, not on their order or their ids."""
    if ruling.none:
        return None
    promising = [c for c in candidates if _may_answer(track, described, c, ruling, cfg)]
    judged = rank(track, described, promising, ruling, cfg)
    return judged[0] if judged and judged[0].accepted else None


def rank(
    track: Track, described: Described, candidates: Iterable[Candidate], ruling: Ruling, cfg: MatchConfig
) -> Sequence[Judgement]:
    """Every candidate with its judgement, the best first."""
    return sorted((judge(track, described, c, ruling, cfg) for c in candidates), key=lambda j: _order(j, track))


def judge(track: Track, described: Described, candidate: Candidate, ruling: Ruling, cfg: MatchConfig) -> Judgement:
    """What one candidate is worth to a track."""
    file = candidate.file
    if file.id in ruling.rejected:
        return _judgement(candidate, 0.0, Method.FUZZY, Confidence.LOW, bad=("rejected by hand",))
    if file.id == ruling.chosen:
        return _judgement(candidate, 1.0, Method.MANUAL, Confidence.HIGH, good=("chosen by hand",), accepted=True)
    if file.path in track.locations:
        named = ("the playlist names this file",)
        return _judgement(candidate, 1.0, Method.PATH, Confidence.HIGH, good=named, accepted=True)
    if not file.readable:
        return _judgement(candidate, 0.0, Method.FUZZY, Confidence.LOW, bad=("the file could not be read",))
    found = _by_evidence(candidate, compare(described, candidate.described, cfg), described, cfg)
    if ruling.chosen_away and found.accepted:
        away = ("the file chosen by hand is not on disk",)
        return replace(found, confidence=Confidence.LOW, bad=found.bad + away)
    return found


def _may_answer(track: Track, described: Described, candidate: Candidate, ruling: Ruling, cfg: MatchConfig) -> bool:
    """Whether a full judgement may accept a candidate: one that is not even close is not looked at word by word."""
    file = candidate.file
    return (
        file.id == ruling.chosen
        or file.path in track.locations
        or not described.isrcs.isdisjoint(candidate.described.isrcs)
        or _same_recording(described, candidate.described)
        or can_be_alike(described, candidate.described, cfg)
    )


def _same_recording(track: Described, file: Described) -> bool:
    return track.mb_recording_id is not None and track.mb_recording_id == file.mb_recording_id


def _by_evidence(candidate: Candidate, likeness: Likeness, described: Described, cfg: MatchConfig) -> Judgement:
    for method, name, equal in (
        (Method.ISRC, "ISRC", bool(described.isrcs & candidate.described.isrcs)),
        (Method.MUSICBRAINZ, "MusicBrainz recording", _same_recording(described, candidate.described)),
    ):
        if not equal:
            continue
        good = (f"{name} equal", *likeness.good)
        if _is_proof(likeness):
            sure = Confidence.HIGH if likeness.title >= _LIKE_TITLE else Confidence.MEDIUM
            score = max(likeness.score, 0.97 if sure is Confidence.HIGH else 0.9)
            return _judgement(candidate, score, method, sure, good, likeness.bad, True, _with_id(likeness, score))
        # One in a hundred equal ids belongs to another song: here title or duration say so.
        score = min(1.0, round(likeness.score + 0.05, 4))
        accepted = score >= cfg.threshold
        weights = _with_id(likeness, score)
        return _judgement(candidate, score, Method.FUZZY, Confidence.LOW, good, likeness.bad, accepted, weights)
    accepted = likeness.score >= cfg.threshold
    method = Method.EXACT if likeness.exact and accepted else Method.FUZZY
    sure = _confidence(likeness, cfg)
    return _judgement(candidate, likeness.score, method, sure, likeness.good, likeness.bad, accepted, likeness.weights)


def _with_id(likeness: Likeness, score: float) -> tuple[Weight, ...]:
    """The weights with that of an equal id, which makes the likeness ``score``."""
    if likeness.score == 0.0:
        return (Weight("id", score),)
    return (*likeness.weights, Weight("id", score / likeness.score))


def _is_proof(likeness: Likeness) -> bool:
    """Whether nothing speaks against an equal id: the duration is the same, or close with a title that is alike."""
    off = None if likeness.apart_s is None else abs(likeness.apart_s)
    if off is not None and off <= _CLOSE_S:
        return True
    return likeness.title >= _LIKE_TITLE and (off is None or off <= _FAR_S)


def _confidence(likeness: Likeness, cfg: MatchConfig) -> Confidence:
    timed = likeness.apart_s is not None and abs(likeness.apart_s) <= cfg.duration_tolerance_s
    if likeness.exact and (timed or (likeness.apart_s is None and likeness.same_album)):
        return Confidence.HIGH
    if likeness.exact and likeness.apart_s is None:
        return Confidence.MEDIUM
    if timed and likeness.score >= 0.9 and likeness.title < SAME_TITLE:
        return Confidence.MEDIUM
    return Confidence.LOW


_TIER = {Method.MANUAL: 0, Method.PATH: 1, Method.ISRC: 2, Method.MUSICBRAINZ: 2, Method.EXACT: 3, Method.FUZZY: 3}


def _order(judgement: Judgement, track: Track) -> tuple[object, ...]:
    """Surest first. Among equals the better sound, an album before a compilation, then the path: never the row's id."""
    file = judgement.candidate.file
    location = track.locations.index(file.path) if judgement.method is Method.PATH else 0
    codec = (file.tags.codec or "").casefold()
    return (
        not judgement.accepted,
        _TIER[judgement.method],
        location,
        -round(judgement.score, 2),
        codec not in _LOSSLESS and not codec.startswith("pcm"),
        file.tags.compilation,
        -(file.tags.bitrate_kbps or 0),
        file.path,
    )


def _judgement(
    candidate: Candidate,
    score: float,
    method: Method,
    confidence: Confidence,
    good: tuple[str, ...] = (),
    bad: tuple[str, ...] = (),
    accepted: bool = False,
    weights: tuple[Weight, ...] = (),
) -> Judgement:
    return Judgement(candidate, score, method, confidence, good, bad, accepted, weights)
