"""``psm-overrides.yaml``: keeps the manual decisions of the database and those in the configuration folder the same.

The file is what counts: it outlives the database, and a person may change it. So psm reads it before every match stage
when it changed since, and makes the table say what it says; and whoever decides by a command
(``psm.services.decisions``) changes the file first, then the table. A crash between the two is mended by the next
reading. The database remembers the content that it has taken over, from which folder, and the generations of the tables
by which names in the file were looked up.

One database may be used with several configuration folders (``--config``). Then the file of the other folder wins where
it speaks, and is told the rest of what was decided: nobody deleted that from it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from psm import atomic, locks
from psm.db import Database, decisions, libraries, metadata, tracks
from psm.models import Decision, RowError
from psm.services.overrides_file import (
    HEADER,
    Changes,
    Document,
    Entry,
    OverridesError,
    apply,
    parse,
    unchangeable,
)
from psm.services.overrides_meaning import Meaning, effects, is_told, same, understand
from psm.services.overrides_tracks import entry_for

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
    again from the database. ``adopted`` counts the decisions that were added to it because they had been made with
    another configuration folder. ``changed`` counts the tracks for which something else is decided now. ``problems``
    are entries (by line) that have no effect, or not the one they seem to have; ``notices`` are told once;
    ``unwritten`` is why psm could not write the file when it wanted to.
    """

    path: Path
    decisions: int = 0
    read: bool = False
    written: bool = False
    restored: bool = False
    adopted: int = 0
    changed: int = 0
    problems: tuple[RowError, ...] = ()
    notices: tuple[RowError, ...] = ()
    unwritten: str | None = None


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
    data = _read(path)
    mark = _Mark.load(db)
    known_here = mark is not None and mark.folder == _real(folder) and mark.content == _content(data)
    if mark is not None and known_here and (data is not None or not mark.decisions):
        seen = _generations(db)
        only_files = seen != mark.generations and seen[1:] == mark.generations[1:]
        if only_files and not mark.waiting and _is_settled(db):
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
) -> Changed:
    """Changes what is decided for the track ``key``: ``decide`` gets what holds, and returns what is to hold.

    File first, then database; neither when the file cannot be written. What other programs decide at the same time is
    kept.

    :raises PsmError: the file cannot be understood, changed or written.
    """
    path = folder / FILE_NAME
    with _locked(folder, needed=True):
        generations = _generations(db)
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
class _Mark:
    """What the database has taken over: the real path of the folder and the hash of the file in it, and the generations
    by which its names were looked up. ``waiting``: any new file may be one that the file of decisions names."""

    folder: str
    content: str
    generations: tuple[int, ...]
    decisions: int
    problems: tuple[RowError, ...]
    waiting: bool

    @staticmethod
    def load(db: Database) -> "_Mark | None":
        text = metadata.get(db.connection, _MARK)
        if text is None:
            return None
        said = json.loads(text)
        problems = tuple(RowError(line, reason) for line, reason in said["problems"])
        generations = tuple(said["generations"])
        return _Mark(said["folder"], said["content"], generations, said["decisions"], problems, said["waiting"])

    def store(self, db: Database) -> None:
        said = {
            "folder": self.folder,
            "content": self.content,
            "generations": self.generations,
            "decisions": self.decisions,
            "problems": [[p.line, p.reason] for p in self.problems],
            "waiting": self.waiting,
        }
        with db.transaction(durable=True) as connection:
            metadata.put(connection, _MARK, json.dumps(said))


@dataclass(frozen=True, slots=True)
class _State:
    """The file as it is on disk (``data`` is None when it is not there), and what it means."""

    data: bytes | None
    document: Document
    meaning: Meaning


def _bring_up_to_date(db: Database, path: Path, *, now: float) -> tuple[_State, OverridesResult]:
    """Takes the file over, or writes it again when it is gone, and tells it what it does not say yet: the present names
    of files, and what was decided with another configuration folder."""
    before, generations = _Mark.load(db), _generations(db)
    data = _read(path)
    read = data is not None and (before is None or before.content != _content(data))
    known = decisions.all_decisions(db.connection)
    # An empty file is what a full disk leaves of one: whoever wants no decisions any more deletes the entries.
    restored = bool(known) and not (data or b"").strip()
    document = parse(_restored(db, known) if restored else _decode(data, path), name=str(path))
    meaning = understand(db, document, known, now=iso_utc(now))
    elsewhere = before is not None and before.folder != _real(path.parent)
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
        read=read and not restored,
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
        _Mark(_real(folder), content, generations, len(made), meaning.problems, meaning.waiting).store(db)
    return len(changed)


def _is_settled(db: Database) -> bool:
    """Whether every file is where it was, as far as decisions go, and psm-overrides.yaml says so."""
    known = decisions.all_decisions(db.connection)
    libs = libraries.all_libraries(db.connection)
    return decisions.resolved(db.connection, known) == known and all(is_told(d, libs) for d in known)


def _real(folder: Path) -> str:
    """The folder as the mark holds it: one way of writing it, in text that JSON can hold."""
    return os.path.realpath(folder)


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
