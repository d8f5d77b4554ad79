import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from psm.cli import _explain, app, hoist_global_options, run
from psm.cli.session import Session, exit_code, session, stoppable
from psm.db import Database
from psm.errors import ExitCode, Interrupted, PsmError, RefusedError, UsageError
from psm.locks import hold
from tests.cli.conftest import Cli
from tests.factories import add_file, write_flac
from tests.running import Psm, kill_group

HEAVY = ("mutagen", "rapidfuzz", "yaml", "sqlite3", "jinja2", "watchdog", "platformdirs", "psm.db", "psm.ingest")


def fill(psm: Psm, count: int) -> None:
    """A database with so many files that a listing is larger than any pipe."""
    psm.data_folder.mkdir(parents=True)
    with Database(psm.database) as db, db.transaction():
        for number in range(count):
            add_file(db, f"{number}.mp3", title=f"Title {number}", album="A long name " * 20)


# Exit codes and errors


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PsmError("It broke."), 1, "Error: It broke.\n"),
        (UsageError("Wrong."), 2, "Error: Wrong.\n"),
        (RefusedError("No."), 3, "Error: No.\n"),
        (Interrupted("Stopped."), 130, "Error: Stopped.\n"),
        (KeyboardInterrupt(), 130, "Error: Interrupted. What was done so far is kept.\n"),
        (typer.Abort(), 130, "Error: Interrupted. What was done so far is kept.\n"),
        (BrokenPipeError(), 0, ""),
        (OSError(28, "No space left on device"), 1, "Error: No space left on device. What was done so far is kept.\n"),
        (PermissionError(13, "Permission denied", b"/a\xff"), 1, "Error: Permission denied (/a\\udcff). What was"),
        (ZeroDivisionError("x"), 1, "Error: psm has a defect here (ZeroDivisionError: x). What was committed"),
        (SystemExit(7), 7, ""),
        (SystemExit(), 0, ""),
    ],
)
def test_whatever_ends_a_command_becomes_a_sentence_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _explain(error) == code
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert bool(err) is bool(said)


def test_a_pipe_that_rich_found_closed_is_no_failure() -> None:
    closed = SystemExit(1)
    closed.__context__ = BrokenPipeError()
    assert _explain(closed) == ExitCode.DONE


def test_a_defect_shows_its_traceback_only_on_request(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Session, "config", lambda _: 1 / 0)
    assert run(["status"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("PSM_DEBUG", "1")
    assert run(["status"]) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "Please report it" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("scan", "--nonsense"),
        ("library", "add"),
        ("library", "move", "one"),
        ("scan", "--since", "some day"),
        ("scan", "--since", "2 hours ago", "--quick"),
        ("export", "--mode", "nonsense"),
        ("diagnose", "1", "--limit", "0"),
        ("--config", "absent.yaml", "status"),
        ("scan",),
        ("build",),
        ("files",),
        ("library", "remove", "NAS"),
        ("library", "add", "absent"),
        ("build", "--library", "absent"),
    ],
)
def test_wrong_use_is_exit_code_2_and_says_what_is_wrong(cli: Cli, arguments: tuple[str, ...]) -> None:
    said = cli(*arguments, code=2)
    assert said.out == ""
    assert said.err.strip()


def test_a_wrong_command_suggests_the_right_one(cli: Cli) -> None:
    assert "Did you mean 'scan'" in cli("scam", code=2).err


def test_a_library_that_is_away_is_exit_code_1(cli: Cli) -> None:
    write_flac(cli.home / "Music" / "a.flac")
    cli("scan", "Music")
    (cli.home / "Music").rename(cli.home / "away")
    assert "away" in cli("library", "list").out
    cli("scan", code=1)


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ({}, 0),
        ({"failed": True}, 1),
        ({"refused": True, "failed": True}, 3),
        ({"stopped": True, "refused": True, "failed": True}, 130),
    ],
)
def test_of_several_reasons_the_gravest_counts(results: dict[str, bool], code: int) -> None:
    assert exit_code(**results) == code


# Global options


@pytest.mark.parametrize(
    ("given", "hoisted"),
    [
        (["scan", "--quiet"], ["--quiet", "scan"]),
        (["scan", "-q", "x"], ["-q", "scan", "x"]),
        (["scan", "x", "--config", "c.yaml"], ["--config", "c.yaml", "scan", "x"]),
        (["scan", "--database=d.db", "x"], ["--database=d.db", "scan", "x"]),
        (["scan", "--", "--quiet"], ["scan", "--", "--quiet"]),
        (["scan", "--config"], ["--config", "scan"]),
        (["--quiet", "scan", "--quick"], ["--quiet", "scan", "--quick"]),
        ([], []),
    ],
)
def test_global_options_may_follow_the_command(given: list[str], hoisted: list[str]) -> None:
    assert hoist_global_options(given) == hoisted


def test_the_named_configuration_and_database_are_used_on_either_side(cli: Cli) -> None:
    (cli.home / "other.yaml").write_text("match: {threshold: 0.5}\n")
    for arguments in (["--config", "other.yaml", "config", "show"], ["config", "show", "--config", "other.yaml"]):
        settings = {s["key"]: s["value"] for s in cli.json(*arguments)["settings"]}
        assert settings["match.threshold"] == 0.5
    cli("status", "--database", "mine.db")
    cli("--database", "mine.db", "status")
    assert (cli.home / "mine.db").is_file()
    assert not cli.data_folder.exists()


def test_a_command_outside_of_psm_has_a_session_of_its_own() -> None:
    context = typer.Context(typer.main.get_command(app.app))
    assert session(context) == Session()


# Help, version, completion


def test_the_version_is_one_line(cli: Cli) -> None:
    assert cli("--version").out.startswith("psm 0.")


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_a_help_with_examples(cli: Cli, flag: str) -> None:
    lines = [line.strip() for line in cli("scan", flag).out.splitlines()]
    examples = lines.index("Examples:")
    assert lines[examples + 1 : examples + 3] == ["psm scan ~/Music", "psm scan --quick"]
    assert "build" in cli(flag).out


@pytest.mark.parametrize("arguments", [(), ("library",), ("playlist",), ("config",)])
def test_a_group_alone_shows_its_help(cli: Cli, arguments: tuple[str, ...]) -> None:
    said = cli(*arguments, code=2)
    assert ("Commands" in said.out, said.err) == (True, "")


def test_starting_stays_light(psm: Psm) -> None:
    program = (
        "import sys; before = set(sys.modules); from psm.cli import run; code = run(['--version']); "
        f"print(code, [m for m in {HEAVY!r} if m in set(sys.modules) - before])"  # coverage has loaded some itself
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=psm.environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[1] == "0 []"


SHELLS = {
    "bash": {"_PSM_COMPLETE": "complete_bash", "COMP_WORDS": "psm sc", "COMP_CWORD": "1"},
    "zsh": {"_PSM_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "psm sc"},
    "fish": {
        "_PSM_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_ARGS": "psm sc",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    },
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_without_touching_the_database(
    cli: Cli, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SHELLS[shell].items():
        monkeypatch.setenv(name, value)
    said = cli()
    assert "scan" in said.out
    assert "status" not in said.out
    assert list(cli.home.iterdir()) == []


def test_options_are_completed_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SHELLS["bash"], "COMP_WORDS": "psm library add --na", "COMP_CWORD": "3"}.items():
        monkeypatch.setenv(name, value)
    assert cli().out.split() == ["--name"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_each_shell_asks_psm(cli: Cli, shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: shell)
    assert "_PSM_COMPLETE=complete_" + shell in cli("--show-completion").out


# Streams


@pytest.mark.parametrize("arguments", ["files --json", "files", "--help", "config show --json", "files nothing"])
def test_a_reader_that_has_seen_enough_is_no_error(psm: Psm, arguments: str) -> None:
    fill(psm, 3000)
    process = psm.start(*arguments.split())
    assert process.stdout is not None
    assert process.stderr is not None
    if arguments.startswith("files nothing"):
        process.stdout.close()  # before anything was written
    else:
        process.stdout.read(1)
        process.stdout.close()
    assert process.wait(60) == 0
    assert "Error" not in (said := process.stderr.read())
    assert "Traceback" not in said
    process.stderr.close()


CLOSED = ["--version", "--help", "files", "files --json", "status", "scan Music", "config path", "library add Music"]


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_stop_no_command(psm: Psm, streams: str) -> None:
    write_flac(psm.home / "Music" / "a.flac")
    fill(psm, 1)
    for arguments in CLOSED:
        line = f"{sys.executable} -m psm {arguments} {streams}"
        done = subprocess.run(["sh", "-c", line], env=psm.environment, cwd=psm.home, capture_output=True, check=False)
        assert (arguments, done.returncode) == (arguments, 0)
        assert b"Traceback" not in done.stderr
        assert b"Exception" not in done.stderr


def test_the_database_never_gets_the_number_of_a_closed_stream(psm: Psm) -> None:
    program = (
        "import os, psm.cli; psm.cli._open_standard_streams(); "
        "assert all(os.path.samestat(os.fstat(n), os.stat(os.devnull)) for n in range(3)); "
        "assert os.open(os.devnull, os.O_RDONLY) > 2"
    )
    line = f'{sys.executable} -c "{program}" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", line], env=psm.environment, check=False).returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
@pytest.mark.parametrize("arguments", ["files", "files --json", "--help", "--version", "config show"])
def test_output_that_cannot_be_written_is_a_failure_with_a_sentence(psm: Psm, arguments: str) -> None:
    fill(psm, 1)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            psm.command(*arguments.split()),
            env=psm.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "Error: No space left on device. What was done so far is kept.\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
def test_notes_that_cannot_be_written_stop_nothing(psm: Psm) -> None:
    write_flac(psm.home / "Music" / "a.flac")
    with open("/dev/full", "w") as full:
        for arguments, code in (("scan Music", 0), ("nonsense", 2), ("library add absent", 2)):
            done = subprocess.run(
                psm.command(*arguments.split()),
                env=psm.environment,
                cwd=psm.home,
                stdout=subprocess.PIPE,
                stderr=full,
                check=False,
            )
            assert done.returncode == code


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
        {"TERM": "dumb", "COLUMNS": "40"},
        {"NO_COLOR": "1", "COLUMNS": "10"},
    ],
)
def test_no_encoding_or_terminal_ends_a_command(psm: Psm, env: dict[str, str]) -> None:
    music = psm.home / "Music"
    write_flac(music / "日本.flac", title="音楽", artist="Björk\u202e")
    (music / os.fsdecode(b"caf\xe9.flac")).write_bytes((music / "日本.flac").read_bytes())
    for arguments in ("scan Music", "files", "files --json", "status", "doctor", "library list", "--help"):
        psm(*arguments.split(), env=env)
    found = json.loads(psm("files", "--json", env=env).stdout)
    assert {os.fsencode(f["path"]) for f in found} == {
        os.fsencode(music / "日本.flac"),
        os.fsencode(music) + b"/caf\xe9.flac",
    }


# Ctrl-C


INTERRUPTED = {
    "scan": "psm.services.scanning.scan",
    "build": "psm.services.pipeline.build",
    "match": "psm.services.matching.match_tracks",
    "export": "psm.export.export_playlists",
    "report": "psm.report.write_report",
    "status": "psm.services.status.status",
    "doctor": "psm.services.doctor.examine",
    "files": "psm.db.file_search.search",
    "matches": "psm.db.playlists.all_playlists",
    "playlist list": "psm.db.playlists.all_playlists",
    "playlist import x.csv": "psm.services.playlists.import_playlists",
    "library list": "psm.services.libraries.list_libraries",
    "config show": "psm.config.resolve",
}


@pytest.mark.parametrize("command", INTERRUPTED)
def test_ctrl_c_ends_every_command_with_130_and_a_sentence(
    cli: Cli, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_flac(cli.home / "Music" / "a.flac")
    cli("library", "add", "Music")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(INTERRUPTED[command], interrupt)
    said = cli(*command.split(), code=130)
    assert said.err.endswith("Error: Interrupted. What was done so far is kept.\n")


@pytest.mark.parametrize(
    ("command", "number"),
    [
        *(("scan", signal.SIGINT), ("scan", signal.SIGTERM)),
        *(("build", signal.SIGINT), ("build", signal.SIGTERM)),
        ("library remove Music", signal.SIGINT),
    ],
)
def test_a_signal_ends_the_waiting_for_another_psm(psm: Psm, command: str, number: signal.Signals) -> None:
    write_flac(psm.home / "Music" / "a.flac")
    psm("library", "add", "Music")
    with hold(psm.database.with_name("psm.db.scan.lock"), what="psm scan"):
        process = psm.start(*command.split())
        assert process.stderr is not None
        waiting = process.stderr.readline()
        kill_group(process, number)
        _, err = process.communicate(timeout=60)
    assert waiting.startswith(f"Waiting until it is done: psm scan, process {os.getpid()}")
    assert process.returncode == 130
    assert err.startswith("Error: ")
    assert "Traceback" not in err
    assert psm.json("library", "list")[0]["name"] == "Music"


def test_a_second_ctrl_c_ends_the_waiting_for_a_locked_database(psm: Psm) -> None:
    write_flac(psm.home / "Music" / "a.flac")
    psm("library", "add", "Music")
    raw = sqlite3.connect(psm.database, isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    process = psm.start("match")
    deadline = time.monotonic() + 60
    while not _has_open(process.pid, psm.database):
        assert process.poll() is None
        assert time.monotonic() < deadline
    while process.poll() is None and time.monotonic() < deadline:
        kill_group(process, signal.SIGINT)
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    _, err = process.communicate(timeout=60)
    raw.execute("ROLLBACK")
    raw.close()
    assert "Traceback (most recent call last)\n" not in err
    assert process.returncode == 130


def _has_open(pid: int, path: Path) -> bool:
    """Whether a process has opened a file: Python has started then, and psm is at work."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(entry.readlink())
    return path.resolve() in found


def test_the_first_signal_asks_and_the_second_interrupts() -> None:
    with stoppable() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_signal_that_is_ignored_stays_ignored_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable() as stop:
            assert signal.getsignal(signal.SIGTERM) is not before
            signal.raise_signal(signal.SIGINT)
            assert not stop.is_set()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGINT, kept)


def test_a_database_on_a_network_drive_has_no_wal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from psm.filesystems import FileSystem

    network = FileSystem("nfs4", is_local=False, keeps_inodes=False, delivers_events=False, mount_point=b"/mnt")
    monkeypatch.setattr("psm.filesystems.filesystem_of", lambda _: network)
    config = Session().config()
    with Session().database(config) as db:
        assert db.connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_an_error_of_the_database_in_a_command_becomes_a_sentence(cli: Cli) -> None:
    def drop_a_table(path: Path) -> None:
        raw = sqlite3.connect(path)
        raw.execute("DROP TABLE playlist_tracks")
        raw.commit()
        raw.close()

    cli("status")
    drop_a_table(cli.data_folder / "psm.db")
    assert "The database reports an error" in cli("status", code=1).err
