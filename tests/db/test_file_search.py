"""Searching files: every word, in whatever field, case and accents."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from psm.db import Database, file_search
from psm.models import Status
from tests.factories import add_file, add_library, lose_file


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "psm.db") as opened:
        yield opened


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", True),
        ("   ", True),
        ("fjarilar", True),
        ("FJÄRILAR", True),
        ("zoë timmar", True),
        ("Akerlund zoe", True),
        ("gäst", True),
        ("samling", True),
        ("03 små", True),
        ("arilar", True),
        ("fjarilar nobody", False),
        ("flac", True),
        ("mp3", False),
        ("Istanbul/03", True),
        ("small.timmar", False),
        ("İstanbul", True),
        ("ｆｊａｒ", True),
    ],
)
def test_finds_a_file_by_all_words_wherever_they_stand(db: Database, query: str, found: bool) -> None:
    file = add_file(
        db,
        b"Istanbul/03 caf\xe9.flac",
        title="Fjärilar",
        artists=("Zoë Åkerlund", "Gast"),
        album="Små timmar",
        album_artist="Samling",
    )
    assert [f.id for f in file_search.search(db.connection, query)] == ([file.id] if found else [])


@pytest.mark.parametrize("query", ["!!!", "pink", "P!nk", "dont stop", "Don’t", "AC/DC", "R.E.M", "rem"])
def test_finds_names_however_they_are_spelt(db: Database, query: str) -> None:
    file = add_file(db, "a.flac", title="Don't Stop", artists=("!!!", "P!nk", "AC/DC", "R.E.M."))
    add_file(db, "b.flac", title="Other", artists=("Others",))
    assert [f.id for f in file_search.search(db.connection, query)] == [file.id]


def test_finds_a_file_without_tags_by_its_path(db: Database) -> None:
    file = add_file(db, b"caf\xe9/song.mp3")
    assert [f.id for f in file_search.search(db.connection, "caf song")] == [file.id]


@pytest.mark.parametrize("query", ["", "song"])
def test_lists_by_library_and_path_and_only_the_status_asked_for(db: Database, query: str) -> None:
    second = add_library(db, name="zzz", root=b"/zzz")
    names = [(second, b"a song"), (None, b"b song"), (None, b"a song")]
    one, two, three = (add_file(db, name, library=library) for library, name in names)
    lose_file(db, two)
    assert [f.id for f in file_search.search(db.connection, query)] == [three.id, two.id, one.id]
    missing = file_search.search(db.connection, query, status=Status.MISSING)
    assert [(f.id, f.status) for f in missing] == [(two.id, Status.MISSING)]
