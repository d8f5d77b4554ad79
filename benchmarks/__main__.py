"""Measures psm on a library made for it: ``python -m benchmarks [--files N] [--tracks N] [--runs N]``.

Each figure is the median of whole processes, and stands beside a plain program that does the least that the work needs,
run in turn with it, so that the ratio holds on any machine:

- a scan beside a loop that opens every file with mutagen;
- a quick scan, and a build with nothing to do, beside a loop that lists every folder and stats every file;
- a first match beside nothing: its own time and memory are the figure.
"""

import argparse
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.factories import flac_bytes

WORDS = (  # noqa: SIM905  (a list of this length is harder to read)
    "love night day blue red moon sun river song dance fire heart rain road dream light star home city girl boy time "
    "world life train gold black white summer winter glass paper stone garden mirror ocean shadow silver thunder window"
).split()

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
    """The median wall time of a command, in seconds, and its largest resident memory, in MB."""

    seconds: float
    peak_mb: float


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="psm-bench-") as folder:
        root = Path(folder) / "music"
        make_library(root, options.files)
        playlist = make_playlist(Path(folder) / "wanted.csv", options.tracks, options.files)
        print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
        print(f"{options.files:,} files, {options.tracks:,} tracks, median of {options.runs}\n")
        psm = _psm(Path(folder) / "home")

        walk, read = plain(PLAIN_WALK, root), plain(PLAIN_READ, root)

        row("first scan", once(psm("scan", str(root))))
        compare("full scan", psm("scan"), "mutagen on every file", read, options.runs)
        compare("quick scan, nothing new", psm("scan", "--quick"), "list and stat", walk, options.runs)
        once(psm("playlist", "import", str(playlist)))
        row("first match", once(psm("match")))
        row("full match", once(psm("match", "--full")))
        for n in range(100):
            (root / "new" / f"{n}").mkdir(parents=True)
            (root / "new" / f"{n}" / "x.flac").write_bytes(song(options.files + n))
        once(psm("scan", "--quick"))
        row("match after 100 new files", once(psm("match")))
        once(psm("build"))
        compare("build, nothing to do", psm("build"), "list and stat", walk, options.runs)


def make_library(root: Path, count: int) -> None:
    """Writes ``count`` header-only FLAC files, twelve to an album, ten albums to an artist."""
    for n in range(count):
        folder = root / f"Artist {n // 120}" / f"Album {n // 12 % 10}"
        if n % 12 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{n % 12 + 1:02} song.flac").write_bytes(song(n))


def song(n: int) -> bytes:
    """The content of the n-th file, the same in every run."""
    chance = random.Random(n)
    title = " ".join(chance.sample(WORDS, 3)).title()
    return flac_bytes(
        f"song {n}",
        seconds=120 + chance.random() * 200,
        title=title,
        artist=f"{WORDS[n // 120 % len(WORDS)].title()} Artist {n // 120}",
        album=f"Album {n // 12 % 10}",
        tracknumber=str(n % 12 + 1),
    )


def make_playlist(file: Path, count: int, files: int) -> Path:
    """Writes a CSV of tracks: four of five are in the library, some spelt a little differently."""
    chance = random.Random(1)
    lines = ["Track Name,Artist Name(s),Album Name,Track Duration (ms)"]
    for k in range(count):
        n = chance.randrange(files)
        of_song = random.Random(n)
        title = " ".join(of_song.sample(WORDS, 3)).title()
        seconds = 120 + of_song.random() * 200
        artist = f"{WORDS[n // 120 % len(WORDS)].title()} Artist {n // 120}"
        if k % 5 == 0:
            title = f"{chance.choice(WORDS)} absent {k}"
        elif k % 5 == 1:
            title += " - Remastered 2011"
        elif k % 5 == 2:
            title = title[:-1]
        lines.append(f"{title},{artist},Album {n // 12 % 10},{seconds * 1000:.0f}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def compare(name: str, command: Sequence[str], other: str, plain_command: Sequence[str], runs: int) -> None:
    """Runs both in turn and prints the median of the ratios, pair by pair."""
    once(command)
    once(plain_command)
    pairs = [(once(command), once(plain_command)) for _ in range(runs)]
    ours = Timing(statistics.median(a.seconds for a, _ in pairs), max(a.peak_mb for a, _ in pairs))
    theirs = statistics.median(b.seconds for _, b in pairs)
    ratio = statistics.median(a.seconds / b.seconds for a, b in pairs)
    row(name, ours, f"{ratio:5.2f} × {other} ({theirs:.2f} s)")


def row(name: str, timing: Timing, beside: str = "") -> None:
    print(f"{name:28} {timing.seconds:7.2f} s {timing.peak_mb:6.0f} MB   {beside}".rstrip(), flush=True)


def once(command: Sequence[str]) -> Timing:
    """Runs a command to its end; its memory is its own largest process's."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    return Timing(seconds, usage.ru_maxrss / 1024)


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
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--tracks", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
