"""storage/posix: finding and making names, in both ways of keeping metadata."""

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.translators.storage.bricks import AS_ROOT, fails, in_both_modes, running
from volgraph.graph import NULL_GFID, ROOT_GFID, Call, Fd, Gfid, Loc, NewAttributes

pytestmark = [pytest.mark.anyio, in_both_modes]


STRANGE = [b"n" * 255, b"new\nline", b"...", b"..x", b" ", b"\xff\xfe\x80", "umläut".encode(), b"-rf", b"%2f", b"\x01"]


async def test_a_created_file_is_found_by_name_and_by_gfid(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f", b"hello")

        by_name = await hand.brick.lookup(Call(), Loc(parent=ROOT_GFID, name=b"f"))
        by_gfid = await hand.brick.lookup(Call(), Loc(gfid))

        assert by_name.iatt.gfid == by_gfid.iatt.gfid == gfid
        assert by_name.iatt.size == by_gfid.iatt.size == 5
        assert by_name.iatt.nlink == by_gfid.iatt.nlink == 1
        assert by_name.postparent is not None
        assert by_name.postparent.gfid == ROOT_GFID
        assert by_gfid.postparent is None


async def test_any_name_that_linux_takes_is_kept_as_it_is(tmp_path: Path, mode: str) -> None:
    made: dict[bytes, tuple[Gfid, Gfid]] = {}
    async with running(tmp_path, mode) as hand:
        for name in STRANGE:
            folder = await hand.dir(name)
            made[name] = folder, await hand.file(name, b"x", parent=folder)
            await hand.brick.rename(Call(), Loc(parent=folder, name=name), Loc(parent=folder, name=b"other"))
            await hand.brick.rename(Call(), Loc(parent=folder, name=b"other"), Loc(parent=folder, name=name))
            assert os.listdir(os.fsencode(tmp_path / os.fsdecode(name))) == [name]
        assert await hand.names() == sorted(STRANGE)

    async with running(tmp_path, mode) as hand:
        for name, (folder, file) in made.items():
            assert await hand.find(name) == folder
            assert await hand.find(name, folder) == file


NO_NAMES = {
    b"": errno.EINVAL,
    b".": errno.EINVAL,
    b"..": errno.EINVAL,
    b"a\0b": errno.EINVAL,
    b"a/b": errno.EPERM,
    b"/": errno.EPERM,
    b"../x": errno.EPERM,
    b"n" * 256: errno.ENAMETOOLONG,
    b".glusterfs": errno.EPERM,
}


async def test_a_name_that_is_no_component_is_refused_in_every_fop(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        good = Loc(parent=ROOT_GFID, name=b"f")
        gfid = await hand.file(b"f")
        for name, code in NO_NAMES.items():
            bad = Loc(parent=ROOT_GFID, name=name)
            if name:  # without one, a lookup is by gfid
                with fails(code):
                    brick.lookup(Call(), bad)
            with fails(code):
                brick.mkdir(hand.call(), bad, 0o755, 0)
            with fails(code):
                brick.mknod(hand.call(), bad, 0o644, 0, 0)
            with fails(code):
                brick.symlink(hand.call(), b"t", bad, 0)
            with fails(code):
                brick.create(hand.call(), bad, os.O_RDWR, 0o644, 0, Fd())
            with fails(code):
                brick.link(Call(), Loc(gfid), bad)
            with fails(code):
                brick.unlink(Call(), bad)
            with fails(code):
                brick.rmdir(Call(), bad)
            with fails(code):
                brick.rename(Call(), bad, good)
            with fails(code):
                brick.rename(Call(), good, bad)
        assert await hand.names() == [b"f"]


async def test_the_bricks_own_directory_is_hidden_in_the_root_only(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        folder = await hand.dir(b"d")
        await hand.dir(b".glusterfs", parent=folder)

        assert await hand.names() == [b"d"]
        assert await hand.names(folder) == [b".glusterfs"]


async def test_lookup_errors_tell_a_missing_name_from_an_unknown_directory(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        unknown = hand.gfid()
        file = await hand.file(b"f")
        with fails(errno.ENOENT):
            hand.brick.lookup(Call(), Loc(parent=ROOT_GFID, name=b"none"))
        with fails(errno.ESTALE):
            hand.brick.lookup(Call(), Loc(parent=unknown, name=b"f"))
        with fails(errno.ENOTDIR):
            hand.brick.lookup(Call(), Loc(parent=file, name=b"f"))
        with fails(errno.ENOENT):
            hand.brick.lookup(Call(), Loc(unknown))
        with fails(errno.EINVAL):
            hand.brick.lookup(Call(), Loc(NULL_GFID))
        with fails(errno.ESTALE):
            hand.brick.stat(Call(), Loc(unknown))
        with fails(errno.EINVAL):
            hand.brick.stat(Call(), Loc(NULL_GFID))


async def test_a_maker_needs_a_gfid_and_a_free_one(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        used = await hand.file(b"f")
        folder = await hand.dir(b"d")
        loc = Loc(parent=ROOT_GFID, name=b"new")
        for xdata in (None, {}, {"gfid-req": NULL_GFID}, {"gfid-req": ROOT_GFID}, {"gfid-req": b"short"}):
            with fails(errno.EINVAL):
                hand.brick.mkdir(Call(xdata=xdata), loc, 0o755, 0)
            with fails(errno.EINVAL):
                hand.brick.create(Call(xdata=xdata), loc, os.O_RDWR, 0o644, 0, Fd())
        for gfid in (used, folder):
            with fails(errno.EEXIST):
                hand.brick.mkdir(Call(xdata={"gfid-req": gfid}), loc, 0o755, 0)
            with fails(errno.EEXIST):
                hand.brick.mknod(Call(xdata={"gfid-req": gfid}), loc, 0o644, 0, 0)
        assert await hand.names() == [b"d", b"f"]
        assert await hand.find(b"f") == used


async def test_makers_answer_eexist_and_leave_what_is_there(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f", b"kept")
        folder = await hand.dir(b"d")
        for name in (b"f", b"d"):
            loc = Loc(parent=ROOT_GFID, name=name)
            with fails(errno.EEXIST):
                hand.brick.mkdir(hand.call(), loc, 0o755, 0)
            with fails(errno.EEXIST):
                hand.brick.mknod(hand.call(), loc, 0o644, 0, 0)
            with fails(errno.EEXIST):
                hand.brick.symlink(hand.call(), b"t", loc, 0)
            with fails(errno.EEXIST):
                hand.brick.create(hand.call(), loc, os.O_RDWR | os.O_EXCL, 0o644, 0, Fd())
            with fails(errno.EEXIST):
                hand.brick.link(Call(), Loc(gfid), loc)
        with fails(errno.EISDIR):
            hand.brick.create(hand.call(), Loc(parent=ROOT_GFID, name=b"d"), os.O_RDWR, 0o644, 0, Fd())
        assert await hand.read(gfid) == b"kept"
        assert await hand.find(b"d") == folder


async def test_create_without_excl_opens_what_is_there(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f", b"old contents")
        fd = Fd()
        flags = os.O_RDWR | os.O_TRUNC
        made = await hand.brick.create(hand.call(), Loc(parent=ROOT_GFID, name=b"f"), flags, 0o600, 0, fd)

        assert made.iatt.gfid == gfid
        assert made.iatt.size == 0
        assert stat.S_IMODE(made.iatt.mode) == 0o644
        assert (await hand.brick.writev(Call(), fd, b"new", 0)).count == 3
        assert await hand.read(gfid) == b"new"
        hand.brick.release(fd)


@pytest.mark.parametrize(("wanted", "umask"), [(0o666, 0o022), (0o777, 0), (0o4755, 0), (0o444, 0), (0, 0)])
async def test_the_mode_is_the_one_asked_for_less_the_callers_umask(
    tmp_path: Path, mode: str, wanted: int, umask: int
) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        fd = Fd()
        made = await brick.create(hand.call(), Loc(parent=ROOT_GFID, name=b"f"), os.O_RDWR, wanted, umask, fd)
        folder = await brick.mkdir(hand.call(), Loc(parent=ROOT_GFID, name=b"d"), wanted, umask)
        fifo = await brick.mknod(hand.call(), Loc(parent=ROOT_GFID, name=b"p"), stat.S_IFIFO | wanted, 0, umask)

        for iatt in (made.iatt, folder.iatt, fifo.iatt):
            assert stat.S_IMODE(iatt.mode) == wanted & ~umask
        assert stat.S_ISFIFO(fifo.iatt.mode)
        assert (await brick.writev(Call(), fd, b"x", 0)).count == 1
        brick.release(fd)
        await brick.rmdir(Call(), Loc(parent=ROOT_GFID, name=b"d"))


@pytest.mark.skipif(not AS_ROOT, reason="needs root, to give files away")
async def test_new_objects_belong_to_the_caller(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        await hand.brick.setattr(Call(), Loc(ROOT_GFID), NewAttributes(mode=0o777))
        call = hand.call()
        call.uid, call.gid = 1234, 2345
        made = await hand.brick.mkdir(call, Loc(parent=ROOT_GFID, name=b"d"), 0o755, 0)
        assert (made.iatt.uid, made.iatt.gid) == (1234, 2345)

        await hand.brick.setattr(Call(), Loc(made.iatt.gfid), NewAttributes(mode=0o2777))
        for kind in (stat.S_IFREG, stat.S_IFIFO):
            inside = hand.call()
            inside.uid, inside.gid = 1, 2
            loc = Loc(parent=made.iatt.gfid, name=b"%d" % kind)
            child = (await hand.brick.mknod(inside, loc, kind | 0o644, 0, 0)).iatt
            assert (child.uid, child.gid) == (1, 2345), "the group of a set-group-id directory is handed on"


async def test_xattrs_in_a_makers_xdata_are_set_on_the_object(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        call = hand.call(**{"trusted.afr.x": b"\0\0\0\1" * 3, "trusted.other": b"1"})
        made = await hand.brick.mkdir(call, Loc(parent=ROOT_GFID, name=b"d"), 0o755, 0)
        values = (await hand.brick.getxattr(Call(), Loc(made.iatt.gfid), None)).values

        assert values == {"trusted.afr.x": b"\0\0\0\1" * 3, "trusted.other": b"1"}
        assert list(hand.brick.brick.index.listed["xattrop"]) == [made.iatt.gfid]


async def test_symlinks_are_kept_verbatim_and_never_followed(tmp_path: Path, mode: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary").write_bytes(b"alive")
    (tmp_path / "brick").mkdir()
    async with running(tmp_path / "brick", mode) as hand:
        brick = hand.brick
        made = await hand.symlink(b"out", os.fsencode(outside))
        dangling = await hand.symlink(b"dangling", b"../../ab/cd/abcdabcd-0000-0000-0000-000000000000/x")
        link = made.iatt.gfid

        assert made.iatt.is_symlink
        assert (await brick.readlink(Call(), Loc(link), 4096)).target == os.fsencode(outside)
        assert (await brick.readlink(Call(), Loc(link), 3)).target == os.fsencode(outside)[:3]
        assert (await brick.stat(Call(), Loc(dangling.iatt.gfid))).iatt.is_symlink
        with fails(errno.ENOTDIR):
            brick.lookup(Call(), Loc(parent=link, name=b"canary"))
        with fails(errno.ENOTDIR):
            brick.unlink(Call(), Loc(parent=link, name=b"canary"))
        with fails(errno.ENOTDIR):
            brick.opendir(Call(), Loc(link), Fd())
        with fails(errno.ELOOP):
            brick.open(Call(), Loc(link), os.O_RDONLY, Fd())
        file = await hand.file(b"file")
        with fails(errno.EINVAL):
            brick.readlink(Call(), Loc(file), 4096)
        await brick.setattr(Call(), Loc(link), NewAttributes(mtime_ns=5, mode=0o600))
    assert (outside / "canary").read_bytes() == b"alive"
    assert outside.stat().st_mtime_ns != 5


async def test_a_directory_replaced_by_a_symlink_behind_the_brick_is_not_entered(tmp_path: Path, mode: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary").write_bytes(b"alive")
    root = tmp_path / "brick"
    root.mkdir()
    async with running(root, mode) as hand:
        folder = await hand.dir(b"d")
        await hand.dir(b"inner", parent=folder)
    os.rename(root / "d", root / "moved")
    os.symlink(outside, root / "d")
    async with running(root, mode) as hand:
        with fails(errno.ESTALE):
            hand.brick.lookup(Call(), Loc(parent=folder, name=b"canary"))
        with fails(errno.ESTALE):
            hand.brick.mkdir(hand.call(), Loc(parent=folder, name=b"new"), 0o755, 0)
    assert os.listdir(outside) == ["canary"]


async def test_hard_links_share_a_gfid_and_count_without_the_handle(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"a", b"both")
        made = await hand.brick.link(Call(), Loc(gfid), Loc(parent=ROOT_GFID, name=b"b"))
        assert made.iatt.gfid == gfid
        assert made.iatt.nlink == 2

        removed = await hand.brick.unlink(Call(xdata={"get-link-count": 1}), Loc(parent=ROOT_GFID, name=b"a"))
        assert removed.xdata == {"get-link-count": 2}
        assert (await hand.brick.stat(Call(), Loc(gfid))).iatt.nlink == 1
        assert await hand.read(gfid) == b"both"
        assert await hand.find(b"b") == gfid
        folder = await hand.dir(b"d")
        with fails(errno.EPERM):
            hand.brick.link(Call(), Loc(folder), Loc(parent=ROOT_GFID, name=b"c"))


async def test_attributes_are_left_out_where_the_caller_wants_none(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        call = hand.call()
        call.attributes = False
        made = await hand.brick.mkdir(call, Loc(parent=ROOT_GFID, name=b"d"), 0o755, 0)
        removed = await hand.brick.rmdir(Call(attributes=False), Loc(parent=ROOT_GFID, name=b"d"))

        assert made.iatt.is_dir
        assert made.preparent is None
        assert removed.preparent is None


async def test_directories_far_below_the_limit_of_symlinks_are_reached(tmp_path: Path, mode: str) -> None:
    depth = 60
    async with running(tmp_path, mode) as hand:
        gfids: list[Gfid] = [ROOT_GFID]
        for _ in range(depth):
            gfids.append(await hand.dir(b"deeper", parent=gfids[-1]))
    async with running(tmp_path, mode) as hand:
        assert (await hand.brick.stat(Call(), Loc(gfids[-1]))).iatt.is_dir
        file = await hand.file(b"bottom", b"x", parent=gfids[-1])
        assert await hand.read(file) == b"x"


async def test_only_so_many_directories_stay_open(tmp_path: Path, mode: str) -> None:
    count = 300
    async with running(tmp_path, mode) as hand:
        before = len(os.listdir("/proc/self/fd"))
        folders = [await hand.dir(b"%d" % n) for n in range(count)]
        for folder in folders:
            await hand.file(b"f", parent=folder)

        assert len(os.listdir("/proc/self/fd")) - before <= 257
        assert [await hand.names(folder) for folder in folders] == [[b"f"]] * count
