import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psm.cli import render
from psm.progress import Progress
from tests.factories import write_flac
from tests.running import Psm

ODD = "a\x1b[31mred\nnext\u202ertl\tx\x00\x07\x9b"


class Stuck(io.StringIO):
    """A stream whose other end is gone."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


# Names


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Björk – 音楽", "Björk – 音楽"),
        ("ideographic\u3000space, no-break\u00a0space", "ideographic\u3000space, no-break\u00a0space"),
        ("👩\u200d🎤 می\u200cخواهم", "👩\u200d🎤 می\u200cخواهم"),
        ("a\x1b[31m", "a\\x1b[31m"),
        ("rtl\u202e\u2066", "rtl\\u202e\\u2066"),
        ("bell\x07 nul\x00 csi\x9b", "bell\\x07 nul\\x00 csi\\x9b"),
        ("tab\there", "tab\\there"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("cr\rover", "cr\\rover"),
        ("bytes\udcff", "bytes\\udcff"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_what_could_command_a_terminal_is_escaped_and_every_script_stays(text: str, shown: str) -> None:
    assert render.printable(text) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/music/a.mp3", "/music/a.mp3"),
        ("/music/é".encode(), "/music/é"),
        (b"/music/caf\xe9", "/music/caf\\xe9"),
        (b"/a\nb", "/a\\nb"),
        (b"/\x1b]0;title\x07", "/\\x1b]0;title\\x07"),
    ],
)
def test_a_path_is_one_line_of_text(path: bytes, shown: str) -> None:
    assert render.shown_path(path) == shown


@given(st.binary(max_size=30).filter(lambda path: b"\0" not in path))
def test_a_path_in_json_gives_its_bytes_back(path: bytes) -> None:
    document = json.dumps(render.json_path(path), ensure_ascii=True)
    assert document.isascii()
    assert os.fsencode(json.loads(document)) == path


@given(st.text(max_size=50))
def test_nothing_that_is_printed_holds_a_control_character(text: str) -> None:
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", render.printable(text))


# Lines


def test_results_go_to_stdout_and_everything_else_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    render.line("result\x1b")
    render.lines(["one", "two"])
    render.line()
    render.note("note\x1b")
    render.error("failed\x1b")
    render.waiting("psm scan, process 1")
    out, err = capsys.readouterr()
    assert out == "result\\x1b\none\ntwo\n\n"
    assert err == "note\\x1b\nError: failed\\x1b\nWaiting until it is done: psm scan, process 1.\n"


def test_that_nobody_reads_the_notes_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Stuck())
    render.note("unheard")
    render.error("unheard")


def test_json_is_one_ascii_document(capsys: pytest.CaptureFixture[str]) -> None:
    render.as_json({"name": "é\udcff\x1b", "none": None})
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.endswith("}\n")
    assert json.loads(out) == {"name": "é\udcff\x1b", "none": None}


# Tables


def test_a_table_in_a_pipe_is_cut_nowhere_and_has_one_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    render.table(("Name", "Count", "Note"), [(ODD, 7, None), (long, 12_000, "[bold]no markup[/bold]")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["Name", "Count", "Note"]
    assert lines[1].startswith("a\\x1b[31mred\\nnext\\u202ertl\\tx\\x00\\x07\\x9b")
    assert long in lines[2]
    assert "[bold]no markup[/bold]" in lines[2]
    assert lines[1].index("    7") + 5 == lines[2].index("12000") + 5  # numbers end below each other
    assert not any(line.endswith(" ") for line in lines)


def test_a_table_may_be_empty_and_have_a_title(capsys: pytest.CaptureFixture[str]) -> None:
    render.table(("A", "B"), [], title="Longer\nthan the table")
    assert capsys.readouterr().out.splitlines() == ["Longer\\nthan the table", "A  B"]


# Progress


def test_quiet_means_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with render.progress(quiet=True) as show:
        show(Progress("Reading", 1, 2))
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_plain_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 31.0, 32.0, 60.0, 62.0])
    monkeypatch.setattr("psm.cli.render.time.monotonic", lambda: next(clock))
    with render.progress(quiet=False) as show:
        show(Progress("Reading", 1, 2000))
        show(Progress("Reading", 1500, 2000, "a\x1b.mp3"))
        show(Progress("Reading", 1600, 2000))
        show(Progress("Looking", 1700))
        show(Progress("Looking", 1800))
    assert capsys.readouterr().err == "Reading: 1,500 of 2,000 a\\x1b.mp3\nLooking: 1,800\n"


def on_a_terminal(psm: Psm, *arguments: str, **env: str) -> str:
    """What psm writes to a terminal that is its stderr and stdout."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        psm.command(*arguments),
        env={**psm.environment, "TERM": "xterm", **env},
        cwd=psm.home,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux says so when the last process has closed its end
                break
            if not piece:
                break
            written += piece
        os.close(ours)
        assert process.wait(60) == 0
    return written.decode()


@pytest.fixture
def music(psm: Psm) -> Path:
    for number in range(30):
        write_flac(psm.home / "Music" / f"{number}.flac", title=f"Title {number}")
    return psm.home / "Music"


@pytest.mark.parametrize("columns", ["80", "40", "15"])
def test_a_terminal_gets_a_bar_that_goes_away(psm: Psm, music: Path, columns: str) -> None:
    written = on_a_terminal(psm, "scan", "Music", COLUMNS=columns)
    shown, _, after = written.partition("\x1b[?25h")  # a bar hides the cursor, and shows it again
    assert "\x1b[?25l" in shown
    assert after.startswith("\r\x1b[1A\x1b[2K")  # and takes its lines away
    assert after.splitlines()[-1].startswith("Scan: 30 files in ")
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)
    if columns == "80":
        assert "Reading" in plain
        assert "30/30" in plain


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_shows_the_rate_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with render.progress(quiet=False) as show:
        for done in range(5):
            show(Progress("Reading", done * 100, 1000))
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert re.search(r"Reading .* 400/1000 +[\d,]+/s +\d:\d\d:\d\d", plain)


@pytest.mark.parametrize(("arguments", "env"), [(("--quiet",), {}), ((), {"TERM": "dumb"})])
def test_no_bar_where_none_is_wanted_or_can_be(
    psm: Psm, music: Path, arguments: tuple[str, ...], env: dict[str, str]
) -> None:
    assert "\x1b" not in on_a_terminal(psm, "scan", "Music", *arguments, **env)


def test_a_table_on_a_terminal_keeps_within_its_width(psm: Psm, music: Path) -> None:
    psm("scan", music)
    for columns, color in (("40", "NO_COLOR"), ("60", "COLORTERM")):
        written = on_a_terminal(psm, "status", COLUMNS=columns, **{color: "1"})
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written).replace("\r", "")
        table = plain.partition("\n\n")[0].splitlines()
        assert max(map(len, table)) <= int(columns)
        assert "\x1b[1m" in written  # headings are bold


def test_names_cannot_break_a_table_or_the_terminal(psm: Psm) -> None:
    folder = psm.home / "Music"
    folder.mkdir()
    for raw in (b"new\nline.flac", b"esc\x1b[2J.flac", "rtl\u202egnp.flac".encode(), b"\xff\xfe.flac"):
        write_flac(os.fsencode(folder) + b"/" + raw, title=os.fsdecode(raw).encode("utf-8", "replace").decode())
    psm("scan", folder)
    done = psm("files")
    assert len(done.stdout.splitlines()) == 5
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", done.stdout)
    assert "\x1b[2J" not in on_a_terminal(psm, "files")
    (folder / os.fsdecode(b"new\nline.flac")).write_bytes(b"broken")
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", psm("scan", "--quick").stderr)
    assert "is not there" in psm("scan", psm.home / "a\nb", code=2).stderr.splitlines()[0]
