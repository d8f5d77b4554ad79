"""The roots of the collection: adding, moving and forgetting them, and keeping ``libraries.yaml`` in step.

Libraries live in the database. ``libraries.yaml``, beside the configuration, names them for a database that has to be
built again; the configuration may name some too.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from psm import atomic
from psm.config import Config
from psm.db import Database, files, libraries
from psm.errors import PsmError, UsageError
from psm.ingest.library import locate
from psm.models import Library

FILE_NAME = "libraries.yaml"
_HEADER = """\
# The libraries that psm knows, for a database that has to be built again.
# psm writes this file; change libraries with: psm library add, move, remove
"""


@dataclass(frozen=True, slots=True)
class AddedLibrary:
    """What became of a folder that was to be a library. ``absorbed`` names the libraries that now are a part of it.

    ``new`` is false when psm knew the folder, or a folder above it, already.
    """

    library: Library
    new: bool
    absorbed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LibraryState:
    """One line of ``psm library list``: ``there`` says whether the root can be read now."""

    library: Library
    present: int
    missing: int
    there: bool


def add_library(
    db: Database, config_folder: Path, path: Path, *, name: str | None = None, now: Callable[[], float]
) -> AddedLibrary:
    """Makes a folder a library; libraries that lie inside it become a part of it, with their rows and decisions.

    :raises UsageError: when it is no folder, or the name is taken.
    """
    root = _real_folder(path)
    with db.transaction() as connection:
        known = libraries.all_libraries(connection)
        for library in known:
            if library.root == root or root.startswith(_inside(library.root)):
                return AddedLibrary(library, new=False)
        if name is not None and any(library.name == name for library in known):
            raise UsageError(f"There is a library called {name} already. Choose another --name.")
        children = [library for library in known if library.root.startswith(_inside(root))]
        taken = {library.name for library in known}
        added = libraries.add(connection, name or _free_name(root, taken), root, now=now())
        for child in children:
            libraries.absorb(connection, child.id, added.id, child.root[len(_inside(root)) :])
    _write_file(db, config_folder)
    return AddedLibrary(added, new=True, absorbed=tuple(child.name for child in children))


def move_library(db: Database, config_folder: Path, name: str, path: Path) -> Library:
    """Tells psm that a library's folder is elsewhere now: every row, match and decision stays.

    :raises UsageError: when there is no such library or folder, or the folder overlaps another library.
    """
    root = _real_folder(path)
    with db.transaction() as connection:
        library = _named(db, name)
        for other in libraries.all_libraries(connection):
            if other.id != library.id and (_inside(other.root).startswith(_inside(root)) or root == other.root):
                raise UsageError(f"{path} holds library {other.name}. Remove one of the two first.")
            if other.id != library.id and root.startswith(_inside(other.root)):
                raise UsageError(f"{path} is a part of library {other.name}. Remove one of the two first.")
        libraries.move(connection, library.id, root)
    _write_file(db, config_folder)
    return Library(library.id, library.name, root)


def remove_library(db: Database, config_folder: Path, name: str) -> int:
    """Forgets a library and returns how many files that were. Nothing on disk changes, and manual decisions stay.

    :raises UsageError: when there is no such library.
    """
    with db.transaction() as connection:
        count = libraries.remove(connection, _named(db, name).id)
    _write_file(db, config_folder)
    return count


def list_libraries(db: Database) -> tuple[LibraryState, ...]:
    """Every library with its counts."""
    return tuple(
        LibraryState(
            library,
            present=files.count_present(db.connection, library.id),
            missing=files.count_missing(db.connection, library.id),
            there=os.path.isdir(library.root),
        )
        for library in libraries.all_libraries(db.connection)
    )


def ensure_libraries(db: Database, config: Config, *, now: Callable[[], float]) -> tuple[str, ...]:
    """Takes in the libraries that ``libraries.yaml`` (for a new database) and the configuration name.

    Returns sentences about what was done and what could not be. A folder that is not there is no error: its drive may
    be away.
    """
    notes: list[str] = []
    if not libraries.all_libraries(db.connection):
        for name, root in _read_file(config.folder):
            _remember(db, name, root, now=now)
    for configured in config.library.paths:
        known = libraries.all_libraries(db.connection)
        place = locate(known, configured.path)
        named = next((library for library in known if library.name == configured.name), None)
        if place is not None and (named is None or place[0] == named):
            continue
        if not os.path.isdir(configured.path):
            notes.append(f"The configured library folder {configured.path} is not there: it is left out.")
        elif named is not None:
            move_library(db, config.folder, named.name, configured.path)
            notes.append(f"Library {named.name} is at {configured.path} now.")
        else:
            added = add_library(db, config.folder, configured.path, name=configured.name, now=now)
            notes.append(f"Added library {added.library.name}: {configured.path}")
    return tuple(notes)


def _named(db: Database, name: str) -> Library:
    library = libraries.by_name(db.connection, name)
    if library is None:
        known = ", ".join(other.name for other in libraries.all_libraries(db.connection)) or "none yet"
        raise UsageError(f"There is no library called {name}. psm knows: {known}.")
    return library


def _real_folder(path: Path) -> bytes:
    """The folder's real, absolute path."""
    if not os.path.isdir(path):
        reason = "is not a folder" if os.path.lexists(path) else "is not there"
        raise UsageError(f"{path} {reason}. Name the folder that holds the music.")
    return os.fsencode(os.path.realpath(path))


def _inside(root: bytes) -> bytes:
    return root.rstrip(b"/") + b"/"


def _free_name(root: bytes, taken: set[str]) -> str:
    base = os.path.basename(root).decode("utf-8", "replace") or "music"
    name, number = base, 2
    while name in taken:
        name, number = f"{base} {number}", number + 1
    return name


def _remember(db: Database, name: str, root: bytes, *, now: Callable[[], float]) -> None:
    with db.transaction() as connection:
        if libraries.by_name(connection, name) is None:
            libraries.add(connection, name, root, now=now())


def _write_file(db: Database, folder: Path) -> None:
    import yaml

    roots = {library.name: os.fsdecode(library.root) for library in libraries.all_libraries(db.connection)}
    text = _HEADER + yaml.safe_dump({"libraries": roots}, allow_unicode=True, sort_keys=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic.write(os.fsencode(folder / FILE_NAME), text.encode("utf-8", "surrogateescape"), kind="libraries")
    except OSError as e:
        raise PsmError(
            f"The library is in the database, but {folder / FILE_NAME} cannot be written: {e.strerror}. "
            "Mend that, or name the library in the configuration: the file is needed when the database is lost."
        ) from e


def _read_file(folder: Path) -> list[tuple[str, bytes]]:
    import yaml

    file = folder / FILE_NAME
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8", errors="surrogateescape"))
    except FileNotFoundError:
        return []
    except (OSError, yaml.YAMLError) as e:
        raise UsageError(f"{file} cannot be read: {e}. Mend it, or move it away and add the libraries again.") from e
    roots = found.get("libraries") if isinstance(found, dict) else None
    if not isinstance(roots, dict):
        raise UsageError(f"{file} names no libraries. Mend it, or move it away and add the libraries again.")
    return [(str(name), os.fsencode(str(root))) for name, root in roots.items()]
