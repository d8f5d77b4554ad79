"""``psm-overrides.yaml``: keeps the manual decisions of the database and those in the configuration folder the same.

The file is what counts: it outlives the database, and a person may change it. So psm reads it before every match stage
when it changed since, and makes the table say what it says; and whoever decides by a command
(``psm.services.decisions``) changes the file first, then the table. A crash between the two is mended by the next
reading. The database remembers the content that it has taken over, and the generations of the tables by which names in
the file were looked up.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from psm import atomic, locks
from psm.db import Database, decisions, libraries, metadata, tracks
from psm.models import Decision, DecisionKind, Library, RowError
from psm.services.overrides_file import (
    HEADER,
    Changes,
    Document,
    Entry,
    FileName,
    OverridesError,
    apply,
    parse,
    unchangeable,
)
from psm.services.overrides_tracks import entry_for, named_tracks

FILE_NAME = "psm-overrides.yaml"
_LOCK_NAME = ".psm-overrides.lock"
_MARK = "overrides"
_LOCK_TIMEOUT_S = 60.0
_KIND = "overrides"
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class OverridesResult:
    """What :func:`sync` found and did.

    ``decisions`` counts those in force. ``read``: the file had changed, and the database now says what it says.
    ``written``: psm brought the names of moved files in it up to date. ``restored``: it was gone, and was written
    again from the database. ``changed`` counts the tracks for which something else is decided now. ``problems`` are
    entries (by line) that have no effect, or not the one they seem to have; ``unwritten`` is why psm could not write
    the file when it wanted to.
    """

    path: Path
    decisions: int = 0
    read: bool = False
    written: bool = False
    restored: bool = False
    changed: int = 0
    problems: tuple[RowError, ...] = ()
    unwritten: str | None = None


def sync(db: Database, folder: Path, *, now: float) -> OverridesResult:
    """Makes the database's decisions those of the file in ``folder``, and brings the file's names up to date.

    Costs a small file's hash when nothing changed. ``now`` (seconds since the epoch) is when a decision without a time
    was made.

    :raises OverridesError: the file cannot be read or understood; then it is not touched and the decisions stay.
    """
    path = folder / FILE_NAME
    data = _read(path)
    mark = _Mark.load(db)
    if mark is not None and mark.content == _content(data) and (data is not None or not mark.decisions):
        seen = _generations(db)
        if seen != mark.generations and seen[1:] == mark.generations[1:] and _is_settled(db):
            mark = replace(mark, generations=seen)
            mark.store(db)
        if seen == mark.generations:
            return OverridesResult(path, mark.decisions, problems=mark.problems)
    if data is None and not decisions.all_decisions(db.connection):
        return OverridesResult(path)
    with _locked(folder, needed=False):
        return _bring_up_to_date(db, path, now=now)[1]


def change(
    db: Database, folder: Path, key: str, decide: Callable[[list[Decision]], list[Decision]], *, now: float
) -> bool:
    """Changes what is decided for the track ``key``: ``decide`` gets what holds, and returns what is to hold.

    File first, then database; neither when the file cannot be written. What other programs decide at the same time is
    kept. Returns whether something else holds now.

    :raises PsmError: the file cannot be understood, changed or written.
    """
    path = folder / FILE_NAME
    with _locked(folder, needed=True):
        generations = _generations(db)
        state, _ = _bring_up_to_date(db, path, now=now)
        held = state.meaning.held.get(key, [])
        wanted = decide(list(held))
        if _effects({key: wanted}) == _effects({key: held}):
            return False
        text = _with_decisions(db, state, key, wanted)
        expected = {k: v for k, v in {**state.meaning.held, key: wanted}.items() if v}
        _, meaning = _checked(db, text, path, expected, now=now)
        data = _write(path, text, replacing=state.data)
        _store(db, meaning, content=_content(data), generations=generations)
        return True


@dataclass(frozen=True, slots=True)
class _Mark:
    """What the database has taken over: the hash of the file, and the generations by which its names were looked up."""

    content: str
    generations: tuple[int, ...]
    decisions: int
    problems: tuple[RowError, ...]

    @staticmethod
    def load(db: Database) -> "_Mark | None":
        text = metadata.get(db.connection, _MARK)
        if text is None:
            return None
        said = json.loads(text)
        problems = tuple(RowError(line, reason) for line, reason in said["problems"])
        return _Mark(said["content"], tuple(said["generations"]), said["decisions"], problems)

    def store(self, db: Database) -> None:
        said = {
            "content": self.content,
            "generations": self.generations,
            "decisions": self.decisions,
            "problems": [[p.line, p.reason] for p in self.problems],
        }
        with db.transaction(durable=True) as connection:
            metadata.put(connection, _MARK, json.dumps(said))


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one entry decides in this database, for each of the tracks that it names."""

    entry: Entry
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What the whole file decides, by track key; what is wrong with it; the names of files that it has to be told."""

    claims: tuple[_Claim, ...]
    held: dict[str, list[Decision]]
    problems: tuple[RowError, ...]
    renamed: dict[int, FileName]


@dataclass(frozen=True, slots=True)
class _State:
    """The file as it is on disk (``data`` is None when it is not there), and what it means."""

    data: bytes | None
    document: Document
    meaning: _Meaning


def _bring_up_to_date(db: Database, path: Path, *, now: float) -> tuple[_State, OverridesResult]:
    """Takes the file over, or writes it again when it is gone, and tells it the present names of files."""
    before, generations = _Mark.load(db), _generations(db)
    data = _read(path)
    read = data is not None and (before is None or before.content != _content(data))
    known = decisions.all_decisions(db.connection)
    # An empty file is what a full disk leaves of one: whoever wants no decisions any more deletes the entries.
    restored = bool(known) and not (data or b"").strip()
    document = parse(_restored(db, known) if restored else _decode(data, path), name=str(path))
    meaning = _understand(db, document, now=now)
    renamed = bool(meaning.renamed)
    text = apply(document, Changes({}, meaning.renamed), name=str(path)) if renamed else document.text
    unwritten = None
    if restored or renamed:
        try:
            told = _checked(db, text, path, meaning.held, now=now)
            data = _write(path, text, replacing=data)
            document, meaning = told
        except OverridesError as e:
            unwritten = str(e)
            # The table keeps the names that the file has, and the next reading tries again.
            meaning, generations = _with_names_of(known, meaning), ()
    changed = _store(db, meaning, content=_content(data), generations=generations)
    result = OverridesResult(
        path,
        decisions=sum(map(len, meaning.held.values())),
        read=read and not restored,
        written=renamed and not restored and unwritten is None,
        restored=restored and unwritten is None,
        changed=changed,
        problems=meaning.problems,
        unwritten=unwritten,
    )
    return _State(data, document, meaning), result


def _understand(db: Database, document: Document, *, now: float) -> _Meaning:
    """What the entries decide here: the later one counts where two contradict each other."""
    libs = libraries.all_libraries(db.connection)
    named = named_tracks(db, document.entries)
    known: defaultdict[str, list[Decision]] = defaultdict(list)
    for decision in decisions.all_decisions(db.connection):
        known[decision.track_key].append(decision)
    problems = [*document.problems, *(n.problem for n in named.values() if n.problem is not None)]
    claims: list[_Claim] = []
    renamed: dict[int, FileName] = {}
    for entry in document.entries:
        file = _placed(entry.file, libs)
        made = [_decision(entry, file, key, known[key], now=now) for key in named[entry.place].keys]
        made = decisions.resolved(db.connection, made)
        claims.append(_Claim(entry, tuple(made)))
        if made and entry.kind is not DecisionKind.NONE:
            problem, name = _file_news(entry, file, made[0], known[made[0].track_key])
            problems += [problem] if problem else []
            if name != FileName():
                renamed[entry.place] = name
    held, overruled = _fold(claims)
    problems = sorted([*problems, *overruled], key=lambda p: p.line)
    return _Meaning(tuple(claims), held, tuple(problems), renamed)


def _decision(entry: Entry, file: FileName, key: str, known: Sequence[Decision], *, now: float) -> Decision:
    """What an entry decides for one track; what the database knew of the same decision fills in what it leaves out."""
    before = next((d for d in known if d.kind is entry.kind and _names_same(file, d)), None)
    return Decision(
        track_key=key,
        track_label=entry.label or key,
        kind=entry.kind,
        file_library=file.library or (before.file_library if before else None),
        file_path=file.path or (before.file_path if before else None),
        file_fingerprint=file.fingerprint or (before.file_fingerprint if before else None),
        file_id=before.file_id if before else None,
        decided_at=entry.decided_at or (before.decided_at if before else iso_utc(now)),
    )


def _names_same(file: FileName, decision: Decision) -> bool:
    if file.path is None:
        return file.fingerprint == decision.file_fingerprint
    return file.path == decision.file_path and file.library in (None, decision.file_library)


def _placed(file: FileName, known: Sequence[Library]) -> FileName:
    """``file`` with a path relative to its library, when it was absolute and lies in one."""
    if file.path is None:
        return file
    path = os.path.expanduser(file.path)
    if not os.path.isabs(path):
        return replace(file, path=path.replace(os.fsencode(os.sep), b"/"))
    from psm.ingest.library import locate

    place = locate(known, path)
    return replace(file, path=path) if place is None else replace(file, library=place[0].name, path=place[1])


def _file_news(
    entry: Entry, file: FileName, decision: Decision, known: Sequence[Decision]
) -> tuple[RowError | None, FileName]:
    """What a person has to be told of an entry's file, and what the entry has to be told of its names."""
    nothing = FileName()
    shown = (file.path or b"").decode("utf-8", "backslashreplace") or file.fingerprint
    if decision.file_id is None:
        return RowError(entry.line, f'psm knows no file "{shown}": correct the path, or scan its folder'), nothing
    fingerprint = decision.file_fingerprint if decision.file_fingerprint != entry.file.fingerprint else None
    if _names_same(file, decision):
        moved = file.path is None
    elif any(d.kind is decision.kind and d.file_id == decision.file_id and not _names_same(file, d) for d in known):
        # The path was changed by hand, to one that is not there: psm does not write the old one over it.
        took = (decision.file_path or b"").decode("utf-8", "backslashreplace")
        reason = f'psm knows no file "{shown}", and took "{took}", which has the same fingerprint: correct the path'
        return RowError(entry.line, reason), nothing
    else:
        moved = True
    library, path = (decision.file_library, decision.file_path) if moved else (None, None)
    return None, FileName(library if library != entry.file.library else None, path, fingerprint)


def _fold(claims: Sequence[_Claim]) -> tuple[dict[str, list[Decision]], list[RowError]]:
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
                if d not in after and not _same(d, decision)
            ]
            lines[decision] = claim.entry.line
            held[decision.track_key] = after
    return held, overruled


def _same(one: Decision, other: Decision) -> bool:
    return one.kind is other.kind and (one.kind is DecisionKind.NONE or decisions.same_file(one, other))


def _effects(held: Mapping[str, Sequence[Decision]]) -> dict[str, frozenset[tuple[object, ...]]]:
    return {
        key: frozenset(
            (d.kind, d.file_id) if d.file_id is not None else (d.kind, d.file_library, d.file_path) for d in made
        )
        for key, made in held.items()
    }


def _with_decisions(db: Database, state: _State, key: str, wanted: Sequence[Decision]) -> str:
    """The file's text when ``wanted`` is all that holds for the track ``key``.

    An entry that says something else goes; when it speaks of other tracks too, each of them gets an entry of its own.
    """
    replaced: dict[int, tuple[Entry, ...]] = {}
    kept: list[Decision] = []
    for claim in state.meaning.claims:
        mine = [d for d in claim.decisions if d.track_key == key]
        if all(any(_same(d, w) for w in wanted) for d in mine):
            kept += mine
            continue
        others = [d for d in claim.decisions if d.track_key != key and d in state.meaning.held[d.track_key]]
        replaced[claim.entry.place] = tuple(_entry(db, d) for d in others)
    new = tuple(_entry(db, w) for w in wanted if not any(_same(w, k) for k in kept))
    if replaced and new:
        first = min(replaced)
        replaced[first] = (*new, *replaced[first])
        new = ()
    text = state.document.text
    if not text.strip():
        text = HEADER
        return apply(Document(text), Changes({}, {}, new), name=FILE_NAME) if new else state.document.text
    return apply(state.document, Changes(replaced, {}, new), name=FILE_NAME)


def _restored(db: Database, known: Sequence[Decision]) -> str:
    return apply(Document(HEADER), Changes({}, {}, tuple(_entry(db, d) for d in known)), name=FILE_NAME)


def _entry(db: Database, decision: Decision) -> Entry:
    found = tracks.by_key(db.connection, decision.track_key)
    return entry_for(decision, found[0] if found else None)


def _checked(
    db: Database, text: str, path: Path, expected: Mapping[str, Sequence[Decision]], *, now: float
) -> tuple[Document, _Meaning]:
    """The changed text, read again: it has to mean what was to be decided, and nothing else."""
    try:
        document = parse(text, name=str(path))
    except OverridesError as e:
        raise unchangeable(str(path)) from e
    meaning = _understand(db, document, now=now)
    if _effects(meaning.held) != _effects(expected):
        raise unchangeable(str(path))
    return document, meaning


def _with_names_of(known: Sequence[Decision], meaning: _Meaning) -> _Meaning:
    before = {(d.track_key, d.kind, d.file_id): d for d in known}

    def named(decision: Decision) -> Decision:
        b = before.get((decision.track_key, decision.kind, decision.file_id), decision)
        return replace(
            decision, file_library=b.file_library, file_path=b.file_path, file_fingerprint=b.file_fingerprint
        )

    return replace(meaning, held={key: [named(d) for d in made] for key, made in meaning.held.items()})


def _store(db: Database, meaning: _Meaning, *, content: str, generations: tuple[int, ...]) -> int:
    """Makes the table hold what the file means; returns for how many tracks that is something else than before."""
    made = [d for held in meaning.held.values() for d in held]
    with db.transaction(durable=True) as connection:
        changed = decisions.replace_all(connection, made)
        now_decided = metadata.generation(connection, "decisions")
        _Mark(content, (*generations[:-1], now_decided), len(made), meaning.problems).store(db)
    return len(changed)


def _is_settled(db: Database) -> bool:
    known = decisions.all_decisions(db.connection)
    return decisions.resolved(db.connection, known) == known


def _generations(db: Database) -> tuple[int, ...]:
    """Of the tables by which names in the file are looked up. Files come first: they change most and matter least."""
    connection = db.connection
    return tuple(
        metadata.generation(connection, table) for table in ("library_files", "libraries", "tracks", "decisions")
    )


def _content(data: bytes | None) -> str:
    return "" if data is None else hashlib.blake2b(data, digest_size=16).hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise OverridesError(
            f"{path} cannot be read: {e.strerror}. Make it readable; until then your decisions stay as psm knows them."
        ) from e


def _decode(data: bytes | None, path: Path) -> str:
    try:
        return (data or b"").decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as e:
        line = e.object.count(b"\n", 0, e.start) + 1
        raise OverridesError(
            f"{path} is not in UTF-8 (line {line}). Save it as UTF-8; until then it is not touched, and your decisions "
            "stay as psm knows them."
        ) from e


def _write(path: Path, text: str, *, replacing: bytes | None) -> bytes:
    """Writes the file whole or not at all, through a link to where it leads, and returns its content."""
    if _read(path) != replacing:
        raise OverridesError(f"{path} was changed by another program at this moment. Nothing was written: try again.")
    bom = _BOM if (replacing or b"").startswith(_BOM.encode()) else ""
    data = (bom + text).encode()
    try:
        atomic.write(os.path.realpath(os.fsencode(path)), data, kind=_KIND)
    except OSError as e:
        raise OverridesError(
            f"{path} cannot be written: {e.strerror}. Nothing was changed. Make room, or make the folder writable, "
            "and try again."
        ) from e
    return data


@contextmanager
def _locked(folder: Path, *, needed: bool) -> Iterator[None]:
    """Holds the lock that keeps two programs from losing each other's decisions.

    Where the folder cannot be written, there is nobody to wait for; ``needed`` then is an error all the same.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        if needed:
            raise OverridesError(
                f"The configuration folder {folder} cannot be made: {e.strerror}. Nothing was changed."
            ) from e
        yield
        return
    if not needed and not os.access(folder, os.W_OK):
        yield
        return
    with locks.hold(folder / _LOCK_NAME, what="changing manual decisions", timeout_s=_LOCK_TIMEOUT_S):
        yield


def iso_utc(seconds: float) -> str:
    """A time, in seconds since the epoch, as decisions carry it: ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
