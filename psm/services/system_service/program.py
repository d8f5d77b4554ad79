"""What the service runs, and proof that it starts: the account, the command line, the environment that goes with it."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from psm.config.values import nearest
from psm.errors import PsmError, RefusedError, UsageError
from psm.services.system_service.model import Account, Ran, Service, in_order
from psm.services.system_service.running import run

CARRIED = ("XDG_CONFIG_HOME", "XDG_DATA_HOME")
SETTINGS = "PSM__"
"""What the variables that are settings begin with."""


def service_of(
    account: Account,
    *,
    system: bool,
    stage: str,
    config_file: Path | None,
    database_file: Path | None,
    environment: Mapping[str, str],
    python: str = sys.executable,
) -> Service:
    """``psm STAGE --watch`` with what this psm was told: the service must not end up with another database.

    ``environment`` is this process's. The folders of XDG belong to who runs psm now, so a service for another account
    goes without them.
    """
    if not python:
        raise PsmError(
            "psm cannot tell which Python runs it. Install it with pipx, and install the service from there."
        )
    options: list[str] = []
    for name, file in (("--config", config_file), ("--database", database_file)):
        if file is not None:
            options += [name, os.path.abspath(file)]
    settings = {k: v for k, v in environment.items() if k.startswith(SETTINGS) and v}
    own = {} if system else {k: environment[k] for k in CARRIED if environment.get(k)}
    return Service(
        account=account,
        python=python,
        arguments=(*options, stage, "--watch"),
        # The log shows each line when it is said.
        environment=in_order({**own, **settings, "PYTHONUNBUFFERED": "1"}),
        folder=Path.cwd() if settings else None,
        system=system,
    )


def account_of(name: str | None, *, system: bool, environment: Mapping[str, str]) -> Account:
    """Whose service it becomes: ``name``, else who called sudo, else who runs psm.

    Raises :class:`RefusedError` when that would be root without having been named, :class:`UsageError` for a user that
    does not exist.
    """
    if name is not None and not system:
        raise UsageError("--user goes with --system: without it the service is your own.")
    if os.name == "nt":
        return _windows_account(name, environment)
    caller = environment.get("SUDO_USER")
    if system:
        account = _account_named(name or caller or _own_name())
        if account.name == "root" and name is None:
            raise RefusedError(
                "The service would run as root, whose playlists you could not change. Name the library's owner with "
                "--user NAME; --user root means it."
            )
        return account
    if os.geteuid() == 0 and caller not in {None, "root"}:
        raise RefusedError(
            f"With sudo the service would be root's own. Without sudo it is {caller}'s; with --system it starts with "
            "the machine."
        )
    return _own_account()


def account_that_asks(*, system: bool, environment: Mapping[str, str]) -> Account:
    """Whose service is meant when nothing is to be made."""
    if os.name == "nt":
        return _windows_account(None, environment)
    caller = environment.get("SUDO_USER")
    return _account_named(caller) if system and caller else _own_account()


def _account_named(name: str) -> Account:
    import pwd

    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        near = nearest(name, [e.pw_name for e in pwd.getpwall()])
        raise UsageError(f"There is no user {name}.{near}") from None
    return Account(entry.pw_name, Path(entry.pw_dir))


def _own_account() -> Account:
    try:
        return Account(_own_name(), Path.home())
    except RuntimeError:
        raise UsageError("This account has no home, so no place for a service of its own. Use --system.") from None


def _own_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # some containers
        return str(os.geteuid())


def _windows_account(name: str | None, environment: Mapping[str, str]) -> Account:
    own = "\\".join(environment[k] for k in ("USERDOMAIN", "USERNAME") if environment.get(k))
    home = Path.home()
    return Account(own, home) if name is None else Account(name, home.parent / name.rpartition("\\")[2])


def check_that_it_starts(service: Service, environment: Mapping[str, str]) -> None:
    """Runs psm as the service will: with that account and nothing of this shell's environment.

    It finds what only shows when nobody looks: a Python or a configuration that the account may not read, a package
    found by PYTHONPATH alone, a mistake in the configuration. Raises :class:`PsmError` with what it said.
    """
    ran = _checked(service, environment)
    if not ran.done:
        said = ran.err.strip() or ran.out.strip()
        whom = f" as {service.account.name}" if service.system else ""
        raise PsmError(f"psm would not start as a service{whom}, so nothing was changed: {said}")


def _checked(service: Service, environment: Mapping[str, str]) -> Ran:
    options = service.arguments[: -len(("stage", "--watch"))]
    command = [service.python, "-P", "-m", "psm", *options, "config", "check"]
    if os.name == "nt":
        return run(command)
    bare = {k: environment[k] for k in ("PATH", "LANG", "TMPDIR") if k in environment}
    own = {"HOME": str(service.account.home), "USER": service.account.name, "LOGNAME": service.account.name}
    other = service.system and os.geteuid() == 0 and service.account.name != "root"
    return run(
        command,
        environment={**bare, **own, **dict(service.environment)},
        user=service.account.name if other else None,
        folder=service.folder,
    )
