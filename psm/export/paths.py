"""How a player names a file: the path forms, slash directions and Unicode forms of a profile, there and back.

Paths are handled as text in which bytes that are no UTF-8 stand as surrogate escapes, so that every file name survives.

With ``paths: mapped``, ``map_from: /mnt/nas/music`` and ``map_to: \\\\nas\\music``, the player knows the file
``/mnt/nas/music/A/b.flac`` as ``\\\\nas\\music\\A\\b.flac``.
"""

import ntpath
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote_from_bytes, unquote_to_bytes

from psm.config import ExportProfile, PathForm, Slashes, UnicodeForm

_WINDOWS = os.name == "nt"
_DRIVE = re.compile(r"[A-Za-z]:(?=[/\\]|$)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class Unwritable(ValueError):  # noqa: N818  (it says what the path is)
    """A path that this profile's player could never be told; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """A profile at its place: ``folder`` is the real, absolute path of the folder that the playlist lies in.

    ``prefixes`` are what ``paths: below`` and ``mapped`` take off a path: as configured, and with symlinks resolved,
    because psm's own paths are real ones. ``windows`` is whether psm itself runs on Windows, where its paths have drive
    letters.
    """

    profile: ExportProfile
    folder: str
    prefixes: tuple[str, ...]
    windows: bool

    @classmethod
    def of(cls, profile: ExportProfile, *, folder: bytes | None = None, windows: bool = _WINDOWS) -> "Place":
        """The place as it is on this machine; ``folder`` is the profile's own unless it is given."""
        real = folder if folder is not None else os.path.realpath(os.fsencode(profile.folder))
        configured = b""
        if profile.paths is PathForm.BELOW:
            configured = os.fsencode(profile.root or "")
        elif profile.paths is PathForm.MAPPED:
            configured = os.fsencode(profile.map_from or "")
        prefixes = (configured, os.path.realpath(configured)) if configured else ()
        rooted = dict.fromkeys(_rooted(_text(prefix, windows=windows)) for prefix in prefixes)
        return cls(profile, _text(real, windows=windows), tuple(rooted), windows)

    @property
    def backslashes(self) -> bool:
        """Whether the player wants backslashes: the profile says so, or writes ``map_to`` with them."""
        if self.profile.slashes is Slashes.BACK:
            return True
        return self.profile.paths is PathForm.MAPPED and "\\" in (self.profile.map_to or "")


@dataclass(frozen=True, slots=True)
class Target:
    """A file as the player knows it. ``forward`` has forward slashes, ``text`` those of the profile."""

    forward: str
    text: str
    relative: bool

    @property
    def uri(self) -> str:
        """As a URI (RFC 8089, RFC 3986), every byte that could mean something else percent-encoded."""
        if self.relative:
            return _quoted(self.forward)
        if scheme := _SCHEME.match(self.forward):
            return scheme.group() + _quoted(self.forward[scheme.end() :])
        if drive := _DRIVE.match(self.forward):
            return f"file:///{drive.group()}{_quoted(self.forward[drive.end() :])}"
        if self.forward.startswith("//"):  # a Windows share: //host/share/…
            return f"file:{_quoted(self.forward)}"
        return f"file://{_quoted(self.forward)}"


def check(profile: ExportProfile) -> str | None:
    """What is wrong with a profile as such, in a sentence; None when it can be used."""
    if profile.paths is PathForm.BELOW and profile.root is None:
        return "paths: below needs root, the folder that the player counts from"
    if profile.paths is PathForm.MAPPED and (profile.map_from is None or profile.map_to is None):
        return "paths: mapped needs map_from, the prefix here, and map_to, the prefix there"
    try:
        "".encode(profile.encoding)
    except LookupError:
        return f'there is no encoding called "{profile.encoding}"; utf-8 suits most players, cp1252 old Windows ones'
    return None


def target(path: bytes, place: Place) -> Target:
    """What the player is told for the file at the absolute ``path``. Raises Unwritable.

    A Unicode form is only given to names that are text: to others it would do harm.
    """
    profile = place.profile
    rest, prefix = _relative_part(_text(path, windows=place.windows), place)
    if profile.unicode is not UnicodeForm.KEEP and not _has_escapes(rest):
        rest = unicodedata.normalize("NFC" if profile.unicode is UnicodeForm.NFC else "NFD", rest)
    if place.backslashes and "\\" in rest:
        raise Unwritable("its name holds a backslash, which this player takes for a folder")
    forward = prefix + rest
    text = forward.replace("/", "\\") if place.backslashes else forward
    return Target(forward, text, relative=_is_relative(profile, prefix))


def resolve(text: str, place: Place) -> bytes | None:
    """The absolute path, on this machine, of the file that the player finds under ``text``; None when it finds none.

    The way of :func:`target` backwards. A name that was given another Unicode form is looked for in the folder, as the
    file systems do that players of such profiles run on.
    """
    profile = place.profile
    forward = text.replace("\\", "/") if place.backslashes else text
    match profile.paths:
        case PathForm.ABSOLUTE:
            local = forward
        case PathForm.RELATIVE:
            local = posixpath.join(place.folder, forward)
        case PathForm.BELOW:
            local = posixpath.join(place.prefixes[0], forward)
        case PathForm.MAPPED:
            prefix = _mapped_prefix(profile)
            if not forward.startswith(prefix):
                return None
            local = place.prefixes[0] + forward[len(prefix) :]
    path = local.encode("utf-8", "surrogateescape")
    if os.path.isfile(path):
        return path
    return None if profile.unicode is UnicodeForm.KEEP else _find_in_any_form(path)


def from_uri(uri: str) -> str:
    """The ``forward`` text that :attr:`Target.uri` was made from."""
    if uri.startswith("file:///") and _DRIVE.match(uri, len("file:///")):
        return _unquoted(uri[len("file:///") :])
    if uri.startswith("file:///"):
        return _unquoted(uri[len("file://") :])
    if uri.startswith("file://"):
        return _unquoted(uri[len("file:") :])
    return _unquoted(uri)


def _relative_part(text: str, place: Place) -> tuple[str, str]:
    """What of ``text`` is the file's own, and the prefix that the profile puts before it."""
    profile = place.profile
    match profile.paths:
        case PathForm.ABSOLUTE:
            return text, ""
        case PathForm.RELATIVE:
            return _relative_to(text, place.folder, windows=place.windows), ""
        case PathForm.BELOW:
            return _below(text, place, "root"), ""
        case PathForm.MAPPED:
            return _below(text, place, "map_from"), _mapped_prefix(profile)


def _is_relative(profile: ExportProfile, prefix: str) -> bool:
    if profile.paths is PathForm.MAPPED:
        return not (prefix.startswith("/") or _DRIVE.match(prefix) or _SCHEME.match(prefix))
    return profile.paths is not PathForm.ABSOLUTE


def _relative_to(text: str, folder: str, *, windows: bool) -> str:
    if not windows:
        return posixpath.relpath(text, folder)
    try:
        return ntpath.relpath(text, folder).replace("\\", "/")
    except ValueError as e:
        raise Unwritable("it is on another drive than the playlist, so there is no relative path to it") from e


def _below(text: str, place: Place, setting: str) -> str:
    for start in place.prefixes:
        if _folded(text, windows=place.windows).startswith(_folded(start, windows=place.windows)):
            return text[len(start) :]
    shown = place.prefixes[0].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    raise Unwritable(f"it is not below {setting}, {shown}")


def _mapped_prefix(profile: ExportProfile) -> str:
    prefix = (profile.map_to or "").replace("\\", "/")
    return _rooted(prefix) if prefix else ""


def _rooted(prefix: str) -> str:
    return prefix.rstrip("/") + "/"


def _text(path: bytes, *, windows: bool) -> str:
    text = path.decode("utf-8", "surrogateescape")
    return text.replace("\\", "/") if windows else text


def _folded(text: str, *, windows: bool) -> str:
    # lower() and not casefold(): the length must stay.
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text) if windows else text


def _has_escapes(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)


def _quoted(text: str) -> str:
    return quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe="/")


def _unquoted(uri: str) -> str:
    return unquote_to_bytes(uri).decode("utf-8", "surrogateescape")


def _find_in_any_form(path: bytes) -> bytes | None:
    found = [b"/"] if path.startswith(b"/") else [b""]
    for part in path.split(b"/"):
        if part in (b"", b"."):
            continue
        found = [entry for folder in found for entry in _entries(folder, part)]
    return next((f for f in found if os.path.isfile(f)), None)


def _entries(folder: bytes, name: bytes) -> Iterator[bytes]:
    exact = os.path.join(folder, name)
    if os.path.lexists(exact):
        yield exact
        return
    form = unicodedata.normalize("NFC", name.decode("utf-8", "surrogateescape"))
    try:
        names = os.listdir(folder or b".")
    except OSError:
        return
    for other in names:
        if unicodedata.normalize("NFC", other.decode("utf-8", "surrogateescape")) == form:
            yield os.path.join(folder, other)
