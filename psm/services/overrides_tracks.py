"""Which tracks an entry of ``psm-overrides.yaml`` speaks of, and how psm names a track there.

A track's key is made of the most certain thing that its source says: the ISRC, else the MusicBrainz id, else artists,
title and album. A person need not know which: whoever writes artist and title means the track all the same when its
source also gives an ISRC, or an album. So an entry that says less than the key does is looked up among the tracks, and
holds for all that it names.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from psm.db import Database, tracks
from psm.models import Decision, RowError, Track
from psm.normalize import normalize, track_key
from psm.services.overrides_file import Entry, FileName


@dataclass(frozen=True, slots=True)
class Named:
    """The keys of the tracks that an entry names, and what is wrong with the naming, if anything."""

    keys: tuple[str, ...]
    problem: RowError | None = None


def named_tracks(db: Database, entries: Sequence[Entry]) -> dict[int, Named]:
    """The tracks that each entry names, by the entry's place.

    An entry that names no track of the database keeps the key made of what it says: the track may come later.
    """
    own = {entry.place: _own_key(entry) for entry in entries}
    vague = [e for e in entries if not (_is_exact(e) and tracks.by_key(db.connection, own[e.place]))]
    hits = _look_up(db, vague) if vague else {}
    named = {}
    for entry in entries:
        keys = hits.get(entry.place, ())
        if len(keys) > 1 and not entry.artists and not entry.mb_recording_id:
            reason = f'several tracks are called "{entry.title}": add artist: to say which'
            named[entry.place] = Named((), RowError(entry.line, reason))
        elif keys or _is_exact(entry):
            named[entry.place] = Named(keys or (own[entry.place],))
        else:
            reason = f'no playlist has a track "{entry.label}"; the decision waits for one'
            named[entry.place] = Named((own[entry.place],), RowError(entry.line, reason))
    return named


def entry_for(decision: Decision, track: Track | None) -> Entry:
    """The entry that psm writes for a decision: it names the track as a person would, and this track alone.

    ``track`` is None when no playlist holds it at present: then the key itself is all there is.
    """
    entry = Entry(
        kind=decision.kind,
        file=FileName(decision.file_library, decision.file_path, decision.file_fingerprint),
        label=decision.track_label,
        decided_at=decision.decided_at,
    )
    if track is not None:
        for form in (
            replace(entry, isrc=track.isrc),
            replace(entry, mb_recording_id=track.mb_recording_id),
            replace(entry, title=track.title, artists=track.artists, album=track.album or ""),
        ):
            if _is_exact(form) and _own_key(form) == decision.track_key:
                return form
    return replace(entry, key=decision.track_key)


def _own_key(entry: Entry) -> str:
    """The key of a track of which only this is known."""
    return entry.key or track_key(
        title=entry.title or "",
        artists=entry.artists,
        album=entry.album or None,
        isrc=entry.isrc,
        mb_recording_id=entry.mb_recording_id,
        locations=(),
    )


def _is_exact(entry: Entry) -> bool:
    return bool(entry.key or entry.isrc or entry.mb_recording_id or (entry.title and entry.album is not None))


def _look_up(db: Database, entries: Iterable[Entry]) -> dict[int, tuple[str, ...]]:
    """The keys of the tracks that agree with what each entry says; those that agree best, when some agree better."""
    recordings: defaultdict[str, list[Entry]] = defaultdict(list)
    titles: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.key or entry.isrc:
            continue
        if entry.mb_recording_id:
            recordings[entry.mb_recording_id].append(entry)
        elif entry.title:
            titles[normalize(entry.title)].append(entry)
    found: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for track in tracks.all_tracks(db.connection) if recordings or titles else ():
        for entry in recordings.get((track.mb_recording_id or "").lower(), ()):
            found[entry.place][track.key] = 1
        for entry in titles.get(normalize(track.title), ()) if titles else ():
            if agreement := _agreement(entry, track):
                found[entry.place][track.key] = max(agreement, found[entry.place].get(track.key, 0))
    return {
        place: tuple(sorted(key for key, agreement in keys.items() if agreement == max(keys.values())))
        for place, keys in found.items()
    }


def _agreement(entry: Entry, track: Track) -> int:
    """How well they agree: 2 for all artists, 1 for one of several or where the entry names none, 0 not at all."""
    if entry.album is not None and normalize(entry.album) != normalize(track.album or ""):
        return 0
    wanted = _words(entry.artists)
    if wanted == _words(track.artists):
        return 2
    if not wanted:
        return 1 if entry.album is None else 0
    return 1 if any(wanted == _words((artist,)) for artist in track.artists) else 0


def _words(artists: Iterable[str]) -> list[str]:
    """The words of all names: "A, B" as one name and A and B as two are the same artists."""
    return sorted(word for artist in artists for word in normalize(artist).split())
