"""A brick behind a server keeps every contract that it keeps itself."""

import pytest

from tests.translators.protocol.wired import wired
from volgraph.testing.conformance import contracts
from volgraph.testing.contract import Contract
from volgraph.translators import Memory

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("contract", contracts(), ids=str)
async def test_a_brick_over_the_wire_keeps(contract: Contract) -> None:
    await contract.prove(wired(Memory("brick")))
