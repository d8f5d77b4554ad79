"""Fixtures: files of every format, and a library with its database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.audio import mutagen_samples
from tests.ingest.scanned import Box


@pytest.fixture(scope="session")
def odd_files(request: pytest.FixtureRequest) -> list[Path]:
    """The files that mutagen is tested with: odd, broken, and of formats that ffmpeg cannot write."""
    folder = mutagen_samples(request.config.cache.mkdir("samples"))
    if folder is None:
        pytest.skip("mutagen's source distribution cannot be fetched from the package index")
    return sorted(path for path in folder.iterdir() if path.suffix not in {".jpg", ".mid", ".id3", ".apev2"})


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.db.close()
