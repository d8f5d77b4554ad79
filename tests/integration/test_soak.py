"""A short run of the soak test; ``python -m tests.soak`` runs it for as long as one likes."""

import random
from pathlib import Path

from tests.soak import soak

SECONDS = 45.0


def test_random_changes_leave_the_database_true_to_the_disk(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    assert soak(tmp_path, seed=seed, seconds=SECONDS) > 0
