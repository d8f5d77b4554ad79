"""The match stage: finds a file for every track that a change re-opened, and tells why.

Two phases, each safe to kill at any moment. The first looks at what changed (files, tracks, decisions, settings),
brings the key index up to date and queues every track that could be answered otherwise now; a file's keys and the queue
change in one transaction, and what was consumed is recorded last. The second takes tracks from the queue in batches and
decides them; a match is written and its track taken from the queue in one transaction. Run again, it goes on where it
was stopped.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from psm.config import MatchConfig
from psm.db import Connection, Database, decisions, files, matches, metadata, tracks
from psm.match import ALGORITHM_VERSION
from psm.match.candidates import MOST_CANDIDATES, file_keys, key_hash, nearest, track_keys
from psm.match.decide import Candidate, Judgement, Ruling, decide, rank
from psm.match.views import Described, describe_file, describe_track
from psm.models import Decision, DecisionKind, FileFacts, LibraryFile, Match, Method, Status, Track
from psm.progress import NeverStop, Progress, ProgressCallback, StopSignal, no_progress

KEY_BATCH = 500
"""Files whose keys are written in one transaction (about 50 ms)."""

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
    """One candidate of a track: what it scored, what speaks for and against it, and why it won or lost, in words."""

    file: LibraryFile
    score: float
    method: Method
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...]
    chosen: bool
    verdict: str


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


def is_due(connection: Connection, cfg: MatchConfig) -> bool:
    """Whether the stage has anything to do. Costs a few look-ups."""
    now = matches.inputs(connection, settings=_settings(cfg), version=ALGORITHM_VERSION)
    return matches.consumed(connection) != now or not matches.is_queue_empty(connection)


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
    complete = _find_affected(db, cfg, full=full, progress=progress, stop=stop)
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
        [question] = _questions(connection, [matches.QueuedTrack(0, track, _hashes(keys))])
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


def _find_affected(db: Database, cfg: MatchConfig, *, full: bool, progress: ProgressCallback, stop: StopSignal) -> bool:
    """Phase 1: brings the keys up to date and queues what a change can affect; false when it was stopped."""
    _resolve_decisions(db)
    with db.snapshot() as connection:
        seen = matches.consumed(connection)
        now = matches.inputs(connection, settings=_settings(cfg), version=ALGORITHM_VERSION)
    if full or seen is None or seen.version != now.version:
        with db.transaction() as connection:
            matches.forget_keys(connection)
        seen = None
    elif seen == now:
        return True
    requeue = seen is None or seen.settings != now.settings
    if not _rekey_tracks(db, seen.tracks if seen else 0, progress, stop):
        return False
    if not _rekey_files(db, seen.library_files if seen else 0, progress, stop, queue=not requeue):
        return False
    with db.transaction() as connection:
        if requeue:
            matches.queue_all_tracks(connection)
        elif seen is not None:
            matches.queue_decided_files(connection, since=seen.library_files)
        matches.record_consumed(connection, now)
    return True


def _resolve_decisions(db: Database) -> None:
    """Finds the files again that decisions name, when any file changed: one may have come back, or moved."""
    with db.snapshot() as connection:
        seen = matches.consumed(connection)
        changed = seen is None or seen.library_files != metadata.generation(connection, "library_files")
    if changed:
        with db.transaction(durable=True) as connection:
            decisions.resolve(connection)


def _rekey_tracks(db: Database, since: int, progress: ProgressCallback, stop: StopSignal) -> bool:
    with db.snapshot() as connection:
        changed = matches.tracks_changed_since(connection, since)
    done = 0
    for batch in _batches(changed, KEY_BATCH):
        if stop.is_set():
            return False
        with db.transaction() as connection:
            # Read here, in the transaction that writes: a track that changed meanwhile must not keep older keys.
            found = tracks.by_ids(connection, batch)
            hashes: dict[int, tuple[int, ...]] = dict.fromkeys(batch, ())
            for track in found.values():
                hashes[track.id] = _hashes(track_keys(track, describe_track(track)))
            matches.replace_track_keys(connection, hashes)
        done += len(batch)
        progress(Progress(_STAGE, done, len(changed), "reading what playlists ask for"))
    return True


def _rekey_files(db: Database, since: int, progress: ProgressCallback, stop: StopSignal, *, queue: bool) -> bool:
    with db.snapshot() as connection:
        changed = matches.files_changed_since(connection, since)
    done = 0
    for batch in _batches(changed, KEY_BATCH):
        if stop.is_set():
            return False
        with db.transaction() as connection:
            hashes: dict[int, tuple[int, ...]] = dict.fromkeys(batch, ())
            for file in matches.present_files(connection, batch).values():
                hashes[file.id] = _hashes(file_keys(file, describe_file(file)))
            matches.replace_file_keys(connection, hashes, queue=queue)
        done += len(batch)
        progress(Progress(_STAGE, done, len(changed), "reading what files say"))
    return True


def _match_queued(db: Database, cfg: MatchConfig, *, progress: ProgressCallback, stop: StopSignal) -> matches.Stored:
    """Phase 2: decides the queued tracks, batch by batch."""
    with db.snapshot() as connection:
        total = matches.queue_length(connection)
    done = matches.Stored()
    while not stop.is_set():
        with db.snapshot() as connection:
            batch = matches.next_queued(connection, limit=TRACK_BATCH)
            questions = _questions(connection, batch)
        if not batch:
            break
        results = [(q.queued, _answer(q, cfg)) for q in questions]
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


@dataclass(frozen=True, slots=True)
class _Question:
    """A queued track with all that its answer depends on."""

    queued: matches.QueuedTrack
    described: Described
    candidates: tuple[Candidate, ...]
    ruling: Ruling


def _questions(connection: Connection, batch: Sequence[matches.QueuedTrack]) -> list[_Question]:
    """Reads what the answers of a batch depend on, in the caller's snapshot."""
    decided = decisions.for_keys(connection, {queued.track.key for queued in batch})
    by_hash = matches.candidates(connection, (h for queued in batch for h in queued.hashes))
    near = {queued.track.id: nearest(queued.hashes, by_hash) for queued in batch}
    chosen = {d.file_id for ds in decided.values() for d in ds if d.kind is DecisionKind.SET and d.file_id is not None}
    present = matches.present_files(connection, chosen.union(*near.values()))
    candidates: dict[int, Candidate] = {}
    for file in present.values():
        candidates[file.id] = _candidate(file)
    questions = []
    for queued in batch:
        ruling = _ruling(decided.get(queued.track.key, ()), present)
        described = describe_track(queued.track)
        mine = _most_promising(queued.track, described, near[queued.track.id], candidates)
        if ruling.chosen is not None and ruling.chosen not in near[queued.track.id]:
            mine.append(candidates[ruling.chosen])
        questions.append(_Question(queued, described, tuple(mine), ruling))
    return questions


def _most_promising(
    track: Track, described: Described, near: Mapping[int, int], candidates: Mapping[int, Candidate]
) -> list[Candidate]:
    """All candidates; of thousands of one name the named, then those that share most keys and last as long."""
    mine = [i for i in near if i in candidates]
    if len(mine) > MOST_CANDIDATES:

        def promise(file_id: int) -> tuple[bool, int, float, bytes]:
            candidate = candidates[file_id]
            lasts = candidate.described.duration_s
            known = described.duration_s is not None and lasts is not None
            named = candidate.file.path in track.locations or bool(described.isrcs & candidate.described.isrcs)
            return (not named, -near[file_id], abs(lasts - described.duration_s) if known else 0.0, candidate.file.path)  # type: ignore[operator]

        mine = sorted(mine, key=promise)[:MOST_CANDIDATES]
    return [candidates[i] for i in mine]


def _answer(question: _Question, cfg: MatchConfig) -> Match | None:
    track = question.queued.track
    found = decide(track, question.described, question.candidates, question.ruling, cfg)
    if found is None:
        return None
    return Match(track.id, found.candidate.file.id, found.score, found.method, found.confidence, found.reasons)


def _ruling(decided: Iterable[Decision], present: Mapping[int, FileFacts]) -> Ruling:
    chosen: int | None = None
    away = none = False
    rejected: set[int] = set()
    for decision in decided:
        match decision.kind:
            case DecisionKind.NONE:
                none = True
            case DecisionKind.REJECT if decision.file_id is not None:
                rejected.add(decision.file_id)
            case DecisionKind.SET if decision.file_id in present:
                chosen = decision.file_id
            case DecisionKind.SET:
                away = True
            case _:
                pass  # a rejected file that this database does not know
    return Ruling(chosen, away and chosen is None, frozenset(rejected), none)


def _candidate(file: FileFacts) -> Candidate:
    return Candidate(file, describe_file(file))


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
    elif file.error is not None:
        reason = f"the file could not be read: {file.error}"
    else:
        reason = "nothing in its tags or its name resembles the track"
    said = f"rejected by hand; {reason}" if file.id in ruling.rejected else reason
    return CandidateVerdict(file, 0.0, Method.FUZZY, (), (reason,), False, f"lost: {said}")


def _hashes(keys: Iterable[str]) -> tuple[int, ...]:
    return tuple({key_hash(key) for key in keys})


def _settings(cfg: MatchConfig) -> str:
    return json.dumps({name: getattr(cfg, name) for name in sorted(MatchConfig.__slots__)})


def _batches(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
