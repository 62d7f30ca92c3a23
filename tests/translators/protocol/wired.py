"""A client and a server in one graph, with a real or a simulated network between them."""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import attrs

from volgraph.graph import ChildDown, ChildUp, Event, Translator
from volgraph.translators import Client, Server

R = TypeVar("R")
P = ParamSpec("P")


@attrs.define(eq=False, repr=False)
class Wired(Translator):
    """Every fop goes through `client`, over the network, to `server` and what that exports."""

    children_allowed: ClassVar[tuple[int, int | None]] = (2, 2)

    @property
    def server(self) -> Server:
        server = self.children[0]
        assert isinstance(server, Server)
        return server

    @property
    def client(self) -> Client:
        client = self.children[1]
        assert isinstance(client, Client)
        return client

    async def start(self) -> None:
        self.client.remote_port = self.server.port  # it connects later

    def notify(self, event: Event) -> None:
        if not event.rises:
            super().notify(event)
        elif event.source is self.client or not isinstance(event, ChildUp | ChildDown):
            self.rise(event)

    def relay(
        self, fop: Callable[Concatenate[Any, P], Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[R]:
        answer: Awaitable[R] = getattr(self.client, fop.__name__)(*args, **kwargs)
        return answer

    def release(self, fd: Any) -> None:
        self.client.release(fd)


def wired(brick: Translator, **options: Any) -> Wired:
    server = Server("server", [brick], listen_port=0, auth={brick.name: "127.0.0.1"})
    options = {"reconnect_interval": 0.02, **options}
    client = Client("client", remote_host="127.0.0.1", remote_port=1, remote_subvolume=brick.name, **options)
    return Wired("wired", [server, client])
