"""Which of the files just read are files that psm knew under another path: pure, no I/O.

Identity comes from the audio. Each observed file carries a fingerprint, and so does each displaced row: a row whose
path is
gone, or whose path now holds other audio. Where one fingerprint has exactly one of each, and no other present file
shares it,
the file moved. Worked examples:

- ``a.flac`` renamed to ``b.flac`` (retagged or not): the row of ``a`` is displaced, ``b`` is observed, one of each: a
  move.
- ``a`` and ``b`` swap their names: both rows are displaced because their paths hold other audio: two moves.
- ``a`` copied to ``b``: the row of ``a`` is where it was, so nothing is displaced: ``b`` is a new file. Hard links
  likewise.
- ``a`` and its copy ``b`` exist, ``b`` is renamed to ``c``: the fingerprint names two files and identifies neither.
  Where the
  file system keeps inodes, the same inode with the same size and time does.
- A folder with two copies of a song is renamed: the names inside it say which is which.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from psm.db.files import KnownFile
from psm.models import FileStat, Status

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Observed:
    """A file that was read at a path where no row holds its audio."""

    library_id: int
    path: bytes
    stat: FileStat
    fingerprint: str | None


def pair_moves(
    observed: Sequence[Observed],
    displaced: Sequence[KnownFile],
    *,
    present: Mapping[str, int],
    keeps_inodes: Callable[[int], bool],
) -> dict[int, KnownFile]:
    """The row that each observed file is, by its index in ``observed``; files that are new have none.

    ``present`` counts, per fingerprint, the files that are where psm knew them. ``keeps_inodes`` says of a library
    whether
    inodes can be trusted there.
    """
    groups: dict[str | None, tuple[list[int], list[KnownFile]]] = defaultdict(lambda: ([], []))
    for index, file in enumerate(observed):
        groups[file.fingerprint][0].append(index)
    for row in displaced:
        if row.fingerprint in groups:
            groups[row.fingerprint][1].append(row)
    pairs: dict[int, KnownFile] = {}
    for fingerprint, (indexes, rows) in groups.items():
        shared = fingerprint is None or present.get(fingerprint, 0) > 0
        pairs |= _pair_group(observed, indexes, rows, shared=shared, keeps_inodes=keeps_inodes)
    return pairs


def _pair_group(
    observed: Sequence[Observed],
    indexes: list[int],
    rows: list[KnownFile],
    *,
    shared: bool,
    keeps_inodes: Callable[[int], bool],
) -> dict[int, KnownFile]:
    """Pairs files and rows of one fingerprint by the surest evidence first; each step sees what the earlier ones
    left.
    """
    pairs: dict[int, KnownFile] = {}

    def pair_by(file_key: Callable[[Observed], Hashable], row_key: Callable[[KnownFile], Hashable]) -> None:
        free_files = [i for i in indexes if i not in pairs]
        taken = {row.id for row in pairs.values()}
        free_rows = [row for row in rows if row.id not in taken]
        by_key = _unique(free_rows, row_key)
        for key, index in _unique(free_files, lambda i: file_key(observed[i])).items():
            if key is not None and key in by_key:
                pairs[index] = by_key[key]

    def inode(library_id: int, stat: FileStat) -> Hashable:
        return (stat.device, stat.inode, stat.size_bytes, stat.mtime_ns) if keeps_inodes(library_id) else None

    pair_by(lambda f: inode(f.library_id, f.stat), lambda r: inode(r.library_id, r.stat))
    # A file that came back to its own place is that file, whoever shares its audio.
    pair_by(lambda f: (f.library_id, f.path), lambda r: (r.library_id, r.path) if r.status is Status.MISSING else None)
    if shared:
        return pairs
    pair_by(lambda f: _name(f.path), lambda r: _name(r.path) if r.status is Status.PRESENT else None)
    # What this scan found displaced is a likelier source than what went missing long ago.
    if len(indexes) - len(pairs) == 1:
        (index,) = (i for i in indexes if i not in pairs)
        taken = {row.id for row in pairs.values()}
        free = [row for row in rows if row.id not in taken]
        just_gone = [row for row in free if row.status is Status.PRESENT]
        if len(just_gone) == 1 or (not just_gone and len(free) == 1):
            pairs[index] = (just_gone or free)[0]
        elif not just_gone and free:
            same_name = [row for row in free if _name(row.path) == _name(observed[index].path)]
            # Rows are in the order of their ids: the youngest is the one that was last seen on disk.
            pairs[index] = (same_name or free)[-1]
    return pairs


def _unique(items: Sequence[T], key: Callable[[T], Hashable]) -> dict[Hashable, T]:
    """The items whose key no other item has, by that key."""
    found: dict[Hashable, list[T]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return {k: group[0] for k, group in found.items() if len(group) == 1}


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]
