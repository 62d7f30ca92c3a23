"""Making an object: whole before its name is visible, so that a crash leaves either nothing or all of it.

Files, fifos, devices and symlinks are made as their own handle, get their owner, mode, gfid and attributes, and then
their name: a handle without a name is an object that does not exist. Directories are made aside and moved to their
place. Where only the kernel can hand something on from the parent (a default ACL, the group of a set-group-id
directory), or where the last step would be refused (hard links, or moving a read-only directory as an ordinary user),
the object is made at its name instead: a crash then leaves an empty one without a gfid, which the next lookup adopts.
"""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections.abc import Callable, Mapping
from contextlib import suppress

import attrs

from ....graph import Call, Gfid, Loc, fail
from ..heal_index import INDEXES
from ..name_rules import check_xattrs, requested_gfid, requested_xattrs
from .brick import Brick, new_name
from .doubt import attempted, is_at
from .handles import handle_name
from .places import Found, Where, where

Build = Callable[[int, bytes, int], int]
"""Makes the bare object at (directory descriptor, name, mode); an open descriptor of it, or -1."""


@attrs.define(eq=False)
class Making:
    """One object on its way into the brick."""

    brick: Brick
    call: Call
    loc: Loc
    parent_fd: int
    parent_st: os.stat_result
    kind: int
    mode: int
    build: Build
    looked: bool = False
    """The name was looked for already, and is not there."""
    gfid: Gfid = attrs.field(init=False)
    xattrs: Mapping[str, bytes] = attrs.field(init=False)
    descriptor: int = attrs.field(init=False, default=-1)
    _keeps_group: bool = attrs.field(init=False, default=False)
    _keeps_mode: bool = attrs.field(init=False, default=False)

    def run(self) -> Found:
        """Make it. EEXIST the name, or an object with that gfid, is there; EINVAL no gfid-req."""
        brick, loc = self.brick, self.loc
        self.gfid, self.xattrs = requested_gfid(self.call), requested_xattrs(self.call)
        check_xattrs(self.xattrs)
        if not self.looked:
            with suppress(FileNotFoundError):
                brick.disk.stat(loc.name, dir_fd=self.parent_fd, follow_symlinks=False)
                raise fail(errno.EEXIST, os.fsdecode(loc.name))
        self._keeps_group = bool(self.parent_st.st_mode & mode_bits.S_ISGID)
        self._keeps_mode = brick.inherits_acl(self.parent_fd)
        brick.unsettled.named(loc.parent, self.gfid)
        try:
            return self._make()
        except BaseException:
            if self.descriptor >= 0:
                brick.disk.close(self.descriptor)
                self.descriptor = -1
            raise

    def _make(self) -> Found:
        brick, loc = self.brick, self.loc
        if self._keeps_group or self._keeps_mode or not self._can_be_moved():
            self._check_gfid()
            self._make_in_place()
            return brick.at(loc.parent, self.parent_fd, loc.name)
        if self.kind == mode_bits.S_IFDIR:
            self._check_gfid()
            self._make_directory()
            st = brick.disk.stat(loc.name, dir_fd=self.parent_fd, follow_symlinks=False)
            return Found(self.gfid, self.parent_fd, loc.name, st)
        if not brick.gfid_seems_free(self.gfid):
            self._check_gfid()
        self._make_by_handle()
        st = self._look(brick.fd, handle_name(self.gfid))
        brick.learn(self.gfid, st)
        return Found(self.gfid, self.parent_fd, loc.name, st, hidden=1)

    def _check_gfid(self) -> None:
        """EEXIST."""
        if not self.brick.gfid_is_free(self.gfid):
            raise fail(errno.EEXIST, self.gfid.text)

    def _can_be_moved(self) -> bool:
        """An ordinary user may not move a directory that it may not write to."""
        if self.kind == mode_bits.S_IFDIR:
            return self.brick.privileged or bool(self.mode & mode_bits.S_IWUSR)
        return self.brick.links

    def _make_by_handle(self) -> None:
        brick = self.brick
        handle = brick.handles.prepare_once(self.gfid)
        try:
            self._build_apart(handle)
        except FileNotFoundError:
            brick.handles.prepare(self.gfid)
            self._build_apart(handle)
        except FileExistsError:
            self._check_gfid()
            self._build_apart(handle)
        try:
            st = self._dress(brick.fd, handle)
            failed = self._named(
                lambda: brick.disk.link(
                    handle, self.loc.name, src_dir_fd=brick.fd, dst_dir_fd=self.parent_fd, follow_symlinks=False
                ),
                st,
            )
        except BaseException:
            self._undo(lambda: brick.disk.unlink(handle, dir_fd=brick.fd))
            raise
        if failed is not None:
            raise failed

    def _make_directory(self) -> None:
        brick, loc = self.brick, self.loc
        fresh = new_name(self.gfid)
        self._build_apart(fresh)
        try:
            st = self._dress(brick.fd, fresh)
            brick.handles.point(self.gfid, (loc.parent, loc.name))
            failed = self._named(
                lambda: brick.disk.rename(fresh, loc.name, src_dir_fd=brick.fd, dst_dir_fd=self.parent_fd), st
            )
        except BaseException:
            self._undo(lambda: brick.disk.rmdir(fresh, dir_fd=brick.fd))
            brick.handles.remove(self.gfid)
            raise
        if failed is not None:
            raise failed

    def _named(self, call: Callable[[], None], st: os.stat_result) -> OSError | None:
        """Give it its name; an error all the same, where it has it and the disk says otherwise."""
        return attempted(call, lambda: is_at(self.brick.disk, self.parent_fd, self.loc.name, st))

    def _build_apart(self, name: bytes) -> None:
        """In a folder of the brick's own. What was made is taken away, although the disk says that it was not."""
        disk, fd = self.brick.disk, self.brick.fd
        try:
            self._build(fd, name)
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError:
            remove = disk.rmdir if self.kind == mode_bits.S_IFDIR else disk.unlink
            with suppress(OSError):
                remove(name, dir_fd=fd)
            raise

    def _make_in_place(self) -> None:
        """The handle follows when the finished object is looked at."""
        disk, name = self.brick.disk, self.loc.name
        self._build(self.parent_fd, name)
        try:
            self._dress(self.parent_fd, name)
        except BaseException:
            remove = disk.rmdir if self.kind == mode_bits.S_IFDIR else disk.unlink
            self._undo(lambda: remove(name, dir_fd=self.parent_fd))
            raise

    def _build(self, dir_fd: int, name: bytes) -> None:
        self.descriptor = self.build(dir_fd, name, self.mode)

    def _dress(self, dir_fd: int, name: bytes) -> os.stat_result:
        """Owner, mode, gfid and attributes. Answers what it was before its mode was set."""
        brick, call = self.brick, self.call
        st = self._look(dir_fd, name)
        if brick.privileged:
            gid = st.st_gid if self._keeps_group else call.gid
            if (st.st_uid, st.st_gid) != (call.uid, gid):
                brick.disk.chown(name, call.uid, gid, dir_fd=dir_fd, follow_symlinks=False)
                st = self._look(dir_fd, name)
        if self.kind != mode_bits.S_IFLNK and not self._keeps_mode:
            mode = self.mode | (st.st_mode & mode_bits.S_ISGID if self._keeps_group else 0)
            if mode_bits.S_IMODE(st.st_mode) != mode:
                brick.chmod(dir_fd, name, mode)
        at: Where = self.descriptor if self.descriptor >= 0 else where(dir_fd, name)
        brick.metadata.record(self.gfid, at, st, (self.loc.parent, self.loc.name), new=True)
        if self.xattrs:
            brick.marks.set(self.gfid, at, self.xattrs)
        return st

    def _look(self, dir_fd: int, name: bytes) -> os.stat_result:
        """At the object on its way."""
        if self.descriptor >= 0:
            return self.brick.disk.fstat(self.descriptor)
        return self.brick.disk.stat(name, dir_fd=dir_fd, follow_symlinks=False)

    def _undo(self, remove: Callable[[], None]) -> None:
        with suppress(OSError):
            remove()
        with suppress(OSError):
            self.brick.metadata.forget(self.gfid)
        with suppress(OSError):
            self.brick.index.drop(INDEXES, self.gfid)
