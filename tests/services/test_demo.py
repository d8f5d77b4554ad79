import csv
import hashlib
import json
import os
from pathlib import Path

import mutagen
import pytest

from psm import atomic
from psm.errors import PsmError, RefusedError, UsageError
from psm.providers.csv_file import Csv
from psm.providers.m3u import M3u
from psm.services import demo
from psm.services.demo import MARKER, write_demo

SHIPPED = Path(demo.__file__).parent.parent / "demo"


def contents(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_demo_is_what_is_shipped_and_a_marker(tmp_path: Path) -> None:
    made = write_demo(tmp_path / "new" / "demo")
    found = contents(made.folder)
    del found[MARKER]
    assert found == contents(SHIPPED)
    assert made.written == tuple(sorted(found, key=lambda name: name.split("/")))
    assert (made.renewed, made.kept) == (False, ())
    assert (made.music_files, made.playlists) == (14, ("playlists/Evening.csv", "playlists/Sunday breakfast.m3u8"))


def test_everything_that_the_configuration_names_lies_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSM__DATABASE__PATH", "/somewhere/else.db")
    config = write_demo(tmp_path / "demo").config
    profiles = config.export.profiles
    named = [
        config.folder,
        *(named.path for named in config.library.paths),
        *config.playlists.folders,
        config.database.path,
        *(profile.folder for profile in profiles),
        *(profile.root for profile in profiles if profile.root),
        config.report.folder,
    ]
    assert len(named) >= 8
    assert [path for path in named if not path.is_relative_to(tmp_path / "demo")] == []


def test_the_audio_is_small_real_and_of_every_kind(tmp_path: Path) -> None:
    files = [f for f in (SHIPPED / "music").rglob("*") if f.is_file()]
    assert {f.suffix for f in files} == {".mp3", ".flac", ".m4a", ".ogg", ".opus"}
    assert sum(f.stat().st_size for f in files) < 200_000
    for file in files:
        audio = mutagen.File(file, easy=True)
        assert 2.5 < audio.info.length < 8, file
        assert bool(audio.tags) == (file.parent.name != "Unsorted"), file
    # No two alike, or they would be one recording to a fingerprint.
    assert len({hashlib.sha256(f.read_bytes()).digest() for f in files}) == len(files)


def test_the_playlists_can_be_read_without_an_error(tmp_path: Path) -> None:
    playlists = SHIPPED / "playlists"
    table, list_ = playlists / "Evening.csv", playlists / "Sunday breakfast.m3u8"
    evening = Csv().read(table.read_bytes(), os.fsencode(table))
    sunday = M3u().read(list_.read_bytes(), os.fsencode(list_))
    assert (len(evening.entries), evening.errors) == (11, ())
    assert (len(sunday.entries), sunday.errors) == (6, ())
    assert evening.entries[6].artists == ("The Copper Foxes", "Juno Vale")
    assert next(csv.reader(table.read_text(encoding="utf-8").splitlines()))[-1] == "ISRC"
    # Paths of the playlist are those of the music beside it.
    there = [any(os.path.exists(p) for p in entry.locations) for entry in sunday.entries]
    assert there == [True, False, True, True, True, False]


def test_an_earlier_demo_is_mended_and_keeps_what_a_person_added_or_changed(tmp_path: Path) -> None:
    first = write_demo(tmp_path)
    music = tmp_path / "music"
    own = music / "Mine" / "song.mp3"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    lost = music / "Downloads" / "Slow Tide.mp3"
    lost.unlink()
    retagged = music / "Various Artists/Garden Sessions/01 Ivy.opus"
    retagged.write_bytes(b"retagged")
    (tmp_path / "psm.db").write_bytes(b"database")
    again = write_demo(tmp_path)
    assert again.renewed
    assert again.written == ("music/Downloads/Slow Tide.mp3",)
    assert again.kept == ("music/Various Artists/Garden Sessions/01 Ivy.opus",)
    assert lost.read_bytes() == (SHIPPED / "music/Downloads/Slow Tide.mp3").read_bytes()
    assert [f.read_bytes() for f in (own, retagged, tmp_path / "psm.db")] == [b"mine", b"retagged", b"database"]
    assert again.music_files == first.music_files


def test_files_of_an_older_psm_are_renewed(tmp_path: Path) -> None:
    write_demo(tmp_path)
    older = tmp_path / "playlists/Evening.csv"
    older.write_bytes(b"older")
    marker = json.loads((tmp_path / MARKER).read_text())
    marker["files"]["playlists/Evening.csv"] = hashlib.sha256(b"older").hexdigest()
    (tmp_path / MARKER).write_text(json.dumps(marker))
    assert write_demo(tmp_path).written == ("playlists/Evening.csv",)
    assert write_demo(tmp_path).written == ()


@pytest.mark.parametrize("marker", ["", "[]", '{"files": 1}', "\xff"])
def test_without_a_readable_marker_everything_that_differs_is_taken_for_a_persons(tmp_path: Path, marker: str) -> None:
    write_demo(tmp_path)
    (tmp_path / MARKER).write_text(marker, encoding="latin-1")
    (tmp_path / "playlists/Evening.csv").write_text("mine")
    assert write_demo(tmp_path).kept == ("playlists/Evening.csv",)


@pytest.mark.parametrize("stop_after", [0, 1, 5])
def test_an_interrupted_demo_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    write = atomic.write
    left = stop_after

    def interrupted(path: bytes, content: bytes, *, kind: str) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        write(path, content, kind=kind)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_demo(tmp_path)
    made = write_demo(tmp_path)
    assert made.kept == ()
    assert {k: v for k, v in contents(tmp_path).items() if k != MARKER} == contents(SHIPPED)


@pytest.mark.parametrize("content", ["file", "folder", ".hidden"])
def test_a_folder_that_holds_something_else_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    if content == "folder":
        (tmp_path / content).mkdir()
    else:
        (tmp_path / content).write_text("x")
    with pytest.raises(RefusedError, match="holds something else"):
        write_demo(tmp_path)
    assert os.listdir(tmp_path) == [content]


def test_a_file_is_no_place_for_a_demo(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        write_demo(tmp_path / "file")


@pytest.mark.parametrize("place", ["file/demo", "x" * 300])
def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PsmError, match=r"^The demo cannot be written: .*: .*\. Name another folder: psm demo DIR$"):
        write_demo(tmp_path / place)


def test_a_link_does_not_lead_the_demo_out_of_its_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "demo", tmp_path / "outside"
    write_demo(inside)
    outside.mkdir()
    (inside / "playlists").rename(tmp_path / "away")
    (inside / "playlists").symlink_to(outside)
    with pytest.raises(RefusedError, match="leads out of"):
        write_demo(inside)
    assert os.listdir(outside) == []


def test_a_link_in_the_place_of_a_file_is_not_written_through(tmp_path: Path) -> None:
    inside, outside = tmp_path / "demo", tmp_path / "outside.csv"
    write_demo(inside)
    outside.write_text("mine")
    (inside / "playlists/Evening.csv").unlink()
    (inside / "playlists/Evening.csv").symlink_to(outside)
    assert write_demo(inside).kept == ("playlists/Evening.csv",)
    outside.unlink()
    assert write_demo(inside).written == ("playlists/Evening.csv",)
    assert not outside.exists()
