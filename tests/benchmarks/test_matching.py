"""The command that measures matching on labelled data."""

import sys
from pathlib import Path

import pytest

from benchmarks import matching

TRACKS = """track_id,title,artist,album,duration_ms,isrc,year
t1,Halo,Beyoncé; Jay-Z,I Am,261000,,
t2,Roads,Portishead,Dummy,303000,,
t3,Innuendo,Queen,,390000,,1991
t4,Nobody asks,Somebody,,,,
"""
FILES = """file_id,title,artist,album,albumartist,duration_s,year,isrc,path
f1,Halo,Beyonce,I Am,,261.2,2008,,Beyonce/I Am/01 Halo.mp3
f2,Roads (Live),Portishead,Roseland NYC,,303,,,Portishead/Roseland NYC/05 Roads (Live).mp3
f3,,,,,390.4,,,Queen/Innuendo/01 Innuendo.mp3
"""
TRUTH = """track_id,file_id,grade,slice
t1,f1,match,x
t2,,absent,x
t3,f3,match,x
"""


def make_set(folder: Path) -> Path:
    folder.mkdir()
    for name, text in (("tracks.csv", TRACKS), ("files.csv", FILES), ("truth.csv", TRUTH)):
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("of_many", [False, True])
def test_tables_tell_what_was_found(
    of_many: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_set(tmp_path / "small")
    monkeypatch.setattr(sys, "argv", ["matching", str(tmp_path if of_many else folder)])
    matching.main()
    printed = capsys.readouterr().out
    assert "| small | both | 2 | 1 | 1.000 | 1.000 | 1.000 | 0.00% | 0.00% |" in printed
    assert "| 0.50 | 2 | 1 | 0.667 | 1.000 | 0.800 | 100.00% | 0.00% |" in printed
    assert "| high | 2 | 100.0% |" in printed


def test_a_folder_without_sets_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["matching", str(tmp_path)])
    with pytest.raises(SystemExit):
        matching.main()
    assert "holds no tracks.csv" in capsys.readouterr().err
