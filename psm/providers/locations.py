r"""Which files an entry of a playlist may mean, and what its name says about the track.

A playlist's path is read as a path of its own kind, byte for byte first. The other readings follow, because playlists
travel:

- ``../Björk/Jóga.flac`` in a Latin-1 file: the literal bytes, then the same letters in UTF-8 (in both Unicode forms:
  macOS decomposes), since the file on disk was most likely named by another program. Folders and files may have been
  named by different ones, so one form may end and the other begin at any slash.
- ``Björk\Jóga.flac``: on POSIX the file of exactly that name, then ``Björk/Jóga.flac``.
- ``C:\Music\Jóga.flac`` and ``\\nas\music\Jóga.flac`` name no file on POSIX; only the name is of use, to guess the
title.
- ``file:///music/J%C3%B3ga.flac``: percent-decoded to bytes.

Nothing here touches the disk: ``.`` and ``..`` collapse as text.
"""

import ntpath
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PureWindowsPath
from urllib.parse import unquote_to_bytes

from psm.providers.text import clean, decode_line

_WINDOWS = os.name == "nt"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_DRIVE = re.compile(rb"[A-Za-z]:[\\/]")
_PERCENT = re.compile(rb"%[0-9A-Fa-f]{2}")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}$")
# A track's number before its title: "03 Title", "03.Title", "3. Title", "1-03 Title"; not "99 Luftballons" or "1-800".
_NUMBER = re.compile(r"\A(?:\d{1,2}[-.](?=\d\d))?(?:0\d[-._]\s*|[0-3]\d\s+|\d{1,3}[.)]\s+|\d{1,3}\s*[-_]\s+)(?=\S)")
_NUMBER_ALONE = re.compile(r"(?:\d{1,2}[-.])?\d{1,2}")
_DISC_AND_TRACK = re.compile(r"[0-3]\d\d")
_MIXED_PARTS = (
    8  # of a path, in how many the Unicode forms may change: deeper folders are rare, and each costs two paths
)
_DASH = re.compile(r"(?<!\s)\s++[-–—]\s++")


@dataclass(frozen=True, slots=True)
class Located:
    """Where an entry points. ``paths`` are absolute, best first; ``name`` is the last part of what the entry says.

    ``remote`` says that it is an address on a network, so no file and no name.
    """

    paths: tuple[bytes, ...] = ()
    name: str = ""
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Guess:
    """What a file's name says about its track."""

    title: str
    artists: tuple[str, ...] = ()


def locate_path(raw: bytes, folder: bytes, *, windows: bool = _WINDOWS) -> Located:
    """What a path line means, seen from ``folder`` (absolute): any bytes, a path or an address."""
    text = decode_line(raw).strip()
    scheme = _SCHEME.match(text)
    if scheme and (scheme.group(1).lower() == "file" or text[scheme.end() :].startswith("//")):
        return locate_uri(text, folder, windows=windows)
    forms = [raw, raw.strip()]
    if _PERCENT.search(raw):
        forms.append(unquote_to_bytes(raw.strip()))
    return Located(_paths(forms, folder, windows=windows), _name(text))


def locate_uri(uri: str, folder: bytes | None, *, windows: bool = _WINDOWS) -> Located:
    """What a URI reference means, seen from ``folder`` (absolute; None when the base is an address on a network)."""
    said = uri.strip()
    scheme = _SCHEME.match(said)
    if scheme and scheme.group(1).lower() == "file":
        return _file_uri(said[scheme.end() :], windows=windows)
    raw = _bytes(said)
    if scheme and not _DRIVE.match(raw):
        return Located(remote=True)
    if folder is None:
        return Located(remote=True)
    decoded = unquote_to_bytes(raw)
    return Located(_paths([decoded, raw], folder, windows=windows), _name(decode_line(decoded)))


def base_folder(base: str, folder: bytes | None, *, windows: bool = _WINDOWS) -> bytes | None:
    """The folder that an ``xml:base`` inside ``folder`` means; None when it is an address on a network."""
    # Everything after the last slash of a base is no part of it (RFC 3986, section 5.2.3).
    upto, slash, _ = base.strip().rpartition("/")
    if not slash:
        return folder
    found = locate_uri(upto + "/.", folder, windows=windows)
    if found.remote:
        return None
    return found.paths[0] if found.paths else folder


def guess(name: str) -> Guess:
    """The title, and the artist when it is there too, from a file's name such as ``03 - Artist - Title.mp3``."""
    text = _SUFFIX.sub("", clean(name)) or clean(name)
    if " " not in text:
        text = text.replace("_", " ").strip() or text
    parts = [part.strip() for part in _DASH.split(text) if part.strip()]
    if len(parts) > 2 and (
        numbers := [n for n, part in enumerate(parts) if part.isdecimal() and 0 < n < len(parts) - 1]
    ):
        # Artist - Album - 03 - Title
        return Guess(" - ".join(parts[numbers[-1] + 1 :]), (parts[0],))
    numbered = parts and (_NUMBER_ALONE.fullmatch(parts[0]) or (len(parts) > 2 and _DISC_AND_TRACK.fullmatch(parts[0])))
    if numbered and len(parts) > 1:
        parts = parts[1:]
    elif parts:
        parts[0] = _NUMBER.sub("", parts[0], count=1)
    if len(parts) > 1:
        return Guess(" - ".join(parts[1:]), (parts[0],))
    return Guess(parts[0] if parts else text)


def _file_uri(rest: str, *, windows: bool) -> Located:
    """``rest`` follows ``file:``. Forms: ``///path``, ``//localhost/path``, ``//host/share/path``, ``/path``."""
    host = ""
    if rest.startswith("//"):
        host, _, path = rest[2:].partition("/")
        rest = "/" + path
    raw = unquote_to_bytes(_bytes(rest))
    if _DRIVE.match(raw[1:]):
        raw = raw[1:]
    elif host.lower() not in ("", "localhost"):
        raw = b"\\\\" + _bytes(host) + raw.replace(b"/", b"\\")
    elif not raw.startswith(b"/"):
        raw = b"/" + raw
    return Located(_paths([raw], b"/", windows=windows), _name(decode_line(raw)))


def _paths(forms: Iterable[bytes], folder: bytes, *, windows: bool) -> tuple[bytes, ...]:
    readings = _windows_paths(forms, folder) if windows else _posix_paths(forms, folder)
    return tuple(dict.fromkeys(readings))


def _posix_paths(forms: Iterable[bytes], folder: bytes) -> Iterator[bytes]:
    for form in forms:
        if not form or b"\0" in form or _DRIVE.match(form) or form.startswith(b"\\\\"):
            continue
        for variant in _spellings(form):
            yield _joined(folder, variant)
            if b"\\" in variant:
                yield _joined(folder, variant.replace(b"\\", b"/"))


def _windows_paths(forms: Iterable[bytes], folder: bytes) -> Iterator[bytes]:
    # Names are text there, and os.fsencode is UTF-8.
    for form in forms:
        text = decode_line(form)
        if text and "\0" not in text:
            for variant in dict.fromkeys((text, *(unicodedata.normalize(f, text) for f in ("NFC", "NFD")))):
                yield _bytes(ntpath.normpath(ntpath.join(decode_line(folder), variant)))


def _spellings(form: bytes) -> Iterator[bytes]:
    yield form
    if form.isascii():
        return
    text = decode_line(form)
    yield text.encode()
    yield from (spelling.encode() for spelling in _unicode_forms(text))
    try:
        yield unicodedata.normalize("NFC", text).encode("latin-1")
    except UnicodeEncodeError:
        return


def _unicode_forms(text: str) -> Iterator[str]:
    """``text`` composed, decomposed, and changing from one to the other between two parts of the path."""
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    yield composed
    yield decomposed
    c, d = composed.split("/"), decomposed.split("/")
    differing = [n for n, (one, other) in enumerate(zip(c, d, strict=True)) if one != other]
    for n in differing[1 : _MIXED_PARTS + 1]:
        yield "/".join(c[:n] + d[n:])
        yield "/".join(d[:n] + c[n:])


def _joined(folder: bytes, path: bytes) -> bytes:
    # normpath keeps two leading slashes apart from one, which Linux does not.
    return b"/" + posixpath.normpath(posixpath.join(folder, path)).lstrip(b"/")


def _name(text: str) -> str:
    raw = _bytes(text)
    if _DRIVE.match(raw) or raw.startswith(b"\\\\") or "/" not in text:
        return PureWindowsPath(text).name
    return text.rstrip("/").rpartition("/")[2]


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
