"""The export: every playlist, for every profile, into its folder; what nobody wants any more is taken away again."""

import hashlib
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from psm.config import ExportConfig, ExportProfile
from psm.db import Database, exports
from psm.db.exports import ExportPlaylist, ExportRow, ExportState, Generations, WrittenPlaylist
from psm.export import folder as folders
from psm.export import formats, manifest, paths
from psm.export.due import real_folder, settings_of
from psm.export.folder import Change
from psm.export.formats import Entry
from psm.export.manifest import ManifestDamaged, ManifestEntry, ManifestNewer, playlist_key
from psm.export.names import Wanted, assign, fold, safe_stem
from psm.export.paths import Place, Unwritable
from psm.export.result import ExportedPlaylist, ExportProblem, ExportResult, KeptFile, Outcome, Unusable
from psm.owned import Output, State, find, hash_of, locked
from psm.progress import NeverStop, Progress, ProgressCallback, StopSignal, no_progress

_SHORT_KEY = 8
_FOREIGN_NOTE = "there is a file of that name that psm did not write; psm export --overwrite keeps it as .bak"
_SOURCE_NOTE = "a playlist is read from it; set another folder for the profile, or another format"
_EDITED_NOTE = "it was edited since psm wrote it; psm export --overwrite keeps the edited one as .bak"


def export_playlists(
    db: Database,
    cfg: ExportConfig,
    *,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
    overwrite: bool = False,
    only: Sequence[str] | None = None,
    one_off: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> ExportResult:
    """Writes every playlist for every profile, and removes what psm wrote for playlists and profiles that are gone.

    A file is written whole or not at all, one that is the same already is not touched, and one that a person made or
    edited is left, unless ``overwrite`` (it then stays beside the new one as ``.bak``). ``only`` names the profiles to
    write; the files of the others stay. ``one_off``: the profiles are not the configured ones, so nothing is remembered
    and no other folder is cleaned up. What goes wrong in one folder is a problem in the result, and the others go on.
    """
    before = exports.generations(db.connection)
    chosen = [p for p in cfg.profiles if only is None or p.name in only]
    run = _Run(
        db=db,
        owner=_owner(db),
        known=frozenset(exports.folders(db.connection)),
        progress=progress,
        stop=stop,
        sleep=sleep,
        overwrite=overwrite,
        one_off=one_off,
        profiles_left=len(chosen),
    )
    groups = _by_folder(chosen)
    if not one_off:
        _remember(db, groups)
    for folder, profiles in groups.items():
        others = {p.name for p in cfg.profiles if p not in profiles and real_folder(p) == folder}
        run.export(folder, profiles, _Managed({p.name for p in profiles} if one_off else None, others, once=one_off))
    if only is None and not one_off:
        _clean_up(run, current=groups)
    result = run.result()
    if only is None and not one_off and result.complete and not result.problems:
        state = ExportState(settings_of(cfg), run.generations or before, run.outputs(groups), run.files())
        with db.transaction() as connection:
            exports.put_state(connection, state)
    return result


def entry_of(row: ExportRow) -> Entry:
    """The row as it is written down, but for its place.

    The file speaks for itself where its tags do, else the playlist.
    """
    tagged = row.path is not None and row.file_title and row.file_artists
    if tagged and not {"title", "artists"} & set(row.guessed):
        title, artists, album = row.file_title or "", row.file_artists, row.file_album
    else:
        title, artists, album = row.title, row.artists, row.album
    duration = row.duration_s if row.file_duration_s is None else row.file_duration_s
    return Entry(title, artists, album, duration)


@dataclass(slots=True)
class _Run:
    """One export under way: what it works on, and what it has found so far."""

    db: Database
    owner: str
    known: frozenset[bytes]
    progress: ProgressCallback
    stop: StopSignal
    sleep: Callable[[float], None]
    overwrite: bool
    one_off: bool
    profiles_left: int
    playlists: tuple[ExportPlaylist, ...] = ()
    gone: frozenset[str] = frozenset()
    generations: Generations | None = None
    contents: dict[bytes, WrittenPlaylist] = field(default_factory=dict)
    done: int = 0
    complete: bool = True
    exported: list[ExportedPlaylist] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    kept: list[KeptFile] = field(default_factory=list)
    problems: list[ExportProblem] = field(default_factory=list)
    away: list[ExportProblem] = field(default_factory=list)

    def result(self) -> ExportResult:
        """All of it."""
        return ExportResult(
            playlists=tuple(self.exported),
            removed=tuple(self.removed),
            kept=tuple(self.kept),
            problems=tuple(self.problems),
            away=tuple(self.away),
            complete=self.complete,
        )

    def outputs(self, groups: Iterable[bytes]) -> tuple[Output, ...]:
        """What has to stay as it is now, or an export is due."""
        written = [p.path for p in self.exported]
        lists = [os.path.join(folder, manifest.NAME) for folder in groups]
        # A drive that is away is an output too: once its folder, or the place of that, is back, an export is due.
        away = [path for a in self.away for path in (a.folder, os.path.dirname(a.folder))]
        return tuple(Output.of(path) for path in dict.fromkeys((*written, *lists, *away)))

    def files(self) -> tuple[WrittenPlaylist, ...]:
        """The playlist files that are as psm writes them."""
        good = (Outcome.WRITTEN, Outcome.UNCHANGED)
        return tuple(self.contents[p.path] for p in self.exported if p.outcome in good)

    def export(self, folder: bytes, profiles: Sequence[ExportProfile], managed: "_Managed") -> None:
        """Writes the playlists of ``profiles`` into ``folder``. ``managed`` says whose old files may be removed."""
        names = tuple(p.name for p in profiles)
        try:
            self._export(folder, profiles, managed)
        except ManifestNewer as e:
            self._fail(names, folder, f"{manifest.NAME.decode()} cannot be used: {e}; update psm")
        except OSError as e:
            if self.stop.is_set():
                self.complete = False
            else:
                self._fail(names, folder, f"cannot write there: {e.strerror or e}")
        self.profiles_left -= len(profiles)

    def _export(self, folder: bytes, profiles: Sequence[ExportProfile], managed: "_Managed") -> None:
        broken = {p.name: reason for p in profiles if (reason := paths.check(p)) is not None}
        for name, reason in broken.items():
            self._fail((name,), folder, reason)
        usable = [p for p in profiles if p.name not in broken]
        if folder in self.known and not os.path.isdir(os.path.dirname(folder)):
            # Making it again would fill the disk below the place where a stick or a card is mounted.
            reason = "it was there before and its parent folder is gone: its drive is not connected, it seems"
            self.away.append(ExportProblem(tuple(p.name for p in profiles), folder, reason))
            return
        if self.stop.is_set():
            self.complete = False
            return
        if usable:
            os.makedirs(folder, exist_ok=True)
        with locked(folder, kind=manifest.KIND, stop=self.stop, sleep=self.sleep):
            self._read()
            listed = self._listed(folder, tuple(p.name for p in profiles))
            self._fill(folder, usable, listed, managed.but(broken))

    def _read(self) -> None:
        """What there is to write. Read under the folder's lock: an older list would undo what others wrote meanwhile.

        The generations of the first folder stand for the whole export: what changes after it is seen the next time.
        """
        connection = self.db.connection
        if self.generations is None:
            self.generations = exports.generations(connection)
        self.playlists = exports.to_write(connection)
        self.gone = frozenset(map(playlist_key, exports.gone_sources(connection)))

    def _listed(self, folder: bytes, names: tuple[str, ...]) -> tuple[ManifestEntry, ...]:
        try:
            listed = manifest.read(folder)
        except ManifestDamaged as e:
            manifest.set_aside(folder)
            aside = manifest.DAMAGED_NAME.decode()
            # Not a problem that comes again: the next export finds a whole one.
            reason = (
                f"its list of the files that psm wrote is damaged ({e}) and was renamed to {aside}: "
                "only files that are as the last export left them count as psm's now"
            )
            self._fail(names, folder, reason)
            listed = ()
        return (*listed, *self._remembered(folder, listed))

    def _remembered(self, folder: bytes, listed: Sequence[ManifestEntry]) -> Iterator[ManifestEntry]:
        """The files of the last export that the manifest of ``folder`` has lost, as far as they are untouched."""
        state = exports.state(self.db.connection)
        names = {entry.name for entry in listed}
        pairs = {(entry.profile, entry.playlist) for entry in listed}
        for file in state.files if state is not None else ():
            name = os.fsdecode(os.path.basename(file.path))
            if os.path.dirname(file.path) != folder or name in names or (file.profile, file.playlist) in pairs:
                continue
            if find(folder, name, (file.hash,)).state is State.OURS:
                yield ManifestEntry(name, (file.hash,), self.owner, file.profile, file.playlist)

    def _fail(self, names: tuple[str, ...], folder: bytes, reason: str) -> None:
        self.problems.append(ExportProblem(names, folder, reason))

    def _fill(
        self,
        folder: bytes,
        profiles: Sequence[ExportProfile],
        listed: Sequence[ManifestEntry],
        managed: "_Managed",
    ) -> None:
        plan = _plan(self.playlists, profiles, listed, managed, owner=self.owner, known_gone=self.gone)
        total = self.done + self.profiles_left * len(self.playlists)
        changes: list[Change] = []
        settled = list(plan.others)
        first = len(self.exported)
        try:
            for profile in profiles:
                place = Place.of(profile, folder=folder)
                for playlist in self.playlists:
                    if self.stop.is_set():
                        self.complete = False
                        folders.discard(changes)
                        del self.exported[first:]
                        return
                    name = plan.names[profile.name, playlist_key(playlist.source)]
                    self._prepare(folder, place, playlist, name, plan, changes, settled)
                    self.done += 1
                    self.progress(Progress("export", self.done, total, playlist.name))
        except BaseException:
            folders.discard(changes)
            del self.exported[first:]
            raise
        removals, forgotten = self._leftovers(folder, plan)
        written, removed = folders.commit(
            folder, changes=changes, settled=settled, removals=removals, forgotten=forgotten
        )
        self.removed += [os.path.join(folder, os.fsencode(name)) for name in removed]
        fates = {os.path.join(folder, os.fsencode(w.name)): w for w in written}
        for number, done in enumerate(self.exported[first:], start=first):
            if (fate := fates.get(done.path)) is not None:
                self.exported[number] = _with_fate(done, fate)
                if fate.error is not None:
                    self._fail((done.profile,), folder, f"{fate.name}: {fate.error}")

    def _prepare(
        self,
        folder: bytes,
        place: Place,
        playlist: ExportPlaylist,
        name: str,
        plan: "_Plan",
        changes: list[Change],
        settled: list[ManifestEntry],
    ) -> None:
        entries, unusable = _entries(exports.rows(self.db.connection, playlist.id), place)
        content = formats.render(playlist.name, entries, place)
        profile, key, digest = place.profile.name, playlist_key(playlist.source), hash_of(content)
        once = self.one_off and (profile, key) not in plan.managed
        new = ManifestEntry(name, (digest,), self.owner, profile, key, once)
        path = os.path.join(folder, os.fsencode(name))
        self.contents[path] = WrittenPlaylist(path, profile, key, digest)
        found = find(folder, name, plan.known.get(name))
        # Replaced by psm's own, it would not be read again, and the playlist be gone with the next build.
        theirs = found.state in (State.EDITED, State.FOREIGN)
        source = theirs and _is_source(path, self.playlists)
        outcome, note = Outcome.WRITTEN, None
        if found.hash == digest:
            outcome = Outcome.UNCHANGED  # psm's, or the same as psm's: after a rebuilt database, or a lost manifest
            settled.append(new)
        elif theirs and (source or not self.overwrite):
            outcome = Outcome.KEPT
            note = _SOURCE_NOTE if source else _EDITED_NOTE if found.state is State.EDITED else _FOREIGN_NOTE
            if found.state is State.EDITED:
                settled.append(replace(new, hashes=plan.known[name]))
        else:
            changes.append(folders.prepare(folder, new, content, found, backup=theirs))
        self.exported.append(
            ExportedPlaylist(
                profile=profile,
                playlist=playlist.name,
                path=path,
                outcome=outcome,
                tracks=len(entries),
                found=sum(e.target is not None for e in entries),
                unusable=unusable,
                note=note,
            )
        )

    def _leftovers(self, folder: bytes, plan: "_Plan") -> tuple[list[ManifestEntry], list[ManifestEntry]]:
        """The files of playlists that went away: those to be removed, and those that a person has made their own."""
        removals, forgotten = [], []
        for entry in plan.gone:
            match find(folder, entry.name, entry.hashes).state:
                case State.OURS:
                    removals.append(entry)
                case State.ABSENT:
                    forgotten.append(entry)
                case _:
                    forgotten.append(entry)
                    path = os.path.join(folder, os.fsencode(entry.name))
                    self.kept.append(KeptFile(path, "its playlist is gone, but it was edited since psm wrote it"))
        return removals, forgotten


@dataclass(frozen=True, slots=True)
class _Managed:
    """Whose old files may be removed when nobody wants them: all profiles', or ``alone`` these, but ``never`` those.

    ``once``: those that exports to a folder named on the command line wrote, instead of those of configured profiles.
    """

    alone: set[str] | None
    never: set[str]
    once: bool = False

    def includes(self, entry: ManifestEntry) -> bool:
        """Whether this is one of them."""
        if entry.once != self.once or entry.profile in self.never:
            return False
        return self.alone is None or entry.profile in self.alone

    def but(self, broken: Iterable[str]) -> "_Managed":
        """All but these as well."""
        return _Managed(self.alone, self.never | set(broken), self.once)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a folder shall hold.

    ``names`` by (profile, playlist), ``known`` hashes by name, ``gone`` entries whose file nobody wants any more, the
    ``others`` that stay as they are, and the (profile, playlist) of those files that belong to configured profiles,
    ``managed``.
    """

    names: Mapping[tuple[str, str], str]
    known: Mapping[str, tuple[str, ...]]
    gone: tuple[ManifestEntry, ...]
    others: tuple[ManifestEntry, ...]
    managed: frozenset[tuple[str, str]]


def _plan(
    playlists: Sequence[ExportPlaylist],
    profiles: Sequence[ExportProfile],
    listed: Sequence[ManifestEntry],
    managed: _Managed,
    *,
    owner: str,
    known_gone: frozenset[str],
) -> _Plan:
    wanted = _wanted(playlists, profiles)
    asked = {(w.profile, w.playlist) for w in wanted}
    written = {p.name for p in profiles}

    def is_over(entry: ManifestEntry) -> bool:
        # That a playlist is not in the list proves nothing: the database may be a new one. It has to be known to have
        # gone away, or its profile to write here no more.
        mine = entry.owner == owner and managed.includes(entry)
        return mine and (entry.profile not in written or entry.playlist in known_gone)

    # The same playlist for the same profile is this one, whichever database wrote it: one that was rebuilt elsewhere,
    # say.
    ours = [e for e in listed if (e.profile, e.playlist) in asked or is_over(e)]
    mine = set(ours)
    others = [e for e in listed if e not in mine]
    names = assign(wanted, kept={(e.profile, e.playlist): e.name for e in ours}, taken=[e.name for e in others])
    known: dict[str, tuple[str, ...]] = {}
    for entry in ours:
        known[entry.name] = tuple(dict.fromkeys((*known.get(entry.name, ()), *entry.hashes)))
    used = {fold(name) for name in names.values()}
    gone = tuple(e for e in ours if fold(e.name) not in used)
    return _Plan(names, known, gone, tuple(others), frozenset((e.profile, e.playlist) for e in ours if not e.once))


def _wanted(playlists: Sequence[ExportPlaylist], profiles: Sequence[ExportProfile]) -> list[Wanted]:
    suffixes = Counter(p.format for p in profiles)
    wanted = []
    for profile in profiles:
        for playlist in playlists:
            labels = tuple(_labels(playlist))
            if suffixes[profile.format] > 1:
                labels = (profile.name, *(f"{profile.name}, {label}" for label in labels))
            key = playlist_key(playlist.source)
            wanted.append(Wanted(profile.name, key, playlist.name, f".{profile.format.value}", labels))
    return wanted


def _labels(playlist: ExportPlaylist) -> Iterator[str]:
    """What tells a playlist from another of its name: its file's name, its folder's, its provider, at last a number."""
    if os.path.isabs(playlist.source):
        path, name = os.path.split(playlist.source)
        stem, folder = os.fsdecode(os.path.splitext(name)[0]), os.fsdecode(os.path.basename(path))
        telling = fold(safe_stem(stem)) != fold(safe_stem(playlist.name))
        yield from (stem, folder, f"{folder}, {stem}") if telling else (folder,)
    yield playlist.provider
    yield playlist_key(playlist.source)[:_SHORT_KEY]


def _entries(rows: Iterable[ExportRow], place: Place) -> tuple[list[Entry], tuple[Unusable, ...]]:
    entries, unusable = [], []
    for row in rows:
        entry = entry_of(row)
        if row.path is not None:
            try:
                target = paths.target(row.path, place)
                formats.check(target, place.profile)
                entry = replace(entry, target=target)
            except Unwritable as e:
                unusable.append(Unusable(row.position, row.path, str(e)))
        entries.append(entry)
    return entries, tuple(unusable)


def _is_source(path: bytes, playlists: Iterable[ExportPlaylist]) -> bool:
    return any(path in (p.source, os.path.realpath(p.source)) for p in playlists)


def _with_fate(done: ExportedPlaylist, fate: folders.Written) -> ExportedPlaylist:
    if fate.error is not None:
        return replace(done, outcome=Outcome.FAILED, note=fate.error)
    if fate.kept is not None:
        return replace(done, outcome=Outcome.KEPT, note=fate.kept)
    return replace(done, backup=fate.backup)


def _clean_up(run: _Run, *, current: Mapping[bytes, Sequence[ExportProfile]]) -> None:
    """Removes what psm wrote to folders that no profile has any more. One that is not there now is kept in mind."""
    away = []
    for folder in exports.folders(run.db.connection):
        if folder in current or not os.path.isdir(folder):
            away.append(folder)
        else:
            before = len(run.problems)
            run.export(folder, [], _Managed(None, set()))
            if len(run.problems) > before or not run.complete:
                away.append(folder)
    with run.db.transaction() as connection:
        exports.put_folders(connection, tuple(away))


def _remember(db: Database, groups: Mapping[bytes, Sequence[ExportProfile]]) -> None:
    """Notes the folders before anything is written to them."""
    known = exports.folders(db.connection)
    union = tuple(dict.fromkeys((*known, *groups)))
    if union != known:
        with db.transaction() as connection:
            exports.put_folders(connection, union)


def _owner(db: Database) -> str:
    known = exports.known_owner(db.connection)
    if known is not None:
        return known
    # From the place of the database, so that one that is rebuilt there still knows the files of the old one.
    place = f"{platform.node()}\0".encode() + os.path.realpath(os.fsencode(db.path))
    with db.transaction() as connection:
        return exports.owner(connection, default=hashlib.blake2b(place, digest_size=16).hexdigest())


def _by_folder(profiles: Iterable[ExportProfile]) -> dict[bytes, list[ExportProfile]]:
    groups: dict[bytes, list[ExportProfile]] = {}
    for profile in profiles:
        groups.setdefault(real_folder(profile), []).append(profile)
    return groups
