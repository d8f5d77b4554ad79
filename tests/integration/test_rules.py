"""The rules that are never broken, each once from a person's side; in detail, they are in the tests of the modules."""

import os
import sqlite3
from pathlib import Path

import pytest

from tests.factories import write_flac
from tests.running import Psm, lock_holder

HEADER = "Track Name,Artist Name(s),Album Name,Track Duration (ms),ISRC\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A library of four songs."""
    folder = tmp_path / "music"
    for n, title in enumerate(("Alpha", "Bravo", "Charlie", "Delta")):
        write_flac(
            folder / "Someone" / f"{title}.flac", seconds=100 + n, title=title, artist="Someone", album="Letters"
        )
    return folder


@pytest.fixture
def playlist(tmp_path: Path) -> Path:
    """A playlist of three songs that are there and one that is not."""
    rows = [f"{t},Someone,Letters,{100_000 + n * 1000},\n" for n, t in enumerate(("Alpha", "Bravo", "Charlie"))]
    (tmp_path / "playlists").mkdir()
    file = tmp_path / "playlists" / "Letters.csv"
    file.write_text(HEADER + "".join(rows) + "Zulu,Someone,Letters,90000,\n")
    return file


def build(psm: Psm, root: Path, playlist: Path) -> None:
    psm("build", "--library", root, "--playlists", playlist.parent)


def exported(psm: Psm) -> list[str]:
    """The file names in the exported playlist, in order."""
    lines = (psm.data_folder / "playlists" / "Letters.m3u8").read_text().splitlines()
    return [os.path.basename(line) for line in lines if line and not line.startswith("#")]


def matched(psm: Psm) -> dict[str, str | None]:
    return {m["title"]: m["path"] and os.path.basename(m["path"]) for m in psm.json("matches")}


def test_rule_01_a_row_goes_missing_only_on_proof(psm: Psm, root: Path) -> None:
    psm("scan", root)
    root.rename(root.with_name("unmounted"))
    psm("scan", "--quick", code=1)
    root.mkdir()
    psm("scan", "--quick", code=3)
    assert {f["status"] for f in psm.json("files")} == {"present"}


def test_rule_02_missing_is_a_state(psm: Psm, root: Path, playlist: Path) -> None:
    build(psm, root, playlist)
    psm("set-match", "Someone - Zulu", root / "Someone" / "Delta.flac")
    before = {f["path"]: f["id"] for f in psm.json("files")}
    away = root.with_name("away.flac")
    (root / "Someone" / "Delta.flac").rename(away)
    psm("build")
    assert exported(psm) == ["Alpha.flac", "Bravo.flac", "Charlie.flac"]
    away.rename(root / "Someone" / "Delta.flac")
    psm("build")
    assert exported(psm) == ["Alpha.flac", "Bravo.flac", "Charlie.flac", "Delta.flac"]
    assert {f["path"]: f["id"] for f in psm.json("files")} == before


def test_rule_03_a_moved_file_is_the_same_file(psm: Psm, root: Path, playlist: Path) -> None:
    build(psm, root, playlist)
    before = {f["title"]: f["id"] for f in psm.json("files")}
    (root / "Someone" / "Alpha.flac").unlink()
    write_flac(root / "new" / "a.flac", audio="Alpha.flac", seconds=100, title="Alpha", artist="Someone")
    assert psm.json("build")["scan"]["moved"] == 1
    assert {f["title"]: f["id"] for f in psm.json("files")} == before
    assert exported(psm)[0] == "a.flac"


def test_rule_04_manual_decisions_outlive_everything(psm: Psm, root: Path, playlist: Path) -> None:
    build(psm, root, playlist)
    psm("set-match", "Zulu", root / "Someone" / "Delta.flac")
    psm("remove-match", "Bravo")
    decided = {"Alpha": "Alpha.flac", "Bravo": None, "Charlie": "Charlie.flac", "Zulu": "d.flac"}
    (root / "Someone" / "Delta.flac").unlink()
    write_flac(root / "d.flac", audio="Delta.flac", seconds=99, title="Other", artist="Nobody")
    psm("build")
    psm("match", "--full")
    assert matched(psm) == decided
    content = (psm.data_folder / "playlists" / "Letters.m3u8").read_bytes()
    for file in psm.data_folder.glob("psm.db*"):
        file.unlink()
    psm("build")
    assert matched(psm) == decided
    assert (psm.data_folder / "playlists" / "Letters.m3u8").read_bytes() == content


def test_rule_05_a_changed_file_is_one_that_differs(psm: Psm, root: Path) -> None:
    file = root / "Someone" / "Alpha.flac"
    psm("scan", root)
    before = file.stat()
    write_flac(file, seconds=100, title="ALPHA", artist="Someone", album="Letters")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns - 10**9))
    assert file.stat().st_size == before.st_size
    assert psm.json("scan", "--quick")["updated"] == 1


def test_rule_06_only_a_finished_file_is_read(psm: Psm, root: Path) -> None:
    write_flac(root / "download.flac.part", title="Unfinished")
    psm("scan", root)
    assert psm.json("files", "Unfinished") == []
    (root / "download.flac.part").rename(root / "download.flac")
    assert psm.json("scan", "--quick")["added"] == 1


def test_rule_07_psm_never_reacts_to_itself(psm: Psm, root: Path, playlist: Path) -> None:
    (psm.home / "config.yaml").write_text(f"export: {{profiles: {{inside: {{folder: {root}/Playlists}}}}}}\n")
    arguments = ("--config", psm.home / "config.yaml", "build", "--library", root, "--playlists", root)
    (root / "Letters.csv").write_bytes(playlist.read_bytes())
    psm(*arguments)
    written = root / "Playlists" / "Letters.m3u8"
    before = written.stat()
    for _ in range(2):
        assert psm.json(*arguments)["nothing_to_do"]
    assert [p["name"] for p in psm.json("--config", psm.home / "config.yaml", "playlist", "list")] == ["Letters"]
    assert (written.stat().st_ino, written.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_rule_08_nothing_waits_for_ever(psm: Psm, root: Path) -> None:
    psm("scan", root)
    with lock_holder(Path(f"{psm.database}.scan.lock")) as holder, psm.start("scan", "--quick") as waiting:
        assert waiting.stderr is not None
        assert str(holder.pid) in waiting.stderr.readline()
        waiting.terminate()
        waiting.communicate(timeout=60)
        assert waiting.returncode == 130


def test_rule_09_work_that_failed_is_done_by_the_next_run(psm: Psm, root: Path, playlist: Path) -> None:
    build(psm, root, playlist)
    target = psm.data_folder / "playlists"
    before = (target / "Letters.m3u8").read_bytes()
    for file in target.iterdir():
        file.unlink()
    target.rmdir()
    target.write_text("a file where the folder should be")
    psm("build", "--full", code=1)
    target.unlink()
    psm("build")
    assert (target / "Letters.m3u8").read_bytes() == before


def test_rule_10_what_cannot_be_seen_is_said(psm: Psm, root: Path) -> None:
    psm("scan", root)
    root.rename(root.with_name("unmounted"))
    done = psm("scan", "--quick", code=1)
    assert str(root) in done.stderr
    assert "PROBLEM" in psm("doctor", code=1).stdout
    assert "away" in psm("status").stdout


def test_rule_11_one_bad_file_or_row_is_a_line_in_the_result(psm: Psm, root: Path, playlist: Path) -> None:
    (root / "broken.mp3").write_bytes(os.urandom(3000))
    (root / "empty.flac").touch()
    with playlist.open("a") as file:
        file.write(",,,,\nDelta,Someone,Letters,103000,\n")
    result = psm.json("build", "--library", root, "--playlists", playlist.parent)
    assert {os.path.basename(e["path"]) for e in result["scan"]["errors"]} == {"broken.mp3", "empty.flac"}
    assert [e["line"] for e in result["pull"]["row_errors"]] == [6]
    assert exported(psm) == ["Alpha.flac", "Bravo.flac", "Charlie.flac", "Delta.flac"]
    assert len(psm.json("files")) == 6


def test_rule_12_output_is_written_whole_and_only_what_psm_wrote_is_removed(
    psm: Psm, root: Path, playlist: Path
) -> None:
    build(psm, root, playlist)
    folder = psm.data_folder / "playlists"
    (folder / "mine.m3u8").write_text("#EXTM3U\n")
    psm("playlist", "remove", "Letters")
    psm("build", "--no-pull")
    assert not (folder / "Letters.m3u8").exists()
    assert (folder / "mine.m3u8").exists()


def test_rule_13_nothing_asks_without_a_terminal(psm: Psm, root: Path, playlist: Path) -> None:
    """Every command here runs without a terminal; what could ask has a flag instead."""
    build(psm, root, playlist)
    for n in range(60):
        write_flac(root / "many" / f"{n}.flac")
    psm("scan", "--quick")
    for file in (root / "many").iterdir():
        file.unlink()
    assert "--accept-missing" in psm("scan", "--quick", code=3).stderr
    assert psm.json("scan", "--quick", "--accept-missing")["missing"] == 60


def test_a_database_that_another_process_has_locked_is_waited_for(psm: Psm, root: Path) -> None:
    psm("scan", root)
    write_flac(root / "new.flac")
    with sqlite3.connect(psm.database, isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        process = psm.start("scan", "--quick")
        lock = Path(f"{psm.database}.scan.lock")
        while "psm scan" not in lock.read_text() or str(process.pid) not in lock.read_text():
            assert process.poll() is None
        connection.execute("COMMIT")
    connection.close()
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "1 added" in output
