"""What a report says, as data. Paths are absolute; durations are seconds, sizes bytes, scores and shares 0 to 1."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MissingTrack:
    """A song that playlists want and no file was found for, however many rows of tracks it is.

    Rank 1 is wanted most.
    """

    rank: int
    artists: tuple[str, ...]
    title: str
    album: str | None
    duration_s: float | None
    isrc: str | None
    playlists: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MissingAlbum:
    """An album with missing songs.

    Of the ``wanted`` songs that playlists ask for, ``missing`` have no file; ``owned`` files of the album are in the
    library.
    """

    artist: str
    album: str
    missing: int
    wanted: int
    owned: int
    titles: tuple[str, ...]
    playlists: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a playlist was found."""

    playlist: str
    tracks: int
    found: int
    missing: int
    share: float
    provider: str
    source: bytes


@dataclass(frozen=True, slots=True)
class UnsureMatch:
    """A match worth a second look, with the reasons for and against it."""

    wanted: str
    file: str
    score: float
    confidence: str
    method: str
    reasons: tuple[str, ...]
    playlists: tuple[str, ...]
    path: bytes


@dataclass(frozen=True, slots=True)
class DuplicateFile:
    """One file of a group of duplicates. ``kind`` is ``audio`` (the very same recording) or ``tags`` (tagged alike)."""

    group: int
    kind: str
    song: str
    album: str | None
    codec: str | None
    bitrate_kbps: int | None
    duration_s: float | None
    size_bytes: int
    path: bytes


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file whose tags do not say enough, or that could not be read. ``problems`` are sentences."""

    problems: tuple[str, ...]
    path: bytes
    title: str | None
    artists: tuple[str, ...]
    album: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The report in numbers.

    ``wanted`` counts rows of playlists, ``found`` those with a file; the rest are lines below.
    """

    files: int
    missing_files: int
    size_bytes: int
    playlists: int
    wanted: int
    found: int
    missing_tracks: int
    missing_albums: int
    unsure_matches: int
    duplicate_groups: int
    duplicate_bytes: int
    bad_files: int


@dataclass(frozen=True, slots=True)
class Report:
    """All sections."""

    summary: Summary
    missing_tracks: tuple[MissingTrack, ...]
    missing_albums: tuple[MissingAlbum, ...]
    coverage: tuple[Coverage, ...]
    unsure_matches: tuple[UnsureMatch, ...]
    duplicates: tuple[DuplicateFile, ...]
    bad_files: tuple[BadFile, ...]
