"""A database, a real music folder, and matches as the match stage stores them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from psm.db import Database
from tests.export.helpers import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty world below ``tmp_path``."""
    with Database(tmp_path / "psm.db") as db:
        yield World(db, tmp_path)
