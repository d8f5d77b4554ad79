"""What a watcher says, and what it does not say twice."""

from psm.ingest.library import ScanError, ScanResult
from psm.services.watch_events import WatchEvent
from psm.services.watch_log import WatchLog


def result(count: int, *, unfinished: tuple[bytes, ...] = ()) -> ScanResult:
    errors = tuple(ScanError(b"/music/%d.flac" % n, "cannot be read: Permission denied") for n in range(count))
    return ScanResult(errors=errors, unfinished=unfinished)


def test_errors_of_many_files_are_a_few_lines_and_are_not_said_again_at_the_next_look() -> None:
    said: list[WatchEvent] = []
    log = WatchLog(said.append, lambda: 1_000.0)
    log.scanned(result(1_500), library="music", whole=True)
    assert len(said) == 101
    assert said[0].text == "/music/0.flac: cannot be read: Permission denied"
    assert said[-1].text == "1,400 more could not be read. To see them all: psm scan --quick"
    for _ in range(3):
        log.scanned(result(1_500), library="music", whole=True)
    assert len(said) == 101


def test_that_there_are_more_errors_is_said_again_when_it_was_over_meanwhile() -> None:
    said: list[WatchEvent] = []
    log = WatchLog(said.append, lambda: 1_000.0)
    for count in (101, 100, 101):
        log.scanned(result(count), library="music", whole=True)
    assert [event.text for event in said[100:]] == ["1 more could not be read. To see them all: psm scan --quick"] * 2


def test_a_file_that_is_still_written_is_no_error() -> None:
    said: list[WatchEvent] = []
    log = WatchLog(said.append, lambda: 1_000.0)
    log.scanned(result(1, unfinished=(b"/music/0.flac",)), library="music", whole=False)
    assert said == []


def test_a_name_of_any_bytes_is_said_as_a_scan_says_it() -> None:
    said: list[WatchEvent] = []
    log = WatchLog(said.append, lambda: 1_000.0)
    log.scanned(
        ScanResult(errors=(ScanError(b"/music/caf\xe9.mp3", "the file is empty"),)), library="music", whole=True
    )
    assert [event.text for event in said] == ["/music/caf\\xe9.mp3: the file is empty"]
