"""psm where the kernel has no room for more watches: by the kernel's own limits, or by what stands in for them.

The limits hold for all programs of a user, and to change them takes root and disturbs whatever else runs. A user
namespace has limits of its own, which nobody else notices; where none can be made (in most containers), the two calls
into the kernel are answered as it would answer them.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.running import Psm

_PROGRAM = """
import ctypes, errno, os, signal, sys

limits = {name: int(value) for name, value in (x.split("=") for x in os.environ["TEST_LIMITS"].split())}
NO_LIMIT = {"watches": 100_000, "instances": 1_000}

def set_in_kernel(values):
    for name, value in values.items():
        with open(f"/proc/sys/user/max_inotify_{name}", "w") as file:
            file.write(str(value))

def enter_namespace():
    user, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):  # CLONE_NEWUSER
        raise OSError(ctypes.get_errno(), "unshare")
    for name, content in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(content)
    set_in_kernel(limits)

def namespace_is_possible():
    child = os.fork()
    if child == 0:
        try:
            enter_namespace()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0

def stand_in():
    from watchdog.observers import inotify_c
    add, init = inotify_c.inotify_add_watch, inotify_c.inotify_init

    def used():
        count = 0
        for number in os.listdir("/proc/self/fdinfo"):
            try:
                with open(f"/proc/self/fdinfo/{number}") as lines:
                    count += sum(line.startswith("inotify wd:") for line in lines)
            except OSError:
                pass
        return count

    def add_if_room(*arguments):
        if used() >= limits.get("watches", NO_LIMIT["watches"]):
            ctypes.set_errno(errno.ENOSPC)
            return -1
        return add(*arguments)

    def init_if_room():
        if not limits.get("instances", NO_LIMIT["instances"]):
            ctypes.set_errno(errno.EMFILE)
            return -1
        return init()

    inotify_c.inotify_add_watch, inotify_c.inotify_init = add_if_room, init_if_room

if os.environ["TEST_BY"] == "kernel" and namespace_is_possible():
    enter_namespace()
    raise_them = set_in_kernel
else:
    stand_in()
    raise_them = limits.update
signal.signal(signal.SIGUSR1, lambda *_: raise_them(NO_LIMIT))

from psm.__main__ import main
sys.argv[0] = "psm"
main()
"""


class LimitedPsm(Psm):
    """psm as a person runs it, with limits: ``watches=20``, ``instances=0``. ``by`` is "kernel" or "stand-in"."""

    def __init__(self, folder: Path, *, by: str, **limits: int) -> None:
        super().__init__(folder)
        self._told: Mapping[str, str] = {
            "TEST_LIMITS": " ".join(f"{name}={value}" for name, value in limits.items()),
            "TEST_BY": by,
        }

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self._told}

    @staticmethod
    def command(*arguments: str | Path) -> Sequence[str]:
        return [sys.executable, "-c", _PROGRAM, *map(str, arguments)]


def raise_limits(process: "subprocess.Popen[str]") -> None:
    """Gives a running one all the room that it wants."""
    os.kill(process.pid, signal.SIGUSR1)
