"""The local file system as one side of a copy."""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress

import attrs

from .copy_attributes import NO_HOLES, PRIVATE, kept, leaving_out, mode_of, owner_of
from .copying import Identity
from .graph import Buffer


@attrs.define
class LocalReader:
    path: str
    fd: int
    size: int

    async def read(self, size: int, offset: int) -> Buffer:
        with naming(self.path):
            return os.pread(self.fd, size, offset)

    async def data_after(self, offset: int) -> tuple[int, int] | None:
        try:
            start = os.lseek(self.fd, offset, os.SEEK_DATA)
            return start, os.lseek(self.fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None
            if error.errno not in NO_HOLES:
                error.filename = self.path
                raise
        return (offset, self.size) if offset < self.size else None

    async def xattrs(self) -> Mapping[str, bytes]:
        return _xattrs(self.fd)


@attrs.define
class LocalWriter:
    path: str
    fd: int
    made: Identity | None
    _offset: int = 0

    async def write(self, data: Buffer, offset: int) -> None:
        """No pwrite: a device takes bytes in order only."""
        with naming(self.path):
            if offset != self._offset:
                os.lseek(self.fd, offset, os.SEEK_SET)
            view = memoryview(data)
            while view:
                view = view[os.write(self.fd, view) :]
            self._offset = offset + len(data)

    async def finish(self, st: os.stat_result, size: int | None, xattrs: Mapping[str, bytes]) -> None:
        if not mode_bits.S_ISREG(os.fstat(self.fd).st_mode):  # /dev/null keeps what it is
            return
        with naming(self.path):
            if size is not None:
                os.ftruncate(self.fd, size)
            owned = _chown(self.fd, st)
            for name, value in kept(xattrs).items():
                with leaving_out():
                    os.setxattr(self.fd, name, value)
            os.fchmod(self.fd, mode_of(st, owned))
            os.utime(self.fd, ns=(st.st_atime_ns, st.st_mtime_ns))


@attrs.define
class LocalTree:
    """As a target, nothing is written through a link that stands in the way: names come from a volume, and a volume
    may lie. As a source, nothing is read through one that was put there meanwhile; nor does a fifo make anybody wait.
    """

    def named(self, path: str) -> str:
        return path

    def bricks(self) -> frozenset[Identity]:
        return frozenset()

    async def stat(self, path: str, follow: bool) -> os.stat_result:
        return os.stat(path, follow_symlinks=follow)

    async def entries(self, path: str) -> list[tuple[str, os.stat_result]]:
        found = []
        with os.scandir(path) as listed:
            for entry in listed:
                with suppress(FileNotFoundError):  # it was removed meanwhile
                    found.append((entry.name, os.lstat(entry.path)))
        return found

    async def readlink(self, path: str) -> str:
        return os.readlink(path)

    async def xattrs(self, path: str, follow: bool) -> Mapping[str, bytes]:
        return _xattrs(path, follow)

    @asynccontextmanager
    async def reading(self, path: str, follow: bool) -> AsyncIterator[LocalReader]:
        with opened(path, os.O_RDONLY, follow) as fd:
            st = os.fstat(fd)
            if not mode_bits.S_ISREG(st.st_mode):
                raise OSError(errno.ESTALE, "Is no file any more", path)
            yield LocalReader(path, fd, st.st_size)

    @asynccontextmanager
    async def writing(self, path: str, follow: bool) -> AsyncIterator[LocalWriter]:
        with ExitStack() as stack:
            made: Identity | None = None
            try:
                fd = stack.enter_context(opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, follow))
                st = os.fstat(fd)
                made = (st.st_dev, st.st_ino)
            except FileExistsError:
                fd = stack.enter_context(opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, follow))
            yield LocalWriter(path, fd, made)

    async def mkdir(self, path: str) -> None:
        os.mkdir(path, 0o700)

    async def symlink(self, target: str, path: str) -> None:
        os.symlink(target, path)

    async def mknod(self, path: str, mode: int, device: int) -> None:
        os.mknod(path, mode, device)

    async def link(self, old: str, new: str) -> None:
        os.link(old, new, follow_symlinks=False)

    async def unlink(self, path: str) -> None:
        os.unlink(path)

    async def finish(self, path: str, st: os.stat_result, xattrs: Mapping[str, bytes]) -> None:
        follow = mode_bits.S_ISDIR(st.st_mode)
        owned = _chown(path, st, follow)
        for name, value in kept(xattrs).items():
            with leaving_out():
                os.setxattr(path, name, value, follow_symlinks=follow)
        if not mode_bits.S_ISLNK(st.st_mode):
            os.chmod(path, mode_of(st, owned))
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns), follow_symlinks=follow)


@contextmanager
def opened(path: str, flags: int, follow: bool) -> Iterator[int]:
    """A descriptor of a file; to open a fifo that nobody reads is ENXIO."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW), PRIVATE)
    try:
        os.set_blocking(fd, True)
        yield fd
    finally:
        os.close(fd)


def _chown(where: str | int, st: os.stat_result, follow: bool = True) -> bool:
    """Give it the owner that it is to have; False where it stays that of whoever makes it."""
    owner = owner_of(st)
    if owner is None:
        return False
    try:
        if isinstance(where, int):
            os.fchown(where, *owner)
        else:
            os.chown(where, *owner, follow_symlinks=follow)
    except PermissionError:  # a file system that knows no owners
        return False
    return True


def _xattrs(where: str | int, follow: bool = True) -> dict[str, bytes]:
    found = {}
    with leaving_out():
        for name in os.listxattr(where, follow_symlinks=follow):
            with suppress(OSError):  # gone meanwhile, or not for us
                found[name] = os.getxattr(where, name, follow_symlinks=follow)
    return found


@contextmanager
def naming(path: str) -> Iterator[None]:
    """A call on a descriptor fails without saying of which file."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise
