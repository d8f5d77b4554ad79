"""How sure a match is said to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psm.match.calibration import likelihood
from psm.models import Method

SCORES = st.floats(0.0, 1.0)


@pytest.mark.parametrize(
    ("score", "least", "most"),
    [(0.0, 0.0, 0.0), (0.5, 0.1, 0.2), (0.86, 0.9, 0.95), (0.985, 0.99, 1.0), (1.0, 0.999, 1)],
)
def test_a_score_tells_how_likely_the_file_is_the_right_one(score: float, least: float, most: float) -> None:
    assert least <= likelihood(score, Method.EXACT) <= most


@given(SCORES, SCORES, st.sampled_from(Method))
def test_a_higher_score_is_never_less_likely(one: float, other: float, method: Method) -> None:
    low, high = sorted((one, other))
    assert 0.0 <= likelihood(low, method) <= likelihood(high, method) <= 1.0


def test_an_equal_id_is_nearly_and_a_choice_quite_certain() -> None:
    assert likelihood(0.9, Method.ISRC) == likelihood(0.9, Method.MUSICBRAINZ) == 0.99
    assert likelihood(0.0, Method.MANUAL) == likelihood(0.0, Method.PATH) == 1.0
