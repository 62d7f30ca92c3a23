"""The server's side of one connection: handshake, whose turn it is, callbacks, and the end."""

from __future__ import annotations

import errno
import logging
from collections import deque
from typing import TYPE_CHECKING

import anyio.lowlevel

from ...graph import Buffer, Contention, Flock, LockType, ProtocolError, State, Translator, fail
from ...graph.network import Connection
from .serving import Serving
from .wire import dicts, handshake, rpc
from .wire.procedures import RESULT
from .wire.records import Records
from .wire.rpc import Accept, CallHeader
from .wire.xdr import WORD, Reader

if TYPE_CHECKING:
    from .server import Server

log = logging.getLogger("volgraph.server")

FRAMES_AT_ONCE = 64
SECONDS_AT_ONCE = 0.0005
"""How many records, or for how long, are answered before the loop gets its turn."""
WAITING_MAX = 16384
"""Records that wait for their turn."""
STRANGER_BYTES_MAX = 64 * 1024
"""The longest record of a client that has not attached yet."""
HANDSHAKE_SECONDS = 30.0
RECORD_SECONDS = 120.0
"""How long a client may take to attach, and to send one record."""

VERSIONS = {
    rpc.FOPS_PROGRAM: rpc.FOPS_VERSION,
    rpc.DUMP_PROGRAM: rpc.DUMP_VERSION,
    rpc.HANDSHAKE_PROGRAM: rpc.HANDSHAKE_VERSION,
}


class Session:
    """A `Receiver`. Until it has attached to a volume, a client gets nothing but the handshake and pings."""

    def __init__(self, server: Server, connection: Connection, number: int) -> None:
        self.server = server
        self.connection = connection
        self.client = f"{server.name}/{number}/{connection.peer}"
        """The owner of this connection's locks; never used again."""
        self.serving: Serving | None = None
        self.over = False
        self._records = Records(STRANGER_BYTES_MAX)
        self._waiting: deque[Buffer] = deque()
        self._working = False
        self._told_up = False
        self._now = server.seams.clock.monotonic
        self._began_at = self._now()
        self._partial_since: float | None = None

    # --- what arrives ------------------------------------------------------------------------------------------------

    def received(self, data: Buffer) -> None:
        if self.over:
            return
        try:
            self._waiting += self._records.feed(data)
        except ProtocolError as error:
            self.end(str(error))
            return
        if not self._records.partial:
            self._partial_since = None
        elif self._partial_since is None:
            self._partial_since = self._now()
        if not self._working:
            self._work()
            if self._waiting:
                self._working = True
                self.server.tasks.start(self._rest())
        elif len(self._waiting) > WAITING_MAX:
            self.end(f"{WAITING_MAX} calls wait to be read")

    def lost(self, error: OSError | None) -> None:
        self.end(str(error.strerror) if error is not None else "closed by the client")

    def _work(self) -> None:
        """Answer records, as many as one turn of the loop may take."""
        until = self._now() + SECONDS_AT_ONCE
        for _ in range(FRAMES_AT_ONCE):
            if not self._waiting:
                return
            try:
                self._answer(self._waiting.popleft())
            except ProtocolError as error:
                self.end(str(error))
            if self._waiting and self._now() > until:
                return

    async def _rest(self) -> None:
        while self._waiting:
            await anyio.lowlevel.checkpoint()
            self._work()
        self._working = False

    def _answer(self, record: Buffer) -> None:
        reader = Reader(record)
        header = rpc.parse_call(reader)
        version = VERSIONS.get(header.program)
        if version is None:
            self._accept(header.xid, Accept.PROGRAM_UNKNOWN)
        elif header.version != version:
            self._accept(header.xid, Accept.VERSION_UNKNOWN, WORD.pack(version) * 2)
        elif header.program == rpc.FOPS_PROGRAM:
            if self.serving is not None:
                self.serving.take(header, reader)
            else:
                self._accept(header.xid, Accept.GARBAGE_ARGUMENTS)  # as GlusterFS answers before SETVOLUME
        else:
            try:
                self._talk(header, reader)
            except ProtocolError:
                self._accept(header.xid, Accept.GARBAGE_ARGUMENTS)

    # --- handshake ---------------------------------------------------------------------------------------------------

    def _talk(self, header: CallHeader, reader: Reader) -> None:
        match header.program, header.procedure:
            case (rpc.DUMP_PROGRAM, handshake.DUMP):
                self._accept(header.xid, Accept.SUCCESS, handshake.dump_reply())
            case (rpc.DUMP_PROGRAM, handshake.PING) | (rpc.HANDSHAKE_PROGRAM, handshake.HANDSHAKE_PING):
                self._accept(header.xid, Accept.SUCCESS, handshake.PONG)
            case (rpc.HANDSHAKE_PROGRAM, handshake.SETVOLUME):
                self._set_volume(header.xid, handshake.read_setvolume_request(reader))
            case (rpc.HANDSHAKE_PROGRAM, handshake.GETSPEC):
                self._get_spec(header.xid, handshake.read_getspec_request(reader)[1])
            case (rpc.HANDSHAKE_PROGRAM, handshake.SET_LK_VERSION):
                self._accept(header.xid, Accept.SUCCESS, handshake.lk_version_reply())
            case (_, 0):
                self._accept(header.xid, Accept.SUCCESS, RESULT.pack(0, 0) + dicts.NULL_DICT)
            case _:
                self._accept(header.xid, Accept.PROCEDURE_UNKNOWN)

    def _set_volume(self, xid: int, options: dict[str, bytes]) -> None:
        said: dict[str, str | int | bytes]
        try:
            if self.serving is not None:
                raise fail(errno.EBUSY, "this connection is attached already")
            volume = self.server.admitted(self.connection.peer, options)
        except OSError as error:
            log.warning("%s: %s may not attach: %s", self.server.name, self.connection.peer, error)
            said = {"ERROR": str(error.filename or error.strerror)}
            self._accept(xid, Accept.SUCCESS, handshake.setvolume_reply(-1, error.errno or errno.EINVAL, said))
            return
        self.serving = Serving(
            volume, self.client, self.server.tasks, self.connection.send, self.server.reply_bytes_max
        )
        self._records.limit = self.server.record_size_max
        self._told_up = _is_up(volume)
        said = {
            "ERROR": "Success",
            "process-uuid": self.server.process_uuid,
            "clnt-lk-version": 0,
            "child_up": int(self._told_up),
        }
        self._accept(xid, Accept.SUCCESS, handshake.setvolume_reply(0, 0, said))

    def _get_spec(self, xid: int, key: str) -> None:
        try:
            body = handshake.getspec_reply(self.server.spec(key))
        except OSError as error:
            body = handshake.getspec_failure(error.errno or errno.EIO)
        self._accept(xid, Accept.SUCCESS, body)

    def _accept(self, xid: int, status: Accept, body: bytes = b"") -> None:
        self.connection.send((rpc.reply(xid, len(body), status), body))

    # --- callbacks ---------------------------------------------------------------------------------------------------

    def tell_state(self) -> None:
        """The volume went down, or came up."""
        if self.serving is None:
            return
        up = _is_up(self.serving.volume)
        if up != self._told_up:
            self._told_up = up
            self._call_back(handshake.CHILD_UP if up else handshake.CHILD_DOWN, b"")

    def tell_contention(self, event: Contention) -> None:
        """Somebody waits for a lock that this client holds."""
        if event.name is None:
            flock = Flock(LockType.WRITE)
            body = handshake.inodelk_contention(event.gfid, flock, event.domain)
            self._call_back(handshake.INODELK_CONTENTION, body)
        else:
            body = handshake.entrylk_contention(event.gfid, LockType.WRITE, event.name, event.domain)
            self._call_back(handshake.ENTRYLK_CONTENTION, body)

    def _call_back(self, procedure: int, body: bytes) -> None:
        program, version = rpc.CALLBACK_PROGRAM, rpc.CALLBACK_VERSION
        self.connection.send((rpc.plain_call(1, program, version, procedure, body, rpc.AUTH_NULL),))

    # --- the end -----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Drop a client that does not get on: one that does not attach, or does not end what it has begun to send."""
        now = self._now()
        if self.serving is None and now > self._began_at + HANDSHAKE_SECONDS:
            self.end(f"did not attach within {HANDSHAKE_SECONDS:g} s")
        elif self._partial_since is not None and now > self._partial_since + RECORD_SECONDS:
            self.end(f"did not send a record within {RECORD_SECONDS:g} s")

    def end(self, reason: str) -> None:
        if self.over:
            return
        self.over = True
        log.info("%s: %s is gone: %s", self.server.name, self.connection.peer, reason)
        self._waiting.clear()
        self.connection.close()
        self.server.ended(self)
        if self.serving is not None:
            self.serving.end()


def _is_up(volume: Translator) -> bool:
    return volume.state is State.UP
