"""An afr is a child like any other: trees of copies."""

from __future__ import annotations

import errno
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.translators.cluster.bench import Bench, Switch
from volgraph.graph import ROOT_GFID, Call, Fd, Graph, Loc, NewAttributes, Translator, XattropKind, fail
from volgraph.translators.cluster.afr import Afr, HealReport
from volgraph.translators.cluster.afr.changelog import Kind, packed
from volgraph.translators.storage.memory import Memory

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def binary_tree(**options: Any) -> AsyncIterator[Bench]:
    """top over (left over b0, b1) and (right over b2, b3)."""
    options |= {"self_heal_daemon": False, "known_children": False}
    bricks = [Memory(f"m{number}") for number in range(4)]
    switches = [Switch(f"b{number}", (brick,)) for number, brick in enumerate(bricks)]
    left, right = Afr("left", switches[:2], **options), Afr("right", switches[2:], **options)
    top = Afr("top", [left, right], **options)
    async with Graph(top) as graph:
        yield Bench(graph, top, switches, bricks)


async def heal_everything(bench: Bench) -> None:
    for afr in bench.graph.find(Afr):  # children first: the leaves are alike before an upper level compares
        report = await afr.heal()
        assert report.clean, (afr.name, report)


async def healed_twice(bench: Bench) -> list[HealReport]:
    """What was settled from above is told by the afr below in its second round."""
    for _ in range(2):
        reports = [await afr.heal() for afr in bench.graph.find(Afr)]
    return reports


async def test_a_write_reaches_all_four_leaves() -> None:
    async with binary_tree() as bench:
        await bench.mkdir("d")
        await bench.write("d/f", b"hello")

        assert bench.images_equal()
        for afr in reversed(bench.graph.find(Afr)):  # those above keep marks on those below
            await afr.rest()
        assert not any(bench.marks())


async def test_each_level_has_a_dirty_key_of_its_own() -> None:
    async with binary_tree() as bench:
        keys = [afr.keys.dirty for afr in bench.graph.find(Afr)]

        assert keys == ["trusted.afr.dirty", "trusted.afr.dirty", "trusted.afr.top.dirty"]


@pytest.mark.parametrize("gone", [[0], [3], [0, 1], [0, 2], [1, 2, 3], [0, 1, 2]])
async def test_any_one_leaf_left_is_enough_and_all_are_healed(gone: list[int]) -> None:
    async with binary_tree() as bench:
        await bench.mkdir("d")
        await bench.write("d/f", b"old")
        await bench.write("d/gone", b"x")
        for number in gone:
            bench.switches[number].turn(False)
        await bench.write("d/f", b"new")
        await bench.mkdir("e")
        await bench.rename("d/gone", "e/kept")
        assert await bench.read("d/f") == b"new"
        for number in gone:
            bench.switches[number].turn(True)
        assert await bench.read("d/f") == b"new"
        await heal_everything(bench)

        assert bench.images_equal()
        assert not any(bench.marks())


async def test_no_leaf_left_is_enotconn() -> None:
    async with binary_tree() as bench:
        for switch in bench.switches:
            switch.turn(False)
        with pytest.raises(OSError) as caught:
            await bench.mkdir("d")

        assert caught.value.errno == errno.ENOTCONN


async def test_a_key_of_its_own_is_refused_and_hidden() -> None:
    async with binary_tree() as bench:
        left: Translator = bench.graph.node("left")
        root = Loc(await bench.mkdir("d"))
        with pytest.raises(OSError) as caught:
            await left.xattrop(Call(), root, XattropKind.ADD_ARRAY, {"trusted.afr.dirty": bytes(12)})
        assert caught.value.errno == errno.EINVAL
        assert "afr-dirty-xattr" in caught.value.__notes__[0]
        with pytest.raises(PermissionError):
            await left.setxattr(Call(), root, {"trusted.afr.b0": bytes(12)})


async def test_what_is_on_record_above_counts_though_no_copy_below_is_good_in_everything() -> None:
    """The left pair alone knows that the right one missed a write. Of its two copies, one has missed that record, and
    the other one the bytes: so both are needed, and nothing is read until they are healed."""
    async with binary_tree() as bench:
        await bench.write("f", b"old")
        fd = await bench.open("f")
        b0, b1, b2, b3 = bench.switches
        for switch in (b2, b3):
            switch.refuse = lambda name, args: fail(errno.EIO, "right")

        def deaf(name: str, args: tuple[Any, ...]) -> OSError | None:
            return fail(errno.EIO, "b1") if name == "fxattrop" and any(args[-1].get("trusted.afr.right", b"")) else None

        b1.refuse = deaf
        await bench.top.writev(bench.call, fd, b"new", 0)
        for switch in (b1, b2, b3):
            switch.refuse = lambda name, args: None
        b0.refuse = lambda name, args: fail(errno.EIO, "b0") if name == "fsync" else None
        await bench.top.flush(bench.call, fd)
        b0.refuse = lambda name, args: None

        with pytest.raises(OSError) as refused:
            await bench.read("f")
        assert refused.value.errno == errno.EIO
        await heal_everything(bench)
        assert await bench.read("f") == b"new"
        assert bench.images_equal()


async def test_strict_reads_of_a_pair_that_may_have_lost_something_do_not_keep_it_from_being_healed_from_above() -> (
    None
):
    """Its first copy, which is needed for any quorum, has lost its power."""
    bricks = [Memory(f"b{number}") for number in range(4)]
    options: dict[str, Any] = {"quorum_type": "auto", "strict_reads": True, "self_heal_daemon": False}
    pairs = [Afr(name, two, **options) for name, two in (("left", bricks[:2]), ("right", bricks[2:]))]
    top = Afr("top", pairs, **options)
    async with Graph(top) as graph:
        await graph.heard_from_all(5)
        bench = Bench(graph, top, [], bricks)
        await bench.write("f", b"text")
        bricks[2].crash("synced")
        await bench.write("g", b"more")
        bricks[2].restart()
        for afr in graph.find(Afr):
            await afr.heal(full=True)

        assert not any(brick.store.suspect for brick in bricks)
        assert bench.images_equal()
        assert not any(bench.marks())
        assert await bench.read("f") == b"text"


async def test_what_was_settled_below_is_looked_at_anew_before_it_is_copied() -> None:
    """Of a write of unknown outcome one copy alone has grown; the other one is what the pair shows of it."""
    async with binary_tree(read_hash_mode=0) as bench:
        await bench.write("f", b"old")
        gfid = (await bench.find("f")).gfid
        left = bench.bricks[:2]
        await left[1].writev(Call(), Fd(gfid), b" and new", 3)
        for brick, key in [
            *((brick, "trusted.afr.dirty") for brick in left),
            *((b, "trusted.afr.top.dirty") for b in bench.bricks),
        ]:
            await brick.xattrop(Call(), Loc(gfid), XattropKind.ADD_ARRAY, {key: packed(Kind.DATA, 1)})
        report = await bench.graph.find(Afr)[2].heal()
        assert report.clean, report

        assert bench.images_equal()
        assert await bench.read("f") == b"old and new"


# --- split-brain in a pair, of which another pair has a whole copy ----------------------------------------------------


async def torn(bench: Bench) -> Fd:
    """Each copy of the right pair has missed a write that the other has; the left pair has both."""
    await bench.write("f", b"....")
    fd = await bench.open("f")
    for gone, data, place in ((3, b"one", 0), (2, b"two", 1)):
        bench.switches[gone].turn(False)
        await bench.top.writev(bench.call, fd, data, place)
        await bench.top.flush(bench.call, fd)
        bench.switches[gone].turn(True)
    report = await (right := bench.graph.find(Afr)[1]).heal()
    assert right.name == "right"
    assert [item.gfid for item in report.split_brain] == [fd.gfid]
    return fd


@pytest.mark.parametrize("then", ["nothing", "a write"])
async def test_a_pair_in_split_brain_is_healed_from_the_pair_that_missed_nothing(then: str) -> None:
    async with binary_tree() as bench:
        fd = await torn(bench)
        if then == "a write":
            await bench.top.writev(bench.call, fd, b"w", 0)
        afrs = bench.graph.find(Afr)
        reports = [await afr.heal() for afr in afrs]
        assert reports[2].clean, reports[2]

        assert await bench.read("f") == (b"otwo" if then == "nothing" else b"wtwo")
        assert bench.images_equal()
        assert not any(bench.marks())
        for afr in afrs:
            assert (await afr.heal()).clean


async def test_attributes_in_split_brain_in_a_pair_are_healed_from_the_pair_that_missed_nothing() -> None:
    async with binary_tree() as bench:
        gfid = await bench.mkdir("d")
        for gone, mode in ((3, 0o700), (2, 0o711)):
            bench.switches[gone].turn(False)
            await bench.top.setattr(bench.call, Loc(gfid), NewAttributes(mode=mode))
            bench.switches[gone].turn(True)
        reports = await healed_twice(bench)

        assert all(report.clean for report in reports)
        assert bench.images_equal()
        assert not any(bench.marks())


async def test_attributes_in_split_brain_in_a_pair_are_healed_and_what_one_copy_alone_doubts_is_not_forgotten() -> None:
    """Before it missed new attributes, the last brick alone took a write whose client died."""
    async with binary_tree(read_hash_mode=0) as bench:
        await bench.write("f", b"old")
        fd, others, last = await bench.open("f"), bench.switches[:3], bench.switches[3]
        for switch in others:
            switch.turn(False)
        written: list[str] = []
        last.refuse = lambda name, args: fail(errno.ENOTCONN, "dead") if "writev" in written else written.append(name)
        with pytest.raises(OSError):
            await bench.top.writev(bench.call, fd, b"new and more", 0)
        last.turn(False)
        last.refuse = lambda name, args: None
        for switch in others:
            switch.turn(True)
        await bench.top.setattr(bench.call, Loc(fd.gfid), NewAttributes(mode=0o711))
        last.turn(True)
        reports = await healed_twice(bench)

        assert all(report.clean for report in reports)
        assert bench.images_equal()
        assert not any(bench.marks())


async def test_copies_in_split_brain_are_left_alone_while_one_beside_them_is_away() -> None:
    """That one missed nothing, and says so itself when it is back: no more than that the others know less than it."""
    bricks = [Memory(f"m{number}") for number in range(4)]
    switches = [Switch(f"b{number}", (brick,)) for number, brick in enumerate(bricks)]
    options: dict[str, Any] = {"self_heal_daemon": False, "known_children": False, "quorum_type": "none"}
    top = Afr("top", (switches[0], Afr("right", switches[1:], **options)), **options)
    async with Graph(top) as graph:
        bench = Bench(graph, top, switches, bricks)
        gfid = await bench.mkdir("d")
        for gone, mode in (((2,), 0o700), ((1,), 0o711), ((0, 1, 2), 0o755)):
            for number in gone:
                switches[number].turn(False)
            await top.setattr(bench.call, Loc(gfid), NewAttributes(mode=mode))
            for number in gone:
                switches[number].turn(True)
        with bench.without(3):
            for afr in graph.find(Afr):
                await afr.heal()
        reports = await healed_twice(bench)

        assert all(report.clean for report in reports), reports
        assert (await top.stat(bench.call, Loc(gfid))).iatt.mode & 0o777 == 0o755
        assert bench.images_equal()
        assert not any(bench.marks())


async def test_nothing_is_healed_from_a_pair_of_which_one_copy_is_away_that_may_know_better() -> None:
    """The other copy of the left pair says that the right one has missed a write; but that has another one."""
    async with binary_tree() as bench:
        await bench.write("f", b"....")
        b0, b1, b2, b3 = bench.switches
        for gone, data, place in (((b0, b2, b3), b"one", 0), ((b1,), b"two", 1)):
            for switch in gone:
                switch.turn(False)
            fd = await bench.open("f")
            await bench.top.writev(bench.call, fd, data, place)
            await bench.top.flush(bench.call, fd)
            for switch in gone:
                switch.turn(True)
        with bench.without(0):
            for afr in bench.graph.find(Afr):
                await afr.heal()
        reports = await healed_twice(bench)

        assert reports[0].split_brain
        held = [brick.store.inodes[fd.gfid].contents.read(0, 4) for brick in bench.bricks]
        assert held == [b".two", b"one.", b".two", b".two"]


async def test_a_pair_in_split_brain_is_left_alone_where_it_alone_has_something() -> None:
    """One of its copies took a write while the other pair was away, and only that copy says so."""
    async with binary_tree() as bench:
        b0, b1, b2, b3 = bench.switches
        await bench.write("f", b"....")
        for gone, data in (((b0, b1, b2), b"one"), ((b3,), b"two")):
            for switch in gone:
                switch.turn(False)
            fd = await bench.open("f")
            await bench.top.writev(bench.call, fd, data, 0)
            await bench.top.flush(bench.call, fd)
            for switch in gone:
                switch.turn(True)
        held = [brick.store.inodes[fd.gfid].contents.read(0, 4) for brick in bench.bricks]
        reports = await healed_twice(bench)

        assert reports[1].split_brain
        with pytest.raises(OSError, match="Input/output error"):
            await bench.read("f")
        assert [brick.store.inodes[fd.gfid].contents.read(0, 4) for brick in bench.bricks] == held
        assert held == [b"two.", b"two.", b"two.", b"one."]


@pytest.mark.parametrize("fop", range(0, 95, 5))
async def test_a_heal_of_a_pair_in_split_brain_may_end_at_any_fop(fop: int) -> None:
    """What it has begun, the next one ends; until then the file is read as it is in the other pair."""
    async with binary_tree() as bench:
        await torn(bench)
        seen = itertools.count()

        def broken(name: str, args: tuple[Any, ...]) -> OSError | None:
            changes = name in (
                "xattrop",
                "fxattrop",
                "setattr",
                "setxattr",
                "removexattr",
                "writev",
                "ftruncate",
                "fsync",
            )
            return fail(errno.EIO, "broken off") if changes and next(seen) >= fop else None

        for switch in bench.switches:
            switch.refuse = broken
        top = bench.graph.find(Afr)[2]
        await top.heal()
        for switch in bench.switches:
            switch.refuse = lambda name, args: None
        assert await bench.read("f") == b"otwo"
        for _ in range(3):
            reports = [await afr.heal() for afr in bench.graph.find(Afr)]

        assert all(report.clean for report in reports), reports
        assert await bench.read("f") == b"otwo"
        assert bench.images_equal()
        assert not any(bench.marks())


async def test_a_pair_is_trusted_again_only_when_its_own_heal_has_filled_what_lost_its_power() -> None:
    """From above only what the copy shows is seen that has lost nothing."""
    bricks = [Memory(f"b{number}") for number in range(4)]
    options: dict[str, Any] = {"quorum_type": "auto", "self_heal_daemon": False}
    pairs = [Afr(name, two, **options) for name, two in (("left", bricks[:2]), ("right", bricks[2:]))]
    top = Afr("top", pairs, **options)
    async with Graph(top) as graph:
        await graph.heard_from_all(5)
        bench = Bench(graph, top, [], bricks)
        await bench.write("f", b"text")
        gfid = (await bench.find("f")).gfid
        for brick in bricks:
            await brick.fsync(Call(), Fd(gfid))
            await brick.fsyncdir(Call(), Fd(ROOT_GFID, is_dir=True))
        await top.setxattr(bench.call, Loc(gfid), {"user.colour": b"red"})
        await top.rest()
        bricks[2].crash("synced")
        bricks[2].restart()
        assert bricks[2].image() != bricks[3].image()
        assert (await top.heal(full=True)).clean

        assert not any(brick.store.suspect for brick in bricks)
        assert bench.images_equal()
        assert not any(bench.marks())
