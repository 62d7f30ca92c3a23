"""Fated: each fate at each place, as the caller hears it and as the brick has it."""

import errno
from collections.abc import Iterator

import anyio
import pytest

from volgraph.graph import (
    ROOT_GFID,
    Call,
    Coming,
    Done,
    EntryLockCommand,
    Fd,
    Flock,
    Gfid,
    Graph,
    Loc,
    LockCommand,
    LockType,
    State,
    Translator,
    XattropKind,
    Xattrs,
)
from volgraph.testing.by_hand import Suspended, by_hand, opened_by_hand
from volgraph.testing.fated import (
    LATE,
    OK,
    REPLY_LATE,
    REPLY_LOST,
    REQUEST_LOST,
    Fate,
    Fated,
    Moment,
    Phase,
    Where,
    failing,
    failing_late,
    short,
)
from volgraph.testing.operations import CALL, FILE_GFID, PATH, a_file, contents
from volgraph.testing.seams import simulated
from volgraph.translators.storage.memory import Memory

LOCK, UNLOCK = Flock(LockType.WRITE), Flock(LockType.UNLOCK)
COUNTERS = {"trusted.afr.b": bytes(11) + b"\1"}


@pytest.fixture
def fated() -> Iterator[Fated]:
    """Over a brick with one file."""
    top = Fated("a", [Memory("disk")])
    with opened_by_hand(top):
        by_hand(a_file(top))
        yield top


def owned(owner: bytes) -> Call:
    return Call(client="c", lk_owner=owner)


def errno_of(fop: object) -> int:
    with pytest.raises(OSError) as caught:
        fop()  # type: ignore[operator]
    return caught.value.errno or 0


def write(top: Translator, data: bytes = b"new!") -> object:
    return top.writev(owned(b"w"), Fd(FILE_GFID), data, 0)


def test_a_done_stays_a_done(fated: Fated) -> None:
    assert type(write(fated)) is Done


def test_a_lost_request_never_reaches_the_child(fated: Fated) -> None:
    fated.fates = {Where("writev"): REQUEST_LOST}

    assert errno_of(lambda: write(fated)) == errno.ENOTCONN
    assert by_hand(contents(fated.child)) == b"0123456789abcdef"


def test_a_lost_reply_hides_what_the_child_did(fated: Fated) -> None:
    fated.fates = {Where("writev"): REPLY_LOST}

    assert errno_of(lambda: write(fated)) == errno.ENOTCONN
    assert by_hand(contents(fated.child)) == b"new!456789abcdef"


def test_an_error_is_given_and_nothing_done(fated: Fated) -> None:
    fated.fates = {Where("writev"): failing(errno.ENOSPC)}

    assert errno_of(lambda: write(fated)) == errno.ENOSPC
    assert by_hand(contents(fated.child)) == b"0123456789abcdef"


def late(fated: Fated, fate: Fate) -> Coming[object]:
    fated.fates = {Where("writev"): fate}
    answer = write(fated)
    assert isinstance(answer, Coming)
    assert not answer.settled
    assert fated.owing
    return answer


@pytest.mark.parametrize("fate", [LATE, REPLY_LATE])
def test_a_late_answer_comes_when_it_is_told_to(fated: Fated, fate: Fate) -> None:
    answer = late(fated, fate)
    before = by_hand(contents(fated.child)) or b""
    fated.catch_up()

    assert before[:4] == (b"new!" if fate is REPLY_LATE else b"0123")
    assert (by_hand(contents(fated.child)) or b"")[:4] == b"new!"
    assert answer.settled
    assert not fated.owing


def test_a_late_refusal_does_nothing(fated: Fated) -> None:
    answer = late(fated, failing_late(errno.ENOSPC))
    fated.catch_up()

    assert errno_of(answer.result) == errno.ENOSPC
    assert (by_hand(contents(fated.child)) or b"")[:4] == b"0123"


def test_what_is_late_when_the_connection_breaks_is_never_done(fated: Fated) -> None:
    answer = late(fated, LATE)
    fated.lose_locks()
    fated.catch_up()

    assert errno_of(answer.result) == errno.ENOTCONN
    assert (by_hand(contents(fated.child)) or b"")[:4] == b"0123"


def test_moments_say_that_an_answer_was_owed(fated: Fated) -> None:
    fates = iter([LATE, OK])
    fated.watch(lambda moment: next(fates))
    write(fated)
    write(fated)
    fated.catch_up(heard=False)

    assert [(moment.owing, moment.answered) for moment in fated.moments] == [(False, False), (True, True)]


def test_a_short_write_says_how_much_it_wrote(fated: Fated) -> None:
    fated.fates = {Where("writev"): short(3)}
    answer = write(fated)

    assert isinstance(answer, Done)
    assert answer.value.count == 1
    assert by_hand(contents(fated.child)) == b"n123456789abcdef"


def test_a_lost_connection_gives_the_locks_back_and_an_error_does_not(fated: Fated) -> None:
    fated.fates = {Where("writev", 0): failing(errno.EIO), Where("writev", 1): REQUEST_LOST}
    fated.inodelk(owned(b"w"), "d", Loc(FILE_GFID), LockCommand.SET, LOCK)

    errno_of(lambda: write(fated))
    assert errno_of(lambda: fated.inodelk(owned(b"other"), "d", Loc(FILE_GFID), LockCommand.SET, LOCK)) == errno.EAGAIN
    errno_of(lambda: write(fated))
    fated.inodelk(owned(b"other"), "d", Loc(FILE_GFID), LockCommand.SET, LOCK)


def test_ordinals_count_by_fop_by_phase_and_over_all(fated: Fated) -> None:
    fated.fates = {Where("writev", 1): failing(1), Where(Phase.OP, 2): failing(2), Where("*", 4): failing(3)}

    write(fated)  # writev 0, op 0, any 0
    assert errno_of(lambda: write(fated)) == 1
    assert errno_of(lambda: write(fated)) == 2
    write(fated)
    assert errno_of(lambda: fated.lookup(CALL, PATH)) == 3
    write(fated)


def test_phases_are_told_by_owner_and_order(fated: Fated) -> None:
    fated.watch(lambda _: OK)
    for owner in (b"1", b"2"):  # two changes, one begun while the other is under way
        fated.inodelk(owned(owner), owner.decode(), Loc(FILE_GFID), LockCommand.SET, LOCK)
        fated.xattrop(owned(owner), Loc(FILE_GFID), XattropKind.ADD_ARRAY, COUNTERS)
    fated.writev(owned(b"1"), Fd(FILE_GFID), b"x", 0)
    fated.xattrop(owned(b"2"), Loc(FILE_GFID), XattropKind.ADD_ARRAY, COUNTERS)
    fated.xattrop(owned(b"1"), Loc(FILE_GFID), XattropKind.ADD_ARRAY, COUNTERS)
    fated.lookup(owned(b"1"), PATH)
    fated.inodelk(owned(b"1"), "1", Loc(FILE_GFID), LockCommand.SET, UNLOCK)

    phases = [(moment.owner, moment.phase) for moment in fated.moments]

    assert phases == [
        (b"1", Phase.LOCK),
        (b"1", Phase.PRE_OP),
        (b"2", Phase.LOCK),
        (b"2", Phase.PRE_OP),
        (b"1", Phase.OP),
        (b"2", Phase.PRE_OP),
        (b"1", Phase.POST_OP),
        (b"1", Phase.OUTSIDE),
        (b"1", Phase.UNLOCK),
    ]
    assert [moment.ordinal for moment in fated.moments if moment.phase is Phase.PRE_OP] == [0, 1, 2]


def test_entry_locks_are_lock_and_unlock(fated: Fated) -> None:
    fated.watch(lambda _: OK)
    for command in (EntryLockCommand.TRY, EntryLockCommand.UNLOCK, EntryLockCommand.LOCK):
        fated.entrylk(owned(b"1"), "d", Loc(ROOT_GFID), b"x", command, LockType.WRITE)

    assert [moment.phase for moment in fated.moments] == [Phase.LOCK, Phase.UNLOCK, Phase.LOCK]


def test_moments_say_what_the_caller_heard(fated: Fated) -> None:
    def decide(moment: Moment) -> Fate:
        return REPLY_LOST if moment.fop == "xattrop" else OK

    fated.watch(decide)
    write(fated)
    errno_of(lambda: fated.xattrop(owned(b"w"), Loc(FILE_GFID), XattropKind.ADD_ARRAY, COUNTERS))
    errno_of(lambda: fated.writev(owned(b"w"), Fd(Gfid(b"n" * 16)), b"x", 0))

    assert [moment.succeeded for moment in fated.moments] == [True, False, False]
    assert [moment.error and moment.error.errno for moment in fated.moments] == [None, errno.ENOTCONN, errno.ESTALE]


def test_a_child_that_is_down_is_down_for_its_parent(fated: Fated) -> None:
    fated.inodelk(owned(b"w"), "d", Loc(FILE_GFID), LockCommand.SET, LOCK)
    fated.go_down("unplugged")

    assert (fated.state, fated.down_reason) == (State.DOWN, "unplugged")
    assert errno_of(lambda: write(fated)) == errno.ENOTCONN

    fated.come_up()

    assert fated.state is State.UP
    write(fated)
    fated.inodelk(owned(b"other"), "d", Loc(FILE_GFID), LockCommand.SET, LOCK)  # the first one's lock is gone


def test_one_that_starts_unreachable_never_says_that_it_is_up() -> None:
    top = Fated("a", [Memory("disk")], reachable=False)

    with opened_by_hand(top):
        assert top.state is State.DOWN


class Later(Translator):
    """Answers in the next turn, and counts what it has done."""

    done = 0

    async def xattrop(self, call: Call, loc: Loc, kind: XattropKind, values: object) -> Xattrs:
        await anyio.lowlevel.checkpoint()
        self.done += 1
        if kind is XattropKind.OR:
            raise OSError(errno.ENOSPC, "full")
        return Xattrs({})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fate", "kind", "heard", "done"),
    [
        (OK, XattropKind.ADD_ARRAY, 0, 1),
        (OK, XattropKind.OR, errno.ENOSPC, 1),
        (REQUEST_LOST, XattropKind.ADD_ARRAY, errno.ENOTCONN, 0),
        (REPLY_LOST, XattropKind.ADD_ARRAY, errno.ENOTCONN, 1),
        (REPLY_LOST, XattropKind.OR, errno.ENOTCONN, 1),
    ],
)
async def test_fates_are_the_same_for_a_child_that_answers_later(
    fate: Fate, kind: XattropKind, heard: int, done: int
) -> None:
    below = Later("later", [Memory("disk")])
    top = Fated("a", [below], fates={Where(Phase.PRE_OP): fate})
    async with Graph(top, simulated(1)):
        try:
            await top.xattrop(owned(b"w"), Loc(ROOT_GFID), kind, COUNTERS)
            code = 0
        except OSError as error:
            code = error.errno or 0

    assert (code, below.done) == (heard, done)


def test_stepping_by_hand_refuses_to_wait() -> None:
    async def work() -> None:
        await anyio.lowlevel.checkpoint()

    async def main() -> None:
        with pytest.raises(Suspended, match="work"):
            by_hand(work())

    anyio.run(main)


def test_a_graph_opened_by_hand_runs_work_when_it_is_started(fated: Fated) -> None:
    async def work(value: int) -> int:
        if not value:
            raise OSError(errno.EIO, "none")
        return value

    async def daemon() -> None:
        raise AssertionError("daemons do not run")

    good: Coming[int] = fated.tasks.start(work(7))
    bad: Coming[int] = fated.tasks.start(work(0))
    fated.tasks.start_daemon(daemon())

    assert good.result() == 7
    assert errno_of(bad.result) == errno.EIO
