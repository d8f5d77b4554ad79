"""From the database to the report: what is the same song, what is the same album, what is worth a look.

Nothing depends on ids: a rebuilt database gives the same report. Names are compared in one spelling
(:mod:`psm.normalize`).
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from psm.db import reports
from psm.db.reports import FileRow, PlaylistRow, WantedTrack
from psm.normalize import normalize
from psm.progress import NeverStop, StopSignal
from psm.report.model import (
    BadFile,
    Coverage,
    DuplicateFile,
    MissingAlbum,
    MissingTrack,
    Report,
    Summary,
    UnsureMatch,
)

_SAME_DURATION_S = 2.0
_ASKED = (("title", "no title"), ("artists", "no artist"), ("album", "no album"))

Song = tuple[WantedTrack, ...]
T = TypeVar("T")


class Stopped(Exception):  # noqa: N818  (it is no error: the person asked for it)
    """The stop signal was set while reading."""


def collect(connection: reports.Connection, *, stop: StopSignal = NeverStop()) -> Report:
    """The whole report. Call it in a snapshot, so that its sections speak of one state. Raises Stopped."""
    playlists = reports.playlists(connection)
    names = _playlist_names(playlists)
    songs = same_songs(_until(stop, reports.wanted_tracks(connection, found=False)))
    missing = _missing_tracks(songs, names)
    owned, alike, bad = _walk_files(_until(stop, reports.files(connection)))
    albums = _missing_albums(songs, _until(stop, reports.wanted_tracks(connection, found=True)), owned, names)
    duplicates = _duplicates(connection, _until(stop, alike))
    unsure = _unsure_matches(connection, names)
    counts = reports.counts(connection)
    summary = Summary(
        files=counts.files,
        missing_files=counts.missing_files,
        size_bytes=counts.size_bytes,
        playlists=counts.playlists,
        wanted=counts.wanted,
        found=counts.found,
        missing_tracks=len(missing),
        missing_albums=len(albums),
        unsure_matches=len(unsure),
        duplicate_groups=len({d.group for d in duplicates}),
        duplicate_bytes=_spare_bytes(duplicates),
        bad_files=len(bad),
    )
    return Report(summary, missing, albums, _coverage(playlists), unsure, duplicates, bad)


def _until(stop: StopSignal, items: Iterable[T]) -> Iterator[T]:
    for item in items:
        if stop.is_set():
            raise Stopped
        yield item


def same_songs(tracks: Iterable[WantedTrack]) -> list[Song]:
    """Tracks grouped by song: those that share their ISRC, or their title and artists.

    Connections chain: a row with the ISRC alone and one with the name alone are one song when a third row has both.
    """
    everything = list(tracks)
    parents = list(range(len(everything)))

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    first: dict[object, int] = {}
    for number, track in enumerate(everything):
        keys: list[object] = [(normalize(track.title), tuple(sorted({normalize(a) for a in track.artists})))]
        if track.isrc:
            keys.append(track.isrc)
        for key in keys:
            parents[root(number)] = root(first.setdefault(key, number))
    groups: dict[int, list[WantedTrack]] = defaultdict(list)
    for number, track in enumerate(everything):
        groups[root(number)].append(track)
    return [tuple(sorted(group, key=_fullness)) for group in groups.values()]


def _fullness(track: WantedTrack) -> tuple[object, ...]:
    """The row that says most comes first and speaks for the song."""
    known = (track.isrc, track.album, track.duration_s, track.artists)
    return (-sum(bool(v) for v in known), track.title, track.artists, track.album or "", track.duration_s or 0.0)


def _playlist_names(playlists: Sequence[PlaylistRow]) -> dict[int, str]:
    return {p.id: p.name for p in playlists}


def _names_of(playlist_ids: Iterable[int], names: Mapping[int, str]) -> tuple[str, ...]:
    """One name per playlist, so two playlists of one name count as two."""
    return tuple(sorted((names[i] for i in set(playlist_ids)), key=lambda n: (normalize(n), n)))


def _missing_tracks(songs: Iterable[Song], names: Mapping[int, str]) -> tuple[MissingTrack, ...]:
    ranked = sorted(
        ((_names_of((i for track in song for i in track.playlist_ids), names), song[0]) for song in songs),
        key=lambda item: (
            -len(item[0]),
            normalize(", ".join(item[1].artists)),
            normalize(item[1].title),
            _fullness(item[1]),
        ),
    )
    return tuple(
        MissingTrack(rank, best.artists, best.title, best.album, best.duration_s, best.isrc, wanted_by)
        for rank, (wanted_by, best) in enumerate(ranked, start=1)
    )


AlbumKey = tuple[str, str]


def _missing_albums(
    songs: Iterable[Song], found: Iterable[WantedTrack], owned: Mapping[AlbumKey, int], names: Mapping[int, str]
) -> tuple[MissingAlbum, ...]:
    groups: dict[AlbumKey, list[Song]] = defaultdict(list)
    for song in songs:
        # A song counts for the first of its albums only: buying it once is enough.
        named = next((track for track in song if track.album and track.album.strip()), None)
        if named is not None:
            groups[_album_key(named)].append((named, *(t for t in song if t is not named)))
    here: dict[AlbumKey, int] = defaultdict(int)
    for song in same_songs(track for track in found if track.album):
        for key in {_album_key(track) for track in song}:
            here[key] += 1
    albums = []
    for key, members in groups.items():
        first = min((song[0] for song in members), key=_fullness)
        albums.append(
            MissingAlbum(
                artist=first.artists[0] if first.artists else "",
                album=first.album or "",
                missing=len(members),
                wanted=len(members) + here[key],
                owned=owned.get(key, 0),
                titles=tuple(sorted((song[0].title for song in members), key=lambda t: (normalize(t), t))),
                playlists=_names_of((i for song in members for track in song for i in track.playlist_ids), names),
            )
        )
    albums.sort(
        key=lambda a: (-a.missing, -len(a.playlists), normalize(a.artist), normalize(a.album), a.artist, a.album)
    )
    return tuple(albums)


def _album_key(track: WantedTrack) -> AlbumKey:
    return normalize(track.artists[0] if track.artists else ""), normalize(track.album or "")


def _coverage(playlists: Iterable[PlaylistRow]) -> tuple[Coverage, ...]:
    rows = [
        Coverage(
            p.name, p.tracks, p.found, p.tracks - p.found, p.found / p.tracks if p.tracks else 1.0, p.provider, p.source
        )
        for p in playlists
    ]
    return tuple(sorted(rows, key=lambda c: (c.share, -c.missing, normalize(c.playlist), c.source)))


def _unsure_matches(connection: reports.Connection, names: Mapping[int, str]) -> tuple[UnsureMatch, ...]:
    matches = list(reports.unsure_matches(connection))
    files = reports.files_by_id(connection, {m.file_id for m in matches})
    found = [
        UnsureMatch(
            wanted=_song(m.track.artists, m.track.title),
            file=_song(files[m.file_id].artists, files[m.file_id].title or ""),
            score=m.score,
            confidence=m.confidence,
            method=m.method,
            reasons=m.reasons,
            playlists=_names_of(m.track.playlist_ids, names),
            path=files[m.file_id].path,
        )
        for m in matches
    ]
    return tuple(sorted(found, key=lambda u: (u.score, normalize(u.wanted), u.wanted, u.path, u.playlists)))


def _walk_files(
    files: Iterable[FileRow],
) -> tuple[dict[AlbumKey, int], list[list[int]], tuple[BadFile, ...]]:
    """One pass over the library: how many files each album has, which files are tagged alike, which say too little.

    Of most files next to nothing is kept: a library of 100,000 is reported in little memory.
    """
    owned: dict[AlbumKey, int] = defaultdict(int)
    first: dict[int, int] = {}
    alike: dict[int, list[int]] = {}
    bad = []
    for file in files:
        if file.album:
            # An album is found under each of its artists: the files of a collaboration credit it in many ways.
            for artist in {normalize(a) for a in (*file.artists, file.album_artist or "")}:
                owned[artist, normalize(file.album)] += 1
        if (key := _tag_key(file)) is not None and (before := first.setdefault(key, file.id)) != file.id:
            alike.setdefault(key, [before]).append(file.id)
        if problems := tuple(_problems(file)):
            bad.append(BadFile(problems, file.path, file.title, file.artists, file.album))
    bad.sort(key=lambda b: (-len(b.problems), b.path))
    return dict(owned), list(alike.values()), tuple(bad)


def _problems(file: FileRow) -> Iterator[str]:
    if file.error is not None:
        yield file.error
    for name, sentence in _ASKED:
        if name in file.guessed or not getattr(file, name):
            yield sentence


def _tag_key(file: FileRow) -> int | None:
    """What files that are tagged alike have in common, short; None for a file whose tags do not say what it is."""
    if not file.title or not file.artists or file.duration_s is None or set(file.guessed) & {"title", "artists"}:
        return None
    names = sorted({normalize(a) for a in file.artists})
    said = "\n".join((normalize(file.title), normalize(file.album or ""), *names))
    return int.from_bytes(hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest())


def _duplicates(connection: reports.Connection, alike: Iterable[Sequence[int]]) -> tuple[DuplicateFile, ...]:
    by_audio: dict[str | None, list[FileRow]] = defaultdict(list)
    for file in reports.files_of_shared_audio(connection):
        by_audio[file.fingerprint].append(file)
    groups = [("audio", sorted(group, key=_better)) for group in by_audio.values()]
    for file_ids in alike:
        for group in _same_duration(reports.files_by_id(connection, file_ids).values()):
            if not _is_one_recording(group) and not _is_one_album(group):
                groups.append(("tags", sorted(group, key=_better)))  # noqa: PERF401  (a nested one reads worse)
    groups.sort(key=lambda item: (item[0], -_spare(item[1]), item[1][0].path))
    return tuple(
        DuplicateFile(
            group=number,
            kind=kind,
            song=_song(f.artists, f.title or ""),
            album=f.album,
            codec=f.codec,
            bitrate_kbps=f.bitrate_kbps,
            duration_s=f.duration_s,
            size_bytes=f.size_bytes,
            path=f.path,
        )
        for number, (kind, group) in enumerate(groups, start=1)
        for f in group
    )


def _same_duration(files: Iterable[FileRow]) -> Iterator[list[FileRow]]:
    """Runs of two or more files whose durations follow each other closely."""
    run: list[FileRow] = []
    for file in sorted(files, key=lambda f: (f.duration_s or 0.0, f.path)):
        if run and (file.duration_s or 0.0) - (run[-1].duration_s or 0.0) > _SAME_DURATION_S:
            if len(run) > 1:
                yield run
            run = []
        run.append(file)
    if len(run) > 1:
        yield run


def _is_one_recording(group: Sequence[FileRow]) -> bool:
    """Those are listed as the same audio already."""
    return group[0].fingerprint is not None and len({f.fingerprint for f in group}) == 1


def _is_one_album(group: Sequence[FileRow]) -> bool:
    """An album may hold "Interlude" twice: tracks of different numbers in one folder are meant to be there."""
    folders = {f.path.rpartition(b"/")[0] for f in group}
    numbers = [f.track_number for f in group]
    return len(folders) == 1 and None not in numbers and len(set(numbers)) == len(numbers)


def _better(file: FileRow) -> tuple[object, ...]:
    """The file to keep comes first: lossless or not shows in the bit rate."""
    return (-(file.bitrate_kbps or 0), -file.size_bytes, file.path)


def _spare(group: Sequence[FileRow]) -> int:
    return sum(f.size_bytes for f in group[1:])


def _spare_bytes(duplicates: Sequence[DuplicateFile]) -> int:
    """What all but the best file of each group take. A file in two groups is counted once."""
    best = {d.group: d.path for d in reversed(duplicates)}
    return sum({d.path: d.size_bytes for d in duplicates if d.path != best[d.group]}.values())


def _song(artists: Sequence[str], title: str) -> str:
    return f"{', '.join(artists)} - {title}" if artists else title
