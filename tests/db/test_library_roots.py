"""Where libraries were before they moved."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from psm.db import Database, libraries, library_roots
from psm.db.library_roots import FormerRoot
from psm.models import Library
from tests.factories import add_library


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as database:
        yield database


@pytest.fixture
def library(db: Database) -> Library:
    found = add_library(db, root=b"/old/m\xff")
    note(db)
    return found


def note(db: Database) -> None:
    with db.transaction() as connection:
        library_roots.note(connection)


def move(db: Database, library: Library, root: bytes) -> None:
    with db.transaction() as connection:
        libraries.move(connection, library.id, root)
    assert not library_roots.is_noted(db.connection)
    note(db)
    assert library_roots.is_noted(db.connection)


def former(db: Database) -> tuple[FormerRoot, ...]:
    return library_roots.former(db.connection)


def test_a_library_that_never_moved_has_no_former_root(db: Database, library: Library) -> None:
    assert library.root == b"/old/m\xff"
    assert former(db) == ()


def test_every_former_root_leads_to_the_present_one_the_latest_first(db: Database, library: Library) -> None:
    move(db, library, b"/second")
    move(db, library, b"/third\xfe")
    assert former(db) == (FormerRoot(b"/second", b"/third\xfe"), FormerRoot(b"/old/m\xff", b"/third\xfe"))


def test_a_library_that_moved_back_was_only_away(db: Database, library: Library) -> None:
    move(db, library, b"/second")
    move(db, library, b"/old/m\xff")
    assert former(db) == (FormerRoot(b"/second", b"/old/m\xff"),)


@pytest.mark.parametrize("other", [b"/old/m\xff", b"/old/m\xff/part", b"/old"])
def test_a_former_root_where_another_library_is_now_means_that_one(
    db: Database, library: Library, other: bytes
) -> None:
    move(db, library, b"/second")
    add_library(db, name="other", root=other)
    note(db)
    assert former(db) == ()


def test_a_removed_library_s_roots_do_not_pass_to_the_next_one_of_its_id(db: Database, library: Library) -> None:
    move(db, library, b"/second")
    with db.transaction() as connection:
        libraries.remove(connection, library.id)
        again = libraries.add(connection, "again", b"/again", now=2_000.0)
        # Earlier versions of psm gave ids out again.
        connection.execute("UPDATE libraries SET id = ? WHERE id = ?", (library.id, again.id))
    note(db)
    assert former(db) == ()
