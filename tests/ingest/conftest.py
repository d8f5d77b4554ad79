"""Fixtures for files of every format."""

from pathlib import Path

import pytest

from tests.audio import mutagen_samples


@pytest.fixture(scope="session")
def odd_files(request: pytest.FixtureRequest) -> list[Path]:
    """The files that mutagen is tested with: odd, broken, and of formats that ffmpeg cannot write."""
    folder = mutagen_samples(request.config.cache.mkdir("samples"))
    if folder is None:
        pytest.skip("mutagen's source distribution cannot be fetched from the package index")
    return sorted(path for path in folder.iterdir() if path.suffix not in {".jpg", ".mid", ".id3", ".apev2"})
