"""Open files to their end: closed, forgotten, cancelled; and space that is reserved."""

import asyncio
import errno
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import volgraph
from volgraph import Graph, Seams, Translator, Volume
from volgraph.files import File
from volgraph.graph import Call, Loc
from volgraph.testing.network import SimNetwork
from volgraph.translators import Afr, Client, Memory, Server, Unify

pytestmark = pytest.mark.anyio

OPEN_COUNT = "glusterfs.open-fd-count"
TURNS_MAX = 500
"""No use here takes so many turns of the loop."""

# --- closed ----------------------------------------------------------------------------------------------------------

USES: dict[str, Callable[[File], Awaitable[Any]]] = {
    "read": lambda file: file.read(),
    "readinto": lambda file: file.readinto(bytearray(4)),
    "pread": lambda file: file.pread(1, 0),
    "write": lambda file: file.write(b"x"),
    "pwrite": lambda file: file.pwrite(b"x", 0),
    "seek": lambda file: file.seek(0),
    "tell": lambda file: file.tell(),
    "truncate": lambda file: file.truncate(),
    "allocate": lambda file: file.allocate(0, 1),
    "stat": lambda file: file.stat(),
    "flush": lambda file: file.flush(),
    "fsync": lambda file: file.fsync(),
    "lock": lambda file: _locked(file),
    "async with": lambda file: file.__aenter__(),
}


async def _locked(file: File) -> None:
    async with file.lock():
        pass


@pytest.mark.parametrize("use", USES)
async def test_a_closed_file_is_a_value_error_whatever_is_done_with_it(scratch: Volume, use: str) -> None:
    file = await scratch.open("/f", "w+b")
    await file.close()
    await file.close()  # closing twice is no error

    with pytest.raises(ValueError, match="closed file"):
        await USES[use](file)


async def test_every_method_of_a_file_is_tried_on_a_closed_one() -> None:
    public = {name for name in dir(File) if not name.startswith("_")}
    inner = {"drop", "pread_buffer", "set_attributes", "set_xattrs", "xattrs"}

    assert public - inner == {"close", "closed", *USES} - {"async with"}


# --- forgotten -------------------------------------------------------------------------------------------------------


async def test_a_file_that_is_forgotten_is_warned_of_and_given_back_with_its_locks(vol: Volume) -> None:
    file = await vol.open("/f", "wb")
    gfid = (await vol._find("/f", True)).gfid
    held = file.lock()
    await held.__aenter__()
    with pytest.warns(ResourceWarning, match="unclosed <open File '/f'>"):
        file = held = None  # type: ignore[assignment]
    gc.collect()
    async with vol.open("/f", "r+b") as other:
        with anyio.fail_after(10):
            async with other.lock():
                pass
        assert await opened(vol, gfid) == 1
    assert await opened(vol, gfid) == 0


async def opened(vol: Volume, gfid: volgraph.Gfid) -> int:
    """How many fds of an object are open at the leaves."""
    call = Call(xdata={OPEN_COUNT: 0})
    reply = await vol.graph.top.lookup(call, Loc(gfid))
    return int((reply.xdata or {}).get(OPEN_COUNT, 0))


# --- cancelled -------------------------------------------------------------------------------------------------------


def bricks(top: Translator) -> list[Memory]:
    return [node for node in volgraph.graph.children_first(top) if isinstance(node, Memory)]


@asynccontextmanager
async def cluster(kind: str) -> AsyncIterator[tuple[Volume, list[Memory]]]:
    """A volume over memory bricks, and these: direct, mirrored, unified, or a mirror of two that a server exports."""
    far = (Memory("x"), Memory("y"))
    network = SimNetwork(seed=1, delay=(0.0, 0.0))
    server = Server("server", far, listen_port=24007, auth={"x": "*", "y": "*"})
    tops: dict[str, Callable[[], Translator]] = {
        "memory": lambda: Memory("m"),
        "mirror": lambda: Afr("mirror", (Memory("a"), Memory("b"))),
        "unify": lambda: Unify("all", (Memory("a"), Memory("b")), namespace=Memory("names")),
        "remote mirror": lambda: Afr("mirror", [_client(brick.name) for brick in far]),
        "remote tree": lambda: Afr("top", [Afr(f"only-{brick.name}", [_client(brick.name)]) for brick in far]),
    }
    async with Graph(server, Seams(network=network.at("server"))):
        top = tops[kind]()
        async with volgraph.open(top, seams=Seams(network=network.at("client"))) as vol:
            yield vol, bricks(top) or list(far)


def _client(brick: str) -> Client:
    return Client(f"to-{brick}", remote_host="server", remote_port=24007, remote_subvolume=brick)


async def cancelled_after(turns: int, work: Awaitable[object]) -> bool:
    """Run it, and cancel it after so many turns of the loop; was it cancelled before its end?"""
    ended = False

    async def run() -> None:
        nonlocal ended
        await work
        ended = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    return not ended


async def cancel_at_every_turn(use: Callable[[int], Awaitable[object]], vol: Volume, nodes: list[Memory]) -> None:
    """Again and again, cancelled one turn later each time, until it comes to its end. Nothing is kept after any."""
    for turn in range(TURNS_MAX):
        cancelled = await cancelled_after(turn, use(turn))
        await quiet(vol, nodes)
        if not cancelled:
            return
    pytest.fail(f"not over after {TURNS_MAX} turns")


async def quiet(vol: Volume, nodes: list[Memory]) -> None:
    """Until what goes on after a cancellation is over: nothing is open, nothing is locked, nobody waits."""
    with anyio.fail_after(10):
        for afr in reversed(vol.graph.find(Afr)):  # those above keep something on those below, for changes to come
            await afr.rest()
        while any(_kept(node) for node in nodes):
            await anyio.lowlevel.checkpoint()


def _kept(node: Memory) -> int:
    return node.locks.held + node.locks.waiting + len(node._open)


KINDS = ["memory", "mirror", "unify", "remote mirror", "remote tree"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["rb", "xb"])
async def test_a_cancelled_open_leaves_nothing_open(kind: str, mode: str, anyio_backend: str) -> None:
    async with cluster(kind) as (vol, nodes):
        await vol.write_bytes("/old", b"text")

        async def use(path: str) -> None:
            async with vol.open(path, mode):
                pass

        await cancel_at_every_turn(lambda turn: use("/old" if mode == "rb" else f"/new{turn}"), vol, nodes)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_lock_is_neither_held_nor_waited_for(kind: str, anyio_backend: str) -> None:
    async with cluster(kind) as (vol, nodes):
        await vol.write_bytes("/f", b"text")

        async def use() -> None:
            async with vol.open("/f", "r+b") as file, file.lock(0, 10), file.lock(5, 10):
                await file.pwrite(b"x", 0)

        await cancel_at_every_turn(lambda turn: use(), vol, nodes)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_close_gives_the_locks_back(kind: str, anyio_backend: str) -> None:
    async with cluster(kind) as (vol, nodes):
        await vol.write_bytes("/f", b"text")

        async def use() -> None:
            async with vol.open("/f", "r+b") as file, file.lock(0, 10):
                await file.close()

        await cancel_at_every_turn(lambda turn: use(), vol, nodes)


async def test_who_gives_up_beside_a_lock_of_its_own_is_not_given_more_later(anyio_backend: str) -> None:
    async with cluster("memory") as (vol, nodes):
        await vol.write_bytes("/f", b"text")
        async with vol.open("/f", "r+b") as one, vol.open("/f", "r+b") as two, one.lock(15, 5), two.lock(0, 10):
            with anyio.move_on_after(0.02):
                async with two.lock(5, 15):
                    pytest.fail("both hold it")
            with anyio.fail_after(10):
                while nodes[0].locks.waiting:
                    await anyio.lowlevel.checkpoint()
        await quiet(vol, nodes)


@pytest.mark.parametrize("kind", KINDS)
async def test_who_gives_up_waiting_for_a_lock_is_not_given_it_later(kind: str, anyio_backend: str) -> None:
    async with cluster(kind) as (vol, nodes):
        await vol.write_bytes("/f", b"text")
        async with vol.open("/f", "r+b") as holder, vol.open("/f", "r+b") as waiter:
            async with holder.lock(0, 10):
                with anyio.move_on_after(0.02) as scope:
                    async with waiter.lock(0, 10):
                        pytest.fail("both hold it")
                assert scope.cancelled_caught
            with anyio.fail_after(10):  # it may be taken back from who gave up only now
                async with vol.open("/f", "r+b") as third, third.lock(0, 10):
                    pass
        await quiet(vol, nodes)


async def test_a_native_cancellation_is_one_too() -> None:
    if not asyncio._get_running_loop():
        return  # trio has none of its own
    async with cluster("remote mirror") as (vol, nodes):
        await vol.write_bytes("/f", b"text")
        async with vol.open("/f", "r+b") as holder, holder.lock():

            async def wait() -> None:
                async with vol.open("/f", "r+b") as waiter, waiter.lock():
                    pytest.fail("both hold it")

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(), 0.02)
        await quiet(vol, nodes)


async def test_a_lock_that_cannot_be_given_back_does_not_hide_the_error_of_its_holder(scratch: Volume) -> None:
    async def gone(*args: object) -> None:
        raise OSError(errno.ENOTCONN, "gone")

    async with scratch.open("/f", "wb") as file, scratch.open("/g", "wb") as other:
        with pytest.raises(KeyError):
            async with file.lock():
                scratch.graph.top.lk = gone  # type: ignore[method-assign, assignment]
                raise KeyError("mine")
        del scratch.graph.top.lk
        with pytest.raises(OSError, match="gone"):
            async with other.lock():
                scratch.graph.top.lk = gone  # type: ignore[method-assign, assignment]


async def test_locks_outlive_a_flush_and_end_with_the_file(vol: Volume) -> None:
    await vol.write_bytes("/f", b"")
    async with vol.open("/f", "r+b") as mine, vol.open("/f", "r+b") as other, mine.lock():
        await mine.flush()
        with pytest.raises(OSError) as caught:
            async with other.lock(wait=False):
                pytest.fail("both hold it")
        assert caught.value.errno == errno.EAGAIN


# --- space -----------------------------------------------------------------------------------------------------------


async def test_space_is_reserved_with_zeros_and_with_or_without_a_new_size(vol: Volume) -> None:
    async with vol.open("/f", "w+b") as file:
        await file.write(b"text")
        await file.allocate(0, 10)
        assert await file.pread(20, 0) == b"text" + bytes(6)
        await file.allocate(0, 100_000, keep_size=True)
        st = await file.stat()
        assert st.st_size == 10
        for offset, length in ((-1, 5), (0, -1), (0, 0)):
            with pytest.raises(OSError) as caught:
                await file.allocate(offset, length)
            assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, "/f")
    async with vol.open("/f", "rb") as file:
        with pytest.raises(OSError) as caught:
            await file.allocate(0, 10)
        assert caught.value.errno == errno.EBADF


async def test_data_and_holes_are_found(vol: Volume) -> None:
    size = 1 << 20
    async with vol.open("/f", "w+b") as file:
        await file.pwrite(b"x" * 4096, size)
        await file.truncate(3 * size)
        assert await file.seek(0, os.SEEK_DATA) == size
        assert await file.tell() == size
        assert await file.seek(size, os.SEEK_HOLE) == size + 4096
        assert await file.seek(0, os.SEEK_HOLE) == 0
        for offset in (size + 4096, 3 * size):
            with pytest.raises(OSError) as caught:
                await file.seek(offset, os.SEEK_DATA)
            assert (caught.value.errno, caught.value.filename) == (errno.ENXIO, "/f")
