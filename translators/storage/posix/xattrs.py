"""storage/posix: extended attributes, and the counters of replication among them."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from socket import gethostname

import attrs

from ....graph import (
    ROOT_GFID,
    Acknowledged,
    Call,
    Done,
    Fd,
    Gfid,
    Iatt,
    Loc,
    XattropKind,
    Xattrs,
    fail,
)
from ..acl import ACCESS
from ..heal_index import INDEX_GFID_OF_KEY, index_of
from ..leaf import SUSPECT_KEY
from ..name_rules import check_counter_name, check_xattr_name, check_xattrs, is_bookkeeping
from ..ranges import check_xattr_flags
from ..xattrop import join_all
from . import judging
from .attributes import PosixAttributes
from .granting import insisting
from .places import Found, Where

PATHINFO = "trusted.glusterfs.pathinfo"
"""Asked of the root: where this brick is. A healer of GlusterFS only crawls bricks of its own host."""
PATH_OF_GFID = "glusterfs.gfid2path"
"""What the same healer asks first about each object that it is to heal, to speak of it; without an answer it goes on to
the next. Objects do not know their names here, so it is told as GlusterFS prints an unknown path."""


@attrs.define(eq=False)
class PosixXattrs(PosixAttributes):
    """See `Posix`."""

    def getxattr(self, call: Call, loc: Loc, name: str | None) -> Done[Xattrs]:
        found = self._found(loc)
        return Done(self._get(call, found.gfid, found.where, name))

    def fgetxattr(self, call: Call, fd: Fd, name: str | None) -> Done[Xattrs]:
        gfid, at = self._object(fd)
        return Done(self._get(call, gfid, at, name))

    def _get(self, call: Call, gfid: Gfid, at: Where, name: str | None) -> Xattrs:
        metadata = self.brick.metadata
        if name is None:
            return Xattrs(judging.shown(self.brick, call, at, metadata.all(gfid, at)))
        check_xattr_name(name)
        if call.uid:
            judging.get_xattr(self.brick, call, at, name)
        if name in INDEX_GFID_OF_KEY and gfid == ROOT_GFID:
            return Xattrs({name: INDEX_GFID_OF_KEY[name]})
        if name == PATHINFO and gfid == ROOT_GFID:
            return Xattrs({name: os.fsencode(f"<POSIX({self.directory}):{gethostname()}:{self.directory}/>")})
        if name == PATH_OF_GFID:
            return Xattrs({name: b"/" if gfid == ROOT_GFID else f"<gfid:{gfid.text}>".encode()})
        value = None if is_bookkeeping(name) else metadata.get(gfid, at, name)
        if value is None:
            raise fail(errno.ENODATA, name)
        return Xattrs({name: value})

    @insisting
    def setxattr(self, call: Call, loc: Loc, values: Mapping[str, bytes], flags: int = 0) -> Done[Acknowledged]:
        """`volgraph.suspect` of the root, set to `0` by the system's own (a pid below zero): what the brick may have
        lost has been healed."""
        if SUSPECT_KEY in values:
            return Done(self._trust(call, loc, values))
        found = self._found(loc)
        return Done(self._set(call, found.gfid, found.where, values, flags))

    @insisting
    def fsetxattr(self, call: Call, fd: Fd, values: Mapping[str, bytes], flags: int = 0) -> Done[Acknowledged]:
        gfid, at = self._object(fd)
        return Done(self._set(call, gfid, at, values, flags))

    def _trust(self, call: Call, loc: Loc, values: Mapping[str, bytes]) -> Acknowledged:
        if call.pid >= 0 or call.uid:
            raise fail(errno.EPERM, SUSPECT_KEY)
        if loc.gfid != ROOT_GFID or dict(values) != {SUSPECT_KEY: b"0"}:
            raise fail(errno.EINVAL, SUSPECT_KEY)
        self.brick.owner.trust()
        self.suspect = False
        return Acknowledged()

    def _set(self, call: Call, gfid: Gfid, at: Where, values: Mapping[str, bytes], flags: int) -> Acknowledged:
        """The brick's own bookkeeping (`trusted.gfid` and the like) is passed over in silence, as GlusterFS does."""
        wanted = {key: bytes(value) for key, value in values.items() if not is_bookkeeping(key)}
        check_xattrs(wanted)
        check_xattr_flags(flags)
        if call.uid:
            judging.set_xattrs(self.brick, call, at, wanted)
        self.brick.marks.set(gfid, at, wanted, flags)
        if call.uid and ACCESS in wanted:
            judging.after_acl(self.brick, call, at)
        return Acknowledged()

    @insisting
    def removexattr(self, call: Call, loc: Loc, name: str) -> Done[Acknowledged]:
        found = self._found(loc)
        return Done(self._remove(call, found.gfid, found.where, name))

    @insisting
    def fremovexattr(self, call: Call, fd: Fd, name: str) -> Done[Acknowledged]:
        gfid, at = self._object(fd)
        return Done(self._remove(call, gfid, at, name))

    def _remove(self, call: Call, gfid: Gfid, at: Where, name: str) -> Acknowledged:
        if is_bookkeeping(name):
            raise fail(errno.EPERM, name)
        check_xattr_name(name)
        if call.uid:
            judging.set_xattrs(self.brick, call, at, (name,))
        self.brick.marks.remove(gfid, at, name)
        return Acknowledged()

    # --- xattrop -----------------------------------------------------------------------------------------------------

    def xattrop(self, call: Call, loc: Loc, kind: XattropKind, values: Mapping[str, bytes]) -> Done[Xattrs]:
        return Done(self._xattrop(call, self._found(loc), kind, values))

    def fxattrop(self, call: Call, fd: Fd, kind: XattropKind, values: Mapping[str, bytes]) -> Done[Xattrs]:
        slot = fd.slots.get(self)
        if slot is None:
            found = self._still_open(fd.gfid) or self.brick.find(fd.gfid)
            return Done(self._xattrop(call, found, kind, values))
        joined = self._join(call, slot.gfid, slot.fd, kind, values)
        if not call.attributes and not call.xdata:
            return Done(Xattrs(joined))
        post = self._iatt_of(slot)
        return Done(self._told(call, joined, post, post, slot.fd))

    def _xattrop(self, call: Call, found: Found, kind: XattropKind, values: Mapping[str, bytes]) -> Xattrs:
        with self._reached(found) as at:
            return self._xattrop_at(at, call, found, kind, values)

    def _xattrop_at(
        self, at: Where, call: Call, found: Found, kind: XattropKind, values: Mapping[str, bytes]
    ) -> Xattrs:
        joined = self._join(call, found.gfid, at, kind, values)
        if not call.attributes and not call.xdata:
            return Xattrs(joined)
        st = self.disk.stat(found.name, dir_fd=found.dir_fd, follow_symlinks=False)
        return self._told(call, joined, found.iatt, Iatt(found.gfid, st, found.hidden), at)

    def _told(self, call: Call, joined: dict[str, bytes], pre: Iatt, post: Iatt, at: Where) -> Xattrs:
        answers = self._answers(call, post, at) if call.xdata else None
        return Xattrs(joined, pre, post, answers) if call.attributes else Xattrs(joined, xdata=answers)

    def _join(
        self, call: Call, gfid: Gfid, at: Where, kind: XattropKind, values: Mapping[str, bytes]
    ) -> dict[str, bytes]:
        """Read, join, write, with nothing in between. Nothing is written before every sum is known."""
        brick = self.brick
        if call.uid:
            judging.xattrop(brick, call, at, values)
        stored = brick.metadata.counters(gfid, at)
        others = {}
        for key in values:
            check_counter_name(key)
            if index_of(key) is None and (value := brick.metadata.get(gfid, at, key)) is not None:
                others[key] = value
        answer, wanted = join_all(kind, stored | others if others else stored, values)
        if wanted:
            check_xattrs(wanted)
            brick.marks.count(gfid, at, stored, wanted)
        return answer

    def _object(self, fd: Fd) -> tuple[Gfid, Where]:
        """What an fd stands for, and where its attributes can be reached."""
        slot = fd.slots.get(self)
        if slot is not None:
            return slot.gfid, slot.fd
        found = self._still_open(fd.gfid) or self.brick.find(fd.gfid)
        return found.gfid, found.where
