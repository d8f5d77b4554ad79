"""The configuration file as a tree that knows its lines: YAML, read safely, every mistake named at its place."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

_MAX_BYTES = 1_000_000
_MAX_NODES = 20_000
_MAX_DEPTH = 20
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong. ``source`` is ``file``, ``environment NAME`` or ``flag``; ``line`` counts from 1."""

    message: str
    key: str = ""
    source: str = "file"
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value: as YAML understands it, and as it was written.

    ``typed`` is False for text from outside the file (environment, flags), where 5 and "5" are the same.
    """

    value: object
    text: str
    line: int | None = None
    typed: bool = True


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple["Node", ...]
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and what stands below it."""

    key: str
    node: "Node"
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping, in the file's order."""

    entries: tuple[Entry, ...] = ()
    line: int | None = None


Node = Scalar | Items | Section


def read_file(path: Path, *, required: bool) -> tuple[Section, tuple[Mistake, ...]]:
    """The tree of the file, and what is wrong with its YAML. A missing file is a mistake only when ``required``."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return Section(), (Mistake("there is no such file; 'psm config init' writes one"),) if required else ()
    except IsADirectoryError:
        return Section(), (Mistake("it is a folder, not a file"),)
    except OSError as e:
        # Windows says "Permission denied" for a folder. (Path.is_dir would raise below a closed folder.)
        reason = "it is a folder, not a file" if os.path.isdir(path) else f"it cannot be read: {e.strerror or e}"
        return Section(), (Mistake(reason),)
    if len(data) > _MAX_BYTES:
        return Section(), (Mistake(f"it is larger than {_MAX_BYTES:,} bytes, so it is hardly a configuration"),)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        return Section(), (Mistake("the file is not UTF-8; save it with that encoding", line=line),)
    node, mistakes = parse(text)
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return Section(), mistakes
    if not isinstance(node, Section):
        return Section(), (
            *mistakes,
            Mistake('the file must hold "key: value" lines, such as "library:"', line=node.line),
        )
    return node, mistakes


def parse(text: str) -> tuple[Node | None, tuple[Mistake, ...]]:
    """The tree of a YAML document (None when it is empty or cannot be understood), and what is wrong with it."""
    import yaml

    loader = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None, ()
        tree = _Tree(loader)
        return tree.node(root, ()), tuple(tree.mistakes)
    except yaml.reader.ReaderError as e:
        line = text.count("\n", 0, e.position) + 1
        return None, (Mistake(f"the character {chr(e.character)!r} is not allowed in YAML", line=line),)
    except yaml.MarkedYAMLError as e:
        return None, (_syntax_mistake(e, text),)
    except RecursionError:
        return None, (Mistake("the lists and sections are nested too deeply"),)
    except _TooLargeError:
        return None, (Mistake(f"it unfolds to more than {_MAX_NODES:,} values (through aliases?)"),)
    finally:
        if loader is not None:
            loader.dispose()


class _TooLargeError(Exception):
    pass


class _Tree:
    """Turns the nodes of PyYAML into ours, collecting what is wrong on the way."""

    def __init__(self, loader: "yaml.SafeLoader") -> None:
        self.mistakes: list[Mistake] = []
        self._loader = loader
        self._path: list[str] = []
        self._count = 0

    def node(self, node: Any, above: tuple[int, ...]) -> Node:
        import yaml

        # An alias is the same node at a second place: ten lines of them can unfold to billions.
        self._count += 1
        if self._count > _MAX_NODES:
            raise _TooLargeError
        line = node.start_mark.line + 1
        if id(node) in above or len(above) > _MAX_DEPTH:
            self.mistakes.append(Mistake("the lists and sections are nested too deeply", line=line))
            return Scalar(None, "", line)
        inside = (*above, id(node))
        if isinstance(node, yaml.SequenceNode):
            return Items(tuple(self.node(n, inside) for n in node.value), line)
        if isinstance(node, yaml.MappingNode):
            return self._section(node, inside, line)
        return self._scalar(node, line)

    def _section(self, node: Any, inside: tuple[int, ...], line: int) -> Section:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in node.value:
            at = key.start_mark.line + 1
            if key.tag == _MERGE:
                for entry in self._merged(self.node(value, inside), at):
                    merged.setdefault(entry.key, entry)
            elif not isinstance(key.value, str):
                self.mistakes.append(Mistake("a key must be a single word or text", line=at))
            elif key.value in own:
                before = own[key.value].line
                dotted = ".".join((*self._path, key.value))
                self.mistakes.append(Mistake(f"stands twice, first on line {before}.", dotted, line=at))
            else:
                self._path.append(key.value)
                own[key.value] = Entry(key.value, self.node(value, inside), at)
                self._path.pop()
        return Section(tuple((merged | own).values()), line)

    def _merged(self, node: Node, line: int) -> tuple[Entry, ...]:
        parts = node.items if isinstance(node, Items) else (node,)
        if not all(isinstance(p, Section) for p in parts):
            self.mistakes.append(Mistake("<< takes a section, or a list of sections, to copy from", line=line))
        return tuple(e for p in parts if isinstance(p, Section) for e in p.entries)

    def _scalar(self, node: Any, line: int) -> Scalar:
        import yaml

        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            # A tag that only unsafe loaders know (!!python/object), or 2024-13-45.
            if not node.tag.startswith("tag:yaml.org,2002:timestamp"):
                self.mistakes.append(Mistake(f"{node.value!r} cannot be read as {node.tag}", line=line))
            value = node.value
        return Scalar(value, node.value, line)


def _syntax_mistake(e: "yaml.MarkedYAMLError", text: str) -> Mistake:
    mark = e.problem_mark or e.context_mark
    problem = " ".join(p for p in (e.context, e.problem) if p) or "cannot be understood"
    if mark is None:
        return Mistake(f"this is no YAML: {problem}")
    lines = text.split("\n")
    written = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in written[: mark.column + 1]:
        problem += "; YAML takes spaces, no tabs"
    elif re.search("escape (character|sequence)", problem):
        problem += "; in double quotes a backslash starts an escape, so put the value in 'single quotes'"
    elif isinstance(e.problem, str) and "document" in e.problem and "expected a single" in (e.context or ""):
        problem = "a second document begins here (---); psm takes one"
    return Mistake(f"column {mark.column + 1}: {problem}", line=mark.line + 1)
