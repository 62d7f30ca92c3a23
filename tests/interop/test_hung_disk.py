"""A brick on a network file system whose server stops answering takes nothing else down, and comes back.

The file system is a real GlusterFS volume: one brick of a mirror of ours lies on its FUSE mount. Its `glusterfsd` is
stopped (SIGSTOP), so that every system call on the mount waits, for ever, in the kernel.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import attrs
import pytest

import volgraph
from tests.interop.real_gluster import Brick, Gluster
from tests.interop.volfiles import client_volume
from volgraph.graph import State
from volgraph.translators import Afr, Posix

pytestmark = [pytest.mark.interop, pytest.mark.anyio]

TIMEOUT = 1.0
SLACK = 0.2
SECONDS = 60.0


@attrs.define
class Remote:
    """A directory on a mounted volume, and the server that can be stopped."""

    server: Brick
    directory: Path

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Within, nothing on the mount answers."""
        self.server.freeze()
        try:
            yield
        finally:
            self.server.thaw()


@pytest.fixture
def remote(gluster: Gluster) -> Iterator[Remote]:
    """However the test ends, the server goes on before it is told to end: a stopped one would hold the mount, and every
    thread of ours that waits for it."""
    server = gluster.brick("server")
    port, volume = server.remote
    mount = gluster.mount("mnt", client_volume("remote", port, volume, ping_timeout=600))
    directory = mount.path / "brick"
    directory.mkdir()
    try:
        yield Remote(server, directory)
    finally:
        server.thaw()


@attrs.define
class Measured:
    """Seconds: of the first write while the server is stopped, the slowest later one, and the slowest elsewhere."""

    first: float = 0.0
    later: float = 0.0
    elsewhere: float = 0.0


async def told(volume: volgraph.Volume, name: str, state: State) -> None:
    with anyio.fail_after(SECONDS):
        while volume.graph.node(name).state is not state:
            await volume.graph.next_change()


def mirror_over(remote: Remote, folder: Path) -> Afr:
    far = Posix("far", directory=str(remote.directory), metadata="sidecar", io_timeout=TIMEOUT)
    return Afr("mirror", [Posix("near", directory=str(folder / "near")), far])


async def test_a_mirror_goes_on_while_the_file_system_of_one_brick_hangs(remote: Remote, tmp_path: Path) -> None:
    for name in ("near", "other"):
        (tmp_path / name).mkdir()
    async with (
        volgraph.open(mirror_over(remote, tmp_path), wait=SECONDS) as volume,
        volgraph.open(Posix("other", directory=str(tmp_path / "other"))) as other,
    ):
        far = volume.graph.node("far")
        assert isinstance(far, Posix)
        assert far._on_worker, "io-mode auto knows a FUSE mount"
        await volume.write_bytes("/before", b"before")
        with remote.stopped():
            measured = await write_meanwhile(volume, other)
            assert far.state is State.DOWN
            assert "io-timeout" in far.down_reason
            assert await volume.read_bytes("/before") == b"before"
        await told(volume, "far", State.UP)
        report = await volume.heal()
        assert report.clean
    assert TIMEOUT <= measured.first < TIMEOUT + SLACK, measured
    assert measured.later < SLACK, measured
    assert measured.elsewhere < SLACK, measured
    names = ["before", *(f"file{number}" for number in range(20))]
    for name in names:
        assert (remote.directory / name).read_bytes() == (tmp_path / "near" / name).read_bytes()
    assert sorted(name for name in os.listdir(remote.directory) if name != ".glusterfs") == sorted(names)
    print(f"\nfirst write {measured.first:.3f} s, later {measured.later:.3f} s, elsewhere {measured.elsewhere:.3f} s")


async def write_meanwhile(volume: volgraph.Volume, other: volgraph.Volume) -> Measured:
    measured, over = Measured(), anyio.Event()

    async def use_the_other_brick() -> None:
        number = 0
        while not over.is_set():
            start = time.monotonic()
            await other.write_bytes(f"/{number % 10}", b"x" * 4096)
            number += 1
            measured.elsewhere = max(measured.elsewhere, time.monotonic() - start)
            await anyio.sleep(0.002)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use_the_other_brick)
        for number in range(20):
            start = time.monotonic()
            await volume.write_bytes(f"/file{number}", b"%d" % number * 1000)
            took = time.monotonic() - start
            if number:
                measured.later = max(measured.later, took)
            else:
                measured.first = took
        over.set()
    return measured


async def test_a_mirror_starts_and_stops_while_the_file_system_of_one_brick_hangs(
    remote: Remote, tmp_path: Path
) -> None:
    (tmp_path / "near").mkdir()
    async with volgraph.open(mirror_over(remote, tmp_path), wait=SECONDS) as volume:
        await volume.write_bytes("/f", b"old")
    with remote.stopped():
        start = time.monotonic()
        async with volgraph.open(mirror_over(remote, tmp_path), wait=SECONDS) as volume:
            started = time.monotonic() - start
            assert volume.graph.node("far").state is State.DOWN
            await volume.write_bytes("/f", b"new")
            start = time.monotonic()
        stopped = time.monotonic() - start
    for thread in threading.enumerate():  # what hung goes on, and gives the brick back
        if thread.name.startswith("volgraph-pool"):
            await anyio.to_thread.run_sync(thread.join, SECONDS)
    async with volgraph.open(mirror_over(remote, tmp_path), wait=SECONDS) as volume:
        await told(volume, "far", State.UP)
        assert (await volume.heal()).clean
    assert started < TIMEOUT + 5
    assert stopped < 5
    assert (remote.directory / "f").read_bytes() == b"new"
