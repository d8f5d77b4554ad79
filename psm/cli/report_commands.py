"""``psm report``."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psm.cli.app import app
from psm.cli.following import follow, refuse_beside_watch
from psm.cli.session import JsonOption, exit_code, session, stoppable
from psm.cli.watching import WatchOption
from psm.errors import ExitCode

if TYPE_CHECKING:
    from psm.report import ReportResult


@app.command(epilog="Examples:  psm report  ·  psm report --to ~/Desktop  ·  psm report --watch  ·  psm report --json")
def report(
    context: typer.Context,
    to: Annotated[Path | None, typer.Option(help="Write to this folder, just this once.", metavar="FOLDER")] = None,
    watch: WatchOption = False,
    json: JsonOption = False,
) -> None:
    """Write the page that says what is missing, unsure, there twice or badly tagged.

    It comes as HTML, which works in any browser without a network, as CSV for spreadsheets, and as JSON.
    """
    run = session(context)
    config = run.config()
    if watch:
        from psm.services.stages import Stage

        refuse_beside_watch({"--to": to is not None})
        raise typer.Exit(follow(run, config, {Stage.REPORT}, as_json=json))
    from psm.cli import render
    from psm.report import write_report

    cfg = config.report if to is None else replace(config.report, folder=to.expanduser().absolute())
    with run.database(config) as db, stoppable() as stop, render.progress(quiet=run.quiet or json) as progress:
        result = write_report(db, cfg, progress=progress, stop=stop, one_off=to is not None)
    show_report(result, as_json=json)
    raise typer.Exit(report_exit_code(result))


def report_exit_code(result: "ReportResult") -> ExitCode:
    """Failed when a file could not be written."""
    return exit_code(failed=bool(result.failed), stopped=not result.complete)


def report_document(result: "ReportResult") -> dict[str, Any]:
    """A :class:`~psm.report.ReportResult` for JSON; ``psm build`` shows it too."""
    from psm.cli.render import json_path

    return {
        "files": [
            {
                "path": json_path(f.path),
                "outcome": f.outcome.value,
                "backup": None if f.backup is None else json_path(f.backup),
                "error": f.error,
            }
            for f in result.files
        ],
        "removed": [json_path(path) for path in result.removed],
        "summary": None if result.summary is None else asdict(result.summary),
        "complete": result.complete,
    }


def show_report(result: "ReportResult", *, as_json: bool) -> None:
    """A :class:`~psm.report.ReportResult` for people, or as JSON."""
    from psm.cli import render
    from psm.report import Outcome

    if as_json:
        render.as_json(report_document(result))
        return
    if (said := result.summary) is not None:
        render.line(
            f"{said.found:,} of {render.counted(said.wanted, 'playlist entry has', 'playlist entries have')} a file."
        )
        counted = (
            render.counted(said.missing_tracks, "missing track"),
            render.counted(said.missing_albums, "album with missing tracks", "albums with missing tracks"),
            render.counted(said.unsure_matches, "match worth a second look", "matches worth a second look"),
            render.counted(said.duplicate_groups, "group of duplicates", "groups of duplicates"),
            render.counted(said.bad_files, "badly tagged file"),
        )
        render.line(f"{', '.join(counted)}.")
    written = [f for f in result.files if f.outcome is not Outcome.FAILED]
    if written:
        render.line(f"The report: {render.shown_path(written[0].path)}")
    for file in result.files:
        if file.backup is not None:
            render.note(f"Your version of {render.shown_path(file.path)} is now {render.shown_path(file.backup)}.")
    for file in result.failed:
        render.error(f"{render.shown_path(file.path)} could not be written: {file.error}.")
    if not result.complete:
        render.note("Stopped early: the files that were not reached are as they were before.")
