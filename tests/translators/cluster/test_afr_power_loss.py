"""Mirrors of bricks that lose their power: what was fsynced is there, and nothing that differs goes unnoticed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.translators.cluster.bench import QUIET, Bench, Switch, afr_of
from volgraph.graph import ROOT_GFID, Call, Fd, Gfid, Graph, Loc
from volgraph.translators.cluster.afr import Afr
from volgraph.translators.cluster.afr.changelog import COUNTERS
from volgraph.translators.cluster.afr.suspects import SUSPECT_KEY, TRUSTED
from volgraph.translators.cluster.unify import Unify
from volgraph.translators.storage.memory import Memory, MemoryStore

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def mirror(stores: Sequence[MemoryStore]) -> AsyncIterator[Bench]:
    bricks = [Memory(f"m{number}", store=store) for number, store in enumerate(stores)]
    switches = [Switch(f"b{number}", (brick,)) for number, brick in enumerate(bricks)]
    async with Graph(Afr("mirror", switches, **QUIET)) as graph:
        yield Bench(graph, graph.top, switches, bricks)


def lose_power(bench: Bench, *losers: int) -> None:
    for loser in losers:
        bench.switches[loser].turn(False)
        bench.bricks[loser].crash("synced")
    for loser in losers:
        bench.bricks[loser].restart()
        bench.switches[loser].turn(True)


async def pin(bench: Bench, child: int, gfid: Gfid, *, is_dir: bool = False) -> None:
    """What one copy has of an object is on its disk."""
    brick, fd = bench.bricks[child], Fd(gfid, is_dir=is_dir)
    await (brick.fsyncdir if is_dir else brick.fsync)(Call(), fd)


async def blame(bench: Bench, child: int, gfid: Gfid, other: int, *counters: int) -> None:
    value = COUNTERS.pack(*counters)
    await bench.bricks[child].setxattr(Call(), Loc(gfid), {f"trusted.afr.b{other}": value})


@pytest.mark.parametrize("losers", [(0,), (1,), (0, 1)])
async def test_bricks_that_lose_power_right_after_their_first_use_are_known_still(losers: tuple[int, ...]) -> None:
    async with mirror([MemoryStore(), MemoryStore()]) as bench:
        lose_power(bench, *losers)

        assert afr_of(bench).up == {0, 1}
        assert not afr_of(bench).known.reasons


async def test_a_child_that_was_accepted_is_known_after_a_loss_of_power() -> None:
    stores = [MemoryStore(), MemoryStore()]
    async with mirror(stores):
        pass
    async with mirror([stores[0], MemoryStore()]) as bench:
        await afr_of(bench).accept("b1")
        lose_power(bench, 1)

        assert afr_of(bench).up == {0, 1}


async def test_what_copies_that_all_lost_power_differ_in_is_found_and_healed() -> None:
    """Names, bytes, sizes, modes and xattrs that one disk had got to and the other had not; no mark speaks of them."""
    async with mirror([MemoryStore(), MemoryStore()]) as bench:
        for name in ("bytes", "size", "mode", "xattr", "same"):
            await bench.write(name, b"12345678")
            for child in (0, 1):
                await pin(bench, child, (await bench.find(name)).gfid)
        for child in (0, 1):
            await pin(bench, child, ROOT_GFID, is_dir=True)
        first, gfids = bench.bricks[0], {name: (await bench.find(name)).gfid for name in await bench.names()}
        await first.writev(Call(), Fd(gfids["bytes"]), b"other", 0)
        await first.writev(Call(), Fd(gfids["size"]), b"more", 8)
        await first.setxattr(Call(), Loc(gfids["xattr"]), {"user.a": b"1"})
        first.store.inodes[gfids["mode"]].restat(st_mode=0o100600)
        for gfid in gfids.values():
            await pin(bench, 0, gfid)
        await bench.write("name", b"")
        await pin(bench, 0, ROOT_GFID, is_dir=True)
        lose_power(bench, 0, 1)
        assert not bench.images_equal()
        assert not any(bench.marks())

        report = await afr_of(bench).heal(full=True)

        assert report.clean, report
        assert bench.images_equal()
        assert not any(bench.marks())
        assert gfids["same"] not in {item.gfid for item in report.healed}
        assert bench.bricks[1].image()["/size"].content == b"12345678more"
        assert "name" in await bench.names()
        assert not any(brick.store.suspect for brick in bench.bricks)


async def test_a_suspect_that_blames_a_stale_copy_owes_to_the_good_one_all_the_same() -> None:
    async with mirror([MemoryStore(), MemoryStore(), MemoryStore()]) as bench:
        await bench.write("lost", b"text")
        for child in (0, 1):  # the third has missed something, and both say so
            await blame(bench, child, ROOT_GFID, 2, 1, 0, 1)
        await pin(bench, 0, ROOT_GFID, is_dir=True)
        await bench.unlink("lost")
        lose_power(bench, 0)
        assert "/lost" in bench.bricks[0].image()

        report = await afr_of(bench).heal(full=True)

        assert report.clean, report
        assert bench.images_equal()
        assert not await bench.names()


async def test_a_suspect_that_knows_better_of_contents_knows_no_better_of_attributes() -> None:
    async with mirror([MemoryStore(), MemoryStore()]) as bench:
        await bench.write("f", b"text")
        gfid = (await bench.find("f")).gfid
        await blame(bench, 0, gfid, 1, 1, 0, 0)
        for child in (0, 1):
            await pin(bench, child, gfid)
            await pin(bench, child, ROOT_GFID, is_dir=True)
        await bench.top.setxattr(bench.call, Loc(gfid), {"user.a": b"acked"})
        lose_power(bench, 0)
        assert bench.bricks[0].image()["/f"].xattrs == {}

        report = await afr_of(bench).heal(full=True)

        assert report.clean, report
        assert [brick.image()["/f"].xattrs for brick in bench.bricks] == [{"user.a": b"acked"}] * 2


async def overwrite(bench: Bench) -> None:
    fd = await bench.open("f", os.O_RDWR)
    await bench.top.writev(bench.call, fd, b"TEXT", 0)
    await bench.top.flush(bench.call, fd)
    bench.top.release(fd)


async def describe(bench: Bench) -> None:
    await bench.top.setxattr(bench.call, Loc((await bench.find("f")).gfid), {"user.a": b"1"})


async def add_a_name(bench: Bench) -> None:
    name = "new" if "new" not in await bench.names() else "newer"
    await bench.write(name, b"")


@pytest.mark.parametrize("change", [overwrite, describe, add_a_name])
async def test_blame_of_a_copy_that_was_healed_does_not_come_back_with_a_loss_of_power(
    change: Callable[[Bench], Awaitable[None]],
) -> None:
    """It would stand against the blame for what the brick that lost its power has missed: split-brain."""
    async with mirror([MemoryStore(), MemoryStore()]) as bench:
        await bench.write("f", b"text")
        for child in (0, 1):
            await pin(bench, child, ROOT_GFID, is_dir=True)
        with bench.without(0):
            await change(bench)
            for gfid in bench.bricks[1].store.marks():
                await pin(bench, 1, gfid, is_dir=gfid == ROOT_GFID)
        assert (await afr_of(bench).heal()).clean
        with bench.without(1):
            bench.bricks[1].crash("synced")
            assert not bench.bricks[1].store.marks()

            await change(bench)
            bench.bricks[1].restart()

        report = await afr_of(bench).heal(full=True)
        assert report.clean, report
        assert bench.images_equal()


async def test_names_and_attributes_are_on_the_disk_that_was_healed_before_it_is_absolved() -> None:
    """Nothing that was fsynced where it was made may be undone by the copy that it was healed to."""
    async with mirror([MemoryStore(), MemoryStore()]) as bench:
        await bench.write("f", b"text")
        await bench.write("gone", b"")
        gfid = (await bench.find("f")).gfid
        for child in (0, 1):
            await pin(bench, child, gfid)
            await pin(bench, child, ROOT_GFID, is_dir=True)
        with bench.without(0):
            await bench.unlink("gone")
            await describe(bench)
            await pin(bench, 1, gfid)
            await pin(bench, 1, ROOT_GFID, is_dir=True)
        assert (await afr_of(bench).heal()).clean

        lose_power(bench, 0, 1)

        assert "/gone" not in bench.bricks[0].image()
        assert bench.bricks[0].image()["/f"].xattrs == {"user.a": b"1"}
        assert bench.images_equal()


async def test_a_pair_that_lost_what_it_acked_alone_is_healed_from_the_other_pair() -> None:
    """Its two bricks are alike again, and bear no mark: only the afr above can find what is missing."""
    bricks = [Memory(f"m{number}") for number in range(4)]
    switches = [Switch(f"b{number}", (brick,)) for number, brick in enumerate(bricks)]
    pairs = [Afr(name, two, **QUIET) for name, two in (("left", switches[:2]), ("right", switches[2:]))]
    async with Graph(Afr("top", pairs, **QUIET)) as graph:
        assert await graph.up(5)
        bench = Bench(graph, graph.top, switches, bricks)
        await bench.write("f", b"text")
        for child in range(4):
            await pin(bench, child, (await bench.find("f")).gfid)
            await pin(bench, child, ROOT_GFID, is_dir=True)
        switches[1].turn(False)
        await bench.top.writev(bench.call, await bench.open("f"), b"more", 4)
        await bench.top.flush(bench.call, await bench.open("f"))
        lose_power(bench, 0)
        switches[1].turn(True)
        await graph.heard_from_all(5)
        assert [brick.image()["/f"].content for brick in bricks[:2]] == [b"text", b"text"]

        assert await bench.read("f") == b"textmore"
        for node in (*pairs, afr_of(bench)):
            report = await node.heal(full=True)
            assert report.clean, report

        assert bench.images_equal()
        assert not any(brick.store.suspect for brick in bricks)


@asynccontextmanager
async def unify_below_a_mirror() -> AsyncIterator[tuple[Bench, Afr, Afr]]:
    """top over (pool over (pair over b0, b1) and b2, namespace b3) and b4."""
    bricks = [Memory(f"m{number}") for number in range(5)]
    switches = [Switch(f"b{number}", (brick,)) for number, brick in enumerate(bricks)]
    pair = Afr("pair", switches[:2], self_heal_daemon=False)
    pool = Unify("pool", [pair, switches[2]], namespace=switches[3])
    top = Afr("top", [pool, switches[4]], self_heal_daemon=False)
    async with Graph(top) as graph:
        await graph.heard_from_all(5)
        bench = Bench(graph, top, switches, bricks)
        for name in ("f", "g"):  # one on the pair, one on the brick beside it
            await bench.write(name, b"text")
            for child in range(5):
                if f"/{name}" in bricks[child].image():
                    await pin(bench, child, (await bench.find(name)).gfid)
        for child in range(5):
            await pin(bench, child, ROOT_GFID, is_dir=True)
        yield bench, pair, top


async def add_more(bench: Bench) -> None:
    for name in ("f", "g"):
        await bench.top.writev(bench.call, await bench.open(name), b"more", 4)
        await bench.top.flush(bench.call, await bench.open(name))


async def check_healed(bench: Bench, *nodes: Afr) -> None:
    for name in ("f", "g"):
        assert await bench.read(name) == b"textmore"
    for node in nodes:
        report = await node.heal(full=True)
        assert report.clean, report
    assert not any(brick.store.suspect for brick in bench.bricks)
    assert not nodes[-1].suspects.children
    for brick in (bench.bricks[0], bench.bricks[1]):
        assert brick.image()["/f"].content == b"textmore"
    assert bench.bricks[2].image()["/g"].content == b"textmore"


async def test_what_a_pair_below_a_unify_has_lost_is_healed_from_beside_the_unify() -> None:
    async with unify_below_a_mirror() as (bench, pair, top):
        with bench.without(1):
            await add_more(bench)
            lose_power(bench, 0)
        await bench.graph.heard_from_all(5)
        assert [bench.bricks[copy].image()["/f"].content for copy in (0, 1)] == [b"text", b"text"]
        assert top.suspects.children == {0}

        await check_healed(bench, pair, top)


@pytest.mark.parametrize("loser", [2, 3], ids=["a child", "the namespace"])
async def test_a_unify_is_suspect_where_one_of_its_bricks_is(loser: int) -> None:
    async with unify_below_a_mirror() as (bench, pair, top):
        await add_more(bench)
        lose_power(bench, loser)
        await bench.graph.heard_from_all(5)
        assert top.suspects.children == {0}

        await check_healed(bench, pair, top)


async def test_a_suspect_below_a_unify_that_is_away_is_not_trusted_with_the_others() -> None:
    async with unify_below_a_mirror() as (bench, _, top):
        lose_power(bench, 2, 3)
        with bench.without(2):
            await bench.graph.heard_from_all(5)
            await top.children[0].setxattr(Call(pid=-6), Loc(ROOT_GFID), {SUSPECT_KEY: TRUSTED})
            assert [brick.store.suspect for brick in bench.bricks] == [False, False, True, False, False]

        await bench.graph.heard_from_all(5)
        assert top.suspects.children == {0}
        with pytest.raises(PermissionError):
            await top.children[0].setxattr(Call(), Loc(ROOT_GFID), {SUSPECT_KEY: TRUSTED})


async def test_copies_that_differ_are_healed_though_another_copy_is_missing() -> None:
    """A file, and one in a directory that is missing as a whole."""
    async with mirror([MemoryStore(), MemoryStore(), MemoryStore()]) as bench:
        for child in range(3):
            await pin(bench, child, ROOT_GFID, is_dir=True)
        inside = await bench.mkdir("d")
        for path in ("f", "d/f"):
            await bench.write(path, b"12345678")
            gfid = (await bench.find(path)).gfid
            await bench.bricks[1].writev(Call(), Fd(gfid), b"other678", 0)
            for child in (0, 1):
                await pin(bench, child, gfid)
        for child in (0, 1):
            await pin(bench, child, inside, is_dir=True)
            await pin(bench, child, ROOT_GFID, is_dir=True)
        lose_power(bench, 0, 1, 2)
        assert not bench.bricks[2].image().keys() & {"/f", "/d"}
        assert not any(bench.marks())

        report = await afr_of(bench).heal(full=True)

        assert report.clean, report
        assert bench.images_equal()
        assert bench.bricks[2].image().keys() >= {"/f", "/d/f"}
        assert not any(bench.marks())


async def test_what_good_copies_differ_in_is_in_doubt_though_a_mark_speaks_of_a_third() -> None:
    """The first has missed something of everything, and the second says so; of the third nobody says anything."""
    async with mirror([MemoryStore(), MemoryStore(), MemoryStore()]) as bench:
        await bench.write("f", b"12345678")
        gfid = (await bench.find("f")).gfid
        for child, its in ((1, b"one......number1"), (2, b"another..number2")):
            making = Call(xdata={"gfid-req": Gfid(its)})
            await bench.bricks[child].mknod(making, await bench.loc("z"), 0o100644, 0, 0)
        await bench.bricks[2].writev(Call(), Fd(gfid), b"other", 0)
        await bench.bricks[2].setxattr(Call(), Loc(gfid), {"user.a": b"1"})
        await blame(bench, 1, ROOT_GFID, 0, 1, 1, 1)
        await blame(bench, 1, gfid, 0, 1, 1, 0)
        for child in range(3):
            await pin(bench, child, gfid)
            await pin(bench, child, ROOT_GFID, is_dir=True)
        lose_power(bench, 0, 1, 2)

        report = await afr_of(bench).heal(full=True)

        assert report.clean, report
        assert bench.images_equal()
        assert not any(bench.marks())
        assert bench.bricks[0].image()["/f"].content == b"12345678"
        assert bench.bricks[0].image()["/z"].gfid == b"one......number1"


async def test_symlinks_and_devices_that_are_not_the_same_are_told() -> None:
    """No fop can mend them: which one is right, a person decides."""
    async with mirror([MemoryStore(), MemoryStore()]) as bench:
        link = await bench.top.symlink(bench.requesting(), b"here", await bench.loc("link"), 0)
        device = await bench.top.mknod(bench.requesting(), await bench.loc("device"), 0o020600, 1, 0)
        for child in (0, 1):
            for gfid in (link.iatt.gfid, device.iatt.gfid):
                await pin(bench, child, gfid)
            await pin(bench, child, ROOT_GFID, is_dir=True)
        lose_power(bench, 0, 1)
        inodes = bench.bricks[1].store.inodes
        inodes[link.iatt.gfid].target = b"else"
        inodes[device.iatt.gfid].restat(st_rdev=2)

        report = await afr_of(bench).heal(full=True)

        assert {item.gfid for item in report.split_brain} == {link.iatt.gfid, device.iatt.gfid}
        assert all(brick.store.suspect for brick in bench.bricks)
