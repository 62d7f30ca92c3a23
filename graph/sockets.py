"""TCP for the network seam."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from .network import Connection, Listener, Receiver
from .types import Buffer


class Sockets:
    """The network of production."""

    async def connect(self, host: str, port: int, receiver: Receiver) -> Connection:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(lambda: LoopConnection(receiver, None), host, port)
        return protocol

    async def listen(self, host: str, port: int, accept: Callable[[Connection], Receiver]) -> Listener:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: LoopConnection(None, accept), host, port)
        return LoopListener(server)


class LoopListener:
    def __init__(self, server: asyncio.Server) -> None:
        self._server = server
        self.port: int = server.sockets[0].getsockname()[1]

    def close(self) -> None:
        self._server.close()


class LoopConnection(asyncio.Protocol):
    """One connection of an asyncio loop."""

    def __init__(self, receiver: Receiver | None, accept: Callable[[Connection], Receiver] | None) -> None:
        self._receiver = receiver
        self._accept = accept
        self._transport: asyncio.Transport | None = None
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        host, port = transport.get_extra_info("peername")[:2]
        self.peer = f"{host}:{port}"
        if self._accept is not None:
            self._receiver = self._accept(self)

    def data_received(self, data: bytes) -> None:
        assert self._receiver is not None
        self._receiver.received(data)

    def connection_lost(self, error: Exception | None) -> None:
        assert self._receiver is not None
        self._receiver.lost(error if isinstance(error, OSError) else None)

    def send(self, buffers: Sequence[Buffer]) -> None:
        if self._transport is not None:
            self._transport.writelines(buffers)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
