"""The text of ``psm-overrides.yaml``: reads its entries, and changes single ones without touching the rest.

The file belongs to the person as much as to psm. So it is never written anew from what psm understood of it: an entry
is added, replaced or corrected in its own lines, and comments, order, quoting and entries of a newer psm stay as they
are. Every change is read again before it counts; what cannot be done so is refused.

Values are taken as they are written: a track called 1999, Yes or 4:44 is no number, truth or time.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import unquote_to_bytes

import yaml

from psm.models import DecisionKind, RowError
from psm.services.overrides_state import OverridesError

HEADER = """\
# What you decided by hand about your tracks. psm reads this file before it matches, and what it says counts: change,
# add or delete entries as you like. psm adds what you decide with psm set-match, reject-match and remove-match, and
# leaves your comments alone. To take a decision back, delete its entry.
#
#   - artist: "Miles Davis"        # which track: artist and title (and album), or isrc:, or musicbrainz: (a recording)
#     title: "So What"
#     decision: set                # set: this file. reject: not this file. none: no file at all.
#     path: "Jazz/So What.flac"    # which file: below a library (library: NAME when several hold it), or absolute
#
# psm adds the fingerprint of the audio, so that the decision finds the file when it was moved or renamed. A name that
# is no valid text is written as path_encoded, with %E9 for the byte E9.
"""

_MOST_NESTED = 100
_NULLS = ("", "~", "null")
_FIELDS = (
    *("track", "isrc", "musicbrainz", "artist", "artists", "title", "album", "key"),
    *("decision", "library", "path", "path_encoded", "fingerprint", "decided_at"),
)
_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COMMENT = re.compile(r"(?:(?<=\s)|^)#[^\r\n]*", re.MULTILINE)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it


@dataclass(frozen=True, slots=True)
class FileName:
    """How an entry names a file. ``path`` is absolute or relative to the library; None where the entry says nothing."""

    library: str | None = None
    path: bytes | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision as the file has it. ``line`` counts from 1; ``place`` is its place in the list, from 0.

    The track is named by ``key`` as it is, by ``isrc``, by ``mb_recording_id`` or by ``title`` with ``artists``;
    ``album`` is None when the entry does not speak of it and empty when it says that there is none. ``label`` is for
    people.
    """

    kind: DecisionKind
    file: FileName = FileName()
    label: str = ""
    key: str | None = None
    isrc: str | None = None
    mb_recording_id: str | None = None
    title: str | None = None
    artists: tuple[str, ...] = ()
    album: str | None = None
    decided_at: str = ""
    line: int = 0
    place: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """What was understood of the file. ``problems`` names the rest, which stays in the file and has no effect."""

    text: str
    entries: tuple[Entry, ...] = ()
    problems: tuple[RowError, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What to change: entries by place to replace (by none, one or several), files to name anew, entries to add."""

    replaced: Mapping[int, tuple[Entry, ...]]
    files: Mapping[int, FileName]
    added: tuple[Entry, ...] = ()


def parse(text: str, *, name: str) -> Document:
    """Reads the file's text; ``name`` is what messages call it.

    :raises OverridesError: it is no YAML, or something in it is of the wrong type; the message names the lines.
    """
    root = _compose(text, name)
    if root is None:
        return Document(text)
    if not isinstance(root, yaml.MappingNode):
        raise _faulty(name, [RowError(_line(root), 'this is no list of decisions: it has to begin with "decisions:"')])
    reader = _Reader()
    return reader.document(text, root, name)


def apply(document: Document, changes: Changes, *, name: str) -> str:
    """The text with ``changes`` made; nothing outside the entries concerned is touched.

    :raises OverridesError: this file is written in a way that psm cannot change without losing something.
    """
    text = document.text
    edits = _Editor(text, name).edits(changes)
    edits.sort(key=lambda edit: edit[:2])
    # From the end, so that the places of earlier ones hold; what goes to one place keeps its order.
    for start, end, new in reversed(edits):
        text = text[:start] + new + text[end:]
    return text


def encoded(path: bytes) -> str | None:
    """``path`` with percent signs for what is no valid text; None when all of it is."""
    text = path.decode("utf-8", "surrogateescape")
    if not any("\udc80" <= c <= "\udcff" for c in text):
        return None
    return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else "%25" if c == "%" else c for c in text)


def quoted(text: str) -> str:
    """``text`` as a double-quoted scalar that every YAML reader takes, whatever is in it."""
    return '"' + "".join(_escaped(c) for c in text) + '"'


def is_isrc(text: str) -> bool:
    """Whether this is an ISRC as entries carry it, in capitals and without separators."""
    return _ISRC.fullmatch(text) is not None


def is_recording_id(text: str) -> bool:
    """Whether this is the MusicBrainz id of a recording, in small letters."""
    return _UUID.fullmatch(text) is not None


def _escaped(c: str) -> str:
    if c in '"\\':
        return "\\" + c
    if c.isprintable():
        return c
    number = ord(c)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _compose(text: str, name: str) -> yaml.Node | None:
    try:
        _forbid_depth(text, name)
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        said = (e.context, e.problem) if (e.problem or "").startswith("but ") else (e.problem or e.context,)
        reason = ", ".join(part for part in said if part) or "this is no YAML"
        if "escape" in reason:
            reason += r" (write a path with backslashes in single quotes)"
        # At the end of the text, the mark may stand on a line that is not there.
        line = min(mark.line if mark else 0, text.count("\n")) + 1
        raise _faulty(name, [RowError(line, reason)]) from e
    except yaml.reader.ReaderError as e:
        position = e.position if isinstance(e.position, int) else 0
        raise _faulty(name, [RowError(text.count("\n", 0, position) + 1, "a control character stands here")]) from e
    return None if node is None or _is_null(node) else node


def _forbid_depth(text: str, name: str) -> None:
    """Refuses what is nested so deeply that the fast loader, which recurses without a limit, would end the program."""
    if sum(map(text.count, ("[", "{", "- -", "? "))) <= _MOST_NESTED:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_NESTED:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise _faulty(name, [RowError(line, "it is nested too deeply")])


def _faulty(name: str, faults: Sequence[RowError]) -> OverridesError:
    listed = "\n".join(f"  line {f.line}: {f.reason}" for f in faults)
    return OverridesError(
        f"{name} cannot be understood. Correct it; until then it is not touched, and your decisions stay as psm "
        f"knows them.\n{listed}"
    )


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value in _NULLS


class _Reader:
    """Turns nodes into entries, and collects everything that is wrong on the way."""

    def __init__(self) -> None:
        self.faults: list[RowError] = []
        self.problems: list[RowError] = []

    def document(self, text: str, root: yaml.MappingNode, name: str) -> Document:
        fields = self._fields(root)
        for field, (key, _) in fields.items():
            if field != "decisions":
                self._problem(key, f'psm does not know "{field}", and leaves it alone{_meant(field, ("decisions",))}')
        entries: list[Entry] = []
        found = fields.get("decisions")
        if found is not None and not _is_null(found[1]):
            entries = list(self._entries(found[1]))
        if self.faults:
            raise _faulty(name, self.faults)
        return Document(text, tuple(entries), tuple(sorted(self.problems, key=lambda p: p.line)))

    def _entries(self, node: yaml.Node) -> Iterator[Entry]:
        if not isinstance(node, yaml.SequenceNode):
            self._fault(node, '"decisions" has to be a list: begin each entry with "- "')
            return
        for place, item in enumerate(node.value):
            if not isinstance(item, yaml.MappingNode):
                self._fault(item, "an entry has to be made of lines like title: …")
            elif (entry := self._entry(item, place)) is not None:
                yield entry

    def _entry(self, node: yaml.MappingNode, place: int) -> Entry | None:
        fields = self._fields(node)
        for field, (key, _) in fields.items():
            if field not in _FIELDS:
                self._problem(key, f'psm does not know "{field}", and leaves it alone{_meant(field, _FIELDS)}')
        said = {f: self._text(value, f) for f, (_, value) in fields.items() if f in _FIELDS and f != "artists"}
        artists = self._artists(fields, said.get("artist"))
        title, album = said.get("title"), said.get("album")
        isrc, recording = self._isrc(node, said.get("isrc")), self._recording(node, said.get("musicbrainz"))
        label = said.get("track") or ""
        if not (said.get("key") or isrc or recording or title):
            if said.get("isrc") or said.get("musicbrainz"):
                return None  # already told
            artist, dash, rest = label.partition(" - ")
            artists, title = ((artist.strip(),), rest.strip()) if dash else ((), label.strip())
            if not title:
                self._problem(node, "this entry names no track: give it artist: and title:, isrc: or musicbrainz:")
                return None
        file = FileName(said.get("library") or None, _path(said), said.get("fingerprint") or None)
        kind = self._kind(node, said.get("decision"), file)
        if kind is None:
            return None
        return Entry(
            kind=kind,
            file=file if kind is not DecisionKind.NONE else FileName(),
            label=label or (f"{', '.join(artists)} - {title}" if artists and title else title or ""),
            key=said.get("key") or None,
            isrc=isrc,
            mb_recording_id=recording,
            title=title or None,
            artists=artists,
            album=album,
            decided_at=said.get("decided_at") or "",
            line=_line(node),
            place=place,
        )

    def _kind(self, node: yaml.Node, said: str | None, file: FileName) -> DecisionKind | None:
        names_file = file.path is not None or file.fingerprint is not None
        if not said and names_file:
            return DecisionKind.SET
        kinds = {kind.value: kind for kind in DecisionKind}
        kind = kinds.get((said or "").lower())
        if kind is None:
            shown = f'psm does not know the decision "{said}"' if said else "this entry decides nothing"
            self._problem(node, f"{shown}: write set, reject or none{_meant(said or '', tuple(kinds))}")
        elif kind is not DecisionKind.NONE and not names_file:
            self._problem(node, "this entry names no file: give it path:")
            return None
        return kind

    def _isrc(self, node: yaml.Node, said: str | None) -> str | None:
        plain = re.sub(r"[\s-]", "", said or "").upper()
        if plain and not _ISRC.fullmatch(plain):
            self._problem(node, f'"{said}" is no ISRC: one looks like GBAYE0601498')
            return None
        return plain or None

    def _recording(self, node: yaml.Node, said: str | None) -> str | None:
        found = _UUID.search((said or "").lower())
        if said and found is None:
            self._problem(node, f'"{said}" is no MusicBrainz id of a recording')
        return found.group() if found else None

    def _artists(self, fields: Mapping[str, tuple[yaml.Node, yaml.Node]], artist: str | None) -> tuple[str, ...]:
        if "artists" not in fields:
            return (artist,) if artist else ()
        node = fields["artists"][1]
        if isinstance(node, yaml.SequenceNode):
            return tuple(text for item in node.value if (text := self._text(item, "artists")))
        text = self._text(node, "artists")
        return (text,) if text else ()

    def _fields(self, node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        fields: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            if name in fields:
                self._fault(key, f'"{name}" is given twice')
            fields[name] = (key, value)
        return fields

    def _text(self, node: yaml.Node, field: str) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._fault(node, f'"{field}" has to be a text')
            return None
        if node.tag == "tag:yaml.org,2002:binary" or _is_null(node):
            if not _is_null(node):
                self._fault(node, f'"{field}" has to be a text; for a path that is none, write path_encoded')
            return None
        return str(node.value)

    def _fault(self, node: yaml.Node, reason: str) -> None:
        self.faults.append(RowError(_line(node), reason))

    def _problem(self, node: yaml.Node, reason: str) -> None:
        self.problems.append(RowError(_line(node), reason))


def _path(said: Mapping[str, str | None]) -> bytes | None:
    if escaped := said.get("path_encoded"):
        return unquote_to_bytes(escaped)
    path = said.get("path")
    return path.encode("utf-8", "surrogateescape") if path else None


def _meant(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, tuple(names), n=1, cutoff=0.75)
    return f' (did you mean "{near[0]}"?)' if near else ""


_Edit = tuple[int, int, str]
"""The characters from start to end become this text."""


class _Editor:
    """Finds the places in the text that a change concerns, from the marks that YAML's scanner leaves."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._tokens = [t for t in yaml.scan(text, Loader=_Loader) if t.end_mark.index > t.start_mark.index]
        root = _compose(text, name)
        self._root = root if isinstance(root, yaml.MappingNode) else None
        self._list = self._find_list()

    def edits(self, changes: Changes) -> list[_Edit]:
        edits: list[_Edit] = []
        for place, file in changes.files.items():
            edits += self._name_anew(place, file)
        for place, entries in changes.replaced.items():
            edits.append(self._replace(place, entries))
        if changes.added:
            edits.append(self._add(changes.added))
        return edits

    def _find_list(self) -> yaml.Node | None:
        pairs = self._root.value if self._root is not None else ()
        return next((value for key, value in pairs if key.value == "decisions"), None)

    @property
    def _items(self) -> Sequence[yaml.Node]:
        return self._list.value if isinstance(self._list, yaml.SequenceNode) else ()

    @property
    def _in_block(self) -> bool:
        return isinstance(self._list, yaml.SequenceNode) and not self._list.flow_style

    @property
    def _column(self) -> int:
        """How far the dashes of a block list are from the margin. The list itself may begin earlier, at its tag."""
        dashes = self._dashes()
        return int(dashes[0].start_mark.column) if dashes else 0

    def _dashes(self) -> list[Any]:
        start, end = (self._list.start_mark.index, self._list.end_mark.index) if self._list is not None else (0, 0)
        return [t for t in self._inside(start, end) if isinstance(t, yaml.tokens.BlockEntryToken)]

    def _starts(self) -> list[int]:
        """Where the entries of a block list begin, and where the list ends.

        An entry begins with a dash in the list's own column; the dashes of lists inside it are further right.
        """
        starts = [t.start_mark.index for t in self._dashes() if t.start_mark.column == self._column]
        if len(starts) != len(self._items) or self._list is None:
            raise self._refusal()
        return [*starts, self._list.end_mark.index]

    def _inside(self, start: int, end: int) -> list[Any]:
        return [t for t in self._tokens if start <= t.start_mark.index < end]

    def _span(self, place: int) -> tuple[int, int]:
        """Where the entry begins, and where its last value ends: comments that follow belong to the next one."""
        if self._in_block:
            start, end = self._starts()[place : place + 2]
        else:
            start, end = self._items[place].start_mark.index, self._items[place].end_mark.index
        return start, self._without_blanks(self._inside(start, end)[-1].end_mark.index)

    def _without_blanks(self, end: int) -> int:
        # The end of a literal block (|) is the line after it.
        while self._text[end - 1] in " \r\n":
            end -= 1
        return end

    def _replace(self, place: int, entries: tuple[Entry, ...]) -> _Edit:
        start, end = self._span(place)
        comments = self._comments(start, end)
        if self._in_block:
            margin = " " * self._column
            end = self._line_end(end)
            comments += [c.group() for c in _COMMENT.finditer(self._text, self._span(place)[1], end)]
            lines = [*comments, *(line for e in entries for line in _lines(e))]
            if not lines:
                return self._from_margin(start), min(end + len(self._newline), len(self._text)), ""
            return start, end, (self._newline + margin).join(lines)
        if comments:
            raise self._refusal()
        if entries:
            return start, end, ", ".join(map(_flow, entries))
        following = self._items[place + 1].start_mark.index if place + 1 < len(self._items) else None
        if following is not None:
            return start, following, ""
        before = self._items[place - 1].end_mark.index if place else start
        return before, end, ""

    def _comments(self, start: int, end: int) -> list[str]:
        """The comments between the words of an entry: they stay when the entry goes."""
        found: list[str] = []
        tokens = self._inside(start, end)
        for one, other in pairwise(tokens):
            gap = one.end_mark.index, other.start_mark.index
            found += [c.group() for c in _COMMENT.finditer(self._text, *gap)]
        return found

    def _name_anew(self, place: int, file: FileName) -> list[_Edit]:
        item = self._items[place]
        escaped = encoded(file.path) if file.path is not None else None
        path = file.path.decode("utf-8", "surrogateescape") if file.path is not None and escaped is None else None
        wanted = {"library": file.library, "fingerprint": file.fingerprint}
        edits: list[_Edit] = []
        has = {key.value: (key, value) for key, value in item.value}
        named = has.get("path_encoded") or has.get("path")
        if file.path is not None:
            field, text = ("path", path) if path is not None else ("path_encoded", escaped)
            if named is None:
                wanted[field] = text
            else:
                key, value = named
                edits.append((key.start_mark.index, key.end_mark.index, field))
                edits.append(self._value_edit(value, str(text)))
        missing: list[str] = []
        for field, said in wanted.items():
            if said is None:
                continue
            if field in has:
                edits.append(self._value_edit(has[field][1], said))
            else:
                missing.append(f"{field}: {quoted(said)}")
        if missing:
            edits.append(self._more_fields(place, item, missing))
        return edits

    def _value_edit(self, value: yaml.Node, text: str) -> _Edit:
        start, end = value.start_mark.index, value.end_mark.index
        if end == start:  # "path:" with nothing behind it
            return start, end, " " + quoted(text)
        return start, self._without_blanks(end), quoted(text)

    def _more_fields(self, place: int, item: yaml.Node, missing: Sequence[str]) -> _Edit:
        if isinstance(item, yaml.CollectionNode) and item.flow_style:
            at = item.value[-1][1].end_mark.index
            return at, at, "".join(f", {field}" for field in missing)
        margin = self._newline + " " * item.start_mark.column
        at = self._line_end(self._span(place)[1])
        return at, at, "".join(margin + field for field in missing)

    def _add(self, entries: tuple[Entry, ...]) -> _Edit:
        if self._items:
            last = len(self._items) - 1
            if not self._in_block:
                at = self._items[last].end_mark.index
                return at, at, "".join(f", {_flow(e)}" for e in entries)
            margin = self._newline + " " * self._column
            at = self._line_end(self._span(last)[1])
            return at, at, "".join(margin + line for e in entries for line in _lines(e))
        in_braces = self._root is not None and bool(self._root.flow_style)
        block = "".join(self._newline + "  " + line for e in entries for line in _lines(e))
        if self._list is None:
            text = self._text
            if in_braces:
                raise self._refusal()
            start = len(text)
            gap = "" if not text or text.endswith("\n") else self._newline
            return start, start, f"{gap}decisions:{block}{self._newline}"
        if self._list.end_mark.index == self._list.start_mark.index:  # "decisions:" with nothing behind it
            at = self._line_end(self._list.start_mark.index)
            return at, at, block
        start, end = self._list.start_mark.index, self._list.end_mark.index
        if "#" in self._text[start:end]:
            raise self._refusal()
        start = len(self._text[:start].rstrip(" ")) if not in_braces else start
        return start, end, "[" + ", ".join(map(_flow, entries)) + "]" if in_braces else block

    def _line_end(self, index: int) -> int:
        """Where the line ends, before its line break."""
        found = self._text.find("\n", index)
        end = len(self._text) if found < 0 else found
        return end - 1 if end > index and self._text[end - 1] == "\r" else end

    def _from_margin(self, index: int) -> int:
        start = self._text.rfind("\n", 0, index) + 1
        return start if not self._text[start:index].strip() else index

    def _refusal(self) -> OverridesError:
        return unchangeable(self._name)


def unchangeable(name: str) -> OverridesError:
    """What to say of a file that psm could only change by losing something of it."""
    return OverridesError(
        f"{name} is written in a way that psm cannot change without losing something of it. Nothing was changed: "
        "write the decision into the file by hand, or give each entry of the list its own lines, beginning with a dash."
    )


def _lines(entry: Entry) -> list[str]:
    pairs = _pairs(entry)
    return [("- " if number == 0 else "  ") + f"{field}: {value}" for number, (field, value) in enumerate(pairs)]


def _flow(entry: Entry) -> str:
    return "{" + ", ".join(f"{field}: {value}" for field, value in _pairs(entry)) + "}"


def _pairs(entry: Entry) -> list[tuple[str, str]]:
    e = entry
    pairs: list[tuple[str, str]] = [("track", quoted(e.label))] if e.label else []
    if e.key:
        pairs.append(("key", quoted(e.key)))
    if e.isrc:
        pairs.append(("isrc", e.isrc))
    if e.mb_recording_id:
        pairs.append(("musicbrainz", e.mb_recording_id))
    if e.title:
        several = len(e.artists) > 1
        names = "[" + ", ".join(map(quoted, e.artists)) + "]" if several else quoted("".join(e.artists))
        pairs += [("artists" if several else "artist", names), ("title", quoted(e.title))]
        if e.album is not None:
            pairs.append(("album", quoted(e.album)))
    pairs.append(("decision", e.kind.value))
    if e.file.library is not None:
        pairs.append(("library", quoted(e.file.library)))
    if e.file.path is not None:
        escaped = encoded(e.file.path)
        pairs.append(("path", quoted(e.file.path.decode())) if escaped is None else ("path_encoded", quoted(escaped)))
    if e.file.fingerprint is not None:
        pairs.append(("fingerprint", quoted(e.file.fingerprint)))
    pairs.append(("decided_at", quoted(e.decided_at)))
    return pairs
