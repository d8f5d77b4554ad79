"""Many events at once: few scans, a small watcher, and nothing lost. Counts, not seconds."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from psm.services.change_buffer import MOST
from tests.factories import flac_bytes, write_flac
from tests.running import Psm
from tests.watched import Shelf, Watched, album, counted_scans, process, wait_until, watching

ALBUM = 20
GROWTH_MB = 12.0
"""How much more memory a watcher may hold after a storm than before."""


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[list[Path]]:
    """The paths of each scan of the watcher."""
    return counted_scans(monkeypatch)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Watched]:
    """A library with an album that is not watched yet."""
    made = Watched(tmp_path, quiet_s=0.7)
    album(made.library() / "One")
    yield made
    made.close()


def tree(folder: Path, count: int) -> Path:
    """So many songs, in albums, by artists."""
    for number in range(count // ALBUM):
        album(folder / f"Artist {number // 10}" / f"Album {number % 10}", ALBUM)
    return folder


def copy_in(source: Path, target: Path) -> None:
    """Copies a tree as a person does."""
    subprocess.run(["cp", "-r", source, target], check=True)


def test_2_000_files_that_are_copied_in_are_few_scans_and_few_pending(shelf: Watched, scans: list[list[Path]]) -> None:
    source, pending = tree(shelf.folder / "source", 2_000), [0]

    def all_are_there() -> bool:
        if (status := shelf.status()) is not None:
            pending.append(status.pending)
        return len(shelf.known()) == 2_003

    with watching(shelf):
        before = len(scans)
        copy_in(source, shelf.folder / "music")
        wait_until(all_are_there, "all are in the database", instead=lambda: len(shelf.known()))
        shelf.settle()
        assert len(scans) - before <= 20
    assert max(pending) <= MOST
    assert sum(result.added for result in shelf.results) == len(shelf.known())
    shelf.verify()


def test_10_000_files_that_are_copied_in_are_few_scans_by_a_watcher_that_stays_small(psm: Psm, tmp_path: Path) -> None:
    shelf = Shelf(psm.data_folder)
    source, root = tree(tmp_path / "source", 10_000), album(tmp_path / "music" / "One").parent
    with process(psm, root, quiet_s=0.7) as watcher:
        shelf.settle()
        before_mb, before = resident_mb(watcher.popen.pid), len(watcher.events)
        copy_in(source, root)
        shelf.settle()
        after_mb = resident_mb(watcher.popen.pid)
        said = [event["text"] for event in watcher.events[before:]]
    print(f"{before_mb:.1f} MB before, {after_mb:.1f} MB after: {said}")
    assert len(shelf.known()) == 10_005
    assert len(said) <= 20
    assert after_mb - before_mb < GROWTH_MB
    shelf.verify()
    shelf.close()


def resident_mb(pid: int) -> float:
    """What a process holds of the machine's memory, in MB of a million bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def test_a_storm_of_renames_keeps_every_row(shelf: Watched, scans: list[list[Path]]) -> None:
    tree(shelf.folder / "music" / "Tree", 2_000)
    with watching(shelf):
        rows, before = shelf.ids(), len(scans)
        assert len(rows) == 2_003
        for artist in sorted((shelf.folder / "music" / "Tree").iterdir()):
            for folder in sorted(artist.iterdir()):
                folder.rename(artist / f"{folder.name} (2020)")
            artist.rename(artist.with_name(f"The {artist.name}"))
        (shelf.folder / "music" / "Tree").rename(shelf.folder / "music" / "Renamed")
        shelf.settle()
        assert shelf.ids() == rows
        for song in (shelf.folder / "music" / "Renamed").rglob("*.flac"):
            song.rename(song.with_name(f"renamed {song.name}"))
        shelf.settle()
        assert shelf.ids() == rows
        assert len(scans) - before <= 20
    assert sum(result.missing for result in shelf.results) == 0
    shelf.verify()


def test_files_that_are_retagged_one_after_the_other_are_few_scans(shelf: Watched, scans: list[list[Path]]) -> None:
    root = album(shelf.folder / "music" / "Many", 1_000)
    with watching(shelf):
        rows, before = shelf.ids(), len(scans)
        for n in range(1_000):
            write_flac(root / f"{n:03} song.flac", audio=f"{root} {n}", title=f"Another {n}")
        shelf.settle()
        assert shelf.ids() == rows
        assert len(scans) - before <= 10
    assert all((row.tags.title or "").startswith("Another") for row in shelf.rows().values() if b"Many" in row.path)
    shelf.verify()


def test_one_file_that_is_written_thousands_of_times_is_read_a_few_times(
    shelf: Watched, scans: list[list[Path]]
) -> None:
    song, content = shelf.folder / "music" / "One" / "busy.flac", flac_bytes("busy", title="Busy")
    with watching(shelf):
        before = len(scans)
        for _ in range(5_000):
            song.write_bytes(content)
        shelf.settle()
        assert len(scans) - before <= 4
    shelf.verify()


def test_events_that_cannot_matter_cause_no_scan(shelf: Watched, scans: list[list[Path]]) -> None:
    folder = shelf.folder / "music" / "One"
    with watching(shelf):
        before = len(scans)
        for n in range(3_000):
            (folder / f"cover {n % 100}.jpg").write_bytes(b"no music")
            (folder / f"{n % 100}.flac.part").write_bytes(b"not yet")
            (folder / f".hidden {n % 100}.flac").write_bytes(b"hidden")
        shelf.leave_cookie(folder.parent)
        assert [path.name for paths in scans[before:] for path in paths] == ["zz cookie 1.flac"]
    shelf.verify()
