"""storage/memory: what it keeps through crashes and restarts, and what it shows to tests."""

import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from volgraph.graph import (
    ROOT_GFID,
    ROOT_LOC,
    Call,
    Contention,
    Event,
    Fd,
    Flock,
    Gfid,
    Graph,
    Loc,
    LockCommand,
    LockType,
    State,
    Translator,
    XattropKind,
)
from volgraph.testing.fop_bench import FopBench, at
from volgraph.translators.storage.leaf import SUSPECT_KEY
from volgraph.translators.storage.memory import Memory, MemoryStore

pytestmark = pytest.mark.anyio

MARK = "trusted.afr.client-1"
ONE = b"\0\0\0\1" + bytes(8)


@asynccontextmanager
async def opened(store: MemoryStore | None = None, size_limit: int = 1 << 30) -> AsyncIterator[tuple[Memory, FopBench]]:
    memory = Memory("brick", store=store or MemoryStore(), size_limit=size_limit)
    async with Graph(memory):
        yield memory, FopBench(memory)


async def sync(bench: FopBench, gfid: Gfid) -> None:
    await bench.top.fsync(bench.call(), bench.new_fd(gfid), 0)


async def sync_names(bench: FopBench, gfid: Gfid = ROOT_GFID) -> None:
    await bench.top.fsyncdir(bench.call(), bench.new_fd(gfid), 0)


def contents(memory: Memory) -> dict[str, bytes]:
    return {path: item.content for path, item in memory.image().items()}


def refused(code: int, fop: Callable[..., object], *args: object) -> None:
    with pytest.raises(OSError) as caught:
        fop(*args)
    assert caught.value.errno == code


async def test_a_new_node_on_an_old_store_finds_everything_again() -> None:
    store = MemoryStore()
    async with opened(store) as (_, bench):
        await bench.file(b"f", b"KEPT")
    async with opened(store) as (memory, bench):
        assert contents(memory) == {"/": b"", "/f": b"KEPT"}


async def test_image_tells_kind_mode_owner_contents_xattrs_and_gfid_without_internal_xattrs() -> None:
    async with opened() as (memory, bench):
        gfid = await bench.file(b"\xff", b"DATA", mode=0o640)
        await bench.top.setxattr(bench.call(), Loc(gfid), {"user.a": b"1", MARK: ONE})
        link = await bench.symlink(b"s", b"T")

        image = memory.image()
        assert image["/\udcff"] == ("file", 0o640, 0, 0, b"DATA", {"user.a": b"1"}, gfid)
        assert image["/s"] == ("symlink", 0o777, 0, 0, b"T", {}, link)
        assert list(image) == ["/", "/s", "/\udcff"]


async def test_marks_tells_the_counters_that_are_not_zero() -> None:
    async with opened() as (memory, bench):
        gfid = await bench.file()
        add = {MARK: ONE, "trusted.afr.dirty": bytes(8) + b"\0\0\0\2", "trusted.other": ONE}
        await bench.top.xattrop(bench.call(), Loc(gfid), XattropKind.ADD_ARRAY, add)
        await bench.top.setxattr(
            bench.call(), Loc(gfid), {"trusted.afr.x": bytes(12), "trusted.afr.m.volgraph-id": ONE}
        )

        assert memory.marks() == {gfid: {MARK: (1, 0, 0), "trusted.afr.dirty": (0, 0, 2)}}


# --- crashes ---------------------------------------------------------------------------------------------------------


async def test_a_killed_process_loses_locks_and_fds_and_nothing_else() -> None:
    async with opened() as (memory, bench):
        gfid = await bench.file(b"f", b"DATA")
        fd = await bench.opened(gfid)
        await memory.inodelk(Call(lk_owner=b"a"), "d", Loc(gfid), LockCommand.SET, Flock())
        waiting = memory.inodelk(Call(lk_owner=b"b"), "d", Loc(gfid), LockCommand.WAIT, Flock())
        memory.crash()

        with pytest.raises(OSError) as caught:
            await waiting
        assert caught.value.errno == errno.ENOTCONN
        assert memory.state is State.DOWN
        refused(errno.ENOTCONN, memory.stat, Call(), Loc(gfid))
        refused(errno.ENOTCONN, memory.lookup, Call(), at(ROOT_GFID, b"f"))
        memory.restart()
        assert memory not in fd.slots
        assert contents(memory) == {"/": b"", "/f": b"DATA"}
        await memory.inodelk(Call(lk_owner=b"b"), "d", Loc(gfid), LockCommand.SET, Flock())


async def test_an_fd_through_which_a_killed_process_had_granted_a_lock_is_good_for_nothing_until_it_is_closed() -> None:
    async with opened() as (memory, bench):
        gfid = await bench.file(b"f", b"DATA")
        locked, unlocked = await bench.opened(gfid), await bench.opened(gfid)
        for fd, owner, start in ((locked, b"a", 0), (unlocked, b"b", 1)):
            await memory.lk(Call(lk_owner=owner), fd, LockCommand.SET, Flock(LockType.WRITE, start, 1))
        await memory.lk(Call(lk_owner=b"b"), unlocked, LockCommand.SET, Flock(LockType.UNLOCK))
        memory.crash()
        refused(errno.ENOTCONN, memory.lk, Call(lk_owner=b"a"), locked, LockCommand.GET, Flock())
        memory.restart()

        refused(errno.EBADFD, memory.writev, Call(), locked, b"x", 0)
        refused(errno.EBADFD, memory.lk, Call(lk_owner=b"a"), locked, LockCommand.GET, Flock())
        refused(errno.EBADFD, memory.flush, Call(lk_owner=b"a"), locked)
        await memory.writev(Call(), unlocked, b"y", 0)
        memory.release(locked)
        await memory.open(Call(), Loc(gfid), os.O_RDWR, locked)
        await memory.writev(Call(), locked, b"z", 1)
        assert contents(memory) == {"/": b"", "/f": b"yzTA"}


async def test_an_unlinked_file_is_gone_when_the_process_that_had_it_open_is() -> None:
    async with opened() as (memory, bench):
        fd = await bench.created()
        await bench.top.writev(bench.call(), fd, b"X" * 10_000, 0)
        await bench.top.unlink(bench.call(), at(ROOT_GFID, b"file"))
        assert memory.store.pages == 3
        memory.crash()
        memory.restart()

        assert memory.store.pages == 0
        refused(errno.ESTALE, memory.fstat, bench.call(), fd)


async def test_after_a_power_loss_only_what_was_synced_is_left() -> None:
    async with opened() as (memory, bench):
        kept = await bench.file(b"kept", b"OLD")
        await sync(bench, kept)
        await bench.file(b"empty", b"NEVER SYNCED")
        await sync_names(bench)
        await bench.file(b"lost", b"DATA")
        fd = await bench.opened(kept)
        await bench.top.writev(bench.call(), fd, b"NEW", 0)
        await bench.top.fsetxattr(bench.call(), fd, {"user.a": b"1"})
        memory.crash("synced")
        memory.restart()

        assert contents(memory) == {"/": b"", "/kept": b"OLD", "/empty": b""}
        assert memory.image()["/kept"].xattrs == {}


async def test_fsync_pins_contents_size_and_xattrs() -> None:
    async with opened() as (memory, bench):
        gfid = await bench.file(b"f", b"1234567890")
        await bench.top.truncate(bench.call(), Loc(gfid), 4)
        await bench.top.setxattr(bench.call(), Loc(gfid), {MARK: ONE})
        await sync(bench, gfid)
        await sync_names(bench)
        await bench.top.setxattr(bench.call(), Loc(gfid), {MARK: bytes(12)})
        assert memory.marks() == {}
        memory.crash("synced")
        memory.restart()

        assert contents(memory)["/f"] == b"1234"
        assert memory.marks() == {gfid: {MARK: (1, 0, 0)}}
        call = Call(xdata={"link-count": "glusterfs.xattrop_index_count"})
        assert (await memory.lookup(call, Loc(gfid))).xdata == {"link-count": 1}


async def test_a_write_with_o_sync_is_pinned_at_once() -> None:
    async with opened() as (memory, bench):
        fd = await bench.created(b"f", os.O_RDWR | os.O_SYNC)
        await sync_names(bench)
        await bench.top.writev(bench.call(), fd, b"SYNCED", 0, os.O_SYNC)
        memory.crash("synced")
        memory.restart()

        assert contents(memory)["/f"] == b"SYNCED"


async def test_a_directory_is_listed_whole_after_a_power_loss_however_small_the_pieces() -> None:
    async with opened() as (memory, bench):
        for number in range(9):
            await bench.file(b"%d" % number)
        await sync_names(bench)
        memory.crash("synced")
        memory.restart()
        await bench.file(b"9")

        assert [entry.name for entry in await bench.listed(size=1)] == [b"%d" % number for number in range(10)]


async def test_a_removed_name_comes_back_where_its_removal_was_not_synced() -> None:
    async with opened() as (memory, bench):
        gfid = await bench.file(b"f", b"DATA")
        await sync(bench, gfid)
        directory = await bench.directory(b"d")
        await sync_names(bench)
        await bench.top.unlink(bench.call(), at(ROOT_GFID, b"f"))
        await bench.top.rmdir(bench.call(), at(ROOT_GFID, b"d"))
        memory.crash("synced")
        memory.restart()

        assert contents(memory) == {"/": b"", "/d": b"", "/f": b"DATA"}
        assert (await bench.iatt(gfid)).nlink == 1
        assert (await bench.iatt(directory)).nlink == 2
        assert (await bench.iatt(ROOT_GFID)).nlink == 3


@pytest.mark.parametrize("synced", ["nothing", "old", "new"])
async def test_a_rename_between_directories_is_whole_after_a_power_loss(synced: str) -> None:
    async with opened() as (memory, bench):
        old, new = await bench.directory(b"old"), await bench.directory(b"new")
        gfid = await bench.file(b"f", b"DATA", parent=old)
        await sync(bench, gfid)
        for each in (old, new, ROOT_GFID):
            await sync_names(bench, each)
        await bench.top.rename(bench.call(), at(old, b"f"), at(new, b"g"))
        if synced != "nothing":
            await sync_names(bench, old if synced == "old" else new)
        memory.crash("synced")
        memory.restart()

        path = "/old/f" if synced == "nothing" else "/new/g"
        assert contents(memory) == {"/": b"", "/new": b"", "/old": b"", path: b"DATA"}
        await bench.top.writev(bench.call(), await bench.opened(gfid), b"MORE", 4)
        assert contents(memory)[path] == b"DATAMORE"


# --- space -----------------------------------------------------------------------------------------------------------


async def test_space_is_limited_counted_and_given_back() -> None:
    async with opened(size_limit=40960) as (memory, bench):
        fd = await bench.created()
        await bench.top.writev(bench.call(), fd, b"X" * 36864, 0)
        refused(errno.ENOSPC, memory.writev, bench.call(), fd, b"X" * 8192, 36864)
        refused(errno.ENOSPC, memory.fallocate, bench.call(), fd, 0, 0, 1 << 40)
        assert (await bench.iatt(fd.gfid)).size == 36864
        await bench.top.writev(bench.call(), fd, b"X" * 4096, 36864)
        refused(errno.ENOSPC, memory.mkdir, bench.making(), at(ROOT_GFID, b"d"), 0o755, 0)
        await bench.top.writev(bench.call(), fd, b"Y", 0)  # no page more
        space = await bench.top.statfs(bench.call(), Loc(ROOT_GFID))
        assert (space.blocks, space.bfree) == (10, 0)
        await bench.top.ftruncate(bench.call(), fd, 4096)
        assert memory.store.pages == 1
        await bench.top.unlink(bench.call(), at(ROOT_GFID, b"file"))
        assert memory.store.pages == 1
        bench.close(fd)
        assert memory.store.pages == 0


async def test_a_file_has_a_largest_size() -> None:
    async with opened() as (memory, bench):
        fd = await bench.created()
        refused(errno.EFBIG, memory.writev, bench.call(), fd, b"X", 1 << 44)
        refused(errno.EFBIG, memory.ftruncate, bench.call(), fd, (1 << 44) + 1)


# --- the rest --------------------------------------------------------------------------------------------------------


async def test_the_parent_hears_of_contention_with_the_client_that_holds() -> None:
    heard: list[tuple[Gfid, str, bytes | None, str]] = []

    class Listener(Translator):
        def notify(self, event: Event) -> None:
            if isinstance(event, Contention):
                heard.append((event.gfid, event.domain, event.name, event.client))
            super().notify(event)

    top = Listener("top", [Memory("brick")])
    async with Graph(top):
        one, loc = Call(client="one", lk_owner=b"a"), Loc(ROOT_GFID)
        await top.inodelk(one, "d", loc, LockCommand.SET, Flock())
        refused(
            errno.EAGAIN, top.inodelk, Call(client="two", lk_owner=b"a"), "d", Loc(ROOT_GFID), LockCommand.SET, Flock()
        )
        await top.inodelk(one, "d", loc, LockCommand.SET, Flock(LockType.UNLOCK))

    assert heard == [(ROOT_GFID, "d", None, "one")]


async def test_a_stale_entry_of_the_heal_index_can_be_dropped() -> None:
    async with opened() as (memory, bench):
        gfid = await bench.file()
        await bench.top.setxattr(bench.call(), Loc(gfid), {MARK: ONE})
        key = "glusterfs.xattrop_index_gfid"
        index = Gfid((await bench.top.getxattr(bench.call(), Loc(ROOT_GFID), key)).values[key])
        assert (await bench.iatt(index)).is_dir
        await bench.top.unlink(bench.call(), at(index, gfid.text.encode()))
        assert await bench.names(index) == []
        refused(errno.ENOENT, memory.unlink, bench.call(), at(index, gfid.text.encode()))
        refused(errno.ENOENT, memory.unlink, bench.call(), at(index, b"no gfid"))
        refused(errno.EPERM, memory.mkdir, bench.making(), at(index, b"d"), 0o755, 0)
        refused(errno.EPERM, memory.setxattr, bench.call(), Loc(index), {"trusted.a": b"1"})


async def test_an_object_may_be_made_anew_while_somebody_has_the_old_one_open() -> None:
    async with opened() as (memory, bench):
        fd = await bench.created()
        await bench.top.writev(bench.call(), fd, b"OLD", 0)
        await bench.top.unlink(bench.call(), at(ROOT_GFID, b"file"))
        again = bench.new_fd(fd.gfid)
        await bench.top.create(bench.making(fd.gfid), at(ROOT_GFID, b"file"), os.O_RDWR, 0o644, 0, again)
        await bench.top.writev(bench.call(), again, b"NEW!", 0)

        assert bytes((await bench.top.readv(bench.call(), fd, 10, 0)).data) == b"OLD"
        assert await bench.contents(fd.gfid) == b"NEW!"
        bench.close(fd)
        assert contents(memory)["/file"] == b"NEW!"
        assert memory.store.pages == 1


async def test_an_fd_is_opened_once() -> None:
    async with opened() as (memory, bench):
        gfid = await bench.file()
        fd = await bench.opened(gfid)

        refused(errno.EINVAL, memory.open, bench.call(), Loc(gfid), os.O_RDONLY, fd)


async def test_only_files_and_directories_are_opened() -> None:
    async with opened() as (memory, bench):
        link = await bench.symlink()
        fifo = (await memory.mknod(bench.making(), at(ROOT_GFID, b"p"), 0o010600, 0, 0)).iatt.gfid

        refused(errno.ELOOP, memory.open, bench.call(), Loc(link), os.O_RDONLY, Fd(link))
        refused(errno.ENXIO, memory.open, bench.call(), Loc(fifo), os.O_RDONLY, Fd(fifo))


async def test_after_a_loss_of_power_the_brick_is_suspect_until_the_system_trusts_it() -> None:
    async with opened() as (memory, bench):
        memory.crash()
        memory.restart()
        assert memory.lookup(Call(), ROOT_LOC).value.xdata is None

        memory.crash("synced")
        memory.restart()

        assert memory.lookup(Call(), ROOT_LOC).value.xdata == {SUSPECT_KEY: 1}
        assert memory.lookup(Call(xdata={"list-xattr": 1}), ROOT_LOC).value.xdata == {SUSPECT_KEY: 1}
        gfid = await bench.file(b"f")
        assert memory.lookup(Call(), Loc(gfid)).value.xdata is None
        for call, loc, value, code in (
            (Call(), ROOT_LOC, b"0", errno.EPERM),
            (Call(pid=-6), ROOT_LOC, b"1", errno.EINVAL),
            (Call(pid=-6), Loc(gfid), b"0", errno.EINVAL),
        ):
            with pytest.raises(OSError) as caught:
                memory.setxattr(call, loc, {SUSPECT_KEY: value})
            assert caught.value.errno == code
        memory.setxattr(Call(pid=-6), ROOT_LOC, {SUSPECT_KEY: b"0"})
        assert memory.lookup(Call(), ROOT_LOC).value.xdata is None
