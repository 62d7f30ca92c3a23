"""TCP for the network seam: on asyncio (and uvloop) here, on trio in `trio_sockets`."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from typing import cast

from .errors import fail
from .keepalive import keep_alive
from .network import Connection, Listener, Receiver
from .types import Buffer

RECEIVE_BYTES = 256 * 1024
SEND_BUFFER_BYTES_MAX = 64 * 1024 * 1024
"""A peer that lets so much pile up does not read: it is dropped."""


class Sockets:
    """The network of production."""

    async def connect(self, host: str, port: int, receiver: Receiver) -> Connection:
        loop = asyncio._get_running_loop()
        if loop is None:
            from . import trio_sockets

            return await trio_sockets.connect(host, port, receiver)
        _, connection = await loop.create_connection(lambda: LoopConnection(loop, receiver, None), host, port)
        return connection

    async def listen(self, host: str, port: int, accept: Callable[[Connection], Receiver]) -> Listener:
        loop = asyncio._get_running_loop()
        if loop is None:
            from . import trio_sockets

            return await trio_sockets.listen(host, port, accept)
        server = await loop.create_server(lambda: LoopConnection(loop, None, accept), host, port)
        return LoopListener(server)


class LoopListener:
    def __init__(self, server: asyncio.Server) -> None:
        self._server = server
        self.port: int = server.sockets[0].getsockname()[1]

    def close(self) -> None:
        self._server.close()


class LoopConnection(asyncio.BufferedProtocol):
    """One connection of an asyncio loop. What arrives lands in one buffer, used again and again."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        receiver: Receiver | None,
        accept: Callable[[Connection], Receiver] | None,
    ) -> None:
        self._loop = loop
        self._receiver = receiver
        self._accept = accept
        self._transport: asyncio.Transport | None = None
        self._arriving = memoryview(bytearray(RECEIVE_BYTES))
        self._outgoing: list[Buffer] = []
        self._holding = False
        self._sent = False
        self._flushing = False
        self._error: OSError | None = None
        self.peer = ""

    # --- what the loop calls -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        host, port = (self._transport.get_extra_info("peername") or ("gone", 0))[:2]
        self.peer = f"{host}:{port}"
        if (socket := self._transport.get_extra_info("socket")) is not None:
            keep_alive(socket)
        if self._accept is not None:
            self._receiver = self._accept(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._arriving

    def buffer_updated(self, nbytes: int) -> None:
        assert self._receiver is not None
        self._holding = True
        self._receiver.received(self._arriving[:nbytes])
        self._holding = self._sent = False
        if self._outgoing and not self._flushing:
            self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._outgoing.clear()
        if self._receiver is not None:
            self._receiver.lost(self._error or (error if isinstance(error, OSError) else None))

    # --- the seam ----------------------------------------------------------------------------------------------------

    def send(self, buffers: Sequence[Buffer]) -> None:
        """The first send after something has come leaves at once: with one call on its way at a time, so does each.
        What follows, and all that answers one piece of what came, leaves together, in one system call."""
        if self._transport is None:
            return
        if self._holding or self._flushing:
            self._outgoing += buffers
        elif self._sent:
            self._outgoing += buffers
            self._flushing = True
            self._loop.call_soon(self._flush)
        else:
            self._sent = True
            self._write(buffers)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        self._flushing = False
        outgoing, self._outgoing = self._outgoing, []
        self._write(outgoing)

    def _write(self, buffers: Sequence[Buffer]) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.writelines(buffers)
        if self._transport.get_write_buffer_size() > SEND_BUFFER_BYTES_MAX:
            self._error = fail(errno.ENOBUFS, self.peer)
            self._transport.abort()
