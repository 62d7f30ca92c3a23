"""Contracts: extended attributes, xattrop, the keys of xdata, the heal index."""

from __future__ import annotations

import errno

from ..graph import ROOT_GFID, ROOT_LOC, Capability, Gfid, Loc, XattropKind
from .contract import Chapter
from .fop_bench import FopBench, at, same

xattrs = Chapter()

XATTR_CREATE = 1
XATTR_REPLACE = 2

ADD = XattropKind.ADD_ARRAY
COUNTS = "trusted.conformance.counts"
MARK = "trusted.afr.conformance-client-1"
DIRTY = "trusted.afr.dirty"


def array(*counters: int) -> bytes:
    """Counters as they travel: big-endian, 4 bytes each."""
    return b"".join((each % (1 << 32)).to_bytes(4, "big") for each in counters)


async def stored(bench: FopBench, gfid: Gfid) -> dict[str, bytes]:
    return {
        key: bytes(value) for key, value in (await bench.top.getxattr(bench.call(), Loc(gfid), None)).values.items()
    }


# --- set, get, list, remove ----------------------------------------------------------------------------------------


@xattrs(needs=Capability.XATTRS)
async def xattrs_are_kept_on_files_and_directories(bench: FopBench) -> None:
    wanted = {"user.colour": b"RED", "user.empty": b"", "trusted.binary": bytes(range(256)), "user.\udcff": b"NAME"}
    for gfid in (await bench.file(), await bench.directory()):
        await bench.top.setxattr(bench.call(), Loc(gfid), wanted)
        found = await stored(bench, gfid)
        same({key: found.get(key) for key in wanted}, wanted, "list")
        for key, value in wanted.items():
            same((await bench.top.getxattr(bench.call(), Loc(gfid), key)).values, {key: value}, key)


@xattrs(needs=Capability.XATTRS)
async def trusted_xattrs_are_kept_on_symlinks_too(bench: FopBench) -> None:
    gfid = await bench.symlink()
    await bench.top.setxattr(bench.call(), Loc(gfid), {"trusted.mark": b"1"})
    same((await bench.top.getxattr(bench.call(), Loc(gfid), "trusted.mark")).values, {"trusted.mark": b"1"}, "value")


@xattrs(needs=Capability.XATTRS)
async def an_open_file_has_the_same_xattrs(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.fsetxattr(bench.call(), fd, {"user.colour": b"RED"})
    same((await bench.top.fgetxattr(bench.call(), fd, "user.colour")).values, {"user.colour": b"RED"}, "by fd")
    same((await stored(bench, fd.gfid)).get("user.colour"), b"RED", "by gfid")
    await bench.top.fremovexattr(bench.call(), fd, "user.colour")
    await bench.refuses(errno.ENODATA, bench.top.fgetxattr, bench.call(), fd, "user.colour")


@xattrs(needs=Capability.XATTRS)
async def what_is_not_set_is_enodata(bench: FopBench) -> None:
    gfid = await bench.file()
    await bench.refuses(errno.ENODATA, bench.top.getxattr, bench.call(), Loc(gfid), "user.missing")
    await bench.refuses(errno.ENODATA, bench.top.removexattr, bench.call(), Loc(gfid), "user.missing")
    await bench.refuses(errno.ESTALE, bench.top.getxattr, bench.call(), Loc(bench.new_gfid()), "user.missing")


@xattrs(needs=Capability.XATTRS)
async def setxattr_creates_or_replaces_only_where_told_so(bench: FopBench) -> None:
    gfid = await bench.file()
    loc = Loc(gfid)
    await bench.refuses(errno.ENODATA, bench.top.setxattr, bench.call(), loc, {"user.a": b"1"}, XATTR_REPLACE)
    await bench.top.setxattr(bench.call(), loc, {"user.a": b"1"}, XATTR_CREATE)
    await bench.refuses(errno.EEXIST, bench.top.setxattr, bench.call(), loc, {"user.a": b"2"}, XATTR_CREATE)
    same((await stored(bench, gfid)).get("user.a"), b"1", "value")
    await bench.top.setxattr(bench.call(), loc, {"user.a": b"3"}, XATTR_REPLACE)
    same((await stored(bench, gfid)).get("user.a"), b"3", "value replaced")


@xattrs(needs=Capability.XATTRS)
async def flags_that_setxattr_does_not_know_are_einval(bench: FopBench) -> None:
    gfid = await bench.file()
    for flags in (4, 1 << 31, 1 << 40, -1):
        await bench.refuses(errno.EINVAL, bench.top.setxattr, bench.call(), Loc(gfid), {"user.a": b"1"}, flags)
    same((await stored(bench, gfid)).get("user.a"), None, "value")


@xattrs(needs=Capability.XATTRS)
async def removexattr_removes(bench: FopBench) -> None:
    gfid = await bench.file()
    await bench.top.setxattr(bench.call(), Loc(gfid), {"user.a": b"1", "user.b": b"2"})
    await bench.top.removexattr(bench.call(), Loc(gfid), "user.a")
    found = await stored(bench, gfid)
    same((found.get("user.a"), found.get("user.b")), (None, b"2"), "values")


@xattrs(needs=Capability.XATTRS)
async def an_unknown_namespace_is_refused(bench: FopBench) -> None:
    gfid = await bench.file()
    for name in ("plain", "foo.bar"):
        await bench.refuses(errno.EOPNOTSUPP, bench.top.setxattr, bench.call(), Loc(gfid), {name: b"1"})


@xattrs(needs=Capability.XATTRS)
async def a_name_that_no_system_call_can_be_told_is_einval(bench: FopBench) -> None:
    fd = await bench.created()
    loc, before = Loc(fd.gfid), await stored(bench, fd.gfid)
    for name in ("user.a\0b", "trusted.a\0b", "trusted.\0", "\0"):
        await bench.refuses(errno.EINVAL, bench.top.setxattr, bench.call(), loc, {name: b"1"})
        await bench.refuses(errno.EINVAL, bench.top.fsetxattr, bench.call(), fd, {name: b"1"})
        await bench.refuses(errno.EINVAL, bench.top.getxattr, bench.call(), loc, name)
        await bench.refuses(errno.EINVAL, bench.top.fgetxattr, bench.call(), fd, name)
        await bench.refuses(errno.EINVAL, bench.top.removexattr, bench.call(), loc, name)
        await bench.refuses(errno.EINVAL, bench.top.fremovexattr, bench.call(), fd, name)
    same(await stored(bench, fd.gfid), before, "xattrs")


@xattrs(needs=Capability.XATTRS)
async def what_a_lookup_asks_by_an_impossible_name_is_not_there(bench: FopBench) -> None:
    """Or the lookup is EINVAL: a wire cannot be told such a name either."""
    gfid = await bench.file()
    await bench.top.setxattr(bench.call(), Loc(gfid), {"user.colour": b"RED"})
    call = bench.asking("user.colour", "user.a\0b", "trusted.a\0b")
    try:
        told = (await bench.top.lookup(call, Loc(gfid))).xdata
    except OSError as error:
        same(error.errno, errno.EINVAL, "errno")
    else:
        same(dict(told or {}), {"user.colour": b"RED"}, "xdata")


@xattrs(needs=Capability.XATTRS, brick=True)
async def the_gfid_is_neither_listed_nor_changed(bench: FopBench) -> None:
    gfid = await bench.file()
    await bench.top.setxattr(bench.call(), Loc(gfid), {"trusted.gfid": bytes(16)})
    same((await bench.top.lookup(bench.call(), at(ROOT_GFID, b"file"))).iatt.gfid, gfid, "gfid")
    same([key for key in await stored(bench, gfid) if "gfid" in key], [], "keys about gfids in the list")
    await bench.refuses(errno.EPERM, bench.top.removexattr, bench.call(), Loc(gfid), "trusted.gfid")
    await bench.refuses(errno.EPERM, bench.top.xattrop, bench.call(), Loc(gfid), ADD, {"trusted.gfid": array(1)})


# --- xattrop -------------------------------------------------------------------------------------------------------


@xattrs(needs=Capability.XATTROP)
async def xattrop_adds_and_answers_the_new_values(bench: FopBench) -> None:
    fd = await bench.created()
    loc = Loc(fd.gfid)
    first = (await bench.top.xattrop(bench.call(), loc, ADD, {COUNTS: array(1, 0, 7)})).values
    same(first, {COUNTS: array(1, 0, 7)}, "first sum")
    second = (await bench.top.fxattrop(bench.call(), fd, ADD, {COUNTS: array(2, 5, -3)})).values
    same(second, {COUNTS: array(3, 5, 4)}, "second sum")
    same((await stored(bench, fd.gfid)).get(COUNTS), array(3, 5, 4), "stored")


@xattrs(needs=Capability.XATTROP)
async def xattrop_with_zeros_reads_and_makes_nothing(bench: FopBench) -> None:
    gfid = await bench.file()
    zeros = {COUNTS: array(0, 0, 0)}
    same((await bench.top.xattrop(bench.call(), Loc(gfid), ADD, zeros)).values, zeros, "of what is not there")
    same((await stored(bench, gfid)).get(COUNTS), None, "stored")
    await bench.top.xattrop(bench.call(), Loc(gfid), ADD, {COUNTS: array(1, 2, 3)})
    same((await bench.top.xattrop(bench.call(), Loc(gfid), ADD, zeros)).values, {COUNTS: array(1, 2, 3)}, "values")


@xattrs(needs=Capability.XATTROP)
async def a_counter_brought_back_to_zero_stays_stored(bench: FopBench) -> None:
    gfid = await bench.directory()
    await bench.top.xattrop(bench.call(), Loc(gfid), ADD, {COUNTS: array(4, 0, 1)})
    await bench.top.xattrop(bench.call(), Loc(gfid), ADD, {COUNTS: array(-4, 0, -1)})
    same((await stored(bench, gfid)).get(COUNTS), array(0, 0, 0), "stored")


@xattrs(needs=Capability.XATTROP)
async def a_counter_never_wraps(bench: FopBench) -> None:
    gfid = await bench.file()
    await bench.top.xattrop(bench.call(), Loc(gfid), ADD, {COUNTS: array(0, 1, 0)})
    await bench.refuses(errno.EOVERFLOW, bench.top.xattrop, bench.call(), Loc(gfid), ADD, {COUNTS: array(0, -2, 0)})
    same((await stored(bench, gfid)).get(COUNTS), array(0, 1, 0), "stored")


@xattrs(needs=Capability.XATTROP)
async def xattrop_changes_all_keys_or_none(bench: FopBench) -> None:
    gfid = await bench.file()
    await bench.top.xattrop(bench.call(), Loc(gfid), ADD, {COUNTS: array(1, 1, 1)})
    for wrong in (array(1), b"", b"12345"):
        await bench.refuses(
            errno.EINVAL, bench.top.xattrop, bench.call(), Loc(gfid), ADD, {"trusted.other": array(1), COUNTS: wrong}
        )
    found = await stored(bench, gfid)
    same((found.get(COUNTS), found.get("trusted.other")), (array(1, 1, 1), None), "stored")


@xattrs(needs=Capability.XATTROP)
async def xattrop_knows_its_other_kinds(bench: FopBench) -> None:
    gfid = await bench.file()
    loc = Loc(gfid)
    wide = bytes(7) + b"\x05"
    await bench.top.xattrop(bench.call(), loc, XattropKind.ADD_ARRAY64, {"trusted.wide": wide})
    found = (await bench.top.xattrop(bench.call(), loc, XattropKind.ADD_ARRAY64, {"trusted.wide": wide})).values
    same(found, {"trusted.wide": bytes(7) + b"\x0a"}, "64 bits")
    old = (await bench.top.xattrop(bench.call(), loc, XattropKind.GET_AND_SET, {"trusted.wide": b"NEW VALU"})).values
    same(old, {"trusted.wide": bytes(7) + b"\x0a"}, "what get-and-set answers")
    same((await stored(bench, gfid)).get("trusted.wide"), b"NEW VALU", "what get-and-set stores")
    both = {COUNTS: array(1, 1) + array(10, 0)}
    found = (await bench.top.xattrop(bench.call(), loc, XattropKind.ADD_ARRAY_WITH_DEFAULT, both)).values
    same(found, {COUNTS: array(11, 1)}, "sum on a default")
    found = (await bench.top.xattrop(bench.call(), loc, XattropKind.ADD_ARRAY_WITH_DEFAULT, both)).values
    same(found, {COUNTS: array(12, 2)}, "sum on what is stored")


# --- xdata ---------------------------------------------------------------------------------------------------------


@xattrs(needs=Capability.XATTRS)
async def lookup_answers_the_xattrs_that_its_xdata_asks(bench: FopBench) -> None:
    gfid = await bench.file()
    await bench.top.setxattr(bench.call(), Loc(gfid), {"user.colour": b"RED", "trusted.mark": b"1"})
    call = bench.asking("user.colour", "user.missing", "unknown-key")
    for loc in (at(ROOT_GFID, b"file"), Loc(gfid)):
        same(dict((await bench.top.lookup(call, loc)).xdata or {}), {"user.colour": b"RED"}, "xdata")
    every = dict((await bench.top.lookup(bench.asking("list-xattr"), Loc(gfid))).xdata or {})
    same((every.get("user.colour"), every.get("trusted.mark")), (b"RED", b"1"), "all xattrs")
    found = dict((await bench.top.stat(bench.asking("user.colour"), Loc(gfid))).xdata or {})
    same(found, {"user.colour": b"RED"}, "xdata of stat")


@xattrs(needs=Capability.XATTRS, brick=True)
async def a_pattern_in_xdata_asks_for_every_xattr_like_it(bench: FopBench) -> None:
    gfid = await bench.file()
    wanted = {"trusted.mark.a": b"1", "trusted.mark.b": b"2"}
    await bench.top.setxattr(bench.call(), Loc(gfid), {**wanted, "user.mark.c": b"3"})
    same(dict((await bench.top.lookup(bench.asking("trusted.mark.*"), Loc(gfid))).xdata or {}), wanted, "xdata")


@xattrs(brick=True)
async def lookup_hands_over_small_contents(bench: FopBench) -> None:
    gfid = await bench.file(data=b"SMALL")
    for limit, wanted in ((5, b"SMALL"), (4, None)):
        call = bench.call(xdata={"glusterfs.content": limit})
        found = (await bench.top.lookup(call, Loc(gfid))).xdata or {}
        same(found.get("glusterfs.content"), wanted, f"contents up to {limit} bytes")


@xattrs(brick=True)
async def open_fds_are_counted(bench: FopBench) -> None:
    gfid = await bench.file()
    key = "glusterfs.open-fd-count"
    same((await bench.top.stat(bench.asking(key), Loc(gfid))).xdata, {key: 0}, "none open")
    fds = [await bench.opened(gfid), await bench.opened(gfid)]
    same((await bench.top.stat(bench.asking(key), Loc(gfid))).xdata, {key: 2}, "two open")
    bench.close(fds[0])
    same((await bench.top.stat(bench.asking(key), Loc(gfid))).xdata, {key: 1}, "one closed")


# --- the heal index ------------------------------------------------------------------------------------------------


async def index_gfid(bench: FopBench, which: str) -> Gfid:
    key = f"glusterfs.{which}_gfid"
    return Gfid((await bench.top.getxattr(bench.call(), ROOT_LOC, key)).values[key])


async def indexed(bench: FopBench, which: str) -> list[bytes]:
    return await bench.names(await index_gfid(bench, which))


@xattrs(needs=Capability.XATTROP, brick=True)
async def the_heal_index_lists_what_bears_marks_and_nothing_else(bench: FopBench) -> None:
    blaming, dirty, clean = await bench.file(b"b"), await bench.directory(b"d"), await bench.file(b"c")
    await bench.top.xattrop(bench.call(), Loc(blaming), ADD, {MARK: array(1, 0, 0)})
    await bench.top.xattrop(bench.call(), Loc(dirty), ADD, {DIRTY: array(0, 0, 1)})
    await bench.top.xattrop(bench.call(), Loc(clean), ADD, {COUNTS: array(1, 0, 0), DIRTY: array(0, 0, 0)})
    same(await indexed(bench, "xattrop_index"), [blaming.text.encode()], "xattrop index")
    same(await indexed(bench, "xattrop_dirty"), [dirty.text.encode()], "dirty index")
    call = bench.call(xdata={"link-count": "glusterfs.xattrop_index_count"})
    same((await bench.top.lookup(call, ROOT_LOC)).xdata, {"link-count": 1}, "number of objects pending")
    await bench.top.xattrop(bench.call(), Loc(blaming), ADD, {MARK: array(-1, 0, 0)})
    await bench.top.xattrop(bench.call(), Loc(dirty), ADD, {DIRTY: array(0, 0, -1)})
    same([await indexed(bench, "xattrop_index"), await indexed(bench, "xattrop_dirty")], [[], []], "once cleared")


@xattrs(needs=Capability.XATTROP, brick=True)
async def the_heal_index_follows_every_way_to_set_a_mark(bench: FopBench) -> None:
    await bench.top.mkdir(bench.making(xattrs={MARK: array(0, 1, 0)}), at(ROOT_GFID, b"d"), 0o755, 0)
    file = await bench.file()
    await bench.top.setxattr(bench.call(), Loc(file), {MARK: array(1, 0, 0)})
    same(len(await indexed(bench, "xattrop_index")), 2, "objects listed")
    await bench.top.removexattr(bench.call(), Loc(file), MARK)
    await bench.top.rmdir(bench.call(), at(ROOT_GFID, b"d"))
    same(await indexed(bench, "xattrop_index"), [], "listed after one mark was removed, and one object")


@xattrs(needs=Capability.XATTRS, brick=True)
async def an_afrs_identity_of_its_children_is_no_mark(bench: FopBench) -> None:
    await bench.top.setxattr(bench.call(), ROOT_LOC, {"trusted.afr.mirror.volgraph-id": b"IDENTITY"})
    same(await indexed(bench, "xattrop_index"), [], "xattrop index")
