"""Which settings there are, and what a file, the environment and flags say about them, each with its place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from psm.config.file import Entry, Items, Mistake, Node, Scalar, Section
from psm.config.values import Kind, Place, name_problem, nearest

ENV_PREFIX = "PSM__"
ANY = "NAME"
KeyPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """A setting: its path (``NAME`` stands for a name that the user chooses), its kind, and its default.

    ``about`` explains it to people; ``example`` is a value in YAML. A default that is a relative path counts from the
    data folder.
    """

    path: KeyPath
    kind: Kind
    about: str
    example: str
    default: object

    @property
    def dotted(self) -> str:
        """``match.threshold``."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """``PSM__MATCH__THRESHOLD``."""
        return ENV_PREFIX + "__".join(_in_variable(part) for part in self.path)


@dataclass(frozen=True, slots=True)
class Found:
    """A value that somebody gave. ``source`` is ``file``, ``environment VARIABLE`` or ``flag``; lines count from 1."""

    value: object
    source: str
    line: int | None = None


@dataclass(slots=True)
class Findings:
    """What was found, the last source winning; the names that users chose, by their path; and what is wrong."""

    values: dict[KeyPath, Found] = field(default_factory=dict)
    named: dict[KeyPath, Found] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def wrong(self, message: str, path: KeyPath, source: str, line: int | None = None) -> None:
        """Notes a mistake."""
        self.mistakes.append(Mistake(message, ".".join(path), source, line))


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    place: Place


def gather_file(keys: tuple[Key, ...], root: Section, folder: Path, env: Mapping[str, str], into: Findings) -> None:
    """Takes the settings of the configuration file that lies in ``folder``."""
    _walk(keys, root, (), _Source("file", Place(folder, env, one_line=False)), into)


def gather_environment(keys: tuple[Key, ...], env: Mapping[str, str], folder: Path, into: Findings) -> None:
    """Takes the settings of the variables ``PSM__…``; relative paths count from ``folder``. An empty one is not set."""
    place = Place(folder, env, one_line=True)
    for name in sorted(n for n in env if n.startswith(ENV_PREFIX)):
        source = _Source(f"environment {name}", place)
        found = next(((k, path) for k in keys if (path := _path_in(name, k, into))), None)
        if found is None:
            near = nearest(name, [_variable_like(k, name) for k in keys])
            into.wrong(f"there is no such setting.{near}", (), source.name)
        elif env[name]:
            _read(*found, Scalar(env[name], env[name], typed=False), source, into)


def gather_flags(keys: tuple[Key, ...], flags: Mapping[str, object], folder: Path, into: Findings) -> None:
    """Takes the settings given on the command line, by dotted name; None counts as not given."""
    source = _Source("flag", Place(folder, env=None, one_line=False))
    for dotted, value in flags.items():
        path = tuple(dotted.split("."))
        key = _key_at(keys, path)
        if key is None:
            into.wrong(f"there is no such setting.{nearest(dotted, [k.dotted for k in keys])}", path, source.name)
        elif value is not None:
            _read(key, path, _node(value), source, into)


def _node(value: object) -> Node:
    if isinstance(value, Mapping):
        return Section(tuple(Entry(str(k), _node(v)) for k, v in value.items()))
    if isinstance(value, list | tuple):
        return Items(tuple(_node(v) for v in value))
    return Scalar(value, str(value), typed=False)


def _walk(keys: tuple[Key, ...], section: Section, above: KeyPath, source: _Source, into: Findings) -> None:
    """Goes through the file's sections along the known keys."""
    for entry in section.entries:
        path = (*above, entry.key)
        key = _key_at(keys, path)
        inner = _children(keys, path)
        # "paths:" with nothing behind it is what is left when a person comments out the values below it: the default.
        empty = isinstance(entry.node, Scalar) and entry.node.value is None
        if key is not None:
            if not empty:
                _read(key, path, entry.node, source, into, line=entry.line)
        elif not inner:
            into.wrong(f"there is no such setting.{_near(keys, entry.key, above)}", path, source.name, entry.line)
        else:
            if _children(keys, above) == [ANY]:
                _take_name(path, source, into, entry.line)
            if isinstance(entry.node, Section):
                _walk(keys, entry.node, path, source, into)
            elif not empty:
                what = "a name of your choice for each" if inner == [ANY] else ", ".join(inner)
                into.wrong(f"must be a section that holds {what}.", path, source.name, entry.line)


def _read(key: Key, path: KeyPath, node: Node, source: _Source, into: Findings, *, line: int | None = None) -> None:
    """Reads one value, and takes it when nothing is wrong with it."""
    complaints: list[tuple[str, int | None]] = []
    value = key.kind.read(node, source.place, lambda message, at: complaints.append((message, at)))
    if ANY in key.path:
        _take_name(path[: key.path.index(ANY) + 1], source, into, line)
    for message, at in complaints:
        # A list in a variable is YAML too, and has a line 1 that means nothing to anybody.
        into.wrong(message, path, source.name, None if line is None else at or line)
    if not complaints:
        into.values[path] = Found(value, source.name, line)


def _take_name(path: KeyPath, source: _Source, into: Findings, line: int | None) -> None:
    """Notes a name that the user chose, the last part of ``path``."""
    if path in into.named:
        return
    problem = name_problem(path[-1])
    if problem:
        into.wrong(f"{path[-1]!r} cannot be its name: {problem}.", path, source.name, line)
    twin = next((p[-1] for p in into.named if _in_variable(p[-1]) == _in_variable(path[-1])), None)
    if twin is not None:
        into.wrong(f"is too much like {twin!r}: names must differ in letters and digits.", path, source.name, line)
    into.named[path] = Found(path[-1], source.name, line)


def _matches(pattern: KeyPath, path: KeyPath) -> bool:
    return len(pattern) == len(path) and all(p in (ANY, part) for p, part in zip(pattern, path, strict=True))


def _key_at(keys: tuple[Key, ...], path: KeyPath) -> Key | None:
    return next((k for k in keys if _matches(k.path, path)), None)


def _children(keys: tuple[Key, ...], path: KeyPath) -> list[str]:
    """What may stand in the section at ``path``; nothing when there is no such section."""
    depth = len(path)
    return list(dict.fromkeys(k.path[depth] for k in keys if len(k.path) > depth and _matches(k.path[:depth], path)))


def _near(keys: tuple[Key, ...], word: str, above: KeyPath) -> str:
    """A question with the setting that was probably meant: one of this section, else one of that name elsewhere."""
    dotted = {child: ".".join((*above, child)) for child in _children(keys, above)}
    return nearest(word, dotted) or nearest(word, {k.path[-1]: k.dotted for k in reversed(keys)}, cutoff=0.8)


def _in_variable(part: str) -> str:
    """A part of a path as it stands in an environment variable, where only letters, digits and ``_`` may be."""
    return re.sub(r"\W", "_", part).upper()


def _path_in(name: str, key: Key, into: Findings) -> KeyPath | None:
    """The path that the variable ``name`` means when it is one for ``key``. Names chosen before keep their spelling."""
    if ANY not in key.path:
        return key.path if key.variable == name else None
    before, after = _around_name(key)
    chosen = name.removeprefix(before).removesuffix(after)
    if not chosen or name != before + chosen + after:
        return None
    known = next((p[-1] for p in into.named if _in_variable(p[-1]) == chosen), chosen.lower())
    return tuple(known if part == ANY else part for part in key.path)


def _variable_like(key: Key, name: str) -> str:
    """The variable for ``key``, with the name that the user chose taken from ``name`` where it has one."""
    if ANY not in key.path:
        return key.variable
    before, after = _around_name(key)
    chosen = name.removeprefix(before).rpartition("__")[0] if name.startswith(before) else ""
    return before + (chosen or ANY) + after


def _around_name(key: Key) -> tuple[str, str]:
    """What stands before and after the user's name in the variable for ``key``."""
    at = key.path.index(ANY)
    before, after = key.path[:at], key.path[at + 1 :]
    return ENV_PREFIX + "".join(_in_variable(p) + "__" for p in before), "".join("__" + _in_variable(p) for p in after)
