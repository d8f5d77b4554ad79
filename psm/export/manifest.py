"""``.psm-export.json``: which files of a folder the export wrote, and what was in them."""

import hashlib
from dataclasses import dataclass

from psm.owned import Manifest, ManifestDamaged, ManifestNewer, OwnedFile

__all__ = [
    "DAMAGED_NAME",
    "NAME",
    "ManifestDamaged",
    "ManifestEntry",
    "ManifestNewer",
    "playlist_key",
    "read",
    "set_aside",
    "write",
]

KIND = "export"


@dataclass(frozen=True, slots=True)
class ManifestEntry(OwnedFile):
    """A playlist file that psm wrote.

    ``owner`` names the database, because two may export to one folder; ``profile`` and ``playlist`` what the file is
    made from (the playlist by a hash of its source: see :func:`playlist_key`). ``once`` says that it was written into
    a folder that was named on the command line: no export of the configured profiles has a say in it.
    """

    owner: str
    profile: str
    playlist: str
    once: bool = False


_MANIFEST = Manifest(KIND, ManifestEntry)

NAME = _MANIFEST.name
DAMAGED_NAME = _MANIFEST.damaged_name
read = _MANIFEST.read
write = _MANIFEST.write
set_aside = _MANIFEST.set_aside


def playlist_key(source: bytes) -> str:
    """What identifies a playlist in a manifest: its source, which a rebuilt database knows it by as well."""
    return hashlib.blake2b(source, digest_size=16).hexdigest()
