"""What runs as a service, what the system says about it, and what installing and removing it came to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "Written by psm service install."
"""Stands in every definition that psm writes, and is how it knows them again."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose service it is: the library's owner. On Windows the name is ``DOMAIN\\name``."""

    name: str
    home: Path


@dataclass(frozen=True, slots=True)
class Service:
    """What is to run. ``arguments`` are psm's own; ``environment`` is what it needs beside the account's.

    ``folder`` is the folder that relative paths in the environment count from, None when there are none.
    ``system`` says whether it starts with the machine, or else with its owner's session.
    """

    account: Account
    python: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    folder: Path | None = None
    system: bool = False

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command line.

        The Python of psm's environment rather than the script ``psm``: an upgrade (``pip``, ``pipx``, ``run.sh``) takes
        the script away for a while, and cannot replace a ``psm.exe`` that runs; the environment's Python keeps its
        place. And rather than ``run.sh``, which would fetch packages while the machine starts and nobody looks.
        ``-P``, because otherwise a ``yaml.py`` in the current folder would be run.
        """
        return (self.python, "-P", "-m", "psm", *self.arguments)

    @property
    def title(self) -> str:
        """The service in a few words."""
        return (
            "psm, which keeps playlists true to the music" if "build" in self.arguments else "psm, which follows music"
        )


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program of the system said. ``code`` is None when it could not be run, and ``err`` then says why."""

    code: int | None
    out: str
    err: str

    @property
    def done(self) -> bool:
        """Whether it did what it was told."""
        return self.code == 0

    @property
    def complaint(self) -> str:
        """The last line of what went wrong."""
        said = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return said[-1] if said else f"exit code {self.code}"


Run = Callable[[Sequence[str]], Ran]
"""Runs a program of the system to its end."""


@dataclass(frozen=True, slots=True)
class State:
    """What the system says about the service. None: it does not tell. ``since`` is in seconds since the epoch."""

    enabled: bool | None
    running: bool | None
    since: float | None = None
    pid: int | None = None
    restarts: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Hints:
    """Commands for a person: to read the log, to start and stop it, and to take a written definition into use."""

    log: str
    start: str
    stop: str
    by_hand: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Installed:
    """What came of installing. ``problem`` is a sentence when it does not run, else empty; ``notes`` are advice."""

    where: str
    changed: bool
    running: bool
    hints: Hints
    problem: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Uninstalled:
    """What came of removing. ``removed`` is False when there was nothing."""

    where: str
    removed: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """The service as it is. ``ours`` is False when somebody else wrote what is there under psm's name."""

    where: str
    installed: bool
    ours: bool
    state: State
    hints: Hints


def in_order(variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Environment variables by name, so that the same ones make the same definition."""
    return tuple(sorted(variables.items()))
