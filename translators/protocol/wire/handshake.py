"""What is said before and beside the file operations: DUMP, SETVOLUME, GETSPEC, PING, the port map, callbacks.

Each pair of functions is one message, written and read. `Result` is what most of them answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct

import attrs

from ....graph import Flock, Gfid, ProtocolError
from . import dicts
from .kinds import LABEL_BYTES_MAX, pack_flock, unpack_flock
from .rpc import (
    DUMP_PROGRAM,
    DUMP_VERSION,
    FOPS_PROGRAM,
    FOPS_VERSION,
    HANDSHAKE_PROGRAM,
    HANDSHAKE_VERSION,
)
from .xdr import WORD, Reader, from_text, opaque, text

DUMP, PING = 1, 2
"""Procedures of the dump program."""
SETVOLUME, GETSPEC, HANDSHAKE_PING, SET_LK_VERSION = 1, 2, 3, 4
"""Procedures of the handshake program."""
PORT_BY_BRICK = 1
"""Procedure of the port map."""
CHILD_UP, CHILD_DOWN, INODELK_CONTENTION, ENTRYLK_CONTENTION = 6, 7, 10, 11
"""Callbacks."""

RESULT = Struct(">ii")
GLUSTERFS_ID = 0xCAED
SPEC_BYTES_MAX = 1 << 20
HANDSHAKE_BYTES_MAX = 1 << 16
PROGRAMS_MAX = 256

PONG = RESULT.pack(0, 0) + WORD.pack(0)


@attrs.define
class Program:
    name: str
    number: int
    version: int


SPOKEN = (
    Program("GlusterFS 4.x v1", FOPS_PROGRAM, FOPS_VERSION),
    Program("GF-DUMP", DUMP_PROGRAM, DUMP_VERSION),
    Program("GlusterFS Handshake", HANDSHAKE_PROGRAM, HANDSHAKE_VERSION),
)
"""What a server of ours lists. The port map is not among them, nor version 330 of the file operations."""

# --- DUMP: which programs do you speak? ------------------------------------------------------------------------------

QUAD = Struct(">Q")
DUMP_HEAD = Struct(">Qii")
TWO_QUADS = Struct(">QQ")


def dump_request() -> bytes:
    return QUAD.pack(GLUSTERFS_ID)


def dump_reply(programs: Sequence[Program] = SPOKEN) -> bytes:
    parts = [DUMP_HEAD.pack(0, 0, 0)]
    for program in programs:
        parts.append(WORD.pack(1) + opaque(text(program.name)) + TWO_QUADS.pack(program.number, program.version))
    return b"".join(parts) + WORD.pack(0)


def read_dump_reply(reader: Reader) -> list[Program]:
    reader.fixed(DUMP_HEAD)
    programs: list[Program] = []
    while more := reader.word():
        if more != 1 or len(programs) == PROGRAMS_MAX:
            raise ProtocolError("a list of programs without an end")
        name = from_text(reader.opaque(LABEL_BYTES_MAX))
        number, version = reader.fixed(TWO_QUADS)
        programs.append(Program(name, number, version))
    reader.done()
    return programs


# --- SETVOLUME: attach me to a volume --------------------------------------------------------------------------------


def setvolume_request(options: Mapping[str, str | int | bytes]) -> bytes:
    return opaque(dicts.encode_old(options))


def read_setvolume_request(reader: Reader) -> dict[str, bytes]:
    options = dicts.decode_old(reader.opaque(HANDSHAKE_BYTES_MAX))
    reader.done()
    return options


def setvolume_reply(op_ret: int, op_errno: int, options: Mapping[str, str | int | bytes]) -> bytes:
    return RESULT.pack(op_ret, op_errno) + opaque(dicts.encode_old(options))


def read_setvolume_reply(reader: Reader) -> tuple[int, int, dict[str, bytes]]:
    op_ret, op_errno = reader.fixed(RESULT)
    options = dicts.decode_old(reader.opaque(HANDSHAKE_BYTES_MAX))
    reader.done()
    return op_ret, op_errno, options


# --- GETSPEC: hand me the spec of a volume ---------------------------------------------------------------------------


def getspec_request(key: str, flags: int = 1) -> bytes:
    return WORD.pack(flags) + opaque(text(key)) + opaque(b"")


def read_getspec_request(reader: Reader) -> tuple[int, str]:
    """(flags, key)"""
    flags = reader.word()
    key = from_text(reader.opaque(LABEL_BYTES_MAX))
    reader.opaque(HANDSHAKE_BYTES_MAX)
    reader.done()
    return flags, key


def getspec_reply(spec: str) -> bytes:
    raw = text(spec)
    return RESULT.pack(len(raw), 0) + opaque(raw) + opaque(b"")


def getspec_failure(op_errno: int) -> bytes:
    return RESULT.pack(-1, op_errno) + opaque(b"") + opaque(b"")


def read_getspec_reply(reader: Reader) -> tuple[int, int, str]:
    """(op_ret, op_errno, spec)"""
    op_ret, op_errno = reader.fixed(RESULT)
    spec = from_text(reader.opaque(SPEC_BYTES_MAX))
    reader.opaque(HANDSHAKE_BYTES_MAX)
    reader.done()
    return op_ret, op_errno, spec


# --- lock version, and the port map ----------------------------------------------------------------------------------


def lk_version_reply() -> bytes:
    return RESULT.pack(0, 0) + WORD.pack(1)


PORT_REPLY = Struct(">iiii")


def port_request(brick: str) -> bytes:
    return opaque(text(brick))


def port_reply(op_ret: int, op_errno: int, port: int) -> bytes:
    return PORT_REPLY.pack(op_ret, op_errno, 0, port)


def read_port_reply(reader: Reader) -> tuple[int, int, int]:
    """(op_ret, op_errno, port)"""
    op_ret, op_errno, _, port = reader.fixed(PORT_REPLY)
    reader.done()
    return op_ret, op_errno, port


# --- callbacks: a server tells a client ------------------------------------------------------------------------------


def inodelk_contention(gfid: Gfid, flock: Flock, domain: str) -> bytes:
    return gfid + pack_flock(flock) + WORD.pack(flock.pid & 0xFFFFFFFF) + opaque(text(domain)) + opaque(b"")


def entrylk_contention(gfid: Gfid, type: int, name: bytes, domain: str) -> bytes:
    return gfid + ENTRY_TYPE_AND_PID.pack(type, 0) + opaque(name) + opaque(text(domain)) + opaque(b"")


ENTRY_TYPE_AND_PID = Struct(">II")


def read_contention(procedure: int, reader: Reader) -> tuple[Gfid, str, bytes | None]:
    """(gfid, domain, name or None) of either kind."""
    gfid = Gfid(reader.take(16))
    name: bytes | None = None
    if procedure == INODELK_CONTENTION:
        try:
            unpack_flock(reader)
        except OSError as error:
            raise ProtocolError(str(error)) from error
        reader.word()
    else:
        reader.fixed(ENTRY_TYPE_AND_PID)
        name = reader.opaque(LABEL_BYTES_MAX)
    return gfid, from_text(reader.opaque(LABEL_BYTES_MAX)), name
