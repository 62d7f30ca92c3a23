"""The codec against bytes of a real GlusterFS: decoded, compared by field, encoded again, compared byte by byte."""

import errno
import os
import stat
from typing import Any

import pytest

from tests.translators.protocol.golden import RECORDS, record
from volgraph.graph import ROOT_GFID, Call, Data, Entries, Fd, Gfid, Iatt, Loc, LookedUp, Made
from volgraph.graph.types import Stat
from volgraph.translators.protocol.wire import dicts, handshake, iatt, rpc
from volgraph.translators.protocol.wire.procedures import BY_FOP, PROCEDURES
from volgraph.translators.protocol.wire.records import Records
from volgraph.translators.protocol.wire.xdr import Reader, opaque

D = Gfid.from_text("5a81d52e-c1b1-4878-aae3-6cd10ff0ba81")
F = Gfid.from_text("a560a070-b7b0-4904-88bb-8dd377180162")


def opened(name: str) -> Reader:
    """A reader at the first word behind the record mark."""
    (whole,) = Records().feed(record(name))
    return Reader(whole)


def request(name: str, fop: str) -> tuple[rpc.CallHeader, Call, list[Any], bytes]:
    """(header, caller, the wire's values, the same request encoded again by the client's side)"""
    reader = opened(name)
    header = rpc.parse_call(reader)
    assert (header.program, header.version) == (rpc.FOPS_PROGRAM, rpc.FOPS_VERSION)
    procedure = PROCEDURES[header.procedure]
    assert procedure.fop == fop
    call = rpc.read_credential(header, "client")
    assert call is not None
    values = procedure.decode_request(reader)
    numbers: dict[Fd, int] = {}

    def resolve(gfid: Gfid, number: int) -> Fd:
        numbers[fd := Fd(gfid)] = number
        return fd

    args = procedure.arguments(values, resolve)
    body = procedure.encode_request(args, numbers.__getitem__, procedure.xdata(values))
    payload = bytes(args[procedure.payload]) if procedure.payload is not None else b""
    head = rpc.fop_call(header.xid, procedure.number, call, call.lk_owner, len(body) + len(payload))
    return header, call, args, head + body + payload


def reply(name: str, fop: str) -> tuple[Any, int, bytes]:
    """(answer, number of the fd it opened, the same reply encoded again by the server's side)"""
    reader = opened(name)
    xid, _, accepted = rpc.parse_reply(reader)
    assert accepted == rpc.Accept.SUCCESS
    procedure = BY_FOP[fop]
    answer, number = procedure.decode_opened(reader) if procedure.opens else (procedure.decode_reply(reader), 0)
    body = procedure.encode_reply(answer, number)
    payload = bytes(answer.data) if procedure.reads else b""
    return answer, number, rpc.reply(xid, len(body) + len(payload)) + body + payload


@pytest.mark.parametrize("name", RECORDS)
def test_every_record_is_one_fragment_of_the_length_it_says(name: str) -> None:
    (whole,) = Records().feed(record(name))

    assert bytes(whole) == record(name)[4:]


def test_a_dump_call_is_these_bytes() -> None:
    reader = opened("dump call")
    header = rpc.parse_call(reader)

    assert (header.program, header.version, header.procedure) == (rpc.DUMP_PROGRAM, 1, handshake.DUMP)
    assert header.flavour == rpc.AUTH_V2
    again = rpc.plain_call(
        header.xid, rpc.DUMP_PROGRAM, 1, handshake.DUMP, handshake.dump_request(), flavour=rpc.AUTH_V2
    )
    assert again == record("dump call")


def test_a_dump_reply_is_these_bytes() -> None:
    reader = opened("dump reply")
    xid, _, accepted = rpc.parse_reply(reader)
    programs = handshake.read_dump_reply(reader)

    assert accepted == rpc.Accept.SUCCESS
    assert [(program.number, program.version) for program in programs] == [
        (rpc.FOPS_PROGRAM, 400),
        (rpc.FOPS_PROGRAM, 330),
        (rpc.DUMP_PROGRAM, 1),
        (rpc.HANDSHAKE_PROGRAM, 2),
    ]
    body = handshake.dump_reply(programs)
    assert rpc.reply(xid, len(body)) + body == record("dump reply")


def test_a_setvolume_call_is_these_bytes() -> None:
    reader = opened("setvolume call")
    header = rpc.parse_call(reader)
    options = handshake.read_setvolume_request(reader)

    assert (header.program, header.procedure) == (rpc.HANDSHAKE_PROGRAM, handshake.SETVOLUME)
    assert header.flavour == rpc.AUTH_V3
    assert dicts.old_text(options, "remote-subvolume") == "brick1"
    assert dicts.old_text(options, "fops-version") == str(rpc.FOPS_PROGRAM)
    assert dicts.old_text(options, "client-version") == "10.3"
    assert dicts.old_text(options, "username") is None
    texts = {key: dicts.old_text(options, key) or "" for key in options}
    body = handshake.setvolume_request(texts)
    again = rpc.plain_call(header.xid, rpc.HANDSHAKE_PROGRAM, rpc.HANDSHAKE_VERSION, handshake.SETVOLUME, body)
    assert again == record("setvolume call")


def test_a_setvolume_reply_is_these_bytes() -> None:
    reader = opened("setvolume reply")
    xid, _, _ = rpc.parse_reply(reader)
    op_ret, op_errno, options = handshake.read_setvolume_reply(reader)

    assert op_ret == 0
    assert dicts.old_text(options, "ERROR") == "Success"
    assert dicts.old_text(options, "child_up") == "1"
    body = handshake.setvolume_reply(op_ret, op_errno, {key: dicts.old_text(options, key) or "" for key in options})
    assert rpc.reply(xid, len(body)) + body == record("setvolume reply")


def test_lookup_of_the_root() -> None:
    header, call, (loc,), again = request("lookup call", "lookup")

    assert (header.xid, call.uid, call.gid, call.pid) == (4, 0, 0, 0x1FC3)
    assert call.lk_owner == bytes.fromhex("c31f0000") == rpc.lock_owner(Call(pid=0x1FC3))
    assert loc == Loc(ROOT_GFID)
    assert again == record("lookup call")


def test_gfid_req_keeps_its_type() -> None:
    reader = opened("lookup call")
    rpc.parse_call(reader)
    values = BY_FOP["lookup"].decode_request(reader)

    assert BY_FOP["lookup"].xdata(values) == {"gfid-req": ROOT_GFID}
    assert isinstance(values[-1]["gfid-req"], Gfid)


def test_a_lookup_reply_is_these_bytes() -> None:
    answer, _, again = reply("lookup reply", "lookup")

    assert isinstance(answer, LookedUp)
    assert answer.iatt.gfid == ROOT_GFID
    assert answer.iatt.mode == stat.S_IFDIR | 0o755
    assert (answer.iatt.nlink, answer.iatt.size, answer.iatt.blksize, answer.iatt.blocks) == (3, 4096, 4096, 8)
    assert answer.iatt.mtime_ns == 0x6B02D632 * 10**9 + 0x0118C967
    assert answer.postparent is None
    assert answer.xdata == {}
    assert again == record("lookup reply")


def test_a_create_and_its_reply_are_these_bytes() -> None:
    header, _, (loc, flags, mode, umask), again = request("create call", "create")

    assert header.procedure == 23
    assert loc == Loc(parent=D, name=b"f")
    assert (flags, mode, umask) == (0o1101, 0o100644, 0)
    assert again == record("create call")

    answer, number, again = reply("create reply", "create")
    assert isinstance(answer, Made)
    assert number == 0
    assert (answer.iatt.gfid, answer.iatt.size, answer.iatt.nlink) == (F, 0, 1)
    assert answer.preparent is not None
    assert answer.postparent is not None
    assert answer.preparent.gfid == answer.postparent.gfid == D
    assert answer.preparent.mtime_ns < answer.postparent.mtime_ns
    assert answer.xdata == {"gfid-req": F}
    assert again == record("create reply")


def test_a_write_call_is_these_bytes() -> None:
    _, _, (fd, data, offset, flags), again = request("write call", "writev")

    assert (fd.gfid, bytes(data), offset, flags) == (F, b"hello gluster", 0, 0o100001)
    assert again == record("write call")


def test_a_read_and_its_reply_are_these_bytes() -> None:
    _, _, (fd, size, offset, flags), again = request("read call", "readv")

    assert (fd.gfid, size, offset, flags) == (F, 4096, 0, 0o100000)
    assert again == record("read call")

    answer, _, again = reply("read reply", "readv")
    assert isinstance(answer, Data)
    assert bytes(answer.data) == b"hello gluster"
    assert answer.end
    assert answer.iatt is not None
    assert answer.iatt.size == 13
    assert again == record("read reply")


def test_a_readdirp_and_its_reply_are_these_bytes() -> None:
    _, _, (fd, size, offset), again = request("readdirp call", "readdirp")

    assert (fd.gfid, size, offset) == (D, 131072, 0)
    assert again == record("readdirp call")

    answer, _, again = reply("readdirp reply", "readdirp")
    assert isinstance(answer, Entries)
    assert [entry.name for entry in answer.entries] == [b".", b"f", b".."]
    assert answer.end
    f = answer.entries[1]
    assert f.iatt is not None
    assert (f.gfid, f.iatt.size, f.kind, f.offset) == (F, 13, 8, 0x583A64D73040BA1E)
    assert again == record("readdirp reply")


def test_readdirp_at_the_end() -> None:
    answer, _, again = reply("readdirp reply at the end", "readdirp")

    assert answer == Entries([], end=True)
    assert again == record("readdirp reply at the end")


def test_a_failed_lookup_is_a_whole_reply_of_zeros() -> None:
    reader = opened("lookup failure")
    xid, _, _ = rpc.parse_reply(reader)

    with pytest.raises(FileNotFoundError):
        BY_FOP["lookup"].decode_reply(reader)
    body = BY_FOP["lookup"].encode_failure(errno.ENOENT)
    assert rpc.reply(xid, len(body)) + body == record("lookup failure")


def test_failed_replies_have_the_length_that_clients_rely_on() -> None:
    assert len(BY_FOP["stat"].encode_failure(errno.ESTALE)) == 168
    assert len(BY_FOP["readv"].encode_failure(errno.EBADF)) == 172


@pytest.mark.parametrize(
    ("device", "halves"), [(0, 0), (os.makedev(1, 3), 0x1_0000_0003), (os.makedev(300, 70000), 0x12C_0001_1170)]
)
def test_a_device_is_two_halves_on_the_wire(device: int, halves: int) -> None:
    """As a GlusterFS brick sends it."""
    sent = Iatt(F, Stat(st_mode=stat.S_IFBLK | 0o600, st_rdev=device))

    assert iatt.FORM.unpack(iatt.pack(sent))[iatt.RDEV] == halves
    assert iatt.WireStat(iatt.pack(sent)).st_rdev == device


def test_an_iatt_that_is_not_known_is_zeros() -> None:
    assert BY_FOP["unlink"].encode_failure(errno.EIO)[-296:] == bytes(296)


def test_opaque_bytes_are_padded_to_four() -> None:
    assert opaque(b"abcde") == b"\0\0\0\5abcde\0\0\0"
    assert Reader(opaque(b"abcde")).opaque(5) == b"abcde"
