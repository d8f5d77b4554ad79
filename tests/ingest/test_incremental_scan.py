"""What an incremental scan looks at, what it reads, and what it leaves alone."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from psm.errors import UsageError
from psm.ingest import library as scan_module
from psm.ingest.library import scan_library_incremental
from psm.ingest.reading import Job, Outcome, read_many
from psm.progress import StopSignal
from tests.ingest.scanned import NOW, OLD, Box, counts


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files that are read from now on."""
    read: list[str] = []

    def noted(jobs: Sequence[Job], *, network: bool, stop: StopSignal) -> Iterator[Outcome]:
        read.extend(os.fsdecode(job.relative) for job in jobs)
        return read_many(jobs, network=network, stop=stop)

    monkeypatch.setattr(scan_module, "read_many", noted)
    return read


def test_when_nothing_changed_nothing_is_read_and_nothing_written(box: Box, reads: list[str]) -> None:
    box.add("a/1.flac")
    box.add("2.flac")
    box.quick()
    reads.clear()
    generation = box.generation()
    for result in (box.quick(), box.some("a", "2.flac"), box.some("a/1.flac"), box.since(NOW * 2)):
        assert result.changed == 0
        assert result.complete
    assert reads == []
    assert box.generation() == generation


def test_only_new_and_differing_files_are_read(box: Box, reads: list[str]) -> None:
    for name in ("kept.flac", "retagged.flac", "older.flac"):
        box.add(name)
    box.quick()
    reads.clear()
    box.add("new.flac")
    box.add("retagged.flac", title="another title")
    box.add("older.flac", mtime=OLD - 1_000)
    assert counts(box.quick()) == {"added": 1, "updated": 1, "unchanged": 2}
    assert sorted(reads) == ["new.flac", "older.flac", "retagged.flac"]


def test_a_deleted_file_is_missing_and_its_row_is_kept(box: Box) -> None:
    box.add("a.flac")
    box.add("b.flac")
    box.quick()
    number = box.id_of("a.flac")
    (box.root / "a.flac").unlink()
    assert counts(box.quick()) == {"missing": 1, "unchanged": 1}
    assert box.missing()["a.flac"].id == number
    box.add("a.flac")
    assert counts(box.quick()) == {"restored": 1, "unchanged": 1}
    assert box.id_of("a.flac") == number


def test_a_moved_file_keeps_its_row(box: Box) -> None:
    box.add("a/1.flac")
    box.add("keep.flac")
    box.quick()
    number = box.id_of("a/1.flac")
    (box.root / "b").mkdir()
    (box.root / "a/1.flac").rename(box.root / "b/one.flac")
    assert counts(box.some("a/1.flac", "b/one.flac")) == {"moved": 1}
    assert box.id_of("b/one.flac") == number


def test_a_move_of_which_only_the_new_path_is_named_is_still_a_move(box: Box) -> None:
    box.add("old.flac")
    box.add("keep.flac")
    box.quick()
    number = box.id_of("old.flac")
    (box.root / "old.flac").rename(box.root / "new.flac")
    assert counts(box.some("new.flac")) == {"moved": 1}
    assert box.id_of("new.flac") == number


# changed_since


def test_since_reads_files_whose_times_are_not_older(box: Box) -> None:
    box.add("a.flac")
    box.full()
    with box.db.transaction() as connection:
        connection.execute("UPDATE library_files SET title = 'stale'")
    assert counts(box.since(NOW * 2)) == {"unchanged": 1}
    assert counts(box.since(0)) == {"updated": 1}


def test_since_reads_unknown_and_differing_files_however_old(box: Box, reads: list[str]) -> None:
    box.add("differs.flac")
    box.quick()
    reads.clear()
    box.add("differs.flac", title="another title", mtime=OLD - 1_000)
    box.add("unknown.flac", mtime=OLD - 1_000)
    assert counts(box.since(NOW * 2)) == {"added": 1, "updated": 1}
    assert sorted(reads) == ["differs.flac", "unknown.flac"]


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), -float("inf")])
def test_a_moment_that_is_no_number_is_refused(box: Box, moment: float) -> None:
    with pytest.raises(UsageError):
        box.since(moment)


def test_since_and_paths_together_read_the_young_ones_among_the_paths(box: Box, reads: list[str]) -> None:
    for name in ("a/1.flac", "b/2.flac"):
        box.add(name)
    box.quick()
    reads.clear()
    result = scan_library_incremental(box.db, box.cfg, 0.0, [box.root / "a"], now=lambda: NOW)
    assert counts(result) == {"unchanged": 1}
    assert reads == ["a/1.flac"]


# specific_paths


def test_only_the_named_paths_are_looked_at(box: Box, reads: list[str]) -> None:
    for name in ("named.flac", "folder/1.flac", "folder/deep/2.flac", "other.flac"):
        box.add(name)
    assert counts(box.some("named.flac", "folder")) == {"added": 3}
    assert sorted(reads) == ["folder/1.flac", "folder/deep/2.flac", "named.flac"]


def test_rule_01_paths_outside_the_ones_asked_for_are_left_alone(box: Box) -> None:
    for name in ("a/1.flac", "b/2.flac", "c.flac"):
        box.add(name)
    box.full()
    for name in ("a/1.flac", "b/2.flac", "c.flac"):
        (box.root / name).unlink()
    assert counts(box.some("a")) == {"missing": 1}
    assert box.rows().keys() == {"b/2.flac", "c.flac"}


def test_a_named_folder_that_is_gone_takes_all_below_it_and_no_more(box: Box) -> None:
    for name in ("a/1.flac", "a/deep/2.flac", "ab.flac"):
        box.add(name)
    box.quick()
    shutil.rmtree(box.root / "a")
    assert counts(box.some("a")) == {"missing": 2}
    assert box.rows().keys() == {"ab.flac"}


def test_paths_inside_one_another_are_looked_at_once(box: Box) -> None:
    box.add("a/b/1.flac")
    box.add("a/2.flac")
    assert counts(box.some("a/b", "a", "a/b/1.flac", "a/2.flac")) == {"added": 2}


def test_a_path_of_an_ignored_file_adds_nothing(box: Box) -> None:
    box.add(".hidden/a.flac")
    box.add("b.flac.part")
    assert counts(box.some(".hidden/a.flac", "b.flac.part", ".hidden")) == {}


def test_no_path_at_all_is_nothing_to_do(box: Box) -> None:
    box.add("a.flac")
    assert counts(box.some()) == {}


def test_a_path_that_never_was_is_nothing(box: Box) -> None:
    box.add("a.flac")
    result = box.some("never.flac", "never/at/all.flac", "a.flac/below.flac")
    assert counts(result) == {}
    assert result.complete


def test_one_path_of_no_library_refuses_them_all_and_writes_nothing(box: Box, tmp_path: Path) -> None:
    box.add("a.flac")
    with pytest.raises(UsageError, match="belongs to no library"):
        box.some("a.flac", tmp_path / "elsewhere.flac")
    assert not box.rows()
