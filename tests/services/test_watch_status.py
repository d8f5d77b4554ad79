"""The status file of a watcher: written whole, read with care, and counted only while its lock is held."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psm.db import Database
from psm.locks import hold
from psm.services.watch_status import RootMode, WatcherStatus, forget, read, watcher_of, write
from tests.factories import add_library

STATUS = WatcherStatus("NAS", b"/mnt/n\xe4s", "psm build --watch", os.getpid(), 1_000.5)
FULL = replace(
    STATUS,
    ready=True,
    mode=RootMode.BOTH,
    reason="It is a network drive (nfs4).",
    folders=4_100,
    pending=3,
    last_change_at=1_001.0,
    last_reconcile_at=1_002.0,
    next_pass_at=1_003.0,
    restarts=1,
    errors=("12:30:01 the disk is full", "12:31:00 gone"),
    marker=".psm-watch-1.tmp",
    marker_seen_at=1_004.0,
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as db:
        yield db


@pytest.mark.parametrize("status", [STATUS, FULL], ids=["little", "all"])
def test_what_is_written_is_read(tmp_path: Path, status: WatcherStatus) -> None:
    path = tmp_path / "status.json"
    write(path, replace(STATUS, library="before"))
    write(path, status)
    assert read(path) == status
    assert os.listdir(tmp_path) == ["status.json"]


@given(st.binary(max_size=40), st.sampled_from(sorted(WatcherStatus.__slots__)))
def test_what_cannot_be_understood_is_nothing(tmp_path_factory: pytest.TempPathFactory, junk: bytes, name: str) -> None:
    path = tmp_path_factory.mktemp("status") / "status.json"
    path.write_bytes(junk)
    assert read(path) is None
    write(path, FULL)
    said = json.loads(path.read_bytes())
    path.write_text(json.dumps({key: value for key, value in said.items() if key != name}))
    assert read(path) is None


@pytest.mark.parametrize(
    "wrong",
    [
        *({"pid": "1"}, {"pid": True}, {"mode": "guessing"}, {"errors": [1]}, {"errors": None}, {"marker": 5}),
        *({"started_at": 1e300}, {"started_at": -5}, {"last_change_at": "now"}, {"library": None}, {"folders": 1.5}),
        {"root": "\ud800"},
    ],
)
def test_one_wrong_value_spoils_it(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = tmp_path / "status.json"
    write(path, FULL)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **wrong}))
    assert read(path) is None


def test_a_file_of_a_later_psm_may_say_more(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write(path, FULL)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "mood": "fine"}))
    assert read(path) == FULL


def test_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "status.json") is None
    assert read(tmp_path) is None
    forget(tmp_path / "status.json")


def test_a_failed_write_leaves_the_old_status_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "status.json"
    write(path, STATUS)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, FULL)
    assert read(path) == STATUS
    assert os.listdir(tmp_path) == ["status.json"]


def test_a_status_counts_only_while_the_lock_is_held(db: Database) -> None:
    library = add_library(db)
    assert watcher_of(db, library) is None
    write(db.watch_status(library.id), FULL)
    assert watcher_of(db, library) is None
    with hold(db.watch_lock(library.id), what="psm build --watch", wait=False):
        found = watcher_of(db, library)
    assert found is not None
    assert found.holder.startswith(f"psm build --watch, process {os.getpid()}, since ")
    assert found.status == FULL
    assert watcher_of(db, library) is None


@pytest.mark.parametrize("pid", [os.getpid() + 1, os.getpid() // 10], ids=["another", "the beginning of it"])
def test_the_words_of_a_killed_watcher_are_not_those_of_the_next_one(db: Database, pid: int) -> None:
    library = add_library(db)
    write(db.watch_status(library.id), replace(FULL, pid=pid))
    with hold(db.watch_lock(library.id), what="psm scan --watch", wait=False):
        found = watcher_of(db, library)
        assert found is not None
        assert found.status is None
        forget(db.watch_status(library.id))
        assert watcher_of(db, library) == found


def test_each_library_has_its_own_files_beside_the_database(db: Database) -> None:
    assert db.watch_lock(7) == db.path.parent / "psm.db.watch-7.lock"
    assert db.watch_status(7) == db.path.parent / "psm.db.watch-7.json"
