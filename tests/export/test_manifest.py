import json
import os
from pathlib import Path

import pytest

from psm.export.manifest import NAME, ManifestDamaged, ManifestEntry, ManifestNewer, read, write

ENTRY = ManifestEntry("owner", "profile", "playlist", "Mix.m3u8", ("aa", "bb"))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    assert read(folder) == ()
    other = ManifestEntry("o", "p", "q", "Ä.m3u8", ("cc",))
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
