import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from psm.errors import PsmError, RefusedError, UsageError
from psm.services.system_service import install, program, status, supervisor, uninstall
from psm.services.system_service.launchd import Launchd
from psm.services.system_service.model import MARK, Account, Service
from psm.services.system_service.running import run
from psm.services.system_service.systemd import Systemd
from psm.services.system_service.windows_task import TaskScheduler
from tests.nobody import shared_folder
from tests.services.fake_programs import FakePrograms, ready_service

SHOWN = "UnitFileState=enabled\nActiveState=active\nSubState=running\nMainPID=42\nNRestarts=0\nResult=success"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    """A systemctl that says that all is well, and links units as the real one does."""
    programs = FakePrograms(tmp_path / "bin", "systemctl")
    wants = f"{tmp_path}/units/default.target.wants"
    programs.on("systemctl", "show", f"cat <<'END'\n{SHOWN}\nEND")
    programs.on("systemctl", "enable", f"mkdir -p {wants}; ln -sf ../psm.service {wants}/psm.service")
    monkeypatch.setenv("PATH", programs.path)
    return programs


@pytest.fixture
def place(tmp_path: Path, programs: FakePrograms) -> Systemd:
    return Systemd(False, tmp_path / "units", Account("ada", tmp_path), run, lingering=tmp_path / "linger")


def installed(place: Systemd, *options: str) -> Any:
    wanted = ready_service(place.account.home, *options)
    return install(place, wanted, environment=os.environ, sleep=lambda _: None)


# Installing


def test_the_unit_is_written_enabled_and_started(place: Systemd, programs: FakePrograms) -> None:
    done = installed(place)
    assert (done.changed, done.running, done.problem) == (True, True, "")
    assert MARK in Path(place.where).read_text()
    assert stat.S_IMODE(os.stat(place.where).st_mode) & 0o444
    assert programs.calls()[:3] == [
        "systemctl --user daemon-reload",
        f"systemctl --user enable {place.where}",
        "systemctl --user start psm.service",
    ]


def test_an_unchanged_unit_is_not_touched(place: Systemd, programs: FakePrograms) -> None:
    installed(place)
    before = os.stat(place.where)
    programs.calls()
    done = installed(place)
    after = os.stat(place.where)
    assert (done.changed, done.running) == (False, True)
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert not any("restart" in call for call in programs.calls())


def test_a_changed_unit_is_written_and_started_anew(place: Systemd, programs: FakePrograms) -> None:
    installed(place)
    programs.calls()
    assert installed(place, "--database", "/other.db").changed
    assert "/other.db" in Path(place.where).read_text()
    assert "systemctl --user restart psm.service" in programs.calls()


@pytest.mark.parametrize("content", ["[Service]\nExecStart=/usr/bin/psm\n", ""])
def test_a_unit_of_somebody_else_stays(place: Systemd, programs: FakePrograms, content: str) -> None:
    place.folder.mkdir()
    Path(place.where).write_text(content)
    with pytest.raises(PsmError, match="did not write"):
        installed(place)
    with pytest.raises(PsmError, match="did not write"):
        uninstall(place)
    assert Path(place.where).read_text() == content
    assert programs.calls() == []
    assert (status(place).installed, status(place).ours) == (True, False)


def test_a_unit_that_is_a_link_stays_one(place: Systemd, tmp_path: Path) -> None:
    installed(place)
    Path(place.where).rename(tmp_path / "kept.service")
    Path(place.where).symlink_to(tmp_path / "kept.service")
    assert installed(place, "--database", "/other.db").changed
    assert Path(place.where).is_symlink()
    assert "/other.db" in (tmp_path / "kept.service").read_text()


def test_without_a_manager_the_unit_is_written_and_the_commands_told(place: Systemd, programs: FakePrograms) -> None:
    programs.on("systemctl", "daemon-reload", "echo 'Failed to connect to bus: No medium found' >&2; exit 1")
    done = installed(place)
    assert (done.changed, done.running) == (True, False)
    assert "Failed to connect to bus: No medium found" in done.problem
    assert f"systemctl --user daemon-reload && systemctl --user enable --now {place.where} (" in done.problem
    assert done.problem.endswith("run: psm build --watch)")
    assert os.path.exists(place.where)


def test_without_systemctl_it_is_the_same(place: Systemd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    done = installed(place)
    assert not done.running
    assert "there is no systemctl here" in done.problem
    assert status(place).state.running is None
    gone = uninstall(place)
    assert gone.removed
    assert "there is no systemctl here" in gone.problem
    assert not os.path.exists(place.where)


def test_a_psm_that_ends_at_once_is_told_with_its_log(place: Systemd, programs: FakePrograms) -> None:
    programs.on("systemctl", "show", "echo ActiveState=activating; echo SubState=auto-restart; echo Result=exit-code")
    done = installed(place)
    assert not done.running
    assert "activating (auto-restart), last ended with: exit-code" in done.problem
    assert done.problem.endswith("journalctl --user -u psm -f")


def test_a_folder_that_cannot_be_written_is_an_error(place: Systemd) -> None:
    place.folder.write_text("no folder")
    with pytest.raises(PsmError, match=r"cannot be written .*psm\.service"):
        installed(place)


def test_lingering_is_told_until_it_is_on(place: Systemd) -> None:
    assert installed(place).notes == (
        "It runs while you are logged in. To have it run always: sudo loginctl enable-linger ada",
    )
    place.lingering.mkdir()
    (place.lingering / "ada").touch()
    assert installed(place).notes == ()
    assert replace(place, system=True, lingering=Path("/none")).notes == ()


# Removing, and asking


def test_it_is_stopped_disabled_and_removed(place: Systemd, programs: FakePrograms) -> None:
    installed(place)
    (place.folder / "other.service").write_text("")
    programs.calls()
    done = uninstall(place)
    assert (done.removed, done.problem) == (True, "")
    assert programs.calls()[0] == "systemctl --user disable --now psm.service"
    left = [path.name for path in place.folder.rglob("*") if not path.is_dir()]
    assert left == ["other.service"]
    assert not uninstall(place).removed


def test_a_unit_that_cannot_be_removed_is_an_error(place: Systemd, programs: FakePrograms) -> None:
    installed(place)
    # Meanwhile something else has taken its name.
    programs.on("systemctl", "disable", f"rm '{place.where}'; mkdir '{place.where}'")
    with pytest.raises(PsmError, match=r"cannot be removed .*psm\.service.*: Is a directory"):
        uninstall(place)


def test_what_runs_is_told(place: Systemd) -> None:
    assert not status(place).installed
    installed(place)
    found = status(place)
    assert (found.installed, found.ours) == (True, True)
    assert (found.state.enabled, found.state.running, found.state.pid) == (True, True, 42)


def test_a_program_that_does_not_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psm.services.system_service.running._PATIENCE_S", 0.01)
    assert run(["sleep", "60"]).err == "sleep did not answer for 0 seconds"


def test_a_program_that_may_not_be_run_is_no_exception(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("no program")
    ran = run([str(tmp_path / "program")])
    assert (ran.code, ran.done) == (None, False)
    assert ran.complaint.endswith("cannot be run: Permission denied")


# What runs


def made(**given: Any) -> Service:
    asked = {"system": False, "stage": "build", "config_file": None, "database_file": None, "environment": {}, **given}
    return program.service_of(Account("ada", Path("/home/ada")), **asked)


def test_psm_is_run_by_its_own_python(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made().command == (sys.executable, "-P", "-m", "psm", "build", "--watch")
    assert made(stage="scan").command[-2:] == ("scan", "--watch")
    with pytest.raises(PsmError, match="pipx"):
        made(python="")


def test_files_are_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = made(config_file=Path("psm.yaml"), database_file=Path("../x.db"))
    assert found.arguments[:4] == ("--config", f"{tmp_path}/psm.yaml", "--database", f"{tmp_path.parent}/x.db")


def test_what_decides_about_the_database_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shell = {
        "XDG_DATA_HOME": "/d",
        "XDG_CONFIG_HOME": "",
        "PSM__MATCH__THRESHOLD": "0.9",
        "PSM_DEBUG": "1",
        "HOME": "/h",
    }
    found = made(environment=shell)
    assert dict(found.environment) == {"PSM__MATCH__THRESHOLD": "0.9", "PYTHONUNBUFFERED": "1", "XDG_DATA_HOME": "/d"}
    assert found.folder == tmp_path
    assert "XDG_DATA_HOME" not in dict(made(environment=shell, system=True).environment)
    assert made(environment={"XDG_DATA_HOME": "/d"}).folder is None


def test_a_configuration_with_a_mistake_changes_nothing(place: Systemd, programs: FakePrograms, tmp_path: Path) -> None:
    (tmp_path / "psm.yaml").write_text("nonsense: 1\n")
    with pytest.raises(PsmError, match=r"(?s)would not start as a service, so nothing was changed: .*nonsense"):
        installed(place, "--config", f"{tmp_path}/psm.yaml")
    assert not place.folder.exists()
    assert programs.calls() == []


def test_a_psm_that_only_this_shell_finds_is_noticed(place: Systemd, tmp_path: Path) -> None:
    wanted = replace(ready_service(tmp_path), python=f"{tmp_path}/no python")
    with pytest.raises(PsmError, match=r"there is no .*/no python here"):
        install(place, wanted, environment=os.environ)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a service of somebody else")
def test_a_psm_that_its_owner_may_not_read_is_noticed() -> None:
    with shared_folder() as folder:
        (folder / "python").symlink_to(sys.executable)
        hidden = folder / "hidden"
        hidden.mkdir(mode=0o700)
        (hidden / "python").write_text("#!/bin/sh\nexit 0\n")
        (hidden / "python").chmod(0o755)
        ready = replace(ready_service(folder), account=Account("nobody", folder), system=True)
        program.check_that_it_starts(replace(ready, python="/bin/true"), os.environ)
        with pytest.raises(PsmError, match=r"as a service as nobody, .*Permission denied"):
            program.check_that_it_starts(replace(ready, python=str(hidden / "python")), os.environ)


# Whose service it is


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_the_services_owner_is_who_called_sudo(root: None) -> None:
    assert program.account_of(None, system=True, environment={"SUDO_USER": "nobody"}).name == "nobody"
    assert program.account_that_asks(system=True, environment={"SUDO_USER": "nobody"}).name == "nobody"


def test_a_service_of_root_has_to_be_asked_for(root: None) -> None:
    for environment in ({}, {"SUDO_USER": "root"}):
        with pytest.raises(RefusedError, match="--user NAME"):
            program.account_of(None, system=True, environment=environment)
    assert program.account_of("root", system=True, environment={}).home == Path("/root")


def test_sudo_makes_no_service_of_roots_own(root: None) -> None:
    with pytest.raises(RefusedError, match="Without sudo it is ada's"):
        program.account_of(None, system=False, environment={"SUDO_USER": "ada"})
    assert program.account_of(None, system=False, environment={}).name == "root"


def test_a_user_that_is_none_is_an_error_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"There is no user nobod\. .*nobody"):
        program.account_of("nobod", system=True, environment={})
    with pytest.raises(UsageError, match="goes with --system"):
        program.account_of("nobody", system=False, environment={})


def test_an_account_without_a_name_has_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert program.account_that_asks(system=False, environment={}).name == "54321"


def test_an_account_without_a_home_has_no_service_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(UsageError, match="no home"):
        program.account_that_asks(system=False, environment={})


def test_windows_knows_accounts_by_their_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "os", SimpleNamespace(name="nt"))
    shell = {"USERDOMAIN": "HOME", "USERNAME": "ada"}
    assert program.account_of(None, system=False, environment=shell) == Account(r"HOME\ada", Path.home())
    assert program.account_that_asks(system=True, environment=shell).name == r"HOME\ada"
    assert program.account_of(r"HOME\bob", system=True, environment=shell).home == Path.home().parent / "bob"


# Which supervisor


def test_each_system_has_its_own(tmp_path: Path) -> None:
    ada = Account("ada", tmp_path)

    def found(platform: str, *, system: bool, **environment: str) -> Any:
        return supervisor(ada, system=system, environment=environment, platform=platform)

    assert isinstance(found("win32", system=False), TaskScheduler)
    assert found("win32", system=False, LOCALAPPDATA="D:\\L").log == r"D:\L\psm\service.log"
    assert isinstance(found("darwin", system=False), Launchd)
    assert found("darwin", system=False).where == f"{tmp_path}/Library/LaunchAgents/local.psm.plist"
    assert found("darwin", system=True).where == "/Library/LaunchDaemons/local.psm.plist"
    assert isinstance(found("linux", system=False), Systemd)
    assert found("linux", system=False).where == f"{tmp_path}/.config/systemd/user/psm.service"
    assert found("linux", system=False, XDG_CONFIG_HOME="/x").where == "/x/systemd/user/psm.service"
    assert found("linux", system=True).where == "/etc/systemd/system/psm.service"
    with pytest.raises(PsmError, match="psm build --watch"):
        found("freebsd14", system=False)


def test_the_machines_service_needs_root(place: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(place)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    machine = replace(place, system=True)
    with pytest.raises(PsmError, match=r"sudo .* -m psm service uninstall --system"):
        uninstall(machine)
    with pytest.raises(PsmError, match=r"sudo .* -m psm service install --system"):
        installed(machine, "--database", "/other.db")
    assert os.path.exists(place.where)
