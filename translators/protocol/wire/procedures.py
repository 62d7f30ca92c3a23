"""The table's rows, compiled: arguments of a fop to bytes and back, replies to bytes and back."""

from __future__ import annotations

import errno
import inspect
from collections.abc import Callable, Sequence
from operator import attrgetter
from struct import Struct
from typing import Any, Final

import attrs

from ....graph import (
    NULL_GFID,
    Buffer,
    Copied,
    Data,
    Entries,
    EntryLockCommand,
    Fd,
    Gfid,
    Loc,
    LockCommand,
    ProtocolError,
    Target,
    Translator,
    Written,
    Xdata,
    fail,
)
from .kinds import extended
from .layout import Layout
from .listing import LISTING, LISTING_PLUS
from .table import ROWS, Row
from .xdr import Reader

ANONYMOUS = -2
"""The number of an fd that was never opened at the server: it acts on the gfid."""

Number = Callable[[Fd], int]
Resolve = Callable[[Gfid, int], Fd]
Values = list[Any]

KINDS = extended(**{"listing": LISTING, "listing-plus": LISTING_PLUS})
SIGN = 0x80
"""In the first byte of op_ret: the fop failed."""
RESULT: Final = Struct(">ii")
"""op_ret and op_errno, with which every reply begins."""

ENOENT_AT_THE_END = errno.ENOENT
"""The op_errno of a read or a listing that has reached the end."""

ERRNO_MAX = 4096
OPENING = frozenset(("open", "create", "opendir"))
LOCKING = frozenset(("lk", "inodelk", "finodelk", "entrylk", "fentrylk"))
BLOCKING = (LockCommand.WAIT, EntryLockCommand.LOCK)

_COUNTS: dict[type[Any], Callable[[Any], int]] = {
    Data: lambda reply: len(reply.data),
    Written: attrgetter("count"),
    Copied: attrgetter("count"),
    Target: lambda reply: len(reply.target),
    Entries: lambda reply: len(reply.entries),
}


class Procedure:
    """One fop on the wire."""

    def __init__(self, row: Row) -> None:
        self.number: Final = row.number
        self.fop: Final = row.fop
        self.gives_back: Final = row.fop in ("release", "releasedir")
        self.opens: Final = row.fop in OPENING
        self.bulk: Final = row.answers in (Data, Entries)
        self.lists: Final = row.answers is Entries
        self.reads: Final = row.answers is Data
        parameters = _parameters(row.fop)
        self._request = Layout(f"{row.request} xdata:dict", KINDS)
        paths = self._request.names[:-1]
        self._getters = [_getter(path, parameters) for path in paths]
        self._makers = [_maker(name, paths) for name in parameters if (name, row.fop) not in _MADE_BY_THE_SERVER]
        self.locks: Final = row.fop in LOCKING
        self._command_at = parameters.index("command") if "command" in parameters else None
        self.payload: Final = parameters.index("data") if "data" in parameters else None
        self._size_at = paths.index("data.size") if self.payload is not None else 0

        head = "op_ret:i32 op_errno:i32 " + ("" if self.reads else "xdata:dict ")
        self._reply = Layout(head + row.reply, KINDS)
        self._answers = row.answers
        names = self._reply.names
        self._fields = [_field(name, self) for name in names[2:]]
        self._count = _COUNTS.get(row.answers)
        self._fd_at = names.index("fd") if self.opens else 0
        self._places = [_place(field.name, names) for field in attrs.fields(row.answers)]
        self.failed: Final = self._reply.encode([-1, *self._reply.zeros()[1:]])[RESULT.size :]

    def blocks(self, args: Sequence[Any]) -> bool:
        """The answer may take as long as somebody else holds a lock."""
        return self._command_at is not None and any(args[self._command_at] is command for command in BLOCKING)

    # --- requests ----------------------------------------------------------------------------------------------------

    def encode_request(self, args: Sequence[Any], number: Number, xdata: Xdata | None) -> bytes:
        """The arguments of the fop (without the call) as bytes; a write's own bytes are sent behind these."""
        values = [get(args, number) for get in self._getters]
        values.append(xdata)
        return self._request.encode(values)

    def decode_request(self, reader: Reader) -> Values:
        """The wire's values, checked; the last is xdata, or behind it a write's bytes."""
        values = self._request.decode(reader)
        if self.payload is not None:
            data = reader.rest()
            if len(data) != values[self._size_at]:
                raise ProtocolError(f"{len(data)} bytes of payload")
            values.append(data)
        else:
            reader.done()
        return values

    def xdata(self, values: Values) -> Xdata | None:
        found: Xdata | None = values[-1 if self.payload is None else -2]
        return found

    def arguments(self, values: Values, resolve: Resolve) -> list[Any]:
        """The arguments of the fop. `resolve` finds the fd of a number; one that is to be opened is not among them."""
        return [make(values, resolve) for make in self._makers]

    # --- replies -----------------------------------------------------------------------------------------------------

    def encode_reply(self, reply: Any, number: int = 0) -> bytes:
        """A fop's answer; the bytes that were read are sent behind these. `number` is that of the fd it opened."""
        values = [self._count(reply) if self._count else 0, _op_errno(reply)]
        values += [number if get is None else get(reply) for get in self._fields]
        return self._reply.encode(values)

    def encode_failure(self, code: int) -> bytes:
        """The complete reply with nothing in it: clients rely on its length."""
        return RESULT.pack(-1, code) + self.failed

    def decode_reply(self, reader: Reader) -> Any:
        """The fop's answer. Raises the OSError that it failed with."""
        values = self._decoded(reader)
        return self._answers(*[values[place] for place in self._places])

    def decode_opened(self, reader: Reader) -> tuple[Any, int]:
        """(the answer, the number of the fd) of a fop that opens one."""
        values = self._decoded(reader)
        return self._answers(*[values[place] for place in self._places]), values[self._fd_at]

    def _decoded(self, reader: Reader) -> Values:
        """The wire's values, and behind them the bytes that were read and whether this was the end."""
        if reader.left and reader.data[reader.position] & SIGN:
            _, op_errno = reader.fixed(RESULT)
            raise fail(op_errno if 0 < op_errno < ERRNO_MAX else errno.EIO)
        values = self._reply.decode(reader)
        if self.reads:
            values.append(_payload(reader, values[0]))
        else:
            values.append(None)
            reader.done()
        values.append(values[1] == ENOENT_AT_THE_END)
        return values


def _payload(reader: Reader, count: int) -> Buffer:
    data = reader.rest()
    if len(data) != count:
        raise ProtocolError(f"{len(data)} bytes read, {count} announced")
    return data


def _op_errno(reply: Any) -> int:
    return ENOENT_AT_THE_END if isinstance(reply, Data | Entries) and reply.end else 0


# --- compiling one row -----------------------------------------------------------------------------------------------

_MADE_BY_THE_SERVER = {("fd", fop) for fop in OPENING}


def _parameters(fop: str) -> list[str]:
    """The names of the fop's arguments, without self and the call."""
    if not fop:
        return []
    if fop.startswith("release"):
        return ["fd"]
    return list(inspect.signature(getattr(Translator, fop)).parameters)[2:]


def _getter(path: str, parameters: Sequence[str]) -> Callable[[Sequence[Any], Number], Any]:
    """How a field of the request comes from the arguments."""
    if path.startswith("="):
        constant = int(path[1:])
        return lambda args, number: constant
    name, _, part = path.partition(".")
    at = parameters.index(name)
    if not part:
        return lambda args, number: args[at]
    if part == "number":
        return lambda args, number: number(args[at])
    if part == "size":
        return lambda args, number: len(args[at])
    if part == "given":
        return lambda args, number: args[at] is not None
    get = attrgetter(part)
    return lambda args, number: get(args[at])


def _maker(name: str, paths: Sequence[str]) -> Callable[[Values, Resolve], Any]:
    """How an argument of the fop comes from the fields of the request."""
    at = {path.partition(".")[2]: index for index, path in enumerate(paths) if path.partition(".")[0] == name}
    if "number" in at:
        gfid, number = at["gfid"], at["number"]
        return lambda values, resolve: resolve(values[gfid], values[number])
    if "parent" in at and "gfid" in at:
        gfid, parent, last = at["gfid"], at["parent"], at["name"]
        return lambda values, resolve: _looked_up(values[gfid], values[parent], values[last])
    if "parent" in at:
        parent, last = at["parent"], at["name"]
        return lambda values, resolve: Loc(parent=values[parent], name=values[last])
    if "gfid" in at:
        gfid = at["gfid"]
        return lambda values, resolve: Loc(values[gfid])
    if "given" in at:
        given, last = at["given"], at[""]
        return lambda values, resolve: values[last] or None if values[given] else None
    if "size" in at:
        return lambda values, resolve: values[-1]  # the payload
    whole = at[""]
    return lambda values, resolve: values[whole]


def _looked_up(gfid: Gfid, parent: Gfid, name: bytes) -> Loc:
    if name == b".":
        if gfid == NULL_GFID:
            raise fail(errno.EINVAL)
        name = b""
    return Loc(gfid, parent, name) if name else Loc(gfid)


def _field(name: str, procedure: Procedure) -> Callable[[Any], Any] | None:
    """How a field of the reply comes from the answer; None for the number of an fd."""
    if name.startswith("="):
        constant = int(name[1:])
        return lambda reply: constant
    if name == "fd" and procedure.opens:
        return None
    if name == "size" and procedure.reads:
        return lambda reply: len(reply.data)
    return attrgetter(name)


def _place(name: str, names: Sequence[str]) -> int:
    """Where in a decoded reply, with its payload and "is this the end" behind it, a field of the answer stands."""
    if name == "count":
        return 0
    return {"data": -2, "end": -1}.get(name, names.index(name) if name in names else -2)


PROCEDURES: Final = {row.number: Procedure(row) for row in ROWS}
BY_FOP: Final = {procedure.fop: procedure for procedure in PROCEDURES.values() if procedure.fop}
