"""``psm service``: psm as a service of the system, which keeps it running."""

import os
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from psm.cli.app import app
from psm.cli.session import JsonOption, exit_code, session

if TYPE_CHECKING:
    from psm.services.system_service import Supervisor
    from psm.services.system_service.model import Hints, Installed, ServiceStatus

service = typer.Typer(help="Keep psm running: systemd, launchd or a Windows task.", no_args_is_help=True)
app.add_typer(service, name="service")

SystemOption = Annotated[
    bool, typer.Option("--system", help="The machine's service, which starts without anybody logging in.")
]


@service.command(
    epilog="Examples:  psm service install  ·  psm --config ~/psm.yaml service install --scan-only"
    "  ·  psm service install --print  ·  psm service install --system --user ada"
)
def install(
    context: typer.Context,
    system: SystemOption = False,
    user: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose music it is, with --system; without, who called sudo."),
    ] = None,
    scan_only: Annotated[
        bool, typer.Option("--scan-only", help="Follow the music only: no matching, playlists or reports.")
    ] = False,
    show: Annotated[bool, typer.Option("--print", help="Show what would be written, and change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Have the system run psm build --watch from now on, and start it again when it fails.

    Does nothing when it is so already. --config, --database and settings in the environment go into the service.
    """
    from psm.cli import render
    from psm.services.system_service import install as install_service
    from psm.services.system_service import supervisor
    from psm.services.system_service.program import account_of, service_of

    account = account_of(user, system=system, environment=os.environ)
    place = supervisor(account, system=system, environment=os.environ)
    chosen = session(context)
    wanted = service_of(
        account,
        system=system,
        stage="scan" if scan_only else "build",
        config_file=chosen.config_path,
        database_file=chosen.database_path,
        environment=os.environ,
    )
    if show:
        text = place.text(wanted)
        render.as_json({"where": place.where, "text": text}) if json else render.lines(text.splitlines())
        return
    done = install_service(place, wanted, environment=os.environ)
    if json:
        render.as_json(_installed_json(done))
    else:
        _show_installed(done)
    raise typer.Exit(exit_code(failed=not done.running))


@service.command(epilog="Examples:  psm service uninstall  ·  sudo psm service uninstall --system")
def uninstall(system: SystemOption = False, json: JsonOption = False) -> None:
    """Stop the service and remove it. The database and everything else stays."""
    from psm.cli import render
    from psm.services.system_service import uninstall as uninstall_service

    done = uninstall_service(_place(system=system))
    if json:
        render.as_json({"where": done.where, "removed": done.removed, "problem": done.problem})
    else:
        render.line(f"Removed: {done.where}" if done.removed else f"Not installed: {done.where}")
        if done.problem:
            render.error(done.problem)
    raise typer.Exit(exit_code(failed=bool(done.problem)))


@service.command(epilog="Examples:  psm service status  ·  psm service status --system --json")
def status(system: SystemOption = False, json: JsonOption = False) -> None:
    """Say whether the service is installed and runs, and where its log is. Exit code 1 when it does not run."""
    from psm.cli import render
    from psm.services.system_service import status as service_status

    found = service_status(_place(system=system))
    if json:
        render.as_json(_status_json(found))
    else:
        _show_status(found)
    raise typer.Exit(exit_code(failed=not found.state.running))


def _place(*, system: bool) -> "Supervisor":
    from psm.services.system_service import supervisor
    from psm.services.system_service.program import account_that_asks

    account = account_that_asks(system=system, environment=os.environ)
    return supervisor(account, system=system, environment=os.environ)


def _installed_json(done: "Installed") -> dict[str, object]:
    return {
        "where": done.where,
        "changed": done.changed,
        "running": done.running,
        "problem": done.problem,
        "notes": list(done.notes),
        **_hints_json(done.hints),
    }


def _show_installed(done: "Installed") -> None:
    from psm.cli import render

    render.line(f"{'Written' if done.changed else 'Unchanged'}: {done.where}")
    if done.running:
        render.line("psm runs, and will be started again whenever it fails.")
        _show_hints(done.hints)
    else:
        render.error(done.problem)
    for sentence in done.notes:
        render.note(sentence)


def _status_json(found: "ServiceStatus") -> dict[str, object]:
    state = found.state
    return {
        "where": found.where,
        "installed": found.installed,
        "by_psm": found.ours,
        "enabled": state.enabled,
        "running": state.running,
        "since": None if state.since is None else _moment(state.since).isoformat(timespec="seconds"),
        "pid": state.pid,
        "restarts": state.restarts,
        "detail": state.detail,
        **_hints_json(found.hints),
    }


def _show_status(found: "ServiceStatus") -> None:
    from psm.cli import render

    if not found.installed:
        render.line(f"Not installed: {found.where}")
        render.line("Install it with: psm service install")
        return
    state = found.state
    render.line(f"Installed: {found.where}" + ("" if found.ours else " (not written by psm)"))
    render.line(f"Enabled:   {_answer(state.enabled)}")
    render.line(f"Running:   {_answer(state.running)}{_since(found)}")
    if state.detail:
        render.line(f"State:     {state.detail}")
    if state.restarts:
        render.line(f"Restarts:  {state.restarts:,}")
    _show_hints(found.hints)


def _show_hints(hints: "Hints") -> None:
    from psm.cli import render

    render.line(f"Log:       {hints.log}")
    render.line(f"Start:     {hints.start}")
    render.line(f"Stop:      {hints.stop}")


def _hints_json(hints: "Hints") -> dict[str, object]:
    return {"log": hints.log, "start": hints.start, "stop": hints.stop}


def _answer(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[value]


def _since(found: "ServiceStatus") -> str:
    if found.state.since is None:
        return ""
    pid = "" if found.state.pid is None else f" (process {found.state.pid})"
    return f", since {_moment(found.state.since):%Y-%m-%d %H:%M:%S}{pid}"


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at).astimezone()
