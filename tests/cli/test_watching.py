"""What watching commands share: their options, what they print, and when they end."""

import errno
import json
import sys
import threading
from io import StringIO
from pathlib import Path

import pytest

from psm.cli import watching
from psm.cli.watching import printer, run_until_stopped
from psm.errors import ExitCode
from psm.services.watch_events import WatchEvent, WatchEventKind
from tests.cli.conftest import Cli
from tests.factories import write_flac

EVENT = WatchEvent(WatchEventKind.READY, "Watching music: events.", 1_700_000_000.0, library="music")


class Output(StringIO):
    """A stream that fails as it is told to."""

    def __init__(self, problem: OSError) -> None:
        super().__init__()
        self.problem = problem

    def flush(self) -> None:
        raise self.problem


def test_an_event_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    printer(as_json=True, stop=threading.Event())(EVENT)
    said = json.loads(capsys.readouterr().out)
    assert said.pop("at").startswith("2023-11-1")
    assert said == {"event": "ready", "text": "Watching music: events.", "library": "music"}


def test_people_get_a_line_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    printer(as_json=False, stop=threading.Event())(EVENT)
    assert capsys.readouterr().out.endswith("  Watching music: events.\n")


@pytest.mark.parametrize("as_json", [True, False])
def test_it_ends_when_nobody_reads_any_more(as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    monkeypatch.setattr(sys, "stdout", Output(BrokenPipeError()))
    printer(as_json=as_json, stop=stop)(EVENT)
    assert stop.is_set()


@pytest.mark.parametrize("as_json", [True, False])
def test_a_log_on_a_full_disk_does_not_end_it(as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    monkeypatch.setattr(sys, "stdout", Output(OSError(errno.ENOSPC, "No space left on device")))
    printer(as_json=as_json, stop=stop)(EVENT)
    assert not stop.is_set()


def test_a_file_is_not_watched(cli: Cli) -> None:
    song = write_flac(cli.home / "Music" / "song.flac")
    assert "Name the one that it lies in" in cli("scan", song, "--watch", code=2).err


class Part:
    """Something that runs until it is stopped, or as long as it likes."""

    def __init__(self, said: list[str], name: str, *, runs: bool = True, starts: bool = True) -> None:
        self.said = said
        self.name = name
        self.runs = runs
        self.starts = starts

    def start(self) -> None:
        if not self.starts:
            raise RuntimeError(self.name)
        self.said.append(f"start {self.name}")

    def stop(self, timeout_s: float = 5.0) -> None:
        assert 0 < timeout_s < 5
        self.said.append(f"stop {self.name}")

    def is_running(self) -> bool:
        return self.runs


def test_to_be_told_to_stop_is_a_success() -> None:
    said: list[str] = []
    stop = threading.Event()
    stop.set()
    assert run_until_stopped([Part(said, "one"), Part(said, "two")], stop) is ExitCode.DONE
    assert said == ["start one", "start two", "stop one", "stop two"]


def test_a_part_that_ends_by_itself_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_LOOK_S", 0.01)
    said: list[str] = []
    code = run_until_stopped([Part(said, "one"), Part(said, "two", runs=False)], threading.Event())
    assert code is ExitCode.FAILED
    assert said[-2:] == ["stop one", "stop two"]


def test_what_was_started_is_stopped_when_the_next_cannot_start() -> None:
    said: list[str] = []
    before = threading.excepthook
    with pytest.raises(RuntimeError, match="two"):
        run_until_stopped([Part(said, "one"), Part(said, "two", starts=False)], threading.Event())
    assert said == ["start one", "stop one"]
    assert threading.excepthook is before


def test_the_dead_thread_of_a_library_shows_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()

    class Dying(Part):
        def start(self) -> None:
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()
            stop.set()

    run_until_stopped([Dying([], "dying")], stop)
    assert "Traceback" not in capsys.readouterr().err


def test_options_need_watch(cli: Cli, tmp_path: Path) -> None:
    assert "need --watch" in cli("scan", tmp_path, "--debounce", "3", code=2).err
    assert "exclude each other" in cli("scan", "--watch", "--debounce", "3", "--no-debounce", code=2).err
    assert "exclude each other" in cli("scan", "--watch", "--quick", code=2).err
