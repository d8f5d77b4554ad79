"""What the entries of ``psm-overrides.yaml`` decide in this database, and what the file has to be told in return.

Between two readings the file may have been edited by hand, and files may have moved on disk; psm may have been unable
to write their new names. Only one thing tells these apart: what the entry said when psm last read or wrote it, which
the database keeps beside the file's present names. An entry that still says that means the file it meant, wherever that
is now, and is told the new name. One that says something else was edited: it means what it says.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from psm.db import Database, decisions, libraries
from psm.models import Decision, DecisionKind, Library, RowError
from psm.services.overrides_file import Document, Entry, FileName
from psm.services.overrides_tracks import named_tracks

_NOTHING = FileName()


@dataclass(frozen=True, slots=True)
class Claim:
    """What one entry decides in this database, for each of the tracks that it names."""

    entry: Entry
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the whole file decides, by track key.

    ``problems`` are wrong with it; ``notices`` are to be told once; ``renamed`` are the names of files, by the entry's
    place, that the file has to be told. ``waiting``: an entry was changed by hand to a path that is not there yet.
    """

    claims: tuple[Claim, ...]
    held: dict[str, list[Decision]]
    problems: tuple[RowError, ...]
    notices: tuple[RowError, ...]
    renamed: dict[int, FileName]
    waiting: bool

    def remembered(self) -> list[Decision]:
        """Every decision that some entry makes, whether it counts or not."""
        return [*(d for made in self.held.values() for d in made), *(d for c in self.claims for d in c.decisions)]


def understand(db: Database, document: Document, known: Iterable[Decision], *, now: str) -> Meaning:
    """What the entries decide: the later one counts where two contradict each other.

    ``known`` is what psm knew before; ``now`` the time of a decision that gives none.
    """
    libs = libraries.all_libraries(db.connection)
    named = named_tracks(db, document.entries)
    before: defaultdict[str, list[Decision]] = defaultdict(list)
    for decision in known:
        before[decision.track_key].append(decision)
    problems = [*document.problems, *(n.problem for n in named.values() if n.problem is not None)]
    claims: list[Claim] = []
    notices: list[RowError] = []
    renamed: dict[int, FileName] = {}
    waiting = False
    for entry in document.entries:
        news = [_interpret(db, entry, key, before[key], libs, now=now) for key in named[entry.place].keys]
        claims.append(Claim(entry, tuple(n.decision for n in news)))
        waiting = waiting or any(n.waiting for n in news)
        if news:
            first = news[0]
            problems += [first.problem] if first.problem else []
            notices += [first.notice] if first.notice else []
            if first.names != _NOTHING:
                renamed[entry.place] = first.names
    held, overruled = _fold(claims)
    problems = sorted([*problems, *overruled], key=lambda p: p.line)
    return Meaning(tuple(claims), held, tuple(problems), tuple(notices), renamed, waiting)


def same(one: Decision, other: Decision) -> bool:
    """Whether two decisions of one track say the same."""
    return one.kind is other.kind and (one.kind is DecisionKind.NONE or decisions.same_file(one, other))


def is_told(decision: Decision, known: Sequence[Library]) -> bool:
    """Whether the file says the present names of what was decided."""
    if decision.kind is DecisionKind.NONE or decision.file_id is None:
        return True
    said = placed(_said(decision), known)
    return _at_same_place(said, decision) and said.fingerprint == decision.file_fingerprint


def placed(file: FileName, known: Sequence[Library]) -> FileName:
    """``file`` with a path relative to its library, when it was absolute and lies in one."""
    if file.path is None or b"\0" in file.path:  # with a NUL in it, no system can be asked for it
        return file
    path = os.path.expanduser(file.path)
    if not os.path.isabs(path):
        return replace(file, path=path.replace(os.fsencode(os.sep), b"/"))
    from psm.ingest.targets import locate

    place = locate(known, path)
    return replace(file, path=path) if place is None else replace(file, library=place[0].name, path=place[1])


@dataclass(frozen=True, slots=True)
class _News:
    """What an entry decides for one track, what a person has to be told of it, and what the entry has to be told."""

    decision: Decision
    problem: RowError | None = None
    notice: RowError | None = None
    names: FileName = _NOTHING
    waiting: bool = False


def _interpret(
    db: Database, entry: Entry, key: str, known: Sequence[Decision], libs: Sequence[Library], *, now: str
) -> _News:
    alike = [d for d in known if d.kind is entry.kind]
    file = placed(entry.file, libs)
    before = _unedited(entry, file, alike)
    # The fingerprint stayed and the path did not: whoever typed the path meant the file there.
    edited = before is None and any(
        d.said_fingerprint is not None and d.said_fingerprint == file.fingerprint and d.said_path != entry.file.path
        for d in alike
    )
    made = _decision(entry, file, key, before, now=now)
    [made] = decisions.resolved(db.connection, [made], path_first=edited and file.path is not None)
    if made.kind is DecisionKind.NONE:
        return _News(made)
    shown = (file.path or b"").decode("utf-8", "backslashreplace") or file.fingerprint
    if made.file_id is None:
        reason = f'psm knows no file "{shown}": correct the path, or scan its folder'
        return _News(made, RowError(entry.line, reason))
    here = _at_same_place(file, made)
    was = next((d for d in alike if edited and not here and d.file_id == made.file_id), None)
    if was is not None:
        # The path was changed by hand, to one that is not there: psm does not write the old one over it, and looks at
        # the entry as edited until it is right.
        took = (made.file_path or b"").decode("utf-8", "backslashreplace")
        reason = f'psm knows no file "{shown}", and took "{took}", which has the same fingerprint: correct the path'
        made = replace(
            made, said_library=was.said_library, said_path=was.said_path, said_fingerprint=was.said_fingerprint
        )
        return _News(made, RowError(entry.line, reason), waiting=True)
    other = made.file_fingerprint != entry.file.fingerprint
    notice = None
    if other and entry.file.fingerprint is not None and not edited:
        took = (made.file_path or b"").decode("utf-8", "backslashreplace")
        reason = f'"{took}" holds other audio than when you decided on it: the decision is for what it holds now'
        notice = RowError(entry.line, reason)
    names = FileName(
        made.file_library if (not here or file.path is None) and made.file_library != entry.file.library else None,
        made.file_path if not here or file.path is None else None,
        made.file_fingerprint if other else None,
    )
    return _News(made, notice=notice, names=names)


def _unedited(entry: Entry, file: FileName, alike: Sequence[Decision]) -> Decision | None:
    """What was known of the same decision: the entry says what it said before, or just what psm would tell it."""
    if entry.kind is DecisionKind.NONE:
        return next(iter(alike), None)
    rules: tuple[Callable[[Decision], bool], ...] = (
        lambda d: _said(d) == entry.file,
        lambda d: FileName(d.file_library, d.file_path, d.file_fingerprint) == file,
        lambda d: _says_less(entry.file, d),
    )
    return next((d for is_it in rules for d in alike if is_it(d)), None)


def _says_less(file: FileName, decision: Decision) -> bool:
    """Whether a person left out something that the entry said before, or only added the name of the library."""
    d = decision
    return (
        file.path in (None, d.said_path)
        and file.library in (None, d.said_library, d.file_library)
        and file.fingerprint in (None, d.said_fingerprint)
    )


def _decision(entry: Entry, file: FileName, key: str, before: Decision | None, *, now: str) -> Decision:
    decision = Decision(
        track_key=key,
        track_label=entry.label or key,
        kind=entry.kind,
        file_library=file.library,
        file_path=file.path,
        file_fingerprint=file.fingerprint,
        decided_at=entry.decided_at or (before.decided_at if before else now),
        said_library=entry.file.library,
        said_path=entry.file.path,
        said_fingerprint=entry.file.fingerprint,
    )
    if before is None:
        return decision
    return replace(
        decision,
        file_library=before.file_library,
        file_path=before.file_path,
        file_fingerprint=before.file_fingerprint,
        file_id=before.file_id,
    )


def _said(decision: Decision) -> FileName:
    return FileName(decision.said_library, decision.said_path, decision.said_fingerprint)


def _at_same_place(file: FileName, decision: Decision) -> bool:
    return file.path == decision.file_path and file.library in (None, decision.file_library)


def _fold(claims: Sequence[Claim]) -> tuple[dict[str, list[Decision]], list[RowError]]:
    held: dict[str, list[Decision]] = {}
    lines: dict[Decision, int] = {}
    overruled: list[RowError] = []
    for claim in claims:
        for decision in claim.decisions:
            before = held.get(decision.track_key, [])
            after = decisions.merge(before, decision)
            overruled += [
                RowError(lines[d], f"line {claim.entry.line} decides otherwise for the same track, and counts")
                for d in before
                if d not in after and not same(d, decision)
            ]
            lines[decision] = claim.entry.line
            held[decision.track_key] = after
    return held, overruled


def effects(held: Mapping[str, Sequence[Decision]]) -> dict[str, frozenset[tuple[object, ...]]]:
    """What matching sees of the decisions: two files that mean the same have the same."""
    return {
        key: frozenset(
            (d.kind, d.file_id) if d.file_id is not None else (d.kind, d.file_library, d.file_path) for d in made
        )
        for key, made in held.items()
    }
