"""Asking each leaf of a graph how it is: how long it takes to answer, how much room it has, what it says of itself; and
each afr whether a person is needed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import attrs

from .graph import ROOT_LOC, Call, Graph, State, Translator

if TYPE_CHECKING:
    from .translators.cluster.afr import Afr

SUSPECT_KEY = "volgraph.suspect"
"""In the answer of a root's lookup: the machine of that brick went down while it was in use."""
PROBE_SECONDS = 5.0


@attrs.frozen
class Probe:
    """Of a leaf: `latency` in seconds, of one lookup of the root; `size` and `free` in bytes, what an ordinary user may
    take. Of an afr: `advice`, what a person should do about its children, "" nothing."""

    latency: float | None = None
    suspect: bool = False
    size: int | None = None
    free: int | None = None
    advice: str = ""


async def probe(graph: Graph) -> dict[str, Probe]:
    """Each leaf, and each afr, that is up and answers in time, all at once; by name."""
    from .translators.cluster.afr import Afr

    found: dict[str, Probe] = {}

    async def ask(node: Translator) -> None:
        with suppress(OSError):
            found[node.name] = await (_advised(node) if isinstance(node, Afr) else _asked(node, graph))

    with anyio.move_on_after(PROBE_SECONDS):
        async with anyio.create_task_group() as tasks:
            for node in graph.nodes:
                if node.state is State.UP and (not node.below or isinstance(node, Afr)):
                    tasks.start_soon(ask, node)
    return found


async def advice(graph: Graph) -> dict[str, str]:
    """What a person should do, by the name of an afr."""
    return {name: each.advice for name, each in (await probe(graph)).items() if each.advice}


async def _advised(afr: Afr) -> Probe:
    from .translators.cluster.afr.advice import advice

    return Probe(advice=await advice(afr))


async def _asked(leaf: Translator, graph: Graph) -> Probe:
    clock = graph.seams.clock
    began = clock.time_ns()  # a loop's own time may stand still for a turn
    reply = await leaf.lookup(Call(), ROOT_LOC)
    latency = max(0, clock.time_ns() - began) / 1e9
    suspect = bool((reply.xdata or {}).get(SUSPECT_KEY))
    try:
        space = await leaf.statfs(Call(), ROOT_LOC)
    except OSError:
        return Probe(latency, suspect)
    return Probe(latency, suspect, space.blocks * space.frsize, space.bavail * space.frsize)
