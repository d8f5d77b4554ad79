"""A build with nothing to do starts often, and a watcher stays for weeks: neither carries what it does not use."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.factories import write_flac
from tests.running import Psm, without_coverage

HEAVY = ("rapidfuzz", "jinja2", "rich", "yaml", "csv", "statistics", "mutagen", "multiprocessing", "concurrent.futures")
STAGES = ("psm.services.matching", "psm.match.decide", "psm.export.stage", "psm.report.stage", "psm.ingest.reading")
LOADED = """
import json, sys
from psm.cli import run
code = run(["build"])
print(json.dumps([code, sorted(sys.modules)]))
"""


def test_an_idle_build_loads_no_stage_and_nothing_that_only_stages_need(tmp_path: Path) -> None:
    psm = Psm(tmp_path)
    song = write_flac(psm.home / "Music" / "a.flac", title="So What", artist="Miles Davis")
    os.utime(song, (1_600_000_000, 1_600_000_000))  # long ago: a fresh one is read once more by the next scan
    lists = psm.home / "Lists"
    lists.mkdir()
    for name, content in (
        ("a.m3u8", "#EXTM3U\n#EXTINF:1,Miles Davis - So What\nx.mp3\n"),
        ("b.csv", "Title,Artist\nSo What,Miles Davis\n"),
    ):
        (lists / name).write_text(content)
        os.utime(lists / name, (1_600_000_000, 1_600_000_000))
    psm("build", "--library", "Music", "--playlists", "Lists")
    psm("build")
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        env=without_coverage(psm.environment),
        cwd=psm.home,
        capture_output=True,
        text=True,
        check=True,
    )
    said, last = done.stdout.strip().rsplit("\n", 1)
    code, modules = json.loads(last)
    assert (code, said.splitlines()[-1]) == (0, "Nothing to do: everything is as the last build left it.")
    assert not {*HEAVY, *STAGES} & set(modules)
