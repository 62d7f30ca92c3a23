"""Handles: the way from a gfid to its object, as GlusterFS lays it out below `.glusterfs`.

The handle of gfid `abcd...` is `ab/cd/<gfid as text>`: for a directory a symlink that names its parent's handle and
its own name, for anything else a hard link to the object.
"""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache

import attrs

from ....graph import ROOT_GFID, Gfid, fail
from ....graph.disk import Disk
from ..name_rules import check_name
from .places import READ_DIRECTORY, Place

NEW = b"volgraph.new"
"""What is being made stands here until it is whole; leftovers of a crash are removed at the next start."""
STAGED = b".handle"
"""So ends the name of a handle there."""

DIRECTORIES_MAX = 256
"""How many directories are kept open."""
NAMES_MAX = 8192
"""How many names of handles are remembered."""
DEPTH_MAX = 4096
"""How deep a directory may lie, as far as its handle is followed."""


@lru_cache(maxsize=NAMES_MAX)
def handle_name(gfid: Gfid) -> bytes:
    """Below `.glusterfs`. It consists of hexadecimal digits alone, whatever a peer sent."""
    h = gfid.hex()
    return f"{h[:2]}/{h[2:4]}/{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}".encode()


def _target(place: Place) -> bytes:
    parent, name = place
    return b"../../" + handle_name(parent) + b"/" + name


@attrs.define(eq=False)
class Handles:
    """The handles of one brick; `fd` is its `.glusterfs` directory."""

    disk: Disk
    fd: int
    _prepared: bytearray = attrs.field(factory=lambda: bytearray(1 << 16), init=False)
    """1 for each folder of handles that was made, or met; by the first two bytes of its gfids."""

    def stat(self, gfid: Gfid) -> os.stat_result | None:
        """Of the handle itself: for all but directories that is the object."""
        try:
            return self.disk.stat(handle_name(gfid), dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def place(self, gfid: Gfid) -> Place | None:
        """What the handle of a directory says: its parent and name. None where it is no such handle."""
        return self.place_in(handle_name(gfid))

    def place_in(self, path: bytes) -> Place | None:
        """What a handle says that stands, or is staged, there."""
        try:
            target = self.disk.readlink(path, dir_fd=self.fd)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):
                raise
            return None
        above, _, name = target.rpartition(b"/")
        try:
            parent = Gfid.from_text(above[-36:].decode())
            check_name(parent, name)
        except (ValueError, OSError):
            return None
        place = (parent, name)
        return place if _target(place) == target else None

    def prepare(self, gfid: Gfid) -> bytes:
        """The handle's name, its folders made if they were not there.

        GlusterFS makes all 256 outer ones when a brick starts; it does not mind that some are missing.
        """
        name = handle_name(gfid)
        with suppress(FileExistsError):
            try:
                self.disk.mkdir(name[:5], 0o700, dir_fd=self.fd)
            except FileNotFoundError:
                self.disk.mkdir(name[:2], 0o700, dir_fd=self.fd)
                self.disk.mkdir(name[:5], 0o700, dir_fd=self.fd)
        self._prepared[gfid[0] << 8 | gfid[1]] = 1
        return name

    def prepare_once(self, gfid: Gfid) -> bytes:
        """The same, but folders that were made, or met, before are not looked at again: they may be gone."""
        return handle_name(gfid) if self._prepared[gfid[0] << 8 | gfid[1]] else self.prepare(gfid)

    def link(self, gfid: Gfid, dir_fd: int, name: bytes) -> None:
        """Make the handle of an object that has a name. EEXIST; EPERM and others where links are refused."""
        handle = handle_name(gfid)
        try:
            self.disk.link(name, handle, src_dir_fd=dir_fd, dst_dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            self.prepare(gfid)
            self.disk.link(name, handle, src_dir_fd=dir_fd, dst_dir_fd=self.fd, follow_symlinks=False)

    def stage(self, gfid: Gfid, place: Place) -> bytes:
        """Make a directory's handle aside; `commit` puts it into force without a moment in which there is none."""
        self.prepare(gfid)
        staged = NEW + b"/" + gfid.text.encode() + STAGED
        with suppress(FileNotFoundError):
            self.disk.unlink(staged, dir_fd=self.fd)
        self.disk.symlink(_target(place), staged, dir_fd=self.fd)
        return staged

    def commit(self, gfid: Gfid, staged: bytes) -> None:
        self.disk.rename(staged, handle_name(gfid), src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def point(self, gfid: Gfid, place: Place) -> None:
        """Make, or set right, the handle of a directory."""
        name = self.prepare(gfid)
        try:
            self.disk.symlink(_target(place), name, dir_fd=self.fd)
        except FileExistsError:
            self.commit(gfid, self.stage(gfid, place))

    def remove(self, gfid: Gfid) -> None:
        with suppress(FileNotFoundError):
            self.disk.unlink(handle_name(gfid), dir_fd=self.fd)


@attrs.define(eq=False)
class Directories:
    """Open directories by gfid. The least recently used is closed beyond `DIRECTORIES_MAX`; the root stays open.

    One that may not be read is opened with O_PATH: enough to reach the names in it, whatever its mode.
    """

    disk: Disk
    root_fd: int
    _open: OrderedDict[Gfid, int] = attrs.field(factory=OrderedDict, init=False)
    _unreadable: set[int] = attrs.field(factory=set, init=False)

    def readable(self, fd: int) -> bool:
        """Can its extended attributes be reached by the descriptor? By a path they cost several times as much."""
        return fd not in self._unreadable

    def known(self, gfid: Gfid) -> int | None:
        """Its descriptor if it is open: good until the next but one directory is added."""
        fd = self._open.get(gfid)
        if fd is not None:
            self._open.move_to_end(gfid)
            return fd
        return self.root_fd if gfid == ROOT_GFID else None

    def add(self, gfid: Gfid, fd: int) -> None:
        self.drop(gfid)
        self._open[gfid] = fd
        if len(self._open) > DIRECTORIES_MAX:
            self.disk.close(self._open.popitem(last=False)[1])

    def drop(self, gfid: Gfid) -> None:
        fd = self._open.pop(gfid, None)
        if fd is not None:
            self.disk.close(fd)

    def close(self) -> None:
        while self._open:
            self.disk.close(self._open.popitem()[1])

    def enter(self, handles: Handles, gfid: Gfid) -> int:
        """Open a directory by its handle, name by name from the nearest open one above it. ESTALE.

        The caller closes the descriptor, or adds it here. Links are read here and not by the kernel, which gives up
        after 40 of them; and each name is opened without following it.
        """
        names: list[bytes] = []
        above = gfid
        while (start := self.known(above)) is None:
            place = handles.place(above)
            if place is None or len(names) == DEPTH_MAX:
                raise fail(errno.ESTALE, gfid.text)
            above, name = place
            names.append(name)
        fd = start
        try:
            for name in reversed(names):
                below = self._open_below(fd, name)
                if fd != start:
                    self.disk.close(fd)
                fd = below
        except OSError as error:
            if fd != start:
                self.disk.close(fd)
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise fail(errno.ESTALE, gfid.text) from error
            raise
        return fd

    def _open_below(self, above: int, name: bytes) -> int:
        try:
            fd = self.disk.open(name, READ_DIRECTORY, dir_fd=above)
        except PermissionError:
            fd = self.disk.open(name, READ_DIRECTORY | os.O_PATH, dir_fd=above)
            self._unreadable.add(fd)
        else:
            self._unreadable.discard(fd)
        return fd


def is_symlink_alone(st: os.stat_result) -> bool:
    """So looks the handle of a directory: a symlink that has no second name."""
    return mode_bits.S_ISLNK(st.st_mode) and st.st_nlink == 1
