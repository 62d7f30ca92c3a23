"""Simulated runs: virtual time, seeded order, equal traces, and errors where nothing can happen any more."""

import asyncio
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from volgraph.graph import Coming
from volgraph.testing.loop import BACKENDS, SimLoop, run
from volgraph.testing.transcript import SimDeadlock, SimLivelock, note

both_backends = pytest.mark.parametrize("backend", BACKENDS)


def racing(order: list[int]) -> Callable[[], Coroutine[Any, Any, None]]:
    """Ten tasks that are ready at the same times, over and over."""

    async def one(number: int) -> None:
        for _ in range(5):
            await anyio.sleep(1)
            order.append(number)
            note(f"{number} ran")

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(one, number)

    return main


@both_backends
def test_a_year_passes_at_once(backend: str) -> None:
    async def main() -> float:
        before = anyio.current_time()
        await anyio.sleep(365 * 86400)
        return anyio.current_time() - before

    finished = run(main, seed=1, backend=backend)

    assert finished.value == pytest.approx(365 * 86400)
    assert finished.seconds == pytest.approx(365 * 86400)


@both_backends
def test_equal_seeds_give_equal_orders_and_traces(backend: str) -> None:
    first: list[int] = []
    second: list[int] = []

    traces = run(racing(first), 7, backend).trace, run(racing(second), 7, backend).trace

    assert traces[0] == traces[1]
    assert first == second


@both_backends
def test_other_seeds_give_other_orders_and_traces(backend: str) -> None:
    orders: list[list[int]] = [[] for _ in range(5)]

    traces = {run(racing(orders[seed]), seed, backend).trace for seed in range(5)}

    assert len(traces) == 5
    assert len({tuple(order) for order in orders}) == 5


@both_backends
def test_tasks_that_all_wait_for_each_other_are_a_deadlock(backend: str) -> None:
    async def main() -> None:
        await anyio.sleep(3)
        never: Coming[None] = Coming()
        await never

    with pytest.raises(SimDeadlock, match=r"virtual time 3\.0") as caught:
        run(main, 1, backend)

    assert "main" in str(caught.value)
    assert "seed 1" in caught.value.__notes__[0]


@both_backends
def test_a_timeout_ends_a_wait_without_real_time_passing(backend: str) -> None:
    async def main() -> bool:
        with anyio.move_on_after(1e6) as scope:
            await Coming[None]()
        return scope.cancelled_caught

    assert run(main, 1, backend).value


@both_backends
def test_spinning_without_time_passing_is_a_livelock(backend: str) -> None:
    async def main() -> None:
        while True:
            await anyio.lowlevel.checkpoint()

    with pytest.raises(SimLivelock):
        run(main, 1, backend, steps_max=500)


@both_backends
def test_shielded_cleanup_after_a_cancellation_still_gets_its_time(backend: str) -> None:
    async def main() -> float:
        async with anyio.create_task_group() as group:
            group.start_soon(cleaning_up)
            await anyio.sleep(1)
            group.cancel_scope.cancel()
        return anyio.current_time()

    async def cleaning_up() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)

    assert run(main, 1, backend, steps_max=2000).seconds == pytest.approx(6)


@both_backends
def test_an_error_of_main_comes_out_as_it_is_with_the_seed_noted(backend: str) -> None:
    async def main() -> None:
        raise FileNotFoundError("the one")

    with pytest.raises(FileNotFoundError, match="the one") as caught:
        run(main, 42, backend)

    assert f"simulated on {backend} with seed 42" in caught.value.__notes__[0]


def test_an_error_in_a_callback_ends_the_run() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(1, lambda: 1 / 0)
        await asyncio.sleep(10)

    with pytest.raises(ZeroDivisionError):
        run(main, 1)


def test_a_thread_is_refused() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, threading.get_ident)

    with pytest.raises(RuntimeError, match="no threads"):
        run(main, 1)


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="curio"):
        run(racing([]), 1, "curio")


def test_a_task_may_overtake_any_other_that_is_ready() -> None:
    """Over some seeds each of four ready tasks comes first, and each comes last."""

    async def main() -> list[int]:
        order: list[int] = []

        async def one(number: int) -> None:
            order.append(number)

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(one, number)
        return order

    orders = [run(main, seed).value for seed in range(60)]

    assert {order[0] for order in orders} == {order[-1] for order in orders} == {0, 1, 2, 3}


REPLAY = """
from tests.simulation.test_loop import racing
from volgraph.testing.loop import run
print(run(racing([]), 11, "asyncio").trace, run(racing([]), 11, "trio").trace)
"""


def test_equal_seeds_give_equal_traces_in_processes_with_other_hash_seeds() -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", REPLAY],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hash_seed in ("0", "1", "4242")
    }

    assert len(printed) == 1


# --- canaries: private names that the loops stand on ---------------------------------------------------------------


def test_asyncio_still_has_the_private_names_that_the_loop_uses() -> None:
    loop = SimLoop(random.Random(1))
    try:
        for name in ("_ready", "_scheduled", "_timer_cancelled_count", "_stopping"):
            assert hasattr(loop, name), name
        assert callable(asyncio.BaseEventLoop._run_once)  # type: ignore[attr-defined]
        timer = loop.call_later(1, print)
        assert timer._scheduled  # type: ignore[attr-defined]
        assert timer._callback is print  # type: ignore[attr-defined]
        assert asyncio._get_running_loop() is None
    finally:
        loop.close()


def test_asyncio_still_calls_task_steps_through_methods_of_the_task() -> None:
    """The scheduler knows a task step by `__self__` of its callback: the first one, and each wake-up."""
    seen: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        async def waiter() -> None:
            await future

        task = asyncio.ensure_future(waiter())
        seen.append(loop._ready[-1]._callback.__self__ is task)  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        future.set_result(None)
        seen.append(loop._ready[-1]._callback.__self__ is task)  # type: ignore[attr-defined]
        await task

    asyncio.run(main())

    assert seen == [True, True]


def test_trio_still_has_the_private_names_that_make_it_deterministic() -> None:
    from trio._core import _run

    assert isinstance(_run._r, random.Random)
    assert _run._ALLOW_DETERMINISTIC_SCHEDULING in (True, False)


def test_trio_is_left_as_it_was_found() -> None:
    from trio._core import _run

    before = _run._r.getstate(), _run._ALLOW_DETERMINISTIC_SCHEDULING

    run(racing([]), 3, "trio")

    assert (_run._r.getstate(), _run._ALLOW_DETERMINISTIC_SCHEDULING) == before
