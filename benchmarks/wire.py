"""Round trips over TCP on loopback: our client and libgfapi to the same brick of a real GlusterFS, and our server.

Each turn of each client is a connection of its own. A turn's figure is the median of its calls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import attrs

from benchmarks import gfapi_turn
from benchmarks.measure import Scale, Series, each_timed
from benchmarks.stacks import BLOCK, running
from benchmarks.tables import Row, Table, at_most
from tests.interop.gfapi import in_child, require_gfapi
from tests.interop.our_server import our_server
from tests.interop.real_gluster import Gluster, Missing
from tests.interop.volfiles import client_volume
from volgraph.translators import Client

BOUND = 1.0
"""How many times libgfapi's p50 our client's may be, on the loop that the command line uses."""
TURNS = 12
FOPS = {"stat": "stat by path (a lookup)", "fstat": "fstat", "read": "4 KiB read"}

Remote = tuple[int, str]
"""Port and remote-subvolume."""
Turn = dict[str, tuple[float, float]]


@attrs.define
class Contender:
    """One client before one server."""

    name: str
    turn: Callable[[int], Turn]
    found: dict[str, Series] = attrs.field(factory=lambda: {fop: Series() for fop in FOPS})

    def take_turn(self, calls: int) -> None:
        for fop, figures in self.turn(calls).items():
            self.found[fop].add(*figures)


def wire(scale: Scale) -> Iterator[Table]:
    """Two tables: to a real brick, and to our own server."""
    with TemporaryDirectory(prefix="volgraph-bench-") as folder, ExitStack() as running_servers:
        loops = {"uvloop": True, "asyncio": False} if find_spec("uvloop") else {"asyncio": False}
        ours = running_servers.enter_context(our_server(Path(folder))).remote
        to_ours = [Contender(loop, partial(our_turn, ours, fast)) for loop, fast in loops.items()]
        to_real: list[Contender] = []
        peer, missing = None, ""
        try:
            real = running_servers.enter_context(real_brick(Path(folder)))
            to_real = [Contender(loop, partial(our_turn, real, fast)) for loop, fast in loops.items()]
            peer = Contender("libgfapi", partial(gfapi, real, Path(folder)))
        except Missing as reason:
            missing = str(reason).removeprefix("NOT RUN: ")
        contenders = [*to_real, *to_ours, *([peer] if peer else [])]
        for number in range(min(scale.turns, TURNS)):
            for contender in contenders if number % 2 == 0 else reversed(contenders):
                contender.take_turn(scale.fewer(5).calls)
    about = "p50 of a round trip to a glusterfsd, against libgfapi's to the same brick (wall time)"
    yield Table("protocol/client", about, "wall", list(_against_gfapi(loops, to_real, peer, missing)))
    about = "p50 of a round trip to a volgraph serve, against libgfapi's to a glusterfsd (wall time)"
    yield Table("protocol/server", about, "wall", list(_with_our_server(to_ours, peer, missing)))


def _against_gfapi(
    loops: dict[str, bool], ours: list[Contender], peer: Contender | None, missing: str
) -> Iterator[Row]:
    for fop, words in FOPS.items():
        for number, loop in enumerate(loops):
            name = f"{words}, {loop}"
            if peer is None:
                yield Row(name, bound=f"<= {BOUND:g} x", not_run=missing)
            elif number == 0:
                yield at_most(BOUND, "wall", name, ours[number].found[fop], peer.name, peer.found[fop])
            else:
                yield Row(name, ours[number].found[fop], peer.name, peer.found[fop])


def _with_our_server(ours: list[Contender], peer: Contender | None, missing: str) -> Iterator[Row]:
    for fop, words in FOPS.items():
        for contender in ours:
            name = f"{words}, {contender.name}"
            if peer is None:
                yield Row(name, contender.found[fop], not_run=missing)
            else:
                yield Row(name, contender.found[fop], peer.name, peer.found[fop])


# --- who is measured -------------------------------------------------------------------------------------------------


@contextmanager
def real_brick(folder: Path) -> Iterator[Remote]:
    """A brick of a real GlusterFS. Missing, where there is none, or no libgfapi."""
    require_gfapi()
    with Gluster(folder) as gluster:
        yield gluster.brick("real").remote


def gfapi(remote: Remote, folder: Path, calls: int) -> Turn:
    """In a process of its own. Our own client has made the file before."""
    volfile = folder / "gfapi.vol"
    volfile.write_text(client_volume("client", *remote))
    return in_child(volfile, gfapi_turn.turn, "/file", calls, log=folder / "gfapi.log")


def our_turn(remote: Remote, fast: bool, calls: int) -> Turn:
    options = {"use_uvloop": True} if fast else {}
    return anyio.run(_our_turn, remote, calls, backend_options=options)


async def _our_turn(remote: Remote, calls: int) -> Turn:
    port, subvolume = remote
    client = Client("client", remote_host="127.0.0.1", remote_port=port, remote_subvolume=subvolume)
    async with running(client) as stack:
        call, fd, at_name = stack.call, stack.fd, stack.at_name
        fops: dict[str, Callable[[], Awaitable[object]]] = {
            "stat": lambda: client.lookup(call, at_name),
            "fstat": lambda: client.fstat(call, fd),
            "read": lambda: client.readv(call, fd, len(BLOCK), 0),
        }
        return {name: await each_timed(fop, calls) for name, fop in fops.items()}
