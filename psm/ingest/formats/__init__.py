"""What an audio file is made of.

:func:`dissect` finds out what a file is by its content (names lie), where its audio lies, and what its tags are,
skipping pictures instead of reading them. It understands containers only; what a tag or a stream header means is
mutagen's business: the tags come as small valid blocks, and the stream headers as a miniature of the file.

mutagen itself reads a file's tags whole. Measured on files with a 20 MB picture (15 MB in FLAC): mutagen's memory grows
by 39 to 108 MB (14 MB), that of this by less than 1 MB, with 3 to 5 reads of the file (430 of 64 KB in Ogg, whose pages
have to be walked). No option of mutagen avoids that: ID3's ``known_frames``, for one, drops pictures only after it has
read them.
"""

from psm.ingest.formats.anatomy import Anatomy, Kind, Span, StreamFacts, TagBlock, TagForm
from psm.ingest.formats.asf import asf_file, is_asf
from psm.ingest.formats.chunks import aiff_file, dsdiff_file, dsf_file, is_aiff, is_dsdiff, is_wave, wave_file
from psm.ingest.formats.edges import tags_in_front
from psm.ingest.formats.flac import flac_file
from psm.ingest.formats.mp4 import is_mp4, mp4_file
from psm.ingest.formats.ogg import ogg_file
from psm.ingest.formats.source import Malformed, Source, Window
from psm.ingest.formats.streams import framed_stream, is_old_musepack, tta_stream, whole_stream

__all__ = ["Anatomy", "Kind", "Malformed", "Source", "Span", "StreamFacts", "TagBlock", "TagForm", "Window", "dissect"]

_STREAM_MARKS = (
    (b"MAC ", Kind.APE),
    (b"wvpk", Kind.WAVPACK),
    (b"MPCK", Kind.MUSEPACK),
    (b"MP+", Kind.MUSEPACK),
    (b"tBaK", Kind.TAK),
    (b"OFR ", Kind.OPTIMFROG),
    (b"\x0b\x77", Kind.AC3),
    (b"ADIF", Kind.ADTS),
)


def dissect(source: Source, *, extension: bytes = b"") -> Anatomy:
    """The parts of a file. ``extension`` (lower case, with the dot) decides only where the content leaves a doubt.

    Raises :class:`Malformed` when it is no audio file psm knows, OSError when it cannot be read.
    """
    if source.size == 0:
        raise Malformed("the file is empty")
    start, front = tags_in_front(source)
    header = source.read(start, 16)
    for is_so, read in (
        (header.startswith(b"fLaC"), flac_file),
        (header.startswith(b"OggS"), ogg_file),
        (is_asf(header), asf_file),
        (is_wave(header), wave_file),
        (is_aiff(header), aiff_file),
        (is_dsdiff(header), dsdiff_file),
        (header.startswith(b"DSD "), dsf_file),
        (header.startswith(b"TTA1"), tta_stream),
        (is_mp4(header), mp4_file),
    ):
        if is_so:
            return read(source, start, front)
    for mark, kind in _STREAM_MARKS:
        if header.startswith(mark):
            return whole_stream(source, kind, start, front)
    if found := framed_stream(source, start, front):
        return found
    if extension in {b".mpc", b".mp+", b".mpp"} and is_old_musepack(header):
        return whole_stream(source, Kind.MUSEPACK, start, front)
    raise Malformed("no audio was found in it")
