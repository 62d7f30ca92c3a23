"""Two clients of some copies, who lock one file, in virtual time."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest

from volgraph.graph import Coming, Fd, Flock, LockCommand, LockType, NewAttributes
from volgraph.testing.loop import BACKENDS, run
from volgraph.testing.stage import Person

SET, WAIT, GET = LockCommand.SET, LockCommand.WAIT, LockCommand.GET
WHOLE = Flock(LockType.WRITE)
UNLOCK = Flock(LockType.UNLOCK)
SECONDS_MAX = 600


def in_virtual_time(play: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is run by the simulated loops of both backends."""

    @pytest.mark.parametrize("backend", BACKENDS)
    def test(backend: str) -> None:
        async def bounded() -> None:
            with anyio.fail_after(SECONDS_MAX):
                await play()

        run(bounded, 0, backend)

    test.__name__, test.__doc__ = play.__name__, play.__doc__
    return test


async def refusal(answer: Awaitable[object]) -> int:
    """The errno of a fop; 0 if it succeeds."""
    try:
        await answer
    except OSError as error:
        return error.errno or errno.EIO
    return 0


async def lock(person: Person, fd: Fd, flock: Flock = WHOLE, command: LockCommand = SET) -> int:
    return await refusal(person.afr.lk(person.call, fd, command, flock))


async def go(child: int, *people: Person) -> None:
    for person in people:
        person.connections[child].go_down()
    await anyio.sleep(0.1)


async def come(child: int, *people: Person) -> None:
    for person in people:
        person.connections[child].come_up()
    await anyio.sleep(0.1)


async def both(one: Person, two: Person) -> tuple[Fd, Fd]:
    """A file that both have open."""
    return await one.make(b"f", b"text"), await two.open(b"f")


def held_by(person: Person, fd: Fd) -> list[int]:
    """How many locks this client holds, brick by brick."""
    return [sum(lock.owner == person.call.lk_owner for lock in b.locks.holders(fd.gfid)) for b in person.bricks]


async def is_lost(person: Person, fd: Fd) -> bool:
    """Is everything that goes through it EBADFD? Else nothing is."""
    call, afr = person.call, person.afr
    fops: list[Callable[[], Awaitable[Any]]] = [
        lambda: afr.readv(call, fd, 1, 0),
        lambda: afr.writev(call, fd, b"T", 0),
        lambda: afr.ftruncate(call, fd, 4),
        lambda: afr.fsync(call, fd),
        lambda: afr.fsetattr(call, fd, NewAttributes(mode=0o644)),
        lambda: afr.fstat(call, fd),
        lambda: afr.lk(call, fd, GET, WHOLE),
        lambda: afr.lk(call.owned_by(b"another"), fd, SET, UNLOCK),
    ]
    told = {await refusal(fop()) for fop in fops}
    assert told in ({0}, {errno.EBADFD})
    return told == {errno.EBADFD}


def waiting(person: Person, fd: Fd, flock: Flock = WHOLE) -> Coming[int]:
    return person.afr.tasks.start(lock(person, fd, flock, WAIT))
