"""The first half of matching: the key index is brought up to date, and what a change can affect is queued.

A changed file re-opens the tracks that it was the answer for, and those that it could answer now: it is judged for each
track with which it shares a key. That gives the same as matching every track anew, as long as a track is compared with
all its candidates; the few that have too many of them (:data:`MOST_CANDIDATES`) are re-opened by every change among
these.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from psm.config import MatchConfig
from psm.db import Connection, Database, decisions, matches, metadata, tracks
from psm.match import ALGORITHM_VERSION
from psm.match.candidates import MOST_CANDIDATES, file_keys, key_hash, track_keys
from psm.match.decide import Candidate, Ruling, decide
from psm.match.views import describe_file, describe_track
from psm.progress import Progress, ProgressCallback, StopSignal
from psm.services import match_due

KEY_BATCH = 1_000
"""Files or tracks whose keys are written in one transaction (about 0.2 s)."""

FEW_CHANGES = 2_000
"""Of so many changed files each is judged for every track with a common key. Of more, these tracks are just queued: to
match a track costs no more than to look at a few files for it."""

_STAGE = "match"
_FILES = "reading what files say"


def is_due(connection: Connection, cfg: MatchConfig) -> bool:
    """Whether the stage has anything to do. Costs a few look-ups."""
    return match_due.is_due(connection, cfg, version=ALGORITHM_VERSION)


def find_affected(db: Database, cfg: MatchConfig, *, full: bool, progress: ProgressCallback, stop: StopSignal) -> bool:
    """Brings the keys up to date and queues the tracks that a change can affect; false when it was stopped."""
    _resolve_decisions(db)
    with db.snapshot() as connection:
        seen = matches.consumed(connection)
        now = match_due.inputs(connection, cfg, version=ALGORITHM_VERSION)
    if full or seen is None or seen.version != now.version:
        with db.transaction() as connection:
            matches.forget_keys(connection)
        seen = None
    elif seen == now:
        return True
    if not _rekey_tracks(db, seen.tracks if seen else 0, progress, stop):
        return False
    requeue = seen is None or seen.settings != now.settings
    if seen is None:
        complete = _index_all_files(db, progress, stop)
    else:
        complete = _rekey_files(db, seen.library_files, cfg, progress, stop, queue=not requeue)
    if not complete:
        return False
    with db.transaction() as connection:
        if requeue:
            matches.queue_all_tracks(connection)
        elif seen is not None:
            matches.queue_decided_files(connection, since=seen.library_files)
        matches.record_consumed(connection, now)
    return True


def hashes_of(keys: Iterable[str]) -> tuple[int, ...]:
    """The keys as the index holds them."""
    return tuple({key_hash(key) for key in keys})


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
                hashes[track.id] = hashes_of(track_keys(track, describe_track(track)))
            matches.replace_track_keys(connection, hashes)
        done += len(batch)
        progress(Progress(_STAGE, done, len(changed), "reading what playlists ask for"))
    return True


def _index_all_files(db: Database, progress: ProgressCallback, stop: StopSignal) -> bool:
    """Fills the empty index. The keys of all files are put in order first: added file by file, as they come, they would
    write every page of the index again with every batch."""
    slices = [(array("q"), array("q")) for _ in range(64)]
    with db.snapshot() as connection:
        known = matches.files_changed_since(connection, 0)
    done = 0
    for batch in _batches(known, KEY_BATCH):
        if stop.is_set():
            return False
        with db.snapshot() as connection:
            hashes = _read(connection, batch).hashes
        for file_id, own in hashes.items():
            for one in own:
                keys, files = slices[(one >> 58) + 32]
                keys.append(one)
                files.append(file_id)
        # A file that changes after it was read has a newer generation than the one that will be recorded: it is next.
        with db.transaction() as connection:
            matches.remember_file_keys(connection, hashes)
        done += len(batch)
        progress(Progress(_STAGE, done, len(known), _FILES))
    for keys, files in slices:
        if stop.is_set():
            return False
        if keys:
            with db.transaction() as connection:
                matches.add_file_keys(connection, sorted(zip(keys, files, strict=True)))
    return True


def _rekey_files(
    db: Database, since: int, cfg: MatchConfig, progress: ProgressCallback, stop: StopSignal, *, queue: bool
) -> bool:
    with db.snapshot() as connection:
        changed = matches.files_changed_since(connection, since)
    few = len(changed) <= FEW_CHANGES
    done = 0
    for batch in _batches(changed, KEY_BATCH):
        if stop.is_set():
            return False
        with db.snapshot() as connection:
            generation = metadata.generation(connection, "library_files")
            read = _read(connection, batch)
            spared = _unaffected(connection, read, cfg) if queue and few else frozenset()
        with db.transaction() as connection:
            if metadata.generation(connection, "library_files") != generation:
                # One that changed meanwhile must not keep older keys, nor be judged by them.
                read, spared = _read(connection, batch), frozenset()
            if queue:
                sharing = _tracks_sharing(connection, read)
                matches.queue_tracks(
                    connection, (sharing - spared) | matches.tracks_answered_by(connection, read.hashes)
                )
            matches.replace_file_keys(connection, read.hashes)
        done += len(batch)
        progress(Progress(_STAGE, done, len(changed), _FILES))
    return True


@dataclass(frozen=True, slots=True)
class _Read:
    """Changed files: those that are on disk, and the keys of all, of which one that is gone has none."""

    files: Mapping[int, Candidate]
    hashes: Mapping[int, tuple[int, ...]]


def _read(connection: Connection, file_ids: Sequence[int]) -> _Read:
    hashes: dict[int, tuple[int, ...]] = dict.fromkeys(file_ids, ())
    found = {}
    for file in matches.present_files(connection, file_ids).values():
        found[file.id] = Candidate(file, describe_file(file))
        hashes[file.id] = hashes_of(file_keys(file, found[file.id].described))
    return _Read(found, hashes)


def _tracks_sharing(connection: Connection, read: _Read) -> set[int]:
    """The tracks that share a key with a changed file, one of those that it had or of those that it has now."""
    old = matches.keys_of_files(connection, read.hashes)
    keys = {one for own in (*old.values(), *read.hashes.values()) for one in own}
    return {track for sharing in matches.tracks_with_keys(connection, keys).values() for track in sharing}


def _unaffected(connection: Connection, read: _Read, cfg: MatchConfig) -> frozenset[int]:
    """Those of the tracks that share a key with changed files that none of these could answer.

    A track that may have more candidates than are compared with it is never among them: there a file that is no answer
    can still take the place of one that is.
    """
    joining: defaultdict[int, set[int]] = defaultdict(set)
    new = matches.tracks_with_keys(connection, (one for own in read.hashes.values() for one in own))
    for file_id, own in read.hashes.items():
        for one in own:
            for track_id in new.get(one, ()):
                joining[track_id].add(file_id)
    sharing = _tracks_sharing(connection, read)
    keys = matches.keys_of_tracks(connection, sharing)
    counts = matches.key_counts(connection, (one for own in keys.values() for one in own))
    spared = set()
    for track_id, track in tracks.by_ids(connection, sharing).items():
        most = sum(counts.get(one, 0) for one in keys.get(track_id, ())) + len(joining[track_id])
        if most > MOST_CANDIDATES:
            continue
        candidates = [read.files[file_id] for file_id in joining[track_id]]
        if decide(track, describe_track(track), candidates, Ruling(), cfg) is None:
            spared.add(track_id)
    return frozenset(spared)


def _batches(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
