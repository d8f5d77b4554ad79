"""``psm status`` and ``psm doctor``."""

import time
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from psm.cli.app import app
from psm.cli.session import JsonOption, exit_code, session

if TYPE_CHECKING:
    from psm.services.doctor import Check
    from psm.services.status import LastScan, Status


@app.command(epilog="Examples:  psm status  ·  psm status --json")
def status(context: typer.Context, json: JsonOption = False) -> None:
    """Show libraries, counts, last scans, and how much of each playlist is found."""
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
    """Look for what would go wrong, and say how to mend it. Exit code 1 when there is a problem."""
    from psm.cli import render
    from psm.services.doctor import Verdict, examine

    chosen = session(context)
    config = chosen.config()
    checks = examine(config, lambda: chosen.database(config), now=time.time)
    if json:
        fields = ("what", "verdict", "finding", "remedy")
        render.as_json([{name: getattr(check, name) for name in fields} for check in checks])
    else:
        render.lines(_check_line(check) for check in checks)
    raise typer.Exit(exit_code(failed=any(check.verdict is Verdict.PROBLEM for check in checks)))


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
            }
            for each in found.libraries
        ],
        "playlists": [
            {"id": p.playlist_id, "name": p.name, "tracks": p.tracks, "found": p.found} for p in found.playlists
        ],
    }


def _scan_json(scan: "LastScan") -> dict[str, object]:
    return {"mode": scan.mode, "at": _moment(scan.at).isoformat(timespec="seconds"), "complete": scan.complete}


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
                    render.shown_path(each.state.library.root) + ("" if each.state.there else "  (away)"),
                )
                for each in found.libraries
            ],
        )
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


def _share(found: int, total: int) -> str:
    # Rounded down: 100 % is said only when nothing is missing.
    return f"{100 * found // total} %" if total else "-"
