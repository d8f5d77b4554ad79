"""What the database has taken over of ``psm-overrides.yaml``, and whether the file still says that.

Apart from the reading and writing of the file, which a build with nothing to do need not load.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from psm.db import Database, decisions, metadata
from psm.digest import blake2b
from psm.errors import PsmError
from psm.models import RowError

FILE_NAME = "psm-overrides.yaml"
_MARK = "overrides"


class OverridesError(PsmError):
    """``psm-overrides.yaml`` cannot be read or changed: it is left as it is, and so are the decisions known."""


@dataclass(frozen=True, slots=True)
class OverridesResult:
    """What :func:`psm.services.overrides.sync` found and did.

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
class Mark:
    """What the database has taken over: the real path of the folder and the hash of the file in it, and the generations
    by which its names were looked up. ``waiting``: any new file may be one that the file of decisions names."""

    folder: str
    content: str
    generations: tuple[int, ...]
    decisions: int
    problems: tuple[RowError, ...]
    waiting: bool

    @staticmethod
    def load(db: Database) -> "Mark | None":
        """What the database remembers; None when it never took a file over."""
        text = metadata.get(db.connection, _MARK)
        if text is None:
            return None
        said = json.loads(text)
        problems = tuple(RowError(line, reason) for line, reason in said["problems"])
        generations = tuple(said["generations"])
        return Mark(said["folder"], said["content"], generations, said["decisions"], problems, said["waiting"])

    def holds(self, folder: Path, data: bytes | None) -> bool:
        """Whether ``data`` is what was taken over from the file in ``folder``; one that is gone is to be restored."""
        known = self.folder == real_folder(folder) and self.content == content_of(data)
        return known and (data is not None or not self.decisions)

    def store(self, db: Database) -> None:
        """Makes the database remember this."""
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


def unchanged(db: Database, folder: Path) -> OverridesResult | None:
    """What holds when neither the file nor anything that it is looked up by changed; None when it has to be read.

    :raises OverridesError: the file cannot be read; the decisions stay.
    """
    path = folder / FILE_NAME
    data = read(path)
    mark = Mark.load(db)
    if mark is not None and mark.holds(folder, data) and mark.generations == generations_of(db):
        return OverridesResult(path, mark.decisions, problems=mark.problems)
    if data is None and not decisions.all_decisions(db.connection):
        return OverridesResult(path)
    return None


def read(path: Path) -> bytes | None:
    """The file's content, None when it is not there.

    :raises OverridesError: when it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise OverridesError(
            f"{path} cannot be read: {e.strerror}. Make it readable; until then your decisions stay as psm knows them."
        ) from e


def generations_of(db: Database) -> tuple[int, ...]:
    """Of the tables by which names in the file are looked up. Files come first: they change most and matter least."""
    connection = db.connection
    return tuple(
        metadata.generation(connection, table) for table in ("library_files", "libraries", "tracks", "decisions")
    )


def real_folder(folder: Path) -> str:
    """The folder as the mark holds it: one way of writing it, in text that JSON can hold."""
    return os.path.realpath(folder)


def content_of(data: bytes | None) -> str:
    """The hash by which the mark knows the file's content."""
    return "" if data is None else blake2b(data, digest_size=16).hexdigest()
