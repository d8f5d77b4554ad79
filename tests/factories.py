"""Makes what tests need, with sensible defaults: a test names only what matters to it."""

import hashlib
import itertools
import os
import struct
from pathlib import Path
from typing import Any

from psm.db import Database, files, libraries, metadata
from psm.models import FileStat, Library, LibraryFile, PlaylistEntry, Reading, SourcePlaylist, TrackTags

_numbers = itertools.count(1)


def write_flac(
    path: Path | bytes, *, audio: str | None = None, seconds: float = 180.0, **tags: str | list[str]
) -> Path:
    """Writes a FLAC file that has a stream header and tags and next to no audio, and returns its path.

    ``audio`` names the recording: files of the same name have the same fingerprint. It defaults to the file's name.
    Tags are Vorbis
    comments (``title="…"``, ``artist=["…", "…"]``).
    """
    place = Path(os.fsdecode(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(flac_bytes(audio if audio is not None else place.name, seconds=seconds, **tags))
    return place


def flac_bytes(audio: str, *, seconds: float = 180.0, **tags: str | list[str]) -> bytes:
    """The content of such a file."""
    rate = 44_100
    md5 = hashlib.md5(audio.encode("utf-8", "surrogateescape")).digest()
    info = struct.pack(">HH", 4096, 4096) + bytes(6)
    info += ((rate << 44) | (1 << 41) | (15 << 36) | round(seconds * rate)).to_bytes(8, "big") + md5
    pairs = [(k, v) for k, vs in tags.items() for v in ([vs] if isinstance(vs, str) else vs)]
    items = [f"{k.upper()}={v}".encode() for k, v in pairs]
    comment = struct.pack("<I", 3) + b"psm" + struct.pack("<I", len(items))
    comment += b"".join(struct.pack("<I", len(i)) + i for i in items)
    blocks = b"".join(
        bytes([k]) + len(d).to_bytes(3, "big") + d for k, d in ((0, info), (4, comment), (0x81, bytes(64)))
    )
    return b"fLaC" + blocks + b"\xff\xf8" + bytes(64)


def add_library(db: Database, *, name: str = "music", root: bytes = b"/music") -> Library:
    """A library in the database; nothing is made on disk."""
    with db.transaction() as connection:
        return libraries.by_name(connection, name) or libraries.add(connection, name, root, now=1_000.0)


def add_file(
    db: Database,
    path: bytes | str | None = None,
    *,
    library: Library | None = None,
    fingerprint: str | None = None,
    error: str | None = None,
    size_bytes: int = 5_000_000,
    **tags: Any,
) -> LibraryFile:
    """A present file in the database; nothing is made on disk. ``tags`` are fields of ``TrackTags``."""
    number = next(_numbers)
    relative = os.fsencode(path) if path is not None else b"file-%d.flac" % number
    defaults: dict[str, Any] = {"codec": "flac", "duration_s": 180.0}
    reading = Reading(TrackTags(**{**defaults, **tags}), fingerprint or f"audio:{number:032x}", error)
    owner = library or add_library(db)
    with db.transaction() as connection:
        file_id = files.insert(
            connection,
            owner.id,
            relative,
            stat=FileStat(size_bytes, 10**18, 10**18, number, 1),
            reading=reading,
            reread=False,
            first_seen=1_000.0,
            generation=metadata.bump(connection, "library_files"),
        )
        found = files.get(connection, file_id)
    assert found is not None
    return found


def retag_file(db: Database, file: LibraryFile, **tags: Any) -> LibraryFile:
    """Changes the tags of a file as a scan would."""
    values = {name: getattr(file.tags, name) for name in TrackTags.__slots__}
    reading = Reading(TrackTags(**{**values, **tags}), file.fingerprint, file.error)
    with db.transaction() as connection:
        files.update(
            connection,
            file.id,
            file.library_id,
            file.path,
            stat=file.stat,
            reading=reading,
            reread=False,
            generation=metadata.bump(connection, "library_files"),
        )
        found = files.get(connection, file.id)
    assert found is not None
    return found


def lose_file(db: Database, file: LibraryFile) -> None:
    """Marks a file missing as a scan would."""
    with db.transaction() as connection:
        files.mark_missing(connection, [file.id], now=2_000.0, generation=metadata.bump(connection, "library_files"))


def source_playlist(*entries: PlaylistEntry, name: str = "Mix", provider: str = "csv") -> SourcePlaylist:
    """A playlist as a provider would read it."""
    return SourcePlaylist(provider, b"/playlists/" + os.fsencode(name), name, entries)


def add_playlist(db: Database, *entries: PlaylistEntry | str, name: str = "Mix", provider: str = "csv") -> int:
    """A playlist in the database; a string is a track's "artist - title". Returns its id."""
    from psm.db import playlists

    rows = [e if isinstance(e, PlaylistEntry) else entry(e, position=n) for n, e in enumerate(entries, start=1)]
    with db.transaction() as connection:
        stored = playlists.store(
            connection, source_playlist(*rows, name=name, provider=provider), folder=None, source_state="", now=1_000.0
        )
    return stored.playlist_id


def entry(label: str, *, position: int = 1, **fields: Any) -> PlaylistEntry:
    """A playlist entry from "artist - title"."""
    artist, dash, title = label.partition(" - ")
    return PlaylistEntry(position, title if dash else label, (artist,) if dash else (), **fields)
