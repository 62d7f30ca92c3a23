"""The bench of a contract: the translator under test, and what it takes to call its fops and judge the answers."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from ..graph import NULL_GFID, ROOT_GFID, Call, Coming, Entry, Fd, Gfid, Iatt, Loc, Translator, started

R = TypeVar("R")

OWNER = b"conformance"
OTHER = b"another owner"


class Broken(AssertionError):
    """A contract does not hold; the text says what differed."""


def same(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise Broken(f"{what}: found {found!r}, wanted {wanted!r}")


def holds(truth: object, what: str) -> None:
    if not truth:
        raise Broken(what)


class FopBench:
    """The translator under test, and what it takes to call its fops."""

    def __init__(self, top: Translator) -> None:
        self.top = top
        self._random = random.Random(7)
        self._fds: list[Fd] = []

    # --- callers -----------------------------------------------------------------------------------------------------

    def call(self, owner: bytes = OWNER, **fields: Any) -> Call:
        return Call(lk_owner=owner, **fields)

    def asking(self, *keys: str) -> Call:
        """A call whose xdata asks for these keys."""
        return self.call(xdata=dict.fromkeys(keys, 1))

    def making(self, gfid: Gfid | None = None, xattrs: Mapping[str, bytes] | None = None) -> Call:
        """A call that makes an object: with a gfid, and xattrs it is to have from the start."""
        return self.call(xdata={"gfid-req": gfid or self.new_gfid(), **(xattrs or {})})

    def new_gfid(self) -> Gfid:
        return Gfid(self._random.getrandbits(128).to_bytes(16, "big"))

    # --- objects -----------------------------------------------------------------------------------------------------

    async def file(self, name: bytes = b"file", data: bytes = b"", parent: Gfid = ROOT_GFID, mode: int = 0o644) -> Gfid:
        """Make a file with contents; nothing stays open."""
        fd = await self.created(name, os.O_RDWR, parent, mode)
        if data:
            same((await self.top.writev(self.call(), fd, data, 0)).count, len(data), "bytes written")
        self.close(fd)
        return fd.gfid

    async def created(
        self, name: bytes = b"file", flags: int = os.O_RDWR, parent: Gfid = ROOT_GFID, mode: int = 0o644
    ) -> Fd:
        """Make a file and leave it open."""
        fd = self.new_fd(flags=flags)
        made = await self.top.create(self.making(), at(parent, name), flags | os.O_CREAT | os.O_EXCL, mode, 0, fd)
        fd.gfid = made.iatt.gfid
        return fd

    async def directory(self, name: bytes = b"directory", parent: Gfid = ROOT_GFID) -> Gfid:
        return (await self.top.mkdir(self.making(), at(parent, name), 0o755, 0)).iatt.gfid

    async def symlink(self, name: bytes = b"symlink", target: bytes = b"TARGET", parent: Gfid = ROOT_GFID) -> Gfid:
        return (await self.top.symlink(self.making(), target, at(parent, name), 0)).iatt.gfid

    # --- fds ---------------------------------------------------------------------------------------------------------

    def new_fd(self, gfid: Gfid = NULL_GFID, flags: int = os.O_RDWR, is_dir: bool = False) -> Fd:
        fd = Fd(gfid, flags, is_dir)
        self._fds.append(fd)
        return fd

    async def opened(self, gfid: Gfid, flags: int = os.O_RDWR) -> Fd:
        fd = self.new_fd(gfid, flags)
        await self.top.open(self.call(), Loc(gfid), flags, fd)
        return fd

    async def opened_directory(self, gfid: Gfid = ROOT_GFID) -> Fd:
        fd = self.new_fd(gfid, os.O_RDONLY, is_dir=True)
        await self.top.opendir(self.call(), Loc(gfid), fd)
        return fd

    def close(self, fd: Fd) -> None:
        self._fds.remove(fd)
        self.top.release(fd)

    def close_all(self) -> None:
        for fd in list(self._fds):
            self.close(fd)

    # --- looking -----------------------------------------------------------------------------------------------------

    async def contents(self, gfid: Gfid) -> bytes:
        fd = await self.opened(gfid, os.O_RDONLY)
        data = bytes((await self.top.readv(self.call(), fd, 1 << 20, 0)).data)
        self.close(fd)
        return data

    async def iatt(self, gfid: Gfid) -> Iatt:
        return (await self.top.stat(self.call(), Loc(gfid))).iatt

    async def found(self, name: bytes, parent: Gfid = ROOT_GFID) -> Gfid | None:
        """The gfid that stands at a name, None where nothing does."""
        try:
            return (await self.top.lookup(self.call(), at(parent, name))).iatt.gfid
        except FileNotFoundError:
            return None

    async def listed(self, gfid: Gfid = ROOT_GFID, size: int = 4096, plus: bool = False) -> list[Entry]:
        """A whole listing, in pieces of `size`."""
        fd = await self.opened_directory(gfid)
        list_piece = self.top.readdirp if plus else self.top.readdir
        entries: list[Entry] = []
        offset, end = 0, False
        while not end:
            reply = await list_piece(self.call(), fd, size, offset)
            holds(reply.end or reply.entries, "a piece of a listing is empty, and not the last")
            entries += reply.entries
            end = reply.end
            offset = entries[-1].offset if entries else 0
        self.close(fd)
        return entries

    async def names(self, gfid: Gfid = ROOT_GFID) -> list[bytes]:
        return sorted(entry.name for entry in await self.listed(gfid))

    # --- errors and waiting ------------------------------------------------------------------------------------------

    async def refuses(self, code: int | Iterable[int], fop: Callable[..., Awaitable[object]], *args: object) -> None:
        """The fop must fail with this errno, or with one of these."""
        codes = (code,) if isinstance(code, int) else tuple(code)
        names = " or ".join(errno.errorcode[each] for each in codes)
        try:
            reply = await fop(*args)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP and errno.EOPNOTSUPP not in codes:
                raise  # the whole fop is refused: whether it may be, the contract says
            if error.errno not in codes:
                raise Broken(f"{fop.__name__}: {error!r}, wanted {names}") from error
        else:
            raise Broken(f"{fop.__name__}: answered {reply!r}, wanted {names}")

    def start(self, answer: Awaitable[R]) -> Coming[R]:
        """A fop under way, to be looked at while it waits."""
        under_way = started(answer, self.top.tasks)
        if isinstance(under_way, Coming):
            return under_way

        async def wait() -> R:
            return await under_way

        return self.top.tasks.start(wait())


def at(parent: Gfid, name: bytes) -> Loc:
    return Loc(parent=parent, name=name)
