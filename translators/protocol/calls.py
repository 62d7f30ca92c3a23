"""The client's side of one connection: calls on their way by xid, how long each may take, does the peer still live."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import anyio

from ...graph import Buffer, Call, Coming, Fd, ProtocolError, fail
from ...graph.network import Connection
from .wire import handshake, rpc
from .wire.procedures import Procedure
from .wire.records import Records
from .wire.xdr import Reader

CALLS_MAX = 65536
LATE_MAX = 65536
PAYLOAD_BYTES_MAX = 16 * 1024 * 1024
"""What one message carries of a file: the longest record has room for as much."""
SLACK_SECONDS = 0.001
FOREVER = float("inf")

ACCEPT_ERRNO = {rpc.Accept.PROCEDURE_UNKNOWN: errno.EOPNOTSUPP, rpc.Accept.GARBAGE_ARGUMENTS: errno.EINVAL}
"""What a caller is told when the peer did not even try; EPROTO else."""


class Pending(Coming[Any]):
    """A call on its way. `patient`: a blocking lock, which may take as long as it likes."""

    __slots__ = ("decode", "patient", "sent_at")

    def __init__(self, decode: Callable[[Reader], Any], sent_at: float, patient: bool = False) -> None:
        self._settled = False  # what Coming sets, without the cost of asking it
        self._value = None
        self._error = None
        self._wakers = []
        self.decode = decode
        self.sent_at = sent_at
        self.patient = patient


class Owner(Protocol):
    """Who is told about a connection."""

    name: str

    def connection_ended(self, calls: Calls, reason: str) -> None: ...
    def called_back(self, procedure: int, reader: Reader) -> None: ...


class Calls:
    """A `Receiver`. `silence`: seconds without a byte, while calls are on their way, after which the peer counts as
    dead (0: never); it is asked for a sign of life half-way. `patience`: seconds one call may take (0: for ever)."""

    def __init__(self, owner: Owner, now: Callable[[], float], silence: float, patience: float) -> None:
        self.ended: Coming[str] = Coming()
        self.connection: Connection | None = None
        self._owner = owner
        self._now = now
        self._silence = silence
        self._patience = patience
        self._records = Records()
        self._calls: dict[int, Pending] = {}
        self._late: set[int] = set()
        self._xid = 0
        self._heard_at = now()
        self._pinged_at = -FOREVER

    # --- what arrives ------------------------------------------------------------------------------------------------

    def received(self, data: Buffer) -> None:
        self._heard_at = self._now()
        self._pinged_at = -FOREVER  # answered, even if the clock has not moved since
        try:
            for record in self._records.feed(data):
                if self.ended.settled:
                    return
                self._take(record)
        except ProtocolError as error:
            self.end(f"it does not follow the protocol: {error}")

    def lost(self, error: OSError | None) -> None:
        self.end(str(error.strerror) if error is not None else "it closed the connection")

    def _take(self, record: Buffer) -> None:
        reader = Reader(record)
        xid, kind, accepted = rpc.parse_reply(reader)
        if kind == rpc.CALL:
            header = rpc.parse_call(reader := Reader(record))
            if header.program == rpc.CALLBACK_PROGRAM:
                self._owner.called_back(header.procedure, reader)
            return
        pending = self._calls.pop(xid, None)
        if pending is None:
            if xid not in self._late:
                raise ProtocolError(f"an answer to call {xid}, which was not asked")
            self._late.discard(xid)
            return
        if accepted:
            pending.reject(fail(ACCEPT_ERRNO.get(rpc.Accept(min(accepted, 5)), errno.EPROTO), self._owner.name))
            return
        try:
            value = pending.decode(reader)
        except OSError as error:
            error.filename = self._owner.name
            pending.reject(error)
        except ProtocolError:
            self._calls[xid] = pending  # it ends as all others do
            raise
        else:
            pending.resolve(value)

    # --- what is sent ------------------------------------------------------------------------------------------------

    def fop(
        self, procedure: Procedure, call: Call, owner: bytes, args: Sequence[Any], number: Callable[[Fd], int]
    ) -> Pending:
        """Send a file operation; it has started when this returns."""
        if procedure.bulk and args[1] > PAYLOAD_BYTES_MAX:
            args = (args[0], PAYLOAD_BYTES_MAX, *args[2:])  # a short answer, as read may give
        body = procedure.encode_request(args, number, call.xdata)
        decode = procedure.decode_opened if procedure.opens else procedure.decode_reply
        payload: Buffer = b"" if procedure.payload is None else args[procedure.payload]
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise fail(errno.EMSGSIZE, f"{self._owner.name}: a write of {len(payload)} bytes")
        pending = Pending(decode, self._now(), procedure.blocks(args))
        xid = self._register(pending)
        if procedure.payload is None:
            self._send((rpc.fop_call(xid, procedure.number, call, owner, len(body)), body))
        else:
            head = rpc.fop_call(xid, procedure.number, call, owner, len(body) + len(payload))
            self._send((head, body, payload))
        return pending

    def plain(
        self,
        program: int,
        version: int,
        procedure: int,
        body: bytes,
        decode: Callable[[Reader], Any],
        flavour: int = rpc.AUTH_V3,
    ) -> Pending:
        """Send a call of another program, on our own behalf."""
        pending = Pending(decode, self._now())
        xid = self._register(pending)
        self._send((rpc.plain_call(xid, program, version, procedure, body, flavour),))
        return pending

    def _register(self, pending: Pending) -> int:
        if self.ended.settled:
            raise fail(errno.ENOTCONN, f"{self._owner.name}: {self.ended.result()}")
        if len(self._calls) >= CALLS_MAX:
            raise fail(errno.EBUSY, f"{self._owner.name}: {CALLS_MAX} calls on their way")
        xid = self._xid = self._xid % 0xFFFFFFFF + 1
        while xid in self._calls or xid in self._late:
            xid = self._xid = self._xid % 0xFFFFFFFF + 1
        self._calls[xid] = pending
        return xid

    def _send(self, buffers: Sequence[Buffer]) -> None:
        assert self.connection is not None
        self.connection.send(buffers)

    # --- the end -----------------------------------------------------------------------------------------------------

    def end(self, reason: str) -> None:
        """Close the connection: every call on its way fails with ENOTCONN, after the owner was told."""
        if self.ended.settled:
            return
        self.ended.resolve(reason)
        if self.connection is not None:
            self.connection.close()
        calls, self._calls = self._calls, {}
        self._owner.connection_ended(self, reason)
        for pending in calls.values():
            pending.reject(fail(errno.ENOTCONN, f"{self._owner.name}: {reason}"))

    # --- time --------------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Keep the time limits until the connection ends: one timer, set for the earliest of them."""
        while not self.ended.settled:
            with anyio.move_on_after(self._until_next_look()):
                await self.ended
            self._look()

    def _silent_since(self) -> float:
        """Since when the peer owes us a sign of life; for ever from now where no call is on its way."""
        if not self._silence or not self._calls:
            return FOREVER
        return max(self._heard_at, next(iter(self._calls.values())).sent_at)

    def _until_next_look(self) -> float | None:
        """Without calls on their way, a look that is early enough for one that is sent just after this."""
        now = self._now()
        due = [now + limit for limit in (self._silence / 2, self._patience) if limit]
        since = self._silent_since()
        due.append(since + self._silence / (1 if self._pinged_at >= since else 2))
        impatient = self._first_impatient()
        if impatient is not None and self._patience:
            due.append(impatient.sent_at + self._patience)
        earliest = min(due)
        return None if earliest == FOREVER else max(earliest - now, 0) + SLACK_SECONDS

    def _first_impatient(self) -> Pending | None:
        return next((pending for pending in self._calls.values() if not pending.patient), None)

    def _look(self) -> None:
        if self.ended.settled:
            return
        now = self._now()
        since = self._silent_since()
        if now >= since + self._silence:
            self.end(f"no answer for {self._silence:g} s")
            return
        if now >= since + self._silence / 2 and self._pinged_at < since:
            self._pinged_at = now
            self.plain(rpc.DUMP_PROGRAM, rpc.DUMP_VERSION, handshake.PING, b"", _nothing)
        if self._patience:
            self._expire(now - self._patience)

    def _expire(self, before: float) -> None:
        """Fail the calls that were sent too long ago. Their answers may still come, and are dropped."""
        overdue = [(xid, each) for xid, each in self._calls.items() if not each.patient and each.sent_at <= before]
        if len(self._late) + len(overdue) > LATE_MAX:
            self.end(f"{LATE_MAX} answers are overdue")
            return
        for xid, pending in overdue:
            del self._calls[xid]
            self._late.add(xid)
            pending.reject(fail(errno.ENOTCONN, f"{self._owner.name}: no answer in {self._patience:g} s"))


def _nothing(reader: Reader) -> None:
    """The answer to a ping: that it came is all that counts."""
