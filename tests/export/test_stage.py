import itertools
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from psm.config import ExportMode, ExportProfile, PathForm, PlaylistFormat
from psm.db import Database, files, metadata, playlists
from psm.export import Outcome, export_playlists, is_due
from psm.export import folder as folders
from psm.export.manifest import NAME
from psm.owned import LOCK_WAIT_S, locked
from psm.progress import Progress
from tests.export.helpers import World, config, paths_in, visible
from tests.factories import entry, lose_file, retag_file

MANIFEST = NAME.decode()


def stamp(path: Path) -> tuple[int, int]:
    info = path.stat()
    return info.st_ino, info.st_mtime_ns


def only_manifest(folder: Path) -> list[str]:
    return [n for n in os.listdir(folder) if n.startswith(".")]


def test_a_playlist_is_written_in_its_own_order(world: World) -> None:
    one, two = world.file("1.flac", title="One"), world.file("2.flac", title="Two")
    world.playlist("Mix", entry("A - Two", position=2), entry("A - One", position=5), entry("A - Two", position=9))
    world.match("A - One", one)
    world.match("A - Two", two)
    result = world.export()
    assert [(p.outcome, p.tracks, p.found, p.missing) for p in result.playlists] == [(Outcome.WRITTEN, 3, 3, 0)]
    assert result.complete
    assert not result.problems
    assert paths_in(world.text()) == [str(world.music / n) for n in ("2.flac", "1.flac", "2.flac")]


def test_a_file_that_went_missing_is_left_out(world: World) -> None:
    lose_file(world.db, world.mix())
    result = world.export()
    assert (result.playlists[0].tracks, result.playlists[0].found) == (2, 0)
    assert paths_in(world.text()) == []


def test_the_modes_are_those_of_their_profiles(world: World) -> None:
    world.mix()
    world.export(*(world.profile(m.value, folder=world.out / m.value, mode=m) for m in ExportMode))
    lines = {m: len(world.text(f"{m.value}/Mix.m3u8").splitlines()) for m in ExportMode}
    assert lines == {ExportMode.STRICT: 5, ExportMode.MIRRORED: 6, ExportMode.PLACEHOLDERS: 8}


def test_tags_of_the_file_are_shown_and_the_playlists_words_where_there_are_none(world: World) -> None:
    tagged = world.file("1.flac", title="One (Remastered)", artists=("The A",), duration_s=99.4)
    guessed = world.file("2.flac", title="track 2", artists=("x",), guessed=("title",))
    world.playlist("Mix", entry("A - One", duration_s=90.0), entry("B - Two", position=2))
    world.match("A - One", tagged)
    world.match("B - Two", guessed)
    world.export()
    assert "#EXTINF:99,The A - One (Remastered)\n" in world.text()
    assert "#EXTINF:180,B - Two\n" in world.text()


def test_an_unchanged_playlist_is_not_touched(world: World) -> None:
    world.mix()
    world.export()
    before = stamp(world.out / "Mix.m3u8"), stamp(world.out / MANIFEST)
    result = world.export()
    assert [p.outcome for p in result.playlists] == [Outcome.UNCHANGED]
    assert (stamp(world.out / "Mix.m3u8"), stamp(world.out / MANIFEST)) == before


def test_a_rebuilt_database_writes_the_same_bytes_and_knows_its_files(tmp_path: Path) -> None:
    contents = []
    for number in range(2):
        with Database(tmp_path / "psm.db") as db:
            world = World(db, tmp_path)
            for extra in range(number * 3):  # other ids this time
                world.playlist(f"Extra {extra}", "X - Y")
                world.lose_playlist(extra + 1)
            world.mix()
            result = world.export()
            assert [p.outcome for p in result.playlists] == [(Outcome.WRITTEN, Outcome.UNCHANGED)[number]]
            contents.append({n: (world.out / n).read_bytes() for n in sorted(os.listdir(world.out))})
        for name in ("psm.db", "psm.db-wal", "psm.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
    assert contents[0] == contents[1]


def test_no_temporary_file_stays_and_those_of_killed_runs_go(world: World) -> None:
    world.mix()
    world.out.mkdir()
    (world.out / ".psm-export-77-3.tmp").touch()
    (world.out / ".psm-mine.tmp").touch()
    world.export()
    assert sorted(only_manifest(world.out)) == [MANIFEST, ".psm-mine.tmp"]


def test_a_playlist_that_went_away_has_its_file_removed(world: World) -> None:
    world.mix()
    gone = world.playlist("Gone", "A - One")
    world.export()
    (world.out / "mine.m3u8").write_text("by hand")
    world.lose_playlist(gone)
    result = world.export()
    assert result.removed == (os.fsencode(world.out / "Gone.m3u8"),)
    assert world.names() == ["Mix.m3u8", "mine.m3u8"]
    assert world.export().removed == ()


def test_a_file_of_a_gone_playlist_that_a_person_edited_is_left_and_named(world: World) -> None:
    gone = world.playlist("Gone", "A - One")
    world.export()
    (world.out / "Gone.m3u8").write_text("mine now")
    world.lose_playlist(gone)
    result = world.export()
    assert [k.path for k in result.kept] == [os.fsencode(world.out / "Gone.m3u8")]
    assert not result.removed
    assert world.text("Gone.m3u8") == "mine now"
    assert world.export().kept == ()  # it is a person's from now on
    assert not only_manifest(world.out)


def test_an_edited_file_is_never_overwritten_silently(world: World) -> None:
    world.mix()
    world.export()
    (world.out / "Mix.m3u8").write_text("edited")
    world.playlist("Mix", "A - One")
    done = world.export().playlists[0]
    assert done.outcome is Outcome.KEPT
    assert done.note is not None
    assert "--overwrite" in done.note
    assert world.text() == "edited"


def test_an_edited_file_that_is_put_back_is_psms_again(world: World) -> None:
    world.mix()
    world.export()
    original = (world.out / "Mix.m3u8").read_bytes()
    (world.out / "Mix.m3u8").write_text("edited")
    assert world.export().count(Outcome.KEPT) == 1
    (world.out / "Mix.m3u8").write_bytes(original)
    assert world.export(world.profile(mode=ExportMode.MIRRORED)).count(Outcome.WRITTEN) == 1


def test_a_file_that_psm_did_not_write_is_left_unless_it_is_the_same(world: World) -> None:
    world.mix()
    world.out.mkdir()
    (world.out / "Mix.m3u8").write_text("by hand")
    assert world.export().count(Outcome.KEPT) == 1
    assert world.text() == "by hand"
    (world.out / "Mix.m3u8").unlink()
    world.export()
    (world.out / MANIFEST).unlink()
    assert world.export().count(Outcome.UNCHANGED) == 1
    world.playlist("Mix", "A - One", "C - Three")
    assert world.export(world.profile(mode=ExportMode.MIRRORED)).count(Outcome.WRITTEN) == 1


def test_overwrite_keeps_the_persons_version_beside_it(world: World) -> None:
    world.mix()
    world.out.mkdir()
    target = world.out / "Mix.m3u8"
    for number, suffix in enumerate(("bak", "bak2"), start=1):
        target.write_text(f"version {number}")
        done = world.export(overwrite=True).playlists[0]
        assert done.outcome is Outcome.WRITTEN
        assert done.backup == os.fsencode(f"{target}.{suffix}")
        assert Path(f"{target}.{suffix}").read_text() == f"version {number}"
        assert world.text().startswith("#EXTM3U")
    assert world.export(overwrite=True).playlists[0].backup is None


def test_the_file_that_a_playlist_is_read_from_is_never_replaced(world: World) -> None:
    world.out.mkdir()
    source = world.out / "Mix.m3u8"
    source.write_text("A - One.flac")
    world.playlist("Mix", "A - One", source=str(source))
    done = world.export(overwrite=True).playlists[0]
    assert done.outcome is Outcome.KEPT
    assert done.note is not None
    assert "read from it" in done.note
    assert source.read_text() == "A - One.flac"


def test_a_link_or_a_folder_at_the_place_is_left_and_overwrite_moves_it_aside(world: World) -> None:
    world.mix()
    world.playlist("Dir", "A - One")
    world.out.mkdir()
    (world.out / "Mix.m3u8").symlink_to("elsewhere")
    (world.out / "Dir.m3u8").mkdir()
    assert world.export().count(Outcome.KEPT) == 2
    assert world.export(overwrite=True).count(Outcome.WRITTEN) == 2
    assert (world.out / "Mix.m3u8.bak").readlink() == Path("elsewhere")
    assert (world.out / "Dir.m3u8.bak").is_dir()
    assert not (world.out / "Mix.m3u8").is_symlink()


def test_two_playlists_of_one_name_keep_their_files(world: World) -> None:
    world.playlist("Mix", "A - One", source="b")
    world.playlist("mix", "A - Two", source="c")
    world.export(world.profile(mode=ExportMode.MIRRORED))
    assert world.names() == ["Mix (b).m3u8", "mix (c).m3u8"]
    world.playlist("MIX", "A - Three", source="a")
    world.export(world.profile(mode=ExportMode.MIRRORED))
    assert world.names() == ["MIX.m3u8", "Mix (b).m3u8", "mix (c).m3u8"]
    assert "One" in world.text("Mix (b).m3u8")
    world.lose_playlist(1)
    world.export(world.profile(mode=ExportMode.MIRRORED))
    assert world.names() == ["MIX.m3u8", "mix (c).m3u8"]


def test_two_playlists_swap_their_names(world: World) -> None:
    mirrored = world.profile(mode=ExportMode.MIRRORED)
    world.playlist("X", "A - One", source="a")
    world.playlist("Y", "A - Two", source="b")
    world.export(mirrored)
    world.playlist("Y", "A - One", source="a")
    world.playlist("X", "A - Two", source="b")
    result = world.export(mirrored)
    assert result.count(Outcome.WRITTEN) == 2
    assert world.names() == ["X.m3u8", "Y.m3u8"]
    assert "Two" in world.text("X.m3u8")


def test_a_renamed_playlist_moves_and_one_whose_source_moved_takes_over(world: World) -> None:
    world.playlist("Old", "A - One", source="a")
    world.export()
    world.playlist("New", "A - One", source="a")
    assert world.export().removed == (os.fsencode(world.out / "Old.m3u8"),)
    assert world.names() == ["New.m3u8"]
    world.lose_playlist(1)
    world.playlist("NEW", "A - One", source="b")
    assert not world.export().removed
    assert world.names() == ["New.m3u8"]


def test_a_track_that_the_player_cannot_be_told_is_named_and_counts_as_missing(world: World) -> None:
    broken = world.file(b"a\nb.flac", title="One")
    world.playlist("Mix", "A - One")
    world.match("A - One", broken)
    done = world.export(world.profile(mode=ExportMode.MIRRORED)).playlists[0]
    assert (done.found, done.missing) == (0, 1)
    assert [(u.position, u.path) for u in done.unusable] == [(1, broken.absolute_path)]
    assert "line break" in done.unusable[0].reason
    assert "#MISSING:A - One" in world.text()
    assert not world.export(world.profile(format=PlaylistFormat.XSPF)).playlists[0].unusable


def test_profiles_share_a_folder(world: World) -> None:
    world.mix()
    both = (world.profile("a"), world.profile("b", format=PlaylistFormat.XSPF))
    world.export(*both)
    assert world.names() == ["Mix.m3u8", "Mix.xspf"]
    assert world.export(*both).count(Outcome.UNCHANGED) == 2
    assert world.export(both[0]).removed == (os.fsencode(world.out / "Mix.xspf"),)
    world.export(both[0], world.profile("c", mode=ExportMode.MIRRORED))
    assert world.names() == ["Mix (c).m3u8", "Mix.m3u8"]


def test_a_linked_folder_is_the_folder_it_points_to(world: World) -> None:
    world.mix()
    world.out.mkdir()
    (world.path / "link").symlink_to(world.out)
    world.export(world.profile("a"), world.profile("b", folder=world.path / "link", format=PlaylistFormat.M3U))
    assert world.names() == ["Mix.m3u", "Mix.m3u8"]


def test_one_profile_alone_leaves_the_files_of_the_others(world: World) -> None:
    world.mix()
    both = (
        world.profile("a"),
        world.profile("b", format=PlaylistFormat.XSPF),
        world.profile("c", folder=world.path / "c"),
    )
    world.export(*both)
    world.playlist("Mix", "A - One")
    world.playlist("New", "A - One")
    result = world.export(*both, only=["a"])
    assert {p.profile for p in result.playlists} == {"a"}
    assert world.names() == ["Mix.m3u8", "Mix.xspf", "New.m3u8"]
    assert visible(world.path / "c") == ["Mix.m3u8"]
    assert is_due(world.db.connection, config(*both))


def test_a_profile_that_is_removed_or_moves_has_its_old_folder_cleaned(world: World) -> None:
    world.mix()
    old = world.path / "old"
    world.export(world.profile("a", folder=old), world.profile("b"))
    (old / "mine.m3u8").touch()
    result = world.export(world.profile("a", folder=world.path / "new"))
    assert sorted(result.removed) == sorted(os.fsencode(d / "Mix.m3u8") for d in (old, world.out))
    assert os.listdir(old) == ["mine.m3u8"]
    assert os.listdir(world.out) == []
    assert visible(world.path / "new") == ["Mix.m3u8"]


def test_an_old_folder_that_is_away_is_cleaned_when_it_is_back(world: World) -> None:
    world.mix()
    card = world.path / "card"
    world.export(world.profile(folder=card))
    card.rename(world.path / "away")
    assert not world.export().removed
    (world.path / "away").rename(card)
    assert world.export().removed == (os.fsencode(card / "Mix.m3u8"),)


def test_a_drive_that_is_away_is_no_failure_and_is_written_when_it_is_back(world: World) -> None:
    world.mix()
    stick = world.path / "stick"
    profiles = (world.profile("car", folder=stick / "lists"), world.profile())
    assert world.export(*profiles).count(Outcome.WRITTEN) == 2
    stick.rename(world.path / "away")
    world.playlist("New", "A - One")
    result = world.export(*profiles)
    assert [(a.profiles, a.folder) for a in result.away] == [(("car",), os.fsencode(stick / "lists"))]
    assert not result.problems
    assert not stick.exists()
    assert world.names() == ["Mix.m3u8", "New.m3u8"]
    assert not is_due(world.db.connection, config(*profiles))
    (world.path / "away").rename(stick)
    assert is_due(world.db.connection, config(*profiles))
    world.export(*profiles)
    assert visible(stick / "lists") == ["Mix.m3u8", "New.m3u8"]


def test_a_one_off_export_is_neither_remembered_nor_cleaned_up(world: World) -> None:
    world.mix()
    world.export()
    once = world.profile("export", folder=world.path / "once")
    world.export(once, one_off=True)
    world.export(once, one_off=True)
    world.export()
    assert visible(world.path / "once") == ["Mix.m3u8"]
    assert world.names() == ["Mix.m3u8"]
    assert not is_due(world.db.connection, config(world.profile()))


def test_a_one_off_export_into_a_profiles_folder_leaves_its_files(world: World) -> None:
    world.mix()
    world.export()
    world.export(world.profile("export", format=PlaylistFormat.XSPF), one_off=True)
    assert world.names() == ["Mix.m3u8", "Mix.xspf"]


def test_two_databases_share_a_folder(world: World, tmp_path: Path) -> None:
    world.mix()
    world.export()
    with Database(tmp_path / "other" / "psm.db") as db:
        other = World(db, tmp_path)
        other.playlist("Mix", "Z - Other", source="theirs")
        other.playlist("Theirs", "Z - Other")
        other.export()
        assert world.names() == ["Mix (theirs).m3u8", "Mix.m3u8", "Theirs.m3u8"]
        assert not world.export().removed
        other.lose_playlist(1)
        assert other.export().removed == (os.fsencode(world.out / "Mix (theirs).m3u8"),)
    assert world.names() == ["Mix.m3u8", "Theirs.m3u8"]


def test_a_database_rebuilt_elsewhere_takes_its_playlists_over(world: World, tmp_path: Path) -> None:
    world.mix()
    world.export()
    with Database(tmp_path / "moved" / "psm.db") as db:
        other = World(db, tmp_path)
        other.playlist("Mix", "B - Two")
        assert other.export(other.profile(mode=ExportMode.MIRRORED)).count(Outcome.WRITTEN) == 1
    assert "#MISSING:B - Two" in world.text()


def test_a_damaged_manifest_is_set_aside_and_said(world: World) -> None:
    world.mix()
    world.playlist("Other", "A - One")
    world.export()
    (world.out / MANIFEST).write_text('{"format": "psm export')
    (world.out / "Other.m3u8").write_text("edited")
    result = world.export(world.profile(mode=ExportMode.MIRRORED))
    assert "damaged" in result.problems[0].reason
    assert (world.out / ".psm-export.damaged.json").read_text() == '{"format": "psm export'
    assert {p.playlist: p.outcome for p in result.playlists} == {"Mix": Outcome.WRITTEN, "Other": Outcome.KEPT}
    assert not world.export().problems


def test_a_lost_manifest_makes_an_export_due_and_is_made_again(world: World) -> None:
    world.mix()
    world.export()
    (world.out / MANIFEST).unlink()
    assert is_due(world.db.connection, config(world.profile()))
    assert world.export().count(Outcome.UNCHANGED) == 1
    assert (world.out / MANIFEST).exists()
    assert world.export(world.profile(mode=ExportMode.MIRRORED)).count(Outcome.WRITTEN) == 1


def test_after_a_lost_manifest_untouched_files_are_replaced_and_removed_and_edited_ones_left(world: World) -> None:
    world.mix()
    gone = world.playlist("Gone", "A - One")
    world.playlist("Mine", "A - One")
    world.export()
    (world.out / MANIFEST).unlink()
    (world.out / "Mine.m3u8").write_text("edited")
    world.lose_playlist(gone)
    result = world.export(world.profile(mode=ExportMode.MIRRORED))
    assert {p.playlist: p.outcome for p in result.playlists} == {"Mix": Outcome.WRITTEN, "Mine": Outcome.KEPT}
    assert result.removed == (os.fsencode(world.out / "Gone.m3u8"),)
    assert (world.out / "Mine.m3u8").read_text() == "edited"


def lost_database(world: World) -> None:
    world.db.close()
    for path in world.path.glob("psm.db*"):
        path.unlink()
    world.db = Database(world.path / "psm.db")


def test_a_lost_database_is_no_proof_that_playlists_went_away(world: World) -> None:
    world.mix()
    world.playlist("Other", "A - One")
    world.export()
    lost_database(world)
    assert not world.export().removed
    assert world.names() == ["Mix.m3u8", "Other.m3u8"]
    world.mix()
    result = world.export(world.profile(mode=ExportMode.MIRRORED))
    assert not result.removed
    assert result.count(Outcome.WRITTEN) == 1
    assert world.names() == ["Mix.m3u8", "Other.m3u8"]


def test_a_playlist_that_was_removed_by_hand_has_its_file_removed(world: World) -> None:
    world.mix()
    number = world.playlist("Other", "A - One")
    world.export()
    with world.db.transaction() as connection:
        playlists.remove(connection, number)
    assert world.export().removed == (os.fsencode(world.out / "Other.m3u8"),)
    assert world.names() == ["Mix.m3u8"]


def test_a_removed_profile_has_its_files_removed_also_when_the_database_is_a_new_one(world: World) -> None:
    world.mix()
    world.export(world.profile("a"), world.profile("b", format=PlaylistFormat.XSPF))
    lost_database(world)
    assert world.export(world.profile("a")).removed == (os.fsencode(world.out / "Mix.xspf"),)


def test_a_folder_that_is_a_link_is_written_anew_when_it_leads_elsewhere(world: World) -> None:
    world.mix()
    for name in ("first", "second"):
        (world.path / name).mkdir()
    world.out.symlink_to(world.path / "first")
    world.export()
    world.out.unlink()
    world.out.symlink_to(world.path / "second")
    assert is_due(world.db.connection, config(world.profile()))
    world.export()
    assert visible(world.path / "second") == ["Mix.m3u8"]
    assert visible(world.path / "first") == []
    assert not is_due(world.db.connection, config(world.profile()))


def test_a_fresh_drive_is_written_as_soon_as_it_is_there(world: World) -> None:
    world.mix()
    stick = world.path / "stick"
    profile = world.profile(folder=stick / "lists")
    world.export(profile)
    shutil.rmtree(stick)
    assert world.export(profile).away
    assert not is_due(world.db.connection, config(profile))
    stick.mkdir()
    assert is_due(world.db.connection, config(profile))
    world.export(profile)
    assert visible(stick / "lists") == ["Mix.m3u8"]


def test_what_another_process_wrote_while_this_one_waited_stays(world: World, tmp_path: Path) -> None:
    world.mix()
    world.out.mkdir()
    with ExitStack() as held:
        held.enter_context(locked(os.fsencode(world.out), kind="export", stop=threading.Event()))

        def other_process(_: float) -> None:
            held.close()
            with Database(tmp_path / "psm.db") as db:
                other = World(db, tmp_path)
                other.playlist("New", "A - One")
                other.export()

        result = world.export(sleep=other_process)
    assert not result.removed
    assert [(p.playlist, p.outcome) for p in result.playlists] == [
        ("Mix", Outcome.UNCHANGED),
        ("New", Outcome.UNCHANGED),
    ]
    assert not is_due(world.db.connection, config(world.profile()))


def test_a_one_off_export_of_a_profile_into_anothers_folder_stays(world: World) -> None:
    world.mix()
    p, q = world.profile("p", folder=world.path / "p"), world.profile("q")
    world.export(p, q)
    once = world.profile("p", format=PlaylistFormat.XSPF)
    for _ in range(2):
        world.export(once, one_off=True)
        assert not world.export(p, q).removed
        assert world.names() == ["Mix.m3u8", "Mix.xspf"]
    world.lose_playlist(1)
    assert world.export(p, q).removed == tuple(os.fsencode(f / "Mix.m3u8") for f in (world.path / "p", world.out))
    assert world.export(once, one_off=True).removed == (os.fsencode(world.out / "Mix.xspf"),)


def test_a_one_off_export_into_its_own_folder_leaves_the_files_managed(world: World) -> None:
    world.mix()
    world.export()
    world.export(world.profile(mode=ExportMode.MIRRORED), one_off=True)
    assert world.names() == ["Mix.m3u8"]
    world.lose_playlist(1)
    assert world.export().removed == (os.fsencode(world.out / "Mix.m3u8"),)


@pytest.mark.parametrize(
    "text", ['{"format": "psm export manifest", "version": 1e999}', '{"format": "psm export manifest", "version": 1}']
)
def test_a_manifest_edited_by_hand_is_set_aside(world: World, text: str) -> None:
    world.mix()
    world.out.mkdir()
    (world.out / MANIFEST).write_text(text)
    assert "damaged" in world.export().problems[0].reason
    assert world.export().count(Outcome.UNCHANGED) == 1


ORDERS = list(itertools.permutations(["/l/a.csv", "/l/b.csv", "/n/b.csv", "/m/Mix.csv"]))


@pytest.mark.parametrize("order", ORDERS[::5])
def test_names_do_not_depend_on_the_order_in_which_playlists_came(world: World, order: tuple[str, ...]) -> None:
    mirrored = world.profile(mode=ExportMode.MIRRORED)
    for source in order:
        world.playlist("Mix", f"X - {source}", source=source)
        world.export(mirrored)
    before = {name: world.text(name) for name in world.names()}
    assert len(before) == len(order)
    lost_database(world)
    shutil.rmtree(world.out)
    for source in order:
        world.playlist("Mix", f"X - {source}", source=source)
    world.export(mirrored)
    rebuilt = {name: world.text(name) for name in world.names()}
    said = {name: text.rpartition(" - ")[2].strip() for name, text in rebuilt.items()}
    assert said == {
        "Mix (a).m3u8": "/l/a.csv",
        "Mix (l, b).m3u8": "/l/b.csv",
        "Mix (n).m3u8": "/n/b.csv",
        "Mix (m).m3u8": "/m/Mix.csv",
    }
    # Whatever name was given while they came one by one: it never means another playlist now.
    assert all(rebuilt[name] == before[name] for name in before.keys() & rebuilt.keys())


def test_a_newer_manifest_stops_the_export_to_its_folder(world: World) -> None:
    world.mix()
    world.out.mkdir()
    (world.out / MANIFEST).write_text('{"format": "psm export manifest", "version": 2, "files": []}')
    result = world.export()
    assert "newer psm" in result.problems[0].reason
    assert world.names() == []


@pytest.mark.parametrize("settings", [{"paths": PathForm.BELOW}, {"encoding": "utf-9"}])
def test_a_profile_that_cannot_work_is_named_and_keeps_its_files(world: World, settings: dict[str, Any]) -> None:
    world.mix()
    other = world.profile("other", folder=world.path / "other")
    world.export(world.profile(), other)
    result = world.export(world.profile(**settings), other)
    assert [p.profiles for p in result.problems] == [("main",)]
    assert [p.profile for p in result.playlists] == ["other"]
    assert world.names() == ["Mix.m3u8"]


def test_a_folder_that_cannot_be_made_is_named_and_the_others_are_written(world: World) -> None:
    world.mix()
    (world.path / "file").touch()
    result = world.export(world.profile("bad", folder=world.path / "file" / "x"), world.profile("good"))
    assert [(p.profiles, p.folder) for p in result.problems] == [(("bad",), os.fsencode(world.path / "file" / "x"))]
    assert world.names() == ["Mix.m3u8"]
    assert is_due(world.db.connection, config(world.profile("bad"), world.profile("good")))


def test_a_folder_without_permission_is_named() -> None:
    with tempfile.TemporaryDirectory() as base:  # pytest's own is closed to others
        os.chmod(base, 0o755)
        home, out = Path(base, "home"), Path(base, "out")
        home.mkdir()
        out.mkdir(mode=0o555)
        with Database(home / "psm.db") as db:
            World(db, home).playlist("Mix", "A - One")
        for path in (home, *home.iterdir()):
            os.chown(path, 65534, 65534)
        if (child := os.fork()) == 0:  # root may write everywhere
            code = 1
            try:
                os.setgid(65534)
                os.setuid(65534)
                with Database(home / "psm.db") as db:
                    result = export_playlists(db, config(ExportProfile("main", out)))
                code = 0 if "Permission denied" in result.problems[0].reason and not result.playlists else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_full_disk_leaves_the_old_files(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.mix()
    world.playlist("Other", "A - One")
    world.export()
    before = {n: (world.out / n).read_bytes() for n in os.listdir(world.out)}
    world.playlist("Other", "B - Two", "C - Three")
    gone = world.playlist("Gone", "A - One")
    real = os.fsync
    calls = 0

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(28, "No space left on device")
        real(handle)

    world.lose_playlist(gone)
    monkeypatch.setattr(os, "fsync", full)
    result = world.export(world.profile(mode=ExportMode.MIRRORED))
    assert "No space left on device" in result.problems[0].reason
    assert not result.playlists
    assert {n: (world.out / n).read_bytes() for n in os.listdir(world.out)} == before


def test_a_rename_that_fails_is_a_problem_of_that_playlist_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.mix()
    world.playlist("Other", "A - One")
    world.export()
    real = os.replace

    def held(source: bytes, destination: bytes) -> None:
        if destination.endswith(b"Mix.m3u8"):
            raise PermissionError(13, "The file is in use")
        real(source, destination)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", held)
        result = world.export(world.profile(mode=ExportMode.MIRRORED))
    assert {p.playlist: p.outcome for p in result.playlists} == {"Mix": Outcome.FAILED, "Other": Outcome.UNCHANGED}
    assert [p.reason for p in result.problems] == ["Mix.m3u8: The file is in use"]
    assert only_manifest(world.out) == [MANIFEST]
    assert world.export(world.profile(mode=ExportMode.MIRRORED)).count(Outcome.WRITTEN) == 1


def test_a_file_that_a_person_changes_at_that_very_moment_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.mix()
    world.export()
    real = folders.commit

    def edited_first(*args: Any, **kwargs: Any) -> object:
        (world.out / "Mix.m3u8").write_text("just now")
        return real(*args, **kwargs)

    monkeypatch.setattr(folders, "commit", edited_first)
    done = world.export(world.profile(mode=ExportMode.MIRRORED)).playlists[0]
    assert done.outcome is Outcome.KEPT
    assert world.text() == "just now"


def test_a_stopped_export_leaves_whole_folders_and_says_so(world: World) -> None:
    world.mix()
    world.playlist("Other", "A - One")
    stop = threading.Event()

    def after_first(step: Progress) -> None:
        stop.set()

    result = world.export(progress=after_first, stop=stop)
    assert not result.complete
    assert not result.playlists
    assert os.listdir(world.out) == []
    assert is_due(world.db.connection, config(world.profile()))
    assert not world.export(stop=stop).complete


def test_a_second_export_to_the_folder_waits_and_then_says_who_is_there(world: World) -> None:
    world.mix()
    world.out.mkdir()
    waits: list[float] = []
    with locked(os.fsencode(world.out), kind="export", stop=threading.Event()):
        result = world.export(sleep=waits.append)
    assert "another psm is writing" in result.problems[0].reason
    assert sum(waits) == pytest.approx(LOCK_WAIT_S)
    assert world.export().count(Outcome.WRITTEN) == 1


def test_waiting_for_the_folder_can_be_stopped(world: World) -> None:
    world.mix()
    world.out.mkdir()
    stop = threading.Event()
    with locked(os.fsencode(world.out), kind="export", stop=threading.Event()):
        result = world.export(stop=stop, sleep=lambda _: stop.set())
    assert not result.complete
    assert not result.problems


def test_progress_counts_every_playlist_of_every_profile(world: World) -> None:
    world.mix()
    world.playlist("Other", "A - One")
    steps: list[Progress] = []
    world.export(world.profile("a"), world.profile("b", folder=world.path / "b"), progress=steps.append)
    assert [(s.done, s.total) for s in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_new_file_gets_the_usual_permissions_and_an_old_one_keeps_its_own(world: World) -> None:
    world.mix()
    mask = os.umask(0o022)
    try:
        world.export()
        assert (world.out / "Mix.m3u8").stat().st_mode & 0o777 == 0o644
        (world.out / "Mix.m3u8").chmod(0o664)
        world.export(world.profile(mode=ExportMode.MIRRORED))
        assert (world.out / "Mix.m3u8").stat().st_mode & 0o777 == 0o664
    finally:
        os.umask(mask)


def change_playlist(world: World) -> None:
    world.playlist("Mix", "A - One")


def change_tags(world: World) -> None:
    file = files.get(world.db.connection, 1)
    assert file is not None
    retag_file(world.db, file, title="Other")


def change_match(world: World) -> None:
    world.match("A - One", world.file("other.flac"))


def remove_output(world: World) -> None:
    (world.out / "Mix.m3u8").unlink()


def edit_output(world: World) -> None:
    (world.out / "Mix.m3u8").write_text("x")


def older_version(world: World) -> None:
    with world.db.transaction() as connection:
        text = metadata.get(connection, "stage:export") or ""
        stored = json.loads(text)
        stored["settings"] = stored["settings"].replace("[1,", "[0,", 1)
        metadata.put(connection, "stage:export", json.dumps(stored))


def unreadable_state(world: World) -> None:
    with world.db.transaction() as connection:
        metadata.put(connection, "stage:export", "[1]")


@pytest.mark.parametrize(
    "change",
    [change_playlist, change_tags, change_match, remove_output, edit_output, older_version, unreadable_state],
)
def test_an_export_is_due_when_an_input_or_output_changed(world: World, change: Callable[[World], None]) -> None:
    cfg = config(world.profile())
    world.mix()
    assert is_due(world.db.connection, cfg)
    world.export()
    assert not is_due(world.db.connection, cfg)
    change(world)
    assert is_due(world.db.connection, cfg)
    world.export()
    assert not is_due(world.db.connection, cfg)


def test_other_settings_make_an_export_due(world: World) -> None:
    world.export()
    assert is_due(world.db.connection, config(world.profile(mode=ExportMode.MIRRORED)))


def test_what_changes_while_exporting_is_seen_the_next_time(world: World) -> None:
    world.mix()
    world.export(progress=lambda _: world.playlist("Late", "A - One") and None)
    assert world.names() == ["Mix.m3u8"]
    assert is_due(world.db.connection, config(world.profile()))
