"""Planted bugs in how a change is made: what is acked, what is put on record, and what is kept."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

import anyio
import attrs

from ..graph import ROOT_GFID
from ..translators.cluster.afr import change as change_module
from ..translators.cluster.afr import verdict
from ..translators.cluster.afr.change import Change
from ..translators.cluster.afr.changelog import Keys, Kind, packed
from ..translators.cluster.afr.transaction import Transaction
from ..translators.cluster.afr.verdict import Quorum
from .fated import OK, REPLY_LOST, REQUEST_LOST, Phase, failing
from .hunts import (
    Mutant,
    by_scenario,
    by_sweep,
    majority,
    mirror,
    must,
    optimistic,
    refused,
)
from .operations import APPEND, WRITEV
from .operations_attributes import SETATTR
from .operations_names import CREATE, MKDIR
from .stage import stage

# --- quorum ----------------------------------------------------------------------------------------------------------


@contextmanager
def acks_without_post_op_quorum() -> Iterator[None]:
    enough = Transaction._enough

    def forgiving(self: Transaction, children: Collection[int]) -> bool:
        return bool(self.blamed) or enough(self, children)

    with mock.patch.object(Transaction, "_enough", forgiving):
        yield


@contextmanager
def goes_on_without_pre_op_quorum() -> Iterator[None]:
    may = Transaction._may_go_on

    def heedless(self: Transaction) -> bool:
        return self.announced or may(self)

    with mock.patch.object(Transaction, "_may_go_on", heedless):
        yield


def never_asks_for_a_quorum() -> AbstractContextManager[object]:
    return mock.patch.object(Quorum, "met", lambda self, present: bool(present))


def any_half_is_a_quorum() -> AbstractContextManager[object]:
    def met(self: Quorum, present: Collection[int]) -> bool:
        return 2 * len(present) >= self.children if self.tie_break else len(present) >= self.count

    return mock.patch.object(Quorum, "met", met)


async def clients_on_two_sides() -> None:
    async with stage(2, clients=2, quorum_type="auto") as (one, two):
        fd, other = await one.make(b"f", b"old"), await two.open(b"f")
        one.connections[1].go_down()
        two.connections[0].go_down()
        await one.write_and_flush(fd, b"one")
        must(await refused(two.write_and_flush(other, b"two")), "I12", "both sides of a partition were acked")


# --- which copies a change counts on ---------------------------------------------------------------------------------


def heeds_no_blame() -> AbstractContextManager[object]:
    """What a pre-op reads about the copies goes unheard: the guard against a split-brain in flight is gone."""
    return mock.patch.object(Transaction, "_heed", return_value=None)


async def a_write_that_only_a_stale_copy_takes() -> None:
    """The client that writes it knows of no stale copy: another one has left it behind."""
    async with stage(2, clients=2, quorum_type="none") as (other, one):
        fd = await one.make(b"f", b"old")
        must(await one.read(fd) == b"old", "I01", "what was acked is not read")
        other.connections[1].go_down()
        await other.write_and_flush(fd, b"one")
        other.connections[1].come_up()
        one.connections[0].refuses["writev"] = failing(errno.EIO)
        lost = await refused(one.write_and_flush(fd, b"two"))
        one.connections[0].refuses.clear()
        marks = one.marks(fd.gfid)
        must("trusted.afr.b0" not in marks[1], "I05", f"the last good copy is blamed too: {marks}")
        must(await other.read(fd) == (b"one" if lost else b"two"), "I01", "what was acked is not read")


@contextmanager
def judges_each_write_alone() -> Iterator[None]:
    """As if nothing had happened under the same lock before; the post-ops come at the end, and blame both copies."""
    judging = Change._judge

    def alone(self: Change[Any], outcomes: Any, then: Any) -> Any:
        transaction = self.transaction
        blamed, transaction.blamed = transaction.blamed, frozenset()
        live, good = set(transaction.live), transaction.good
        found = judging(self, outcomes, then)
        transaction.blamed |= blamed
        transaction.live, transaction.good = live, good
        return found

    with mock.patch.object(Change, "_judge", alone):
        yield


async def two_writes_that_each_miss_another_copy() -> None:
    async with stage(2, quorum_type="none") as (one,):
        fd = await one.make(b"f", b"0123456789")
        await one.write(fd, b"A", 0)
        failed: list[bytes] = []

        async def write(data: bytes, at: int) -> None:
            if await refused(one.write(fd, data, at)):
                failed.append(data)

        # The first write is slow on its way to b0 and the second on its way to b1; there each is refused.
        for number, connection in enumerate(one.connections):
            connection.before["writev"] = 1.0
            order = iter((failing(errno.EIO), OK) if number == 0 else (OK, failing(errno.EIO)))
            connection.decide = lambda moment, order=order: next(order) if moment.fop == "writev" else OK
        async with anyio.create_task_group() as group:
            group.start_soon(write, b"B", 1)
            await anyio.sleep(0.1)
            group.start_soon(write, b"C", 2)
        for connection in one.connections:
            connection.decide = connection._decide
            connection.before.clear()
        await one.afr.flush(one.call, fd)
        must(bool(failed), "I01", f"both writes were acked, and no copy has both: {one.marks(fd.gfid)}")


@contextmanager
def post_op_on_children_that_failed() -> Iterator[None]:
    happened = Transaction.happened

    def forgetful(self: Transaction, blame: frozenset[int]) -> None:
        live = set(self.live)
        happened(self, blame)
        self.live = live

    with mock.patch.object(Transaction, "happened", forgetful):
        yield


# --- what is put on record -------------------------------------------------------------------------------------------


def forgets_what_ended_in_the_dark() -> AbstractContextManager[object]:
    return mock.patch.object(Transaction, "in_the_dark", return_value=None)


@contextmanager
def clears_dirty_before_it_blames() -> Iterator[None]:
    telling = Transaction._add_on_each

    def in_two_steps(
        self: Transaction, number: int, marked: Any, told: Any, owed: Any, values: dict[str, bytes], then: Any
    ) -> Any:
        dirty = self.afr.keys.dirty
        if len(values) < 2 or dirty not in values:
            return telling(self, number, marked, told, owed, values, then)
        blame = {key: value for key, value in values.items() if key != dirty}
        blaming = lambda: telling(self, number, marked, self.live, owed, blame, then)  # noqa: E731
        return telling(self, number, marked, told, frozenset(), {dirty: values[dirty]}, blaming)

    with mock.patch.object(Transaction, "_add_on_each", in_two_steps):
        yield


def one_error_everywhere_is_doubt() -> AbstractContextManager[object]:
    def doubting(outcomes: Any, good: Collection[int], quorum: Quorum) -> verdict.Verdict:
        found = verdict.judge(outcomes, good, quorum)
        return attrs.evolve(found, in_the_dark=found.error is not None)

    return mock.patch.object(change_module, "judge", doubting)


async def a_name_that_is_taken() -> None:
    async with stage(2, quorum_type="none") as (one,):
        await one.make(b"f")
        must(await refused(one.make(b"f")), "I15", "one name was made twice")
        await one.afr.rest()
        must(not one.marked, "I06", f"the copies are alike, and are marked: {one.marks(ROOT_GFID)}")


def who_is_down_has_not_refused() -> AbstractContextManager[object]:
    """The same error from all that are asked counts only if everybody is."""

    def asymmetric(outcomes: Any, good: Collection[int], quorum: Quorum) -> verdict.Verdict:
        found = verdict.judge(outcomes, good, quorum)
        return attrs.evolve(found, in_the_dark=found.in_the_dark or len(outcomes) < quorum.children)

    return mock.patch.object(change_module, "judge", asymmetric)


async def disks_that_are_full() -> None:
    async with stage(3) as (one,):
        await one.make(b"x")
        one.connections[2].go_down()
        for connection in one.connections[:2]:
            connection.refuses["create"] = failing(errno.ENOSPC)
        must(await refused(one.make(b"f")), "I04", "a file was made on full disks")
        for connection in one.connections[:2]:
            connection.refuses.clear()
        await one.afr.rest()
        must(not one.marked, "I06", f"both disks refused alike, and the directory is marked: {one.marks(ROOT_GFID)}")
        await one.unlink(b"x")
        one.connections[2].come_up()
        must((await one.afr.heal()).clean and one.alike, "I07", "the copies are not healed")
        must(await refused(one.find(b"x")), "I11", "a file that was deleted is back")


@contextmanager
def counts_on_pre_ops_that_failed() -> Iterator[None]:
    """As if the array in memory were what is on the disks."""

    def pre_op(self: Transaction, number: int, then: Any) -> Any:
        if number == len(self.marked):
            return then()
        target, values = self.marked[number], self.afr.keys.pre_op(self.kind)
        return self.phase(
            "pre-op",
            self.live,
            lambda to, nodes: self.xattrop(to, nodes, target, values),
            lambda outcomes: self._pre_op(number + 1, then),
        )

    with mock.patch.object(Transaction, "_pre_op", pre_op):
        yield


@contextmanager
def takes_back_more_pre_ops_than_it_made() -> Iterator[None]:
    """A write that finds the pre-op of another one done takes it back with its blame, and the last one does again."""
    owed = Keys.owed

    def too_much(self: Keys, failed: Collection[int], kinds: Any) -> dict[str, bytes]:
        values = owed(self, failed, kinds)
        return {self.dirty: packed(Kind.DATA, -1), **values} if Kind.DATA in kinds and values else values

    with mock.patch.object(Keys, "owed", too_much):
        yield


def skips_the_pre_op_whoever_is_there() -> AbstractContextManager[object]:
    return mock.patch.object(
        Transaction,
        "_may_go_unannounced",
        lambda self: self.kind is not Kind.DATA and self.afr.optimistic_change_log,
    )


CHANGES = (
    Mutant(
        "F01",
        "a write is acked though post-op missed quorum",
        acks_without_post_op_quorum,
        by_sweep(majority, APPEND, 3, faults_max=2, fates=dict.fromkeys((Phase.OP, Phase.POST_OP), (OK, REQUEST_LOST))),
    ),
    Mutant(
        "F02",
        "the op is wound though pre-op missed quorum",
        goes_on_without_pre_op_quorum,
        by_sweep(majority, SETATTR, 3, faults_max=2, fates={Phase.PRE_OP: (OK, failing(errno.ENOSPC))}),
    ),
    Mutant(
        "F03",
        "a write that only a stale copy took blames the last good one",
        heeds_no_blame,
        by_scenario(a_write_that_only_a_stale_copy_takes),
    ),
    Mutant(
        "F04",
        "two writes under one lock are acked though each missed another copy",
        judges_each_write_alone,
        by_scenario(two_writes_that_each_miss_another_copy),
    ),
    Mutant(
        "F05",
        "either half of two copies is a quorum: each side of a partition goes on alone",
        any_half_is_a_quorum,
        by_scenario(clients_on_two_sides),
    ),
    Mutant(
        "F07",
        "a create that landed on one copy of three and failed leaves no mark",
        forgets_what_ended_in_the_dark,
        by_sweep(majority, CREATE, 3, faults_max=2, fates={Phase.OP: (OK, REQUEST_LOST)}),
    ),
    Mutant(
        "F08",
        "a create is acked though the op missed quorum: three clients make three objects of one name",
        never_asks_for_a_quorum,
        by_sweep(majority, CREATE, 3, faults_max=2, fates={Phase.OP: (OK, REQUEST_LOST)}),
    ),
    Mutant(
        "F10",
        "a child that failed the op gets the post-op all the same, and blames itself",
        post_op_on_children_that_failed,
        by_sweep(mirror, WRITEV, 2, faults_max=1),
    ),
    Mutant(
        "F11",
        "dirty is cleared before the blame is written: between the two, nothing points at the stale copy",
        clears_dirty_before_it_blames,
        by_sweep(mirror, SETATTR, 2, faults_max=2),
    ),
    Mutant(
        "F12",
        "the same error everywhere leaves the dirty mark of the pre-op",
        one_error_everywhere_is_doubt,
        by_scenario(a_name_that_is_taken),
    ),
    Mutant(
        "F13",
        "both live disks are full, and it is taken for a difference because a third is down",
        who_is_down_has_not_refused,
        by_scenario(disks_that_are_full),
    ),
    Mutant(
        "F20",
        "a pre-op that a disk refused counts as done",
        counts_on_pre_ops_that_failed,
        by_sweep(majority, WRITEV, 3, faults_max=2, fates={Phase.PRE_OP: (OK, failing(errno.EIO), REPLY_LOST)}),
    ),
    Mutant(
        "F21",
        "the pre-op of joined writes is taken back more than once",
        takes_back_more_pre_ops_than_it_made,
        by_sweep(mirror, WRITEV, 2, faults_max=1),
    ),
    Mutant(
        "F22",
        "the pre-op is skipped before it is known who takes part",
        skips_the_pre_op_whoever_is_there,
        by_sweep(
            optimistic,
            MKDIR,
            2,
            faults_max=2,
            fates=dict.fromkeys((Phase.LOCK, Phase.POST_OP), (OK, REQUEST_LOST, failing(errno.EIO))),
        ),
    ),
)
