"""With strict-reads nothing that was read once is unread, whoever reads, and whichever copies it reaches."""

from __future__ import annotations

import errno
from contextlib import suppress
from itertools import combinations, permutations

import anyio
import pytest

from tests.translators.cluster.bench import Bench, Gate, clients, mirror
from volgraph.graph import fail

pytestmark = pytest.mark.anyio

PAIRS = list(combinations(range(3), 2))


async def test_a_copy_that_another_client_has_left_behind_is_not_read() -> None:
    """F50."""
    async with clients(read_subvolume="b1", strict_reads=True, quorum_type="none") as (writer, reader):
        await writer.write("f", b"old")
        fd = await reader.open("f")
        assert bytes((await reader.top.readv(reader.call, fd, 9, 0)).data) == b"old"
        writer.switches[1].turn(False)
        await writer.write("f", b"new")

        assert bytes((await reader.top.readv(reader.call, fd, 9, 0)).data) == b"new"


async def test_without_strict_reads_that_copy_may_be_read() -> None:
    """So that the test above shows something."""
    async with clients(read_subvolume="b1", quorum_type="none") as (writer, reader):
        await writer.write("f", b"old")
        fd = await reader.open("f")
        await reader.top.readv(reader.call, fd, 9, 0)
        writer.switches[1].turn(False)
        await writer.write("f", b"new")

        assert bytes((await reader.top.readv(reader.call, fd, 9, 0)).data) == b"old"


@pytest.mark.parametrize("reached", range(3))
async def test_a_write_that_failed_is_seen_by_all_readers_or_by_none(reached: int) -> None:
    """I03: it reached one copy only; readers come one after the other, each of which reaches another two."""
    for order in permutations(PAIRS):
        async with clients(4, copies=3, strict_reads=True) as (writer, *readers):
            await writer.write("f", b"old")
            fd = await writer.open("f")
            for number, switch in enumerate(writer.switches):
                if number != reached:
                    switch.refuse = lambda name, args: fail(errno.ENOTCONN) if name == "writev" else None
            with pytest.raises(OSError):
                await writer.top.writev(writer.call, fd, b"new", 0)
            for switch in writer.switches:
                switch.turn(False)
            seen = []
            for reader, pair in zip(readers, order, strict=True):
                for number in set(range(3)) - set(pair):
                    reader.switches[number].turn(False)
                with suppress(OSError):  # better than a guess
                    seen.append(await reader.read("f"))
            readers[0].switches[({0, 1, 2} - set(order[0])).pop()].turn(True)
            seen.append(await readers[0].read("f"))

            assert len(set(seen)) == 1


async def test_what_a_failed_write_has_left_is_healed_by_whoever_reads_it() -> None:
    async with mirror(3, strict_reads=True) as bench:
        await bench.write("f", b"old")
        fd = await bench.open("f")
        for switch in bench.switches[:2]:
            switch.refuse = lambda name, args: fail(errno.EIO) if name == "writev" else None
        with pytest.raises(OSError):
            await bench.top.writev(bench.call, fd, b"new", 0)
        for switch in bench.switches:
            switch.refuse = lambda name, args: None

        assert await bench.read("f") in (b"old", b"new")
        assert bench.images_equal()
        assert bench.marks() == [{}, {}, {}]


async def test_a_change_under_way_is_waited_for() -> None:
    async with clients(strict_reads=True, post_op_delay=3600) as (writer, reader):
        await writer.write("f", b"old")
        theirs = await reader.open("f")
        fd = await writer.open("f")
        gate = Gate(writer.switches[1], "writev")
        seen: list[bytes] = []

        async def read() -> None:
            seen.append(bytes((await reader.top.readv(reader.call, theirs, 9, 0)).data))

        with anyio.fail_after(5):
            async with gate.holding(writer.top.writev, writer.call, fd, b"new", 0) as group:
                group.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                assert seen == []
                gate.open()

        assert seen == [b"new"]


async def test_below_a_quorum_nothing_is_read() -> None:
    async with mirror(3, strict_reads=True) as bench:
        await bench.write("f", b"old")
        bench.switches[0].turn(False)
        assert await bench.read("f") == b"old"
        bench.switches[1].turn(False)
        with pytest.raises(OSError) as caught:
            await bench.read("f")

        assert caught.value.errno == errno.ENOTCONN


async def test_one_who_writes_reads_without_closing() -> None:
    async with mirror(strict_reads=True, post_op_delay=3600) as bench:
        await bench.write("f", b"old")
        fd = await bench.open("f")
        await bench.top.writev(bench.call, fd, b"new", 0)
        began = [len(switch.seen) for switch in bench.switches]

        assert bytes((await bench.top.readv(bench.call, fd, 9, 0)).data) == b"new"
        asked = [switch.seen[start:] for switch, start in zip(bench.switches, began, strict=True)]
        assert sorted(asked) == [["lookup"], ["lookup", "readv"]]


async def test_names_are_those_that_a_quorum_holds_for_certain() -> None:
    async with clients(copies=3, strict_reads=True) as (writer, reader):
        await writer.mkdir("d")
        assert await reader.names("d") == []
        for number in (1, 2):
            writer.switches[number].refuse = lambda name, args: fail(errno.EIO) if name == "create" else None
        with pytest.raises(OSError):
            await writer.create("d/f")
        reader.switches[0].turn(False)
        with pytest.raises(OSError) as caught:
            await reader.find("d/f")
        assert caught.value.errno == errno.EIO
        reader.switches[0].turn(True)
        names = await reader.names("d")

        assert names == await writer.names("d")
        assert ("f" in names) == (await reader.names() and await exists(reader, "d/f"))


async def exists(bench: Bench, path: str) -> bool:
    try:
        await bench.find(path)
    except FileNotFoundError:
        return False
    return True


async def test_a_file_that_was_unlinked_while_open_is_read_on() -> None:
    async with mirror(strict_reads=True) as bench:
        await bench.write("f", b"bytes")
        fd = await bench.open("f")
        await bench.unlink("f")

        assert (await bench.top.fstat(bench.call, fd)).iatt.size == 5
        assert bytes((await bench.top.readv(bench.call, fd, 9, 0)).data) == b"bytes"
