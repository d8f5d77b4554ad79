import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from psm import atomic
from psm.config import ReportConfig
from psm.db import metadata
from psm.models import Status
from psm.progress import Progress
from psm.report import Outcome, is_due, write_report
from tests.factories import add_file, retag_file
from tests.report.shelf import Shelf


@pytest.fixture
def cfg(tmp_path: Path) -> ReportConfig:
    return ReportConfig(folder=tmp_path / "report")


def outcomes(shelf: Shelf, cfg: ReportConfig) -> set[Outcome]:
    return {f.outcome for f in write_report(shelf.db, cfg).files}


def test_the_report_is_written_with_its_summary(shelf: Shelf, cfg: ReportConfig) -> None:
    shelf.playlist("Mix", "A - One")
    result = write_report(shelf.db, cfg)
    assert result.files[0].path == os.fsencode(cfg.folder / "psm-report.html")
    assert len(os.listdir(cfg.folder)) == len(result.files) == 8
    assert result.summary is not None
    assert result.summary.missing_tracks == 1
    assert result.complete


def test_an_unchanged_report_is_not_touched(shelf: Shelf, cfg: ReportConfig) -> None:
    shelf.playlist("Mix", "A - One")
    write_report(shelf.db, cfg)
    before = {n: (cfg.folder / n).stat() for n in os.listdir(cfg.folder)}
    assert outcomes(shelf, cfg) == {Outcome.UNCHANGED}
    after = {n: (cfg.folder / n).stat() for n in os.listdir(cfg.folder)}
    assert {n: (s.st_ino, s.st_mtime_ns) for n, s in before.items()} == {
        n: (s.st_ino, s.st_mtime_ns) for n, s in after.items()
    }


def test_only_what_changed_is_written(shelf: Shelf, cfg: ReportConfig) -> None:
    shelf.playlist("Mix", "A - One")
    write_report(shelf.db, cfg)
    add_file(shelf.db, title="T", artists=("A",), album="X")
    changed = [os.path.basename(f.path) for f in write_report(shelf.db, cfg).files if f.outcome is Outcome.WRITTEN]
    assert changed == [b"psm-report.html", b"psm-report.json"]


def test_a_list_that_a_person_edited_is_kept_beside_the_new_one(shelf: Shelf, cfg: ReportConfig) -> None:
    shelf.playlist("Mix", "A - One")
    write_report(shelf.db, cfg)
    path = cfg.folder / "psm-missing-tracks.csv"
    path.write_text(path.read_text() + "bought,,,,,,,\n")
    backups = [f.backup for f in write_report(shelf.db, cfg).files if f.backup]
    assert backups == [os.fsencode(f"{path}.bak")]
    assert "bought" in Path(f"{path}.bak").read_text()
    assert "bought" not in path.read_text()


def test_a_file_that_psm_did_not_write_is_kept_too(shelf: Shelf, cfg: ReportConfig) -> None:
    cfg.folder.mkdir()
    (cfg.folder / "psm-report.html").write_text("mine")
    (cfg.folder / "psm-report.json").symlink_to("elsewhere")
    assert sum(f.backup is not None for f in write_report(shelf.db, cfg).files) == 2
    assert (cfg.folder / "psm-report.html.bak").read_text() == "mine"
    assert (cfg.folder / "psm-report.json.bak").is_symlink()


def test_a_rebuilt_database_knows_its_report_by_how_it_looks(shelf: Shelf, cfg: ReportConfig) -> None:
    write_report(shelf.db, cfg)
    with shelf.db.transaction() as connection:
        metadata.delete(connection, "stage:report")
    shelf.playlist("Mix", "A - One")
    result = write_report(shelf.db, cfg)
    assert not any(f.backup for f in result.files)
    assert Outcome.WRITTEN in {f.outcome for f in result.files}


def test_files_of_formats_that_are_no_longer_wanted_go_unless_edited(shelf: Shelf, cfg: ReportConfig) -> None:
    write_report(shelf.db, cfg)
    (cfg.folder / "psm-coverage.csv").write_text("edited")
    result = write_report(shelf.db, ReportConfig(cfg.folder, ("html",)))
    assert len(result.removed) == 6
    assert sorted(os.listdir(cfg.folder)) == ["psm-coverage.csv", "psm-report.html"]


def test_a_one_off_report_is_not_remembered(shelf: Shelf, cfg: ReportConfig, tmp_path: Path) -> None:
    write_report(shelf.db, cfg)
    write_report(shelf.db, ReportConfig(tmp_path / "once"), one_off=True)
    assert len(os.listdir(cfg.folder)) == len(os.listdir(tmp_path / "once")) == 8
    assert not is_due(shelf.db.connection, cfg)


def test_a_folder_that_cannot_be_written_is_named_and_the_report_stays_due(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cfg = ReportConfig(tmp_path / "file" / "x")
    result = write_report(shelf.db, cfg)
    assert {f.error for f in result.failed} == {"Not a directory"}
    assert is_due(shelf.db.connection, cfg)


def test_a_full_disk_leaves_the_old_report(shelf: Shelf, cfg: ReportConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(shelf.db, cfg)
    before = {n: (cfg.folder / n).read_bytes() for n in os.listdir(cfg.folder)}
    shelf.playlist("Mix", "A - One")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = write_report(shelf.db, cfg)
    assert {f.error for f in result.failed} == {"No space left on device"}
    assert {n: (cfg.folder / n).read_bytes() for n in os.listdir(cfg.folder)} == before


def test_a_stopped_report_says_so_and_stays_due(shelf: Shelf, cfg: ReportConfig) -> None:
    stop = threading.Event()
    steps: list[Progress] = []

    def after_two(step: Progress) -> None:
        steps.append(step)
        if step.done == 2:
            stop.set()

    result = write_report(shelf.db, cfg, progress=after_two, stop=stop)
    assert not result.complete
    assert result.summary is None
    assert len(os.listdir(cfg.folder)) == 2
    assert is_due(shelf.db.connection, cfg)


def test_leftovers_of_killed_runs_go(shelf: Shelf, cfg: ReportConfig) -> None:
    cfg.folder.mkdir()
    (cfg.folder / ".psm-report-1-2.tmp").touch()
    (cfg.folder / ".psm-export-1-2.tmp").touch()
    write_report(shelf.db, cfg)
    assert [n for n in os.listdir(cfg.folder) if n.startswith(".")] == [".psm-export-1-2.tmp"]


def change_file(shelf: Shelf, _: ReportConfig) -> None:
    add_file(shelf.db)


def change_tags(shelf: Shelf, _: ReportConfig) -> None:
    retag_file(shelf.db, add_file(shelf.db), title="x")


def change_playlist(shelf: Shelf, _: ReportConfig) -> None:
    shelf.playlist("Mix", "B - Two")


def lose_playlist(shelf: Shelf, _: ReportConfig) -> None:
    shelf.playlist("Mix", "A - One", status=Status.MISSING)


def remove_output(_: Shelf, cfg: ReportConfig) -> None:
    (cfg.folder / "psm-report.html").unlink()


def broken_state(shelf: Shelf, _: ReportConfig) -> None:
    with shelf.db.transaction() as connection:
        metadata.put(connection, "stage:report", "{")


@pytest.mark.parametrize(
    "change", [change_file, change_tags, change_playlist, lose_playlist, remove_output, broken_state]
)
def test_a_report_is_due_when_an_input_or_output_changed(
    shelf: Shelf, cfg: ReportConfig, change: Callable[[Shelf, ReportConfig], None]
) -> None:
    shelf.playlist("Mix", "A - One")
    assert is_due(shelf.db.connection, cfg)
    write_report(shelf.db, cfg)
    assert not is_due(shelf.db.connection, cfg)
    change(shelf, cfg)
    assert is_due(shelf.db.connection, cfg)
    write_report(shelf.db, cfg)
    assert not is_due(shelf.db.connection, cfg)


def test_other_settings_make_it_due(shelf: Shelf, cfg: ReportConfig) -> None:
    write_report(shelf.db, cfg)
    assert is_due(shelf.db.connection, ReportConfig(cfg.folder, ("html",)))


def test_a_write_whose_rename_fails_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def held(_: bytes, __: bytes) -> None:
        raise PermissionError(13, "The file is in use")

    monkeypatch.setattr(os, "replace", held)
    with pytest.raises(PermissionError):
        atomic.write(os.fsencode(tmp_path / "x"), b"new", kind="test")
    assert os.listdir(tmp_path) == []
