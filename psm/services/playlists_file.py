"""``playlists.yaml``, beside the configuration: where playlists came from, for a database that has to be built again.

psm writes it, and reads it only into a database that never did so before. A person may have changed it all the same.
"""

import hashlib
import os
from pathlib import Path

from psm import atomic
from psm.db import Database, metadata, playlist_sources
from psm.db.playlist_sources import PlaylistSources, remembered
from psm.errors import UsageError

FILE_NAME = "playlists.yaml"
_HEADER = """\
# Where the playlists that psm knows came from, for a database that has to be built again. Folders that the
# configuration names are not repeated here.
# psm writes this file; change it with: psm build --playlists, psm playlist import, remove and forget
"""
_REMEDY = "Mend it, or move it away and take the playlists in again."


def restore(db: Database, folder: Path) -> None:
    """Takes in what the file says, when this database neither read nor wrote it before. Costs one query otherwise.

    Comes before whatever changes what is remembered; :func:`keep` sees to that too.

    :raises UsageError: when the file cannot be read or understood. It is left as it is then.
    """
    file = folder / FILE_NAME
    if metadata.get(db.connection, _mark_key(file)) is not None:
        return
    found = _read(file)
    if found is None:
        return
    with db.transaction() as connection:
        for path in found.folders:
            playlist_sources.remember_folder(connection, path)
        for path in found.files:
            playlist_sources.remember_file(connection, path)
        metadata.put(connection, _mark_key(file), "read")


def keep(db: Database, folder: Path) -> str | None:
    """Writes the file when it does not say what the database remembers; returns why it could not be written.

    Costs two queries and one ``stat`` when nothing changed.

    :raises UsageError: as :func:`restore` does.
    """
    restore(db, folder)
    file = folder / FILE_NAME
    # Another psm may change what is remembered meanwhile, and its file be overwritten with less: looked at once more.
    while not _is_kept(db, sources := remembered(db.connection), file):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            atomic.write(os.fsencode(file), _text(sources).encode("utf-8", "surrogateescape"), kind="playlists")
        except OSError as e:
            return f"{file} cannot be written: {e.strerror}. It is needed when the database is lost."
        with db.transaction() as connection:
            metadata.put(connection, _mark_key(file), _mark(sources))
    return None


def _is_kept(db: Database, sources: PlaylistSources, file: Path) -> bool:
    if not os.path.lexists(file):
        return sources == PlaylistSources()
    return metadata.get(db.connection, _mark_key(file)) == _mark(sources)


def _mark_key(file: Path) -> str:
    """In the metadata: what this database last read from or wrote to this file; one database may have several."""
    return f"playlists_file:{hashlib.sha256(os.fsencode(file.absolute())).hexdigest()[:32]}"


def _mark(sources: PlaylistSources) -> str:
    return hashlib.sha256(repr(sources).encode()).hexdigest()


def _text(sources: PlaylistSources) -> str:
    import yaml

    content = {
        "folders": [os.fsdecode(path) for path in sources.folders],
        "files": [os.fsdecode(path) for path in sources.files],
    }
    return _HEADER + yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=10_000)


def _read(file: Path) -> PlaylistSources | None:
    """What the file says; None when it is not there."""
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise UsageError(f"{file} cannot be read: {e.strerror}. {_REMEDY}") from e
    import yaml  # not before: most often, there is no file

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
    return tuple(os.fsencode(os.path.normpath(path)) for path in said)
