"""Brick directories go both ways: what ours has filled a real glusterfsd serves, and the reverse, with nothing lost."""

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import volgraph
from tests.interop.our_server import our_server
from tests.interop.real_gluster import Brick, Gluster, Mount
from tests.interop.trees import ROOT as CHECKOUT
from tests.interop.trees import Tree, all_times, change, child_command, fill, hold_and_remove, in_child, seen, told
from tests.interop.volfiles import client_volume, volume
from volgraph.graph import ROOT_GFID, Gfid
from volgraph.translators import Client, Posix

pytestmark = pytest.mark.interop

FORMER = "trusted.gfid2path."
MDATA = "trusted.glusterfs.mdata"


class OfVolume:
    """A volume, as `told` reads trees."""

    def __init__(self, vol: volgraph.VolumeSync) -> None:
        self.vol = vol

    def listdir(self, path: str) -> list[str]:
        return self.vol.listdir(f"/{path}")

    def lstat(self, path: str) -> os.stat_result:
        return self.vol.lstat(f"/{path}")

    def readlink(self, path: str) -> str:
        return self.vol.readlink(f"/{path}")

    def read(self, path: str) -> bytes:
        return self.vol.read_bytes(f"/{path}")

    def xattrs(self, path: str) -> dict[str, bytes]:
        names = self.vol.listxattr(f"/{path}", follow_symlinks=False)
        return {name: self.vol.getxattr(f"/{path}", name, follow_symlinks=False) for name in names}


def through_our_client(remote: tuple[int, str]) -> Tree:
    port, subvolume = remote
    far = Client("far", remote_host="127.0.0.1", remote_port=port, remote_subvolume=subvolume)
    with volgraph.open_sync(far) as vol:
        return told(OfVolume(vol))


def served_here(directory: Path) -> Tree:
    with volgraph.open_sync(Posix("brick", directory=str(directory))) as vol:
        return told(OfVolume(vol))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tree in no brick at all."""
    folder = tmp_path_factory.mktemp("plain") / "tree"
    folder.mkdir()
    in_child(fill, folder)
    return folder


@contextmanager
def real(folder: Path, directory: Path, *, stamps: bool = False) -> Iterator[tuple[Brick, Mount]]:
    """A real brick over a directory, and a real client of it; one that stamps its calls with its clock, or not."""
    with Gluster(folder) as gluster:
        brick = gluster.brick("real", directory)
        spec = client_volume("client", *brick.remote)
        if stamps:
            spec += volume("utime", "features/utime", {}, "client")
        yield brick, gluster.mount("mnt", spec)


@contextmanager
def ours(folder: Path, directory: Path, *, stamps: bool = False) -> Iterator[tuple[tuple[int, str], Mount]]:
    """Our server over a directory, and a real client of it."""
    with Gluster(folder) as gluster, our_server(folder, directory.name) as server:
        spec = client_volume("client", *server.remote)
        if stamps:
            spec += volume("utime", "features/utime", {}, "client")
        mount = gluster.mount("mnt", spec)
        try:
            yield server.remote, mount
        finally:
            mount.stop()


# --- what stands below .glusterfs ------------------------------------------------------------------------------------


def objects(directory: Path) -> dict[Gfid, list[Path]]:
    """Every object of a brick, with its names."""
    found: dict[Gfid, list[Path]] = {}
    for folder, folders, names in os.walk(directory):
        if folder == str(directory):
            folders.remove(".glusterfs")
        for name in folders + names:
            path = Path(folder, name)
            found.setdefault(Gfid(os.getxattr(path, "trusted.gfid", follow_symlinks=False)), []).append(path)
    return found


def handle(gfid: Gfid) -> str:
    return f"{gfid.text[:2]}/{gfid.text[2:4]}/{gfid.text}"


def gfid_of(path: Path) -> Gfid:
    return Gfid(os.getxattr(path, "trusted.gfid", follow_symlinks=False))


def check_handles(directory: Path) -> None:
    """Each object has its handle, of the form of its kind, and there is no other."""
    below = directory / ".glusterfs"
    known = objects(directory)
    for gfid, names in known.items():
        path = below / handle(gfid)
        if names[0].is_dir() and not names[0].is_symlink():
            parent = gfid_of(names[0].parent) if names[0].parent != directory else ROOT_GFID
            assert os.readlink(path) == f"../../{handle(parent)}/{names[0].name}"
            assert len(names) == 1
        else:
            inodes = {name.lstat().st_ino for name in names}
            assert inodes == {path.lstat().st_ino}, names
            assert path.lstat().st_nlink == len(names) + 1
    assert os.readlink(below / handle(ROOT_GFID)) == "../../.."
    found = {path.name for path in below.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*")}
    assert found == {gfid.text for gfid in known} | {ROOT_GFID.text}


def former_names(path: Path) -> set[bytes]:
    """What an object says that its names are (trusted.gfid2path.*)."""
    names = (name for name in os.listxattr(path, follow_symlinks=False) if name.startswith(FORMER))
    return {os.getxattr(path, name, follow_symlinks=False) for name in names}


def check_names_told(directory: Path) -> None:
    """Each object of a brick that GlusterFS has filled tells its names, all of them and no others."""
    for names in objects(directory).values():
        if not stat.S_ISDIR(names[0].lstat().st_mode):
            parents = [gfid_of(name.parent) if name.parent != directory else ROOT_GFID for name in names]
            told = {
                f"{parent.text}/".encode() + os.fsencode(name.name) for parent, name in zip(parents, names, strict=True)
            }
            assert former_names(names[0]) == told


# --- the tests -------------------------------------------------------------------------------------------------------


def test_glusterfsd_serves_what_ours_has_filled(tmp_path: Path, plain: Path) -> None:
    directory = tmp_path / "brick"
    with ours(tmp_path, directory) as (_, mount):
        in_child(fill, mount.path)
    check_handles(directory)
    expected = seen(plain)
    assert seen(directory) != expected, "link counts: the handles are links too"

    with real(tmp_path, directory) as (brick, mount):
        assert in_child(seen, mount.path) == expected
        assert through_our_client(brick.remote) == expected
        in_child(change, mount.path)
    check_handles(directory)
    changed = changed_like(plain, tmp_path)
    assert served_here(directory) == changed


def test_ours_serves_what_glusterfsd_has_filled(tmp_path: Path, plain: Path) -> None:
    directory = tmp_path / "brick"
    directory.mkdir()
    with real(tmp_path, directory) as (_, mount):
        in_child(fill, mount.path)
    check_handles(directory)
    check_names_told(directory)
    expected = seen(plain)

    assert served_here(directory) == expected
    with ours(tmp_path, directory) as (remote, mount):
        assert in_child(seen, mount.path) == expected
        assert through_our_client(remote) == expected
        in_child(change, mount.path)
    check_handles(directory)
    check_names_told(directory)

    changed = changed_like(plain, tmp_path)
    with real(tmp_path, directory) as (_, mount):
        assert in_child(seen, mount.path) == changed


def changed_like(plain: Path, folder: Path) -> Tree:
    """What the plain tree is after the same changes."""
    copy = folder / "changed"
    subprocess.run(["cp", "-a", plain, copy], check=True, timeout=60)
    in_child(change, copy)
    return seen(copy)


def test_glusterfsd_finds_by_gfid_what_ours_has_renamed(tmp_path: Path) -> None:
    """Its own way from a gfid to a path reads the names that objects tell: ours keeps them true."""
    directory = tmp_path / "brick"
    directory.mkdir()
    with real(tmp_path, directory) as (_, mount):
        script = "mkdir d; echo one > d/f; ln d/f g; mkdir -p x/y; echo two > x/y/z"
        subprocess.run(["sh", "-ec", script], cwd=mount.path, check=True, timeout=30)
    with volgraph.open_sync(Posix("brick", directory=str(directory))) as vol:
        vol.rename("/d/f", "/d/renamed")
        vol.link("/g", "/x/another")
        vol.unlink("/g")
        vol.rename("/x/y", "/d/moved")
    check_names_told(directory)
    file, below = gfid_of(directory / "d/renamed"), gfid_of(directory / "d/moved/z")

    with Gluster(tmp_path) as gluster:
        brick = gluster.brick("real", directory)
        mount = ByGfid("mnt", tmp_path, tmp_path / "mnt", client_volume("client", *brick.remote))
        mount.start()
        try:
            assert set(asked(mount, file)) == {"/d/renamed", "/x/another", "one\n"}
            assert asked(mount, below) == ["/d/moved/z", "two\n"]
        finally:
            mount.stop()


def asked(mount: Mount, gfid: Gfid) -> list[str]:
    """The paths of a file, and what it holds."""
    script = f"getfattr --only-values -n glusterfs.gfidtopath {gfid.text}; printf :; cat {gfid.text}"
    found = subprocess.run(["sh", "-ec", script], cwd=mount.path / ".gfid", capture_output=True, timeout=30)
    assert found.stderr == b""
    return found.stdout.replace(b"\0", b"").decode().split(":")


class ByGfid(Mount):
    """A mount where objects can be reached by gfid too."""

    def run(self, *command: str | Path) -> None:
        super().run(*command[:1], "--aux-gfid-mount", *command[1:])


@pytest.mark.parametrize("filled_by", ["glusterfs", "ours"])
def test_a_file_left_open_by_a_killed_brick_leaves_nothing_behind(tmp_path: Path, filled_by: str) -> None:
    directory = tmp_path / "brick"
    directory.mkdir()
    (directory / "kept").write_text("kept")
    leftovers = directory / ".glusterfs/unlink"
    with ExitStack() as servers, Gluster(tmp_path) as gluster:
        if filled_by == "glusterfs":
            brick = gluster.brick("real", directory)
            remote, kill = brick.remote, brick.kill
        else:
            server = servers.enter_context(our_server(tmp_path, directory.name))
            remote, kill = server.remote, server.process.kill
        mount = gluster.mount("mnt", client_volume("client", *remote))
        (mount.path / "beside").write_text("beside")
        holder = subprocess.Popen(
            child_command(hold_and_remove, mount.path), cwd=CHECKOUT, stdin=-1, stdout=-1, text=True
        )
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert len(os.listdir(leftovers)) == 1
            kill()
            mount.stop()
        finally:
            holder.kill()
            holder.communicate(timeout=10)

    if filled_by == "glusterfs":
        assert served_here(directory).keys() == {"", "beside", "kept"}
        assert os.listdir(leftovers) == []
    else:
        with real(tmp_path, directory) as (_, mount):
            assert in_child(seen, mount.path).keys() == {"", "beside", "kept"}
    check_handles(directory)


# --- the clients' own times ------------------------------------------------------------------------------------------


def test_times_that_glusterfs_keeps_are_told_and_kept_here(tmp_path: Path) -> None:
    directory = tmp_path / "brick"
    directory.mkdir()
    script = (
        "mkdir d; echo one > d/f; echo one > d/g; ln -s f d/l; mkfifo d/p; sleep 0.01; echo two >> d/f; chmod 600 d/g"
    )
    with real(tmp_path, directory, stamps=True) as (_, mount):
        subprocess.run(["sh", "-ec", script], cwd=mount.path, check=True, timeout=30)
        before = in_child(all_times, mount.path)
    assert before != in_child(all_times, directory), "the file system's are others"
    with ours(tmp_path, directory, stamps=True) as (_, mount):
        assert in_child(all_times, mount.path) == before
        script = "echo three >> d/f; touch -d @1000000000.123456789 d/g; mv d/l d/m; ln d/f h; echo new > d/n; rm d/p"
        subprocess.run(["sh", "-ec", script], cwd=mount.path, check=True, timeout=30)
        kept = in_child(all_times, mount.path)
    assert kept["d/g"][1] == 1000000000_123456789
    assert all(kept[path] > before[path] for path in ("", "d", "d/f"))
    assert all(MDATA in os.listxattr(directory / path, follow_symlinks=False) for path in kept)

    with real(tmp_path, directory, stamps=True) as (_, mount):
        assert in_child(all_times, mount.path) == kept


def test_a_client_that_stamps_nothing_sees_no_frozen_times(tmp_path: Path) -> None:
    directory = tmp_path / "brick"
    directory.mkdir()
    with real(tmp_path, directory, stamps=True) as (_, mount):
        (mount.path / "f").write_text("one")
        before = (mount.path / "f").stat().st_mtime_ns
    with volgraph.open_sync(Posix("brick", directory=str(directory))) as vol:
        vol.write_bytes("/f", b"two")
        after = vol.stat("/f").st_mtime_ns

    assert after > before
    with real(tmp_path, directory, stamps=True) as (_, mount):
        assert (mount.path / "f").stat().st_mtime_ns == after
