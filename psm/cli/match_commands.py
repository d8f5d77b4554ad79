"""``psm match``, ``matches`` and ``diagnose``, and the commands that decide by hand."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psm.cli.app import app
from psm.cli.following import follow, refuse_beside_watch
from psm.cli.session import JsonOption, Session, exit_code, session, stoppable
from psm.cli.watching import WatchOption

if TYPE_CHECKING:
    from psm.config import Config
    from psm.db import Database
    from psm.models import LibraryFile, Track
    from psm.services.decisions import Decided

_Track = Annotated[
    str,
    typer.Argument(metavar="TRACK", help='Its id, or as much of "artist - title" as is unique.', show_default=False),
]
_FILE_HELP = "A path, absolute or from here or from a library's root, or the file's id in psm files."


@app.command(epilog="Examples:  psm match  ·  psm match --full  ·  psm match --watch  ·  psm match --json")
def match(
    context: typer.Context,
    full: Annotated[bool, typer.Option("--full", help="Match every track again, not only what changed.")] = False,
    watch: WatchOption = False,
    json: JsonOption = False,
) -> None:
    """Find a file for every track of the playlists, once or whenever something changed (--watch)."""
    chosen = session(context)
    config = chosen.config()
    if watch:
        from psm.services.stages import Stage

        refuse_beside_watch({"--full": full})
        raise typer.Exit(follow(chosen, config, {Stage.MATCH}, as_json=json))
    from psm.cli import match_render, render
    from psm.services.matching import match_tracks
    from psm.services.overrides import sync

    with chosen.database(config) as db, stoppable() as stop, render.progress(quiet=chosen.quiet or json) as progress:
        overrides = sync(db, config.folder, now=time.time())
        result = match_tracks(db, config.match, full=full, progress=progress, stop=stop)
    for note in match_render.overrides_notes(overrides):
        render.note(note)
    if json:
        render.as_json(match_render.match_document(result, overrides))
    else:
        render.lines(match_render.match_lines(result))
    raise typer.Exit(exit_code(stopped=not result.complete))


@app.command(epilog="Examples:  psm matches  ·  psm matches --unmatched --playlist 'Road trip'  ·  psm matches --json")
def matches(
    context: typer.Context,
    unmatched: Annotated[bool, typer.Option("--unmatched", help="Only tracks without a file.")] = False,
    playlist: Annotated[
        str | None, typer.Option(metavar="NAME|ID", help="Only this playlist: its id or a unique part of its name.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the tracks of the playlists, in their order, with the file that was found for each."""
    from psm.cli import match_render
    from psm.db import match_list, playlists
    from psm.models import Status

    chosen = session(context)
    with chosen.database(chosen.config()) as db, db.snapshot() as connection:
        everything = playlists.all_playlists(connection, status=Status.PRESENT) if playlist is None else ()
        wanted = everything if playlist is None else (playlists.find_playlist(connection, playlist),)
        found = (e for p in wanted for e in match_list.entries(connection, p, unmatched_only=unmatched))
        if json:
            match_render.as_json_list(map(match_render.entry_document, found))
        else:
            empty = (
                "Every track has a file." if unmatched and wanted else "There are no tracks yet: psm playlist import"
            )
            match_render.show_table(match_render.ENTRY_HEADINGS, map(match_render.entry_row, found), empty=empty)


@app.command(epilog="Examples:  psm diagnose 'so what'  ·  psm diagnose 17 --limit 10  ·  psm diagnose 17 --json")
def diagnose(
    context: typer.Context,
    track: _Track,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many candidates to show.")] = 5,
    json: JsonOption = False,
) -> None:
    """Show the best candidates of a track, their scores, and why each won or lost."""
    from psm.cli import match_render, render
    from psm.db import tracks
    from psm.services import matching

    chosen = session(context)
    config = chosen.config()
    with chosen.database(config) as db:
        found = tracks.find_track(db.connection, track)
        due = matching.is_due(db.connection, config.match)
        diagnosis = matching.diagnose(db, config.match, found, limit=limit)
    if due:
        render.note("Something changed since the last match: psm match brings this up to date.")
    if json:
        render.as_json(match_render.diagnosis_document(diagnosis))
    else:
        render.lines(match_render.diagnosis_lines(diagnosis))


@app.command("set-match", epilog="Examples:  psm set-match 'so what' Jazz/so-what.flac  ·  psm set-match 17 4711")
def set_match(
    context: typer.Context,
    track: _Track,
    file: Annotated[str, typer.Argument(metavar="FILE", help=_FILE_HELP, show_default=False)],
    json: JsonOption = False,
) -> None:
    """Decide that this file is the track's, for good."""
    from psm.services import decisions

    def decide(db: "Database", config: "Config", found: "Track") -> "Decided":
        return decisions.set_match(db, config, found, _file(db, file), now=time.time())

    _decide(session(context), track, decide, json=json)


@app.command("reject-match", epilog="Examples:  psm reject-match 'so what'  ·  psm reject-match 17 Live/so-what.flac")
def reject_match(
    context: typer.Context,
    track: _Track,
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help=f"{_FILE_HELP} The present match without.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Decide that a file is not the track's, for good; psm looks for another one."""
    from psm.services import decisions

    def decide(db: "Database", config: "Config", found: "Track") -> "Decided":
        rejected = None if file is None else _file(db, file)
        return decisions.reject_match(db, config, found, rejected, now=time.time())

    _decide(session(context), track, decide, json=json)


@app.command("remove-match", epilog="Examples:  psm remove-match 'intro'  ·  psm remove-match 17")
def remove_match(context: typer.Context, track: _Track, json: JsonOption = False) -> None:
    """Decide that no file is the track's, for good."""
    from psm.services import decisions

    def decide(db: "Database", config: "Config", found: "Track") -> "Decided":
        return decisions.remove_match(db, config, found, now=time.time())

    _decide(session(context), track, decide, json=json)


@app.command("reset-match", epilog="Examples:  psm reset-match 'so what'  ·  psm reset-match 17")
def reset_match(context: typer.Context, track: _Track, json: JsonOption = False) -> None:
    """Take back all that was decided by hand for a track: psm decides again."""
    from psm.services import decisions

    def decide(db: "Database", config: "Config", found: "Track") -> "Decided":
        return decisions.reset_match(db, config, found, now=time.time())

    _decide(session(context), track, decide, json=json)


def _decide(chosen: Session, track: str, decide: "Callable[[Database, Config, Track], Decided]", *, json: bool) -> None:
    from psm.cli import match_render, render
    from psm.db import tracks

    config = chosen.config()
    with chosen.database(config) as db:
        decided = decide(db, config, tracks.find_track(db.connection, track))
    for note in match_render.overrides_notes(decided.overrides):
        render.note(note)
    if json:
        render.as_json(match_render.decided_document(decided))
    else:
        render.lines(match_render.decided_lines(decided))


def _file(db: "Database", text: str) -> "LibraryFile":
    from psm.services.decisions import find_file

    return find_file(db, text, folder=Path.cwd())
