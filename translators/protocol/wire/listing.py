"""Directory listings on the wire: a linked list of entries, with attributes (READDIRP) or without (READDIR)."""

from __future__ import annotations

from struct import Struct
from zlib import crc32

from ....graph import Entry, ProtocolError
from . import dicts
from . import iatt as iatts
from .kinds import NAME_BYTES_MAX
from .layout import Kind
from .xdr import WORD, Reader, opaque

HEAD = Struct(">IQQII")
"""1 for "one more", inode number, offset of the entry behind this one, length of the name, dirent type."""
END = WORD.pack(0)
UNKNOWN_INO = 1 << 32
"""Of an entry whose gfid is not known: a C library skips what has the inode number 0."""
DOTS = (b".", b"..")


def _pack(entries: list[Entry], plus: bool) -> bytes:
    parts: list[bytes] = []
    for entry in entries:
        iatt = entry.iatt
        gfid = iatt.gfid if iatt is not None else entry.gfid
        kind = entry.kind or (iatt.mode >> 12 & 0xF if iatt is not None else 0)
        ino = gfid.ino if gfid else UNKNOWN_INO | crc32(entry.name)
        parts.append(HEAD.pack(1, ino, entry.offset, len(entry.name), kind) + opaque(entry.name))
        if plus:
            parts.append(iatts.pack(iatt))
            parts.append(dicts.encode(entry.xdata))
    parts.append(END)
    return b"".join(parts)


def _unpack(reader: Reader, plus: bool) -> list[Entry]:
    """`.` and `..` are kept: whoever resumes a listing needs their offsets."""
    entries: list[Entry] = []
    while more := reader.word():
        if more != 1:
            raise ProtocolError("a list whose mark is neither 0 nor 1")
        reader.position -= WORD.size
        _, _, offset, _, kind = reader.fixed(HEAD)
        name = reader.opaque(NAME_BYTES_MAX + 1).removesuffix(b"\0")
        if not name or len(name) > NAME_BYTES_MAX or b"/" in name or b"\0" in name:
            raise ProtocolError("a listing with an impossible name")
        entry = Entry(name, offset, kind)
        if plus:
            iatt = iatts.unpack_known(reader.take(iatts.IATT_BYTES))
            if iatt is not None:
                entry.iatt, entry.gfid = iatt, iatt.gfid
            entry.xdata = dicts.decode(reader)
        entries.append(entry)
    return entries


LISTING = Kind([], "", lambda entries: _pack(entries, False), lambda reader: _unpack(reader, False))
LISTING_PLUS = Kind([], "", lambda entries: _pack(entries, True), lambda reader: _unpack(reader, True))
