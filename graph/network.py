"""The network seam: connections that hand over what arrives and take what is to be sent, without awaiting.

Callbacks instead of streams, because a frame can then be answered in the very call that delivered it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .types import Buffer


class Receiver(Protocol):
    """Who gets what arrives on one connection."""

    def received(self, data: Buffer) -> None:
        """Bytes in order, in pieces of any size; the buffer is only valid during the call."""
        ...

    def lost(self, error: OSError | None) -> None:
        """The connection is gone (None: closed in order). Called once, nothing follows."""
        ...


class Connection(Protocol):
    peer: str
    """The other side, for people and for address rules: `127.0.0.1:49152`."""

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Send these bytes after all earlier ones. Sends of one turn of the loop go out together.

        A connection already lost swallows them: `Receiver.lost` tells.
        """
        ...

    def close(self) -> None:
        """Close at once. `lost` is still called."""
        ...


class Listener(Protocol):
    port: int

    def close(self) -> None: ...


class Network(Protocol):
    async def connect(self, host: str, port: int, receiver: Receiver) -> Connection:
        """Connect; the caller sets the time limit. OSError (ECONNREFUSED, EHOSTUNREACH, ...) when it fails."""
        ...

    async def listen(self, host: str, port: int, accept: Callable[[Connection], Receiver]) -> Listener:
        """Take connections; port 0 picks a free one. EADDRINUSE when it is taken."""
        ...
