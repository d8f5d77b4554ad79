"""What a run of the stages has to tell: which playlists changed and how, and what could not be done, in sentences.

A watcher gets this back from the process in which the stages ran, instead of their results: to unpickle those, it would
have to load what it keeps out of itself.
"""

import time
import zlib
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psm.config import Config
from psm.db import Database, coverage
from psm.errors import PsmError
from psm.export.result import Outcome
from psm.progress import NeverStop, ProgressCallback, StopSignal, no_progress
from psm.report import result as report
from psm.services.libraries import shown
from psm.services.stages import Stage, StagesResult, run_stages
from psm.wording import counted

if TYPE_CHECKING:
    from psm.export import ExportResult
    from psm.report import ReportResult
    from psm.services.overrides_state import OverridesResult
    from psm.services.playlists import ImportResult

_NONE = 0  # no row has this number


@dataclass(frozen=True, slots=True)
class PlaylistNews:
    """What is new about one playlist, as a sentence without its full stop."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class StageProblem:
    """Why a stage could not do all that it was to do."""

    stage: Stage
    text: str


@dataclass(frozen=True, slots=True)
class StagesNews:
    """``ran`` are the stages that had something to do, and ``summary`` what came of it. ``notes`` are no failures.

    ``failed`` are those that could not even be tried to their end. ``complete`` is false when it was stopped. ``after``
    is for the next run to compare with: see :func:`answers_now`.
    """

    ran: tuple[Stage, ...] = ()
    summary: str = ""
    playlists: tuple[PlaylistNews, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[StageProblem, ...] = ()
    failed: tuple[Stage, ...] = ()
    complete: bool = True
    after: bytes = b""


def answers_now(db: Database, *, as_matched: bool = False) -> bytes:
    """Which file answers each row of each playlist, packed small: a watcher keeps it to know later what changed.

    ``as_matched`` counts files that have gone missing since the last match.
    """
    numbers = array("q")
    with db.snapshot() as connection:
        for row in coverage.coverage(connection):
            numbers.extend((row.playlist_id, _NONE, _NONE))  # a playlist may have no rows
        for playlist, track, file in coverage.answers(connection, as_matched=as_matched):
            numbers.extend((playlist, track, _NONE if file is None else file))
    return zlib.compress(numbers.tobytes(), 1)


def run_and_tell(
    db: Database,
    config: Config,
    stages: Collection[Stage],
    before: bytes,
    *,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    now: Callable[[], float] = time.time,
) -> StagesNews:
    """Runs those of ``stages`` that are due, each by itself: one that fails keeps no other from its work.

    ``before`` is what :func:`answers_now` said when news were last told.
    """
    done: dict[Stage, StagesResult] = {}
    problems: list[StageProblem] = []
    for stage in Stage:
        if stage in stages and not stop.is_set():
            try:
                done[stage] = run_stages(db, config, stages={stage}, progress=progress, stop=stop, now=now)
            except PsmError as e:
                problems.append(StageProblem(stage, str(e)))
    failed = tuple(problem.stage for problem in problems)
    nothing = StagesResult()
    pulled = done.get(Stage.PLAYLISTS, nothing).pull
    matched = done.get(Stage.MATCH, nothing)
    exported = done.get(Stage.EXPORT, nothing).export
    reported = done.get(Stage.REPORT, nothing).report
    after = answers_now(db)
    news = _News(_unpacked(before), _unpacked(after), {c.playlist_id: c for c in coverage.coverage(db.connection)})
    problems += [StageProblem(Stage.PLAYLISTS, text) for text in _pull_problems(pulled)]
    problems += [StageProblem(Stage.EXPORT, text) for text in _export_problems(exported)]
    problems += [
        StageProblem(Stage.REPORT, f"{shown(file.path)} could not be written: {file.error}.")
        for file in (reported.failed if reported else ())
    ]
    ran = dict(_what_was_done(pulled, matched, exported, reported))
    did = ", ".join(filter(None, ran.values())) or "nothing had to be changed"
    return StagesNews(
        ran=tuple(ran),
        summary=f"{_capital(did)}.",
        playlists=tuple(_playlist_news(news, pulled, exported)),
        notes=tuple(_notes(done.values(), pulled, matched.overrides, exported)),
        problems=tuple(problems),
        failed=failed,
        complete=not stop.is_set(),
        after=after,
    )


def _what_was_done(
    pulled: "ImportResult | None",
    matched: StagesResult,
    exported: "ExportResult | None",
    reported: "ReportResult | None",
) -> Iterator[tuple[Stage, str]]:
    """The stages that had something to do and could do it, each with what came of it, if anything did."""
    if pulled is not None and (taken := len(pulled.added) + len(pulled.updated) + len(pulled.missing)):
        yield Stage.PLAYLISTS, f"took in {counted(taken, 'playlist')}"
    if matched.match is not None or _has_decided(matched.overrides):
        evaluated = 0 if matched.match is None else matched.match.evaluated
        yield Stage.MATCH, f"matched {counted(evaluated, 'track')}" if evaluated else ""
    if exported is not None:
        written, removed = exported.count(Outcome.WRITTEN), len(exported.removed)
        if written or removed or not exported.problems:
            wrote = f"wrote {counted(written, 'playlist file')}" if written else ""
            gone = f"removed {counted(removed, 'playlist file')}" if removed else ""
            yield Stage.EXPORT, ", ".join(filter(None, (wrote, gone)))
    if reported is not None:
        wrote_any = any(file.outcome is report.Outcome.WRITTEN for file in reported.files)
        if wrote_any or not reported.failed:
            yield Stage.REPORT, "wrote the report" if wrote_any else ""


_Answers = Mapping[int, Mapping[int, int | None]]
"""By playlist and track, the file that answers."""


@dataclass(frozen=True, slots=True)
class _News:
    before: _Answers
    after: _Answers
    coverage: Mapping[int, coverage.Coverage]


def _unpacked(packed: bytes) -> _Answers:
    numbers = array("q")
    numbers.frombytes(zlib.decompress(packed))
    found: dict[int, dict[int, int | None]] = {}
    rows = iter(numbers)
    for playlist, track, file in zip(rows, rows, rows, strict=True):
        answers = found.setdefault(playlist, {})
        if track != _NONE:
            answers[track] = None if file == _NONE else file
    return found


def _playlist_news(
    news: _News, pulled: "ImportResult | None", exported: "ExportResult | None"
) -> Iterator[PlaylistNews]:
    """One sentence for each playlist in which something changed, or whose file was written again."""
    rows = {change.playlist_id: change for change in (pulled.updated if pulled else ())}
    written = {p.playlist for p in exported.playlists if p.outcome is Outcome.WRITTEN} if exported else set()
    for number, found in news.coverage.items():
        name, share = found.name, f"{found.found:,} of {counted(found.tracks, 'track')}"
        said: list[str] = []
        if number not in news.before:
            said.append(f"{name} is new: {share} found")
        else:
            if (change := rows.get(number)) is not None:
                said.append(
                    f"{name} has {change.added:,} more and {change.removed:,} fewer tracks, {change.moved:,} moved"
                )
            said += _changes(name, news.before[number], news.after.get(number, {}))
        if not said and name in written:
            said.append(f"wrote {name} again: {share} found")
        if said:
            yield PlaylistNews(name, "; ".join(said))
    for playlist in pulled.missing if pulled else ():
        yield PlaylistNews(playlist.name, f"{playlist.name} is gone: its file has left the playlists folder")


def _changes(name: str, before: Mapping[int, int | None], after: Mapping[int, int | None]) -> Iterator[str]:
    both = [(before[track], file) for track, file in after.items() if track in before and before[track] != file]
    filled = sum(old is None for old, _ in both)
    lost = sum(new is None for _, new in both)
    others = len(both) - filled - lost
    if filled:
        yield f"filled {counted(filled, 'gap')} in {name}"
    if lost:
        yield f"{counted(lost, 'track')} of {name} {'is' if lost == 1 else 'are'} missing now"
    if others:
        yield f"{name}: {counted(others, 'track')} changed"


def _pull_problems(result: "ImportResult | None") -> Iterator[str]:
    for problem in result.problems if result else ():
        yield f"{shown(problem.path)}: {problem.reason.rstrip('.')}."


def _export_problems(result: "ExportResult | None") -> Iterator[str]:
    for problem in result.problems if result else ():
        yield f"{', '.join(problem.profiles) or 'clean-up'}: {shown(problem.folder)}: {problem.reason}."


def _notes(
    done: Iterable[StagesResult],
    pulled: "ImportResult | None",
    overrides: "OverridesResult | None",
    exported: "ExportResult | None",
) -> Iterator[str]:
    yield from dict.fromkeys(result.unkept for result in done if result.unkept is not None)
    if pulled is not None:
        for rows in pulled.row_problems:
            yield f"{counted(len(rows.errors), 'row')} of {shown(rows.source)} could not be used."
        for playlist in pulled.gone:
            yield f"{playlist.name} stays as it is, though {shown(playlist.source)} is not there now."
    if overrides is not None:
        if overrides.restored:
            yield f"{overrides.path} was gone: written again from what psm knows."
        elif overrides.read and overrides.changed:
            yield f"{overrides.path} was read: something else is decided now for {counted(overrides.changed, 'track')}."
        if overrides.unwritten is not None:
            yield overrides.unwritten
        for problem in (*overrides.notices, *overrides.problems):
            yield f"{overrides.path}, line {problem.line}: {problem.reason}"
    if exported is not None:
        for done_playlist in exported.playlists:
            if done_playlist.outcome is Outcome.KEPT:
                yield f"Left as it is: {shown(done_playlist.path)}: {done_playlist.note}."
        for kept in exported.kept:
            yield f"Left as it is: {shown(kept.path)}: {kept.reason}."
        for away in exported.away:
            yield f"Not written now: {', '.join(away.profiles)}: {shown(away.folder)}: {away.reason}."


def _has_decided(result: "OverridesResult | None") -> bool:
    return result is not None and bool(result.read or result.written or result.restored or result.changed)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
