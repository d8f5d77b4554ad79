"""Whether a track and a file are one recording: pure functions, no I/O."""

from psm.match.normalize import normalize, search_key, track_key

__all__ = ["normalize", "search_key", "track_key"]
