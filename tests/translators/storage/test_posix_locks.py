"""storage/posix: locks. The table itself has tests of its own."""

import errno
from pathlib import Path

import pytest

from tests.translators.storage.bricks import fails, in_both_modes, running
from volgraph.graph import ROOT_GFID, Call, Coming, EntryLockCommand, Fd, Flock, Loc, LockCommand, LockType

pytestmark = [pytest.mark.anyio, in_both_modes]


async def test_locks_exclude_other_owners_and_end_with_their_client(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        gfid = await hand.file(b"f")
        one, two = Call(client="one", lk_owner=b"1"), Call(client="two", lk_owner=b"1")
        whole = Flock(LockType.WRITE)
        await brick.inodelk(one, "dom", Loc(gfid), LockCommand.SET, whole)
        await brick.entrylk(one, "dom", Loc(ROOT_GFID), b"f", EntryLockCommand.TRY, LockType.WRITE)
        with fails(errno.EAGAIN):
            brick.finodelk(two, "dom", Fd(gfid), LockCommand.SET, whole)
        with fails(errno.EAGAIN):
            brick.fentrylk(two, "dom", Fd(ROOT_GFID), b"f", EntryLockCommand.TRY, LockType.WRITE)
        waiting = brick.inodelk(two, "dom", Loc(gfid), LockCommand.WAIT, whole)
        assert isinstance(waiting, Coming)
        assert not waiting.settled
        brick.disconnect("one")
        await waiting
        await brick.inodelk(two, "dom", Loc(gfid), LockCommand.SET, Flock(LockType.UNLOCK))
        with fails(errno.ESTALE):
            brick.inodelk(one, "dom", Loc(hand.gfid()), LockCommand.SET, whole)


async def test_flush_gives_back_the_owners_fcntl_locks(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        fd = await hand.opened(await hand.file(b"f"))
        one, two = Call(client="one", lk_owner=b"1"), Call(client="two", lk_owner=b"2")
        await hand.brick.lk(one, fd, LockCommand.SET, Flock(LockType.WRITE))
        with fails(errno.EAGAIN):
            hand.brick.lk(two, fd, LockCommand.SET, Flock(LockType.WRITE))
        await hand.brick.flush(one, fd)
        await hand.brick.lk(two, fd, LockCommand.SET, Flock(LockType.WRITE))
        hand.brick.release(fd)
