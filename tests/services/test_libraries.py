import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from psm.config import Config, LibraryConfig
from psm.config.values import NamedPath
from psm.db import Database, files, libraries, metadata
from psm.errors import PsmError, UsageError
from psm.ingest.library import scan_library
from psm.locks import hold
from psm.models import Decision, DecisionKind, Library
from psm.services import drives, libraries_file, watch_status
from psm.services.libraries import (
    AddedLibrary,
    add_library,
    added_notes,
    ensure_libraries,
    list_libraries,
    move_library,
    remove_library,
    watch_library,
)
from psm.services.libraries_file import path_below
from tests.factories import add_file, write_flac
from tests.nobody import as_nobody, shared_folder


class Box:
    """A database and a configuration folder, with folders of music below one root."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.config = Config(folder=self.folder / "config")
        self.db = Database(self.folder / "psm.db")

    def music(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def add(self, path: Path | str, name: str | None = None, *, watch: bool | None = None) -> AddedLibrary:
        path = self.music(path) if isinstance(path, str) else path
        return add_library(self.db, self.config.folder, path, name=name, watch=watch, now=now)

    def watch(self, name: str, *, on: bool) -> Library:
        return watch_library(self.db, self.config.folder, name, watch=on, now=now).library

    def move(self, name: str, path: Path) -> Library:
        return move_library(self.db, self.config.folder, name, path, now=now).library

    def configured(self, *paths: Path | tuple[str, Path]) -> Config:
        named = [NamedPath(p[1], p[0]) if isinstance(p, tuple) else NamedPath(p) for p in paths]
        return Config(folder=self.config.folder, library=LibraryConfig(paths=tuple(named)))

    def ensure(self, config: Config | None = None) -> tuple[str, ...]:
        return ensure_libraries(self.db, config or self.config, now=now)

    def lose_database(self) -> None:
        self.db.close()
        for file in self.folder.glob("psm.db*"):
            file.unlink()
        self.db = Database(self.folder / "psm.db")

    @property
    def known(self) -> dict[str, Path]:
        return {
            library.name: Path(os.fsdecode(library.root)) for library in libraries.all_libraries(self.db.connection)
        }

    @property
    def unwatched(self) -> set[str]:
        return {library.name for library in libraries.all_libraries(self.db.connection) if not library.watch}

    @property
    def file(self) -> Path:
        return self.config.folder / libraries_file.FILE_NAME

    @property
    def in_file(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.file.read_text(errors="surrogateescape"))["libraries"]
        return found


def now() -> float:
    return 1_000.0


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.db.close()


# Adding


def test_a_folder_becomes_a_library_with_its_own_name(box: Box) -> None:
    added = box.add("Music")
    assert (added.library.name, added.new, added.absorbed, added.notes) == ("Music", True, (), ())
    assert box.known == {"Music": box.folder / "Music"} == {n: Path(r) for n, r in box.in_file.items()}


def test_a_folder_that_is_one_already_stays_what_it_is(box: Box) -> None:
    first = box.add("Music")
    assert box.add("Music", "Other") == AddedLibrary(first.library, new=False)
    assert box.add(Path(f"{box.folder}/Music//")) == AddedLibrary(first.library, new=False)
    assert box.add(box.folder / "Music" / ".." / "Music") == AddedLibrary(first.library, new=False)


def test_a_link_to_a_library_is_that_library(box: Box) -> None:
    first = box.add("Music")
    (box.folder / "link").symlink_to("Music", target_is_directory=True)
    assert box.add(box.folder / "link") == AddedLibrary(first.library, new=False)


def test_a_link_is_stored_as_the_folder_that_it_leads_to(box: Box) -> None:
    box.music("Music")
    (box.folder / "link").symlink_to("Music", target_is_directory=True)
    assert box.add(box.folder / "link").library.root == os.fsencode(box.folder / "Music")


def test_a_folder_inside_a_library_belongs_to_it(box: Box) -> None:
    first = box.add("Music")
    assert box.add("Music/Jazz") == AddedLibrary(first.library, new=False)


def test_a_folder_beside_a_library_whose_name_begins_alike_is_another(box: Box) -> None:
    box.add("Music")
    assert box.add("Music2").new


def test_a_parent_takes_its_children_in_with_their_rows(box: Box) -> None:
    jazz, rock = box.add("All/Jazz").library, box.add("All/deep/Rock").library
    other = box.add("Other").library
    one, two = add_file(box.db, b"a/\xff.mp3", library=jazz), add_file(box.db, "b.mp3", library=rock)
    added = box.add("All")
    assert added.absorbed == ("Jazz", "Rock")
    assert box.known == {"All": box.folder / "All", "Other": box.folder / "Other"}
    assert set(box.in_file) == {"All", "Other"}
    for file in (one, two):
        row = files.get(box.db.connection, file.id)
        assert row is not None
        assert (row.library, row.absolute_path) == ("All", file.absolute_path)
    assert other.name in box.known


def test_decisions_for_an_absorbed_library_still_mean_their_files(box: Box) -> None:
    from psm.db import decisions

    file = add_file(box.db, "a.mp3", library=box.add("All/Jazz").library, fingerprint="audio:1")
    decision = Decision("key", "A - One", DecisionKind.SET, "Jazz", b"a.mp3", "audio:1", file.id, "2025-01-01")
    with box.db.transaction(durable=True) as c:
        decisions.put(c, decision)
    box.add("All")
    with box.db.transaction() as c:
        decisions.resolve(c)
    [found] = decisions.all_decisions(box.db.connection)
    assert (found.file_id, found.file_library, found.file_path) == (file.id, "All", b"Jazz/a.mp3")


def test_the_root_of_everything_can_be_a_library(box: Box) -> None:
    file = add_file(box.db, "a.mp3", library=box.add("Music").library)
    added = box.add(Path("/"))
    assert (added.library.name, added.library.root, added.absorbed) == ("music", b"/", ("Music",))
    row = files.get(box.db.connection, file.id)
    assert row is not None
    assert row.absolute_path == file.absolute_path
    assert not box.add("Music").new
    assert not box.add(Path("/")).new


def test_a_second_folder_of_one_name_gets_a_number(box: Box) -> None:
    names = [box.add(path).library.name for path in ("a/Music", "b/Music", "c/Music")]
    assert names == ["Music", "Music 2", "Music 3"]


def test_a_name_of_ones_own_is_taken_once(box: Box) -> None:
    box.add("a/Music", "NAS")
    with pytest.raises(UsageError, match="There is a library called NAS already"):
        box.add("b/Music", "NAS")
    assert set(box.known) == {"NAS"}


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[31m", "\udcff"])
def test_a_name_that_cannot_be_shown_is_refused(box: Box, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a library's name"):
        box.add("Music", name)
    assert box.known == {}


@pytest.mark.parametrize("raw", [b"caf\xe9", b"new\nline", b"esc\x1b[31m", b" "])
def test_any_folder_name_survives_the_file_and_a_new_database(box: Box, raw: bytes) -> None:
    path = box.folder / os.fsdecode(raw)
    path.mkdir()
    library = box.add(path).library
    assert library.name.isprintable()
    assert library.name.strip()
    box.lose_database()
    box.ensure()
    assert [(known.name, known.root) for known in libraries.all_libraries(box.db.connection)] == [
        (library.name, os.fsencode(path))
    ]


def test_what_is_no_folder_is_refused(box: Box) -> None:
    (box.folder / "file").write_text("")
    (box.folder / "nowhere").symlink_to("gone")
    for name, reason in (("file", "is not a folder"), ("gone", "is not there"), ("nowhere", "is not a folder")):
        with pytest.raises(UsageError, match=f"{name} {reason}"):
            box.add(box.folder / name)


# Moving and removing


def test_a_moved_library_keeps_its_rows(box: Box) -> None:
    file = add_file(box.db, "a.mp3", library=box.add("Music").library)
    assert box.move("Music", box.music("mnt")).root == os.fsencode(box.folder / "mnt")
    row = files.get(box.db.connection, file.id)
    assert row is not None
    assert row.absolute_path == os.fsencode(box.folder / "mnt" / "a.mp3")
    assert box.in_file == {"Music": str(box.folder / "mnt")}


def test_a_move_to_where_it_is_changes_nothing(box: Box) -> None:
    box.add("Music")
    before = metadata.generation(box.db.connection, "libraries")
    box.move("Music", box.folder / "Music")
    assert metadata.generation(box.db.connection, "libraries") == before


def test_a_library_can_move_up_or_down_in_its_own_place(box: Box) -> None:
    box.add("Music")
    assert box.move("Music", box.music("Music/inner")).name == "Music"
    assert box.move("Music", box.folder).root == os.fsencode(box.folder)


@pytest.mark.parametrize(
    ("target", "reason"), [("Other", "holds library"), ("Other/in", "is a part of library"), (".", "holds library")]
)
def test_a_move_onto_another_library_is_refused(box: Box, target: str, reason: str) -> None:
    box.add("Music")
    box.add("Other")
    with pytest.raises(UsageError, match=f"{reason} Other"):
        box.move("Music", box.music(target))
    assert box.known["Music"] == box.folder / "Music"


def test_an_unknown_name_says_which_there_are(box: Box) -> None:
    with pytest.raises(UsageError, match=r"'NAS'\. psm knows: none yet"):
        box.move("NAS", box.folder)
    box.add("Music")
    with pytest.raises(UsageError, match=r"'NAS'\. psm knows: Music"):
        remove_library(box.db, box.config, "NAS", now=now)
    with pytest.raises(UsageError, match="no library called"):
        remove_library(box.db, box.config, "\udcff", now=now)


def test_a_removed_library_is_forgotten_and_its_folder_stays(box: Box) -> None:
    library = box.add("Music").library
    add_file(box.db, "a.mp3", library=library)
    removed = remove_library(box.db, box.config, "Music", now=now)
    assert (removed.library, removed.files, removed.notes) == (library, 1, ())
    assert box.known == {}
    assert box.in_file == {}
    assert (box.folder / "Music").is_dir()
    box.ensure()
    assert box.known == {}


def test_removing_a_configured_library_says_that_it_comes_back(box: Box) -> None:
    config = box.configured(box.music("Music"))
    box.ensure(config)
    assert "comes back" in remove_library(box.db, config, "Music", now=now).notes[0]


@pytest.mark.parametrize("action", ["move", "remove", "absorb"])
def test_what_a_scan_must_not_meet_waits_for_it(box: Box, action: str) -> None:
    box.add("All/Music")
    other = box.music("elsewhere")
    held, waiting, said = threading.Event(), threading.Event(), []

    def on_wait(holder: str) -> None:
        said.append(holder)
        waiting.set()

    def scan() -> None:
        with hold(box.db.scan_lock, what="psm scan"):
            held.set()
            assert waiting.wait(30)

    scanning = threading.Thread(target=scan)
    scanning.start()
    assert held.wait(30)
    if action == "move":
        move_library(box.db, box.config.folder, "Music", other, now=now, on_wait=on_wait)
    elif action == "remove":
        remove_library(box.db, box.config, "Music", now=now, on_wait=on_wait)
    else:
        add_library(box.db, box.config.folder, box.folder / "All", now=now, on_wait=on_wait)
    scanning.join()
    assert said[0].startswith("psm scan, process")


def test_adding_a_separate_folder_waits_for_no_scan(box: Box) -> None:
    box.add("Music")
    with hold(box.db.scan_lock, what="psm scan"):
        assert add_library(box.db, box.config.folder, box.music("Other"), now=now, on_wait=pytest.fail).new


def test_two_that_add_at_once_are_both_in_the_file(box: Box) -> None:
    start = threading.Barrier(6)
    problems: list[BaseException] = []

    def add(name: str) -> None:
        start.wait()
        try:
            box.add(name)
        except BaseException as e:
            problems.append(e)

    names = [f"Music {n}" for n in range(6)]
    threads = [threading.Thread(target=add, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert list(box.known) == sorted(box.in_file) == names


def test_a_file_that_another_psm_overtook_is_written_again(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    overtaken: list[Path] = []
    write = libraries_file.write

    def slow(folder: Path, known: list[Library]) -> None:
        if not overtaken:
            overtaken.append(box.music("Second"))
            with Database(box.db.path) as second:
                add_library(second, box.config.folder, overtaken[0], now=now)
        write(folder, known)

    monkeypatch.setattr(libraries_file, "write", slow)
    box.add("First")
    assert sorted(box.in_file) == ["First", "Second"]


# Watched, or left to scans


def test_a_library_is_watched_unless_it_is_said_not_to_be(box: Box) -> None:
    assert box.add("Music").library.watch
    assert not box.add("Old", watch=False).library.watch
    assert box.unwatched == {"Old"}
    assert box.watch("Music", on=False) == libraries.by_name(box.db.connection, "Music")
    assert box.unwatched == {"Old", "Music"}
    assert box.watch("Old", on=True).watch
    assert box.unwatched == {"Music"}
    with pytest.raises(UsageError, match="no library called 'NAS'"):
        box.watch("NAS", on=False)


def test_a_mark_that_stays_as_it_is_changes_nothing(box: Box) -> None:
    box.add("Music")
    before = metadata.generation(box.db.connection, "libraries")
    box.watch("Music", on=True)
    assert metadata.generation(box.db.connection, "libraries") == before


def test_the_mark_survives_a_move_and_a_new_database(box: Box) -> None:
    box.add("Old", watch=False)
    box.add("Music")
    assert not box.move("Old", box.music("mnt")).watch
    assert box.in_file == {"Music": str(box.folder / "Music"), "Old": {"path": str(box.folder / "mnt"), "watch": False}}
    box.lose_database()
    assert box.ensure() == ()
    assert box.known == {"Music": box.folder / "Music", "Old": box.folder / "mnt"}
    assert box.unwatched == {"Old"}


def test_adding_a_known_folder_again_changes_its_mark_only_when_asked_to(box: Box) -> None:
    box.add("Music", watch=False)
    assert not box.add("Music").library.watch
    assert box.unwatched == {"Music"}
    again = box.add("Music", watch=True)
    assert (again.new, again.library.watch, again.notes) == (False, True, ())
    assert box.in_file == {"Music": str(box.folder / "Music")}


def test_a_folder_inside_a_library_has_no_mark_of_its_own(box: Box) -> None:
    box.add("Music")
    inside = box.add("Music/Jazz", watch=False)
    assert inside.notes == ("Library Music is watched as a whole. Change that with: psm library watch",)
    assert box.unwatched == set()
    assert box.add("Music/Jazz", watch=True).notes == ()


def test_a_parent_has_its_own_mark_and_says_for_whom_that_is_new(box: Box) -> None:
    box.add("All/Jazz", watch=False)
    box.add("All/Rock")
    added = box.add("All")
    assert (added.library.watch, added.absorbed) == (True, ("Jazz", "Rock"))
    assert added.notes == ("Library Jazz was left to scans; as a part of All it is watched.",)
    assert box.unwatched == set()


def test_what_the_watcher_of_a_removed_library_said_goes_with_it(box: Box) -> None:
    gone, jazz = box.add("Music").library, box.add("All/Jazz").library
    for library in (gone, jazz):
        watch_status.write(
            box.db.watch_status(library.id), watch_status.WatcherStatus(library.name, library.root, "psm", 1, 1.0)
        )
    remove_library(box.db, box.config, "Music", now=now)
    box.add("All")
    assert not list(box.folder.glob("*.watch-*"))


# libraries.yaml


def test_a_new_database_takes_the_libraries_from_the_file(box: Box) -> None:
    box.add("Music", "NAS")
    box.add("Other")
    before = box.known
    box.lose_database()
    assert box.ensure() == ()
    assert box.known == before


def test_adding_to_a_new_database_loses_none_of_the_file(box: Box) -> None:
    box.add("Music")
    box.lose_database()
    box.add("Other")
    assert set(box.known) == set(box.in_file) == {"Music", "Other"}


def test_a_library_whose_drive_is_away_is_restored_all_the_same(box: Box) -> None:
    box.add("Music")
    box.lose_database()
    (box.folder / "Music").rmdir()
    box.ensure()
    assert [(s.library.name, s.there) for s in list_libraries(box.db)] == [("Music", False)]


def test_a_file_that_was_deleted_or_cut_short_is_mended(box: Box) -> None:
    box.add("Music")
    box.file.unlink()
    box.ensure()
    assert set(box.in_file) == {"Music"}
    # Killed between the database and the file:
    with box.db.transaction() as c:
        libraries.add(c, "Late", b"/late", now=0.0)
    box.ensure()
    assert set(box.in_file) == {"Music", "Late"}


def test_nothing_is_written_when_nothing_changed(box: Box) -> None:
    box.add("Music")
    before = (box.file.stat().st_mtime_ns, box.file.stat().st_ino)
    with Database(box.db.path) as other:
        version = other.connection.execute("PRAGMA data_version").fetchone()
        box.ensure()
        box.add("Music")
        assert other.connection.execute("PRAGMA data_version").fetchone() == version
    assert (box.file.stat().st_mtime_ns, box.file.stat().st_ino) == before


def test_without_any_library_no_file_is_made(box: Box) -> None:
    assert box.ensure() == ()
    assert not box.config.folder.exists()


@pytest.mark.parametrize("text", ["", "# nothing\n", "libraries:\n", "libraries: {}\n", "\ufefflibraries: {}\n"])
def test_a_file_that_names_none_is_fine(box: Box, text: str) -> None:
    box.config.folder.mkdir()
    box.file.write_text(text, encoding="utf-8")
    assert box.ensure() == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("libraries: [", "is not YAML"),
        ("libraries: {a: [[[", "is not YAML"),
        ("- /music\n", "must hold a section"),
        ("libraries: /music\n", "must hold a section"),
        ("music: /music\n", "must hold a section"),
        ("libraries: [/music]\n", "must hold a section"),
        ("libraries: {a: 2025-99-99}\n", "is not YAML"),
        ("[" * 1200, "is not YAML"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named_and_left_alone(box: Box, text: str, said: str) -> None:
    box.config.folder.mkdir()
    box.file.write_text(text)
    for call in (box.ensure, lambda: box.add("Music")):
        with pytest.raises(UsageError, match=f"(?s){said}.*Mend it, or move it away"):
            call()
    assert box.file.read_text() == text
    assert box.known == {}


def test_a_folder_in_the_place_of_the_file_is_explained(box: Box) -> None:
    box.file.mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        box.ensure()


def test_entries_that_cannot_be_used_are_named_and_the_rest_is_taken(box: Box) -> None:
    box.config.folder.mkdir()
    box.file.write_text(
        "libraries:\n  good: /music/\n  2024: /other\n  same: /music\n  inside: /music/jazz\n  around: /\n"
        '  relative: Music\n  number: 7\n  "": /nameless\n  "two\\nlines": /lines\n  ~: /none\n'
        '  nul: "/a\\0b"\n  odd: "/caf\\udce9"\n'
        "  old: {path: /old, watch: no}\n  plain: {path: /plain}\n  pathless: {watch: no}\n"
        "  maybe: {path: /maybe, watch: sometimes}\n"
    )
    notes = box.ensure()
    roots = {library.name: library.root for library in libraries.all_libraries(box.db.connection)}
    assert roots == {"good": b"/music", "2024": b"/other", "odd": b"/caf\xe9", "old": b"/old", "plain": b"/plain"}
    assert box.unwatched == {"old"}
    assert len(notes) == 11
    assert any("'maybe' is left out: watch must be true or false" in note for note in notes)
    assert any("'inside' is left out: its folder overlaps that of 'good'" in note for note in notes)
    assert any("'around' is left out" in note for note in notes)
    assert any("'relative' is left out: its folder must be a full path" in note for note in notes)


def test_two_that_restore_at_once_restore_once(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.add("Music")
    box.lose_database()
    read = libraries_file.read

    def overtaken(folder: Path) -> tuple[list[libraries_file.Entry], list[str]]:
        monkeypatch.setattr(libraries_file, "read", read)
        with Database(box.db.path) as other:
            ensure_libraries(other, box.config, now=now)
        return read(folder)

    monkeypatch.setattr(libraries_file, "read", overtaken)
    box.ensure()
    assert set(box.known) == {"Music"}


NOBODY_IMPORTS = """
import yaml
from psm.config import Config, LibraryConfig
from psm.config.values import NamedPath
from psm.db import Database, connection
from psm.services.libraries import add_library, ensure_libraries
import psm.locks, psm.ingest.library
connection._migrations()
"""
NOBODY_ADDS = """
folder = Path(sys.argv[1])
with Database(folder / "psm.db") as db:
    print(add_library(db, folder / "config", folder / "Music", now=lambda: 1.0).notes)
    print(ensure_libraries(db, Config(folder=folder / "config"), now=lambda: 1.0))
    configured = LibraryConfig(paths=(NamedPath(folder / "Music"),))
    print(ensure_libraries(db, Config(folder=folder / "config", library=configured), now=lambda: 1.0))
"""


def test_a_configuration_folder_that_may_not_be_written_is_a_note_and_no_failure() -> None:
    with shared_folder() as folder:
        (folder / "config").mkdir(mode=0o555)
        (folder / "Music").mkdir()
        added, ensured, configured = as_nobody(NOBODY_IMPORTS, NOBODY_ADDS, folder).splitlines()
    assert "libraries.yaml cannot be written: Permission denied" in added
    assert "libraries.yaml cannot be written" in ensured
    assert configured == "()"  # the configuration says it all: nothing is lost with the database


# library.paths


def test_configured_folders_become_libraries(box: Box) -> None:
    config = box.configured(("main", box.music("Music")), box.music("Other"))
    notes = box.ensure(config)
    assert box.known == {"main": box.folder / "Music", "Other": box.folder / "Other"}
    assert [note.endswith(("called main.", "called Other.")) for note in notes] == [True, True]
    assert box.ensure(config) == ()


def test_of_configured_folders_the_outer_one_is_the_library(box: Box) -> None:
    config = box.configured(("inner", box.music("All/Jazz")), ("outer", box.folder / "All"))
    box.ensure(config)
    assert box.known == {"outer": box.folder / "All"}
    assert box.ensure(config) == ()


def test_a_library_that_moved_in_the_configuration_moves(box: Box) -> None:
    box.ensure(box.configured(("main", box.music("Music"))))
    add_file(box.db, "a.mp3", library=libraries.by_name(box.db.connection, "main"))
    config = box.configured(("main", box.music("mnt")))
    assert box.ensure(config) == (f"Library main is at {box.folder}/mnt now.",)
    assert box.known == {"main": box.folder / "mnt"}
    assert list_libraries(box.db)[0].present == 1
    assert box.ensure(config) == ()


def test_a_configured_folder_that_is_away_is_left_out_and_said(box: Box) -> None:
    config = box.configured(("main", box.folder / "away"), box.music("Music"))
    [note, _] = box.ensure(config)
    assert note == f"The configured library folder {box.folder}/away is not there: it is left out."
    assert set(box.known) == {"Music"}


def test_a_configured_library_whose_drive_went_away_stays(box: Box) -> None:
    config = box.configured(("main", box.music("Music")))
    box.ensure(config)
    (box.folder / "Music").rmdir()
    assert box.ensure(config) == ()
    assert set(box.known) == {"main"}


def test_a_configuration_that_contradicts_the_database_stops_no_command(box: Box) -> None:
    box.add("Music", "main")
    box.add("Other", "other")
    notes = box.ensure(box.configured(("main", box.music("Other/in")), ("bad\nname", box.music("New"))))
    assert ["is a part of library other" in notes[0], "cannot be a library's name" in notes[1]] == [True, True]
    assert box.known == {"main": box.folder / "Music", "other": box.folder / "Other"}


def test_a_configured_link_is_the_library_that_it_leads_to(box: Box) -> None:
    box.music("Music")
    (box.folder / "link").symlink_to("Music", target_is_directory=True)
    config = box.configured(("main", box.folder / "link"))
    box.ensure(config)
    assert box.ensure(config) == ()
    assert box.known == {"main": box.folder / "Music"}


# Looking


def test_the_list_tells_counts_and_whether_a_root_can_be_seen(box: Box) -> None:
    add_file(box.db, "a.mp3", library=box.add("Music").library)
    box.add("Gone")
    (box.folder / "Gone").rmdir()
    states = [(s.library.name, s.present, s.missing, s.there) for s in list_libraries(box.db)]
    assert states == [("Gone", 0, 0, False), ("Music", 1, 0, True)]


def test_a_network_drive_that_does_not_answer_counts_as_away(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.add("Music")
    released = threading.Event()
    isdir = os.path.isdir

    def hangs(path: bytes) -> bool:
        released.wait(30)
        return isdir(path)

    class Network:
        is_local = False

    monkeypatch.setattr(drives, "filesystem_of", lambda _: Network())
    assert [s.there for s in list_libraries(box.db)] == [True]
    monkeypatch.setattr(drives, "ANSWER_S", 0.0)
    monkeypatch.setattr(os.path, "isdir", hangs)
    assert [s.there for s in list_libraries(box.db)] == [False]
    released.set()


@pytest.mark.parametrize(
    ("root", "path", "separator", "relative"),
    [
        (b"/music", b"/music/a", b"/", b"a"),
        (b"/music/", b"/music/a/b", b"/", b"a/b"),
        (b"/", b"/music", b"/", b"music"),
        (b"/music", b"/music", b"/", None),
        (b"/music", b"/music2", b"/", None),
        (b"/music/a", b"/music", b"/", None),
        (b"C:\\Music", b"C:\\Music\\Jazz\\a", b"\\", b"Jazz/a"),
        (b"C:\\", b"C:\\Music", b"\\", b"Music"),
        (b"\\\\nas\\music", b"\\\\nas\\music\\a", b"\\", b"a"),
        (b"C:\\Music", b"C:\\Music2", b"\\", None),
    ],
)
def test_below_means_in_whole_parts_on_every_system(
    root: bytes, path: bytes, separator: bytes, relative: bytes | None
) -> None:
    assert path_below(root, path, separator=separator) == relative


def test_what_was_added_on_the_way_is_said_in_sentences() -> None:
    library = Library(1, "All", b"/a\nb")
    assert added_notes(AddedLibrary(library, new=True, absorbed=("Jazz",), notes=("Mind.",))) == [
        "/a\\nb is a library now, called All.",
        "Library Jazz is a part of it now.",
        "Mind.",
    ]
    assert added_notes(AddedLibrary(library, new=False)) == []


def test_a_library_operation_on_a_locked_up_lock_file_is_explained(box: Box) -> None:
    box.add("Music")
    box.db.scan_lock.mkdir()
    with pytest.raises(PsmError, match="lock file"):
        remove_library(box.db, box.config, "Music", now=now)
    assert set(box.known) == {"Music"}


def test_a_root_that_was_moved_and_left_a_link_stays_one_library(box: Box) -> None:
    write_flac(box.music("music") / "a.flac")
    first = box.add("music")
    scan_library(box.db, LibraryConfig())
    (box.folder / "music").rename(box.folder / "big")
    (box.folder / "music").symlink_to(box.folder / "big")
    again = box.add(box.folder / "music")
    assert (again.new, again.library.id) == (False, first.library.id)
    assert [lib.root for lib in libraries.all_libraries(box.db.connection)] == [os.fsencode(box.folder / "big")]
    assert scan_library(box.db, LibraryConfig()).unchanged == 1
    assert box.add(box.folder, "all").absorbed == ("music",)


def test_a_folder_that_is_mounted_twice_is_one_library(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    first = box.add("one")
    box.music("two")
    monkeypatch.setattr(os.path, "samefile", lambda *_: True)
    assert box.add(box.folder / "two").library == first.library
