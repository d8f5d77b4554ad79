"""A real network drive under watch: changed on the server's side, frozen, gone, and back.

Where a system lets nobody make such a mount there is no test here; what psm does of its own is tested beside it, with a
folder that behaves like one (test_watch_network_integration).
"""

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from psm.services import watch_status
from tests.running import Psm
from tests.watched import Process, album, process, wait_until

DEADLINE_S = 60.0
_SFTP_SERVER = Path("/usr/lib/openssh/sftp-server")


class SshfsShare:
    """The folder ``server``, mounted at ``root`` through a server of its own; no network and no key is needed."""

    def __init__(self, folder: Path) -> None:
        self.server, self.root = folder / "server", folder / "share"
        self.server.mkdir(parents=True)
        self.root.mkdir()
        self._pid = folder / "pid"
        self._command = folder / "instead-of-ssh"
        self._command.write_text(f"#!/bin/sh\necho $$ >'{self._pid}'\nexec {_SFTP_SERVER}\n")
        self._command.chmod(0o755)

    def mount(self) -> None:
        short = "dcache_timeout=1,attr_timeout=1,entry_timeout=1"
        command = ["sshfs", f"nas:{self.server}", str(self.root), "-o", f"ssh_command={self._command},{short}"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def unmount(self) -> None:
        subprocess.run(["fusermount3", "-u", "-z", str(self.root)], check=False, stderr=subprocess.DEVNULL)

    def tell_server(self, number: signal.Signals) -> None:
        os.kill(int(self._pid.read_text()), number)


@pytest.fixture
def share(tmp_path: Path) -> Iterator[SshfsShare]:
    share = SshfsShare(tmp_path / "nas")
    share.mount()
    yield share
    share.unmount()


def present(psm: Psm) -> set[str]:
    with closing(sqlite3.connect(psm.database)) as connection:
        rows = connection.execute("SELECT CAST(path AS TEXT) FROM library_files WHERE status = 'present'")
        return {path for (path,) in rows}


def pending(psm: Psm) -> list[int]:
    """How many changes wait in each library."""
    statuses = [watch_status.read(path) for path in psm.data_folder.glob("*.watch-*.json")]
    return sorted(status.pending for status in statuses if status is not None)


def wait_for(psm: Psm, name: str) -> None:
    wait_until(lambda: name in present(psm), f"{name} is in the database", within_s=DEADLINE_S)


def said(running: Process, text: str, *, times: int = 1) -> None:
    wait_until(
        lambda: sum(text in e["text"] for e in running.events) >= times,
        f"it says {text!r}: {running.lines}",
        within_s=DEADLINE_S,
    )


if shutil.which("sshfs") and _SFTP_SERVER.exists() and os.access("/dev/fuse", os.R_OK | os.W_OK):

    def test_a_real_network_drive_is_followed_waited_for_and_never_in_the_way(
        psm: Psm, tmp_path: Path, share: SshfsShare
    ) -> None:
        psm("scan", album(tmp_path / "local"), album(share.server / "album") and share.root)
        with process(psm, "--interval", "1") as running:
            assert any("share: polling, because fuse.sshfs is a network drive" in e["text"] for e in running.events)
            album(share.server / "by the server", 1)
            wait_for(psm, "by the server/000 song.flac")
            known = present(psm)

            share.tell_server(signal.SIGSTOP)
            said(running, "Waiting for library share")
            album(tmp_path / "local" / "near", 1)
            wait_for(psm, "near/000 song.flac")
            album(share.server / "meanwhile", 1)
            share.tell_server(signal.SIGCONT)
            said(running, "share is there again")
            wait_for(psm, "meanwhile/000 song.flac")

            share.tell_server(signal.SIGKILL)
            said(running, "its folder is empty, as that of a drive that is not mounted")
            assert known < present(psm)
            share.mount()
            said(running, "share is there again", times=2)
            album(share.server / "after", 1)
            wait_for(psm, "after/000 song.flac")
            assert known < present(psm)

    def test_ctrl_c_ends_a_watcher_in_time_while_a_real_network_drive_is_frozen(
        psm: Psm, tmp_path: Path, share: SshfsShare
    ) -> None:
        psm("scan", album(tmp_path / "local"), album(share.server / "album") and share.root)
        with process(psm, "--interval", "60", quiet_s=60.0) as running:
            album(tmp_path / "local" / "pending", 1)
            wait_until(lambda: pending(psm) == [0, 1], "it is noted", within_s=DEADLINE_S)
            share.tell_server(signal.SIGSTOP)
            try:
                assert running.end() < 5.0
                assert "pending/000 song.flac" in present(psm)
            finally:
                share.tell_server(signal.SIGCONT)
