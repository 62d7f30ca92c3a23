"""storage/posix: directories."""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from ....graph import (
    NULL_GFID,
    ROOT_GFID,
    Acknowledged,
    Call,
    Done,
    Entries,
    Entry,
    Fd,
    Loc,
    fail,
)
from ..heal_index import INDEX_OF_GFID
from ..name_rules import RESERVED_IN_ROOT
from . import judging
from .granting import insisting
from .listed_names import ListedNames
from .node import OpenDirectory
from .places import READ_DIRECTORY
from .xattrs import PosixXattrs

LISTING_BYTES_MAX = 1 << 20
"""The most that one answer holds, whatever its reader asks for."""
ENTRY_BYTES = 24
ENTRY_BYTES_WITH_IATT = 192
"""What one entry takes of the size that a caller of readdir grants, besides its name."""

_FILE_KIND = mode_bits.S_IFREG >> 12


@attrs.define(eq=False)
class PosixListing(PosixXattrs):
    """See `Posix`.

    A listing is of the names that were there when it was begun (offset 0); an entry's offset is its number in it. So
    names that come and go meanwhile never make another one appear twice, or not at all.
    """

    @insisting
    def opendir(self, call: Call, loc: Loc, fd: Fd) -> Done[Acknowledged]:
        self._check_unopened(fd)
        self._keep(fd, self._open_directory(call, loc))
        return Done(Acknowledged())

    def _open_directory(self, call: Call, loc: Loc, anonymous: bool = False) -> OpenDirectory:
        """ENOTDIR EACCES."""
        index = INDEX_OF_GFID.get(loc.gfid)
        if index is not None:
            if call.uid and not judging.free(self.brick, call):
                raise fail(errno.EACCES, loc.gfid.text)
            return OpenDirectory(self.disk.dup(self.brick.fd), loc.gfid, index=index)
        found = self._found(loc)
        if not found.is_dir:
            raise fail(errno.ENOTDIR, found.gfid.text)
        if call.uid:
            (judging.anonymous if anonymous else judging.opening)(self.brick, call, found, os.O_RDONLY)
        descriptor = self.disk.open(found.name, READ_DIRECTORY, dir_fd=found.dir_fd)
        return OpenDirectory(descriptor, found.gfid)

    @insisting
    def readdir(self, call: Call, fd: Fd, size: int, offset: int) -> Done[Entries]:
        with self._directory(call, fd) as slot:
            return Done(self._list(slot, size, offset, ENTRY_BYTES, self._entry))

    @insisting
    def readdirp(self, call: Call, fd: Fd, size: int, offset: int) -> Done[Entries]:
        """An object put into the brick from outside, that no lookup has given a gfid yet, comes without iatt; so do
        all of a directory that the caller may not search."""

        def full(slot: OpenDirectory, name: bytes, kind: int, number: int) -> Entry | None:
            return self._full_entry(call, slot, name, number)

        with self._directory(call, fd) as slot:
            names_alone = slot.index or (call.uid and not judging.may_search(self.brick, call, slot.fd))
            build = self._entry if names_alone else full
            return Done(self._list(slot, size, offset, ENTRY_BYTES_WITH_IATT, build))

    @contextmanager
    def _directory(self, call: Call, fd: Fd) -> Iterator[OpenDirectory]:
        slot = fd.slots.get(self)
        if slot is not None:
            if not isinstance(slot, OpenDirectory):
                raise fail(errno.ENOTDIR, slot.gfid.text)
            if slot.fd < 0:
                raise fail(errno.EBADF, fd.gfid.text)
            yield slot
            return
        slot = self._open_directory(call, Loc(fd.gfid), anonymous=True)
        try:
            yield slot
        finally:
            self.disk.close(slot.fd)

    def _list(
        self,
        slot: OpenDirectory,
        size: int,
        offset: int,
        entry_bytes: int,
        build: Callable[[OpenDirectory, bytes, int, int], Entry | None],
    ) -> Entries:
        if slot.names is None or offset == 0:
            slot.names = ListedNames(self._named(slot))
        room = min(size, LISTING_BYTES_MAX)
        found: list[Entry] = []
        number = max(offset, 0)
        for name, kind in slot.names.behind(number):
            room -= entry_bytes + len(name)
            if room < 0 and found:
                return Entries(found)
            number += 1
            entry = build(slot, name, kind, number)
            if entry is not None:
                found.append(entry)
        return Entries(found, end=True)

    def _named(self, slot: OpenDirectory) -> Iterator[tuple[bytes, int]]:
        """Every name with its kind."""
        if slot.index is not None:
            for gfid in self.brick.index.listed[slot.index]:
                yield gfid.text.encode(), _FILE_KIND
            return
        hidden = RESERVED_IN_ROOT if slot.gfid == ROOT_GFID else b""
        with self.disk.scandir(slot.fd) as entries:
            for entry in entries:
                kind = 8 if entry.is_file(follow_symlinks=False) else 4 if entry.is_dir(follow_symlinks=False) else 0
                if not kind and entry.is_symlink():
                    kind = 10
                name = os.fsencode(entry.name)
                if name != hidden:
                    yield name, kind

    def _entry(self, slot: OpenDirectory, name: bytes, kind: int, number: int) -> Entry | None:
        return Entry(name, number, kind)

    def _full_entry(self, call: Call, slot: OpenDirectory, name: bytes, number: int) -> Entry | None:
        """None where the name is gone by now."""
        try:
            found = self.brick.at(slot.gfid, slot.fd, name)
        except FileNotFoundError:
            return None
        except PermissionError:  # the directory may be read and not searched
            if call.pid < 0:
                raise
            return Entry(name, number)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return Entry(name, number, mode_bits.S_IFDIR >> 12)  # another file system is mounted there
        kind = found.st.st_mode >> 12
        if found.gfid == NULL_GFID:
            return Entry(name, number, kind)
        iatt = found.iatt
        answers = self._answers(call, iatt, found.where, (slot.gfid, name)) if call.xdata else None
        return Entry(name, number, kind, found.gfid, iatt, answers)
