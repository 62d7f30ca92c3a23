"""entrylk in the lock table of a brick: single names, and all names of a directory."""

import errno

from tests.translators.storage.lock_calls import (
    ANN,
    BOB,
    CAT,
    DIRECTORY,
    LOCK,
    RELEASE,
    TRY,
    UNLOCK,
    WRITE,
    entrylk,
    refused,
    waits,
)
from volgraph.translators.storage.lock_table import LockTable


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
