"""``.psm-export.json``: which files of a folder psm wrote, and what was in them.

It is written before the files are, so an entry may hold two hashes, the old content's and the new one's: killed at any
moment, psm still knows its own file afterwards. Entries name their owner, because two databases may export to one
folder.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from psm import atomic

NAME = b".psm-export.json"
DAMAGED_NAME = b".psm-export.damaged.json"
TEMPORARY_KIND = "export"
_FORMAT = "psm export manifest"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """A file that psm wrote: ``name`` in the folder, ``hashes`` (SHA-256, hex) of what may be in it.

    ``owner`` names the database, ``profile`` and ``playlist`` what the file is made from: see ``psm.export.stage``.
    """

    owner: str
    profile: str
    playlist: str
    name: str
    hashes: tuple[str, ...]


class ManifestDamaged(ValueError):  # noqa: N818  (a state of the file)
    """The manifest cannot be understood; the message says why."""


class ManifestNewer(ValueError):  # noqa: N818
    """The manifest was written by a newer psm."""


def read(folder: bytes) -> tuple[ManifestEntry, ...]:
    """The entries of ``folder``, by name; empty when there is no manifest.

    Raises OSError, ManifestDamaged, ManifestNewer.
    """
    try:
        with open(os.path.join(folder, NAME), "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return ()
    try:
        document = json.loads(content.decode("utf-8"))
        if document["format"] != _FORMAT:
            raise ValueError("it is another program's")
        version = int(document["version"])
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise ManifestDamaged(str(e)) from e
    if version > _VERSION:
        raise ManifestNewer("it was written by a newer psm")
    try:
        return tuple(_entry(item) for item in document["files"])
    except (ValueError, KeyError, TypeError) as e:
        raise ManifestDamaged(str(e)) from e


def write(folder: bytes, entries: Iterable[ManifestEntry]) -> None:
    """Makes the manifest of ``folder`` hold ``entries``, atomically; removes it when there are none. Raises OSError.

    One that holds them already is not touched.
    """
    path = os.path.join(folder, NAME)
    files = [asdict(e) for e in sorted(entries, key=lambda e: (e.name, e.owner))]
    if not files:
        if os.path.lexists(path):
            os.unlink(path)
        return
    document = {"format": _FORMAT, "version": _VERSION, "files": files}
    content = (json.dumps(document, indent=1, ensure_ascii=True) + "\n").encode()
    try:
        with open(path, "rb") as file:
            if file.read() == content:
                return
    except OSError:
        pass  # not there, or not readable: writing tells
    atomic.write(path, content, kind=TEMPORARY_KIND)


def set_aside(folder: bytes) -> None:
    """Renames a damaged manifest, so that a person can look at it. Raises OSError."""
    os.replace(os.path.join(folder, NAME), os.path.join(folder, DAMAGED_NAME))


def _entry(item: dict[str, object]) -> ManifestEntry:
    hashes = item["hashes"]
    texts = [item[field] for field in ("owner", "profile", "playlist", "name")]
    if not isinstance(hashes, list) or not all(isinstance(t, str) for t in (*texts, *hashes)):
        raise TypeError("an entry is not as psm writes it")
    owner, profile, playlist, name = map(str, texts)
    if not name or "/" in name or "\\" in name or name in (".", ".."):
        # What is named here may be removed: nothing outside the folder ever is.
        raise ValueError(f"an entry names no file of this folder: {name!a}")
    return ManifestEntry(owner, profile, playlist, name, tuple(map(str, hashes)))
