"""Planted bugs in what is kept of a change: on the disks, on record until it is healed, and by the heal."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from ..graph import ROOT_GFID, Call, Fd, Graph, Loc
from ..translators.cluster.afr import Afr, healing, healing_contents, transaction, verdict
from ..translators.cluster.afr.changelog import Kind
from ..translators.cluster.afr.changing_contents import ContentChanges
from ..translators.cluster.afr.healing import Healing
from ..translators.cluster.afr.known_children import KnownChildren
from ..translators.cluster.afr.streams import Streams
from ..translators.cluster.afr.transaction import Transaction
from ..translators.cluster.afr.verdict import Quorum
from ..translators.storage.memory import Memory, MemoryStore
from .hunts import Mutant, by_scenario, by_sweep_of_heal, mirror, must
from .operations import WRITEV
from .operations_names import HERE
from .seams import simulated
from .stage import stage

# --- what is kept ----------------------------------------------------------------------------------------------------


@contextmanager
def never_fsyncs() -> Iterator[None]:
    end = Transaction.end

    def at_once(self: Transaction, then: Any = transaction.nothing) -> Any:
        self.unstable = False
        return end(self, then)

    with mock.patch.object(Transaction, "end", at_once):
        yield


async def a_disk_that_loses_power() -> None:
    async with stage(2, quorum_type="none") as (one,):
        fd = await one.make(b"f", b"old")
        for brick in one.bricks:
            await brick.fsync(one.call, fd)
            await brick.fsyncdir(one.call, Fd(ROOT_GFID, is_dir=True))
        await one.write_and_flush(fd, b"new")
        one.connections[1].go_down()
        one.bricks[1].crash("synced")
        one.bricks[1].restart()
        must(
            one.alike or any(one.marks(fd.gfid)), "I28", "a copy lost what it was thought to have, and no mark says so"
        )


@contextmanager
def blames_whom_it_cannot_reach() -> Iterator[None]:
    fsync = Transaction._fsync

    def accusing(self: Transaction, then: Any) -> Any:
        phase: Any = fsync(self, then)
        take = phase.take

        def any_is_enough(outcomes: Any) -> Any:
            with mock.patch.object(Quorum, "met", lambda self, present: bool(present)):
                return take(outcomes)

        phase.take = any_is_enough
        return phase

    with mock.patch.object(Transaction, "_fsync", accusing):
        yield


async def a_writer_that_loses_the_first_copy() -> None:
    """Another client goes on with that copy alone, as it may."""
    async with stage(2, clients=2, quorum_type="auto") as (one, two):
        fd = await one.make(b"f", b"old")
        await one.write(fd, b"new")
        one.connections[0].go_down()
        await one.afr.rest()
        two.connections[1].go_down()
        await two.write_and_flush(await two.open(b"f"), b"newer")
        two.connections[1].come_up()
        must((await two.afr.heal()).clean, "I05", "each copy blames the other, though one has everything")
        must(two.alike and two.on_disk(1, b"f") == b"newer", "I07", "it is not healed")


def close_leaves_the_marks() -> AbstractContextManager[object]:
    async def close(self: Streams, gfid: Any) -> None:
        return None

    return mock.patch.object(Streams, "close", close)


async def a_file_that_is_closed() -> None:
    async with stage(2, quorum_type="none") as (one,):
        fd = await one.make(b"f", b"old")
        await one.write_and_flush(fd, b"new")
        must(
            not one.marked, "I06", f"the file is closed, the copies are alike, and marks are left: {one.marks(fd.gfid)}"
        )


@contextmanager
def appends_where_any_copy_ends() -> Iterator[None]:
    async def end_of_file(self: ContentChanges, stream: Any, fd: Any) -> int:
        ends: list[int] = [
            (await self._afr.children[child].fstat(stream.transaction.call, fd)).iatt.size
            for child in stream.transaction.live
        ]
        return min(ends)

    with mock.patch.object(ContentChanges, "_end_of_file", end_of_file):
        yield


async def appending_where_a_copy_lags_behind() -> None:
    async with stage(2, quorum_type="none") as (one,):
        await one.make(b"f", b"one ")
        fd = await one.open(b"f", 0o2002)
        one.connections[1].go_down()
        await one.write_and_flush(fd, b"two ")
        one.connections[1].come_up()
        await one.write_and_flush(fd, b"three")
        must(await one.read(fd) == b"one two three", "I01", f"appended bytes overwrote others: {await one.read(fd)!r}")


# --- healing ---------------------------------------------------------------------------------------------------------


def short_writes_heal() -> AbstractContextManager[object]:
    return mock.patch.object(healing_contents, "wrote_all", return_value=True)


@contextmanager
def takes_back_the_blame_of_copies_not_healed() -> Iterator[None]:
    absolve = Healing.absolve

    async def all_of_it(self: Healing, kind: Kind, good: Collection[int]) -> None:
        await absolve(self, kind, self.copies.keys())

    with mock.patch.object(Healing, "absolve", all_of_it):
        yield


def one_accuser_is_enough() -> AbstractContextManager[object]:
    def direction(copies: Any, kind: Kind, majority: int | None) -> verdict.Direction:
        return verdict.direction(copies, kind, None)

    return mock.patch.object(healing, "direction", direction)


async def two_copies_against_one() -> None:
    async with stage(3) as (one,):
        fd = await one.make(b"f", b"true")
        blame = b"\0\0\0\1" + bytes(8)
        for child in (0, 1):
            await one.mark(child, fd.gfid, {"trusted.afr.b2": blame})
        await one.mark(2, fd.gfid, {"trusted.afr.b0": blame, "trusted.afr.b1": blame})
        await one.bricks[2].writev(one.call, fd, b"lies", 0)
        report = await one.afr.heal()
        must(report.clean, "I07", f"two agree against one, and are not believed: {report}")
        must(one.on_disk(2, b"f") == b"true", "I08", "the one was believed")


# --- disks that are exchanged ----------------------------------------------------------------------------------------


def takes_any_disk_for_a_copy() -> AbstractContextManager[object]:
    return mock.patch.object(KnownChildren, "checking", False)


async def a_disk_that_was_replaced() -> None:
    """By an empty one, and it is the one that is read from."""
    stores = [MemoryStore(), MemoryStore()]
    listed: list[bytes] = []
    for exchanged in (False, True):
        stores[1] = MemoryStore() if exchanged else stores[1]
        bricks = [Memory(f"b{number}", store=store) for number, store in enumerate(stores)]
        top = Afr("mirror", bricks, quorum_type="none", read_subvolume="b1", self_heal_daemon=False)
        async with Graph(top, simulated(0)) as graph:
            await graph.up(30)
            if not exchanged:
                await top.mkdir(Call(xdata={"gfid-req": HERE}), Loc(parent=ROOT_GFID, name=b"here"), 0o755, 0)
            fd = Fd(ROOT_GFID, is_dir=True)
            await top.opendir(Call(), Loc(ROOT_GFID), fd)
            listed = [entry.name for entry in (await top.readdir(Call(), fd, 1 << 16, 0)).entries]
    must(b"here" in listed, "I08", "an empty disk was taken for a good copy: what was there is listed no more")


KEEPING = (
    Mutant(
        "F16",
        "an empty replacement disk is taken for a good copy",
        takes_any_disk_for_a_copy,
        by_scenario(a_disk_that_was_replaced),
    ),
    Mutant(
        "F14",
        "a heal takes back the blame of a copy that it could not heal",
        takes_back_the_blame_of_copies_not_healed,
        by_sweep_of_heal(mirror, WRITEV, 2),
    ),
    Mutant(
        "F18",
        "every copy is blamed by somebody, so a majority is not believed",
        one_accuser_is_enough,
        by_scenario(two_copies_against_one),
    ),
    Mutant(
        "F30",
        "a short write during a heal counts as complete",
        short_writes_heal,
        by_sweep_of_heal(mirror, WRITEV, 2),
    ),
    Mutant(
        "F58",
        "marks are cleared before what was written is on the disks",
        never_fsyncs,
        by_scenario(a_disk_that_loses_power),
    ),
    Mutant(
        "F59", "close returns before the delayed post-op", close_leaves_the_marks, by_scenario(a_file_that_is_closed)
    ),
    Mutant(
        "L13",
        "less than a quorum blames a copy that it could not reach for its fsync",
        blames_whom_it_cannot_reach,
        by_scenario(a_writer_that_loses_the_first_copy),
    ),
    Mutant(
        "F61",
        "bytes are appended where a stale copy ends",
        appends_where_any_copy_ends,
        by_scenario(appending_where_a_copy_lags_behind),
    ),
)
