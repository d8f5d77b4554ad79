"""The Typer application: the global options, and the groups of commands."""

from pathlib import Path
from typing import Annotated

import typer

from psm import __version__
from psm.cli.session import Session

app = typer.Typer(
    name="psm",
    help="Keeps a music library's database true to the disk and turns playlists into files that players play.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"psm {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="The configuration file.", envvar="PSM_CONFIG", metavar="FILE")
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option("--database", help="The database file, instead of the configured one.", metavar="FILE"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only, no progress.")] = False,
    version: Annotated[  # noqa: ARG001  (its callback acts on it)
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options that every command takes, before or after its name."""
    context.obj = Session(config_path=config, database_path=database, quiet=quiet)


def _add_commands() -> None:
    """Each module adds its commands when it is imported; the order here is the order of the help."""
    from importlib import import_module

    names = (
        "demo",
        "build",
        "scan",
        "library",
        "playlist",
        "match",
        "files",
        "export",
        "report",
        "service",
        "status",
        "config",
    )
    for name in names:
        import_module(f"psm.cli.{name}_commands")


def _one_example_per_line(group: typer.Typer) -> None:
    """The modules write examples in one line, where they are easy to read; the help shows each in one of its own."""
    for command in group.registered_commands:
        if command.epilog:
            # The empty line in front keeps the others indented.
            command.epilog = "\n" + command.epilog.replace(":  ", ":\n  ", 1).replace("  ·  ", "\n  ")
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            _one_example_per_line(inner.typer_instance)


_add_commands()
_one_example_per_line(app)
