"""The scan, on real folders with real (tiny) FLAC files."""

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from psm.config import LibraryConfig
from psm.db import Database, files, libraries, metadata
from psm.errors import UsageError
from psm.ingest import library as scan_module
from psm.ingest.library import (
    any_long_missing,
    forget_long_missing,
    scan_library,
    scan_library_incremental,
)
from psm.ingest.reading import read_many
from psm.ingest.targets import choose_targets, locate
from psm.models import Library
from tests.factories import write_flac
from tests.ingest.scanned import NOW, OLD, Box, counts


def test_a_first_scan_adds_every_audio_file(box: Box) -> None:
    box.add("a/one.flac", title="One", artist="Someone")
    box.add("two.FLAC")
    (box.root / "cover.jpg").write_bytes(b"no music")
    result = box.full()
    assert counts(result) == {"added": 2}
    assert result.complete
    assert box.rows().keys() == {"a/one.flac", "two.FLAC"}
    assert box.rows()["a/one.flac"].tags.title == "One"


def test_a_second_scan_changes_nothing_and_moves_no_generation(box: Box) -> None:
    box.add("a.flac")
    box.full()
    before = box.generation()
    for result in (box.quick(), box.full(), box.since(0), box.some("a.flac")):
        assert counts(result) == {"unchanged": 1}
    assert box.generation() == before


@pytest.mark.parametrize("mode", ["full", "quick", "since", "some"])
def test_every_mode_finds_new_changed_and_deleted_files(box: Box, mode: str) -> None:
    for name in ("kept.flac", "changed.flac", "deleted.flac"):
        box.add(name)
    box.full()
    box.add("new.flac")
    box.add("changed.flac", title="other", mtime=OLD + 9)
    (box.root / "deleted.flac").unlink()
    match mode:
        case "full":
            result = box.full()
        case "quick":
            result = box.quick()
        case "since":
            result = box.since(OLD + 5)
        case _:
            result = box.some("kept.flac", "changed.flac", "deleted.flac", "new.flac")
    assert counts(result) == {"added": 1, "updated": 1, "missing": 1, "unchanged": 1}
    assert box.rows()["changed.flac"].tags.title == "other"
    assert box.missing().keys() == {"deleted.flac"}


# Rule 1: a row goes missing only on proof


def test_rule_01_an_empty_root_marks_nothing_missing(box: Box) -> None:
    for n in range(3):
        box.add(f"{n}.flac")
    box.full()
    for file in box.root.iterdir():
        file.unlink()
    result = box.quick()
    assert counts(result) == {"refused": 3}
    assert not result.complete
    assert "--accept-missing" in result.notes[0]
    assert len(box.rows()) == 3
    assert counts(box.quick(accept_missing=True)) == {"missing": 3}


def test_rule_01_a_root_that_is_away_changes_nothing_and_is_named(box: Box) -> None:
    box.add("a.flac")
    box.full()
    box.root.rename(box.root.with_name("elsewhere"))
    for result in (box.quick(), box.some("a.flac"), box.quick(accept_missing=True)):
        assert counts(result) == {}
        assert result.offline == ("music",)
        assert not result.complete
    assert box.rows().keys() == {"a.flac"}


def test_rule_01_a_folder_that_cannot_be_read_protects_only_what_is_below_it(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("locked/a.flac", "locked/deep/b.flac", "open/c.flac", "d.flac"):
        box.add(name)
    box.full()
    locked = os.fsencode(box.root / "locked")
    real_scandir = os.scandir

    def scandir(path: object = ".") -> object:
        if path == locked:
            raise PermissionError(13, "Permission denied", path)
        return real_scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", scandir)
    for name in ("locked/a.flac", "locked/deep/b.flac", "open/c.flac"):
        (box.root / name).unlink()
    result = box.quick()
    assert counts(result) == {"missing": 1, "unchanged": 1}
    assert [e.path for e in result.errors] == [locked]
    assert not result.complete
    assert box.rows().keys() == {"locked/a.flac", "locked/deep/b.flac", "d.flac"}


def test_rule_01_a_stopped_scan_marks_nothing_missing(box: Box) -> None:
    box.add("a.flac")
    box.add("b.flac")
    box.full()
    (box.root / "a.flac").unlink()
    stop = threading.Event()
    stop.set()
    result = scan_library_incremental(box.db, box.cfg, stop=stop)
    assert result.stopped
    assert not result.complete
    assert box.rows().keys() == {"a.flac", "b.flac"}


def test_rule_01_a_deleted_folder_takes_all_below_it(box: Box) -> None:
    for name in ("a/x/1.flac", "a/y/2.flac", "a/3.flac", "b.flac"):
        box.add(name)
    box.full()
    shutil.rmtree(box.root / "a")
    assert counts(box.some("a")) == {"missing": 3}
    assert box.rows().keys() == {"b.flac"}


def test_rule_01_a_path_below_a_deleted_folder_is_proof_for_that_path_only(box: Box) -> None:
    for name in ("a/x/1.flac", "a/x/2.flac", "b.flac"):
        box.add(name)
    box.full()
    shutil.rmtree(box.root / "a")
    assert counts(box.some("a/x/1.flac")) == {"missing": 1}
    assert box.rows().keys() == {"a/x/2.flac", "b.flac"}


def test_rule_01_too_many_at_once_are_refused_until_confirmed(box: Box) -> None:
    for n in range(80):
        box.add(f"{n:02}.flac")
    box.full()
    for n in range(51):
        (box.root / f"{n:02}.flac").unlink()
    result = box.quick()
    assert counts(result) == {"unchanged": 29, "refused": 51}
    assert not result.complete
    assert "--accept-missing" in result.notes[0]
    assert len(box.rows()) == 80
    assert counts(box.quick(accept_missing=True)) == {"unchanged": 29, "missing": 51}


def test_rule_01_the_limit_counts_after_moves_are_paired(box: Box) -> None:
    for n in range(60):
        box.add(f"old/{n:02}.flac")
    box.full()
    (box.root / "old").rename(box.root / "new")
    assert counts(box.quick()) == {"moved": 60}


@pytest.mark.parametrize(("total", "gone"), [(200, 51), (60, 50)])
def test_rule_01_fifty_files_or_a_third_of_the_library_may_go(box: Box, total: int, gone: int) -> None:
    for n in range(total):
        box.add(f"{n:03}.flac")
    box.full()
    for n in range(gone):
        (box.root / f"{n:03}.flac").unlink()
    assert counts(box.quick()) == {"missing": gone, "unchanged": total - gone}


def test_rule_01_a_drive_mounted_inside_the_library_that_is_away_keeps_its_rows(box: Box) -> None:
    box.add("usb/a.flac")
    box.add("usb/b.flac")
    box.add("c.flac")
    box.full()
    with box.db.transaction() as connection:
        # What a scan writes of files on another device than the root's; a real mount is in the integration tests.
        connection.execute("UPDATE library_files SET device = 99 WHERE folder = ?", (b"usb",))
    for name in ("usb/a.flac", "usb/b.flac"):
        (box.root / name).unlink()
    result = box.quick()
    assert counts(result) == {"unchanged": 1, "refused": 2}
    assert "away" in result.notes[0]
    assert counts(box.quick(accept_missing=True)) == {"unchanged": 1, "missing": 2}


def test_files_that_are_ignored_from_now_on_leave_the_library(box: Box) -> None:
    box.add("books/a.flac")
    box.add("b.flac")
    box.full()
    (box.root / "books" / ".nomedia").touch()
    assert counts(box.quick()) == {"missing": 1, "unchanged": 1}
    (box.root / "books" / ".nomedia").unlink()
    assert counts(box.quick()) == {"restored": 1, "unchanged": 1}


# Rule 2: missing is a state


def test_rule_02_a_file_that_comes_back_is_the_same_row(box: Box) -> None:
    place = box.add("a.flac")
    box.add("b.flac")
    box.full()
    before = box.id_of("a.flac")
    content = place.read_bytes()
    place.unlink()
    box.quick()
    assert box.missing()["a.flac"].missing_since == NOW
    place.write_bytes(content)
    assert counts(box.quick()) == {"restored": 1, "unchanged": 1}
    assert box.id_of("a.flac") == before
    assert box.rows()["a.flac"].missing_since is None


def test_rule_02_another_song_at_the_old_place_is_another_row(box: Box) -> None:
    box.add("a.flac", audio="one").unlink()
    box.add("keep.flac")
    box.add("a.flac", audio="one")
    box.full()
    before = box.id_of("a.flac")
    (box.root / "a.flac").unlink()
    box.quick()
    box.add("a.flac", audio="two")
    assert counts(box.quick()) == {"added": 1, "unchanged": 1}
    assert box.id_of("a.flac") != before
    assert box.missing()["a.flac"].id == before


def test_rule_02_a_row_is_purged_only_after_the_grace_time_and_never_with_a_decision(box: Box) -> None:
    for name in ("a.flac", "decided.flac", "b.flac"):
        box.add(name)
    box.full()
    decided = box.rows()["decided.flac"]
    with box.db.transaction() as connection:
        connection.execute(
            "INSERT INTO decisions (track_key, track_label, kind, file_id, decided_at) VALUES ('k', 'k', 'set', ?, '')",
            (decided.id,),
        )
    (box.root / "a.flac").unlink()
    (box.root / "decided.flac").unlink()
    box.quick()
    assert not any_long_missing(box.db, box.cfg, now=NOW + 89 * 86_400)
    forget_long_missing(box.db, box.cfg, now=NOW + 89 * 86_400)
    assert box.missing().keys() == {"a.flac", "decided.flac"}
    assert any_long_missing(box.db, box.cfg, now=NOW + 91 * 86_400)
    forget_long_missing(box.db, box.cfg, now=NOW + 91 * 86_400)
    assert box.missing().keys() == {"decided.flac"}


# Rule 3: a moved file is the same file


@pytest.mark.parametrize("mode", ["full", "quick"])
def test_rule_03_a_renamed_file_keeps_its_row(box: Box, mode: str) -> None:
    box.add("a.flac")
    box.full()
    before = box.id_of("a.flac")
    (box.root / "b").mkdir()
    (box.root / "a.flac").rename(box.root / "b" / "c.flac")
    assert counts(box.full() if mode == "full" else box.quick()) == {"moved": 1}
    assert box.id_of("b/c.flac") == before
    assert not box.missing()


def test_rule_03_a_file_renamed_and_retagged_in_one_step_keeps_its_row(box: Box) -> None:
    box.add("a.flac", audio="song")
    box.full()
    before = box.id_of("a.flac")
    (box.root / "a.flac").unlink()
    box.add("b.flac", audio="song", title="New title", artist="New artist")
    assert counts(box.quick()) == {"moved": 1}
    assert box.id_of("b.flac") == before
    assert box.rows()["b.flac"].tags.title == "New title"


def test_rule_03_two_files_that_swap_their_names_keep_their_rows(box: Box) -> None:
    box.add("a.flac", audio="one", title="a rather long title")
    box.add("b.flac", audio="two")
    box.full()
    a, b = box.id_of("a.flac"), box.id_of("b.flac")
    (box.root / "a.flac").rename(box.root / "c")
    (box.root / "b.flac").rename(box.root / "a.flac")
    (box.root / "c").rename(box.root / "b.flac")
    assert counts(box.quick()) == {"moved": 2}
    assert (box.id_of("a.flac"), box.id_of("b.flac")) == (b, a)


def test_rule_03_a_ring_of_three_names_keeps_its_rows(box: Box) -> None:
    for name, title in (("a", "x"), ("b", "xx"), ("c", "xxx")):
        box.add(f"{name}.flac", audio=name, title=title)
    box.full()
    before = {name: box.id_of(f"{name}.flac") for name in "abc"}
    for source, target in (("a", "tmp"), ("c", "a"), ("b", "c"), ("tmp", "b")):
        (box.root / f"{source}.flac").rename(box.root / f"{target}.flac")
    assert counts(box.quick()) == {"moved": 3}
    assert {name: box.id_of(f"{name}.flac") for name in "abc"} == {"b": before["a"], "c": before["b"], "a": before["c"]}


def test_rule_03_a_renamed_file_whose_old_name_is_taken_by_a_new_one_keeps_its_row(box: Box) -> None:
    box.add("a.flac", audio="one")
    box.full()
    before = box.id_of("a.flac")
    (box.root / "a.flac").rename(box.root / "b.flac")
    box.add("a.flac", audio="two", title="a newcomer with a longer title")
    assert counts(box.quick()) == {"moved": 1, "added": 1}
    assert box.id_of("b.flac") == before


def test_rule_03_a_file_moved_between_libraries_keeps_its_row(box: Box, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with box.db.transaction() as connection:
        libraries.add(connection, "other", os.fsencode(other), now=NOW)
    box.add("a.flac")
    box.add("stays.flac")
    write_flac(other / "x.flac")
    box.full()
    before = box.id_of("a.flac")
    (box.root / "a.flac").rename(other / "b.flac")
    assert counts(box.quick())["moved"] == 1
    assert box.id_of("b.flac") == before


def test_rule_03_a_file_moved_into_the_scanned_path_from_elsewhere_keeps_its_row(box: Box) -> None:
    box.add("in/a.flac")
    box.add("out/keep.flac")
    box.full()
    before = box.id_of("in/a.flac")
    (box.root / "in/a.flac").rename(box.root / "out/b.flac")
    assert counts(box.some("out"))["moved"] == 1
    assert box.id_of("out/b.flac") == before


def test_rule_03_a_file_missing_since_earlier_is_known_again_elsewhere(box: Box, tmp_path: Path) -> None:
    box.add("a.flac")
    box.add("keep.flac")
    box.full()
    before = box.id_of("a.flac")
    (box.root / "a.flac").rename(tmp_path / "away.flac")
    box.quick()
    (tmp_path / "away.flac").rename(box.root / "again.flac")
    assert counts(box.quick()) == {"restored": 1, "unchanged": 1}
    assert box.id_of("again.flac") == before


def test_rule_03_a_copy_is_a_new_file(box: Box) -> None:
    box.add("a.flac")
    box.full()
    before = box.id_of("a.flac")
    shutil.copy2(box.root / "a.flac", box.root / "copy.flac")
    assert counts(box.quick())["added"] == 1
    assert box.id_of("a.flac") == before
    assert box.id_of("copy.flac") != before


def test_rule_03_a_copy_over_another_file_moves_nothing(box: Box) -> None:
    box.add("a.flac", audio="one")
    box.add("b.flac", audio="two", title="a longer one")
    box.full()
    a, b = box.id_of("a.flac"), box.id_of("b.flac")
    shutil.copyfile(box.root / "a.flac", box.root / "b.flac")
    assert counts(box.quick()) == {"updated": 1, "unchanged": 1}
    assert (box.id_of("a.flac"), box.id_of("b.flac")) == (a, b)


def test_rule_03_hard_links_are_two_files(box: Box) -> None:
    box.add("a.flac")
    box.full()
    before = box.id_of("a.flac")
    (box.root / "link.flac").hardlink_to(box.root / "a.flac")
    assert counts(box.quick())["added"] == 1
    assert box.id_of("a.flac") == before
    assert box.id_of("link.flac") != before


def test_rule_03_one_of_two_copies_renamed_keeps_its_row_by_its_inode(box: Box) -> None:
    box.add("a.flac", audio="same")
    box.add("b.flac", audio="same")
    box.full()
    a, b = box.id_of("a.flac"), box.id_of("b.flac")
    (box.root / "b.flac").rename(box.root / "c.flac")
    assert counts(box.quick()) == {"moved": 1, "unchanged": 1}
    assert (box.id_of("a.flac"), box.id_of("c.flac")) == (a, b)


def test_rule_03_a_renamed_folder_with_copies_keeps_every_row(box: Box) -> None:
    for name in ("1", "2", "3"):
        box.add(f"old/{name}.flac", audio="same")
    box.full()
    before = {name: box.id_of(f"old/{name}.flac") for name in "123"}
    (box.root / "old").rename(box.root / "new")
    assert counts(box.quick()) == {"moved": 3}
    assert {name: box.id_of(f"new/{name}.flac") for name in "123"} == before


def test_rule_03_moves_are_paired_across_batches(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "BATCH", 2)
    for n in range(7):
        box.add(f"{n}.flac", audio=str(n), title="x" * n)
    box.full()
    before = [box.id_of(f"{n}.flac") for n in range(7)]
    for n in range(7):
        (box.root / f"{n}.flac").rename(box.root / f"t{n}")
    for n in range(7):
        (box.root / f"t{n}").rename(box.root / f"{(n + 3) % 7}.flac")
    assert counts(box.quick()) == {"moved": 7}
    assert [box.id_of(f"{(n + 3) % 7}.flac") for n in range(7)] == before


def test_a_replaced_file_keeps_the_row_of_its_place(box: Box) -> None:
    box.add("a.flac", audio="bad rip")
    box.full()
    before = box.id_of("a.flac")
    box.add("a.flac", audio="better rip", title="the same song, in better quality")
    assert counts(box.quick()) == {"updated": 1}
    assert box.id_of("a.flac") == before


# Rule 5: a changed file is one that differs


@pytest.mark.parametrize("mtime", [OLD + 1, OLD - 1])
def test_rule_05_another_time_is_a_change_older_ones_too(box: Box, mtime: int) -> None:
    box.add("a.flac", title="x")
    box.full()
    box.add("a.flac", title="y", mtime=mtime)
    assert counts(box.quick()) == {"updated": 1}


def test_rule_05_on_a_local_disk_a_change_with_the_old_size_and_time_is_seen(box: Box) -> None:
    box.add("a.flac", title="x")
    box.full()
    box.add("a.flac", title="y")
    assert counts(box.quick()) == {"updated": 1}


def test_rule_05_a_touched_file_is_read_and_found_unchanged(box: Box) -> None:
    place = box.add("a.flac")
    box.full()
    before = box.generation()
    os.utime(place, (OLD + 7, OLD + 7))
    assert counts(box.quick()) == {"unchanged": 1}
    assert box.generation() == before
    assert box.rows()["a.flac"].stat.mtime_ns == (OLD + 7) * 10**9


def test_rule_05_a_file_read_within_two_seconds_of_its_change_is_read_once_more(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    real = read_many

    def spy(jobs: object, **options: object) -> object:
        read.extend(job.relative for job in jobs)  # type: ignore[attr-defined]
        return real(jobs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("psm.ingest.library.read_many", spy)
    write_flac(box.root / "fresh.flac")
    box.full()
    assert read == [b"fresh.flac"]
    # Two seconds later: the recorded time is no longer young when it is read again.
    os.utime(box.root / "fresh.flac", (OLD, OLD))
    box.quick()
    assert read == [b"fresh.flac"] * 2
    box.quick()
    assert read == [b"fresh.flac"] * 2


# Rules 6 and 11: unfinished and broken files


def test_rule_06_unfinished_downloads_are_not_read(box: Box) -> None:
    for name in ("a.flac.part", "b.flac.tmp", "c.crdownload", ".hidden.flac", "~$d.flac"):
        box.add(name)
    assert counts(box.full()) == {}
    (box.root / "a.flac.part").rename(box.root / "a.flac")
    assert counts(box.quick()) == {"added": 1}


def test_rule_11_a_broken_file_is_a_line_in_the_result_and_in_the_database(box: Box) -> None:
    (box.root / "Someone").mkdir()
    (box.root / "Someone" / "broken.flac").write_bytes(b"fLaC but not really")
    box.add("good.flac")
    result = box.full()
    assert counts(result) == {"added": 2}
    assert [os.path.basename(e.path) for e in result.errors] == [b"broken.flac"]
    assert box.rows()["Someone/broken.flac"].error
    assert result.complete


def test_rule_11_a_file_that_breaks_keeps_its_identity_until_it_is_mended(box: Box) -> None:
    place = box.add("a.flac", title="Fine")
    box.full()
    before = box.rows()["a.flac"]
    content = place.read_bytes()
    place.write_bytes(content[:6])
    box.quick()
    assert box.rows()["a.flac"].error
    assert box.rows()["a.flac"].fingerprint == before.fingerprint
    place.write_bytes(content)
    box.quick()
    assert box.rows()["a.flac"].error is None
    assert box.rows()["a.flac"].tags == before.tags


def test_rule_11_names_of_any_bytes_survive(box: Box) -> None:
    names = [
        b"new\nline.flac",
        b"latin \xe9.flac",
        "nfd e\u0301.flac".encode(),
        "nfc \u00e9.flac".encode(),
        b"q'\".flac",
    ]
    for name in names:
        write_flac(os.path.join(os.fsencode(box.root), name), title="x")
    assert counts(box.full()) == {"added": len(names)}
    assert {f.path for f in box.rows().values()} == set(names)
    assert counts(box.quick())["unchanged"] == len(names)


def test_a_scan_without_a_library_says_how_to_add_one(tmp_path: Path) -> None:
    with Database(tmp_path / "psm.db") as db, pytest.raises(UsageError, match="psm library add"):
        scan_library(db, LibraryConfig())


def test_a_path_of_no_library_is_refused(box: Box, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="belongs to no library"):
        box.full(tmp_path / "elsewhere")


def test_locate_resolves_links_above_but_not_the_link_itself(tmp_path: Path) -> None:
    root = tmp_path / "music"
    (root / "real").mkdir(parents=True)
    (root / "alias").symlink_to(root / "real")
    (tmp_path / "door").symlink_to(root)
    known = [Library(1, "music", os.fsencode(root))]
    assert locate(known, tmp_path / "door" / "real" / "x.flac") == (known[0], b"real/x.flac")
    assert locate(known, root / "alias" / "x.flac") == (known[0], b"real/x.flac")
    assert locate(known, tmp_path / "door") == (known[0], b"")
    assert locate(known, tmp_path) is None


def test_the_whole_library_takes_in_the_paths_inside_it(tmp_path: Path) -> None:
    known = [Library(1, "music", os.fsencode(tmp_path))]
    assert choose_targets(known, [tmp_path / "a", tmp_path]) == {known[0]: [b""]}


def test_the_time_of_a_whole_scan_is_remembered(box: Box) -> None:
    box.add("a.flac")
    box.some("a.flac")
    assert metadata.get(box.db.connection, f"last_scan:{box.library.id}") is None
    box.quick()
    assert '"mode": "quick"' in (metadata.get(box.db.connection, f"last_scan:{box.library.id}") or "")


# Files without a fingerprint


def test_an_unreadable_file_that_is_renamed_keeps_its_row_by_its_inode(box: Box) -> None:
    (box.root / "x.flac").write_bytes(b"no audio at all")
    box.add("keep.flac")
    box.full()
    before = box.id_of("x.flac")
    (box.root / "x.flac").rename(box.root / "y.flac")
    assert counts(box.quick()) == {"moved": 1, "unchanged": 1}
    assert box.id_of("y.flac") == before


def test_an_unreadable_file_that_comes_back_to_its_place_is_its_row(box: Box) -> None:
    (box.root / "x.flac").write_bytes(b"no audio at all")
    box.add("keep.flac")
    box.full()
    before = box.id_of("x.flac")
    (box.root / "x.flac").unlink()
    box.quick()
    (box.root / "x.flac").write_bytes(b"no audio at all, again")
    assert counts(box.quick()) == {"restored": 1, "unchanged": 1}
    assert box.id_of("x.flac") == before


# What is asked for in odd ways


def test_a_folder_that_became_a_file_loses_what_it_held(box: Box) -> None:
    box.add("a.flac/1.flac")
    box.add("b.flac")
    box.full()
    shutil.rmtree(box.root / "a.flac")
    box.add("a.flac", audio="new")
    assert counts(box.some("a.flac")) == {"added": 1, "missing": 1}
    assert box.rows().keys() == {"a.flac", "b.flac"}


def test_a_file_that_became_a_folder_is_missing_and_its_content_added(box: Box) -> None:
    box.add("a.flac")
    box.add("b.flac")
    box.full()
    (box.root / "a.flac").unlink()
    box.add("a.flac/1.flac", audio="new")
    assert counts(box.quick()) == {"added": 1, "missing": 1, "unchanged": 1}


def test_a_path_of_a_file_that_became_a_folder_is_missing_and_its_content_added(box: Box) -> None:
    box.add("x/a.flac")
    box.add("x/b.flac")
    box.full()
    (box.root / "x" / "a.flac").unlink()
    box.add("x/a.flac/1.flac", audio="new")
    assert counts(box.some("x/a.flac")) == {"added": 1, "missing": 1}
    assert box.rows().keys() == {"x/a.flac/1.flac", "x/b.flac"}


def test_a_root_that_is_replaced_during_the_scan_marks_nothing_missing(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        box.add(f"{n}.flac")
    box.full()
    (box.root / "0.flac").unlink()

    def swap(_: object) -> None:
        if not (tmp_path / "old").exists():
            box.root.rename(tmp_path / "old")
            box.root.mkdir()
            (box.root / "other").touch()

    result = scan_library_incremental(box.db, box.cfg, progress=swap)
    assert counts(result) == {"unchanged": 2}
    assert not result.complete
    assert len(box.rows()) == 3


def test_two_libraries_are_counted_together_and_one_that_is_away_does_not_stop_the_other(
    box: Box, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with box.db.transaction() as connection:
        libraries.add(connection, "other", os.fsencode(other), now=NOW)
    box.add("a.flac")
    write_flac(other / "b.flac")
    assert counts(box.full()) == {"added": 2}
    other.rename(tmp_path / "away")
    result = box.quick()
    assert counts(result) == {"unchanged": 1}
    assert result.offline == ("other",)
    assert len(box.rows()) == 2


def test_a_symlinked_folder_is_walked_as_configured(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write_flac(outside / "x.flac")
    box = Box(tmp_path, cfg=LibraryConfig(follow_symlinks=True))
    (box.root / "link").symlink_to(outside)
    (box.root / "loop").symlink_to(box.root)
    assert counts(box.full()) == {"added": 1}
    assert box.rows().keys() == {"link/x.flac"}
    assert counts(box.some("link/x.flac")) == {"unchanged": 1}
    box.cfg = LibraryConfig(follow_symlinks=False)
    assert counts(box.quick(accept_missing=True)) == {"missing": 1}
    box.db.close()


# What a sceptical reader found


def test_rule_03_a_file_moved_over_another_one_takes_its_place(box: Box) -> None:
    box.add("a.flac", audio="one")
    box.add("b.flac", audio="two", title="a longer title")
    box.full()
    a, b = box.id_of("a.flac"), box.id_of("b.flac")
    (box.root / "b.flac").replace(box.root / "a.flac")
    assert counts(box.quick()) == {"moved": 1, "missing": 1}
    assert box.id_of("a.flac") == b
    assert box.missing()["a.flac"].id == a
    assert counts(box.quick()) == {"unchanged": 1}


def test_rule_03_a_swap_with_a_copy_aside_is_survived(box: Box) -> None:
    box.add("a.flac", audio="one")
    box.add("b.flac", audio="two", title="a longer title")
    box.full()
    shutil.copy2(box.root / "a.flac", box.root / "c.flac")
    (box.root / "a.flac").rename(box.root / "t")
    (box.root / "b.flac").rename(box.root / "a.flac")
    (box.root / "t").rename(box.root / "b.flac")
    assert box.quick().complete
    assert box.rows().keys() == {"a.flac", "b.flac", "c.flac"}
    assert counts(box.quick()) == {"unchanged": 3}


@pytest.mark.parametrize("first", ["x", "y"])
def test_rule_03_a_swap_seen_in_two_batches_keeps_both_rows(box: Box, first: str) -> None:
    box.add("x/a.flac", audio="one")
    box.add("y/b.flac", audio="two", title="a longer title")
    box.full()
    a, b = box.id_of("x/a.flac"), box.id_of("y/b.flac")
    (box.root / "x/a.flac").rename(box.root / "t")
    (box.root / "y/b.flac").rename(box.root / "x/a.flac")
    (box.root / "t").rename(box.root / "y/b.flac")
    box.some(first)
    box.quick()
    assert (box.id_of("x/a.flac"), box.id_of("y/b.flac")) == (b, a)


def test_rule_03_a_move_whose_old_name_is_taken_elsewhere_keeps_its_row(box: Box) -> None:
    box.add("x/a.flac", audio="one")
    box.add("y/keep.flac")
    box.full()
    before = box.id_of("x/a.flac")
    (box.root / "x/a.flac").rename(box.root / "y/z.flac")
    box.add("x/a.flac", audio="new", title="a newcomer with a long title")
    box.some("y")
    box.quick()
    assert box.id_of("y/z.flac") == before
    assert box.id_of("x/a.flac") != before


def test_rule_01_a_folder_that_cannot_be_asked_for_is_no_proof(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.add("al/s/1.flac")
    box.add("b.flac")
    box.full()
    real, place = os.stat, os.fsencode(box.root / "al" / "s") + b"/."

    def stat(path: Any, **options: Any) -> os.stat_result:
        if path == place:
            raise OSError(5, "Input/output error")
        return real(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    for path in ("al/s", "al/s/1.flac"):
        result = box.some(path)
        assert (counts(result).get("missing"), result.complete) == (None, path.endswith("flac") and result.complete)
    assert box.rows().keys() == {"al/s/1.flac", "b.flac"}


def test_rule_01_files_of_a_drive_that_is_away_do_not_become_their_copies(box: Box, tmp_path: Path) -> None:
    two = tmp_path / "two"
    place = write_flac(two / "song.flac", audio="song")
    with box.db.transaction() as connection:
        libraries.add(connection, "two", os.fsencode(two), now=NOW)
    box.add("a.flac")
    box.full()
    before = box.id_of("song.flac")
    content = place.read_bytes()
    place.unlink()
    (two / ".Trash-1000").mkdir()
    box.add("copy.flac", audio="song")
    result = box.quick()
    assert counts(result) == {"added": 1, "unchanged": 1, "refused": 1}
    place.write_bytes(content)
    box.quick()
    assert box.id_of("song.flac") == before


def test_rule_01_another_drive_in_its_place_is_no_proof(box: Box) -> None:
    for n in range(3):
        box.add(f"{n}.flac")
    box.full()
    with box.db.transaction() as connection:
        connection.execute("UPDATE library_files SET device = 99")
    for n in range(3):
        (box.root / f"{n}.flac").unlink()
    box.add("other.flac")
    assert counts(box.quick()) == {"added": 1, "refused": 3}
    assert len(box.rows()) == 4


def test_rule_01_a_device_that_was_numbered_anew_is_known_by_its_files(box: Box) -> None:
    for n in range(3):
        box.add(f"{n}.flac")
    box.full()
    with box.db.transaction() as connection:
        connection.execute("UPDATE library_files SET device = 99")
    (box.root / "0.flac").unlink()
    assert counts(box.some("0.flac")) == {"missing": 1}
    (box.root / "1.flac").unlink()
    assert counts(box.quick()) == {"missing": 1, "unchanged": 1}


def test_rule_01_the_limit_counts_what_was_there_before(box: Box) -> None:
    for n in range(60):
        box.add(f"{n}.flac")
    box.full()
    for n in range(60):
        (box.root / f"{n}.flac").unlink()
        box.add(f"new {n}.flac")
        box.add(f"more {n}.flac")
        box.add(f"most {n}.flac")
    assert counts(box.quick()) == {"added": 180, "refused": 60}


@pytest.mark.parametrize("mtime_ns", [10**19, -(10**19)])
def test_rule_11_a_time_that_no_database_holds_is_survived(
    box: Box, monkeypatch: pytest.MonkeyPatch, mtime_ns: int
) -> None:
    place = box.add("a.flac")
    try:
        os.utime(place, ns=(0, mtime_ns))
    except (OSError, OverflowError):
        pytest.xfail("this file system does not take such a time")
    assert counts(box.full()) == {"added": 1}
    assert counts(box.quick()) == {"unchanged": 1}


def test_a_half_copied_file_that_is_completed_becomes_the_row_it_was(box: Box) -> None:
    place = box.add("a.flac")
    box.add("b.flac")
    box.full()
    before = box.id_of("a.flac")
    content = place.read_bytes()
    place.unlink()
    box.quick()
    place.write_bytes(content[:6])
    box.quick()
    place.write_bytes(content)
    box.quick()
    assert box.id_of("a.flac") == before


def test_a_file_moved_over_an_unreadable_one_keeps_its_row(box: Box) -> None:
    (box.root / "a.flac").write_bytes(b"no audio")
    box.add("b.flac")
    box.full()
    before = box.id_of("b.flac")
    (box.root / "b.flac").replace(box.root / "a.flac")
    box.quick()
    assert box.id_of("a.flac") == before


def test_a_file_moved_away_while_junk_takes_its_place_keeps_its_row(box: Box) -> None:
    box.add("a.flac")
    box.full()
    before = box.id_of("a.flac")
    (box.root / "a.flac").rename(box.root / "z.flac")
    (box.root / "a.flac").write_bytes(b"junk, but of another size")
    box.quick()
    assert box.id_of("z.flac") == before
    assert box.rows()["a.flac"].error


def test_many_files_of_one_audio_are_asked_for_once(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(60):
        box.add(f"{n:02}.flac", audio="silence")
    asked: list[object] = []
    real = files.with_fingerprint

    def spy(connection: object, fingerprint: str) -> object:
        asked.append(fingerprint)
        return real(connection, fingerprint)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "with_fingerprint", spy)
    assert counts(box.full()) == {"added": 60}
    assert len(asked) <= 60
    monkeypatch.setattr(scan_module, "BATCH", 1)
    for n in range(60):
        box.add(f"again {n:02}.flac", audio="silence")
    asked.clear()
    assert counts(box.quick()) == {"added": 60, "unchanged": 60}
    assert len(asked) == 1


def test_a_named_pipe_in_a_file_s_place_is_not_waited_for(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    place = box.add("a.flac")

    def swap(jobs: object, **options: object) -> object:
        place.unlink()
        os.mkfifo(place)
        return read_many(jobs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("psm.ingest.library.read_many", swap)
    result = box.full()
    assert [e.reason for e in result.errors] == ["cannot be read: it is no regular file any more"]


def test_a_clock_that_went_wrong_does_not_make_files_old(box: Box) -> None:
    box.add("a.flac")
    box.add("b.flac")
    box.full()
    (box.root / "a.flac").unlink()
    box.now = 5.0
    box.quick()
    assert box.missing()["a.flac"].missing_since == NOW


def test_a_failing_database_is_told_as_such(box: Box) -> None:
    from psm.db import DatabaseError

    with box.db.transaction() as connection:
        connection.execute("DROP TABLE library_files")
    with pytest.raises(DatabaseError):
        box.quick()


def test_a_link_into_another_library_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_flac(other / "sub" / "x.flac")
    box = Box(tmp_path)
    with box.db.transaction() as connection:
        libraries.add(connection, "other", os.fsencode(other), now=NOW)
    (box.root / "link").symlink_to(other / "sub")
    box.add("a.flac")
    assert counts(box.full()) == {"added": 2}
    assert box.rows().keys() == {"a.flac", "sub/x.flac"}
    assert counts(box.quick()) == {"unchanged": 2}
    box.db.close()
