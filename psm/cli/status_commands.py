"""``psm status`` and ``psm doctor``."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from psm.cli.app import app
from psm.cli.library_commands import place
from psm.cli.session import JsonOption, exit_code, session, stoppable

if TYPE_CHECKING:
    from psm.services.doctor import Check
    from psm.services.status import LastScan, LibraryStatus, Status
    from psm.services.watch_status import Watcher, WatcherStatus


@app.command(epilog="Examples:  psm status  ·  psm status --json")
def status(context: typer.Context, json: JsonOption = False) -> None:
    """Show libraries, counts, last scans, what a running watcher does, and how much of each playlist is found."""
    from psm.cli import render
    from psm.services.libraries import ensure_libraries
    from psm.services.status import status as read_status

    chosen = session(context)
    config = chosen.config()
    with chosen.database(config) as db:
        notes = ensure_libraries(db, config, now=time.time, on_wait=render.waiting)
        found = read_status(db)
    for sentence in notes:
        render.note(sentence)
    if json:
        render.as_json(_status_json(found))
    else:
        _show_status(found)


@app.command(epilog="Examples:  psm doctor  ·  psm doctor --json")
def doctor(context: typer.Context, json: JsonOption = False) -> None:
    """Look for what would go wrong, and say how to mend it. Exit code 1 when there is a problem.

    Into each library a file is written for a moment, to see whether changes are noticed.
    """
    from psm.cli import render
    from psm.services.doctor import Verdict, examine

    chosen = session(context)
    config = chosen.config()
    with stoppable() as stop:
        checks = examine(config, lambda: chosen.database(config), now=time.time, say=render.note, stop=stop)
    if json:
        fields = ("what", "verdict", "finding", "remedy")
        render.as_json([{name: getattr(check, name) for name in fields} for check in checks])
    else:
        render.lines(_check_line(check) for check in checks)
    failed = any(check.verdict is Verdict.PROBLEM for check in checks)
    raise typer.Exit(exit_code(failed=failed, stopped=stop.is_set()))


def _check_line(check: "Check") -> str:
    mark = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}[check.verdict]
    return f"{mark}  {check.what}: {check.finding}" + (f"\n         → {check.remedy}" if check.remedy else "")


def _status_json(found: "Status") -> dict[str, object]:
    from psm.cli.render import json_path

    return {
        "libraries": [
            {
                "name": each.state.library.name,
                "path": json_path(each.state.library.root),
                "present": each.state.present,
                "missing": each.state.missing,
                "available": each.state.there,
                "last_scan": None if each.last_scan is None else _scan_json(each.last_scan),
                "watch": each.state.library.watch,
                "watcher": None if each.watcher is None else _watcher_json(each.watcher),
            }
            for each in found.libraries
        ],
        "playlists": [
            {"id": p.playlist_id, "name": p.name, "tracks": p.tracks, "found": p.found} for p in found.playlists
        ],
    }


def _scan_json(scan: "LastScan") -> dict[str, object]:
    return {"mode": scan.mode, "at": _iso(scan.at), "complete": scan.complete}


def _watcher_json(watcher: "Watcher") -> dict[str, object]:
    said = watcher.status
    if said is None:
        return {"holder": watcher.holder, "mode": None}
    return {
        "holder": watcher.holder,
        "what": said.what,
        "pid": said.pid,
        "started_at": _iso(said.started_at),
        "ready": said.ready,
        "mode": said.mode.value,
        "reason": said.reason,
        "folders": said.folders,
        "pending": said.pending,
        "last_change_at": _iso(said.last_change_at),
        "last_reconcile_at": _iso(said.last_reconcile_at),
        "next_pass_at": _iso(said.next_pass_at),
        "restarts": said.restarts,
        "errors": list(said.errors),
    }


def _iso(at: float | None) -> str | None:
    return None if at is None else _moment(at).isoformat(timespec="seconds")


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at).astimezone()


def _show_status(found: "Status") -> None:
    from psm.cli import render

    if not found.libraries:
        render.line("No library yet. Add one with: psm library add FOLDER")
    else:
        render.table(
            ("Library", "Files", "Missing", "Last scan", "Folder"),
            [
                (
                    each.state.library.name,
                    each.state.present,
                    each.state.missing,
                    _last_scan(each.last_scan),
                    place(each.state),
                )
                for each in found.libraries
            ],
        )
        _show_watchers(found.libraries)
    render.line()
    if not found.playlists:
        render.line("No playlist yet. Take some in with: psm playlist import FILE or FOLDER")
        return
    render.table(
        ("Playlist", "Tracks", "Found", "Coverage"),
        [(p.name, p.tracks, p.found, _share(p.found, p.tracks)) for p in found.playlists],
    )


def _last_scan(scan: "LastScan | None") -> str:
    if scan is None:
        return "never"
    return f"{_moment(scan.at):%Y-%m-%d %H:%M} ({scan.mode}{'' if scan.complete else ', not complete'})"


def _show_watchers(libraries: "Sequence[LibraryStatus]") -> None:
    """What the running watchers do: their numbers in a table, and below it what needs a sentence."""
    from psm.cli import render

    watched = [(each.state.library.name, each.watcher) for each in libraries if each.watcher is not None]
    if not watched:
        return
    render.line()
    render.table(
        ("Watched", "By", "Folders", "Pending", "Last change", "Last look at all"),
        [(name, *_watcher_row(watcher.status)) for name, watcher in watched],
    )
    for name, watcher in watched:
        render.lines(f"{name}: {sentence}" for sentence in _watcher_sentences(watcher))


def _watcher_row(said: "WatcherStatus | None") -> tuple[object, ...]:
    if said is None:
        return ("-", "-", "-", "-", "-")
    how = said.mode.value + ("" if said.ready or said.mode.value in ("starting", "offline") else ", catching up")
    return (how, said.folders, said.pending, _when(said.last_change_at), _when(said.last_reconcile_at))


def _watcher_sentences(watcher: "Watcher") -> Iterator[str]:
    yield watcher.holder
    said = watcher.status
    if said is None:
        yield "it has not said yet what it does"
        return
    if said.reason:
        yield said.reason
    if said.restarts:
        yield f"its events were begun anew {'once' if said.restarts == 1 else f'{said.restarts:,} times'}"
    yield from said.errors


def _when(at: float | None) -> str:
    return "never" if at is None else f"{_moment(at):%Y-%m-%d %H:%M:%S}"


def _share(found: int, total: int) -> str:
    # Rounded down: 100 % is said only when nothing is missing.
    return f"{100 * found // total} %" if total else "-"
