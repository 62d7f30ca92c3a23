"""storage/memory with faults: bits that flip, space that ends, calls that fail as planned."""

import errno
import random

import pytest

from tests.translators.storage.memory_stores import opened
from volgraph.graph import ROOT_GFID, Call, Fd, Gfid, Loc, XattropKind
from volgraph.testing.fop_bench import at
from volgraph.translators.storage.memory import Fault, Faults, MemoryStore
from volgraph.translators.storage.memory import memory as memory_module

pytestmark = pytest.mark.anyio

MARK = "trusted.afr.other"
ONE = b"\0\0\0\1" + bytes(8)


async def test_a_flipped_bit_is_one_bit_of_what_is_read_before_and_after_a_crash() -> None:
    async with opened(MemoryStore()) as (memory, bench):
        gfid = await bench.file(b"f", b"A" * 10_000)
        await bench.file(b"empty")
        memory.fsync(Call(), Fd(gfid))
        memory.fsyncdir(Call(), Fd(ROOT_GFID))
        before = memory.image()["/f"].content
        flipped = memory.store.flip_bit(random.Random(3))
        assert flipped is not None
        found = memory.image()["/f"].content

        assert flipped[0] == gfid
        assert [at for at in range(10_000) if found[at] != before[at]] == [flipped[1]]
        assert (found[flipped[1]] ^ ord("A")).bit_count() == 1
        memory.crash("synced")
        memory.restart()
        assert memory.image()["/f"].content == found
        assert memory.store.flip_bit(random.Random(3), Gfid(b"x" * 16)) is None


async def test_the_space_for_xattrs_is_limited() -> None:
    async with opened(MemoryStore(xattr_bytes_max=100)) as (memory, bench):
        gfid = await bench.file()
        memory.setxattr(Call(), Loc(gfid), {"user.a": bytes(60)})
        for fop, args in (
            (memory.setxattr, (Loc(gfid), {"user.b": bytes(60)})),
            (memory.xattrop, (Loc(gfid), XattropKind.ADD_ARRAY, {MARK * 2: ONE})),
            (memory.mkdir, (at(ROOT_GFID, b"d"), 0o755, 0)),
        ):
            with pytest.raises(OSError) as caught:
                fop(bench.making(xattrs={"user.long": bytes(100)}), *args)
            assert caught.value.errno == errno.ENOSPC
        memory.setxattr(Call(), Loc(gfid), {"user.a": bytes(80)})
        memory.removexattr(Call(), Loc(gfid), "user.a")
        memory.setxattr(Call(), Loc(gfid), {"user.b": bytes(60)})


async def test_planned_calls_fail_before_or_after_they_act_or_write_half() -> None:
    plan = {3: Fault(errno.EIO), 4: Fault(errno.EIO, done=True), 5: Fault(0)}
    store = MemoryStore(faults=Faults(plan))
    async with opened(store) as (memory, bench):
        gfid = await bench.file(b"f", b"DATA")  # calls 1 and 2
        for number in (3, 4):
            with pytest.raises(OSError) as caught:
                await memory.truncate(Call(), Loc(gfid), 10 - number)
            assert caught.value.errno == errno.EIO
        assert memory.image()["/f"].content == b"DATA\0\0"
        assert (await memory.writev(Call(), Fd(gfid), b"WHOLE", 0)).count == 3
        assert memory.image()["/f"].content == b"WHOA\0\0"
    async with opened(store) as (memory, _):
        await memory.lookup(Call(), Loc(gfid))
        assert store.faults is not None
        assert store.faults.calls == 6


async def test_without_faults_every_fop_is_the_class_s_own() -> None:
    async with opened(MemoryStore()) as (memory, _):
        assert "writev" not in vars(memory)
        assert memory.writev.__func__ is memory_module.Memory.writev  # type: ignore[attr-defined]
