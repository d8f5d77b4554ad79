"""An empty database to report on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from psm.db import Database
from tests.report.shelf import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """An empty shelf."""
    with Database(tmp_path / "psm.db") as db:
        yield Shelf(db)
