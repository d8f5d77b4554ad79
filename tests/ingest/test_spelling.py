"""Paths in the spelling of the disk."""

import os
from pathlib import Path

import pytest

from psm.ingest.spelling import as_listed, on_disk, takes_other_spellings

NFC, NFD = "é".encode(), "e\u0301".encode()


class Disk:
    """A file system that takes any case and Unicode form, as macOS's does."""

    def __init__(self, *paths: bytes) -> None:
        self.paths = paths

    def names_in(self, folder: bytes) -> list[bytes]:
        base = folder + b"/" if folder else b""
        names = {p[len(base) :].split(b"/")[0] for p in self.paths if p.startswith(base)}
        if not names:
            raise FileNotFoundError(2, "No such file or directory")
        return sorted(names)

    def is_same(self, one: bytes, other: bytes) -> bool:
        return one.lower().replace(NFD, NFC) == other.lower().replace(NFD, NFC)


@pytest.mark.parametrize(
    ("asked", "spelt"),
    [
        (b"ABBA/X.FLAC", b"Abba/x.flac"),
        (b"Abba/x.flac", b"Abba/x.flac"),
        (b"abba", b"Abba"),
        (b"abba/new.flac", b"Abba/new.flac"),
        (b"nobody/x.flac", b"nobody/x.flac"),
        (b"caf" + NFC + b"/A.mp3", b"Caf" + NFD + b"/a.mp3"),
        (b"abba/x.flac/deeper", b"Abba/x.flac/deeper"),
    ],
)
def test_a_path_gets_the_spelling_of_the_listing(asked: bytes, spelt: bytes) -> None:
    disk = Disk(b"Abba/x.flac", b"Caf" + NFD + b"/a.mp3")
    assert as_listed(asked, names_in=disk.names_in, is_same=disk.is_same) == spelt


def test_two_files_that_differ_in_case_stay_two(tmp_path: Path) -> None:
    for name in ("A", "a"):
        (tmp_path / name).mkdir()
    if len(os.listdir(tmp_path)) < 2:
        pytest.xfail("this file system takes both for one")
    assert on_disk(os.fsencode(tmp_path), b"a") == b"a"
    (tmp_path / "a").rmdir()
    assert on_disk(os.fsencode(tmp_path), b"a") == b"a"


def test_linux_s_own_file_systems_are_taken_at_their_word() -> None:
    assert not takes_other_spellings("ext4")
    assert all(map(takes_other_spellings, ("apfs", "vfat", "cifs", "NTFS", "fuse.sshfs")))
