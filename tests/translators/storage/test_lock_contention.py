"""Whoever holds a lock is told that others want it."""

import errno

from tests.translators.storage.lock_calls import (
    ANN,
    BOB,
    CAT,
    DIRECTORY,
    FILE,
    LOCK,
    READ,
    RELEASE,
    SET,
    UNLOCK,
    WAIT,
    WRITE,
    entrylk,
    inodelk,
    refused,
    waits,
)
from volgraph.graph import Flock, Gfid
from volgraph.translators.storage.lock_table import LockTable


def test_holders_are_told_that_somebody_wants_their_lock() -> None:
    told: list[tuple[Gfid, str, bytes | None, str]] = []
    table = LockTable(lambda *news: told.append(news))
    inodelk(table, ANN, READ)
    inodelk(table, CAT, READ)
    refused(errno.EAGAIN, inodelk, table, BOB)
    assert told == [(FILE, "d", None, "one"), (FILE, "d", None, "two")]
    told.clear()
    entrylk(table, ANN, b"n")
    entrylk(table, BOB, None, LOCK)
    assert told == [(DIRECTORY, "d", b"n", "one")]
    told.clear()
    table.lk(ANN, FILE, SET, Flock(WRITE))
    refused(errno.EAGAIN, table.lk, BOB, FILE, SET, Flock(WRITE))

    assert told == []


def test_whoever_is_granted_a_lock_that_others_wait_for_is_told_so_after_its_answer() -> None:
    told: list[tuple[str, bool]] = []
    table = LockTable(lambda gfid, domain, name, client: told.append((client, waits(second))))
    inodelk(table, ANN)
    second: object = None
    second = inodelk(table, CAT, command=WAIT)
    inodelk(table, BOB, command=WAIT)
    told.clear()
    inodelk(table, ANN, UNLOCK)

    assert told == [("two", False)]


def test_the_holder_of_one_lock_is_told_but_once_in_a_while() -> None:
    times, told = [0.0], []
    table = LockTable(lambda *news: told.append(news[2:]), now=lambda: times[-1], notice_delay=5.0)
    entrylk(table, ANN, b"n")
    for time, count in ((1.0, 1), (5.9, 1), (6.0, 2), (7.0, 2)):
        times.append(time)
        refused(errno.EAGAIN, entrylk, table, BOB, b"n")
        assert len(told) == count
    entrylk(table, ANN, b"n", RELEASE)
    entrylk(table, ANN, b"n")
    refused(errno.EAGAIN, entrylk, table, BOB, b"n")

    assert told == [(b"n", "one")] * 3, "a lock that is new has not been told of yet"


def test_a_holder_may_give_its_lock_back_while_it_is_told() -> None:
    def give_back(*_: object) -> None:
        inodelk(table, ANN, UNLOCK)

    table = LockTable(give_back)
    inodelk(table, ANN)
    answer = inodelk(table, BOB, command=WAIT)

    assert not waits(answer)
    assert [lock.owner for lock in table.holders(FILE)] == [b"bob"]
