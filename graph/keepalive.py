"""A peer that vanishes without a word is noticed by TCP itself, so that its locks and fds do not stay for ever.

The times are GlusterFS's: probes after 20 s of silence, every 2 s, 9 of them; data that nobody acknowledges for 42 s
end the connection.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Protocol

OPTIONS = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 20),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 2),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 9),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 42_000),
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
)


class HasOptions(Protocol):
    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...


def keep_alive(connection: HasOptions) -> None:
    """Set what the platform knows; a connection that is gone already is told of elsewhere."""
    for level, name, value in OPTIONS:
        option = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):
                connection.setsockopt(level, option, value)
