"""The one ignore policy, shared by scan and watch: names that are never music, and what marker files in folders say.

Two pure parts. :class:`IgnorePolicy` judges a path by its name and the configured patterns, without looking at the
disk. :class:`FolderRules` holds what the marker files on the way from the root to a folder say; ``psm.ingest.files``
reads them.

Marker files:

- ``.nomedia`` (Android): the folder and everything below it is ignored.
- ``.ndignore`` (Navidrome): lines as in a .gitignore; without any pattern, the folder is ignored.
- ``.psmignore``: the same, only for psm. Where both match, it wins over ``.ndignore``, and a deeper file over a higher
  one.

The lines mean what they mean to git (https://git-scm.com/docs/gitignore). They are translated here, to patterns over
bytes, because the library for it (pathspec 1.1) works on text, misses ``live/`` below a folder with a line break in its
name, takes ``foo/**`` for the folder foo itself (so that ``!foo/keep.mp3`` after it is lost), fails on a lone ``!``,
and adds 5 MB and 30 ms. The tests hold the translation against git itself.
"""

import fnmatch
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from psm.ingest.extensions import has_audio_name

NOMEDIA = b".nomedia"
PATTERN_MARKERS = (b".ndignore", b".psmignore")  # the later one decides first
MARKERS = frozenset((NOMEDIA, *PATTERN_MARKERS))

_TEMPORARY = (b".tmp", b".part", b".partial", b".download", b".crdownload", b".!qb")
_LITTER = {
    b"@eadir": "thumbnails and indexes of a Synology NAS",
    b"#recycle": "the recycle bin of a NAS",
    b"@recycle": "the recycle bin of a NAS",
    b"$recycle.bin": "the recycle bin of Windows",
    b"#snapshot": "snapshots of a NAS, which hold the whole library again",
    b"@recently-snapshot": "snapshots of a NAS, which hold the whole library again",
    b"system volume information": "a folder that belongs to Windows",
    b"lost+found": "a folder that belongs to the file system",
}


class IgnorePolicy:
    """What is ignored for its own name or path.

    ``patterns`` are those of the configuration (``LibraryConfig.ignored``), as of fnmatch and in any case: without a
    slash for the name of a file or folder (``*demo*``), with one for the path below the root (``Podcasts/*``, where
    ``*`` crosses folders too; ``/Podcasts`` is that folder at the top; ``**/`` in front stands for any folders or
    none). A slash at the end means folders only.
    """

    __slots__ = ("_names", "_paths", "patterns")

    def __init__(self, patterns: tuple[str, ...] = ()) -> None:
        # With none, the walk judges most names by a look: those that change nothing must not cost that.
        self.patterns = tuple(p for p in patterns if not _is_built_in(p))
        self._names: list[_Pattern] = []
        self._paths: list[_Pattern] = []
        for text in self.patterns:
            pattern = _composed(text.replace(os.sep, "/"))
            folders_only = pattern.endswith("/")
            pattern = pattern.rstrip("/")
            if pattern.startswith("**/"):
                pattern = pattern.removeprefix("**/")
                if "/" in pattern:
                    self._paths.append(_Pattern(text, f"*/{pattern}", folders_only))
            kind = self._paths if "/" in pattern else self._names
            kind.append(_Pattern(text, pattern.removeprefix("/"), folders_only))

    def reason(self, relative: bytes, *, is_folder: bool) -> str | None:
        """Why this one path (its name and the patterns that match it, not its parents) is ignored, None when it is not.

        ``relative`` is the path below the library's root, parts joined by ``/``. The root itself is never ignored.
        """
        name = relative[relative.rfind(b"/") + 1 :]
        if not name:
            return None
        reason = _reason_of_name(name, is_folder=is_folder)
        if reason is None and self.patterns:
            reason = self._reason_of_patterns(relative, name, is_folder=is_folder)
        if reason is None and not is_folder and not has_audio_name(name):
            reason = "its name does not end like an audio file's"
        return reason

    def path_reason(self, relative: bytes, *, is_folder: bool) -> str | None:
        """Why this path or one of its parents is ignored, None when none is."""
        for folder in parents(relative):
            if reason := self.reason(folder, is_folder=True):
                return f"{shown(folder)} is ignored: {reason}"
        return self.reason(relative, is_folder=is_folder)

    def _reason_of_patterns(self, relative: bytes, name: bytes, *, is_folder: bool) -> str | None:
        for patterns, subject in ((self._names, name), (self._paths, relative)):
            text = _composed(os.fsdecode(subject)) if patterns else ""
            for pattern in patterns:
                if (is_folder or not pattern.folders_only) and pattern.matches(text):
                    return f"it matches {pattern.text!r} of ignore_patterns in the configuration"
        return None


def is_plain(name: bytes) -> bool:
    """A quick yes for the walk: that no built-in rule ignores this name, given that it ends like an audio file's."""
    return name[0] not in b".~"


def parents(relative: bytes) -> Iterator[bytes]:
    """The folders above ``relative``, outermost first, without the root: a/b/c gives a, a/b."""
    slash = relative.find(b"/")
    while slash != -1:
        yield relative[:slash]
        slash = relative.find(b"/", slash + 1)


def shown(path: bytes) -> str:
    """A path for people: what is no UTF-8 and what would break the line is written as an escape."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _reason_of_name(name: bytes, *, is_folder: bool) -> str | None:
    # Two dots are no hidden name: albums are called "...And Justice for All".
    if name[0] == 0x2E and not name.startswith(b".."):
        return "it is macOS metadata (AppleDouble)" if name.startswith(b"._") else "its name begins with a dot"
    if name.startswith(b"~$"):
        return "it is a temporary file (~$)"
    lower = name.lower()
    if lower.endswith(_TEMPORARY):
        return f"it is a download or temporary file (*{shown(name[name.rfind(b'.') :])})"
    if is_folder and lower in _LITTER:
        return f"it is {_LITTER[lower]}"
    return None


def _is_built_in(pattern: str) -> bool:
    """Whether everything that a pattern matches is a download or temporary file by its name (``*.part``)."""
    ending = pattern.removeprefix("*")
    plain = not any(c in ending for c in "*?[/" + os.sep)
    return pattern.startswith("*") and plain and ending.lower().endswith(tuple(t.decode() for t in _TEMPORARY))


def _composed(text: str) -> str:
    """macOS hands out decomposed names; a person types composed ones."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


class _Pattern:
    """One of the configured patterns."""

    __slots__ = ("folders_only", "matches", "text")

    def __init__(self, text: str, pattern: str, folders_only: bool) -> None:
        self.text = text
        self.folders_only = folders_only
        self.matches = re.compile(fnmatch.translate(pattern), re.IGNORECASE).match


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker file. ``path`` is its own, below the root; ``whole`` says that it ignores its whole folder."""

    path: bytes
    whole: bool
    lines: tuple["_Line", ...] = ()

    def line_for(self, relative: bytes, *, is_folder: bool) -> "_Line | None":
        """The line that decides about a path below the marker's folder: the last one that matches."""
        below = relative[self.path.rfind(b"/") + 1 :]
        name = below[below.rfind(b"/") + 1 :]
        for line in reversed(self.lines):
            if (is_folder or not line.folders_only) and line.regex.fullmatch(below if line.anchored else name):
                return line
        return None


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    negated: bool
    folders_only: bool
    anchored: bool
    regex: re.Pattern[bytes]


def nomedia(path: bytes) -> Marker:
    """The marker for a .nomedia file at ``path`` (relative to the root)."""
    return Marker(path, whole=True)


def parse_marker(path: bytes, content: bytes) -> Marker:
    """The marker for a .ndignore or .psmignore file; one in which no line is a pattern ignores its whole folder."""
    lines = []
    empty = True
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        text = _without_trailing_spaces(raw.removesuffix(b"\r"))
        if not text or text.startswith(b"#"):
            continue
        empty = False
        if line := _parse_line(number, text):
            lines.append(line)
    return Marker(path, whole=empty, lines=tuple(lines))


@dataclass(frozen=True, slots=True)
class FolderRules:
    """The marker files that hold in a folder, outermost first."""

    markers: tuple[Marker, ...] = ()

    def within(self, markers: tuple[Marker, ...]) -> "FolderRules":
        """The rules one folder deeper, where ``markers`` were found (in the order of ``PATTERN_MARKERS``)."""
        return FolderRules((*self.markers, *markers)) if markers else self

    def folder_reason(self) -> str | None:
        """Why the folder that these rules hold in is ignored as a whole."""
        for marker in self.markers:
            if marker.whole:
                how = "lies in it" if marker.path.endswith(NOMEDIA) else "lies in it and has no patterns"
                return f"{shown(marker.path)} {how}"
        return None

    def reason(self, relative: bytes, *, is_folder: bool) -> str | None:
        """Why this one path, in or below that folder, is ignored by a line of a marker file, None when it is not."""
        verdict = self._verdict(relative, is_folder=is_folder)
        return None if verdict is None or verdict[1].negated else _told(*verdict)

    def exception(self, relative: bytes, *, is_folder: bool) -> str | None:
        """The line (!...) that takes this path although an earlier one may ignore it, None when there is none."""
        verdict = self._verdict(relative, is_folder=is_folder)
        return _told(*verdict) if verdict is not None and verdict[1].negated else None

    def _verdict(self, relative: bytes, *, is_folder: bool) -> "tuple[Marker, _Line] | None":
        for marker in reversed(self.markers):
            if line := marker.line_for(relative, is_folder=is_folder):
                return marker, line
        return None


def _told(marker: Marker, line: "_Line") -> str:
    return f"it matches line {line.number} of {shown(marker.path)}: {line.text}"


def _without_trailing_spaces(line: bytes) -> bytes:
    """Without the spaces at the end, except one that a backslash quotes."""
    stripped = line.rstrip(b" ")
    backslashes = len(stripped) - len(stripped.rstrip(b"\\"))
    return stripped + b" " if backslashes % 2 and len(stripped) < len(line) else stripped


def _parse_line(number: int, text: bytes) -> _Line | None:
    """One line as git reads it; None for one that can never match."""
    pattern = text.removeprefix(b"!")
    folders_only = pattern.endswith(b"/")
    if folders_only:
        pattern = pattern[:-1]
    anchored = b"/" in pattern
    regex = _translate(pattern.removeprefix(b"/"))
    if not pattern or regex is None:
        return None
    return _Line(number, shown(text), text.startswith(b"!"), folders_only, anchored, re.compile(regex, re.DOTALL))


def _translate(pattern: bytes) -> bytes | None:
    """The regular expression for a pattern of a .gitignore; None when git takes it for one that never matches."""
    out: list[bytes] = []
    at, end = 0, len(pattern)
    while at < end:
        c = pattern[at : at + 1]
        if c == b"*":
            begin = at
            while pattern[at : at + 1] == b"*":
                at += 1
            alone = (begin == 0 or pattern[begin - 1 : begin] == b"/") and pattern[at : at + 1] in (b"", b"/")
            if at - begin > 1 and alone:
                out.append(b".*" if at == end else b"(?:.*/)?")
                at += 1
            else:
                out.append(b"[^/]*")
        elif c == b"?":
            out.append(b"[^/]")
            at += 1
        elif c == b"[":
            if (bracket := _translate_bracket(pattern, at + 1)) is None:
                return None
            regex, at = bracket
            out.append(regex)
        else:
            if c == b"\\":
                at += 1
                c = pattern[at : at + 1]
                if not c:
                    return None
            out.append(re.escape(c))
            at += 1
    return b"".join(out)


_CLASSES = {
    b"alnum": r"[0-9A-Za-z]",
    b"alpha": r"[A-Za-z]",
    b"blank": r"[ \t]",
    b"cntrl": r"[\x00-\x1f\x7f]",
    b"digit": r"[0-9]",
    b"graph": r"[\x21-\x7e]",
    b"lower": r"[a-z]",
    b"print": r"[\x20-\x7e]",
    b"punct": r"[!-/:-@\[-`{-~]",
    b"space": r"[ \t\n\v\f\r]",
    b"upper": r"[A-Z]",
    b"xdigit": r"[0-9A-Fa-f]",
}


def _translate_bracket(pattern: bytes, at: int) -> tuple[bytes, int] | None:
    """The expression for ``[…]``, whose inside begins at ``at``, and where it ends; None when it is malformed."""
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    members: set[int] = set()
    previous: int | None = None
    first = True
    while first or pattern[at : at + 1] != b"]":
        first = False
        c = pattern[at : at + 1]
        close = pattern.find(b"]", at + 2) if pattern[at : at + 2] == b"[:" else -1
        if not c:
            return None
        if c == b"-" and previous is not None and pattern[at + 1 : at + 2] not in (b"", b"]"):
            at += 1
            at += pattern[at : at + 1] == b"\\"
            if at >= len(pattern):
                return None
            members.update(range(previous, pattern[at] + 1))
            previous = None
            at += 1
        elif close != -1 and pattern[close - 1 : close] == b":" and close - 1 > at + 1:
            name = pattern[at + 2 : close - 1]
            if name not in _CLASSES:
                return None
            members.update(b for b in range(128) if re.match(_CLASSES[name], chr(b)))
            previous = None
            at = close + 1
        else:
            at += c == b"\\"
            if at >= len(pattern):
                return None
            previous = pattern[at]
            members.add(previous)
            at += 1
    allowed = (set(range(256)) - members if negated else members) - {0x2F}
    inside = b"".join(re.escape(bytes((b,))) for b in sorted(allowed))
    return (b"[" + inside + b"]" if inside else b"(?!)"), at + 1
