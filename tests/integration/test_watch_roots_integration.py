"""Roots that go, come back, are replaced or covered: waited for, and no row lost."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from psm.filesystems import mounts_below
from tests.running import Psm
from tests.watched import Process, album, process, wait_until

DEADLINE_S = 60.0


def mount(place: Path) -> None:
    """Mounts a file system in memory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "psm-test", str(place)], check=True)


def unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder that a test may mount on; whatever is mounted on or below it at the end is unmounted."""
    place = tmp_path / "music"
    place.mkdir()
    yield place
    for point in (*mounts_below(bytes(place))[::-1], *[bytes(place)] * place.is_mount()):
        unmount(Path(os.fsdecode(point)))


def present(psm: Psm) -> dict[str, int]:
    """The ids of the present files, by path below their roots."""
    with closing(sqlite3.connect(psm.database)) as connection:
        rows = connection.execute("SELECT CAST(path AS TEXT), id FROM library_files WHERE status = 'present'")
        return dict(rows.fetchall())


def wait_for(psm: Psm, name: str) -> None:
    wait_until(lambda: name in present(psm), f"{name} is in the database", within_s=DEADLINE_S)


def said(running: Process, text: str, *, times: int = 1) -> None:
    """Waits until the watcher has said so, so many times."""
    wait_until(
        lambda: sum(text in e["text"] for e in running.events) >= times,
        f"it says {text!r}: {running.lines}",
        within_s=DEADLINE_S,
    )


WAITS, BACK = "Waiting for library music", "Library music is there again"


def still_followed(psm: Psm, root: Path, before: dict[str, int]) -> None:
    """All rows are as before, and one more file is noticed."""
    assert present(psm) == before
    album(root / "after", 1)
    wait_for(psm, "after/000 song.flac")
    after = present(psm)
    assert {path: after.get(path) for path in before} == before


def test_a_drive_that_is_unmounted_and_mounted_again(psm: Psm, root: Path) -> None:
    mount(root)
    album(root / "album")
    content = root.with_name("content")
    shutil.copytree(root, content)
    psm("library", "add", root)
    with process(psm) as running:
        before = present(psm)
        unmount(root)
        said(running, f"{WAITS} ({root}): its folder is empty, as that of a drive that is not mounted")
        assert "its folder is empty" in psm("status").stdout
        assert present(psm) == before
        mount(root)
        shutil.copytree(content, root, dirs_exist_ok=True)
        said(running, BACK)
        still_followed(psm, root, before)


def test_a_drive_that_is_missing_at_the_start(psm: Psm, root: Path) -> None:
    album(root / "album")
    psm("scan", root)
    before = present(psm)
    root.rename(root.with_name("away"))
    with process(psm) as running:
        assert any("music: offline" in e["text"] for e in running.events if e["event"] == "ready")
        assert present(psm) == before
        root.with_name("away").rename(root)
        said(running, BACK)
        still_followed(psm, root, before)


def test_a_root_that_is_deleted_and_made_again(psm: Psm, root: Path) -> None:
    album(root / "album")
    content = root.with_name("content")
    shutil.copytree(root, content)
    psm("library", "add", root)
    with process(psm) as running:
        before = present(psm)
        shutil.rmtree(root)
        said(running, WAITS)
        root.mkdir()
        said(running, "its folder is empty")
        assert present(psm).keys() <= before.keys()
        shutil.copytree(content, root, dirs_exist_ok=True)
        said(running, BACK)
        wait_until(lambda: present(psm) == before, "all rows are back", within_s=DEADLINE_S)
        still_followed(psm, root, before)


def test_a_root_that_is_renamed_away_and_back(psm: Psm, root: Path) -> None:
    album(root / "album")
    psm("library", "add", root)
    with process(psm) as running:
        before = present(psm)
        root.rename(root.with_name("elsewhere"))
        said(running, f"{WAITS} ({root}): No such file or directory")
        # What happens where the root is now is not of the library.
        album(root.with_name("elsewhere") / "meanwhile", 1)
        assert present(psm) == before
        root.with_name("elsewhere").rename(root)
        said(running, BACK)
        wait_for(psm, "meanwhile/000 song.flac")
        still_followed(psm, root, present(psm))


def test_a_root_that_is_replaced_by_a_folder_of_the_same_music(psm: Psm, root: Path) -> None:
    album(root / "album")
    copy = root.with_name("copy")
    shutil.copytree(root, copy)
    album(copy / "more", 1)
    psm("library", "add", root)
    with process(psm) as running:
        before = present(psm)
        root.rename(root.with_name("old"))
        copy.rename(root)
        said(running, BACK)
        wait_for(psm, "more/000 song.flac")
        assert before.items() <= present(psm).items()
        still_followed(psm, root, present(psm))


def test_a_drive_that_is_mounted_over_the_root(psm: Psm, root: Path) -> None:
    album(root / "album")
    psm("library", "add", root)
    with process(psm) as running:
        before = present(psm)
        mount(root)
        said(running, "its folder is empty")
        assert present(psm) == before
        album(root / "over", 1)
        said(running, BACK)
        wait_for(psm, "over/000 song.flac")
        # The files below are covered, and not gone.
        assert before.items() <= present(psm).items()
        unmount(root)
        said(running, BACK, times=2)
        album(root / "after", 1)
        wait_for(psm, "after/000 song.flac")
        assert before.items() <= present(psm).items()


def test_a_drive_that_is_mounted_inside_is_polled_too_for_as_long_as_it_is_there(psm: Psm, root: Path) -> None:
    album(root / "album")
    (root / "usb").mkdir()
    psm("library", "add", root)
    with process(psm) as running:
        before = present(psm)
        mount(root / "usb")
        said(running, f"by events and polling: other drives are mounted in it ({root / 'usb'})")
        album(root / "usb" / "disc", 2)
        wait_for(psm, "usb/disc/001 song.flac")
        on_drive = present(psm)
        unmount(root / "usb")
        said(running, "Library music is watched by events.")
        said(running, "A drive that held files of library music is away")
        still_followed(psm, root, on_drive)
    assert before.items() <= present(psm).items()


def test_what_is_bound_into_a_library_is_found_whoever_changes_it(psm: Psm, root: Path) -> None:
    album(root / "album")
    (root / "bound").mkdir()
    elsewhere = album(root.with_name("elsewhere"), 1)
    subprocess.run(["mount", "--bind", elsewhere, root / "bound"], check=True)
    psm("library", "add", root)
    with process(psm, "--interval", "1") as running:
        assert any("music: events and polling" in e["text"] for e in running.events if e["event"] == "ready")
        album(elsewhere / "new", 1)
        wait_for(psm, "bound/new/000 song.flac")


def test_a_library_on_an_overlay_is_polled_too_because_changes_below_it_are_silent(psm: Psm, tmp_path: Path) -> None:
    with overlay(tmp_path) as (merged, lower):
        album(merged / "album")
        psm("library", "add", merged)
        with process(psm, "--interval", "1") as running:
            ready = next(e["text"] for e in running.events if e["event"] == "ready")
            assert "merged: events and polling, because overlay does not tell of every change" in ready
            album(lower / "below", 1)
            wait_for(psm, "below/000 song.flac")


@contextlib.contextmanager
def overlay(folder: Path) -> Iterator[tuple[Path, Path]]:
    """An overlay, and the lower folder of it. It lies on a drive in memory: not every file system may carry one."""
    base = folder / "base"
    base.mkdir()
    mount(base)
    try:
        lower, upper, work, merged = (base / name for name in ("lower", "upper", "work", "merged"))
        for place in (lower, upper, work, merged):
            place.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", str(merged)], check=True)
        try:
            yield merged, lower
        finally:
            unmount(merged)
    finally:
        unmount(base)


@pytest.mark.parametrize(
    ("option", "how"),
    [("--poll", "music: polling, because the configuration asks for polling"), ("--no-poll", "music: events")],
)
def test_a_person_decides_how_a_library_is_watched(psm: Psm, root: Path, option: str, how: str) -> None:
    album(root / "album")
    psm("library", "add", root)
    with process(psm, option, "--interval", "1") as running:
        assert any(how in e["text"] for e in running.events if e["event"] == "ready")
        album(root / "new", 1)
        wait_for(psm, "new/000 song.flac")
