"""storage/posix keeps the times of GlusterFS's clients (`trusted.glusterfs.mdata`) where a brick bears them."""

import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.translators.storage.bricks import MODES, Hand, running
from volgraph.graph import NOW_NS, ROOT_GFID, Attributes, Call, Fd, Gfid, Loc, NewAttributes
from volgraph.translators.storage.posix.times import KEY, PARENT_SHIFT, Stamp, Times

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif("xattr" not in MODES, reason="NOT RUN: GlusterFS's brick format (needs root)"),
]

BORN = 10**18
"""An hour before anything here is stamped."""
T = BORN + 3600 * 10**9
MADE = Stamp.ALL | Stamp.CONTENTS << PARENT_SHIFT
WRITTEN = Stamp.CONTENTS
NAMED = Stamp.CTIME | Stamp.CONTENTS << PARENT_SHIFT


def stamped(flags: int, at: int, **xdata: Any) -> Call:
    return Call(xdata=xdata or None, stamp_ns=at, stamp_flags=flags)


@asynccontextmanager
async def brick_of_glusterfs(directory: Path, **options: Any) -> AsyncIterator[Hand]:
    """One whose root bears times, as it does from the first lookup of a client that stamps."""
    os.setxattr(directory, KEY, Times(BORN, BORN, BORN).packed())
    async with running(directory, "xattr", **options) as hand:
        yield hand


@pytest.fixture(params=["inline", "worker"])
async def hand(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Hand]:
    async with brick_of_glusterfs(tmp_path, io_mode=request.param) as hand:
        yield hand


def on_disk(hand: Hand, name: str = "f") -> Times | None:
    try:
        return Times.unpacked(os.getxattr(hand.directory / name, KEY, follow_symlinks=False))
    except OSError:
        return None


async def told(hand: Hand, gfid: Gfid) -> Times:
    reply: Attributes = await hand.brick.stat(Call(), Loc(gfid))
    return Times.of_stat(reply.iatt.st)


async def made(hand: Hand, name: bytes = b"f", at: int = T) -> Fd:
    """A file of a client that stamps, left open."""
    fd, gfid = Fd(flags=os.O_RDWR), hand.gfid()
    call = stamped(MADE, at, **{"gfid-req": gfid})
    await hand.brick.create(call, Loc(parent=ROOT_GFID, name=name), os.O_RDWR | os.O_EXCL, 0o644, 0, fd)
    fd.gfid = gfid
    return fd


def test_the_form_is_that_of_glusterfs() -> None:
    written = "01" + "00" * 8 + "000000006b031a640000000009a81457" + 2 * "000000003b9aca00000000001dcd6500"
    times = Times.unpacked(bytes.fromhex(written))

    assert times == Times(1795365476_162010199, 1000000000_500000000, 1000000000_500000000)
    assert times.packed().hex() == written
    assert Times.unpacked(b"\2" + times.packed()[1:]) is None
    assert Times.unpacked(times.packed()[:-1]) is None


async def test_a_brick_without_such_times_neither_keeps_nor_begins_any(tmp_path: Path) -> None:
    async with running(tmp_path, "xattr") as hand:
        fd = await made(hand)
        await hand.brick.writev(stamped(WRITTEN, T + 5), fd, b"x", 0)

        assert on_disk(hand) is None
        assert on_disk(hand, ".") is None
        assert not [fop for fop in vars(hand.brick) if fop in ("stat", "writev")], "they cost it nothing"


async def test_a_stamp_is_what_is_told_of_an_object_and_its_parent(hand: Hand) -> None:
    fd = await made(hand)

    assert on_disk(hand) == await told(hand, fd.gfid) == Times(T, T, T)
    assert on_disk(hand, ".") == await told(hand, ROOT_GFID) == Times(T, T, BORN)
    looked_up = await hand.brick.lookup(Call(), Loc(parent=ROOT_GFID, name=b"f"))
    assert looked_up.postparent is not None
    assert Times.of_stat(looked_up.iatt.st) == Times(T, T, T)
    assert Times.of_stat(looked_up.postparent.st) == Times(T, T, BORN)
    (entry,) = await hand.entries()
    assert entry.iatt is not None
    assert Times.of_stat(entry.iatt.st) == Times(T, T, T)


async def test_pre_and_post_are_the_times_before_and_after(hand: Hand) -> None:
    fd = await made(hand)

    written = await hand.brick.writev(stamped(WRITTEN, T + 7), fd, b"x", 0)

    assert written.pre is not None
    assert written.post is not None
    assert Times.of_stat(written.pre.st) == Times(T, T, T)
    assert Times.of_stat(written.post.st) == Times(T + 7, T + 7, T)
    assert (written.pre.size, written.post.size, written.post.nlink) == (0, 1, 1)


async def test_a_write_that_wants_no_attributes_still_counts(hand: Hand) -> None:
    fd = await made(hand)
    call = stamped(WRITTEN, T + 7)
    call.attributes = False

    await hand.brick.writev(call, fd, b"x", 0)

    assert on_disk(hand) == Times(T + 7, T + 7, T)


async def test_a_client_that_does_not_stamp_leaves_no_frozen_times(hand: Hand) -> None:
    fd = await made(hand)
    before = hand.brick.seams.clock.time_ns()

    await hand.brick.writev(Call(), fd, b"x", 0)
    await hand.file(b"unstamped")

    times = await told(hand, fd.gfid)
    assert times.mtime_ns >= before
    assert (times.ctime_ns, times.atime_ns) == (times.mtime_ns, T)
    assert (await told(hand, ROOT_GFID)).mtime_ns >= before
    assert on_disk(hand, "unstamped") is None, "the file system's own are right"


async def test_healing_sets_no_times_but_those_it_asks_for(hand: Hand) -> None:
    fd = await made(hand)
    healer = Call(pid=-6)

    await hand.brick.writev(healer, fd, b"x", 0)
    assert on_disk(hand) == Times(T, T, T)
    await hand.brick.setattr(healer, Loc(fd.gfid), NewAttributes(mtime_ns=T - 9))
    assert on_disk(hand) == await told(hand, fd.gfid) == Times(T, T - 9, T)


async def test_the_later_of_two_stamps_counts_whichever_comes_first(hand: Hand) -> None:
    fd = await made(hand)

    for at in (T + 9, T + 5):
        await hand.brick.writev(stamped(WRITTEN, at), fd, b"x", 0)

    assert on_disk(hand) == Times(T + 9, T + 9, T)


async def test_times_that_are_set_hold_also_backwards(hand: Hand) -> None:
    fd = await made(hand)

    reply = await hand.brick.fsetattr(stamped(Stamp.CTIME, T + 3), fd, NewAttributes(mtime_ns=123, atime_ns=NOW_NS))

    times = on_disk(hand)
    assert times is not None
    assert (times.ctime_ns, times.mtime_ns) == (T + 3, 123)
    assert times.atime_ns == (hand.directory / "f").stat().st_atime_ns > T
    assert reply.post is not None
    assert Times.of_stat(reply.post.st) == times


async def test_times_before_1970_are_kept(hand: Hand) -> None:
    fd = await made(hand)
    await hand.brick.setattr(Call(), Loc(fd.gfid), NewAttributes(atime_ns=-1, mtime_ns=-3 * 10**9 + 5))
    times = await told(hand, fd.gfid)

    assert (times.atime_ns, times.mtime_ns) == (-1, -3 * 10**9 + 5)
    assert on_disk(hand) == times


async def test_names_that_come_and_go_touch_object_and_parents(hand: Hand) -> None:
    fd = await made(hand)
    call = stamped(MADE, T, **{"gfid-req": hand.gfid()})
    folder = (await hand.brick.mkdir(call, Loc(parent=ROOT_GFID, name=b"d"), 0o755, 0)).iatt.gfid

    await hand.brick.link(stamped(NAMED, T + 1), Loc(fd.gfid), Loc(parent=folder, name=b"second"))
    assert (on_disk(hand), on_disk(hand, "d")) == (Times(T + 1, T, T), Times(T + 1, T + 1, T))
    old, new = Loc(parent=folder, name=b"second"), Loc(parent=ROOT_GFID, name=b"third")
    renamed = await hand.brick.rename(stamped(NAMED, T + 2), old, new)
    assert Times.of_stat(renamed.iatt.st) == on_disk(hand) == Times(T + 2, T, T)
    assert (on_disk(hand, "d"), on_disk(hand, ".")) == (Times(T + 2, T + 2, T), Times(T + 2, T + 2, BORN))
    await hand.brick.unlink(stamped(NAMED, T + 3), new)
    assert (on_disk(hand), on_disk(hand, ".")) == (Times(T + 3, T, T), Times(T + 3, T + 3, BORN))
    await hand.brick.rmdir(stamped(NAMED, T + 4), Loc(parent=ROOT_GFID, name=b"d"))
    assert on_disk(hand, ".") == Times(T + 4, T + 4, BORN)


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFLNK])
async def test_what_is_neither_file_nor_directory_bears_times_too(hand: Hand, kind: int) -> None:
    call, loc = stamped(MADE, T, **{"gfid-req": hand.gfid()}), Loc(parent=ROOT_GFID, name=b"f")
    if kind == stat.S_IFLNK:
        reply = await hand.brick.symlink(call, b"target", loc, 0)
    else:
        reply = await hand.brick.mknod(call, loc, kind | 0o644, 0, 0)

    assert Times.of_stat(reply.iatt.st) == on_disk(hand) == Times(T, T, T)
    assert stat.S_IFMT(reply.iatt.mode) == kind


async def test_a_file_that_lost_its_name_keeps_its_times_while_it_is_open(hand: Hand) -> None:
    fd = await made(hand)
    await hand.brick.unlink(stamped(NAMED, T + 1), Loc(parent=ROOT_GFID, name=b"f"))

    written = await hand.brick.writev(stamped(WRITTEN, T + 2), fd, b"x", 0)

    assert written.post is not None
    assert Times.of_stat(written.post.st) == Times(T + 2, T + 2, T)
    hand.brick.release(fd)


async def test_an_object_made_again_does_not_inherit_what_was_remembered(hand: Hand) -> None:
    fd = await made(hand)
    hand.brick.release(fd)
    loc = Loc(parent=ROOT_GFID, name=b"f")
    await hand.brick.unlink(Call(), loc)

    again = Call(xdata={"gfid-req": fd.gfid})
    reply = await hand.brick.mknod(again, loc, stat.S_IFREG | 0o644, 0, 0)

    assert reply.iatt.mtime_ns > T
    assert on_disk(hand) is None


async def test_reading_moves_the_atime_once_after_each_change(hand: Hand) -> None:
    fd = await made(hand)
    await hand.brick.writev(stamped(WRITTEN, T + 1), fd, b"x", 0)

    for at in (T + 5, T + 6):
        await hand.brick.readv(stamped(Stamp.ATIME, at), fd, 1, 0)

    assert on_disk(hand) == Times(T + 1, T + 1, T + 5)


async def test_opening_for_create_what_is_there_changes_no_times(hand: Hand) -> None:
    first = await made(hand)
    call = stamped(MADE, T + 9, **{"gfid-req": hand.gfid()})

    fd = Fd(flags=os.O_RDWR)
    await hand.brick.create(call, Loc(parent=ROOT_GFID, name=b"f"), os.O_RDWR, 0o644, 0, fd)

    assert on_disk(hand) == await told(hand, first.gfid) == Times(T, T, T)
    assert on_disk(hand, ".") == Times(T, T, BORN)


async def test_ctime_off_tells_those_of_the_file_system(tmp_path: Path) -> None:
    async with brick_of_glusterfs(tmp_path, ctime=False) as hand:
        fd = await made(hand)

        assert (await told(hand, fd.gfid)).mtime_ns == (tmp_path / "f").stat().st_mtime_ns
        assert on_disk(hand) is None


async def test_times_outlive_the_brick_that_kept_them(tmp_path: Path) -> None:
    async with brick_of_glusterfs(tmp_path) as hand:
        gfid = (await made(hand)).gfid
    async with running(tmp_path) as hand:
        assert await told(hand, gfid) == Times(T, T, T)
