"""``psm demo``: a small library, its playlists and its configuration, written into one folder to try psm on.

The files are package data (psm/demo); tools/make_demo_audio.py makes the audio. A hidden file marks the folder as ours
and remembers what was written, so that writing the demo again mends it and keeps what a person added or changed.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from psm import atomic
from psm.config import Config, load_config
from psm.errors import PsmError, RefusedError, UsageError

MARKER = ".psm-demo.json"


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that is on disk. Everything that its configuration names lies below ``folder``.

    ``written`` are the files that were written now, ``kept`` those that a person has changed since the last time; both,
    like ``playlists``, are relative to ``folder``. ``renewed`` says that there was a demo in the folder before.
    """

    folder: Path
    config_file: Path
    config: Config
    music_files: int
    playlists: tuple[str, ...]
    written: tuple[str, ...]
    kept: tuple[str, ...]
    renewed: bool


def write_demo(folder: Path) -> Demo:
    """Writes the demo into ``folder``, which must be new, empty, or hold an earlier demo.

    In an earlier demo, what is absent is written again and what a person changed or added stays.

    :raises RefusedError: when the folder holds something else.
    :raises UsageError: when it is no folder.
    :raises PsmError: when it cannot be written.
    """
    shipped = dict(_shipped(resources.files("psm") / "demo"))
    try:
        renewed = _prepare(folder)
        before = _remembered(folder)
        _refuse_ways_out(folder, shipped)
        if not renewed:
            # First of all, so that a demo that was interrupted is known as one.
            _remember(folder, shipped)
        written, kept = _write(folder, shipped, before)
        if renewed:
            # Last of all, so that after an interruption a file of the last time is not taken for a person's.
            _remember(folder, shipped)
    except OSError as e:
        place = os.fsdecode(e.filename) if e.filename else folder
        raise PsmError(f"The demo cannot be written: {place}: {e.strerror}. Name another folder: psm demo DIR") from e
    return Demo(
        folder=folder,
        config_file=folder / "config.yaml",
        # Without the environment: a variable that moves someone's real database must not move the demo into it.
        config=load_config(folder / "config.yaml", env={}),
        music_files=sum(name.startswith("music/") for name in shipped),
        playlists=tuple(sorted(name for name in shipped if name.startswith("playlists/"))),
        written=written,
        kept=kept,
        renewed=renewed,
    )


def _shipped(folder: Traversable, above: str = "") -> Iterator[tuple[str, bytes]]:
    """Every file of the demo: its path with ``/``, and its content."""
    for item in sorted(folder.iterdir(), key=lambda i: i.name):
        if item.is_dir():
            yield from _shipped(item, f"{above}{item.name}/")
        else:
            yield above + item.name, item.read_bytes()


def _prepare(folder: Path) -> bool:
    """Makes the folder, and returns whether it holds an earlier demo."""
    if (folder / MARKER).is_file():
        return True
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageError(f"{folder} is a file. Name a new folder for the demo: psm demo DIR") from None
    if next(folder.iterdir(), None) is not None:
        raise RefusedError(
            f"{folder} holds something else, and the demo touches nothing that is not its own. "
            "Name a new or empty folder: psm demo DIR"
        )
    return False


def _refuse_ways_out(folder: Path, shipped: Mapping[str, bytes]) -> None:
    """A link below the folder must not lead the demo out of it."""
    home = folder.resolve()
    for parent in {(folder / name).parent for name in shipped}:
        if not parent.resolve().is_relative_to(home):
            raise RefusedError(
                f"{parent} leads out of {folder}, and the demo touches nothing outside. Remove that link, "
                "or name another folder: psm demo DIR"
            )


def _write(
    folder: Path, shipped: Mapping[str, bytes], before: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Writes what is absent or of an older demo; returns what was written and what a person changed."""
    written: list[str] = []
    kept: list[str] = []
    for name, content in shipped.items():
        target = folder / name
        found = target.read_bytes() if target.exists() else None
        if found == content:
            continue
        if found is not None and _digest(found) != before.get(name):
            kept.append(name)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(os.fsencode(target), content, kind="demo")
        written.append(name)
    return tuple(written), tuple(kept)


def _remembered(folder: Path) -> dict[str, str]:
    """The digests of the files that the demo wrote the last time. A marker that cannot be read remembers none."""
    try:
        document = json.loads((folder / MARKER).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    files = document.get("files") if isinstance(document, dict) else None
    return {str(name): str(digest) for name, digest in files.items()} if isinstance(files, dict) else {}


def _remember(folder: Path, shipped: Mapping[str, bytes]) -> None:
    document = {
        "about": "psm demo wrote this folder; it renews only the files below that nobody has changed.",
        "files": {name: _digest(content) for name, content in shipped.items()},
    }
    atomic.write(os.fsencode(folder / MARKER), json.dumps(document, indent=1).encode(), kind="demo")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
