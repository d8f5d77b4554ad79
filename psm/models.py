"""The things psm speaks of: what a file says of itself, what a playlist asks for, and which file was found for it.

Paths inside these are ``bytes`` (``os.fsencode``): a file name on Linux is any byte sequence, and every one must
survive the
round trip from disk to database to playlist.
"""

from dataclasses import dataclass, field
from enum import StrEnum

GENERATED_MARK = "#PSM:"
"""How the first comment of an M3U file that psm wrote begins, right after ``#EXTM3U``: it is never imported."""

GENERATED_XSPF_REL = "urn:psm:generated"
"""The ``rel`` of the ``meta`` element by which an XSPF file that psm wrote is known."""


class Status(StrEnum):
    """Whether a known file is on disk. Missing is a state, never a deletion."""

    PRESENT = "present"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class TrackTags:
    """What one audio file says of itself.

    ``guessed`` names the fields that come from the file's name and folders because the tags did not say them.
    ``isrcs`` are 12 characters, upper case, without hyphens; MusicBrainz ids are lower-case UUIDs.
    """

    title: str | None = None
    artists: tuple[str, ...] = ()
    album: str | None = None
    album_artist: str | None = None
    track_number: int | None = None
    disc_number: int | None = None
    year: int | None = None
    genre: str | None = None
    duration_s: float | None = None
    bitrate_kbps: int | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None
    codec: str | None = None
    isrcs: tuple[str, ...] = ()
    mb_recording_id: str | None = None
    mb_release_id: str | None = None
    compilation: bool = False
    guessed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading one file gave.

    ``fingerprint`` names the audio alone (``flac:<md5>`` or ``audio:<hash>``), so a retag or rename keeps it; None
    when the
    audio could not be found in the file. ``error`` is the reason, in a person's words, when the file could not be
    understood;
    ``tags`` then holds what the name and folders say.
    """

    tags: TrackTags
    fingerprint: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class FileStat:
    """What ``stat`` said of a file. Times are nanoseconds since the epoch."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int


@dataclass(frozen=True, slots=True)
class Library:
    """One root of the collection. ``root`` is the real, absolute path; ``watch`` is false when it is left to scans."""

    id: int
    name: str
    root: bytes
    watch: bool = True


@dataclass(frozen=True, slots=True)
class LibraryFile:
    """A row of ``library_files``: a file psm knows, on disk or missing.

    ``path`` is relative to the library's root. ``first_seen`` and ``missing_since`` are seconds since the epoch.
    """

    id: int
    library_id: int
    library: str
    root: bytes
    path: bytes
    status: Status
    stat: FileStat
    tags: TrackTags
    fingerprint: str | None
    error: str | None
    first_seen: float
    missing_since: float | None
    generation: int

    @property
    def absolute_path(self) -> bytes:
        """The file's place on this machine."""
        return self.root.rstrip(b"/") + b"/" + self.path


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What matching looks at in a file on disk. ``path`` is absolute; ``readable`` is false for one with an error."""

    id: int
    path: bytes
    tags: TrackTags
    readable: bool = True


@dataclass(frozen=True, slots=True)
class PlaylistEntry:
    """One row of a playlist as its source has it.

    ``position`` is the row's place in the source, from 1: rows that cannot be used keep theirs, so positions may have
    gaps.
    ``locations`` are the absolute paths, best first, that the entry may mean when it names a file; empty when it names
    none.
    ``guessed`` says that the title was taken from the file's name, because the source gives none.
    ``resolved`` are further paths of the same file, found on disk or known from libraries that moved: the source does
    not say them, so they are no part of what makes two entries the same track.
    """

    position: int
    title: str
    artists: tuple[str, ...] = ()
    album: str | None = None
    duration_s: float | None = None
    isrc: str | None = None
    mb_recording_id: str | None = None
    locations: tuple[bytes, ...] = ()
    guessed: bool = False
    resolved: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class RowError:
    """A row of a playlist's source that could not be used. ``line`` counts from 1 (an item's number where there are no
    lines).
    """

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class SourcePlaylist:
    """A playlist as a provider read it, before it is stored.

    ``provider`` is the provider's name (``m3u``, ``csv`` …); ``source`` identifies the playlist for importing it again
    (for a file, its absolute path).
    """

    provider: str
    source: bytes
    name: str
    entries: tuple[PlaylistEntry, ...]
    errors: tuple[RowError, ...] = ()


@dataclass(frozen=True, slots=True)
class Track:
    """A row of ``tracks``: what a playlist asks for. Fields as in :class:`PlaylistEntry`.

    ``key`` names the track for manual decisions, the same in every database: see ``psm.match.track_key``.
    """

    id: int
    key: str
    title: str
    artists: tuple[str, ...] = ()
    album: str | None = None
    duration_s: float | None = None
    isrc: str | None = None
    mb_recording_id: str | None = None
    locations: tuple[bytes, ...] = ()

    @property
    def label(self) -> str:
        """ "artist - title" for people."""
        return f"{', '.join(self.artists)} - {self.title}" if self.artists else self.title


@dataclass(frozen=True, slots=True)
class Playlist:
    """A row of ``playlists``. ``folder`` is the playlists folder it was found in, None when it was imported by name."""

    id: int
    name: str
    provider: str
    source: bytes
    folder: bytes | None
    status: Status
    track_count: int = 0


class Method(StrEnum):
    """How a match was found, surest first."""

    MANUAL = "manual"
    PATH = "path"
    ISRC = "isrc"
    MUSICBRAINZ = "musicbrainz"
    EXACT = "exact"
    FUZZY = "fuzzy"


class Confidence(StrEnum):
    """How sure a match is: low ones are listed in the report as worth a second look."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Match:
    """The file that was found for a track. ``score`` is 0 to 1; ``reasons`` are sentences for people."""

    track_id: int
    file_id: int
    score: float
    method: Method
    confidence: Confidence
    reasons: tuple[str, ...] = field(default=())


class DecisionKind(StrEnum):
    """What a person decided for a track: this file, not this file, or no file at all."""

    SET = "set"
    REJECT = "reject"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Decision:
    """A manual decision: it outlives re-match, rescan, rename and a rebuilt database.

    ``track_key`` is :attr:`Track.key`. The file is named by its library, path and fingerprint as they are now, and by
    ``file_id`` while the database knows it (None when it does not, and for ``none``). ``said_*`` are the names that
    ``psm-overrides.yaml`` had for it when psm last read or wrote that: only a name that differs from these was changed
    by hand. ``decided_at`` is ISO 8601, UTC.
    """

    track_key: str
    track_label: str
    kind: DecisionKind
    file_library: str | None = None
    file_path: bytes | None = None
    file_fingerprint: str | None = None
    file_id: int | None = None
    decided_at: str = ""
    said_library: str | None = None
    said_path: bytes | None = None
    said_fingerprint: str | None = None
