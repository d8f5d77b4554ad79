"""File systems, from the tables that Linux, macOS and Windows give."""

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from psm import filesystems
from psm.filesystems import (
    Drives,
    FileSystem,
    Mount,
    filesystem_of,
    mount_of,
    mount_table,
    mounts_below,
    parse_mountinfo,
    parse_statfs,
    resolve,
    windows_filesystem,
)

DESKTOP = rb"""
23 29 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw
29 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro
35 29 0:27 / /run rw,nosuid,nodev,size=1600000k shared:5 - tmpfs tmpfs rw,mode=755
41 29 259:1 / /boot/efi rw,relatime shared:30 - vfat /dev/nvme0n1p1 rw,fmask=0077
52 29 0:45 / /mnt/nas rw,relatime shared:80 - nfs4 nas:/volume1/music rw,vers=4.2,hard,proto=tcp
53 29 0:46 / /mnt/win rw,relatime - cifs //nas/music rw,vers=3.1.1,username=me
54 29 0:47 / /home/me/My\040Music\011\134\012x rw,nosuid,nodev - fuse.sshfs me@nas:/music rw,user_id=1000
55 29 8:17 / /media/me/USB rw,nosuid,nodev shared:90 - fuseblk /dev/sdb1 rw,user_id=0,allow_other
56 29 8:33 / /media/me/STICK rw,nosuid - exfat /dev/sdc1 rw,iocharset=utf8
57 29 0:50 / /net rw,relatime master:3 propagate_from:2 - autofs systemd-1 rw,fd=44,indirect
58 29 253:0 / /srv rw,relatime - xfs /dev/mapper/vg-srv rw
59 58 0:51 /@music /srv/music rw - btrfs /dev/sdd1 rw,subvol=/@music
60 29 0:60 / /pool rw - zfs tank/music rw
61 29 0:61 / /merged rw - fuse.mergerfs 1:2:3 rw
62 29 0:62 / /share rw - 9p drvfs rw
63 29 0:63 / /storage rw - fuse /dev/fuse rw
64 29 8:49 / /cluster rw - ocfs2 /dev/sde1 rw
65 29 7:0 / /iso ro - iso9660 /dev/loop0 ro
66 29 0:66 / /dav rw - davfs https://nas/dav rw
"""
CONTAINER = rb"""
812 640 0:120 / / rw,relatime - overlay overlay rw,lowerdir=/l1:/l2,upperdir=/u,workdir=/w
813 812 0:123 / /proc rw - proc proc rw
820 812 8:1 /home/me/music /music ro,relatime - ext4 /dev/sda1 rw
"""


def on(table: bytes, path: bytes) -> FileSystem:
    return filesystems._told(mount_of(path, parse_mountinfo(table)))


@pytest.mark.parametrize(
    ("path", "kind", "point", "is_local", "keeps_inodes", "delivers_events"),
    [
        (b"/home/me/Music/a.flac", "ext4", b"/", True, True, True),
        (b"/run/x", "tmpfs", b"/run", True, True, True),
        (b"/runner", "ext4", b"/", True, True, True),
        (b"/boot/efi/a", "vfat", b"/boot/efi", True, False, True),
        (b"/mnt/nas", "nfs4", b"/mnt/nas", False, False, False),
        (b"/mnt/nas/a/b", "nfs4", b"/mnt/nas", False, False, False),
        (b"/mnt/nas2/a", "ext4", b"/", True, True, True),
        (b"/mnt/win/a", "cifs", b"/mnt/win", False, False, False),
        (b"/home/me/My Music\t\\\nx/a", "fuse.sshfs", b"/home/me/My Music\t\\\nx", False, False, False),
        (b"/media/me/USB/a", "fuseblk", b"/media/me/USB", True, False, True),
        (b"/media/me/STICK/a", "exfat", b"/media/me/STICK", True, False, True),
        (b"/net/nas/music", "autofs", b"/net", False, False, False),
        (b"/srv/x", "xfs", b"/srv", True, True, True),
        (b"/srv/music/x", "btrfs", b"/srv/music", True, True, True),
        (b"/pool/x", "zfs", b"/pool", True, True, True),
        (b"/merged/x", "fuse.mergerfs", b"/merged", False, False, False),
        (b"/share/x", "9p", b"/share", False, False, False),
        (b"/storage/x", "fuse", b"/storage", False, False, False),
        (b"/cluster/x", "ocfs2", b"/cluster", False, False, False),
        (b"/iso/x", "iso9660", b"/iso", True, False, False),
        (b"/dav/x", "davfs", b"/dav", False, False, False),
    ],
)
def test_linux_file_systems_are_trusted_as_far_as_they_deserve(
    path: bytes, kind: str, point: bytes, is_local: bool, keeps_inodes: bool, delivers_events: bool
) -> None:
    assert on(DESKTOP, path) == FileSystem(kind, is_local, keeps_inodes, delivers_events, point)


def test_in_a_container_the_overlay_is_local_and_not_trusted_and_a_volume_is() -> None:
    assert on(CONTAINER, b"/data/psm.db") == FileSystem("overlay", True, False, False, b"/")
    assert on(CONTAINER, b"/music/a.flac") == FileSystem("ext4", True, True, True, b"/music")


def test_of_two_mounts_on_one_folder_the_later_is_seen() -> None:
    table = b"29 1 8:1 / / rw - ext4 /dev/sda1 rw\n50 29 0:50 / /net rw - autofs systemd-1 rw\n"
    automounted = table + b"51 50 0:51 / /net rw - nfs nas:/music rw\n"
    assert on(automounted, b"/net/a").type == "nfs"
    side_by_side = table + b"51 29 0:51 / /net rw - cifs //nas/music rw\n"
    assert on(side_by_side, b"/net/a").type == "cifs"


def test_what_is_mounted_over_a_folder_hides_the_mounts_inside_it() -> None:
    table = b"29 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 29 0:50 / /mnt/nas rw - nfs nas:/m rw\n"
    table += b"31 29 8:2 / /mnt rw - xfs /dev/sdb rw\n"
    assert on(table, b"/mnt/nas/a").type == "xfs"
    inside = table + b"32 31 0:52 / /mnt/nas rw - cifs //nas/m rw\n"
    assert on(inside, b"/mnt/nas/a").type == "cifs"


def test_where_nothing_is_known_nothing_is_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unknown = FileSystem("unknown", False, False, False, b"/")
    assert on(b"", b"/a") == unknown
    assert on(b"rubbish\n1 2 3\nx y z / / rw - ext4 a b\n1 2 3 / / rw ext4\n", b"/a") == unknown
    monkeypatch.setattr(filesystems, "_MOUNTINFO", str(tmp_path / "gone"))
    assert filesystem_of(tmp_path) == unknown
    assert mounts_below(b"/") == ()


@pytest.mark.skipif(sys.platform != "linux", reason="compares with what Linux itself says")
def test_this_machine_agrees_with_its_own_tools(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/proc/self"), Path("/dev/shm"), Path("/")):
        said = subprocess.run(
            ["findmnt", "-no", "FSTYPE,TARGET", "-T", path], capture_output=True, text=True, check=True
        )
        kind, point = said.stdout.strip().splitlines()[-1].split(maxsplit=1)
        found = filesystem_of(path)
        assert (found.type, os.fsdecode(found.mount_point)) == (kind, point)
    assert filesystem_of(tmp_path / "not/there/yet") == filesystem_of(str(tmp_path)) == filesystem_of(bytes(tmp_path))
    assert b"/proc" in mounts_below(b"/")
    assert b"/proc" not in mounts_below(b"/proc")
    assert mounts_below(bytes(tmp_path)) == ()


def test_it_takes_less_than_a_millisecond(tmp_path: Path) -> None:
    filesystem_of(tmp_path)
    fastest = min(_seconds(lambda: filesystem_of(tmp_path)) for _ in range(20))
    assert fastest < 0.001


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def test_a_link_to_a_network_mount_is_followed_and_nothing_behind_it_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path(os.path.realpath(tmp_path))
    (real / "nas").mkdir()
    (real / "home").mkdir()
    (real / "home/music").symlink_to("../nas/music")
    (real / "away").symlink_to(real / "home" / "music")
    table = f"1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:9 / {real}/nas rw - nfs nas:/m rw\n"
    (tmp_path / "mountinfo").write_text(table)
    monkeypatch.setattr(filesystems, "_MOUNTINFO", str(tmp_path / "mountinfo"))
    asked: list[bytes] = []

    def readlink(path: bytes) -> bytes:
        asked.append(path)
        return os.readlink(path)

    inside = resolve(bytes(tmp_path / "away/album/.."), [bytes(real / "nas")], readlink)
    assert inside == bytes(real / "nas/music/album/..")
    assert not [path for path in asked if path.startswith(bytes(real / "nas"))]
    assert filesystem_of(tmp_path / "away/album").type == "nfs"
    assert filesystem_of(tmp_path / "home").type == "ext4"
    assert mounts_below(bytes(real)) == (bytes(real / "nas"),)
    assert mounts_below(bytes(real / "nas")) == ()


def test_links_are_resolved_as_the_system_does_and_a_loop_ends(tmp_path: Path) -> None:
    real = os.path.realpath(bytes(tmp_path))
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "l").symlink_to("a/b")
    (tmp_path / "loop").symlink_to("loop")
    assert resolve(bytes(tmp_path) + b"/l/../x//./y", []) == real + b"/a/x/y"
    assert resolve(bytes(tmp_path) + b"/loop/x", []) == bytes(tmp_path) + b"/loop/x"
    assert resolve(b"/../..", []) == b"/"


# macOS: the offsets are those of struct statfs with 64-bit inodes, as sys/mount.h lays it out: f_flags at 64,
# f_fstypename at 72, f_mntonname at 88, f_mntfromname at 1112, 2168 bytes in all.


def statfs(kind: bytes, point: bytes, source: bytes, flags: int) -> bytes:
    entry = bytearray(2168)
    struct.pack_into("=I", entry, 64, flags)
    entry[72 : 72 + len(kind)] = kind
    entry[88 : 88 + len(point)] = point
    entry[1112 : 1112 + len(source)] = source
    return bytes(entry)


MAC = (
    statfs(b"apfs", b"/", b"/dev/disk3s1s1", 0x4909081)
    + statfs(b"apfs", b"/System/Volumes/Data", b"/dev/disk3s5", 0x4909080)
    + statfs(b"autofs", b"/System/Volumes/Data/home", b"map auto_home", 0x400000)
    + statfs(b"smbfs", b"/Volumes/music", b"//me@nas._smb._tcp.local/music", 0x18)
    + statfs(b"exfat", b"/Volumes/STICK", b"/dev/disk4s1", 0x1018)
    + statfs(b"hfs", b"/Volumes/Old", b"/dev/disk5s2", 0x1008)
    + statfs(b"macfuse", b"/Volumes/remote", b"me@nas:/", 0x1000)
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/Users/me/Music", FileSystem("apfs", True, True, True, b"/")),
        (b"/Volumes/music/a", FileSystem("smbfs", False, False, False, b"/Volumes/music")),
        (b"/Volumes/STICK/a", FileSystem("exfat", True, False, True, b"/Volumes/STICK")),
        (b"/Volumes/Old/a", FileSystem("hfs", True, True, True, b"/Volumes/Old")),
        (b"/Volumes/remote/a", FileSystem("macfuse", False, False, False, b"/Volumes/remote")),
        (b"/System/Volumes/Data/home/x", FileSystem("autofs", False, False, False, b"/System/Volumes/Data/home")),
    ],
)
def test_macos_tells_its_mounts_in_memory(path: bytes, expected: FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "_SYSTEM", "darwin")
    monkeypatch.setattr(filesystems, "_mac_mounts", lambda: MAC)
    filesystems._table.cache_clear()
    try:
        assert filesystem_of(path) == expected
        assert mounts_below(b"/Volumes") == (b"/Volumes/Old", b"/Volumes/STICK", b"/Volumes/music", b"/Volumes/remote")
    finally:
        filesystems._table.cache_clear()


def test_a_macos_mount_is_read_from_its_struct() -> None:
    assert parse_statfs(MAC)[3] == Mount(
        3, -1, b"/Volumes/music", "smbfs", b"//me@nas._smb._tcp.local/music", is_remote=True
    )


DEVICES = {
    "C:": "\\Device\\HarddiskVolume3",
    "D:": "\\Device\\HarddiskVolume5",
    "M:": "\\??\\D:\\Music",
    "N:": "\\Device\\LanmanRedirector\\;N:00000000000abcde\\nas\\music",
    "S:": "\\??\\UNC\\nas\\music\\albums",
    "L:": "\\??\\L:\\loop",
}
WINDOWS = Drives(
    kind=lambda root: {"N:\\": 4, "C:\\": 3, "D:\\": 2}.get(root, 1),
    device=lambda drive: DEVICES.get(drive, ""),
    file_system=lambda root: {"C:\\": "NTFS", "D:\\": "exFAT"}.get(root, ""),
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("C:\\Music\\a.mp3", FileSystem("ntfs", True, False, True, b"C:\\")),
        ("c:/Music", FileSystem("ntfs", True, False, True, b"C:\\")),
        ("\\\\?\\C:\\Music", FileSystem("ntfs", True, False, True, b"C:\\")),
        ("D:\\Music", FileSystem("exfat", True, False, True, b"D:\\")),
        ("M:\\a", FileSystem("exfat", True, False, True, b"D:\\")),
        ("N:\\a", FileSystem("unc", False, False, False, b"N:\\")),
        ("S:\\a", FileSystem("unc", False, False, False, b"\\\\nas\\music\\")),
        ("\\\\nas\\music\\a\\b", FileSystem("unc", False, False, False, b"\\\\nas\\music\\")),
        ("//nas/music/a", FileSystem("unc", False, False, False, b"\\\\nas\\music\\")),
        ("\\\\?\\UNC\\nas\\music\\a", FileSystem("unc", False, False, False, b"\\\\nas\\music\\")),
        ("X:\\a", FileSystem("unknown", True, False, False, b"X:\\")),
        ("L:\\a", FileSystem("unknown", True, False, False, b"L:\\")),
    ],
)
def test_windows_drives_shares_and_substituted_drives(path: str, expected: FileSystem) -> None:
    assert windows_filesystem(path, WINDOWS) == expected


def test_windows_has_no_mounts_inside_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "_SYSTEM", "win32")
    assert mounts_below(b"C:\\Music") == ()


def test_the_table_of_mounts_is_another_one_when_something_is_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
    monkeypatch.setattr(filesystems, "_MOUNTINFO", str(table))
    before = mount_table()
    assert mount_table() is before
    table.write_bytes(table.read_bytes() + b"2 1 8:2 / /usb rw - vfat /dev/sdb1 rw\n")
    assert mount_table() is not before


def test_windows_does_not_tell_that_its_mounts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "_SYSTEM", "win32")
    assert mount_table() is not mount_table()
