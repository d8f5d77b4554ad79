"""``psm playlist``: take playlists in, list them, show one, remove one."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psm.cli.app import app
from psm.cli.render import as_json, counted, error, json_path, line, note, progress, shown_path, table
from psm.cli.session import exit_code, session, stoppable

if TYPE_CHECKING:
    from psm.db.playlists import PlaylistRow
    from psm.models import Playlist
    from psm.services.playlists import ImportResult

playlist_app = typer.Typer(help="Take playlists in, list, show and remove them.", no_args_is_help=True)
app.add_typer(playlist_app, name="playlist")

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_Which = Annotated[str, typer.Argument(metavar="NAME|ID", help="A playlist's id, name, or a unique part of its name.")]


@playlist_app.command("import")
def import_command(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|FOLDER…", help="Playlist files, or folders of them.")],
    json: _Json = False,
) -> None:
    """Take playlist files in: M3U, M3U8, XSPF, JSPF and CSV. Importing again updates.

    Examples:  psm playlist import ~/Downloads/mix.csv  |  psm playlist import ~/playlists
    """
    from psm.services.playlists import import_playlists
    from psm.services.playlists_file import keep, restore

    run = session(context)
    config = run.config()
    with run.database(config) as db, stoppable() as stop, progress(quiet=run.quiet or json) as show:
        restore(db, config.folder)
        result = import_playlists(db, [os.fsencode(path) for path in paths], progress=show, stop=stop)
        unkept = keep(db, config.folder)
    if unkept is not None:
        note(unkept)
    as_json(result_document(result)) if json else print_result(result)
    raise typer.Exit(exit_code(failed=result.nothing_used, stopped=not result.complete))


@playlist_app.command("list")
def list_command(context: typer.Context, json: _Json = False) -> None:
    """List the playlists that were taken in.

    Examples:  psm playlist list  |  psm playlist list --json
    """
    from psm.db import playlists

    run = session(context)
    with run.database(run.config()) as db:
        found = playlists.all_playlists(db.connection)
    if json:
        as_json([_playlist_document(p) for p in found])
    elif found:
        table(
            ("id", "name", "tracks", "status", "source"),
            [(p.id, p.name, p.track_count, p.status.value, shown_path(p.source)) for p in found],
        )
    else:
        note("There are no playlists yet: take some in with psm playlist import FILE.")


@playlist_app.command("show")
def show_command(context: typer.Context, playlist: _Which, json: _Json = False) -> None:
    """Show the tracks of a playlist in its order, each with the file that was found for it.

    Examples:  psm playlist show "Road trip"  |  psm playlist show 3 --json
    """
    from psm.db import playlists

    run = session(context)
    with run.database(run.config()) as db, db.snapshot() as connection:
        found = playlists.find_playlist(connection, playlist)
        rows = playlists.rows(connection, found.id)
    if json:
        as_json({**_playlist_document(found), "tracks": [_row_document(row) for row in rows]})
    else:
        found_count = sum(row.path is not None for row in rows)
        table(
            ("position", "track", "file"),
            [(row.position, row.track.label, "" if row.path is None else shown_path(row.path)) for row in rows],
            title=f"{found.name}: {counted(len(rows), 'track')}, {found_count} with a file",
        )


@playlist_app.command("remove")
def remove_command(context: typer.Context, playlist: _Which, json: _Json = False) -> None:
    """Remove a playlist from the database. Its file, and manual decisions for its tracks, stay.

    Example:  psm playlist remove "Road trip"
    """
    from psm.services.playlists import remove
    from psm.services.playlists_file import keep, restore

    run = session(context)
    config = run.config()
    with run.database(config) as db:
        restore(db, config.folder)
        removed = remove(db, playlist)
        unkept = keep(db, config.folder)
    if unkept is not None:
        note(unkept)
    as_json({"removed": _playlist_document(removed)}) if json else line(f'Removed "{removed.name}".')
    if removed.folder is not None and os.path.lexists(removed.source):
        note(f"Its file is still in a playlists folder, so psm build takes it in again: {shown_path(removed.source)}")


@playlist_app.command("forget")
def forget_command(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FOLDER|FILE", help="A folder or file that psm remembers.")],
    json: _Json = False,
) -> None:
    """Stop following a folder of playlists, or looking for a playlist file that is gone. The playlists stay.

    Example:  psm playlist forget ~/old-playlists
    """
    from psm.services.playlists import forget
    from psm.services.playlists_file import keep, restore

    run = session(context)
    config = run.config()
    with run.database(config) as db:
        restore(db, config.folder)
        forgotten = forget(db, os.fsencode(path))
        unkept = keep(db, config.folder)
    if unkept is not None:
        note(unkept)
    if json:
        as_json(
            {"forgotten": json_path(forgotten.path), "released": [_playlist_document(p) for p in forgotten.released]}
        )
    else:
        line(f"Forgotten: {shown_path(forgotten.path)}")
        _print_released(forgotten.released)
    if any(os.path.realpath(folder) == os.fsdecode(forgotten.path) for folder in config.playlists.folders):
        note("The configuration names it, so psm build follows it still: take it out of playlists.folders there.")


def result_document(result: "ImportResult") -> dict[str, Any]:
    """An :class:`~psm.services.playlists.ImportResult` for JSON; ``psm build`` shows it too."""
    return {
        **{
            kind: [
                {
                    "id": change.playlist_id,
                    "name": change.name,
                    "source": json_path(change.source),
                    "tracks": change.track_count,
                    "added": change.added,
                    "removed": change.removed,
                    "moved": change.moved,
                }
                for change in getattr(result, kind)
            ]
            for kind in ("added", "updated", "unchanged")
        },
        "missing": [_playlist_document(p) for p in result.missing],
        "gone": [_playlist_document(p) for p in result.gone],
        "absent": [json_path(path) for path in result.absent],
        "released": [_playlist_document(p) for p in result.released],
        "row_errors": [
            {"playlist": rows.name, "source": json_path(rows.source), "line": e.line, "reason": e.reason}
            for rows in result.row_problems
            for e in rows.errors
        ],
        "errors": [{"path": json_path(p.path), "reason": p.reason} for p in result.problems],
        "notes": [{"path": json_path(p.path), "reason": p.reason} for p in result.notes],
        "written_by_psm": [json_path(path) for path in result.own],
        "complete": result.complete,
    }


def print_result(result: "ImportResult") -> None:
    """An :class:`~psm.services.playlists.ImportResult` for people: what changed on stdout, what is wrong on stderr."""
    for change in result.added:
        line(f'New: "{change.name}", {counted(change.track_count, "track")}')
    for change in result.updated:
        line(
            f'Updated: "{change.name}", {counted(change.track_count, "track")} '
            f"({change.added} added, {change.removed} removed, {change.moved} moved)"
        )
    if result.unchanged:
        line(f"Unchanged: {counted(len(result.unchanged), 'playlist')}")
    for playlist in result.missing:
        line(f'Missing: "{playlist.name}": {shown_path(playlist.source)} is gone. It is kept, and left out of exports.')
    for playlist in result.gone:
        note(
            f'"{playlist.name}" stays as it is, though {shown_path(playlist.source)} is not there now. '
            f"psm playlist remove {playlist.id} removes it."
        )
    for path in result.absent:
        note(
            f"{shown_path(path)} is remembered, but not there now. It is taken in when it is; "
            f"psm playlist forget {shlex.quote(shown_path(path))} ends that."
        )
    _print_released(result.released)
    if result.own:
        note(f"{counted(len(result.own), 'file')} left out: psm wrote them itself.")
    for problem in result.notes:
        note(f"{shown_path(problem.path)} is no playlist: {problem.reason}")
    for rows in result.row_problems:
        for row in rows.errors:
            error(f"{shown_path(rows.source)}, line {row.line}: {row.reason}.")
    for problem in result.problems:
        error(f"{shown_path(problem.path)}: {problem.reason.rstrip('.')}.")
    if not result.complete:
        note("Stopped early: what was taken in so far is kept.")


def _print_released(released: "Sequence[Playlist]") -> None:
    for playlist in released:
        note(
            f'"{playlist.name}" stays, though its folder is not followed any more: {shown_path(playlist.source)}. '
            f"psm playlist remove {playlist.id} removes it."
        )


def _playlist_document(playlist: "Playlist") -> dict[str, Any]:
    return {
        "id": playlist.id,
        "name": playlist.name,
        "provider": playlist.provider,
        "source": json_path(playlist.source),
        "folder": None if playlist.folder is None else json_path(playlist.folder),
        "status": playlist.status.value,
        "tracks": playlist.track_count,
    }


def _row_document(row: "PlaylistRow") -> dict[str, Any]:
    track = row.track
    return {
        "position": row.position,
        "track_id": track.id,
        "title": track.title,
        "artists": list(track.artists),
        "album": track.album,
        "duration_s": track.duration_s,
        "isrc": track.isrc,
        "mb_recording_id": track.mb_recording_id,
        "path": None if row.path is None else json_path(row.path),
    }
