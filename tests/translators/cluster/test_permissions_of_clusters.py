"""Clusters ask their bricks in the caller's name: what is refused is refused by all, and leaves nothing to heal."""

import errno
import os
from collections.abc import Iterable

import pytest

from volgraph.graph import ROOT_GFID, Call, Graph, Loc, NewAttributes, Translator
from volgraph.testing.conformance import contracts
from volgraph.testing.contract import Contract
from volgraph.testing.contracts_permissions import permissions
from volgraph.testing.fop_bench import FopBench, at
from volgraph.translators import Afr, Memory, Unify

pytestmark = pytest.mark.anyio

STRANGER = Call(1236, 2346, lk_owner=b"stranger")


def kept_by_bricks() -> Iterable[Contract]:
    for_clusters = contracts(brick=False)
    return [contract for contract in permissions.contracts if contract not in for_clusters]


@pytest.mark.parametrize("contract", kept_by_bricks(), ids=str)
async def test_a_mirror_keeps_the_contracts_on_permissions_of_a_brick(contract: Contract) -> None:
    await contract.prove(Afr("mirror", [Memory("a"), Memory("b")]))


@pytest.mark.parametrize("kind", ["mirror", "unify"])
async def test_what_bricks_refuse_leaves_no_marks_and_no_locks(kind: str) -> None:
    bricks = [Memory("a"), Memory("b"), Memory("names")]
    top: Translator = Afr("mirror", bricks) if kind == "mirror" else Unify("all", bricks[:2], namespace=bricks[2])
    async with Graph(top) as graph:
        assert await graph.up(5)
        bench = FopBench(top)
        directory = await bench.directory(b"d")
        file = await bench.file(b"f", b"DATA", directory, mode=0o600)
        fd = bench.new_fd()
        make = STRANGER.with_xdata({"gfid-req": bench.new_gfid()})
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        await bench.refuses(errno.EACCES, top.create, make, at(directory, b"n"), flags, 0o644, 0, fd)
        await bench.refuses(errno.EACCES, top.mkdir, make, at(directory, b"n"), 0o755, 0)
        await bench.refuses(errno.EACCES, top.unlink, STRANGER, at(directory, b"f"))
        await bench.refuses(errno.EACCES, top.rename, STRANGER, at(directory, b"f"), at(ROOT_GFID, b"g"))
        await bench.refuses(errno.EACCES, top.truncate, STRANGER, Loc(file), 0)
        await bench.refuses(errno.EACCES, top.writev, STRANGER, bench.new_fd(file), b"X", 0)
        await bench.refuses(errno.EPERM, top.setattr, STRANGER, Loc(file), NewAttributes(mode=0o666))
        await bench.refuses(errno.EACCES, top.setxattr, STRANGER, Loc(file), {"user.a": b"1"})
        await bench.top.writev(bench.call(), await bench.opened(file), b"MORE", 0)
        bench.close_all()

        contents = {brick.name: set(brick.image()) for brick in bricks}
        assert all("/d/n" not in paths and "/g" not in paths for paths in contents.values())
    assert [brick.marks() for brick in bricks] == [{}, {}, {}]
    assert sum(brick.locks.held + brick.locks.waiting for brick in bricks) == 0
