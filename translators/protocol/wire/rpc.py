"""RPC headers: calls, replies, and the credentials that say on whose behalf a call is made."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from struct import Struct

import attrs

from ....graph import Call, ProtocolError
from .records import mark
from .xdr import WORD, Reader

CALL, REPLY = 0, 1
RPC_VERSION = 2
AUTH_NULL, AUTH_V2, AUTH_V3 = 0, 390039, 390040

DUMP_PROGRAM, DUMP_VERSION = 123451501, 1
HANDSHAKE_PROGRAM, HANDSHAKE_VERSION = 14398633, 2
FOPS_PROGRAM, FOPS_VERSION = 1298437, 400
CALLBACK_PROGRAM, CALLBACK_VERSION = 52743234, 1
PORTMAP_PROGRAM, PORTMAP_VERSION = 34123456, 1

CREDENTIAL_BYTES_MAX = 400
GROUPS_AND_OWNER_MAX = {AUTH_V2: 95, AUTH_V3: 91}
"""The count of groups plus the bytes of the lock owner. A client drops groups, never the owner."""

SECOND = 1_000_000_000
NOBODY = 65534


class Accept(IntEnum):
    """What became of a call before any fop saw it. Only the first is followed by a result."""

    SUCCESS = 0
    PROGRAM_UNKNOWN = 1
    VERSION_UNKNOWN = 2
    PROCEDURE_UNKNOWN = 3
    GARBAGE_ARGUMENTS = 4
    SYSTEM_ERROR = 5


# --- calls -----------------------------------------------------------------------------------------------------------

CALL_WORDS = Struct(">8I")
"""xid, type, RPC version, program, version, procedure, credential flavour, its length."""


@attrs.define
class CallHeader:
    """Who wants what: the arguments follow in the reader it was parsed from."""

    xid: int
    program: int
    version: int
    procedure: int
    flavour: int
    credential: bytes


def parse_call(reader: Reader) -> CallHeader:
    xid, kind, rpc, program, version, procedure, flavour, length = reader.fixed(CALL_WORDS)
    if kind != CALL or rpc != RPC_VERSION:
        raise ProtocolError(f"message type {kind!r} of RPC version {rpc!r}, where a call was due")
    if length > CREDENTIAL_BYTES_MAX:
        raise ProtocolError(f"a credential of {length} bytes")
    reader.position -= WORD.size
    credential = reader.opaque(CREDENTIAL_BYTES_MAX)
    reader.word()  # the verifier, which nobody uses
    reader.opaque(CREDENTIAL_BYTES_MAX)
    return CallHeader(xid, program, version, procedure, flavour, credential)


@lru_cache(maxsize=1024)
def _v3_form(groups: int, owner: int) -> tuple[Struct, int]:
    """The whole head of a call with so many groups and bytes of lock owner; and the length of its credential."""
    padding = -owner & 3
    form = Struct(f">9IiIIIIQI{groups}II{owner}s{padding}xII")
    return form, 36 + 4 * groups + 4 + owner + padding - 4


def fop_call(xid: int, procedure: int, call: Call, owner: bytes, length: int) -> bytes:
    """Record mark and head of a file operation whose arguments take `length` bytes."""
    groups = call.groups
    if len(groups) + len(owner) > 91:
        groups = groups[: max(0, 91 - len(owner))]
    form, credential = _v3_form(len(groups), len(owner))
    seconds, nanoseconds = divmod(call.stamp_ns, SECOND) if call.stamp_ns else (0, 0)
    return form.pack(
        mark(form.size - 4 + length),
        xid,
        CALL,
        RPC_VERSION,
        FOPS_PROGRAM,
        FOPS_VERSION,
        procedure,
        AUTH_V3,
        credential,
        call.pid,
        call.uid,
        call.gid,
        call.stamp_flags,
        nanoseconds,
        seconds,
        len(groups),
        *groups,
        len(owner),
        owner,
        0,
        0,
    )


PID_OWNER = Struct("<i")


def lock_owner(call: Call) -> bytes:
    """The owner as sent: where the caller has none, its pid, as GlusterFS does."""
    return call.lk_owner or PID_OWNER.pack(call.pid)


V2_HEAD = Struct(">iIII")


def plain_call(xid: int, program: int, version: int, procedure: int, body: bytes, flavour: int = AUTH_V3) -> bytes:
    """A whole record with the identity of this process's own: handshake, ping, port map, callbacks (AUTH_NULL)."""
    if flavour == AUTH_V2:
        credential = V2_HEAD.pack(0, 0, 0, 0) + WORD.pack(4) + bytes(4)
    elif flavour == AUTH_V3:
        credential = bytes(32) + WORD.pack(4) + bytes(4)
    else:
        credential = b""
    head = CALL_WORDS.pack(xid, CALL, RPC_VERSION, program, version, procedure, flavour, len(credential))
    record = head + credential + bytes(8) + body
    return WORD.pack(mark(len(record))) + record


# --- credentials -----------------------------------------------------------------------------------------------------

V3_HEAD = Struct(">iIIIIQI")


def read_credential(header: CallHeader, client: str) -> Call | None:
    """The caller, without xdata. Who sends no identity is nobody; None for a flavour that is not spoken."""
    reader = Reader(header.credential)
    stamp_ns = flags = 0
    if header.flavour == AUTH_V3:
        pid, uid, gid, flags, nanoseconds, seconds, count = reader.fixed(V3_HEAD)
        stamp_ns = seconds * SECOND + nanoseconds
    elif header.flavour == AUTH_V2:
        pid, uid, gid, count = reader.fixed(V2_HEAD)
    elif header.flavour == AUTH_NULL:
        return Call(NOBODY, NOBODY, client=client)
    else:
        return None
    if count > GROUPS_AND_OWNER_MAX[header.flavour]:
        raise ProtocolError(f"{count!r} groups")
    groups = reader.fixed(_words(count)) if count else ()
    owner = reader.opaque(CREDENTIAL_BYTES_MAX)
    reader.done()
    return Call(uid, gid, groups, pid, owner, client, None, stamp_ns, flags)


@lru_cache(maxsize=128)
def _words(count: int) -> Struct:
    return Struct(f">{count}I")


# --- replies ---------------------------------------------------------------------------------------------------------

REPLY_WORDS = Struct(">6I")
"""xid, type, reply status, verifier flavour, verifier length, accept status."""
MARKED_REPLY = Struct(">7I")
DENIED, AUTH_ERROR, BAD_CREDENTIAL = 1, 1, 1


def reply(xid: int, length: int, status: int = Accept.SUCCESS) -> bytes:
    """Record mark and head of a reply whose result takes `length` bytes."""
    return MARKED_REPLY.pack(mark(REPLY_WORDS.size + length), xid, REPLY, 0, 0, 0, status)


def denied(xid: int) -> bytes:
    """A whole record: the credential is not accepted."""
    return REPLY_WORDS.pack(mark(REPLY_WORDS.size - 4), xid, REPLY, DENIED, AUTH_ERROR, BAD_CREDENTIAL)


def parse_reply(reader: Reader) -> tuple[int, int, int]:
    """(xid, CALL or REPLY, accept status) of what a server sends; the result follows in the reader."""
    xid, kind, status, _, verifier, accepted = reader.fixed(REPLY_WORDS)
    if kind == REPLY:
        if verifier:
            raise ProtocolError("a verifier in a reply")
        if status:
            accepted = Accept.SYSTEM_ERROR
    elif kind != CALL:
        raise ProtocolError(f"message type {kind}")
    return xid, kind, accepted
