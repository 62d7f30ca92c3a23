"""Reading through afr: what is known of copies is true, or asked anew."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.translators.cluster.bench import Bench, Clients, Gate, Switch, afr_of, clients, mirror
from volgraph.graph import ROOT_GFID, Call, Fd, Gfid, Graph, Loc, Translator, fail
from volgraph.translators.cluster.afr import Afr
from volgraph.translators.storage.posix import Posix

pytestmark = pytest.mark.anyio


async def test_an_inspection_that_a_missed_change_has_overtaken_is_not_believed() -> None:
    async with mirror() as bench:
        fd = await bench.create("f")
        await bench.top.writev(bench.call, fd, b"old", 0)
        gate = Gate(bench.switches[0], "lookup")
        async with gate.holding(bench.top.lookup, bench.call, Loc(fd.gfid)):
            gate.closed = False
            bench.switches[0].refuse = lambda name, args: fail(errno.EIO) if name == "writev" else None
            await bench.top.writev(bench.call, fd, b"new", 0)
            gate.open()

        assert bytes((await bench.top.readv(bench.call, fd, 3, 0)).data) == b"new"


async def test_a_copy_in_the_midst_of_another_clients_change_is_asked_again() -> None:
    async with clients() as (one, other):
        fd = await one.create("f")
        await one.top.writev(one.call, fd, b"old", 0)
        reading = await other.open("f")
        one.switches[0].refuse = lambda name, args: fail(errno.EIO) if name == "writev" else None
        gate = Gate(one.switches[1], "writev")
        async with gate.holding(one.top.writev, one.call, fd, b"new", 0):
            await other.find("f")  # the copies are dirty, and nobody is blamed yet
            gate.open()

        assert bytes((await other.top.readv(other.call, reading, 3, 0)).data) == b"new"


async def test_a_name_that_another_client_took_away_is_gone_though_one_copy_missed_it() -> None:
    async with clients() as (one, other):
        await one.write("f", b"x")
        await other.find("f")
        one.switches[0].turn(False)
        await one.unlink("f")

        with pytest.raises(FileNotFoundError):
            await other.find("f")
        assert await other.names() == []


@pytest.mark.parametrize("first", [0, 1])
async def test_a_rename_that_ended_in_the_dark_is_seen_under_one_name(first: int) -> None:
    """It was done on one copy, and nobody was told anything."""
    async with mirror() as bench:
        await bench.write("old", b"x")
        bench.switches[first].refuse = lambda name, args: fail(errno.ENOTCONN) if name == "rename" else None
        changed = 1 - first
        seen: list[str] = []

        def lose_the_end(name: str, args: tuple[Any, ...]) -> OSError | None:
            seen.append(name)
            return fail(errno.ENOTCONN) if name == "xattrop" and "rename" in seen else None

        bench.switches[changed].refuse = lose_the_end
        with pytest.raises(OSError):
            await bench.rename("old", "new")
        for switch in bench.switches:
            switch.refuse = lambda name, args: None
        there = []
        for name in ("old", "new"):
            try:
                await bench.find(name)
            except FileNotFoundError:
                continue
            there.append(name)

        assert there == (["new"] if changed == 0 else ["old"])
        assert (await bench.top.heal()).clean  # type: ignore[attr-defined]
        assert await bench.names() == there
        assert bench.images_equal()


async def test_a_file_unlinked_while_open_is_read_where_nothing_was_missed() -> None:
    async with mirror() as bench:
        fd = await bench.create("f")
        await bench.top.writev(bench.call, fd, b"one", 0)
        await bench.unlink("f")
        with bench.without(0):
            await bench.top.writev(bench.call, fd, b"two", 0)

        assert bytes((await bench.top.readv(bench.call, fd, 3, 0)).data) == b"two"
        bench.top.release(fd)
        assert (await bench.top.heal()).clean  # type: ignore[attr-defined]
        assert bench.marks() == [{}, {}]


async def test_what_is_known_of_a_file_unlinked_while_open_is_kept_until_it_is_closed() -> None:
    async with mirror(3, read_subvolume="b0") as bench:
        inodes = afr_of(bench).inodes
        inodes._limit = 4
        await bench.write("f", b"old")
        fd = await bench.open("f")
        await bench.unlink("f")
        with bench.without(0):
            await bench.top.writev(bench.call, fd, b"new", 0)
            await bench.top.flush(bench.call, fd)
        for number in range(8):
            await bench.write(f"other {number}", b"")

        assert bytes((await bench.top.readv(bench.call, fd, 3, 0)).data) == b"new"
        bench.top.release(fd)
        await bench.write("one more", b"")
        assert inodes.known(fd.gfid) is None
        assert not inodes._pins


async def test_a_file_unlinked_while_open_is_not_read_from_the_stale_copy_where_the_good_one_is_away() -> None:
    async with mirror() as bench:
        await bench.write("f", b"old")
        fd = await bench.open("f")
        await bench.unlink("f")
        with bench.without(0):
            await bench.top.writev(bench.call, fd, b"new", 0)
            await bench.top.flush(bench.call, fd)
        bench.switches[1].turn(False)

        with pytest.raises(OSError) as raised:
            await bench.top.readv(bench.call, fd, 3, 0)
        assert raised.value.errno == errno.ENOTCONN
        bench.switches[1].turn(True)
        assert bytes((await bench.top.readv(bench.call, fd, 3, 0)).data) == b"new"


async def test_a_file_that_create_has_found_is_read_on_after_it_was_unlinked() -> None:
    async with clients() as (one, other):
        await one.write("f", b"text")
        fd = Fd(flags=os.O_RDWR)
        reply = await other.top.create(other.requesting(), await other.loc("f"), os.O_RDWR | os.O_CREAT, 0o644, 0, fd)
        fd.gfid = reply.iatt.gfid
        await one.unlink("f")

        assert bytes((await other.top.readv(other.call, fd, 4, 0)).data) == b"text"


# --- files that were there before ------------------------------------------------------------------------------------


def slowly(switch: Switch) -> None:
    """Every answer takes some turns of the loop."""

    async def slow(fop: Any, *args: Any, **kwargs: Any) -> Any:
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        return await Translator.relay(switch, fop, *args, **kwargs)

    switch.relay = slow  # type: ignore[method-assign]


@asynccontextmanager
async def two_clients_of_directories(directories: Sequence[Path]) -> AsyncIterator[list[Bench]]:
    bricks = [Posix(directory.name, directory=str(directory)) for directory in directories]
    switches = [[Switch(f"b{number}", (brick,)) for number, brick in enumerate(bricks)] for _ in range(2)]
    afrs = [Afr("mirror", each, self_heal_daemon=False) for each in switches]
    async with Graph(Clients("clients", afrs)) as graph:
        await graph.heard_from_all(5)
        yield [
            Bench(graph, afr, each, [], Call(lk_owner=bytes([number])))
            for number, (afr, each) in enumerate(zip(afrs, switches, strict=True))
        ]


async def test_two_clients_that_find_a_file_at_once_give_it_one_gfid(tmp_path: Path) -> None:
    directories = [tmp_path / "a", tmp_path / "b"]
    for directory in directories:
        directory.mkdir()
        (directory / "f").write_bytes(b"planted")
    async with two_clients_of_directories(directories) as benches:
        given: list[Gfid] = []
        for number, bench in enumerate(benches):
            slowly(bench.switches[number])  # each client reaches another brick first

        async def find(bench: Bench) -> None:
            given.append((await bench.top.lookup(bench.requesting(), Loc(parent=ROOT_GFID, name=b"f"))).iatt.gfid)

        async with anyio.create_task_group() as group:
            for bench in benches:
                group.start_soon(find, bench)

        assert given[0] == given[1]
        fd = Fd(given[0], os.O_RDONLY)
        await benches[0].top.open(benches[0].call, Loc(given[0]), os.O_RDONLY, fd)
        assert bytes((await benches[0].top.readv(benches[0].call, fd, 99, 0)).data) == b"planted"
        benches[0].top.release(fd)


async def test_a_stale_copy_is_not_read_while_the_disk_of_the_one_that_knows_is_sick() -> None:
    async with clients(quorum_type="auto") as (one, other):
        await one.write("f", b"old")
        one.switches[1].turn(False)
        await one.write("f", b"new")
        other.switches[0].refuse = lambda name, args: fail(errno.EIO) if name == "lookup" else None

        with pytest.raises(OSError) as caught:
            await other.read("f")
        assert caught.value.errno == errno.EIO
        other.switches[0].refuse = lambda name, args: None
        assert await other.read("f") == b"new"
