"""``psm demo``."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psm.cli.app import app
from psm.cli.session import session, stoppable

if TYPE_CHECKING:
    from psm.services.demo import Demo


@app.command(epilog="Examples:  psm demo  ·  psm demo /tmp/try-psm")
def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="A new or empty folder.")] = Path("psm-demo"),
) -> None:
    """Write a small music library with playlists into a folder, build it, and show what to try next.

    Nothing outside the folder is touched, and your own configuration and database are left alone. In the folder of an
    earlier demo, what is absent comes back, and what you changed or added stays.
    """
    from psm.cli import render
    from psm.cli.build_commands import build_exit_code, show_build
    from psm.services.demo import write_demo
    from psm.services.pipeline import build

    chosen = session(context)
    made = write_demo(folder)
    with chosen.database(made.config) as db, stoppable() as stop, render.progress(quiet=chosen.quiet) as progress:
        built = build(db, made.config, progress=progress, stop=stop, on_wait=render.note)
    show_build(built)
    if not built.stopped:
        render.lines(_made(made))
        render.lines(_next(made.config_file, os.environ.get("PSM_COMMAND", "psm")))
    raise typer.Exit(build_exit_code(built))


def _made(made: "Demo") -> Iterator[str]:
    """What lies where."""
    playlists = ", ".join(Path(name).name for name in made.playlists)
    yield ""
    yield f"The demo is {'renewed' if made.renewed else 'ready'} in {made.folder}:"
    yield f"  music/        {made.music_files} files of invented artists: mp3, flac, m4a, ogg and opus"
    yield f"  playlists/    what psm takes in: {playlists}"
    yield "  exports/      the playlists it wrote: for a player on this machine, and for a phone"
    yield "  reports/      what is missing, and what is worth a second look: open psm-report.html"
    yield "  config.yaml   the demo's own configuration; its database is psm.db"
    for name in made.kept:
        yield f"  (You changed {name}: it stays as it is.)"


def _next(config_file: Path, program: str) -> Iterator[str]:
    """Commands to paste."""
    yield ""
    yield "Try next:"
    for arguments, about in SUGGESTIONS:
        yield f"  {_quoted(program, '--config', str(config_file), *arguments)}"
        yield f"      {about}"
    yield ""
    yield "And with your own music:"
    yield f"  {_quoted(program, 'build')} --library ~/Music --playlists ~/playlists"


SUGGESTIONS = (
    (("matches",), "which file was found for each track, how, and how sure that is"),
    (("diagnose", "Foxgloves"), "why that file, and which others came close"),
    (("matches", "--unmatched"), "what is missing"),
    (("export", "--verify"), "does every line of every written playlist name a file that is there?"),
    (("build",), "once more: nothing changed, so nothing is done; move or retag a file first, and it is"),
)
"""What to type after the demo: arguments after ``--config``, and what they show."""


def _quoted(*words: str) -> str:
    """The words as the shell of this system takes them."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
