"""What the founding text claims, each claim shown on real directories and real processes (docs/seed.md lists them)."""

import errno
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

import volgraph
from tests.acceptance.brick_contents import contents, differences
from tests.acceptance.serving import Served
from volgraph.graph import State, Translator
from volgraph.translators import Afr, Client, Posix, Unify

pytestmark = pytest.mark.anyio

TIMEOUT = 1.0
"""Seconds of silence after which a server counts as dead: GlusterFS called it transport-timeout."""
FAST = 0.5
"""A write that nothing delays takes milliseconds; a busy machine may stretch that, but not to the timeout."""
UP_SECONDS = 60.0
Serve = Callable[..., Served]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Real sockets: one loop is enough."""
    return "asyncio"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers over new directories; they end with the test."""
    with ExitStack() as servers:

        def start(name: str, spec: str | None = None) -> Served:
            (tmp_path / name).mkdir()
            server = Served.brick(tmp_path / name) if spec is None else Served(tmp_path, name, spec)
            return servers.enter_context(server)

        yield start


def client(name: str, server: Served, volume: str = "brick", timeout: float = 42.0) -> Client:
    return Client(
        name,
        remote_host="127.0.0.1",
        remote_port=server.port,
        remote_subvolume=volume,
        ping_timeout=timeout,
        reconnect_interval=0.05,
    )


def local(folder: Path, name: str) -> Posix:
    (folder / name).mkdir(exist_ok=True)
    return Posix(name, directory=str(folder / name))


async def told(volume: volgraph.Volume, name: str, state: State) -> None:
    with anyio.fail_after(UP_SECONDS):
        while volume.graph.node(name).state is not state:
            await volume.graph.next_change()


async def heal(volume: volgraph.Volume) -> None:
    report = await volume.heal()
    assert (report.pending, report.split_brain, report.failed) == ([], [], [])


def assert_alike(*bricks: Path) -> None:
    first, *others = map(contents, bricks)
    assert first
    for other in others:
        assert differences(first, other) == []


# --- a server that dies, or falls silent -------------------------------------------------------------------------


async def seconds_of(work: "AsyncIterator[object]") -> list[float]:
    """How long each step took."""
    took = []
    began = time.monotonic()
    async for _ in work:
        now = time.monotonic()
        took.append(now - began)
        began = now
    return took


async def test_a_killed_server_delays_no_write(serve: Serve, tmp_path: Path) -> None:
    """The client fails over by itself: there is no shared address, no heartbeat, and nothing to take over."""
    one, two = serve("one"), serve("two")
    mirror = Afr("mirror", [client("c1", one), client("c2", two)])
    async with volgraph.open(mirror) as volume, volume.open("/f", "wb") as file:

        async def writes() -> AsyncIterator[int]:
            for number in range(60):
                if number == 20:
                    one.kill()
                yield await file.write(b"%03d\n" % number)

        assert max(await seconds_of(writes())) < FAST
        await told(volume, "c1", State.DOWN)
        assert await volume.read_bytes("/f") == b"".join(b"%03d\n" % number for number in range(60))
        one.start()
        await told(volume, "c1", State.UP)
        await heal(volume)
    assert_alike(tmp_path / "one", tmp_path / "two")


async def test_a_silent_server_delays_one_write_by_the_timeout(serve: Serve, tmp_path: Path) -> None:
    one, two = serve("one"), serve("two")
    mirror = Afr("mirror", [client("c1", one, timeout=TIMEOUT), client("c2", two, timeout=TIMEOUT)])
    async with volgraph.open(mirror) as volume, volume.open("/f", "wb") as file:

        async def writes() -> AsyncIterator[int]:
            for number in range(40):
                if number == 10:
                    one.freeze()
                yield await file.write(b"%03d\n" % number)

        took = await seconds_of(writes())
        assert TIMEOUT <= took.pop(10) < TIMEOUT + 1
        assert max(took) < FAST
        assert volume.graph.node("c1").state is State.DOWN
        one.thaw()
        await told(volume, "c1", State.UP)
        await heal(volume)
    assert_alike(tmp_path / "one", tmp_path / "two")


async def test_a_server_that_falls_silent_in_the_middle_of_a_write(serve: Serve, tmp_path: Path) -> None:
    """The write under way is the one that waits; it ends well, and nothing of it is lost."""
    one, two = serve("one"), serve("two")
    mirror = Afr("mirror", [client("c1", one, timeout=TIMEOUT), client("c2", two, timeout=TIMEOUT)])
    data = bytes(range(256)) * 4096 * 8
    async with volgraph.open(mirror) as volume, volume.open("/f", "wb") as file:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(file.write, data)
            while (tmp_path / "two/f").stat().st_size < len(data) // 4:
                await anyio.sleep(0)
            one.freeze()
            began = time.monotonic()
        assert TIMEOUT <= time.monotonic() - began < TIMEOUT + 2
        assert await volume.read_bytes("/f") == data
        one.thaw()
        await told(volume, "c1", State.UP)
        await heal(volume)
    assert_alike(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "one/f").read_bytes() == data


async def test_a_lock_outlives_the_server_that_died(serve: Serve) -> None:
    """Who holds a lock holds it on every brick: one that is left is enough, and the one that returns gives it to nobody
    else."""
    one, two = serve("one"), serve("two")

    def mirror() -> Translator:
        return Afr("mirror", [client("c1", one), client("c2", two)])

    async def is_refused(volume: volgraph.Volume) -> bool:
        async with volume.open("/f", "r+b") as file:
            try:
                async with file.lock(0, 10, wait=False):
                    return False
            except OSError as error:
                assert error.errno == errno.EAGAIN
                return True

    async with volgraph.open(mirror()) as mine, volgraph.open(mirror()) as theirs:
        await mine.write_bytes("/f", b"x" * 100)
        async with mine.open("/f", "r+b") as file, file.lock(0, 10):
            assert await is_refused(theirs)
            one.kill()
            for volume in (mine, theirs):
                await told(volume, "c1", State.DOWN)
            assert await is_refused(theirs)
            await file.pwrite(b"mine", 0)
            one.start()
            for volume in (mine, theirs):
                await told(volume, "c1", State.UP)
            assert await is_refused(theirs)
        assert not await is_refused(theirs)


# --- where the copies are ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["local and remote", "several remote", "several local"])
async def test_reads_writes_and_appends_go_on_without_a_brick(where: str, serve: Serve, tmp_path: Path) -> None:
    """The brick that is lost is a server that is killed, or a disk that is not there."""
    servers = {name: serve(name) for name in {"local and remote": "b", "several remote": "ab"}.get(where, "")}

    def mirror() -> Translator:
        names = "ab" if servers else "abc"
        return Afr("mirror", [client(n, servers[n]) if n in servers else local(tmp_path, n) for n in names])

    async with volgraph.open(mirror()) as volume:
        await volume.write_bytes("/kept", b"before\n")
        await volume.write_bytes("/grows", b"before\n")
        await volume.write_bytes("/deleted", b"before\n")
    if servers:
        servers["b"].kill()
    else:
        (tmp_path / "b").rename(tmp_path / "away")
        (tmp_path / "b").write_text("no directory")

    async with volgraph.open(mirror_without_b(mirror, servers, tmp_path), wait=5) as volume:
        assert await volume.read_bytes("/kept") == b"before\n"
