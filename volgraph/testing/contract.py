"""A contract: something that every translator must keep, as a small function whose name says what must hold."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

import anyio
import attrs

from ..graph import Capability, Graph, Translator, all_capabilities
from .fop_bench import FopBench, holds

SECONDS_MAX = 30.0
"""How long one contract may take: one that waits for ever is broken."""

Run = Callable[[FopBench], Awaitable[None]]


@attrs.frozen
class Contract:
    """`needs`: what a translator may declare that it cannot do; `optional`: refusing it needs no declaration; `brick`:
    kept by bricks and what stands over one of them, not by clusters."""

    run: Run
    needs: Capability | None = None
    optional: bool = False
    brick: bool = False

    @property
    def name(self) -> str:
        return getattr(self.run, "__name__", "contract")

    def __str__(self) -> str:
        return self.name

    async def prove(self, top: Translator) -> None:
        """Open a graph of its own, and see whether the contract holds. Raises `Broken`, or what the translator raised.
        `top` stands over empty bricks; like every Translator, it opens once."""
        error: Exception | None = None
        async with Graph(top) as graph:
            bench = FopBench(top)
            try:
                holds(await graph.up(SECONDS_MAX), f"{top.name} does not come up: {top.down_reason}")
                with anyio.fail_after(SECONDS_MAX):
                    await self.run(bench)
            except Exception as raised:  # kept aside: a graph wraps what its body raises
                error = raised
            finally:
                bench.close_all()
            if isinstance(error, OSError) and error.errno == errno.EOPNOTSUPP and self._may_refuse(graph):
                return
        if error is not None:
            raise error

    def _may_refuse(self, graph: Graph) -> bool:
        if self.optional:
            return True
        return self.needs is not None and self.needs not in all_capabilities(graph.nodes)[graph.top]


class Chapter:
    """The contracts on one subject, in order. Called, it is the decorator that puts a function among them."""

    def __init__(self) -> None:
        self.contracts: list[Contract] = []

    def __call__(
        self, *, needs: Capability | None = None, optional: bool = False, brick: bool = False
    ) -> Callable[[Run], Run]:
        def declare(run: Run) -> Run:
            self.contracts.append(Contract(run, needs, optional, brick))
            return run

        return declare
