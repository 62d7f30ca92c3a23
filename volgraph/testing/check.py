"""`check`: does a translator keep every contract? One line for a plugin's test."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import anyio

from ..graph import Translator
from ..translators.storage.memory import Memory
from .conformance import contracts
from .contract import Contract
from .fop_bench import Broken


def check(
    factory: Callable[[Translator], Translator],
    *,
    brick: Callable[[], Translator] = lambda: Memory("brick"),
    backend: str = "asyncio",
    only: Iterable[Contract] | None = None,
) -> None:
    """Run the conformance suite over `factory(brick())`, anew for each contract.

        testing.check(lambda child: Upper("upper", [child]))

    AssertionError names every broken contract and says what differed. `backend` is `asyncio` or `trio`.
    """
    chosen = contracts() if only is None else list(only)
    broken: dict[str, Exception] = {}

    async def prove_all() -> None:
        for contract in chosen:
            try:
                await contract.prove(factory(brick()))
            except Exception as error:
                broken[contract.name] = error

    anyio.run(prove_all, backend=backend)
    if broken:
        lines = [f"{name}: {_said(error)}" for name, error in broken.items()]
        raise AssertionError(f"{len(broken)} of {len(chosen)} contracts are broken:\n  " + "\n  ".join(lines))


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, Broken) else repr(error)
