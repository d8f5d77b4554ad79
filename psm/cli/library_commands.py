"""``psm library``: the folders that hold the music."""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psm.cli.app import app
from psm.cli.session import JsonOption, session

if TYPE_CHECKING:
    from psm.models import Library
    from psm.services.libraries import LibraryState

library = typer.Typer(help="The folders that hold your music.", no_args_is_help=True)
app.add_typer(library, name="library")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The library's name, as psm library list shows it.")]


@library.command(epilog="Examples:  psm library add ~/Music  ·  psm library add /mnt/nas/old --name Old --no-watch")
def add(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that holds the music.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to call it; the folder's own name without.")
    ] = None,
    watch: Annotated[
        bool | None,
        typer.Option(
            "--watch/--no-watch", help="Whether --watch follows it, or leaves it to scans.", show_default="--watch"
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Add a folder of music. Libraries inside it become a part of it, and keep all that psm knows."""
    from psm.cli import render
    from psm.services.libraries import add_library

    chosen = session(context)
    config = chosen.config()
    with chosen.database(config) as db:
        added = add_library(db, config.folder, path, name=name, watch=watch, now=time.time, on_wait=render.waiting)
    _notes(added.notes)
    root = render.shown_path(added.library.root)
    if json:
        render.as_json({**_document(added.library), "new": added.new, "absorbed": list(added.absorbed)})
        return
    render.line(
        f"Added library {added.library.name}: {root}. Read it with: psm scan"
        if added.new
        else f"{render.shown_path(os.fsencode(path))} is in library {added.library.name} already ({root})."
    )
    render.lines(f"Library {name} is a part of it now." for name in added.absorbed)


@library.command("list", epilog="Examples:  psm library list  ·  psm library list --json")
def list_(context: typer.Context, json: JsonOption = False) -> None:
    """List the libraries, with how many files each holds."""
    from psm.cli import render
    from psm.services.libraries import ensure_libraries, list_libraries

    chosen = session(context)
    config = chosen.config()
    with chosen.database(config) as db:
        notes = ensure_libraries(db, config, now=time.time, on_wait=render.waiting)
        states = list_libraries(db)
    _notes(notes)
    if json:
        render.as_json(
            [{**_document(s.library), "present": s.present, "missing": s.missing, "available": s.there} for s in states]
        )
    elif not states:
        render.line("No library yet. Add one with: psm library add FOLDER")
    else:
        render.table(
            ("Name", "Files", "Missing", "Folder"),
            [(s.library.name, s.present, s.missing, place(s)) for s in states],
        )


def place(state: "LibraryState") -> str:
    """A library's folder for people, with what is special about it."""
    from psm.cli.render import shown_path

    about = [] if state.there else ["away"]
    about += [] if state.library.watch else ["not watched"]
    return shown_path(state.library.root) + (f"  ({', '.join(about)})" if about else "")


@library.command(epilog="Example:  psm library move NAS /Volumes/music")
def move(
    context: typer.Context,
    name: NameArgument,
    path: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the library is now.")],
    json: JsonOption = False,
) -> None:
    """Tell psm that a library's folder is elsewhere now; everything psm knows of its files stays."""
    from psm.cli import render
    from psm.services.libraries import move_library

    chosen = session(context)
    config = chosen.config()
    with chosen.database(config) as db:
        moved = move_library(db, config.folder, name, path, now=time.time, on_wait=render.waiting)
    _notes(moved.notes)
    if json:
        render.as_json(_document(moved.library))
    else:
        render.line(f"Library {moved.library.name} is at {render.shown_path(moved.library.root)} now.")


@library.command(epilog="Examples:  psm library watch NAS  ·  psm library watch NAS --off")
def watch(
    context: typer.Context,
    name: NameArgument,
    on: Annotated[bool, typer.Option("--on/--off", help="Follow it, or leave it to scans.")] = True,
    json: JsonOption = False,
) -> None:
    """Say whether --watch follows a library, or leaves it to scans."""
    from psm.cli import render
    from psm.services.libraries import watch_library

    chosen = session(context)
    config = chosen.config()
    with chosen.database(config) as db:
        watched = watch_library(db, config.folder, name, watch=on, now=time.time)
    _notes(watched.notes)
    if json:
        render.as_json(_document(watched.library))
    else:
        render.line(f"Library {name} is watched." if on else f"Library {name} is left to scans.")


@library.command(epilog="Example:  psm library remove NAS")
def remove(context: typer.Context, name: NameArgument, json: JsonOption = False) -> None:
    """Forget a library. Nothing on disk changes, and manual decisions about its files are kept."""
    from psm.cli import render
    from psm.services.libraries import remove_library

    chosen = session(context)
    config = chosen.config()
    with chosen.database(config) as db:
        removed = remove_library(db, config, name, now=time.time, on_wait=render.waiting)
    _notes(removed.notes)
    if json:
        render.as_json({**_document(removed.library), "files": removed.files})
    else:
        render.line(f"Forgot library {name} ({removed.files:,} files). Nothing on disk was changed.")


def _document(library: "Library") -> dict[str, object]:
    from psm.cli.render import json_path

    return {"name": library.name, "path": json_path(library.root), "watch": library.watch}


def _notes(notes: Iterable[str]) -> None:
    from psm.cli import render

    for sentence in notes:
        render.note(sentence)
