"""Options as specs write them: stock ones of GlusterFS are taken; what is not supported is refused, with the reason."""

import pytest

from volgraph.graph import link
from volgraph.graph.options import read_text
from volgraph.translators import Client, Server
from volgraph.volspec import SpecError, parse

STOCK_CLIENT = """
volume gv-client-0
    type protocol/client
    option send-gids true
    option transport.socket.lowlat off
    option transport.socket.keepalive-interval 2
    option transport.socket.keepalive-time 20
    option transport.tcp-user-timeout 0
    option transport.socket.ssl-enabled off
    option password 6b1d8e5e-7d2a-4b5e-9d5c-0f4f6f3d8f11
    option username 9b4f3a58-30f6-47e2-8f0e-2b5a1e0a8c77
    option transport.address-family inet
    option transport-type tcp
    option remote-subvolume /B/brick0
    option remote-host server.example
    option ping-timeout 42
    option strict-locks off
end-volume
"""

STOCK_BRICK = """
volume gv-posix
    type storage/memory
end-volume
volume /B/brick0
    type debug/io-stats
    subvolumes gv-posix
end-volume
volume gv-server
    type protocol/server
    option transport.socket.listen-port 24001
    option rpc-auth.auth-glusterfs on
    option rpc-auth.auth-unix on
    option rpc-auth.auth-null on
    option rpc-auth-allow-insecure on
    option transport-type tcp
    option transport.address-family inet
    option auth.login./B/brick0.allow 9b4f3a58-30f6-47e2-8f0e-2b5a1e0a8c77
    option auth.login.9b4f3a58-30f6-47e2-8f0e-2b5a1e0a8c77.password 6b1d8e5e-7d2a-4b5e-9d5c-0f4f6f3d8f11
    option auth-path /B/brick0
    option auth.addr./B/brick0.allow 10.0.0.*,127.0.0.1
    option transport.socket.keepalive 1
    option transport.socket.ssl-enabled off
    option transport.socket.keepalive-time 20
    option transport.socket.keepalive-interval 2
    option transport.socket.keepalive-count 9
    option transport.listen-backlog 1024
    subvolumes /B/brick0
end-volume
"""


def test_a_stock_client_volume_is_taken() -> None:
    graph = link(parse(STOCK_CLIENT))

    client = graph.top
    assert isinstance(client, Client)
    assert (client.remote_port, client.ping_timeout, client.strict_locks) == (None, 42.0, False)
    assert client.username == "9b4f3a58-30f6-47e2-8f0e-2b5a1e0a8c77"
    assert "password" not in repr(client)


def test_a_stock_brick_is_taken() -> None:
    server = link(parse(STOCK_BRICK)).top

    assert isinstance(server, Server)
    assert (server.port, server.bind_address) == (24001, "127.0.0.1")
    assert server.auth == {"/B/brick0": ("10.0.0.*", "127.0.0.1")}
    assert server.auth_login == {"/B/brick0": ("9b4f3a58-30f6-47e2-8f0e-2b5a1e0a8c77",)}
    assert list(server.auth_password) == ["9b4f3a58-30f6-47e2-8f0e-2b5a1e0a8c77"]


def test_the_old_names_mean_the_same() -> None:
    fields, problems = read_text(Client, {"remote-host": "h", "remote-subvolume": "v", "transport-timeout": "10"})
    assert (fields["ping_timeout"], problems) == (10.0, {})
    fields, problems = read_text(Server, {"auth.ip.brick.allow": "192.168.*", "bind-address": "0.0.0.0"})
    assert (fields["auth"], fields["bind_address"], problems) == ({"brick": ("192.168.*",)}, "0.0.0.0", {})


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("transport.socket.ssl-enabled on", "TLS is not supported here"),
        ("transport-type rdma", "is not one of tcp"),
        ("remote-port 70000", "out of range"),
        ("ping-timeout soon", "not a time"),
        ("ping-timeuot 42", "did you mean 'ping-timeout'?"),
    ],
)
def test_what_is_not_supported_is_refused_with_the_reason(option: str, said: str) -> None:
    text = f"volume c\n type protocol/client\n option remote-host h\n option remote-subvolume v\n option {option}\n"
    with pytest.raises(SpecError) as caught:
        link(parse(text + "end-volume\n"))

    assert said in str(caught.value)


def test_a_permission_for_a_volume_that_is_not_there_is_a_mistake() -> None:
    spec = STOCK_BRICK.replace("auth.addr./B/brick0.allow", "auth.addr./B/brick1.allow")
    with pytest.raises(SpecError, match="no volume '/B/brick1' below this server") as caught:
        link(parse(spec))

    assert "/B/brick0, gv-posix" in str(caught.value)


def test_what_must_be_given() -> None:
    with pytest.raises(SpecError) as caught:
        link(parse("volume c\n  type protocol/client\nend-volume\n"))

    assert "remote-host" in str(caught.value)
    assert "remote-subvolume" in str(caught.value)


def test_a_client_has_no_subvolumes_and_a_server_has_some() -> None:
    with pytest.raises(SpecError, match="takes at least 1 subvolume, not 0"):
        link(parse("volume s\n  type protocol/server\nend-volume\n"))
    spec = "volume m\n type storage/memory\nend-volume\n"
    spec += STOCK_CLIENT.replace("end-volume", "subvolumes m\nend-volume")
    with pytest.raises(SpecError, match="takes no subvolumes, not 1"):
        link(parse(spec))
