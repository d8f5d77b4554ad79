import os
import plistlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from psm.errors import PsmError
from psm.services.system_service import install, status, uninstall
from psm.services.system_service.launchd import Launchd, plist, state_of
from psm.services.system_service.model import MARK, Account, Ran, Service
from psm.services.system_service.running import run
from tests.services.fake_programs import FakePrograms, ready_service

PRINTED = """gui/501/local.psm = {
\tactive count = 1
\tstate = running

\tprogram = /usr/bin/python3
\truns = 3
\tpid = 4242
\tlast exit code = 1

\tspawn type = background (7)
\tsubmitted = {
\t\tstate = waiting
\t\tpid = 1
\t}
}
"""


def service(**given: Any) -> Service:
    return Service(
        Account("ada", Path("/Users/ada")), "/opt/a b/python", ("--config", "/a/é & <b>", "build", "--watch"), **given
    )


def test_the_property_list_says_what_runs_and_when_it_is_started_again() -> None:
    content = plistlib.loads(plist(service(environment=(("A", "1"),))))
    assert content["ProgramArguments"] == [
        "/opt/a b/python",
        "-P",
        "-m",
        "psm",
        "--config",
        "/a/é & <b>",
        "build",
        "--watch",
    ]
    assert content["EnvironmentVariables"] == {"A": "1"}
    assert content["KeepAlive"] == {"SuccessfulExit": False}
    assert content["RunAtLoad"] is True
    assert content["ThrottleInterval"] > 10
    assert content["ExitTimeOut"] > 5
    assert content["StandardOutPath"] == content["StandardErrorPath"] == "/Users/ada/Library/Logs/psm.log"
    assert "UserName" not in content
    assert "WorkingDirectory" not in content
    assert MARK in plist(service()).decode()


def test_a_daemon_runs_as_the_owner() -> None:
    content = plistlib.loads(plist(service(system=True, folder=Path("/x"))))
    assert (content["UserName"], content["WorkingDirectory"]) == ("ada", "/x")


@pytest.mark.parametrize("value", ["\x01", "\udcff"])
def test_what_no_property_list_can_hold_is_an_error(value: str) -> None:
    with pytest.raises(PsmError, match="plainer name"):
        plist(service(environment=(("A", value),)))


def test_what_launchd_prints_is_understood() -> None:
    state = state_of(PRINTED, enabled=True)
    assert (state.running, state.pid, state.restarts, state.detail) == (True, 4242, 2, "")
    waiting = state_of("\tstate = spawn scheduled\n\truns = 1\n\tlast exit code = 2\n", enabled=True)
    assert (waiting.running, waiting.pid, waiting.restarts) == (False, None, 0)
    assert waiting.detail == "spawn scheduled, last exit code 2"
    assert state_of("\tstate = not running\n\tlast exit code = (never exited)\n", enabled=True).detail == "not running"


# With a launchctl


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    """A launchctl that remembers what is loaded; it stays so for a moment after it was unloaded."""
    programs = FakePrograms(tmp_path / "bin", "launchctl", "ps")
    (programs.folder / "printed").write_text(PRINTED)
    programs.on("launchctl", "bootstrap", '[ ! -e "$HERE/loaded" ] || exit 5; touch "$HERE/loaded"')
    programs.on("launchctl", "bootout", 'mv "$HERE/loaded" "$HERE/ending"')
    programs.on(
        "launchctl",
        "print",
        'if [ -e "$HERE/ending" ]; then rm "$HERE/ending"; exit 0; fi\n'
        '[ -e "$HERE/loaded" ] || exit 113; cat "$HERE/printed"',
    )
    programs.on("launchctl", "print-disabled", 'echo "	\\"local.psm\\" => enabled"')
    programs.on("ps", "4242", "echo 'Thu Oct  9 08:00:01 2025'")
    monkeypatch.setenv("PATH", programs.path)
    return programs


@pytest.fixture
def place(tmp_path: Path, programs: FakePrograms) -> Launchd:
    account = Account("ada", tmp_path)
    return Launchd(False, tmp_path / "Library" / "LaunchAgents", account, 501, run, sleep=lambda _: None)


def installed(place: Launchd, *options: str) -> Any:
    wanted = ready_service(place.account.home, *options)
    return install(place, wanted, environment=os.environ, sleep=lambda _: None)


def verbs(programs: FakePrograms) -> list[str]:
    return [call.split()[1] for call in programs.calls() if call.startswith("launchctl")]


def test_it_is_loaded_once_and_anew_when_it_changed(place: Launchd, programs: FakePrograms) -> None:
    done = installed(place)
    assert (done.changed, done.running, done.problem) == (True, True, "")
    calls = programs.calls()
    assert f"launchctl bootstrap gui/501 {place.folder}/local.psm.plist" in calls
    before = os.stat(place.where)
    assert not installed(place).changed
    assert os.stat(place.where).st_mtime_ns == before.st_mtime_ns
    assert {"bootstrap", "bootout"}.isdisjoint(verbs(programs))
    assert installed(place, "--database", "/other.db").changed
    found = verbs(programs)
    assert found.index("bootout") < found.index("bootstrap")
    assert found[found.index("bootout") + 1 : found.index("bootstrap")] == ["print", "print"]  # waited for its end


def test_its_state_has_its_start(place: Launchd) -> None:
    installed(place)
    found = status(place)
    assert (found.installed, found.ours) == (True, True)
    assert (found.state.enabled, found.state.running, found.state.since) == (True, True, 1759996801)


def test_it_is_unloaded_and_removed(place: Launchd, programs: FakePrograms) -> None:
    installed(place)
    assert uninstall(place).problem == ""
    assert not os.path.exists(place.where)
    assert not (programs.folder / "loaded").exists()
    assert not status(place).installed


def test_one_that_is_not_loaded_does_not_run(place: Launchd, programs: FakePrograms) -> None:
    installed(place)
    (programs.folder / "loaded").unlink()
    programs.on("launchctl", "print-disabled", 'echo "	\\"local.psm\\" => disabled"')
    found = status(place).state
    assert (found.enabled, found.running, found.detail) == (False, False, "not loaded")


def test_without_a_session_the_file_is_written_and_the_command_told(place: Launchd, programs: FakePrograms) -> None:
    programs.on("launchctl", "bootstrap", "echo 'Bootstrap failed: 125: Domain does not support this' >&2; exit 125")
    done = installed(place)
    assert not done.running
    assert "Domain does not support this" in done.problem
    assert f"To start it: launchctl bootstrap gui/501 {place.where} (" in done.problem
    assert os.path.exists(place.where)


def test_one_that_does_not_end_is_told(place: Launchd, programs: FakePrograms) -> None:
    installed(place)
    programs.on("launchctl", "bootout", "exit 0")
    assert "it has not ended yet" in uninstall(place).problem


def test_without_launchctl_nothing_is_known(place: Launchd) -> None:
    def no_launchctl(_: object) -> Ran:
        return Ran(None, "", "there is no launchctl here")

    assert Launchd(True, place.folder, place.account, 0, no_launchctl).state().running is None
    assert Launchd(True, place.folder, place.account, 0, no_launchctl).hints.start.startswith(
        "sudo launchctl bootstrap system"
    )


def test_what_somebody_disabled_and_cannot_be_enabled_is_told(place: Launchd, programs: FakePrograms) -> None:
    programs.on("launchctl", "enable", "echo 'Not privileged to set it' >&2; exit 1")
    assert "Not privileged to set it" in installed(place).problem


def test_who_is_logged_in_matters_only_for_an_agent(place: Launchd) -> None:
    assert "--system" in place.notes[0]
    assert replace(place, system=True).notes == ()


def test_a_start_in_another_form_is_no_error(place: Launchd, programs: FakePrograms) -> None:
    installed(place)
    programs.on("ps", "4242", "echo 'Do 9 Okt 08:00:01 2025'")
    assert (status(place).state.running, status(place).state.since) == (True, None)
