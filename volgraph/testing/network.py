"""A network in memory, in virtual time: hosts, listeners and connections that keep the order of their bytes.

    network = SimNetwork(seed=7)
    client, server = network.at("client"), network.at("brick-a")     # what each host's graph gets as its network seam
    network.partition("client", "brick-a"); ...; network.mend()

Each direction of a connection delivers in order, after a seeded delay, in pieces of seeded size. Faults:

- `cut`: the connections between two hosts break; both sides hear ECONNRESET, bytes under way are lost.
- `black_hole`: the connections between two hosts stay open, and nothing passes on them ever again; new ones work.
- `partition`: nothing passes between two hosts, silently; after `mend` what waited arrives, as with TCP.
  Either way TCP itself gives up after a while: each side hears ETIMEDOUT after `patience` seconds of silence.
- `refuse`: a host takes no new connections (ECONNREFUSED).
"""

from __future__ import annotations

import errno
import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Final

import anyio
import attrs

from ..graph import Buffer, Coming, fail
from ..graph.network import Connection, Listener, Receiver
from .timers import call_later
from .transcript import note

DELAY_SECONDS: Final = (0.0002, 0.002)
PATIENCE_SECONDS: Final = 60.0
"""How long TCP (its keep-alive, its user timeout) bears silence where there should be none."""
LOOPBACK = frozenset(["localhost", "127.0.0.1", "::1"])
FIRST_PORT = 49152
SPOILED = 0xDD
"""A buffer is only valid during `received`: afterwards it is overwritten with this byte."""


class SimNetwork:
    """The wires between all hosts of one simulation. `delay`: least and most seconds of one way."""

    def __init__(
        self, seed: int, delay: tuple[float, float] = DELAY_SECONDS, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._rng = random.Random(f"{seed}/network")
        self._delay = delay
        self._patience = patience
        self._listeners: dict[tuple[str, int], SimListener] = {}
        self._ports = count(FIRST_PORT)
        self._connections: list[tuple[SimConnection, SimConnection]] = []
        self._apart: dict[frozenset[str], float] = {}
        """Pairs of hosts between which nothing passes, and since when."""
        self._refusing: set[str] = set()
        self._dead: set[str] = set()
        self._mended: Coming[None] = Coming()

    def at(self, host: str) -> SimHost:
        """The network as one host sees it."""
        return SimHost(self, host)

    def cut(self, one: str, other: str) -> None:
        """Break every connection between two hosts. New ones work."""
        note(f"cut {one} {other}")
        for near, far in self._between(one, other):
            near.broken(errno.ECONNRESET, self.delay())
            far.broken(errno.ECONNRESET, self.delay())

    def black_hole(self, one: str, other: str) -> None:
        """Let nothing pass any more on the connections there are between two hosts, and tell nobody."""
        note(f"black hole {one} {other}")
        for near, far in self._between(one, other):
            for side in (near, far):
                side.swallow()
                call_later(self._patience, partial(side.broken, errno.ETIMEDOUT))

    def partition(self, one: str, other: str) -> None:
        """Hold back all that goes between two hosts, new connections too, until `mend`."""
        note(f"partition {one} {other}")
        since = self._apart.setdefault(frozenset((one, other)), anyio.current_time())
        call_later(self._patience, partial(self._give_up, one, other, since))

    def partition_matrix(self, reachable: dict[str, Sequence[str]], servers: Sequence[str]) -> None:
        """For each client, exactly which of the servers it reaches."""
        for client, servers_reached in reachable.items():
            for server in servers:
                if server in servers_reached:
                    self.mend(client, server)
                else:
                    self.partition(client, server)

    def refuse(self, host: str) -> None:
        note(f"refuse {host}")
        self._refusing.add(host)

    def accept_again(self, host: str) -> None:
        note(f"accept again {host}")
        self._refusing.discard(host)

    def crash(self, host: str) -> None:
        """A host is gone: its listeners with it, and every connection it had."""
        note(f"crash {host}")
        for key in [key for key in self._listeners if key[0] == host]:
            del self._listeners[key]
        for near, far in list(self._connections):
            if host in (near.host, far.host):
                near.broken(errno.ECONNRESET, self.delay())
                far.broken(errno.ECONNRESET, self.delay())

    def die(self, host: str) -> None:
        """As `crash`, and it connects to nobody until `revive`."""
        self._dead.add(host)
        self.crash(host)

    def revive(self, host: str) -> None:
        self._dead.discard(host)

    def mend(self, one: str | None = None, other: str | None = None) -> None:
        """End the partition between two hosts, or all partitions and refusals."""
        note(f"mend {one or 'all'} {other or ''}")
        if one is None or other is None:
            self._apart.clear()
            self._refusing.clear()
        else:
            self._apart.pop(frozenset((one, other)), None)
        mended, self._mended = self._mended, Coming()
        mended.resolve(None)
        for near, far in list(self._connections):
            near.resume()
            far.resume()

    # --- what hosts and connections ask ------------------------------------------------------------------------------

    def delay(self) -> float:
        return self._rng.uniform(*self._delay)

    def apart(self, one: str, other: str) -> bool:
        return frozenset((one, other)) in self._apart

    def pieces(self, data: bytes) -> list[bytes]:
        """The bytes as they may arrive: mostly whole, sometimes in two pieces."""
        if len(data) < 2 or self._rng.random() < 0.75:
            return [data]
        at = self._rng.randrange(1, len(data))
        return [data[:at], data[at:]]

    async def connect(self, host: str, to: str, port: int, receiver: Receiver) -> SimConnection:
        await anyio.sleep(self.delay())
        while self.apart(host, to):
            await self._mended
        if host in self._dead:
            raise fail(errno.ENETDOWN, host)
        listener = self._listeners.get((to, port))
        if listener is None or to in self._refusing:
            await anyio.sleep(self.delay())
            raise fail(errno.ECONNREFUSED, f"{to}:{port}")
        near = SimConnection(self, host, f"{to}:{port}")
        far = SimConnection(self, to, f"{host}:{next(self._ports)}")
        near.far, far.far = far, near
        near.receiver = receiver
        far.receiver = listener.accept(far)
        self._connections.append((near, far))
        note(f"connected {far.peer} to {near.peer}")
        try:
            await anyio.sleep(self.delay())
        except BaseException:  # whoever wanted it has given up: nobody else could close it
            near.close()
            raise
        return near

    def listen(self, host: str, port: int, accept: Callable[[Connection], Receiver]) -> SimListener:
        number = port or next(self._ports)
        if (host, number) in self._listeners:
            raise fail(errno.EADDRINUSE, f"{host}:{number}")
        listener = self._listeners[host, number] = SimListener(self, host, number, accept)
        return listener

    def unlisten(self, listener: SimListener) -> None:
        if self._listeners.get((listener.host, listener.port)) is listener:
            del self._listeners[listener.host, listener.port]

    def drop_ended(self) -> None:
        """Forget the connections that are over on both sides."""
        self._connections = [pair for pair in self._connections if not (pair[0].over and pair[1].over)]

    def _give_up(self, one: str, other: str, since: float) -> None:
        """The partition has lasted so long that both ends of each connection drop it."""
        if self._apart.get(frozenset((one, other))) == since:
            for near, far in self._between(one, other):
                near.broken(errno.ETIMEDOUT)
                far.broken(errno.ETIMEDOUT)

    def _between(self, one: str, other: str) -> list[tuple[SimConnection, SimConnection]]:
        hosts = frozenset((one, other))
        return [pair for pair in self._connections if frozenset((pair[0].host, pair[1].host)) == hosts]


class SimHost:
    """The network seam of one host's graph."""

    def __init__(self, network: SimNetwork, name: str) -> None:
        self._network = network
        self.name = name

    async def connect(self, host: str, port: int, receiver: Receiver) -> Connection:
        return await self._network.connect(self.name, self.name if host in LOOPBACK else host, port, receiver)

    async def listen(self, host: str, port: int, accept: Callable[[Connection], Receiver]) -> Listener:
        """`host` (which address to bind) makes no difference here."""
        return self._network.listen(self.name, port, accept)


@attrs.define(eq=False)
class SimListener:
    network: SimNetwork
    host: str
    port: int
    accept: Callable[[Connection], Receiver]

    def close(self) -> None:
        self.network.unlisten(self)


class SimConnection:
    """One side of a connection: `send` puts bytes on the way to the far side's receiver."""

    far: SimConnection
    receiver: Receiver

    def __init__(self, network: SimNetwork, host: str, peer: str) -> None:
        self.host = host
        self.peer = peer
        self._network = network
        self._arriving: deque[bytes | None] = deque()
        self._timer_set = False
        self._swallowing = False
        self.over = False

    def send(self, buffers: Sequence[Buffer]) -> None:
        if not self.over and not self._swallowing:
            self.far.arriving(b"".join(buffers))

    def close(self) -> None:
        """What was sent still arrives; what was to arrive here does not."""
        if not self.over:
            self._end(None, 0.0)
            if not self._swallowing:
                self.far.arriving(None)

    # --- the receiving side ------------------------------------------------------------------------------------------

    def arriving(self, data: bytes | None) -> None:
        """Bytes, or None for the end, are on their way here, behind all earlier ones."""
        if self.over:
            return
        self._arriving.extend([None] if data is None else self._network.pieces(data))
        self.resume()

    def resume(self) -> None:
        if self._arriving and not self._timer_set and not self.over:
            self._timer_set = True
            call_later(self._network.delay(), self._deliver)

    def swallow(self) -> None:
        self._swallowing = True
        self._arriving.clear()

    def broken(self, code: int, delay: float = 0.0) -> None:
        if not self.over:
            self._end(fail(code, self.peer), delay)

    def _deliver(self) -> None:
        self._timer_set = False
        if self.over or not self._arriving or self._network.apart(self.host, self.far.host):
            return
        data = self._arriving.popleft()
        if data is None:
            self._end(None, 0.0)
            return
        note(f"{self.host} gets {len(data)} bytes from {self.peer}")
        buffer = bytearray(data)
        self.receiver.received(memoryview(buffer))
        buffer[:] = bytes([SPOILED]) * len(buffer)
        self.resume()

    def _end(self, error: OSError | None, delay: float) -> None:
        self.over = True
        self._arriving.clear()
        call_later(delay, lambda: self._tell(error))

    def _tell(self, error: OSError | None) -> None:
        note(f"{self.host} lost {self.peer}")
        self._network.drop_ended()
        self.receiver.lost(error)
