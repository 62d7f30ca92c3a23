"""fcntl locks in the lock table of a brick: ranges that join and split, circles, and what goes with an fd."""

import errno

from tests.translators.storage.lock_calls import (
    ANN,
    BOB,
    CAT,
    DIRECTORY,
    FILE,
    GET,
    READ,
    SET,
    UNLOCK,
    WAIT,
    WRITE,
    inodelk,
    refused,
    rejected,
    waits,
)
from volgraph.graph import Call, Coming, Done, Flock
from volgraph.translators.storage.lock_table import LockTable


def spans(table: LockTable, call: Call = ANN) -> list[tuple[int, int, bool]]:
    held = [lock for lock in table.holders(FILE) if (lock.client, lock.owner) == (call.client, call.lk_owner)]
    return sorted((lock.start, lock.end, lock.exclusive) for lock in held)


def test_fcntl_ranges_of_one_owner_join_split_and_change_their_type() -> None:
    table = LockTable()
    table.lk(ANN, FILE, SET, Flock(WRITE, 0, 10))
    table.lk(ANN, FILE, SET, Flock(WRITE, 10, 10))
    assert spans(table) == [(0, 20, True)]
    table.lk(ANN, FILE, SET, Flock(READ, 5, 5))
    assert spans(table) == [(0, 5, True), (5, 10, False), (10, 20, True)]
    table.lk(ANN, FILE, SET, Flock(UNLOCK, 2, 10))
    assert spans(table) == [(0, 2, True), (12, 20, True)]
    table.lk(ANN, FILE, SET, Flock(WRITE, 2, 10))
    assert spans(table) == [(0, 20, True)]
    table.lk(ANN, FILE, SET, Flock(UNLOCK))

    assert (spans(table), table.held) == ([], 0)


def test_unlocking_what_fcntl_does_not_hold_succeeds() -> None:
    table = LockTable()

    assert isinstance(table.lk(ANN, FILE, SET, Flock(UNLOCK, 5, 5)), Done)


def test_getlk_answers_the_lowest_lock_in_the_way_and_unlock_where_there_is_none() -> None:
    table = LockTable()
    table.lk(ANN, FILE, SET, Flock(WRITE, 100, 10, pid=7))
    table.lk(ANN, FILE, SET, Flock(READ, 50, 10, pid=7))
    found = table.lk(BOB, FILE, GET, Flock(WRITE, 0, 0))
    assert isinstance(found, Done)
    assert found.value.flock == Flock(READ, 50, 10, 7, b"ann")
    free = table.lk(BOB, FILE, GET, Flock(READ, 50, 10))
    assert isinstance(free, Done)
    assert free.value.flock == Flock(UNLOCK, 50, 10)
    own = table.lk(ANN, FILE, GET, Flock(WRITE))
    assert isinstance(own, Done)
    assert own.value.flock.type == UNLOCK


def test_a_blocked_fcntl_lock_is_answered_with_the_range_that_was_asked() -> None:
    table = LockTable()
    table.lk(ANN, FILE, SET, Flock(WRITE, 0, 10))
    table.lk(BOB, FILE, SET, Flock(WRITE, 10, 10))
    waiting = table.lk(BOB, FILE, WAIT, Flock(WRITE, 5, 5))
    table.release_owner(ANN, FILE)

    assert isinstance(waiting, Coming)
    assert waiting.result().flock == Flock(WRITE, 5, 5)
    assert spans(table, BOB) == [(5, 20, True)]


def test_a_downgrade_lets_waiting_readers_in() -> None:
    table = LockTable()
    table.lk(ANN, FILE, SET, Flock(WRITE))
    waiting = table.lk(BOB, FILE, WAIT, Flock(READ))
    table.lk(ANN, FILE, SET, Flock(READ))

    assert not waits(waiting)


def test_a_circle_of_waiting_owners_is_edeadlk() -> None:
    table = LockTable()
    table.lk(ANN, FILE, SET, Flock(WRITE, 0, 1))
    table.lk(BOB, FILE, SET, Flock(WRITE, 1, 1))
    table.lk(CAT, DIRECTORY, SET, Flock(WRITE))
    assert waits(table.lk(ANN, FILE, WAIT, Flock(WRITE, 1, 1)))
    assert waits(table.lk(BOB, DIRECTORY, WAIT, Flock(WRITE)))
    refused(errno.EDEADLK, table.lk, CAT, FILE, WAIT, Flock(WRITE, 0, 1))

    assert table.waiting == 2


def test_closing_a_file_gives_back_the_callers_fcntl_locks_alone() -> None:
    table = LockTable()
    table.lk(ANN, FILE, SET, Flock(WRITE, 0, 10))
    table.lk(BOB, FILE, SET, Flock(WRITE, 10, 10))
    inodelk(table, ANN)
    table.release_owner(ANN, FILE)

    assert spans(table) == [(0, 1 << 64, True)]
    assert spans(table, BOB) == [(10, 20, True)]


def test_an_fd_that_goes_takes_its_owners_locks_and_requests_with_it() -> None:
    table = LockTable()
    table.lk(ANN, FILE, SET, Flock(WRITE, 0, 1))
    table.lk(BOB, FILE, SET, Flock(WRITE, 1, 1))
    requests = [table.lk(ANN, FILE, WAIT, Flock(WRITE, 1, 1)), table.lk(CAT, FILE, WAIT, Flock(WRITE, 0, 1))]
    table.abandon(ANN.client, ANN.lk_owner, FILE)

    assert rejected(requests[0], errno.ECANCELED)
    assert not waits(requests[1])
    assert table.lk_count(FILE) == 2


def test_an_fcntl_request_that_waits_is_withdrawn_by_an_unlock_of_the_same_range() -> None:
    table = LockTable()
    table.lk(ANN, FILE, SET, Flock(WRITE))
    waiting = table.lk(BOB, FILE, WAIT, Flock(WRITE, 3, 4))
    table.lk(BOB, FILE, SET, Flock(UNLOCK, 3, 5))
    assert waits(waiting)
    table.lk(BOB, FILE, SET, Flock(UNLOCK, 3, 4))

    assert rejected(waiting, errno.ECANCELED)
