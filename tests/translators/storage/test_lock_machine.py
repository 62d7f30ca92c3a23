"""The lock table against a model that is too simple to be wrong (I21)."""

import errno
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from volgraph.graph import Call, Coming, EntryLockCommand, Flock, Gfid, LockCommand, LockType
from volgraph.translators.storage.lock_table import LockTable

GFIDS = [Gfid(bytes([n]) * 16) for n in (1, 2)]
BYTES = 4
"""Ranges lie within so few bytes that they often meet."""

owners = st.tuples(st.sampled_from(["one", "two"]), st.sampled_from([b"a", b"b"]))
places = st.sampled_from(GFIDS)
domains = st.sampled_from(["d", "e"])
ranges = st.tuples(st.integers(0, BYTES - 1), st.integers(1, BYTES)).map(
    lambda each: frozenset(range(each[0], min(each[0] + each[1], BYTES)))
)
names = st.sampled_from([None, b"n", b"m"])


@attrs.define(eq=False)
class Wanted:
    """A stacking lock in the model: `units` are the bytes or names it covers, one by one."""

    owner: tuple[str, bytes]
    place: tuple[str, Gfid, str]
    units: frozenset[Any]
    write: bool
    answer: Coming[Any] | None = None

    def excludes(self, other: "Wanted") -> bool:
        return (
            self.owner != other.owner
            and self.place == other.place
            and (self.write or other.write)
            and bool(self.units & other.units)
        )


class Stacking(RuleBasedStateMachine):
    """inodelk and entrylk: two lists, and the rule that a request is granted once nothing held or ahead excludes it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = LockTable()
        self.held: list[Wanted] = []
        self.waiting: list[Wanted] = []

    def call(self, owner: tuple[str, bytes]) -> Call:
        return Call(client=owner[0], lk_owner=owner[1])

    def wind(self, wanted: Wanted, command: str) -> Any:
        """The fop of the table, or the errno that it raised."""
        try:
            return (
                self.entrylk_fop(wanted, command) if wanted.place[0] == "entry" else self.inodelk_fop(wanted, command)
            )
        except OSError as error:
            return error.errno

    def inodelk_fop(self, wanted: Wanted, command: str) -> Any:
        _, gfid, domain = wanted.place
        type = LockType.UNLOCK if command == "unlock" else LockType.WRITE if wanted.write else LockType.READ
        flock = Flock(type, min(wanted.units), len(wanted.units))
        blocking = LockCommand.WAIT if command == "wait" else LockCommand.SET
        return self.table.inodelk(self.call(wanted.owner), domain, gfid, blocking, flock)

    def entrylk_fop(self, wanted: Wanted, command: str) -> Any:
        _, gfid, domain = wanted.place
        name = None if len(wanted.units) > 1 else next(iter(wanted.units))
        commands = {"try": EntryLockCommand.TRY, "wait": EntryLockCommand.LOCK, "unlock": EntryLockCommand.UNLOCK}
        type = LockType.WRITE if wanted.write else LockType.READ
        return self.table.entrylk(self.call(wanted.owner), domain, gfid, name, commands[command], type)

    def blocked(self, wanted: Wanted, ahead: list[Wanted]) -> bool:
        if any(other.excludes(wanted) for other in self.held):
            return True
        if any(other.owner == wanted.owner and other.place == wanted.place for other in self.held):
            return False
        return any(other.excludes(wanted) for other in ahead)

    def grant(self) -> None:
        changed = True
        while changed:
            ahead: list[Wanted] = []
            for wanted in self.waiting:
                if self.blocked(wanted, ahead):
                    ahead.append(wanted)
                else:
                    self.held.append(wanted)
            changed = len(ahead) < len(self.waiting)
            self.waiting = ahead

    def lock(self, wanted: Wanted, wait: bool) -> None:
        answer = self.wind(wanted, "wait" if wait else "try")
        if not self.blocked(wanted, self.waiting):
            assert not isinstance(answer, int | Coming)
            self.held.append(wanted)
            self.grant()
        elif wait:
            assert isinstance(answer, Coming)
            wanted.answer = answer
            self.waiting.append(wanted)
        else:
            assert answer == errno.EAGAIN

    def unlock(self, wanted: Wanted) -> None:
        answer = self.wind(wanted, "unlock")

        def same(other: Wanted) -> bool:
            return (other.owner, other.place, other.units) == (wanted.owner, wanted.place, wanted.units)

        for owned in (self.held, self.waiting):
            found = next((each for each in reversed(owned) if same(each)), None)
            if found is not None:
                assert not isinstance(answer, int)
                owned.remove(found)
                if owned is self.waiting:
                    assert found.answer is not None
                    assert found.answer.settled
                self.grant()
                return
        assert answer == errno.EINVAL

    @rule(owner=owners, gfid=places, domain=domains, units=ranges, write=st.booleans(), wait=st.booleans())
    def inodelk(self, owner: Any, gfid: Gfid, domain: str, units: Any, write: bool, wait: bool) -> None:
        self.lock(Wanted(owner, ("inode", gfid, domain), units, write), wait)

    @rule(owner=owners, gfid=places, name=names, write=st.booleans(), wait=st.booleans())
    def entrylk(self, owner: Any, gfid: Gfid, name: bytes | None, write: bool, wait: bool) -> None:
        units = frozenset([b"n", b"m"]) if name is None else frozenset([name])
        self.lock(Wanted(owner, ("entry", gfid, "d"), units, write), wait)

    @precondition(lambda self: self.held or self.waiting)
    @rule(data=st.data())
    def unlock_something(self, data: st.DataObject) -> None:
        chosen = data.draw(st.integers(0, len(self.held) + len(self.waiting) - 1))
        self.unlock((self.held + self.waiting)[chosen])

    @rule(owner=owners, gfid=places, domain=domains, units=ranges)
    def unlock_anything(self, owner: Any, gfid: Gfid, domain: str, units: Any) -> None:
        self.unlock(Wanted(owner, ("inode", gfid, domain), units, False))

    @rule(client=st.sampled_from(["one", "two"]))
    def disconnect(self, client: str) -> None:
        gone = [wanted for wanted in self.waiting if wanted.owner[0] == client]
        self.table.disconnect(client)
        self.held = [wanted for wanted in self.held if wanted.owner[0] != client]
        self.waiting = [wanted for wanted in self.waiting if wanted.owner[0] != client]
        self.grant()
        assert all(wanted.answer is not None and wanted.answer.settled for wanted in gone)

    @invariant()
    def both_hold_and_await_the_same(self) -> None:
        assert self.table.conflicting() == []
        assert self.table.held == len(self.held)
        assert self.table.waiting == len(self.waiting)
        assert all(wanted.answer is None or wanted.answer.settled for wanted in self.held)
        assert not any(wanted.answer is None or wanted.answer.settled for wanted in self.waiting)
        for gfid in GFIDS:
            locks = self.table.holders(gfid)
            mine = [wanted for wanted in self.held if wanted.place[1] == gfid]
            assert sorted((lock.client, lock.owner) for lock in locks) == sorted(wanted.owner for wanted in mine)


class Fcntl(RuleBasedStateMachine):
    """fcntl locks: the model is a table of bytes, each with its readers and its writer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = LockTable()
        self.bytes: list[dict[tuple[str, bytes], bool]] = [{} for _ in range(BYTES)]

    def wind(self, owner: tuple[str, bytes], flock: Flock) -> int | None:
        try:
            self.table.lk(Call(client=owner[0], lk_owner=owner[1]), GFIDS[0], LockCommand.SET, flock)
        except OSError as error:
            return error.errno
        return 0

    @rule(owner=owners, units=ranges, type=st.sampled_from(LockType))
    def set(self, owner: Any, units: Any, type: LockType) -> None:
        write = type == LockType.WRITE
        blocked = type != LockType.UNLOCK and any(
            other != owner and (write or theirs) for at in units for other, theirs in self.bytes[at].items()
        )
        answer = self.wind(owner, Flock(type, min(units), len(units)))
        if blocked:
            assert answer == errno.EAGAIN
            return
        assert answer == 0
        for at in units:
            self.bytes[at].pop(owner, None)
            if type != LockType.UNLOCK:
                self.bytes[at][owner] = write

    @rule(owner=owners)
    def close(self, owner: Any) -> None:
        self.table.release_owner(Call(client=owner[0], lk_owner=owner[1]), GFIDS[0])
        for each in self.bytes:
            each.pop(owner, None)

    @rule(client=st.sampled_from(["one", "two"]))
    def disconnect(self, client: str) -> None:
        self.table.disconnect(client)
        self.bytes = [{owner: write for owner, write in each.items() if owner[0] != client} for each in self.bytes]

    @invariant()
    def every_byte_has_the_same_locks(self) -> None:
        found: list[dict[tuple[str, bytes], bool]] = [{} for _ in range(BYTES)]
        locks = self.table.holders(GFIDS[0])
        for lock in locks:
            for at in range(lock.start, lock.end):
                assert (lock.client, lock.owner) not in found[at], "an owner has one lock on a byte"
                found[at][lock.client, lock.owner] = lock.exclusive
        assert found == self.bytes
        assert self.table.held == len(locks)


TestStackingLocks = Stacking.TestCase
TestFcntlLocks = Fcntl.TestCase
