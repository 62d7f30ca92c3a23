"""TCP for the network seam on trio: raw sockets, and two tasks for each connection."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence

import trio
from trio import lowlevel

from .errors import fail
from .keepalive import keep_alive
from .network import Connection, Listener, Receiver
from .types import Buffer

log = logging.getLogger("volgraph.network")

RECEIVE_BYTES = 256 * 1024
SEND_BUFFER_BYTES_MAX = 64 * 1024 * 1024
BACKLOG = 128


async def connect(host: str, port: int, receiver: Receiver) -> Connection:
    stream = await trio.open_tcp_stream(host, port)
    connection = TrioConnection(stream.socket)
    connection.begin(receiver)
    return connection


async def listen(host: str, port: int, accept: Callable[[Connection], Receiver]) -> Listener:
    listener, *others = await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    for other in others:  # a name with several addresses: the first one is it
        other.socket.close()
    return TrioListener(listener.socket, accept)


class TrioListener:
    def __init__(self, socket: trio.socket.SocketType, accept: Callable[[Connection], Receiver]) -> None:
        self._socket = socket
        self._accept = accept
        self._scope = trio.CancelScope()
        self.port: int = socket.getsockname()[1]
        lowlevel.spawn_system_task(self._take_connections)

    def close(self) -> None:
        self._scope.cancel()
        self._socket.close()

    async def _take_connections(self) -> None:
        with self._scope:
            while True:
                try:
                    socket, _ = await self._socket.accept()
                except OSError as error:
                    if self._scope.cancel_called or error.errno == errno.EBADF:
                        return
                    log.warning("cannot take a connection: %s", error)
                    await trio.sleep(0.1)  # no descriptors left, say: some may come back
                    continue
                try:
                    connection = TrioConnection(socket)
                except OSError:  # gone already
                    socket.close()
                    continue
                connection.begin(self._accept(connection))


class TrioConnection:
    """One connection. It runs in system tasks, as no nursery of the caller's lives as long as it does."""

    def __init__(self, socket: trio.socket.SocketType) -> None:
        host, port = socket.getpeername()[:2]
        keep_alive(socket)
        self.peer = f"{host}:{port}"
        self._socket = socket
        self._scope = trio.CancelScope()
        self._outgoing: list[Buffer] = []
        self._unsent = 0
        self._sender: lowlevel.Task | None = None
        self._error: OSError | None = None

    def begin(self, receiver: Receiver) -> None:
        lowlevel.spawn_system_task(self._run, receiver)

    # --- the seam ----------------------------------------------------------------------------------------------------

    def send(self, buffers: Sequence[Buffer]) -> None:
        if self._scope.cancel_called:
            return
        self._outgoing += buffers
        self._unsent += sum(map(len, buffers))
        if self._unsent > SEND_BUFFER_BYTES_MAX:
            self._give_up(fail(errno.ENOBUFS, self.peer))
        elif self._sender is not None:
            sender, self._sender = self._sender, None
            lowlevel.reschedule(sender)

    def close(self) -> None:
        self._scope.cancel()

    # --- the tasks ---------------------------------------------------------------------------------------------------

    async def _run(self, receiver: Receiver) -> None:
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send)
                    await self._receive(receiver)
                    nursery.cancel_scope.cancel()
        finally:
            self._scope.cancel()  # from now on `send` swallows
            self._socket.close()
            self._outgoing.clear()
            receiver.lost(self._error)

    async def _receive(self, receiver: Receiver) -> None:
        arriving = memoryview(bytearray(RECEIVE_BYTES))
        try:
            while count := await self._socket.recv_into(arriving):
                receiver.received(arriving[:count])
        except OSError as error:
            self._error = self._error or error
        except Exception:  # a fault of the receiver's must not take all of trio down
            log.exception("%s: dropped", self.peer)

    async def _send(self) -> None:
        try:
            while True:
                if not self._outgoing:
                    await self._wait_for_more()
                outgoing, self._outgoing = b"".join(self._outgoing), []
                left = memoryview(outgoing)
                while left:
                    count = await self._socket.send(left)
                    left = left[count:]
                    self._unsent -= count
        except OSError as error:
            self._give_up(error)

    async def _wait_for_more(self) -> None:
        def abort(_: object) -> lowlevel.Abort:
            self._sender = None
            return lowlevel.Abort.SUCCEEDED

        self._sender = lowlevel.current_task()
        await lowlevel.wait_task_rescheduled(abort)

    def _give_up(self, error: OSError) -> None:
        self._error = self._error or error
        self._scope.cancel()
