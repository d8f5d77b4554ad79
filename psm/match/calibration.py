"""How sure a likeness is: of all matches that are told to be 95 % sure, 95 % are the right file."""

from bisect import bisect_right

from psm.models import Method

# (score, share of right files), found on labelled playlists and libraries: for each track the best candidate, whatever
# its score, right or wrong. Isotonic regression, drawn as a line of few points by eye; docs/matching.md shows how
# well it fits.
_POINTS = (
    (0.0, 0.0),
    (0.38, 0.02),
    (0.5, 0.12),
    (0.65, 0.33),
    (0.8, 0.42),
    (0.86, 0.92),
    (0.93, 0.965),
    (0.97, 0.995),
    (1.0, 0.999),
)
_EQUAL_ID = 0.99
"""One in a hundred equal ISRCs belongs to another song."""


def likelihood(score: float, method: Method) -> float:
    """How likely a file of this score is the recording that was asked for, 0 to 1. It never falls as the score rises.

    What a person chose, or a playlist names by its path, is certain.
    """
    if method in (Method.MANUAL, Method.PATH):
        return 1.0
    found = _between(min(max(score, 0.0), 1.0))
    return max(found, _EQUAL_ID) if method in (Method.ISRC, Method.MUSICBRAINZ) else found


def _between(score: float) -> float:
    place = min(bisect_right(_POINTS, (score, 2.0)), len(_POINTS) - 1)
    (left, low), (right, high) = _POINTS[place - 1], _POINTS[place]
    return round(low + (high - low) * (score - left) / (right - left), 4)
