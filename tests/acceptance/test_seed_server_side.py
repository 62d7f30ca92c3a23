"""Server-side replication in real processes: each server mirrors its own brick with the other's (docs/seed.md)."""

import errno
import socket
from pathlib import Path

import anyio
import pytest

import volgraph
from tests.acceptance.brick_contents import contents, differences
from tests.acceptance.serving import Served, client

pytestmark = pytest.mark.anyio

UP_SECONDS = 60.0


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Real sockets: one loop is enough."""
    return "asyncio"


POOL = """\
volume one
  {one}
end-volume
volume two
  {two}
end-volume
volume mirror
  type cluster/afr
  subvolumes one two
end-volume
volume server
  type protocol/server
  option transport.socket.bind-address 127.0.0.1
  option transport.socket.listen-port {port}
  option auth.addr.one.allow 127.0.0.1
  option auth.addr.two.allow 127.0.0.1
  option auth.addr.mirror.allow 127.0.0.1
  subvolumes {own} mirror
end-volume
"""
ELSEWHERE = """type protocol/client
  option remote-host 127.0.0.1
  option remote-port {there}
  option reconnect-interval 0.05
  option remote-subvolume"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pool(folder: Path, own: str, port: int, other: str, there: int) -> Served:
    """A server that keeps the brick `own`, mirrors it with that of the other server, and exports both."""
    (folder / own).mkdir()
    volumes = {own: f"type storage/posix\n  option directory {folder / own}"}
    volumes[other] = f"{ELSEWHERE.format(there=there)} {other}"
    return Served(folder, own, POOL.format(port="{port}", own=own, **volumes), port)


async def met(server: Served) -> None:
    """Return once the server's mirror is up: a new one is when the servers have found each other."""
    with anyio.fail_after(UP_SECONDS):
        while True:
            try:
                async with volgraph.open(client("pool", server, "mirror")):
                    return
            except OSError as error:
                if error.errno != errno.ENOTCONN:
                    raise
            await anyio.sleep(0.05)


async def test_the_servers_replicate_and_clients_ask_one_of_them(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    first, second = pool(tmp_path, "one", ports[0], "two", ports[1]), pool(tmp_path, "two", ports[1], "one", ports[0])
    with first, second:
        await met(first)
        async with volgraph.open(client("pool", first, "mirror")) as volume:
            await volume.write_bytes("/f", b"before")
            second.kill()
            await volume.write_bytes("/f", b"while the other server is away")
            await volume.write_bytes("/new", b"new")
            second.start()
            with anyio.fail_after(UP_SECONDS):  # the servers heal by themselves, and tell no client
                while differences(contents(tmp_path / "one"), contents(tmp_path / "two")):  # noqa: ASYNC110
                    await anyio.sleep(0.05)
        async with volgraph.open(client("pool", second, "mirror")) as volume:
            assert await volume.read_bytes("/f") == b"while the other server is away"
