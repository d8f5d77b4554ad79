"""Invariants of the scan over random sequences of file operations."""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from psm.config import LibraryConfig
from psm.db import Database, files, libraries
from psm.ingest.library import scan_library, scan_library_incremental, scan_specific_files
from psm.models import Status
from tests.factories import flac_bytes

FOLDERS = ("", "a", "a/b", "c")
NAMES = ("1.flac", "2.flac", "3.mp3x", "4.flac")
PLACES = tuple(f"{folder}/{name}".lstrip("/") for folder in FOLDERS for name in NAMES if name.endswith("flac"))

places = st.sampled_from(PLACES)
operations = st.one_of(
    st.tuples(st.just("write"), places, st.integers(0, 4)),
    st.tuples(st.just("retag"), places, st.integers(0, 4)),
    st.tuples(st.just("delete"), places, st.just(0)),
    st.tuples(st.just("rename"), places, places),
    st.tuples(st.just("swap"), places, places),
    st.tuples(st.just("copy"), places, places),
    st.tuples(st.just("rename folder"), st.sampled_from(FOLDERS[1:]), st.sampled_from(("d", "a", "c"))),
    st.tuples(st.just("remove folder"), st.sampled_from(FOLDERS[1:]), st.just(0)),
    st.tuples(st.just("scan"), st.sampled_from(("quick", "full", "specific")), st.just(0)),
)


class Disk:
    """A folder of music on which operations are done, and what was written where."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.root.mkdir()
        (root / "anchor.flac").write_bytes(flac_bytes("anchor"))
        self.touched: set[str] = set()

    def do(self, what: str, first: str, second: object) -> None:
        source = self.root / first
        target = self.root / str(second)
        match what:
            case "write":
                source.parent.mkdir(parents=True, exist_ok=True)
                source.write_bytes(flac_bytes(f"audio {second}", title="original"))
            case "retag" if source.exists():
                md5_and_tags = source.read_bytes()
                audio = next(a for a in ("anchor", *(f"audio {n}" for n in range(5))) if _same_audio(md5_and_tags, a))
                source.write_bytes(flac_bytes(audio, title=f"retagged {second}" * (int(str(second)) + 1)))
            case "delete":
                source.unlink(missing_ok=True)
            case "rename" if source.is_file() and source != target:
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
            case "swap" if source.is_file() and target.is_file() and source != target:
                source.rename(self.root / "tmp")
                target.rename(source)
                (self.root / "tmp").rename(target)
            case "copy" if source.is_file() and source != target:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            case "rename folder" if source.is_dir() and not target.exists():
                source.rename(target)
            case "remove folder" if source.is_dir():
                shutil.rmtree(source)
            case _:
                return
        self.touched |= {first, str(second)}


def _same_audio(content: bytes, audio: str) -> bool:
    # The stream's MD5 stands at the same place in every file that the factory writes.
    return content[26:42] == flac_bytes(audio)[26:42]


def _content(db: Database) -> dict[bytes, tuple[object, ...]]:
    found = files.all_files(db.connection, status=Status.PRESENT)
    return {f.path: (f.tags, f.fingerprint, f.stat.size_bytes, f.error) for f in found}


def _open(folder: Path, name: str, root: Path) -> Database:
    db = Database(folder / name)
    with db.transaction() as connection:
        libraries.add(connection, "music", os.fsencode(root), now=0.0)
    return db


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
@given(st.lists(operations, min_size=1, max_size=14))
def test_an_incremental_scan_ends_where_a_full_scan_does(steps: list[tuple[str, str, object]]) -> None:
    cfg = LibraryConfig()
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(Path(folder) / "music")
        with _open(Path(folder), "kept.db", disk.root) as kept, _open(Path(folder), "fresh.db", disk.root) as fresh:
            scan_library(kept, cfg)
            known = {f.id for f in files.all_files(kept.connection)}
            for what, first, second in steps:
                if what != "scan":
                    disk.do(what, first, second)
                elif first == "full":
                    scan_library(kept, cfg)
                elif first == "quick":
                    scan_library_incremental(kept, cfg)
                else:
                    scan_specific_files(kept, cfg, [disk.root / p for p in sorted(disk.touched)])
                # Nothing is lost: every row that ever was is still there, present or missing.
                now_known = {f.id for f in files.all_files(kept.connection)}
                assert known <= now_known
                known = now_known
            scan_library_incremental(kept, cfg)
            scan_library(fresh, cfg)
            assert _content(kept) == _content(fresh)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.permutations(range(5)), st.booleans(), st.sampled_from(["full", "quick"]))
def test_any_renaming_of_distinct_recordings_keeps_every_row(order: list[int], retag: bool, mode: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "music"
        root.mkdir()
        for n in range(5):
            (root / f"{n}.flac").write_bytes(flac_bytes(f"audio {n}", title=f"{n}"))
        with _open(Path(folder), "psm.db", root) as db:
            scan_library(db, LibraryConfig())
            before = {f.fingerprint: f.id for f in files.all_files(db.connection)}
            for n in range(5):
                (root / f"{n}.flac").rename(root / f"t{n}")
            for n, new in enumerate(order):
                (root / f"t{n}").rename(root / f"{new}.flac")
                if retag:
                    (root / f"{new}.flac").write_bytes(flac_bytes(f"audio {n}", title=f"{n} retagged" * (n + 2)))
            (scan_library if mode == "full" else scan_library_incremental)(db, LibraryConfig())
            after = {f.fingerprint: f.id for f in files.all_files(db.connection)}
            assert after == before
