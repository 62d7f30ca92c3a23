"""A peer that vanishes is noticed: every connection, either side, either loop, asks TCP to look after it."""

from __future__ import annotations

import socket
from typing import Any

import anyio
import pytest

from volgraph.graph.keepalive import keep_alive
from volgraph.graph.sockets import Sockets

pytestmark = pytest.mark.anyio


class Deaf:
    def received(self, data: Any) -> None: ...

    def lost(self, error: OSError | None) -> None: ...


async def test_both_ends_of_a_connection_are_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    for module in ("sockets", "trio_sockets"):
        monkeypatch.setattr(f"volgraph.graph.{module}.keep_alive", seen.append)
    accepted: list[Any] = []
    taken = anyio.Event()

    def accept(connection: Any) -> Deaf:
        accepted.append(connection)
        taken.set()
        return Deaf()

    listener = await Sockets().listen("127.0.0.1", 0, accept)
    connection = await Sockets().connect("127.0.0.1", listener.port, Deaf())

    with anyio.fail_after(5):
        await taken.wait()
    connection.close()
    accepted[0].close()
    listener.close()

    assert len(seen) == 2


def test_the_options_are_set_and_a_dead_socket_is_no_error() -> None:

    with socket.socket() as one:
        keep_alive(one)
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 42_000
    keep_alive(one)
