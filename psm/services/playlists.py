"""Takes playlists in: files and folders by name, and the configured folders that ``psm build`` keeps up with."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from psm.abandon import abandonable
from psm.db import Database, library_roots, playlist_sources, playlists, tracks
from psm.db.playlists import KnownSource, StoredPlaylist
from psm.errors import UsageError
from psm.match import track_key
from psm.models import Playlist, PlaylistEntry, RowError, SourcePlaylist, Status
from psm.progress import NeverStop, Progress, ProgressCallback, StopSignal, no_progress
from psm.providers import NoPlaylist, WrittenByPsm, is_shared, provider_for
from psm.services.playlist_places import Places
from psm.services.playlist_sources import (
    SourceState,
    Unreadable,
    Walk,
    is_report,
    read_content,
    source_path,
    stat_of,
    walk,
)

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())  # without logging set up, Python would print the traceback

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class PlaylistChange:
    """A playlist that was taken in, and what that changed: see :class:`psm.db.playlists.StoredPlaylist`."""

    playlist_id: int
    name: str
    source: bytes
    track_count: int
    added: int = 0
    removed: int = 0
    moved: int = 0


@dataclass(frozen=True, slots=True)
class SourceProblem:
    """A file or folder that could not be used, and why. What an earlier import took from it stays as it was."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class RowProblems:
    """The rows of one source that could not be used; all others were."""

    name: str
    source: bytes
    errors: tuple[RowError, ...]


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did.

    ``missing`` are the playlists whose file is proven to have left its playlists folder: they are kept, out of every
    export, until it returns. ``gone`` are those whose file is not there although they were imported by name, or
    without such a proof: they stay as they are. ``absent`` are remembered files that are not there and that the
    database holds no playlist of, as after its loss. ``released`` are playlists whose folder is not followed any more:
    from now on they count as imported by name. ``notes`` are files that are no playlists, ``own`` those that psm wrote
    itself. Row problems are told when a source is read, so not again for those that did not change. ``complete`` is
    false when it was stopped early.
    """

    added: tuple[PlaylistChange, ...] = ()
    updated: tuple[PlaylistChange, ...] = ()
    unchanged: tuple[PlaylistChange, ...] = ()
    missing: tuple[Playlist, ...] = ()
    gone: tuple[Playlist, ...] = ()
    absent: tuple[bytes, ...] = ()
    released: tuple[Playlist, ...] = ()
    row_problems: tuple[RowProblems, ...] = ()
    problems: tuple[SourceProblem, ...] = ()
    notes: tuple[SourceProblem, ...] = ()
    own: tuple[bytes, ...] = ()
    complete: bool = True

    @property
    def nothing_used(self) -> bool:
        """Whether not one playlist came of it."""
        return not (self.added or self.updated or self.unchanged)


def import_playlists(
    db: Database,
    paths: Sequence[bytes],
    *,
    clock: Clock = time.time,
    progress: ProgressCallback = no_progress,
    stop: StopSignal | None = None,
) -> ImportResult:
    """Takes in playlist files by name, and all that are found in folders. One bad file never ends it."""
    stop = stop or NeverStop()
    intake = _Intake(db, clock, progress, stop)
    targets: list[_Target] = []
    for path in paths:
        if not os.path.isdir(path):
            targets.append(_Target(source_path(path), named=True, afresh=True))
        elif (found := intake.walk(path)) is not None:
            inside = [_Target(file, afresh=True) for file in found.files if provider_for(file)]
            if not inside and not found.own:
                intake.problems.append(SourceProblem(path, f"there are no playlists in it; psm reads {_endings()}"))
            targets += inside
    intake.take(targets)
    return intake.result()


def pull(
    db: Database,
    folders: Sequence[Path],
    *,
    clock: Clock = time.time,
    progress: ProgressCallback = no_progress,
    stop: StopSignal | None = None,
) -> ImportResult:
    """Brings the database up to date with ``folders`` (the configured ones) and with everything that is remembered.

    A source that did not change costs one ``stat``. A playlist goes missing only on proof that its file has left a
    folder that was listed, and comes back with its file. A folder that is neither among ``folders`` nor remembered is
    not followed any more; its playlists stay.
    """
    stop = stop or NeverStop()
    intake = _Intake(db, clock, progress, stop)
    remembered = playlist_sources.remembered(db.connection)
    followed = dict.fromkeys([*(os.fsencode(folder.absolute()) for folder in folders), *remembered.folders])
    walks = [found for folder in followed if (found := intake.walk(folder)) is not None]
    targets = {file: _Target(file, folder=w.root) for w in reversed(walks) for file in w.files if provider_for(file)}
    by_name = [k.playlist.source for k in intake.known.values() if _is_looked_for(k.playlist)]
    for source in (*by_name, *remembered.files):
        targets.setdefault(source, _Target(source, quiet_when_gone=True))
    intake.take([targets[source] for source in sorted(targets)])
    intake.settle_absent(walks)
    intake.release_all_but(followed)
    return intake.result()


def remove(db: Database, playlist: str) -> Playlist:
    """Deletes the playlist of this name or id, and returns it. Manual decisions for its tracks stay.

    A file that was imported by name is not remembered any longer; the folder of the playlist is. Raises UsageError
    when there is none, or more than one. A playlist whose file is still in a playlists folder is taken in again by the
    next :func:`pull`.
    """
    with db.transaction() as connection:
        found = playlists.find_playlist(connection, playlist)
        playlists.remove(connection, found.id)
    return found


def follow(db: Database, folders: Sequence[Path]) -> None:
    """Remembers folders whose playlists every later :func:`pull` is to keep up with."""
    with db.transaction() as connection:
        for folder in folders:
            playlist_sources.remember_folder(connection, os.path.realpath(os.fsencode(folder)))


def follow_files(db: Database) -> None:
    """Lets tracks that were found by path follow their files to where those are now: see psm.db.tracks.

    Comes after a scan and before matching. Nothing is written when no file or library moved.
    """
    if tracks.files_are_followed(db.connection) and library_roots.is_noted(db.connection):
        return
    with db.transaction() as connection:
        tracks.follow_files(connection)
        library_roots.note(connection)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A remembered source that is no longer. ``released`` are the playlists of that folder: they stay."""

    path: bytes
    released: tuple[Playlist, ...] = ()


def forget(db: Database, path: bytes) -> Forgotten:
    """Stops following a folder, or looking for a file that was imported by name and is not there any more.

    Its playlists count as imported by name from then on. :raises UsageError: when it is not remembered, or is the file
    of a playlist that the database holds.
    """
    absolute = os.path.abspath(path)
    with db.transaction() as connection:
        remembered = playlist_sources.remembered(connection)
        names = (absolute, os.path.realpath(absolute), source_path(absolute))
        found = next((name for name in names if name in (*remembered.folders, *remembered.files)), None)
        if found is None:
            listed = "\n".join(f"  {_shown(name)}" for name in (*remembered.folders, *remembered.files))
            raise UsageError(
                f"{_shown(path)} is not among what psm remembers. "
                + (f"Those are:\n{listed}" if listed else "There is nothing: see psm playlist list.")
            )
        known = playlists.known_sources(connection)
        if found in known:
            raise UsageError(
                f"{_shown(path)} is a playlist: psm playlist remove {known[found].playlist.id} removes it."
            )
        playlist_sources.forget(connection, found)
        released = tuple(k.playlist for k in known.values() if k.playlist.folder == found)
        for playlist in released:
            playlists.release(connection, playlist.id)
    return Forgotten(found, released)


def _is_looked_for(playlist: Playlist) -> bool:
    """Whether the source is looked for by its own name: one that left its folder comes back when the folder has it."""
    return playlist.status is Status.PRESENT or playlist.folder is None


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace").replace("\n", "\\n")


@dataclass(frozen=True, slots=True)
class _Target:
    """A file to look at. ``folder`` is the playlists folder it was found in; ``named`` says that a person named it.

    ``afresh`` ones are read even when they are known not to have changed, so that their row problems are told again.
    """

    path: bytes
    folder: bytes | None = None
    named: bool = False
    afresh: bool = False
    quiet_when_gone: bool = False


@dataclass(frozen=True, slots=True)
class _Looked:
    """What looking at a target gave. ``state`` alone means that nothing but the file's time changed."""

    target: _Target
    state: SourceState | None = None
    playlist: SourcePlaylist | None = None
    problem: str | None = None
    own: bool = False
    no_playlist: bool = False
    gone: bool = False


class _Intake:
    """One import as it goes on. A thread that can be left behind looks at the files; the database is written here."""

    def __init__(self, db: Database, clock: Clock, progress: ProgressCallback, stop: StopSignal) -> None:
        follow_files(db)
        self.known = playlists.known_sources(db.connection)
        self._places = Places(library_roots.former(db.connection), stop)
        self.problems: list[SourceProblem] = []
        self._roots: set[bytes] = set()
        self._db = db
        self._clock = clock
        self._progress = progress
        self._stop = stop
        self._added: list[PlaylistChange] = []
        self._updated: list[PlaylistChange] = []
        self._unchanged: list[PlaylistChange] = []
        self._missing: list[Playlist] = []
        self._absent: list[KnownSource] = []
        self._gone: list[Playlist] = []
        self._away: list[bytes] = []
        self._released: list[Playlist] = []
        self._rows: list[RowProblems] = []
        self._notes: list[SourceProblem] = []
        self._own: list[bytes] = []

    def walk(self, folder: bytes) -> Walk | None:
        """Lists a folder, None when it cannot be."""
        found: Walk | None = None
        try:
            for root, listed in abandonable(self._listing(folder), stop=self._stop):
                self._roots.add(root)
                found = listed
        except Unreadable as e:
            self.problems.append(SourceProblem(folder, str(e)))
        if found is not None:
            self.problems += [SourceProblem(path, reason) for path, reason in found.problems]
            self._own += found.own
        return found

    def _listing(self, folder: bytes) -> Iterator[tuple[bytes, Walk | None]]:
        """The folder's real path first: it is known also when the folder cannot be listed."""
        root = os.path.realpath(folder)
        yield root, None
        yield root, walk(root, stop=self._stop)

    def take(self, targets: Sequence[_Target]) -> None:
        """Looks at every target once and stores what it says."""
        once = list({target.path: target for target in reversed(targets)}.values())[::-1]
        for done, looked in enumerate(abandonable(self._look_at(once), stop=self._stop), start=1):
            self._record(looked)
            name = os.path.basename(looked.target.path).decode("utf-8", "backslashreplace")
            self._progress(Progress("playlists", done, len(once), name))

    def settle_absent(self, walks: Sequence[Walk]) -> None:
        """Decides, for known sources that are not there, whether that is proven."""
        if self._stop.is_set():
            return
        for known in self._absent:
            if any(w.root == known.playlist.folder and w.proves_gone(known.playlist.source) for w in walks):
                with self._db.transaction() as connection:
                    playlists.set_status(connection, known.playlist.id, Status.MISSING)
                self._missing.append(known.playlist)
            else:
                self._gone.append(known.playlist)

    def release_all_but(self, followed: Iterable[bytes]) -> None:
        """Lets go of the playlists whose folder is not followed any more. Nothing is looked for on disk."""
        if self._stop.is_set():
            return
        folders = {None, *followed, *self._roots}
        with self._db.snapshot() as connection:
            free = [p for p in playlists.all_playlists(connection) if p.folder not in folders]
        if free:
            with self._db.transaction() as connection:
                for playlist in free:
                    playlists.release(connection, playlist.id)
        self._released += free

    def result(self) -> ImportResult:
        """All that happened."""
        return ImportResult(
            absent=tuple(self._away),
            released=tuple(self._released),
            added=tuple(self._added),
            updated=tuple(self._updated),
            unchanged=tuple(self._unchanged),
            missing=tuple(self._missing),
            gone=tuple(self._gone),
            row_problems=tuple(self._rows),
            problems=tuple(self.problems),
            notes=tuple(self._notes),
            own=tuple(self._own),
            complete=not self._stop.is_set(),
        )

    def _look_at(self, targets: Iterable[_Target]) -> Iterator[_Looked]:
        for target in targets:
            try:
                yield self._look(target)
            except Unreadable as e:
                yield _Looked(target, problem=str(e))

    def _look(self, target: _Target) -> _Looked:
        before = self._settled_state(target)
        found = stat_of(target.path)
        if found is None:
            return _Looked(target, problem="there is no such file", gone=target.quiet_when_gone)
        if before is not None and before.still_holds(found):
            return _Looked(target, state=before)
        provider = provider_for(target.path)
        if provider is None:
            return _Looked(target, problem=f"its name has no ending that psm reads ({_endings()})")
        content = read_content(target.path, now=self._clock())
        if before is not None and before.digest == content.state.digest:
            return _Looked(target, state=content.state)
        try:
            if is_report(target.path, content.data):
                raise WrittenByPsm
            playlist = provider.read(content.data, target.path)
            return _Looked(target, state=content.state, playlist=self._places.resolve(playlist))
        except WrittenByPsm as e:
            return _Looked(target, problem=str(e), own=True)
        except NoPlaylist as e:
            return _Looked(target, problem=str(e), no_playlist=is_shared(target.path))
        except Exception as e:  # a worker boundary: one file that a provider stumbles over must not end every build
            logger.exception("%s cannot be read", _shown(target.path))
            return _Looked(
                target, problem=f"psm has a defect here ({type(e).__name__}); please report it, with the file"
            )

    def _settled_state(self, target: _Target) -> SourceState | None:
        """The state of which the database already says all that there is to say; None when it must be read again."""
        known = self.known.get(target.path)
        if target.afresh or known is None or known.playlist.status is not Status.PRESENT:
            return None
        if target.folder is not None and target.folder != known.playlist.folder:
            return None
        return SourceState.parse(known.source_state)

    def _record(self, looked: _Looked) -> None:
        target, known = looked.target, self.known.get(looked.target.path)
        if looked.own and not target.named:
            self._own.append(target.path)
        elif looked.gone and known is None:
            self._away.append(target.path)
        elif looked.gone and known is not None and known.playlist.status is not Status.PRESENT:
            pass  # it went missing before, and still is
        elif looked.gone and known is not None:
            self._absent.append(known)
        elif looked.problem is not None:
            noted = looked.no_playlist and not target.named and known is None
            (self._notes if noted else self.problems).append(SourceProblem(target.path, looked.problem))
            if looked.own:
                self._own.append(target.path)
        elif looked.playlist is not None:
            self._store(looked, looked.playlist)
        elif known is not None:
            self._keep(looked, known)

    def _keep(self, looked: _Looked, known: KnownSource) -> None:
        if str(looked.state) != known.source_state:
            with self._db.transaction() as connection:
                playlists.note_state(connection, known.playlist.id, str(looked.state), folder=looked.target.folder)
        self._unchanged.append(_change(StoredPlaylist(known.playlist.id), known.playlist, known.playlist.track_count))

    def _store(self, looked: _Looked, playlist: SourcePlaylist) -> None:
        if playlist.errors:
            self._rows.append(RowProblems(playlist.name, playlist.source, playlist.errors))
        if playlist.errors and not playlist.entries:
            # Most likely a damaged file: an earlier state of the playlist is better than an empty one.
            self.problems.append(SourceProblem(playlist.source, "not one of its rows can be used"))
            return
        with self._db.transaction() as connection:
            stored = playlists.store(
                connection,
                playlist,
                folder=looked.target.folder,
                source_state=str(looked.state),
                now=self._clock(),
                key=key_of,
            )
        change = _change(stored, playlist, len(playlist.entries))
        (self._added if stored.created else self._unchanged if stored.unchanged else self._updated).append(change)


def key_of(entry: PlaylistEntry) -> str:
    """The key of the track that an entry asks for: see :func:`psm.match.track_key`."""
    return track_key(
        title=entry.title,
        artists=entry.artists,
        album=entry.album,
        isrc=entry.isrc,
        mb_recording_id=entry.mb_recording_id,
        locations=entry.locations,
        guessed=entry.guessed,
    )


def _change(stored: StoredPlaylist, playlist: Playlist | SourcePlaylist, track_count: int) -> PlaylistChange:
    return PlaylistChange(
        stored.playlist_id,
        playlist.name,
        playlist.source,
        track_count,
        added=stored.added,
        removed=stored.removed,
        moved=stored.moved,
    )


def _endings() -> str:
    from psm.providers import PROVIDERS

    return ", ".join(ending for provider in PROVIDERS for ending in provider.suffixes)
