"""libgfapi, GlusterFS's own client library, by ctypes: the peer that tests and benchmarks measure against.

It leaves threads behind, and its `glfs_fini` takes ten seconds, so it only runs in a process of its own that
ends with `os._exit`. `in_child` makes that process, and calls there a function that a module has at its top:

    def size_of(client: Gfapi, path: str) -> int:
        return client.stat(path).st_size

    size = in_child(volfile, size_of, "/file", log=tmp_path / "gfapi.log")
"""

import ctypes
import errno
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.interop.real_gluster import Missing

R = TypeVar("R")

ROOT = Path(__file__).parents[2]
LIBRARY = "libgfapi.so.0"
CONNECT_SECONDS = 15.0
LOG_WARNING = 5  # GlusterFS counts from 1, emergency, to 9, trace

POSIX_VERSION = "10.3"
"""The GlusterFS whose storage/posix can be made to run inside a program that is not glusterfsd."""
CONTEXT_OFFSET = 24
"""Of the context in what `glfs_new` returns, in that version on x86-64."""
LIST_OFFSETS = (5480, 5360)
"""Of two lists in the context, which storage/posix uses and only glusterfsd makes."""


class Stat(ctypes.Structure):
    """`struct stat` of Linux on x86-64."""

    st_dev: int
    st_ino: int
    st_nlink: int
    st_mode: int
    st_uid: int
    st_gid: int
    st_size: int
    st_blocks: int
    st_mtime_sec: int
    st_mtime_nsec: int

    _fields_ = (
        ("st_dev", ctypes.c_uint64),
        ("st_ino", ctypes.c_uint64),
        ("st_nlink", ctypes.c_uint64),
        ("st_mode", ctypes.c_uint32),
        ("st_uid", ctypes.c_uint32),
        ("st_gid", ctypes.c_uint32),
        ("_padding", ctypes.c_uint32),
        ("st_rdev", ctypes.c_uint64),
        ("st_size", ctypes.c_int64),
        ("st_blksize", ctypes.c_int64),
        ("st_blocks", ctypes.c_int64),
        ("st_atime_sec", ctypes.c_int64),
        ("st_atime_nsec", ctypes.c_int64),
        ("st_mtime_sec", ctypes.c_int64),
        ("st_mtime_nsec", ctypes.c_int64),
        ("st_ctime_sec", ctypes.c_int64),
        ("st_ctime_nsec", ctypes.c_int64),
        ("_reserved", ctypes.c_int64 * 3),
    )


_INT, _SIZE, _OFFSET, _TEXT, _PTR = (
    ctypes.c_int,
    ctypes.c_size_t,
    ctypes.c_int64,
    ctypes.c_char_p,
    ctypes.c_void_p,
)
_MODE = ctypes.c_uint32
_SIGNATURES: dict[str, tuple[Any, ...]] = {  # name: result, arguments...
    "glfs_new": (_PTR, _TEXT),
    "glfs_set_volfile": (_INT, _PTR, _TEXT),
    "glfs_set_logging": (_INT, _PTR, _TEXT, _INT),
    "glfs_init": (_INT, _PTR),
    "glfs_creat": (_PTR, _PTR, _TEXT, _INT, _MODE),
    "glfs_open": (_PTR, _PTR, _TEXT, _INT),
    "glfs_close": (_INT, _PTR),
    # The last pointers of these four take attributes of before and after; NULL: not wanted.
    "glfs_pread": (ctypes.c_ssize_t, _PTR, _PTR, _SIZE, _OFFSET, _INT, _PTR),
    "glfs_pwrite": (ctypes.c_ssize_t, _PTR, _TEXT, _SIZE, _OFFSET, _INT, _PTR, _PTR),
    "glfs_fsync": (_INT, _PTR, _PTR, _PTR),
    "glfs_ftruncate": (_INT, _PTR, _OFFSET, _PTR, _PTR),
    "glfs_stat": (_INT, _PTR, _TEXT, _PTR),
    "glfs_fstat": (_INT, _PTR, _PTR),
    "glfs_rename": (_INT, _PTR, _TEXT, _TEXT),
    "glfs_unlink": (_INT, _PTR, _TEXT),
    "glfs_mkdir": (_INT, _PTR, _TEXT, _MODE),
    "glfs_rmdir": (_INT, _PTR, _TEXT),
    "glfs_link": (_INT, _PTR, _TEXT, _TEXT),
    "glfs_symlink": (_INT, _PTR, _TEXT, _TEXT),
    "glfs_mknod": (_INT, _PTR, _TEXT, _MODE, ctypes.c_uint64),
    "glfs_truncate": (_INT, _PTR, _TEXT, _OFFSET),
    "glfs_chmod": (_INT, _PTR, _TEXT, _MODE),
    "glfs_chown": (_INT, _PTR, _TEXT, ctypes.c_uint32, ctypes.c_uint32),
    "glfs_setxattr": (_INT, _PTR, _TEXT, _TEXT, _TEXT, _SIZE, _INT),
    "glfs_removexattr": (_INT, _PTR, _TEXT, _TEXT),
    "glfs_getxattr": (ctypes.c_ssize_t, _PTR, _TEXT, _TEXT, _PTR, _SIZE),
    "glfs_fallocate": (_INT, _PTR, _INT, _OFFSET, _SIZE),
}


class Gfapi:
    """A connected client. Paths are absolute in the volume, a `fd` comes from creat or open. Errors: OSError."""

    def __init__(self, volfile: Path, log: Path) -> None:
        self._library = ctypes.CDLL(LIBRARY, use_errno=True)
        for name, (result, *arguments) in _SIGNATURES.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        self._fs = self._call("glfs_new", b"volume")
        self._call("glfs_set_logging", self._fs, bytes(log), LOG_WARNING)
        self._call("glfs_set_volfile", self._fs, bytes(volfile))
        if "storage/posix" in volfile.read_text():
            _make_lists(self._fs)
        self._call("glfs_init", self._fs)
        self._wait_for_children()

    def _call(self, name: str, *arguments: Any) -> Any:
        ctypes.set_errno(0)
        function = getattr(self._library, name)
        result = function(*arguments)
        if result is None or (function.restype is not _PTR and result < 0):
            number = ctypes.get_errno() or errno.EIO
            raise OSError(number, f"{name}: {os.strerror(number)}")
        return result

    def _wait_for_children(self) -> None:
        """`glfs_init` may return before a child is connected."""
        deadline = time.monotonic() + CONNECT_SECONDS
        while True:
            try:
                self.stat("/")
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def creat(self, path: str, flags: int = os.O_RDWR, mode: int = 0o644) -> int:
        return int(self._call("glfs_creat", self._fs, os.fsencode(path), flags, mode))

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        return int(self._call("glfs_open", self._fs, os.fsencode(path), flags))

    def close(self, fd: int) -> None:
        self._call("glfs_close", fd)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        count = self._call("glfs_pread", fd, buffer, size, offset, 0, None)
        return buffer.raw[:count]

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        return int(self._call("glfs_pwrite", fd, data, len(data), offset, 0, None, None))

    def fsync(self, fd: int) -> None:
        self._call("glfs_fsync", fd, None, None)

    def ftruncate(self, fd: int, size: int) -> None:
        self._call("glfs_ftruncate", fd, size, None, None)

    def stat(self, path: str) -> Stat:
        self._call("glfs_stat", self._fs, os.fsencode(path), ctypes.byref(found := Stat()))
        return found

    def fstat(self, fd: int) -> Stat:
        self._call("glfs_fstat", fd, ctypes.byref(found := Stat()))
        return found

    def rename(self, source: str, target: str) -> None:
        self._call("glfs_rename", self._fs, os.fsencode(source), os.fsencode(target))

    def unlink(self, path: str) -> None:
        self._call("glfs_unlink", self._fs, os.fsencode(path))

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        self._call("glfs_mkdir", self._fs, os.fsencode(path), mode)

    def rmdir(self, path: str) -> None:
        self._call("glfs_rmdir", self._fs, os.fsencode(path))

    def link(self, old: str, new: str) -> None:
        self._call("glfs_link", self._fs, os.fsencode(old), os.fsencode(new))

    def symlink(self, target: str, path: str) -> None:
        self._call("glfs_symlink", self._fs, os.fsencode(target), os.fsencode(path))

    def mknod(self, path: str, mode: int, device: int = 0) -> None:
        self._call("glfs_mknod", self._fs, os.fsencode(path), mode, device)

    def truncate(self, path: str, size: int) -> None:
        self._call("glfs_truncate", self._fs, os.fsencode(path), size)

    def chmod(self, path: str, mode: int) -> None:
        self._call("glfs_chmod", self._fs, os.fsencode(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        self._call("glfs_chown", self._fs, os.fsencode(path), uid, gid)

    def setxattr(self, path: str, name: str, value: bytes) -> None:
        self._call("glfs_setxattr", self._fs, os.fsencode(path), name.encode(), value, len(value), 0)

    def removexattr(self, path: str, name: str) -> None:
        self._call("glfs_removexattr", self._fs, os.fsencode(path), name.encode())

    def getxattr(self, path: str, name: str) -> bytes:
        buffer = ctypes.create_string_buffer(1 << 16)
        size = self._call("glfs_getxattr", self._fs, os.fsencode(path), name.encode(), buffer, len(buffer))
        return buffer.raw[:size]

    def fallocate(self, fd: int, offset: int, size: int) -> None:
        self._call("glfs_fallocate", fd, 0, offset, size)


def require_gfapi() -> None:
    """Missing, when libgfapi cannot be used here."""
    if platform.machine() != "x86_64":
        raise Missing("libgfapi", "its structures are declared for x86-64")
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        raise Missing("libgfapi") from None


def require_posix_in_process() -> None:
    """Missing, when storage/posix cannot be run inside a process of libgfapi here."""
    require_gfapi()
    if shutil.which("glusterfsd") is None:
        raise Missing("glusterfsd")
    told = subprocess.run(["glusterfsd", "--version"], capture_output=True, text=True, timeout=20).stdout.split()
    if told[1:2] != [POSIX_VERSION]:
        raise Missing("storage/posix in libgfapi", f"only known of GlusterFS {POSIX_VERSION}")


def _make_lists(fs: int) -> None:
    """Make the lists empty: each head points to itself. One that is not all zeros is none of them, and left alone."""
    context = ctypes.c_uint64.from_address(fs + CONTEXT_OFFSET).value
    heads = {context + offset: (ctypes.c_uint64 * 2).from_address(context + offset) for offset in LIST_OFFSETS}
    if any(link for head in heads.values() for link in head):
        raise OSError(errno.ENOTSUP, "this libgfapi lays out its context in another way")
    for address, head in heads.items():
        head[0] = head[1] = address


def in_child(
    volfile: Path,
    work: Callable[..., R],
    *arguments: Any,
    log: Path,
    timeout: float = 120.0,
) -> R:
    """The result of `work(client, *arguments)` in a process of its own, `timeout` seconds at most.

    Arguments and result are what JSON can say. OSError with the errno that the client got; RuntimeError, in
    the child's words, for any other failure.
    """
    order = json.dumps([str(volfile), str(log), work.__module__, work.__qualname__, arguments])
    child = subprocess.run(
        [sys.executable, "-m", "tests.interop.gfapi", order],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if child.returncode != 0:
        raise RuntimeError(f"the libgfapi process ended with status {child.returncode}:\n{child.stderr}")
    answer = json.loads(child.stdout.splitlines()[-1])
    if "errno" in answer:
        raise OSError(answer["errno"], answer["message"])
    result: R = answer["result"]
    return result


def _child_main(order: str) -> None:
    volfile, log, module, function, arguments = json.loads(order)
    work = getattr(importlib.import_module(module), function)
    answer: dict[str, Any]
    try:
        answer = {"result": work(Gfapi(Path(volfile), Path(log)), *arguments)}
    except OSError as error:
        answer = {"errno": error.errno, "message": error.strerror}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    try:
        _child_main(sys.argv[1])
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
