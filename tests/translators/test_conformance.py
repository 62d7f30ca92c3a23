"""The conformance suite over every brick, and over the layers that hand everything on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from volgraph.graph import Translator
from volgraph.testing.conformance import contracts
from volgraph.testing.contract import Contract
from volgraph.translators import Index, Locks, Memory, PassThrough, Posix, Trace

pytestmark = pytest.mark.anyio

STACKS: dict[str, Callable[[Path], Translator]] = {
    "memory": lambda _: Memory("brick"),
    "posix-xattr": lambda folder: Posix("brick", directory=str(folder), metadata="xattr"),
    "posix-sidecar": lambda folder: Posix("brick", directory=str(folder), metadata="sidecar"),
    "layers-over-memory": lambda _: PassThrough("p", [Trace("t", [Locks("l", [Index("i", [Memory("brick")])])])]),
    "layers-over-posix": lambda folder: Trace("t", [Locks("l", [Index("i", [Posix("brick", directory=str(folder))])])]),
}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("contract", contracts(), ids=str)
async def test_contract(contract: Contract, stack: str, tmp_path: Path) -> None:
    await contract.prove(STACKS[stack](tmp_path))
