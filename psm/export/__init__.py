"""Playlists out: the writers, the path profiles and the manifest of what psm wrote."""
