import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psm.export.manifest import NAME, ManifestDamaged, ManifestEntry, ManifestNewer, read, write
from psm.owned import State, find

ENTRY = ManifestEntry("Mix.m3u8", ("aa", "bb"), "owner", "profile", "playlist")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    assert read(folder) == ()
    other = ManifestEntry("Ä.m3u8", ("cc",), "o", "p", "q", once=True)
    write(folder, [other, ENTRY])
    assert read(folder) == (ENTRY, other)


def test_the_same_content_is_not_written_again_and_none_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / NAME.decode()
    write(os.fsencode(tmp_path), [ENTRY])
    before = path.stat().st_ino
    write(os.fsencode(tmp_path), [ENTRY])
    assert path.stat().st_ino == before
    for _ in range(2):
        write(os.fsencode(tmp_path), [])
        assert not path.exists()


def document(**changes: object) -> str:
    entry = {"owner": "o", "profile": "p", "playlist": "q", "name": "x.m3u8", "hashes": ["aa"], **changes}
    return json.dumps({"format": "psm export manifest", "version": 1, "files": [entry]})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "\x00" * 100,
        "[" * 100_000,
        '{"format": "other", "version": 1, "files": []}',
        '{"format": "psm export manifest", "version": "x"}',
        '{"format": "psm export manifest", "version": 1}',
        '{"format": "psm export manifest", "version": 1, "files": [1]}',
        '{"format": "psm export manifest", "version": 1e999, "files": []}',
        '{"format": "psm export manifest", "version": true, "files": []}',
        '{"format": "psm export manifest", "version": 0, "files": []}',
        document(name="a\u0000b"),
        document(name="a\ud800b"),
        document(name=".psm-export.json"),
        document(once=1),
        document(hashes="aa"),
        document(hashes=[1]),
        document(profile=None),
        document(name=""),
        document(name=".."),
        document(name="../x.m3u8"),
        document(name="..\\x.m3u8"),
        document(name="/etc/passwd"),
    ],
)
def test_a_damaged_manifest_names_no_files(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME.decode()).write_text(content)
    with pytest.raises(ManifestDamaged):
        read(os.fsencode(tmp_path))


def test_a_newer_manifest_is_not_guessed_at(tmp_path: Path) -> None:
    (tmp_path / NAME.decode()).write_text('{"format": "psm export manifest", "version": 2, "files": "who knows"}')
    with pytest.raises(ManifestNewer):
        read(os.fsencode(tmp_path))


def test_an_entry_of_before_one_off_exports_were_told_apart_is_a_managed_one(tmp_path: Path) -> None:
    (tmp_path / NAME.decode()).write_text(document())
    assert [entry.once for entry in read(os.fsencode(tmp_path))] == [False]


LEAVES = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
NAMES = st.text(st.characters(codec=None), max_size=4) | st.sampled_from(["x.m3u8", "..", "a/b", "nul\0"])
FIELDS = {"owner": JSON | st.just("o"), "profile": st.just("p"), "playlist": st.just("q"), "name": NAMES | JSON}
ENTRIES = st.fixed_dictionaries(FIELDS, optional={"hashes": JSON | st.lists(st.text(max_size=3)), "once": LEAVES})
DOCUMENTS = JSON | st.fixed_dictionaries(
    {"format": st.just("psm export manifest"), "version": st.just(1) | LEAVES, "files": st.lists(ENTRIES) | JSON}
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DOCUMENTS)
def test_whatever_a_manifest_says_only_files_of_its_folder_come_of_it(tmp_path: Path, said: object) -> None:
    (tmp_path / NAME.decode()).write_text(json.dumps(said))
    try:
        entries = read(os.fsencode(tmp_path))
    except (ManifestDamaged, ManifestNewer):
        return
    for entry in entries:
        assert os.path.dirname(os.path.join(b"/f", os.fsencode(entry.name))) == b"/f"
        assert find(os.fsencode(tmp_path), entry.name, entry.hashes).state is State.ABSENT
    write(os.fsencode(tmp_path), entries)
    assert set(read(os.fsencode(tmp_path))) == set(entries)
