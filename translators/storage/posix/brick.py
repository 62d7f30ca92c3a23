"""`Brick`: an opened brick directory. It finds objects by name and by gfid, and keeps their handles true."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, suppress

import attrs

from ....graph import NULL_GFID, Gfid, fail
from ....graph.disk import Disk
from ..heal_index import INDEXES
from .disk_index import DiskIndex
from .handles import NEW, Directories, Handles, handle_name, is_symlink_alone
from .marks import Marks
from .metadata import InodeMetadata
from .owner import Owner
from .places import Found, itself, where
from .reserve import Reserve
from .settling import Unsettled

UNLINKED = b"unlink"
"""Files without a name that are still open stand here, by gfid."""
LANDFILL = b"landfill"
"""Directories on their way out, with all that is in them."""

INODES_MAX = 1 << 16
"""How many inodes' gfids are remembered."""
LEFT_MAX = 1 << 10
"""How many objects without a name are kept in mind that could not be let go. More are left on a disk that is sick."""

LINK_REFUSED = frozenset((errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV))
_NO_ACL = frozenset((errno.ENODATA, errno.EOPNOTSUPP))


@attrs.define(eq=False)
class Brick:
    """`fd` is the brick's `.glusterfs` directory. `links`: hard links work here, so handles are made first.

    `privileged`: objects are given to the caller; an ordinary user's brick has only that user's. `read_only`: why
    nothing in it can be changed, as far as that is so.
    """

    disk: Disk
    root_fd: int
    fd: int
    device: int
    owner: Owner
    metadata: InodeMetadata
    index: DiskIndex
    links: bool
    privileged: bool
    read_only: str = ""
    marks: Marks = attrs.field(init=False)
    reserve: Reserve = attrs.field(init=False)
    handles: Handles = attrs.field(init=False)
    directories: Directories = attrs.field(init=False)
    opens: dict[Gfid, int] = attrs.field(factory=dict, init=False)
    """How many open files each object has."""
    unlinked: set[Gfid] = attrs.field(factory=set, init=False)
    """Those of them that have no name left."""
    unsettled: Unsettled = attrs.field(factory=Unsettled, init=False)
    _left: dict[Gfid, Found] = attrs.field(factory=dict, init=False)
    """Objects without a name of which something is left that the disk did not let go."""
    _gfids: dict[int, Gfid] = attrs.field(factory=dict, init=False)
    """By inode number, which may since be another object's: believed only of the inode that the gfid's handle pins."""

    def __attrs_post_init__(self) -> None:
        self.marks = Marks(self.metadata, self.index)
        self.handles = Handles(self.disk, self.fd)
        self.directories = Directories(self.disk, self.root_fd)

    def close(self) -> None:
        """Give the directory back; descriptors that callers hold are theirs to close first."""
        with ExitStack() as last:  # whatever of it fails
            for close in (self.root_fd, self.fd):
                last.callback(self.disk.close, close)
            last.callback(self.owner.release)
            last.callback(self.metadata.close)
            last.callback(self.directories.close)
            last.callback(self._let_go)

    # --- from a gfid to the object -----------------------------------------------------------------------------------

    def find(self, gfid: Gfid) -> Found:
        """An object by gfid. ESTALE there is none; EINVAL the null gfid."""
        fd = self.directories.known(gfid)
        if fd is not None:
            st = self.disk.fstat(fd)
            if st.st_nlink:
                return Found(gfid, fd, itself(fd), st, readable=self.directories.readable(fd))
            self.directories.drop(gfid)  # removed behind our back
            raise fail(errno.ESTALE, gfid.text)
        handle = handle_name(gfid)
        try:
            st = self.disk.stat(handle, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return self._find_without_handle(gfid)
        if st.st_nlink > 1:
            return Found(gfid, self.fd, handle, st, 1)
        if not is_symlink_alone(st):
            raise fail(errno.ESTALE, gfid.text)  # its last name was removed: only the handle is left
        fd = self.directory(gfid)
        return Found(gfid, fd, itself(fd), self.disk.fstat(fd), readable=self.directories.readable(fd))

    def _find_without_handle(self, gfid: Gfid) -> Found:
        if gfid == NULL_GFID:
            raise fail(errno.EINVAL, "the null gfid")
        for parent, name in self.metadata.places_of(gfid):
            if parent != gfid:
                try:
                    found = self.at(parent, self.directory(parent), name)
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.ESTALE):
                        raise
                    continue
                if found.gfid == gfid:
                    return found
        raise fail(errno.ESTALE, gfid.text)

    def directory(self, gfid: Gfid) -> int:
        """An open descriptor of a directory, to be used at once and not closed. ESTALE; ENOTDIR; EINVAL the null
        gfid."""
        fd = self.directories.known(gfid)
        return self._enter(gfid) if fd is None else fd

    def _enter(self, gfid: Gfid) -> int:
        if gfid == NULL_GFID:
            raise fail(errno.EINVAL, "the null gfid")
        place = self.handles.place(gfid)
        if place is None:
            handle = self.handles.stat(gfid)
            raise fail(errno.ENOTDIR if handle is not None and handle.st_nlink > 1 else errno.ESTALE, gfid.text)
        fd = self.directories.enter(self.handles, gfid)
        try:
            st = self.disk.fstat(fd)
            if st.st_dev != self.device:
                raise fail(errno.EXDEV, gfid.text)
            if self.metadata.claim(itself(fd), st, place) != (gfid, True):
                raise fail(errno.ESTALE, gfid.text)
        except BaseException:
            self.disk.close(fd)
            raise
        self.directories.add(gfid, fd)
        return fd

    # --- from a name to the object -----------------------------------------------------------------------------------

    def at(self, parent: Gfid, dir_fd: int, name: bytes) -> Found:
        """The object at a name, its handle set right if it was not. ENOENT; EXDEV another file system begins there."""
        st = self.disk.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if st.st_dev != self.device:
            raise fail(errno.EXDEV, os.fsdecode(name))
        known = self._gfids.get(st.st_ino)
        if known is not None:
            handle = self.handles.stat(known)
            if handle is not None and handle.st_ino == st.st_ino:
                return Found(known, dir_fd, name, st, 1)
            del self._gfids[st.st_ino]
        claim = self.metadata.claim(where(dir_fd, name), st, (parent, name))
        found = Found(NULL_GFID, dir_fd, name, st)
        if claim is None:
            return found
        gfid, holds = claim
        if found.is_dir:
            if holds and self._directory_handle_settled(gfid, found, parent):
                found.gfid = gfid
            return found
        handle = self.handles.stat(gfid)
        if handle is not None and handle.st_ino == st.st_ino:
            found.gfid, found.hidden = gfid, 1
            self.learn(gfid, st)
        elif holds and (handle is None or not self._alive(gfid, handle)):
            if handle is not None:
                self.handles.remove(gfid)
            self._give_handle(gfid, found)
            self._handle_made(parent, gfid, found)
        elif handle is None and self._has_name_elsewhere(gfid, st):
            found.gfid = gfid
        return found

    def learn(self, gfid: Gfid, st: os.stat_result) -> None:
        """Remember whose inode this is; its handle pins it."""
        if len(self._gfids) >= INODES_MAX:
            self._gfids.clear()
        self._gfids[st.st_ino] = gfid

    def look(self, parent: Gfid, dir_fd: int, name: bytes) -> Found | None:
        """The object at a name, None where there is none."""
        try:
            return self.at(parent, dir_fd, name)
        except FileNotFoundError:
            return None

    def _has_name_elsewhere(self, gfid: Gfid, st: os.stat_result) -> bool:
        """The sidecar knows one name of an object without a handle; this may be another one."""
        for parent, name in self.metadata.places_of(gfid):
            with suppress(OSError):
                other = self.disk.stat(name, dir_fd=self.directory(parent), follow_symlinks=False)
                if (other.st_ino, other.st_dev) == (st.st_ino, st.st_dev):
                    return True
        return False

    def _alive(self, gfid: Gfid, handle: os.stat_result) -> bool:
        """Another object owns the gfid: the one at hand is a copy of it, made together with its attributes."""
        return gfid in self.opens or handle.st_nlink > 1 or is_symlink_alone(handle)

    def _directory_handle_settled(self, gfid: Gfid, found: Found, parent: Gfid) -> bool:
        """Make the handle name this place; False where the gfid belongs to another directory that is alive."""
        place = (parent, found.name)
        if self.handles.place(gfid) == place:
            return True
        known: os.stat_result | None = None
        with suppress(OSError):
            known = self.disk.fstat(self.directory(gfid))
        if known is not None and known.st_nlink and known.st_ino != found.st.st_ino:
            return False
        if known is not None and not known.st_nlink:
            self.directories.drop(gfid)
        self.handles.point(gfid, place)
        self._handle_made(parent, gfid, found)
        self.metadata.after_rename(attrs.evolve(found, gfid=gfid), found.where, place, place)
        return True

    def _give_handle(self, gfid: Gfid, found: Found) -> None:
        """Link an object's handle to it; where that is refused, the sidecar knows the place."""
        try:
            self.handles.link(gfid, found.dir_fd, found.name)
        except OSError as error:
            if error.errno not in LINK_REFUSED or not self.metadata.apart:
                raise
            found.gfid = gfid
            return
        found.gfid, found.hidden = gfid, 1
        found.st = self.disk.stat(found.name, dir_fd=found.dir_fd, follow_symlinks=False)

    def _handle_made(self, parent: Gfid, gfid: Gfid, found: Found) -> None:
        """An object can be found by its gfid again; as long as it could not, a healer took it for gone."""
        self.unsettled.named(parent, gfid)
        self.marks.relist(gfid, found.where)

    def adopt(self, found: Found, parent: Gfid, gfid: Gfid) -> bool:
        """Give an object found without a gfid the one asked for; False where another object bears it."""
        if not self.gfid_is_free(gfid):
            return False
        place = (parent, found.name)
        self.metadata.record(gfid, found.where, found.st, place)
        self.unsettled.named(parent, gfid)
        if found.is_dir:
            self.handles.point(gfid, place)
            found.gfid = gfid
        else:
            self._give_handle(gfid, found)
        return True

    def gfid_is_free(self, gfid: Gfid) -> bool:
        """Whether no object bears it. What a crash left of one that did, a handle or a row, is removed."""
        if self._left:
            self._let_go()
        if self.handles.stat(gfid) is None and not self.metadata.places_of(gfid):
            self._left.pop(gfid, None)
            return gfid not in self.unlinked
        try:
            self.find(gfid)
        except OSError as error:
            if error.errno != errno.ESTALE or gfid in self.opens:
                raise
            self.disown(gfid)
            return True
        return False

    def gfid_seems_free(self, gfid: Gfid) -> bool:
        """The same without a look at the handle: whoever makes one finds out whether it is there."""
        return gfid not in self.unlinked and not self._left and not self.metadata.places_of(gfid)

    # --- objects that go ---------------------------------------------------------------------------------------------

    def bury(self, found: Found) -> None:
        """The last name of an object is gone: let the rest go too, or later, if it is open.

        There is no way back, so what a sick disk does not let go is kept in mind, and let go with the next.
        """
        if found.gfid == NULL_GFID:
            return
        if self._left:
            self._let_go()
        try:
            self._bury(found.gfid, found)
        except OSError:
            if len(self._left) < LEFT_MAX:
                self._left[found.gfid] = found

    def _let_go(self) -> None:
        for gfid, found in list(self._left.items()):
            with suppress(OSError):
                self._bury(gfid, found)
                del self._left[gfid]

    def _bury(self, gfid: Gfid, found: Found) -> None:
        self.index.drop(INDEXES, gfid)
        if found.is_dir:
            self.directories.drop(gfid)
            self.handles.remove(gfid)
            self.metadata.forget(gfid)
        elif gfid in self.opens:
            self.unlinked.add(gfid)
            if found.hidden:
                self.disk.rename(handle_name(gfid), unlinked_name(gfid), src_dir_fd=self.fd, dst_dir_fd=self.fd)
        else:
            if found.hidden:
                self.handles.remove(gfid)
            self.metadata.forget(gfid)

    def disown(self, gfid: Gfid) -> None:
        """Remove what a crash has left of an object that is not there any more."""
        self._left.pop(gfid, None)
        self.index.drop(INDEXES, gfid)
        self.directories.drop(gfid)
        self.handles.remove(gfid)
        self.metadata.forget(gfid)

    def opened(self, gfid: Gfid) -> None:
        self.opens[gfid] = self.opens.get(gfid, 0) + 1

    def closed(self, gfid: Gfid) -> None:
        left = self.opens[gfid] - 1
        if left:
            self.opens[gfid] = left
            return
        del self.opens[gfid]
        if gfid in self.unlinked:
            self.unlinked.remove(gfid)
            self.metadata.forget(gfid)  # first: as long as the file is there, the next start does all of it
            with suppress(FileNotFoundError):
                self.disk.unlink(unlinked_name(gfid), dir_fd=self.fd)

    # --- attributes --------------------------------------------------------------------------------------------------

    def chmod(self, dir_fd: int, name: bytes, mode: int) -> None:
        """Never through a symlink: what is changed is what was opened."""
        fd = self.disk.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=dir_fd)
        try:
            self.disk.chmod(b"/proc/self/fd/%d" % fd, mode)
        finally:
            self.disk.close(fd)

    def inherits_acl(self, dir_fd: int) -> bool:
        """Whether new objects in a directory take an ACL from it: only the kernel can hand that on."""
        at = dir_fd if self.directories.readable(dir_fd) else itself(dir_fd)
        try:
            self.disk.getxattr(at, "system.posix_acl_default")
        except OSError as error:
            if error.errno not in _NO_ACL:
                raise
            return False
        return True


def unlinked_name(gfid: Gfid) -> bytes:
    return UNLINKED + b"/" + gfid.text.encode()


def new_name(gfid: Gfid) -> bytes:
    """Where a directory is made before it has its place."""
    return NEW + b"/" + gfid.text.encode()
