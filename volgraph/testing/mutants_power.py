"""Planted bugs in what an afr makes of copies that have lost their power."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from unittest import mock

from ..graph import ROOT_GFID, Acknowledged, Call, Fd, Graph, Loc, LookedUp, Translator
from ..translators.cluster.afr import Afr
from ..translators.cluster.afr.accepting import owe_everything
from ..translators.cluster.afr.healing import Healing
from ..translators.cluster.afr.suspects import Suspects
from ..translators.cluster.unify import Unify, suspicion
from ..translators.storage.memory import Memory
from .fated import failing
from .hunts import Mutant, by_scenario, must
from .seams import simulated
from .stage import Connection, Person, stage

WAIT_SECONDS = 5.0


def lose_power(one: Person, child: int) -> None:
    """What was not synced is gone; and the brick is back, with its connection."""
    one.connections[child].go_down()
    one.bricks[child].crash("synced")
    one.bricks[child].restart()
    one.connections[child].come_up()


async def pin(one: Person, fd: Fd, *children: int) -> None:
    """What these copies have of a file, and of the root, is on their disks."""
    for child in children:
        await one.bricks[child].fsync(Call(), fd)
        await one.bricks[child].fsyncdir(Call(), Fd(ROOT_GFID, is_dir=True))


# --- what a heal takes back ------------------------------------------------------------------------------------------


def keeps_nothing_of_what_it_heals() -> AbstractContextManager[object]:
    async def nothing(self: Healing, children: object) -> None:
        return None

    return mock.patch.object(Healing, "_sync", nothing)


async def blame_that_a_loss_of_power_brings_back() -> None:
    """It would stand against the blame for what the brick that brings it back has missed meanwhile."""
    async with stage(2, quorum_type="none") as (one,):
        fd = await one.make(b"f", b"text")
        await pin(one, fd, 0, 1)
        one.connections[0].go_down()
        await one.write_and_flush(fd, b"TEXT")
        await pin(one, fd, 1)
        one.connections[0].come_up()
        must((await one.afr.heal()).clean, "I07", "it is not healed")
        one.connections[1].go_down()
        one.bricks[1].crash("synced")
        await one.write_and_flush(fd, b"more")
        one.bricks[1].restart()
        one.connections[1].come_up()
        report = await one.afr.heal(full=True)
        must(report.clean and one.alike, "I07", f"blame that was taken back has come back: {report}")


# --- who is suspect above --------------------------------------------------------------------------------------------


def a_pair_is_suspect_only_where_both_are() -> AbstractContextManager[object]:
    def decisive(self: Suspects) -> bool:
        return bool(self.children) and not self._afr.up - self.children

    return mock.patch.object(Suspects, "decisive", property(decisive))


def a_unify_says_nothing_of_its_nodes() -> AbstractContextManager[object]:
    async def shown(unify: Unify, call: Call, entry: LookedUp) -> LookedUp:
        return entry

    return mock.patch.object(suspicion, "shown", shown)


Above = Callable[[Sequence[Translator], Sequence[Translator]], Translator]
"""Makes the first child of the top, of a pair and of what else it needs."""


@asynccontextmanager
async def below_another(above: Above) -> AsyncIterator[tuple[Person, list[Afr]]]:
    """A pair over b0 and b1, in what `above` makes of it and of b2, mirrored to b3; and the afrs, the lowest first."""
    bricks = [Memory(f"m{number}") for number in range(4)]
    ways = [Connection(f"b{number}", [brick], owner="client") for number, brick in enumerate(bricks)]
    pair = Afr("pair", ways[:2], self_heal_daemon=False, post_op_delay=3600)
    top = Afr("top", [above([pair], ways[2:3]), ways[3]], self_heal_daemon=False, post_op_delay=3600)
    async with Graph(top, simulated(0)) as graph:
        await graph.heard_from_all(WAIT_SECONDS)
        yield Person(top, ways, bricks, Call(client="client", lk_owner=b"client")), [pair, top]


async def _what_a_pair_has_lost(above: Above) -> None:
    async with below_another(above) as (one, afrs):
        fd = await one.make(b"f", b"text")
        held = [child for child, brick in enumerate(one.bricks) if "/f" in brick.image()]
        await pin(one, fd, *held)
        one.connections[1].go_down()
        await one.write_and_flush(fd, b"more", 4)
        lose_power(one, 0)
        one.connections[1].come_up()
        await afrs[1].graph.heard_from_all(WAIT_SECONDS)
        must(await one.read(fd) == b"textmore", "I02", "what a pair has lost was read from it")
        for afr in afrs:
            must((await afr.heal(full=True)).clean, "I07", f"{afr.name} is not healed")
        left = {bytes(one.bricks[child].image()["/f"].content) for child in (0, 1, 3)}
        must(left == {b"textmore"}, "I06", f"the copies differ for good, and no mark says so: {left}")
        must(not any(brick.store.suspect for brick in one.bricks), "I07", "a brick stays suspect")


async def what_a_pair_has_lost_that_it_acked_alone() -> None:
    await _what_a_pair_has_lost(lambda pair, _: pair[0])


async def what_a_pair_below_a_unify_has_lost() -> None:
    await _what_a_pair_has_lost(lambda pair, names: Unify("pool", pair, namespace=names[0]))


def trusts_whom_it_is_told_to() -> AbstractContextManager[object]:
    async def cleared(self: Suspects, *_: object) -> Acknowledged:
        for child in sorted(self.children):
            await self._trust(child)
        return Acknowledged()

    return mock.patch.object(Suspects, "cleared", cleared)


async def attributes_that_a_copy_beside_a_good_one_has_lost() -> None:
    """They are there on the copy that is shown above."""
    async with below_another(lambda pair, _: pair[0]) as (one, (pair, top)):
        fd = await one.make(b"f", b"text")
        await pin(one, fd, 0, 1)
        await one.afr.setxattr(one.call, Loc(fd.gfid), {"user.colour": b"red"})
        await one.afr.rest()
        lose_power(one, 0)
        await pair.graph.heard_from_all(WAIT_SECONDS)
        must((await top.heal(full=True)).clean, "I07", "it is not healed")
        must(not one.bricks[0].store.suspect, "I07", "a brick stays suspect")
        first, second = (one.bricks[child].image()["/f"] for child in (0, 1))
        must(first == second, "I06", "the copies of the pair differ for good, and no mark says so")


# --- what is owed to a suspect ---------------------------------------------------------------------------------------


@contextmanager
def blames_suspects_on_record() -> Iterator[None]:
    """Everything is owed to them, in marks on those above suspicion, before a heal fills them."""
    prepare = Suspects.prepare

    async def owing(self: Suspects) -> None:
        await prepare(self)
        for child in sorted(self.filled):
            await owe_everything(self._afr, child, self._afr.up - self.children)

    with mock.patch.object(Suspects, "prepare", owing):
        yield


async def a_suspect_that_goes_on_alone() -> None:
    """Its sibling goes away before it is filled."""
    async with stage(2, quorum_type="auto") as (one,):
        fd = await one.make(b"f", b"text")
        await pin(one, fd, 0, 1)
        lose_power(one, 0)
        one.connections[1].refuses["readv"] = failing(errno.EIO)
        must(not (await one.afr.heal(full=True)).clean, "I07", "it was healed from what cannot be read")
        one.connections[1].refuses.clear()
        one.connections[1].go_down()
        await one.write_and_flush(fd, b"TEXT")
        one.connections[1].come_up()
        report = await one.afr.heal(full=True)
        must(report.clean and one.alike, "I07", f"what it took alone stands against what was owed to it: {report}")
        must(await one.read(fd) == b"TEXT", "I01", "what it took alone is lost")


POWER = (
    Mutant(
        "L16",
        "a pair whose sibling is healed is trusted before it is healed itself",
        trusts_whom_it_is_told_to,
        by_scenario(attributes_that_a_copy_beside_a_good_one_has_lost),
    ),
    Mutant(
        "L4",
        "what a heal takes back is not gone from the disk",
        keeps_nothing_of_what_it_heals,
        by_scenario(blame_that_a_loss_of_power_brings_back),
    ),
    Mutant(
        "L5",
        "a pair that may have lost what it acknowledged is not suspect above",
        a_pair_is_suspect_only_where_both_are,
        by_scenario(what_a_pair_has_lost_that_it_acked_alone),
    ),
    Mutant(
        "L6",
        "a full heal says in marks that everything is owed to a suspect",
        blames_suspects_on_record,
        by_scenario(a_suspect_that_goes_on_alone),
    ),
    Mutant(
        "L7",
        "a unify does not tell that one of its nodes is suspect",
        a_unify_says_nothing_of_its_nodes,
        by_scenario(what_a_pair_below_a_unify_has_lost),
    ),
)
