"""Which observed file is which displaced row."""

from collections.abc import Mapping

import pytest

from psm.db.files import KnownFile
from psm.ingest.moves import Observed, pair_moves
from psm.models import FileStat, Status


def stat(inode: int = 0, size: int = 10, mtime: int = 5) -> FileStat:
    return FileStat(size, mtime, 5, inode, 1)


def row(number: int, path: bytes, *, audio: str | None = "A", inode: int = 0, missing: bool = False) -> KnownFile:
    status = Status.MISSING if missing else Status.PRESENT
    return KnownFile(number, 1, path, status, stat(inode or number), reread=False, fingerprint=audio)


def file(path: bytes, *, audio: str | None = "A", inode: int = 999) -> Observed:
    return Observed(1, path, stat(inode), audio)


def pairs(
    observed: list[Observed],
    displaced: list[KnownFile],
    *,
    present: Mapping[str, int] | None = None,
    keeps_inodes: bool = False,
) -> dict[bytes, int]:
    found = pair_moves(observed, displaced, present=present or {}, keeps_inodes=lambda _: keeps_inodes)
    return {observed[index].path: known.id for index, known in found.items()}


def test_one_file_and_one_row_of_the_same_audio_are_a_move() -> None:
    assert pairs([file(b"new")], [row(1, b"old")]) == {b"new": 1}


def test_other_audio_is_no_move() -> None:
    assert pairs([file(b"new", audio="B")], [row(1, b"old")]) == {}


def test_two_names_that_swap_are_two_moves() -> None:
    assert pairs([file(b"a", audio="B"), file(b"b")], [row(1, b"a"), row(2, b"b", audio="B")]) == {b"b": 1, b"a": 2}


def test_audio_that_a_present_file_shares_identifies_nothing() -> None:
    assert pairs([file(b"new")], [row(1, b"old")], present={"A": 1}) == {}


def test_audio_that_two_new_files_share_identifies_neither() -> None:
    assert pairs([file(b"new1"), file(b"new2")], [row(1, b"old")]) == {}


@pytest.mark.parametrize("present", [{}, {"A": 1}])
def test_an_inode_tells_copies_apart_where_inodes_are_kept(present: Mapping[str, int]) -> None:
    observed = [file(b"new1", inode=7), file(b"new2", inode=8)]
    displaced = [row(1, b"old1", inode=8), row(2, b"old2", inode=7)]
    assert pairs(observed, displaced, present=present, keeps_inodes=True) == {b"new1": 2, b"new2": 1}
    assert pairs(observed, displaced, present=present, keeps_inodes=False) == {}


def test_a_reused_inode_with_another_time_is_not_the_same_file() -> None:
    observed = Observed(1, b"copy", stat(inode=7, mtime=6), "A")
    assert pairs([observed], [row(1, b"old", inode=7)], present={"A": 1}, keeps_inodes=True) == {}


def test_names_tell_the_copies_in_a_renamed_folder_apart() -> None:
    observed = [file(b"new/1.mp3"), file(b"new/2.mp3")]
    displaced = [row(1, b"old/2.mp3"), row(2, b"old/1.mp3")]
    assert pairs(observed, displaced) == {b"new/1.mp3": 2, b"new/2.mp3": 1}


def test_a_file_that_came_back_to_its_place_is_that_file_even_beside_a_copy() -> None:
    assert pairs([file(b"old")], [row(1, b"old", missing=True)], present={"A": 1}) == {b"old": 1}


def test_what_is_gone_now_comes_before_what_went_missing_earlier() -> None:
    assert pairs([file(b"new")], [row(1, b"long ago", missing=True), row(2, b"now")]) == {b"new": 2}


def test_of_several_missing_rows_the_one_with_the_same_name_comes_back() -> None:
    displaced = [row(1, b"x/song.mp3", missing=True), row(2, b"other.mp3", missing=True)]
    assert pairs([file(b"y/song.mp3")], displaced) == {b"y/song.mp3": 1}


def test_of_several_missing_rows_the_youngest_comes_back_when_names_do_not_help() -> None:
    displaced = [row(1, b"a.mp3", missing=True), row(2, b"b.mp3", missing=True)]
    assert pairs([file(b"c.mp3")], displaced) == {b"c.mp3": 2}


def test_a_file_without_a_fingerprint_moves_by_its_inode_only() -> None:
    observed, displaced = [file(b"new", audio=None, inode=4)], [row(1, b"old", audio=None, inode=4)]
    assert pairs(observed, displaced, keeps_inodes=True) == {b"new": 1}
    assert pairs(observed, displaced, keeps_inodes=False) == {}


def test_a_row_is_given_to_one_file_only() -> None:
    observed = [file(b"old", inode=1), file(b"new", inode=2)]
    displaced = [row(1, b"old", inode=2, missing=True)]
    # The inode says more than the place: the file was moved away, and a copy of it was put where it had been.
    assert pairs(observed, displaced, keeps_inodes=True) == {b"new": 1}
    assert pairs(observed, displaced, keeps_inodes=False) == {b"old": 1}
