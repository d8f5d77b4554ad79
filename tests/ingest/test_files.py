"""The walk, on real trees."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psm.ingest import files as files_module
from psm.ingest import paths as paths_module
from psm.ingest.files import FoundFolder, explain, list_folder, open_path, walk
from psm.ingest.ignore import IgnorePolicy
from psm.progress import NeverStop, StopSignal

POLICY = IgnorePolicy()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    return folder


def make(root: Path, *paths: str, content: str = "") -> None:
    """Makes files, and folders where a path ends with a slash."""
    for path in paths:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            place.mkdir(exist_ok=True)
        else:
            place.write_text(content)


def walked(
    root: Path,
    *,
    below: str = "",
    policy: IgnorePolicy = POLICY,
    follow_symlinks: bool = True,
    stop: StopSignal = NeverStop(),
) -> dict[str, FoundFolder]:
    found = list(walk(bytes(root), policy, below=os.fsencode(below), follow_symlinks=follow_symlinks, stop=stop))
    by_path = {os.fsdecode(f.path): f for f in found}
    assert len(by_path) == len(found), "a folder was walked twice"
    return by_path


def names(folder: FoundFolder) -> list[str]:
    return [os.fsdecode(f.name) for f in folder.files]


def paths(found: dict[str, FoundFolder]) -> list[str]:
    return [os.path.join(path, name) for path, folder in found.items() for name in names(folder)]


def why(root: Path, path: str, *, follow_symlinks: bool = True) -> str:
    return "\n".join(explain(bytes(root), os.fsencode(path), POLICY, follow_symlinks=follow_symlinks))


def test_every_audio_file_is_found_in_the_order_of_names(root: Path) -> None:
    make(root, "b/2.mp3", "b/10.MP3", "b/1.flac", "a/x/y.ogg", "a/z.opus", "0.wav", "c/", "b/cover.jpg")
    found = walked(root)
    assert list(found) == ["", "a", "a/x", "b", "c"]
    assert paths(found) == ["0.wav", "a/z.opus", "a/x/y.ogg", "b/1.flac", "b/10.MP3", "b/2.mp3"]


def test_a_file_carries_its_stat_and_a_folder_its_identity_and_all_its_names(root: Path) -> None:
    make(root, "a/1.mp3", "a/.hidden", "a/cover.jpg", content="12345")
    os.utime(root / "a/1.mp3", ns=(1, 1_234_567_890_123_456_789))
    folder = walked(root)["a"]
    here, file = (root / "a").stat(), (root / "a/1.mp3").stat()
    assert (folder.device, folder.inode) == (here.st_dev, here.st_ino)
    assert folder.names == {b"1.mp3", b".hidden", b"cover.jpg"}
    stat = folder.files[0].stat
    assert (stat.size_bytes, stat.mtime_ns) == (5, 1_234_567_890_123_456_789)
    assert (stat.ctime_ns, stat.inode, stat.device) == (file.st_ctime_ns, file.st_ino, file.st_dev)


def test_ignored_folders_are_not_entered(root: Path) -> None:
    make(root, ".git/a.mp3", "@eaDir/a.mp3", "Podcasts/a.mp3", "Music/demo.mp3", "Music/a.mp3")
    found = walked(root, policy=IgnorePolicy(("/Podcasts", "demo*")))
    assert paths(found) == ["Music/a.mp3"]
    assert found[""].names == {b".git", b"@eaDir", b"Podcasts", b"Music"}


def test_a_folder_may_be_called_like_a_file(root: Path) -> None:
    make(root, "Album.mp3/1.mp3")
    assert paths(walked(root)) == ["Album.mp3/1.mp3"]


def test_marker_files_hold_for_their_folder_and_all_below(root: Path) -> None:
    make(root, "a/x/1.mp3", "a/1.mp3", "b/1.mp3", "b/x/1.mp3", "c/1.mp3", "c/live/2.mp3", "c/d/live/3.mp3", "c/d/4.mp3")
    (root / "a/.nomedia").touch()
    (root / "b/.ndignore").touch()
    (root / "c/.psmignore").write_text("live/\n1.*\n")
    found = walked(root)
    assert paths(found) == ["c/d/4.mp3"]
    assert list(found) == ["", "a", "b", "c", "c/d"]
    assert found["a"].ignored == "a/.nomedia lies in it"
    assert found["a"].names == {b"x", b"1.mp3", b".nomedia"}
    assert found["b"].ignored == "b/.ndignore lies in it and has no patterns"
    assert found["c"].ignored is None


def test_a_marker_that_is_no_file_is_no_marker_and_never_opened(root: Path) -> None:
    make(root, "a/1.mp3", "b/.psmignore/", "b/2.mp3", "c/3.mp3")
    os.mkfifo(root / "a/.psmignore")
    (root / "c/.ndignore").symlink_to("nowhere")
    assert paths(walked(root)) == ["a/1.mp3", "b/2.mp3", "c/3.mp3"]


def test_what_is_no_regular_file_is_not_taken(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "fifo.mp3")
    (root / "link.mp3").symlink_to("fifo.mp3")
    monkeypatch.chdir(root)  # a socket's path may be 107 bytes long
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp3")
        assert paths(walked(root)) == []
    assert "never opened" in why(root, "fifo.mp3")


def test_any_byte_may_be_in_a_name(root: Path) -> None:
    folder = bytes(root) + b"/\xff\n\xfe"
    os.mkdir(folder)
    with open(folder + b"/\x01\n\xc3.mp3", "w"):
        pass
    found = {f.path: [x.name for x in f.files] for f in walk(bytes(root), POLICY, follow_symlinks=True)}
    assert found == {b"": [], b"\xff\n\xfe": [b"\x01\n\xc3.mp3"]}
    assert explain(bytes(root), b"\xff\n\xfe/\x01\n\xc3.mp3", POLICY, follow_symlinks=True) == (
        "\\xff\\n\\xfe/\\x01\\n\\xc3.mp3 is scanned.",
    )


def test_the_walk_ends_when_it_is_told_to(root: Path) -> None:
    make(root, "a/1.mp3", "b/1.mp3")
    stop = threading.Event()
    seen = []
    for folder in walk(bytes(root), POLICY, follow_symlinks=True, stop=stop):
        seen.append(folder.path)
        if folder.path == b"a":
            stop.set()
    assert seen == [b"", b"a"]


def test_a_root_or_folder_that_is_not_there_is_an_error_and_no_empty_folder(root: Path) -> None:
    assert walked(root / "gone")[""].error == "No such file or directory"
    assert walked(root, below="gone")["gone"].error == "No such file or directory"
    make(root, "file.mp3")
    assert walked(root, below="file.mp3")["file.mp3"].error == "Not a directory"
    assert walked(root, below="file.mp3/x/y")["file.mp3/x/y"].error is not None


def test_a_folder_that_vanishes_before_it_is_entered_is_an_error(root: Path) -> None:
    make(root, "a/1.mp3", "b/1.mp3")
    steps = walk(bytes(root), POLICY, follow_symlinks=True)
    assert next(steps).path == b""
    shutil.rmtree(root / "a")
    gone, there = steps
    assert (gone.path, gone.error, gone.names) == (b"a", "No such file or directory", frozenset())
    assert there.files[0].name == b"1.mp3"


# What the disk does between the listing of a folder and the look at an entry cannot be had on demand.
class _Entry:
    def __init__(self, entry: "os.DirEntry[bytes]", error: OSError) -> None:
        self.name = entry.name
        self._entry = entry
        self._error = error

    def is_symlink(self) -> bool:
        return self._entry.is_symlink()

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        if b"." not in self.name:
            raise self._error
        return False

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return True

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        raise self._error


class _Listing:
    def __init__(self, entries: Iterator["os.DirEntry[bytes]"], errors: dict[bytes, OSError]) -> None:
        self._entries = entries
        self._errors = errors

    def __enter__(self) -> "_Listing":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[object]:
        for entry in self._entries:
            yield _Entry(entry, self._errors[entry.name]) if entry.name in self._errors else entry
        if b"" in self._errors:
            raise self._errors[b""]


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, OSError]:
    """Errors by the name of the entry that gives them; b"" is the listing itself, at its end."""
    errors: dict[bytes, OSError] = {}
    real = os.scandir

    class FaultyOs:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def scandir(self, place: bytes) -> _Listing:
            return _Listing(real(place), errors)

    monkeypatch.setattr(files_module, "os", FaultyOs())
    return errors


def test_an_entry_that_cannot_be_looked_at_is_a_line_and_one_that_vanished_is_gone(
    root: Path, faulty: dict[bytes, OSError]
) -> None:
    make(root, "bad.mp3", "good.mp3", "gone.mp3", "unknown/")
    (root / "link.mp3").symlink_to("good.mp3")
    (root / "link").symlink_to("unknown")
    faulty[b"bad.mp3"] = faulty[b"link.mp3"] = OSError(5, "Input/output error")
    faulty[b"unknown"] = faulty[b"link"] = PermissionError(13, "Permission denied")
    faulty[b"gone.mp3"] = FileNotFoundError(2, "No such file or directory")
    found = walked(root)
    assert names(found[""]) == ["good.mp3"]
    assert found[""].file_errors == ((b"bad.mp3", "Input/output error"), (b"link.mp3", "Input/output error"))
    assert found[""].names == {b"bad.mp3", b"good.mp3", b"unknown", b"link", b"link.mp3"}
    assert found[""].error is None
    assert found["unknown"].error == found["link"].error == "Permission denied"


def test_a_listing_that_breaks_off_is_an_error_and_what_it_gave_is_taken(
    root: Path, faulty: dict[bytes, OSError]
) -> None:
    make(root, "a/", "1.mp3")
    faulty[b""] = OSError(5, "Input/output error")
    found = walked(root)
    assert found[""].error == "Input/output error"
    assert names(found[""]) == ["1.mp3"]
    assert list(found) == ["", "a"]


AS_NOBODY = """
import os, sys
from psm.ingest.files import explain, list_folder, walk
from psm.ingest.ignore import IgnorePolicy
root = os.fsencode(sys.argv[1])
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for f in walk(root, IgnorePolicy(), follow_symlinks=True):
    print(f.path, [x.name for x in f.files], sorted(f.names), f.error, f.file_errors)
print(list_folder(root, b"marked/below", IgnorePolicy(), follow_symlinks=True).error)
for path in (b"closed/1.mp3", b"blind/1.mp3", b"marked/1.mp3", b"open/1.mp3"):
    print(explain(root, path, IgnorePolicy(), follow_symlinks=True))
"""


@pytest.fixture
def open_tmp_path() -> Iterator[Path]:
    """A temporary folder that other users may enter (pytest's own is closed to them)."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can become somebody else")
def test_what_may_not_be_read_is_named_and_the_walk_goes_on(open_tmp_path: Path) -> None:
    root = open_tmp_path / "music"
    make(root, "closed/1.mp3", "blind/1.mp3", "blind/x/2.mp3", "marked/1.mp3", "marked/below/2.mp3", "open/1.mp3")
    (root / "marked/.psmignore").write_text("x")
    (root / "marked/.psmignore").chmod(0)
    (root / "closed").chmod(0)
    (root / "blind").chmod(0o444)  # its names can be read, nothing else
    (root / "searchable").symlink_to("closed")
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, root],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    denied = "Permission denied"
    lines = done.stdout.splitlines()
    assert lines == [
        f"b'' [] {[b'blind', b'closed', b'marked', b'open', b'searchable']} None ()",
        f"b'blind' [] {[b'1.mp3', b'x']} None ((b'1.mp3', '{denied}'),)",
        f"b'blind/x' [] [] {denied} ()",
        f"b'closed' [] [] {denied} ()",
        f"b'marked' [] {[b'.psmignore', b'1.mp3', b'below']} a marker file in it cannot be read: {denied} ()",
        "b'open' [b'1.mp3'] [b'1.mp3'] None ()",
        *lines[6:],
    ]
    assert lines[-5] == f"marked cannot be read: {denied}"
    assert lines[-4:] == [
        f"('closed/1.mp3 cannot be looked at: {denied}.',)",
        f"('blind/1.mp3 cannot be looked at: {denied}.',)",
        f"('A marker file in marked cannot be read: {denied}.',)",
        "('open/1.mp3 is scanned.',)",
    ]


def test_links_to_folders_and_files_are_followed_when_the_configuration_says_so(root: Path, tmp_path: Path) -> None:
    make(tmp_path, "other/x/1.mp3", content="123")
    (root / "more").symlink_to("../other")
    (root / "one.mp3").symlink_to("../other/x/1.mp3")
    found = walked(root)
    assert paths(found) == ["one.mp3", "more/x/1.mp3"]
    assert found[""].files[0].stat.size_bytes == 3
    assert paths(walked(root, below="more/x")) == ["more/x/1.mp3"]
    assert paths(walked(root, follow_symlinks=False)) == []
    assert walked(root, below="more", follow_symlinks=False)["more"].ignored
    assert names(list_folder(bytes(root), b"more/x", POLICY, follow_symlinks=False)) == []
    assert "library.follow_symlinks is off" in why(root, "more/x/1.mp3", follow_symlinks=False)
    assert "library.follow_symlinks is off" in why(root, "one.mp3", follow_symlinks=False)


def test_links_that_lead_nowhere_are_none(root: Path) -> None:
    for name, target in {"a": "nowhere", "b.mp3": "nowhere", "c": "c", "d": "e/f"}.items():
        (root / name).symlink_to(target)
    make(root, "e")
    found = walked(root)
    assert list(found) == [""]
    assert (found[""].files, found[""].file_errors) == ((), ())
    assert why(root, "c") == "c is a symbolic link that leads nowhere."


def test_an_ignored_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    make(tmp_path, "other/1.mp3")
    (root / ".more").symlink_to("../other")
    (root / "one.part").symlink_to("../other/1.mp3")
    assert list(walked(root)) == [""]


def test_a_folder_with_a_real_path_in_the_library_is_walked_there(root: Path) -> None:
    make(root, "z/real/1.mp3")
    (root / "a").symlink_to("z/real")
    found = walked(root)
    assert paths(found) == ["z/real/1.mp3"]
    assert found["a"].ignored == "it is a link to z/real, which is scanned itself"
    assert found["a"].names == {b"1.mp3"}
    assert paths(walked(root, below="a")) == []
    assert why(root, "a/1.mp3").startswith("a is ignored, and all that is below it: it is a link to z/real")


def test_a_link_to_a_folder_that_is_ignored_itself_is_followed(root: Path) -> None:
    make(root, ".store/x/1.mp3", "marked/y/2.mp3")
    (root / "marked/.psmignore").write_text("y\n")
    (root / "a").symlink_to(".store")
    (root / "b").symlink_to("marked/y")
    assert paths(walked(root)) == ["a/x/1.mp3", "b/2.mp3"]
    assert paths(walked(root, below="a/x")) == ["a/x/1.mp3"]


def test_loops_are_walked_once(root: Path, tmp_path: Path) -> None:
    make(root, "a/b/1.mp3")
    make(tmp_path, "other/x/2.mp3")
    (root / "a/b/up").symlink_to("../..")
    (root / "out").symlink_to("../other")
    (tmp_path / "other/x/back").symlink_to("..")
    (tmp_path / "other/home").symlink_to(root)
    (tmp_path / "other/above").symlink_to(tmp_path)
    found = walked(root)
    assert paths(found) == ["a/b/1.mp3", "out/x/2.mp3"]
    assert found["a/b/up"].ignored == f"it is a link to {root}, which is scanned itself"
    for loop in ("a/b/up", "out/x/back", "out/home", "out/above/other", "out/above/music"):
        assert found[loop].ignored, loop
        assert not why(root, loop).endswith("is scanned."), loop
        assert list_folder(bytes(root), os.fsencode(loop), POLICY, follow_symlinks=True).ignored, loop
        assert paths(walked(root, below=loop)) == []


def test_two_links_to_one_folder_outside_give_it_once(root: Path, tmp_path: Path) -> None:
    make(tmp_path, "other/x/1.mp3")
    (root / "b").symlink_to("../other")
    (root / "a").symlink_to("../other")
    (root / "c").symlink_to("../other/x")
    found = walked(root)
    assert paths(found) == ["a/x/1.mp3"]
    assert found["b"].ignored == "it is the same folder as a"
    assert found["c"].ignored == "it is the same folder as a/x"


def test_folders_are_all_walked_where_the_file_system_has_no_inodes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(root, "a/1.mp3", "b/2.mp3")

    class OsWithoutInodes:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def stat(self, place: bytes) -> os.stat_result:
            return os.stat_result((0o040755, 0, 0, *os.stat(place)[3:]))

    monkeypatch.setattr(files_module, "os", OsWithoutInodes())
    assert paths(walked(root)) == ["a/1.mp3", "b/2.mp3"]


def test_no_descriptor_is_left_open(root: Path) -> None:
    make(root, "a/b/1.mp3", "c/2.mp3")
    before = os.listdir("/proc/self/fd")
    steps = walk(bytes(root), POLICY, follow_symlinks=True)
    next(steps)
    assert os.listdir("/proc/self/fd") == before


# Long paths: relative to a folder's descriptor they can be made, and the walk finds them.


def make_deep(root: bytes, name: bytes, depth: int) -> bytes:
    """``depth`` folders inside each other with a file in the last; returns its path below the root."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=descriptor)
        deeper = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    file = os.open(b"song.mp3", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor)
    os.write(file, b"deep")
    os.close(file)
    os.symlink(b"song.mp3", b"link.mp3", dir_fd=descriptor)
    os.symlink(b"..", b"up", dir_fd=descriptor)
    os.close(descriptor)
    return b"/".join([name] * depth + [b"song.mp3"])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot open such paths")
@pytest.mark.parametrize(
    ("name", "depth"), [(b"n" * 200, 22), (b"abc", 1_500)], ids=["4,000 characters", "1,500 levels"]
)
@pytest.mark.usefixtures("removed_at_once")
def test_paths_longer_than_the_system_takes_are_walked_and_opened(root: Path, name: bytes, depth: int) -> None:
    path = make_deep(bytes(root), name, depth)
    folder = path.removesuffix(b"/song.mp3")
    assert len(path) > 4_000
    with pytest.raises(OSError, match="too long"):
        os.stat(bytes(root) + b"/" + path)
    found = list(walk(bytes(root), POLICY, follow_symlinks=True))
    deepest = max(found, key=lambda f: len(f.files))
    assert len(found) == depth + 2
    assert deepest.path == folder
    assert [f.name for f in deepest.files] == [b"link.mp3", b"song.mp3"]
    assert all(f.stat.size_bytes == 4 for f in deepest.files)
    assert [f.error for f in found if f.error] == []
    with open_path(bytes(root), path) as place, open(place, "rb") as file:
        assert file.read() == b"deep"
    with open_path(bytes(root), folder) as place:
        assert set(os.listdir(place)) == {b"link.mp3", b"song.mp3", b"up"}
    assert list_folder(bytes(root), folder, POLICY, follow_symlinks=True) == deepest
    assert explain(bytes(root), path, POLICY, follow_symlinks=True)[-1].endswith(" is scanned.")
    with pytest.raises(FileNotFoundError), open_path(bytes(root), b"nope/" + path) as place:
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot open such paths")
@pytest.mark.usefixtures("removed_at_once")
def test_a_file_is_found_whose_folder_just_fits_and_its_own_path_does_not(root: Path) -> None:
    rest = 4_090 - len(bytes(root)) - 1
    folder = b"/".join([b"n" * 200] * (rest // 201) + [b"m" * (rest % 201)])
    os.makedirs(bytes(root) + b"/" + folder)
    here = os.open(bytes(root) + b"/" + folder, os.O_RDONLY)
    os.close(os.open(b"song.mp3", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    *_, last = walk(bytes(root), POLICY, follow_symlinks=True)
    assert (last.path, [f.name for f in last.files], last.file_errors) == (folder, [b"song.mp3"], ())


def test_a_short_path_is_opened_by_itself(root: Path) -> None:
    with open_path(bytes(root), b"a/b.mp3") as place:
        assert place == bytes(root) + b"/a/b.mp3"
    with open_path(bytes(root), b"") as place:
        assert place == bytes(root)


# explain


def test_explain_says_all_that_keeps_a_file_out(root: Path) -> None:
    make(root, "Podcasts/.cache/x.part", "a/1.mp3", "a/b/cover.jpg")
    (root / "a/.psmignore").write_text("# comment\n1.*\n")
    assert why(root, "Podcasts/.cache/x.part") == (
        "Podcasts/.cache is ignored, and all that is below it: its name begins with a dot.\n"
        "Podcasts/.cache/x.part is ignored: it is a download or temporary file (*.part)."
    )
    assert why(root, "a/1.mp3") == "a/1.mp3 is ignored: it matches line 2 of a/.psmignore: 1.*."
    assert "does not end like an audio file" in why(root, "a/b/cover.jpg")
    (root / "a/.nomedia").touch()
    assert why(root, "a/1.mp3").startswith("a is ignored, and all that is below it: a/.nomedia lies in it.\n")
    assert why(root, "a/b") == "a is ignored, and all that is below it: a/.nomedia lies in it."
    assert why(root, "a") == "a is ignored: a/.nomedia lies in it."


def test_explain_takes_absolute_and_relative_paths(root: Path, tmp_path: Path) -> None:
    make(root, "a/1.mp3")
    (tmp_path / "alias").symlink_to(root)
    assert why(root, "a/1.mp3") == why(root, str(root / "a/1.mp3")) == "a/1.mp3 is scanned."
    assert why(root, str(tmp_path / "alias/a/1.mp3")) == why(root, "a/x/../1.mp3") == "a/1.mp3 is scanned."
    assert why(root, str(root)) == why(root, str(tmp_path / "alias")) == why(root, ".") == f"{root} is scanned."
    assert why(root, "/nowhere/x.mp3") == f"/nowhere/x.mp3 is not below the library {root}."
    assert why(root, "../x.mp3") == f"../x.mp3 is not below the library {root}."
    assert why(root, "a/2.mp3") == "There is no a/2.mp3 on disk."
    assert why(root, "a/1.mp3/x") == "There is no a/1.mp3/x on disk."


# One policy: the walk, the walk of a part, the listing of one folder and the explanation agree, on any tree.

_NAMES = st.sampled_from(["a", "b", ".h", "live", "x.mp3", "y.mp3", "@eaDir", "z.part"])
_LINES = st.sampled_from(["", "a", "/b", "!a", "live/", "*.mp3", "!x.mp3", "b/**", "# none", "/a/b/"])
_STEPS = st.one_of(
    st.tuples(st.just("folder"), st.integers(0, 30), _NAMES),
    st.tuples(st.just("file"), st.integers(0, 30), _NAMES),
    st.tuples(st.just("link"), st.integers(0, 30), _NAMES, st.integers(0, 30)),
    st.tuples(st.sampled_from([".psmignore", ".ndignore"]), st.integers(0, 30), st.lists(_LINES, max_size=2)),
    st.tuples(st.just(".nomedia"), st.integers(12, 30)),
)


def build(top: Path, steps: list[tuple[object, ...]]) -> tuple[Path, list[Path]]:
    """A tree from random steps: each names a place by its number. ``outside`` holds the target of one link, at most."""
    root, outside = top / "music", top / "outside"
    make(top, "music/", "outside/a/x.mp3", "outside/live/y.mp3")
    (outside / "a/back").symlink_to("..")
    places, everything, linked_outside = [root], [root], False
    for kind, number, *rest in steps:
        place = places[int(str(number)) % len(places)]
        target = place / str(kind if str(kind).startswith(".") else rest[0])
        if target.exists() or target.is_symlink():
            continue
        if kind == "folder":
            target.mkdir()
            places.append(target)
        elif kind == "file":
            target.touch()
        elif kind == "link":
            choice = int(str(rest[1])) % (len(places) + 1)
            if choice == len(places) and linked_outside:
                continue
            linked_outside = linked_outside or choice == len(places)
            target.symlink_to(outside if choice == len(places) else places[choice])
        else:
            target.write_text("\n".join(map(str, rest[0])) if rest else "")  # type: ignore[call-overload]
        everything.append(target)
    return root, everything


@settings(max_examples=50, deadline=None)
@given(st.lists(_STEPS, max_size=22), st.booleans(), st.booleans())
def test_walk_listing_and_explanation_agree(
    steps: list[tuple[object, ...]], follow_symlinks: bool, by_descriptor: bool
) -> None:
    policy = IgnorePolicy(("/live/a",))
    with tempfile.TemporaryDirectory() as top, pytest.MonkeyPatch.context() as patch:
        if by_descriptor:  # as if every path were too long
            patch.setattr(paths_module, "_PATH_LIMIT", 24)
        root, everything = build(Path(top), steps)
        found = walked(root, policy=policy, follow_symlinks=follow_symlinks)
        taken = set(paths(found))

        for path, folder in found.items():
            alone = list_folder(bytes(root), os.fsencode(path), policy, follow_symlinks=follow_symlinks)
            assert (alone.files, alone.names) == (folder.files, folder.names)
            assert (alone.ignored is None) == (folder.ignored is None), (path, alone.ignored, folder.ignored)

        for thing in everything:
            path = os.path.relpath(thing, root) if thing != root else ""
            parts = walked(root, policy=policy, below=path, follow_symlinks=follow_symlinks)
            inside = {p for p in taken if not path or p.startswith(path + "/")}
            assert set(paths(parts)) == inside
            told = explain(bytes(root), os.fsencode(path), policy, follow_symlinks=follow_symlinks)
            expected = path in taken or (path in found and found[path].ignored is None)
            assert told[-1].endswith(" is scanned.") == expected, (path, told)
