"""How the disk itself spells a path, where the file system takes other spellings for the same file.

Windows, macOS, FAT and shared folders take ``Music`` and ``music`` for one, and some take é as one letter or as two. A
row has the spelling of the listing, and a path that somebody typed must not become a second row.
"""

import os
import unicodedata
from collections.abc import Callable

from psm.ingest.paths import open_path

_EXACT = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "tmpfs", "ramfs", "overlay", "nfs", "nfs4"}
)
"""File systems on which two spellings are two files."""

Listing = Callable[[bytes], list[bytes]]
SameFile = Callable[[bytes, bytes], bool]


def takes_other_spellings(filesystem: str) -> bool:
    """Whether a file system of this type may take two spellings for one file."""
    return filesystem not in _EXACT


def as_listed(relative: bytes, *, names_in: Listing, is_same: SameFile) -> bytes:
    """``relative`` in the spelling of the listings, as far as it is there.

    ``names_in`` lists a folder; ``is_same`` says of two paths, both relative to the root, whether they are one file.
    Either may raise OSError: the rest of the path then stays as it was asked for.
    """
    spelt: list[bytes] = []
    parts = relative.split(b"/")
    for index, part in enumerate(parts):
        folder = b"/".join(spelt)
        try:
            spelt.append(_listed_name(folder, part, names_in(folder), is_same))
        except OSError:
            return b"/".join([*spelt, *parts[index:]])
    return b"/".join(spelt)


def on_disk(root: bytes, relative: bytes) -> bytes:
    """``relative`` as the listings below ``root`` spell it."""

    def names_in(folder: bytes) -> list[bytes]:
        with open_path(root, folder) as place:
            return os.listdir(place)

    def is_same(one: bytes, other: bytes) -> bool:
        with open_path(root, one) as first, open_path(root, other) as second:
            return os.path.samestat(os.lstat(first), os.lstat(second))

    return as_listed(relative, names_in=names_in, is_same=is_same)


def _listed_name(folder: bytes, part: bytes, names: list[bytes], is_same: SameFile) -> bytes:
    if part in names:
        return part
    base = folder + b"/" if folder else b""
    alike = [name for name in names if _fold(name) == _fold(part)]
    return next((name for name in alike if is_same(base + name, base + part)), part)


def _fold(name: bytes) -> str:
    return unicodedata.normalize("NFC", os.fsdecode(name)).casefold()
