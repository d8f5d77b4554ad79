"""``psm scan``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psm.cli.app import app
from psm.cli.session import JsonOption, Session, exit_code, session, stoppable
from psm.cli.watching import (
    DebounceOption,
    IntervalOption,
    MaxWaitOption,
    NoDebounceOption,
    PollOption,
    WatchOption,
    watch_settings,
)

if TYPE_CHECKING:
    from psm.config import Config
    from psm.ingest.library import ScanResult

_SHOWN_ERRORS = 20


@app.command(
    epilog="Examples:  psm scan ~/Music  ·  psm scan --quick  ·  psm scan --since '2 hours ago'  ·  "
    "psm scan --watch  ·  psm scan --explain FILE"
)
def scan(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Files and folders to look at; all libraries without."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Read only new files and those that differ.")] = False,
    since: Annotated[
        str | None,
        typer.Option(help="Read also what changed since then: '2 hours ago', yesterday, 2025-10-08.", metavar="WHEN"),
    ] = None,
    accept_missing: Annotated[
        bool, typer.Option("--accept-missing", help="Mark missing what is gone, however much it is.")
    ] = False,
    explain: Annotated[
        Path | None, typer.Option(help="Say why a path is or is not scanned, and scan nothing.", metavar="PATH")
    ] = None,
    watch: WatchOption = False,
    debounce: DebounceOption = None,
    no_debounce: NoDebounceOption = False,
    max_wait: MaxWaitOption = None,
    poll: PollOption = None,
    interval: IntervalOption = None,
    json: JsonOption = False,
) -> None:
    """Bring the database in step with the music on disk, once or for as long as it runs (--watch).

    Reads the tags of every file, unless --quick or --since narrows it. A folder that belongs to no library becomes one.
    """
    from psm.cli import render
    from psm.services import scanning

    chosen = session(context)
    since_s = _moment(since, quick=quick)
    settings = watch_settings(
        watch=watch, debounce=debounce, no_debounce=no_debounce, max_wait=max_wait, poll=poll, interval=interval
    )
    config = chosen.config(**settings)
    if watch:
        _refuse_beside_watch(quick=quick, since=since is not None, explain=explain is not None, accept=accept_missing)
        raise typer.Exit(_watch(chosen, config, paths or (), as_json=json))
    with chosen.database(config) as db:
        if explain is not None:
            show_explanation(explain, scanning.explain_path(db, config, explain), as_json=json)
            return
        with stoppable() as stop, render.progress(quiet=chosen.quiet or json) as progress:
            result = scanning.scan(
                db,
                config,
                paths or (),
                quick=quick,
                since=since_s,
                accept_missing=accept_missing,
                progress=progress,
                stop=stop,
                on_wait=render.waiting,
            )
    show_scan(result, as_json=json)
    raise typer.Exit(scan_exit_code(result))


def _refuse_beside_watch(**given: bool) -> None:
    from psm.errors import UsageError

    names = {"quick": "--quick", "since": "--since", "explain": "--explain", "accept": "--accept-missing"}
    if wrong := [names[name] for name, is_given in given.items() if is_given]:
        raise UsageError(f"{wrong[0]} and --watch exclude each other: run the scan first, then watch.")


def _watch(chosen: Session, config: "Config", paths: Sequence[Path], *, as_json: bool) -> int:
    from psm.cli import render
    from psm.cli.watching import printer, run_until_stopped
    from psm.errors import UsageError
    from psm.services import scanning
    from psm.services.watch_service import LibraryWatcher

    for path in paths:
        if path.is_file():
            raise UsageError(f"{path} is a file: --watch follows folders. Name the one that it lies in.")
    with chosen.database(config) as db, stoppable() as stop:
        for sentence in scanning.take_in(db, config, paths, on_wait=render.waiting):
            render.note(sentence)
        watcher = LibraryWatcher(db, config, paths=paths, on_event=printer(as_json=as_json, stop=stop))
        return run_until_stopped([watcher], stop)


def _moment(since: str | None, *, quick: bool) -> float | None:
    from datetime import datetime

    from psm.errors import UsageError
    from psm.ingest.when import parse_when

    if since is None:
        return None
    if quick:
        raise UsageError("--quick and --since exclude each other: --since reads all that --quick reads, and more.")
    return parse_when(since, now=datetime.now())


def show_explanation(path: Path, sentences: "tuple[str, ...]", *, as_json: bool) -> None:
    """Prints why a path is or is not scanned."""
    from psm.cli import render

    if as_json:
        render.as_json({"path": render.json_path(os.fsencode(path)), "explanation": list(sentences)})
    else:
        render.lines(sentences)


def scan_exit_code(result: "ScanResult") -> int:
    """0, or why not: interrupted, refused for safety, or a library that could not be read."""
    return exit_code(stopped=result.stopped, refused=result.refused > 0, failed=bool(result.offline))


def scan_json(result: "ScanResult") -> dict[str, object]:
    """The result as ``--json`` prints it."""
    from psm.cli.render import json_path

    counts = ("added", "updated", "moved", "restored", "missing", "unchanged", "refused")
    return {
        **{name: getattr(result, name) for name in counts},
        "errors": [{"path": json_path(e.path), "reason": e.reason} for e in result.errors],
        "notes": list(result.notes),
        "duration_s": round(result.duration_s, 3),
        "offline": list(result.offline),
        "stopped": result.stopped,
        "complete": result.complete,
    }


def show_scan(result: "ScanResult", *, as_json: bool) -> None:
    """Prints what a scan did."""
    from psm.cli import render

    if as_json:
        render.as_json(scan_json(result))
        return
    for sentence in result.notes:
        render.note(sentence)
    for error in result.errors[:_SHOWN_ERRORS]:
        render.note(f"  {render.shown_path(error.path)}: {error.reason}")
    if len(result.errors) > _SHOWN_ERRORS:
        render.note(f"  … and {len(result.errors) - _SHOWN_ERRORS:,} more (--json lists all)")
    render.line(scan_sentence(result))


def scan_sentence(result: "ScanResult") -> str:
    """The counts, as one sentence."""
    from psm.cli.render import counted

    total = result.changed - result.missing + result.unchanged
    counts = ("added", "updated", "moved", "restored", "missing")
    changes = [f"{getattr(result, name):,} {name}" for name in counts if getattr(result, name)]
    said = [", ".join(changes) or "nothing changed"]
    if result.errors:
        said.append(f"{len(result.errors):,} with errors")
    end = ""
    if result.stopped:
        end = " Stopped early: what was found is kept, nothing was marked missing."
    elif not result.complete:
        end = " Not everything could be looked at."
    return f"Scan: {counted(total, 'file')} in {result.duration_s:.1f} s: {'; '.join(said)}.{end}"
