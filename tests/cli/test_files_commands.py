"""``psm files``: what people and programs see of it."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from psm.cli import match_render, run
from psm.db import Database
from tests.factories import add_file, add_library, lose_file


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [n for n in os.environ if n.startswith(("PSM_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def database(home: Path) -> Path:
    return home / "psm.db"


def psm(database: Path, *arguments: str) -> int:
    return run(["--database", str(database), *arguments])


def listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, list)
    return found


def test_without_a_library_says_how_to_add_one(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert psm(database, "files") == 2
    assert "psm library add FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [((), "psm scan"), (("--missing",), "No file answers"), (("x",), "No file answers")],
)
def test_without_files_gives_a_hint_beside_an_empty_result(
    database: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], hint: str
) -> None:
    with Database(database) as db:
        add_library(db)
    assert psm(database, "files", *arguments) == 0
    out, err = capsys.readouterr()
    assert (out, hint in err) == ("", True)
    assert psm(database, "files", *arguments, "--json") == 0
    assert listed(capsys) == []


def test_tells_programs_everything(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Database(database) as db:
        add_file(
            db,
            b"caf\xe9/1.flac",
            fingerprint="flac:1",
            size_bytes=7,
            title="One",
            artists=("A", "B"),
            album="Best",
            album_artist="Various",
            track_number=3,
            disc_number=2,
            year=1999,
            genre="Jazz",
            duration_s=61.5,
            bitrate_kbps=320,
            sample_rate_hz=44_100,
            channels=2,
            isrcs=("GBAYE0601498",),
            mb_recording_id="f27ec8db-af05-4f36-916e-3d57f91ecf5e",
            mb_release_id="f27ec8db-af05-4f36-916e-3d57f91ecf5f",
            compilation=True,
            guessed=("title",),
        )
    assert psm(database, "files", "--json") == 0
    [file] = listed(capsys)
    assert os.fsencode(file.pop("path")) == b"/music/caf\xe9/1.flac"
    assert os.fsencode(file.pop("relative_path")) == b"caf\xe9/1.flac"
    assert file == {
        "id": 1,
        "status": "present",
        "title": "One",
        "artists": ["A", "B"],
        "album": "Best",
        "albumartist": "Various",
        "track_number": 3,
        "disc_number": 2,
        "year": 1999,
        "genre": "Jazz",
        "duration_s": 61.5,
        "isrcs": ["GBAYE0601498"],
        "mb_recording_id": "f27ec8db-af05-4f36-916e-3d57f91ecf5e",
        "mb_release_id": "f27ec8db-af05-4f36-916e-3d57f91ecf5f",
        "compilation": True,
        "guessed": ["title"],
        "codec": "flac",
        "bitrate_kbps": 320,
        "sample_rate_hz": 44_100,
        "channels": 2,
        "size_bytes": 7,
        "modified_at": "2001-09-09T01:46:40+00:00",
        "first_seen": "1970-01-01T00:16:40+00:00",
        "missing_since": None,
        "library": "music",
        "fingerprint": "flac:1",
        "error": None,
    }


def test_lists_present_and_missing_or_missing_only_or_what_answers(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Database(database) as db:
        add_file(db, b"1.flac", title="Söng One")
        lose_file(db, add_file(db, b"2.flac", title="Song Two"))
        add_file(db, b"3.flac", title="Three", error="broken")
    for arguments, names in (
        ((), ["1.flac", "2.flac", "3.flac"]),
        (("--missing",), ["2.flac"]),
        (("song",), ["1.flac", "2.flac"]),
        (("song", "two"), ["2.flac"]),
        (("song", "one", "--missing"), []),
    ):
        assert psm(database, "files", *arguments, "--json") == 0
        assert [Path(f["path"]).name for f in listed(capsys)] == names
    assert psm(database, "files") == 0
    lines = [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["id", "status", "title", "artists", "album", "time", "file"]
    assert [line[1] for line in lines[1:]] == ["present", "missing", "unreadable"]
    assert psm(database, "files", "--missing", "--json") == 0
    assert listed(capsys)[0]["missing_since"] == "1970-01-01T00:33:20+00:00"


def test_sets_columns_straight_and_cuts_nothing_in_a_pipe(
    database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(match_render, "_MEASURED", 2)
    long = "x" * 300
    with Database(database) as db:
        add_file(db, b"1.flac", title="音楽", artists=("é\u0301",), duration_s=None)
        add_file(db, b"2\n\x1b[31m.flac", title="ab", artists=("cd",))
        add_file(db, b"3.flac", title=long)
    assert psm(database, "files") == 0
    head, first, second, third = capsys.readouterr().out.splitlines()
    assert head.index("artists") == second.index("cd") == first.index("é") + 2  # two wide letters
    assert second.index("/music") == head.index("file")
    assert second.endswith(r"2\n\x1b[31m.flac")
    assert long in third


def test_shows_the_beginning_on_a_terminal(
    database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(match_render, "_SHOWN_ON_TERMINAL", 2)
    with Database(database) as db:
        add_library(db)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        assert psm(database, "files") == 0
        assert "psm scan" in capsys.readouterr().err
        for number in range(5):
            add_file(db, b"%d.flac" % number)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert psm(database, "files") == 0
    out, err = capsys.readouterr()
    assert len([line for line in out.splitlines() if ".flac" in line]) == 2
    assert "and 3 more" in err
