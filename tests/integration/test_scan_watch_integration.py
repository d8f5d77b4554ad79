"""psm scan --watch on real file events: whatever happens on disk is in the database, and nothing is lost."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from psm.db import matches
from psm.ingest.library import ScanResult, scan_library, scan_library_incremental
from psm.locks import LockHeld, hold
from psm.services.libraries import add_library, move_library, remove_library, watch_library
from psm.services.matching import match_tracks
from psm.services.watch_events import WatchEventKind
from tests.audio import make_audio, write_tags
from tests.factories import add_playlist, flac_bytes, write_flac
from tests.watched import Watched, album, counted_scans, wait_until, watching


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Watched]:
    """A library with two albums that is not watched yet."""
    made = Watched(tmp_path)
    root = made.library()
    for name in ("One", "Two"):
        album(root / name)
    yield made
    made.close()


@pytest.fixture
def music(shelf: Watched) -> Iterator[Path]:
    """The root of that library, watched."""
    with watching(shelf):
        yield shelf.folder / "music"


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[list[Path]]:
    """The paths of each scan of the watcher."""
    return counted_scans(monkeypatch)


# One thing that happens, and what becomes of the rows

SONG = "One/000 song.flac"


def add(root: Path) -> None:
    write_flac(root / "One" / "new.flac", title="New")


def retag_in_place(root: Path) -> None:
    with (root / SONG).open("r+b") as file:
        file.seek(file.read().index(b"Someone"))
        file.write(b"SOMEONE")


def retag_by_a_copy_that_replaces(root: Path) -> None:
    temporary = root / "One" / "000 song.flac.tmp"
    write_flac(temporary, audio=f"{root / 'One'} 0", title="Another title", artist="Somebody else")
    os.replace(temporary, root / SONG)


def retag_with_the_old_time(root: Path) -> None:
    before = (root / SONG).stat()
    retag_in_place(root)
    os.utime(root / SONG, ns=(before.st_atime_ns, before.st_mtime_ns))


def touch(root: Path) -> None:
    os.utime(root / SONG, (1_500_000_000, 1_500_000_000))


def delete(root: Path) -> None:
    (root / SONG).unlink()


def delete_a_folder(root: Path) -> None:
    shutil.rmtree(root / "One")


def rename(root: Path) -> None:
    (root / SONG).rename(root / "One" / "renamed.flac")


def rename_into_another_folder(root: Path) -> None:
    (root / SONG).rename(root / "Two" / "renamed.flac")


def rename_over_another_song(root: Path) -> None:
    (root / SONG).rename(root / "Two" / "001 song.flac")


def rename_and_retag(root: Path) -> None:
    rename(root)
    write_flac(root / "One" / "renamed.flac", audio=f"{root / 'One'} 0", title="Another title")


def rename_many_times(root: Path) -> None:
    place = root / SONG
    for n in range(20):
        place = place.rename(place.with_name(f"{n}.flac"))


def swap_names(root: Path) -> None:
    one, other, free = root / SONG, root / "Two" / "001 song.flac", root / "free.flac"
    one.rename(free)
    other.rename(one)
    free.rename(other)


def rename_a_folder(root: Path) -> None:
    (root / "One").rename(root / "Eins")


def rename_a_folder_into_another(root: Path) -> None:
    (root / "One").rename(root / "Two" / "One")


def rename_a_folder_and_go_on_in_it(root: Path) -> None:
    (root / "One").rename(root / "Eins")
    write_flac(root / "Eins" / "new.flac", title="New")
    (root / "Eins" / "000 song.flac").unlink()
    (root / "Eins" / "001 song.flac").rename(root / "Eins" / "another.flac")


def rename_a_folder_there_and_back(root: Path) -> None:
    (root / "One").rename(root / "Eins")
    (root / "Eins").rename(root / "One")


def rename_only_the_case(root: Path) -> None:
    (root / "One").rename(root / "ONE")


def move_a_folder_in(root: Path) -> None:
    album(root.parent / "outside" / "Three" / "CD 1").parent.rename(root / "Three")


def move_a_folder_out(root: Path) -> None:
    (root / "One").rename(root.parent / "outside")


def move_a_folder_out_and_go_on_in_it(root: Path) -> None:
    outside = (root / "One").rename(root.parent / "outside")
    write_flac(outside / "new.flac", title="New")
    (outside / "000 song.flac").unlink()


def make_folders_with_files_at_once(root: Path) -> None:
    for name in ("a", "a/b", "a/b/c"):
        (root / name).mkdir()
        write_flac(root / name / "song.flac", audio=name, title=name)


def make_many_folders_with_files_at_once(root: Path) -> None:
    for n in range(300):
        write_flac(root / f"{n % 7}" / f"{n % 31}" / f"{n}.flac", title=f"{n}")


def finish_a_download(root: Path) -> None:
    part = root / "One" / "x.flac.part"
    part.write_bytes(flac_bytes("x", title="X"))
    part.rename(root / "One" / "x.flac")


def finish_a_folder_of_downloads(root: Path) -> None:
    album(root / "Three.part")
    (root / "Three.part").rename(root / "Three")


def link_hard(root: Path) -> None:
    os.link(root / SONG, root / "Two" / "link.flac")


def unlink_one_of_two_hard_links(root: Path) -> None:
    link_hard(root)
    (root / SONG).unlink()


def copy_with_its_time(root: Path) -> None:
    shutil.copy2(root / SONG, root / "Two" / "copy.flac")


def make_a_folder_of_a_song(root: Path) -> None:
    (root / SONG).unlink()
    write_flac(root / SONG / "inside.flac", title="Inside")


def make_a_song_of_a_folder(root: Path) -> None:
    shutil.rmtree(root / "One")
    write_flac(root / "One", title="No extension")
    write_flac(root / "Two.flac" / "inside.flac", title="Inside")
    shutil.rmtree(root / "Two.flac")
    write_flac(root / "Two.flac", title="Two")


def make_a_name_of_any_bytes(root: Path) -> None:
    place = os.fsencode(root)
    write_flac(place + b"/One/\xff\xfe \n\x80.flac", title="Odd")
    write_flac(place + b"/\xe9t\xe9/\xe9.flac", title="Latin-1")
    write_flac(place + b"/\xe9t\xe9/going.flac", title="Going")


def change_a_name_of_any_bytes(root: Path) -> None:
    make_a_name_of_any_bytes(root)
    place = os.fsencode(root)
    os.rename(place + b"/\xe9t\xe9", place + b"/\xe8re")
    write_flac(place + b"/\xe8re/more.flac", title="More")
    os.unlink(place + b"/\xe8re/going.flac")


def ignore_a_folder(root: Path) -> None:
    (root / "One" / ".nomedia").touch()


def ignore_by_a_pattern(root: Path) -> None:
    (root / ".psmignore").write_text("000*\n")


def write_a_broken_file(root: Path) -> None:
    (root / "One" / "broken.flac").write_bytes(b"no music at all")


def make_an_unreadable_song_readable(root: Path) -> None:
    write_a_broken_file(root)
    write_flac(root / "One" / "broken.flac", title="Mended")


CHANGES = [
    *(add, retag_in_place, retag_by_a_copy_that_replaces, retag_with_the_old_time, touch, delete, delete_a_folder),
    *(rename, rename_into_another_folder, rename_over_another_song, rename_and_retag, rename_many_times, swap_names),
    *(rename_a_folder, rename_a_folder_into_another, rename_a_folder_and_go_on_in_it, rename_a_folder_there_and_back),
    *(rename_only_the_case, move_a_folder_in, move_a_folder_out, move_a_folder_out_and_go_on_in_it),
    *(make_folders_with_files_at_once, make_many_folders_with_files_at_once, finish_a_download),
    *(finish_a_folder_of_downloads, link_hard, unlink_one_of_two_hard_links, copy_with_its_time),
    *(make_a_folder_of_a_song, make_a_song_of_a_folder, make_a_name_of_any_bytes, change_a_name_of_any_bytes),
    *(ignore_a_folder, ignore_by_a_pattern, write_a_broken_file, make_an_unreadable_song_readable),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_happens_is_in_the_database_and_every_song_keeps_its_row(
    shelf: Watched, music: Path, change: Callable[[Path], None]
) -> None:
    before = shelf.ids()
    assert len(before) == 6
    change(music)
    shelf.settle()
    after = shelf.ids()
    assert {audio: after[audio] for audio in before if audio in after} == {
        audio: before[audio] for audio in before if audio in after
    }
    shelf.verify()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_happened_before_the_start_is_in_the_database_when_it_is_ready(
    shelf: Watched, change: Callable[[Path], None]
) -> None:
    shelf.scan()
    before = shelf.ids()
    root = shelf.folder / "music"
    change(root)
    shelf.let_age()
    shelf.start()
    assert shelf.known() == shelf.on_disk()
    after = shelf.ids()
    assert {audio: after[audio] for audio in before if audio in after} == {
        audio: before[audio] for audio in before if audio in after
    }
    shelf.verify()


def test_what_was_written_just_before_the_start_is_known_when_it_is_ready(shelf: Watched) -> None:
    album(shelf.folder / "music" / "Three", long_ago=False)
    shelf.start()
    assert shelf.known() == shelf.on_disk()
    shelf.verify()


# Identity


def test_a_tree_that_moves_to_another_library_keeps_rows_and_matches(shelf: Watched) -> None:
    music, other = shelf.folder / "music", album(shelf.library("other") / "Three").parent
    shelf.scan()
    add_playlist(shelf.db, "Someone - Song 0", "Someone - Song 1")
    for n in range(3):  # so that a song of that name is there but once
        (music / "Two" / f"{n:03} song.flac").unlink()
        (other / "Three" / f"{n:03} song.flac").unlink()
    shelf.scan()
    match_tracks(shelf.db, shelf.config.match)
    before, matched = shelf.ids(), [m.file_id for m in matches.all_matches(shelf.db.connection)]
    assert len(matched) == 2
    with watching(shelf):
        (music / "One").rename(other / "One")
        shelf.settle()
        assert shelf.ids() == before
        (other / "One").rename(music / "Two" / "One")
        shelf.settle()
    assert shelf.ids() == before
    match_tracks(shelf.db, shelf.config.match)
    assert [m.file_id for m in matches.all_matches(shelf.db.connection)] == matched
    shelf.verify()


def test_music_of_every_kind_keeps_its_row_when_it_is_retagged_and_moved(shelf: Watched, music: Path) -> None:
    names = ("a.mp3", "b.ogg", "c.opus", "d.m4a", "e.flac", "f.wav")
    for tone, name in enumerate(names, start=4):
        make_audio(music / "Kinds" / name, tone=100 * tone)
    shelf.settle()
    before = shelf.ids()
    for name in names:
        write_tags(music / "Kinds" / name, title=[f"Title of {name}"], artist=["Somebody"], cover=bytes(5_000))
    shelf.settle()
    assert shelf.ids() == before
    for name in names:
        write_tags(music / "Kinds" / name, title=[f"Another title of {name}"])
        (music / "Kinds" / name).rename(music / "Two" / f"moved {name}")
    (music / "Kinds").rmdir()
    shelf.settle()
    assert shelf.ids() == before
    for name in names:
        row = shelf.row(music / "Two" / f"moved {name}")
        assert row is not None
        assert (row.error, row.tags.title) == (None, f"Another title of {name}")
    assert sum(result.missing for result in shelf.results) == 0
    shelf.verify()


def test_a_file_that_is_away_for_a_while_gets_its_row_back(shelf: Watched, music: Path) -> None:
    before = shelf.ids()
    away = (music / "One").rename(music.parent / "away")
    shelf.settle()
    assert len(shelf.ids()) == 3
    away.rename(music / "Eins")
    shelf.settle()
    assert shelf.ids() == before
    shelf.verify()


def test_a_folder_that_is_renamed_and_written_to_for_long_is_never_missing(shelf: Watched, music: Path) -> None:
    """As a download program and a tagger do, one after the other."""
    before = shelf.ids()
    busy = (music / "One").rename(music / "Eins") / "new.flac"

    def goes_on_until_the_old_end_is_looked_at() -> bool:
        write_flac(busy, title="New")
        return all(row.path != os.fsencode(SONG) for row in shelf.rows().values())

    wait_until(goes_on_until_the_old_end_is_looked_at, "the old end was looked at")
    shelf.settle()
    assert {audio: shelf.ids()[audio] for audio in before} == before
    assert sum(result.missing + result.restored for result in shelf.results) == 0
    shelf.verify()


# Rule 1: a large loss is refused


def test_rule_01_a_large_tree_that_is_deleted_is_kept_and_said(shelf: Watched) -> None:
    root = album(shelf.folder / "music" / "Many", 100)
    with watching(shelf):
        shutil.rmtree(root)
        shelf.wait_for(WatchEventKind.NOTE, "--accept-missing")
        kept = len(shelf.rows())
        assert kept >= 106 - 50
        shelf.leave_cookie(root.parent)
        assert len(shelf.rows()) == kept
        shelf.scan(accept_missing=True)
        shelf.settle()
    assert len(shelf.rows()) == 6
    shelf.verify()


def test_rule_01_a_large_tree_that_is_deleted_bit_by_bit_is_kept_too(shelf: Watched) -> None:
    root = album(shelf.folder / "music" / "Many", 100)
    with watching(shelf):
        for n in range(100):
            (root / f"{n:03} song.flac").unlink()
            if n % 10 == 9:
                shelf.leave_cookie(root.parent)
        shelf.wait_for(WatchEventKind.NOTE, "--accept-missing")
        assert len(shelf.rows()) >= 106 - 50
        write_flac(root.parent / "One" / "new.flac", title="New")
        shelf.leave_cookie(root.parent)
        assert shelf.row(root.parent / "One" / "new.flac") is not None
        shelf.scan(accept_missing=True)
        shelf.settle()
    shelf.verify()


def test_rule_01_a_large_tree_that_is_renamed_is_no_loss(shelf: Watched) -> None:
    root = album(shelf.folder / "music" / "Many", 100)
    with watching(shelf):
        before = shelf.ids()
        root.rename(root.parent / "Renamed")
        shelf.settle()
        assert shelf.ids() == before
        assert shelf.said(WatchEventKind.NOTE) == []
    shelf.verify()


def test_rule_01_a_root_that_is_emptied_keeps_its_rows(shelf: Watched, music: Path) -> None:
    before = shelf.ids()
    for name in ("One", "Two"):
        shutil.rmtree(music / name)
    shelf.wait_for(WatchEventKind.NOTE, "not mounted")
    assert shelf.ids() == before
    for name in ("One", "Two"):
        album(music / name)
    shelf.settle()
    assert shelf.ids() == before
    shelf.verify()


# Rule 6: only a finished file is read


class Slow:
    """A file that is written in pieces, each long before the next."""

    def __init__(self, shelf: Watched, path: Path) -> None:
        self._shelf = shelf
        self._path = path
        self._root = shelf.folder / "music"

    def is_left_alone(self) -> None:
        """More than the quiet time later, it has not been read."""
        for _ in range(2):
            self._shelf.leave_cookie(self._root)
        assert self._shelf.row(self._path) is None
        assert all(not result.errors for result in self._shelf.results)
        assert self._shelf.said(WatchEventKind.ERROR) == []

    def is_read(self) -> None:
        self._shelf.settle()
        row = self._shelf.row(self._path)
        assert row is not None
        assert (row.error, row.tags.title) == (None, "Slow")
        self._shelf.verify()


@pytest.mark.parametrize("pieces", [(50, 60), (1, 4), (4, 120)])
def test_rule_06_a_file_that_is_written_with_stalls_is_read_when_it_is_closed(
    shelf: Watched, music: Path, pieces: tuple[int, ...]
) -> None:
    path, content = music / "One" / "slow.flac", flac_bytes("slow", title="Slow")
    slow = Slow(shelf, path)
    with path.open("wb", buffering=0) as file:
        for begin, end in zip((0, *pieces), (*pieces, len(content)), strict=True):
            file.write(content[begin:end])
            slow.is_left_alone()
    slow.is_read()


def test_rule_06_a_file_that_is_opened_long_before_it_is_written_is_read_when_it_is_closed(
    shelf: Watched, music: Path
) -> None:
    path = music / "One" / "slow.flac"
    slow = Slow(shelf, path)
    with path.open("wb", buffering=0) as file:
        slow.is_left_alone()
        file.write(flac_bytes("slow", title="Slow"))
    slow.is_read()


def test_rule_06_a_file_whose_room_is_reserved_first_is_read_when_it_is_closed(shelf: Watched, music: Path) -> None:
    path, content = music / "One" / "slow.flac", flac_bytes("slow", title="Slow")
    slow = Slow(shelf, path)
    with path.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, len(content))
        slow.is_left_alone()
        file.write(content[:50])
        slow.is_left_alone()
        file.write(content[50:])
    slow.is_read()


def test_rule_06_a_file_that_is_renamed_while_it_is_written_is_read_when_it_is_closed(
    shelf: Watched, music: Path
) -> None:
    first, path, content = music / "One" / "first.flac", music / "Two" / "slow.flac", flac_bytes("slow", title="Slow")
    slow = Slow(shelf, path)
    with first.open("wb", buffering=0) as file:
        file.write(content[:50])
        first.rename(path)
        slow.is_left_alone()
        file.write(content[50:])
    slow.is_read()


def test_rule_06_a_known_file_that_is_written_anew_with_stalls_keeps_its_row_until_it_is_closed(
    shelf: Watched, music: Path
) -> None:
    path, content = music / "One" / "000 song.flac", flac_bytes("slow", title="Slow")
    before = shelf.row(path)
    with path.open("wb", buffering=0) as file:
        for begin, end in ((0, 50), (50, len(content))):
            shelf.leave_cookie(music)
            assert shelf.row(path) == before
            file.write(content[begin:end])
        shelf.leave_cookie(music)
        assert shelf.row(path) == before
    shelf.settle()
    row = shelf.row(path)
    assert row is not None
    assert before is not None
    assert (row.id, row.tags.title) == (before.id, "Slow")
    shelf.verify()


def test_rule_06_downloads_are_left_alone_until_they_have_their_name(shelf: Watched, music: Path) -> None:
    for name in ("a.flac.part", "b.flac.tmp", "c.flac.download", ".d.flac.x7Gh2"):
        write_flac(music / "One" / name, title=name)
    shelf.leave_cookie(music)
    assert len(shelf.rows()) == 6
    for name in ("a.flac.part", "b.flac.tmp", "c.flac.download", ".d.flac.x7Gh2"):
        (music / "One" / name).rename(music / "One" / f"{name[:2].strip('.')}.flac")
    shelf.settle()
    assert len(shelf.rows()) == 10
    shelf.verify()


# Links


def test_a_link_to_a_folder_is_followed_changed_and_dropped(shelf: Watched, music: Path) -> None:
    first, second = album(music.parent / "first"), album(music.parent / "second")
    link = music / "link"
    link.symlink_to(first)
    shelf.settle()
    assert len(shelf.rows()) == 9
    write_flac(first / "new.flac", title="New")
    shelf.settle()
    assert shelf.row(link / "new.flac") is not None
    (first / "deeper").mkdir()
    write_flac(first / "deeper" / "deep.flac", title="Deep")
    (first / "000 song.flac").rename(first / "deeper" / "renamed.flac")
    shelf.settle()
    assert shelf.row(link / "deeper" / "renamed.flac") is not None
    retargeted = music / "link.tmp"
    retargeted.symlink_to(second)
    os.replace(retargeted, link)
    shelf.settle()
    assert len(shelf.rows()) == 9
    write_flac(second / "new.flac", title="New again")
    shelf.settle()
    assert shelf.row(link / "new.flac") is not None
    link.unlink()
    shelf.settle()
    assert len(shelf.rows()) == 6
    write_flac(second / "unseen.flac", title="Unseen")
    shelf.settle()
    shelf.verify()


def test_a_link_that_was_there_before_is_followed(shelf: Watched) -> None:
    target = album(shelf.folder / "target")
    (shelf.folder / "music" / "link").symlink_to(target)
    with watching(shelf):
        assert len(shelf.rows()) == 9
        write_flac(target / "new.flac", title="New")
        shelf.settle()
        shutil.rmtree(target)  # or its drive is away
        shelf.leave_cookie(shelf.folder / "music")
        assert len(shelf.rows()) == 10
        (shelf.folder / "music" / "link").unlink()
        shelf.settle()
    assert len(shelf.rows()) == 6
    shelf.verify()


def test_a_link_to_a_file_is_followed(shelf: Watched, music: Path) -> None:
    target = write_flac(music.parent / "outside.flac", title="Outside")
    (music / "One" / "link.flac").symlink_to(target)
    shelf.settle()
    assert shelf.row(music / "One" / "link.flac") is not None
    (music / "One" / "link.flac").unlink()
    shelf.settle()
    shelf.verify()


def test_a_link_that_leads_into_the_library_or_around_in_circles_is_survived(shelf: Watched, music: Path) -> None:
    (music / "One" / "again").symlink_to(music / "Two")
    (music / "One" / "circle").symlink_to(music)
    shelf.settle()
    write_flac(music / "Two" / "new.flac", title="New")
    shelf.settle()
    assert len(shelf.rows()) == 7
    shelf.verify()


def test_a_root_that_is_a_link_is_watched(tmp_path: Path) -> None:
    shelf = Watched(tmp_path)
    real = album(tmp_path / "real" / "One").parent
    door = tmp_path / "door"
    door.symlink_to(real)
    add_library(shelf.db, tmp_path, door, now=time.time)
    with watching(shelf):
        write_flac(door / "top.flac", title="Top")
        write_flac(door / "new" / "inside.flac", title="Inside")
        shelf.settle()
    assert len(shelf.rows()) == 5
    shelf.verify()
    shelf.close()


# What is ignored


def test_a_folder_that_is_ignored_leaves_and_comes_back(shelf: Watched, music: Path) -> None:
    before = shelf.ids()
    (music / "One" / ".nomedia").touch()
    shelf.settle()
    assert len(shelf.rows()) == 3
    write_flac(music / "One" / "new.flac", title="New")
    (music / "One" / "deeper").mkdir()
    write_flac(music / "One" / "deeper" / "deep.flac", title="Deep")
    shelf.leave_cookie(music)
    assert len(shelf.rows()) == 3
    (music / "One" / ".nomedia").unlink()
    shelf.settle()
    assert {audio: shelf.ids()[audio] for audio in before} == before
    assert len(shelf.rows()) == 8
    shelf.verify()


def test_lines_of_a_marker_file_that_change_are_followed(shelf: Watched, music: Path) -> None:
    marker = music / ".psmignore"
    marker.write_text("000*\n")
    shelf.settle()
    assert len(shelf.rows()) == 4
    marker.write_text("001*\n002*\n")
    shelf.settle()
    assert len(shelf.rows()) == 2
    marker.rename(music / "no marker")
    shelf.settle()
    assert len(shelf.rows()) == 6
    shelf.verify()


# Libraries that come and go


def test_libraries_that_another_psm_adds_moves_and_removes_are_followed(shelf: Watched, music: Path) -> None:
    other = album(shelf.folder / "other" / "Three").parent
    add_library(shelf.db, shelf.folder, other, now=time.time)
    shelf.wait_for(WatchEventKind.NOTE, "Library other is watched now")
    shelf.settle()
    before = shelf.ids()
    assert len(before) == 9
    moved = other.rename(shelf.folder / "moved")
    move_library(shelf.db, shelf.folder, "other", moved, now=time.time)
    write_flac(moved / "new.flac", title="New")
    shelf.settle()
    assert {audio: shelf.ids()[audio] for audio in before} == before
    remove_library(shelf.db, shelf.config, "other", now=time.time)
    write_flac(moved / "unseen.flac", title="Unseen")
    write_flac(music / "seen.flac", title="Seen")
    shelf.settle()
    assert len(shelf.rows()) == 7
    shelf.verify()


def test_a_library_that_is_marked_not_to_be_watched_is_left_to_scans(shelf: Watched) -> None:
    other = album(shelf.folder / "other").parent / "other"
    add_library(shelf.db, shelf.folder, other, watch=False, now=time.time)
    with watching(shelf):
        write_flac(other / "new.flac", title="New")
        shelf.leave_cookie(shelf.folder / "music")
        assert len(shelf.rows()) == 6
        watch_library(shelf.db, shelf.folder, "other", watch=True, now=time.time)
        shelf.settle()
        assert len(shelf.rows()) == 10
        watch_library(shelf.db, shelf.folder, "other", watch=False, now=time.time)
        wait_until(lambda: shelf.status("other") is None, "the library is let go of")
        write_flac(other / "unseen.flac", title="Unseen")
        shelf.leave_cookie(shelf.folder / "music")
        assert shelf.row(other / "unseen.flac") is None
    shelf.scan()
    shelf.verify()


def test_only_the_folder_that_is_named_is_watched(shelf: Watched) -> None:
    root = shelf.folder / "music"
    shelf.scan()
    shelf.watcher = shelf.new_watcher(paths=[root / "One"])
    with watching(shelf):
        write_flac(root / "Two" / "unseen.flac", title="Unseen")
        write_flac(root / "One" / "new.flac", title="New")
        shelf.leave_cookie(root / "One")
        assert shelf.row(root / "One" / "new.flac") is not None
        assert shelf.row(root / "Two" / "unseen.flac") is None
    shelf.scan()
    shelf.verify()


# Beside others


def test_a_second_watcher_is_told_who_has_the_library(shelf: Watched, music: Path) -> None:
    second = shelf.new_watcher(what="psm build --watch")
    with pytest.raises(LockHeld, match=rf"music is watched already, by psm scan --watch, process {os.getpid()}"):
        second.start()
    assert not second.is_running()
    add(music)
    shelf.settle()
    shelf.stop()
    second.start()
    assert second.wait_until_ready(60)
    second.stop()
    shelf.verify()


def test_a_scan_beside_it_disturbs_nothing_and_causes_nothing(
    shelf: Watched, music: Path, scans: list[list[Path]]
) -> None:
    shelf.settle()
    before = len(scans)
    scan_library(shelf.db, shelf.config.library)
    scan_library_incremental(shelf.db, shelf.config.library, changed_since=0)
    for path in shelf.rows():
        Path(os.fsdecode(path)).read_bytes()
    write_flac(music / "One" / "new.flac", title="New")
    assert scan_library_incremental(shelf.db, shelf.config.library).added == 1
    shelf.leave_cookie(music)
    asked = {path for paths in scans[before:] for path in paths}
    assert {path.name for path in asked} <= {"new.flac", "zz cookie 2.flac"}
    shelf.verify()


def test_a_scan_that_holds_the_lock_is_waited_for(shelf: Watched, music: Path) -> None:
    with hold(shelf.db.scan_lock, what="psm scan"):
        add(music)
        pause = threading.Event()
        pause.wait(1.0)
        assert len(shelf.rows()) == 6
    shelf.settle()
    shelf.verify()


def test_a_callback_that_raises_is_logged_and_the_watcher_lives(
    shelf: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: ScanResult) -> None:
        raise ValueError("the callback of a test")

    shelf.watcher = shelf.new_watcher(on_change_callback=fail)
    with watching(shelf):
        add(shelf.folder / "music")
        shelf.settle()
        rename_a_folder(shelf.folder / "music")
        shelf.settle()
    assert "the callback of a test" in caplog.text
    shelf.verify()


def test_it_can_be_stopped_and_started_again(shelf: Watched) -> None:
    root = shelf.folder / "music"
    for n in range(3):
        with watching(shelf):
            write_flac(root / f"watched {n}.flac", title="Watched")
            shelf.settle()
        write_flac(root / f"alone {n}.flac", title="Alone")
        assert shelf.row(root / f"alone {n}.flac") is None
        shelf.let_age()
    threads = {thread.name for thread in threading.enumerate()}
    assert not any("psm" in name or "watchdog" in name.lower() for name in threads), threads
    shelf.start()
    shelf.stop()
    shelf.verify()


def test_what_is_pending_at_the_end_is_written(tmp_path: Path) -> None:
    shelf = Watched(tmp_path, quiet_s=30.0)
    root = album(shelf.library() / "One")
    with watching(shelf):
        add(root.parent)
        rename(root.parent)
        wait_until(lambda: (status := shelf.status()) and status.pending >= 3, "the changes were heard of")
    assert shelf.known() == shelf.on_disk()
    shelf.verify()
    shelf.close()


# The defaults


def test_with_the_default_quiet_time_a_file_is_read_once_it_is_quiet(tmp_path: Path) -> None:
    shelf = Watched(tmp_path, quiet_s=2.0)
    root = album(shelf.library() / "One").parent
    with watching(shelf):
        write_flac(root / "One" / "new.flac", title="New")
        retag_in_place(root)
        (root / "One" / "001 song.flac").unlink()
        before = time.monotonic()
        shelf.settle()
        assert time.monotonic() - before >= 2.0
    assert len(shelf.rows()) == 3
    shelf.verify()
    shelf.close()


def test_with_the_default_quiet_time_a_busy_file_holds_up_no_other(tmp_path: Path) -> None:
    shelf = Watched(tmp_path, quiet_s=2.0)
    root = album(shelf.library() / "One").parent
    with watching(shelf):
        quiet = write_flac(root / "One" / "quiet.flac", title="Quiet")
        content = flac_bytes("busy", title="Busy")
        busy = root / "One" / "busy.flac"
        with busy.open("wb", buffering=0) as file:

            def grow_until_the_other_is_there() -> bool:
                file.write(content[:1])
                return shelf.row(quiet) is not None

            wait_until(grow_until_the_other_is_there, "the quiet file is there")
            assert shelf.row(busy) is None
        write_flac(busy, title="Busy")
        shelf.settle()
    shelf.verify()
    shelf.close()
