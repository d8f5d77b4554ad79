import os
import threading
from pathlib import Path
from typing import Any

import pytest

from psm.config import ExportMode, ExportProfile, LineEnds, PathForm, PlaylistFormat, Slashes
from psm.export import VerifyResult, verify
from psm.export.manifest import NAME
from psm.export.verify import read_lines
from tests.export.helpers import World, config


def check(world: World, *profiles: ExportProfile) -> VerifyResult:
    return verify(world.db, config(*(profiles or (world.profile(),))))


@pytest.mark.parametrize("form", list(PlaylistFormat))
@pytest.mark.parametrize("mode", list(ExportMode))
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"paths": PathForm.RELATIVE, "line_ends": LineEnds.CRLF},
        {"paths": PathForm.BELOW, "root": "music"},
        {"paths": PathForm.MAPPED, "map_from": "music", "map_to": r"\\nas\music", "slashes": Slashes.BACK},
        {"paths": PathForm.MAPPED, "map_from": "music", "map_to": "M:", "encoding": "utf-8-sig"},
    ],
)
def test_every_line_that_was_written_resolves(
    world: World, form: PlaylistFormat, mode: ExportMode, settings: dict[str, Any]
) -> None:
    world.mix()
    real: dict[str, Any] = {
        k: (world.music if k == "root" else str(world.music)) if v == "music" else v for k, v in settings.items()
    }
    profile = world.profile(format=form, mode=mode, **real)
    world.export(profile)
    assert check(world, profile) == VerifyResult(files=1, lines=1)


@pytest.mark.parametrize(("form", "line"), [(PlaylistFormat.M3U8, 5), (PlaylistFormat.XSPF, 1)])
def test_a_line_that_does_not_resolve_is_named(world: World, form: PlaylistFormat, line: int) -> None:
    file = world.mix()
    world.export(world.profile(format=form))
    os.unlink(file.absolute_path)
    result = check(world, world.profile(format=form))
    assert (result.files, result.lines) == (1, 1)
    (problem,) = result.problems
    assert (problem.profile, problem.line, problem.entry) == ("main", line, os.fsdecode(file.absolute_path))
    assert problem.playlist == os.fsencode(world.out / f"Mix.{form.value}")


@pytest.mark.parametrize("today", list(ExportMode))
@pytest.mark.parametrize("mode", list(ExportMode))
def test_a_file_after_a_missing_track_is_looked_at_in_every_mode(
    world: World, mode: ExportMode, today: ExportMode
) -> None:
    file = world.file("A/one.flac", title="One", artists=("A",))
    world.playlist("Mix", "B - Two", "A - One")
    world.match("A - One", file)
    world.export(world.profile(mode=mode))
    os.unlink(file.absolute_path)
    result = check(world, world.profile(mode=today))
    assert result.lines == 1
    assert [p.entry for p in result.problems] == [os.fsdecode(file.absolute_path)]


def test_what_is_not_as_it_was_written_is_named(world: World) -> None:
    world.mix()
    for name in ("Gone", "Edited"):
        world.playlist(name, "A - One")
    world.export()
    world.playlist("New", "A - One")
    (world.out / "Gone.m3u8").unlink()
    with open(world.out / "Edited.m3u8", "a") as file:
        file.write("../x.flac\n")
    problems = {(os.path.basename(p.playlist), p.line): p.reason for p in check(world).problems}
    assert problems == {
        (b"Gone.m3u8", None): "the file is gone; run psm export",
        (b"Edited.m3u8", None): "it was edited since psm wrote it",
        (b"Edited.m3u8", 6): "there is no such file",
        (b"New", None): "not written; run psm export",
    }


def test_an_edited_file_that_cannot_be_read_is_named(world: World) -> None:
    world.mix()
    world.export(world.profile(format=PlaylistFormat.XSPF))
    (world.out / "Mix.xspf").write_text("<playlist>")
    reasons = [p.reason for p in check(world, world.profile(format=PlaylistFormat.XSPF)).problems]
    assert reasons[0] == "it was edited since psm wrote it"
    assert reasons[1].startswith("it cannot be read: no element found")


def test_a_folder_whose_manifest_is_damaged_is_named(world: World) -> None:
    world.mix()
    world.export()
    (world.out / NAME.decode()).write_text("{")
    assert [p.reason.partition(":")[0] for p in check(world).problems] == [
        "the list of the files that psm wrote cannot be read"
    ]


def test_a_profile_that_cannot_work_is_named(world: World) -> None:
    world.mix()
    assert "needs root" in check(world, world.profile(paths=PathForm.BELOW)).problems[0].reason


def test_it_can_be_stopped(world: World) -> None:
    world.mix()
    stop = threading.Event()
    stop.set()
    assert not verify(world.db, config(world.profile()), stop=stop).complete


def test_a_name_with_a_form_feed_is_one_line() -> None:
    lines = list(read_lines(b"#EXTM3U\n/m/a\x0cb\xc2\x85.flac\n", ExportProfile("p", Path("/p"))))
    assert [(line.number, line.text) for line in lines] == [(2, "/m/a\x0cb\x85.flac")]
