"""Killed at any moment, the next run ends as if nothing had happened."""

import os
import random
import signal
from pathlib import Path

import pytest

from psm.config import ExportMode
from psm.db import Database
from psm.export import Outcome, export_playlists, folder, is_due
from tests.export.helpers import World, config

PLAYLISTS = 6


def fill(world: World) -> None:
    world.mix()
    for number in range(PLAYLISTS):
        world.playlist(f"List {number}", "A - One", f"B - {number}")


def snapshot(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in sorted(os.listdir(folder))}


def export_and_die(database: Path, out: Path, mode: ExportMode, fatal_call: int) -> None:
    """In a child process: exports, and is killed at the n-th call that changes something on disk."""
    child = os.fork()
    if child:
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        return
    try:
        calls = 0

        def dying(real: object) -> object:
            def call(*args: object, **kwargs: object) -> object:
                nonlocal calls
                calls += 1
                if calls == fatal_call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)  # type: ignore[operator]

            return call

        for name in ("fsync", "replace", "unlink", "write", "open"):
            setattr(os, name, dying(getattr(os, name)))
        world = World(Database(database), out.parent)
        export_playlists(world.db, config(world.profile(folder=out, mode=mode)))
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_export_is_finished_by_the_next_one(world: World) -> None:
    fill(world)
    expected = {}
    for mode in (ExportMode.STRICT, ExportMode.MIRRORED):
        world.export(world.profile(mode=mode, folder=world.path / "undisturbed"))
        expected[mode] = snapshot(world.path / "undisturbed")
    world.lose_playlist(2)
    world.export(world.profile(mode=ExportMode.MIRRORED, folder=world.path / "undisturbed"))
    world.db.close()
    final = snapshot(world.path / "undisturbed")
    chance = random.Random(7)
    for round_number in range(12):
        out = world.path / f"out{round_number}"
        profile = world.profile(mode=ExportMode.MIRRORED, folder=out)
        # First with nothing there, then over the files of another mode, of a playlist that has gone since.
        export_and_die(world.path / "psm.db", out, ExportMode.STRICT, chance.randint(1, 40))
        export_and_die(world.path / "psm.db", out, ExportMode.MIRRORED, chance.randint(1, 40))
        with Database(world.path / "psm.db") as db:
            assert is_due(db.connection, config(profile))
            result = export_playlists(db, config(profile))
            assert result.count(Outcome.KEPT) == 0
            assert not result.problems
            for name, content in snapshot(out).items():
                assert content == final[name], name
            assert set(os.listdir(out)) == set(final)
            world.db = db


def test_a_kill_between_list_and_file_leaves_the_file_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(world)
    world.export()
    real = folder._put

    def dead(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "_put", dead)
    with pytest.raises(KeyboardInterrupt):
        world.export(world.profile(mode=ExportMode.MIRRORED))
    monkeypatch.setattr(folder, "_put", real)
    (world.out / "List 3.m3u8").write_text("edited in between")
    result = world.export(world.profile(mode=ExportMode.MIRRORED))
    kept = [p.playlist for p in result.playlists if p.outcome is Outcome.KEPT]
    assert kept == ["List 3"]
    assert result.count(Outcome.WRITTEN) == PLAYLISTS
