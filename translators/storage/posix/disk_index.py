"""The heal index as GlusterFS keeps it: `.glusterfs/indices/{xattrop,dirty}/` holds one link for each listed gfid."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import lru_cache

import attrs

from ....graph import Gfid
from ....graph.disk import Disk
from ..heal_index import ENTRY_CHANGES, INDEXES
from .handles import NAMES_MAX

FOLDER = b"indices"
_NO_LINK = frozenset((errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS))


@attrs.define(eq=False)
class DiskIndex:
    """Which objects are listed where. An entry is a hard link to a file that stands beside the entries.

    Listing comes before the mark and unlisting after its end, so a crash can leave an entry too many, never one too
    few. What is listed is kept in memory too: the brick has no other writer.
    """

    disk: Disk
    fd: int
    new_gfid: Callable[[], Gfid]
    read_only: bool = False
    listed: dict[str, dict[Gfid, None]] = attrs.field(init=False)
    _files: dict[str, bytes] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.listed = {index: {} for index in (*INDEXES, ENTRY_CHANGES)}
        for folder in () if self.read_only else (FOLDER, *(_folder(index) for index in INDEXES)):
            with suppress(FileExistsError):
                self.disk.mkdir(folder, 0o700, dir_fd=self.fd)
        for index in INDEXES:
            with suppress(*[FileNotFoundError] * self.read_only):
                self._read(index)

    def _read(self, index: str) -> None:
        folder = self.disk.open(_folder(index), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.fd)
        try:
            names = self.disk.listdir(folder)
        finally:
            self.disk.close(folder)
        for name in sorted(names):
            try:
                self.listed[index][Gfid.from_text(name)] = None
            except ValueError:
                if name.startswith(f"{index}-"):
                    self._files[index] = _folder(index) + b"/" + os.fsencode(name)

    def add(self, indexes: Iterable[str], gfid: Gfid) -> None:
        for index in indexes:
            if gfid not in self.listed[index]:
                self._add(index, gfid)
                self.listed[index][gfid] = None

    def drop(self, indexes: Iterable[str], gfid: Gfid) -> None:
        for index in indexes:
            if gfid in self.listed[index]:
                self._drop(index, gfid)

    def keep(self, indexes: Collection[str], gfid: Gfid) -> None:
        """Leave all others."""
        for index in INDEXES:
            if index not in indexes and gfid in self.listed[index]:
                self._drop(index, gfid)

    def _drop(self, index: str, gfid: Gfid) -> None:
        with suppress(FileNotFoundError):
            self.disk.unlink(_entry(index, gfid), dir_fd=self.fd)
        del self.listed[index][gfid]

    def _add(self, index: str, gfid: Gfid) -> None:
        entry = _entry(index, gfid)
        try:
            self._link(index, entry)
        except FileExistsError:
            return
        except OSError as error:
            if error.errno not in _NO_LINK and error.errno != errno.ENOENT:
                raise
            self._files.pop(index, None)  # full, or gone: begin another
            try:
                self._link(index, entry)
            except OSError as again:
                if again.errno not in _NO_LINK:
                    raise
                self._touch(entry)

    def _link(self, index: str, entry: bytes) -> None:
        file = self._files.get(index)
        if file is None:
            file = _folder(index) + f"/{index}-{self.new_gfid().text}".encode()
            self._touch(file)
            self._files[index] = file
        self.disk.link(file, entry, src_dir_fd=self.fd, dst_dir_fd=self.fd, follow_symlinks=False)

    def _touch(self, name: bytes) -> None:
        self.disk.close(self.disk.open(name, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600, dir_fd=self.fd))


def _folder(index: str) -> bytes:
    return FOLDER + b"/" + index.encode()


@lru_cache(maxsize=NAMES_MAX)
def _entry(index: str, gfid: Gfid) -> bytes:
    return _folder(index) + b"/" + gfid.text.encode()
