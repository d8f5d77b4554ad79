"""The match stage: finds a file for every track that a change re-opened, and tells why.

Two phases, each safe to kill at any moment. The first looks at what changed (files, tracks, decisions, settings),
brings the key index up to date and queues every track that could be answered otherwise now; a file's keys and the queue
change in one transaction, and what was consumed is recorded last. The second takes tracks from the queue in batches and
decides them; a match is written and its track taken from the queue in one transaction. Run again, it goes on where it
was stopped.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psm.config import MatchConfig
from psm.db import Database, decisions, files, matches, tracks
from psm.match.calibration import likelihood
from psm.match.candidates import file_keys, track_keys
from psm.match.decide import Judgement, Ruling, decide, rank
from psm.match.scoring import Weight
from psm.match.views import describe_file, describe_track
from psm.models import Decision, LibraryFile, Match, Method, Status, Track
from psm.progress import NeverStop, Progress, ProgressCallback, StopSignal, no_progress
from psm.services.match_index import find_affected, hashes_of, is_due
from psm.services.match_questions import Question, Shelf, questions
from psm.services.playlists import follow_files

__all__ = ["CandidateVerdict", "Diagnosis", "MatchResult", "diagnose", "is_due", "match_tracks"]

TRACK_BATCH = 500
"""Tracks that are decided between two transactions."""

_STAGE = "match"


@dataclass(frozen=True, slots=True)
class MatchResult:
    """What the stage did. ``tracks`` is how many there are; ``matched`` and ``unmatched`` divide them.

    ``evaluated`` tracks were decided in this run; of these ``newly_matched`` had no file before, ``changed`` have
    another file or another score, and ``lost`` have none any more. ``by_method`` counts all matches, surest first.
    ``complete`` is false when it was stopped: the rest is queued for the next run.
    """

    tracks: int
    matched: int
    newly_matched: int
    changed: int
    lost: int
    unmatched: int
    evaluated: int
    duration_s: float
    complete: bool
    by_method: tuple[tuple[Method, int], ...]


@dataclass(frozen=True, slots=True)
class CandidateVerdict:
    """One candidate of a track: what it scored, what speaks for and against it, and why it won or lost, in words.

    ``sure`` is how likely it is the recording that was asked for, 0 to 1. The product of the ``weights`` is the score;
    what is named by hand or by path, or was not compared, has none.
    """

    file: LibraryFile
    score: float
    method: Method
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...]
    chosen: bool
    verdict: str
    sure: float = 0.0
    weights: tuple[Weight, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a track has the file it has, or none: ``match`` is stored, ``candidates`` are judged now, the best first.

    ``outdated``: something changed since the last run of the stage, and new files may not be among the candidates yet.
    """

    track: Track
    decisions: tuple[Decision, ...]
    match: Match | None
    candidates: tuple[CandidateVerdict, ...]
    outdated: bool


def match_tracks(
    db: Database,
    cfg: MatchConfig,
    *,
    full: bool = False,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    clock: Callable[[], float] = time.monotonic,
) -> MatchResult:
    """Matches every track that a change since the last run can affect; all of them, with a new index, when ``full``."""
    started = clock()
    follow_files(db)
    with _no_search_for_garbage():
        complete = find_affected(db, cfg, full=full, progress=progress, stop=stop)
        done = _match_queued(db, cfg, progress=progress, stop=stop) if complete else matches.Stored()
    with db.snapshot() as connection:
        total, matched = tracks.count(connection), matches.count(connection)
        return MatchResult(
            tracks=total,
            matched=matched,
            newly_matched=done.gained,
            changed=done.changed,
            lost=done.lost,
            unmatched=total - matched,
            evaluated=done.evaluated,
            duration_s=clock() - started,
            complete=complete and matches.is_queue_empty(connection),
            by_method=matches.count_by_method(connection),
        )


def diagnose(db: Database, cfg: MatchConfig, track: Track, *, limit: int = 5) -> Diagnosis:
    """The best ``limit`` candidates of a track as they are now, and every file that a decision names.

    Files that would be candidates, were they on disk or could they be read, are named as such, after the others.
    """
    with db.snapshot() as connection:
        keys = track_keys(track, describe_track(track))
        [question] = questions(connection, [matches.QueuedTrack(0, track, hashes_of(keys))], Shelf())
        ranked = rank(track, question.described, question.candidates, question.ruling, cfg)
        best = ranked[0] if ranked and ranked[0].accepted and not question.ruling.none else None
        decided = decisions.for_keys(connection, [track.key]).get(track.key, [])
        stored = matches.get(connection, track.id)
        named = {d.file_id for d in decided if d.file_id is not None} | ({stored.file_id} if stored else set())
        shown = [j for n, j in enumerate(ranked) if n < limit or j.candidate.file.id in named]
        unusable = [f.id for f in matches.unusable_files(connection) if keys & file_keys(f, describe_file(f))]
        outdated = is_due(connection, cfg)
        judged = {j.candidate.file.id for j in ranked}
        known = files.get_many(connection, {*(j.candidate.file.id for j in shown), *named, *unusable[:limit]})
    verdicts = [_verdict(known[j.candidate.file.id], j, best, question.ruling, cfg) for j in shown]
    away = sorted((f for f in known.values() if f.id not in judged), key=lambda f: f.absolute_path)
    verdicts += [_unusable_verdict(file, question.ruling) for file in away]
    return Diagnosis(track, tuple(decided), stored, tuple(verdicts), outdated)


@contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """Python looks for objects that hold each other whenever many were made. Of a first match that is a seventh of the
    time, and it finds nothing: what matching makes is let go at once, in 1,000 files or 500,000."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _match_queued(db: Database, cfg: MatchConfig, *, progress: ProgressCallback, stop: StopSignal) -> matches.Stored:
    """Phase 2: decides the queued tracks, batch by batch."""
    with db.snapshot() as connection:
        total = matches.queue_length(connection)
    done = matches.Stored()
    shelf = Shelf()
    while not stop.is_set():
        with db.snapshot() as connection:
            batch = matches.next_queued(connection, limit=TRACK_BATCH)
            results = [(q.queued, _answer(q, cfg)) for q in questions(connection, batch, shelf, cfg=cfg)]
        if not batch:
            break
        with db.transaction() as connection:
            stored = matches.store(connection, results)
        done = matches.Stored(
            done.evaluated + stored.evaluated,
            done.gained + stored.gained,
            done.changed + stored.changed,
            done.lost + stored.lost,
        )
        total = max(total, done.evaluated)  # another process may have queued more
        progress(Progress(_STAGE, done.evaluated, total, "matching"))
    return done


def _answer(question: Question, cfg: MatchConfig) -> Match | None:
    track = question.queued.track
    found = decide(track, question.described, question.candidates, question.ruling, cfg)
    if found is None:
        return None
    return Match(track.id, found.candidate.file.id, found.score, found.method, found.confidence, found.reasons)


def _verdict(
    file: LibraryFile, judged: Judgement, best: Judgement | None, ruling: Ruling, cfg: MatchConfig
) -> CandidateVerdict:
    chosen = best is not None and judged.candidate.file.id == best.candidate.file.id
    return CandidateVerdict(
        file=file,
        score=judged.score,
        method=judged.method,
        reasons_for=judged.good,
        reasons_against=judged.bad,
        chosen=chosen,
        verdict=_why(judged, best, ruling, cfg, chosen=chosen),
        sure=likelihood(judged.score, judged.method),
        weights=judged.weights,
    )


def _why(judged: Judgement, best: Judgement | None, ruling: Ruling, cfg: MatchConfig, *, chosen: bool) -> str:
    if chosen:
        return (
            f"won: {judged.reasons[0]}" if judged.method in (Method.MANUAL, Method.PATH) else "won: the best candidate"
        )
    if judged.candidate.file.id in ruling.rejected:
        return "lost: rejected by hand"
    if ruling.none:
        return "lost: no file was wanted for this track, by hand"
    if not judged.candidate.file.readable and not judged.accepted:
        return "lost: the file could not be read"
    if not judged.accepted:
        return f"lost: its score is below {cfg.threshold:.2f}, the least that counts (match.threshold)"
    if best is not None and best.method is not judged.method:
        return f"lost: another file was found by a surer method ({best.method.value})"
    if best is not None and round(best.score, 2) == round(judged.score, 2):
        return "lost: another file is as good, and preferred for its sound, its album or its path"
    return "lost: another file scores higher"


def _unusable_verdict(file: LibraryFile, ruling: Ruling) -> CandidateVerdict:
    """For a file that matching did not even look at."""
    if file.status is Status.MISSING:
        reason = "the file is missing from disk"
    elif file.error is not None and file.tags.duration_s is None:
        reason = f"the file could not be read: {file.error}"
    else:
        reason = "nothing in its tags or its name resembles the track"
    said = f"rejected by hand; {reason}" if file.id in ruling.rejected else reason
    return CandidateVerdict(file, 0.0, Method.FUZZY, (), (reason,), False, f"lost: {said}")
