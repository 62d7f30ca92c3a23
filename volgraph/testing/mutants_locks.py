"""Planted bugs in locks, and in who waits for whom."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

import anyio

from ..graph import Call, Event, Fd, Flock, Graph, Loc, LockCommand, LockType, NewAttributes
from ..translators.cluster.afr import Afr
from ..translators.cluster.afr.application_locks import ApplicationLocks
from ..translators.cluster.afr.changing_names import SomeNames
from ..translators.cluster.afr.locks import EntryLock
from ..translators.cluster.afr.replica_set import ReplicaSet
from ..translators.cluster.afr.stream import Stream
from ..translators.cluster.afr.streams import Streams
from ..translators.cluster.afr.transaction import Transaction, nothing
from ..translators.protocol.opened import OpenFds
from ..translators.storage.memory import Memory, MemoryStore
from .fated import REQUEST_LOST, Fated, failing
from .hunts import Mutant, by_scenario, must, refused
from .lock_histories import ROUGH, lock_history
from .seams import simulated
from .stage import stage
from .tree import brick

# --- locks that stay -------------------------------------------------------------------------------------------------


@contextmanager
def unlocks_as_somebody_else_after_an_error() -> Iterator[None]:
    unlock = Transaction._unlock

    def renamed(self: Transaction, then: Any = nothing) -> Any:
        if self.error is not None or self.doubtful or self.failures:
            self.call = Call(lk_owner=b"somebody", attributes=False)
        return unlock(self, then)

    with mock.patch.object(Transaction, "_unlock", renamed):
        yield


async def disks_that_are_full_for_a_moment() -> None:
    async with stage(2, quorum_type="none") as (one,):
        fd = await one.make(b"f", b"old")
        for connection in one.connections:
            connection.refuses["writev"] = failing(errno.ENOSPC)
        connection.refuses["writev"] = failing(errno.EDQUOT)
        must(await refused(one.write(fd, b"new")), "I04", "written to full disks")
        await one.afr.flush(one.call, fd)
        must(one.locks == 0, "I21", f"{one.locks} locks are left")


@contextmanager
def loses_count_of_one_lock() -> Iterator[None]:
    unlock = Transaction._unlock

    def short(self: Transaction, then: Any = nothing) -> Any:
        del self.granted[-1:]
        return unlock(self, then)

    with mock.patch.object(Transaction, "_unlock", short):
        yield


async def locks_that_are_answered_at_once() -> None:
    async with stage(3) as (one,):
        for connection in one.connections:
            connection.after["finodelk"] = 1.0
        fd = await one.make(b"f", b"text")
        await one.write_and_flush(fd, b"TEXT")
        await anyio.sleep(2)
        must(one.locks == 0, "I21", f"{one.locks} locks are left")


@contextmanager
def a_failed_lock_keeps_its_place() -> Iterator[None]:
    over = Streams._over

    def kept(self: Streams, stream: Stream) -> None:
        if stream.transaction.error is None:
            over(self, stream)

    with mock.patch.object(Streams, "_over", kept):
        yield


async def locks_that_are_lost_once() -> None:
    async with stage(2, quorum_type="none") as (one,):
        fd = await one.make(b"f", b"old")
        for connection in one.connections:
            connection.refuses["finodelk"] = REQUEST_LOST
        must(await refused(one.write(fd, b"new")), "I04", "written without a lock")
        for connection in one.connections:
            connection.refuses.clear()
        await one.write(fd, b"new")


# --- locks that are not held -----------------------------------------------------------------------------------------


def all_changes_have_one_owner() -> AbstractContextManager[object]:
    return mock.patch.object(ReplicaSet, "new_lock_owner", return_value=b"zero")


async def two_changes_that_overtake_each_other() -> None:
    async with stage(2, quorum_type="none") as (one,):
        fd = await one.make(b"f")
        first, second = one.connections

        async def change(mode: int) -> None:
            await one.afr.setattr(one.call, Loc(fd.gfid), NewAttributes(mode=mode))

        async with anyio.create_task_group() as group:
            first.before["setattr"], second.before["setattr"] = 2.0, 0.0
            group.start_soon(change, 0o600)
            await anyio.sleep(1.0)
            first.before["setattr"], second.before["setattr"] = 0.0, 2.0
            group.start_soon(change, 0o640)
        must(one.alike or one.marked, "I06", "two changes were made in another order on each copy")


def names_that_overlap_do_not_wait() -> AbstractContextManager[object]:
    return mock.patch.object(SomeNames, "overlaps", return_value=False)


async def two_renames_to_one_name() -> None:
    async with stage(2, quorum_type="none") as (one,):
        await one.make(b"a")
        await one.make(b"b")
        await one.make(b"c")
        await one.unlink(b"c")
        first, second = one.connections
        async with anyio.create_task_group() as group:
            first.before["rename"], second.before["rename"] = 2.0, 0.0
            group.start_soon(one.rename, b"a", b"c")
            await anyio.sleep(1.0)
            first.before["rename"], second.before["rename"] = 0.0, 2.0
            group.start_soon(one.rename, b"b", b"c")
        await one.afr.rest()
        must(one.alike or one.marked, "I06", "two renames were made in another order on each copy")


def a_child_that_was_away_takes_part_still() -> AbstractContextManager[object]:
    return mock.patch.object(Streams, "child_turned", return_value=None)


async def children_that_are_away_for_a_moment() -> None:
    async with stage(2, clients=2, quorum_type="none") as (one, two):
        fd = await one.make(b"f", b"old")
        other = await two.open(b"f")
        await one.write(fd, b"A")
        for connection in one.connections:
            connection.go_down()
            connection.come_up()
        await two.write(other, b"B")
        async with anyio.create_task_group() as group:
            for person, open_fd, seconds, data in ((one, fd, (1.0, 3.0), b"one"), (two, other, (2.0, 2.0), b"two")):
                for connection, delay in zip(person.connections, seconds, strict=True):
                    connection.before["writev"] = delay
                group.start_soon(person.write, open_fd, data)
        for person, open_fd in ((one, fd), (two, other)):
            await person.afr.flush(person.call, open_fd)
        must(one.alike or one.marked, "I06", "a client wrote without the locks that it had lost")


# --- waiting ---------------------------------------------------------------------------------------------------------


def keeps_a_lock_that_others_want() -> AbstractContextManager[object]:
    return mock.patch.object(ReplicaSet, "_contended", return_value=None)


async def a_lock_that_another_client_wants() -> None:
    async with stage(2, clients=2, quorum_type="none") as (one, two):
        fd = await one.make(b"f", b"old")
        await one.write(fd, b"one")
        await two.write_and_flush(await two.open(b"f"), b"two")


async def a_directory_that_another_client_wants() -> None:
    async with stage(2, clients=2, quorum_type="none") as (one, two):
        await one.make(b"f")
        await one.rename(b"f", b"g")
        await two.rename(b"g", b"h")


def entry_locks_have_no_order() -> AbstractContextManager[object]:
    return mock.patch.object(EntryLock, "order", property(lambda self: (b"", b"")))


async def two_renames_that_meet() -> None:
    async with stage(2, clients=2, quorum_type="none", eager_entry_lock="off") as (one, two):
        await one.make(b"a")
        await one.make(b"b")
        for person in (one, two):
            for connection in person.connections:
                connection.before["entrylk"] = 0.1
        async with anyio.create_task_group() as group:
            group.start_soon(one.rename, b"a", b"b")
            group.start_soon(refused, two.rename(b"b", b"a"))


def waits_for_every_child() -> AbstractContextManager[object]:
    tell = ReplicaSet._tell_parents

    def late(self: ReplicaSet, better: bool) -> None:
        if len(self.known.heard) == len(self.children):
            tell(self, better)

    return mock.patch.object(ReplicaSet, "_tell_parents", late)


class Silent(Fated):
    """A child that never says whether it is up."""

    def notify(self, event: Event) -> None:
        pass


async def a_child_that_says_nothing() -> None:
    stores = [MemoryStore() for _ in range(3)]
    for third in (Fated, Silent):  # at first all are needed, to make them known to each other
        kinds: list[type[Fated]] = [Fated, Fated, third]
        bricks = [Memory(f"m{number}", store=store) for number, store in enumerate(stores)]
        children = [kind(f"b{number}", [brick]) for number, (kind, brick) in enumerate(zip(kinds, bricks, strict=True))]
        async with Graph(Afr("mirror", children, self_heal_daemon=False), simulated(0)) as graph:
            must(await graph.up(wait=30), "I22", "two children of three are up, and the afr waits for the third")


# --- applications' locks ---------------------------------------------------------------------------------------------


@contextmanager
def opens_what_was_locked_again() -> Iterator[None]:
    disconnected = OpenFds.disconnected

    def forgetful(self: OpenFds) -> None:
        self._locks.clear()
        disconnected(self)

    with mock.patch.object(OpenFds, "disconnected", forgetful):
        yield


def a_lock_that_went_with_its_connection() -> str:
    wrong = lock_history(brick("a"), ROUGH, 3, seconds=200).violations()
    return wrong[0] if wrong else ""


def holds_what_a_child_has_forgotten() -> AbstractContextManager[object]:
    return mock.patch.object(ApplicationLocks, "went", return_value=None)


def takes_nothing_once_more() -> AbstractContextManager[object]:
    async def nowhere(self: ApplicationLocks, fd: Fd, children: frozenset[int]) -> frozenset[int]:
        return children

    return mock.patch.object(ApplicationLocks, "retake", nowhere)


def keeps_an_fd_whose_lock_is_lost() -> AbstractContextManager[object]:
    return mock.patch.object(ApplicationLocks, "_lost", return_value=None)


async def a_lock_while_children_go_and_come() -> None:
    async with stage(3, clients=2) as (one, two):
        fd = await one.make(b"f", b"text")
        other = await two.open(b"f")
        await one.afr.lk(one.call, fd, LockCommand.SET, Flock(LockType.WRITE))
        for child in range(3):
            for person in (one, two):
                person.connections[child].go_down()
                person.connections[child].come_up()
            await anyio.sleep(1)
        taken = not await refused(two.afr.lk(two.call, other, LockCommand.SET, Flock(LockType.WRITE)))
        must(not taken, "I21", "another client got what a quorum held all the time")
        await one.write_and_flush(fd, b"TEXT")


async def a_lock_that_a_quorum_has_forgotten() -> None:
    async with stage(3, clients=2) as (one, two):
        fd = await one.make(b"f", b"text")
        other = await two.open(b"f")
        await one.afr.lk(one.call, fd, LockCommand.SET, Flock(LockType.WRITE))
        for child in (0, 1):
            one.connections[child].go_down()
        two.connections[2].go_down()
        await two.afr.lk(two.call, other, LockCommand.SET, Flock(LockType.WRITE))
        for child in (0, 1):
            one.connections[child].come_up()
        must(await refused(one.write(fd, b"mine")), "I21", "two clients write, and each has locked out the other")
        await two.write_and_flush(other, b"mine")


LOCKS = (
    Mutant(
        "F65",
        "after an error locks are given back under another name",
        unlocks_as_somebody_else_after_an_error,
        by_scenario(disks_that_are_full_for_a_moment),
    ),
    Mutant(
        "F66",
        "all changes of a client have one lock owner",
        all_changes_have_one_owner,
        by_scenario(two_changes_that_overtake_each_other),
    ),
    Mutant(
        "F67",
        "of several locks that are granted at once one is forgotten",
        loses_count_of_one_lock,
        by_scenario(locks_that_are_answered_at_once),
    ),
    Mutant(
        "F68",
        "a change that got no lock stays the first in the queue",
        a_failed_lock_keeps_its_place,
        by_scenario(locks_that_are_lost_once),
    ),
    Mutant(
        "F69",
        "a lock kept for changes to come is not given up for others",
        keeps_a_lock_that_others_want,
        by_scenario(a_lock_that_another_client_wants),
    ),
    Mutant(
        "F72",
        "an fd is opened again after a reconnect, though what was locked through it is not",
        opens_what_was_locked_again,
        a_lock_that_went_with_its_connection,
    ),
    Mutant("F73", "entry locks are taken in no order", entry_locks_have_no_order, by_scenario(two_renames_that_meet)),
    Mutant(
        "F74",
        "a child that came back takes part though its lock is gone",
        a_child_that_was_away_takes_part_still,
        by_scenario(children_that_are_away_for_a_moment),
    ),
    Mutant(
        "F75", "a silent child keeps everybody waiting", waits_for_every_child, by_scenario(a_child_that_says_nothing)
    ),
    Mutant(
        "L8",
        "a lock counts as held on children that have forgotten it",
        holds_what_a_child_has_forgotten,
        by_scenario(a_lock_that_a_quorum_has_forgotten),
    ),
    Mutant(
        "L9",
        "a lock is not taken once more on children that come back",
        takes_nothing_once_more,
        by_scenario(a_lock_while_children_go_and_come),
    ),
    Mutant(
        "L10",
        "an fd is good though what was locked through it is lost",
        keeps_an_fd_whose_lock_is_lost,
        by_scenario(a_lock_that_a_quorum_has_forgotten),
    ),
    Mutant(
        "L11",
        "changes of one name in a directory that is kept locked overtake each other",
        names_that_overlap_do_not_wait,
        by_scenario(two_renames_to_one_name),
    ),
    Mutant(
        "L12",
        "a directory that is kept locked is not given up for others",
        keeps_a_lock_that_others_want,
        by_scenario(a_directory_that_another_client_wants),
    ),
)
