"""What all watching commands share: their options, what they print, and how they end."""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from psm.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from psm.services.watch_events import WatchEvent

STOP_WITHIN_S = 4.5
"""A watcher ends within 5 s of being told to, Python's own end included."""

_LOOK_S = 5.0
"""How often the main thread looks whether all is well; a signal wakes it at once."""

WatchOption = Annotated[bool, typer.Option("--watch", help="Keep running, and follow every change.")]
DebounceOption = Annotated[
    float | None,
    typer.Option(help="With --watch: how long a changed file must be quiet before it is read.", metavar="SECONDS"),
]
NoDebounceOption = Annotated[
    bool, typer.Option("--no-debounce", help="With --watch: read changed files at once, as --debounce 0.")
]
MaxWaitOption = Annotated[
    float | None,
    typer.Option("--max-wait", help="With --watch: how long a change waits at most.", metavar="SECONDS"),
]
PollOption = Annotated[
    bool | None,
    typer.Option(
        "--poll/--no-poll",
        help="With --watch: look on a timer instead of trusting events, or never; without, each library decides.",
    ),
]
IntervalOption = Annotated[
    float | None,
    typer.Option(help="With --watch: how long between two looks at a library that is polled.", metavar="SECONDS"),
]


def watch_settings(
    *,
    watch: bool,
    debounce: float | None,
    no_debounce: bool,
    max_wait: float | None,
    poll: bool | None,
    interval: float | None,
) -> dict[str, Any]:
    """The options as settings of the configuration.

    :raises UsageError: when they are given without ``--watch``, or contradict each other.
    """
    if not watch and (no_debounce or any(v is not None for v in (debounce, max_wait, poll, interval))):
        raise UsageError("--debounce, --no-debounce, --max-wait, --poll and --interval need --watch.")
    if no_debounce and debounce is not None:
        raise UsageError("--debounce and --no-debounce exclude each other.")
    settings = {
        "debounce_seconds": 0.0 if no_debounce else debounce,
        "max_wait_seconds": max_wait,
        "fallback_to_polling": None if poll is None else str(poll).lower(),
        "polling_interval": interval,
    }
    return {f"library__watch__{name}": value for name, value in settings.items()}


class Watching(Protocol):
    """Something that watches until it is stopped."""

    def start(self) -> None:
        """Begins."""
        ...

    def stop(self, timeout_s: float = ...) -> None:
        """Does what is pending, and ends, within ``timeout_s``."""
        ...

    def is_running(self) -> bool:
        """Whether it has not ended."""
        ...


def run_until_stopped(parts: Sequence[Watching], stop: threading.Event) -> ExitCode:
    """Starts the parts, in this order; when ``stop`` is set, stops them in the same order. Raises what a start raises.

    To be told to stop is how a watcher ends, so that is a success; it is a failure when a part ended by itself.
    """
    before = threading.excepthook
    threading.excepthook = _log
    started: list[Watching] = []
    try:
        for part in parts:
            part.start()
            started.append(part)
        while not stop.wait(_LOOK_S):
            if not all(part.is_running() for part in started):
                return ExitCode.FAILED
        return ExitCode.DONE
    finally:
        for number, part in enumerate(started):
            part.stop(STOP_WITHIN_S / len(started) if number else STOP_WITHIN_S * (0.6 if len(started) > 1 else 1.0))
        threading.excepthook = before


def printer(*, as_json: bool, stop: threading.Event) -> "Callable[[WatchEvent], None]":
    """Prints each event as a line with its time, or as one JSON document in a line. Sets ``stop`` when nobody reads."""

    def show(event: "WatchEvent") -> None:
        from psm.cli import render
        from psm.services.watch_events import WatchEventKind

        try:
            if as_json:
                render.json_line(event_json(event))
            elif event.kind in (WatchEventKind.ERROR, WatchEventKind.NOTE):
                render.note(_line(event))
            else:
                render.line_at_once(_line(event))
        except BrokenPipeError:
            stop.set()
        except OSError:
            pass  # the log lies on a disk that is full: no reason to watch no longer

    return show


def event_json(event: "WatchEvent") -> dict[str, object]:
    """One event as ``--json`` prints it; ``at`` is ISO 8601 with the offset from UTC."""
    document: dict[str, object] = {
        "event": str(event.kind),
        "at": datetime.fromtimestamp(event.at).astimezone().isoformat(timespec="milliseconds"),
        "text": event.text,
    }
    if event.library is not None:
        document["library"] = event.library
    if event.playlist is not None:
        document["playlist"] = event.playlist
    if event.stages:
        document["stages"] = list(event.stages)
    if event.scan is not None:
        from psm.cli.scan_commands import scan_json

        document["scan"] = scan_json(event.scan)
    return document


def _line(event: "WatchEvent") -> str:
    return f"{datetime.fromtimestamp(event.at):%H:%M:%S}  {event.text}"


def _log(failed: threading.ExceptHookArgs) -> None:
    """A thread of a library that dies is noticed by its owner; a person is shown no traceback."""
    value = failed.exc_value
    error = None if value is None else (failed.exc_type, value, failed.exc_traceback)
    logging.getLogger(__name__).info("the thread %s ended early", failed.thread, exc_info=error)
