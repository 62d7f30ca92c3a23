"""storage/posix and GlusterFS's own storage take over each other's bricks, with all that is in them."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.interop.real_gluster import Gluster
from tests.interop.volfiles import client_volume
from tests.translators.storage.bricks import Hand, running
from volgraph.graph import ROOT_GFID, Call, Gfid, Loc, NewAttributes

pytestmark = [pytest.mark.anyio, pytest.mark.interop]


def program(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


async def handles_are_whole(hand: Hand, gfid: Gfid = ROOT_GFID, path: Path | None = None) -> int:
    """Every object below has its handle, and no handle is left of anything else. Returns how many there are."""
    path = path or hand.directory
    count = 0
    for entry in await hand.entries(gfid):
        inside = path / os.fsdecode(entry.name)
        assert entry.gfid is not None, inside
        assert hand.handle(entry.gfid).stat(follow_symlinks=entry.kind == 4).st_ino == inside.lstat().st_ino
        count += 1
        if entry.kind == 4:
            count += await handles_are_whole(hand, entry.gfid, inside)
    return count


def handle_count(directory: Path) -> int:
    return len(list((directory / ".glusterfs").glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*"))) - 1  # the root's


async def test_glusterfs_serves_a_brick_that_was_filled_here(tmp_path: Path) -> None:
    directory = tmp_path / "b0"
    directory.mkdir()
    async with running(directory, "xattr") as hand:
        folder = await hand.dir(b"d")
        await hand.dir(b"inner", parent=folder)
        file = await hand.file(b"f", b"filled here", parent=folder, mode=0o640)
        await hand.brick.link(Call(), Loc(file), Loc(parent=ROOT_GFID, name=b"hard"))
        await hand.symlink(b"l", b"d/f")
        await hand.brick.mknod(hand.call(), Loc(parent=ROOT_GFID, name=b"p"), stat.S_IFIFO | 0o600, 0, 0)
        await hand.brick.setattr(Call(), Loc(file), NewAttributes(uid=12, gid=34, mtime_ns=10**18))
        await hand.brick.setxattr(Call(), Loc(file), {"user.mine": b"value"})
        await hand.brick.rename(Call(), Loc(parent=folder, name=b"inner"), Loc(parent=ROOT_GFID, name=b"moved"))

    with Gluster(tmp_path) as gluster:
        brick = gluster.brick("b0", directory)
        mount = gluster.mount("mnt", client_volume("client", *brick.remote)).path
        assert program("ls", mount).split() == ["d", "hard", "l", "moved", "p"]
        assert program("cat", mount / "l") == "filled here"
        assert program("stat", "-c", "%h %u %g %a %Y", mount / "hard").split() == ["2", "12", "34", "640", "1000000000"]
        assert program("stat", "-c", "%F", mount / "p") == "fifo\n"
        assert "value" in program("getfattr", "-n", "user.mine", mount / "d/f")
        program("sh", "-c", f"echo more >> {mount}/hard; mkdir -p {mount}/moved/a/b; touch {mount}/moved/a/b/c")
        program("mv", mount / "moved", mount / "d/back")
        program("rm", mount / "l", mount / "p")

    async with running(directory) as hand:
        assert await hand.names() == [b"d", b"hard"]
        assert await hand.read(file) == b"filled heremore\n"
        assert await handles_are_whole(hand) == 7
        assert handle_count(directory) == 6, "two names share one"


async def test_a_brick_that_glusterfs_filled_is_served_here(tmp_path: Path) -> None:
    with Gluster(tmp_path) as gluster:
        brick = gluster.brick("b0")
        mount = gluster.mount("mnt", client_volume("client", *brick.remote)).path
        program("sh", "-c", f"cd {mount}; mkdir -p d/e; echo filled > d/f; ln d/f hard; ln -s d/f l; mkfifo d/e/p")
        program("setfattr", "-n", "user.mine", "-v", "value", mount / "d/f")
        directory = brick.directory

    async with running(directory) as hand:
        assert await hand.names() == [b"d", b"hard", b"l"]
        folder, file = await hand.find(b"d"), await hand.find(b"hard")
        assert await hand.read(file) == b"filled\n"
        assert await hand.find(b"f", folder) == file
        assert (await hand.brick.stat(Call(), Loc(file))).iatt.nlink == 2
        assert (await hand.brick.getxattr(Call(), Loc(file), None)).values == {"user.mine": b"value"}
        assert await handles_are_whole(hand) == 6
        await hand.brick.rename(Call(), Loc(parent=folder, name=b"e"), Loc(parent=ROOT_GFID, name=b"e"))
        await hand.brick.rename(Call(), Loc(parent=folder, name=b"f"), Loc(parent=ROOT_GFID, name=b"g"))
        await hand.brick.unlink(Call(), Loc(parent=ROOT_GFID, name=b"l"))
        paths = {key: os.getxattr(directory / "g", key) for key in os.listxattr(directory / "g") if "gfid2path" in key}
        root = ROOT_GFID.text.encode()
        assert sorted(paths.values()) == [root + b"/g", root + b"/hard"]

    with Gluster(tmp_path) as gluster:
        brick = gluster.brick("b0", directory)
        mount = gluster.mount("mnt", client_volume("client", *brick.remote)).path
        assert program("sh", "-c", f"cd {mount}; find . | sort").split() == [
            ".",
            "./d",
            "./e",
            "./e/p",
            "./g",
            "./hard",
        ]
        program("sh", "-c", f"cd {mount}; rm -r *")
        assert program("ls", mount) == ""
    assert handle_count(directory) == 0
