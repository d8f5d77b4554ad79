import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from psm.cli.app import app
from psm.errors import ExitCode
from tools import make_cli_docs

ROOT = Path(__file__).parent.parent
TEXT = make_cli_docs.FILE.read_text(encoding="utf-8")
COMMANDS = dict(make_cli_docs.commands(get_command(app)))


def section(name: str) -> str:
    return TEXT.partition(f"\n## psm {name}\n")[2].partition("\n## ")[0]


def spellings(parameter: Any) -> list[str]:
    """Every way to write an option: ``--on`` and ``--off``."""
    return [*parameter.opts, *parameter.secondary_opts]


def test_the_reference_is_what_the_program_says() -> None:
    assert make_cli_docs.updated(TEXT) == TEXT, "run .venv/bin/python tools/make_cli_docs.py"


def test_every_command_is_documented_and_nothing_else() -> None:
    assert re.findall(r"^## psm (.+)$", TEXT, flags=re.MULTILINE) == list(COMMANDS)
    assert {"build", "scan", "library add", "playlist import", "config init"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_is_documented_with_what_it_means(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if parameter.name == "help":
            continue
        assert parameter.help, f"{name}: {parameter.name} has no help"
        names = spellings(parameter) if parameter.param_type_name == "option" else [parameter.metavar]
        for shown in names:
            assert f"`{shown}`".replace("|", r"\|") in section(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_it_understands(name: str) -> None:
    examples = section(name).rpartition("```sh\n")[2].partition("```")[0].splitlines()
    assert examples
    assert any(f"psm {name.split(maxsplit=1)[0]}" in example for example in examples)
    known = {option for p in COMMANDS[name].params for option in spellings(p)} | {"--config"}
    for example in examples:
        assert set(re.findall(r"(?<!\S)--[a-z-]+", example)) <= known


def test_special_exit_codes_are_those_of_commands_that_there_are() -> None:
    assert set(make_cli_docs.EXIT_CODES) <= set(COMMANDS)


def test_every_exit_code_is_documented() -> None:
    table = TEXT.partition("**Exit codes**")[2].partition("**Output.**")[0]
    assert [int(code) for code in re.findall(r"^\| `(\d+)`", table, flags=re.MULTILINE)] == sorted(ExitCode)


def test_a_lost_mark_is_named_before_anything_is_written() -> None:
    with pytest.raises(SystemExit, match="has lost the line"):
        make_cli_docs.updated("# Commands\n")


INSTALLED = ("--install-completion", "--show-completion")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_in(page: Path) -> list[str]:
    """The lines of the shell blocks of a page, and its code in running text."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [line for block in blocks for line in block.splitlines()] + spans


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_options_that_a_page_names_exist(page: Path) -> None:
    groups = {name.split()[0] for name in COMMANDS if " " in name}
    everywhere = {"--config", "--database", "--quiet", "--version", "--help", *INSTALLED}
    for line in code_in(page):
        found = re.match(
            r"(?:PSM__\S+ )?(?:\./run\.sh|run\.bat|psm) (.+)",
            re.sub(r"--(config|database) \S+", "", line.partition(" #")[0]),
        )
        words = [w for w in (found[1].split() if found else []) if w not in everywhere]
        if not words or words[0] in {"COMMAND", "test", "…"} or words[0].startswith(("=", "'", "-")):
            continue
        name = " ".join(words[:2]) if words[0] in groups else words[0]
        for one in name.replace("|", " ").split()[1:] if "|" in name else [None]:
            full = name if one is None else f"{words[0]} {one}"
            assert full in COMMANDS, line
            known = {option for p in COMMANDS[full].params for option in spellings(p)}
            assert {w for w in words if re.fullmatch(r"--[a-z-]+", w)} <= known, line


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_files_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:psm|tests|tools)/[\w/.]+)`", text))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_architecture_names_a_test_for_every_rule() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [int(n) for n in re.findall(r"^\| (\d+) \|", text, flags=re.MULTILINE)] == list(range(1, 14))


def test_the_tool_brings_the_file_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / "cli.md"
    stale.write_text(f"# By hand\n{make_cli_docs.MARK}\nold\n", encoding="utf-8")
    monkeypatch.setattr(make_cli_docs, "FILE", stale)
    make_cli_docs.main()
    assert stale.read_text(encoding="utf-8").startswith("# By hand\n")
    assert stale.read_text(encoding="utf-8").partition(make_cli_docs.MARK)[2] == TEXT.partition(make_cli_docs.MARK)[2]
