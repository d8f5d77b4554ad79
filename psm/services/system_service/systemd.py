"""The service on Linux: a unit of systemd, of the user's own manager or of the machine's."""

import os
import re
import shlex
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from psm import atomic
from psm.errors import PsmError
from psm.services.system_service.model import MARK, Account, Hints, Run, Service, State

UNIT = "psm.service"
SYSTEM_FOLDER = Path("/etc/systemd/system")
LINGERING = Path("/var/lib/systemd/linger")

# Never a directive that gives psm a view of the file system of its own (ProtectHome, ProtectSystem, PrivateTmp and
# their like): playlists may be written anywhere their owner may write, the library may lie below /tmp, and drives come
# and go. User managers could often not even set one up.
_HARDENING = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
"""

_MACHINE_ONLY = """\
After=local-fs.target remote-fs.target network-online.target
Wants=network-online.target
"""


def user_folder(home: Path, config_home: str | None) -> Path:
    """Where the user's own units are; ``config_home`` is ``XDG_CONFIG_HOME``, which counts when it is absolute."""
    absolute = config_home and os.path.isabs(config_home)
    return (Path(config_home) if config_home and absolute else home / ".config") / "systemd" / "user"


def unit_text(service: Service) -> str:
    """The unit.

    RequiresMountsFor= is left out on purpose: it would stop psm when a drive goes, and psm waits for drives itself.
    Units of a user cannot name those of the machine (remote-fs.target), and start after them in any case.
    """
    user = service.account.name != "root"
    lines = [
        f"# {MARK} It writes the file anew: your own changes belong into",
        f"# {'sudo systemctl' if service.system else 'systemctl --user'} edit {UNIT}",
        "",
        "[Unit]",
        f"Description={service.title}",
        *(_MACHINE_ONLY.splitlines() if service.system else []),
        "# No number of failures makes systemd give up for ever.",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        *([f"User={_plain(service.account.name)}"] if service.system else []),
        f"ExecStart={command_line(service.command)}",
        *([f"WorkingDirectory=-{_specifiers(_plain(str(service.folder)))}"] if service.folder else []),
        *(f"Environment={assignment(name, value)}" for name, value in service.environment),
        "",
        "# A pause that grows from 10 seconds to 5 minutes. Before systemd 254 it stays at 10 seconds, and the journal",
        "# says that the lines RestartSteps and RestartMaxDelaySec are not known.",
        "Restart=on-failure",
        "RestartSec=10",
        "RestartSteps=6",
        "RestartMaxDelaySec=300",
        "",
        "# psm writes what is pending and ends within 5 seconds; it ends its own children itself.",
        "KillSignal=SIGTERM",
        "KillMode=mixed",
        "TimeoutStopSec=20",
        "# Its exit code after having been asked to stop.",
        "SuccessExitStatus=130",
        "# Without memory for one large step, psm itself goes on and tries again.",
        "OOMPolicy=continue",
        "",
        "# Behind everything else, but never starved, as the class idle can be.",
        "Nice=10",
        "IOSchedulingClass=best-effort",
        "IOSchedulingPriority=7",
        "",
        *_HARDENING.splitlines(),
        *(["CapabilityBoundingSet=", "RestrictNamespaces=yes"] if service.system and user else []),
        "",
        "[Install]",
        f"WantedBy={'multi-user.target' if service.system else 'default.target'}",
    ]
    return "\n".join(lines) + "\n"


def command_line(words: Iterable[str]) -> str:
    """``words`` as systemd.service(5) wants them after ``ExecStart=``, whatever characters are in them."""
    program, *arguments = words
    if re.search(r"""['"\\$\x00-\x1f\x7f\ud800-\udfff]""", program):
        # systemd takes no such program ("contains special characters"), and would expand ${NAME} in the name it passes.
        return " ".join(["/bin/sh", "-c", quoted('exec "$0" "$@"'), *map(quoted, (program, *arguments))])
    return " ".join(map(quoted, (program, *arguments)))


def quoted(word: str) -> str:
    """One word of a command line: specifiers, variables, quotes and unprintable bytes mean nothing in it."""
    if re.fullmatch(r"[\w./:=@+,-]+", word, re.ASCII):
        return word
    return f'"{_specifiers(_escaped(word)).replace("$", "$$")}"'


def assignment(name: str, value: str) -> str:
    """One word after ``Environment=``. Raises :class:`PsmError` for a value that systemd would leave out."""
    if re.search(r"[\x01-\x08\x0b-\x1f\x7f\ud800-\udfff]", value):
        raise PsmError(
            f"systemd takes no value such as that of {name} ({value!r}). Put the setting into the file instead."
        )
    return f'"{_specifiers(_escaped(f"{name}={value}"))}"'


def _escaped(text: str) -> str:
    return "".join(_escape(c) for c in text)


def _escape(c: str) -> str:
    if c in '\\"':
        return "\\" + c
    if "\udc80" <= c <= "\udcff":  # a byte of a name that is no text; systemd skips lines that are not UTF-8
        return f"\\x{ord(c) - 0xDC00:02x}"
    return f"\\x{ord(c):02x}" if c < " " or c == "\x7f" else c


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _plain(text: str) -> str:
    """A value that is taken as it stands, to the end of the line."""
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]|\\$|^\s|\s$", text):
        raise PsmError(f"{text!r} cannot stand in a unit of systemd. Start psm from a folder with a plainer name.")
    return text


@dataclass(frozen=True, slots=True)
class Systemd:
    """systemd's unit ``psm.service`` in ``folder``. ``lingering`` has a file for each who may run without a session."""

    system: bool
    folder: Path
    account: Account
    run: Run
    lingering: Path = LINGERING

    @property
    def where(self) -> str:
        """The unit's file."""
        return str(self.folder / UNIT)

    @property
    def hints(self) -> Hints:
        """What a person types."""
        call = "sudo systemctl" if self.system else "systemctl --user"
        return Hints(
            log=f"journalctl {'-u' if self.system else '--user -u'} {UNIT.removesuffix('.service')} -f",
            start=f"{call} start {UNIT}",
            stop=f"{call} stop {UNIT}",
            by_hand=(f"{call} daemon-reload", f"{call} enable --now {shlex.quote(self.where)}"),
        )

    def text(self, service: Service) -> str:
        """The unit's text."""
        return unit_text(service)

    def found(self) -> str | None:
        """The text of the unit that is there, None when there is none."""
        try:
            return (self.folder / UNIT).read_bytes().decode("utf-8", "surrogateescape")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def is_current(self, found: str, text: str) -> bool:
        """Whether what is there is what would be written."""
        return found == text

    def put(self, text: str) -> str:
        """Writes the unit; of a symbolic link, what it leads to. Returns a complaint, which there is none."""
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic.write(os.path.realpath(os.fsencode(self.where)), text.encode(), kind="service")
        return ""

    def start(self, *, changed: bool) -> str:
        """Enables and starts it, or starts it anew when it ``changed``. Returns a complaint, or nothing."""
        # By its path: a manager with another XDG_CONFIG_HOME than this shell finds it all the same.
        steps = [("daemon-reload",), ("enable", self.where), ("restart" if changed else "start", UNIT)]
        return self._steps(steps)

    def remove(self) -> str:
        """Stops, disables and removes it. Returns a complaint, or nothing."""
        complaint = self._steps([("disable", "--now", UNIT)])
        for place in self.folder.glob(f"*.wants/{UNIT}"):  # where there was no manager to do it
            if place.is_symlink():
                place.unlink()
        with suppress(FileNotFoundError):
            os.unlink(self.where)
        if not complaint:
            self._call("daemon-reload")
            self._call("reset-failed", UNIT)  # otherwise one that had failed stays in the lists
        return complaint

    def state(self) -> State:
        """What systemd says."""
        properties = "UnitFileState,ActiveState,SubState,Result,ActiveEnterTimestamp,MainPID,NRestarts"
        ran = self.run([*self._program, "show", UNIT, f"--property={properties}"])
        if not ran.done:
            enabled = any(place.is_symlink() for place in self.folder.glob(f"*.wants/{UNIT}"))
            return State(enabled=enabled, running=None, detail=f"systemd does not answer: {ran.complaint}")
        return state_of(ran.out)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person has to know."""
        if self.system or (self.lingering / self.account.name).exists():
            return ()
        name = shlex.quote(self.account.name)
        return (f"It runs while you are logged in. To have it run always: sudo loginctl enable-linger {name}",)

    def _steps(self, steps: Iterable[tuple[str, ...]]) -> str:
        for step in steps:
            complaint = self._call(*step)
            if complaint:
                return complaint
        return ""

    def _call(self, *words: str) -> str:
        ran = self.run([*self._program, *words])
        return "" if ran.done else ran.complaint

    @property
    def _program(self) -> tuple[str, ...]:
        return ("systemctl",) if self.system else ("systemctl", "--user")


def state_of(shown: str) -> State:
    """What ``systemctl show`` said, in lines of ``Name=value``."""
    found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    active, sub, result = (found.get(name, "") for name in ("ActiveState", "SubState", "Result"))
    running = active in {"active", "reloading", "deactivating"}
    detail = "" if sub == "running" else f"{active} ({sub})"
    if result not in {"", "success"}:
        detail += f", last ended with: {result}"
    return State(
        enabled=found.get("UnitFileState", "").startswith("enabled"),
        running=running,
        since=_moment(found.get("ActiveEnterTimestamp", "")) if running else None,
        pid=int(found.get("MainPID", "0")) or None,
        restarts=int(found["NRestarts"]) if found.get("NRestarts", "").isdigit() else None,
        detail=detail.removeprefix(", "),
    )


def _moment(text: str) -> float | None:
    """``Thu 2025-10-09 08:00:00 UTC`` in seconds since the epoch."""
    with suppress(ValueError):
        at = datetime.strptime(text.partition(" ")[2], "%Y-%m-%d %H:%M:%S UTC")
        return at.replace(tzinfo=UTC).timestamp()
    return None
