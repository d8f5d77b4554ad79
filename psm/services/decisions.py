"""Deciding by hand which file a track is: written to ``psm-overrides.yaml`` and the database, and matched at once."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from psm.config import Config
from psm.db import Database, decisions, files, libraries, matches
from psm.errors import UsageError
from psm.ingest.targets import locate
from psm.models import Decision, DecisionKind, Library, LibraryFile, Match, Track
from psm.services.matching import match_tracks
from psm.services.overrides import OverridesResult, change, iso_utc


@dataclass(frozen=True, slots=True)
class Decided:
    """What holds for a track now: all that was decided for it, and the match that psm made of that.

    ``changed`` is false when it held before. ``file`` is the file of the match. ``overrides`` tells what was found in
    ``psm-overrides.yaml`` before.
    """

    track: Track
    changed: bool
    decisions: tuple[Decision, ...]
    match: Match | None
    file: LibraryFile | None
    overrides: OverridesResult


def set_match(db: Database, config: Config, track: Track, file: LibraryFile, *, now: float) -> Decided:
    """Decides that ``file`` is the track's, for good. ``now`` is in seconds since the epoch, here and below."""
    return _decide(db, config, track, _decision(DecisionKind.SET, track, file, now=now), now=now)


def reject_match(db: Database, config: Config, track: Track, file: LibraryFile | None, *, now: float) -> Decided:
    """Decides that ``file`` is not the track's; None means the file of its present match.

    :raises UsageError: ``file`` is None and the track has no match.
    """
    rejected = file or _matched_file(db, track)
    if rejected is None:
        raise UsageError(
            f'"{track.label}" has no match to reject. Name the file that it must not have: psm reject-match TRACK FILE.'
        )
    return _decide(db, config, track, _decision(DecisionKind.REJECT, track, rejected, now=now), now=now)


def remove_match(db: Database, config: Config, track: Track, *, now: float) -> Decided:
    """Decides that no file is the track's, whatever comes."""
    return _decide(db, config, track, _decision(DecisionKind.NONE, track, None, now=now), now=now)


def reset_match(db: Database, config: Config, track: Track, *, now: float) -> Decided:
    """Takes back everything that was decided for the track: psm decides again."""
    return _change(db, config, track, lambda _: [], now=now)


def find_file(db: Database, text: str, *, folder: Path) -> LibraryFile:
    """The file a person means: a path, absolute, from ``folder`` or from a library's root, or the id in ``psm files``.

    :raises UsageError: psm does not know such a file, or knows several; the message says what to do.
    """
    connection = db.connection
    known = libraries.all_libraries(connection)
    place = locate(known, folder / text)
    if place is not None and (found := _known_at(db, *place)) is not None:
        return found
    inside = [f for library in known if (f := _known_at(db, library, os.fsencode(text))) is not None]
    if len(inside) > 1:
        listed = "\n".join("  " + f.absolute_path.decode("utf-8", "backslashreplace") for f in inside)
        raise UsageError(f'Several libraries have a file "{text}". Name one by its whole path:\n{listed}')
    if inside:
        return inside[0]
    number = text.removeprefix("#")
    if number.isascii() and number.isdigit() and len(number) < 18:
        by_id = files.get(connection, int(number))
        if by_id is not None:
            return by_id
    if place is not None and os.path.lexists(folder / text):
        raise UsageError(f"psm does not know {text} yet. Take it in first: psm scan {text}")
    if os.path.lexists(folder / text):
        raise UsageError(f"{text} is in none of psm's libraries. Add its folder first: psm library add FOLDER")
    raise UsageError(
        f'psm knows no file "{text}". psm files QUERY shows those that it knows, with their paths and ids.'
    )


def _known_at(db: Database, library: Library, path: bytes) -> LibraryFile | None:
    """The file there, or the one that was there before it went missing."""
    present = files.at_path(db.connection, library.id, path)
    if present is not None:
        return present
    missing = files.missing_at(db.connection, library.id, path)
    return None if missing is None else files.get(db.connection, missing.id)


def _matched_file(db: Database, track: Track) -> LibraryFile | None:
    found = matches.get(db.connection, track.id)
    return None if found is None else files.get(db.connection, found.file_id)


def _decision(kind: DecisionKind, track: Track, file: LibraryFile | None, *, now: float) -> Decision:
    return Decision(
        track_key=track.key,
        track_label=track.label,
        kind=kind,
        file_library=file.library if file else None,
        file_path=file.path if file else None,
        file_fingerprint=file.fingerprint if file else None,
        file_id=file.id if file else None,
        decided_at=iso_utc(now),
    )


def _decide(db: Database, config: Config, track: Track, decision: Decision, *, now: float) -> Decided:
    return _change(db, config, track, lambda held: decisions.merge(held, decision), now=now)


def _change(
    db: Database, config: Config, track: Track, decide: Callable[[list[Decision]], list[Decision]], *, now: float
) -> Decided:
    done = change(db, config.folder, track.key, decide, now=now)
    match_tracks(db, config.match)
    with db.snapshot() as connection:
        held = decisions.for_keys(connection, [track.key]).get(track.key, [])
        match = matches.get(connection, track.id)
        file = files.get(connection, match.file_id) if match is not None else None
    return Decided(track, done.changed, tuple(held), match, file, done.found)
