"""Locks on several children: nothing is left behind, and nobody waits in a circle."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import anyio
import pytest

from tests.translators.cluster.bench import Bench, Gate, afr_of, awaiting, locks_left, mirror
from volgraph.graph import (
    ROOT_GFID,
    Call,
    Done,
    EntryLockCommand,
    Fd,
    Flock,
    Gfid,
    Graph,
    Loc,
    LockCommand,
    LockType,
)
from volgraph.translators.cluster.afr import Afr
from volgraph.translators.storage.lock_table import LockTable
from volgraph.translators.storage.memory import Memory

pytestmark = pytest.mark.anyio

OTHER = Call(client="other", lk_owner=b"other")
ME = Call(client="me", lk_owner=b"me")


async def lock_first_brick(bench: Bench, domain: str, gfid: Gfid) -> None:
    """Somebody else is in the way, on the first brick only."""
    await bench.bricks[0].inodelk(OTHER, domain, Loc(gfid), LockCommand.SET, Flock())


async def settled(bench: Bench) -> None:
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def until_waiting(bench: Bench, child: int = 0) -> None:
    with anyio.fail_after(5):
        while not bench.bricks[child].locks.waiting:
            await anyio.lowlevel.checkpoint()


# --- locks of callers above ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["unlock", "disconnect"])
async def test_who_gives_up_waiting_on_one_child_does_not_get_the_lock_on_the_next(leave: str) -> None:
    async with mirror() as bench:
        await bench.write("f", b"x")
        gfid = (await bench.find("f")).gfid
        await lock_first_brick(bench, "app", gfid)
        errors: list[int | None] = []

        async def wait() -> None:
            try:
                await bench.top.inodelk(ME, "app", Loc(gfid), LockCommand.WAIT, Flock())
            except OSError as error:
                errors.append(error.errno)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await until_waiting(bench)
            if leave == "unlock":
                await bench.top.inodelk(ME, "app", Loc(gfid), LockCommand.SET, Flock(LockType.UNLOCK))
            else:
                bench.top.disconnect("me")

        assert errors == [errno.ECANCELED]
        assert locks_left(bench) == 1  # the other one's


async def test_a_lock_that_nobody_gave_up_is_granted_on_all() -> None:
    async with mirror() as bench:
        gfid = await bench.mkdir("d")
        await lock_first_brick(bench, "app", gfid)
        async with anyio.create_task_group() as group:
            group.start_soon(awaiting, bench.top.inodelk, ME, "app", Loc(gfid), LockCommand.WAIT, Flock())
            await until_waiting(bench)
            bench.bricks[0].disconnect("other")

        assert [brick.locks.held for brick in bench.bricks] == [1, 1]


LOCK_FOPS = ["lk", "inodelk", "entrylk"]


async def lock_everywhere(bench: Bench, fop: str, call: Call, fd: Fd, wait: bool = False) -> None:
    command = LockCommand.WAIT if wait else LockCommand.SET
    if fop == "lk":
        await bench.top.lk(call, fd, command, Flock(LockType.WRITE, 0, 10))
    elif fop == "inodelk":
        await bench.top.inodelk(call, "app", Loc(fd.gfid), command, Flock())
    else:
        names = EntryLockCommand.LOCK if wait else EntryLockCommand.TRY
        await bench.top.entrylk(call, "app", Loc(ROOT_GFID), b"f", names, LockType.WRITE)


@pytest.mark.parametrize("fop", LOCK_FOPS)
async def test_who_is_cancelled_while_it_waits_for_a_lock_leaves_the_queue(fop: str) -> None:
    async with mirror() as bench:
        fd = await bench.create("f")
        await lock_everywhere(bench, fop, OTHER, fd)
        async with anyio.create_task_group() as group:
            group.start_soon(lock_everywhere, bench, fop, ME, fd, True)
            await until_waiting(bench)
            group.cancel_scope.cancel()
        await settled(bench)

        assert [brick.locks.held for brick in bench.bricks] == [1, 1]
        assert [brick.locks.waiting for brick in bench.bricks] == [0, 0]


async def test_who_is_cancelled_while_it_waits_on_one_child_gives_back_what_another_has_granted() -> None:
    async with mirror() as bench:
        fd = await bench.create("f")
        await bench.bricks[1].inodelk(OTHER, "app", Loc(fd.gfid), LockCommand.SET, Flock())
        async with anyio.create_task_group() as group:
            group.start_soon(lock_everywhere, bench, "inodelk", ME, fd, True)
            await until_waiting(bench, 1)
            assert bench.bricks[0].locks.held
            group.cancel_scope.cancel()
        await settled(bench)

        assert locks_left(bench) == 1


@pytest.mark.parametrize("fop", LOCK_FOPS)
@pytest.mark.parametrize("wait", [False, True])
async def test_a_lock_that_is_granted_after_its_caller_was_cancelled_is_given_back(fop: str, wait: bool) -> None:
    async with mirror() as bench:
        fd = await bench.create("f")
        gate = Gate(bench.switches[1], fop)
        async with anyio.create_task_group() as group:
            group.start_soon(lock_everywhere, bench, fop, ME, fd, wait)
            await gate.arrival()
            group.cancel_scope.cancel()
        gate.open()
        await settled(bench)

        assert locks_left(bench) == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_is_cancelled_in_the_moment_of_the_last_grant_holds_nothing(anyio_backend: str) -> None:
    async with mirror() as bench:
        fd = await bench.create("f")
        for rounds in range(12):
            gate = Gate(bench.switches[1], "lk")
            task = asyncio.ensure_future(lock_everywhere(bench, "lk", ME, fd))
            await gate.arrival()
            gate.open()
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                await settled(bench)
                assert locks_left(bench) == 0, rounds
            else:
                break
        assert 0 < rounds < 11, "cancelled at each step until it had ended"


# --- locks of changes ------------------------------------------------------------------------------------------------


async def test_a_client_that_is_gone_leaves_its_change_the_locks_until_it_has_ended() -> None:
    async with mirror() as bench:
        fd = await bench.create("f")
        gate = Gate(bench.switches[1], "writev")
        async with gate.holding(bench.top.writev, bench.call, fd, b"x", 0):
            bench.top.disconnect(bench.call.client)
            assert [brick.locks.held for brick in bench.bricks] == [1, 1]
            gate.open()
        await bench.top.flush(bench.call, fd)

        assert locks_left(bench) == 0


async def test_a_cancelled_change_that_waits_for_a_lock_leaves_the_queue_at_once() -> None:
    async with mirror() as bench:
        fd = await bench.create("f")
        await lock_first_brick(bench, "mirror", fd.gfid)
        async with anyio.create_task_group() as group:
            group.start_soon(awaiting, bench.top.writev, bench.call, fd, b"x", 0)
            await until_waiting(bench)
            group.cancel_scope.cancel()
        await settled(bench)

        assert locks_left(bench) == 1
        assert bench.marks() == [{}, {}]


async def test_a_bug_in_a_child_surfaces_and_leaves_neither_lock_nor_doubt() -> None:
    async with mirror() as bench:
        fd = await bench.create("f")

        def broken(name: str, args: tuple[Any, ...]) -> None:
            if name == "writev":
                raise ZeroDivisionError

        bench.switches[1].refuse = broken
        with pytest.raises(ZeroDivisionError):
            await bench.top.writev(bench.call, fd, b"x", 0)
        await bench.top.flush(bench.call, fd)

        assert locks_left(bench) == 0
        assert bench.marks()[0] == {"trusted.afr.b1": (1, 0, 0)}


async def test_an_owner_of_one_name_gets_another_before_those_who_wait_for_the_first() -> None:
    """A rename holds one name and wants a second; whoever waits for the whole directory waits for it."""
    table, directory = LockTable(), Gfid(bytes(range(16)))
    lock, unlock = EntryLockCommand.LOCK, EntryLockCommand.UNLOCK
    renaming, whole = Call(lk_owner=b"renaming"), Call(lk_owner=b"whole")
    await table.entrylk(OTHER, "d", directory, b"a", lock, LockType.WRITE)
    first = table.entrylk(renaming, "d", directory, b"a", lock, LockType.WRITE)
    rest = table.entrylk(whole, "d", directory, None, lock, LockType.WRITE)
    await table.entrylk(OTHER, "d", directory, b"a", unlock, LockType.WRITE)
    await first
    second = table.entrylk(renaming, "d", directory, b"b", lock, LockType.WRITE)

    assert isinstance(second, Done)
    for name in (b"a", b"b"):
        await table.entrylk(renaming, "d", directory, name, unlock, LockType.WRITE)
    await rest


# --- locks of healers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("how", ["task", "timeout", "scope"])
async def test_a_heal_cancelled_while_it_waits_leaves_no_lock(how: str, anyio_backend: str) -> None:
    async with mirror() as bench:
        await bench.write("f", b"old")
        with bench.without(1):
            await bench.write("f", b"new")
        await lock_first_brick(bench, "mirror", (await bench.find("f")).gfid)
        if how == "task":
            task = asyncio.ensure_future(afr_of(bench).heal())
            await until_waiting(bench)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        elif how == "timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await afr_of(bench).heal()
        else:
            with anyio.move_on_after(0.02):
                await afr_of(bench).heal()
        await settled(bench)

        assert locks_left(bench) == 1
        bench.bricks[0].disconnect("other")
        assert (await afr_of(bench).heal()).clean


# --- afrs of one name ------------------------------------------------------------------------------------------------


async def test_an_afr_over_one_of_the_same_name_does_not_start() -> None:
    inner = Afr("mirror", [Memory("a"), Memory("b")])
    with pytest.raises(OSError, match="same name"):
        async with Graph(Afr("mirror", [inner, Memory("c")])):
            pass


async def test_a_caller_above_may_not_lock_in_the_domain_of_the_afr_itself() -> None:
    async with mirror() as bench:
        for domain in ("mirror", "mirror:self-heal"):
            with pytest.raises(OSError) as caught:
                await bench.top.entrylk(ME, domain, Loc(ROOT_GFID), b"n", EntryLockCommand.LOCK, LockType.WRITE)
            assert caught.value.errno == errno.EINVAL
            assert "another name" in caught.value.__notes__[0]

        assert locks_left(bench) == 0
