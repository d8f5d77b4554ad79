"""A folder that psm takes for a network drive, and that can be made to hang, without one and without root.

The table of mounts that psm reads gets one more line, and psm is run by a program in which the calls of the operating
system for all below the folder wait while it is frozen: as on a drive whose server is gone, nothing but the end of the
process helps. A real mount (sshfs on this machine) behaves the same, and needs more than every machine gives.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from psm.filesystems import mount_of, parse_mountinfo
from tests.running import Psm

_PROGRAM = """
import builtins, functools, os, sys, threading
from psm import filesystems
from psm.ingest import ground, library
from psm.services import watch_scans, watched_root

table, share, frozen = (os.environ[f"TEST_{name}"] for name in ("MOUNTS", "SHARE", "FROZEN"))
is_frozen = functools.partial(os.access, frozen, os.F_OK)
answers = set(os.environ.get("TEST_ANSWERS", "").split())

def hanging(name, real):
    def call(path=".", *arguments, **options):
        if isinstance(path, (str, bytes, os.PathLike)) and (os.fsdecode(path) + "/").startswith(share + "/"):
            while is_frozen():
                threading.Event().wait(0.05)
        return real(path, *arguments, **options)
    return call

for name in {"stat", "lstat", "scandir", "listdir", "statvfs", "readlink", "open"} - answers:
    setattr(os, name, hanging(name, getattr(os, name)))
builtins.open = hanging("open", open)
filesystems._MOUNTINFO = table

def ask(places):  # here and not in a process of its own, which would know nothing of all this
    for place in places:
        os.stat(place)
        os.statvfs(place)

watched_root.wait_for_drives = watch_scans.wait_for_drives = ask
watch_scans.STALLED_S = 5.0
watched_root.ANSWER_S = watch_scans.ANSWER_S = ground.ANSWER_S = library.ANSWER_S = 3.0  # tests are not patient

from psm.__main__ import main
sys.argv[0] = "psm"
main()
"""


class NetworkShare:
    """``root`` is the folder. While it is ``frozen``, all calls but those named in ``answers`` hang."""

    def __init__(self, folder: Path, *, kind: str = "nfs4") -> None:
        self.root = folder / "share"
        self.root.mkdir(parents=True)
        self._table = folder / "mountinfo"
        self._frozen = folder / "frozen"
        self._answers: Sequence[str] = ()
        self._write(kind)

    @property
    def environment(self) -> Mapping[str, str]:
        """What the program has to know."""
        return {
            "TEST_MOUNTS": str(self._table),
            "TEST_SHARE": str(self.root),
            "TEST_FROZEN": str(self._frozen),
            "TEST_ANSWERS": " ".join(self._answers),
        }

    def leave_answering(self, *names: str) -> None:
        """Programs that are started from now on get answers to these calls even when it is frozen."""
        self._answers = names

    def freeze(self) -> None:
        """From now on nothing is answered."""
        self._frozen.touch()

    def thaw(self) -> None:
        """It answers again."""
        self._frozen.unlink()

    def _write(self, kind: str) -> None:
        real = Path("/proc/self/mountinfo").read_bytes()
        below = mount_of(os.fsencode(self.root), parse_mountinfo(real))
        assert below is not None
        line = f"999999 {below.id} 0:999 / {self.root} rw - {kind} nas:/music rw\n"
        self._table.write_bytes(real + line.encode())


class PsmWithShare(Psm):
    """psm as a person runs it, on a machine with that drive."""

    def __init__(self, folder: Path, share: NetworkShare) -> None:
        super().__init__(folder)
        self._share = share

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self._share.environment}

    @staticmethod
    def command(*arguments: str | Path) -> Sequence[str]:
        return [sys.executable, "-c", _PROGRAM, *map(str, arguments)]
