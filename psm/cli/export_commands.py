"""``psm export``."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psm.cli.app import app
from psm.cli.following import follow, refuse_beside_watch
from psm.cli.session import JsonOption, Session, exit_code, session, stoppable
from psm.cli.watching import WatchOption
from psm.config import Config, ExportConfig, ExportMode, ExportProfile, PlaylistFormat
from psm.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from psm.export import ExportResult, VerifyResult

_SHOWN = 20
_ONE_OFF = "export"


@app.command(
    epilog="Examples:  psm export  ·  psm export --profile car --mode mirrored  ·  psm export --to ~/playlists  ·  "
    "psm export --verify  ·  psm export --watch"
)
def export(
    context: typer.Context,
    profile: Annotated[
        list[str] | None, typer.Option(help="Only this profile; may be given several times.", metavar="NAME")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Write to this folder, just this once.", metavar="FOLDER")] = None,
    mode: Annotated[ExportMode | None, typer.Option(help="What becomes of tracks that have no file.")] = None,
    format: Annotated[PlaylistFormat | None, typer.Option(help="The file format.")] = None,  # noqa: A002  (the flag)
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that you made or edited; yours are kept as .bak.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Write nothing: check that every line leads to a file.")
    ] = False,
    watch: WatchOption = False,
    json: JsonOption = False,
) -> None:
    """Write the playlists for the players.

    Each profile under export.profiles in the configuration says how one player wants them.
    Files that you made or edited are left alone; only files that psm wrote are ever removed.
    """
    run = session(context)
    config = run.config()
    if watch:
        from psm.services.stages import Stage

        given = {"--profile": bool(profile), "--to": to is not None, "--mode": mode is not None}
        refuse_beside_watch({**given, "--format": format is not None, "--overwrite": overwrite, "--verify": verify})
        with_flags(config.export)
        raise typer.Exit(follow(run, config, {Stage.EXPORT}, as_json=json))
    cfg = with_flags(config.export, names=profile or (), to=to, mode=mode, file_format=format)
    if verify:
        raise typer.Exit(_verify(run, config, _named(cfg, profile or () if to is None else ()), as_json=json))
    raise typer.Exit(
        _export(*(run, config, cfg), names=profile or None, overwrite=overwrite, one_off=to is not None, as_json=json)
    )


def _export(
    run: Session,
    config: Config,
    cfg: ExportConfig,
    *,
    names: Sequence[str] | None,
    overwrite: bool,
    one_off: bool,
    as_json: bool,
) -> ExitCode:
    from psm.cli import render
    from psm.export import export_playlists

    only = None if one_off else names
    with run.database(config) as db, stoppable() as stop, render.progress(quiet=run.quiet or as_json) as progress:
        result = export_playlists(
            db, cfg, progress=progress, stop=stop, overwrite=overwrite, only=only, one_off=one_off
        )
    show_export(result, as_json=as_json)
    return export_exit_code(result)


def _named(cfg: ExportConfig, names: Sequence[str]) -> ExportConfig:
    return ExportConfig(tuple(p for p in cfg.profiles if not names or p.name in names))


def _verify(run: Session, config: Config, cfg: ExportConfig, *, as_json: bool) -> ExitCode:
    from psm.cli import render
    from psm.export import verify

    with run.database(config) as db, stoppable() as stop, render.progress(quiet=run.quiet or as_json) as progress:
        result = verify(db, cfg, progress=progress, stop=stop)
    show_verify(result, as_json=as_json)
    return exit_code(failed=bool(result.problems), stopped=not result.complete)


def with_flags(
    cfg: ExportConfig,
    *,
    names: Sequence[str] = (),
    to: Path | None = None,
    mode: ExportMode | None = None,
    file_format: PlaylistFormat | None = None,
) -> ExportConfig:
    """The profiles to work with: the configured ones with the flags applied, or one for ``to``. Raises UsageError."""
    known = {p.name: p for p in cfg.profiles}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else f" There are: {', '.join(known) or 'none'}."
            raise UsageError(f'There is no export profile "{name}".{hint}')
    if to is not None:
        if len(names) > 1:
            raise UsageError("--to takes one --profile: two would write the same files.")
        base = known[names[0]] if names else ExportProfile(_ONE_OFF, to)
        cfg = ExportConfig((replace(base, folder=to.expanduser().absolute()),))
    if not cfg.profiles:
        raise UsageError(
            "No export profile is set up. Write to a folder with psm export --to FOLDER, or add a profile "
            "under export.profiles in the configuration (psm config path says where that is)."
        )
    chosen = {p.name for p in cfg.profiles if not names or p.name in names}
    return ExportConfig(
        tuple(
            replace(p, mode=mode or p.mode, format=file_format or p.format) if p.name in chosen else p
            for p in cfg.profiles
        )
    )


def export_exit_code(result: "ExportResult") -> ExitCode:
    """Failed when anything could not be written; files left to their owner are no failure."""
    return exit_code(failed=bool(result.problems), stopped=not result.complete)


def export_document(result: "ExportResult") -> dict[str, Any]:
    """An :class:`~psm.export.ExportResult` for JSON; ``psm build`` shows it too."""
    from psm.cli.render import json_path
    from psm.export import Outcome

    return {
        **{outcome.value: result.count(outcome) for outcome in Outcome},
        "playlists": [
            {
                "profile": p.profile,
                "playlist": p.playlist,
                "path": json_path(p.path),
                "outcome": p.outcome.value,
                "tracks": p.tracks,
                "found": p.found,
                "missing": p.missing,
                "unusable": [
                    {"position": u.position, "path": json_path(u.path), "reason": u.reason} for u in p.unusable
                ],
                "backup": None if p.backup is None else json_path(p.backup),
                "note": p.note,
            }
            for p in result.playlists
        ],
        "removed": [json_path(path) for path in result.removed],
        "left": [{"path": json_path(k.path), "reason": k.reason} for k in result.kept],
        "problems": [
            {"profiles": list(p.profiles), "folder": json_path(p.folder), "reason": p.reason} for p in result.problems
        ],
        "away": [{"profiles": list(a.profiles), "folder": json_path(a.folder)} for a in result.away],
        "complete": result.complete,
    }


def show_export(result: "ExportResult", *, as_json: bool) -> None:
    """An :class:`~psm.export.ExportResult` for people, or as JSON."""
    from psm.cli import render
    from psm.export import Outcome

    if as_json:
        render.as_json(export_document(result))
        return
    # Of many playlists most are unchanged most of the time: those are counted, the others listed.
    if changed := [p for p in result.playlists if p.outcome is not Outcome.UNCHANGED]:
        render.table(
            ("profile", "playlist", "tracks", "missing", "", "file"),
            [(p.profile, p.playlist, p.tracks, p.missing, p.outcome.value, render.shown_path(p.path)) for p in changed],
        )
    written, same = result.count(Outcome.WRITTEN), result.count(Outcome.UNCHANGED)
    render.line(f"{written:,} written, {same:,} unchanged, {len(result.removed):,} removed.")
    for done in result.playlists:
        if done.note:
            render.note(f"Left as it is: {render.shown_path(done.path)}: {done.note}.")
        if done.backup:
            render.note(f"Your version of {render.shown_path(done.path)} is now {render.shown_path(done.backup)}.")
    for kept in result.kept:
        render.note(f"Left as it is: {render.shown_path(kept.path)}: {kept.reason}.")
    unusable = [(p, u) for p in result.playlists for u in p.unusable]
    for done, track in unusable[:_SHOWN]:
        path = render.shown_path(track.path)
        render.note(f"{done.profile}: {done.playlist}, track {track.position} left out ({track.reason}): {path}")
    if len(unusable) > _SHOWN:
        more = render.counted(len(unusable) - _SHOWN, "more track")
        render.note(f"… and {more} left out; --json lists them all.")
    for away in result.away:
        render.note(f"Not written now: {', '.join(away.profiles)}: {render.shown_path(away.folder)}: {away.reason}.")
    for problem in result.problems:
        render.error(
            f"{', '.join(problem.profiles) or 'clean-up'}: {render.shown_path(problem.folder)}: {problem.reason}."
        )
    if not result.complete:
        render.note("Stopped early: the files of the folder at work are as they were before.")


def show_verify(result: "VerifyResult", *, as_json: bool) -> None:
    """A :class:`~psm.export.VerifyResult` for people, or as JSON."""
    from psm.cli import render

    if as_json:
        render.as_json(
            {
                "files": result.files,
                "lines": result.lines,
                "problems": [
                    {
                        "profile": p.profile,
                        "path": render.json_path(p.playlist),
                        "line": p.line,
                        "entry": p.entry,
                        "reason": p.reason,
                    }
                    for p in result.problems
                ],
                "complete": result.complete,
            }
        )
        return
    for p in result.problems:
        where = "" if p.line is None else f", line {p.line}"
        said = f" ({p.entry})" if p.entry else ""
        render.line(f"{p.profile}: {render.shown_path(p.playlist)}{where}: {p.reason}{said}")
    found = render.counted(len(result.problems), "problem") if result.problems else "all lead to a file"
    files, lines = render.counted(result.files, "playlist file"), render.counted(result.lines, "line")
    render.line(f"{files}, {lines}: {found}.")
