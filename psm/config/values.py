"""The kinds of value that a setting can have: each says what it expects and reads it, naming whatever is wrong.

A kind gets a node of the tree (from the file, the environment or a flag) and gives the value for the frozen section. It
complains instead of raising, so that one run names every mistake; what it returns after a complaint is not used.
"""

import codecs
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Protocol

from psm import places
from psm.config.file import Items, Node, Scalar, Section, parse

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_WINDOWS_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, and so how it is read.

    ``base`` is the folder that relative paths count from; ``env`` the environment for ``$NAME`` in paths, None where
    the shell has replaced them already; ``one_line`` that a list is one line of text, as in an environment variable.
    """

    base: Path
    env: Mapping[str, str] | None
    one_line: bool


Complain = Callable[[str, int | None], None]
"""Takes what is wrong with a value, as the end of a sentence about it, and the line."""


class Kind(Protocol):
    """A kind of value. ``expects`` completes the sentence "must be …"."""

    @property
    def expects(self) -> str:
        """What a value of this kind looks like."""
        ...

    def read(self, node: Node, at: Place, complain: Complain, /) -> object:
        """The value, after a complaint for everything that is wrong with it."""
        ...


def nearest(word: str, known: Iterable[str] | Mapping[str, str], *, cutoff: float = 0.6) -> str:
    """A question with the nearest of the ``known`` names, or nothing when none is near.

    A mapping says what each is to be called.
    """
    import difflib

    called = known if isinstance(known, Mapping) else {k: k for k in known}
    folded = {_folded(k): called[k] for k in called}
    near = difflib.get_close_matches(_folded(word), list(folded), n=1, cutoff=cutoff)
    return f" Did you mean {folded[near[0]]}?" if near else ""


def _folded(word: str) -> str:
    return word.casefold().replace("-", "_")


def _shown(node: Node) -> str:
    if isinstance(node, Scalar):
        return f"not {node.text!r}"
    return "not a list" if isinstance(node, Items) else "not a section"


def _wrong(kind: Kind, node: Node, complain: Complain, hint: str = "") -> object:
    return _refuse(f"must be {kind.expects}, {_shown(node)}.{hint}", node, complain)


def _refuse(message: str, node: Node, complain: Complain) -> object:
    complain(message, node.line)
    return None


@dataclass(frozen=True, slots=True)
class Switch:
    """true or false."""

    expects: str = "true or false"

    def read(self, node: Node, _at: Place, complain: Complain) -> object:
        """A bool."""
        if isinstance(node, Scalar):
            if isinstance(node.value, bool):
                return node.value
            if not node.typed and node.text.lower() in _TRUE | _FALSE:
                return node.text.lower() in _TRUE
        return _wrong(self, node, complain)


@dataclass(frozen=True, slots=True)
class Number:
    """A number from ``low`` to ``high``, both allowed; ``unit`` is for people."""

    low: float
    high: float
    unit: str = ""
    whole: bool = False

    @property
    def expects(self) -> str:
        """The range."""
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.low:g} to {self.high:g}" + (f" ({self.unit})" if self.unit else "")

    def read(self, node: Node, _at: Place, complain: Complain) -> object:
        """An int when ``whole``, else a float."""
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(node, Scalar) and not node.typed and not isinstance(value, bool):
            try:
                value = int(node.text) if self.whole else float(node.text)
            except ValueError:
                return _wrong(self, node, complain)
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return _wrong(self, node, complain)
        if not self.low <= value <= self.high or math.isnan(value):
            return _wrong(self, node, complain)
        return value if self.whole else float(value)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: type[StrEnum] | tuple[str, ...]

    @property
    def expects(self) -> str:
        """The words."""
        *most, last = self._words()
        return f"{', '.join(most)} or {last}" if most else last

    def read(self, node: Node, _at: Place, complain: Complain) -> object:
        """The word, as a member when the words are an enum."""
        words = self._words()
        if not isinstance(node, Scalar):
            return _wrong(self, node, complain)
        if node.text not in words:
            return _wrong(self, node, complain, nearest(node.text, words))
        return node.text if isinstance(self.words, tuple) else self.words(node.text)

    def _words(self) -> list[str]:
        return list(self.words) if isinstance(self.words, tuple) else [w.value for w in self.words]


@dataclass(frozen=True, slots=True)
class SwitchOr:
    """A switch that knows more than two words; "true" and "false" are among them."""

    words: type[StrEnum]

    @property
    def expects(self) -> str:
        """The words."""
        return Choice(self.words).expects

    def read(self, node: Node, at: Place, complain: Complain) -> object:
        """The word, as a member."""
        switched = Switch().read(node, at, lambda *_: None)
        if isinstance(switched, bool):
            return self.words("true" if switched else "false")
        return Choice(self.words).read(node, at, complain)


@dataclass(frozen=True, slots=True)
class Text:
    """Text that is not empty, taken as it is written."""

    expects: str = "text"

    def read(self, node: Node, _at: Place, complain: Complain) -> object:
        """A str."""
        # A number or a date is text that needed no quotes; but "no" and "on" YAML has turned into something else.
        if not isinstance(node, Scalar) or isinstance(node.value, bool):
            hint = " Put it in quotes if it is meant." if isinstance(node, Scalar) else ""
            return _wrong(self, node, complain, hint)
        return node.text or _wrong(self, node, complain)


@dataclass(frozen=True, slots=True)
class Encoding:
    """A text encoding in which ASCII stays as it is: playlists hold raw paths and line ends."""

    expects: str = "the name of an encoding, such as utf-8 or latin-1"

    def read(self, node: Node, _at: Place, complain: Complain) -> object:
        """The encoding's usual name."""
        if not isinstance(node, Scalar):
            return _wrong(self, node, complain)
        try:
            name = codecs.lookup(node.text).name
            kept = "#EXTM3U /\\:%\r\n".encode(name).removeprefix(codecs.BOM_UTF8) == b"#EXTM3U /\\:%\r\n"
        except (LookupError, UnicodeError, ValueError):
            return _wrong(self, node, complain)
        if not kept or name == "raw-unicode-escape":
            complain(
                f"{node.text!r} cannot be used for playlists, because ASCII text looks different in it.", node.line
            )
        return name


@dataclass(frozen=True, slots=True)
class Location:
    """A file or folder on this machine.

    ``as_text`` gives a str instead of a path; ``is_file`` says that no folder can be there.
    """

    expects: str = "a path"
    is_file: bool = False
    as_text: bool = False

    def read(self, node: Node, at: Place, complain: Complain) -> object:
        """An absolute path."""
        if not isinstance(node, Scalar) or isinstance(node.value, bool) or not node.text:
            return _wrong(self, node, complain)
        problem = places.foreign_path(node.text)
        if problem:
            return _refuse(f"{node.text!r} cannot be used: {problem}.", node, complain)
        try:
            text = node.text if at.env is None else places.expand(node.text, at.env)
        except ValueError as e:
            return _refuse(f"{node.text!r} cannot be used: {e}.", node, complain)
        path = Path(os.path.normpath(at.base / text))
        if self.is_file and os.path.isdir(path):
            return _refuse(f"{path} is a folder; name a file in it.", node, complain)
        return str(path) if self.as_text else path


@dataclass(frozen=True, slots=True)
class Many:
    """A list of ``of``; a single value stands for a list of one.

    In an environment variable the values are separated by ``separator``, or are a YAML list in brackets.
    """

    of: Kind
    expects: str
    separator: str = ","
    empty: bool = True

    def read(self, node: Node, at: Place, complain: Complain) -> object:
        """A tuple, without repetitions (those are mistakes)."""
        node = in_one_line(node, complain, self.separator) if at.one_line else node
        if isinstance(node, Section):
            return _wrong(self, node, complain)
        values: list[object] = []
        for item in node.items if isinstance(node, Items) else (node,):
            value = self.of.read(item, at, complain)
            if value is not None and value in values:
                complain(f"{value} stands twice in the list.", item.line)
            values.append(value)
        if not values and not self.empty:
            complain(f"must be {self.expects}, with at least one value.", node.line)
        return tuple(values)


@dataclass(frozen=True, slots=True)
class NamedPath:
    """A path, and the name that the user gave it, if any."""

    path: Path
    name: str | None = None


@dataclass(frozen=True, slots=True)
class NamedPaths:
    """Paths as a list, or as a mapping from names to paths."""

    expects: str = "a path, a list of paths, or a section of names with a path each"

    def read(self, node: Node, at: Place, complain: Complain) -> object:
        """A tuple of :class:`NamedPath`."""
        node = in_one_line(node, complain, os.pathsep) if at.one_line else node
        if not isinstance(node, Section):
            paths = Many(Location(), self.expects, os.pathsep).read(node, at, complain)
            return tuple(NamedPath(p) for p in paths if isinstance(p, Path)) if isinstance(paths, tuple) else ()
        found: dict[str, NamedPath] = {}
        for entry in node.entries:
            path = Location().read(entry.node, at, partial(_complain_of, entry.key, complain))
            problem = name_problem(entry.key)
            if problem:
                complain(f"{entry.key!r} cannot name a library: {problem}.", entry.line)
            if entry.key.casefold() in found:
                complain(f"{entry.key!r} differs from another name only in capitals.", entry.line)
            if isinstance(path, Path):
                if path in [f.path for f in found.values()]:
                    complain(f"{path} stands twice.", entry.line)
                found[entry.key.casefold()] = NamedPath(path, entry.key)
        return tuple(found.values())


def _complain_of(name: str, complain: Complain, message: str, line: int | None) -> None:
    complain(f"{name}: {message}", line)


def in_one_line(node: Node, complain: Complain, separator: str) -> Node:
    """What one line of text stands for: YAML in brackets or braces, otherwise a list split at ``separator``."""
    if not isinstance(node, Scalar) or node.typed:
        return node
    if node.text.startswith(("[", "{")):
        inner, mistakes = parse(node.text)
        for mistake in mistakes:
            complain(f"cannot be read as YAML: {mistake.message}", None)
        return inner if inner is not None and not mistakes else Items(())
    parts = (p if separator == os.pathsep else p.strip() for p in node.text.split(separator))
    return Items(tuple(Scalar(p, p, node.line, typed=False) for p in parts if p))


def name_problem(name: str) -> str | None:
    """Why ``name`` cannot name a profile or a library; None when it can. It becomes part of file names and options."""
    if not re.fullmatch(r"\w[\w -]{0,63}", name) or name.endswith(" "):
        return "a name is 1 to 64 letters, digits, spaces, '-' and '_', and begins with a letter or digit"
    if name.casefold() in _WINDOWS_DEVICES:
        return "Windows keeps this name for itself"
    return None
