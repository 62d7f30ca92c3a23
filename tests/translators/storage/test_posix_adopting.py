"""storage/posix over files that were there before, or come and go beside the brick."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.translators.storage.bricks import MODES, fails, in_both_modes, running
from volgraph.graph import ROOT_GFID, Call, Loc

pytestmark = pytest.mark.anyio

with_xattrs = pytest.mark.skipif("xattr" not in MODES, reason="needs root, for trusted.* attributes")


@in_both_modes
async def test_a_directory_that_holds_files_is_adopted_lookup_by_lookup(tmp_path: Path, mode: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"was here")
    (tmp_path / "f").write_bytes(b"too")
    os.link(tmp_path / "f", tmp_path / "hard")
    os.symlink("f", tmp_path / "l")
    async with running(tmp_path, mode) as hand:
        entries = await hand.entries()
        assert [entry.name for entry in entries] == [b"d", b"f", b"hard", b"l"]
        assert all(entry.iatt is None and entry.gfid is None for entry in entries)
        with fails(errno.ENODATA):
            hand.brick.lookup(Call(), Loc(parent=ROOT_GFID, name=b"d"))

        gfids = {}
        for name in (b"d", b"f", b"l"):
            call = hand.call()
            reply = await hand.brick.lookup(call, Loc(parent=ROOT_GFID, name=name))
            assert reply.iatt.gfid == call.asked("gfid-req")
            gfids[name] = reply.iatt.gfid
        again = await hand.brick.lookup(hand.call(), Loc(parent=ROOT_GFID, name=b"d"))
        assert again.iatt.gfid == gfids[b"d"], "what has a gfid keeps it"
        assert await hand.find(b"hard") == gfids[b"f"]
        assert (await hand.brick.stat(Call(), Loc(gfids[b"f"]))).iatt.nlink == 2
        inner = (await hand.brick.lookup(hand.call(), Loc(parent=gfids[b"d"], name=b"f"))).iatt.gfid
        assert await hand.read(inner) == b"was here"
        taken = Call(xdata={"gfid-req": inner})
        (tmp_path / "late").write_bytes(b"")
        with fails(errno.ENODATA):
            hand.brick.lookup(taken, Loc(parent=ROOT_GFID, name=b"late"))
    async with running(tmp_path, mode) as hand:
        assert {name: await hand.find(name) for name in gfids} == gfids
        assert (tmp_path / "d" / "f").read_bytes() == b"was here"


@in_both_modes
async def test_names_without_a_gfid_can_be_removed_and_renamed(tmp_path: Path, mode: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "d").mkdir()
    async with running(tmp_path, mode) as hand:
        await hand.brick.unlink(Call(), Loc(parent=ROOT_GFID, name=b"a"))
        await hand.brick.rename(Call(), Loc(parent=ROOT_GFID, name=b"b"), Loc(parent=ROOT_GFID, name=b"c"))
        await hand.brick.rmdir(Call(), Loc(parent=ROOT_GFID, name=b"d"))
        assert await hand.names() == [b"c"]


@in_both_modes
async def test_files_changed_beside_the_brick_are_seen_as_they_are(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        file, folder = await hand.file(b"f", b"old"), await hand.dir(b"d")
        (tmp_path / "f").write_bytes(b"newer")
        assert await hand.read(file) == b"newer"
        os.rename(tmp_path / "f", tmp_path / "d" / "moved")
        assert await hand.find(b"moved", folder) == file
        shutil.rmtree(tmp_path / "d")
        with fails(errno.ESTALE):
            hand.brick.stat(Call(), Loc(folder))


@with_xattrs
async def test_a_copy_made_together_with_its_attributes_is_not_taken_for_the_original(tmp_path: Path) -> None:
    async with running(tmp_path, "xattr") as hand:
        file, folder = await hand.file(b"f", b"x"), await hand.dir(b"d")
        (tmp_path / "copy").write_bytes(b"y")
        (tmp_path / "e").mkdir()
        os.setxattr(tmp_path / "copy", "trusted.gfid", file)
        os.setxattr(tmp_path / "e", "trusted.gfid", folder)
        for name in (b"copy", b"e"):
            with fails(errno.ENODATA):
                hand.brick.lookup(Call(), Loc(parent=ROOT_GFID, name=name))
            assert (await hand.brick.lookup(hand.call(), Loc(parent=ROOT_GFID, name=name))).iatt.gfid not in (
                file,
                folder,
            )
        assert await hand.find(b"f") == file
        assert await hand.find(b"d") == folder
        assert await hand.read(file) == b"x"


@with_xattrs
async def test_a_handle_that_is_missing_or_points_elsewhere_is_set_right_by_a_lookup(tmp_path: Path) -> None:
    async with running(tmp_path, "xattr") as hand:
        file, folder = await hand.file(b"f", b"x"), await hand.dir(b"d")
        os.unlink(hand.handle(file))
        os.unlink(hand.handle(folder))
    async with running(tmp_path, "xattr") as hand:
        with fails(errno.ESTALE):
            hand.brick.stat(Call(), Loc(file))
        found = await hand.brick.lookup(Call(), Loc(parent=ROOT_GFID, name=b"f"))
        assert (found.iatt.gfid, found.iatt.nlink) == (file, 1)
        assert await hand.find(b"d") == folder
        assert await hand.read(file) == b"x"
    os.rename(tmp_path / "d", tmp_path / "moved")
    async with running(tmp_path, "xattr") as hand:
        assert await hand.find(b"moved") == folder
        assert await hand.names(folder) == []


async def test_in_the_sidecar_an_inode_used_again_does_not_inherit_a_gfid(tmp_path: Path) -> None:
    async with running(tmp_path, "sidecar") as hand:
        folder = await hand.dir(b"d")
        await hand.brick.setxattr(Call(), Loc(folder), {"trusted.mine": b"1"})
    os.rename(tmp_path / "d", tmp_path / "other")  # the same inode and type, at another place
    async with running(tmp_path, "sidecar") as hand:
        with fails(errno.ENODATA):
            hand.brick.lookup(Call(), Loc(parent=ROOT_GFID, name=b"other"))
        call = hand.call()
        found = await hand.brick.lookup(call, Loc(parent=ROOT_GFID, name=b"other"))
        assert found.iatt.gfid == call.asked("gfid-req") != folder
        assert (await hand.brick.getxattr(Call(), Loc(found.iatt.gfid), None)).values == {}
