"""`Client`, the whole of protocol/client: its fops are the rows of `wire/table.py`, each sent when it is called."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import anyio
import attrs

from ...graph import (
    EVERYTHING,
    NOW_NS,
    Call,
    Capability,
    ChildDown,
    ChildUp,
    Coming,
    Contention,
    Entries,
    Event,
    Fd,
    Gfid,
    Loc,
    LockCommand,
    Made,
    NewAttributes,
    ParentUp,
    ProtocolError,
    State,
    Translator,
    Volfile,
    fail,
    option,
)
from ...graph import options as kinds
from .attach import Refused, attached, reached, reason_of, spec_from
from .calls import Calls, Pending
from .held_locks import HeldLocks, anonymous
from .lock_owners import wire_owner
from .opened import OpenFds, release
from .wire import handshake
from .wire.listing import DOTS
from .wire.procedures import BY_FOP, Procedure
from .wire.xdr import Reader

R = TypeVar("R")
P = ParamSpec("P")

REFUSED_SECONDS = 60.0
"""How long a client that was refused waits before it asks again."""
ATTACH_SECONDS_MAX = 20.0


@attrs.define(eq=False, repr=False)
class Client(Translator):
    """A volume that another process serves, over the GlusterFS 4.x protocol.

        volume far
          type protocol/client
          option remote-host server.example
          option remote-port 24007
          option remote-subvolume brick
        end-volume

    It is up once the server has let it attach, says that the volume is up there, and has opened again what was open.
    When the connection ends every call on its way fails with ENOTCONN, and the node is down until it is back. The
    server has given the locks back by then: an fd through which an fcntl lock was held is EBADFD from then on, until it
    is closed.
    """

    remote_host: str = option(kinds.address, help="the server's name or address")
    remote_subvolume: str = option(kinds.text, help="the volume to attach to, by the name it has there")
    remote_port: int | None = option(
        kinds.integer(1, 65535), default=None, help="the server's port; where it is not given, the port map tells it"
    )
    ping_timeout: float = option(
        kinds.duration(0, 1013),
        default=42.0,
        aliases=("transport-timeout",),
        help="seconds of silence, with calls on their way, after which the server counts as dead; 0: never",
    )
    frame_timeout: float = option(
        kinds.duration(0, 86400), default=1800.0, help="seconds that one call may take, blocking locks apart; 0: any"
    )
    reconnect_interval: float = option(kinds.duration(0.001), default=3.0, help="seconds between attempts to connect")
    username: str | None = option(kinds.text, default=None, help="for servers that ask for a login")
    password: str | None = option(kinds.text, default=None, help="the password of `username`")
    send_gids: bool = option(kinds.boolean, default=True, help="send the caller's supplementary groups")
    strict_locks: bool = option(
        kinds.boolean, default=True, help="after a reconnect, fail what goes through an fd that held fcntl locks"
    )
    transport_type: str = option(
        kinds.one_of("tcp", "socket", "tcp/client"), default="tcp", help="the only transport is TCP"
    )
    ssl_enabled: bool = option(
        kinds.boolean, default=False, key="transport.socket.ssl-enabled", help="must be off: there is no TLS here yet"
    )

    _calls: Calls | None = attrs.field(init=False, default=None)
    _session: Calls | None = attrs.field(init=False, default=None)
    """The connection while this node is up: the same as `_calls`, or None."""
    _up_there: bool = attrs.field(init=False, default=False)
    _reopened: bool = attrs.field(init=False, default=False)
    _open: OpenFds = attrs.field(init=False)
    _held: HeldLocks = attrs.field(init=False, factory=HeldLocks)
    _id: str = attrs.field(init=False, default="")
    _attempts: int = attrs.field(init=False, default=0)

    remote: ClassVar[bool] = True
    children_allowed: ClassVar[tuple[int, int | None]] = (0, 0)
    leaf_capabilities: ClassVar[frozenset[Capability]] = EVERYTHING
    ignored_options: ClassVar[frozenset[str]] = frozenset(
        (
            *("event-threads", "filter-O_DIRECT", "non-blocking-connect", "clnt-lk-version", "volume-id"),
            *("transport.address-family", "transport.socket.own-thread", "transport.socket.read-fail-log"),
            *("transport.socket.lowlat", "transport.socket.ssl-*", "rpc-auth.*"),
            *("transport.tcp-user-timeout", "transport.socket.keepalive*", "transport.socket.nodelay"),
            *("testing.*", "dump-dicts", "opversion", "process-name", "fops-version", "volfile-*"),
        )
    )

    def __attrs_post_init__(self) -> None:
        self._open = OpenFds(self, self.strict_locks)

    def problems(self) -> Sequence[tuple[str | None, str, str]]:
        if self.ssl_enabled:
            return [("transport.socket.ssl-enabled", "TLS is not supported here", "turn it off")]
        return ()

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._id = self.seams.new_gfid().text

    def notify(self, event: Event) -> None:
        if isinstance(event, ParentUp) and not self._attempts:  # the first parent; others say it too
            self._attempts = 1
            self.tasks.start_daemon(self._stay_connected())

    async def stop(self) -> None:
        if self._calls is not None:
            self._calls.end("the graph is closed")

    async def _stay_connected(self) -> None:
        while True:
            pause = self.reconnect_interval
            try:
                reason = await self._connection()
            except Refused as error:
                reason, pause = str(error), max(pause, REFUSED_SECONDS)
            except (OSError, ProtocolError) as error:
                reason = reason_of(error)
            self._down(reason)
            self._attempts += 1
            await self.seams.clock.sleep(pause)

    async def _connection(self) -> str:
        """One connection from its beginning to its end; answers why it ended."""
        limit = min(self.ping_timeout or ATTACH_SECONDS_MAX, ATTACH_SECONDS_MAX)
        with anyio.fail_after(limit):
            calls = await reached(
                self.seams.network, self.remote_host, self.remote_port, self.remote_subvolume, self._new_calls
            )
        try:
            with anyio.fail_after(limit):
                self._up_there = await attached(calls, self.remote_subvolume, self._introduction())
                self._calls = calls
                await self._open.reopen(calls)
        except BaseException:
            calls.end("not attached")
            raise
        if calls.ended.settled:  # before it was our turn again
            self.connection_ended(calls, calls.ended.result())
            return calls.ended.result()
        self._reopened = True
        self._tell()
        await calls.watch()  # cancelled at the end of the graph: the work still under way keeps its connection
        return calls.ended.result()

    def _new_calls(self) -> Calls:
        return Calls(self, self.seams.clock.monotonic, self.ping_timeout, self.frame_timeout)

    def _introduction(self) -> dict[str, str]:
        """The server keeps fds and locks by process-uuid: one used again would find those of the last connection."""
        said = {
            "process-uuid": f"CTX_ID:{self._id}-GRAPH_ID:0-PID:{os.getpid():07}-HOST:volgraph"
            f"-PC_NAME:{self.name}-RECON_NO:-{self._attempts:05}",
            "client-version": "volgraph",
        }
        if self.username is not None:
            said["username"] = self.username
            said["password"] = self.password or ""
        return said

    def connection_ended(self, calls: Calls, reason: str) -> None:
        if calls is self._calls:
            self._calls = None
            self._reopened = False
            self._open.disconnected()
            self._held.clear()
            self._down(reason)

    def called_back(self, procedure: int, reader: Reader) -> None:
        """The server tells something; what is not known is left aside."""
        if procedure in (handshake.CHILD_UP, handshake.CHILD_DOWN):
            self._up_there = procedure == handshake.CHILD_UP
            if not self._up_there:
                self._open.locks_forgotten()
            self._tell()
        elif procedure in (handshake.INODELK_CONTENTION, handshake.ENTRYLK_CONTENTION):
            gfid, domain, name = handshake.read_contention(procedure, reader)
            for client in self._held.holders(gfid, domain, name) or ("",):
                self.rise(Contention(self, gfid, domain, name, client))

    def _tell(self) -> None:
        """Up or down, once all that was open is open again."""
        if not self._reopened:
            return
        if not self._up_there:
            self._down(f"{self.remote_subvolume} is down there")
        elif self._session is None:
            self._session = self._calls
            self.rise(ChildUp(self))

    def _down(self, reason: str) -> None:
        self._session = None
        reason = f"{self.remote_host}: {reason}"
        if self.state is State.DOWN:
            self.down_reason = reason
        else:
            self.rise(ChildDown(self, reason))

    # --- fops --------------------------------------------------------------------------------------------------------

    def relay(
        self, fop: Callable[Concatenate[Any, P], Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[R]:
        """Every fop without a method of its own below."""
        procedure = BY_FOP.get(fop.__name__)
        if procedure is None:
            raise fail(errno.EOPNOTSUPP, f"{self.name}: {fop.__name__}")
        return self._wind(procedure, *args)  # type: ignore[arg-type]

    def _wind(self, procedure: Procedure, call: Call, *args: Any) -> Pending:
        if self._session is None:
            raise fail(errno.ENOTCONN, f"{self.name}: {self.down_reason or 'not connected yet'}")
        if call.groups and not self.send_gids:
            call = attrs.evolve(call, groups=())
        pending = self._session.fop(procedure, call, wire_owner(call), args, self._open.number)
        if procedure.locks:
            self._locks(procedure, call, args, pending)
        elif procedure.fop == "flush":
            self._open.flushing(call, args[0], pending)
        return pending

    def _locks(self, procedure: Procedure, call: Call, args: Sequence[Any], pending: Pending) -> None:
        """Remember what a reconnect, or the end of a client of ours, does to a lock."""
        if procedure.fop == "lk" and args[1] != LockCommand.GET:
            self._open.locking(call, args[0], args[2], pending)
        if call.client:
            self._held.watch(procedure, call, args, pending, self._unlock)

    def _unlock(self, procedure: Procedure, call: Call, args: Sequence[Any]) -> None:
        if self._calls is not None and not self._calls.ended.settled:
            self._calls.fop(procedure, call, wire_owner(call), args, anonymous)

    def disconnect(self, client: str) -> None:
        self._held.gone(client, self._unlock)
        self._open.client_gone(client)

    def open(self, call: Call, loc: Loc, flags: int, fd: Fd) -> Awaitable[Any]:
        return self._opening(fd, loc.gfid, flags, False, BY_FOP["open"], call, loc, flags)

    def opendir(self, call: Call, loc: Loc, fd: Fd) -> Awaitable[Any]:
        return self._opening(fd, loc.gfid, 0, True, BY_FOP["opendir"], call, loc)

    def create(self, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> Awaitable[Made]:
        return self._opening(fd, loc.gfid, flags, False, BY_FOP["create"], call, loc, flags, mode, umask)

    def _opening(
        self, fd: Fd, gfid: Gfid, flags: int, is_dir: bool, procedure: Procedure, call: Call, *args: Any
    ) -> Coming[Any]:
        """The fd gets its number with the answer; until then, and if it fails, it is anonymous."""
        pending = self._wind(procedure, call, *args)
        slot = self._open.opening(fd, call, gfid, flags, is_dir)
        coming: Coming[Any] = Coming()

        def answered() -> None:
            try:
                reply, slot.number = pending.result()
            except OSError as error:
                self._open.drop(fd)
                coming.reject(error)
                return
            if isinstance(reply, Made):
                slot.gfid = reply.iatt.gfid
            if slot.released and self._calls is not None:
                release(self._calls, slot)
            coming.resolve(reply)

        pending.when_settled(answered)
        return coming

    def release(self, fd: Fd) -> None:
        slot = self._open.drop(fd)
        if slot is not None and self._calls is not None:
            release(self._calls, slot)

    def readdir(self, call: Call, fd: Fd, size: int, offset: int) -> Awaitable[Entries]:
        return self._listing(BY_FOP["readdir"], call, fd, size, offset)

    def readdirp(self, call: Call, fd: Fd, size: int, offset: int) -> Awaitable[Entries]:
        return self._listing(BY_FOP["readdirp"], call, fd, size, offset)

    def _listing(self, procedure: Procedure, call: Call, fd: Fd, size: int, offset: int) -> Coming[Entries]:
        """`.` and `..`, which GlusterFS lists, are left out; where nothing else came it goes on behind them."""
        coming: Coming[Entries] = Coming()

        def ask(offset: int) -> None:
            pending = self._wind(procedure, call, fd, size, offset)
            pending.when_settled(lambda: answered(pending))

        def answered(pending: Pending) -> None:
            try:
                reply: Entries = pending.result()
                entries = [entry for entry in reply.entries if entry.name not in DOTS]
                if reply.entries and not entries and not reply.end:
                    ask(reply.entries[-1].offset)
                    return
            except OSError as error:
                coming.reject(error)
                return
            coming.resolve(Entries(entries, reply.end or not reply.entries, reply.xdata))

        ask(offset)
        return coming

    def setattr(self, call: Call, loc: Loc, new: NewAttributes) -> Awaitable[Any]:
        return self._wind(BY_FOP["setattr"], call, loc, self._dated(new))

    def fsetattr(self, call: Call, fd: Fd, new: NewAttributes) -> Awaitable[Any]:
        return self._wind(BY_FOP["fsetattr"], call, fd, self._dated(new))

    def _dated(self, new: NewAttributes) -> NewAttributes:
        """A brick of GlusterFS takes "now" from the sender."""
        if NOW_NS not in (new.atime_ns, new.mtime_ns, new.ctime_ns):
            return new
        now = self.seams.clock.time_ns()
        times = {name: now for name in ("atime_ns", "mtime_ns", "ctime_ns") if getattr(new, name) == NOW_NS}
        return attrs.evolve(new, **times)

    async def getspec(self, call: Call, key: str, flags: int = 0) -> Volfile:
        if self._session is None:
            raise fail(errno.ENOTCONN, f"{self.name}: {self.down_reason}")
        return Volfile(await spec_from(self._session, key))
