"""The only place that prints: tables and sentences for people, JSON for programs, progress for whoever waits."""

import json
import os
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from psm import wording
from psm.progress import Progress, ProgressCallback, no_progress

if TYPE_CHECKING:
    from rich.progress import TaskID

_LOG_EVERY_S = 30.0
counted = wording.counted
_JOINERS = "\u200c\u200d"


def error(message: str) -> None:
    """A sentence on stderr that says what went wrong and what to do next."""
    _aside(f"Error: {message}")


def note(message: str) -> None:
    """A sentence on stderr that is no error."""
    _aside(message)


def waiting(holder: str) -> None:
    """Says for whom psm waits."""
    note(f"Waiting until it is done: {holder}.")


def _aside(message: str) -> None:
    # That nobody listens is no reason to end what is being done.
    with suppress(OSError):
        sys.stderr.write(f"{printable(message)}\n")


def line(message: str = "") -> None:
    """A line of the result."""
    sys.stdout.write(f"{printable(message)}\n")


def line_at_once(message: str) -> None:
    """A line of a result that has no end: whoever reads it gets it at once."""
    line(message)
    sys.stdout.flush()


def lines(messages: Iterable[str]) -> None:
    """Several lines of the result."""
    for message in messages:
        line(message)


def as_json(document: Any) -> None:
    """One JSON document. ASCII only: names that are no valid UTF-8 survive as surrogate escapes."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=True)
    sys.stdout.write("\n")


def json_line(document: Any) -> None:
    """One JSON document in one line, as one of many; whoever reads them gets each at once."""
    sys.stdout.write(json.dumps(document, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def json_path(path: bytes) -> str:
    """A path for JSON: ``os.fsencode`` of it gives the bytes back, whatever they are."""
    return os.fsdecode(path)


def shown_path(path: bytes) -> str:
    """A path for people, in one line: bytes that are no text, and characters that are no part of one, as escapes."""
    return _one_line(path.decode("utf-8", "backslashreplace"))


def printable(text: str) -> str:
    """``text`` without the characters by which a file name could command the terminal; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or _is_harmless(c) else _escape(c) for c in text)


def _is_harmless(c: str) -> bool:
    # Python calls the ideographic space of Japanese titles unprintable, and the joiners of emoji and of Persian.
    return c.isprintable() or c in _JOINERS or unicodedata.category(c) == "Zs"


def _escape(c: str) -> str:
    return c.encode("unicode_escape", "backslashreplace").decode()


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table on stdout. Numbers are set to the right; in a pipe, nothing is cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if title is not None:
        line(_one_line(title))
    body = [list(row) for row in rows]
    shown = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        right = any(isinstance(row[number], int | float) for row in body)
        shown.add_column(heading, justify="right" if right else "left", overflow="fold")
    for row in body:
        shown.add_row(*(Text(_one_line("" if cell is None else str(cell))) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False)
    for text in console.render_lines(shown, pad=False):
        sys.stdout.write(
            ("".join(s.text for s in text) if not console.is_terminal else _styled(console, text)).rstrip() + "\n"
        )


def _styled(console: Any, segments: Any) -> str:
    return "".join(s.style.render(s.text, color_system=console._color_system) if s.style else s.text for s in segments)


def _one_line(text: str) -> str:
    return printable(text).replace("\n", "\\n")


@contextmanager
def progress(*, quiet: bool) -> Iterator[ProgressCallback]:
    """A progress callback: a bar with rate and time left on a terminal, occasional lines in a log, nothing when
    quiet.
    """
    if quiet:
        yield no_progress
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bar() as callback:
            yield callback
    else:
        yield _log_lines()


@contextmanager
def _bar() -> Iterator[ProgressCallback]:
    from rich import progress as rp
    from rich.console import Console

    columns = (
        rp.TextColumn("{task.description}"),
        rp.BarColumn(),
        rp.MofNCompleteColumn(),
        rp.TextColumn("{task.fields[rate]}"),
        rp.TimeRemainingColumn(),
    )
    # stdout is not rich's to redirect: it may be a pipe while stderr is a terminal.
    with rp.Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        tasks: dict[str, TaskID] = {}

        def show(step: Progress) -> None:
            if step.stage not in tasks:
                for done in tasks.values():
                    bar.update(done, visible=False)
                tasks[step.stage] = bar.add_task(step.stage, total=step.total, rate="")
            speed = bar.tasks[tasks[step.stage]].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            bar.update(tasks[step.stage], completed=step.done, total=step.total, rate=rate)

        yield show


def _log_lines() -> ProgressCallback:
    last = time.monotonic()

    def show(step: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _LOG_EVERY_S:
            last = now
            of = f" of {step.total:,}" if step.total is not None else ""
            note(f"{step.stage}: {step.done:,}{of} {step.detail}".rstrip())

    return show
