"""Which libraries, and which paths in them, a scan is asked to look at."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from psm.errors import UsageError
from psm.filesystems import filesystem_of
from psm.models import Library


def choose_targets(known: Sequence[Library], paths: Sequence[Path] | None) -> dict[Library, list[bytes]]:
    """The libraries to scan, and in each the paths relative to its root; ``[b""]`` is the whole library.

    :raises UsageError: when there is no library, or a path belongs to none.
    """
    if not known:
        raise UsageError("psm knows no music library yet. Add one with: psm library add FOLDER")
    if paths is None:
        return {library: [b""] for library in known}
    targets: dict[Library, list[bytes]] = {}
    for path in paths:
        place = locate(known, path)
        if place is None:
            raise UsageError(f"{path} belongs to no library. Add its folder with: psm library add FOLDER")
        targets.setdefault(place[0], []).append(place[1])
    return {library: [b""] if b"" in relatives else relatives for library, relatives in targets.items()}


def locate(known: Sequence[Library], path: Path | bytes) -> tuple[Library, bytes] | None:
    """The library that ``path`` belongs to, and the path relative to its root; None when it belongs to none.

    Links in the folders above are resolved, because that is how the walk names a file; a link to a folder outside the
    root keeps its own name.
    """
    absolute = os.path.abspath(os.fsencode(path))
    folder, name = os.path.split(absolute)
    candidates = (os.path.join(os.path.realpath(folder), name), absolute, os.path.realpath(absolute))
    for candidate in candidates:
        for library in known:
            if candidate == library.root:
                return library, b""
            if candidate.startswith(join(library.root, b"")):
                return library, candidate[len(join(library.root, b"")) :].replace(os.fsencode(os.sep), b"/")
    return _by_identity(known, absolute)


def _by_identity(known: Sequence[Library], absolute: bytes) -> tuple[Library, bytes] | None:
    """The library that one of the folders above is, spelt or mounted another way. Asks local disks only."""
    roots = {}
    for library in known:
        if filesystem_of(library.root).is_local:
            with suppress(OSError):
                found = os.stat(library.root)
                roots[found.st_dev, found.st_ino] = library
    folder, below = absolute, b""
    while roots and filesystem_of(folder).is_local:
        with suppress(OSError):
            found = os.stat(folder)
            library_here = roots.get((found.st_dev, found.st_ino))
            if library_here is not None:
                return library_here, below
        above, name = os.path.split(folder)
        if above == folder:
            break
        folder, below = above, name + b"/" + below if below else name
    return None


def join(root: bytes, relative: bytes) -> bytes:
    """The absolute path of what lies below a root."""
    return root.rstrip(b"/") + b"/" + relative
