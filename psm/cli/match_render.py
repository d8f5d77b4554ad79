"""How matches, decisions and files look: as rows of a table for people, as documents for programs."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from unicodedata import combining, east_asian_width

from psm.cli.render import counted, json_path, note, printable, shown_path, table

if TYPE_CHECKING:
    from psm.db.match_list import PlaylistMatch
    from psm.models import Decision, LibraryFile, Match, Track
    from psm.services.decisions import Decided
    from psm.services.matching import CandidateVerdict, Diagnosis, MatchResult
    from psm.services.overrides import OverridesResult

FILE_HEADINGS = ("id", "status", "title", "artists", "album", "time", "file")
ENTRY_HEADINGS = ("playlist", "no.", "track", "file", "method", "score", "confidence")
_SHOWN_ON_TERMINAL = 500
_MEASURED = 1_000


def as_json_list(documents: Iterable[dict[str, Any]]) -> None:
    """One JSON document, a list, written as its objects come: a large library needs no more memory than a small one."""
    out = sys.stdout
    before = "[\n"
    for document in documents:
        out.write(before + json.dumps(document, ensure_ascii=True))
        before = ",\n"
    out.write("[]\n" if before == "[\n" else "\n]\n")


def show_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table; on a terminal its beginning, in a pipe all of it. ``empty`` is what to say when there are no rows."""
    waiting = iter(rows)
    if not sys.stdout.isatty():
        _write_columns(headings, waiting, empty=empty)
        return
    shown = list(islice(waiting, _SHOWN_ON_TERMINAL))
    if not shown:
        note(empty)
        return
    table(headings, shown)
    more = sum(1 for _ in waiting)
    if more:
        note(f"… and {more:,} more. Narrow it down, pipe it into less, or use --json.")


def _write_columns(headings: Sequence[str], rows: Iterator[Sequence[object]], *, empty: str) -> None:
    """Plain columns, as fast as the rows come: Rich took 70 s and 700 MB for a table of 100,000 files.

    The first rows say how wide the columns are; a longer cell further down is written whole all the same.
    """
    first = [[_cell(c) for c in row] for row in islice(rows, _MEASURED)]
    if not first:
        note(empty)
        return
    right = [all(isinstance(c, int | float) for c in column) for column in zip(*first, strict=True)]
    texts = [list(headings), *([str(c) for c in row] for row in first)]
    widths = [max(map(_width, column)) for column in zip(*texts, strict=True)]
    for row in chain(texts, ([str(_cell(c)) for c in row] for row in rows)):
        padded = [
            " " * (width - _width(cell)) + cell if to_right else cell + " " * (width - _width(cell))
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _cell(value: object) -> object:
    if isinstance(value, int | float):
        return value
    text = "" if value is None else str(value)
    return text if text.isprintable() else printable(text).replace("\n", "\\n")


def _width(text: str) -> int:
    """How many columns of a terminal ``text`` takes: letters of East Asia take two, marks above others none."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def file_document(file: "LibraryFile") -> dict[str, Any]:
    """One object of ``psm files --json``. Times are ISO 8601 in UTC."""
    t = file.tags
    return {
        "id": file.id,
        "path": json_path(file.absolute_path),
        "status": file.status.value,
        "title": t.title,
        "artists": t.artists,
        "album": t.album,
        "albumartist": t.album_artist,
        "track_number": t.track_number,
        "disc_number": t.disc_number,
        "year": t.year,
        "genre": t.genre,
        "duration_s": t.duration_s,
        "isrcs": t.isrcs,
        "mb_recording_id": t.mb_recording_id,
        "mb_release_id": t.mb_release_id,
        "compilation": t.compilation,
        "guessed": t.guessed,
        "codec": t.codec,
        "bitrate_kbps": t.bitrate_kbps,
        "sample_rate_hz": t.sample_rate_hz,
        "channels": t.channels,
        "size_bytes": file.stat.size_bytes,
        "modified_at": _iso(file.stat.mtime_ns / 1e9),
        "first_seen": _iso(file.first_seen),
        "missing_since": None if file.missing_since is None else _iso(file.missing_since),
        "library": file.library,
        "relative_path": json_path(file.path),
        "fingerprint": file.fingerprint,
        "error": file.error,
    }


def file_row(file: "LibraryFile") -> tuple[object, ...]:
    """One line of ``psm files``."""
    t = file.tags
    status = "unreadable" if file.error is not None and file.status.value == "present" else file.status.value
    shown = shown_path(file.absolute_path)
    return (file.id, status, t.title, ", ".join(t.artists), t.album, _minutes(t.duration_s), shown)


def entry_document(entry: "PlaylistMatch") -> dict[str, Any]:
    """One object of ``psm matches --json``: a row of a playlist, with what was found for it."""
    return {
        "playlist": entry.playlist.name,
        "playlist_id": entry.playlist.id,
        "position": entry.position,
        **_track_document(entry.track),
        "path": None if entry.path is None else json_path(entry.path),
        **_match_fields(entry.match),
    }


def entry_row(entry: "PlaylistMatch") -> tuple[object, ...]:
    """One line of ``psm matches``."""
    m = entry.match
    found = (
        ("", "", "", "")
        if m is None or entry.path is None
        else (shown_path(entry.path), m.method.value, f"{m.score:.2f}", m.confidence.value)
    )
    return (entry.playlist.name, entry.position, entry.track.label, *found)


def match_document(result: "MatchResult", overrides: "OverridesResult") -> dict[str, Any]:
    """``psm match --json``."""
    return {
        **{n: getattr(result, n) for n in ("tracks", "matched", "unmatched", "newly_matched", "changed", "lost")},
        "evaluated": result.evaluated,
        "by_method": {method.value: count for method, count in result.by_method},
        "duration_s": result.duration_s,
        "complete": result.complete,
        "overrides": overrides_document(overrides),
    }


def match_lines(result: "MatchResult") -> Iterator[str]:
    """What ``psm match`` says to people."""
    if not result.tracks:
        yield "There is nothing to match yet: take playlists in with psm playlist import."
        return
    # Rounded down, as psm status does: 100 % is said only when nothing is missing.
    share = 100 * result.matched // result.tracks
    yield f"{result.matched:,} of {result.tracks:,} tracks have a file ({share} %)."
    if result.evaluated == 0:
        yield "Nothing had changed since the last match." if result.complete else "Interrupted before the first track."
        return
    yield (
        f"Looked at {result.evaluated:,}: {result.newly_matched:,} newly found, {result.changed:,} changed, "
        f"{result.lost:,} lost, in {result.duration_s:.1f} s."
    )
    if methods := ", ".join(f"{method.value}: {count:,}" for method, count in result.by_method if count):
        yield f"Found by {methods}."


def overrides_document(result: "OverridesResult") -> dict[str, Any]:
    """What became of ``psm-overrides.yaml``."""
    return {
        "path": str(result.path),
        "decisions": result.decisions,
        "read": result.read,
        "written": result.written,
        "restored": result.restored,
        "adopted": result.adopted,
        "changed": result.changed,
        "problems": [{"line": p.line, "reason": p.reason} for p in result.problems],
        "notices": [{"line": p.line, "reason": p.reason} for p in result.notices],
        "unwritten": result.unwritten,
    }


def overrides_notes(result: "OverridesResult") -> Iterator[str]:
    """What a person should know of ``psm-overrides.yaml``; nothing when all is as it was."""
    if result.restored:
        count = counted(result.decisions, "decision")
        yield f"{result.path} was gone: written again from what psm knows, {count}."
    elif result.read and result.changed:
        yield f"{result.path} was read: something else is decided now for {counted(result.changed, 'track')}."
    if result.adopted:
        count = counted(result.adopted, "decision")
        yield f"{result.path} did not have {count} made with another configuration folder: added to it."
    if result.unwritten is not None:
        yield result.unwritten
    for problem in (*result.notices, *result.problems):
        yield f"{result.path}, line {problem.line}: {problem.reason}"


def decided_document(decided: "Decided") -> dict[str, Any]:
    """What ``set-match`` and its kind print for programs."""
    return {
        **_track_document(decided.track),
        "changed": decided.changed,
        "path": None if decided.file is None else json_path(decided.file.absolute_path),
        **_match_fields(decided.match),
        "decisions": [_decision_document(d) for d in decided.decisions],
        "overrides": overrides_document(decided.overrides),
    }


def decided_lines(decided: "Decided") -> Iterator[str]:
    """What they say to people: what the track's match is now."""
    if not decided.changed:
        yield "That was so before."
    label = decided.track.label
    if decided.match is not None and decided.file is not None:
        m = decided.match
        yield f'"{label}" is now {shown_path(decided.file.absolute_path)}'
        yield f"  {m.method.value}, score {m.score:.2f}, confidence {m.confidence.value}: {'; '.join(m.reasons)}"
    elif any(d.kind.value == "none" for d in decided.decisions):
        yield f'"{label}" has no file now, and will get none. psm reset-match takes that back.'
    elif any(d.kind.value == "set" for d in decided.decisions):
        yield f'"{label}" has no match now: the file you chose is missing. It is used again when it comes back.'
    else:
        yield f'"{label}" has no match now.'


def diagnosis_document(diagnosis: "Diagnosis") -> dict[str, Any]:
    """``psm diagnose --json``."""
    return {
        **_track_document(diagnosis.track),
        "match": None if diagnosis.match is None else _match_fields(diagnosis.match),
        "decisions": [_decision_document(d) for d in diagnosis.decisions],
        "candidates": [
            {
                "file_id": c.file.id,
                "path": json_path(c.file.absolute_path),
                "status": c.file.status.value,
                "score": c.score,
                "sure": round(c.sure, 4),
                "weights": {weight.of: weight.factor for weight in c.weights},
                "method": c.method.value,
                "chosen": c.chosen,
                "verdict": c.verdict,
                "for": c.reasons_for,
                "against": c.reasons_against,
            }
            for c in diagnosis.candidates
        ],
    }


def diagnosis_lines(diagnosis: "Diagnosis") -> Iterator[str]:
    """``psm diagnose`` for people: the track, what was decided, and each candidate with why it won or lost."""
    t = diagnosis.track
    said = [f"album {t.album}" if t.album else "", _minutes(t.duration_s), f"ISRC {t.isrc}" if t.isrc else ""]
    extra = ", ".join(part for part in said if part)
    yield f"{t.label}" + (f"  ({extra})" if extra else "") + f"  [track {t.id}]"
    for decision in diagnosis.decisions:
        file = "" if decision.file_path is None else f" {shown_path(decision.file_path)}"
        yield f"  decided by hand: {decision.kind.value}{file} ({decision.decided_at})"
    if not diagnosis.candidates:
        yield "  No file in the libraries comes near."
    for number, candidate in enumerate(diagnosis.candidates, start=1):
        yield ""
        yield from _candidate_lines(number, candidate)


def _candidate_lines(number: int, c: "CandidateVerdict") -> Iterator[str]:
    away = "" if c.file.status.value == "present" else f", {c.file.status.value}"
    yield f"{number}. {shown_path(c.file.absolute_path)}  [file #{c.file.id}{away}]"
    yield f"   {', '.join(c.file.tags.artists)} - {c.file.tags.title or ''}".rstrip(" -")
    sure = f", {100 * c.sure:.0f} % sure" if c.sure else ""
    yield f"   score {c.score:.2f} ({c.method.value}){sure}; {c.verdict}"
    if c.weights:
        yield "   " + ", ".join(f"{weight.of} × {weight.factor:.2f}" for weight in c.weights)
    yield from (f"   + {reason}" for reason in c.reasons_for)
    yield from (f"   - {reason}" for reason in c.reasons_against)


def _track_document(track: "Track") -> dict[str, Any]:
    return {
        "track_id": track.id,
        "key": track.key,
        "title": track.title,
        "artists": track.artists,
        "album": track.album,
        "duration_s": track.duration_s,
        "isrc": track.isrc,
        "mb_recording_id": track.mb_recording_id,
        "locations": [json_path(location) for location in track.locations],
    }


def _match_fields(match: "Match | None") -> dict[str, Any]:
    if match is None:
        return {"file_id": None, "score": None, "method": None, "confidence": None, "reasons": []}
    return {
        "file_id": match.file_id,
        "score": match.score,
        "method": match.method.value,
        "confidence": match.confidence.value,
        "reasons": match.reasons,
    }


def _decision_document(decision: "Decision") -> dict[str, Any]:
    d = decision
    return {
        "decision": d.kind.value,
        "library": d.file_library,
        "relative_path": None if d.file_path is None else json_path(d.file_path),
        "fingerprint": d.file_fingerprint,
        "file_id": d.file_id,
        "decided_at": d.decided_at,
    }


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
