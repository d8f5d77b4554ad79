"""``psm build``."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psm.cli.app import app
from psm.cli.following import refuse_beside_watch
from psm.cli.session import JsonOption, Session, exit_code, session, stoppable
from psm.cli.watching import (
    DebounceOption,
    IntervalOption,
    MaxWaitOption,
    NoDebounceOption,
    PollOption,
    printer,
    run_until_stopped,
    watch_settings,
)
from psm.errors import ExitCode

if TYPE_CHECKING:
    from psm.config import Config
    from psm.services.pipeline import BuildResult

_GRAVEST_FIRST = (ExitCode.INTERRUPTED, ExitCode.REFUSED, ExitCode.FAILED)


@app.command(
    epilog="Examples:  psm build --library ~/Music --playlists ~/playlists  ·  psm build  ·  psm build --watch  ·  "
    "psm build --full"
)
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
    watch: Annotated[
        bool | None,
        typer.Option(
            "--watch/--no-watch",
            help="Keep running, and follow every change; without, library.watch.enabled decides.",
        ),
    ] = None,
    debounce: DebounceOption = None,
    no_debounce: NoDebounceOption = False,
    max_wait: MaxWaitOption = None,
    poll: PollOption = None,
    interval: IntervalOption = None,
    json: JsonOption = False,
) -> None:
    """Bring everything up to date: scan, take playlists in, match, export, report; once, or for good (--watch).

    Each stage runs only when what it goes by has changed.
    """
    chosen = session(context)
    settings = partial(
        watch_settings, debounce=debounce, no_debounce=no_debounce, max_wait=max_wait, poll=poll, interval=interval
    )
    config = chosen.config(**settings(watch=True))
    once = {"--full": full, "--accept-missing": accept_missing}
    if watch:
        refuse_beside_watch(once)
    folders, paths = library or (), playlists or ()
    if watch or (watch is None and config.library.watch.enabled and not any(once.values())):
        left_out = {"playlists": no_pull and not paths, "export": no_export, "report": no_report}
        raise typer.Exit(_watch(chosen, config, folders, paths, left_out=left_out, as_json=json))
    settings(watch=False)  # says what needs --watch
    from psm.cli import render
    from psm.services import pipeline

    with (
        chosen.database(config) as db,
        stoppable() as stop,
        render.progress(quiet=chosen.quiet or json) as progress,
    ):
        result = pipeline.build(
            db,
            config,
            library_folders=folders,
            playlist_paths=paths,
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


def _watch(
    chosen: Session,
    config: "Config",
    folders: Sequence[Path],
    playlists: Sequence[Path],
    *,
    left_out: Mapping[str, bool],
    as_json: bool,
) -> int:
    from psm.cli import render
    from psm.services.following import StageFollower
    from psm.services.pipeline import prepare_to_watch
    from psm.services.stages import Stage
    from psm.services.watch_service import LibraryWatcher

    stages = {stage for stage in Stage if not left_out.get(stage.value)}
    with chosen.database(config) as db, stoppable() as stop:
        for sentence in prepare_to_watch(
            db, config, library_folders=folders, playlist_paths=playlists, on_wait=render.waiting
        ):
            render.note(sentence)
        listener = printer(as_json=as_json, stop=stop)
        follower = StageFollower(db, config, stages=stages, on_event=listener)
        watcher = LibraryWatcher(db, config, lambda _: follower.wake(), what="psm build --watch", on_event=listener)
        return run_until_stopped([watcher, follower], stop)


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
