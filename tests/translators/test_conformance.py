"""The conformance suite over every brick, over the layers that hand everything on, and over clusters."""

from collections.abc import Callable
from pathlib import Path

import pytest

from volgraph.graph import Translator
from volgraph.testing.conformance import contracts
from volgraph.testing.contract import Contract
from volgraph.translators import (
    Afr,
    DelayGen,
    ErrorGen,
    Index,
    Locks,
    Memory,
    PassThrough,
    Posix,
    ReadOnly,
    Trace,
    Unify,
)

pytestmark = pytest.mark.anyio

STACKS: dict[str, Callable[[Path], Translator]] = {
    "memory": lambda _: Memory("brick"),
    "posix-xattr": lambda folder: Posix("brick", directory=str(folder), metadata="xattr"),
    "posix-sidecar": lambda folder: Posix("brick", directory=str(folder), metadata="sidecar"),
    "layers-over-memory": lambda _: PassThrough("p", [Trace("t", [Locks("l", [Index("i", [Memory("brick")])])])]),
    "faults-that-never-come-over-memory": lambda _: ErrorGen(
        "e", [DelayGen("d", [ReadOnly("r", [Memory("brick")], read_only=False)], delay_percentage=0)], failure=0
    ),
    "every-fop-late-over-memory": lambda _: DelayGen("d", [Memory("brick")], delay_percentage=100, delay_duration=0),
    "layers-over-posix": lambda folder: Trace("t", [Locks("l", [Index("i", [Posix("brick", directory=str(folder))])])]),
}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("contract", contracts(), ids=str)
async def test_a_stack_keeps_every_contract(contract: Contract, stack: str, tmp_path: Path) -> None:
    await contract.prove(STACKS[stack](tmp_path))


CLUSTERS: dict[str, Callable[[], Translator]] = {
    "two-copies": lambda: Afr("mirror", [Memory("a"), Memory("b")]),
    "three-copies": lambda: Afr("mirror", [Memory("a"), Memory("b"), Memory("c")]),
    "binary-tree": lambda: Afr("top", [mirror("l"), mirror("r")]),
    "unify": lambda: Unify("all", [Memory("a"), Memory("b")], namespace=Memory("names")),
    "unify-over-mirrors": lambda: Unify("all", [mirror("l"), mirror("r")], namespace=mirror("names")),
}


def mirror(name: str) -> Translator:
    return Afr(name, [Memory(f"{name}{side}") for side in "ab"])


@pytest.mark.parametrize("stack", CLUSTERS)
@pytest.mark.parametrize("contract", contracts(brick=False), ids=str)
async def test_a_cluster_keeps_every_contract_of_clusters(contract: Contract, stack: str) -> None:
    await contract.prove(CLUSTERS[stack]())
