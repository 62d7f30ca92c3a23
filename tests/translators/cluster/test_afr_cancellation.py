"""A cancelled caller leaves no half-done change and no lock: others finish what it began, or the healer does."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tests.translators.cluster.bench import Bench, Gate, Switch, afr_of, locks_left, mirror
from volgraph.graph import Coming, Graph, Loc, NewAttributes, Translator
from volgraph.translators.cluster.afr import Afr
from volgraph.translators.storage.memory import Memory

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("phase", range(5))
async def test_cancelled_in_any_phase_the_copies_end_equal_and_unmarked(phase: int) -> None:
    async with mirror() as bench:
        await bench.write("f", b"old")
        fd = await bench.open("f")
        gate = Gate(bench.switches[1], "finodelk", "fxattrop", "writev")

        async with anyio.create_task_group() as group:

            async def write() -> None:
                await bench.top.writev(bench.call, fd, b"new", 0)
                await bench.top.flush(bench.call, fd)

            group.start_soon(write)
            for _ in range(phase):
                await gate.arrival()
                gate.let_go()
            await gate.arrival()
            group.cancel_scope.cancel()
        while gate.busy:
            gate.let_go()
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
        gate.open()
        await bench.top.flush(bench.call, fd)

        assert bench.images_equal()
        assert bench.marks() == [{}, {}]
        await bench.write("f", b"and it is unlocked")


def bug_in(switch: Switch, fop: str) -> None:
    """The child has a bug: one fop ends in what is no errno."""
    bug: Any = ZeroDivisionError("the bug")
    switch.refuse = lambda name, args: bug if name == fop else None


async def test_a_bug_of_a_child_that_is_met_when_nobody_waits_surfaces_from_the_graph() -> None:
    """In the post-op of a file that is given back in the background."""
    with pytest.raises(ExceptionGroup) as caught:
        async with mirror() as bench:
            fd = await bench.create("f")
            await bench.top.writev(bench.call, fd, b"text", 0)
            bug_in(bench.switches[1], "fxattrop")
            afr_of(bench).streams.close_soon(fd.gfid)
            with anyio.fail_after(5):
                await anyio.sleep_forever()

    assert caught.group_contains(ZeroDivisionError, match="the bug")
    assert bench.bricks[0].locks.held == bench.bricks[1].locks.held == 0


@pytest.mark.parametrize("fop", ["finodelk", "fxattrop", "writev"])
async def test_a_bug_of_a_child_is_the_callers_who_waits_and_leaves_no_lock(fop: str) -> None:
    async with mirror() as bench:
        fd = await bench.create("f")
        bug_in(bench.switches[1], fop)
        with pytest.raises(ZeroDivisionError, match="the bug"):
            await bench.top.writev(bench.call, fd, b"text", 0)
        bench.switches[1].refuse = lambda name, args: None
        await bench.top.flush(bench.call, fd)

        assert locks_left(bench) == 0
        assert (await afr_of(bench).heal()).clean
        assert bench.images_equal()
        assert bench.marks() == [{}, {}]


async def test_a_bug_of_a_child_that_is_met_after_the_caller_was_cancelled_surfaces_from_the_graph() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with mirror() as bench:
            fd = await bench.create("f")
            gate = Gate(bench.switches[1], "writev")
            async with gate.holding(bench.top.writev, bench.call, fd, b"text", 0) as group:
                group.cancel_scope.cancel()
            bug: Any = ZeroDivisionError("the bug")
            gate.fail(0, bug)
            with anyio.fail_after(5):
                await anyio.sleep_forever()

    assert caught.group_contains(ZeroDivisionError, match="the bug")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("everybody", [False, True], ids=["the program", "all its tasks"])
async def test_a_change_is_finished_though_a_program_is_told_again_and_again_to_end(
    everybody: bool, anyio_backend: str
) -> None:
    """The graph waits for what the first cancellation has cut off; those that follow hit whoever waits, and perhaps
    whoever finishes it, be it before its first step."""
    benches: list[Bench] = []
    gates: list[Gate] = []

    async def program() -> None:
        async with mirror() as bench:
            fd = await bench.create("f")
            benches.append(bench)
            gates.append(Gate(bench.switches[1], "fxattrop", "writev"))
            await bench.top.writev(bench.call, fd, b"text", 0)

    others = asyncio.all_tasks()
    task = asyncio.ensure_future(program())
    await anyio.wait_all_tasks_blocked()
    for turns in (20, 0, 1, 3, 20):
        for each in asyncio.all_tasks() - others if everybody else {task}:
            each.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
    assert not task.done()
    gates[0].open()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert locks_left(benches[0]) == 0
    assert benches[0].images_equal()
    assert benches[0].marks() == [{}, {}]


# --- at every await, by the loop's own means -------------------------------------------------------------------------


def slowly(switch: Switch) -> None:
    """Each fop acts in the next turn of the loop, and answers in the one after it; in order, as a connection does."""
    loop = asyncio.get_running_loop()

    def relay(fop: Any, *args: Any, **kwargs: Any) -> Any:
        coming: Coming[Any] = Coming()

        def settle(answer: Any) -> None:
            try:
                coming.resolve(answer.result() if isinstance(answer, Coming) else answer.value)
            except OSError as error:
                coming.reject(error)

        def act() -> None:
            try:
                answer = Translator.relay(switch, fop, *args, **kwargs)
            except OSError as error:
                loop.call_soon(coming.reject, error)
                return
            if isinstance(answer, Coming):
                answer.when_settled(lambda: settle(answer))
            else:
                loop.call_soon(settle, answer)

        loop.call_soon(act)
        return coming

    switch.relay = relay  # type: ignore[method-assign]


plain = functools.partial(mirror, post_op_delay=0)


@asynccontextmanager
async def nested() -> AsyncIterator[Bench]:
    """top over (left over b0, b1) and b2."""
    bricks = [Memory(f"m{number}") for number in range(3)]
    switches = [Switch(f"b{number}", (brick,)) for number, brick in enumerate(bricks)]
    left = Afr("left", switches[:2], self_heal_daemon=False, post_op_delay=0, known_children=False)
    top = Afr("top", [left, switches[2]], self_heal_daemon=False, post_op_delay=0, known_children=False)
    async with Graph(top) as graph:
        yield Bench(graph, top, switches, bricks)


async def heal(bench: Bench) -> None:
    for afr in bench.graph.find(Afr):
        await afr.heal()


async def prepare(bench: Bench) -> None:
    await bench.mkdir("d")
    await bench.mkdir("e")
    await bench.write("d/f", b"old")
    await bench.write("d/g", b"other")


async def miss(bench: Bench) -> None:
    """A copy misses changes of every kind."""
    bench.switches[1].turn(False)
    await bench.write("d/f", b"newer")
    await bench.rename("d/f", "e/h")
    await bench.rename("d/g", "d/f")
    await bench.mkdir("d/new")
    await bench.write("d/new/file", b"x")
    await bench.rename("e", "d/moved")
    await bench.top.setattr(bench.call, Loc((await bench.find("d/f")).gfid), NewAttributes(mode=0o600))
    bench.switches[1].turn(True)


async def cancelled_after(turns: int, work: Awaitable[object]) -> bool:
    """Cancel a task natively after some turns of the loop. Did it end by itself before?"""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    ended = task.done()
    task.cancel()
    await asyncio.wait([task])
    if ended:
        await task
    return ended


TURNS_TO_END = 300
"""More than what others finish for a cancelled caller takes."""

Work = Callable[[Bench], Awaitable[object]]


async def check_at_every(stack: Any, work: Work, missing: bool, step: int) -> None:
    ended, turns = False, 0
    while not ended:
        async with stack() as bench:
            await prepare(bench)
            if missing:
                await miss(bench)
            for switch in bench.switches:
                slowly(switch)
            ended = await cancelled_after(turns, work(bench))
            for _ in range(TURNS_TO_END):
                await asyncio.sleep(0)
            for switch in bench.switches:
                del switch.__dict__["relay"]

            assert locks_left(bench) == 0, turns
            assert bench.images_equal() or any(bench.marks()), turns
            await heal(bench)
            assert bench.images_equal(), turns
            assert not any(bench.marks()), turns
        turns += step


CHANGES: dict[str, Work] = {
    "write": lambda bench: bench.write("d/f", b"new"),
    "create": lambda bench: bench.create("d/new"),
    "rename over another": lambda bench: bench.rename("d/f", "d/g"),
    "rename of a directory": lambda bench: bench.rename("e", "d/e"),
    "rmdir": lambda bench: bench.rmdir("e"),
}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("stack", [plain, nested], ids=["plain", "nested"])
async def test_a_change_cancelled_at_any_await_leaves_no_lock_and_nothing_unmarked(
    stack: Any, change: str, anyio_backend: str
) -> None:
    await check_at_every(stack, CHANGES[change], False, 1 if stack is plain else 7)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("stack", [plain, nested], ids=["plain", "nested"])
async def test_a_heal_cancelled_at_any_await_leaves_no_lock_and_is_done_by_the_next(
    stack: Any, anyio_backend: str
) -> None:
    await check_at_every(stack, heal, True, 7 if stack is plain else 31)
