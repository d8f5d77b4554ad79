"""Writes an invented library, and the playlists that ask for it."""

import csv
from collections.abc import Iterable
from pathlib import Path

from benchmarks.library import Song
from tests.factories import flac_bytes


def write_library(root: Path, songs: Iterable[Song], *, first: int) -> None:
    """Writes header-only FLAC files, a folder for each artist and one for each album in it."""
    for number, song in enumerate(songs, start=first):
        place = root / song.folder / f"{song.number:02} {song.title[:60].replace('/', '-')} {number}.flac"
        place.parent.mkdir(parents=True, exist_ok=True)
        content = flac_bytes(
            f"song {number}",
            seconds=song.seconds,
            title=song.title,
            artist=song.credit,
            album=song.album,
            albumartist=song.album_artist,
            tracknumber=str(song.number),
        )
        place.write_bytes(content)


def write_playlist(file: Path, songs: Iterable[Song]) -> Path:
    """Writes a CSV with the columns that Exportify uses."""
    with file.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(["Track Name", "Artist Name(s)", "Album Name", "Track Duration (ms)"])
        rows.writerows([song.title, song.credit, song.album, round(song.seconds * 1000)] for song in songs)
    return file
