"""Paths as the systems take them, and those that are too long."""

import os
from pathlib import Path

import pytest

from psm.ingest import paths
from psm.ingest.paths import native_path, open_path, reach, windows_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"C:/Music/a.mp3", b"C:\\Music\\a.mp3"),
        (b"C:/" + b"n" * 245, b"\\\\?\\C:\\" + b"n" * 245),
        (b"//nas/music/" + b"n" * 245, b"\\\\?\\UNC\\nas\\music\\" + b"n" * 245),
        (b"\\\\?\\C:\\" + b"n" * 245, b"\\\\?\\C:\\" + b"n" * 245),
    ],
)
def test_windows_takes_long_paths_with_a_prefix(path: bytes, expected: bytes) -> None:
    assert windows_path(path) == expected


def test_on_windows_a_path_has_backslashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_SYSTEM", "win32")
    with open_path(b"C:\\Music", b"a/b.mp3") as place:
        assert place == b"C:\\Music\\a\\b.mp3"


def test_the_root_of_the_disk_has_one_slash() -> None:
    assert native_path(b"/", b"a") == b"/a"
    assert native_path(b"/", b"") == b"/"
    assert native_path(b"/music", b"a/b") == b"/music/a/b"


def test_elsewhere_a_long_path_stays_as_it_is_and_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_SYSTEM", "darwin")
    with (
        open_path(b"/music", b"n/" * 3_000 + b"x.mp3") as place,
        pytest.raises(OSError, match="File name too long"),
        open(place, "rb"),
    ):
        pass


def test_a_path_is_cut_at_slashes_and_a_name_never(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_PATH_LIMIT", 8)
    folder = tmp_path / "a name longer than the limit" / "b" / "c"
    folder.mkdir(parents=True)
    (folder / "x.mp3").write_text("deep")
    with reach(bytes(folder / "x.mp3")) as (name, descriptor):
        assert name == b"x.mp3"
        assert os.stat(name, dir_fd=descriptor).st_size == 4
    with pytest.raises(FileNotFoundError), reach(bytes(folder / "gone/x/y.mp3")):
        pass
