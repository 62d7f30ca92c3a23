"""Bricks that lost their power are not relied upon beside one that did not, until all has been copied to them."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from tests.translators.cluster.bench import QUIET, Bench, Switch, afr_of
from volgraph.graph import (
    ROOT_GFID,
    ROOT_LOC,
    Acknowledged,
    Call,
    Done,
    Fd,
    Graph,
    Loc,
    LookedUp,
    State,
    Translator,
    fail,
)
from volgraph.translators.cluster.afr import Afr
from volgraph.translators.cluster.afr.changelog import COUNTERS
from volgraph.translators.cluster.afr.suspects import SUSPECT_KEY, TRUSTED
from volgraph.translators.storage.memory import Memory, MemoryStore

pytestmark = pytest.mark.anyio


@attrs.define(eq=False)
class LostPower(Translator):
    """Stands for a brick after a loss of power: its root says so, until it is told that it is trusted."""

    suspect: bool = True

    def lookup(self, call: Call, loc: Loc) -> Any:
        answer: Any = self.child.lookup(call, loc)
        if not self.suspect or loc.gfid != ROOT_GFID:
            return answer
        reply: LookedUp = answer.value
        return Done(LookedUp(reply.iatt, reply.postparent, {**(reply.xdata or {}), SUSPECT_KEY: 1}))

    def setxattr(self, call: Call, loc: Loc, values: Mapping[str, bytes], flags: int = 0) -> Any:
        if SUSPECT_KEY not in values:
            return self.child.setxattr(call, loc, values, flags)
        assert (call.pid < 0, loc.gfid, dict(values)) == (True, ROOT_GFID, {SUSPECT_KEY: TRUSTED})
        self.suspect = False
        return Done(Acknowledged())


def brick(name: str, store: MemoryStore, suspect: bool) -> tuple[Switch, LostPower, Memory]:
    memory = Memory(f"{name}-disk", store=store)
    power = LostPower(f"{name}-power", (memory,), suspect=suspect)
    return Switch(name, (power,)), power, memory


@asynccontextmanager
async def mirror(
    stores: Collection[MemoryStore], suspect: Collection[int], **options: Any
) -> AsyncIterator[tuple[Bench, list[LostPower]]]:
    options = QUIET | options
    made = [brick(f"b{number}", store, number in suspect) for number, store in enumerate(stores)]
    top = Afr("mirror", [switch for switch, _, _ in made], **options)
    async with Graph(top) as graph:
        bench = Bench(graph, top, [switch for switch, _, _ in made], [memory for _, _, memory in made])
        yield bench, [power for _, power, _ in made]


async def with_a_loss(count: int, loser: int) -> list[MemoryStore]:
    """The disks of a mirror; one has lost what was written last, and says nothing of it."""
    stores = [MemoryStore() for _ in range(count)]
    async with mirror(stores, ()) as (bench, _):
        await bench.mkdir("d")
        await bench.write("f", b"what was written")
        await bench.write("d/lost", b"a whole file")
        gfid = (await bench.find("f")).gfid
        await bench.bricks[loser].truncate(Call(), Loc(gfid), 4)
        await bench.bricks[loser].unlink(Call(), await bench.loc("d/lost"))
    return stores


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("loser", [0, 1])
async def test_a_suspect_is_not_read_beside_a_child_above_suspicion(loser: int, known: bool) -> None:
    stores = await with_a_loss(2, loser)
    async with mirror(stores, [loser], known_children=known) as (bench, _):
        for _ in range(2):
            assert await bench.read("f") == b"what was written"
            assert await bench.read("d/lost") == b"a whole file"
            assert await bench.names("d") == ["lost"]
        bench.switches[1 - loser].refuse = lambda name, args: fail(errno.EIO) if name == "readv" else None
        with pytest.raises(OSError) as caught:
            await bench.read("f")
        assert caught.value.errno == errno.EIO


async def test_a_suspect_that_is_alone_serves() -> None:
    stores = await with_a_loss(2, 1)
    async with mirror(stores, [1]) as (bench, _):
        with bench.without(0):
            assert await bench.read("f") == b"what"
        assert await bench.read("f") == b"what was written"


async def test_writes_go_to_a_suspect_too_but_none_succeeds_on_suspects_alone() -> None:
    stores = await with_a_loss(2, 1)
    async with mirror(stores, [1]) as (bench, _):
        await bench.write("g", b"new")
        assert bench.bricks[1].image()["/g"].content == b"new"
        bench.switches[0].refuse = lambda name, args: fail(errno.ENOSPC) if name == "writev" else None
        with pytest.raises(OSError) as caught:
            await bench.write("g", b"lost with the next heal")
        assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("loser", [0, 1, 2])
async def test_a_full_heal_copies_everything_to_a_suspect_and_ends_the_suspicion(loser: int) -> None:
    stores = await with_a_loss(3, loser)
    async with mirror(stores, [loser]) as (bench, powers):
        assert (await afr_of(bench).heal()).clean
        assert powers[loser].suspect, "that was no full heal"
        report = await afr_of(bench).heal(full=True)
        assert report.clean, report
        assert not powers[loser].suspect
        assert bench.images_equal()
        assert not any(bench.marks())
        assert bench.bricks[loser].image()["/d/lost"].content == b"a whole file"
        generation = afr_of(bench).generation
        assert not (await afr_of(bench).heal(full=True)).healed
        assert afr_of(bench).generation == generation


async def test_the_healer_does_it_by_itself() -> None:
    stores = await with_a_loss(2, 0)
    async with mirror(stores, [0], self_heal_daemon=True) as (bench, powers):
        await afr_of(bench).crawler.rest()
        assert not powers[0].suspect
        assert bench.images_equal()


async def test_a_heal_that_leaves_something_does_not_end_the_suspicion() -> None:
    stores = await with_a_loss(2, 1)
    async with mirror(stores, [1]) as (bench, powers):
        bench.switches[1].refuse = lambda name, args: fail(errno.ENOSPC) if name == "writev" else None
        assert not (await afr_of(bench).heal(full=True)).clean
        assert powers[1].suspect
        assert await bench.read("f") == b"what was written"
        bench.switches[1].refuse = lambda name, args: None
        assert (await afr_of(bench).heal(full=True)).clean
        assert not powers[1].suspect
        assert bench.images_equal()


async def test_a_suspect_that_knows_of_a_write_that_its_sibling_missed_heals_it() -> None:
    """Its word may be worth less than before: that of a copy which is known to be worse counts for nothing at all."""
    stores = await with_a_loss(2, 1)
    async with mirror(stores, ()) as (bench, _):
        bench.switches[0].turn(False)
        await bench.write("f", b"only here")
    async with mirror(stores, [1]) as (bench, powers):
        assert await bench.read("f") == b"only here"
        assert (await afr_of(bench).heal(full=True)).clean
        assert await bench.read("f") == b"only here"
        assert bench.images_equal()
        assert not powers[1].suspect


@pytest.mark.parametrize("quorum", ["none", "auto"])
async def test_a_suspect_that_knows_better_than_its_sibling_is_read_and_written_before_any_heal(quorum: str) -> None:
    """Its sibling is above suspicion, and known to lack something: of this object it is the only good copy."""
    stores = await with_a_loss(2, 0)
    async with mirror(stores, ()) as (bench, _):
        bench.switches[1].turn(False)
        await bench.write("f", b"only here")
        await bench.write("g", b"and this")
        await bench.top.setxattr(bench.call, await bench.loc("f"), {"user.a": b"1"})
    async with mirror(stores, [0], quorum_type=quorum) as (bench, powers):
        await bench.write("f", b"again")
        await bench.write("h", b"one more")
        await bench.rename("g", "i")
        await bench.top.setxattr(bench.call, await bench.loc("f"), {"user.a": b"2"})
        assert await bench.read("f") == b"again"

        report = await afr_of(bench).heal(full=True)

        assert report.clean, report
        assert bench.images_equal()
        assert sorted(bench.bricks[1].image()) == ["/", "/d", "/d/lost", "/f", "/h", "/i"]
        assert bench.bricks[1].image()["/f"].xattrs == {"user.a": b"2"}
        assert not powers[0].suspect


async def test_what_a_suspect_took_alone_while_its_heal_was_broken_off_stands_against_nothing() -> None:
    """The heal has put nothing on record that says that everything is owed to it: that it says itself."""
    stores = await with_a_loss(2, 0)
    async with mirror(stores, [0]) as (bench, powers):
        bench.switches[1].refuse = lambda name, args: fail(errno.EIO) if name == "readv" else None
        assert not (await afr_of(bench).heal(full=True)).clean
        with bench.without(1):
            await bench.write("f", b"taken alone")
            await bench.write("g", b"taken alone")
            bench.switches[1].refuse = lambda name, args: None

        report = await afr_of(bench).heal(full=True)

        assert report.clean, report
        assert not powers[0].suspect
        assert bench.images_equal()
        assert await bench.read("f") == await bench.read("g") == b"taken alone"


async def test_a_suspect_decides_nothing_between_two_that_blame_each_other() -> None:
    """It blames nobody; so it may have been the one that knew better than both."""
    async with mirror([MemoryStore() for _ in range(3)], ()) as (bench, _):
        await bench.write("f", b"text")
        gfid = (await bench.find("f")).gfid
        for child, other in ((1, 2), (2, 1)):
            blame = COUNTERS.pack(1, 0, 0)
            await bench.bricks[child].setxattr(Call(), Loc(gfid), {f"trusted.afr.b{other}": blame})
        stores = [memory.store for memory in bench.bricks]
    async with mirror(stores, [0]) as (bench, powers):
        for work in (bench.read("f"), bench.write("f", b"more")):
            with pytest.raises(OSError) as caught:
                await work
            assert caught.value.errno == errno.EIO

        report = await afr_of(bench).heal(full=True)

        assert [item.gfid for item in report.split_brain] == [gfid]
        assert powers[0].suspect
        assert bench.images_equal(), "a copy was changed"


async def test_a_suspect_is_none_of_the_quorum_that_strict_reads_ask() -> None:
    """What it has lost may be as long as what is there."""
    stores = await with_a_loss(3, 0)
    async with mirror(stores, [0], strict_reads=True, read_subvolume="b0") as (bench, _):
        gfid = (await bench.find("f")).gfid
        await bench.bricks[0].writev(Call(), Fd(gfid), b"what was there..", 0)
        assert await bench.read("f") == b"what was written"


async def test_where_all_are_suspect_the_marks_alone_decide() -> None:
    stores = [MemoryStore(), MemoryStore()]
    async with mirror(stores, ()) as (bench, _):
        await bench.write("f", b"old")
        bench.switches[0].turn(False)
        await bench.write("f", b"newer")
    async with mirror(stores, [0, 1]) as (bench, powers):
        assert await bench.read("f") == b"newer"
        report = await afr_of(bench).heal(full=True)
        assert [item.blamed for item in report.healed] == [("b0",)]
        assert [power.suspect for power in powers] == [False, False]
        assert bench.images_equal()


async def test_what_another_client_has_healed_is_not_copied_once_more() -> None:
    stores = await with_a_loss(2, 1)
    async with mirror(stores, [1]) as (bench, powers):
        powers[1].suspect = False
        assert not (await afr_of(bench).heal(full=True)).healed
        assert afr_of(bench).suspects.children == set()


# --- in trees --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def tree(
    suspect: Collection[int], **options: Any
) -> AsyncIterator[tuple[Graph, list[Switch], list[LostPower], list[Afr]]]:
    made = [brick(f"b{number}", MemoryStore(), number in suspect) for number in range(4)]
    switches = [switch for switch, _, _ in made]
    left = Afr("left", switches[:2], self_heal_daemon=False, **options)
    right = Afr("right", switches[2:], self_heal_daemon=False, **options)
    top = Afr("top", [left, right], self_heal_daemon=False)
    async with Graph(top) as graph:
        assert await graph.up(5)
        await graph.heard_from_all(5)
        yield graph, switches, [power for _, power, _ in made], [left, right, top]


@pytest.mark.parametrize(
    ("suspect", "quorum", "told"), [([0], "none", {0}), ([1], "none", {0}), ([0], "auto", {0}), ([1], "auto", set())]
)
async def test_a_pair_is_suspect_where_a_suspect_was_enough_to_go_on(
    suspect: Collection[int], quorum: str, told: Collection[int]
) -> None:
    """What was acknowledged on that one alone is lost, and nobody in the pair knows of it."""
    async with tree(suspect, quorum_type=quorum) as (_, _, powers, (left, _, top)):
        assert top.suspects.children == told
        assert (await left.heal(full=True)).clean
        assert any(power.suspect for power in powers) is bool(told)
        assert (await top.heal(full=True)).clean
        assert not any(power.suspect for power in powers)
        assert top.suspects.children == left.suspects.children == set()


async def test_three_copies_are_suspect_where_those_above_suspicion_and_there_are_too_few() -> None:
    made = [brick(f"b{number}", MemoryStore(), number == 0) for number in range(4)]
    switches = [switch for switch, _, _ in made]
    three = Afr("three", switches[:3], self_heal_daemon=False)
    top = Afr("top", [three, switches[3]], self_heal_daemon=False)
    async with Graph(top) as graph:
        await graph.heard_from_all(5)
        assert top.suspects.children == set()
        switches[1].turn(False)
        await graph.heard_from_all(5)
        assert top.suspects.children == {0}
        switches[1].turn(True)
        await graph.heard_from_all(5)
        assert top.suspects.children == set()


async def test_a_suspect_pair_is_healed_and_trusted_by_the_afr_above() -> None:
    async with tree([0, 1]) as (_, _, powers, (left, right, top)):
        assert top.suspects.children == {0}
        assert (await left.heal(full=True)).clean
        assert powers[0].suspect, "the afr above knows a better copy"
        assert (await top.heal(full=True)).clean
        assert not any(power.suspect for power in powers)
        assert left.suspects.children == top.suspects.children == right.suspects.children == set()


async def test_an_application_cannot_end_a_suspicion() -> None:
    stores = await with_a_loss(2, 1)
    async with mirror(stores, [1]) as (bench, powers):
        for call, value, code in (
            (Call(), TRUSTED, errno.EPERM),
            (Call(pid=-6), b"1", errno.EINVAL),
        ):
            with pytest.raises(OSError) as caught:
                await bench.top.setxattr(call, ROOT_LOC, {SUSPECT_KEY: value})
            assert caught.value.errno == code
        assert powers[1].suspect
        assert bench.top.state is State.UP
