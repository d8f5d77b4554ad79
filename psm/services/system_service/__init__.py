"""psm as a service: a definition that the system's supervisor (systemd, launchd, Task Scheduler) starts and restarts.

Each supervisor has a module with a pure function that makes the definition, and a class that talks to the supervisor's
own program. What is the same everywhere is here: psm's definitions carry a mark, one without it is somebody else's and
is left alone, and an unchanged one is not written again.
"""

import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from psm.errors import PsmError
from psm.services.system_service import program, running
from psm.services.system_service.model import (
    MARK,
    Account,
    Hints,
    Installed,
    Run,
    Service,
    ServiceStatus,
    State,
    Uninstalled,
)


class Supervisor(Protocol):
    """What starts programs on a system and starts them again. Complaints are empty when all went well."""

    @property
    def system(self) -> bool: ...  # noqa: D102
    @property
    def where(self) -> str: ...  # noqa: D102
    @property
    def hints(self) -> Hints: ...  # noqa: D102
    def text(self, service: Service, /) -> str: ...  # noqa: D102
    def found(self) -> str | None: ...  # noqa: D102
    def is_current(self, found: str, text: str, /) -> bool: ...  # noqa: D102
    def put(self, text: str, /) -> str: ...  # noqa: D102
    def start(self, *, changed: bool) -> str: ...  # noqa: D102
    def remove(self) -> str: ...  # noqa: D102
    def state(self) -> State: ...  # noqa: D102
    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102


SETTLES_S = 1.0
"""How long a psm that was started is given to say that it cannot go on (there is no library, another one watches)."""


def install(
    place: Supervisor,
    service: Service,
    *,
    environment: Mapping[str, str],
    sleep: Callable[[float], None] = time.sleep,
) -> Installed:
    """Writes the definition when it is new or has changed, and sees to it that psm runs now and from every start on.

    When only the starting fails (no systemd in a container), what was written stays, and the result has the problem.
    Raises :class:`PsmError` when psm would not start, or somebody else's definition is there; nothing is changed then.
    """
    text = place.text(service)
    found = _ours(place)
    changed = found is None or not place.is_current(found, text)
    _need_rights(place, "install")
    program.check_that_it_starts(service, environment)
    if changed:
        try:
            complaint = place.put(text)
        except OSError as e:
            complaint = e.strerror or str(e)
        if complaint:
            raise PsmError(f"The service cannot be written ({place.where}): {complaint}.{_with_more_rights(place)}")
    complaint = place.start(changed=changed and found is not None)
    problem = ""
    if complaint:
        directly = shlex.join(("psm", *service.arguments))
        problem = (
            f"The service is written, but was not started: {complaint.rstrip('.')}. To start it: "
            f"{' && '.join(place.hints.by_hand)} (where nothing does that, as in a container, run: {directly})"
        )
    else:
        sleep(SETTLES_S)
        state = place.state()
        if state.running is False:
            problem = f"psm was started and has ended again: {state.detail}. Its log says why: {place.hints.log}"
    return Installed(place.where, changed, not problem, place.hints, problem, place.notes)


def uninstall(place: Supervisor) -> Uninstalled:
    """Stops psm and removes its definition; nothing else that is there, and none that psm did not write."""
    if _ours(place) is None:
        return Uninstalled(place.where, removed=False)
    _need_rights(place, "uninstall")
    try:
        complaint = place.remove()
    except OSError as e:
        raise PsmError(f"The service cannot be removed ({place.where}): {e.strerror or e}.") from None
    problem = ""
    if place.found() is not None:
        raise PsmError(f"The service cannot be removed ({place.where}): {complaint}.{_with_more_rights(place)}")
    if complaint:
        problem = (
            f"The service is removed, but stopping it failed: {complaint.rstrip('.')}. psm status shows if it runs."
        )
    return Uninstalled(place.where, removed=True, problem=problem)


def status(place: Supervisor) -> ServiceStatus:
    """What is installed, and what the system says about it."""
    found = place.found()
    if found is None:
        return ServiceStatus(place.where, False, False, State(enabled=False, running=False), place.hints)
    return ServiceStatus(place.where, True, MARK in found, place.state(), place.hints)


def supervisor(
    account: Account,
    *,
    system: bool,
    environment: Mapping[str, str],
    run: Run = running.run,
    platform: str = sys.platform,
) -> Supervisor:
    """The one of ``platform``. Raises :class:`PsmError` where psm knows none."""
    if platform == "win32":
        from psm.services.system_service import windows_task

        own = None if system else environment.get("LOCALAPPDATA")
        return windows_task.TaskScheduler(system, account, windows_task.log_file(account, own), run)
    if platform == "darwin":
        from psm.services.system_service import launchd

        folder = launchd.SYSTEM_FOLDER if system else launchd.user_folder(account.home)
        return launchd.Launchd(system, folder, account, os.getuid(), run)
    if platform.startswith("linux"):
        from psm.services.system_service import systemd

        own_folder = systemd.user_folder(account.home, environment.get("XDG_CONFIG_HOME"))
        return systemd.Systemd(system, systemd.SYSTEM_FOLDER if system else own_folder, account, run)
    raise PsmError(f"psm knows no services on {platform}. Have its supervisor run: psm build --watch")


def _ours(place: Supervisor) -> str | None:
    """The definition that is there, if any. Raises :class:`PsmError` when it is not psm's."""
    found = place.found()
    if found is not None and MARK not in found:
        raise PsmError(f"psm did not write what is there, so it stays: {place.where}. Remove or rename it first.")
    return found


def _need_rights(place: Supervisor, verb: str) -> None:
    if place.system and os.name != "nt" and os.geteuid() != 0:
        # sudo does not know where pipx put psm.
        again = f"sudo {shlex.quote(sys.executable)} -m psm service {verb} --system"
        raise PsmError(f"A service of the machine needs root's rights. Call it again with the same options: {again}")


def _with_more_rights(place: Supervisor) -> str:
    return " Try it in a terminal that was started as administrator." if os.name == "nt" and place.system else ""
