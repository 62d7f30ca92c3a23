"""Every fop through a unify of memory bricks."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

import pytest

from tests.translators.cluster.unify_bench import Gate, breaches, unified
from volgraph.graph import FOPS, ROOT_GFID, ROOT_LOC, SEEK_HOLE, Fd, Loc, NewAttributes, Translator, XattropKind, Xdata
from volgraph.translators.cluster.unify import Unify

pytestmark = pytest.mark.anyio


async def test_files_go_to_one_child_after_the_other_and_directories_to_all() -> None:
    async with unified(3) as bench:
        await bench.mkdir("d")
        for number in range(6):
            await bench.write(f"d/f{number}", b"%d" % number)

        assert [bench.holders(f"d/f{number}") for number in range(6)] == [[0], [1], [2], [0], [1], [2]]
        assert bench.holders("d") == [0, 1, 2]
        assert [await bench.read(f"d/f{number}") for number in range(6)] == [b"0", b"1", b"2", b"3", b"4", b"5"]
        assert breaches(bench.disks) == []


async def test_symlinks_and_special_files_are_on_one_child_with_a_stand_in_of_their_kind() -> None:
    async with unified() as bench:
        await bench.symlink("some/where", "s")
        await bench.mkfifo("p")

        assert await bench.readlink("s") == "some/where"
        assert stat.S_ISFIFO((await bench.find("p")).mode)
        assert (bench.holders("s"), bench.holders("p")) == ([0], [1])
        assert breaches(bench.disks) == []


async def test_a_lookup_shows_mode_and_owner_of_the_namespace_and_size_of_the_holder() -> None:
    async with unified() as bench:
        await bench.write("f", b"12345")
        for store in (*bench.disks.children, bench.disks.namespace):
            for path, inode in store.walk():
                if path == "/f":
                    inode.restat(st_mode=stat.S_IFREG | (0o600 if store is bench.disks.namespace else 0o644))

        shown = [
            await bench.find("f"),
            (await bench.top.stat(bench.call, Loc((await bench.find("f")).gfid))).iatt,
            (await bench.top.fstat(bench.call, await bench.open("f"))).iatt,
            (await bench.entries())["f"],
        ]
        assert [(each.size, stat.S_IMODE(each.mode)) for each in shown if each is not None] == [(5, 0o600)] * 4


async def test_a_listing_comes_with_the_sizes_of_the_holders() -> None:
    async with unified(3) as bench:
        for number in range(200):
            await bench.write(f"f{number:03}", b"x" * number)
        await bench.mkdir("d")

        entries = await bench.entries()
        assert sorted(entries) == ["d", *(f"f{number:03}" for number in range(200))]
        assert all(iatt is not None for iatt in entries.values())
        assert [iatt.size for name, iatt in sorted(entries.items()) if iatt and iatt.is_file] == list(range(200))


async def test_names_without_attributes_come_from_the_namespace() -> None:
    async with unified() as bench:
        await bench.write("a", b"")
        fd = Fd(ROOT_GFID, is_dir=True)
        await bench.top.opendir(bench.call, ROOT_LOC, fd)
        reply = await bench.top.readdir(bench.call, fd, 4096, 0)
        bench.top.release(fd)
        assert [entry.name for entry in reply.entries] == [b"a"]
        assert fd.slots == {}


async def test_create_without_o_excl_opens_what_is_there_on_its_holder() -> None:
    async with unified() as bench:
        await bench.write("f", b"kept")
        fd = await bench.create("f", os.O_RDWR)
        assert bytes((await bench.top.readv(bench.call, fd, 100, 0)).data) == b"kept"
        assert bench.holders("f") == [0]

        with pytest.raises(FileExistsError):
            await bench.create("f")
        await bench.mkdir("d")
        with pytest.raises(IsADirectoryError):
            await bench.create("d", os.O_RDWR)
        assert breaches(bench.disks) == []


async def test_create_with_o_trunc_empties_what_is_there() -> None:
    async with unified() as bench:
        await bench.write("f", b"a long text")
        await bench.write("f", b"short")
        assert await bench.read("f") == b"short"


async def test_a_maker_without_a_gfid_is_refused_before_the_first_step() -> None:
    async with unified() as bench:
        for make in (
            bench.top.mkdir(bench.call, Loc(parent=ROOT_GFID, name=b"x"), 0o755, 0),
            bench.top.create(bench.call, Loc(parent=ROOT_GFID, name=b"x"), os.O_RDWR, 0o644, 0, Fd()),
            bench.top.symlink(bench.call, b"t", Loc(parent=ROOT_GFID, name=b"x"), 0),
        ):
            with pytest.raises(OSError) as caught:
                await make
            assert caught.value.errno == errno.EINVAL
        assert await bench.tree() == {}


async def test_xattrs_of_a_new_object_go_where_its_xattrs_live() -> None:
    async with unified() as bench:
        call = bench.requesting()
        marked = call.with_xdata({**(call.xdata or {}), "trusted.afr.x": bytes(11) + b"\1", "user.a": b"1"})
        await bench.top.mknod(marked, Loc(parent=ROOT_GFID, name=b"f"), 0o644, 0, 0)
        other = bench.requesting()
        await bench.top.mkdir(
            other.with_xdata({**(other.xdata or {}), "user.d": b"2"}), Loc(parent=ROOT_GFID, name=b"d"), 0o755, 0
        )

        assert bench.disks.children[0].image()["/f"].xattrs == {"user.a": b"1"}
        assert len(bench.disks.children[0].marks()) == 1
        assert bench.disks.namespace.image()["/f"].xattrs == {}
        assert bench.disks.namespace.image()["/d"].xattrs == {"user.d": b"2"}
        assert [store.image()["/d"].xattrs for store in bench.disks.children] == [{}, {}]


async def test_xattrs_and_counters_of_a_file_live_on_its_holder_and_of_a_directory_on_the_namespace() -> None:
    async with unified() as bench:
        one = bytes(11) + b"\1"
        await bench.write("f", b"")
        await bench.mkdir("d")
        for path in ("f", "d"):
            loc = Loc((await bench.find(path)).gfid)
            await bench.top.setxattr(bench.call, loc, {"user.k": b"v"})
            await bench.top.xattrop(bench.call, loc, XattropKind.ADD_ARRAY, {"trusted.afr.x": one})
            assert (await bench.top.getxattr(bench.call, loc, "user.k")).values == {"user.k": b"v"}
            assert (await bench.top.getxattr(bench.call, loc, None)).values == {"user.k": b"v", "trusted.afr.x": one}

        names, holder = bench.disks.namespace.image(), bench.disks.children[0].image()
        assert (holder["/f"].xattrs, holder["/d"].xattrs) == ({"user.k": b"v"}, {})
        assert (names["/f"].xattrs, names["/d"].xattrs) == ({}, {"user.k": b"v"})
        assert [len(store.marks()) for store in (*bench.disks.children, bench.disks.namespace)] == [1, 0, 1]

        asking = bench.call.with_xdata({"trusted.afr.x": 12})
        for path in ("f", "d"):
            assert (await bench.top.lookup(asking, await bench.loc(path))).xdata == {"trusted.afr.x": one}
            loc = Loc((await bench.find(path)).gfid)
            await bench.top.removexattr(bench.call, loc, "user.k")
            with pytest.raises(OSError) as caught:
                await bench.top.getxattr(bench.call, loc, "user.k")
            assert caught.value.errno == errno.ENODATA


async def test_a_listing_answers_the_keys_asked_from_holder_and_namespace() -> None:
    async with unified() as bench:
        await bench.write("f", b"")
        await bench.mkdir("d")
        for path in ("f", "d"):
            await bench.top.setxattr(bench.call, Loc((await bench.find(path)).gfid), {"user.k": path.encode()})
        fd = Fd(ROOT_GFID, is_dir=True)
        reply = await bench.top.readdirp(bench.call.with_xdata({"user.k": 0}), fd, 4096, 0)
        assert {entry.name: entry.xdata for entry in reply.entries} == {
            b"f": {"user.k": b"f"},
            b"d": {"user.k": b"d"},
        }


async def test_fd_fops_go_to_the_holder_also_where_the_fd_is_anonymous() -> None:
    async with unified() as bench:
        await bench.write("f", b"hello")
        gfid = (await bench.find("f")).gfid
        for fd in (await bench.open("f"), Fd(gfid, os.O_RDWR)):
            await bench.top.writev(bench.call, fd, b"J", 0)
            await bench.top.fsync(bench.call, fd)
            await bench.top.fsetxattr(bench.call, fd, {"user.k": b"v"})
            assert (await bench.top.fgetxattr(bench.call, fd, "user.k")).values == {"user.k": b"v"}
            await bench.top.fremovexattr(bench.call, fd, "user.k")
            await bench.top.fxattrop(bench.call, fd, XattropKind.ADD_ARRAY, {"trusted.afr.x": bytes(12)})
            await bench.top.ftruncate(bench.call, fd, 3)
            assert (await bench.top.fstat(bench.call, fd)).iatt.size == 3
            assert (await bench.top.seek(bench.call, fd, 0, SEEK_HOLE)).offset == 3
            assert len((await bench.top.rchecksum(bench.call, fd, 0, 3)).strong) == 16
            await bench.top.fsetattr(bench.call, fd, NewAttributes(mode=0o640))
            await bench.top.fallocate(bench.call, fd, 0, 0, 8)
            await bench.top.discard(bench.call, fd, 0, 1)
            await bench.top.zerofill(bench.call, fd, 0, 2)
            await bench.top.flush(bench.call, fd)
            assert bytes((await bench.top.readv(bench.call, fd, 100, 0)).data) == b"\0\0l" + bytes(5)
            await bench.top.truncate(bench.call, Loc(gfid), 0)
            await bench.top.writev(bench.call, fd, b"hello", 0)
            bench.top.release(fd)
            assert fd.slots == {}
        assert stat.S_IMODE((await bench.find("f")).mode) == 0o640
        assert breaches(bench.disks) == []


async def test_an_open_file_can_be_read_and_asked_after_its_last_name_is_gone() -> None:
    async with unified() as bench:
        await bench.write("f", b"still here")
        fd = await bench.open("f")
        await bench.unlink("f")

        assert bytes((await bench.top.readv(bench.call, fd, 100, 0)).data) == b"still here"
        assert (await bench.top.fstat(bench.call, fd)).iatt.size == 10
        with pytest.raises(FileNotFoundError):
            await bench.find("f")
        assert breaches(bench.disks) == []


async def test_copying_between_files_of_one_child_is_handed_down_and_between_two_is_exdev() -> None:
    async with unified() as bench:
        for name, data in (("a", b"from a"), ("b", b""), ("c", b"")):
            await bench.write(name, data)
        a, b, c = [await bench.open(name) for name in "abc"]
        assert (await bench.top.copy_file_range(bench.call, a, 0, c, 0, 6)).count == 6
        assert await bench.read("c") == b"from a"
        with pytest.raises(OSError) as caught:
            await bench.top.copy_file_range(bench.call, a, 0, b, 0, 6)
        assert caught.value.errno == errno.EXDEV


async def test_setattr_of_a_file_reaches_holder_and_stand_in_and_of_a_directory_all_copies() -> None:
    async with unified() as bench:
        await bench.write("f", b"x")
        await bench.mkdir("d")
        new = NewAttributes(mode=0o700, uid=7, gid=8, mtime_ns=5)
        for path in ("f", "d"):
            changed = await bench.top.setattr(bench.call, Loc((await bench.find(path)).gfid), new)
            assert changed.post is not None
            iatt = await bench.find(path)
            for shown in (changed.post, iatt):
                assert (stat.S_IMODE(shown.mode), shown.uid, shown.gid, shown.mtime_ns) == (0o700, 7, 8, 5)
        images = [store.image() for store in (*bench.disks.children, bench.disks.namespace)]
        assert {(image["/d"].mode, image["/d"].uid) for image in images} == {(0o700, 7)}
        assert breaches(bench.disks) == []


async def test_access_follows_the_namespace() -> None:
    async with unified() as bench:
        await bench.write("f", b"")
        await bench.chmod("f", 0o600)
        loc = Loc((await bench.find("f")).gfid)
        await bench.top.access(bench.call, loc, 4)
        stranger = bench.call.with_xdata(None)
        stranger.uid = stranger.gid = 1000
        with pytest.raises(PermissionError):
            await bench.top.access(stranger, loc, 4)


async def test_statfs_is_the_sum_over_the_children() -> None:
    async with unified(3) as bench:
        alone = await bench.gates[0].statfs(bench.call, ROOT_LOC)
        whole = await bench.top.statfs(bench.call, ROOT_LOC)
        assert (whole.blocks, whole.bfree) == (3 * alone.blocks, 3 * alone.bfree)
        bench.gates[1].turn(False)
        assert (await bench.top.statfs(bench.call, ROOT_LOC)).blocks == 2 * alone.blocks


# --- what unify keeps for itself -----------------------------------------------------------------------------------


async def test_the_intent_key_is_neither_shown_nor_taken_from_callers() -> None:
    async with unified() as bench:
        key, root = bench.top.intent_key, Loc(ROOT_GFID)
        for refused in (
            lambda: bench.top.setxattr(bench.call, root, {key: b"x"}),
            lambda: bench.top.removexattr(bench.call, root, key),
            lambda: bench.top.xattrop(bench.call, root, XattropKind.ADD_ARRAY, {key: bytes(4)}),
        ):
            with pytest.raises(PermissionError):
                await refused()
        with pytest.raises(OSError) as caught:
            await bench.top.getxattr(bench.call, root, key)
        assert caught.value.errno == errno.ENODATA


async def test_the_heal_index_of_the_namespace_alone_is_not_shown() -> None:
    async with unified() as bench:
        with pytest.raises(OSError) as caught:
            await bench.top.getxattr(bench.call, ROOT_LOC, "glusterfs.xattrop_index_gfid")
        assert caught.value.errno == errno.ENODATA
        asking = bench.call.with_xdata({"link-count": "glusterfs.xattrop_index_count"})
        assert not (await bench.top.lookup(asking, ROOT_LOC)).xdata


async def test_a_lookup_never_lets_a_brick_give_a_gfid_of_the_callers() -> None:
    async with unified() as bench:
        seen: list[Xdata] = []

        class Watch(Gate):
            def relay(self, fop: Any, *args: Any, **kwargs: Any) -> Any:
                if fop.__name__ == "lookup":
                    seen.append(args[0].xdata or {})
                return super().relay(fop, *args, **kwargs)

        for gate in (bench.namespace, *bench.gates):
            gate.__class__ = Watch
        await bench.write("f", b"")
        await bench.top.lookup(bench.requesting(), await bench.loc("f"))
        assert seen
        assert all("gfid-req" not in xdata for xdata in seen)


def test_every_fop_is_answered_here_except_those_between_other_translators() -> None:
    left_alone = {name for name in FOPS if getattr(Unify, name) is getattr(Translator, name)}
    assert left_alone == {"ipc", "getspec"}
