"""Writes the reference in docs/cli.md: every command of the program, with its arguments, options, exit codes, examples.

What stands above the mark in the file is written by hand and stays. A test says when the file is out of date.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from psm.cli.app import app

FILE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
MARK = "<!-- Below this line everything is written by tools/make_cli_docs.py from the program itself. -->\n"

EXIT_CODES = {
    "demo": {1: "something could not be written", 3: "DIR holds something else than a demo"},
    "build": {
        1: "a library could not be read, a named playlist not used, or a file not written; the other stages ran",
        2: "there is no library yet, or a path is not there",
        3: "very many files are gone at once, and were kept; the other stages ran",
    },
    "scan": {
        1: "a library could not be read at all",
        2: "there is no library yet, a path is not there, or WHEN cannot be read",
        3: "very many files are gone at once, and were kept",
    },
    "match": {1: "`psm-overrides.yaml` cannot be understood"},
    "diagnose": {2: "no track, or more than one, answers to TRACK"},
    "set-match": {2: "no track or file, or more than one, answers to the name"},
    "reject-match": {2: "no track or file, or more than one, answers to the name"},
    "remove-match": {2: "no track, or more than one, answers to TRACK"},
    "reset-match": {2: "no track, or more than one, answers to TRACK"},
    "matches": {2: "no playlist, or more than one, answers to NAME"},
    "files": {2: "there is no library yet"},
    "export": {1: "a folder could not be written, or with `--verify` a line leads to no file", 2: "no such profile"},
    "report": {1: "a file could not be written"},
    "service install": {
        1: "psm does not run: it could not be started, would not start as a service, or ended again",
        2: "no such user",
        3: "it would become a service of root, which was not asked for",
    },
    "service uninstall": {1: "psm could not be stopped, or the service was not written by psm"},
    "service status": {1: "psm does not run as a service"},
    "doctor": {1: "there is a problem"},
    "library add": {2: "FOLDER is no folder, or the name is taken"},
    "library move": {2: "no such library or folder, or FOLDER overlaps another library"},
    "library watch": {2: "no such library"},
    "library remove": {2: "no such library"},
    "playlist import": {1: "not one playlist could be used"},
    "playlist show": {2: "no playlist, or more than one, answers to NAME"},
    "playlist remove": {2: "no playlist, or more than one, answers to NAME"},
    "playlist forget": {2: "psm does not remember it, or it is the file of a playlist"},
    "config init": {1: "the file is there already, or cannot be written"},
    "config show": {2: "the configuration has mistakes"},
    "config check": {2: "the configuration has mistakes"},
}
"""What the codes mean where a command says more than the table at the top of the file."""


def main() -> None:
    """Brings docs/cli.md up to date."""
    FILE.write_text(updated(FILE.read_text(encoding="utf-8")), encoding="utf-8")


def updated(text: str) -> str:
    """The file's text with the reference as the program has it now."""
    by_hand, mark, _ = text.partition(MARK)
    if not mark:
        sys.exit(f"{FILE} has lost the line {MARK}")
    return by_hand + mark + "\n" + "\n".join(reference())


def reference() -> Iterator[str]:
    """The lines below the mark."""
    root = get_command(app)
    yield "## Global options\n"
    yield from _table("option", [(_option(o), o.help) for o in _of_kind(root, "option")])
    for name, command in commands(root):
        yield from _section(name, command)


def commands(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every command, with its full name, in the order of the help."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def _section(name: str, command: Any) -> Iterator[str]:
    about, examples = _said(command)
    arguments, options = list(_of_kind(command, "argument")), list(_of_kind(command, "option"))
    usage = ["psm", name, *(["[OPTIONS]"] if options else []), *(a.metavar or a.name.upper() for a in arguments)]
    yield f"## psm {name}\n"
    yield f"```sh\n{' '.join(usage)}\n```\n"
    yield about + "\n"
    yield from _table("argument", [(f"`{a.metavar or a.name.upper()}`", a.help) for a in arguments])
    yield from _table("option", [(_option(o), o.help) for o in options])
    codes = EXIT_CODES.get(name, {})
    yield from _table("exit code", [(f"`{code}`", meaning) for code, meaning in codes.items()])
    yield "```sh\n" + "\n".join(examples) + "\n```\n"


def _of_kind(command: Any, kind: str) -> Iterator[Any]:
    return (p for p in command.params if p.param_type_name == kind and p.name != "help")


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return names if option.is_flag else f"{names} `{_value(option)}`"


def _value(option: Any) -> str:
    choices = getattr(option.type, "choices", None)
    return option.metavar or ("|".join(str(getattr(c, "value", c)) for c in choices) if choices else "TEXT")


def _said(command: Any) -> tuple[str, list[str]]:
    """What the help says, and its examples, one per line."""
    paragraphs = [" ".join(p.split()) for p in inspect.cleandoc(command.help or "").split("\n\n")]
    about = [p for p in paragraphs if not p.startswith("Example")]
    shown = [p for p in paragraphs if p.startswith("Example")] or [command.epilog or ""]
    lines = shown[0].partition(":")[2].replace("  ·  ", "\n").replace(" | psm", "\npsm").splitlines()
    return "\n\n".join(about), [line.strip() for line in lines if line.strip()]


def _table(heading: str, rows: list[tuple[str, str | None]]) -> Iterator[str]:
    if rows:
        cells = [
            (left.replace("|", r"\|"), " ".join((right or "").split()).replace("|", r"\|")) for left, right in rows
        ]
        lines = [f"| {heading} | |", "|---|---|", *(f"| {left} | {right} |" for left, right in cells)]
        yield "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
