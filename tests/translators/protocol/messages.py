"""Hypothesis strategies: arguments and answers of every fop that the wire carries."""

import stat
from typing import Any

import attrs
from hypothesis import strategies as st

from volgraph.graph import (
    Acknowledged,
    Attributes,
    Changed,
    Checksums,
    Copied,
    Data,
    Entries,
    Entry,
    EntryLockCommand,
    Fd,
    Flock,
    Gfid,
    Iatt,
    Loc,
    LockCommand,
    Locked,
    LockType,
    LookedUp,
    Made,
    NewAttributes,
    Removed,
    Renamed,
    Sought,
    Space,
    Stat,
    Target,
    Written,
    XattropKind,
    Xattrs,
)

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
offsets = st.integers(0, 2**63 - 1)
gfids = st.binary(min_size=16, max_size=16).filter(any).map(Gfid)
names = (
    st.binary(min_size=1, max_size=255)
    .map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"0"))
    .filter(lambda name: name not in (b".", b".."))
)
texts = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"0").decode("utf-8", "surrogateescape"))
keys = texts.filter(bool)
times = st.integers(-(2**60), 2**61)
stats = st.builds(
    Stat,
    st_mode=st.sampled_from([stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK]).flatmap(
        lambda kind: st.integers(0, 0o7777).map(lambda bits: kind | bits)
    ),
    st_nlink=u32,
    st_uid=u32,
    st_gid=u32,
    st_rdev=u64,
    st_size=u64,
    st_blksize=u32,
    st_blocks=u64,
    st_atime_ns=times,
    st_mtime_ns=times,
    st_ctime_ns=times,
)
iatts = st.builds(Iatt, gfids, stats)
maybe_iatt = st.none() | iatts
xvalues = st.one_of(i64, texts, st.binary(max_size=40), gfids, st.floats(allow_nan=False), iatts)
xdata = st.none() | st.dictionaries(keys, xvalues, max_size=4)
xattrs = st.dictionaries(keys, st.binary(max_size=40), max_size=4)
wire_flags = st.integers(0, 0o3777777).map(lambda flags: flags & ~0o4010000)  # O_SYNC has a test of its own
flocks = st.builds(Flock, st.sampled_from(LockType), u64, u64, u32, st.binary(max_size=64), st.integers(0, 2))
listed = st.builds(Entry, names, u64, st.integers(0, 15))
listed_plus = st.builds(
    lambda name, offset, kind, iatt, data: Entry(name, offset, kind, iatt and iatt.gfid, iatt, data),
    *(names, u64, st.integers(1, 15), maybe_iatt, xdata),
)

by_gfid = st.builds(Loc, gfids)
by_name = st.builds(Loc, parent=gfids, name=names)
NAMED = frozenset(("mknod", "mkdir", "symlink", "unlink", "rmdir", "create"))

PARAMETERS: dict[str, st.SearchStrategy[Any]] = {
    "fd": st.builds(Fd, gfids),
    "fd_in": st.builds(Fd, gfids),
    "fd_out": st.builds(Fd, gfids),
    "data": st.binary(max_size=300),
    "target": st.binary(max_size=300),
    "flock": flocks,
    "values": xattrs,
    "kind": st.sampled_from(XattropKind),
    "type": st.sampled_from(LockType),
    "domain": texts,
    "name": st.none() | names,
    "op": st.integers(-(2**31), 2**31 - 1),
    "what": st.integers(0, 1),
    "length": st.integers(0, 2**31),
    "flags": st.integers(0, 2**31),
    "xflags": st.integers(0, 2**31 - 1),
    "datasync": st.integers(0, 1),
    "offset": offsets,
    "offset_in": offsets,
    "offset_out": offsets,
    "rdev": u64,
    "old": by_name,
    "new": by_name,
}
SPECIAL: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("lookup", "loc"): st.builds(Loc, gfids) | st.builds(Loc, gfids, gfids, names),
    ("link", "old"): by_gfid,
    ("setattr", "new"): st.builds(
        NewAttributes,
        *(st.none() | st.integers(0, 0o7777), st.none() | u32, st.none() | u32, st.none() | u64),
        *(st.none() | times, st.none() | times, st.none() | times),
    ),
    ("truncate", "size"): offsets,
    ("ftruncate", "size"): offsets,
    ("getxattr", "name"): st.none() | keys,
    ("fgetxattr", "name"): st.none() | keys,
    ("removexattr", "name"): keys,
    ("fremovexattr", "name"): keys,
    ("entrylk", "command"): st.sampled_from(EntryLockCommand),
    ("fentrylk", "command"): st.sampled_from(EntryLockCommand),
    **{(fop, "flags"): wire_flags for fop in ("open", "create", "readv", "writev")},
    **{(fop, "command"): st.sampled_from(LockCommand) for fop in ("lk", "inodelk", "finodelk")},
}
SPECIAL["fsetattr", "new"] = SPECIAL["setattr", "new"]


def argument(fop: str, name: str) -> st.SearchStrategy[Any]:
    if (fop, name) in SPECIAL:
        return SPECIAL[fop, name]
    if name == "loc":
        return by_name if fop in NAMED else by_gfid
    return PARAMETERS.get(name, u32)


ANSWERS: dict[type[Any], st.SearchStrategy[Any]] = {
    Acknowledged: st.builds(Acknowledged, xdata),
    Attributes: st.builds(Attributes, iatts, xdata),
    Changed: st.builds(Changed, maybe_iatt, maybe_iatt, xdata),
    Checksums: st.builds(Checksums, u32, st.binary(min_size=16, max_size=16), xdata),
    Copied: st.builds(Copied, st.integers(0, 2**31 - 1), maybe_iatt, maybe_iatt, maybe_iatt, xdata),
    Data: st.builds(Data, st.binary(max_size=300), maybe_iatt, st.booleans(), xdata),
    Locked: st.builds(Locked, flocks, xdata),
    LookedUp: st.builds(LookedUp, iatts, maybe_iatt, xdata),
    Made: st.builds(Made, iatts, maybe_iatt, maybe_iatt, xdata),
    Removed: st.builds(Removed, maybe_iatt, maybe_iatt, xdata),
    Renamed: st.builds(Renamed, iatts, maybe_iatt, maybe_iatt, maybe_iatt, maybe_iatt, xdata),
    Sought: st.builds(Sought, u64, xdata),
    Space: st.builds(Space, *[u64] * 11, xdata),
    Target: st.builds(Target, st.binary(max_size=300), maybe_iatt, xdata),
    Written: st.builds(Written, st.integers(0, 2**31 - 1), maybe_iatt, maybe_iatt, xdata),
    Xattrs: st.builds(Xattrs, xattrs, maybe_iatt, maybe_iatt, xdata),
}


def answer(fop: str, kind: type[Any]) -> st.SearchStrategy[Any]:
    if kind is Entries:
        entries = listed_plus if fop == "readdirp" else listed
        return st.builds(Entries, st.lists(entries, max_size=5), st.booleans(), xdata)
    return ANSWERS[kind]


def plain(value: Any) -> Any:
    """The same in tuples, dicts and numbers, so that two can be compared whatever their classes are."""
    if isinstance(value, Iatt):
        fields = (
            "mode",
            "nlink",
            "uid",
            "gid",
            "rdev",
            "size",
            "blksize",
            "blocks",
            "atime_ns",
            "mtime_ns",
            "ctime_ns",
        )
        return (value.gfid, *(getattr(value, field) for field in fields))
    if isinstance(value, Fd):
        return value.gfid
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if attrs.has(type(value)):
        return [(field.name, plain(getattr(value, field.name))) for field in attrs.fields(type(value))]
    return value
