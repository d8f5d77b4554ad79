"""Which tracks an entry of ``psm-overrides.yaml`` speaks of, and how psm names a track there.

A track's key is made of the most certain thing that its source says: the ISRC, else the MusicBrainz id, else artists,
title and album, or the path in the playlist when that is all there is. And what a source says changes: an export gains
a column, a service links another ISRC of the song, the album becomes "(Deluxe Edition)", the playlists move.

So psm writes down all that it knows of a track, and looks an entry up from the surest to the vaguest: by the key that
its words make, by MusicBrainz id, by artists, title and album, by artists and title, or by the end of the path. The
first that finds a track counts. What is no longer exact counts only where it is clear which track is meant, and never
for a track that another entry names exactly.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes

from psm.db import Database, tracks
from psm.match import normalize, track_key
from psm.models import Decision, RowError, Track
from psm.services.overrides_file import Entry, FileName, is_isrc, is_recording_id

_PATH_KEY = "path:"
_NUMBERING = {"track", "audiotrack", "title", "song", "disc", "cd", "audio", "file"}


@dataclass(frozen=True, slots=True)
class Named:
    """The keys of the tracks that an entry names, and what is wrong with the naming, if anything."""

    keys: tuple[str, ...]
    problem: RowError | None = None


@dataclass(frozen=True, slots=True)
class _Hits:
    """Keys of tracks that one way of looking an entry up has found. ``sure``: each of them is meant, by its own words;
    otherwise one alone is, or none is."""

    keys: tuple[str, ...]
    sure: bool


def named_tracks(db: Database, entries: Sequence[Entry]) -> dict[int, Named]:
    """The tracks that each entry names, by the entry's place.

    An entry that names no track of the database keeps the key made of what it says: the track may come later.
    """
    own = {entry.place: _own_key(entry) for entry in entries}
    exact = {e.place for e in entries if _is_exact(e) and tracks.by_key(db.connection, own[e.place])}
    others = [e for e in entries if e.place not in exact]
    hits = _look_up(db, others) if others else {}
    surely = {own[place] for place in exact} | {key for h in hits.values() if h.sure for key in h.keys}
    named = {}
    for entry in entries:
        found = hits.get(entry.place, _Hits((), sure=False))
        keys = found.keys if found.sure else tuple(key for key in found.keys if key not in surely)
        if entry.place in exact:
            named[entry.place] = Named((own[entry.place],))
        elif len(keys) > 1 and not (found.sure and (entry.artists or entry.mb_recording_id)):
            named[entry.place] = Named((), RowError(entry.line, _ambiguous(entry)))
        elif keys:
            named[entry.place] = Named(keys)
        else:
            reason = f'no playlist has a track "{entry.label or own[entry.place]}"; the decision waits for one'
            named[entry.place] = Named((own[entry.place],), RowError(entry.line, reason))
    return named


def entry_for(decision: Decision, track: Track | None) -> Entry:
    """The entry that psm writes for a decision: it says all that is known of the track, and names this track alone.

    ``track`` is None when no playlist holds it at present: then the key itself is all there is.
    """
    entry = Entry(
        kind=decision.kind,
        file=FileName(decision.file_library, decision.file_path, decision.file_fingerprint),
        label=decision.track_label,
        decided_at=decision.decided_at,
    )
    if track is None or decision.track_key.startswith(_PATH_KEY):
        return replace(entry, key=decision.track_key)
    recording = (track.mb_recording_id or "").lower()
    full = replace(
        entry,
        isrc=track.isrc if is_isrc(track.isrc or "") else None,
        mb_recording_id=recording if is_recording_id(recording) else None,
        title=track.title,
        artists=track.artists,
        album=track.album or "",
    )
    return full if _own_key(full) == decision.track_key else replace(full, key=decision.track_key)


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


def _ambiguous(entry: Entry) -> str:
    if not entry.artists and entry.title:
        return f'several tracks are called "{entry.title}": add artist: to say which'
    return f'no playlist has just this track any more, and several are like "{entry.label}": correct the entry'


def _look_up(db: Database, entries: Iterable[Entry]) -> dict[int, _Hits]:
    """What each entry finds that is not found by its key, in the surest way that finds anything."""
    recordings: defaultdict[str, list[Entry]] = defaultdict(list)
    titles: defaultdict[str, list[Entry]] = defaultdict(list)
    paths: defaultdict[bytes, list[tuple[Entry, list[bytes]]]] = defaultdict(list)
    for entry in entries:
        if entry.mb_recording_id:
            recordings[entry.mb_recording_id].append(entry)
        if entry.key and entry.key.startswith(_PATH_KEY):
            parts = unquote_to_bytes(entry.key.removeprefix(_PATH_KEY)).split(b"/")
            paths[parts[-1]].append((entry, parts))
        elif named := _with_title(entry):
            titles[normalize(named.title or "")].append(named)
    found: defaultdict[int, defaultdict[tuple[int, int], set[str]]] = defaultdict(lambda: defaultdict(set))
    for track in tracks.all_tracks(db.connection) if recordings or titles or paths else ():
        for entry in recordings.get((track.mb_recording_id or "").lower(), ()):
            found[entry.place][_BY_RECORDING, 0].add(track.key)
        for location in track.locations if paths else ():
            for entry, parts in paths.get(location.rpartition(b"/")[2], ()):
                if common := _common_end(parts, location.split(b"/")):
                    found[entry.place][_ROUGHLY, common].add(track.key)
        for entry in titles.get(normalize(track.title), ()) if titles else ():
            if agreement := _agreement(entry, track):
                found[entry.place][agreement].add(track.key)
    best = {place: max(by_rank) for place, by_rank in found.items()}
    return {place: _Hits(tuple(sorted(found[place][rank])), sure=rank[0] > _ROUGHLY) for place, rank in best.items()}


_BY_RECORDING, _BY_NAME, _ROUGHLY = 3, 2, 1
"""How sure a way of finding a track is. The number that follows these says how well the two agree."""


def _with_title(entry: Entry) -> Entry | None:
    """``entry`` with artist and title: its own, or those of its label, that stands beside an id or a key."""
    if entry.title:
        return entry
    artist, dash, title = entry.label.partition(" - ")
    if not dash or not title.strip():
        return None
    return replace(entry, artists=(artist.strip(),), title=title.strip(), album="")


def _agreement(entry: Entry, track: Track) -> tuple[int, int] | None:
    """How well an entry and a track of the same title agree; None when they are of different artists.

    By name: what the entry says is true (the album too, if it speaks of one). Roughly: another album, or one artist of
    several; so it is also when the entry gave an id, which no track has.
    """
    artists = _artist_agreement(entry.artists, track.artists)
    if artists is None or (not entry.artists and entry.album is not None and track.artists):
        return None
    same_album = entry.album is None or normalize(entry.album) == normalize(track.album or "")
    has_id = bool(entry.key or entry.isrc or entry.mb_recording_id)
    if same_album and artists and not has_id:
        return _BY_NAME, artists
    return _ROUGHLY, artists + 3 * same_album


def _artist_agreement(wanted: Sequence[str], has: Sequence[str]) -> int | None:
    """2 for all artists, 1 for one of the track's or where the entry names none, 0 for one of the entry's."""
    if _words(wanted) == _words(has):
        return 2
    if not wanted or any(_words(wanted) == _words((artist,)) for artist in has):
        return 1
    return 0 if any(_words(has) == _words((artist,)) for artist in wanted) else None


def _words(artists: Iterable[str]) -> list[str]:
    """The words of all names: "A, B" as one name and A and B as two are the same artists."""
    return sorted(word for artist in artists for word in normalize(artist).split())


def _common_end(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many folders and names two paths have in common at their end; 0 when that says nothing.

    The name alone says something unless it is one that every album has, as "01.flac" or "Track 01.flac" is. Of such a
    file the album and its artist have to be the same.
    """
    common = sum(1 for _ in _while_equal(reversed(one), reversed(other)))
    return common if common > 2 or _is_telling(one[-1]) else 0


def _while_equal(one: Iterable[bytes], other: Iterable[bytes]) -> Iterator[bytes]:
    for a, b in zip(one, other, strict=False):
        if a != b:
            return
        yield a


def _is_telling(name: bytes) -> bool:
    words = normalize(name.rpartition(b".")[0].decode("utf-8", "replace")).split()
    return any(not word.isdigit() and word not in _NUMBERING for word in words)
