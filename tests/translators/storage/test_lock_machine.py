"""The lock table against a model that is too simple to be wrong (I21)."""

import errno
from collections.abc import Iterable
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from volgraph.graph import Call, Coming, Done, EntryLockCommand, Flock, Gfid, LockCommand, LockType
from volgraph.translators.storage.lock_table import WITHDRAW_KEY, LockTable

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
        self.table = LockTable(self.contended)
        self.held: list[Wanted] = []
        self.waiting: list[Wanted] = []
        self.withdrawing = False

    def contended(self, gfid: Gfid, domain: str, name: bytes | None, client: str) -> None:
        assert any(lock.client == client and lock.domain == domain for lock in self.table.holders(gfid))

    def call(self, owner: tuple[str, bytes]) -> Call:
        return Call(client=owner[0], lk_owner=owner[1], xdata={WITHDRAW_KEY: 1} if self.withdrawing else None)

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

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Whoever waits gives up: its request goes, and nothing that its owner holds there."""
        wanted = self.waiting[data.draw(st.integers(0, len(self.waiting) - 1))]
        same = [each for each in self.waiting if (each.owner, each.place, each.units) == _key(wanted)]
        self.withdrawing = True
        answer = self.wind(wanted, "unlock")
        self.withdrawing = False
        assert not isinstance(answer, int)
        assert same[-1].answer is not None
        assert same[-1].answer.settled
        self.waiting.remove(same[-1])
        self.grant()

    @rule(client=st.sampled_from(["one", "two"]))
    def disconnect(self, client: str) -> None:
        gone = [wanted for wanted in self.waiting if wanted.owner[0] == client]
        self.table.disconnect(client)
        self.held = [wanted for wanted in self.held if wanted.owner[0] != client]
        self.waiting = [wanted for wanted in self.waiting if wanted.owner[0] != client]
        self.grant()
        assert all(wanted.answer is not None and wanted.answer.settled for wanted in gone)

    @invariant()
    def whoever_is_waited_for_has_been_told(self) -> None:
        for lock, queue in self.table._waiting.items():
            assert not [holder for holder in queue.held if holder.excludes(lock) and holder.told_at < 0]

    @invariant()
    def the_tally_of_each_client_is_right(self) -> None:
        clients = [wanted.owner[0] for wanted in self.held + self.waiting]
        assert self.table.of_clients() == {client: clients.count(client) for client in clients}

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


def _key(wanted: Wanted) -> tuple[Any, Any, Any]:
    return wanted.owner, wanted.place, wanted.units


@attrs.define(eq=False)
class Asked:
    """An fcntl request that waits in the model."""

    owner: tuple[str, bytes]
    units: frozenset[int]
    write: bool
    answer: Coming[Any]


class Fcntl(RuleBasedStateMachine):
    """fcntl locks: the model is a table of bytes, each with its readers and its writer, and a queue."""

    def __init__(self) -> None:
        super().__init__()
        self.table = LockTable()
        self.bytes: list[dict[tuple[str, bytes], bool]] = [{} for _ in range(BYTES)]
        self.waiting: list[Asked] = []

    def wind(self, owner: tuple[str, bytes], command: LockCommand, flock: Flock, withdraw: bool = False) -> Any:
        """What the table answers, or the errno that it raised."""
        call = Call(client=owner[0], lk_owner=owner[1], xdata={WITHDRAW_KEY: 1} if withdraw else None)
        try:
            return self.table.lk(call, GFIDS[0], command, flock)
        except OSError as error:
            return error.errno

    def blocked(self, owner: tuple[str, bytes], units: frozenset[int], write: bool) -> bool:
        return any(other != owner and (write or theirs) for at in units for other, theirs in self.bytes[at].items())

    def must_queue(self, asked: Asked, ahead: list[Asked]) -> bool:
        if self.blocked(asked.owner, asked.units, asked.write):
            return True
        if any(asked.owner in each for each in self.bytes):
            return False
        return any(
            other.owner != asked.owner and (asked.write or other.write) and asked.units & other.units for other in ahead
        )

    def hold(self, owner: tuple[str, bytes], units: frozenset[int], write: bool) -> None:
        for at in units:
            self.bytes[at][owner] = write

    def drop(self, owner: tuple[str, bytes], units: Iterable[int] = range(BYTES)) -> None:
        for at in units:
            self.bytes[at].pop(owner, None)

    def grant(self) -> None:
        changed = True
        while changed:
            ahead: list[Asked] = []
            for asked in self.waiting:
                if self.must_queue(asked, ahead):
                    ahead.append(asked)
                else:
                    self.hold(asked.owner, asked.units, asked.write)
            changed = len(ahead) < len(self.waiting)
            self.waiting = ahead

    @rule(owner=owners, units=ranges, write=st.booleans())
    def set(self, owner: Any, units: Any, write: bool) -> None:
        flock = Flock(LockType.WRITE if write else LockType.READ, min(units), len(units))
        answer = self.wind(owner, LockCommand.SET, flock)
        if self.blocked(owner, units, write):
            assert answer == errno.EAGAIN
            return
        assert isinstance(answer, Done)
        self.hold(owner, units, write)
        self.grant()

    @rule(owner=owners, units=ranges, write=st.booleans())
    def wait(self, owner: Any, units: Any, write: bool) -> None:
        flock = Flock(LockType.WRITE if write else LockType.READ, min(units), len(units))
        answer = self.wind(owner, LockCommand.WAIT, flock)
        asked = Asked(owner, units, write, answer)
        if not self.must_queue(asked, self.waiting):
            assert isinstance(answer, Done)
            self.hold(owner, units, write)
            self.grant()
        elif answer != errno.EDEADLK:  # refusing to wait in a circle: whether it is one, an example tests
            assert isinstance(answer, Coming)
            assert not answer.settled
            self.waiting.append(asked)

    @rule(owner=owners, units=ranges)
    def unlock(self, owner: Any, units: Any) -> None:
        holds = any(owner in self.bytes[at] for at in units)
        assert isinstance(self.wind(owner, LockCommand.SET, Flock(LockType.UNLOCK, min(units), len(units))), Done)
        if holds:
            self.drop(owner, units)
        else:
            self.withdraw(owner, units)
        self.grant()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Whoever waits gives up: its request goes, and nothing that its owner holds there."""
        asked = self.waiting[data.draw(st.integers(0, len(self.waiting) - 1))]
        flock = Flock(LockType.UNLOCK, min(asked.units), len(asked.units))
        assert isinstance(self.wind(asked.owner, LockCommand.SET, flock, withdraw=True), Done)
        assert self.withdraw(asked.owner, asked.units)
        self.grant()

    def withdraw(self, owner: tuple[str, bytes], units: frozenset[int]) -> bool:
        found = [asked for asked in self.waiting if (asked.owner, asked.units) == (owner, units)]
        if found:
            self.waiting.remove(found[-1])
            assert found[-1].answer.settled
        return bool(found)

    @rule(owner=owners, units=ranges, write=st.booleans())
    def get(self, owner: Any, units: Any, write: bool) -> None:
        flock = Flock(LockType.WRITE if write else LockType.READ, min(units), len(units))
        found = self.wind(owner, LockCommand.GET, flock).value.flock
        assert (found.type != LockType.UNLOCK) == self.blocked(owner, units, write)

    @rule(owner=owners)
    def close(self, owner: Any) -> None:
        self.table.release_owner(Call(client=owner[0], lk_owner=owner[1]), GFIDS[0])
        self.drop(owner)
        self.grant()

    @rule(owner=owners)
    def release_the_fd(self, owner: Any) -> None:
        self.table.abandon(owner[0], owner[1], GFIDS[0])
        self.drop(owner)
        gone = [asked for asked in self.waiting if asked.owner == owner]
        self.waiting = [asked for asked in self.waiting if asked.owner != owner]
        self.grant()
        assert all(asked.answer.settled for asked in gone)

    @rule(client=st.sampled_from(["one", "two"]))
    def disconnect(self, client: str) -> None:
        self.table.disconnect(client)
        self.bytes = [{owner: write for owner, write in each.items() if owner[0] != client} for each in self.bytes]
        gone = [asked for asked in self.waiting if asked.owner[0] == client]
        self.waiting = [asked for asked in self.waiting if asked.owner[0] != client]
        self.grant()
        assert all(asked.answer.settled for asked in gone)

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
        assert self.table.lk_count(GFIDS[0]) == len(locks) + len(self.waiting)
        assert sum(self.table.of_clients().values()) == len(locks) + len(self.waiting)

    @invariant()
    def the_same_requests_wait(self) -> None:
        assert self.table.waiting == len(self.waiting)
        assert not any(asked.answer.settled for asked in self.waiting)


TestStackingLocks = Stacking.TestCase
TestFcntlLocks = Fcntl.TestCase
