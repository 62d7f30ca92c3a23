"""Disks that do not fit each other: a replaced one, one written to directly, a lost namespace."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable

import pytest

from tests.translators.cluster.unify_bench import Bench, Disks, breaches, error_of, unified
from volgraph.graph import ROOT_GFID, ROOT_LOC, Gfid, Loc, Translator
from volgraph.translators.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio


async def filled(bench: Bench) -> None:
    await bench.mkdir("d", 0o750)
    await bench.mkdir("d/in")
    for path in ("a", "b", "d/c", "d/in/e"):
        await bench.write(path, path.encode())


async def put(bench: Bench, node: Translator, name: str, gfid: Gfid | None = None, fifo: bool = False) -> None:
    """Make a file in the root of a brick, behind unify's back."""
    call = bench.call.with_xdata({"gfid-req": gfid or bench.graph.seams.new_gfid()})
    await node.mknod(call, Loc(parent=ROOT_GFID, name=name.encode()), 0o010644 if fifo else 0o100644, 0, 0)


# --- a disk was replaced by an empty one ---------------------------------------------------------------------------


async def test_a_replaced_disk_gets_its_directories_back_as_they_are_met() -> None:
    disks = Disks.blank(2)
    async with unified(disks=disks) as bench:
        await filled(bench)
    disks.children[1] = MemoryStore()
    async with unified(disks=disks) as bench:
        await bench.find("d/in")
        assert sorted(disks.children[1].image()) == ["/", "/d", "/d/in"]
        assert disks.children[1].image()["/d"] == disks.children[0].image()["/d"]
        assert disks.children[1].image()["/d"].mode == 0o750


async def test_no_directory_is_made_while_a_child_is_down_or_healing_is_off() -> None:
    disks = Disks.blank(3)
    async with unified(3, disks=disks) as bench:
        await filled(bench)
    disks.children[1] = MemoryStore()
    async with unified(3, disks=disks, self_heal="off") as bench:
        await bench.find("d")
    async with unified(3, disks=disks, off=[0]) as bench:
        await bench.find("d")
        assert sorted(disks.children[1].image()) == ["/"]
        bench.gates[0].turn(True)
        await bench.find("d")
        assert sorted(disks.children[1].image()) == ["/", "/d"]


async def test_files_of_a_replaced_disk_are_errors_and_never_empty_or_missing() -> None:
    disks = Disks.blank(2)
    async with unified(disks=disks) as bench:
        await filled(bench)
        gfids = {path: (await bench.find(path)).gfid for path in ("a", "b", "d/c", "d/in/e")}
    disks.children[1] = MemoryStore()
    async with unified(disks=disks) as bench:
        gone = [path for path in gfids if not bench.holders(path)]
        assert len(gone) == 2
        for path in gone:
            assert await error_of(bench.find(path)) == errno.EIO
            assert await error_of(bench.top.stat(bench.call, Loc(gfids[path]))) == errno.EIO
            assert await error_of(bench.create(path, 2)) == errno.EIO
            assert await error_of(bench.rename(path, "x")) == errno.EIO
            above, _, name = path.rpartition("/")
            assert (await bench.entries(above))[name] is None


async def test_the_name_of_a_lost_file_can_be_removed_or_replaced() -> None:
    disks = Disks.blank(2)
    async with unified(disks=disks) as bench:
        for name in ("keep", "lost", "other", "lost too"):
            await bench.write(name, name.encode())
    disks.children[1] = MemoryStore()
    async with unified(disks=disks) as bench:
        assert bench.holders("lost") == []
        await bench.unlink("lost")
        await bench.rename("other", "lost too")
        assert await bench.tree() == {"keep": b"keep", "lost too": b"other"}
        assert breaches(disks) == []


async def test_a_file_is_not_taken_for_lost_while_a_child_is_down() -> None:
    async with unified() as bench:
        await bench.write("a", b"x")
        bench.gates[0].turn(False)
        assert await error_of(bench.unlink("a")) == errno.ENOTCONN
        bench.gates[0].turn(True)
        assert await bench.read("a") == b"x"


# --- a brick was written to directly -------------------------------------------------------------------------------


async def test_two_holders_of_one_file_are_eio() -> None:
    async with unified() as bench:
        await bench.write("a", b"x")
        await put(bench, bench.gates[1], "a", (await bench.find("a")).gfid)
        bench.top.known.clear()
        assert await error_of(bench.find("a")) == errno.EIO
        assert await error_of(bench.unlink("a")) == errno.EIO
        assert (await bench.entries())["a"] is None
        assert bench.holders("a") == [0, 1]


async def test_a_file_of_another_kind_than_the_namespace_says_is_eio() -> None:
    async with unified() as bench:
        gfid = bench.graph.seams.new_gfid()
        await put(bench, bench.namespace, "a", gfid)
        await put(bench, bench.gates[0], "a", gfid, fifo=True)
        assert await error_of(bench.find("a")) == errno.EIO
        assert (await bench.entries())["a"] is None


async def test_a_directory_that_is_a_file_on_a_child_is_eio() -> None:
    disks = Disks.blank(2)
    async with unified(disks=disks) as bench:
        gfid = await bench.mkdir("d")
    disks.children[1] = MemoryStore()
    async with unified(disks=disks) as bench:
        await put(bench, bench.gates[1], "d", gfid)
        assert await error_of(bench.find("d")) == errno.EIO
    disks.children[1] = MemoryStore()
    async with unified(disks=disks) as bench:
        await put(bench, bench.gates[1], "d")
        assert await error_of(bench.find("d")) == errno.EIO


async def test_a_file_that_only_a_child_has_is_no_part_of_the_volume_and_is_never_touched() -> None:
    async with unified() as bench:
        await bench.mkdir("d")
        await put(bench, bench.gates[0], "stray")
        assert await error_of(bench.find("stray")) == errno.ENOENT
        assert sorted(await bench.entries()) == ["d"]

        assert await error_of(bench.create("stray", os.O_RDWR)) == errno.EIO
        assert "/stray" not in bench.disks.namespace.image()
        assert await error_of(bench.mkdir("stray")) == errno.EIO
        assert await error_of(bench.rename("d", "stray")) == errno.ENOTDIR
        assert await bench.tree() == {"d": None}
        assert "/stray" in bench.disks.children[0].image()
        assert [path for path in breaches(bench.disks) if "stray" not in path] == []


async def test_a_directory_with_a_stray_file_in_it_is_not_removed_anywhere() -> None:
    async with unified() as bench:
        gfid = await bench.mkdir("d")
        call = bench.requesting()
        await bench.gates[1].mknod(call, Loc(parent=gfid, name=b"stray"), 0o100644, 0, 0)
        assert await error_of(bench.rmdir("d")) == errno.ENOTEMPTY
        assert bench.holders("d") == [0, 1]
        assert await bench.tree() == {"d": None}


async def test_a_stray_file_of_the_same_name_on_another_child_does_not_hide_the_file() -> None:
    async with unified() as bench:
        await bench.write("a", b"real")
        await put(bench, bench.gates[1], "a")
        bench.top.known.clear()
        assert await bench.read("a") == b"real"
        await bench.unlink("a")
        assert await error_of(bench.find("a")) == errno.ENOENT
        assert bench.holders("a") == [1]


# --- the namespace is lost -----------------------------------------------------------------------------------------


async def test_an_empty_namespace_over_children_that_hold_something_is_refused_and_nothing_is_lost() -> None:
    disks = Disks.blank(2)
    async with unified(disks=disks) as bench:
        await filled(bench)
    disks.namespace = MemoryStore()
    before = [store.image() for store in disks.children]
    steps: tuple[Callable[[Bench], Awaitable[object]], ...] = (
        lambda bench: bench.top.lookup(bench.call, ROOT_LOC),
        lambda bench: bench.find("a"),
        lambda bench: bench.entries(),
        lambda bench: bench.create("new"),
        lambda bench: bench.mkdir("new"),
    )
    for step in steps:
        async with unified(disks=disks, self_heal="off", off=[1]) as bench:
            with pytest.raises(OSError, match="the namespace is empty, but c0 is not") as caught:
                await step(bench)
            assert caught.value.errno == errno.EIO
    assert sorted(disks.namespace.image()) == ["/"]
    assert [store.image() for store in disks.children] == before


async def test_a_lost_namespace_is_noticed_also_when_the_filled_child_comes_later() -> None:
    disks = Disks.blank(2)
    async with unified(disks=disks) as bench:
        await bench.write("a", b"x")
    disks.namespace = MemoryStore()
    async with unified(disks=disks, off=[0]) as bench:
        assert await bench.entries() == {}
        bench.gates[0].turn(True)
        assert await error_of(bench.entries()) == errno.EIO


async def test_an_empty_volume_is_no_lost_namespace() -> None:
    async with unified() as bench:
        assert (await bench.top.lookup(bench.call, ROOT_LOC)).iatt.is_dir
        await bench.write("a", b"")
        await bench.unlink("a")
        assert (await bench.top.lookup(bench.call, ROOT_LOC)).iatt.is_dir


async def test_a_damaged_intent_is_eio() -> None:
    async with unified() as bench:
        await bench.write("a", b"x")
        gfid = (await bench.find("a")).gfid
        await bench.namespace.setxattr(bench.call, Loc(gfid), {bench.top.intent_key: b"nonsense"})
        assert await error_of(bench.find("a")) == errno.EIO
