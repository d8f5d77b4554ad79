import os
import sys
import threading
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from psm.config import Config, ExportConfig, ExportProfile, LibraryConfig, PlaylistsConfig, ReportConfig
from psm.config.values import NamedPath
from psm.db import Database
from psm.services import doctor, drives
from psm.services.doctor import Check, Verdict, examine
from tests.factories import add_file, add_library
from tests.nobody import as_nobody, shared_folder


class Patient:
    """A configuration whose places all lie below one folder, and its database."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.path = self.folder / "psm.db"
        self.config = Config(
            folder=self.folder / "config",
            export=ExportConfig((ExportProfile("car", self.folder / "playlists"),)),
            report=ReportConfig(folder=self.folder / "reports"),
        )
        self.music = self.folder / "music"
        self.music.mkdir()

    def database(self) -> AbstractContextManager[Database]:
        return Database(self.path)

    def add_music(self, *, files: int = 0) -> None:
        with self.database() as db:
            library = add_library(db, name="my music", root=os.fsencode(self.music))
            for _ in range(files):
                add_file(db, library=library)

    def examine(self, config: Config | None = None) -> tuple[Check, ...]:
        return examine(config or self.config, self.database, now=lambda: 0.0)

    def check(self, what: str, config: Config | None = None) -> Check:
        """The one check of that name that is not fine, or else the first."""
        found = [check for check in self.examine(config) if check.what == what]
        return next((check for check in found if check.verdict is not Verdict.OK), found[0])


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


def test_a_sound_set_up_has_no_problem(patient: Patient) -> None:
    (patient.music / "a.mp3").touch()
    patient.add_music(files=1)
    checks = patient.examine()
    assert {check.verdict for check in checks} == {Verdict.OK}
    assert {check.what for check in checks} == {
        *("versions", "database", "library my music", "watching my music", "decisions"),
        *("profile car", "report", "configuration"),
    }


def test_it_makes_nothing_but_the_database_and_libraries_yaml(patient: Patient) -> None:
    patient.add_music()
    patient.examine()
    assert {p.name for p in patient.folder.rglob("*")} - {"psm.db-wal", "psm.db-shm"} == {
        *("music", "psm.db", "config", "libraries.yaml")
    }


def test_a_library_with_a_problem_gets_no_marker(patient: Patient) -> None:
    patient.add_music(files=3)
    assert "watching my music" not in {check.what for check in patient.examine()}
    assert list(patient.music.iterdir()) == []


def test_limits_that_are_too_low_are_noted(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    patient.add_music()
    monkeypatch.setattr(doctor, "limit_in_force", {"max_user_watches": 0, "max_user_instances": 128}.get)
    check = patient.check("watching")
    assert (check.verdict, "sudo sysctl fs.inotify.max_user_watches=524288" in check.remedy) == (Verdict.NOTE, True)


def test_a_stop_ends_the_examination(patient: Patient) -> None:
    stop = threading.Event()
    stop.set()
    found = examine(patient.config, patient.database, now=lambda: 0.0, stop=stop)
    assert [check.what for check in found] == ["versions"]


def test_network_drives_that_do_not_answer_are_problems_and_not_the_end(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from psm.filesystems import FileSystem

    network = FileSystem("nfs4", is_local=False, keeps_inodes=False, delivers_events=False, mount_point=b"/mnt")
    patient.add_music()
    released = threading.Event()
    there = patient.folder / "playlists-in"
    monkeypatch.setattr(drives, "filesystem_of", lambda _: network)
    monkeypatch.setattr(drives, "ANSWER_S", 0.2)
    monkeypatch.setattr(doctor, "_is_empty", lambda _: released.wait(60))
    monkeypatch.setattr(doctor, "_why_not_writable", lambda _: released.wait(60))
    config = replace(patient.config, playlists=PlaylistsConfig(folders=(there,)))
    found = {check.what: check for check in patient.examine(config)}
    released.set()
    for what in ("library my music", "profile car", "report", "configuration"):
        assert (found[what].verdict, "its drive does not answer" in found[what].finding) == (Verdict.PROBLEM, True)
    assert found["playlists"].verdict is Verdict.NOTE
    assert "watching my music" not in found


def test_without_a_library_it_says_how_to_add_one(patient: Patient) -> None:
    check = patient.check("library")
    assert (check.verdict, check.remedy) == (Verdict.PROBLEM, "Add one with: psm library add FOLDER")


def test_a_root_that_is_away_is_a_problem_with_a_command_to_paste(patient: Patient) -> None:
    patient.add_music()
    patient.music.rmdir()
    check = patient.check("library my music")
    assert check.verdict is Verdict.PROBLEM
    assert "is not there" in check.finding
    assert "psm library move 'my music' FOLDER" in check.remedy


def test_an_empty_root_that_held_files_is_a_problem(patient: Patient) -> None:
    patient.add_music(files=3)
    check = patient.check("library my music")
    assert check.verdict is Verdict.PROBLEM
    assert "is empty, but psm knows 3 files" in check.finding


def test_an_empty_root_that_held_nothing_is_fine(patient: Patient) -> None:
    patient.add_music()
    assert patient.check("library my music").verdict is Verdict.OK


def test_a_mount_inside_a_library_is_named(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    patient.add_music()
    monkeypatch.setattr(doctor, "mounts_below", lambda root: [root + b"/usb"])
    check = patient.check("library my music")
    assert (check.verdict, check.finding.split(" is a mount")[0]) == (Verdict.NOTE, f"{patient.music}/usb")


@pytest.mark.parametrize(
    ("content", "said"), [(b"no database at all" * 300, "is not a psm database"), (None, "cannot be opened")]
)
def test_a_database_that_cannot_be_opened_does_not_end_the_examination(
    patient: Patient, content: bytes | None, said: str
) -> None:
    patient.path.mkdir() if content is None else patient.path.write_bytes(content)
    check = patient.check("database")
    assert check.verdict is Verdict.PROBLEM
    assert said in check.finding
    assert patient.check("report").verdict is Verdict.OK


def test_a_damaged_database_says_how_it_is_built_again(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "check", lambda _: ("row 7 missing from index",))
    check = patient.check("database")
    assert check.verdict is Verdict.PROBLEM
    assert "row 7 missing" in check.finding
    assert "psm build" in check.remedy


def test_a_database_on_a_network_drive_is_noted(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    from psm.filesystems import FileSystem

    network = FileSystem("nfs4", is_local=False, keeps_inodes=False, delivers_events=False, mount_point=b"/mnt")
    monkeypatch.setattr(doctor, "filesystem_of", lambda _: network)
    assert "nfs4" in patient.check("database").finding


def test_a_broken_libraries_yaml_is_a_problem_and_not_the_end(patient: Patient) -> None:
    patient.config.folder.mkdir()
    (patient.config.folder / "libraries.yaml").write_text("libraries: [")
    check = patient.check("libraries")
    assert check.verdict is Verdict.PROBLEM
    assert "is not YAML" in check.finding
    assert patient.check("report").verdict is Verdict.OK


def test_a_configured_folder_that_is_away_is_noted(patient: Patient) -> None:
    away = LibraryConfig(paths=(NamedPath(patient.folder / "away"),))
    check = patient.check("libraries", replace(patient.config, library=away))
    assert (check.verdict, "is not there" in check.finding) == (Verdict.NOTE, True)


def test_broken_and_useless_decisions_are_named(patient: Patient) -> None:
    patient.config.folder.mkdir()
    file = patient.config.folder / "psm-overrides.yaml"
    file.write_text("{")
    assert patient.check("decisions").verdict is Verdict.PROBLEM
    file.write_text("overrides:\n  - nonsense: 1\n")
    check = patient.check("decisions")
    assert check.verdict is not Verdict.OK


def test_a_file_in_the_place_of_a_folder_is_a_problem(patient: Patient) -> None:
    (patient.folder / "reports").write_text("")
    check = patient.check("report")
    assert check.verdict is Verdict.PROBLEM
    assert "cannot be written: Not a directory" in check.finding


def test_a_folder_that_psm_will_make_is_fine_and_says_where(patient: Patient) -> None:
    profile = ExportProfile("car", patient.folder / "new" / "deep")
    check = patient.check("profile car", replace(patient.config, export=ExportConfig((profile,))))
    assert check.verdict is Verdict.OK
    assert check.finding == f"{patient.folder}/new/deep is not there yet; psm makes it in {patient.folder}"


def test_a_system_that_writes_names_in_another_encoding_is_noted(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    assert "PYTHONUTF8=1" in patient.check("names").remedy


IMPORTS = """
import tempfile, yaml
from psm.services.doctor import _outputs, _library
from psm.services.libraries import LibraryState
from psm.models import Library
from psm.config import Config, ReportConfig
"""
CODE = """
folder = Path(sys.argv[1])
for check in _outputs(Config(folder=folder, report=ReportConfig(folder=folder / "closed" / "reports"))):
    print(check.verdict, check.finding)
for check in _library(LibraryState(Library(1, "m", os.fsencode(folder / "hidden")), 0, 0, True)):
    print(check.verdict, check.finding)
"""


def test_what_this_account_may_not_do_is_found() -> None:
    with shared_folder() as folder:
        (folder / "closed").mkdir(mode=0o555)
        (folder / "hidden").mkdir(mode=0o000)
        report, own, library = as_nobody(IMPORTS, CODE, folder).splitlines()
    assert report.startswith("problem")
    assert report.endswith(f"cannot be written: Permission denied ({folder}/closed)")
    assert own.startswith("ok")
    assert library.endswith("hidden cannot be read: Permission denied")
