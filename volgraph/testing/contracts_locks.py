"""Contracts: inodelk, entrylk and fcntl locks."""

from __future__ import annotations

import errno
import os

import anyio.lowlevel

from ..graph import ROOT_GFID, Capability, EntryLockCommand, Flock, Loc, LockCommand, LockType
from ..translators.storage.lock_table import WITHDRAW_KEY
from .contract import Chapter
from .fop_bench import OTHER, FopBench, at, holds, same

locks = Chapter()

GET, SET, WAIT = LockCommand
READ, WRITE, UNLOCK = LockType
LOCK, RELEASE, TRY = EntryLockCommand

DOMAIN = "conformance"


@locks(needs=Capability.LOCKS)
async def an_inodelk_excludes_other_owners_until_it_is_given_back(bench: FopBench) -> None:
    mine, theirs = bench.call(), bench.call(OTHER)
    loc = Loc(await bench.file())
    await bench.top.inodelk(mine, DOMAIN, loc, SET, Flock(WRITE))
    await bench.refuses(errno.EAGAIN, bench.top.inodelk, theirs, DOMAIN, loc, SET, Flock(READ))
    await bench.top.inodelk(theirs, "another domain", loc, SET, Flock(WRITE))
    await bench.top.inodelk(mine, DOMAIN, loc, SET, Flock(UNLOCK))
    await bench.top.inodelk(theirs, DOMAIN, loc, SET, Flock(READ))
    await bench.top.inodelk(mine, DOMAIN, loc, SET, Flock(READ))


@locks(needs=Capability.LOCKS)
async def inodelks_on_ranges_that_do_not_meet_are_independent(bench: FopBench) -> None:
    mine, theirs = bench.call(), bench.call(OTHER)
    fd = await bench.created()
    await bench.top.finodelk(mine, DOMAIN, fd, SET, Flock(WRITE, 0, 10))
    await bench.top.finodelk(theirs, DOMAIN, fd, SET, Flock(WRITE, 10, 0))
    await bench.refuses(errno.EAGAIN, bench.top.finodelk, theirs, DOMAIN, fd, SET, Flock(WRITE, 9, 1))
    await bench.top.inodelk(theirs, DOMAIN, Loc(fd.gfid), SET, Flock(UNLOCK, 10, 0))


@locks(needs=Capability.LOCKS)
async def an_owner_may_lock_again_and_unlocks_as_often(bench: FopBench) -> None:
    mine, theirs = bench.call(), bench.call(OTHER)
    loc = Loc(await bench.file())
    await bench.top.inodelk(mine, DOMAIN, loc, SET, Flock(WRITE))
    await bench.top.inodelk(mine, DOMAIN, loc, WAIT, Flock(WRITE))
    await bench.top.inodelk(mine, DOMAIN, loc, SET, Flock(UNLOCK))
    await bench.refuses(errno.EAGAIN, bench.top.inodelk, theirs, DOMAIN, loc, SET, Flock(WRITE))
    await bench.top.inodelk(mine, DOMAIN, loc, SET, Flock(UNLOCK))
    await bench.refuses(errno.EINVAL, bench.top.inodelk, mine, DOMAIN, loc, SET, Flock(UNLOCK))


@locks(needs=Capability.LOCKS)
async def a_blocked_inodelk_is_granted_when_the_holder_lets_go(bench: FopBench) -> None:
    mine, theirs = bench.call(), bench.call(OTHER)
    loc = Loc(await bench.file())
    await bench.top.inodelk(mine, DOMAIN, loc, SET, Flock(WRITE))
    waiting = bench.start(bench.top.inodelk(theirs, DOMAIN, loc, WAIT, Flock(WRITE)))
    await bench.refuses(errno.EAGAIN, bench.top.inodelk, bench.call(b"third"), DOMAIN, loc, SET, Flock(WRITE))
    holds(not waiting.settled, "granted while another holds it")
    await bench.top.inodelk(mine, DOMAIN, loc, SET, Flock(UNLOCK))
    await waiting
    await bench.refuses(errno.EAGAIN, bench.top.inodelk, mine, DOMAIN, loc, SET, Flock(WRITE))
    await bench.top.inodelk(theirs, DOMAIN, loc, SET, Flock(UNLOCK))


@locks(needs=Capability.LOCKS, brick=True)
async def an_unlock_withdraws_a_request_that_waits(bench: FopBench) -> None:
    mine, theirs = bench.call(), bench.call(OTHER)
    loc = Loc(await bench.file())
    await bench.top.inodelk(mine, DOMAIN, loc, SET, Flock(WRITE))
    waiting = bench.start(bench.top.inodelk(theirs, DOMAIN, loc, WAIT, Flock(WRITE)))
    await counted(bench, loc, "glusterfs.inodelk-count", 2)
    await bench.top.inodelk(theirs, DOMAIN, loc, SET, Flock(UNLOCK))
    try:
        await waiting
    except OSError as error:
        same(errno.errorcode.get(error.errno or 0), "ECANCELED", "what the request was answered with")
    else:
        holds(False, "the request was granted")
    await bench.top.inodelk(mine, DOMAIN, loc, SET, Flock(UNLOCK))
    await bench.top.inodelk(mine, DOMAIN, loc, SET, Flock(WRITE))


async def counted(bench: FopBench, loc: Loc, key: str, count: int) -> None:
    """Wait until so many locks are held and waited for: a fop on its way has arrived by then."""
    while ((await bench.top.lookup(bench.asking(key), loc)).xdata or {}).get(key) != count:
        await anyio.lowlevel.checkpoint()


@locks(needs=Capability.LOCKS, brick=True)
async def whoever_holds_and_waits_for_more_can_give_up_waiting_alone(bench: FopBench) -> None:
    mine, theirs = bench.call(), bench.call(OTHER)
    loc = Loc(await bench.file())
    await bench.top.inodelk(mine, DOMAIN, loc, SET, Flock(READ))
    await bench.top.inodelk(theirs, DOMAIN, loc, SET, Flock(READ))
    waiting = bench.start(bench.top.inodelk(theirs, DOMAIN, loc, WAIT, Flock(WRITE)))
    await counted(bench, loc, "glusterfs.inodelk-count", 3)
    await bench.top.inodelk(bench.call(OTHER, xdata={WITHDRAW_KEY: 1}), DOMAIN, loc, SET, Flock(UNLOCK))
    try:
        await waiting
    except OSError as error:
        same(errno.errorcode.get(error.errno or 0), "ECANCELED", "what the request was answered with")
    await bench.refuses(errno.EAGAIN, bench.top.inodelk, mine, DOMAIN, loc, SET, Flock(WRITE))
    await bench.top.inodelk(theirs, DOMAIN, loc, SET, Flock(UNLOCK))
    await bench.top.inodelk(mine, DOMAIN, loc, SET, Flock(WRITE))


@locks(needs=Capability.LOCKS)
async def a_lock_has_an_owner(bench: FopBench) -> None:
    fd = await bench.created()
    nobody = bench.call(bytes(8))
    await bench.refuses(errno.EINVAL, bench.top.lk, nobody, fd, SET, Flock(WRITE))


@locks(needs=Capability.LOCKS, brick=True)
async def an_fcntl_lock_asks_for_an_fd_that_could_do_what_it_keeps_others_from(bench: FopBench) -> None:
    gfid = await bench.file()
    reading, writing = await bench.opened(gfid, os.O_RDONLY), await bench.opened(gfid, os.O_WRONLY)
    await bench.refuses(errno.EBADF, bench.top.lk, bench.call(), reading, SET, Flock(WRITE))
    await bench.refuses(errno.EBADF, bench.top.lk, bench.call(), writing, SET, Flock(READ))
    await bench.top.lk(bench.call(), reading, SET, Flock(READ))
    await bench.top.lk(bench.call(), reading, GET, Flock(WRITE))
    await bench.top.lk(bench.call(), writing, SET, Flock(WRITE))
    await bench.top.lk(bench.call(), reading, SET, Flock(UNLOCK))


@locks(needs=Capability.LOCKS, brick=True)
async def an_fd_that_is_released_gives_back_what_was_locked_through_it(bench: FopBench) -> None:
    fd = await bench.created()
    other = await bench.opened(fd.gfid)
    await bench.top.lk(bench.call(), fd, SET, Flock(WRITE))
    waiting = bench.start(bench.top.lk(bench.call(OTHER), other, WAIT, Flock(WRITE)))
    await counted(bench, Loc(fd.gfid), "glusterfs.posixlk-count", 2)
    bench.close(fd)
    await waiting
    asked = {"glusterfs.posixlk-count": 1, f"glusterfs.inodelk-dom-prefix:{DOMAIN}": 1}
    found = (await bench.top.lookup(bench.call(xdata=asked), Loc(fd.gfid))).xdata
    same(found, {"glusterfs.posixlk-count": 1, f"glusterfs.inodelk-dom-prefix:{DOMAIN}": 0}, "counts")


@locks(needs=Capability.LOCKS)
async def an_entrylk_covers_one_name_or_all(bench: FopBench) -> None:
    mine, theirs = bench.call(), bench.call(OTHER)
    loc = Loc(await bench.directory())
    await bench.top.entrylk(mine, DOMAIN, loc, b"a", TRY, WRITE)
    await bench.top.entrylk(theirs, DOMAIN, loc, b"b", TRY, WRITE)
    await bench.refuses(errno.EAGAIN, bench.top.entrylk, theirs, DOMAIN, loc, b"a", TRY, WRITE)
    await bench.refuses(errno.EAGAIN, bench.top.entrylk, theirs, DOMAIN, loc, None, TRY, WRITE)
    await bench.top.entrylk(mine, DOMAIN, loc, b"a", RELEASE, WRITE)
    await bench.top.entrylk(theirs, DOMAIN, loc, None, LOCK, WRITE)
    await bench.refuses(errno.EINVAL, bench.top.entrylk, mine, DOMAIN, loc, b"a", RELEASE, WRITE)


@locks(needs=Capability.LOCKS)
async def a_blocked_entrylk_is_granted_when_the_holder_lets_go(bench: FopBench) -> None:
    mine, theirs = bench.call(), bench.call(OTHER)
    fd = await bench.opened_directory()
    await bench.top.fentrylk(mine, DOMAIN, fd, b"n", TRY, WRITE)
    waiting = bench.start(bench.top.fentrylk(theirs, DOMAIN, fd, b"n", LOCK, WRITE))
    await bench.refuses(errno.EAGAIN, bench.top.fentrylk, bench.call(b"third"), DOMAIN, fd, b"n", TRY, WRITE)
    holds(not waiting.settled, "granted while another holds it")
    await bench.top.fentrylk(mine, DOMAIN, fd, b"n", RELEASE, WRITE)
    await waiting
    await bench.top.fentrylk(theirs, DOMAIN, fd, b"n", RELEASE, WRITE)


@locks(needs=Capability.LOCKS)
async def the_lock_of_an_object_that_is_gone_can_be_given_back(bench: FopBench) -> None:
    gfid = await bench.directory(b"d")
    await bench.top.entrylk(bench.call(), DOMAIN, Loc(gfid), None, TRY, WRITE)
    await bench.top.rmdir(bench.call(), at(ROOT_GFID, b"d"))
    await bench.top.entrylk(bench.call(), DOMAIN, Loc(gfid), None, RELEASE, WRITE)


@locks(needs=Capability.LOCKS)
async def nothing_is_locked_where_there_is_no_object(bench: FopBench) -> None:
    loc = Loc(bench.new_gfid())
    await bench.refuses(errno.ESTALE, bench.top.inodelk, bench.call(), DOMAIN, loc, SET, Flock(WRITE))
    await bench.refuses(errno.ESTALE, bench.top.entrylk, bench.call(), DOMAIN, loc, b"n", TRY, WRITE)


@locks(needs=Capability.LOCKS, brick=True)
async def locks_are_counted_in_xdata(bench: FopBench) -> None:
    gfid = await bench.file(b"f")
    await bench.top.inodelk(bench.call(), DOMAIN, Loc(gfid), SET, Flock(WRITE))
    await bench.top.entrylk(bench.call(), DOMAIN, Loc(ROOT_GFID), b"f", TRY, WRITE)
    asked = {"glusterfs.inodelk-count": 1, "glusterfs.inodelk-dom-count": DOMAIN, "glusterfs.parent-entrylk": 1}
    reply = await bench.top.lookup(bench.call(xdata=asked), at(ROOT_GFID, b"f"))
    same(reply.xdata, dict.fromkeys(asked, 1), "counts")
    found = (await bench.top.lookup(bench.asking("glusterfs.entrylk-count"), Loc(ROOT_GFID))).xdata
    same(found, {"glusterfs.entrylk-count": 1}, "count of entry locks")


@locks(needs=Capability.LOCKS, brick=True)
async def the_locks_of_a_client_that_goes_are_given_to_others(bench: FopBench) -> None:
    loc = Loc(await bench.file())
    leaving = bench.call(client="leaving")
    await bench.top.inodelk(leaving, DOMAIN, loc, SET, Flock(WRITE))
    waiting = bench.start(bench.top.inodelk(bench.call(client="staying"), DOMAIN, loc, WAIT, Flock(WRITE)))
    bench.top.disconnect("leaving")
    await waiting
    bench.top.disconnect("staying")


@locks(needs=Capability.LOCKS)
async def an_fcntl_lock_excludes_other_owners_and_getlk_names_it(bench: FopBench) -> None:
    mine, theirs = bench.call(), bench.call(OTHER)
    fd = await bench.created()
    await bench.top.lk(mine, fd, SET, Flock(WRITE, 5, 10, pid=9))
    await bench.refuses(errno.EAGAIN, bench.top.lk, theirs, fd, SET, Flock(READ, 0, 0))
    found = (await bench.top.lk(theirs, fd, GET, Flock(WRITE, 0, 0))).flock
    same((found.type, found.start, found.length, found.pid), (WRITE, 5, 10, 9), "the lock in the way")
    found = (await bench.top.lk(theirs, fd, GET, Flock(WRITE, 15, 0))).flock
    same(found.type, UNLOCK, "where none is in the way")
    await bench.top.lk(mine, fd, SET, Flock(UNLOCK, 7, 1))
    await bench.top.lk(theirs, fd, SET, Flock(WRITE, 7, 1))


@locks(needs=Capability.LOCKS)
async def fcntl_locks_are_given_back_when_the_file_is_closed(bench: FopBench) -> None:
    mine, theirs = bench.call(), bench.call(OTHER)
    fd = await bench.created()
    await bench.top.lk(mine, fd, SET, Flock(WRITE))
    waiting = bench.start(bench.top.lk(theirs, fd, WAIT, Flock(WRITE)))
    await bench.refuses(errno.EAGAIN, bench.top.lk, bench.call(b"third"), fd, SET, Flock(WRITE))
    holds(not waiting.settled, "granted while another holds it")
    await bench.top.flush(mine, fd)
    await waiting
