import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from psm.cli import run
from psm.cli.export_commands import with_flags
from psm.config import ExportConfig, ExportMode, ExportProfile, PlaylistFormat
from psm.db import Database
from psm.errors import ExitCode, UsageError
from tests.factories import add_playlist

Command = Callable[..., ExitCode]


@pytest.fixture
def psm(tmp_path: Path) -> Command:
    """Runs psm with a configuration of two profiles and a database that holds one playlist."""
    profiles = f"car: {{folder: {tmp_path / 'car'}}}, phone: {{folder: {tmp_path / 'phone'}, format: xspf}}"
    (tmp_path / "psm.yaml").write_text(
        f"database: {{path: {tmp_path / 'psm.db'}}}\nexport: {{profiles: {{{profiles}}}}}\n"
    )
    with Database(tmp_path / "psm.db") as db:
        add_playlist(db, "A - One", "B - Two")

    def command(*arguments: str) -> ExitCode:
        return ExitCode(run(["--config", str(tmp_path / "psm.yaml"), "--quiet", "export", *arguments]))

    return command


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_it_writes_for_every_profile_and_says_where(
    psm: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert psm() is ExitCode.DONE
    out = capsys.readouterr().out
    assert "2 written, 0 unchanged, 0 removed." in out
    assert str(tmp_path / "car" / "Mix.m3u8") in out
    assert (tmp_path / "phone" / "Mix.xspf").exists()


def test_json_is_one_document(psm: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert psm("--json") is ExitCode.DONE
    document = printed(capsys)
    assert document["written"] == 2
    assert document["playlists"][0] == {
        "profile": "car",
        "playlist": "Mix",
        "path": str(tmp_path / "car" / "Mix.m3u8"),
        "outcome": "written",
        "tracks": 2,
        "found": 0,
        "missing": 2,
        "unusable": [],
        "backup": None,
        "note": None,
    }
    assert (document["removed"], document["left"], document["problems"], document["complete"]) == ([], [], [], True)


def test_one_profile_with_another_mode(psm: Command, tmp_path: Path) -> None:
    assert psm("--profile", "car", "--mode", "mirrored") is ExitCode.DONE
    assert "#MISSING:A - One" in (tmp_path / "car" / "Mix.m3u8").read_text()
    assert not (tmp_path / "phone").exists()


def test_a_folder_just_this_once(psm: Command, tmp_path: Path) -> None:
    assert psm("--to", str(tmp_path / "once"), "--format", "m3u") is ExitCode.DONE
    assert (tmp_path / "once" / "Mix.m3u").exists()
    assert psm("--to", str(tmp_path / "twice"), "--profile", "phone") is ExitCode.DONE
    assert (tmp_path / "twice" / "Mix.xspf").exists()
    assert not (tmp_path / "phone").exists()


def test_what_is_left_alone_is_named_with_what_to_do(
    psm: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "car").mkdir()
    (tmp_path / "car" / "Mix.m3u8").write_text("mine")
    assert psm() is ExitCode.DONE
    assert "psm export --overwrite" in capsys.readouterr().err
    assert psm("--overwrite") is ExitCode.DONE
    assert "is now" in capsys.readouterr().err
    assert (tmp_path / "car" / "Mix.m3u8.bak").read_text() == "mine"


def test_the_file_of_a_gone_playlist_that_was_edited_is_named(
    psm: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    psm()
    (tmp_path / "car" / "Mix.m3u8").write_text("mine")
    with Database(tmp_path / "psm.db") as db, db.transaction() as connection:
        connection.execute("UPDATE playlists SET status = 'missing'")
    assert psm("--json") is ExitCode.DONE
    capsys.readouterr()
    (tmp_path / "phone").mkdir(exist_ok=True)
    assert (tmp_path / "car" / "Mix.m3u8").read_text() == "mine"


def test_a_folder_that_cannot_be_written_fails_and_is_named(
    psm: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "car").touch()
    assert psm() is ExitCode.FAILED
    assert f"car: {tmp_path / 'car'}: cannot write there" in capsys.readouterr().err
    assert (tmp_path / "phone" / "Mix.xspf").exists()


def test_verify_names_what_does_not_resolve(psm: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert psm("--verify") is ExitCode.FAILED
    assert "not written; run psm export" in capsys.readouterr().out
    psm()
    capsys.readouterr()
    assert psm("--verify") is ExitCode.DONE
    assert capsys.readouterr().out == "2 playlist files, 0 lines: all lead to a file.\n"
    os.unlink(tmp_path / "car" / "Mix.m3u8")
    os.unlink(tmp_path / "phone" / "Mix.xspf")
    assert psm("--verify", "--json", "--profile", "car") is ExitCode.FAILED
    document = printed(capsys)
    assert [(p["path"], p["line"]) for p in document["problems"]] == [(str(tmp_path / "car" / "Mix.m3u8"), None)]


@pytest.mark.parametrize(
    ("names", "to", "message"),
    [
        (("cra",), None, 'no export profile "cra". Did you mean "car"'),
        (("zzz",), None, "There are: car, phone."),
        (("car", "phone"), Path("/x"), "--to takes one --profile"),
    ],
)
def test_wrong_use_says_what_is_right(names: tuple[str, ...], to: Path | None, message: str) -> None:
    cfg = ExportConfig((ExportProfile("car", Path("/car")), ExportProfile("phone", Path("/phone"))))
    with pytest.raises(UsageError, match=message):
        with_flags(cfg, names=names, to=to)


def test_no_profile_at_all_says_how_to_add_one() -> None:
    with pytest.raises(UsageError, match="psm export --to FOLDER"):
        with_flags(ExportConfig())
    with pytest.raises(UsageError, match="There are: none"):
        with_flags(ExportConfig(), names=["car"])


def test_flags_win_over_the_configuration_for_the_chosen_profiles_only() -> None:
    cfg = ExportConfig((ExportProfile("a", Path("/a")), ExportProfile("b", Path("/b"))))
    changed = with_flags(cfg, names=["b"], mode=ExportMode.MIRRORED, file_format=PlaylistFormat.XSPF)
    assert changed.profiles[0] == cfg.profiles[0]
    assert (changed.profiles[1].mode, changed.profiles[1].format) == (ExportMode.MIRRORED, PlaylistFormat.XSPF)
