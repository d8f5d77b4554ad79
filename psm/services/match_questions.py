"""What the answer for a track depends on: its candidates, and what a person decided for it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from psm.config import MatchConfig
from psm.db import Connection, decisions, matches, metadata
from psm.match.candidates import MOST_CANDIDATES, key_hash, most_promising, name_keys, proof_keys, shared_keys
from psm.match.decide import Candidate, Ruling
from psm.match.scoring import farthest_apart
from psm.match.views import Described, describe_file, describe_track
from psm.models import Decision, DecisionKind

_KEPT = 30_000
_AT_ONCE = 4_000


@dataclass(frozen=True, slots=True)
class Question:
    """A queued track with all that its answer depends on."""

    queued: matches.QueuedTrack
    described: Described
    candidates: tuple[Candidate, ...]
    ruling: Ruling


class Shelf:
    """What files say, taken apart once and kept for the next tracks: some thousands, whatever the library holds."""

    def __init__(self) -> None:
        self._generation = -1
        self._candidates: dict[int, Candidate] = {}
        self._durations: dict[int, float | None] = {}

    def renew(self, connection: Connection) -> None:
        """Forgets everything when a file has changed since."""
        generation = metadata.generation(connection, "library_files")
        if generation != self._generation:
            self._candidates.clear()
            self._durations.clear()
            self._generation = generation

    def durations(self, connection: Connection, file_ids: Iterable[int]) -> Mapping[int, float | None]:
        """How long at least these files last, in seconds."""
        if unknown := {i for i in file_ids if i not in self._durations}:
            self._durations.update(matches.durations(connection, unknown))
        return self._durations

    def candidates(self, connection: Connection, file_ids: Collection[int]) -> dict[int, Candidate]:
        """Those of these files that are on disk."""
        wanted = {i: self._candidates.pop(i) for i in file_ids if i in self._candidates}
        for file in matches.present_files(connection, (i for i in file_ids if i not in wanted)).values():
            wanted[file.id] = Candidate(file, describe_file(file))
        self._candidates.update(wanted)  # at the end: the first are those that were not asked for longest
        for oldest in list(self._candidates)[: max(0, len(self._candidates) - _KEPT)]:
            del self._candidates[oldest]
        return wanted


def questions(
    connection: Connection, batch: Sequence[matches.QueuedTrack], shelf: Shelf, *, cfg: MatchConfig | None = None
) -> Iterator[Question]:
    """The questions of some queued tracks, read in the caller's snapshot as they are consumed.

    With ``cfg`` they leave out the files that last too long or too short to be the answer.
    """
    shelf.renew(connection)
    decided = decisions.for_keys(connection, {queued.track.key for queued in batch})
    by_hash = matches.candidates(connection, (h for queued in batch for h in queued.hashes))
    durations = shelf.durations(connection, chain.from_iterable(by_hash.values()))
    chosen = {d.file_id for ds in decided.values() for d in ds if d.kind is DecisionKind.SET and d.file_id is not None}
    group: list[_Asked] = []
    size = 0
    for queued in batch:
        described = describe_track(queued.track)
        near = _near(connection, queued, described, by_hash, durations, cfg)
        own = decided.get(queued.track.key, ())
        near.update(d.file_id for d in own if d.file_id in chosen and d.file_id is not None)
        group.append(_Asked(queued, described, near, own))
        size += len(near)
        if size >= _AT_ONCE:
            yield from _complete(connection, group, shelf)
            group, size = [], 0
    yield from _complete(connection, group, shelf)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question of which the files are known by their ids only."""

    queued: matches.QueuedTrack
    described: Described
    near: set[int]
    decided: Sequence[Decision]


def _near(
    connection: Connection,
    queued: matches.QueuedTrack,
    described: Described,
    by_hash: Mapping[int, Sequence[int]],
    durations: Mapping[int, float | None],
    cfg: MatchConfig | None,
) -> set[int]:
    """The files to compare with a track, chosen without reading what they say."""
    shared = shared_keys(queued.hashes, by_hash)
    proven = {i for key in proof_keys(queued.track, described) for i in by_hash.get(key_hash(key), ())}
    lasts = described.duration_s
    apart = farthest_apart(cfg) if cfg is not None else None
    near = set(shared)
    if lasts is not None and apart is not None:
        near = {i for i in near if not (known := durations.get(i)) or abs(known - lasts) <= apart} | proven
    if len(near) <= MOST_CANDIDATES:
        return near
    named = {i for key in name_keys(described) for i in by_hash.get(key_hash(key), ())}

    def promise(file_id: int) -> tuple[float, ...]:
        known = durations.get(file_id)
        off = abs(known - lasts) if known and lasts is not None else 0.0
        return (file_id not in proven, file_id not in named, -shared[file_id], off)

    return set(most_promising(near, promise, lambda ids: matches.paths(connection, ids), most=MOST_CANDIDATES))


def _complete(connection: Connection, group: Sequence[_Asked], shelf: Shelf) -> Iterator[Question]:
    found = shelf.candidates(connection, set().union(*(asked.near for asked in group)))
    for asked in group:
        ruling = _ruling(asked.decided, found)
        mine = tuple(found[i] for i in asked.near if i in found)
        yield Question(asked.queued, asked.described, mine, ruling)


def _ruling(decided: Iterable[Decision], present: Collection[int]) -> Ruling:
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
