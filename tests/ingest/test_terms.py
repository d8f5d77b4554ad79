"""What a watcher asks of a scan: unfinished files are left, large work is declined, and losses are counted together."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from psm.ingest.library import ScanResult, scan_specific_files
from psm.ingest.reading import Job, read_one
from psm.ingest.terms import ScanIsLarge, Terms
from psm.models import FileStat, Library
from tests.factories import flac_bytes, write_flac
from tests.ingest.scanned import NOW, Box, counts

LIBRARY = 1


class Unfinished:
    """The files that somebody is still writing."""

    def __init__(self, *paths: str) -> None:
        self.paths = set(paths)
        self.asked: list[tuple[str, int]] = []

    def is_finished(self, library: Library, path: bytes, found: FileStat) -> bool:
        assert library.name == "music"
        self.asked.append((os.fsdecode(path), found.size_bytes))
        return os.fsdecode(path) not in self.paths

    @property
    def terms(self) -> Terms:
        return Terms(is_finished=self.is_finished)


def unfinished(box: Box, result: ScanResult) -> set[str]:
    return {os.path.relpath(os.fsdecode(path), box.root) for path in result.unfinished}


# Unfinished files


def test_an_unfinished_file_is_left_alone_and_named(box: Box) -> None:
    box.add("a/whole.flac")
    box.add("a/growing.flac")
    result = box.some("a", terms=Unfinished("a/growing.flac").terms)
    assert counts(result) == {"added": 1}
    assert unfinished(box, result) == {"a/growing.flac"}
    assert not result.errors
    assert box.rows().keys() == {"a/whole.flac"}
    assert counts(box.some("a")) == {"added": 1, "unchanged": 1}


def test_it_is_asked_only_of_files_that_would_be_read(box: Box) -> None:
    box.add("known.flac")
    box.full()
    box.add("new.flac")
    waiting = Unfinished()
    box.some("known.flac", "new.flac", "gone.flac", terms=waiting.terms)
    assert waiting.asked == [("new.flac", (box.root / "new.flac").stat().st_size)]


def test_a_known_file_that_is_being_rewritten_keeps_its_row_as_it_was(box: Box) -> None:
    box.add("a.flac", title="before")
    box.add("b.flac")
    box.full()
    number, generation = box.id_of("a.flac"), box.generation()
    (box.root / "a.flac").write_bytes(flac_bytes("a.flac", title="half of what it will be")[:60])
    result = box.some("", terms=Unfinished("a.flac").terms)
    assert unfinished(box, result) == {"a.flac"}
    assert (box.rows()["a.flac"].tags.title, box.generation()) == ("before", generation)
    box.add("a.flac", title="after")
    box.some("a.flac")
    assert (box.rows()["a.flac"].tags.title, box.id_of("a.flac")) == ("after", number)


def test_a_file_that_changes_while_it_is_read_is_unfinished(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    from psm.ingest import tags

    song = box.add("a.flac")
    real = tags.read_file

    def read_while_written(path: bytes, relative: bytes) -> object:
        reading = real(path, relative)
        if relative == b"a.flac":
            with song.open("ab") as file:
                file.write(b"more")
        return reading

    box.add("b.flac")
    monkeypatch.setattr(tags, "read_file", read_while_written)
    result = box.some("a.flac", "b.flac")
    assert counts(result) == {"added": 1}
    assert unfinished(box, result) == {"a.flac"}
    assert [(error.path, "still being written" in error.reason) for error in result.errors] == [
        (os.fsencode(song), True)
    ]
    monkeypatch.undo()
    assert counts(box.quick()) == {"added": 1, "unchanged": 1}


def test_a_file_that_goes_away_before_it_is_read_is_in_motion(tmp_path: Path) -> None:
    outcome = read_one(3, Job(os.fsencode(tmp_path), b"gone.flac"))
    assert (outcome.job, outcome.in_motion, outcome.stat) == (3, True, None)


def test_a_file_that_cannot_be_read_is_not_in_motion(tmp_path: Path) -> None:
    (tmp_path / "loop.flac").symlink_to("loop.flac")
    outcome = read_one(0, Job(os.fsencode(tmp_path), b"loop.flac"))
    assert not outcome.in_motion
    assert outcome.failure is not None


def test_a_whole_file_is_not_in_motion(tmp_path: Path) -> None:
    write_flac(tmp_path / "a.flac")
    assert not read_one(0, Job(os.fsencode(tmp_path), b"a.flac")).in_motion


# Identity, when a file that is not finished moves


@pytest.mark.parametrize("first", [("old.flac", "new.flac"), ("new.flac",), ("",)])
def test_a_rename_of_a_file_that_is_not_finished_keeps_its_row_in_the_end(box: Box, first: tuple[str, ...]) -> None:
    box.add("old.flac")
    box.add("keep.flac")
    box.full()
    number = box.id_of("old.flac")
    (box.root / "old.flac").rename(box.root / "new.flac")
    box.some(*first, terms=Unfinished("new.flac").terms)
    assert "new.flac" not in box.rows()
    box.quick()
    assert box.id_of("new.flac") == number
    assert not box.missing()


def test_a_swap_of_which_one_end_is_not_finished_keeps_both_rows(box: Box) -> None:
    for name in ("a.flac", "b.flac", "keep.flac"):
        box.add(name)
    box.full()
    numbers = {box.rows()[name].fingerprint: box.id_of(name) for name in ("a.flac", "b.flac")}
    (box.root / "a.flac").rename(box.root / "t")
    (box.root / "b.flac").rename(box.root / "a.flac")
    (box.root / "t").rename(box.root / "b.flac")
    os.utime(box.root / "a.flac", (1, 1))
    os.utime(box.root / "b.flac", (2, 2))
    box.some("", terms=Unfinished("b.flac").terms)
    box.quick()
    found = {box.rows()[name].fingerprint: box.id_of(name) for name in ("a.flac", "b.flac")}
    assert found == numbers


# Large work


def test_as_many_files_as_allowed_are_read(box: Box) -> None:
    for n in range(5):
        box.add(f"{n}.flac")
    assert counts(box.some("", terms=Terms(read_at_most=5))) == {"added": 5}


def test_when_more_would_be_read_nothing_is_written_at_all(box: Box) -> None:
    for name in ("gone.flac", "keep.flac"):
        box.add(name)
    box.full()
    (box.root / "gone.flac").unlink()
    for n in range(3):
        box.add(f"new/{n}.flac")
    before, generation = box.rows(), box.generation()
    with pytest.raises(ScanIsLarge):
        box.some("", terms=Terms(read_at_most=2))
    assert (box.rows(), box.generation()) == (before, generation)
    assert counts(box.quick()) == {"added": 3, "missing": 1, "unchanged": 1}  # and the lock is free


def test_unfinished_and_unchanged_files_do_not_count_as_work(box: Box) -> None:
    for n in range(5):
        box.add(f"{n}.flac")
    box.full()
    box.add("new.flac")
    box.add("growing.flac")
    waiting = Unfinished("growing.flac")
    terms = Terms(is_finished=waiting.is_finished, read_at_most=1)
    assert counts(box.some("", terms=terms)) == {"added": 1, "unchanged": 5}


def test_work_that_is_large_in_the_second_library_only_writes_nothing_to_the_first(box: Box, tmp_path: Path) -> None:
    from psm.db import libraries

    with box.db.transaction() as connection:
        libraries.add(connection, "second", os.fsencode(tmp_path / "second"), now=NOW)
    box.add("a.flac")
    for n in range(2):
        write_flac(tmp_path / "second" / f"{n}.flac")
    with pytest.raises(ScanIsLarge):
        scan_specific_files(box.db, box.cfg, [box.root, tmp_path / "second"], terms=Terms(read_at_most=1))
    assert not box.rows()


# Losses


@pytest.fixture
def hundred(box: Box) -> Box:
    """A library of 100 albums of two songs."""
    for n in range(200):
        box.add(f"{n // 2:03}/{n}.flac")
    box.full()
    return box


def lose(box: Box, albums: range, *, lately: int) -> ScanResult:
    for n in albums:
        shutil.rmtree(box.root / f"{n:03}")
    return box.some(*(f"{n:03}" for n in albums), terms=Terms(missing_lately={LIBRARY: lately}))


def test_many_small_scans_may_not_lose_more_together_than_one_may(hundred: Box) -> None:
    lately = 0
    for begin in range(0, 30, 10):
        result = lose(hundred, range(begin, begin + 10), lately=lately)
        assert counts(result) == {"missing": 20}
        assert result.missing_by_library == {LIBRARY: 20}
        lately += result.missing_by_library[LIBRARY]
    result = lose(hundred, range(30, 31), lately=lately)
    assert counts(result) == {"refused": 2}
    assert not result.complete
    assert result.missing_by_library == {}
    assert "--accept-missing" in " ".join(result.notes)
    assert len(hundred.rows()) == 140


@pytest.mark.parametrize(("albums", "lately", "may"), [(25, 0, True), (30, 0, True), (31, 0, False), (1, 58, True)])
def test_the_limit_is_the_same_whether_they_went_at_once_or_before(
    hundred: Box, albums: int, lately: int, may: bool
) -> None:
    result = lose(hundred, range(albums), lately=lately)
    assert (result.missing > 0) is may


def test_losses_of_another_library_do_not_count(hundred: Box) -> None:
    shutil.rmtree(hundred.root / "000")
    assert counts(hundred.some("000", terms=Terms(missing_lately={LIBRARY + 1: 10_000}))) == {"missing": 2}


def test_losses_before_refuse_nothing_when_nothing_is_lost_now(hundred: Box) -> None:
    result = hundred.some("000", terms=Terms(missing_lately={LIBRARY: 10_000}))
    assert counts(result) == {"unchanged": 2}
    assert result.complete


def test_files_that_moved_do_not_count_as_lost(hundred: Box) -> None:
    (hundred.root / "all").mkdir()
    for n in range(100):
        (hundred.root / f"{n:03}").rename(hundred.root / "all" / f"{n:03}")
    result = hundred.some("", terms=Terms(missing_lately={LIBRARY: 60}))
    assert counts(result) == {"moved": 200}
    assert result.missing_by_library == {}


# Folders


def test_each_folder_that_was_walked_is_told_of_once(box: Box) -> None:
    for name in ("a/1.flac", "a/deep/2.flac", ".hidden/3.flac", "b/4.flac"):
        box.add(name)
    (box.root / "empty").mkdir()
    told: list[bytes] = []
    terms = Terms(on_folder=lambda _, path, __: told.append(path))
    box.some("", terms=terms)
    assert sorted(told) == [b"", b"a", b"a/deep", b"b", b"empty"]
    told.clear()
    box.some("a", terms=terms)
    assert sorted(told) == [b"a", b"a/deep"]


def test_folders_that_are_ignored_are_not_told_of(box: Box) -> None:
    for name in ("a/1.flac", "quiet/2.flac"):
        box.add(name)
    (box.root / "quiet" / ".nomedia").touch()
    (box.root / "link").symlink_to(box.root / "a")
    told: list[bytes] = []
    box.some("", terms=Terms(on_folder=lambda _, path, __: told.append(path)))
    assert sorted(told) == [b"", b"a"]


def test_a_folder_that_is_not_there_is_not_told_of(box: Box) -> None:
    box.add("a/1.flac")
    box.add("b/2.flac")
    box.full()
    shutil.rmtree(box.root / "a")
    told: list[bytes] = []
    box.some("a", terms=Terms(on_folder=lambda _, path, __: told.append(path)))
    assert b"a" not in told


def test_a_stopped_scan_says_so_and_loses_nothing(box: Box) -> None:
    box.add("a.flac")
    box.add("b.flac")
    box.full()
    (box.root / "a.flac").unlink()
    stop = threading.Event()
    stop.set()
    result = scan_specific_files(box.db, box.cfg, [box.root], terms=Terms(missing_lately={}), stop=stop)
    assert result.stopped
    assert box.rows().keys() == {"a.flac", "b.flac"}


def test_it_is_told_which_folders_a_link_led_to(box: Box, tmp_path: Path) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    box.add("near/a.flac")
    (box.root / "link").symlink_to(tmp_path / "far")
    told: dict[bytes, bool] = {}
    terms = Terms(on_folder=lambda _, path, behind_link: told.update({path: behind_link}))
    box.some("", terms=terms)
    assert told == {b"": False, b"near": False, b"link": True, b"link/deep": True}
