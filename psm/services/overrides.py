"""``psm-overrides.yaml``: keeps the manual decisions of the database and those in the configuration folder the same.

The file is what counts: it outlives the database, and a person may change it. So psm reads it before every match stage
when it changed since, and makes the table say what it says; and whoever decides by a command
(``psm.services.decisions``) changes the file first, then the table. A crash between the two is mended by the next
reading. The database remembers the content that it has taken over, from which folder, and the generations of the tables
by which names in the file were looked up.

One database may be used with several configuration folders (``--config``). Then the file of the other folder wins where
it speaks, and is told the rest of what was decided: nobody deleted that from it.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from psm import atomic, locks
from psm.db import Database, decisions, libraries, metadata, tracks
from psm.models import Decision
from psm.services.overrides_file import (
    HEADER,
    Changes,
    Document,
    Entry,
    apply,
    parse,
    unchangeable,
)
from psm.services.overrides_meaning import Meaning, effects, is_told, same, understand
from psm.services.overrides_state import (
    FILE_NAME,
    Mark,
    OverridesError,
    OverridesResult,
    generations_of,
    read,
    real_folder,
    unchanged,
)
from psm.services.overrides_state import content_of as _content
from psm.services.overrides_tracks import entry_for

__all__ = ["FILE_NAME", "Changed", "OverridesResult", "change", "iso_utc", "sync"]

_LOCK_NAME = ".psm-overrides.lock"
_LOCK_TIMEOUT_S = 60.0
_KIND = "overrides"
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Changed:
    """Whether something else holds than before a decision, and what was found in the file before it was made."""

    changed: bool
    found: OverridesResult


def sync(db: Database, folder: Path, *, now: float) -> OverridesResult:
    """Makes the database's decisions those of the file in ``folder``, and brings the file's names up to date.

    Costs a small file's hash when nothing changed. ``now`` (seconds since the epoch) is when a decision without a time
    was made.

    :raises OverridesError: the file cannot be read or understood; then it is not touched and the decisions stay.
    """
    path = folder / FILE_NAME
    if (known := unchanged(db, folder)) is not None:
        return known
    mark, seen = Mark.load(db), generations_of(db)
    if mark is not None and mark.holds(folder, read(path)):
        only_files = seen != mark.generations and seen[1:] == mark.generations[1:]
        if only_files and not mark.waiting and _is_settled(db):
            replace(mark, generations=seen).store(db)
            return OverridesResult(path, mark.decisions, problems=mark.problems)
    with _locked(folder, needed=False):
        return _bring_up_to_date(db, path, now=now)[1]


def change(
    db: Database, folder: Path, key: str, decide: Callable[[list[Decision]], list[Decision]], *, now: float
) -> Changed:
    """Changes what is decided for the track ``key``: ``decide`` gets what holds, and returns what is to hold.

    File first, then database; neither when the file cannot be written. What other programs decide at the same time is
    kept.

    :raises PsmError: the file cannot be understood, changed or written.
    """
    path = folder / FILE_NAME
    with _locked(folder, needed=True):
        generations = generations_of(db)
        state, result = _bring_up_to_date(db, path, now=now)
        held = state.meaning.held.get(key, [])
        wanted = decide(list(held))
        if effects({key: wanted}) == effects({key: held}):
            return Changed(False, result)
        text = _with_decisions(db, state, key, wanted)
        expected = {k: v for k, v in {**state.meaning.held, key: wanted}.items() if v}
        _, meaning = _checked(db, text, path, expected, state.meaning, now=now)
        data = _write(path, text, replacing=state.data)
        _store(db, meaning, folder, content=_content(data), generations=generations)
        return Changed(True, result)


@dataclass(frozen=True, slots=True)
class _State:
    """The file as it is on disk (``data`` is None when it is not there), and what it means."""

    data: bytes | None
    document: Document
    meaning: Meaning


def _bring_up_to_date(db: Database, path: Path, *, now: float) -> tuple[_State, OverridesResult]:
    """Takes the file over, or writes it again when it is gone, and tells it what it does not say yet: the present names
    of files, and what was decided with another configuration folder."""
    before, generations = Mark.load(db), generations_of(db)
    data = read(path)
    was_read = data is not None and (before is None or before.content != _content(data))
    known = decisions.all_decisions(db.connection)
    # An empty file is what a full disk leaves of one: whoever wants no decisions any more deletes the entries.
    restored = bool(known) and not (data or b"").strip()
    document = parse(_restored(db, known) if restored else _decode(data, path), name=str(path))
    meaning = understand(db, document, known, now=iso_utc(now))
    elsewhere = before is not None and before.folder != real_folder(path.parent)
    adopted = [d for d in known if d.track_key not in meaning.held] if elsewhere else []
    held = {**meaning.held, **_by_track(adopted)}
    renamed, noticed = meaning.renamed, meaning.notices
    folder, unwritten = path.parent, None
    if restored or renamed or adopted:
        try:
            text = _with_news(db, document, meaning, adopted, name=str(path))
            told = _checked(db, text, path, held, meaning, now=now)
            data = _write(path, text, replacing=data)
            document, meaning = told
        except OverridesError as e:
            unwritten = str(e)
            # The table keeps what the file does not say, and the next reading tries again.
            meaning, generations = replace(meaning, held=held), ()
            folder = Path(before.folder) if before is not None and adopted else folder
    changed = _store(db, meaning, folder, content=_content(data), generations=generations)
    result = OverridesResult(
        path,
        decisions=sum(map(len, meaning.held.values())),
        read=was_read and not restored,
        written=bool(renamed) and not restored and unwritten is None,
        restored=restored and unwritten is None,
        adopted=len(adopted) if unwritten is None else 0,
        changed=changed,
        problems=meaning.problems,
        notices=noticed,
        unwritten=unwritten,
    )
    return _State(data, document, meaning), result


def _by_track(made: Iterable[Decision]) -> dict[str, list[Decision]]:
    found: dict[str, list[Decision]] = {}
    for decision in made:
        found.setdefault(decision.track_key, []).append(decision)
    return found


def _with_news(db: Database, document: Document, meaning: Meaning, adopted: Sequence[Decision], *, name: str) -> str:
    """The file's text with the names of files and the decisions that it lacks."""
    added = tuple(_entry(db, d) for d in adopted)
    if not document.text.strip():
        document = Document(HEADER)
    if not meaning.renamed and not added:
        return document.text
    return apply(document, Changes({}, meaning.renamed, added), name=name)


def _with_decisions(db: Database, state: _State, key: str, wanted: Sequence[Decision]) -> str:
    """The file's text when ``wanted`` is all that holds for the track ``key``.

    An entry that says something else goes; when it speaks of other tracks too, each of them gets an entry of its own.
    """
    replaced: dict[int, tuple[Entry, ...]] = {}
    kept: list[Decision] = []
    for claim in state.meaning.claims:
        mine = [d for d in claim.decisions if d.track_key == key]
        if all(any(same(d, w) for w in wanted) for d in mine):
            kept += mine
            continue
        others = [d for d in claim.decisions if d.track_key != key and d in state.meaning.held[d.track_key]]
        replaced[claim.entry.place] = tuple(_entry(db, d) for d in others)
    new = tuple(_entry(db, w) for w in wanted if not any(same(w, k) for k in kept))
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
    db: Database, text: str, path: Path, expected: Mapping[str, Sequence[Decision]], before: Meaning, *, now: float
) -> tuple[Document, Meaning]:
    """The changed text, read again: it has to mean what was to be decided, and nothing else."""
    try:
        document = parse(text, name=str(path))
    except OverridesError as e:
        raise unchangeable(str(path)) from e
    known = [*(d for made in expected.values() for d in made), *before.remembered()]
    meaning = understand(db, document, known, now=iso_utc(now))
    if effects(meaning.held) != effects(expected):
        raise unchangeable(str(path))
    return document, meaning


def _store(db: Database, meaning: Meaning, folder: Path, *, content: str, generations: tuple[int, ...]) -> int:
    """Makes the table hold what the file means; returns for how many tracks that is something else than before."""
    made = [d for held in meaning.held.values() for d in held]
    with db.transaction(durable=True) as connection:
        # Once more: a library may have been removed since, with the rows of its files.
        changed = decisions.replace_all(connection, decisions.resolved(connection, made))
        now_decided = metadata.generation(connection, "decisions")
        generations = (*generations[:-1], now_decided)
        Mark(real_folder(folder), content, generations, len(made), meaning.problems, meaning.waiting).store(db)
    return len(changed)


def _is_settled(db: Database) -> bool:
    """Whether every file is where it was, as far as decisions go, and psm-overrides.yaml says so."""
    known = decisions.all_decisions(db.connection)
    libs = libraries.all_libraries(db.connection)
    return decisions.resolved(db.connection, known) == known and all(is_told(d, libs) for d in known)


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
    if read(path) != replacing:
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
