"""How a brick directory is opened: its owner, its format, and what a crash has left in it."""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections.abc import Callable
from contextlib import ExitStack, suppress

from ....graph import ROOT_GFID, Gfid, fail
from ....graph.disk import Disk
from ..name_rules import RESERVED_IN_ROOT, VOLUME_ID_KEY
from . import sidecar
from .brick import LANDFILL, LINK_REFUSED, UNLINKED, Brick
from .disk_index import DiskIndex
from .granting import take_back
from .handles import NEW, STAGED, Handles, handle_name
from .landfill import purge
from .metadata import GFID_KEY, InodeMetadata, trusted_allowed
from .owner import Owner
from .places import itself, where
from .reading_only import ReadOnlyDisk

MODE_FILE = b"volgraph.metadata"
"""Says where the brick keeps its metadata: `xattr` or `sidecar`."""

CONVERT = (
    "to convert it, make an empty directory a brick with the metadata you want and copy the files into it through the"
    " volume (in a mirror: put it in the place of this brick, and heal)"
)


def open_brick(
    disk: Disk,
    directory: str,
    metadata: str,
    volume_id: str | None,
    new_gfid: Callable[[], Gfid],
    or_read: bool = False,
) -> Brick:
    """Open, and on first use make, a brick; with `or_read` also one that cannot be written, as it stands.

    FileNotFoundError; NotADirectoryError; EBUSY in use; EINVAL its metadata are kept in another way than `metadata`
    (auto, xattr, sidecar) asks, or cannot be kept so here, or it belongs to another volume than `volume_id`; ENODATA it
    belongs to none; EROFS."""
    try:
        return _open(disk, directory, metadata, volume_id, new_gfid)
    except OSError as error:
        if not or_read or error.errno not in (errno.EROFS, errno.EACCES):
            raise
        refused = error
    try:
        brick = _open_to_read(ReadOnlyDisk(disk), directory, metadata, volume_id, new_gfid)
    except PermissionError:
        raise refused from None
    brick.read_only = str(refused.strerror)
    return brick


def _open(disk: Disk, directory: str, metadata: str, volume_id: str | None, new_gfid: Callable[[], Gfid]) -> Brick:
    with ExitStack() as undo:
        root_fd = _root(disk, directory, volume_id, undo)
        with suppress(FileExistsError):
            disk.mkdir(RESERVED_IN_ROOT, 0o700, dir_fd=root_fd)
        fd = _inside(disk, root_fd, undo)
        owner = Owner.take(disk, fd, directory)
        undo.callback(owner.abandon)
        mode = _metadata_mode(disk, directory, root_fd, fd, metadata)
        _make_folders(disk, fd)
        store = _store(disk, directory, mode)
        undo.callback(store.close)
        index = DiskIndex(disk, fd, new_gfid)
        brick = _assembled(disk, root_fd, fd, owner, store, index, links=_links_work(disk, fd))
        if mode == "xattr":
            _mark_root(brick, directory)
        owner.begin()
        _mend(brick)
        undo.pop_all()
        return brick


def _open_to_read(
    disk: Disk, directory: str, metadata: str, volume_id: str | None, new_gfid: Callable[[], Gfid]
) -> Brick:
    """What is mended, or made, when a brick is opened stays as it is."""
    with ExitStack() as undo:
        root_fd = _root(disk, directory, volume_id, undo)
        try:
            fd = _inside(disk, root_fd, undo)
        except FileNotFoundError:
            raise _never_a_brick(directory) from None
        owner = Owner.beside(disk, fd, directory)
        undo.callback(owner.abandon)
        mode = _recorded_mode(disk, root_fd, fd)
        if not mode:
            raise _never_a_brick(directory)
        _check_mode(directory, mode, metadata)
        if mode == "xattr" and InodeMetadata(disk).get(ROOT_GFID, itself(root_fd), GFID_KEY) is None:
            raise _not_for_us(directory) if os.geteuid() else _never_a_brick(directory)
        try:
            store = _store(disk, directory, mode, read_only=True)
        except FileNotFoundError:
            raise _never_a_brick(directory) from None
        undo.callback(store.close)
        brick = _assembled(disk, root_fd, fd, owner, store, DiskIndex(disk, fd, new_gfid, read_only=True), links=True)
        undo.pop_all()
        return brick


def _assembled(
    disk: Disk, root_fd: int, fd: int, owner: Owner, metadata: InodeMetadata, index: DiskIndex, links: bool
) -> Brick:
    device, privileged = disk.fstat(root_fd).st_dev, os.geteuid() == 0
    return Brick(disk, root_fd, fd, device, owner, metadata, index, links, privileged)


def _root(disk: Disk, directory: str, volume_id: str | None, undo: ExitStack) -> int:
    """The directory, open, and that of the volume it is meant to be."""
    root_fd = disk.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    undo.callback(disk.close, root_fd)
    if volume_id is not None:
        _check_volume(disk, directory, root_fd, volume_id)
    return root_fd


def _inside(disk: Disk, root_fd: int, undo: ExitStack) -> int:
    """What is the brick's own in it, open."""
    fd = disk.open(RESERVED_IN_ROOT, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root_fd)
    undo.callback(disk.close, fd)
    return fd


def _never_a_brick(directory: str) -> OSError:
    return fail(
        errno.EROFS,
        f"brick {directory}: it cannot be written, and has not been a brick before: open it once where it can be",
    )


def _check_volume(disk: Disk, directory: str, root_fd: int, wanted: str) -> None:
    """Before anything is made: this may be the empty mount point of a disk that is not there."""
    found = InodeMetadata(disk).get(ROOT_GFID, itself(root_fd), VOLUME_ID_KEY)
    if found is None:
        raise fail(
            errno.ENODATA,
            f"option volume-id is given, but the directory has no {VOLUME_ID_KEY} that this process can read. Is its"
            f" disk mounted? To make it a brick of that volume, as root: setfattr -n {VOLUME_ID_KEY}"
            f" -v 0x{wanted.replace('-', '')} {directory}",
        )
    if found.hex() != wanted.replace("-", ""):
        text = Gfid(found).text if len(found) == 16 else found.hex()
        raise fail(errno.EINVAL, f"brick {directory} belongs to volume {text}, not to {wanted} (option volume-id)")


def _store(disk: Disk, directory: str, mode: str, read_only: bool = False) -> InodeMetadata:
    if mode == "xattr":
        return InodeMetadata(disk)
    return sidecar.SidecarMetadata(disk, f"{directory}/{RESERVED_IN_ROOT.decode()}/{sidecar.FILE_NAME}", read_only)


# --- which metadata ---------------------------------------------------------------------------------------------------


def _metadata_mode(disk: Disk, directory: str, root_fd: int, fd: int, wanted: str) -> str:
    """How this brick keeps its metadata: as it always has; on first use as asked, `auto` by what works here."""
    recorded = _recorded_mode(disk, root_fd, fd)
    _check_mode(directory, recorded, wanted)
    allowed = trusted_allowed(disk, itself(fd))
    if recorded == "xattr" and not allowed:
        raise _not_for_us(directory)
    if wanted == "xattr" and not allowed:
        raise fail(
            errno.EINVAL,
            f"brick {directory}: trusted.* attributes are refused here: run as root on a file system that has them, or"
            " leave 'metadata' at auto",
        )
    mode = recorded or (wanted if wanted != "auto" else "xattr" if allowed else "sidecar")
    _record_mode(disk, fd, mode)
    return mode


def _check_mode(directory: str, recorded: str, wanted: str) -> None:
    if recorded and wanted not in ("auto", recorded):
        raise fail(errno.EINVAL, f"brick {directory} keeps its metadata as '{recorded}', not as '{wanted}': {CONVERT}")


def _not_for_us(directory: str) -> OSError:
    return fail(
        errno.EINVAL,
        f"brick {directory} keeps its metadata in trusted.* attributes, which this process may not use: run as root, or"
        f" {CONVERT}",
    )


def _recorded_mode(disk: Disk, root_fd: int, fd: int) -> str:
    """What the brick says, "" where it is new. A brick that GlusterFS made says nothing, and is `xattr`."""
    try:
        file = disk.open(MODE_FILE, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
    except FileNotFoundError:
        handle = handle_name(ROOT_GFID)
        with suppress(FileNotFoundError):
            disk.stat(handle, dir_fd=fd, follow_symlinks=False)
            return "xattr"
        known = InodeMetadata(disk).get(ROOT_GFID, itself(root_fd), GFID_KEY)
        return "" if known is None else "xattr"
    try:
        mode = disk.pread(file, 16, 0).decode(errors="replace").strip()
    finally:
        disk.close(file)
    if mode not in ("xattr", "sidecar"):
        raise fail(errno.EINVAL, f".glusterfs/{MODE_FILE.decode()} says '{mode}', not xattr or sidecar")
    return mode


def _record_mode(disk: Disk, fd: int, mode: str) -> None:
    with suppress(FileNotFoundError):
        disk.stat(MODE_FILE, dir_fd=fd, follow_symlinks=False)
        return
    fresh = MODE_FILE + b".new"
    file = disk.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=fd)
    try:
        disk.pwrite(file, f"{mode}\n".encode(), 0)
        disk.fsync(file)
    finally:
        disk.close(file)
    disk.rename(fresh, MODE_FILE, src_dir_fd=fd, dst_dir_fd=fd)
    disk.fsync(fd)


# --- what stands in it ------------------------------------------------------------------------------------------------


def _make_folders(disk: Disk, fd: int) -> None:
    for name in (UNLINKED, LANDFILL, NEW):
        with suppress(FileExistsError):
            disk.mkdir(name, 0o700, dir_fd=fd)
    root = Handles(disk, fd).prepare(ROOT_GFID)
    with suppress(FileExistsError):
        disk.symlink(b"../../..", root, dir_fd=fd)


def _links_work(disk: Disk, fd: int) -> bool:
    """Some file systems refuse hard links to everyone: tried on a file of our own."""
    probe, second = NEW + b"/probe", NEW + b"/probe.link"
    for name in (probe, second):
        with suppress(FileNotFoundError):
            disk.unlink(name, dir_fd=fd)
    disk.close(disk.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600, dir_fd=fd))
    try:
        disk.link(probe, second, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
        disk.unlink(second, dir_fd=fd)
        return True
    except OSError as error:
        if error.errno not in LINK_REFUSED:
            raise
        return False
    finally:
        disk.unlink(probe, dir_fd=fd)


def _mark_root(brick: Brick, directory: str) -> None:
    """The root's gfid is fixed; a directory with another one lies inside a brick, and is none itself."""
    at = itself(brick.root_fd)
    known = brick.metadata.get(ROOT_GFID, at, GFID_KEY)
    if known is None:
        brick.metadata.set(ROOT_GFID, at, GFID_KEY, ROOT_GFID)
    elif known != ROOT_GFID:
        raise fail(errno.EINVAL, f"{directory} is a directory inside another brick: its gfid is not the root's")
    if not brick.links:
        raise fail(errno.EINVAL, f"brick {directory}: this file system refuses hard links; set metadata to sidecar")


def _mend(brick: Brick) -> None:
    """Set right what a crash left: modes that were lent, files open without a name, objects half made or half moved.
    What lies among the handles is for the sweep (sweeping.py)."""
    for gfid in brick.metadata.lent():
        take_back(brick, gfid)
    _empty(brick, UNLINKED, _settle_unlinked)
    _empty(brick, NEW, _settle_new)
    purge(brick)


def _empty(brick: Brick, folder: bytes, settle: Callable[[Brick, bytes, os.stat_result], None]) -> None:
    fd = brick.disk.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=brick.fd)
    try:
        for name in map(os.fsencode, brick.disk.listdir(fd)):
            settle(brick, folder + b"/" + name, brick.disk.stat(name, dir_fd=fd, follow_symlinks=False))
    finally:
        brick.disk.close(fd)


def _settle_unlinked(brick: Brick, path: bytes, st: os.stat_result) -> None:
    """A file that was open and had no name left is gone now. If the disk has kept a name, it gets its handle back."""
    gfid = _gfid_at_end(path)
    if gfid is not None and st.st_nlink > 1 and brick.handles.stat(gfid) is None:
        brick.disk.rename(path, brick.handles.prepare(gfid), src_dir_fd=brick.fd, dst_dir_fd=brick.fd)
        return
    brick.disk.unlink(path, dir_fd=brick.fd)
    if gfid is not None and st.st_nlink == 1:
        brick.metadata.forget(gfid)


def _settle_new(brick: Brick, path: bytes, st: os.stat_result) -> None:
    """What was not finished is taken away, but for the handle of a directory that has already moved."""
    if mode_bits.S_ISDIR(st.st_mode):
        grave = LANDFILL + b"/" + path.rpartition(b"/")[2]
        brick.disk.rename(path, grave, src_dir_fd=brick.fd, dst_dir_fd=brick.fd)
        gfid = _gfid_at_end(path)
        if gfid is not None:
            brick.disown(gfid)
        return
    moved = _gfid_at_end(path.removesuffix(STAGED))
    if path.endswith(STAGED) and moved is not None and _has_moved(brick, moved, path):
        brick.handles.commit(moved, path)
        return
    brick.disk.unlink(path, dir_fd=brick.fd)


def _has_moved(brick: Brick, gfid: Gfid, staged: bytes) -> bool:
    """Whether a directory stands where its staged handle says."""
    place = brick.handles.place_in(staged)
    if place is None:
        return False
    try:
        parent_fd, name = brick.directory(place[0]), place[1]
        st = brick.disk.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.ESTALE, errno.ENOENT):
            raise
        return False
    return mode_bits.S_ISDIR(st.st_mode) and brick.metadata.claim(where(parent_fd, name), st, place) == (gfid, True)


def _gfid_at_end(path: bytes) -> Gfid | None:
    with suppress(ValueError):
        return Gfid.from_text(path.rpartition(b"/")[2].decode())
    return None
