import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psm.errors import PsmError
from psm.services.system_service.model import MARK, Account, Service
from psm.services.system_service.systemd import assignment, command_line, state_of, unit_text, user_folder
from tests.services import unit_file

ODD = [
    "a b", "%h %% %", "$HOME ${HOME} $$ $", "'", '"', "\\", "\\n", "tab\tline\nend", "é日本", "\udcff\udc80x", ";", "&",
    "", "~", "*", "-", "@x", "\x01\x7f", "#", "a\u2028b", "end\\", "--config=/a b",
]  # fmt: skip


def service(
    *arguments: str,
    python: str = sys.executable,
    environment: tuple[tuple[str, str], ...] = (),
    system: bool = False,
    owner: str = "ada",
    folder: Path | None = None,
) -> Service:
    account = Account(owner, Path("/home/ada"))
    return Service(account, python, arguments or ("build", "--watch"), environment, folder, system)


# The command line


@pytest.mark.parametrize("word", ODD)
def test_every_argument_arrives_as_it_was(word: str) -> None:
    assert unit_file.command(command_line(["/usr/bin/python3", word, "end"])) == ["/usr/bin/python3", word, "end"]


# What a path or an argument can be: bytes without a NUL.
PATHS = st.binary().filter(lambda b: b"\0" not in b).map(os.fsdecode)


@given(st.lists(PATHS))
def test_any_arguments_arrive_as_they_were(arguments: list[str]) -> None:
    assert unit_file.command(command_line(["/bin/x", *arguments])) == ["/bin/x", *arguments]


@given(PATHS)
def test_any_program_is_found(name: str) -> None:
    program = "/x" + name
    found = unit_file.command(command_line([program, "a"]))
    if found[0] == "/bin/sh":
        assert found[1:] == ["-c", 'exec "$0" "$@"', program, "a"]
    else:
        assert found == [program, "a"]


@pytest.mark.parametrize(
    "name", ["plain", "a b%h é", "it's", 'a"b', "${HOME}", "back\\slash", "not \udcff utf-8", "a\nb"]
)
def test_a_program_with_any_name_runs(tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.write_text('#!/bin/sh\nfor word in "$0" "$@"; do printf "%s\\0" "$word"; done\n')
    program.chmod(0o755)
    arguments = [word for word in ODD if "\0" not in word]
    done = subprocess.run(
        unit_file.command(command_line([str(program), *arguments])), stdout=subprocess.PIPE, check=True
    )
    assert [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]] == [str(program), *arguments]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\t\n")))
def test_any_value_arrives_in_the_environment(value: str) -> None:
    assert unit_file.words(assignment("PSM__A", value)) == [f"PSM__A={value}"]


@pytest.mark.parametrize("value", ["\udcff", "\x01", "a\rb"])
def test_a_value_that_systemd_would_leave_out_is_an_error(value: str) -> None:
    with pytest.raises(PsmError, match="PSM__A"):
        assignment("PSM__A", value)


# The unit


def test_the_unit_of_a_user() -> None:
    found = unit_file.settings(unit_text(service(environment=(("A", "x y"), ("B", "%")))))
    assert unit_file.command(found["Service.ExecStart"][0]) == [sys.executable, "-P", "-m", "psm", "build", "--watch"]
    assert [unit_file.words(value) for value in found["Service.Environment"]] == [["A=x y"], ["B=%"]]
    assert found["Install.WantedBy"] == ["default.target"]
    assert "Service.User" not in found
    assert "Unit.After" not in found


def test_the_unit_of_the_machine_runs_as_the_owner_after_mounts_and_network() -> None:
    found = unit_file.settings(unit_text(service(system=True)))
    assert found["Service.User"] == ["ada"]
    assert found["Install.WantedBy"] == ["multi-user.target"]
    assert {"remote-fs.target", "network-online.target"} <= set(found["Unit.After"][0].split())
    assert found["Service.CapabilityBoundingSet"] == [""]


def test_root_keeps_its_rights_when_it_was_named() -> None:
    assert "Service.CapabilityBoundingSet" not in unit_file.settings(unit_text(service(system=True, owner="root")))


@pytest.mark.parametrize("system", [False, True])
def test_it_is_restarted_for_ever_and_may_write_wherever_its_owner_may(system: bool) -> None:
    text = unit_text(service(system=system))
    found = unit_file.settings(text)
    assert MARK in text
    assert found["Service.Restart"] == ["on-failure"]
    assert found["Unit.StartLimitIntervalSec"] == ["0"]
    assert int(found["Service.TimeoutStopSec"][0]) > 5
    assert found["Service.KillSignal"] == ["SIGTERM"]
    own_view = ("Protect", "Private", "ReadOnly", "Inaccessible", "Temporary", "Bind", "Root", "Dynamic", "Mount")
    assert [key for key in found if key.startswith(tuple(f"Service.{name}" for name in own_view))] == []
    assert [key for key in found if "MountsFor" in key] == []


def test_relative_paths_in_the_environment_count_from_where_it_was_installed() -> None:
    found = unit_file.settings(unit_text(service(folder=Path("/a b/50% é"))))
    assert found["Service.WorkingDirectory"] == ["-/a b/50%% é"]
    with pytest.raises(PsmError, match="plainer name"):
        unit_text(service(folder=Path("/a\nb")))


@pytest.mark.parametrize("python", [sys.executable, '/tmp/it\'s "psm"/python'])
@pytest.mark.parametrize("system", [False, True])
def test_systemd_itself_understands_the_unit(tmp_path: Path, python: str, system: bool) -> None:
    unit = tmp_path / "psm.service"
    unit.write_text(unit_text(service(*ODD, python=python, environment=(("A", "é %h"),), system=system, owner="root")))
    unit_file.settings(unit.read_text())
    simple = tmp_path / "simple.service"
    simple.write_text("[Service]\nExecStart=/bin/sh\n")
    if shutil.which("systemd-analyze") and verified(simple, system) == (0, []):  # elsewhere the reader above has to do
        code, said = verified(unit, system)
        assert [line for line in said if "RestartSteps" not in line and "RestartMaxDelaySec" not in line] == []
        assert code == 0


def verified(unit: Path, system: bool) -> tuple[int, list[str]]:
    command = ["systemd-analyze", *([] if system else ["--user"]), "verify", str(unit)]
    runtime = unit.parent / "run"
    runtime.mkdir(exist_ok=True)
    environment = {**os.environ, "HOME": str(unit.parent), "XDG_RUNTIME_DIR": str(runtime)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, [line for line in (done.stderr + done.stdout).splitlines() if "psm.service" in line]


def test_the_folder_of_units_follows_xdg() -> None:
    assert user_folder(Path("/h"), None) == user_folder(Path("/h"), "") == Path("/h/.config/systemd/user")
    assert user_folder(Path("/h"), "/xdg") == Path("/xdg/systemd/user")
    assert user_folder(Path("/h"), "relative") == Path("/h/.config/systemd/user")


# What systemd says


def test_a_service_that_runs_is_told_with_its_start() -> None:
    state = state_of(
        "MainPID=42\nNRestarts=3\nResult=success\nUnitFileState=enabled\nActiveState=active\nSubState=running\n"
        "ActiveEnterTimestamp=Thu 2025-10-09 08:00:01 UTC\n"
    )
    assert (state.enabled, state.running, state.pid, state.restarts) == (True, True, 42, 3)
    assert state.since == 1759996801
    assert state.detail == ""


def test_a_service_that_waits_for_its_restart_does_not_run() -> None:
    state = state_of("MainPID=0\nResult=exit-code\nUnitFileState=\nActiveState=activating\nSubState=auto-restart\n")
    assert (state.enabled, state.running, state.pid, state.since, state.restarts) == (False, False, None, None, None)
    assert state.detail == "activating (auto-restart), last ended with: exit-code"


def test_a_time_in_another_form_is_no_error() -> None:
    assert state_of("ActiveState=active\nSubState=running\nActiveEnterTimestamp=@17599\n").since is None
