"""`VolumeSync` and `FileSync`: the async classes for programs without an event loop, one line a method.

Each method here *is* the async one, called in the loop's thread: same parameters, same answer, same errors.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from anyio.from_thread import BlockingPortal

from .errors import StrPath
from .files import File
from .graph import Graph
from .status import NodeStatus
from .volume import Volume

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A", contravariant=True)


class _Remote(Protocol):
    _portal: BlockingPortal
    _there: Any


def waited(portal: BlockingPortal, method: Callable[[], Awaitable[R]]) -> R:
    """Run it in the loop's thread. An interrupt of ours cancels it there, too."""
    future = portal.start_task_soon(method)
    try:
        return future.result()
    finally:
        future.cancel()


class blocking(Generic[A, P, R]):
    """The method `method` of the async object, waited for."""

    def __init__(self, method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]]) -> None:
        self._method = method

    def __get__(self, owner: _Remote, kind: type | None = None) -> Callable[P, R]:
        @functools.wraps(self._method)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return waited(owner._portal, functools.partial(self._method, owner._there, *args, **kwargs))

        return call


class iterating(Generic[A, P, R]):
    """The async generator `method`, step by step."""

    def __init__(self, method: Callable[Concatenate[A, P], AsyncIterator[R]]) -> None:
        self._method = method

    def __get__(self, owner: _Remote, kind: type | None = None) -> Callable[P, Iterator[R]]:
        @functools.wraps(self._method)
        def call(*args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
            steps = self._method(owner._there, *args, **kwargs)

            async def step() -> R | None:
                return await anext(steps, None)

            while (value := waited(owner._portal, step)) is not None:
                yield value

        return call


class FileSync:
    """An open file: `with vol.open(path, mode) as file`, or `file.close()` by hand."""

    def __init__(self, file: File, portal: BlockingPortal) -> None:
        self._there = file
        self._portal = portal

    def __repr__(self) -> str:
        return f"<{'closed' if self.closed else 'open'} FileSync {self.name!r}>"

    def __enter__(self) -> FileSync:
        waited(self._portal, self._there.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> StrPath:
        return self._there.name

    @property
    def closed(self) -> bool:
        return self._there.closed

    @contextmanager
    def lock(self, start: int = 0, length: int = 0, shared: bool = False, wait: bool = True) -> Iterator[None]:
        """As `File.lock`."""
        lock = self._there.lock(start, length, shared, wait)
        waited(self._portal, lock.__aenter__)
        unlock = functools.partial(lock.__aexit__, None, None, None)
        try:
            yield
        except BaseException:
            with suppress(OSError):  # the caller's own error says more
                waited(self._portal, unlock)
            raise
        waited(self._portal, unlock)

    read = blocking(File.read)
    readinto = blocking(File.readinto)
    write = blocking(File.write)
    pread = blocking(File.pread)
    pwrite = blocking(File.pwrite)
    seek = blocking(File.seek)
    tell = blocking(File.tell)
    truncate = blocking(File.truncate)
    allocate = blocking(File.allocate)
    stat = blocking(File.stat)
    flush = blocking(File.flush)
    fsync = blocking(File.fsync)
    close = blocking(File.close)


class VolumeSync:
    """An opened graph, as `volgraph.open_sync` gives it: `Volume`, blocking. Any thread may use it."""

    def __init__(self, volume: Volume, portal: BlockingPortal) -> None:
        self._there = volume
        self._portal = portal

    @property
    def graph(self) -> Graph:
        return self._there.graph

    def open(self, path: StrPath, mode: str = "rb", permissions: int = 0o666) -> FileSync:
        """As `Volume.open`; the file may be used in a `with`, or closed by hand."""

        opening = self._there.open(path, mode, permissions)

        async def opened() -> File:
            return await opening

        return FileSync(waited(self._portal, opened), self._portal)

    def status(self) -> NodeStatus:
        return self._portal.call(self._there.status)

    write_bytes = blocking(Volume.write_bytes)
    read_bytes = blocking(Volume.read_bytes)
    exists = blocking(Volume.exists)
    listdir = blocking(Volume.listdir)
    scandir = iterating(Volume.scandir)
    walk = iterating(Volume.walk)
    mkdir = blocking(Volume.mkdir)
    makedirs = blocking(Volume.makedirs)
    stat = blocking(Volume.stat)
    lstat = blocking(Volume.lstat)
    chmod = blocking(Volume.chmod)
    chown = blocking(Volume.chown)
    utime = blocking(Volume.utime)
    truncate = blocking(Volume.truncate)
    mknod = blocking(Volume.mknod)
    rename = blocking(Volume.rename)
    link = blocking(Volume.link)
    symlink = blocking(Volume.symlink)
    readlink = blocking(Volume.readlink)
    unlink = blocking(Volume.unlink)
    rmdir = blocking(Volume.rmdir)
    rmtree = blocking(Volume.rmtree)
    getxattr = blocking(Volume.getxattr)
    setxattr = blocking(Volume.setxattr)
    listxattr = blocking(Volume.listxattr)
    removexattr = blocking(Volume.removexattr)
    statvfs = blocking(Volume.statvfs)
    copy_in = blocking(Volume.copy_in)
    copy_out = blocking(Volume.copy_out)
    heal = blocking(Volume.heal)
    pending = blocking(Volume.pending)
    probe = blocking(Volume.probe)
