"""Where psm keeps its things on this system: the folders of Linux, macOS and Windows, and how a path is written there.

What differs between the systems is here, in functions that take the system's values as arguments.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from psm.errors import UsageError

if TYPE_CHECKING:
    from platformdirs.api import PlatformDirsABC

CONFIG_NAME = "config.yaml"

_POSIX_VARIABLE = r"\$(?:(?P<sign>\$)|\{(?P<braced>\w+)\}|(?P<plain>\w+))"
_WINDOWS_VARIABLE = r"%(?:(?P<sign>%)|(?P<plain>\w+)%)"


def config_folder(dirs: "PlatformDirsABC | None" = None) -> Path:
    """The platform's folder for psm's configuration, by default this system's. It need not exist yet."""
    instead = "name the file with --config FILE"
    return _known(lambda: (dirs or _this_system()).user_config_dir, what="configuration", instead=instead)


def data_folder(dirs: "PlatformDirsABC | None" = None) -> Path:
    """The platform's folder for psm's data, by default this system's. It need not exist yet."""
    instead = "name the database and every folder in the configuration"
    return _known(lambda: (dirs or _this_system()).user_data_dir, what="data", instead=instead)


def default_config_file() -> Path:
    """The configuration file that is read when none is named."""
    return config_folder() / CONFIG_NAME


def working_folder() -> Path:
    """The folder that psm was started in."""
    try:
        return Path.cwd()
    except OSError:
        raise UsageError("The current folder no longer exists. Change into another one.") from None


def _this_system() -> "PlatformDirsABC":
    from platformdirs import PlatformDirs

    return PlatformDirs("psm", appauthor=False)


def _known(folder: Callable[[], str], *, what: str, instead: str) -> Path:
    # For an account without a home (some containers, some services), platformdirs raises RuntimeError; older ones
    # give "~/.config/psm", which would become a folder called "~" wherever psm happens to be started.
    try:
        found = folder()
    except RuntimeError:
        found = "~"
    if found.startswith("~"):
        raise UsageError(f"There is no {what} folder, because this account has no home. Set HOME, or {instead}.")
    return Path(found)


def expand(text: str, env: Mapping[str, str], *, windows: bool = os.name == "nt") -> str:
    """``text`` with ``~``, ``~user``, ``$NAME`` and ``${NAME}`` (on Windows ``%NAME%``) replaced.

    ``$$`` (``%%`` on Windows) stands for the sign itself. Raises :class:`ValueError`, in a person's words, for a
    variable or a user that does not exist: a folder called ``$MUSIC`` is hardly ever meant.
    """

    def value(match: re.Match[str]) -> str:
        if match["sign"]:
            return match["sign"]
        name = next(g for g in match.groups() if g)
        if name not in env:
            sign = "%" if windows else "$"
            raise ValueError(f"the environment variable {name} is not set (write {sign}{sign} for the sign itself)")
        return env[name]

    # The home comes last to be put in, so that a "$" in its own name stays what it is.
    home, rest = _home(text, env, windows=windows)
    return home + re.sub(_WINDOWS_VARIABLE if windows else _POSIX_VARIABLE, value, rest)


def literal(text: str, *, windows: bool = os.name == "nt") -> str:
    """``text`` written so that :func:`expand` gives it back; it begins with no ``~``."""
    return text.replace("%", "%%") if windows else text.replace("$", "$$")


def _home(text: str, env: Mapping[str, str], *, windows: bool) -> tuple[str, str]:
    """The home folder that ``text`` begins with ("" when it does not), and the rest of it."""
    if not text.startswith("~"):
        return "", text
    end = re.search(r"[/\\]" if windows else "/", text)
    user, rest = (text[: end.start()], text[end.start() :]) if end else (text, "")
    home = env.get("USERPROFILE" if windows else "HOME") if user == "~" else None
    home = home or os.path.expanduser(user)  # Path.expanduser raises for an unknown user
    if home == user:
        raise ValueError(f"{user} has no home folder (write ./{user} for a folder of that name)")
    # The home of "/" (some containers) must not make "//x", which POSIX lets mean something else than "/x".
    return (home.rstrip("/") if rest else home), rest


def foreign_path(text: str, *, windows: bool = os.name == "nt") -> str | None:
    """Why ``text`` cannot be a path on this system, in a person's words; None when it can."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        return "it is an address; psm needs the folder where it is mounted"
    if not windows and re.match(r"[A-Za-z]:[\\/]|\\\\\w", text):
        return "it is a path of Windows; psm needs the path on this machine"
    if "\0" in text:
        return "a path cannot hold a NUL character"
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return "it holds half a character (a lone surrogate)"
    return None
