"""What holds for every message: it arrives as it was sent, however it is cut; what is damaged is refused in order."""

import inspect
import os
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translators.protocol.golden import RECORDS, record
from tests.translators.protocol.messages import answer, argument, plain, xdata
from volgraph.graph import Call, Fd, Gfid, ProtocolError, Translator
from volgraph.translators.protocol.wire import dicts, handshake, rpc
from volgraph.translators.protocol.wire.kinds import flags_from_wire, flags_to_wire
from volgraph.translators.protocol.wire.procedures import BY_FOP, PROCEDURES, Procedure
from volgraph.translators.protocol.wire.records import FRAGMENTS_MAX, LAST, Records
from volgraph.translators.protocol.wire.table import ROWS
from volgraph.translators.protocol.wire.xdr import WORD, Reader, opaque

FOPS = [row.fop for row in ROWS if row.fop and not row.fop.startswith("release")]
ANSWERS = {row.fop: row.answers for row in ROWS}
OPENING = ("open", "create", "opendir")
many = settings(max_examples=settings().max_examples * 5)
"""There are fifty fops."""


def parameters(fop: str) -> list[str]:
    names = list(inspect.signature(getattr(Translator, fop)).parameters)[2:]
    return names[:-1] if fop in OPENING else names


def encoded_request(data: st.DataObject, procedure: Procedure) -> tuple[list[Any], Any, bytes]:
    args = [data.draw(argument(procedure.fop, name), label=name) for name in parameters(procedure.fop)]
    sent = data.draw(xdata, label="xdata")
    body = procedure.encode_request(args, lambda fd: -2, sent)
    if procedure.payload is not None:
        body += args[procedure.payload]
    return args, sent, body


def encoded_reply(data: st.DataObject, procedure: Procedure) -> tuple[Any, bytes]:
    sent = data.draw(answer(procedure.fop, ANSWERS[procedure.fop]))
    body = procedure.encode_reply(sent, 7)
    return sent, body + sent.data if procedure.reads else body


def read_request(procedure: Procedure, body: bytes) -> tuple[list[Any], Any]:
    values = procedure.decode_request(Reader(body))
    return procedure.arguments(values, lambda gfid, number: Fd(gfid)), procedure.xdata(values)


@many
@given(fop=st.sampled_from(FOPS), data=st.data())
def test_a_request_arrives_as_it_was_sent(fop: str, data: st.DataObject) -> None:
    args, sent, body = encoded_request(data, BY_FOP[fop])

    arrived, arrived_xdata = read_request(BY_FOP[fop], body)

    assert plain(arrived) == plain(args)
    assert plain(arrived_xdata) == plain(sent)


@many
@given(fop=st.sampled_from(FOPS), data=st.data())
def test_a_reply_arrives_as_it_was_sent(fop: str, data: st.DataObject) -> None:
    procedure = BY_FOP[fop]
    sent, body = encoded_reply(data, procedure)

    if procedure.opens:
        arrived, number = procedure.decode_opened(Reader(body))
        assert number == 7
    else:
        arrived = procedure.decode_reply(Reader(body))

    assert plain(arrived) == plain(sent)


@pytest.mark.parametrize("fop", FOPS)
def test_a_failure_arrives_with_its_errno_and_the_length_of_an_empty_reply(fop: str) -> None:
    body = BY_FOP[fop].encode_failure(39)

    with pytest.raises(OSError) as caught:
        BY_FOP[fop].decode_reply(Reader(body))
    assert caught.value.errno == 39


@given(flags=st.sampled_from([os.O_RDWR, os.O_WRONLY | os.O_APPEND]), sync=st.sampled_from([os.O_SYNC, os.O_DSYNC]))
def test_sync_is_one_bit_on_the_wire(flags: int, sync: int) -> None:
    assert flags_to_wire(flags | sync) == flags | 0o10000
    assert flags_from_wire(flags_to_wire(flags | sync)) == flags | os.O_SYNC


# --- cut into pieces -------------------------------------------------------------------------------------------------


def fed(stream: bytes, cuts: list[int]) -> list[bytes]:
    records = Records()
    found: list[bytes] = []
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for first, last in pairwise(edges):
        piece = bytearray(stream[first:last])
        whole = records.feed(memoryview(piece))
        piece[:] = b"\xdd" * len(piece)  # the buffer is only valid during the call
        found += [bytes(each) for each in whole]
    assert not records.partial
    return found


@given(st.lists(st.binary(max_size=200), max_size=6), st.lists(st.integers(0, 5000), max_size=20))
def test_any_cutting_of_the_bytes_gives_the_same_records(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join((LAST | len(body)).to_bytes(4, "big") + body for body in bodies)

    assert fed(stream, cuts) == bodies


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=FRAGMENTS_MAX), st.lists(st.integers(0, 5000), max_size=9))
def test_fragments_are_joined(parts: list[bytes], cuts: list[int]) -> None:
    marks = [len(part) for part in parts[:-1]] + [LAST | len(parts[-1])]
    stream = b"".join(mark.to_bytes(4, "big") + part for mark, part in zip(marks, parts, strict=True))

    assert fed(stream + stream, cuts) == [b"".join(parts)] * 2


def test_a_record_that_is_too_long_is_refused_by_its_mark_alone() -> None:
    with pytest.raises(ProtocolError, match="2147483647 bytes"):
        Records().feed(b"\xff\xff\xff\xff")


def test_a_record_whose_fragments_add_up_to_too_much_is_refused() -> None:
    records = Records(limit=100)
    records.feed((60).to_bytes(4, "big") + bytes(60))

    with pytest.raises(ProtocolError, match="120 bytes"):
        records.feed((60).to_bytes(4, "big"))


def test_a_record_of_endless_fragments_is_refused() -> None:
    with pytest.raises(ProtocolError, match="fragments"):
        Records().feed(bytes(4) * (FRAGMENTS_MAX + 1))


def test_no_memory_is_taken_for_what_was_only_announced() -> None:
    records = Records()
    records.feed((LAST | 16 * 1024 * 1024).to_bytes(4, "big") + b"x")

    assert records.partial
    assert records._record is not None
    assert len(records._record) == 1


# --- damaged ---------------------------------------------------------------------------------------------------------


@st.composite
def damage(draw: st.DrawFn, body: bytes) -> bytes:
    """Bytes exchanged, cut out or put in."""
    raw = bytearray(body)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        how = draw(st.sampled_from(["exchange", "word", "cut", "insert"]))
        if how == "exchange" and at < len(raw):
            raw[at] = draw(st.integers(0, 255))
        elif how == "word":
            word = draw(st.sampled_from([0, 1, 2**31, 2**32 - 1, len(body), 255, 256]))
            raw[at & ~3 : (at & ~3) + 4] = word.to_bytes(4, "big")
        elif how == "cut":
            del raw[at : at + draw(st.integers(1, 40))]
        else:
            raw[at:at] = draw(st.binary(max_size=8))
    return bytes(raw)


@many
@given(fop=st.sampled_from(FOPS), data=st.data())
def test_a_damaged_request_is_refused_in_order_or_read_as_another(fop: str, data: st.DataObject) -> None:
    _, _, body = encoded_request(data, BY_FOP[fop])

    with suppress(ProtocolError, OSError):
        read_request(BY_FOP[fop], data.draw(damage(body)))


@many
@given(fop=st.sampled_from(FOPS), data=st.data())
def test_a_damaged_reply_is_refused_in_order_or_read_as_another(fop: str, data: st.DataObject) -> None:
    procedure = BY_FOP[fop]
    _, body = encoded_reply(data, procedure)

    with suppress(ProtocolError, OSError):
        plain(procedure.decode_reply(Reader(data.draw(damage(body)))))


@many
@given(name=st.sampled_from(sorted(RECORDS)), data=st.data())
def test_a_damaged_record_of_a_real_peer_is_refused_in_order(name: str, data: st.DataObject) -> None:
    with suppress(ProtocolError, OSError):
        for whole in Records().feed(data.draw(damage(record(name)))):
            reader = Reader(whole)
            if name.endswith("call"):
                read_any_call(reader)
            else:
                read_any_reply(name, reader)


def read_any_call(reader: Reader) -> None:
    header = rpc.parse_call(reader)
    rpc.read_credential(header, "client")
    if header.program == rpc.HANDSHAKE_PROGRAM:
        handshake.read_setvolume_request(reader)
    elif header.procedure in PROCEDURES:
        procedure = PROCEDURES[header.procedure]
        procedure.arguments(procedure.decode_request(reader), lambda gfid, number: Fd(gfid))


def read_any_reply(name: str, reader: Reader) -> None:
    rpc.parse_reply(reader)
    fop = name.split()[0]
    if fop == "dump":
        handshake.read_dump_reply(reader)
    elif fop == "setvolume":
        handshake.read_setvolume_reply(reader)
    else:
        BY_FOP[{"read": "readv"}.get(fop, fop)].decode_reply(reader)


# --- the parts -------------------------------------------------------------------------------------------------------


@given(xdata)
def test_a_dict_says_its_own_size(values: dict[str, Any] | None) -> None:
    raw = dicts.encode(values)

    assert int.from_bytes(raw[:4], "big") == len(raw) - 12
    reader = Reader(raw + b"payload")
    assert plain(dicts.decode(reader)) == plain(values)
    assert bytes(reader.rest()) == b"payload"


@given(
    st.dictionaries(st.text("abc-.", min_size=1, max_size=9), st.text("abc ", max_size=9) | st.integers(), max_size=5)
)
def test_an_old_dict_is_text(values: dict[str, str | int]) -> None:
    read = dicts.decode_old(dicts.encode_old(values))

    assert {key: dicts.old_text(read, key) for key in read} == {key: str(value) for key, value in values.items()}


@given(
    st.builds(
        Call,
        *(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
        st.lists(st.integers(0, 2**32 - 1), max_size=120).map(tuple),
        st.integers(-20, 2**31 - 1),
        st.binary(min_size=1, max_size=64),
        stamp_ns=st.integers(0, 2**62),
        stamp_flags=st.integers(0, 63),
    )
)
def test_a_caller_arrives_with_as_many_groups_as_fit(call: Call) -> None:
    head = rpc.fop_call(9, 1, call, call.lk_owner, 0)
    header = rpc.parse_call(Reader(head[4:]))
    arrived = rpc.read_credential(header, "")

    assert arrived is not None
    fitting = call.groups[: 91 - len(call.lk_owner)]
    assert (arrived.uid, arrived.gid, arrived.pid, arrived.groups) == (call.uid, call.gid, call.pid, fitting)
    assert (arrived.lk_owner, arrived.stamp_ns, arrived.stamp_flags) == (call.lk_owner, call.stamp_ns, call.stamp_flags)
    assert len(header.credential) <= rpc.CREDENTIAL_BYTES_MAX


@pytest.mark.parametrize(
    ("why", "raw"),
    [
        ("padding", opaque(b"abc")[:-1] + b"x"),
        ("3 bytes wanted", WORD.pack(3) + b"ab"),
        ("2147483647 bytes", WORD.pack(2**31 - 1)),
    ],
)
def test_opaque_bytes_that_are_not_whole_are_refused(why: str, raw: bytes) -> None:
    with pytest.raises(ProtocolError, match=why):
        Reader(raw).opaque(1000)


PAIR = opaque(b"key\0") + WORD.pack(2) + bytes(8)


@pytest.mark.parametrize(
    "raw",
    [
        dicts.HEAD.pack(len(PAIR) + 1, 1, 1) + PAIR + b"x",
        dicts.HEAD.pack(len(PAIR) - 1, 1, 1) + PAIR,
        dicts.HEAD.pack(len(PAIR), 2, 1) + PAIR,
        dicts.HEAD.pack(len(PAIR), 1, 2) + PAIR,
        dicts.HEAD.pack(8, 0, 0) + bytes(8),
        dicts.HEAD.pack(0, 5, 0),
        dicts.HEAD.pack(20, 1, 1) + opaque(b"key\0") + WORD.pack(10) + bytes(8),  # no such type
        dicts.HEAD.pack(20, 1, 1) + opaque(b"keys") + WORD.pack(2) + bytes(8),  # no NUL at its end
        dicts.HEAD.pack(20, 1, 1) + opaque(b"k\0y\0") + WORD.pack(2) + bytes(8),  # one too many
        dicts.HEAD.pack(len(PAIR) * 8193, 8193, 8193) + PAIR * 8193,
    ],
)
def test_a_dict_that_contradicts_itself_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        dicts.decode(Reader(raw))


@pytest.mark.parametrize(
    "raw",
    [
        b"\0\0\0\1",
        b"\0\1\0\0",
        bytes(5),
        WORD.pack(1) + dicts.PAIR.pack(-1, 4) + bytes(9),
        WORD.pack(1) + dicts.PAIR.pack(1, -4) + bytes(9),
        WORD.pack(1) + dicts.PAIR.pack(1, 2) + b"kXvv",
    ],
)
def test_an_old_dict_that_contradicts_itself_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        dicts.decode_old(raw)


def test_of_more_groups_than_fit_the_first_are_sent() -> None:
    call = Call(groups=tuple(range(200)), lk_owner=b"12345678")
    head = rpc.fop_call(1, 1, call, call.lk_owner, 0)
    arrived = rpc.read_credential(rpc.parse_call(Reader(head[4:])), "")

    assert arrived is not None
    assert arrived.groups == tuple(range(83))


def test_every_fop_that_can_travel_is_in_the_table() -> None:
    from volgraph.graph import FOPS as ALL

    assert set(BY_FOP) - {"release", "releasedir"} == set(ALL) - {"getspec"}


def test_no_dict_costs_a_constant() -> None:
    assert dicts.encode(None) is dicts.NULL_DICT
    assert dicts.decode(Reader(dicts.NULL_DICT)) is None
    assert Gfid(bytes(16)) == bytes(16)
