"""Running programs of the system: the one place where psm does so for a service."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from psm.services.system_service.model import Ran

_PATIENCE_S = 120.0
"""Longer than any of them takes: stopping psm may take the 20 seconds that its definitions allow."""


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    folder: Path | None = None,
) -> Ran:
    """Runs ``command`` to its end, in plain English and UTC, so that what it says can be read.

    ``environment`` replaces this process's; ``user`` is who runs it, which only root can choose; ``folder`` is where it
    runs. What cannot be run is a result too, and raises nothing.
    """
    plain = {"LC_ALL": "C.UTF-8", "LANGUAGE": "C", "TZ": "UTC", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    try:
        done = subprocess.run(
            command,
            env={**(os.environ if environment is None else environment), **plain},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE_S,
            check=False,
            cwd=folder or ("/" if user else None),
            **_as_user(user),
        )
    except subprocess.TimeoutExpired:
        return Ran(None, "", f"{command[0]} did not answer for {_PATIENCE_S:.0f} seconds")
    except FileNotFoundError:
        return Ran(None, "", f"there is no {command[0]} here")
    except (OSError, subprocess.SubprocessError) as e:
        return Ran(None, "", f"{command[0]} cannot be run: {getattr(e, 'strerror', None) or e}")
    return Ran(done.returncode, done.stdout, done.stderr)


def _as_user(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    import pwd

    entry = pwd.getpwnam(name)
    groups = os.getgrouplist(name, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}
