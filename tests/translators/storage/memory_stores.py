"""A brick in memory over a given store, open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from volgraph.graph import Graph
from volgraph.testing.fop_bench import FopBench
from volgraph.translators.storage.memory import Memory, MemoryStore


@asynccontextmanager
async def opened(store: MemoryStore) -> AsyncIterator[tuple[Memory, FopBench]]:
    memory = Memory("brick", store=store)
    async with Graph(memory):
        yield memory, FopBench(memory)
