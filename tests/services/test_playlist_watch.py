"""Real folders and real file events; the clock is the test's."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from psm.config import load_config
from psm.db import Database, playlist_sources
from psm.models import GENERATED_MARK
from psm.services.event_source import EventSource
from psm.services.playlist_watch import PlaylistWatch

_DEADLINE_S = 60.0


class Lists:
    """A followed folder with one playlist, and its watch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "lists"
        self.folder.mkdir()
        self.write("first")
        self.now, self.said = 1_000.0, list[str]()
        self.wall_ns = time.time_ns()
        self.woken = threading.Event()
        self.db = Database(folder / "psm.db")
        plain = load_config(env={"HOME": str(folder)})
        self.config = replace(plain, playlists=replace(plain.playlists, folders=(self.folder,)))
        self.watch = self.new_watch()

    def new_watch(self) -> PlaylistWatch:
        return PlaylistWatch(
            self.db,
            self.config,
            on_change=self.woken.set,
            say=self.said.append,
            clock=lambda: self.now,
            wall_ns=lambda: self.wall_ns,
        )

    def write(self, name: str, text: str = "Title,Artist\nA,B\n", *, folder: Path | None = None) -> Path:
        path = (folder or self.folder) / f"{name}.csv"
        path.write_text(text)
        os.utime(path, (1_600_000_000, 1_600_000_000))
        return path

    def turn_until(self, holds: Callable[[], Any], *, step_s: float = 0.5) -> None:
        deadline = time.monotonic() + _DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline
            self.now += step_s
            self.watch.turn(self.now)
            self.woken.wait(0.01)
            self.woken.clear()

    def take_in(self) -> None:
        """What a follower does when playlists are due."""
        self.turn_until(lambda: self.watch.is_due)
        self.watch.pulled(self.watch.seen, complete=True)

    def turn_past_a_look(self) -> None:
        """Goes on until everything was looked at once more by the timer."""
        until = self.now + 2 * self.config.library.watch.polling_interval
        self.turn_until(lambda: self.now > until, step_s=5.0)
        self.watch.look_now(_DEADLINE_S)


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[Lists]:
    made = Lists(tmp_path)
    yield made
    made.watch.stop()
    made.db.close()


def test_the_first_look_finds_playlists_to_take_in_and_then_all_is_quiet(lists: Lists) -> None:
    lists.take_in()
    lists.turn_past_a_look()
    assert not lists.watch.is_due


def test_a_new_a_changed_and_a_deleted_file_are_each_a_change(lists: Lists) -> None:
    lists.take_in()
    path = lists.write("second")
    lists.take_in()
    lists.write("second", "Title,Artist\nA,B\nC,D\n")
    lists.take_in()
    path.unlink()
    lists.take_in()


def test_a_file_that_is_no_playlist_is_no_change(lists: Lists) -> None:
    lists.take_in()
    (lists.folder / "cover.jpg").write_bytes(b"no playlist")
    (lists.folder / ".hidden.csv").write_text("Title,Artist\n")
    lists.turn_past_a_look()
    assert not lists.watch.is_due


def test_a_report_is_known_by_what_it_says_not_by_its_name(lists: Lists) -> None:
    lists.take_in()
    lists.write("psm-coverage", "playlist,share,tracks,found,missing,provider,source\r\n")
    lists.turn_past_a_look()
    assert not lists.watch.is_due
    lists.write("psm-favourites")
    lists.take_in()


def test_a_playlist_that_psm_wrote_is_one_when_nobody_knows_of_it(lists: Lists) -> None:
    # Without a manifest or a database that remembers it, the import itself finds out.
    lists.take_in()
    (lists.folder / "own.m3u8").write_text(f"#EXTM3U\n{GENERATED_MARK}\n")
    lists.take_in()
    lists.turn_past_a_look()
    assert not lists.watch.is_due


def test_a_file_that_was_imported_by_name_is_followed(lists: Lists, tmp_path: Path) -> None:
    elsewhere = lists.write("elsewhere", folder=tmp_path)
    lists.take_in()
    with lists.db.transaction() as connection:
        playlist_sources.remember_file(connection, os.fsencode(elsewhere))
    lists.watch.refresh()
    lists.take_in()
    lists.turn_past_a_look()
    assert not lists.watch.is_due
    lists.write("elsewhere", "Title,Artist\nC,D\nE,F\n", folder=tmp_path)
    lists.take_in()


def test_a_folder_that_another_psm_follows_from_now_on_is_looked_at(lists: Lists, tmp_path: Path) -> None:
    lists.take_in()
    more = tmp_path / "more"
    more.mkdir()
    with lists.db.transaction() as connection:
        playlist_sources.remember_folder(connection, os.fsencode(more))
    lists.watch.refresh()
    lists.take_in()
    lists.write("new", folder=more)
    lists.take_in()


def test_a_folder_that_cannot_be_watched_is_looked_at_on_the_timer_and_that_is_said(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: EventSource) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(EventSource, "start", full)
    lists.take_in()
    assert ["max_user_watches" in text for text in lists.said] == [True]
    lists.write("second")
    lists.take_in()
    assert len(lists.said) == 1


def test_what_was_taken_in_only_in_part_is_tried_again_in_a_while(lists: Lists) -> None:
    lists.turn_until(lambda: lists.watch.is_due)
    lists.watch.pulled(lists.watch.seen, complete=False)
    began = lists.now
    lists.turn_until(lambda: lists.watch.is_due, step_s=5.0)
    assert lists.now - began >= lists.config.library.watch.reconcile_interval


def test_a_file_that_was_looked_at_just_after_it_changed_is_taken_in_once_more(lists: Lists) -> None:
    # Another change at the same moment, to the same size, would look the same.
    lists.wall_ns = (lists.folder / "first.csv").stat().st_mtime_ns + 10**9
    lists.take_in()
    lists.wall_ns += 10**10
    lists.take_in()
    lists.turn_past_a_look()
    assert not lists.watch.is_due


def test_it_can_be_asked_for_a_last_look(lists: Lists) -> None:
    lists.take_in()
    lists.write("second")
    lists.watch.look_now(_DEADLINE_S)
    assert lists.watch.is_due
