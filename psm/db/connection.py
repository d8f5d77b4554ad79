"""The SQLite database: one connection per thread, short write transactions, numbered migrations."""

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from psm.errors import PsmError

BUSY_TIMEOUT_S = 60.0
_RETRY_PAUSE_S = 0.05
_RETRY_AFTER_S = 0.5
"""How long SQLite waits by itself for the write lock: it hears no Ctrl-C meanwhile."""
_SYNCHRONOUS = {True: "PRAGMA synchronous=NORMAL", False: "PRAGMA synchronous=FULL"}
"""By whether the journal is a WAL, in which NORMAL cannot damage the database."""


class DatabaseError(PsmError):
    """The database cannot be opened, read or written; the message says why and what to do."""


class Database:
    """The library database at ``path`` (created when it is not there).

    Connections are per thread and opened on first use; ``close`` closes those of every thread. ``wal`` is false for a
    database on a network drive, where SQLite's shared memory does not work.
    """

    def __init__(self, path: Path, *, wal: bool = True) -> None:
        self.path = path
        self._wal = wal
        self._gives_up: Callable[[], bool] = _never
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._all_lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise DatabaseError(
                f"Cannot make the folder of the database, {path.parent}: {e.strerror}. "
                "Set database.path to a place you can write to."
            ) from e
        try:
            with self._explained():
                _migrate(self.connection, self.path)
        except BaseException:
            self.close()
            raise

    @property
    def wal(self) -> bool:
        """Whether the journal is a WAL."""
        return self._wal

    @property
    def scan_lock(self) -> Path:
        """The lock file that a scan holds (see :mod:`psm.locks`), beside the database."""
        return self.path.with_name(self.path.name + ".scan.lock")

    def watch_lock(self, library_id: int) -> Path:
        """The lock file that the watcher of a library holds for as long as it lives."""
        return self.path.with_name(f"{self.path.name}.watch-{library_id}.lock")

    def watch_status(self, library_id: int) -> Path:
        """Where the watcher of a library says what it does (see :mod:`psm.services.watch_status`)."""
        return self.path.with_name(f"{self.path.name}.watch-{library_id}.json")

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection. Outside ``transaction`` it only reads."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            self._local.connection = connection
            with self._all_lock:
                self._all.append(connection)
        return connection

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """A short write transaction: commits at the end, rolls back when the block raises.

        It takes the write lock at once (BEGIN IMMEDIATE), because one that upgrades from reading fails without waiting.
        ``durable`` survives a power cut too (manual decisions). Nested use joins the outer transaction, which decides
        about that.
        """
        connection = self.connection
        if connection.in_transaction:
            if getattr(self._local, "reading", False):
                raise RuntimeError("a write transaction inside a snapshot would be rolled back with it")
            yield connection
            return
        with self._explained():
            if durable:
                connection.execute("PRAGMA synchronous=FULL")
            try:
                _begin_writing(connection, self._gives_up)
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    _roll_back(connection)
                    raise
            finally:
                if durable:
                    connection.execute(_SYNCHRONOUS[self._wal])

    @contextmanager
    def giving_up_when(self, gives_up: Callable[[], bool]) -> Iterator[None]:
        """While the block runs, nobody waits any longer for a busy database once ``gives_up`` says so."""
        before, self._gives_up = self._gives_up, gives_up
        try:
            yield
        finally:
            self._gives_up = before

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A read transaction: every query inside sees the same state, and writers are not blocked."""
        connection = self.connection
        if connection.in_transaction:
            yield connection
            return
        with self._explained():
            connection.execute("BEGIN")
            self._local.reading = True
            try:
                yield connection
            finally:
                self._local.reading = False
                _roll_back(connection)

    @property
    def engine_version(self) -> str:
        """The version of the SQLite library in use."""
        return sqlite3.sqlite_version

    def check(self) -> tuple[str, ...]:
        """What SQLite's integrity check finds wrong; empty when the database is whole."""
        with self._explained():
            rows = [str(r[0]) for r in self.connection.execute("PRAGMA integrity_check")]
            broken = list(self.connection.execute("PRAGMA foreign_key_check"))
        problems = [] if rows == ["ok"] else rows
        return tuple(problems + [f"row {r[1]} of {r[0]} refers to a row of {r[2]} that is not there" for r in broken])

    def close(self) -> None:
        """Closes the connections of all threads."""
        with self._all_lock:
            connections, self._all = self._all, []
        for connection in connections:
            connection.close()
        self._local = threading.local()

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self) -> sqlite3.Connection:
        with self._explained():
            # check_same_thread is off only so that close() may close what other threads opened.
            connection = sqlite3.connect(
                self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA foreign_keys=ON")
                _check_owner(connection, self.path)  # before anything is written to it
                _set_journal(connection, "wal" if self._wal else "delete")
                connection.execute(_SYNCHRONOUS[self._wal])
            except BaseException:
                connection.close()
                raise
            return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with explained(self.path):
            yield


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what SQLite raises inside the block into a :class:`DatabaseError` that says what to do."""
    try:
        yield
    except sqlite3.Error as e:
        raise DatabaseError(_explain(path, e)) from e


def _roll_back(connection: sqlite3.Connection) -> None:
    """SQLite has rolled back by itself after some errors, a full disk among them."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _set_journal(connection: sqlite3.Connection, mode: str) -> None:
    """Switches the journal mode. SQLite's busy handler does not cover the switch, so a second opener waits here."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == mode:
        return
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode={mode}")
            return
        except sqlite3.OperationalError as e:
            if not _is_busy(e) or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_PAUSE_S)


def _never() -> bool:
    return False


def _begin_writing(connection: sqlite3.Connection, gives_up: Callable[[], bool] = _never) -> None:
    """Takes the write lock, and waits for it as long as a busy database is waited for, unless ``gives_up`` says so."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    connection.execute(f"PRAGMA busy_timeout={int(min(_RETRY_AFTER_S, BUSY_TIMEOUT_S) * 1000)}")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as e:
                if not _is_busy(e) or time.monotonic() >= deadline or gives_up():
                    raise
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")


def _is_busy(e: sqlite3.Error) -> bool:
    code = getattr(e, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _explain(path: Path, e: sqlite3.Error) -> str:
    code = getattr(e, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return (
            f"The disk that holds the database is full ({path}). "
            "What was found so far is kept; free some space and run it again."
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            f"Another program has locked the database for over {BUSY_TIMEOUT_S:.0f} s ({path}). "
            "End it, or try again later."
        )
    if code == sqlite3.SQLITE_NOTADB:
        return f"{path} is not a psm database. Set database.path to another file, or move this one away."
    if code == sqlite3.SQLITE_CORRUPT:
        return (
            f"The database is damaged ({path}): {e}. Move it away and run psm build: "
            "it is built again from the disk, and manual decisions come back from psm-overrides.yaml."
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        reason = os.strerror(errno.EISDIR) if path.is_dir() else str(e)
        return (
            f"The database cannot be opened for writing ({path}): {reason}. "
            "Check its permissions, or set database.path."
        )
    if code == sqlite3.SQLITE_IOERR:
        return (
            f"The disk that holds the database failed ({path}): {e}. "
            "Check the disk and its free space, then run it again."
        )
    return f"The database reports an error ({path}): {e}."


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Brings the schema up to date, statement by statement: ``executescript`` would commit on its own."""
    steps = _migrations()
    if _schema_version(connection) == len(steps):
        return
    _begin_writing(connection)
    try:
        _check_owner(connection, path)  # once more: another psm may have been first
        version = _schema_version(connection)
        connection.execute("CREATE TABLE IF NOT EXISTS metadata (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        for number, sql in enumerate(steps[version:], start=version + 1):
            for statement in _statements(sql):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO metadata (key, value) VALUES ('schema_version', ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (str(number),),
            )
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


def _check_owner(connection: sqlite3.Connection, path: Path) -> None:
    """Refuses a database of another program, which psm's tables would spoil, and one of a newer psm."""
    # Both are read in one transaction: another psm may be making its tables between the two.
    begun = not connection.in_transaction
    if begun:
        connection.execute("BEGIN")
    try:
        version = _schema_version(connection)
        is_empty = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    finally:
        if begun:
            _roll_back(connection)
    if version > len(_migrations()):
        raise DatabaseError(
            f"The database was written by a newer psm (schema {version}, this one knows {len(_migrations())}): {path}. "
            "Update psm, or set database.path to another file."
        )
    if version == 0 and not is_empty:
        raise DatabaseError(
            f"{path} is a database of another program. Set database.path to another file; psm leaves this one alone."
        )


def _schema_version(connection: sqlite3.Connection) -> int:
    """The number of the last migration that was done; 0 for a new database, and for one that is not psm's."""
    columns = [row[1] for row in connection.execute("PRAGMA table_info(metadata)")]
    if columns != ["key", "value"]:
        return 0
    row = connection.execute("SELECT value FROM metadata WHERE key = 'schema_version'").fetchone()
    return int(row[0]) if row and str(row[0]).isdecimal() else 0


@cache
def _migrations() -> tuple[str, ...]:
    # Not importlib.resources, which takes 2 MB: psm is never run from a zip archive.
    files = sorted((Path(__file__).parent / "migrations").glob("*.sql"))
    return tuple(file.read_text(encoding="utf-8") for file in files)


def _statements(sql: str) -> Iterator[str]:
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
