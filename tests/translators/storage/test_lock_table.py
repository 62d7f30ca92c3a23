"""inodelk in the lock table of a brick: what excludes what, who waits, and what goes with its owner."""

import errno

import attrs
import pytest

from tests.translators.storage.lock_calls import (
    ANN,
    BOB,
    CAT,
    DIRECTORY,
    FILE,
    GET,
    LOCK,
    READ,
    SET,
    UNLOCK,
    WAIT,
    WRITE,
    entrylk,
    inodelk,
    refused,
    rejected,
    waits,
)
from volgraph.graph import Acknowledged, Call, Coming, Done, EntryLockCommand, Flock
from volgraph.translators.storage.lock_table import WITHDRAW_KEY, LockTable


def test_a_lock_that_another_owner_holds_is_refused_with_eagain_until_it_is_given_back() -> None:
    table = LockTable()
    inodelk(table, ANN)
    refused(errno.EAGAIN, inodelk, table, BOB)
    inodelk(table, ANN, UNLOCK)

    assert isinstance(inodelk(table, BOB), Done)


def test_the_same_owner_bytes_on_another_connection_are_another_owner() -> None:
    table = LockTable()
    inodelk(table, ANN)

    refused(errno.EAGAIN, inodelk, table, CAT)


def test_readers_share_and_a_writer_excludes_them() -> None:
    table = LockTable()
    inodelk(table, ANN, READ)
    inodelk(table, BOB, READ)
    refused(errno.EAGAIN, inodelk, table, CAT, WRITE)

    assert len(table.holders(FILE)) == 2


def test_ranges_that_do_not_meet_are_independent() -> None:
    table = LockTable()
    inodelk(table, ANN, start=0, length=10)
    inodelk(table, BOB, start=10, length=10)
    refused(errno.EAGAIN, inodelk, table, CAT, start=9, length=2)
    inodelk(table, CAT, start=20)  # length 0 reaches to the end
    refused(errno.EAGAIN, inodelk, table, ANN, start=(1 << 63) - 2, length=1)

    assert table.conflicting() == []


def test_domains_and_objects_are_separate() -> None:
    table = LockTable()
    inodelk(table, ANN)
    inodelk(table, BOB, domain="other")
    inodelk(table, BOB, gfid=DIRECTORY)

    assert table.inodelk_count(FILE) == 2
    assert table.inodelk_count(FILE, "d") == 1
    assert table.inodelk_count(FILE, "nowhere") == 0


def test_locks_of_one_owner_stack_and_each_unlock_takes_one_away() -> None:
    table = LockTable()
    inodelk(table, ANN)
    inodelk(table, ANN)
    inodelk(table, ANN, UNLOCK)
    refused(errno.EAGAIN, inodelk, table, BOB)
    inodelk(table, ANN, UNLOCK)
    refused(errno.EINVAL, inodelk, table, ANN, UNLOCK)
    inodelk(table, BOB)

    assert table.held == 1


def test_unlocking_another_range_than_was_locked_is_einval() -> None:
    table = LockTable()
    inodelk(table, ANN, start=0, length=10)
    refused(errno.EINVAL, inodelk, table, ANN, UNLOCK, start=0, length=5)
    refused(errno.EINVAL, inodelk, table, BOB, UNLOCK, start=0, length=10)
    refused(errno.EINVAL, inodelk, table, ANN, UNLOCK, start=0, length=10, domain="other")

    assert table.held == 1


@pytest.mark.parametrize(
    ("command", "flock"),
    [
        (GET, Flock(WRITE)),
        (9, Flock(WRITE)),
        (SET, Flock(7)),
        (SET, Flock(WRITE, -1)),
        (SET, Flock(WRITE, 0, -1)),
        (SET, Flock(WRITE, 1 << 64)),
        (SET, Flock(WRITE, whence=1)),
    ],
)
def test_an_inodelk_request_that_makes_no_sense_is_einval(command: int, flock: Flock) -> None:
    table = LockTable()
    refused(errno.EINVAL, table.inodelk, ANN, "d", FILE, command, flock)

    assert table.held == 0


def test_blocked_requests_are_granted_in_the_order_of_their_arrival() -> None:
    table = LockTable()
    inodelk(table, ANN)
    first = inodelk(table, BOB, command=WAIT)
    second = inodelk(table, CAT, command=WAIT)
    assert waits(first)
    inodelk(table, ANN, UNLOCK)
    assert not waits(first)
    assert waits(second)
    inodelk(table, BOB, UNLOCK)

    assert isinstance(second, Coming)
    assert second.result() == Acknowledged()
    assert table.waiting == 0


def test_a_reader_does_not_overtake_a_waiting_writer() -> None:
    table = LockTable()
    inodelk(table, ANN, READ)
    writer = inodelk(table, BOB, WRITE, command=WAIT)
    refused(errno.EAGAIN, inodelk, table, CAT, READ)
    reader = inodelk(table, CAT, READ, command=WAIT)
    inodelk(table, ANN, UNLOCK)

    assert not waits(writer)
    assert waits(reader)


def test_a_release_lets_no_reader_overtake_a_writer_that_still_has_to_wait() -> None:
    table = LockTable()
    inodelk(table, ANN, READ)
    inodelk(table, BOB, READ)
    writer = inodelk(table, CAT, WRITE, command=WAIT)
    reader = inodelk(table, Call(client="three", lk_owner=b"dot"), READ, command=WAIT)
    inodelk(table, ANN, UNLOCK)
    assert waits(writer)
    assert waits(reader)
    inodelk(table, BOB, UNLOCK)

    assert not waits(writer)


def test_a_request_that_meets_no_waiting_one_is_granted_past_the_queue() -> None:
    table = LockTable()
    inodelk(table, ANN, start=0, length=10)
    assert waits(inodelk(table, BOB, start=0, length=10, command=WAIT))

    assert isinstance(inodelk(table, CAT, start=50, length=10, command=WAIT), Done)


def test_an_owner_that_holds_there_is_not_queued_behind_those_who_wait_for_it() -> None:
    table = LockTable()
    inodelk(table, ANN, READ)
    assert waits(inodelk(table, BOB, WRITE, command=WAIT))

    assert isinstance(inodelk(table, ANN, READ, command=WAIT), Done)
    assert isinstance(inodelk(table, ANN, WRITE, command=WAIT), Done)


def test_a_lock_that_an_owner_gets_frees_its_older_request_from_the_queue() -> None:
    table = LockTable()
    inodelk(table, CAT, READ, start=9, length=1)
    assert waits(inodelk(table, BOB, WRITE, start=0, length=10, command=WAIT))
    older = inodelk(table, ANN, READ, start=0, length=2, command=WAIT)
    assert waits(older)
    inodelk(table, ANN, READ, start=50, length=1)  # now those who wait may be waiting for ann

    assert not waits(older)


def test_an_owner_that_holds_a_name_is_not_queued_for_another_behind_one_who_wants_them_all() -> None:
    table = LockTable()
    entrylk(table, ANN, b"a")
    assert waits(entrylk(table, BOB, None, EntryLockCommand.LOCK))

    assert isinstance(entrylk(table, ANN, b"b", EntryLockCommand.LOCK), Done)  # a rename; bob waits for its end


def test_an_unlock_withdraws_a_request_that_still_waits() -> None:
    table = LockTable()
    inodelk(table, ANN, READ)
    writer = inodelk(table, BOB, WRITE, command=WAIT)
    reader = inodelk(table, CAT, READ, command=WAIT)
    inodelk(table, BOB, UNLOCK)

    assert rejected(writer, errno.ECANCELED)
    assert not waits(reader)
    assert table.waiting == 0


def test_a_client_that_goes_gives_everything_back_and_its_requests_are_answered() -> None:
    table = LockTable()
    inodelk(table, CAT)
    entrylk(table, ANN, b"n")
    entrylk(table, CAT, b"n", type=READ, domain="other")
    mine = inodelk(table, ANN, command=WAIT)
    theirs = entrylk(table, CAT, b"n", LOCK)
    table.disconnect("two")

    assert rejected(theirs, errno.ENOTCONN)
    assert not waits(mine)
    assert {(lock.client, lock.owner) for lock in (*table.holders(FILE), *table.holders(DIRECTORY))} == {
        ("one", b"ann")
    }
    table.disconnect("one")
    assert (table.held, table.waiting) == (0, 0)


def test_a_brick_that_goes_down_answers_every_waiting_request() -> None:
    table = LockTable()
    inodelk(table, ANN)
    waiting = inodelk(table, BOB, command=WAIT)
    table.close()

    assert rejected(waiting, errno.ENOTCONN)
    assert (table.held, table.waiting) == (0, 0)


def test_the_number_of_locks_and_of_waiting_requests_is_bounded() -> None:
    table = LockTable(locks_max=2, waiting_max=1)
    inodelk(table, ANN, start=0, length=1)
    inodelk(table, ANN, start=1, length=1)
    refused(errno.ENOLCK, inodelk, table, ANN, start=2, length=1)
    assert waits(inodelk(table, BOB, start=0, length=1, command=WAIT))
    refused(errno.ENOLCK, inodelk, table, CAT, start=0, length=1, command=WAIT)
    inodelk(table, ANN, UNLOCK, start=1, length=1)

    assert isinstance(inodelk(table, ANN, start=2, length=1), Done)


def test_one_client_cannot_use_up_what_there_is_for_all() -> None:
    table = LockTable(client_max=2)
    inodelk(table, CAT, start=0, length=1)
    assert waits(inodelk(table, ANN, start=0, length=1, command=WAIT))
    table.lk(ANN, FILE, SET, Flock(WRITE, 0, 10))
    refused(errno.ENOLCK, inodelk, table, ANN, start=7, length=1)
    refused(errno.ENOLCK, inodelk, table, ANN, start=0, length=1, command=WAIT)
    refused(errno.ENOLCK, table.lk, BOB, FILE, SET, Flock(WRITE, 20, 1))
    refused(errno.ENOLCK, table.lk, ANN, FILE, SET, Flock(UNLOCK, 5, 1))
    entrylk(table, CAT, b"n")
    table.lk(ANN, FILE, SET, Flock(UNLOCK, 0, 5))
    table.lk(ANN, FILE, SET, Flock(UNLOCK))
    inodelk(table, ANN, start=7, length=1)

    assert table.of_clients() == {"one": 2, "two": 2}


@pytest.mark.parametrize("owner", [b"", bytes(8)])
def test_an_owner_of_zeros_is_none(owner: bytes) -> None:
    table, nobody = LockTable(), Call(client="one", lk_owner=owner)
    refused(errno.EINVAL, inodelk, table, nobody)
    refused(errno.EINVAL, inodelk, table, nobody, command=WAIT)
    refused(errno.EINVAL, entrylk, table, nobody, b"n")
    refused(errno.EINVAL, table.lk, nobody, FILE, SET, Flock(WRITE))
    table.lk(ANN, FILE, SET, Flock(WRITE))

    found = table.lk(nobody, FILE, GET, Flock(WRITE))
    assert isinstance(found, Done)
    assert found.value.flock.type == WRITE, "anybody may ask"


@pytest.mark.parametrize("says_so", [True, False])
def test_an_owner_that_holds_and_waits_can_say_that_it_gives_up_waiting(says_so: bool) -> None:
    table = LockTable()
    gives_up = attrs.evolve(ANN, xdata={WITHDRAW_KEY: 1}) if says_so else ANN
    inodelk(table, ANN, READ)
    inodelk(table, CAT, READ)
    waiting = inodelk(table, ANN, WRITE, command=WAIT)
    inodelk(table, gives_up, UNLOCK)
    table.lk(ANN, FILE, SET, Flock(READ))
    table.lk(CAT, FILE, SET, Flock(READ))
    upgrade = table.lk(ANN, FILE, WAIT, Flock(WRITE))
    table.lk(gives_up, FILE, SET, Flock(UNLOCK))

    assert (waits(waiting), waits(upgrade)) == (not says_so, not says_so)
    kept = [lock.owner for lock in table.holders(FILE) if lock.client == "one"]
    assert kept == ([b"ann"] * 2 if says_so else [])


def test_what_was_granted_before_the_caller_gave_up_is_given_back_all_the_same() -> None:
    table = LockTable()
    gives_up = attrs.evolve(BOB, xdata={WITHDRAW_KEY: 1})
    inodelk(table, ANN)
    waiting = inodelk(table, BOB, command=WAIT)
    inodelk(table, ANN, UNLOCK)
    assert not waits(waiting)
    inodelk(table, gives_up, UNLOCK)

    assert (table.held, table.waiting) == (0, 0)
