"""The roots of the collection: adding, moving and forgetting them, and keeping ``libraries.yaml`` in step.

Libraries live in the database. ``libraries.yaml``, beside the configuration, names them for a database that has to be
built again; the configuration may name some too.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from psm.config import Config
from psm.db import Connection, Database, files, libraries, metadata
from psm.errors import PsmError, UsageError
from psm.ingest.targets import locate
from psm.locks import hold
from psm.models import Library
from psm.services import libraries_file, watch_status
from psm.services.drives import answered
from psm.services.libraries_file import name_problem, path_below

Clock = Callable[[], float]
OnWait = Callable[[str], None]
_FILE_MARK = "libraries_file"
"""In the metadata: the generation of the libraries that ``libraries.yaml`` holds."""


@dataclass(frozen=True, slots=True)
class AddedLibrary:
    """What became of a folder that was to be a library. ``absorbed`` names the libraries that now are a part of it.

    ``new`` is false when psm knew the folder, or a folder above it, already. ``notes`` are sentences about what did
    not go as it should.
    """

    library: Library
    new: bool
    absorbed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MovedLibrary:
    """A library with its new root; ``notes`` as in :class:`AddedLibrary`."""

    library: Library
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WatchedLibrary:
    """A library with its new mark; ``notes`` as in :class:`AddedLibrary`."""

    library: Library
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RemovedLibrary:
    """A library that psm forgot, with its ``files`` rows; ``notes`` as in :class:`AddedLibrary`."""

    library: Library
    files: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LibraryState:
    """One line of ``psm library list``: ``there`` says whether the root can be read now."""

    library: Library
    present: int
    missing: int
    there: bool


def add_library(
    db: Database,
    config_folder: Path,
    path: Path,
    *,
    name: str | None = None,
    watch: bool | None = None,
    now: Clock,
    on_wait: OnWait | None = None,
) -> AddedLibrary:
    """Makes a folder a library; libraries that lie inside it become a part of it, with their rows and decisions.

    ``watch`` says whether watchers follow it (None: yes for a new one, and a known one stays as it is). It holds for
    the libraries inside as well.

    Waits for a scan that is at work when it takes libraries into the new one.

    :raises UsageError: when it is no folder, or the name is taken or cannot be one.
    """
    root = real_folder(path)
    notes = _restore(db, config_folder, now=now)
    _follow_links(db)
    absorbs = bool(_inside(db, root))
    with _alone(db, on_wait) if absorbs else nullcontext(), db.transaction() as connection:
        known = libraries.all_libraries(connection)
        there = next((k for k in known if path_below(k.root, root) or _is_same_folder(k.root, root)), None)
        if there is not None:
            added = _mark_known(connection, there, root, watch=watch)
        else:
            chosen = _usable_name(name, known) if name is not None else _free_name(root, known)
            children = _inside(db, root)
            if children and not absorbs:
                # Added by another psm just now, and perhaps being scanned.
                raise PsmError(f"Library {children[0].name} was added inside {shown(root)} just now. Try again.")
            library = libraries.add(connection, chosen, root, now=now(), watch=watch is not False)
            added = _absorb(db, library, children)
    notes += added.notes
    if added.new or watch is not None:
        notes += _keep_file(db, config_folder)
    return replace(added, notes=tuple(notes))


def _mark_known(connection: Connection, library: Library, root: bytes, *, watch: bool | None) -> AddedLibrary:
    """Gives a library that was to be added again the mark that was asked for; a folder inside it has none."""
    if watch is None or watch == library.watch:
        return AddedLibrary(library, new=False)
    if path_below(library.root, root):
        note = f"Library {library.name} is {_mark(library)} as a whole. Change that with: psm library watch"
        return AddedLibrary(library, new=False, notes=(note,))
    libraries.set_watch(connection, library.id, watch=watch)
    return AddedLibrary(replace(library, watch=watch), new=False)


def _absorb(db: Database, library: Library, children: list[Library]) -> AddedLibrary:
    """Makes libraries a part of the new one above them, in the transaction that added it."""
    notes: list[str] = []
    for child in children:
        libraries.absorb(db.connection, child.id, library.id, path_below(library.root, child.root) or b"")
        watch_status.forget(db.watch_status(child.id))
        if child.watch != library.watch:
            notes.append(
                f"Library {child.name} was {_mark(child)}; as a part of {library.name} it is {_mark(library)}."
            )
    return AddedLibrary(library, new=True, absorbed=tuple(child.name for child in children), notes=tuple(notes))


def _mark(library: Library) -> str:
    return "watched" if library.watch else "left to scans"


def watch_library(db: Database, config_folder: Path, name: str, *, watch: bool, now: Clock) -> WatchedLibrary:
    """Says whether watchers follow a library, or leave it to scans.

    :raises UsageError: when there is no such library.
    """
    notes = _restore(db, config_folder, now=now)
    with db.transaction() as connection:
        library = _named(db, name)
        if library.watch != watch:
            libraries.set_watch(connection, library.id, watch=watch)
    notes += _keep_file(db, config_folder)
    return WatchedLibrary(replace(library, watch=watch), tuple(notes))


def move_library(
    db: Database, config_folder: Path, name: str, path: Path, *, now: Clock, on_wait: OnWait | None = None
) -> MovedLibrary:
    """Tells psm that a library's folder is elsewhere now: every row, match and decision stays. Waits for a scan.

    :raises UsageError: when there is no such library or folder, or the folder overlaps another library.
    """
    root = real_folder(path)
    notes = _restore(db, config_folder, now=now)
    _named(db, name)
    _follow_links(db)
    with _alone(db, on_wait), db.transaction() as connection:
        library = _named(db, name)
        for other in libraries.all_libraries(connection):
            if other.id != library.id and (root == other.root or path_below(root, other.root)):
                raise UsageError(f"{shown(root)} holds library {other.name}. Remove one of the two first.")
            if other.id != library.id and path_below(other.root, root):
                raise UsageError(f"{shown(root)} is a part of library {other.name}. Remove one of the two first.")
        if root != library.root:
            libraries.move(connection, library.id, root)
    notes += _keep_file(db, config_folder)
    return MovedLibrary(replace(library, root=root), tuple(notes))


def remove_library(
    db: Database, config: Config, name: str, *, now: Clock, on_wait: OnWait | None = None
) -> RemovedLibrary:
    """Forgets a library and its rows. Nothing on disk changes, and manual decisions stay. Waits for a scan.

    :raises UsageError: when there is no such library.
    """
    notes = _restore(db, config.folder, now=now)
    _named(db, name)
    with _alone(db, on_wait), db.transaction() as connection:
        library = _named(db, name)
        count = libraries.remove(connection, library.id)
    watch_status.forget(db.watch_status(library.id))
    notes += _keep_file(db, config.folder)
    if any(_same_place(configured.path, library.root) for configured in config.library.paths):
        notes.append("The configuration names its folder, so it comes back: take it out of library.paths there.")
    return RemovedLibrary(library, count, tuple(notes))


def list_libraries(db: Database) -> tuple[LibraryState, ...]:
    """Every library with its counts."""
    return tuple(
        LibraryState(
            library,
            present=files.count_present(db.connection, library.id),
            missing=files.count_missing(db.connection, library.id),
            there=_is_there(library.root),
        )
        for library in libraries.all_libraries(db.connection)
    )


def ensure_libraries(db: Database, config: Config, *, now: Clock, on_wait: OnWait | None = None) -> tuple[str, ...]:
    """Takes in the libraries that ``libraries.yaml`` (for a new database) and the configuration name.

    Returns sentences about what was done and what could not be. A folder that is not there is no error: its drive may
    be away.

    :raises UsageError: when the database holds no library and ``libraries.yaml`` cannot be understood.
    """
    notes = _restore(db, config.folder, now=now)
    for configured in config.library.paths:
        try:
            notes += _ensure(db, config, configured.path, configured.name, now=now, on_wait=on_wait)
        except UsageError as e:
            notes.append(f"library.paths in the configuration: {e}")
    configured_roots = [configured.path for configured in config.library.paths]
    known = libraries.all_libraries(db.connection)
    if not all(any(_same_place(path, library.root) for path in configured_roots) for library in known):
        notes += _keep_file(db, config.folder)
    return tuple(dict.fromkeys(notes))


def _ensure(
    db: Database, config: Config, path: Path, name: str | None, *, now: Clock, on_wait: OnWait | None
) -> list[str]:
    """Makes the database say of one configured folder what the configuration says."""
    known = libraries.all_libraries(db.connection)
    named = next((library for library in known if library.name == name), None)
    # Compared as it is written first: this comes before every command, and the drive may be slow, or gone.
    if any(_same_place(path, library.root) for library in known if named is None or library == named):
        return []
    place = locate(known, path)
    if place is not None and (named is None or place[0] == named):
        return []
    if not _is_there(os.fsencode(path)):
        return [f"The configured library folder {shown(path)} is not there: it is left out."]
    if named is not None:
        moved = move_library(db, config.folder, named.name, path, now=now, on_wait=on_wait)
        return [f"Library {named.name} is at {shown(path)} now.", *moved.notes]
    added = add_library(db, config.folder, path, name=name, now=now, on_wait=on_wait)
    return added_notes(added)


def added_notes(added: AddedLibrary) -> list[str]:
    """What to say of a library that was added on the way to something else."""
    root = shown(added.library.root)
    notes = [f"{root} is a library now, called {added.library.name}."] if added.new else []
    return [*notes, *(f"Library {name} is a part of it now." for name in added.absorbed), *added.notes]


def _named(db: Database, name: str) -> Library:
    library = libraries.by_name(db.connection, name) if name.isprintable() else None
    if library is None:
        known = ", ".join(other.name for other in libraries.all_libraries(db.connection)) or "none yet"
        raise UsageError(f"There is no library called {name!r}. psm knows: {known}.")
    return library


def _alone(db: Database, on_wait: OnWait | None) -> AbstractContextManager[None]:
    """Keeps scans out: one that is at work would go on writing rows of a library that is no more."""
    return hold(db.scan_lock, what="psm library", on_wait=on_wait)


def _inside(db: Database, root: bytes) -> list[Library]:
    """The libraries that lie below ``root``."""
    return [library for library in libraries.all_libraries(db.connection) if path_below(root, library.root)]


def real_folder(path: Path) -> bytes:
    """The real, absolute path of a folder that is to be a library.

    :raises UsageError: when it is no folder.
    """
    if not os.path.isdir(path):
        reason = "is not a folder" if os.path.lexists(path) else "is not there"
        raise UsageError(f"{shown(path)} {reason}. Name the folder that holds the music.")
    return os.fsencode(os.path.realpath(path))


def _follow_links(db: Database) -> None:
    """Takes the real paths of roots again: a folder that was moved away and left a link has another one now.

    Libraries never overlap, and only real paths can tell.
    """
    known = libraries.all_libraries(db.connection)
    for library in known:
        if not _is_there(library.root):
            continue
        real = os.path.realpath(library.root)
        others = [other.root for other in known if other.id != library.id]
        if real != library.root and not any(_overlap(real, other) for other in others):
            with db.transaction() as connection:
                libraries.move(connection, library.id, real)


def _overlap(one: bytes, other: bytes) -> bool:
    return one == other or path_below(one, other) is not None or path_below(other, one) is not None


def _is_same_folder(known: bytes, root: bytes) -> bool:
    """Whether two roots are one folder: also by another spelling, or mounted twice."""
    if known == root:
        return True
    return _is_there(known) and os.path.samefile(known, root)


def _same_place(path: Path, root: bytes) -> bool:
    """Whether a path is written exactly as the root; nothing is asked of the disk."""
    return os.fsencode(os.path.abspath(path)) == root


def _is_there(root: bytes) -> bool:
    """Whether a folder can be seen. A network drive that does not answer counts as away."""
    return answered(root, lambda: os.path.isdir(root)) or False


def _usable_name(name: str, known: list[Library]) -> str:
    problem = name_problem(name)
    if problem is not None:
        raise UsageError(f"{name!r} cannot be a library's name: {problem}.")
    if any(library.name == name for library in known):
        raise UsageError(f"There is a library called {name} already. Choose another --name.")
    return name


def _free_name(root: bytes, known: list[Library]) -> str:
    """The folder's own name, with a number when another library has it."""
    taken = {library.name for library in known}
    text = os.path.basename(root).decode("utf-8", "replace")
    base = "".join(c if c.isprintable() else " " for c in text).strip() or "music"
    name, number = base, 2
    while name in taken:
        name, number = f"{base} {number}", number + 1
    return name


def shown(path: Path | bytes) -> str:
    """A path inside a sentence: in one line, whatever it holds."""
    return os.fsdecode(path).replace("\n", "\\n")


def _restore(db: Database, folder: Path, *, now: Clock) -> list[str]:
    """Takes the libraries of ``libraries.yaml`` into a database that never held one."""
    if metadata.generation(db.connection, "libraries"):
        return []
    found, notes = libraries_file.read(folder)
    if found:
        with db.transaction() as connection:
            if not libraries.all_libraries(connection):  # another psm may have been first
                for entry in found:
                    libraries.add(connection, entry.name, entry.root, now=now(), watch=entry.watch)
    return notes


def _keep_file(db: Database, folder: Path) -> list[str]:
    """Brings ``libraries.yaml`` up to date with the database, where the two differ."""
    file = folder / libraries_file.FILE_NAME
    # Another psm may change the libraries meanwhile, and its file be overwritten with older names: looked at once more.
    while (generation := metadata.generation(db.connection, "libraries")) and not (
        metadata.get(db.connection, _FILE_MARK) == str(generation) and os.path.exists(file)
    ):
        try:
            libraries_file.write(folder, libraries.all_libraries(db.connection))
        except OSError as e:
            return [
                f"{shown(file)} cannot be written: {e.strerror}. psm knows its libraries all the same, but needs "
                "that file when the database is lost: mend it, or name the libraries in the configuration."
            ]
        with db.transaction() as connection:
            metadata.put(connection, _FILE_MARK, str(generation))
    return []
