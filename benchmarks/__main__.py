"""Measures psm on a library made for it: ``python -m benchmarks [--files N] [--tracks N] [--runs N]``.

The library is invented, and like people's; ``--unkind`` makes one in which thousands of files share the words of their
names, as in a collection of classical music (see ``library``). ``--match`` measures matching alone,
``--watch`` watching alone (see ``watching``), with libraries of several sizes: ``--files 1000 50000``.

Each figure is the median of whole processes, and stands beside a plain program that does the least that the work needs,
run in turn with it, so that the ratio holds on any machine:

- a scan beside a loop that opens every file with mutagen;
- a quick scan, and a build with nothing to do, beside a loop that lists every folder and stats every file;
- a first match beside nothing: its own time and memory are the figure.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.library import library, wanted
from benchmarks.writing import write_library, write_playlist

FILES = 50_000
NEW_FILES = 100

PLAIN_WALK = """
import os, sys
def walk(folder):
    for entry in os.scandir(folder):
        if entry.is_dir():
            walk(entry.path)
        else:
            entry.stat()
walk(os.fsencode(sys.argv[1]))
"""
PLAIN_READ = """
import os, sys, mutagen
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        mutagen.File(os.path.join(folder, name))
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """The wall time of a command and what it used of the processors, in seconds; its largest resident memory, in MB."""

    seconds: float
    cpu_s: float
    peak_mb: float


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="psm-bench-") as folder:
        if options.watch:
            watch(Path(folder), options.files, options.runs)
        else:
            scan_and_match(Path(folder), options)


def watch(folder: Path, sizes: Sequence[int], runs: int) -> None:
    from benchmarks.watching import SIZES, measure_watching

    print(f"{machine()}, {time.strftime('%Y-%m-%d')}, {runs} runs\n", flush=True)
    print(measure_watching(folder, sizes or SIZES, runs=runs))


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"


def scan_and_match(folder: Path, options: argparse.Namespace) -> None:
    files = options.files[0] if options.files else FILES
    root = folder / "music"
    songs = library(files + NEW_FILES, unkind=options.unkind)
    held, new = songs[:files], songs[files:]
    write_library(root, held, first=0)
    playlist = write_playlist(folder / "wanted.csv", wanted(options.tracks, held))
    print(machine())
    kind = "an unkind library" if options.unkind else "a library"
    print(f"{kind} of {files:,} files, {options.tracks:,} tracks, median of {options.runs}\n")
    psm = _psm(folder / "home")

    row("first scan", once(psm("scan", str(root))))
    if not options.match:
        measure_scans(psm, root, options.runs)
    once(psm("playlist", "import", str(playlist)))
    row("first match", once(psm("match")))
    row("full match", median([once(psm("match", "--full")) for _ in range(options.runs)]))
    row("match, nothing new", median([once(psm("match")) for _ in range(options.runs)]))
    write_library(root / "new", new, first=files)
    once(psm("scan", "--quick"))
    row(f"match after {NEW_FILES} new files", once(psm("match")))
    if not options.match:
        once(psm("build"))
        compare("build, nothing to do", psm("build"), "list and stat", plain(PLAIN_WALK, root), options.runs)


def measure_scans(psm: Callable[..., list[str]], root: Path, runs: int) -> None:
    compare("full scan", psm("scan"), "mutagen on every file", plain(PLAIN_READ, root), runs)
    compare("quick scan, nothing new", psm("scan", "--quick"), "list and stat", plain(PLAIN_WALK, root), runs)


def compare(name: str, command: Sequence[str], other: str, plain_command: Sequence[str], runs: int) -> None:
    """Runs both in turn and prints the median of the ratios, pair by pair."""
    once(command)
    once(plain_command)
    pairs = [(once(command), once(plain_command)) for _ in range(runs)]
    ours = median([a for a, _ in pairs])
    theirs = statistics.median(b.seconds for _, b in pairs)
    ratio = statistics.median(a.seconds / b.seconds for a, b in pairs)
    row(name, ours, f"{ratio:5.2f} × {other} ({theirs:.2f} s)")


def median(timings: Sequence[Timing]) -> Timing:
    return Timing(
        statistics.median(t.seconds for t in timings),
        statistics.median(t.cpu_s for t in timings),
        max(t.peak_mb for t in timings),
    )


def row(name: str, timing: Timing, beside: str = "") -> None:
    cpu = f"(processor {timing.cpu_s:.2f} s)"
    print(f"{name:28} {timing.seconds:7.2f} s {cpu:22} {timing.peak_mb:6.0f} MB   {beside}".rstrip(), flush=True)


def once(command: Sequence[str]) -> Timing:
    """Runs a command to its end; its memory is its own largest process's."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    return Timing(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


_environment: dict[str, str] = {}


def _psm(home: Path) -> Callable[..., list[str]]:
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "PSM_"))}
    _environment.update(kept, HOME=str(home))
    return lambda *arguments: [sys.executable, "-m", "psm", *arguments]


def plain(program: str, root: Path) -> list[str]:
    return [sys.executable, "-c", program, str(root)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", help="how many; with --watch there may be several")
    parser.add_argument("--tracks", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--unkind", action="store_true", help="a library in which thousands share their words")
    parser.add_argument("--match", action="store_true", help="matching alone")
    parser.add_argument("--watch", action="store_true", help="watching alone; prints Markdown")
    return parser.parse_args()


if __name__ == "__main__":
    main()
