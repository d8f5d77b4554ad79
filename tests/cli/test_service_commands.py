from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.services import unit_file
from tests.services.fake_programs import FakePrograms

SHOWN = (
    "echo UnitFileState=enabled; echo ActiveState=active; echo SubState=running; echo MainPID=42; echo NRestarts=1234; "
    "echo Result=success; echo 'ActiveEnterTimestamp=Thu 2025-10-09 08:00:01 UTC'"
)
DEAD = "echo UnitFileState=enabled; echo ActiveState=failed; echo SubState=failed; echo Result=exit-code"


@pytest.fixture(autouse=True)
def programs(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    programs = FakePrograms(cli.home.parent / "bin", "systemctl")
    programs.on("systemctl", "show", SHOWN)
    monkeypatch.setenv("PATH", programs.path)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr("psm.services.system_service.SETTLES_S", 0)
    monkeypatch.setattr("psm.services.system_service.systemd.SYSTEM_FOLDER", cli.home.parent / "etc")
    return programs


@pytest.fixture
def unit(cli: Cli) -> Path:
    return cli.home / ".config" / "systemd" / "user" / "psm.service"


def command(unit: Path) -> list[str]:
    return unit_file.command(unit_file.settings(unit.read_text())["Service.ExecStart"][0])


def test_it_is_installed_asked_about_and_removed(cli: Cli, unit: Path, programs: FakePrograms) -> None:
    said = cli("service", "install")
    assert said.out.splitlines() == [
        f"Written: {unit}",
        "psm runs, and will be started again whenever it fails.",
        "Log:       journalctl --user -u psm -f",
        "Start:     systemctl --user start psm.service",
        "Stop:      systemctl --user stop psm.service",
    ]
    assert "loginctl enable-linger" in said.err
    assert cli("service", "install").out.startswith(f"Unchanged: {unit}\n")
    lines = cli("service", "status").out.splitlines()
    assert lines[:2] == [f"Installed: {unit}", "Enabled:   yes"]
    assert lines[2].startswith("Running:   yes, since 2025-10-")
    assert lines[2].endswith(" (process 42)")
    assert lines[3] == "Restarts:  1,234"
    assert cli("service", "uninstall").out == f"Removed: {unit}\n"
    assert cli("service", "uninstall").out == f"Not installed: {unit}\n"
    assert "psm service install" in cli("service", "status", code=1).out
    assert not unit.exists()


def test_the_documents_have_the_same(cli: Cli, unit: Path) -> None:
    hints = {
        "log": "journalctl --user -u psm -f",
        "start": "systemctl --user start psm.service",
        "stop": "systemctl --user stop psm.service",
    }
    found = cli.json("service", "install")
    assert found.pop("notes")[0].startswith("It runs while you are logged in.")
    assert found == {"where": str(unit), "changed": True, "running": True, "problem": "", **hints}
    found = cli.json("service", "status")
    assert found.pop("since").startswith("2025-10-")
    assert found == {
        "where": str(unit),
        "installed": True,
        "by_psm": True,
        "enabled": True,
        "running": True,
        "pid": 42,
        "restarts": 1234,
        "detail": "",
        **hints,
    }
    assert cli.json("service", "uninstall") == {"where": str(unit), "removed": True, "problem": ""}
    found = cli.json("service", "status", code=1)
    assert (found["installed"], found["running"], found["since"]) == (False, False, None)


def test_the_service_has_the_options_of_this_psm(cli: Cli, unit: Path) -> None:
    (cli.home / "my psm.yaml").write_text("")
    cli("--config", "my psm.yaml", "--database", "x.db", "service", "install", "--scan-only")
    home = str(cli.home)
    options = ["--config", f"{home}/my psm.yaml", "--database", f"{home}/x.db"]
    assert command(unit)[4:] == [*options, "scan", "--watch"]


def test_a_configuration_named_by_the_environment_goes_along(
    cli: Cli, unit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cli.home / "psm.yaml").write_text("")
    monkeypatch.setenv("PSM_CONFIG", "psm.yaml")
    cli("service", "install")
    assert command(unit)[4:] == ["--config", f"{cli.home}/psm.yaml", "build", "--watch"]


def test_it_is_shown_without_being_installed(cli: Cli, unit: Path, programs: FakePrograms) -> None:
    text = cli("service", "install", "--print").out
    assert "Service.ExecStart" in unit_file.settings(text)
    assert cli.json("service", "install", "--print") == {"where": str(unit), "text": text}
    assert not unit.exists()
    assert programs.calls() == []
    assert "User=nobody" in cli("service", "install", "--print", "--system", "--user", "nobody").out.splitlines()


def test_a_service_that_could_not_be_started_is_exit_code_1(cli: Cli, unit: Path, programs: FakePrograms) -> None:
    programs.on("systemctl", "daemon-reload", "echo 'Failed to connect to bus: No medium found' >&2; exit 1")
    said = cli("service", "install", code=1)
    assert said.out == f"Written: {unit}\n"
    assert "Error: The service is written, but was not started: Failed to connect to bus" in said.err
    assert "No medium found" in cli.json("service", "install", code=1)["problem"]
    programs.on("systemctl", "disable", "echo 'Failed to connect to bus: No medium found' >&2; exit 1")
    assert "No medium found" in cli("service", "uninstall", code=1).err


def test_one_that_has_failed_is_exit_code_1_with_why(cli: Cli, programs: FakePrograms) -> None:
    cli("service", "install")
    programs.on("systemctl", "show", DEAD)
    lines = cli("service", "status", code=1).out.splitlines()
    assert "Running:   no" in lines
    assert "State:     failed (failed), last ended with: exit-code" in lines


def test_what_somebody_else_wrote_is_told_and_stays(cli: Cli, unit: Path) -> None:
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/usr/bin/psm\n")
    assert f"Installed: {unit} (not written by psm)" in cli("service", "status").out
    assert "did not write" in cli("service", "install", code=1).err
    assert "did not write" in cli("service", "uninstall", code=1).err
    assert unit.exists()


def test_the_service_of_the_machine(cli: Cli, monkeypatch: pytest.MonkeyPatch, programs: FakePrograms) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    said = cli("service", "install", "--system", code=3)
    assert "--user NAME" in said.err
    cli("service", "install", "--system", "--user", "root")
    unit = cli.home.parent / "etc" / "psm.service"
    assert unit_file.settings(unit.read_text())["Service.User"] == ["root"]
    assert programs.calls()[:2] == ["systemctl daemon-reload", f"systemctl enable {unit}"]
    assert "Log:       journalctl -u psm -f" in cli("service", "status", "--system").out
    cli("service", "uninstall", "--system")
    assert not unit.exists()


def test_a_user_without_the_machine_is_wrong_use(cli: Cli) -> None:
    assert "--system" in cli("service", "install", "--user", "ada", code=2).err
