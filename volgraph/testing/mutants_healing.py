"""Planted bugs in who is healed, from whom, and what is said of those who are away or new."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

import attrs

from ..graph import ROOT_GFID, Call, Fd, Gfid, Graph, Loc
from ..translators.cluster.afr import Afr, accepting, healing, verdict
from ..translators.cluster.afr.changelog import Kind, Record, taken_back
from ..translators.cluster.afr.healing import Healing
from ..translators.cluster.afr.reading import look
from ..translators.storage.memory import Memory, MemoryStore
from .fated import Fated
from .hunts import Mutant, by_scenario, must, refused
from .operations_names import HERE
from .seams import simulated
from .stage import stage


@contextmanager
def heals_without_those_who_are_away() -> Iterator[None]:
    """Those that are there are alike, so what they say of the third is taken back, and the index is emptied."""
    inspect = Healing.inspect

    async def with_those_there(self: Healing) -> None:
        if len(self.afr.up) == len(self.afr.children):
            await inspect(self)
            return
        for child, outcome in (await look(self.afr, self.call, self.loc)).items():
            if outcome.value is not None:
                record = Record.read(self.afr.keys, outcome.value.xdata)
                said = dict(zip(self.afr.keys.pending, record.pending, strict=True))
                await self.add(child, self.loc, {key: taken_back(counters) for key, counters in said.items()})
        self.copies = {}

    with mock.patch.object(Healing, "inspect", with_those_there):
        yield


async def a_heal_while_one_is_away() -> None:
    async with stage(3) as (one,):
        await one.make(b"n", b"old")
        one.connections[2].go_down()
        await one.unlink(b"n")
        await one.make(b"n", b"new")
        await one.afr.heal()
        one.connections[2].come_up()
        must((await one.afr.heal()).clean, "I07", "the third copy is not healed")
        must(one.alike, "I06", "a name stands for two objects, and no mark says so")


@contextmanager
def only_one_copy_blames_the_new_one() -> Iterator[None]:
    owing = accepting.owe_everything

    async def owe(afr: Any, child: int, witnesses: Collection[int], silence: bool = False) -> None:
        await owing(afr, child, {min(witnesses)}, silence)

    with mock.patch.object(accepting, "owe_everything", owe):
        yield


async def a_new_disk_whose_only_accuser_goes_away() -> None:
    stores = [MemoryStore() for _ in range(3)]
    for exchanged in (False, True):
        stores[2] = MemoryStore() if exchanged else stores[2]
        bricks = [Memory(f"m{number}", store=store) for number, store in enumerate(stores)]
        children = [Fated(f"b{number}", [brick]) for number, brick in enumerate(bricks)]
        top = Afr("mirror", children, read_subvolume="b2", self_heal_daemon=False)
        async with Graph(top, simulated(0)) as graph:
            await graph.heard_from_all(30)
            if not exchanged:
                await top.mkdir(Call(xdata={"gfid-req": HERE}), Loc(parent=ROOT_GFID, name=b"here"), 0o755, 0)
                continue
            await top.accept("b2")
            await graph.heard_from_all(30)
            children[0].go_down()
            fd = Fd(ROOT_GFID, is_dir=True)
            await top.opendir(Call(), Loc(ROOT_GFID), fd)
            listed = [entry.name for entry in (await top.readdir(Call(), fd, 1 << 16, 0)).entries]
            must(listed == [b"here"], "I08", "a disk that is yet to be filled was taken for a good copy")


def who_blames_nobody_is_not_believed() -> AbstractContextManager[object]:
    """Two blame each other; the third, whom nobody blames, has nothing to say against them: so nobody is right."""

    def direction(copies: Any, kind: Kind, majority: int | None) -> verdict.Direction:
        found = verdict.direction(copies, kind, majority)
        accuse = any(copies[one].record.pending[other][kind] for one in found.sources for other in found.sinks)
        return found if accuse or not found.sinks else attrs.evolve(found, split=True)

    return mock.patch.object(healing, "direction", direction)


async def two_that_blame_each_other_and_one_that_blames_nobody() -> None:
    async with stage(3) as (one,):
        await one.make(b"f")
        blame = b"\0\0\0\1" + bytes(4) + b"\0\0\0\1"
        await one.mark(0, ROOT_GFID, {"trusted.afr.b1": blame})
        await one.mark(1, ROOT_GFID, {"trusted.afr.b0": blame})
        for child, name in ((0, b"x"), (1, b"y")):
            request = Call(xdata={"gfid-req": Gfid(bytes([child + 1]) * 16)})
            await one.bricks[child].mknod(request, one.at(name), 0o100644, 0, 0)
        report = await one.afr.heal()
        must(report.clean and one.alike, "I07", f"the third is right, and is not believed: {report}")
        must(await refused(one.find(b"x")), "I08", "one of the two was believed")


HEALING = (
    Mutant(
        "F15",
        "names are healed while one copy is away, and what it missed is forgotten",
        heals_without_those_who_are_away,
        by_scenario(a_heal_while_one_is_away),
    ),
    Mutant(
        "F17",
        "only one copy says that a new disk has to be filled",
        only_one_copy_blames_the_new_one,
        by_scenario(a_new_disk_whose_only_accuser_goes_away),
    ),
    Mutant(
        "F19",
        "two copies blame each other, the third blames nobody: names are healed never",
        who_blames_nobody_is_not_believed,
        by_scenario(two_that_blame_each_other_and_one_that_blames_nobody),
    ),
)
