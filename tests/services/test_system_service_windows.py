import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from psm.errors import PsmError
from psm.services.system_service import install, status, uninstall
from psm.services.system_service.model import MARK, Account, Service
from psm.services.system_service.running import run
from psm.services.system_service.windows_task import TaskScheduler, log_file, state_of, task_name, task_xml
from tests.services.fake_programs import FakePrograms, ready_service

ADA = Account(r"HOME\ada", Path("/Users/ada"))
LOG = r"C:\Users\ada\psm\service.log"
NAMES = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}


def service(*arguments: str, python: str = r"C:\psm 1\Scripts\python.exe", system: bool = False) -> Service:
    return Service(ADA, python, arguments or ("build", "--watch"), system=system)


def parsed(xml: str) -> ElementTree.Element:
    return ElementTree.fromstring(xml.encode("utf-16"))


def text(task: ElementTree.Element, path: str) -> str | None:
    return task.findtext("/".join(f"t:{name}" for name in path.split("/")), namespaces=NAMES)


def test_a_task_starts_at_logon_without_a_window_and_without_an_end() -> None:
    task = parsed(task_xml(service("--config", r"C:\Ä b\<psm> & co.yaml", "build", "--watch"), log=LOG))
    assert text(task, "Actions/Exec/Command") == r"C:\psm 1\Scripts\pythonw.exe"
    assert text(task, "Actions/Exec/Arguments") == subprocess.list2cmdline(
        ["-P", "-m", "psm.cli.logged", LOG, "--config", r"C:\Ä b\<psm> & co.yaml", "build", "--watch"]
    )
    assert text(task, "Principals/Principal/LogonType") == "InteractiveToken"
    assert text(task, "Triggers/LogonTrigger/UserId") == text(task, "Principals/Principal/UserId") == r"HOME\ada"
    assert text(task, "Settings/ExecutionTimeLimit") == "PT0S"
    assert text(task, "Settings/DisallowStartIfOnBatteries") == text(task, "Settings/StopIfGoingOnBatteries") == "false"
    assert text(task, "Settings/RestartOnFailure/Interval") == "PT1M"
    assert 1 <= int(text(task, "Settings/RestartOnFailure/Count") or 0) <= 255


def test_it_is_tried_again_for_ever_and_never_twice_at_a_time() -> None:
    task = parsed(task_xml(service(), log=LOG))
    assert text(task, "Triggers/TimeTrigger/Repetition/Interval") == "PT5M"
    assert text(task, "Triggers/TimeTrigger/Repetition/Duration") is None
    assert text(task, "Settings/MultipleInstancesPolicy") == "IgnoreNew"
    # The schema gives the elements of triggers an order.
    [trigger] = task.findall("t:Triggers/t:TimeTrigger", NAMES)
    assert [child.tag.rpartition("}")[2] for child in trigger] == ["Enabled", "StartBoundary", "Repetition"]


def test_the_task_of_the_machine_starts_with_it_as_its_owner() -> None:
    task = parsed(task_xml(service(system=True), log=LOG))
    assert text(task, "Triggers/BootTrigger/Enabled") == "true"
    assert text(task, "Triggers/LogonTrigger/Enabled") is None
    assert text(task, "Principals/Principal/LogonType") == "S4U"
    assert text(task, "Principals/Principal/UserId") == r"HOME\ada"


def test_what_windows_would_take_for_a_variable_is_an_error() -> None:
    with pytest.raises(PsmError, match="without %"):
        task_xml(service("--config", r"C:\%HOME%\x"), log=LOG)
    task_xml(service("--config", r"C:\50% of 100%\x"), log=LOG)


def test_each_user_has_a_task_of_their_own() -> None:
    assert task_name(ADA, system=False) == "psm-ada"
    assert task_name(Account(r"D\a/b:c", Path("/")), system=False) == "psm-a_b_c"
    assert task_name(ADA, system=True) == "psm"


def test_the_log_is_in_the_local_data_of_the_owner() -> None:
    assert log_file(ADA, r"D:\Local") == r"D:\Local\psm\service.log"
    assert log_file(ADA) == r"\Users\ada\AppData\Local\psm\service.log"


def row(result: str) -> str:
    return (
        f'"PC","\\psm-ada","N/A","Wird ausgeführt","Interaktiv","09.10.2025 08:00:01","{result}","ada","x, y","N/A"\n'
    )


def test_whether_it_runs_is_known_in_every_language() -> None:
    assert state_of(row("267009") * 2, enabled=True).running is True
    assert state_of(row("267009"), enabled=True).detail == "since 09.10.2025 08:00:01"
    ended = state_of(row("1"), enabled=False)
    assert (ended.enabled, ended.running) == (False, False)
    assert ended.detail == "last started 09.10.2025 08:00:01, exit code 1"
    assert state_of(row("267011"), enabled=True).detail == "never started"
    assert state_of("\n", enabled=True).running is None


# With a schtasks


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    """A schtasks that keeps the XML that it is given, and tells it in other words, as Windows does."""
    programs = FakePrograms(tmp_path / "bin", "schtasks")
    programs.on(
        "schtasks",
        "Create",
        'cp "$5" "$HERE/task.xml"; iconv -f UTF-16 -t UTF-8 "$5" | tr -d "\\n" > "$HERE/task"; rm -f "$HERE/off"',
    )
    (programs.folder / "row").write_text(row("267009"))
    programs.on(
        "schtasks",
        "Query",
        '[ -e "$HERE/task" ] || { echo "ERROR: The system cannot find the file specified." >&2; exit 1; }\n'
        'case "$*" in */XML*) if [ -e "$HERE/off" ]; then sed "s,<Enabled>true,<Enabled>false,g" "$HERE/task"; '
        'else cat "$HERE/task"; fi;; *) cat "$HERE/row";; esac',
    )
    programs.on("schtasks", "Delete", 'rm "$HERE/task"')
    monkeypatch.setenv("PATH", programs.path)
    return programs


@pytest.fixture
def place(programs: FakePrograms) -> TaskScheduler:
    return TaskScheduler(False, ADA, LOG, run)


def installed(place: TaskScheduler, folder: Path, *options: str) -> Any:
    return install(place, ready_service(folder, *options), environment=os.environ, sleep=lambda _: None)


def test_the_task_is_registered_once_and_again_when_it_changed(
    place: TaskScheduler, programs: FakePrograms, tmp_path: Path
) -> None:
    done = installed(place, tmp_path)
    assert (done.changed, done.running, done.problem) == (True, True, "")
    xml = (programs.folder / "task.xml").read_bytes()
    assert xml.startswith(b"\xff\xfe")
    assert MARK in (text(ElementTree.fromstring(xml), "RegistrationInfo/Description") or "")
    calls = programs.calls()
    assert "schtasks /Run /TN psm-ada" in calls
    assert not any("/End" in call for call in calls)
    assert not installed(place, tmp_path).changed
    assert not any("/Create" in call for call in programs.calls())
    assert installed(place, tmp_path, "--database", "/other.db").changed
    words = [call.split()[1] for call in programs.calls()]
    assert words.index("/Create") < words.index("/End") < words.index("/Run")


def test_no_file_is_left_behind(place: TaskScheduler, programs: FakePrograms, tmp_path: Path) -> None:
    installed(place, tmp_path)
    [call] = [call for call in programs.calls() if "/Create" in call]
    assert not os.path.exists(call.split()[5])


def test_its_state_is_told(place: TaskScheduler, programs: FakePrograms, tmp_path: Path) -> None:
    assert not status(place).installed
    installed(place, tmp_path)
    assert (status(place).state.enabled, status(place).state.running) == (True, True)
    (programs.folder / "off").touch()
    (programs.folder / "row").write_text(row("1"))
    assert (status(place).state.enabled, status(place).state.running) == (False, False)


def test_it_is_ended_and_removed(place: TaskScheduler, programs: FakePrograms, tmp_path: Path) -> None:
    installed(place, tmp_path)
    programs.calls()
    assert uninstall(place).removed
    words = [call.split()[1] for call in programs.calls()]
    assert words.index("/End") < words.index("/Delete")
    assert not uninstall(place).removed


def test_a_task_of_somebody_else_stays(place: TaskScheduler, programs: FakePrograms, tmp_path: Path) -> None:
    (programs.folder / "task").write_text("<Task/>")
    with pytest.raises(PsmError, match="did not write"):
        installed(place, tmp_path)
    with pytest.raises(PsmError, match="did not write"):
        uninstall(place)
    assert (programs.folder / "task").read_text() == "<Task/>"


def test_one_that_may_not_be_registered_or_removed_is_an_error(
    place: TaskScheduler, programs: FakePrograms, tmp_path: Path
) -> None:
    installed(place, tmp_path)
    denied = "echo 'ERROR: Access is denied.' >&2; exit 1"
    programs.on("schtasks", "Create", denied)
    programs.on("schtasks", "Delete", denied)
    with pytest.raises(PsmError, match="Access is denied"):
        installed(place, tmp_path, "--database", "/other.db")
    with pytest.raises(PsmError, match="Access is denied"):
        uninstall(place)


def test_one_that_cannot_be_enabled_or_asked_about_is_told(
    place: TaskScheduler, programs: FakePrograms, tmp_path: Path
) -> None:
    programs.on("schtasks", "Change", "echo 'ERROR: Access is denied.' >&2; exit 1")
    assert "Access is denied" in installed(place, tmp_path).problem
    (programs.folder / "task").unlink()
    state = place.state()
    assert (state.enabled, state.running) == (None, None)
    assert "cannot find the file" in state.detail


def test_network_drives_are_told_of_with_the_machines_task(place: TaskScheduler) -> None:
    assert place.notes == ("It runs while you are logged in.",)
    assert "network drives" in replace(place, system=True).notes[0]
