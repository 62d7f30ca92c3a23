"""cluster/unify over memory bricks: names that are linked, moved and removed, and where locks are."""

from __future__ import annotations

import errno

import pytest

from tests.translators.cluster.unify_bench import breaches, unified
from volgraph.graph import ROOT_LOC, EntryLockCommand, Fd, Flock, Loc, LockCommand, LockType

pytestmark = pytest.mark.anyio


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
