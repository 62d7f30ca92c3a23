"""Locks of a brick: what excludes what, who waits, and what everybody is told."""

import errno
from collections.abc import Callable

import attrs
import pytest

from volgraph.graph import Acknowledged, Call, Coming, Done, EntryLockCommand, Flock, Gfid, LockCommand, LockType
from volgraph.translators.storage.lock_table import WITHDRAW_KEY, LockTable

FILE = Gfid(b"file".ljust(16, b"\0"))
DIRECTORY = Gfid(b"directory".ljust(16, b"\0"))

GET, SET, WAIT = LockCommand
READ, WRITE, UNLOCK = LockType
LOCK, RELEASE, TRY = EntryLockCommand

ANN = Call(client="one", lk_owner=b"ann")
BOB = Call(client="one", lk_owner=b"bob")
CAT = Call(client="two", lk_owner=b"ann")  # the owner bytes of ann, but another connection

Answer = Done[Acknowledged] | Coming[Acknowledged]


def inodelk(
    table: LockTable,
    call: Call,
    type: int = WRITE,
    start: int = 0,
    length: int = 0,
    command: int = SET,
    domain: str = "d",
    gfid: Gfid = FILE,
) -> Answer:
    return table.inodelk(call, domain, gfid, command, Flock(type, start, length))


def entrylk(
    table: LockTable,
    call: Call,
    name: bytes | None,
    command: int = TRY,
    type: int = WRITE,
    domain: str = "d",
) -> Answer:
    return table.entrylk(call, domain, DIRECTORY, name, command, type)


def waits(answer: object) -> bool:
    return isinstance(answer, Coming) and not answer.settled


def refused(code: int, fop: Callable[..., object], *args: object, **kwargs: object) -> None:
    with pytest.raises(OSError) as caught:
        fop(*args, **kwargs)
    assert caught.value.errno == code


def rejected(answer: object, code: int) -> bool:
    assert isinstance(answer, Coming)
    if not answer.settled:
        return False
    with pytest.raises(OSError) as caught:
        answer.result()
    return caught.value.errno == code


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


# --- entrylk ---------------------------------------------------------------------------------------------------------


def test_entry_locks_on_different_names_are_independent_and_the_whole_directory_covers_all() -> None:
    table = LockTable()
    entrylk(table, ANN, b"a")
    entrylk(table, BOB, b"b")
    refused(errno.EAGAIN, entrylk, table, CAT, b"a")
    refused(errno.EAGAIN, entrylk, table, CAT, None)
    refused(errno.EAGAIN, entrylk, table, CAT, b"")
    entrylk(table, ANN, b"a", RELEASE)
    entrylk(table, BOB, b"b", RELEASE)
    entrylk(table, CAT, None)
    refused(errno.EAGAIN, entrylk, table, ANN, b"anything")

    assert table.entrylk_count(DIRECTORY) == 1
    assert table.entrylk_count(DIRECTORY, b"anything") == 1


def test_entry_locks_wait_and_are_counted_while_they_do() -> None:
    table = LockTable()
    entrylk(table, ANN, b"a")
    waiting = entrylk(table, BOB, b"a", LOCK)
    assert table.entrylk_count(DIRECTORY, b"a") == 2
    assert table.entrylk_count(DIRECTORY, b"b") == 0
    entrylk(table, ANN, b"a", RELEASE)

    assert not waits(waiting)


def test_an_entrylk_request_that_makes_no_sense_is_einval() -> None:
    table = LockTable()
    refused(errno.EINVAL, table.entrylk, ANN, "d", DIRECTORY, b"a", 5, WRITE)
    refused(errno.EINVAL, table.entrylk, ANN, "d", DIRECTORY, b"a", TRY, UNLOCK)
    refused(errno.EINVAL, entrylk, table, ANN, b"never locked", RELEASE)


# --- fcntl -----------------------------------------------------------------------------------------------------------


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
