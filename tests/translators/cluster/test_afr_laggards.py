"""A child that hangs keeps nobody waiting for longer than `laggard-timeout`; what it does late does no harm."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.translators.cluster.bench import Bench, Gate, Switch, afr_of, locks_left, mirror, opened
from tests.translators.cluster.laggard_bench import BUSY, FULL, GONE, LONG, SOON, healed_in_time, hung
from volgraph.graph import (
    ROOT_GFID,
    Fd,
    Graph,
    Loc,
    NewAttributes,
    fail,
)
from volgraph.status import status_of
from volgraph.testing.loop import BACKENDS, run
from volgraph.testing.stage import stage
from volgraph.translators.cluster.afr import Afr
from volgraph.translators.cluster.afr.laggards import enough
from volgraph.translators.cluster.afr.verdict import quorum_of
from volgraph.translators.storage.memory import Memory

pytestmark = pytest.mark.anyio

# --- who is waited for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "copies", "answered", "good", "decided"),
    [
        ("none", 2, {0: 0}, {0, 1}, True),
        ("none", 2, {0: 0}, {1}, False),
        ("none", 2, {}, {0, 1}, False),
        ("none", 2, {0: GONE}, {0, 1}, False),
        ("none", 2, {0: FULL}, {0, 1}, True),
        ("auto", 2, {0: 0}, {0, 1}, True),
        ("auto", 2, {1: 0}, {0, 1}, False),
        ("auto", 3, {0: 0}, {0, 1, 2}, False),
        ("auto", 3, {0: 0, 2: 0}, {0, 1, 2}, True),
        ("auto", 3, {0: 0, 2: 0}, {1}, False),
        ("auto", 3, {0: 0, 2: BUSY}, {0, 1, 2}, True),
        ("auto", 3, {0: 0, 2: FULL}, {0, 1, 2}, False),
        ("auto", 3, {0: FULL, 2: FULL}, {0, 1, 2}, True),
        ("auto", 3, {0: GONE, 2: GONE}, {0, 1, 2}, False),
    ],
)
def test_enough_is_a_quorum_of_one_answer_with_a_good_copy_in_it(
    kind: str, copies: int, answered: dict[int, int], good: set[int], decided: bool
) -> None:
    assert enough(answered, (), good, quorum_of(kind, 0, copies)) is decided


def test_those_that_have_taken_the_step_before_count_too() -> None:
    assert enough({}, {0, 1}, {0, 1, 2}, quorum_of("auto", 0, 3))
    assert not enough({}, {0}, {0, 1, 2}, quorum_of("auto", 0, 3))


# --- a change of which one child never hears, or never tells ---------------------------------------------------------


Work = Callable[[Bench], Awaitable[object]]


async def write(bench: Bench) -> None:
    fd = await bench.open("f")
    await bench.top.writev(bench.call, fd, b"new", 0)
    await bench.top.flush(bench.call, fd)


async def chmod(bench: Bench) -> None:
    await bench.top.setattr(bench.call, Loc((await bench.find("f")).gfid), NewAttributes(mode=0o600))


PHASES = [
    *((write, fop) for fop in ("finodelk", "fxattrop", "writev", "fsync", "flush")),
    *((chmod, fop) for fop in ("inodelk", "xattrop", "setattr")),
    *((lambda bench: bench.create("g"), fop) for fop in ("entrylk", "xattrop", "create")),
    *((lambda bench: bench.rename("f", "g"), fop) for fop in ("entrylk", "xattrop", "rename")),
    (lambda bench: bench.names(), "opendir"),
    (lambda bench: bench.find("f"), "lookup"),
]
MISSED = ("finodelk", "writev", "fsync", "inodelk", "setattr", "entrylk", "create", "rename")
"""Of these, and of the pre-op, the laggard may have missed the change."""


@pytest.mark.parametrize("copies", [2, 3])
@pytest.mark.parametrize(("work", "fop"), PHASES)
async def test_a_child_that_hangs_in_any_phase_keeps_nobody(work: Work, fop: str, copies: int) -> None:
    async with mirror(copies, laggard_timeout=SOON, read_subvolume="b1") as bench:
        await bench.write("f", b"old")
        gate = hung(bench, fop)
        with anyio.fail_after(LONG):
            await work(bench)
        afr = afr_of(bench)
        asked = len(bench.switches[1].seen)

        assert set(afr.laggards.fenced) == {1}
        assert 1 not in afr.up
        assert afr.health == "up, b1 fenced: it owes an answer"
        if fop in MISSED or (fop.endswith("xattrop") and work is not write):
            assert all("trusted.afr.b1" in marks for number, marks in enumerate(bench.marks()) if number != 1), (
                "blamed before the caller is answered"
            )
        with anyio.fail_after(LONG):
            assert await bench.find("f" if "f" in await bench.names() else "g")
            assert not (await afr.heal()).healed
        assert len(bench.switches[1].seen) == asked, "nothing is sent to it, and nothing read from it"

        gate.open()
        assert 1 in afr.up
        assert afr.health == "up"
        await healed_in_time(bench)
        name = "f" if "f" in await bench.names() else "g"
        assert await bench.read(name) == (b"new" if work is write else b"old")
        assert bench.switches[1].seen[-1] == "readv", "it is read again"


@pytest.mark.parametrize("fop", ["finodelk", "fxattrop", "writev"])
async def test_a_connection_that_is_cut_ends_the_fence_though_the_answer_never_comes(fop: str) -> None:
    async with mirror(laggard_timeout=SOON) as bench:
        await bench.write("f", b"old")
        gate = hung(bench, fop)
        with anyio.fail_after(LONG):
            await write(bench)
        assert set(afr_of(bench).laggards.fenced) == {1}
        gate.closed = False
        with bench.without(1):
            assert not afr_of(bench).laggards.fenced
        await healed_in_time(bench)
        assert await bench.read("f") == b"new"
        gate.let_go()  # nobody cares any more
        assert afr_of(bench).up == {0, 1}


@pytest.mark.parametrize("returned", [False, True])
async def test_a_cluster_that_was_down_keeps_no_lock_that_its_own_children_have_granted(returned: bool) -> None:
    """One of its children was cut off; the other one, that hangs, has not given anything back."""
    bricks = [Memory(f"m{number}") for number in range(3)]
    switches = [Switch(f"b{number}", (brick,)) for number, brick in enumerate(bricks)]
    low = Afr("low", switches[:2], self_heal_daemon=False, quorum_type="fixed", quorum_count=2)
    top = Afr("top", [switches[2], low], self_heal_daemon=False, quorum_type="none", laggard_timeout=SOON)
    async with Graph(top) as graph:
        bench = Bench(graph, top, switches, bricks)
        with anyio.fail_after(LONG):
            while top.up != {0, 1}:
                await anyio.lowlevel.checkpoint()
        await bench.write("f", b"old")
        gate = hung(bench, "writev", child=0)
        with anyio.fail_after(LONG):
            await write(bench)
        switches[1].turn(False)
        assert set(top.laggards.fenced) == {1}
        assert bricks[0].locks.held
        refused: list[str] = []

        def refuse(name: str, args: tuple[Any, ...]) -> OSError | None:
            if not returned or name != "finodelk" or args[1] != "top":
                return None
            refused.append(name)
            return fail(errno.ENOTCONN)

        switches[0].refuse = refuse
        gate.open()
        with anyio.fail_after(LONG):
            while bricks[0].locks.held and not refused:  # others need not wait until a quorum of the cluster is back
                await anyio.lowlevel.checkpoint()
        assert bool(refused) is returned
        switches[0].refuse = lambda name, args: None
        switches[1].turn(True)
        with anyio.fail_after(LONG):
            while top.laggards.fenced or top.up != {0, 1}:
                await anyio.lowlevel.checkpoint()

        assert top.up == {0, 1}
        assert locks_left(bench) == 0


async def test_the_healer_heals_a_laggard_by_itself_when_it_has_caught_up() -> None:
    async with mirror(laggard_timeout=SOON, self_heal_daemon=True) as bench:
        await bench.write("f", b"old")
        await afr_of(bench).crawler.rest()
        gate = hung(bench, "writev")
        with anyio.fail_after(LONG):
            await write(bench)
        gate.open()
        with anyio.fail_after(LONG):
            await afr_of(bench).crawler.rest()

        assert bench.images_equal()
        assert not any(bench.marks())


async def test_status_says_who_is_fenced() -> None:
    async with mirror(3, laggard_timeout=SOON) as bench:
        await bench.write("f", b"old")
        gate = hung(bench, "writev", child=2)
        with anyio.fail_after(LONG):
            await write(bench)
        before = status_of(bench.top, {}, {})
        gate.open()

        assert (before.state, before.health) == ("up", ("b2 fenced: it owes an answer",))
        assert status_of(bench.top, {}, {}).health == ()


async def test_a_read_that_hangs_is_answered_by_another_copy() -> None:
    async with mirror(3, laggard_timeout=SOON, read_subvolume="b1") as bench:
        await bench.write("f", b"old")
        fd = await bench.open("f")
        gate = hung(bench, "readv")
        with anyio.fail_after(LONG):
            assert bytes((await bench.top.readv(bench.call, fd, 10, 0)).data) == b"old"

        assert set(afr_of(bench).laggards.fenced) == {1}
        assert not any(bench.marks())
        gate.open()
        assert bytes((await bench.top.readv(bench.call, fd, 10, 0)).data) == b"old"
        assert bench.switches[1].seen[-1] == "readv"


async def test_what_is_known_to_be_good_on_a_laggard_alone_is_read_from_no_other_copy() -> None:
    async with mirror(laggard_timeout=SOON) as bench:
        fd = await opened(bench, b"old")
        bench.switches[1].refuse = lambda name, args: fail(errno.EIO) if name == "writev" else None
        await bench.top.writev(bench.call, fd, b"new", 0)
        await bench.top.flush(bench.call, fd)
        gate = hung(bench, "mkdir", child=0)
        with anyio.fail_after(LONG):
            await bench.mkdir("d")
        assert set(afr_of(bench).laggards.fenced) == {0}

        for _ in range(2):
            with pytest.raises(OSError) as refused:
                await bench.top.readv(bench.call, fd, 3, 0)
            assert refused.value.errno == errno.EIO
        gate.open()
        assert bytes((await bench.top.readv(bench.call, fd, 3, 0)).data) == b"new"


async def test_a_listing_that_began_on_a_laggard_ends_in_an_error_and_sends_it_nothing() -> None:
    async with mirror(laggard_timeout=SOON, read_subvolume="b1") as bench:
        for name in "abc":
            await bench.write(name, b"x")
        fd = Fd(ROOT_GFID, is_dir=True)
        await bench.top.opendir(bench.call, Loc(ROOT_GFID), fd)
        entries = (await bench.top.readdir(bench.call, fd, 1, 0)).entries
        gate = hung(bench, "create")
        with anyio.fail_after(LONG):
            await bench.create("d")
        asked = len(bench.switches[1].seen)
        with pytest.raises(OSError) as caught:
            await bench.top.readdir(bench.call, fd, 1, entries[-1].offset)

        assert caught.value.errno == errno.ENOTCONN
        assert len(bench.switches[1].seen) == asked
        gate.open()


async def test_a_listing_that_hangs_in_the_midst_ends_in_an_error_and_begins_anew_elsewhere() -> None:
    async with mirror(3, laggard_timeout=SOON, read_subvolume="b1") as bench:
        for name in "abc":
            await bench.write(name, b"x")
        fd = Fd(ROOT_GFID, is_dir=True)
        await bench.top.opendir(bench.call, Loc(ROOT_GFID), fd)
        entries = (await bench.top.readdir(bench.call, fd, 1, 0)).entries
        gate = hung(bench, "readdir")
        with anyio.fail_after(LONG), pytest.raises(OSError) as caught:
            await bench.top.readdir(bench.call, fd, 1, entries[-1].offset)
        assert caught.value.errno == errno.ENOTCONN
        assert set(afr_of(bench).laggards.fenced) == {1}
        with anyio.fail_after(LONG):
            entries = (await bench.top.readdir(bench.call, fd, 1 << 16, 0)).entries

        assert sorted(entry.name for entry in entries) == [b"a", b"b", b"c"]
        gate.open()


# --- who is not left behind ------------------------------------------------------------------------------------------


async def waits_for(bench: Bench, gate: Gate, work: Work) -> None:
    """It has not ended after several timeouts, nobody is fenced, and it ends with the answer."""
    async with gate.holding(work, bench):
        await anyio.sleep(4 * SOON)
        assert gate.busy
        assert not afr_of(bench).laggards.fenced
        with anyio.fail_after(LONG):
            while gate.busy:
                gate.let_go()
                await anyio.lowlevel.checkpoint()
            gate.open()
    assert not any(bench.marks())


async def test_without_the_option_every_answer_is_waited_for() -> None:
    async with mirror() as bench:
        await bench.write("f", b"old")
        await waits_for(bench, hung(bench, "writev"), write)


@pytest.mark.parametrize("options", [{"quorum_type": "fixed", "quorum_count": 2}, {"quorum_type": "auto"}])
async def test_a_child_that_the_quorum_needs_is_waited_for(options: dict[str, Any]) -> None:
    async with mirror(laggard_timeout=SOON, **options) as bench:
        await bench.write("f", b"old")
        await waits_for(bench, hung(bench, "writev", child=0), write)


async def test_the_only_good_copy_is_waited_for() -> None:
    async with mirror(laggard_timeout=SOON) as bench:
        await bench.write("f", b"old")
        with bench.without(0):
            await bench.write("f", b"newer")
        fd = await bench.open("f")
        gate = hung(bench, "writev")
        async with gate.holding(bench.top.writev, bench.call, fd, b"N", 0):
            await anyio.sleep(4 * SOON)
            assert not afr_of(bench).laggards.fenced
            gate.open()
        await bench.top.flush(bench.call, fd)

        assert await bench.read("f") == b"Newer"


@pytest.mark.parametrize("backend", BACKENDS)
def test_children_that_are_all_slow_are_not_late(backend: str) -> None:
    async def play() -> None:
        async with stage(3, laggard_timeout=1.0) as (one,):
            fd = await one.make(b"f", b"old")
            for connection, seconds in zip(one.connections, (20.0, 20.5, 20.9), strict=True):
                connection.before["writev"] = seconds
            await one.write_and_flush(fd, b"new")

            assert one.alike
            assert not one.marked
            assert one.afr.up == {0, 1, 2}

    run(play, 0, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_who_waits_for_a_lock_that_somebody_holds_everywhere_is_not_late(backend: str) -> None:
    async def play() -> None:
        async with stage(3, clients=2, laggard_timeout=1.0) as (one, two):
            fd = await one.make(b"f", b"old")
            other = await two.open(b"f")
            for connection in one.connections:
                connection.before["writev"] = 20.0
            async with anyio.create_task_group() as group:
                group.start_soon(one.write_and_flush, fd, b"one")
                await anyio.sleep(1)
                group.start_soon(two.write_and_flush, other, b"two")

            assert one.alike
            assert not one.marked
            assert two.on_disk(0, b"f") == b"two"

    run(play, 0, backend)
