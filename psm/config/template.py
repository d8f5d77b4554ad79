"""The configuration file that ``psm config init`` writes: every setting with its meaning and default, commented out."""

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

from psm.config import Polling, keys
from psm.config.keys import ANY, Key
from psm.config.profiles import DEFAULT_PROFILE
from psm.config.values import NamedPath
from psm.places import data_folder, literal

_WIDTH = 110
_INTRO = """\
The configuration of psm. It is yours: psm reads it and never writes to it.

Every setting stands here with its default. To change one, remove the # before its name.
Relative paths count from this file's folder; ~ and $NAME are replaced.
'psm config check' names every mistake, 'psm config show' says what is in force and why."""


def commented_file() -> str:
    """The text of a new configuration file, as YAML. Without its comment signs before settings it says the same."""
    return "\n".join([*_comment(_INTRO, ""), *_lines()]) + "\n"


def _lines() -> Iterator[str]:
    above: tuple[str, ...] = ()
    for key in keys():
        section = key.path[:-1]
        if section != above:
            yield from _section(section, above)
            above = section
        indent = "  " * len(section)
        yield ""
        yield from _comment(key.about, indent)
        yield from _comment(f"For example: {key.example}", indent)
        yield f"{indent}#{key.path[-1]}: {default_in_yaml(key)}"


def _section(section: tuple[str, ...], above: tuple[str, ...]) -> Iterator[str]:
    """The lines that begin a section, without those of the sections around it that ``above`` has begun already."""
    yield ""
    for depth, part in enumerate(section):
        if section[: depth + 1] == above[: depth + 1]:
            continue
        indent = "  " * depth
        if part == ANY:
            about = (
                "One section for each player, under a name of your choice; each needs its folder. When there is none:"
            )
            yield from _comment(about, indent)
            yield f"{indent}#{DEFAULT_PROFILE}:"
        else:
            yield f"{indent}{part}:"


def _comment(text: str, indent: str) -> Iterator[str]:
    for paragraph in text.split("\n"):
        for line in textwrap.wrap(paragraph, _WIDTH - len(indent), break_long_words=False) or [""]:
            yield f"{indent}# {line}".rstrip()


def default_in_yaml(key: Key, data: Path | None = None) -> str:
    """The default as it would stand in the file; ``data`` is the folder that relative ones count from."""
    if isinstance(key.default, Path):
        return in_yaml(literal(str((data or data_folder()) / key.default)))
    return in_yaml(plain(key.default))


def in_yaml(value: object) -> str:
    """A plain value on one line of YAML."""
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9).removesuffix("...\n").strip()


def plain(value: object) -> object:
    """A setting's value in the types that YAML and JSON share: paths as text, named paths as a mapping."""
    if isinstance(value, Path):
        return os.fspath(value)
    if isinstance(value, Polling) and value is not Polling.AUTO:
        return value is Polling.ALWAYS
    if isinstance(value, str):
        return str(value)  # a member of an enum is more than its text
    if isinstance(value, tuple):
        paths = [v for v in value if isinstance(v, NamedPath)]
        if paths and all(p.name for p in paths):
            return {str(p.name): str(p.path) for p in paths}
        return [str(v.path) if isinstance(v, NamedPath) else plain(v) for v in value]
    return value
