"""A cancelled caller leaves no half-done transaction: others finish what it began."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.translators.cluster.bench import Bench, mirror
from volgraph.graph import Coming, Done
from volgraph.graph import Translator as T

pytestmark = pytest.mark.anyio

CHANGING = ("finodelk", "fxattrop", "writev")


class Gate:
    """Holds back the answers of one child, while what was asked of it is done at once."""

    def __init__(self, bench: Bench, child: int) -> None:
        self.waiting: list[tuple[Coming[Any], Any]] = []
        self.open = True
        switch = bench.switches[child]
        relay = T.relay

        def slow(fop: Any, *args: Any, **kwargs: Any) -> Any:
            answer = relay(switch, fop, *args, **kwargs)
            if self.open or fop.__name__ not in CHANGING:
                return answer
            coming: Coming[Any] = Coming()
            self.waiting.append((coming, answer))
            return coming

        switch.relay = slow  # type: ignore[method-assign]

    def let_go(self) -> None:
        waiting, self.waiting = self.waiting, []
        for coming, answer in waiting:
            assert isinstance(answer, Done)
            coming.resolve(answer.value)


@pytest.mark.parametrize("phase", range(5))
async def test_cancelled_in_any_phase_the_copies_end_equal_and_unmarked(phase: int) -> None:
    async with mirror() as bench:
        await bench.write("f", b"old")
        fd = await bench.open("f")
        gate = Gate(bench, 1)
        gate.open = False

        async with anyio.create_task_group() as group:

            async def write() -> None:
                await bench.top.writev(bench.call, fd, b"new", 0)

            group.start_soon(write)
            for _ in range(phase):
                await arrival(gate)
                gate.let_go()
            await arrival(gate)
            group.cancel_scope.cancel()
        while gate.waiting:
            gate.let_go()
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
        gate.open = True

        assert bench.images_equal()
        assert bench.marks() == [{}, {}]
        await bench.write("f", b"and it is unlocked")


async def arrival(gate: Gate) -> None:
    """Return once the transaction waits for the held-back child."""
    with anyio.fail_after(5):
        while not gate.waiting:
            await anyio.lowlevel.checkpoint()
