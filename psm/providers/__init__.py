"""Playlists in: one module per file format or service, behind one small Protocol."""
