"""The file operations of program 400: one row each. This table is all that client and server know of them.

A request is written as `path:kind` in the order of the wire. A path leads into the arguments of the `Translator` method
of that name: `loc.parent`, `flock.type`, `fd.number` (the number the server gave the fd), `data.size` (its length),
`name.given` (1, or 0 for None), `=0` (always that). Every request ends in its xdata, and a write in its bytes.
A reply is written in the fields of its class; before them stand op_ret, op_errno and xdata.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from ....graph import (
    Acknowledged,
    Attributes,
    Changed,
    Checksums,
    Copied,
    Data,
    Entries,
    Locked,
    LookedUp,
    Made,
    Removed,
    Renamed,
    Sought,
    Space,
    Target,
    Written,
    Xattrs,
)


@attrs.frozen
class Row:
    """`fop` is empty where our graph has no such operation: it is answered with EOPNOTSUPP."""

    number: int
    fop: str
    request: str
    answers: type[Any]
    reply: str


LOC = "loc.gfid:gfid"
FD = "fd.gfid:gfid fd.number:i64"
PARENT = "loc.parent:gfid"
NAME = "loc.name:name"
PRE_POST = "pre:iatt? post:iatt?"
PARENTS = "preparent:iatt? postparent:iatt?"
MADE = f"iatt:iatt {PARENTS}"
OLD_AND_NEW = "old.parent:gfid new.parent:gfid old.name:name new.name:name"
RENAMED = "iatt:iatt pre_old_parent:iatt? post_old_parent:iatt? pre_new_parent:iatt? post_new_parent:iatt?"
XATTRS = f"values:xattrs {PRE_POST}"
RANGE = "offset:offset length:offset"
FLOCK = "command:lock-command flock.type:lock-type flock:flock"
ENTRY_LOCK = "command:entry-lock-command type:lock-type name.given:u64 name:entry-name domain:label"
SPACE = " ".join(f"{field.name}:u64" for field in attrs.fields(Space) if field.name != "xdata")

ROWS: Final = (
    Row(1, "stat", LOC, Attributes, "iatt:iatt"),
    Row(2, "readlink", f"{LOC} size:u32", Target, "iatt:iatt? target:target"),
    Row(3, "mknod", f"{PARENT} rdev:u64 mode:u32 umask:u32 {NAME}", Made, MADE),
    Row(4, "mkdir", f"{PARENT} mode:u32 umask:u32 {NAME}", Made, MADE),
    Row(5, "unlink", f"{PARENT} {NAME} xflags:u32", Removed, PARENTS),
    Row(6, "rmdir", f"{PARENT} xflags:i32 {NAME}", Removed, PARENTS),
    Row(7, "symlink", f"{PARENT} {NAME} umask:u32 target:target", Made, MADE),
    Row(8, "rename", OLD_AND_NEW, Renamed, RENAMED),
    Row(9, "link", "old.gfid:gfid new.parent:gfid new.name:name", Made, MADE),
    Row(10, "truncate", f"{LOC} size:offset", Changed, PRE_POST),
    Row(11, "open", f"{LOC} flags:open-flags", Acknowledged, "fd:i64"),
    Row(12, "readv", f"{FD} offset:offset size:u32 flags:open-flags", Data, "iatt:iatt? size:u32 xdata:dict"),
    Row(13, "writev", f"{FD} offset:offset data.size:u32 flags:open-flags", Written, PRE_POST),
    Row(14, "statfs", LOC, Space, SPACE),
    Row(15, "flush", FD, Acknowledged, ""),
    Row(16, "fsync", f"{FD} datasync:u32", Changed, PRE_POST),
    Row(17, "setxattr", f"{LOC} flags:u32 values:xattrs", Acknowledged, ""),
    Row(18, "getxattr", f"{LOC} name.given:u32 name:label", Xattrs, XATTRS),
    Row(19, "removexattr", f"{LOC} name:label", Acknowledged, ""),
    Row(20, "opendir", LOC, Acknowledged, "fd:i64"),
    Row(21, "fsyncdir", f"{FD} datasync:i32", Acknowledged, ""),
    Row(22, "access", f"{LOC} mask:u32", Acknowledged, ""),
    Row(23, "create", f"{PARENT} flags:open-flags mode:u32 umask:u32 {NAME}", Made, f"iatt:iatt fd:i64 {PARENTS}"),
    Row(24, "ftruncate", f"{FD} size:offset", Changed, PRE_POST),
    Row(25, "fstat", FD, Attributes, "iatt:iatt"),
    Row(26, "lk", f"{FD} {FLOCK}", Locked, "flock:flock"),
    Row(27, "lookup", f"{LOC} {PARENT} =0:u32 loc.name:name?", LookedUp, "iatt:iatt postparent:iatt?"),
    Row(28, "readdir", f"{FD} offset:u64 size:u32", Entries, "entries:listing"),
    Row(29, "inodelk", f"{LOC} {FLOCK} domain:label", Acknowledged, ""),
    Row(30, "finodelk", f"{FD} {FLOCK} domain:label", Acknowledged, ""),
    Row(31, "entrylk", f"{LOC} {ENTRY_LOCK}", Acknowledged, ""),
    Row(32, "fentrylk", f"{FD} {ENTRY_LOCK}", Acknowledged, ""),
    Row(33, "xattrop", f"{LOC} kind:xattrop-kind values:xattrs", Xattrs, XATTRS),
    Row(34, "fxattrop", f"{FD} kind:xattrop-kind values:xattrs", Xattrs, XATTRS),
    Row(35, "fgetxattr", f"{FD} name.given:u32 name:label", Xattrs, XATTRS),
    Row(36, "fsetxattr", f"{FD} flags:u32 values:xattrs", Acknowledged, ""),
    Row(37, "rchecksum", f"{FD} offset:offset length:u32 =0:u32", Checksums, "=1:u32 weak:u32 strong:strong"),
    Row(38, "setattr", f"{LOC} new:new", Changed, PRE_POST),
    Row(39, "fsetattr", f"{FD} new:new", Changed, PRE_POST),
    Row(40, "readdirp", f"{FD} offset:u64 size:u32", Entries, "entries:listing-plus"),
    Row(41, "release", FD, Acknowledged, ""),
    Row(42, "releasedir", FD, Acknowledged, ""),
    Row(43, "fremovexattr", f"{FD} name:label", Acknowledged, ""),
    Row(44, "fallocate", f"{FD} flags:u32 {RANGE}", Changed, PRE_POST),
    Row(45, "discard", f"{FD} {RANGE}", Changed, PRE_POST),
    Row(46, "zerofill", f"{FD} {RANGE}", Changed, PRE_POST),
    Row(47, "ipc", "op:i32", Acknowledged, ""),
    Row(48, "seek", f"{FD} offset:offset what:i32", Sought, "offset:u64"),
    Row(50, "", "", Acknowledged, "=0:u64 =0:u64 =0:u64 =0:u32"),  # lease
    Row(53, "", "", Acknowledged, "=0:iatt?"),  # icreate
    Row(54, "", "", Acknowledged, PARENTS),  # namelink
    Row(
        56,
        "copy_file_range",
        "fd_in.gfid:gfid fd_out.gfid:gfid fd_in.number:i64 fd_out.number:i64"
        " offset_in:offset offset_out:offset length:u32 flags:u32",
        Copied,
        f"iatt:iatt? {PRE_POST}",
    ),
)
