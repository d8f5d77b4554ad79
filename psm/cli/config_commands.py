"""``psm config``: the configuration file, what it says, and what is in force."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from psm.cli.app import app
from psm.cli.session import JsonOption, session
from psm.errors import ExitCode, PsmError

if TYPE_CHECKING:
    from psm.config import Setting
    from psm.config.file import Mistake

config_app = typer.Typer(help="Write, find, show and check the configuration file.", no_args_is_help=True)
app.add_typer(config_app, name="config")


@config_app.command(epilog="Examples:  psm config init  ·  psm --config ~/psm.yaml config init")
def init(context: typer.Context) -> None:
    """Write a configuration file with every setting, its meaning and its default. One that is there stays as it is."""
    from psm.cli import render
    from psm.config import config_file
    from psm.config.template import commented_file

    file = config_file(session(context).config_path)
    _write_new(file, commented_file())
    render.line(f"Written: {file}")


@config_app.command(epilog='Example:  less "$(psm config path)"')
def path(context: typer.Context) -> None:
    """Print where the configuration file is, or would be."""
    from psm.cli import render
    from psm.config import config_file

    render.line(str(config_file(session(context).config_path)))


@config_app.command(epilog="Examples:  psm config show  ·  PSM__MATCH__THRESHOLD=0.9 psm config show --json")
def show(context: typer.Context, json: JsonOption = False) -> None:
    """Show every setting with its value and its source: default, line of the file, environment variable or flag."""
    from psm.cli import render
    from psm.config import config_file, resolve
    from psm.config.template import in_yaml, plain

    asked = session(context)
    settings = resolve(asked.config_path, flags={"database.path": asked.database_path})
    file = config_file(asked.config_path)
    if json:
        render.as_json(_document(file, settings))
    else:
        render.table(("setting", "value", "source"), [(s.key, in_yaml(plain(s.value)), s.source) for s in settings])
        render.line(f"\nfile: {file}" + ("" if os.path.exists(file) else " (not there, which is fine)"))


@config_app.command(epilog="Examples:  psm config check  ·  psm --config new.yaml config check --json")
def check(context: typer.Context, json: JsonOption = False) -> None:
    """Name every mistake in the configuration at once, with its line. Exit code 2 when there is one."""
    from psm.cli import render
    from psm.config import ConfigError, config_file

    file = config_file(session(context).config_path)
    try:
        session(context).config()
    except ConfigError as e:
        if not json:
            raise
        render.as_json(_verdict(file, e.mistakes))
        raise typer.Exit(ExitCode.USAGE) from None
    if json:
        render.as_json(_verdict(file, ()))
    else:
        there = "" if os.path.exists(file) else " (not there, so the defaults count)"
        render.line(f"The configuration is fine: {file}{there}")


def _document(file: Path, settings: "Sequence[Setting]") -> dict[str, object]:
    from psm.config.template import plain

    values = [{"key": s.key, "value": plain(s.value), "source": s.source} for s in settings]
    return {"file": str(file), "exists": os.path.exists(file), "settings": values}


def _verdict(file: Path, mistakes: "Sequence[Mistake]") -> dict[str, object]:
    return {
        "file": str(file),
        "exists": os.path.exists(file),
        "ok": not mistakes,
        "mistakes": [asdict(m) for m in mistakes],
    }


def _write_new(file: Path, text: str) -> None:
    """Writes a file that must not be there yet, whole or not at all."""
    elsewhere = "or write elsewhere with --config FILE."
    if os.path.lexists(file):
        raise PsmError(f"{file} is there already and stays as it is. Rename it first, {elsewhere}")
    made = False
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("xb").close()
        made = True
        file.write_bytes(text.encode())
    except OSError as e:
        if made:
            file.unlink(missing_ok=True)
        raise PsmError(f"{file} cannot be written: {e.strerror or e}. Mend that, {elsewhere}") from None
