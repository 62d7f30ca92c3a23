"""A person says that a child is to be filled: a replaced disk, or one more."""

from __future__ import annotations

import errno
import itertools
from typing import Any

import anyio
import pytest

from tests.translators.cluster.bench import afr_of
from tests.translators.cluster.identity_bench import filled, identity, mirror, used
from volgraph.graph import (
    fail,
)
from volgraph.translators.cluster.afr import known_children
from volgraph.translators.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("count", [2, 3])
async def test_a_replaced_disk_is_filled_once_it_is_accepted(count: int) -> None:
    stores = await used(count)
    for place in range(count):
        stores[place] = MemoryStore()
        async with mirror(stores) as bench:
            await filled(bench, f"b{place}")
        async with mirror(stores) as bench:
            assert afr_of(bench).up == set(range(count))


async def test_what_an_accepted_brick_has_had_before_never_wins() -> None:
    """It stood here once, is older than its marks say, and blames the others."""
    stores = await used(2)
    old, stores[1] = stores[1], MemoryStore()
    async with mirror(stores) as bench:
        await filled(bench, "b1")
        await bench.write("d/f", b"newer")
        await bench.write("d/g", b"new")
    stores[1] = old
    for inode in old.inodes.values():
        inode.xattrs["trusted.afr.b0"] = bytes(3) + b"\1" + bytes(3) + b"\1" + bytes(3) + b"\1"
    async with mirror(stores) as bench:
        assert afr_of(bench).up == {0}
        await bench.write("d/f", b"precious")
        await filled(bench, "b1")
        assert await bench.read("d/g") == b"new"


async def test_the_healer_fills_an_accepted_child_by_itself() -> None:
    stores = await used(2)
    stores[0] = MemoryStore()
    async with mirror(stores, self_heal_daemon=True) as bench:
        await afr_of(bench).accept("b0")
        await afr_of(bench).crawler.rest()
        assert bench.images_equal()


@pytest.mark.parametrize("done", range(8))
async def test_an_acceptance_that_was_cut_off_can_be_repeated(done: int) -> None:
    stores = await used(3)
    stores[1] = MemoryStore()
    fops = itertools.count()

    def dies(name: str, args: tuple[Any, ...]) -> OSError | None:
        return fail(errno.EIO) if name in ("xattrop", "setxattr") and next(fops) >= done else None

    async with mirror(stores) as bench:
        for switch in bench.switches:
            switch.refuse = dies
        try:
            await afr_of(bench).accept("b1")
        except OSError:
            assert 1 not in afr_of(bench).up
    async with mirror(stores) as bench:
        assert {0, 2} <= afr_of(bench).up
        await bench.write("d/f", b"precious")
        await filled(bench, "b1")


async def test_other_clients_hear_of_an_acceptance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_children, "RETRY_SECONDS", 0.01)
    stores = await used(2)
    stores[1] = MemoryStore()
    async with mirror(stores) as one, mirror(stores) as other:
        await filled(one, "b1")
        with anyio.fail_after(5):
            while afr_of(other).up != {0, 1}:
                await other.graph.next_change()
        assert afr_of(other).known.reasons == {}


async def test_a_child_is_accepted_only_when_all_others_can_be_asked() -> None:
    stores = await used(3)
    stores[1] = MemoryStore()
    async with mirror(stores, off=[2], quorum_type="none") as bench:
        with pytest.raises(OSError) as caught:
            await afr_of(bench).accept("b1")
        assert caught.value.errno == errno.ENOTCONN
        assert "b2" in str(caught.value)


async def test_a_child_that_is_known_stays_who_it_is_and_is_filled() -> None:
    stores = await used(2)
    before = [identity(store) for store in stores]
    async with mirror(stores) as bench:
        await filled(bench, "b1")
    assert [identity(store) for store in stores] == before


async def test_what_a_known_child_knows_better_is_not_overwritten() -> None:
    async with mirror(await used(2)) as bench:
        with bench.without(0):
            await bench.write("better", b"only b1 has it")
        await filled(bench, "b1")
        assert await bench.read("better") == b"only b1 has it"


async def test_one_more_child_is_accepted_and_filled() -> None:
    stores = [*await used(2), MemoryStore()]
    async with mirror(stores) as bench:
        assert afr_of(bench).up == {0, 1}
        await filled(bench, "b2")
