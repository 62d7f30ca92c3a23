"""`Server`, the whole of protocol/server but for the sessions of its clients."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import attrs

from ...graph import (
    ChildDown,
    ChildUp,
    Contention,
    Event,
    ParentDown,
    ParentUp,
    State,
    Translator,
    children_first,
    fail,
    option,
)
from ...graph import options as kinds
from ...graph.network import Connection, Listener, Receiver
from .attach import PORT
from .auth import Patterns, Rules
from .session import Session
from .wire import dicts, rpc
from .wire.handshake import SPEC_BYTES_MAX
from .wire.records import RECORD_BYTES_MAX

CONNECTIONS_MAX = 2048
LOOK_SECONDS = 5.0
REPLY_ROOM = 64 * 1024
"""What a reply may hold besides the bytes that were read."""


@attrs.define(eq=False, repr=False)
class Server(Translator):
    """Export the volumes below to other processes and machines, over the GlusterFS 4.x protocol.

        volume server
          type protocol/server
          option listen-port 24007
          option auth.addr.brick.allow 127.0.0.1,192.168.1.*
          subvolumes brick
        end-volume

    Any volume below can be attached to by its name, if `auth` lets the client: nobody is admitted by default.

    It listens on the loopback address unless `bind-address` says otherwise (`0.0.0.0` is every address of the
    machine): what a peer says of its user and group is believed, so a server is opened to a network on purpose only.
    """

    listen_port: int = option(
        kinds.integer(0, 65535),
        default=PORT,
        aliases=("transport.socket.listen-port",),
        help="the TCP port; 0: any free one, which `Server.port` then tells",
    )
    bind_address: str = option(
        kinds.address, default="127.0.0.1", aliases=("transport.socket.bind-address",), help="the address to listen on"
    )
    auth: Mapping[str, Patterns] = option(
        kinds.words(),
        key="auth.addr.*.allow",
        aliases=("auth.ip.*.allow",),
        help="addresses that may attach to a volume: shell patterns or networks, `!` before one that may not",
    )
    auth_reject: Mapping[str, Patterns] = option(
        kinds.words(), key="auth.addr.*.reject", aliases=("auth.ip.*.reject",), help="addresses that may not"
    )
    auth_login: Mapping[str, Patterns] = option(
        kinds.words(), key="auth.login.*.allow", help="users that may attach to a volume"
    )
    auth_password: Mapping[str, str] = option(kinds.text, key="auth.login.*.password", help="the password of a user")
    rpc_auth_allow_insecure: bool = option(
        kinds.boolean, default=True, help="admit clients by address that come from a port above 1023"
    )
    record_size_max: int = option(
        kinds.size(64 * 1024, 1 << 30), default=RECORD_BYTES_MAX, help="the longest message a client may send"
    )
    volume_filename: str | None = option(
        kinds.path, default=None, aliases=("client-volume-filename",), help="the spec to hand to clients that ask"
    )
    volume_filenames: Mapping[str, str] = option(
        kinds.path, key="volume-filename.*", help="the spec to hand out under one key"
    )
    transport_type: str = option(
        kinds.one_of("tcp", "socket", "tcp/server"), default="tcp", help="the only transport is TCP"
    )
    ssl_enabled: bool = option(
        kinds.boolean, default=False, key="transport.socket.ssl-enabled", help="must be off: there is no TLS here yet"
    )

    process_uuid: str = attrs.field(init=False, default="")
    _rules: Rules = attrs.field(init=False)
    _listener: Listener | None = attrs.field(init=False, default=None)
    _sessions: dict[Session, None] = attrs.field(init=False, factory=dict)
    _accepted: int = attrs.field(init=False, default=0)
    _looking: bool = attrs.field(init=False, default=False)

    children_allowed: ClassVar[tuple[int, int | None]] = (1, None)
    ignored_options: ClassVar[frozenset[str]] = frozenset(
        (
            *("auth-path", "dynamic-auth", "inode-lru-limit", "event-threads", "statedump-path", "volume-id"),
            *("auth.login.*.ssl-allow", "strict-auth-accept", "rpc.outstanding-rpc-limit", "rpc-auth.*"),
            *("transport.address-family", "transport.tcp-user-timeout", "transport.listen-backlog"),
            *("transport.socket.keepalive*", "transport.socket.nodelay", "transport.socket.own-thread"),
            *("transport.socket.listen-backlog", "transport.socket.read-fail-log", "transport.socket.ssl-*"),
        )
    )

    def __attrs_post_init__(self) -> None:
        self._rules = Rules(
            self.auth, self.auth_reject, self.auth_login, self.auth_password, self.rpc_auth_allow_insecure
        )

    def problems(self) -> Sequence[tuple[str | None, str, str]]:
        below = {node.name for node in children_first(self)} - {self.name}
        found: list[tuple[str | None, str, str]] = []
        for named, key in ((self.auth, "addr"), (self.auth_login, "login")):
            for name in named:
                if name not in below:
                    hint = f"below are: {', '.join(sorted(below)[:20])}"
                    found.append((f"auth.{key}.{name}.allow", f"no volume '{name}' below this server", hint))
        if self.ssl_enabled:
            found.append(("transport.socket.ssl-enabled", "TLS is not supported here", "turn it off"))
        return found

    @property
    def port(self) -> int:
        """Where it listens, once it has started."""
        return self.listen_port if self._listener is None else self._listener.port

    @property
    def reply_bytes_max(self) -> int:
        """The most that one read, or one piece of a listing, brings."""
        return self.record_size_max - REPLY_ROOM // 2

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self.process_uuid = self.seams.new_gfid().text
        try:
            self._listener = await self.seams.network.listen(self.bind_address, self.listen_port, self._accept)
        except OSError as error:
            error.add_note(f"{self.name}: cannot listen on {self.bind_address}:{self.listen_port}")
            raise

    def notify(self, event: Event) -> None:
        if isinstance(event, Contention):
            for session in self._sessions:
                if session.client == event.client:
                    session.tell_contention(event)
            return
        if isinstance(event, ChildUp | ChildDown):
            self._heard()
        elif isinstance(event, ParentUp) and not self._looking:
            self._looking = True
            self.tasks.start_daemon(self._look_after_sessions())
        elif isinstance(event, ParentDown):
            self._close()
        if not event.rises:
            super().notify(event)

    def _heard(self) -> None:
        """A volume below went up or down. The server is up while one of its own children is."""
        for session in list(self._sessions):
            session.tell_state()
        states = {child.state for child in self.children}
        if State.UP in states and self.state is not State.UP:
            self.rise(ChildUp(self))
        elif states == {State.DOWN} and self.state is not State.DOWN:
            self.rise(ChildDown(self, "everything below is down"))

    async def stop(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for session in list(self._sessions):
            session.end("the server stops")

    # --- clients -----------------------------------------------------------------------------------------------------

    def _accept(self, connection: Connection) -> Receiver:
        self._accepted += 1
        session = Session(self, connection, self._accepted)
        self._sessions[session] = None
        if len(self._sessions) > CONNECTIONS_MAX:
            session.end(f"{CONNECTIONS_MAX} clients are connected already")
        return session

    def ended(self, session: Session) -> None:
        self._sessions.pop(session, None)

    async def _look_after_sessions(self) -> None:
        while True:
            await self.seams.clock.sleep(LOOK_SECONDS)
            for session in list(self._sessions):
                session.look()

    def admitted(self, peer: str, options: Mapping[str, bytes]) -> Translator:
        """The volume that a client asks for. EINVAL ENOENT EACCES; the subject is for its ears."""
        name = dicts.old_text(options, "remote-subvolume")
        if not name:
            raise fail(errno.EINVAL, "No remote-subvolume option specified")
        if not dicts.old_text(options, "process-uuid"):
            raise fail(errno.EINVAL, "UUID not specified")
        if dicts.old_text(options, "fops-version") != str(rpc.FOPS_PROGRAM):
            raise fail(errno.EINVAL, f"version mismatch: fops-version must be {rpc.FOPS_PROGRAM}")
        volume = next((node for node in children_first(self) if node.name == name and node is not self), None)
        if volume is None:
            raise fail(errno.ENOENT, f"Brick not found: {name[:200]}")
        user, password = (dicts.old_text(options, key) for key in ("username", "password"))
        refusal = self._rules.refusal(name, peer, user, password)
        if refusal is not None:
            raise fail(errno.EACCES, f"Authentication failed: {refusal}")
        return volume

    def spec(self, key: str) -> str:
        """The spec that clients get under a key. ENOENT EFBIG."""
        filename = self.volume_filenames.get(key, self.volume_filename)
        if filename is None:
            raise fail(errno.ENOENT, key)
        spec = Path(filename).read_text(encoding="utf-8", errors="surrogateescape")
        if len(spec) > SPEC_BYTES_MAX:
            raise fail(errno.EFBIG, key)
        return spec
