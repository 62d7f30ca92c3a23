"""The fds that one client has open at a server: small numbers, the lowest free one first."""

from __future__ import annotations

import errno
from collections.abc import Callable
from heapq import heappop, heappush

import attrs

from ...graph import Fd, Gfid, fail
from .wire.procedures import ANONYMOUS

FDS_MAX = 65536


@attrs.define(eq=False)
class Served:
    """`uses`: fops under way on it. One that is released meanwhile is given back after the last of them."""

    number: int
    fd: Fd
    uses: int = 0
    released: bool = False


class ServedFds:
    """`give_back` is called once for each fd, when its last use is over."""

    def __init__(self, give_back: Callable[[Fd], None]) -> None:
        self._give_back = give_back
        self._by_number: dict[int, Served] = {}
        self._by_fd: dict[Fd, Served] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._by_number)

    def resolve(self, gfid: Gfid, number: int) -> Fd:
        """The fd of a number; an anonymous one acts on the gfid. EBADF."""
        if number == ANONYMOUS:
            return Fd(gfid)
        served = self._by_number.get(number)
        if served is None:
            raise fail(errno.EBADF, f"fd {number}")
        return served.fd

    def check_room(self) -> None:
        """EMFILE: before an fd is opened that could not be kept."""
        if len(self._by_fd) >= FDS_MAX:
            raise fail(errno.EMFILE)

    def add(self, fd: Fd) -> int:
        number = heappop(self._free) if self._free else len(self._by_number)
        self._by_number[number] = self._by_fd[fd] = Served(number, fd)
        return number

    def hold(self, fd: Fd) -> None:
        served = self._by_fd.get(fd)
        if served is not None:
            served.uses += 1

    def let_go(self, fd: Fd) -> None:
        served = self._by_fd.get(fd)
        if served is not None:
            served.uses -= 1
            if served.released and not served.uses:
                del self._by_fd[fd]
                self._give_back(fd)

    def release(self, number: int) -> None:
        """EBADF."""
        served = self._by_number.pop(number, None)
        if served is None:
            raise fail(errno.EBADF, f"fd {number}")
        heappush(self._free, number)
        served.released = True
        if not served.uses:
            del self._by_fd[served.fd]
            self._give_back(served.fd)

    def release_all(self) -> None:
        for number in list(self._by_number):
            self.release(number)
