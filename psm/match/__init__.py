"""Whether a track and a file are one recording: pure functions, no I/O."""
