"""File operations for one attached client: from the bytes of a call to a fop of the volume, and back."""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs

from ...graph import Buffer, Done, Entries, Entry, Fd, Made, ProtocolError, Translator, fail, is_in_doubt
from ...graph.tasks import Tasks
from .healers import ANSWERS
from .served_fds import ServedFds
from .wire import dicts, rpc
from .wire.listing import DOTS
from .wire.procedures import PROCEDURES, RESULT, Procedure
from .wire.rpc import Accept, CallHeader
from .wire.xdr import Reader

log = logging.getLogger("volgraph.server")

OUTSTANDING_MAX = 4096
"""Calls of one client that are under way, blocking locks apart: an unlock must always get through."""
EMPTY_DIRECTORY_OFFSET = 1
"""Where a listing goes on behind `.` and `..` when nothing else is there."""
DONE_WELL = RESULT.pack(0, 0) + dicts.NULL_DICT


@attrs.define(eq=False)
class Serving:
    """`reply` sends; `reply_bytes_max` bounds what one read or listing brings."""

    volume: Translator
    client: str
    tasks: Tasks
    reply: Callable[[Sequence[Buffer]], None]
    reply_bytes_max: int
    over: bool = attrs.field(init=False, default=False)
    outstanding: int = attrs.field(init=False, default=0)
    fds: ServedFds = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.fds = ServedFds(self.volume.release)

    def end(self) -> None:
        """The client is gone: its locks and fds with it. What is under way goes on, and answers nobody."""
        self.over = True
        self.volume.disconnect(self.client)
        self.fds.release_all()

    def take(self, header: CallHeader, reader: Reader) -> None:
        """Start one call; its reply is sent at once if the volume has answered at once."""
        procedure = PROCEDURES.get(header.procedure)
        if procedure is None:
            if header.procedure:
                self.reply((rpc.reply(header.xid, 0, Accept.PROCEDURE_UNKNOWN),))
            else:
                self._send(header.xid, DONE_WELL)
            return
        args: list[Any] = []
        try:
            answer = self._wind(header, procedure, reader, args)
        except ProtocolError:
            self.reply((rpc.reply(header.xid, 0, Accept.GARBAGE_ARGUMENTS),))
        except Exception as error:
            self._fail(header.xid, procedure, error)
        else:
            if type(answer) is Done:
                self._succeed(header.xid, procedure, args, answer.value)
            elif answer is not None:
                self._wait(header.xid, procedure, args, answer)

    def _wind(self, header: CallHeader, procedure: Procedure, reader: Reader, args: list[Any]) -> Awaitable[Any] | None:
        """Call the fop; None where the call is answered already."""
        call = rpc.read_credential(header, self.client)
        if call is None:
            self.reply((rpc.denied(header.xid),))
            return None
        if not procedure.fop:
            raise fail(errno.EOPNOTSUPP)
        values = procedure.decode_request(reader)
        if procedure.gives_back:
            self.fds.release(values[1])
            self._send(header.xid, DONE_WELL)
            return None
        if self.outstanding >= OUTSTANDING_MAX:
            raise fail(errno.EBUSY)
        call.xdata = procedure.xdata(values)
        args += procedure.arguments(values, self.fds.resolve)
        if procedure.bulk:
            args[1] = min(args[1], self.reply_bytes_max)
        if procedure.opens:
            self.fds.check_room()
            flags = args[1] if len(args) > 1 else 0
            args.append(Fd(args[0].gfid, flags, is_dir=procedure.fop == "opendir"))
        answer: Awaitable[Any] | None = None
        if procedure.fop in ANSWERS:
            answer = ANSWERS[procedure.fop](self.volume, call, args)
        return getattr(self.volume, procedure.fop)(call, *args) if answer is None else answer

    def _wait(self, xid: int, procedure: Procedure, args: list[Any], answer: Awaitable[Any]) -> None:
        """The reply is sent when the answer is there; until then the fds it needs stay open."""
        coming = self.tasks.coming(answer)
        counted = 0 if procedure.blocks(args) else 1
        self.outstanding += counted
        fds = [arg for arg in args if type(arg) is Fd]
        for fd in fds:
            self.fds.hold(fd)

        def settled() -> None:
            self.outstanding -= counted
            if self.over and procedure.locks:  # granted to a client that is gone: it was on its way when that went
                self.volume.disconnect(self.client)
            try:
                self._succeed(xid, procedure, args, coming.result())
            except Exception as error:
                self._fail(xid, procedure, error)
            for fd in fds:
                self.fds.let_go(fd)

        coming.when_settled(settled)

    # --- replies -----------------------------------------------------------------------------------------------------

    def _succeed(self, xid: int, procedure: Procedure, args: list[Any], answer: Any) -> None:
        number = 0
        if procedure.opens:
            fd: Fd = args[-1]
            if isinstance(answer, Made):
                fd.gfid = answer.iatt.gfid
            if self.over:
                self.volume.release(fd)
                return
            number = self.fds.add(fd)
        elif procedure.lists:
            answer = _with_dots(answer, args[0], args[2])
        try:
            body = procedure.encode_reply(answer, number)
        except Exception as error:
            self._fail(xid, procedure, error)
            return
        if procedure.reads:
            self.reply((rpc.reply(xid, len(body) + len(answer.data)), body, answer.data))
        else:
            self._send(xid, body)

    def _fail(self, xid: int, procedure: Procedure, error: Exception) -> None:
        """Of an error nothing but its errno leaves this process; one that leaves in doubt what happened is told as a
        connection that broke, which replication on the other side takes for that too."""
        code = errno.EIO
        if isinstance(error, OSError):
            code = errno.ENOTCONN if is_in_doubt(error) else error.errno or errno.EIO
        else:
            log.error("%s: %s", self.volume.name, procedure.fop, exc_info=error)
        self._send(xid, procedure.encode_failure(code))

    def _send(self, xid: int, body: bytes) -> None:
        self.reply((rpc.reply(xid, len(body)), body))


def _with_dots(listing: Entries, fd: Fd, offset: int) -> Entries:
    """With `.` and `..` behind the last name, as clients of GlusterFS expect them. A listing that was resumed behind
    its last name is over, and has none: else it would never end."""
    if not listing.end or (offset and not listing.entries):
        return listing
    behind = listing.entries[-1].offset if listing.entries else EMPTY_DIRECTORY_OFFSET
    dots = [Entry(name, behind, kind=4, gfid=fd.gfid) for name in DOTS]
    return Entries(listing.entries + dots, True, listing.xdata)
