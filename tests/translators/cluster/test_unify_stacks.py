"""Unify over mirrors, and mirrors over unify: what went down is healed when it is back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.translators.cluster.by_path import Paths
from tests.translators.cluster.unify_bench import Disks, Gate, breaches
from volgraph.graph import Flock, Graph, LockCommand, LockType, Translator
from volgraph.translators.cluster.afr import Afr
from volgraph.translators.cluster.unify import Unify
from volgraph.translators.protocol.client import Client
from volgraph.translators.protocol.server import Server
from volgraph.translators.storage.memory import Memory, MemoryStore

pytestmark = pytest.mark.anyio

Gates = dict[str, Gate]


def brick(name: str, gates: Gates) -> Gate:
    gates[name] = Gate(name, (Memory(f"m-{name}"),))
    return gates[name]


def store_of(gate: Gate) -> MemoryStore:
    memory = gate.child
    assert isinstance(memory, Memory)
    return memory.store


def disks_of(side: str, gates: Gates) -> Disks:
    return Disks(store_of(gates[f"{side}-names"]), [store_of(gates[f"{side}-{child}"]) for child in "01"])


def without_placement(disks: Disks) -> dict[str, object]:
    """What the volume holds, wherever a file is: unifies below a mirror may place it differently."""
    files: dict[str, object] = {}
    for store in disks.children:
        files |= {path: item for path, item in store.image().items() if item.kind != "directory"}
    return files | {path: item for path, item in disks.namespace.image().items() if item.kind == "directory"}


@asynccontextmanager
async def mirror_of_unifies() -> AsyncIterator[tuple[Paths, Gates, Afr]]:
    gates: Gates = {}
    unifies = [
        Unify(side, [brick(f"{side}-{child}", gates) for child in "01"], namespace=brick(f"{side}-names", gates))
        for side in ("left", "right")
    ]
    top = Afr("mirror", unifies, self_heal_daemon=False, known_children=False)
    async with Graph(top) as graph:
        yield Paths(graph, top), gates, top


@asynccontextmanager
async def unify_of_mirrors() -> AsyncIterator[tuple[Paths, Gates, list[Afr]]]:
    gates: Gates = {}
    mirrors = [
        Afr(name, [brick(f"{name}-{copy}", gates) for copy in "ab"], self_heal_daemon=False, known_children=False)
        for name in ("names", "first", "second")
    ]
    top = Unify("one", mirrors[1:], namespace=mirrors[0])
    async with Graph(top) as graph:
        yield Paths(graph, top), gates, mirrors


async def fill(bench: Paths) -> None:
    await bench.mkdir("d")
    await bench.mkdir("d/deep")
    await bench.mkdir("gone")
    for path in ("one", "two", "d/three", "d/four", "d/deep/five", "gone/six"):
        await bench.write(path, path.encode())
    await bench.symlink("one", "d/sym")
    await bench.link("two", "d/two")


async def change(bench: Paths) -> None:
    await bench.write("one", b"changed")
    await bench.rename("d/three", "d/deep/three")
    await bench.rename("two", "d/four")
    await bench.unlink("gone/six")
    await bench.rmdir("gone")
    await bench.mkdir("new")
    await bench.write("new/seven", b"7")
    await bench.rename("d/deep", "deep")
    await bench.chmod("one", 0o600)


AFTER = {
    "one": b"changed",
    "d": None,
    "d/four": b"two",
    "d/two": b"two",
    "d/sym": "one",
    "deep": None,
    "deep/five": b"d/deep/five",
    "deep/three": b"d/three",
    "new": None,
    "new/seven": b"7",
}


async def test_the_same_tree_is_seen_through_both_stacks() -> None:
    for stack in (mirror_of_unifies, unify_of_mirrors):
        async with stack() as (bench, _, _):
            await fill(bench)
            await change(bench)
            assert await bench.tree() == AFTER


@pytest.mark.parametrize("lost", ["right-names", "right-0", "right-1", "left-names", "left-0", "left-1"])
async def test_a_mirror_of_unifies_goes_on_without_a_brick_and_is_equal_again_after_healing(lost: str) -> None:
    async with mirror_of_unifies() as (bench, gates, mirror):
        await fill(bench)
        gates[lost].turn(False)
        await change(bench)
        assert await bench.tree() == AFTER
        gates[lost].turn(True)

        report = await mirror.heal()
        assert (report.pending, report.split_brain, report.failed) == ([], [], [])
        left, right = disks_of("left", gates), disks_of("right", gates)
        assert without_placement(left) == without_placement(right)
        assert breaches(left) == breaches(right) == []
        assert await bench.tree() == AFTER


@pytest.mark.parametrize("lost", ["names-a", "first-b", "second-a"])
async def test_a_unify_of_mirrors_goes_on_without_a_brick_and_its_copies_are_equal_again_after_healing(
    lost: str,
) -> None:
    async with unify_of_mirrors() as (bench, gates, mirrors):
        await fill(bench)
        gates[lost].turn(False)
        await change(bench)
        assert await bench.tree() == AFTER
        gates[lost].turn(True)

        for mirror in mirrors:
            report = await mirror.heal()
            assert (report.pending, report.split_brain, report.failed) == ([], [], [])
            one, other = [store_of(gates[f"{mirror.name}-{copy}"]).image() for copy in "ab"]
            assert one == other
        assert await bench.tree() == AFTER
        disks = Disks(store_of(gates["names-b"]), [store_of(gates["first-a"]), store_of(gates["second-b"])])
        assert breaches(disks) == []


async def test_a_mirror_hears_that_a_child_of_its_unify_is_back_and_heals_by_itself() -> None:
    gates: Gates = {}
    unifies = [
        Unify(side, [brick(f"{side}-{child}", gates) for child in "01"], namespace=brick(f"{side}-names", gates))
        for side in ("left", "right")
    ]
    top = Afr("mirror", unifies, known_children=False)
    async with Graph(top) as graph:
        bench = Paths(graph, top)
        await fill(bench)
        gates["right-0"].turn(False)
        await change(bench)
        gates["right-0"].turn(True)
        await top.crawler.rest()
        assert without_placement(disks_of("left", gates)) == without_placement(disks_of("right", gates))


@pytest.mark.parametrize("served", ["the bricks", "the unify"])
async def test_unify_works_above_and_below_the_wire(served: str) -> None:
    bricks = [Memory(name) for name in ("names", "left", "right")]
    exports: list[Translator] = list(bricks)
    if served == "the unify":
        exports = [Unify("one", bricks[1:], namespace=bricks[0])]
    server = Server("server", exports, listen_port=0, auth={export.name: ("*",) for export in exports})
    async with Graph(server):
        far = [
            Client(f"far-{export.name}", remote_host="127.0.0.1", remote_port=server.port, remote_subvolume=export.name)
            for export in exports
        ]
        top = far[0] if served == "the unify" else Unify("one", far[1:], namespace=far[0])
        async with Graph(top) as graph:
            assert await graph.up(10)
            bench = Paths(graph, top)
            await fill(bench)
            await change(bench)
            assert await bench.tree() == AFTER
    assert breaches(Disks(bricks[0].store, [brick.store for brick in bricks[1:]])) == []


async def test_a_mirror_of_unifies_takes_a_lock_once_more_that_a_brick_below_has_forgotten() -> None:
    """The unify stays up: only the fd tells that what was locked through it is locked there no more."""
    async with mirror_of_unifies() as (bench, gates, _):
        fd = await bench.create("f")
        await bench.top.writev(bench.call, fd, b"text", 0)
        flock = Flock(LockType.WRITE)
        await bench.top.lk(bench.call, fd, LockCommand.SET, flock)
        bricks = [gate.child for gate in gates.values() if isinstance(gate.child, Memory)]
        holder = next(brick for brick in bricks if brick.locks.lk_count(fd.gfid))
        holder.crash()
        holder.restart()
        await bench.top.writev(bench.call, fd, b"T", 0)

        assert holder.locks.lk_count(fd.gfid) == 1
        assert await bench.read("f") == b"Text"
        with pytest.raises(BlockingIOError):
            await bench.top.lk(bench.call.owned_by(b"another"), fd, LockCommand.SET, flock)


async def test_what_was_locked_on_the_only_brick_of_a_unify_is_lost_with_it() -> None:
    gates: Gates = {}
    top = Unify("one", [brick("0", gates), brick("1", gates)], namespace=brick("names", gates))
    async with Graph(top) as graph:
        bench = Paths(graph, top)
        fd, other = await bench.create("f"), await bench.open("f")
        await top.lk(bench.call, fd, LockCommand.SET, Flock(LockType.WRITE))
        for gate in gates.values():
            assert isinstance(gate.child, Memory)
            gate.child.crash()
            gate.child.restart()
        await top.lk(bench.call.owned_by(b"another"), other, LockCommand.SET, Flock(LockType.WRITE))

        with pytest.raises(OSError, match="locked by somebody else"):
            await top.writev(bench.call, fd, b"x", 0)
        await top.writev(bench.call, other, b"y", 0)
