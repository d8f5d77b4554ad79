"""The service on Windows: a task of the Task Scheduler, described by XML."""

import csv
import hashlib
import os
import re
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PureWindowsPath
from xml.etree import ElementTree

from psm.errors import PsmError
from psm.services.system_service.model import MARK, Account, Hints, Ran, Run, Service, State

_NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_RUNNING = "267009"
"""SCHED_S_TASK_RUNNING, as a task's last result: the same in every language, unlike the status beside it."""
_NEVER_RAN = "267011"
_LAST_RUN, _LAST_RESULT = 5, 6

_SETTINGS = {
    # The triggers try to start it every few minutes: one that runs is left alone.
    "MultipleInstancesPolicy": "IgnoreNew",
    "DisallowStartIfOnBatteries": "false",
    "StopIfGoingOnBatteries": "false",
    "AllowHardTerminate": "true",
    "StartWhenAvailable": "true",
    "RunOnlyIfNetworkAvailable": "false",
    "AllowStartOnDemand": "true",
    "Enabled": "true",
    "Hidden": "false",
    "RunOnlyIfIdle": "false",
    "WakeToRun": "false",
    "ExecutionTimeLimit": "PT0S",  # none; without this line, three days
    "Priority": "7",  # below normal, for the processor and the disk
}


def task_name(account: Account, *, system: bool) -> str:
    """The task's name. All accounts share one list of tasks, so that of a user carries the user's name."""
    if system:
        return "psm"
    return "psm-" + re.sub(r'[\\/:*?"<>|.]', "_", account.name.rpartition("\\")[2])


def log_file(account: Account, local_data: str | None = None) -> str:
    """Where psm's output goes; ``local_data`` is ``LOCALAPPDATA``, when the account is the one that installs."""
    folder = PureWindowsPath(local_data) if local_data else PureWindowsPath(account.home) / "AppData" / "Local"
    return str(folder / "psm" / "service.log")


def task_xml(service: Service, *, log: str) -> str:
    """The task, by the Task Scheduler's schema (elements of triggers have an order there).

    Raises :class:`PsmError` for a path that would be taken for a variable.
    """
    command, *arguments = _windowless(service, log)
    line = subprocess.list2cmdline(arguments)
    for text in (command, line):
        if re.search(r"%[^%\s]+%", text):
            raise PsmError(f"Windows would take a part of {text} for a variable. Move it to a path without %.")
    task = ElementTree.Element("Task", {"version": "1.2", "xmlns": _NAMESPACE})
    about = ElementTree.SubElement(task, "RegistrationInfo")
    description = _text(about, "Description", f"{service.title}. {MARK}")
    _add_triggers(ElementTree.SubElement(task, "Triggers"), service)
    principal = ElementTree.SubElement(ElementTree.SubElement(task, "Principals"), "Principal", {"id": "Owner"})
    _text(principal, "UserId", service.account.name)
    # S4U: without a session and without a stored password, at the price of network drives.
    _text(principal, "LogonType", "S4U" if service.system else "InteractiveToken")
    _text(principal, "RunLevel", "LeastPrivilege")
    settings = ElementTree.SubElement(task, "Settings")
    for name, value in _SETTINGS.items():
        _text(settings, name, value)
    restart = ElementTree.SubElement(settings, "RestartOnFailure")
    _text(restart, "Interval", "PT1M")
    _text(restart, "Count", "255")
    action = ElementTree.SubElement(ElementTree.SubElement(task, "Actions", {"Context": "Owner"}), "Exec")
    _text(action, "Command", command)
    _text(action, "Arguments", line)
    _text(action, "WorkingDirectory", str(service.account.home))
    # Windows gives the task back in other words, so what was written is known again by this.
    description.text = f"{description.text} {_digest(ElementTree.tostring(task))}"
    ElementTree.indent(task)
    return '<?xml version="1.0" encoding="UTF-16"?>\n' + ElementTree.tostring(task, encoding="unicode") + "\n"


def _windowless(service: Service, log: str) -> tuple[str, ...]:
    """The command line: without a console window, which somebody would close, and with its output in a file."""
    python = PureWindowsPath(service.python)
    if python.name.lower() == "python.exe":
        python = python.with_name("pythonw.exe")
    return (str(python), "-P", "-m", "psm.cli.logged", log, *service.arguments)


def _add_triggers(triggers: ElementTree.Element, service: Service) -> None:
    """At the start or the logon; and every five minutes, because "restart on failure" gives up after its count, and
    does not see every failure.
    """
    first = ElementTree.SubElement(triggers, "BootTrigger" if service.system else "LogonTrigger")
    _text(first, "Enabled", "true")
    if not service.system:
        _text(first, "UserId", service.account.name)
    again = ElementTree.SubElement(triggers, "TimeTrigger")
    _text(again, "Enabled", "true")
    _text(again, "StartBoundary", "2025-01-01T00:00:00")
    repetition = ElementTree.SubElement(again, "Repetition")
    _text(repetition, "Interval", "PT5M")
    _text(repetition, "StopAtDurationEnd", "false")


def _text(parent: ElementTree.Element, name: str, value: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name)
    element.text = value
    return element


def _digest(content: bytes) -> str:
    return f"[{hashlib.sha256(content).hexdigest()[:16]}]"


@dataclass(frozen=True, slots=True)
class TaskScheduler:
    """The task of ``account`` in the Task Scheduler, whose output is in ``log``."""

    system: bool
    account: Account
    log: str
    run: Run

    @property
    def where(self) -> str:
        """The task, in words."""
        return f"the task {self._name}"

    @property
    def hints(self) -> Hints:
        """What a person types."""
        call, task = "schtasks", f'/TN "{self._name}"'
        return Hints(
            log=f'powershell Get-Content -Wait -Tail 20 "{self.log}"',
            start=f"{call} /Change {task} /ENABLE & {call} /Run {task}",
            stop=f"{call} /Change {task} /DISABLE & {call} /End {task}",
            by_hand=(f"{call} /Run {task}",),
        )

    def text(self, service: Service) -> str:
        """The task's XML."""
        return task_xml(service, log=self.log)

    def found(self) -> str | None:
        """The XML of the task that is there, in Windows' words; None when there is none."""
        ran = self._call("/Query", "/XML")
        return ran.out if ran.done else None

    def is_current(self, found: str, text: str) -> bool:
        """Whether the task that is there was made from ``text``."""
        marks = [re.search(re.escape(MARK) + r" (\[\w+\])", xml) for xml in (found, text)]
        return all(marks) and len({mark[1] for mark in marks if mark}) == 1

    def put(self, text: str) -> str:
        """Registers the task. Returns a complaint, or nothing."""
        handle, name = tempfile.mkstemp(suffix=".xml", prefix="psm-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode("utf-16"))  # what schtasks reads in every version
            ran = self._call("/Create", "/XML", name, "/F")
        finally:
            with suppress(OSError):
                os.unlink(name)
        return "" if ran.done else ran.complaint

    def start(self, *, changed: bool) -> str:
        """Starts it, anew when it ``changed``. Returns a complaint, or nothing."""
        if changed:
            self._call("/End")  # fails when it does not run
        enabled = self._call("/Change", "/ENABLE")
        if not enabled.done:
            return enabled.complaint
        ran = self._call("/Run")  # one that runs is left alone
        return "" if ran.done else ran.complaint

    def remove(self) -> str:
        """Stops and removes it. Returns a complaint, or nothing."""
        self._call("/End")
        ran = self._call("/Delete", "/F")
        return "" if ran.done else ran.complaint

    def state(self) -> State:
        """What the Task Scheduler says."""
        ran = self._call("/Query", "/V", "/FO", "CSV", "/NH")
        if not ran.done:
            return State(enabled=None, running=None, detail=f"the Task Scheduler does not answer: {ran.complaint}")
        xml = self._call("/Query", "/XML").out
        settings = re.search(r"<Settings>.*</Settings>", xml, flags=re.DOTALL)
        disabled = settings is not None and re.search(r"<Enabled>\s*false", settings[0]) is not None
        return state_of(ran.out, enabled=not disabled)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person has to know."""
        if self.system:
            return ("Started with the machine, it has no access to network drives; without --system it has.",)
        return ("It runs while you are logged in.",)

    def _call(self, verb: str, *words: str) -> Ran:
        return self.run(["schtasks", verb, "/TN", self._name, *words])

    @property
    def _name(self) -> str:
        return task_name(self.account, system=self.system)


def state_of(listed: str, *, enabled: bool) -> State:
    """What ``schtasks /Query /V /FO CSV`` said. One line per trigger; all say the same of the task."""
    row = next((row for row in csv.reader(listed.splitlines()) if len(row) > _LAST_RESULT), None)
    if row is None:
        return State(enabled=enabled, running=None, detail="the Task Scheduler says nothing about it")
    result = row[_LAST_RESULT].strip()
    if result == _RUNNING:
        # In the form of this Windows, which nothing can be relied on to read.
        return State(enabled=enabled, running=True, detail=f"since {row[_LAST_RUN]}")
    detail = "never started" if result == _NEVER_RAN else f"last started {row[_LAST_RUN]}, exit code {result}"
    return State(enabled=enabled, running=False, detail=detail)
