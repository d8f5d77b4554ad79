"""What is written is read back as the same files in the same order: by psm's own providers, from any names."""

import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from psm.config import ExportProfile, LineEnds, PathForm, PlaylistFormat, Slashes, UnicodeForm
from psm.export import formats, paths
from psm.export.formats import Entry
from psm.export.paths import Place, Unwritable, resolve
from psm.export.verify import read_lines
from psm.models import GENERATED_MARK, GENERATED_XSPF_REL
from psm.providers.m3u import M3u
from psm.providers.xspf import Xspf

_odd = st.sampled_from(
    [b"#", b" ", b"%41", b"\\", b":", b"\n", b"\r", b"\xff", b"\xc3\xa9", b"e\xcc\x81", b"&", b"\xe2\x80\xa8", b"~"]
)
_part = st.lists(st.one_of(_odd, st.binary(min_size=1, max_size=4)), min_size=1, max_size=4).map(
    lambda parts: b"".join(parts).replace(b"/", b"").replace(b"\0", b"")[:60]
)
names = (
    st.lists(_part.filter(lambda p: p not in (b"", b".", b"..")), min_size=1, max_size=3)
    .map(b"/".join)
    .filter(lambda name: name)
)
profiles: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    format=st.sampled_from(PlaylistFormat),
    paths=st.sampled_from(PathForm),
    slashes=st.sampled_from(Slashes),
    unicode=st.sampled_from(UnicodeForm),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
    line_ends=st.sampled_from(LineEnds),
)


def written(music: Path, files: list[bytes], options: dict[str, Any]) -> tuple[Place, list[bytes], bytes]:
    """A playlist of those of ``files`` that the profile can hold, and its content."""
    profile = ExportProfile(
        "p",
        music / "lists",
        root=music,
        map_from=str(music),
        map_to=r"\\nas\mu sic",
        **options,
    )
    place = Place.of(profile)
    entries, kept = [], []
    for name in files:
        path = os.fsencode(music) + b"/" + name
        try:
            target = paths.target(path, place)
            formats.check(target, profile)
        except Unwritable:
            continue
        entries.append(Entry("Title", ("Artist",), None, 1.0, target))
        kept.append(path)
    return place, kept, formats.render("Mix", entries, place)


def make(music: Path, name: bytes) -> bytes | None:
    """Makes the file, unless another one's name is in the way."""
    path = os.fsencode(music) + b"/" + name
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.exists(path):
            with open(path, "wb"):
                pass
        return name if os.path.isfile(path) else None
    except OSError:
        return None


@settings(max_examples=150, deadline=None)
@given(st.lists(names, max_size=5), profiles)
@example([b"#x.flac", b" x.flac"], {"paths": PathForm.RELATIVE})
@example([b"a\xff/\xe9.flac"], {"paths": PathForm.RELATIVE, "unicode": UnicodeForm.NFC})
@example([b"a\nb", b"%41"], {"format": PlaylistFormat.XSPF, "slashes": Slashes.BACK})
def test_every_line_leads_back_to_its_file(files: list[bytes], options: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        music = Path(folder).resolve() / "music"
        (music / "lists").mkdir(parents=True)
        there = [name for name in files if make(music, name) is not None]
        place, kept, content = written(music, there, options)
        lines = list(read_lines(content, place.profile))
        found = [resolve(line.text, place) for line in lines]
        assert len(found) == len(kept)
        for mine, path in zip(found, kept, strict=True):
            assert mine is not None
            # Composed and decomposed, two names can become one.
            assert (
                mine == path
                or (place.profile.unicode is not UnicodeForm.KEEP and not mine.isascii())
                or os.path.samefile(mine, path)
            )


@settings(max_examples=150, deadline=None)
@given(
    st.lists(names, max_size=5),
    st.sampled_from(PlaylistFormat),
    st.sampled_from([PathForm.ABSOLUTE, PathForm.RELATIVE]),
    st.sampled_from(LineEnds),
    st.sampled_from(["utf-8", "utf-8-sig"]),
)
@example([b"#x.flac", b" x.flac", b"C:/x"], PlaylistFormat.M3U8, PathForm.RELATIVE, LineEnds.CRLF, "utf-8")
@example([b"a\xff/\xe9.flac"], PlaylistFormat.XSPF, PathForm.RELATIVE, LineEnds.LF, "utf-8")
def test_psm_reads_back_what_it_wrote(
    files: list[bytes], form: PlaylistFormat, path_form: PathForm, ends: LineEnds, encoding: str
) -> None:
    music = Path("/srv/music")
    options: dict[str, Any] = {"format": form, "paths": path_form, "line_ends": ends, "encoding": encoding}
    _, kept, content = written(music, files, options)
    # psm leaves files that it wrote alone: without the mark, it is anyone's.
    if form is PlaylistFormat.XSPF:
        read = Xspf().read(content.replace(GENERATED_XSPF_REL.encode(), b"urn:x"), b"/srv/music/lists/Mix.xspf")
    else:
        read = M3u().read(content.replace(GENERATED_MARK.encode(), b"#X:"), b"/srv/music/lists/Mix.m3u8")
    assert read.name == "Mix"
    assert [path in entry.locations for path, entry in zip(kept, read.entries, strict=True)] == [True] * len(kept)
    assert {(e.title, e.artists, e.duration_s) for e in read.entries} <= {("Title", ("Artist",), 1.0)}
