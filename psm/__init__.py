"""psm keeps a music library's database true to the disk and turns playlists into files that players play."""

__version__ = "0.2.0"
