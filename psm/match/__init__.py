"""Whether a track and a file are one recording: pure functions, no I/O."""

from psm.match.normalize import normalize, search_key, track_key

ALGORITHM_VERSION = "1"
"""Moves whenever the same inputs may give other keys or other matches: every track is then matched anew."""

__all__ = ["ALGORITHM_VERSION", "normalize", "search_key", "track_key"]
