"""Asking each leaf of a graph how it is: how long it takes to answer, how much room it has, what it says of itself."""

from __future__ import annotations

from contextlib import suppress

import anyio
import attrs

from .graph import ROOT_LOC, Call, Graph, State, Translator

SUSPECT_KEY = "volgraph.suspect"
"""In the answer of a root's lookup: the machine of that brick went down while it was in use."""
PROBE_SECONDS = 5.0


@attrs.frozen
class Probe:
    """`latency` in seconds, of one lookup of the root; `size` and `free` in bytes, what an ordinary user may take."""

    latency: float
    suspect: bool = False
    size: int | None = None
    free: int | None = None


async def probe(graph: Graph) -> dict[str, Probe]:
    """Each leaf that is up and answers in time, all at once; by name."""
    found: dict[str, Probe] = {}

    async def ask(leaf: Translator) -> None:
        with suppress(OSError):
            found[leaf.name] = await _asked(leaf, graph)

    with anyio.move_on_after(PROBE_SECONDS):
        async with anyio.create_task_group() as tasks:
            for node in graph.nodes:
                if not node.below and node.state is State.UP:
                    tasks.start_soon(ask, node)
    return found


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
