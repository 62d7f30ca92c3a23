"""The stacks that the Volume API is tried over."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import volgraph
from volgraph import translators
from volgraph.graph import Translator


def memory(folder: Path) -> Translator:
    return translators.Memory("m")


def posix(folder: Path) -> Translator:
    (folder / "brick").mkdir()
    return translators.Posix("p", directory=str(folder / "brick"))


def mirror(folder: Path) -> Translator:
    return translators.Afr("mirror", (translators.Memory("a"), translators.Memory("b")))


STACKS = {"memory": memory, "posix": posix, "mirror": mirror}


@pytest.fixture(params=STACKS)
async def vol(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[volgraph.Volume]:
    """An empty volume, once over each stack."""
    async with volgraph.open(STACKS[request.param](tmp_path)) as volume:
        yield volume


@pytest.fixture
async def scratch(anyio_backend: str) -> AsyncIterator[volgraph.Volume]:
    """An empty volume in memory, for what does not depend on the stack."""
    async with volgraph.open(translators.Memory("m")) as volume:
        yield volume
