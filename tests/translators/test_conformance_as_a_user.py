"""The conformance suite over a brick of an ordinary user, in a process that is one."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.translators.protocol.wired import wired
from tests.translators.storage.ordinary_user import IN_MEMORY, in_a_process_of_its_own, users_folder
from volgraph.graph import Translator
from volgraph.testing import check
from volgraph.testing.conformance import contracts
from volgraph.testing.contract import Contract
from volgraph.translators import Index, Locks, Memory, Posix, Trace

Say = Callable[[str, object], None]


def brick(folder: Path, **options: Any) -> Posix:
    return Posix("brick", directory=tempfile.mkdtemp(dir=folder), **options)


ON_DISK = ("posix", "asyncio")
"""One of them keeps its files on a disk; the others on a file system in memory, where there is one: each contract opens
a brick, and that syncs."""

STACKS: dict[str, Callable[[Path], Translator]] = {
    "posix": lambda folder: brick(folder),
    "posix-sidecar": lambda folder: brick(folder, metadata="sidecar"),
    "posix-with-threads": lambda folder: brick(folder, io_mode="worker"),
    "layers-over-posix": lambda folder: Trace("t", [Locks("l", [Index("i", [brick(folder)])])]),
    "posix-over-the-wire": lambda folder: wired(brick(folder)),
}


def load_all(stack: Callable[[Path], Translator], folder: Path, backend: str) -> None:
    """What the ordinary user's process may need and not be able to read."""
    check(lambda child: child, brick=lambda: stack(folder), backend=backend, only=contracts()[:3])
    with pytest.raises(AssertionError):
        check(lambda child: child, brick=lambda: Memory("m"), backend=backend, only=[Contract(never)])


async def never(bench: object) -> None:
    raise AssertionError


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("stack", STACKS)
def test_a_brick_of_an_ordinary_user_keeps_every_contract(stack: str, backend: str, record_property: Say) -> None:
    with users_folder(None if (stack, backend) == ON_DISK else IN_MEMORY) as folder:
        load_all(STACKS[stack], folder, backend)

        def work() -> str:
            check(lambda child: child, brick=lambda: STACKS[stack](folder), backend=backend)
            return f"{len(contracts())} contracts"

        told = in_a_process_of_its_own(work)

    record_property("conformance as an ordinary user", f"{stack}, {backend}: {told}")


def test_a_broken_contract_in_the_other_process_is_this_tests_failure() -> None:
    with users_folder() as folder:
        load_all(STACKS["posix"], folder, "asyncio")

        def work() -> str:
            check(lambda child: child, brick=lambda: brick(folder), only=[Contract(never)])
            return "kept"

        with pytest.raises(AssertionError, match="1 of 1 contracts are broken"):
            in_a_process_of_its_own(work)
