"""Planted bugs in how an afr leaves laggards behind."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any
from unittest import mock

import anyio

from ..graph import Answers, Call, Fd, Flock, LockCommand, LockType
from ..translators.cluster.afr.application_locks import ApplicationLocks
from ..translators.cluster.afr.laggards import Laggards
from ..translators.cluster.afr.locks import Lock
from ..translators.cluster.afr.transaction import Transaction
from .hunts import Mutant, by_scenario, by_sweep, impatient, must, refused
from .operations import WRITE_AND_LEAVE, WRITEV
from .stage import stage
from .sweep import LATE_TOO

LATE_SECONDS = 30.0


@contextmanager
def lifts_the_fence_at_once() -> Iterator[None]:
    leave_behind = Laggards._leave_behind

    def left(self: Laggards, answers: Answers[Any]) -> None:
        leave_behind(self, answers)
        self.fences.clear()
        self._afr.take_part(self._afr.admitted, better=True)

    with mock.patch.object(Laggards, "_leave_behind", left):
        yield


@contextmanager
def does_not_blame_who_is_fenced() -> Iterator[None]:
    happened = Transaction.happened

    def spared(self: Transaction, blame: frozenset[int]) -> None:
        happened(self, blame - self.afr.laggards.fenced)

    with mock.patch.object(Transaction, "happened", spared):
        yield


def gives_the_locks_of_a_laggard_back_at_once() -> AbstractContextManager[object]:
    def give(
        self: Laggards, answers: Answers[Any], children: Collection[int], lock: Lock, call: Call, domain: str
    ) -> None:
        lock.give(answers, [self._afr.children[child] for child in children], call, domain)

    return mock.patch.object(Laggards, "give", give)


async def a_heal_beside_a_write_that_comes_late() -> None:
    """Another client, for which nobody lags, heals what the first one has left behind."""
    async with stage(2, clients=2, quorum_type="none", laggard_timeout=1.0) as (one, two):
        fd = await one.make(b"f", b"-----")
        one.connections[1].before["writev"] = LATE_SECONDS
        await one.write_and_flush(fd, b"late!")
        await one.write_and_flush(fd, b"newer")
        must(two.on_disk(0, b"f") == b"newer", "I01", "what was acked is not there")
        await two.afr.heal()
        await anyio.sleep(LATE_SECONDS)
        must(two.on_disk(1, b"f") != b"late!" or two.marked, "I06", "what came late landed on what was healed")
        must((await two.afr.heal()).clean and two.on_disk(1, b"f") == b"newer", "I07", "it is not healed")
        must(two.locks == 0, "I21", f"{two.locks} locks are left")


@contextmanager
def takes_a_silent_child_for_a_holder() -> Iterator[None]:
    failed_on = ApplicationLocks.failed_on

    def trusting(self: ApplicationLocks, fd: Fd, children: frozenset[int]) -> None:
        with suppress(OSError):
            failed_on(self, fd, children)

    with mock.patch.object(ApplicationLocks, "failed_on", trusting):
        yield


async def a_silent_child_that_was_started_anew() -> None:
    """It has forgotten a lock, and given it to another client, and the holder's connection to it is not cut yet."""
    async with stage(3, clients=2, laggard_timeout=1.0) as (one, two):
        mine, theirs = await one.make(b"f", b"text"), await two.open(b"f")
        flock = Flock(LockType.WRITE)
        one.connections[2].go_down()
        await one.afr.lk(one.call, mine, LockCommand.SET, flock)
        one.connections[1].lose_locks()
        two.connections[0].go_down()
        await two.afr.lk(two.call, theirs, LockCommand.SET, flock)
        one.connections[2].come_up()
        await anyio.sleep(0.1)
        for fop in ("writev", "finodelk", "fxattrop", "lk"):
            one.connections[1].before[fop] = 10 * LATE_SECONDS
        must(await refused(one.write(mine, b"mine")), "I21", "who has lost its lock writes on")
        await two.write(theirs, b"text")


LAGGARDS = (
    Mutant(
        "L15",
        "a child that is silent counts as one that holds a lock",
        takes_a_silent_child_for_a_holder,
        by_scenario(a_silent_child_that_was_started_anew),
    ),
    Mutant(
        "L1",
        "the fence of a laggard is lifted at once",
        lifts_the_fence_at_once,
        by_sweep(impatient, WRITEV, 2, fates=LATE_TOO, faults_max=1),
    ),
    Mutant(
        "L2",
        "a laggard is fenced, and not blamed",
        does_not_blame_who_is_fenced,
        by_sweep(impatient, WRITE_AND_LEAVE, 2, fates=LATE_TOO, faults_max=1),
    ),
    Mutant(
        "L3",
        "the locks of a laggard are given back before it has answered",
        gives_the_locks_of_a_laggard_back_at_once,
        by_scenario(a_heal_beside_a_write_that_comes_late),
    ),
)
