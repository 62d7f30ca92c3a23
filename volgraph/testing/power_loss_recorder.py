"""A `Disk` that writes down what each system call of a brick changes. Reads go straight through."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..graph.disk import Disk
from .power_loss_model import ROOT, Born, Image, Log, Snapshot

WAL = "-wal"


class RecordingDisk(Disk):
    """Every change of the directory goes to `log`. `objects` says which inode is which object of the log.

    `refused` names calls that fail, each with an error: a disk that says no in the middle of a fop.
    """

    def __init__(self, log: Log, objects: dict[int, int], boot: str) -> None:
        self.log = log
        self.objects = objects
        self.refused: dict[str, OSError] = {}
        self._boot = boot
        self._logs_of_databases: set[int] = set()

    def boot_id(self) -> str:
        return self._boot

    # --- names -------------------------------------------------------------------------------------------------------

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if not flags & (os.O_CREAT | os.O_TRUNC):
            fd = os.open(path, flags, mode, dir_fd=dir_fd)
            if os.fsencode(path).endswith(WAL.encode()):
                self._logs_of_databases.add(fd)
            return fd
        with self._change("open"):
            new = flags & os.O_EXCL or not _there(path, dir_fd)
            fd = os.open(path, flags, mode, dir_fd=dir_fd)
            if new:
                self._made(path, dir_fd)
            elif flags & os.O_TRUNC:
                self.log.add({("size", self._of(fd)): 0})
            return fd

    def close(self, fd: int) -> None:
        self._logs_of_databases.discard(fd)
        os.close(fd)

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        with self._change("mkdir"):
            os.mkdir(path, mode, dir_fd=dir_fd)
            self._made(path, dir_fd)

    def mknod(self, path: Any, mode: int = 0o600, device: int = 0, *, dir_fd: int | None = None) -> None:
        with self._change("mknod"):
            os.mknod(path, mode, device, dir_fd=dir_fd)
            self._made(path, dir_fd)

    def symlink(self, src: Any, dst: Any, target_is_directory: bool = False, *, dir_fd: int | None = None) -> None:
        with self._change("symlink"):
            os.symlink(src, dst, dir_fd=dir_fd)
            self._made(dst, dir_fd, os.fsencode(src))

    def link(
        self,
        src: Any,
        dst: Any,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        with self._change("link"):
            os.link(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)
            self.log.add({self._name(dst, dst_dir_fd): self._at(dst, dst_dir_fd)})

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        with self._change("unlink"):
            os.unlink(path, dir_fd=dir_fd)
            self.log.add({self._name(path, dir_fd): None})

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        with self._change("rmdir"):
            os.rmdir(path, dir_fd=dir_fd)
            self.log.add({self._name(path, dir_fd): None})

    def rename(self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        with self._change("rename"):
            moved = self._at(src, src_dir_fd)
            same = _there(dst, dst_dir_fd) and self._at(dst, dst_dir_fd) == moved
            os.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            if not same:  # two names of one file: rename(2) does nothing
                self.log.add({self._name(src, src_dir_fd): None, self._name(dst, dst_dir_fd): moved})

    # --- contents ----------------------------------------------------------------------------------------------------

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        with self._change("pwrite"):
            before = os.fstat(fd).st_size
            count = os.pwrite(fd, data, offset)
            size = os.fstat(fd).st_size
            at = before if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND else offset
            thing = self._of(fd)
            if size != before:
                self.log.add({("size", thing): size})
            self.log.add({("data", thing, at): bytes(data)[:count]})
            return count

    def ftruncate(self, fd: int, length: int) -> None:
        with self._change("ftruncate"):
            os.ftruncate(fd, length)
            self.log.add({("size", self._of(fd)): length})

    def fallocate(self, fd: int, mode: int, offset: int, length: int) -> None:
        with self._change("fallocate"):
            super().fallocate(fd, mode, offset, length)
            self._rewritten(fd)

    def copy_file_range(
        self, src: int, dst: int, count: int, offset_src: int | None = None, offset_dst: int | None = None
    ) -> int:
        with self._change("copy_file_range"):
            copied = os.copy_file_range(src, dst, count, offset_src, offset_dst)
            self._rewritten(dst)
            return copied

    def _rewritten(self, fd: int) -> None:
        """Whatever changed in a file is one write of all of it."""
        thing, size = self._of(fd), os.fstat(fd).st_size
        self.log.add({("size", thing): size})
        with open(f"/proc/self/fd/{fd}", "rb") as file:
            self.log.add({("data", thing, 0): file.read()})

    # --- attributes --------------------------------------------------------------------------------------------------

    def chmod(self, path: Any, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
        with self._change("chmod"):
            os.chmod(path, mode, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
            self._attributes(os.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks))

    def fchmod(self, fd: int, mode: int) -> None:
        with self._change("fchmod"):
            os.fchmod(fd, mode)
            self._attributes(os.fstat(fd))

    def chown(self, path: Any, uid: int, gid: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
        with self._change("chown"):
            os.chown(path, uid, gid, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
            self._attributes(os.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks))

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        with self._change("fchown"):
            os.fchown(fd, uid, gid)
            self._attributes(os.fstat(fd))

    def _attributes(self, st: os.stat_result) -> None:
        thing = self.objects[st.st_ino]
        self.log.add({("attribute", thing, "mode"): st.st_mode})
        self.log.add({("attribute", thing, "owner"): (st.st_uid, st.st_gid)})

    def setxattr(self, at: Any, key: Any, value: Any, flags: int = 0, *, follow_symlinks: bool = True) -> None:
        with self._change("setxattr"):
            os.setxattr(at, key, value, flags, follow_symlinks=follow_symlinks)
            self._xattr(at, key, bytes(value), follow_symlinks)

    def removexattr(self, at: Any, key: Any, *, follow_symlinks: bool = True) -> None:
        with self._change("removexattr"):
            os.removexattr(at, key, follow_symlinks=follow_symlinks)
            self._xattr(at, key, None, follow_symlinks)

    def _xattr(self, at: Any, key: str, value: bytes | None, follow: bool) -> None:
        st = os.fstat(at) if isinstance(at, int) else os.stat(at, follow_symlinks=follow)
        self.log.add({("attribute", self.objects[st.st_ino], os.fsdecode(key)): value})

    # --- to the disk -------------------------------------------------------------------------------------------------

    def fsync(self, fd: Any) -> None:
        self._sync(fd, "fsync")

    def fdatasync(self, fd: Any) -> None:
        self._sync(fd, "fdatasync")

    def _sync(self, fd: int, call: str) -> None:
        with self._change(call):
            if fd in self._logs_of_databases:
                self.log.sync_database()
            else:
                self.log.sync(self._of(fd), data_only=call == "fdatasync")

    def syncfs(self, fd: int) -> None:
        with self._change("syncfs"):
            self.log.sync_all()

    def database(self, path: str) -> sqlite3.Connection:
        def committed(data: bytes) -> None:
            with self._change("commit"):
                self.log.add({("database",): Snapshot(data, self.objects)})

        connection = sqlite3.connect(path, isolation_level=None, factory=_Watched)
        connection.committed = committed
        return connection

    # --- which object ------------------------------------------------------------------------------------------------

    @contextmanager
    def _change(self, call: str) -> Iterator[None]:
        error = self.refused.pop(call, None)
        if error is not None:
            raise error
        self.log.begin()
        yield

    def _of(self, fd: int) -> int:
        return self.objects[os.fstat(fd).st_ino]

    def _at(self, path: Any, dir_fd: int | None) -> int:
        return self.objects[os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_ino]

    def _name(self, path: Any, dir_fd: int | None) -> tuple[str, int, bytes]:
        above, _, name = os.fsencode(path).rpartition(b"/")
        st = os.stat(above, dir_fd=dir_fd) if above else os.fstat(dir_fd)  # type: ignore[arg-type]
        return "name", self.objects[st.st_ino], name

    def _made(self, path: Any, dir_fd: int | None, target: bytes = b"") -> None:
        st = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
        thing = self.log.born(Born(st.st_mode, (st.st_uid, st.st_gid), target, st.st_rdev))
        self.objects[st.st_ino] = thing
        self.log.add({self._name(path, dir_fd): thing})


class _Watched(sqlite3.Connection):
    """Tells of each commit, with the whole database as it is then."""

    committed: Callable[[bytes], None]
    _seen = 0

    def execute(self, *args: Any) -> sqlite3.Cursor:
        answer = super().execute(*args)
        if self.total_changes != self._seen and not self.in_transaction:
            self._tell()
        return answer

    def executescript(self, script: str) -> sqlite3.Cursor:
        answer = super().executescript(script)
        self._tell()
        return answer

    def _tell(self) -> None:
        self._seen = self.total_changes
        self.committed(self.serialize())


def _there(path: Any, dir_fd: int | None) -> bool:
    try:
        os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def recording(directory: str, boot: str) -> RecordingDisk:
    """Of an empty directory."""
    st = os.stat(directory)
    base = Image({ROOT: Born(st.st_mode, (st.st_uid, st.st_gid))})
    return RecordingDisk(Log(base), {st.st_ino: ROOT}, boot)
