"""Every fop through a unify of memory bricks."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

import pytest

from tests.translators.cluster.unify_bench import Gate, breaches, unified
from volgraph.graph import (
    FOPS,
    ROOT_GFID,
    ROOT_LOC,
    SEEK_HOLE,
    EntryLockCommand,
    Fd,
    Flock,
    Gfid,
    Graph,
    Loc,
    LockCommand,
    LockType,
    NewAttributes,
    Translator,
    XattropKind,
    Xdata,
)
from volgraph.translators.cluster.unify import Unify
from volgraph.translators.storage.memory import Memory

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


# --- names --------------------------------------------------------------------------------------------------------


async def test_a_hard_link_stays_on_the_holder_of_the_file() -> None:
    async with unified(3) as bench:
        await bench.write("a", b"x")
        await bench.write("b", b"y")
        await bench.link("b", "c")

        assert bench.holders("c") == [1]
        assert (await bench.find("c")).nlink == 2
        await bench.unlink("b")
        assert await bench.read("c") == b"y"
        with pytest.raises(FileExistsError):
            await bench.link("a", "c")
        await bench.mkdir("d")
        with pytest.raises(PermissionError):
            await bench.link("d", "e")
        assert breaches(bench.disks) == []


async def test_rename_over_a_file_of_another_child_removes_it_there() -> None:
    async with unified() as bench:
        await bench.write("a", b"A")
        await bench.write("b", b"B")
        await bench.rename("a", "b")

        assert await bench.tree() == {"b": b"A"}
        assert bench.holders("b") == [0]
        assert breaches(bench.disks) == []


async def test_rename_over_a_file_of_the_same_child_replaces_it() -> None:
    async with unified(1) as bench:
        await bench.write("a", b"A")
        await bench.write("b", b"B")
        await bench.rename("a", "b")
        assert await bench.tree() == {"b": b"A"}
        assert breaches(bench.disks) == []


async def test_rename_of_directories_is_done_on_all_children() -> None:
    async with unified() as bench:
        await bench.mkdir("a")
        await bench.mkdir("a/in")
        await bench.write("a/in/f", b"x")
        await bench.mkdir("b")
        await bench.rename("a", "b")
        await bench.rename("b/in", "top")
        assert await bench.tree() == {"b": None, "top": None, "top/f": b"x"}
        with pytest.raises(OSError) as caught:
            await bench.rename("b", "top")
        assert caught.value.errno == errno.ENOTEMPTY
        with pytest.raises(OSError) as caught:
            await bench.rename("top", "top/inside")
        assert caught.value.errno == errno.EINVAL
        assert breaches(bench.disks) == []


async def test_rename_onto_another_name_of_the_same_file_changes_nothing() -> None:
    async with unified() as bench:
        await bench.write("a", b"A")
        await bench.link("a", "b")
        await bench.rename("a", "b")
        assert await bench.tree() == {"a": b"A", "b": b"A"}


async def test_rename_of_the_wrong_kinds_is_refused_and_leaves_nothing_behind() -> None:
    async with unified() as bench:
        await bench.write("f", b"x")
        await bench.mkdir("d")
        with pytest.raises(IsADirectoryError):
            await bench.rename("f", "d")
        with pytest.raises(NotADirectoryError):
            await bench.rename("d", "f")
        with pytest.raises(FileNotFoundError):
            await bench.rename("none", "f")
        assert await bench.tree() == {"f": b"x", "d": None}
        assert breaches(bench.disks) == []


async def test_unlink_and_rmdir_refuse_the_other_kind_and_what_is_not_empty() -> None:
    async with unified() as bench:
        await bench.mkdir("d")
        await bench.write("d/f", b"x")
        with pytest.raises(IsADirectoryError):
            await bench.unlink("d")
        with pytest.raises(NotADirectoryError):
            await bench.rmdir("d/f")
        with pytest.raises(OSError) as caught:
            await bench.rmdir("d")
        assert caught.value.errno == errno.ENOTEMPTY
        assert "rmdir" not in {fop for _, fop in bench.plan.seen}
        await bench.unlink("d/f")
        await bench.rmdir("d")
        assert await bench.tree() == {}
        assert breaches(bench.disks) == []


# --- locks --------------------------------------------------------------------------------------------------------


async def test_locks_of_a_file_are_on_its_holder_and_entry_locks_on_the_namespace() -> None:
    async with unified() as bench:
        await bench.write("f", b"x")
        await bench.mkdir("d")
        file, directory = Loc((await bench.find("f")).gfid), Loc((await bench.find("d")).gfid)
        fd = await bench.open("f")
        other = bench.call.owned_by(b"somebody")
        write, read = Flock(LockType.WRITE), Flock(LockType.READ)

        await bench.top.inodelk(bench.call, "dom", file, LockCommand.SET, write)
        with pytest.raises(BlockingIOError):
            await bench.top.finodelk(other, "dom", fd, LockCommand.SET, read)
        await bench.top.entrylk(bench.call, "dom", directory, b"n", EntryLockCommand.TRY, LockType.WRITE)
        with pytest.raises(BlockingIOError):
            await bench.top.fentrylk(
                other, "dom", Fd(directory.gfid, is_dir=True), b"n", EntryLockCommand.TRY, LockType.WRITE
            )
        await bench.top.lk(bench.call, fd, LockCommand.SET, write)
        with pytest.raises(BlockingIOError):
            await bench.top.lk(other, fd, LockCommand.SET, read)

        counts = bench.call.with_xdata({"glusterfs.inodelk-count": 0})
        assert (await bench.top.lookup(counts, await bench.loc("f"))).xdata == {"glusterfs.inodelk-count": 1}
        await bench.top.inodelk(bench.call, "dom", directory, LockCommand.SET, write)
        assert (await bench.namespace.lookup(counts, directory)).xdata == {"glusterfs.inodelk-count": 1}
        bench.top.disconnect("test")
        await bench.top.finodelk(other, "dom", fd, LockCommand.SET, read)


async def test_the_lock_on_a_name_shows_in_a_lookup_of_a_file() -> None:
    async with unified() as bench:
        await bench.write("f", b"x")
        await bench.top.entrylk(bench.call, "dom", ROOT_LOC, b"f", EntryLockCommand.TRY, LockType.WRITE)
        asking = bench.call.with_xdata({"glusterfs.parent-entrylk": 0})
        reply = await bench.top.lookup(asking, await bench.loc("f"))
        assert reply.xdata == {"glusterfs.parent-entrylk": 1}


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


# --- building one ---------------------------------------------------------------------------------------------------


def test_a_namespace_among_the_subvolumes_is_a_problem() -> None:
    shared = Memory("m")
    found = Unify("u", [shared], namespace=shared).problems()
    assert [(option, message) for option, message, _ in found] == [
        ("namespace", "the namespace is one of the subvolumes")
    ]


@pytest.mark.parametrize("scheduler", ["alu", "nufa", "random", "switch"])
def test_the_other_schedulers_are_an_error_that_says_so(scheduler: str) -> None:
    found = Unify("u", [Memory("m")], namespace=Memory("n"), scheduler=scheduler).problems()
    assert [message for _, message, _ in found] == [f"scheduler '{scheduler}' is not supported yet"]


def test_an_unknown_scheduler_is_a_bad_value() -> None:
    with pytest.raises(ValueError, match="is not one of rr"):
        Unify("u", [Memory("m")], namespace=Memory("n"), scheduler="lottery")


async def test_an_option_problem_keeps_a_graph_built_in_python_from_starting() -> None:
    with pytest.raises(ValueError, match="not supported yet"):
        async with Graph(Unify("u", [Memory("m")], namespace=Memory("n"), scheduler="alu")):
            pass


async def test_read_only_children_get_no_new_files() -> None:
    async with unified(3, read_only_subvolumes="c0,c2") as bench:
        for name in "abc":
            await bench.write(name, b"")
        assert [bench.holders(name) for name in "abc"] == [[1], [1], [1]]


def test_read_only_children_must_be_children_and_not_all_of_them() -> None:
    def problems(names: str) -> list[str]:
        node = Unify("u", [Memory("m")], namespace=Memory("n"), read_only_subvolumes=tuple(names.split(",")))
        return [message for _, message, _ in node.problems()]

    assert problems("q") == ["'q' is no child"]
    assert problems("m") == ["leaves no child for new files"]


async def test_what_is_known_of_objects_is_bounded_and_can_be_forgotten() -> None:
    async with unified() as bench:
        await bench.write("f", b"x")
        gfid: Gfid = (await bench.find("f")).gfid
        assert bench.top.known_place(gfid) is bench.gates[0]
        bench.top.forget(gfid)
        assert bench.top.known_place(gfid) is None
        assert (await bench.top.stat(bench.call, Loc(gfid))).iatt.size == 1
