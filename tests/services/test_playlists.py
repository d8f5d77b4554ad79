"""Taking playlists in from real files and folders."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psm.db import Database, metadata, playlists, tracks
from psm.errors import UsageError
from psm.export import manifest
from psm.models import GENERATED_MARK, PlaylistEntry, SourcePlaylist, Status
from psm.progress import Progress
from psm.providers import VERSION
from psm.providers.m3u import M3u
from psm.report.model import Report, Summary
from psm.report.render import render
from psm.services import playlist_sources
from psm.services.playlists import ImportResult, import_playlists, key_of, pull, remove

LATER = 10.0**10  # long after any file of these tests was written, so that none is racy


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as database:
        yield database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "playlists"
    made.mkdir()
    return made


def write(path: Path, *titles: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#EXTM3U\n" + "".join(f"#EXTINF:10,Artist - {t}\n{t}.mp3\n" for t in titles), encoding="utf-8")
    return path


def take(db: Database, *paths: Path, stop: threading.Event | None = None) -> ImportResult:
    return import_playlists(db, [os.fsencode(path) for path in paths], clock=lambda: LATER, stop=stop)


def build(db: Database, *folders: Path, clock: Callable[[], float] = lambda: LATER) -> ImportResult:
    return pull(db, folders, clock=clock)


def titles(db: Database, name: str) -> list[str]:
    found = playlists.find_playlist(db.connection, name)
    return [row.track.title for row in playlists.rows(db.connection, found.id)]


def status(db: Database, name: str) -> Status:
    return playlists.find_playlist(db.connection, name).status


def names(changes: tuple[object, ...]) -> list[str]:
    return [change.name for change in changes]  # type: ignore[attr-defined]


# By name


def test_files_and_folders_are_taken_in(db: Database, folder: Path) -> None:
    write(folder / "b.m3u", "one")
    write(folder / "deep" / "er" / "a.m3u8", "two", "three")
    write(folder / ".hidden.m3u", "no")
    write(folder / ".hidden" / "c.m3u", "no")
    (folder / "cover.jpg").write_bytes(b"\xff\xd8")
    alone = write(folder.parent / "alone.m3u", "four")

    result = take(db, alone, folder)

    assert names(result.added) == ["alone", "b", "a"]
    assert [change.track_count for change in result.added] == [1, 1, 2]
    assert (result.problems, result.notes, result.complete) == ((), (), True)
    assert all(p.folder is None for p in playlists.all_playlists(db.connection))


def test_entries_are_looked_up_from_the_folder_of_the_playlist(db: Database, folder: Path) -> None:
    write(folder / "sub" / "a.m3u", "../x")

    take(db, folder)

    (track,) = tracks.all_tracks(db.connection)
    assert track.locations[0] == os.fsencode(folder / "x.mp3")


def test_importing_again_changes_nothing(db: Database, folder: Path) -> None:
    write(folder / "a.m3u", "one", "two")
    take(db, folder)
    before = metadata.generation(db.connection, "playlists"), metadata.generation(db.connection, "tracks")

    result = take(db, folder)

    assert (names(result.unchanged), result.added, result.updated) == (["a"], (), ())
    assert (metadata.generation(db.connection, "playlists"), metadata.generation(db.connection, "tracks")) == before


def test_importing_again_updates_order_additions_and_removals(db: Database, folder: Path) -> None:
    file = write(folder / "a.m3u", "one", "two", "three")
    take(db, file)
    write(file, "three", "one", "four")

    (change,) = take(db, file).updated

    assert (change.added, change.removed, change.moved, change.track_count) == (1, 1, 1, 3)
    assert titles(db, "a") == ["three", "one", "four"]


def test_one_file_by_two_ways_is_one_playlist(db: Database, folder: Path) -> None:
    write(folder / "real" / "a.m3u", "one")
    (folder / "link").symlink_to("real")

    take(db, folder / "real" / "a.m3u", folder / "link" / ".." / "link" / "a.m3u")

    assert len(playlists.all_playlists(db.connection)) == 1


def test_a_loop_of_links_ends(db: Database, folder: Path) -> None:
    write(folder / "sub" / "a.m3u", "one")
    (folder / "sub" / "up").symlink_to("..")
    (folder / "dangling").symlink_to("nowhere")

    assert names(take(db, folder).added) == ["a"]


def test_two_sources_of_one_name_are_two_playlists(db: Database, folder: Path) -> None:
    write(folder / "x" / "mix.m3u", "one")
    write(folder / "y" / "mix.m3u", "two")

    assert names(take(db, folder).added) == ["mix", "mix"]
    assert len(playlists.all_playlists(db.connection)) == 2


def test_bad_files_and_rows_are_lines_in_the_result(db: Database, folder: Path) -> None:
    write(folder / "good.m3u", "one")
    (folder / "bad.xspf").write_text("<html>")
    (folder / "rows.csv").write_text("Title,Artist\nA,x\n,y\n")

    result = take(db, folder, folder / "nowhere.m3u", folder / "song.mp3")

    assert names(result.added) == ["good", "rows"]
    assert [(os.path.basename(p.path), p.reason.split(":")[0]) for p in result.problems] == [
        (b"bad.xspf", "it is XML, but no XSPF playlist"),
        (b"nowhere.m3u", "there is no such file"),
        (b"song.mp3", "there is no such file"),
    ]
    assert take(db, folder).row_problems == result.row_problems
    (rows,) = result.row_problems
    assert (rows.name, [(e.line, e.reason) for e in rows.errors]) == ("rows", [(3, "it has no title")])


def test_a_named_file_that_no_provider_reads_says_which_endings_are_read(db: Database, folder: Path) -> None:
    (folder / "a.pls").write_text("[playlist]\n")

    (problem,) = take(db, folder / "a.pls").problems

    assert ".m3u8" in problem.reason
    assert ".xspf" in problem.reason


def test_a_folder_without_playlists_is_a_problem_when_named(db: Database, folder: Path) -> None:
    result = take(db, folder)

    assert result.nothing_used
    assert "no playlists" in result.problems[0].reason


def test_files_that_are_no_playlists_are_noted_in_a_folder_and_problems_by_name(db: Database, folder: Path) -> None:
    write(folder / "a.m3u", "one")
    (folder / "notes.txt").write_text("buy milk\n")
    (folder / "package.json").write_text("{}")

    result = take(db, folder)
    assert [os.path.basename(note.path) for note in result.notes] == [b"notes.txt", b"package.json"]
    assert result.problems == ()

    assert len(take(db, folder / "notes.txt").problems) == 1


def test_what_psm_wrote_is_left_out_of_folders_and_named_when_asked_for(db: Database, folder: Path) -> None:
    (folder / "own.m3u8").write_text(f"#EXTM3U\n{GENERATED_MARK}written by psm\nx.mp3\n")
    (folder / "listed.m3u8").write_text(f"#EXTM3U\n{GENERATED_MARK}written by psm\nx.mp3\n")
    entry = manifest.ManifestEntry(name="listed.m3u8", hashes=("0" * 64,), owner="o", profile="p", playlist="q")
    manifest.write(os.fsencode(folder), [entry])

    result = take(db, folder)
    assert result.nothing_used
    assert sorted(map(os.path.basename, result.own)) == [b"listed.m3u8", b"own.m3u8"]
    assert result.problems == ()

    named = take(db, folder / "own.m3u8")
    assert "written by psm" in named.problems[0].reason


def test_a_damaged_manifest_hides_nothing(db: Database, folder: Path) -> None:
    write(folder / "a.m3u", "one")
    (folder / ".psm-export.json").write_text("[")

    assert names(take(db, folder).added) == ["a"]


def test_a_file_without_one_usable_row_keeps_what_was_there(db: Database, folder: Path) -> None:
    file = folder / "a.csv"
    file.write_text("Title\nA\n")
    take(db, file)
    file.write_text("Title,Artist\n,x\n,y\n")

    result = take(db, file)

    assert result.nothing_used
    assert "not one of its rows" in result.problems[0].reason
    assert titles(db, "a") == ["A"]


def test_names_that_are_no_text_are_taken_in(db: Database, folder: Path) -> None:
    path = os.path.join(os.fsencode(folder), b"\xff\xfe.m3u")
    with open(path, "wb") as file:
        file.write(b"\xe9.mp3\n")

    (change,) = import_playlists(db, [path]).added

    assert change.source == path
    assert titles(db, str(change.playlist_id)) == ["é"]


def test_what_is_no_regular_file_is_refused_without_waiting(db: Database, folder: Path) -> None:
    os.mkfifo(folder / "pipe.m3u")

    assert "regular" in take(db, folder / "pipe.m3u").problems[0].reason


def test_a_file_that_grows_while_it_is_read_is_left_for_the_next_time(
    db: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(folder / "a.m3u", "one")
    real, calls = os.fstat, []

    def growing(handle: int) -> os.stat_result:
        found = real(handle)
        calls.append(handle)
        if len(calls) == 1:
            with file.open("a") as more:
                more.write("two.mp3\n")
        return found

    monkeypatch.setattr("psm.services.playlist_sources.os.fstat", growing)
    result = take(db, file)
    monkeypatch.undo()

    assert "changed while it was read" in result.problems[0].reason
    assert playlists.all_playlists(db.connection) == ()


def test_a_file_larger_than_any_playlist_is_refused_unread(db: Database, folder: Path) -> None:
    with (folder / "big.m3u").open("wb") as file:
        file.truncate(65 * 1024 * 1024)

    assert "larger" in take(db, folder / "big.m3u").problems[0].reason


def test_progress_is_told_and_a_stop_is_heeded(db: Database, folder: Path) -> None:
    for number in range(5):
        write(folder / f"{number}.m3u", "one")
    stop, seen = threading.Event(), []

    def watch(step: Progress) -> None:
        seen.append((step.done, step.total, step.detail))
        if step.done == 2:
            stop.set()

    result = import_playlists(db, [os.fsencode(folder)], progress=watch, stop=stop)

    assert seen == [(1, 5, "0.m3u"), (2, 5, "1.m3u")]
    assert not result.complete
    assert len(playlists.all_playlists(db.connection)) == 2


def test_a_manual_decision_s_key_is_what_matching_names_it() -> None:
    assert key_of(PlaylistEntry(1, "T", ("A",), isrc="USSM17900045")) == "isrc:USSM17900045"
    assert key_of(PlaylistEntry(1, "T", locations=(b"/x",), guessed=True)) == "path:/x"


# By build


def test_a_folder_is_kept_up_with(db: Database, folder: Path) -> None:
    write(folder / "a.m3u", "one")
    write(folder / "sub" / "b.m3u", "two")
    assert names(build(db, folder).added) == ["a", "b"]
    assert {p.folder for p in playlists.all_playlists(db.connection)} == {os.fsencode(folder)}

    write(folder / "a.m3u", "one", "three")
    write(folder / "c.m3u", "four")
    result = build(db, folder)

    assert (names(result.added), names(result.updated), names(result.unchanged)) == (["c"], ["a"], ["b"])
    assert titles(db, "a") == ["one", "three"]


def test_an_unchanged_file_costs_a_stat_and_no_write(
    db: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "a.m3u", "one")
    build(db, folder)
    opened: list[object] = []
    monkeypatch.setattr(playlist_sources, "read_content", lambda *a, **k: opened.append(a))
    monkeypatch.setattr("psm.services.playlists.read_content", lambda *a, **k: opened.append(a))
    before = db.connection.total_changes

    assert names(build(db, folder).unchanged) == ["a"]
    assert opened == []
    assert db.connection.total_changes == before


def test_a_file_that_was_only_touched_moves_no_generation(db: Database, folder: Path) -> None:
    file = write(folder / "a.m3u", "one")
    build(db, folder)
    before = metadata.generation(db.connection, "playlists")
    os.utime(file, ns=(10**18, 10**18))

    assert names(build(db, folder).unchanged) == ["a"]
    assert metadata.generation(db.connection, "playlists") == before
    state = playlists.known_sources(db.connection)[os.fsencode(file)].source_state
    assert f":{10**18}:" in state


def test_a_change_that_left_size_and_time_alone_is_seen_when_it_followed_the_reading_closely(
    db: Database, folder: Path
) -> None:
    file = write(folder / "a.m3u", "one")
    os.utime(file, ns=(10**18, 10**18))
    build(db, folder, clock=lambda: 10.0**9 + 1)
    write(file, "two")
    os.utime(file, ns=(10**18, 10**18))

    assert names(build(db, folder, clock=lambda: 10.0**9 + 100).updated) == ["a"]
    assert names(build(db, folder, clock=lambda: 10.0**9 + 200).unchanged) == ["a"]


def test_a_psm_that_reads_more_reads_known_files_again(db: Database, folder: Path) -> None:
    file = write(folder / "a.m3u", "one")
    build(db, folder)
    with db.transaction() as connection:
        playlists.note_state(connection, 1, "0:from:another:version", folder=None)

    assert names(build(db, folder).unchanged) == ["a"]
    assert playlists.known_sources(db.connection)[os.fsencode(file)].source_state.startswith(f"{VERSION}:")


def test_a_playlist_whose_file_left_the_folder_is_missing_until_it_returns(db: Database, folder: Path) -> None:
    file = write(folder / "a.m3u", "one")
    write(folder / "b.m3u", "two")
    build(db, folder)
    file.rename(folder.parent / "away.m3u")

    result = build(db, folder)
    assert names(result.missing) == ["a"]
    assert (status(db, "a"), status(db, "b")) == (Status.MISSING, Status.PRESENT)
    assert titles(db, "a") == ["one"]
    assert build(db, folder).missing == ()

    (folder.parent / "away.m3u").rename(file)
    assert names(build(db, folder).updated) == ["a"]
    assert status(db, "a") is Status.PRESENT


def test_a_folder_inside_that_was_deleted_takes_its_playlists_along(db: Database, folder: Path) -> None:
    gone = write(folder / "x" / "y" / "a.m3u", "one")
    write(folder / "b.m3u", "two")
    build(db, folder)
    gone.unlink()
    gone.parent.rmdir()
    gone.parent.parent.rmdir()

    assert names(build(db, folder).missing) == ["a"]


def test_a_folder_that_is_empty_or_not_there_proves_nothing(db: Database, folder: Path) -> None:
    file = write(folder / "a.m3u", "one")
    build(db, folder)
    file.unlink()

    empty = build(db, folder)
    assert (empty.missing, names(empty.gone)) == ((), ["a"])

    folder.rmdir()
    away = build(db, folder)
    assert (away.missing, names(away.gone)) == ((), ["a"])
    assert away.problems[0].path == os.fsencode(folder)
    assert status(db, "a") is Status.PRESENT


_AS_NOBODY = """
import os, sys
from pathlib import Path
from psm.db import Database, playlists
from psm.services.playlists import pull

base = Path(sys.argv[1])
folder = base / "playlists"
(folder / "x" / "deep").mkdir(parents=True)
for name in ("b", "x/a", "x/deep/c"):
    (folder / f"{name}.m3u").write_text("one.mp3\\n")
with Database(base / "psm.db") as db:
    pull(db, [folder])
    (folder / "b.m3u").unlink()
    (folder / "x").chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)  # root ignores file modes
    result = pull(db, [folder])
    print([p.name for p in result.missing], [p.name for p in result.gone])
    print([os.fsdecode(p.path) for p in result.problems])
    print([(p.name, p.status.value) for p in playlists.all_playlists(db.connection)])
"""


def test_a_folder_that_cannot_be_read_protects_what_was_below_it() -> None:
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        done = subprocess.run([sys.executable, "-c", _AS_NOBODY, base], capture_output=True, text=True, check=False)
        (Path(base) / "playlists" / "x").chmod(0o755)
    assert done.stderr == ""

    lists = f"{base}/playlists"
    assert done.stdout.splitlines() == [
        "['b'] []",
        f"['{lists}/x', '{lists}/x/a.m3u', '{lists}/x/deep/c.m3u']",
        "[('a', 'present'), ('b', 'missing'), ('c', 'present')]",
    ]


def test_a_file_imported_by_name_that_is_gone_stays_and_is_named(db: Database, folder: Path) -> None:
    file = write(folder / "a.m3u", "one")
    take(db, file)
    file.unlink()

    result = build(db)

    assert names(result.gone) == ["a"]
    assert (result.missing, status(db, "a")) == ((), Status.PRESENT)


def test_files_imported_by_name_are_kept_up_with(db: Database, folder: Path) -> None:
    file = write(folder / "a.m3u", "one")
    take(db, file)
    write(file, "one", "two")

    assert names(build(db).updated) == ["a"]


def test_a_file_imported_by_name_belongs_to_the_folder_once_that_is_configured(db: Database, folder: Path) -> None:
    write(folder / "a.m3u", "one")
    take(db, folder / "a.m3u")

    assert names(build(db, folder).unchanged) == ["a"]
    assert playlists.all_playlists(db.connection)[0].folder == os.fsencode(folder)


def test_a_file_that_became_unreadable_keeps_its_last_good_state(db: Database, folder: Path) -> None:
    file = folder / "a.csv"
    file.write_text("Title\nA\n")
    write(folder / "b.m3u", "two")
    build(db, folder)
    file.write_bytes(b"")

    result = build(db, folder)

    assert [os.path.basename(p.path) for p in result.problems] == [b"a.csv"]
    assert names(result.unchanged) == ["b"]
    assert (titles(db, "a"), status(db, "a")) == (["A"], Status.PRESENT)


def test_a_build_that_was_stopped_marks_nothing_missing(db: Database, folder: Path) -> None:
    file = write(folder / "a.m3u", "one")
    write(folder / "b.m3u", "two")
    build(db, folder)
    file.unlink()
    stop = threading.Event()
    stop.set()

    result = pull(db, [folder], stop=stop)

    assert (result.complete, result.missing) == (False, ())
    assert status(db, "a") is Status.PRESENT


def test_removing_a_playlist_leaves_others_alone(db: Database, folder: Path) -> None:
    write(folder / "a.m3u", "one")
    write(folder / "b.m3u", "one", "two")
    take(db, folder)

    assert remove(db, "b").name == "b"
    assert [track.title for track in tracks.all_tracks(db.connection)] == ["one"]
    with pytest.raises(UsageError):
        remove(db, "b")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.dictionaries(st.sampled_from("abc"), st.lists(st.sampled_from("xyz"), min_size=1, max_size=4), min_size=1),
        min_size=1,
        max_size=4,
    )
)
def test_after_any_changes_the_present_playlists_are_the_files(
    tmp_path_factory: pytest.TempPathFactory, states: list[dict[str, list[str]]]
) -> None:
    root = tmp_path_factory.mktemp("lists")
    (root / "keep.txt").write_text("so that the folder is never empty")
    with Database(Path(":memory:")) as db:
        for number, state in enumerate(states):
            for old in root.glob("*.m3u"):
                old.unlink()
            for name, wanted in state.items():
                os.utime(write(root / f"{name}.m3u", *wanted), ns=(number * 10**9, number * 10**9))
            build(db, root)
            present = playlists.all_playlists(db.connection, status=Status.PRESENT)
            assert {p.name: titles(db, p.name) for p in present} == state


# What psm wrote itself


def exported(folder: Path, name: str, content: bytes) -> None:
    """A file in an export folder, as psm lists it there."""
    (folder / name).write_bytes(content)
    entry = manifest.ManifestEntry(name=name, hashes=("0" * 64,), owner="o", profile="p", playlist="q")
    manifest.write(os.fsencode(folder), [entry])


def test_a_person_s_own_list_under_a_name_that_psm_used_is_taken_in(db: Database, folder: Path) -> None:
    exported(folder, "m.m3u", b"#EXTM3U\n#EXTINF:1,Mine - Own\nz.flac\n")

    result = build(db, folder)

    assert (names(result.added), result.own) == (["m"], ())


def test_what_psm_exported_into_a_playlists_folder_is_left_out_unread(db: Database, folder: Path) -> None:
    exported(folder, "m.m3u", f"#EXTM3U\r\n{GENERATED_MARK} x\r\nz.flac\r\n".encode() + b"\xff" * 100_000)

    result = build(db, folder)

    assert (result.added, result.own) == ((), (os.fsencode(folder / "m.m3u"),))


def test_no_file_of_psm_s_report_is_taken_in(db: Database, folder: Path) -> None:
    empty = Report(Summary(*[0] * 12), (), (), (), (), (), ())
    made = {file.name: file.content for file in render(empty, ("csv", "json", "html"))}
    assert {"psm-missing-tracks.csv", "psm-bad-files.csv", "psm-report.json"} <= set(made)
    for name, content in made.items():
        (folder / name).write_bytes(content)
    (folder / "psm-mine.csv").write_text("Title,Artist\nA,B\n")

    result = build(db, folder)

    assert {os.fsdecode(os.path.basename(path)) for path in result.own} == {n for n in made if not n.endswith("html")}
    assert (names(result.added), result.notes) == (["psm-mine"], ())
    assert take(db, folder / "psm-missing-tracks.csv").nothing_used


# Whatever happens


def test_a_file_that_a_provider_stumbles_over_is_a_problem_of_its_own(
    db: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(folder / "bad.m3u", "one")
    (folder / "good.csv").write_text("Title\nA\n")

    def stumble(*_: object) -> SourcePlaylist:
        raise OverflowError("too large")

    monkeypatch.setattr(M3u, "read", stumble)
    result = build(db, folder)

    assert names(result.added) == ["good"]
    [problem] = result.problems
    assert problem.path == os.fsencode(folder / "bad.m3u")
    assert "OverflowError" in problem.reason
    assert "too large" in caplog.text
