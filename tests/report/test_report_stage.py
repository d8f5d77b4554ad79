import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from psm import atomic
from psm.config import ReportConfig
from psm.db import metadata
from psm.models import PlaylistEntry, Status
from psm.owned import LOCK_WAIT_S, locked
from psm.progress import Progress
from psm.report import Outcome, ReportResult, is_due, write_report
from tests.factories import add_file, retag_file
from tests.report.shelf import Shelf


@pytest.fixture
def cfg(tmp_path: Path) -> ReportConfig:
    return ReportConfig(folder=tmp_path / "report")


LIST = ".psm-report.json"


def outcomes(shelf: Shelf, cfg: ReportConfig) -> set[Outcome]:
    return {f.outcome for f in write_report(shelf.db, cfg).files}


def test_the_report_is_written_with_its_summary(shelf: Shelf, cfg: ReportConfig) -> None:
    shelf.playlist("Mix", "A - One")
    result = write_report(shelf.db, cfg)
    assert result.files[0].path == os.fsencode(cfg.folder / "psm-report.html")
    assert len(result.files) == 8
    assert sorted(os.listdir(cfg.folder)) == sorted(
        [*(os.path.basename(os.fsdecode(f.path)) for f in result.files), LIST]
    )
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


def forget(shelf: Shelf) -> None:
    with shelf.db.transaction() as connection:
        metadata.delete(connection, "stage:report")


def change(shelf: Shelf, name: str = "Mix") -> None:
    """Makes every file of the report another one."""
    shelf.playlist(name, PlaylistEntry(1, f"One of {name}", ("A",), album="X"))


def backups(result: ReportResult) -> list[str]:
    return [os.path.basename(os.fsdecode(f.backup)) for f in result.files if f.backup]


@pytest.mark.parametrize("lost", ["database", "list", "nothing"])
def test_psm_knows_its_report_by_its_list_or_its_database(shelf: Shelf, cfg: ReportConfig, lost: str) -> None:
    write_report(shelf.db, cfg)
    if lost == "database":
        forget(shelf)
    elif lost == "list":
        (cfg.folder / LIST).unlink()
        assert is_due(shelf.db.connection, cfg)
    change(shelf)
    result = write_report(shelf.db, cfg)
    assert not backups(result)
    assert Outcome.WRITTEN in {f.outcome for f in result.files}
    assert not is_due(shelf.db.connection, cfg)


@pytest.mark.parametrize("lost", ["database", "list", "both", "nothing"])
def test_a_list_that_a_person_edited_is_kept_whatever_was_lost(shelf: Shelf, cfg: ReportConfig, lost: str) -> None:
    change(shelf)
    write_report(shelf.db, cfg)
    path = cfg.folder / "psm-missing-tracks.csv"
    path.write_bytes(path.read_bytes() + b"99,1,ordered,,,,,\r\n")
    if lost in ("database", "both"):
        forget(shelf)
    if lost in ("list", "both"):
        (cfg.folder / LIST).unlink()
    assert backups(write_report(shelf.db, cfg)) == ["psm-missing-tracks.csv.bak"]
    assert b"ordered" in Path(f"{path}.bak").read_bytes()


def test_what_a_person_wrote_into_a_one_off_report_is_kept(shelf: Shelf, cfg: ReportConfig) -> None:
    write_report(shelf.db, cfg, one_off=True)
    change(shelf)
    assert not backups(write_report(shelf.db, cfg, one_off=True))
    path = cfg.folder / "psm-report.json"
    path.write_text("mine")
    assert backups(write_report(shelf.db, cfg, one_off=True)) == ["psm-report.json.bak"]


def test_a_damaged_list_is_set_aside_and_a_newer_one_is_not_guessed_at(shelf: Shelf, cfg: ReportConfig) -> None:
    write_report(shelf.db, cfg)
    (cfg.folder / LIST).write_text('{"format": "psm report manifest", "version": 1e999}')
    forget(shelf)
    change(shelf)
    assert len(backups(write_report(shelf.db, cfg))) == 5  # nobody knows whose they are
    assert (cfg.folder / ".psm-report.damaged.json").exists()
    (cfg.folder / LIST).write_text('{"format": "psm report manifest", "version": 2}')
    assert [f.error for f in write_report(shelf.db, cfg).failed] == ["it was written by a newer psm; update psm"]


def test_a_killed_report_knows_its_own_file_afterwards(
    shelf: Shelf, cfg: ReportConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(shelf.db, cfg)
    for moment in ("before", "after"):
        change(shelf, moment)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dying(os.replace, moment))
            with pytest.raises(KeyboardInterrupt):
                write_report(shelf.db, cfg)
        forget(shelf)
        change(shelf, f"{moment} that")
        assert not backups(write_report(shelf.db, cfg))


def dying(real: Callable[..., None], moment: str) -> Callable[..., None]:
    """A rename during which psm is killed, when it is that of the page."""

    def call(old: bytes, new: bytes) -> None:
        page = new.endswith(b".html")
        if not page or moment == "after":
            real(old, new)
        if page:
            raise KeyboardInterrupt

    return call


def test_another_report_at_work_is_waited_for(shelf: Shelf, cfg: ReportConfig) -> None:
    cfg.folder.mkdir()
    waits: list[float] = []
    stop = threading.Event()
    with locked(os.fsencode(cfg.folder), kind="report", stop=stop):
        result = write_report(shelf.db, cfg, sleep=waits.append)
        assert not write_report(shelf.db, cfg, stop=stop, sleep=lambda _: stop.set()).complete
    assert "another psm" in str(result.failed[0].error)
    assert sum(waits) == pytest.approx(LOCK_WAIT_S)


def test_a_report_in_a_new_folder_takes_the_untouched_old_one_away(shelf: Shelf, cfg: ReportConfig) -> None:
    write_report(shelf.db, cfg)
    (cfg.folder / "psm-coverage.csv").write_text("edited")
    (cfg.folder / LIST).unlink()
    result = write_report(shelf.db, ReportConfig(cfg.folder.parent / "new"))
    assert len(result.removed) == 7
    assert os.listdir(cfg.folder) == ["psm-coverage.csv"]


def test_reading_can_be_stopped(shelf: Shelf, cfg: ReportConfig) -> None:
    add_file(shelf.db)
    stop = threading.Event()
    result = write_report(shelf.db, cfg, progress=lambda _: stop.set(), stop=stop)
    assert not result.complete
    assert not result.files
    assert os.listdir(cfg.folder) == []


def test_files_of_formats_that_are_no_longer_wanted_go_unless_edited(shelf: Shelf, cfg: ReportConfig) -> None:
    write_report(shelf.db, cfg)
    (cfg.folder / "psm-coverage.csv").write_text("edited")
    result = write_report(shelf.db, ReportConfig(cfg.folder, ("html",)))
    assert len(result.removed) == 6
    assert sorted(os.listdir(cfg.folder)) == [LIST, "psm-coverage.csv", "psm-report.html"]


def test_a_one_off_report_is_not_remembered(shelf: Shelf, cfg: ReportConfig, tmp_path: Path) -> None:
    write_report(shelf.db, cfg)
    write_report(shelf.db, ReportConfig(tmp_path / "once"), one_off=True)
    assert len(os.listdir(cfg.folder)) == len(os.listdir(tmp_path / "once")) == 9
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
    assert len([name for name in os.listdir(cfg.folder) if name != LIST]) == 2
    assert is_due(shelf.db.connection, cfg)


def test_leftovers_of_killed_runs_go(shelf: Shelf, cfg: ReportConfig) -> None:
    cfg.folder.mkdir()
    (cfg.folder / ".psm-report-1-2.tmp").touch()
    (cfg.folder / ".psm-export-1-2.tmp").touch()
    write_report(shelf.db, cfg)
    assert [n for n in os.listdir(cfg.folder) if n.endswith(".tmp")] == [".psm-export-1-2.tmp"]


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
