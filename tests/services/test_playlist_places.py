"""Where the files that playlists name really are."""

import os
import threading
from pathlib import Path

import pytest

from psm.db.library_roots import FormerRoot
from psm.models import PlaylistEntry, SourcePlaylist
from psm.services.playlist_places import Places


def resolved(places: Places, *locations: bytes) -> tuple[bytes, ...]:
    playlist = SourcePlaylist("m3u", b"/l/x.m3u", "x", (PlaylistEntry(1, "T", locations=locations),))
    [entry] = places.resolve(playlist).entries
    assert entry.locations == locations
    return entry.resolved


def places(*former: FormerRoot, patience_s: float = 60.0) -> Places:
    return Places(former, threading.Event(), patience_s=patience_s)


def test_a_path_without_links_is_what_it_says(tmp_path: Path) -> None:
    assert resolved(places(), os.fsencode(tmp_path) + b"/a.flac", b"/no/where/at/all.flac") == ()


def test_a_file_is_found_behind_links_by_every_way_that_leads_there(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    os.makedirs(root + b"/nas/music")
    os.makedirs(root + b"/attic/\xff")
    os.symlink(root + b"/nas/music", root + b"/Music")
    os.symlink("../../attic/\udcff", os.fsdecode(root) + "/nas/music/old")
    asked = places()

    assert resolved(asked, root + b"/Music/zz.flac") == (root + b"/nas/music/zz.flac",)
    # The library may follow links, and know the file by the way through them, or not.
    assert resolved(asked, root + b"/Music/old/x.flac") == (
        root + b"/nas/music/old/x.flac",
        root + b"/attic/\xff/x.flac",
    )


def test_a_link_to_nowhere_leads_where_the_drive_would_be(tmp_path: Path) -> None:
    (tmp_path / "Music").symlink_to("/mnt/away/music")
    assert resolved(places(), os.fsencode(tmp_path / "Music/a/b.flac")) == (b"/mnt/away/music/a/b.flac",)


def test_loops_and_deep_paths_end(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert len(resolved(places(), os.fsencode(tmp_path / "loop/x.flac"))) <= 1
    assert resolved(places(), b"/d" * 2_000 + b"/x.flac") == ()


def test_a_folder_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def islink(path: bytes) -> bool:
        asked.append(path)
        return False

    monkeypatch.setattr(os.path, "islink", islink)
    folder = os.fsencode(tmp_path)
    found = places()
    for name in (b"/a/1.flac", b"/a/2.flac", b"/b/1.flac"):
        resolved(found, folder + name)
    assert len(asked) == len(set(asked)) == folder.count(b"/") + 2


def test_a_drive_that_does_not_answer_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    answer, real = threading.Event(), os.path.islink

    def islink(path: bytes) -> bool:
        if b"dead" in path:
            answer.wait(60)
        return real(path)

    monkeypatch.setattr(os.path, "islink", islink)
    found = places(patience_s=0.2)
    try:
        assert resolved(found, b"/dead/x.flac") == ()
        # Its drive is not asked again in this run, nor is any other.
        assert resolved(found, os.fsencode(tmp_path / "link/x.flac")) == ()
    finally:
        answer.set()


def test_a_path_in_a_folder_where_a_library_was_leads_to_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/old/music")
    found = places(FormerRoot(b"/old/music", b"/new"))

    assert resolved(found, b"/old/music/a/b.flac") == (b"/new/a/b.flac",)
    assert resolved(found, b"/old/music2/a.flac") == ()
    assert resolved(found, os.fsencode(tmp_path / "link/a.flac")) == (b"/old/music/a.flac", b"/new/a.flac")
