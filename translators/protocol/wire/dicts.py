"""Dictionaries: gfx_dict, which carries xdata and xattrs with types, and the form of the handshake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any

from ....graph import Gfid, Iatt, ProtocolError, Xdata
from . import iatt as iatts
from .xdr import PADDING, WORD, Reader, from_text, opaque, text

HEAD = Struct(">IiI")
"""Bytes that follow, count, pairs."""
NULL_DICT = HEAD.pack(0, -1, 0)
EMPTY_DICT = HEAD.pack(0, 0, 0)

KEYS_MAX = 8192
KEY_BYTES_MAX = 4096
VALUE_BYTES_MAX = 1 << 30

OLD_TEXT, INT, UINT, DOUBLE, TEXT, BINARY, GFID, IATT, MDATA = range(1, 10)
SIGNED, UNSIGNED, FLOAT = Struct(">q"), Struct(">Q"), Struct(">d")
MDATA_BYTES = 36


def encode(values: Xdata | None) -> bytes:
    """gfx_dict. Python's types choose the wire's: int, str, bytes, Gfid, float, Iatt. Anything else: TypeError."""
    if not values:
        return NULL_DICT if values is None else EMPTY_DICT
    parts = [b""]
    for key, value in values.items():
        name = text(key)
        parts.append(WORD.pack(len(name) + 1) + name + b"\0" + PADDING[len(name) + 1 & 3])
        parts.append(_encoded(value))
    parts[0] = HEAD.pack(sum(map(len, parts)), len(values), len(values))
    return b"".join(parts)


def _encoded(value: object) -> bytes:
    if isinstance(value, Gfid):
        return WORD.pack(GFID) + value
    if isinstance(value, bytes | bytearray | memoryview):
        return WORD.pack(BINARY) + opaque(bytes(value))
    if isinstance(value, int):
        if value >= 1 << 63:
            return WORD.pack(UINT) + UNSIGNED.pack(value)
        return WORD.pack(INT) + SIGNED.pack(value)
    if isinstance(value, str):
        return WORD.pack(TEXT) + opaque(text(value) + b"\0")
    if isinstance(value, float):
        return WORD.pack(DOUBLE) + FLOAT.pack(value)
    if isinstance(value, Iatt):
        return WORD.pack(IATT) + iatts.pack(value)
    raise TypeError(f"xdata cannot carry {type(value).__name__}")


def _text(reader: Reader) -> str:
    raw = reader.opaque(VALUE_BYTES_MAX)
    return from_text(raw[:-1] if raw.endswith(b"\0") else raw)


def _iatt(reader: Reader) -> Iatt:
    return iatts.unpack(reader.take(iatts.IATT_BYTES))


_VALUES: dict[int, Callable[[Reader], Any]] = {
    OLD_TEXT: lambda reader: reader.opaque(VALUE_BYTES_MAX),
    INT: lambda reader: reader.fixed(SIGNED)[0],
    UINT: lambda reader: reader.fixed(UNSIGNED)[0],
    DOUBLE: lambda reader: reader.fixed(FLOAT)[0],
    TEXT: _text,
    BINARY: lambda reader: reader.opaque(VALUE_BYTES_MAX),
    GFID: lambda reader: Gfid(reader.take(16)),
    IATT: _iatt,
    MDATA: lambda reader: reader.take(MDATA_BYTES),
}


def decode(reader: Reader) -> dict[str, Any] | None:
    """gfx_dict; None for the NULL one."""
    start = reader.position
    if reader.data[start : start + HEAD.size] == NULL_DICT:
        reader.position = start + HEAD.size
        return None
    size, count, pairs = reader.fixed(HEAD)
    if not pairs:
        if size or count > 0:
            raise ProtocolError(f"a dict without pairs, but with {size} bytes")
        return None if count < 0 else {}
    if pairs != count or pairs > KEYS_MAX or size > reader.left:
        raise ProtocolError(f"a dict of {count} keys in {pairs} pairs and {size} bytes")
    end = reader.position + size
    values: dict[str, Any] = {}
    for _ in range(pairs):
        key = reader.opaque(KEY_BYTES_MAX)
        if len(key) < 2 or key.find(b"\0") != len(key) - 1:
            raise ProtocolError("a key that does not end in its only NUL")
        read = _VALUES.get(reader.word())
        if read is None:
            raise ProtocolError("a value of an unknown type")
        values[from_text(key[:-1])] = read(reader)
    if reader.position != end:
        raise ProtocolError("a dict whose size is not that of its pairs")
    return values


# --- xattrs: every value is bytes ------------------------------------------------------------------------------------


def encode_xattrs(values: Mapping[str, bytes] | None) -> bytes:
    return encode(values)


def decode_xattrs(reader: Reader) -> dict[str, bytes]:
    """Values of another type become the bytes that GlusterFS keeps for them."""
    values = decode(reader) or {}
    for key, value in values.items():
        if isinstance(value, str):
            values[key] = text(value)
        elif not isinstance(value, bytes):
            values[key] = value.st.raw if isinstance(value, Iatt) else str(value).encode()  # type: ignore[attr-defined]
    return values


# --- the old form: untyped -------------------------------------------------------------------------------------------

PAIR = Struct(">ii")


def encode_old(values: Mapping[str, str | int | bytes] | None) -> bytes:
    """Texts and numbers get their NUL; bytes go as they are. None is no bytes at all."""
    if values is None:
        return b""
    parts = [WORD.pack(len(values))]
    for key, value in values.items():
        raw = value if isinstance(value, bytes) else text(str(value)) + b"\0"
        name = text(key)
        parts.append(PAIR.pack(len(name), len(raw)) + name + b"\0" + raw)
    return b"".join(parts)


def decode_old(raw: bytes) -> dict[str, bytes]:
    """Raw values: `old_text` reads one as text."""
    if not raw:
        return {}
    reader = Reader(raw)
    count = reader.word()
    if count > KEYS_MAX:
        raise ProtocolError(f"a dict of {count} keys")
    values: dict[str, bytes] = {}
    for _ in range(count):
        key_length, length = reader.fixed(PAIR)
        if not 0 < key_length <= KEY_BYTES_MAX or length < 0:
            raise ProtocolError(f"a key of {key_length} bytes with a value of {length}")
        key = reader.take(key_length)
        if reader.take(1) != b"\0":
            raise ProtocolError("a key that does not end in NUL")
        values[from_text(key)] = reader.take(length)
    reader.done()
    return values


def old_text(values: Mapping[str, bytes], key: str) -> str | None:
    """A text or number of an old dict, without its NUL; None where the key is absent."""
    raw = values.get(key)
    return None if raw is None else from_text(raw[:-1] if raw.endswith(b"\0") else raw)
