"""storage/posix: names that are taken away, or moved, in both ways of keeping metadata."""

import errno
import os
from pathlib import Path

import pytest

from tests.translators.storage.bricks import fails, in_both_modes, running
from volgraph.graph import ROOT_GFID, Call, Loc

pytestmark = [pytest.mark.anyio, in_both_modes]


async def test_unlink_and_rmdir_leave_nothing_behind(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        file, folder = await hand.file(b"f"), await hand.dir(b"d")
        link = (await hand.symlink(b"l", b"f")).iatt.gfid
        inside = await hand.file(b"inside", parent=folder)
        with fails(errno.ENOTEMPTY):
            hand.brick.rmdir(Call(), Loc(parent=ROOT_GFID, name=b"d"))
        with fails(errno.EISDIR):
            hand.brick.unlink(Call(), Loc(parent=ROOT_GFID, name=b"d"))
        with fails(errno.ENOTDIR):
            hand.brick.rmdir(Call(), Loc(parent=ROOT_GFID, name=b"f"))
        assert await hand.find(b"inside", folder) == inside

        removed = await hand.brick.unlink(Call(), Loc(parent=folder, name=b"inside"))
        assert removed.preparent is not None
        assert removed.postparent is not None
        assert removed.postparent.gfid == folder
        await hand.brick.rmdir(Call(), Loc(parent=ROOT_GFID, name=b"d"))
        for name in (b"f", b"l"):
            await hand.brick.unlink(Call(), Loc(parent=ROOT_GFID, name=name))
        for gfid in (file, folder, link, inside):
            with fails(errno.ESTALE):
                hand.brick.stat(Call(), Loc(gfid))
            assert not os.path.lexists(hand.handle(gfid))
        with fails(errno.ENOENT):
            hand.brick.unlink(Call(), Loc(parent=ROOT_GFID, name=b"f"))
        with fails(errno.ENOENT):
            hand.brick.rmdir(Call(), Loc(parent=ROOT_GFID, name=b"d"))
        with fails(errno.ESTALE):
            hand.brick.mkdir(hand.call(), Loc(parent=folder, name=b"x"), 0o755, 0)
        assert await hand.names() == []


async def test_rmdir_of_a_tree_takes_every_handle_with_it(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        top = await hand.dir(b"top")
        gone = [top]
        parent = top
        for depth in range(5):
            gone += [await hand.file(b"f%d" % n, b"x", parent=parent) for n in range(3)]
            parent = await hand.dir(b"d%d" % depth, parent=parent)
            gone.append(parent)
        kept = gone[1]
        await hand.brick.link(Call(), Loc(kept), Loc(parent=ROOT_GFID, name=b"kept"))
        await hand.brick.rmdir(Call(), Loc(parent=ROOT_GFID, name=b"top"), 1)

        assert await hand.names() == [b"kept"]
        assert await hand.read(kept) == b"x"
        for gfid in gone:
            assert os.path.lexists(hand.handle(gfid)) == (gfid == kept)
        assert os.listdir(tmp_path / ".glusterfs" / "landfill") == []


async def test_an_open_file_outlives_its_name(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        gfid = await hand.file(b"f", b"alive")
        first, second = await hand.opened(gfid), await hand.opened(gfid)
        await brick.fsetxattr(Call(), first, {"trusted.mine": b"1"})
        await brick.unlink(Call(), Loc(parent=ROOT_GFID, name=b"f"))
        buried = tmp_path / ".glusterfs" / "unlink" / gfid.text

        assert buried.exists()
        assert not os.path.lexists(hand.handle(gfid))
        assert bytes((await brick.readv(Call(), first, 100, 0)).data) == b"alive"
        assert (await brick.fstat(Call(), first)).iatt.nlink == 0
        assert (await brick.writev(Call(), second, b"!", 5)).count == 1
        assert await hand.read(gfid) == b"alive!", "an anonymous fd reaches it as well"
        assert (await brick.fgetxattr(Call(), first, "trusted.mine")).values == {"trusted.mine": b"1"}
        with fails(errno.ESTALE):
            brick.stat(Call(), Loc(gfid))
        with fails(errno.ENOENT):
            brick.lookup(Call(), Loc(gfid))

        again = await hand.file(b"f", b"another")
        assert again != gfid
        brick.release(first)
        assert buried.exists()
        brick.release(second)
        assert not buried.exists()
        assert await hand.read(again) == b"another"


async def test_rename_moves_files_and_directories(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        one, two = await hand.dir(b"one"), await hand.dir(b"two")
        file, folder = await hand.file(b"f", b"x", parent=one), await hand.dir(b"d", parent=one)
        deep = await hand.file(b"deep", b"y", parent=folder)
        renamed = await brick.rename(Call(), Loc(parent=one, name=b"f"), Loc(parent=two, name=b"g"))
        await brick.rename(Call(), Loc(parent=one, name=b"d"), Loc(parent=two, name=b"e"))

        assert renamed.iatt.gfid == file
        assert renamed.pre_old_parent is not None
        assert renamed.post_new_parent is not None
        assert (renamed.pre_old_parent.gfid, renamed.post_new_parent.gfid) == (one, two)
        assert await hand.names(one) == []
        assert await hand.names(two) == [b"e", b"g"]
        assert os.readlink(hand.handle(folder)) == f"../../{two.text[:2]}/{two.text[2:4]}/{two.text}/e"
        assert await hand.find(b"deep", folder) == deep

    async with running(tmp_path, mode) as hand:
        assert await hand.find(b"e", two) == folder
        assert await hand.find(b"deep", folder) == deep
        assert await hand.find(b"g", two) == file


async def test_rename_over_replaces_atomically_and_forgets_what_stood_there(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        new, old = await hand.file(b"new", b"new"), await hand.file(b"old", b"old")
        full, empty = await hand.dir(b"full"), await hand.dir(b"empty")
        await hand.file(b"x", parent=full)
        fd = await hand.opened(old)
        await brick.rename(Call(), Loc(parent=ROOT_GFID, name=b"new"), Loc(parent=ROOT_GFID, name=b"old"))
        await brick.rename(Call(), Loc(parent=ROOT_GFID, name=b"full"), Loc(parent=ROOT_GFID, name=b"empty"))

        assert await hand.names() == [b"empty", b"old"]
        assert await hand.find(b"old") == new
        assert await hand.find(b"empty") == full
        assert bytes((await brick.readv(Call(), fd, 10, 0)).data) == b"old"
        brick.release(fd)
        for gfid in (old, empty):
            assert not os.path.lexists(hand.handle(gfid))
            with fails(errno.ESTALE):
                brick.stat(Call(), Loc(gfid))


async def test_a_refused_rename_changes_nothing(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        full, other = await hand.dir(b"full"), await hand.dir(b"other")
        inside = await hand.file(b"x", parent=full)
        file = await hand.file(b"f")

        def move(source: Loc, target: Loc, code: int) -> None:
            with fails(code):
                brick.rename(Call(), source, target)

        root = ROOT_GFID
        move(Loc(parent=root, name=b"other"), Loc(parent=root, name=b"full"), errno.ENOTEMPTY)
        move(Loc(parent=root, name=b"f"), Loc(parent=root, name=b"full"), errno.EISDIR)
        move(Loc(parent=root, name=b"full"), Loc(parent=root, name=b"f"), errno.ENOTDIR)
        move(Loc(parent=root, name=b"full"), Loc(parent=full, name=b"into-itself"), errno.EINVAL)
        move(Loc(parent=root, name=b"none"), Loc(parent=root, name=b"f"), errno.ENOENT)
        move(Loc(parent=hand.gfid(), name=b"f"), Loc(parent=root, name=b"f"), errno.ESTALE)
        assert await hand.names() == [b"f", b"full", b"other"]

    async with running(tmp_path, mode) as hand:
        for name, gfid in ((b"f", file), (b"full", full), (b"other", other)):
            assert await hand.find(name) == gfid
            assert (await hand.brick.stat(Call(), Loc(gfid))).iatt.gfid == gfid
        assert await hand.find(b"x", full) == inside


async def test_renaming_one_name_of_a_file_to_another_of_it_does_nothing(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"a")
        await hand.brick.link(Call(), Loc(gfid), Loc(parent=ROOT_GFID, name=b"b"))
        await hand.brick.rename(Call(), Loc(parent=ROOT_GFID, name=b"a"), Loc(parent=ROOT_GFID, name=b"b"))

        assert await hand.names() == [b"a", b"b"]
        assert (await hand.brick.stat(Call(), Loc(gfid))).iatt.nlink == 2
