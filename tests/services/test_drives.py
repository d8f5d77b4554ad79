"""Asking drives: a local one directly, one on the network with an end to the waiting."""

import threading
import time
from pathlib import Path

import pytest

from psm.filesystems import FileSystem
from psm.services import drives
from psm.services.drives import answered


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    found = FileSystem("nfs4", is_local=False, keeps_inodes=False, delivers_events=False, mount_point=b"/mnt")
    monkeypatch.setattr(drives, "filesystem_of", lambda _: found)


def test_a_local_drive_is_asked_in_this_thread(tmp_path: Path) -> None:
    assert answered(tmp_path, threading.get_ident, within_s=0.0) == threading.get_ident()


@pytest.mark.usefixtures("network")
def test_a_drive_that_answers_is_heard(tmp_path: Path) -> None:
    assert answered(tmp_path, lambda: "here") == "here"
    with pytest.raises(PermissionError):
        answered(tmp_path, lambda: raising(PermissionError()))


@pytest.mark.usefixtures("network")
def test_a_drive_that_hangs_is_given_up(tmp_path: Path) -> None:
    released = threading.Event()
    began = time.monotonic()
    assert answered(tmp_path, lambda: released.wait(60), within_s=0.2) is None
    stop = threading.Event()
    stop.set()
    assert answered(tmp_path, lambda: released.wait(60), stop=stop) is None
    assert time.monotonic() - began < 4
    released.set()


def raising(error: Exception) -> None:
    raise error
