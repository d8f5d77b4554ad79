"""``libraries.yaml``, beside the configuration: the libraries, for a database that has to be built again.

psm writes it, and reads it only when the database holds no library. A person may have changed it all the same. An entry
is ``NAME: FOLDER``, or a section with ``path`` and ``watch`` for a library that is left to scans.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from psm import atomic
from psm.errors import UsageError
from psm.models import Library

FILE_NAME = "libraries.yaml"
_HEADER = """\
# The libraries that psm knows, for a database that has to be built again.
# psm writes this file; change libraries with: psm library add, move, remove, watch
"""
_REMEDY = "Mend it, or move it away and add the libraries again."


@dataclass(frozen=True, slots=True)
class Entry:
    """One library in the file: the same as in :class:`psm.models.Library`."""

    name: str
    root: bytes
    watch: bool = True


def write(folder: Path, known: Iterable[Library]) -> None:
    """Writes the file, whole or not at all. Raises OSError."""
    import yaml

    text = _HEADER + yaml.safe_dump(
        {"libraries": {library.name: _said(library) for library in known}},
        allow_unicode=True,
        sort_keys=True,
        width=10_000,
    )
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write(os.fsencode(folder / FILE_NAME), text.encode("utf-8", "surrogateescape"), kind="libraries")


def _said(library: Library) -> str | dict[str, str | bool]:
    root = os.fsdecode(library.root)
    return root if library.watch else {"path": root, "watch": False}


def read(folder: Path) -> tuple[list[Entry], list[str]]:
    """The libraries in the file, none when it is not there, and sentences about entries that cannot be used.

    :raises UsageError: when the file cannot be read or understood at all.
    """
    import yaml

    file = folder / FILE_NAME
    try:
        found = yaml.safe_load(file.read_bytes().decode("utf-8-sig", "surrogateescape"))
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as e:
        raise UsageError(f"{file} cannot be read: {e.strerror}. {_REMEDY}") from e
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise UsageError(f"{file} is not YAML: {e}. {_REMEDY}") from e
    roots = found.get("libraries") if isinstance(found, dict) else None
    if roots is None and (found is None or (isinstance(found, dict) and "libraries" in found)):
        return [], []
    if not isinstance(roots, dict):
        raise UsageError(f'{file} must hold a section "libraries" with a name and a folder in each line. {_REMEDY}')
    return _usable(file, roots)


def _usable(file: Path, roots: dict[object, object]) -> tuple[list[Entry], list[str]]:
    usable: list[Entry] = []
    notes: list[str] = []
    for name, said in roots.items():
        path, watch = (said.get("path"), said.get("watch", True)) if isinstance(said, dict) else (said, True)
        reason = _problem(name, path, watch, usable)
        if reason is None:
            usable.append(Entry(str(name), _root(str(path)), watch=watch is True))
        else:
            notes.append(f"{file}: the library {str(name)!r} is left out: {reason}.")
    return usable, notes


def _problem(name: object, path: object, watch: object, usable: list[Entry]) -> str | None:
    """Why an entry cannot be used, None when it can."""
    if name is None or name_problem(str(name)):
        return "it has no name that can be used"
    if not isinstance(path, str) or not os.path.isabs(path) or "\0" in path:
        return "its folder must be a full path"
    if not isinstance(watch, bool):
        return "watch must be true or false"
    root = _root(path)
    other = next(
        (u.name for u in usable if u.root == root or path_below(u.root, root) or path_below(root, u.root)), None
    )
    return None if other is None else f"its folder overlaps that of {other!r}"


def name_problem(name: str) -> str | None:
    """Why ``name`` cannot be a library's, in a person's words; None when it can."""
    if not name.strip():
        return "it is empty"
    return None if name.isprintable() else "it holds characters that cannot be shown"


def path_below(root: bytes, path: bytes, *, separator: bytes = os.fsencode(os.sep)) -> bytes | None:
    """The path relative to ``root``, with forward slashes, when ``path`` lies below it; else None. Both are real paths.

    Compared in whole parts: ``/music2`` does not lie below ``/music``.
    """
    prefix = root.replace(separator, b"/").rstrip(b"/") + b"/"
    whole = path.replace(separator, b"/")
    return whole[len(prefix) :] if whole.startswith(prefix) and whole != prefix else None


def _root(said: str) -> bytes:
    return os.fsencode(os.path.normpath(said))
