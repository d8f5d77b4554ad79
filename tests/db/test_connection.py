import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from psm.db import Database, DatabaseError, connection, explained, libraries, metadata
from tests.nobody import as_nobody, shared_folder

NEWER = 99
NEWEST = str(len(connection._migrations()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "psm.db"


def tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as raw:
        found = {row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    raw.close()
    return found


def set_schema(path: Path, version: str) -> None:
    raw = sqlite3.connect(path)
    raw.execute("UPDATE metadata SET value = ? WHERE key = 'schema_version'", (version,))
    raw.commit()
    raw.close()


def write_and_fail(c: sqlite3.Connection, key: str) -> None:
    metadata.put(c, key, "1")
    raise ZeroDivisionError


def test_a_new_database_gets_its_folder_and_every_table(path: Path) -> None:
    with Database(path) as db:
        assert metadata.get(db.connection, "schema_version") == NEWEST
    wanted = {
        "library_files",
        "tracks",
        "playlists",
        "playlist_tracks",
        "matches",
        "metadata",
        "libraries",
        "decisions",
    }
    assert wanted <= tables(path)


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with Database(path) as db:
        assert db.check() == ()


def test_opening_again_changes_nothing(path: Path) -> None:
    Database(path).close()
    before = path.read_bytes()
    Database(path).close()
    assert path.read_bytes() == before


def test_a_database_of_a_newer_psm_is_refused_and_left_alone(path: Path) -> None:
    Database(path).close()
    set_schema(path, str(NEWER))
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match=rf"newer psm \(schema {NEWER}, this one knows {NEWEST}\).*Update psm"):
        Database(path)
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE metadata (id INTEGER, what TEXT)")
    raw.commit()
    raw.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="of another program"):
        Database(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", ["", "one", "-1"])
def test_a_schema_version_that_is_no_number_is_no_database_of_ours(path: Path, version: str) -> None:
    Database(path).close()
    set_schema(path, version)
    with pytest.raises(DatabaseError, match="of another program"):
        Database(path)


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    content = b"This is my diary. It has more than a hundred bytes, so SQLite looks at its header and complains. " * 20
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="is not a psm database"):
        Database(path)
    assert path.read_bytes() == content


def test_a_folder_in_the_place_of_the_database_is_named_as_such(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(DatabaseError, match="Is a directory"):
        Database(path)


def test_a_file_in_the_place_of_the_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DatabaseError, match="Cannot make the folder of the database"):
        Database(tmp_path / "data" / "psm.db")


def test_a_damaged_database_says_how_it_is_built_again(path: Path) -> None:
    with Database(path, wal=False) as db, db.transaction() as c:
        c.executemany("INSERT INTO metadata VALUES (?, ?)", [(f"key {n}", "x" * 100) for n in range(2000)])
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 8192))

    def read() -> None:
        with Database(path, wal=False) as db:
            db.check()

    with pytest.raises(DatabaseError, match=r"damaged.*psm-overrides\.yaml"):
        read()


def test_the_check_finds_a_row_that_refers_to_nothing(path: Path) -> None:
    with Database(path) as db:
        db.connection.execute("PRAGMA foreign_keys=OFF")
        db.connection.execute("INSERT INTO playlist_tracks (playlist_id, position, track_id) VALUES (1, 1, 1)")
        assert any("refers to a row of" in problem for problem in db.check())


IMPORTS = "from psm.db import Database, DatabaseError, connection; connection._migrations()"
OPEN = """
for path in sys.argv[1:]:
    try:
        with Database(Path(path)) as db, db.transaction() as c:
            c.execute("INSERT INTO metadata VALUES ('a', 'b')")
        print("written")
    except DatabaseError as e:
        print(e)
"""


def test_what_may_not_be_written_is_explained() -> None:
    with shared_folder() as folder:
        readonly, closed = folder / "readonly.db", folder / "closed"
        Database(readonly, wal=False).close()
        readonly.chmod(0o444)
        closed.mkdir(mode=0o555)
        said = as_nobody(IMPORTS, OPEN, readonly, closed / "psm.db", closed / "deeper" / "psm.db", folder / "psm.db")
    first, second, third, last = said.splitlines()
    assert "cannot be opened for writing" in first
    assert "cannot be opened for writing" in second
    assert "Cannot make the folder" in third
    assert "Permission denied" in third
    assert last == "written"


DIE_IN_MIGRATION = """
import os, signal, sys
from pathlib import Path
from psm.db import Database, connection
first = connection._migrations()
connection._migrations = lambda: (*first, "CREATE TABLE later (id INTEGER); CREATE TABLE never (id INTEGER);\\n")
statements = connection._statements
def dying(sql):
    for number, statement in enumerate(sql.split(";")):
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield statement
connection._statements = dying
Database(Path(sys.argv[1]))
"""


def test_a_migration_that_is_killed_leaves_the_old_database(path: Path) -> None:
    with Database(path) as db, db.transaction() as c:
        metadata.put(c, "kept", "yes")
    before = tables(path)
    done = subprocess.run([sys.executable, "-c", DIE_IN_MIGRATION, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert tables(path) == before
    with Database(path) as db:
        assert metadata.get(db.connection, "schema_version") == NEWEST
        assert metadata.get(db.connection, "kept") == "yes"


def test_a_migration_that_fails_leaves_the_old_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Database(path).close()
    before = tables(path)
    steps = (*connection._migrations(), "CREATE TABLE later (id INTEGER);\nCREATE TABLE libraries (id INTEGER);\n")
    monkeypatch.setattr(connection, "_migrations", lambda: steps)
    with pytest.raises(DatabaseError, match="libraries already exists"):
        Database(path)
    assert tables(path) == before


def test_a_later_migration_is_applied_to_an_older_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Database(path).close()
    steps = (*connection._migrations(), "-- A comment; with a semicolon.\nCREATE TABLE later (id INTEGER);\n")
    monkeypatch.setattr(connection, "_migrations", lambda: steps)
    with Database(path) as db:
        assert metadata.get(db.connection, "schema_version") == str(int(NEWEST) + 1)
    assert "later" in tables(path)


def test_a_database_of_the_first_schema_keeps_its_libraries_and_they_are_watched(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = connection._migrations()[:1]
    with monkeypatch.context() as first:
        first.setattr(connection, "_migrations", lambda: steps)
        with Database(path) as db, db.transaction() as c:
            c.execute("INSERT INTO libraries (name, root, added_at) VALUES ('NAS', x'2f6e', 1)")
            metadata.bump(c, "libraries")
    with Database(path) as db:
        [library] = libraries.all_libraries(db.connection)
        assert (library.name, library.root, library.watch) == ("NAS", b"/n", True)
        with db.transaction() as c:
            assert libraries.add(c, "Other", b"/o", now=2.0).id not in (0, library.id)


def test_many_that_open_a_new_database_at_once_all_get_it(path: Path) -> None:
    start = threading.Barrier(8)
    problems: list[BaseException] = []

    def open_it() -> None:
        start.wait()
        try:
            with Database(path) as db, db.transaction() as c:
                metadata.bump(c, "tracks")
        except BaseException as e:
            problems.append(e)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with Database(path) as db:
        assert metadata.generation(db.connection, "tracks") == 8


def test_a_transaction_commits_at_its_end_and_rolls_back_on_an_error(path: Path) -> None:
    with Database(path) as db:
        with db.transaction() as c:
            metadata.put(c, "kept", "1")
        with pytest.raises(ZeroDivisionError), db.transaction() as c:
            write_and_fail(c, "lost")
        assert metadata.get(db.connection, "kept") == "1"
        assert metadata.get(db.connection, "lost") is None


def test_an_inner_transaction_is_a_part_of_the_outer_one(path: Path) -> None:
    with Database(path) as db:

        def nested() -> None:
            with db.transaction() as c:
                with db.transaction() as inner:
                    metadata.put(inner, "inner", "1")
                with db.snapshot() as reading:
                    assert metadata.get(reading, "inner") == "1"
                write_and_fail(c, "outer")

        with pytest.raises(ZeroDivisionError):
            nested()
        assert metadata.get(db.connection, "inner") is None
        assert metadata.get(db.connection, "outer") is None


def test_a_durable_transaction_waits_for_the_disk_and_others_do_not(path: Path) -> None:
    with Database(path) as db:
        with db.transaction(durable=True) as c:
            assert c.execute("PRAGMA synchronous").fetchone() == (2,)
        with db.transaction() as c:
            assert c.execute("PRAGMA synchronous").fetchone() == (1,)
        with pytest.raises(ZeroDivisionError), db.transaction(durable=True):
            raise ZeroDivisionError
        assert db.connection.execute("PRAGMA synchronous").fetchone() == (1,)


def test_without_wal_every_transaction_waits_for_the_disk(path: Path) -> None:
    with Database(path, wal=False) as db:
        assert db.connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        with db.transaction(durable=True):
            pass
        assert db.connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_the_journal_is_switched_when_the_database_moved_to_another_drive(path: Path) -> None:
    Database(path).close()
    with Database(path, wal=False) as db:
        assert db.connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    with Database(path) as db:
        assert db.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_snapshot_sees_one_state_and_blocks_no_writer(path: Path) -> None:
    with Database(path) as reader, Database(path) as writer:
        with reader.snapshot() as c:
            assert metadata.generation(c, "tracks") == 0
            with writer.transaction() as w:
                metadata.bump(w, "tracks")
            assert metadata.generation(c, "tracks") == 0
        assert metadata.generation(reader.connection, "tracks") == 1


def test_a_reader_is_not_blocked_by_a_writer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0.0)
    with Database(path) as reader, Database(path) as writer, writer.transaction() as w:
        metadata.bump(w, "tracks")
        assert metadata.generation(reader.connection, "tracks") == 0


def test_writing_inside_a_snapshot_is_a_defect_that_shows(path: Path) -> None:
    with Database(path) as db:
        with pytest.raises(RuntimeError, match="inside a snapshot"), db.snapshot(), db.transaction():
            pass
        with db.transaction() as c:
            metadata.put(c, "kept", "1")
        assert metadata.get(db.connection, "kept") == "1"


def test_a_locked_database_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_RETRY_AFTER_S", 0.01)
    with Database(path) as first, Database(path) as second:
        locked, failed = threading.Event(), threading.Event()
        begin = connection._is_busy

        def busy(e: sqlite3.Error) -> bool:
            failed.set()
            return begin(e)

        monkeypatch.setattr(connection, "_is_busy", busy)

        def hold() -> None:
            with first.transaction() as c:
                metadata.bump(c, "tracks")
                locked.set()
                assert failed.wait(30)

        holder = threading.Thread(target=hold)
        holder.start()
        assert locked.wait(30)
        with second.transaction() as c:
            assert metadata.bump(c, "tracks") == 2
        holder.join()


def test_a_database_that_stays_locked_is_explained(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0.0)

    def both(first: Database, second: Database) -> None:
        with first.transaction(), second.transaction():
            pass

    with Database(path) as one, Database(path) as two, pytest.raises(DatabaseError, match=r"locked .* for over 0 s"):
        both(one, two)
    # The lock is free again, and the connection as good as before.
    with Database(path) as db, db.transaction() as c:
        assert metadata.bump(c, "tracks") == 1


def test_switching_the_journal_gives_up_when_another_keeps_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Database(path) as first, first.snapshot() as c:
        metadata.get(c, "anything")
        monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0.05)
        monkeypatch.setattr(connection, "_RETRY_PAUSE_S", 0.001)
        with pytest.raises(DatabaseError, match="locked"):
            Database(path, wal=False)


def test_each_thread_has_a_connection_and_close_closes_them_all(path: Path) -> None:
    db = Database(path)
    mine, others = db.connection, []
    thread = threading.Thread(target=lambda: others.append(db.connection))
    thread.start()
    thread.join()
    assert db.connection is mine
    assert others[0] is not mine
    db.close()
    for closed in (mine, *others):
        with pytest.raises(sqlite3.ProgrammingError):
            closed.execute("SELECT 1")
    # A closed database opens again for whoever still asks.
    assert metadata.get(db.connection, "schema_version") == NEWEST
    db.close()


def test_a_full_disk_is_explained_and_what_was_committed_is_kept(path: Path) -> None:
    with Database(path) as db:
        with db.transaction() as c:
            metadata.put(c, "kept", "1")
        pages = db.connection.execute("PRAGMA page_count").fetchone()[0]
        db.connection.execute(f"PRAGMA max_page_count = {pages}")

        def fill() -> None:
            with db.transaction() as c:
                for number in range(10_000):
                    metadata.put(c, f"key {number}", "x" * 500)

        with pytest.raises(DatabaseError, match="disk that holds the database is full"):
            fill()
        assert metadata.get(db.connection, "kept") == "1"
        assert metadata.get(db.connection, "key 0") is None
        with db.transaction() as c:
            metadata.put(c, "kept", "2")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (sqlite3.SQLITE_FULL, "full"),
        (sqlite3.SQLITE_BUSY, "locked"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "locked"),
        (sqlite3.SQLITE_LOCKED, "locked"),
        (sqlite3.SQLITE_NOTADB, "not a psm database"),
        (sqlite3.SQLITE_CORRUPT, "damaged"),
        (sqlite3.SQLITE_READONLY, "Check its permissions"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "Check its permissions"),
        (sqlite3.SQLITE_CANTOPEN, "Check its permissions"),
        (sqlite3.SQLITE_PERM, "Check its permissions"),
        (sqlite3.SQLITE_IOERR_READ, "Check the disk"),
        (sqlite3.SQLITE_CONSTRAINT, "reports an error"),
    ],
)
def test_every_error_of_sqlite_becomes_a_sentence_that_names_the_file(tmp_path: Path, code: int, said: str) -> None:
    failure = sqlite3.OperationalError("what SQLite says")
    failure.sqlite_errorcode = code
    with pytest.raises(DatabaseError, match=said) as caught, explained(tmp_path / "psm.db"):
        raise failure
    assert str(tmp_path / "psm.db") in str(caught.value)


def test_an_error_without_a_code_becomes_a_sentence_too(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="reports an error"), explained(tmp_path / "psm.db"):
        raise sqlite3.ProgrammingError("Cannot operate on a closed database.")


def test_a_name_that_is_no_utf8_works_for_the_database(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9") / "psm.db"
    try:
        path.parent.mkdir()
    except OSError as e:
        if e.errno == errno.EILSEQ:
            pytest.skip("this file system takes UTF-8 only")
        raise
    with Database(path) as db:
        assert db.check() == ()
        assert db.scan_lock == path.with_name("psm.db.scan.lock")
