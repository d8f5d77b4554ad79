"""MPEG-4 files: a miniature of their ``moov`` without pictures and sample tables, and the content of their ``mdat``
atoms.

Format: ISO 14496-12; the tags are Apple's, https://developer.apple.com/documentation/quicktime-file-format
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from psm.ingest.formats.anatomy import LARGEST_VALUE, Anatomy, Kind, Span, TagBlock, TagForm, anatomy
from psm.ingest.formats.fragments import default_units, fragment_units, timescale
from psm.ingest.formats.source import Malformed, Source

_MOST_ATOMS = 2_000
_WANTED = {
    b"trak": {b"mdia"},
    b"mdia": {b"mdhd", b"hdlr", b"minf"},
    b"minf": {b"stbl"},
    b"stbl": {b"stsd"},
    b"udta": {b"meta"},
    b"meta": {b"hdlr", b"ilst"},
    b"ilst": set(),  # everything but the cover
}
_FTYP = struct.pack(">I4s4sI", 16, b"ftyp", b"M4A ", 0)
_HANDLER_AT = 16  # in hdlr: size, name, version and flags, predefined


@dataclass(frozen=True, slots=True)
class _Atom:
    name: bytes
    start: int
    body: int
    end: int


def is_mp4(header: bytes) -> bool:
    """Whether a file may begin so: old QuickTime files have no ``ftyp``."""
    return header[4:8] in {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"}


def mp4_file(source: Source, start: int, front: list[TagBlock]) -> Anatomy:
    """The file whose atoms begin at ``start``."""
    audio: list[Span] = []
    fragments: list[_Atom] = []
    moov: _Atom | None = None
    cut = False
    for atom in _atoms(source, start, source.size):
        # Not any atom: what another program appended (ID3v1, mostly) looks like one with a size beyond all bounds.
        cut = cut or (atom.name in {b"mdat", b"moov", b"moof"} and atom.end > source.size)
        if atom.name == b"mdat":
            audio.append(Span(atom.body, min(atom.end, source.size)))
        elif atom.name == b"moov" and not moov:
            moov = atom
        elif atom.name == b"moof":
            fragments.append(atom)
    if moov is None:
        raise Malformed("the MP4 file has no header (moov): it may have been cut off")
    header = _FTYP + _miniature(source, moov, {b"mvhd", b"trak"})
    tags = _FTYP + _miniature(source, moov, {b"udta"})
    parts = anatomy(Kind.MP4, audio, [TagBlock(TagForm.MP4, tags), *front], header=header, cut=cut)
    return replace(parts, duration_s=_fragments_s(source, moov, fragments)) if fragments else parts


def _fragments_s(source: Source, moov: _Atom, fragments: list[_Atom]) -> float | None:
    scale = timescale(_content(source, moov, b"trak", b"mdia", b"mdhd"))
    default = default_units(_content(source, moov, b"mvex", b"trex"))
    units = sum(fragment_units(_leaf(source, atom), default) for atom in fragments)
    return units / scale if scale else None


def _content(source: Source, atom: _Atom, *path: bytes) -> bytes:
    """The content of the first atom at the end of a path, empty when there is none."""
    for name in path:
        found = next((child for child in _atoms(source, atom.body, atom.end) if child.name == name), None)
        if found is None:
            return b""
        atom = found
    return source.read(atom.body, min(atom.end - atom.body, LARGEST_VALUE))


def _atoms(source: Source, start: int, end: int) -> Iterator[_Atom]:
    position = start
    for _ in range(_MOST_ATOMS):
        head = source.read(position, 16)[: max(0, end - position)]
        if len(head) < 8:
            return
        size, name = struct.unpack_from(">I4s", head)
        body = position + 8
        if size == 1 and len(head) == 16:
            size, body = int.from_bytes(head[8:16], "big"), position + 16
        elif size == 0:  # to the end of the file
            size = end - position
        if position + size < body:
            return
        yield _Atom(name, position, body, position + size)
        position += size


def _miniature(source: Source, atom: _Atom, wanted: set[bytes]) -> bytes:
    """The atom with only the wanted ones in it, and in those what mutagen needs of them."""
    prefix = source.read(atom.body, 4) if atom.name == b"meta" else b""
    children: list[bytes] = []
    for child in _atoms(source, atom.body + len(prefix), min(atom.end, source.size)):
        if child.name not in wanted and not (atom.name == b"ilst" and child.name != b"covr"):
            continue
        part = _miniature(source, child, _WANTED[child.name]) if child.name in _WANTED else _leaf(source, child)
        if child.name != b"trak" or _is_sound(part):
            children.append(part)
    return _written(atom.name, prefix + b"".join(children))


def _leaf(source: Source, atom: _Atom) -> bytes:
    length = atom.end - atom.body
    if length > LARGEST_VALUE:
        return b""
    data = source.read(atom.body, length)
    return _written(atom.name, data) if len(data) == length else b""


def _is_sound(trak: bytes) -> bool:
    """Whether a track holds sound: covers and chapter marks of audio books are tracks as well."""
    handler = trak.find(b"hdlr")
    return handler >= 0 and trak[handler - 4 + _HANDLER_AT :][:4] == b"soun"


def _written(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, name) + body
