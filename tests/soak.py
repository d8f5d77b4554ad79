"""Random operations on real libraries while psm watches them: in the end the database says what the disk says.

    python -m tests.soak [--minutes 10] [--seed N]

The operations come in rounds. What people and their programs do to music is mixed with what befalls psm: it is killed,
stopped, restarted, its database locked. After a round nothing happens any more, a new database is filled by a full
scan, and the watcher's must come to hold the same files with the same size, time, fingerprint and tags. It has to do so
by what it heard: it looks at everything only when it has a doubt, or every eight minutes.

The same seed does the same things in the same order. How they fall together with what psm does at the moment differs.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import mutagen

from psm.errors import ExitCode
from tests.factories import flac_bytes
from tests.running import Psm
from tests.watching import WatchProcess

OPERATIONS = 60
"""In one round."""

PAUSES_S = (0.0, 0.0, 0.0, 0.02, 0.1, 0.3, 0.6)
"""Between two operations: some fall together, some do not."""

SETTLE_S = 60.0
"""How long the watcher may take to hold all, on a machine that is busy with other things."""

MOST_GONE = 40
"""How many files a round lets disappear at most. When more than 50 go, and these are 30 % of a library, psm keeps their
rows until somebody confirms it, which is not what is tested here."""

_ASK_S = 0.1
_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
_STOCK = 120
_ENOUGH = 600
_NAMES = (
    b"song",
    b"S\xc3\xb6ng",
    b"So\xcc\x88ng",
    b"b\xffd name",
    b"it's [live]",
    b"%41 #1",
    "曲".encode(),
    b"n" * 120,
)

Row = tuple[bytes, int, int, str | None, str | None, str | None]
"""Absolute path, size, time, error, fingerprint and title of a file that is there. What is known of a file that cannot
be read any more is kept, so the last two are left out then."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round did, and how long it took until the database said so, in seconds."""

    number: int
    operations: int
    files: int
    settled_s: float


def soak(folder: Path, *, seed: int, seconds: float, on_round: Callable[[Round], None] = lambda _: None) -> int:
    """Runs rounds below ``folder`` for so long, at least one. Returns how many.

    :raises AssertionError: when the database and the disk differ in the end; the message names the seed.
    """
    until = time.monotonic() + seconds
    chance = random.Random(seed)
    disk = Disk(folder, chance)
    watched = Watched(Psm(folder / "watched"), disk, chance)
    number = 0
    try:
        watched.start()
        while number == 0 or time.monotonic() < until:
            number += 1
            did: list[str] = []
            try:
                _do_some(disk, watched, chance, did)
                settled_s = watched.settle(folder / f"reference {number}")
            except Exception as e:
                e.add_note(f"seed {seed}, round {number}, after:\n  " + "\n  ".join(did))
                raise
            on_round(Round(number, len(did), len(disk.songs()), settled_s))
        watched.check()
    finally:
        disk.finish()
        watched.end()
    return number


def _do_some(disk: "Disk", watched: "Watched", chance: random.Random, did: list[str]) -> None:
    """One round of operations. Their names go into ``did``."""
    disk.gone = 0
    operations = {**disk.operations(), **watched.operations()}
    names, weights = list(operations), [weight for weight, _ in operations.values()]
    for _ in range(OPERATIONS):
        name = chance.choices(names, weights)[0]
        did.append(name)
        with suppress(Impossible):
            operations[name][1]()
        disk.go_on()
        time.sleep(chance.choice(PAUSES_S))  # part of what is done, not waiting for anything
    disk.finish()
    watched.finish()


class Impossible(Exception):  # noqa: N818  (no error: another operation is done instead)
    """There is nothing to do this with just now."""


@dataclass(slots=True)
class _Later:
    """Something that was begun and goes on: so many steps, one after some operations each."""

    steps: list[Callable[[], object]]
    every: int
    wait: int = field(init=False)

    def __post_init__(self) -> None:
        self.wait = self.every


class Disk:
    """Two libraries, a place outside of them, and what is done there. All paths are bytes: so are the names."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._chance = chance
        self.roots = [os.fsencode(folder / name) for name in ("music", "more music")]
        self._outside = os.fsencode(folder / "outside")
        self._away = os.fsencode(folder / "unplugged")
        self._number = 0
        self.gone = 0
        self._later: list[_Later] = []
        stock = Path(__file__).parent.parent / "psm" / "demo" / "music"
        self._real = sorted(os.fsencode(p) for p in stock.rglob("*") if p.suffix in {".mp3", ".ogg", ".m4a", ".flac"})
        for root in self.roots:
            for number in range(_STOCK):
                self._write(root + b"/Artist %d/Album %d" % (number % 6, number % 3))
        for number in range(3):
            for _ in range(4):
                self._write(self._outside + b"/linked %d" % number)
        for _ in range(4):
            self._write(self._outside + b"/apart")
        for number in range(100):
            self._write(self._outside + b"/many/%d" % (number % 3))

    def operations(self) -> dict[str, tuple[int, Callable[[], object]]]:
        """What can be done, by name, with how often it is."""
        return {
            "add": (8, self._add),
            "add real audio": (4, self._add_real),
            "add in new folders": (5, self._add_in_new_folders),
            "copy many at once": (1, self._copy_many),
            "write slowly": (3, self._write_slowly),
            "download": (4, self._download),
            "link a file": (2, self._hard_link),
            "retag in place": (6, self._retag_in_place),
            "retag and replace": (6, self._retag_and_replace),
            "change unseen": (2, self._change_unseen),
            "exchange the content": (2, self._exchange),
            "touch": (3, self._touch),
            "cut short": (2, self._cut),
            "delete": (4, self._delete),
            "delete a tree": (1, self._delete_tree),
            "rename": (6, self._rename),
            "rename and retag": (3, self._rename_and_retag),
            "swap two names": (2, self._swap),
            "rename a folder": (4, self._rename_folder),
            "move a folder out": (1, self._move_out),
            "move a folder in": (3, self._move_in),
            "move a folder across": (2, self._move_across),
            "file becomes folder": (1, self._file_becomes_folder),
            "link a folder": (3, self._link_folder),
            "add behind a link": (2, self._add_behind_link),
            "ignore a folder": (2, self._ignore_folder),
            "unplug a library": (1, self._unplug),
        }

    def go_on(self) -> None:
        """Goes on with what was begun."""
        for later in list(self._later):
            later.wait -= 1
            if later.wait <= 0:
                later.wait = later.every
                later.steps.pop(0)()
                if not later.steps:
                    self._later.remove(later)

    def finish(self) -> None:
        """Brings all that was begun to its end."""
        while self._later:
            for step in self._later.pop(0).steps:
                step()

    def songs(self) -> list[bytes]:
        """The audio files in the libraries that are there, links left out."""
        return sorted(
            os.path.join(folder, name)
            for root in self.roots
            for folder, _, names in os.walk(root)
            for name in names
            if name.endswith((b".flac", b".mp3", b".ogg", b".m4a"))
        )

    # New files

    def _add(self) -> None:
        self._write(self._folder())

    def _add_real(self) -> None:
        source = self._chance.choice(self._real)
        shutil.copyfile(source, self._new_name(self._folder(), os.path.splitext(source)[1]))

    def _add_in_new_folders(self) -> None:
        folder = self._new_name(self._folder(), b"") + b"/a/b/c"
        for _ in range(self._chance.randint(1, 5)):
            self._write(folder)

    def _copy_many(self) -> None:
        if len(self.songs()) > _ENOUGH:
            raise Impossible
        shutil.copytree(os.fsdecode(self._outside + b"/many"), os.fsdecode(self._new_name(self._root(), b" many")))

    def _write_slowly(self) -> None:
        whole = self._content()
        file = open(self._new_name(self._folder(), b".flac"), "wb", buffering=0)  # noqa: SIM115
        third = len(whole) // 3
        file.write(whole[:third])

        def end() -> None:
            with file:
                file.write(whole[2 * third :])

        self._begin(lambda: file.write(whole[third : 2 * third]), end)

    def _download(self) -> None:
        name = self._new_name(self._folder(), b".flac")
        part, whole = name + b".part", self._content()
        with open(part, "wb") as file:
            file.write(whole[:50])

        def end() -> None:
            with suppress(FileNotFoundError, NotADirectoryError):
                with open(part, "r+b") as file:
                    file.write(whole)
                os.rename(part, name)

        self._begin(end)

    def _hard_link(self) -> None:
        os.link(self._song(), self._new_name(self._folder(), b".flac"))

    # Changed files

    def _retag_in_place(self) -> None:
        self._retag(self._song(one_name=True))

    def _retag_and_replace(self) -> None:
        song = self._song()
        temporary = os.path.join(os.path.dirname(song), b"." + os.path.basename(song)[:60] + b".tmp")
        shutil.copyfile(song, temporary)
        self._retag(temporary)
        os.replace(temporary, song)

    def _change_unseen(self) -> None:
        """Other tags, and the size and the time of before: only the ctime tells."""
        song = self._song(b".flac", one_name=True)
        before = os.stat(song)
        with open(song, "r+b") as file:
            content = file.read()
            at = content.find(b"TITLE=")
            if at < 0:
                raise Impossible
            file.seek(at + len(b"TITLE="))
            file.write(b"%05d" % self._next())
        os.utime(song, ns=(before.st_atime_ns, before.st_mtime_ns))

    def _exchange(self) -> None:
        one, other = self._song(b".flac"), self._song(b".flac", one_name=True)
        if one != other:
            shutil.copyfile(one, other)

    def _touch(self) -> None:
        os.utime(
            self._song(one_name=True), (0, self._chance.choice((1_000_000_000, 1_500_000_000, time.time() + 3600)))
        )

    def _cut(self) -> None:
        """Not to nothing: psm waits for two minutes whether an empty file is filled."""
        with open(self._song(one_name=True), "r+b") as file:
            file.truncate(self._chance.choice((3, 100)))

    def touch_often(self, count: int) -> None:
        """Causes so many events. Two files take turns: the kernel makes one event of two that are the same."""
        songs = [self._song(one_name=True) for _ in range(2)]
        if songs[0] == songs[1]:
            raise Impossible
        for number in range(count):
            os.utime(songs[number % 2])

    # Gone, and elsewhere

    def _delete(self) -> None:
        self._lose(1)
        os.unlink(self._song())

    def _delete_tree(self) -> None:
        shutil.rmtree(self._losable_folder())

    def _rename(self) -> None:
        song = self._song()
        self._lose(1)  # of files with the same audio none can be known again
        os.rename(song, self._new_name(self._folder(), os.path.splitext(song)[1]))

    def _rename_and_retag(self) -> None:
        song = self._song(one_name=True)
        self._lose(1)
        name = self._new_name(self._folder(), os.path.splitext(song)[1])
        os.rename(song, name)
        self._retag(name)

    def _swap(self) -> None:
        one, other = self._song(b".flac"), self._song(b".flac")
        temporary = one + b".tmp"
        self._lose(2)
        os.rename(one, temporary)
        if os.path.exists(other):
            os.rename(other, one)
        os.rename(temporary, other)

    def _rename_folder(self) -> None:
        folder = self._losable_folder()
        os.rename(folder, self._new_name(os.path.dirname(folder), b""))

    def _move_out(self) -> None:
        os.rename(self._losable_folder(), self._new_name(self._outside + b"/apart", b""))

    def _move_in(self) -> None:
        apart = self._outside + b"/apart"
        folders = sorted(e.path for e in os.scandir(apart) if e.is_dir())
        if not folders:
            raise Impossible
        os.rename(self._chance.choice(folders), self._new_name(self._root(), b""))

    def _move_across(self) -> None:
        folder = self._losable_folder()
        os.rename(folder, self._new_name(self._root(), b""))

    def _file_becomes_folder(self) -> None:
        song = self._song()
        self._lose(1)
        os.unlink(song)
        self._write(song)

    # Links, rules and drives

    def _link_folder(self) -> None:
        """Makes a link to a folder outside, or lets one lead elsewhere."""
        link = self._root() + b"/link"
        target = self._outside + b"/linked %d" % self._chance.randrange(3)
        if os.path.islink(link):
            self._lose(sum(len(names) for _, _, names in os.walk(os.path.realpath(link))))
            os.symlink(target, link + b".new")
            os.replace(link + b".new", link)
        else:
            os.symlink(target, link)

    def _add_behind_link(self) -> None:
        self._write(self._outside + b"/linked %d" % self._chance.randrange(3))

    def _ignore_folder(self) -> None:
        """Hides a folder from psm, and shows it again."""
        marker = self._losable_folder() + b"/" + self._chance.choice((b".nomedia", b".psmignore"))
        with open(marker, "wb"):
            pass

        def show() -> None:
            with suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(marker)

        self._begin(show)

    def _unplug(self) -> None:
        """A library's folder is elsewhere for a while."""
        root = self._root()
        if os.path.exists(self._away):
            raise Impossible
        os.rename(root, self._away)
        self._begin(lambda: os.rename(self._away, root))

    # Choosing

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _begin(self, *steps: Callable[[], object]) -> None:
        self._later.append(_Later(list(steps), every=self._chance.randint(1, 6)))

    def _lose(self, count: int) -> None:
        if self.gone + count > MOST_GONE:
            raise Impossible
        self.gone += count

    def _root(self) -> bytes:
        return self._chance.choice([root for root in self.roots if os.path.isdir(root)])

    def _folder(self) -> bytes:
        root = self._root()
        return self._chance.choice(sorted(folder for folder, _, _ in os.walk(root)))

    def _losable_folder(self) -> bytes:
        """A folder with not too many files in it, which may all disappear."""
        found = [
            (folder, names) for root in self.roots for folder, _, names in os.walk(root) if folder not in self.roots
        ]
        folder = self._chance.choice(sorted(f for f, _ in found)) if found else None
        if folder is None:
            raise Impossible
        self._lose(sum(len(names) for _, _, names in os.walk(folder)))
        return folder

    def _song(self, ending: bytes = b"", *, one_name: bool = False) -> bytes:
        """A file. ``one_name``: no hard link; the system tells of a change by the name only by which it was made, and
        what the other names have is found by the next look at everything."""
        songs = [s for s in self.songs() if s.endswith(ending) and not (one_name and os.stat(s).st_nlink > 1)]
        if not songs:
            raise Impossible
        return self._chance.choice(songs)

    def _new_name(self, folder: bytes, ending: bytes) -> bytes:
        return folder + b"/%s %d%s" % (self._chance.choice(_NAMES), self._next(), ending)

    def _write(self, folder: bytes) -> None:
        name = self._new_name(folder, b".flac")
        os.makedirs(folder, exist_ok=True)
        with open(name, "wb") as file:
            file.write(self._content())

    def _content(self) -> bytes:
        number = self._next()
        return flac_bytes(f"audio {number}", title=f"{number:05} song", artist=f"Artist {number % 7}")

    def _retag(self, path: bytes) -> None:
        with suppress(mutagen.MutagenError):  # one that was cut short
            if (file := mutagen.File(os.fsdecode(path), easy=True)) is not None:
                if file.tags is None:
                    file.add_tags()
                file["title"] = [f"{self._next()} retagged"]
                file.save()


class Watched:
    """psm, which watches, and what befalls it."""

    def __init__(self, psm: Psm, disk: Disk, chance: random.Random) -> None:
        self.psm = psm
        self._disk = disk
        self._chance = chance
        self._process: WatchProcess | None = None
        self._lock: sqlite3.Connection | None = None
        self._stopped = False
        self._overflowed = False

    def operations(self) -> dict[str, tuple[int, Callable[[], object]]]:
        """What can happen to it, by name, with how often it does."""
        return {
            "kill -9 and restart": (1, lambda: self._restart(signal.SIGKILL)),
            "stop and restart": (1, lambda: self._restart(signal.SIGTERM)),
            "stop the process, or let it go on": (2, self._freeze),
            "overflow the queue of events": (1, self._overflow),
            "lock the database, or let go of it": (2, self._lock_database),
            "another scan": (1, self._scan_beside),
        }

    def start(self) -> None:
        """Makes the libraries and a playlist of their songs known, and begins to watch."""
        wanted = self.psm.home / "Wanted.csv"
        with wanted.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["Title", "Artist"])
            rows.writerows([f"{number:05} song", f"Artist {number % 7}"] for number in range(4 * _STOCK))
        self.psm("playlist", "import", wanted)
        self.psm("scan", *(Path(os.fsdecode(root)) for root in self._disk.roots))
        self._watch()

    def finish(self) -> None:
        """Lets go of the database, and lets psm run."""
        if self._lock is not None:
            self._lock_database()
        if self._stopped:
            self._freeze()

    def check(self) -> None:
        """Ends psm as a person would; what it leaves is whole, and every line of its playlists leads to a file."""
        self._watching.wait_for("ready")
        assert self._watching.stop() == 0
        self.psm("build")
        self.psm("export", "--verify")
        assert "is whole" in self.psm("doctor").stdout

    def end(self) -> None:
        """Ends psm."""
        self.finish()
        if self._process is not None:
            self._process.kill()

    def settle(self, folder: Path) -> float:
        """Waits until the database says what a new one would say; returns how long that took, in seconds."""
        began = time.monotonic()
        other = Psm(folder)
        other("scan", *(Path(os.fsdecode(root)) for root in self._disk.roots))
        wanted = set(_rows(other.database))
        shutil.rmtree(folder)
        while (found := set(_rows(self.psm.database))) != wanted:
            waited_s = time.monotonic() - began
            if waited_s > SETTLE_S:
                raise AssertionError(_difference(found, wanted))
            time.sleep(_ASK_S)
        assert "Traceback" not in self._watching.errors, self._watching.errors
        return time.monotonic() - began

    @property
    def _watching(self) -> WatchProcess:
        assert self._process is not None
        return self._process

    def _watch(self) -> None:
        self._overflowed = False
        self._process = WatchProcess(self.psm, self._chance.choice(("scan", "build")), "--debounce", "0.2")

    def _restart(self, number: signal.Signals) -> None:
        self.finish()
        if number == signal.SIGTERM:
            self._watching.wait_for("starting")  # before that, Python ends as any program does
        code = self._watching.stop(number)
        assert code == (0 if number == signal.SIGTERM else -number), code
        with suppress(Impossible):
            for _ in range(self._chance.randint(0, 5)):
                operation = self._chance.choice(sorted(self._disk.operations()))
                self._disk.operations()[operation][1]()
        self._watch()

    def _scan_beside(self) -> None:
        self.finish()
        scan = self.psm.start("scan", "--quick", "--accept-missing")
        _, errors = scan.communicate(timeout=SETTLE_S)
        assert scan.returncode in (ExitCode.DONE, ExitCode.FAILED, ExitCode.REFUSED), errors
        assert "Traceback" not in errors, errors

    def _freeze(self) -> None:
        self._watching.process.send_signal(signal.SIGCONT if self._stopped else signal.SIGSTOP)
        self._stopped = not self._stopped

    def _overflow(self) -> None:
        """More events than the kernel keeps; once for each process, as after each one psm waits longer."""
        if self._overflowed:
            raise Impossible
        self._overflowed = True
        if not self._stopped:
            self._freeze()
        self._disk.touch_often(int(_QUEUE.read_text()) + 100)

    def _lock_database(self) -> None:
        if self._lock is None:
            self._lock = sqlite3.connect(self.psm.database, isolation_level=None)
            try:
                self._lock.execute("PRAGMA busy_timeout = 10000")
                self._lock.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                self._lock.close()
                self._lock = None
        else:
            self._lock.close()
            self._lock = None


def _rows(database: Path) -> Iterator[Row]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for root, path, *rest in connection.execute(
            "SELECT l.root, f.path, f.size_bytes, f.mtime_ns, f.error, iif(f.error IS NULL, f.fingerprint, NULL), "
            "iif(f.error IS NULL, f.title, NULL) "
            "FROM library_files f JOIN libraries l ON l.id = f.library_id WHERE f.status = 'present'"
        ):
            yield (root + b"/" + path, *rest)


def _difference(found: set[Row], wanted: set[Row]) -> str:
    """What the database has and lacks, for people."""
    lines = [f"the database and the disk differ after {SETTLE_S:g} s:"]
    lines += [f"  not on disk: {json.dumps(row, default=repr)}" for row in sorted(found - wanted, key=repr)[:10]]
    lines += [f"  not in the database: {json.dumps(r, default=repr)}" for r in sorted(wanted - found, key=repr)[:10]]
    return "\n".join(lines)


def main() -> None:
    """Runs it as a command; the exit code is 1 when the database and the disk differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="psm-soak-"))

    def show(done: Round) -> None:
        print(f"round {done.number}: {done.files} files, the same after {done.settled_s:.1f} s", flush=True)

    try:
        soak(folder, seed=options.seed, seconds=60 * options.minutes, on_round=show)
    except BaseException:
        print(f"What was left: {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder)
    print("The database says what the disk says.")


if __name__ == "__main__":
    main()
