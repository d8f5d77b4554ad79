"""What watching costs, and how soon it sees a change: ``python -m benchmarks --watch [--files N…] [--runs N]``.

Everything is measured on real processes, from outside:

- The moments are those of the watcher's own events (``--json``), which it prints after the commit; they are printed to
  the millisecond that had begun, so one is added. Only their reading costs the watcher nothing more than the printing
  of a line. That the row is there is looked up, after the event, through a connection that only reads.
- The quiet time as it is by default is measured without events: the database is asked every 5 ms.
- Memory is what is resident (VmRSS) in the watcher's own process, when it has nothing to do any more. The processes
  that it starts for large work end with that work.
- Processor time is that of the process and of its children that have ended (/proc/PID/stat, in steps of 10 ms).

Linux only: memory and processor times are read from /proc.
"""

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.library import Song, library, wanted
from benchmarks.writing import write_library, write_playlist
from psm.config import WatchConfig
from tests.factories import flac_bytes
from tests.running import Psm
from tests.watching import WatchProcess

SIZES = (1_000, 5_000, 10_000, 50_000)
STORM_FILES = 10_000
CHANGES = 200
FEWER_CHANGES = 50
TRACKS = 1_000
"""Of the playlist that ``build --watch`` fills."""

DEBOUNCE_S = 0.05
"""The quiet time while single changes are timed; it is taken off."""

_IDLE_S = 25.0
_PASSES = 3
_PASS_S = 10
"""The shortest interval that may be set."""

_YOUNG_S = 2.5
_TIMEOUT_S = 300.0
WATCH = WatchConfig()
_EVENT_STEP_S = 0.001
_ASK_S = 0.005
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Size:
    """What was measured with a library of ``files`` files. Times in seconds, memory in MB.

    ``start_s`` lasts from the start of the program until it is ready. ``changes_s`` are single changes, from the close
    of the file to its row, without the quiet time; each used ``cpu_s`` of the processors. ``storm_s`` lasts from the
    end of a copy to the last row; a scan of the same files into a new database takes ``scan_s``. Memory stands for
    ``scan --watch`` and ``build --watch``, each before and after a storm.
    """

    files: int
    start_s: float
    changes_s: Sequence[float]
    cpu_s: float
    storm_s: float
    scan_s: float
    scan_mb: tuple[float, float]
    build_mb: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Idle:
    """The processor time of an idle watcher: its share between two looks at everything, and that of one look, in s."""

    share: float
    pass_s: float

    def over(self, interval_s: float) -> float:
        """The share of one processor, averaged over the time from one look to the next."""
        return self.share + self.pass_s / interval_s


def measure_watching(folder: Path, sizes: Sequence[int] = SIZES, *, runs: int) -> str:
    """Measures everything below ``folder``, and returns Markdown."""
    largest = max(sizes)
    storm_files = min(STORM_FILES, largest)
    songs = library(largest + 2 * storm_files, unkind=False)
    storms = [folder / "storm 1", folder / "storm 2"]
    for number, storm in enumerate(storms):
        first = largest + number * storm_files
        write_library(storm, songs[first : first + storm_files], first=first)
    found = []
    for files in sorted(sizes):
        note(f"with {files:,} files")
        place = Place(folder / str(files), songs[:files])
        changes = CHANGES if files == largest else FEWER_CHANGES
        if files == largest:
            note("until a change shows")
            visible = measure_visible(place, runs)
            note("idle")
            events = measure_idle(place)
            polling = measure_idle(place, "--poll")
        found.append(measure_size(place, storms, changes, runs))
        shutil.rmtree(place.folder)
    return "\n\n".join(
        (
            table(("", "measured", "at most"), goals(found, visible, events, polling, storm_files)),
            table(SIZE_COLUMNS, map(size_row, found)),
        )
    )


class Place:
    """A library that psm knows, with a home of its own."""

    def __init__(self, folder: Path, songs: list[Song]) -> None:
        self.folder = folder
        self.songs = songs
        self.psm = Psm(folder)
        self.root = folder / "music"
        write_library(self.root, songs, first=0)
        (self.root / "new").mkdir()
        self.psm("scan", self.root)

    def watch(self, *arguments: str, reconcile_s: int | None = None) -> WatchProcess:
        """Starts a watcher, when no file is so young that its next change might go unnoticed."""
        time.sleep(_YOUNG_S)
        setting = {} if reconcile_s is None else {"PSM__LIBRARY__WATCH__RECONCILE_INTERVAL": str(reconcile_s)}
        return WatchProcess(self.psm, *arguments, env=setting)

    def present(self, path: Path) -> tuple[int, int] | None:
        """Size and time of the row of a file that is there."""
        relative = os.fsencode(path.relative_to(self.root))
        with closing(sqlite3.connect(f"file:{self.psm.database}?mode=ro", uri=True)) as connection:
            found: tuple[int, int] | None = connection.execute(
                "SELECT size_bytes, mtime_ns FROM library_files WHERE library_id = 1 AND path = ? "
                "AND status = 'present'",
                (relative,),
            ).fetchone()
        return found

    def passes(self) -> float | None:
        """When everything was last looked at, in seconds since the epoch, as the watcher's status says."""
        from psm.services import watch_status

        [place] = self.psm.data_folder.glob("*.watch-*.json")
        status = watch_status.read(place)
        return None if status is None else status.last_reconcile_at


def note(what: str) -> None:
    """Says on stderr how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def measure_size(place: Place, storms: Sequence[Path], changes: int, runs: int) -> Size:
    starts: list[float] = []
    note("start-up and single changes")
    for _ in range(runs - 1):
        with place.watch("scan") as watcher:
            starts.append(ready_after_s(watcher))
            watcher.stop()
    with place.watch("scan", "--debounce", str(DEBOUNCE_S)) as watcher:
        starts.append(ready_after_s(watcher))
        times, cpu_s = measure_changes(place, watcher, changes)
        watcher.stop()
    note("a storm")
    with place.watch("scan") as watcher:
        starts.append(ready_after_s(watcher))
        before = settled_mb(watcher)
        storm_s = measure_storm(place, watcher, storms[0])
        after = settled_mb(watcher)
        watcher.stop()
    scan_s = timed_scan(place, storms[0])
    build = measure_build(place, storms[1])
    return Size(len(place.songs), statistics.median(starts), times, cpu_s, storm_s, scan_s, (before, after), build)


def measure_changes(place: Place, watcher: WatchProcess, count: int) -> tuple[list[float], float]:
    """New files, one after the other: the times from close to row, and the processor time of each."""
    times = []
    settle(watcher.pid)
    cpu_before = cpu_s(watcher.pid)
    for number in range(count):
        path = place.root / "new" / f"{number}.flac"
        path.write_bytes(flac_bytes(f"new {number}", title=f"New {number}", artist="Somebody"))
        closed_at = time.time()
        said = watcher.wait_for("scanned")
        times.append(said.at + _EVENT_STEP_S - closed_at - DEBOUNCE_S)
        if place.present(path) is None:
            raise SystemExit(f"{path} was said to be scanned, and has no row")
    return times, (cpu_s(watcher.pid) - cpu_before) / count


def measure_storm(place: Place, watcher: WatchProcess, storm: Path) -> float:
    """From the end of a copy to the last row."""
    count = sum(len(names) for _, _, names in os.walk(storm))
    subprocess.run(["cp", "-r", storm, place.root / storm.name], check=True)
    ended_at = time.time()
    added = 0
    while added < count:
        said = watcher.wait_for("scanned", timeout_s=_TIMEOUT_S)
        added += said.document["scan"]["added"]
    return said.at + _EVENT_STEP_S - ended_at


def timed_scan(place: Place, folder: Path) -> float:
    """A scan of a folder into a database of its own: the whole process."""
    psm = Psm(place.folder / "plain")
    began = time.perf_counter()
    psm("scan", folder)
    return time.perf_counter() - began


def measure_build(place: Place, storm: Path) -> tuple[float, float]:
    """The memory of ``build --watch`` that keeps a playlist filled, before and after a storm."""
    note("build --watch")
    tracks = wanted(TRACKS, place.songs)
    place.psm("playlist", "import", write_playlist(place.folder / "wanted.csv", tracks))
    place.psm("build")
    with place.watch("build") as watcher:
        watcher.wait_until_ready(timeout_s=_TIMEOUT_S)
        before = settled_mb(watcher)
        measure_storm(place, watcher, storm)
        after = settled_mb(watcher)
        watcher.stop()
    return before, after


def measure_visible(place: Place, runs: int) -> dict[str, float]:
    """How long until the database tells of a change, with the quiet time that is the default: the longest of each."""
    path = place.root / "new" / "seen.flac"
    found: dict[str, list[float]] = {"new": [], "changed": [], "deleted": []}

    def write(title: str) -> Callable[[], object]:
        return lambda: path.write_bytes(flac_bytes("seen", title=title, artist="Somebody"))

    with place.watch("scan") as watcher:
        watcher.wait_until_ready(timeout_s=_TIMEOUT_S)
        for _ in range(runs):
            for name, change in (("new", write("A")), ("changed", write("A longer title")), ("deleted", path.unlink)):
                before = place.present(path)
                change()
                began = time.monotonic()
                while place.present(path) == before:
                    time.sleep(_ASK_S)
                found[name].append(time.monotonic() - began)
        watcher.stop()
    return {name: max(times) for name, times in found.items()}


def measure_idle(place: Place, *arguments: str) -> Idle:
    """What an idle watcher uses between two looks at everything, and what such a look uses."""
    with place.watch("scan", *arguments, *(["--interval", "3600"] if arguments else [])) as watcher:
        watcher.wait_until_ready(timeout_s=_TIMEOUT_S)
        settle(watcher.pid)
        share = share_during(watcher.pid, _IDLE_S)
        watcher.stop()
    often = ["--interval", str(_PASS_S)] if arguments else []
    with place.watch("scan", *arguments, *often, reconcile_s=_PASS_S) as watcher:
        watcher.wait_until_ready(timeout_s=_TIMEOUT_S)
        settle(watcher.pid)
        began, cpu_before = time.monotonic(), cpu_s(watcher.pid)
        passes = changes_of(place.passes)
        for _ in range(_PASSES):
            next(passes)
        lasted_s, used_s = time.monotonic() - began, cpu_s(watcher.pid) - cpu_before
        watcher.stop()
    return Idle(share, max(0.0, used_s - share * lasted_s) / _PASSES)


def changes_of(value: Callable[[], object]) -> Iterator[object]:
    """Each new value of something, as soon as it has it."""
    before = value()
    while True:
        time.sleep(0.1)
        if (now := value()) != before:
            before = now
            yield now


def share_during(pid: int, seconds: float) -> float:
    """The share of one processor that a process uses from now on."""
    began, before = time.monotonic(), cpu_s(pid)
    time.sleep(seconds)
    return (cpu_s(pid) - before) / (time.monotonic() - began)


def ready_after_s(watcher: WatchProcess) -> float:
    return watcher.wait_until_ready(timeout_s=_TIMEOUT_S).at + _EVENT_STEP_S - watcher.started_at


def settled_mb(watcher: WatchProcess) -> float:
    settle(watcher.pid)
    return resident_mb(watcher.pid)


def settle(pid: int) -> None:
    """Waits until a process and its children have had next to nothing to do for three seconds."""
    quiet = 0
    before = cpu_s(pid)
    while quiet < 6:
        time.sleep(0.5)
        now = cpu_s(pid)
        quiet = quiet + 1 if now - before <= 1 / _TICKS and not children(pid) else 0
        before = now


def children(pid: int) -> list[str]:
    return [p for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]


def cpu_s(pid: int) -> float:
    """The processor time of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so much of the others does not exceed (the nearest rank)."""
    return sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]


SIZE_COLUMNS = (
    "files",
    "start to ready",
    "one change, without the quiet time: median",
    "p99",
    "processor",
    "storm: last row after the copy",
    "a scan of the storm",
    "memory of `scan --watch`: before, after the storm",
    "`build --watch`",
)


def size_row(size: Size) -> tuple[str, ...]:
    return (
        f"{size.files:,}",
        f"{size.start_s:.2f} s",
        ms(statistics.median(size.changes_s)),
        ms(percentile(size.changes_s, 0.99)),
        ms(size.cpu_s),
        f"{size.storm_s:.1f} s",
        f"{size.scan_s:.1f} s",
        mbs(size.scan_mb),
        mbs(size.build_mb),
    )


def goals(
    sizes: Sequence[Size], visible: dict[str, float], events: Idle, polling: Idle, storm_files: int
) -> Iterator[tuple[str, str, str]]:
    """What was measured beside what was aimed at."""
    largest = sizes[-1]
    files = f"{largest.files:,} files"
    count = len(largest.changes_s)
    yield (
        f"a change to its row after the quiet time, one file, p99 of {count}, {files}",
        ms(percentile(largest.changes_s, 0.99)),
        "100 ms",
    )
    for name, seconds in visible.items():
        yield f"a {name} file in the database, with a quiet time of 2 s, {files}", f"{seconds:.2f} s", "2.5 s"
    worst = max(sizes, key=lambda s: s.storm_s - allowed_s(s))
    yield (
        f"{storm_files:,} files copied in: the last row after the copy ends (into {worst.files:,} files)",
        f"{worst.storm_s:.1f} s = 2 s + {(worst.storm_s - 2) / worst.scan_s:.2f} × a scan of them",
        f"2 s + 1.3 × ({allowed_s(worst):.1f} s)",
    )
    for size in sizes:
        if (goal := _GOALS_MB.get(size.files)) is not None:
            scan = f"memory with {size.files:,} files: `scan --watch`, before and after a storm"
            yield scan, mbs(size.scan_mb), f"{goal} MB"
            yield f"the same of `build --watch`, {size.files:,} files", mbs(size.build_mb), f"{goal + 15} MB"
    yield (
        f"processor when idle, by events, with a look at all every {WATCH.reconcile_interval:.0f} s, {files}",
        part(events, WATCH.reconcile_interval),
        "0.2 %",
    )
    yield f"processor when idle, polling every 60 s, {files}", part(polling, 60), "1 %"
    yield f"start to ready, {files}", f"{largest.start_s:.2f} s", "2 s"


_GOALS_MB = {1_000: 35, 10_000: 40, 50_000: 45}


def allowed_s(size: Size) -> float:
    return 2 + 1.3 * size.scan_s


def ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def mbs(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.0f}" for v in values) + " MB"


def part(idle: Idle, interval_s: float) -> str:
    return (
        f"{100 * idle.over(interval_s):.2f} % ({100 * idle.share:.2f} % between the looks, "
        f"{idle.pass_s:.2f} s of processor each look)"
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = (columns, ["---"] * len(columns), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
