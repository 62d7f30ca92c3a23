"""Requests to a lock table, as short as tests of it need them, and what became of them."""

from collections.abc import Callable

import pytest

from volgraph.graph import Acknowledged, Call, Coming, Done, EntryLockCommand, Flock, Gfid, LockCommand, LockType
from volgraph.translators.storage.lock_table import LockTable

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
