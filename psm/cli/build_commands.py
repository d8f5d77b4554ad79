"""``psm build``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psm.cli.app import app
from psm.cli.session import JsonOption, exit_code, session, stoppable
from psm.errors import ExitCode

if TYPE_CHECKING:
    from psm.services.pipeline import BuildResult

_GRAVEST_FIRST = (ExitCode.INTERRUPTED, ExitCode.REFUSED, ExitCode.FAILED)


@app.command(epilog="Examples:  psm build --library ~/Music --playlists ~/playlists  ·  psm build  ·  psm build --full")
def build(
    context: typer.Context,
    library: Annotated[
        list[Path] | None, typer.Option(help="A folder of music; psm remembers it.", metavar="FOLDER")
    ] = None,
    playlists: Annotated[
        list[Path] | None, typer.Option(help="A playlist file or a folder of them; psm remembers it.", metavar="PATH")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Do every stage anew.")] = False,
    no_pull: Annotated[bool, typer.Option("--no-pull", help="Leave the playlists as they are.")] = False,
    no_export: Annotated[bool, typer.Option("--no-export", help="Write no playlist files.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.")] = False,
    accept_missing: Annotated[
        bool, typer.Option("--accept-missing", help="Mark missing what is gone, however much it is.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Bring everything up to date: scan, take playlists in, match, export, report.

    Each stage runs only when what it goes by has changed.
    """
    from psm.cli import render
    from psm.services import pipeline

    chosen = session(context)
    config = chosen.config()
    with (
        chosen.database(config) as db,
        stoppable() as stop,
        render.progress(quiet=chosen.quiet or json) as progress,
    ):
        result = pipeline.build(
            db,
            config,
            library_folders=library or (),
            playlist_paths=playlists or (),
            full=full,
            pull_playlists=not no_pull,
            export=not no_export,
            report=not no_report,
            accept_missing=accept_missing,
            progress=progress,
            stop=stop,
            on_wait=render.waiting,
        )
    if json or not (chosen.quiet and result.nothing_to_do):
        show_build(result, as_json=json)
    raise typer.Exit(build_exit_code(result))


def build_exit_code(result: "BuildResult") -> int:
    """The gravest of the stages' exit codes."""
    from psm.cli.export_commands import export_exit_code
    from psm.cli.report_commands import report_exit_code
    from psm.cli.scan_commands import scan_exit_code

    codes = {
        exit_code(stopped=result.stopped),
        scan_exit_code(result.scan),
        exit_code(failed=result.imported is not None and result.imported.nothing_used),
        exit_code(failed=result.pull is not None and result.pull.nothing_used and bool(result.pull.problems)),
        ExitCode.DONE if result.export is None else export_exit_code(result.export),
        ExitCode.DONE if result.report is None else report_exit_code(result.report),
    }
    return next((code for code in _GRAVEST_FIRST if code in codes), ExitCode.DONE)


def show_build(result: "BuildResult", *, as_json: bool = False) -> None:
    """Prints what each stage did."""
    from psm.cli import render
    from psm.cli.export_commands import export_document, show_export
    from psm.cli.match_render import match_document, match_lines, overrides_document, overrides_notes
    from psm.cli.playlist_commands import print_result, result_document
    from psm.cli.scan_commands import scan_json, show_scan

    if as_json:
        from psm.cli.report_commands import report_document

        document = {
            "nothing_to_do": result.nothing_to_do,
            "scan": scan_json(result.scan),
            "import": result.imported and result_document(result.imported),
            "pull": result.pull and result_document(result.pull),
            "overrides": result.overrides and overrides_document(result.overrides),
            "match": result.match and result.overrides and match_document(result.match, result.overrides),
            "export": result.export and export_document(result.export),
            "report": result.report and report_document(result.report),
            "duration_s": round(result.duration_s, 3),
            "complete": result.complete,
        }
        render.as_json(document)
        return
    show_scan(result.scan, as_json=False)
    for taken_in in (result.imported, result.pull):
        if taken_in is not None:
            print_result(taken_in)
    if result.overrides is not None:
        for sentence in overrides_notes(result.overrides):
            render.note(sentence)
    if result.match is not None:
        render.lines(match_lines(result.match))
    if result.export is not None:
        show_export(result.export, as_json=False)
    if result.report is not None:
        from psm.cli.report_commands import show_report

        show_report(result.report, as_json=False)
    if result.nothing_to_do:
        render.line("Nothing to do: everything is as the last build left it.")
