"""Replies of an open file whose attributes stay what the kernel has said until somebody looks at them.

An `Iatt` is made in no time beside a call over a network, but not beside a read or a write that the page cache answers.
"""

from __future__ import annotations

import os

from ....graph import Iatt, replies
from ....graph.types import StatLike
from .node import OpenFile


class Data(replies.Data):
    __slots__ = ("_file", "_st")

    def __init__(self, data: bytearray, file: OpenFile, st: os.stat_result, end: bool) -> None:
        self.data = data
        self.end = end
        self.xdata = None
        self._file = file
        self._st: StatLike = st

    @property
    def iatt(self) -> Iatt:
        return Iatt(self._file.gfid, self._st, self._file.hidden)

    @iatt.setter
    def iatt(self, iatt: Iatt) -> None:
        self._st = iatt.st


class Written(replies.Written):
    __slots__ = ("_file", "_st_after", "_st_before")

    def __init__(self, count: int, file: OpenFile, before: os.stat_result, after: os.stat_result) -> None:
        self.count = count
        self.xdata = None
        self._file = file
        self._st_before: StatLike = before
        self._st_after: StatLike = after

    @property
    def pre(self) -> Iatt:
        return Iatt(self._file.gfid, self._st_before, self._file.hidden)

    @pre.setter
    def pre(self, iatt: Iatt) -> None:
        self._st_before = iatt.st

    @property
    def post(self) -> Iatt:
        return Iatt(self._file.gfid, self._st_after, self._file.hidden)

    @post.setter
    def post(self, iatt: Iatt) -> None:
        self._st_after = iatt.st
