"""One folder of playlist files: what psm wrote there, what a person did, and how the next version gets in.

The order makes a kill at any moment harmless: first all new contents are written to temporary files, then the manifest
says what old and new contents the names may have, then the files are renamed into place, then the manifest says what is
there now.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from psm import atomic
from psm.export import manifest
from psm.export.manifest import ManifestEntry
from psm.owned import Found, State, find, remove


@dataclass(frozen=True, slots=True)
class Change:
    """A file that is to be written: ``temporary`` holds its content. ``backup`` says to keep what is there."""

    entry: ManifestEntry
    temporary: bytes
    found: Found
    backup: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a change: the person's version that was set aside, or the reason why it failed."""

    name: str
    backup: bytes | None = None
    kept: str | None = None
    error: str | None = None


def prepare(folder: bytes, entry: ManifestEntry, content: bytes, found: Found, *, backup: bool) -> Change:
    """Writes ``content`` beside its place. Raises OSError."""
    path = os.path.join(folder, os.fsencode(entry.name))
    temporary = atomic.stage(folder, content, kind=manifest.KIND, like=path)
    return Change(entry, temporary, found, backup)


def discard(changes: Iterable[Change]) -> None:
    """Takes prepared changes back."""
    for change in changes:
        with suppress(OSError):
            os.unlink(change.temporary)


def commit(
    folder: bytes,
    *,
    changes: Iterable[Change],
    settled: Iterable[ManifestEntry],
    removals: Iterable[ManifestEntry],
    forgotten: Iterable[ManifestEntry],
) -> tuple[tuple[Written, ...], tuple[str, ...]]:
    """Puts the changes in place and removes what went away; returns what became of each change, and the names removed.

    ``settled`` are the entries of files that stay, ``removals`` those of files that psm wrote and nobody edited,
    ``forgotten`` those of files that are no longer psm's. Raises OSError when the manifest cannot be written; nothing
    is then changed.
    """
    changes, settled, removals, forgotten = list(changes), list(settled), list(removals), list(forgotten)
    intent = [_with_hash(c) for c in changes]
    try:
        manifest.write(folder, [*settled, *intent, *removals, *forgotten])
        if changes or removals:
            atomic.sync_folder(folder)
    except OSError:
        discard(changes)
        raise
    written = [_put(folder, change) for change in changes]
    after = [_outcome(entry, w, c) for entry, w, c in zip(intent, written, changes, strict=True)]
    removed = [entry for entry in removals if remove(folder, entry)]
    stuck = [e for e in removals if e not in removed and find(folder, e.name, e.hashes).state is State.OURS]
    with suppress(OSError):  # the one written before still tells the truth
        manifest.write(folder, [*settled, *(e for e in after if e is not None), *stuck])
    atomic.sync_folder(folder)
    return tuple(written), tuple(entry.name for entry in removed)


def _with_hash(change: Change) -> ManifestEntry:
    """The entry while the name may still have the old content."""
    old = () if change.backup or change.found.hash is None else (change.found.hash,)
    return replace(change.entry, hashes=tuple(dict.fromkeys((*old, *change.entry.hashes))))


def _put(folder: bytes, change: Change) -> Written:
    name = change.entry.name
    path = os.path.join(folder, os.fsencode(name))
    backup = None
    try:
        if find(folder, name, None).version != change.found.version:
            discard([change])
            return Written(name, kept="it was changed while psm was exporting")
        if change.backup:
            backup = atomic.set_aside(path)
        os.replace(change.temporary, path)
    except OSError as e:
        discard([change])
        return Written(name, backup=backup, error=e.strerror or str(e))
    return Written(name, backup=backup)


def _outcome(intent: ManifestEntry, written: Written, change: Change) -> ManifestEntry | None:
    if written.error is None and written.kept is None:
        return change.entry
    # Not in place: psm's own old content is still its own, a person's is still not.
    return intent if change.found.state is State.OURS else None
