"""The service on macOS: an agent of the user's, or a daemon of the machine, described to launchd by a property list."""

import os
import plistlib
import re
import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psm import atomic
from psm.errors import PsmError
from psm.services.system_service.model import MARK, Account, Hints, Run, Service, State

LABEL = "local.psm"
SYSTEM_FOLDER = Path("/Library/LaunchDaemons")
_GONE_WITHIN_S = 25.0


def user_folder(home: Path) -> Path:
    """Where the user's own agents are."""
    return home / "Library" / "LaunchAgents"


def log_file(home: Path) -> Path:
    """Where psm's output goes. The daemon's too: launchd opens it as the account that the daemon runs as."""
    return home / "Library" / "Logs" / "psm.log"


def plist(service: Service) -> bytes:
    """The property list, see launchd.plist(5). Raises :class:`PsmError` for what cannot stand in one."""
    log = str(log_file(service.account.home))
    content: dict[str, Any] = {
        "Label": LABEL,
        "ProgramArguments": list(service.command),
        "EnvironmentVariables": dict(service.environment),
        # Anew after a failure, but not after psm was asked to stop; at least half a minute between two starts.
        "KeepAlive": {"SuccessfulExit": False},
        "RunAtLoad": True,
        "ThrottleInterval": 30,
        "ExitTimeOut": 20,
        "ProcessType": "Background",
        "LowPriorityIO": True,
        "Nice": 10,
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
    if service.system:
        content["UserName"] = service.account.name
    if service.folder:
        content["WorkingDirectory"] = str(service.folder)
    try:
        written = plistlib.dumps(content, sort_keys=False)
    except (ValueError, UnicodeEncodeError):
        raise PsmError(
            "A path or a variable of this service has a character that a property list cannot hold. "
            "Give the file a plainer name."
        ) from None
    # A comment, because launchd complains in its log about keys that it does not know.
    return written.replace(b"<dict>", f"<!-- {MARK} -->\n<dict>".encode(), 1)


@dataclass(frozen=True, slots=True)
class Launchd:
    """launchd's ``local.psm`` in ``folder``; ``uid`` is the number of who asks, whose session it belongs to."""

    system: bool
    folder: Path
    account: Account
    uid: int
    run: Run
    sleep: Callable[[float], None] = time.sleep

    @property
    def where(self) -> str:
        """The property list's file."""
        return str(self.folder / f"{LABEL}.plist")

    @property
    def hints(self) -> Hints:
        """What a person types."""
        call = "sudo launchctl" if self.system else "launchctl"
        start = f"{call} bootstrap {self._domain} {shlex.quote(self.where)}"
        # Only when it is unloaded does launchd leave it alone: after a signal it starts it again.
        stop = f"{call} bootout {self._target}"
        return Hints(
            log=f"tail -f {shlex.quote(str(log_file(self.account.home)))}", start=start, stop=stop, by_hand=(start,)
        )

    def text(self, service: Service) -> str:
        """The property list's text."""
        return plist(service).decode()

    def found(self) -> str | None:
        """The text of the property list that is there, None when there is none."""
        try:
            return Path(self.where).read_bytes().decode("utf-8", "replace")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def is_current(self, found: str, text: str) -> bool:
        """Whether what is there is what would be written."""
        return found == text

    def put(self, text: str) -> str:
        """Writes the property list. Returns a complaint, which there is none."""
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic.write(os.path.realpath(os.fsencode(self.where)), text.encode(), kind="service")
        return ""

    def start(self, *, changed: bool) -> str:
        """Loads it, which starts it; anew when it ``changed``. Returns a complaint, or nothing."""
        enabled = self.run(["launchctl", "enable", self._target])  # somebody may have disabled it
        if not enabled.done:
            return enabled.complaint
        if self._is_loaded():
            if not changed:
                ran = self.run(["launchctl", "kickstart", self._target])  # leaves one that runs alone
                return "" if ran.done else ran.complaint
            self._unload()
        ran = self.run(["launchctl", "bootstrap", self._domain, self.where])
        return "" if ran.done else ran.complaint

    def remove(self) -> str:
        """Stops, unloads and removes it. Returns a complaint, or nothing."""
        complaint = self._unload() if self._is_loaded() else ""
        with suppress(FileNotFoundError):
            os.unlink(self.where)
        return complaint

    def state(self) -> State:
        """What launchd says."""
        ran = self.run(["launchctl", "print", self._target])
        if ran.code is None:
            return State(enabled=None, running=None, detail=f"launchd does not answer: {ran.complaint}")
        disabled = self.run(["launchctl", "print-disabled", self._domain]).out
        enabled = re.search(rf'"{re.escape(LABEL)}" => (true|disabled)', disabled) is None
        if not ran.done:
            return State(enabled=enabled, running=False, detail="not loaded")
        state = state_of(ran.out, enabled=enabled)
        started = self.run(["ps", "-o", "lstart=", "-p", str(state.pid)]).out.strip() if state.pid else ""
        return State(state.enabled, state.running, _moment(started), state.pid, state.restarts, state.detail)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person has to know."""
        if self.system:
            return ()
        return ("It runs while you are logged in. To have it run always, install it with --system.",)

    def _is_loaded(self) -> bool:
        return self.run(["launchctl", "print", self._target]).done

    def _unload(self) -> str:
        """launchctl returns before the program has ended, and launchd does not load it again before that."""
        ran = self.run(["launchctl", "bootout", self._target])
        waited = 0.0
        while self._is_loaded():
            if waited >= _GONE_WITHIN_S:
                return ran.complaint if not ran.done else "it has not ended yet"
            self.sleep(0.25)
            waited += 0.25
        return ""

    @property
    def _domain(self) -> str:
        return "system" if self.system else f"gui/{self.uid}"

    @property
    def _target(self) -> str:
        return f"{self._domain}/{LABEL}"


def state_of(printed: str, *, enabled: bool) -> State:
    """What ``launchctl print`` said of a service that is loaded. Only its own lines count, which have one tab."""
    found = dict(re.findall(r"^\t([a-z ]+) = (.*)$", printed, flags=re.MULTILINE))
    running = found.get("state") == "running"
    runs, ended = found.get("runs", ""), found.get("last exit code", "")
    detail = "" if running else found.get("state", "")
    if not running and ended and not ended.startswith("(never"):
        detail += f", last exit code {ended}"
    return State(
        enabled=enabled,
        running=running,
        pid=int(found["pid"]) if found.get("pid", "").isdigit() else None,
        restarts=max(int(runs) - 1, 0) if runs.isdigit() else None,
        detail=detail.removeprefix(", "),
    )


def _moment(text: str) -> float | None:
    """``Thu Oct  9 08:00:00 2025``, in UTC, in seconds since the epoch."""
    with suppress(ValueError):
        at = datetime.strptime(text, "%a %b %d %H:%M:%S %Y")
        return at.replace(tzinfo=UTC).timestamp()
    return None
