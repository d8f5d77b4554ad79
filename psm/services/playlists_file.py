"""``playlists.yaml``, beside the configuration: where playlists came from, for a database that has to be built again.

psm writes it, and reads it only when the database holds no playlist. A person may have changed it all the same.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from psm import atomic
from psm.db import Database, metadata, playlists
from psm.errors import UsageError

FILE_NAME = "playlists.yaml"
_HEADER = """\
# Where the playlists that psm knows came from, for a database that has to be built again.
# psm writes this file; change playlists with: psm build --playlists, psm playlist import and remove
"""
_MARK = "playlists_file"
_REMEDY = "Mend it, or move it away and take the playlists in again."


@dataclass(frozen=True, slots=True)
class PlaylistSources:
    """The folders whose playlists are followed, and the files that were imported by name. Absolute paths."""

    folders: tuple[bytes, ...] = ()
    files: tuple[bytes, ...] = ()


def known_sources(db: Database) -> PlaylistSources:
    """What the database knows."""
    known = playlists.all_playlists(db.connection)
    return PlaylistSources(
        folders=tuple(sorted({p.folder for p in known if p.folder is not None})),
        files=tuple(sorted({p.source for p in known if p.folder is None})),
    )


def keep(db: Database, folder: Path) -> str | None:
    """Writes the file when it does not say what the database knows; returns why it could not be written.

    Costs one query and one ``stat`` when nothing changed.
    """
    sources = known_sources(db)
    file = folder / FILE_NAME
    mark = hashlib.sha256(repr((str(file), sources)).encode()).hexdigest()
    there = os.path.lexists(file)
    if metadata.get(db.connection, _MARK) == mark and (there or sources == PlaylistSources()):
        return None
    if there or sources != PlaylistSources():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            atomic.write(os.fsencode(file), _text(sources).encode("utf-8", "surrogateescape"), kind="playlists")
        except OSError as e:
            return f"{file} cannot be written: {e.strerror}. It is needed when the database is lost."
    with db.transaction() as connection:
        metadata.put(connection, _MARK, mark)
    return None


def recall(db: Database, folder: Path) -> PlaylistSources:
    """What the file says, when the database holds no playlist; nothing otherwise.

    :raises UsageError: when the file cannot be read or understood.
    """
    file = folder / FILE_NAME
    if playlists.all_playlists(db.connection):
        return PlaylistSources()
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return PlaylistSources()
    except OSError as e:
        raise UsageError(f"{file} cannot be read: {e.strerror}. {_REMEDY}") from e
    return _parse(file, data)


def _text(sources: PlaylistSources) -> str:
    import yaml

    content = {
        "folders": [os.fsdecode(path) for path in sources.folders],
        "files": [os.fsdecode(path) for path in sources.files],
    }
    return _HEADER + yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=10_000)


def _parse(file: Path, data: bytes) -> PlaylistSources:
    import yaml

    try:
        found = yaml.safe_load(data.decode("utf-8-sig", "surrogateescape"))
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise UsageError(f"{file} is not YAML: {e}. {_REMEDY}") from e
    if found is None:
        return PlaylistSources()
    if not isinstance(found, dict):
        raise UsageError(f'{file} must hold the lists "folders" and "files". {_REMEDY}')
    return PlaylistSources(folders=_paths(file, found, "folders"), files=_paths(file, found, "files"))


def _paths(file: Path, found: dict[object, object], name: str) -> tuple[bytes, ...]:
    said = found.get(name) or []
    if not isinstance(said, list) or not all(isinstance(p, str) and os.path.isabs(p) and "\0" not in p for p in said):
        raise UsageError(f'{file}: "{name}" must be a list of full paths. {_REMEDY}')
    return tuple(os.fsencode(path) for path in said)
