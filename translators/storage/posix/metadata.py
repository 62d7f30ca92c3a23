"""Where a brick keeps what belongs to an object but not to its contents: its gfid and its extended attributes.

`InodeMetadata` keeps all of it in extended attributes of the object itself, as GlusterFS does; `SidecarMetadata`
(sidecar.py) keeps beside the files what an ordinary user may not set on them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar

import attrs

from ....graph import ROOT_GFID, Gfid
from ....graph.disk import Disk
from ..heal_index import index_of
from ..name_rules import is_bookkeeping
from .places import NOWHERE, Found, Place, Where

try:
    import xxhash
except ImportError:  # the extra `fast`
    xxhash = None  # type: ignore[assignment]

GFID_KEY = "trusted.gfid"
PATH_PREFIX = "trusted.gfid2path."
PATHLESS_MAX = 1 << 16
"""How many objects without such a key are remembered."""
_ABSENT = frozenset((errno.ENODATA, errno.EOPNOTSUPP))


@attrs.define(eq=False)
class InodeMetadata:
    """Everything in extended attributes of the object, in the form of a GlusterFS brick.

    Every method takes the gfid of the object and `at`, where it can be reached; the one that it does not need it
    ignores. `trusted.gfid2path.*`, the names of an object for people's tools, is kept true where it exists and never
    begun. (Its key is a hash: without the extra `fast` a name that changes is only taken out.)
    """

    apart: ClassVar[bool] = False
    """Whether what belongs to an object is kept in another file, which has to be synced with it."""

    disk: Disk
    _pathless: set[Gfid] = attrs.field(factory=set, init=False)
    """Objects that bear no `trusted.gfid2path.*`, and will not: the brick has no other writer."""

    def claim(self, at: Where, st: os.stat_result, place: Place) -> tuple[Gfid, bool] | None:
        """Which gfid the object says it has, and whether that holds without a handle that proves it."""
        value = self.get(Gfid(), at, GFID_KEY)
        return None if value is None or len(value) != 16 else (Gfid(value), True)

    def record(self, gfid: Gfid, at: Where, st: os.stat_result, place: Place, new: bool = False) -> None:
        """Give an object its gfid. `new`: it has just been made, and bears nothing yet."""
        self.set(gfid, at, GFID_KEY, gfid)
        if new:
            self._remember_pathless(gfid)

    def forget(self, gfid: Gfid) -> None:
        """The object is gone."""
        self._pathless.discard(gfid)

    def restore(self, gfid: Gfid, at: Where, st: os.stat_result, place: Place = NOWHERE) -> None:
        """Its handle says that this object has the gfid: see that it says so itself. After a power loss only what is
        kept apart from the object can have lost that."""

    def gfids(self, after: Gfid, most: int) -> list[Gfid]:
        """So many gfids that something is kept of apart from the objects, in their order."""
        return []

    def places_of(self, gfid: Gfid) -> list[Place]:
        """Where an object may stand that has no handle on disk."""
        return []

    # --- names that change -------------------------------------------------------------------------------------------

    def settle(self, found: Found) -> None:
        """An object is about to be moved: see that a power loss does not put it where only an earlier move knew it."""

    def before_rename(self, found: Found, new: Place) -> None:
        """Note where an object is about to stand, so that a crash in between loses nothing."""

    def after_rename(self, found: Found, at: Where, old: Place, new: Place) -> None:
        if not found.is_dir:
            self._names_changed(found.gfid, at, gone=old, come=new)

    def rename_failed(self, found: Found) -> None:
        """It stays where it stood."""

    def linked(self, gfid: Gfid, at: Where, new: Place) -> None:
        self._names_changed(gfid, at, gone=None, come=new)

    def unlinked(self, gfid: Gfid, at: Where, old: Place) -> None:
        self._names_changed(gfid, at, gone=old, come=None)

    def _names_changed(self, gfid: Gfid, at: Where, gone: Place | None, come: Place | None) -> None:
        if gfid in self._pathless:
            return
        known = [key for key in self.disk.listxattr(at, follow_symlinks=False) if key.startswith(PATH_PREFIX)]
        if not known:
            self._remember_pathless(gfid)
            return
        old = None if gone is None else _path_value(gone)
        for key in known:
            if self._get(at, key) == old:
                self._remove(at, key)
        if come is not None and xxhash is not None:
            new = _path_value(come)
            self._set(at, PATH_PREFIX + xxhash.xxh64_hexdigest(new, seed=0), new)

    def _remember_pathless(self, gfid: Gfid) -> None:
        if len(self._pathless) >= PATHLESS_MAX:
            self._pathless.clear()
        self._pathless.add(gfid)

    # --- modes lent (granting.py): only an ordinary user has to -------------------------------------------------------

    def lend(self, gfid: Gfid, mode: int, wider: int) -> None:
        """Note that an object's mode is about to be made wider."""

    def lent(self) -> dict[Gfid, tuple[int, int]]:
        """What is noted: the mode that was, and the wider one."""
        return {}

    def taken_back(self, gfid: Gfid) -> None:
        """The mode is as it was."""

    # --- extended attributes -----------------------------------------------------------------------------------------

    def get(self, gfid: Gfid, at: Where, key: str) -> bytes | None:
        """One attribute, None where there is none."""
        return self._get(at, key)

    def set(self, gfid: Gfid, at: Where, key: str, value: bytes, flags: int = 0) -> None:
        """EEXIST ENODATA (by the flags of setxattr(2)) ENOSPC."""
        self._set(at, key, value, flags)

    def set_all(self, gfid: Gfid, at: Where, values: Mapping[str, bytes], flags: int = 0) -> None:
        """Several, one after the other; all or none, where this can be had."""
        for key, value in values.items():
            self.set(gfid, at, key, value, flags)

    def remove(self, gfid: Gfid, at: Where, key: str) -> None:
        """ENODATA."""
        self._remove(at, key)

    def keys(self, gfid: Gfid, at: Where) -> list[str]:
        try:
            if isinstance(at, int):
                return self.disk.listxattr(at)
            return self.disk.listxattr(at, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return []

    def all(self, gfid: Gfid, at: Where) -> dict[str, bytes]:
        """Every attribute that callers may see."""
        found = ((key, self.get(gfid, at, key)) for key in self.keys(gfid, at) if not is_bookkeeping(key))
        return {key: value for key, value in found if value is not None}

    def counters(self, gfid: Gfid, at: Where) -> dict[str, bytes]:
        """The marks of replication that an object bears; any other mark is zero."""
        found: dict[str, bytes] = {}
        for key in self.keys(gfid, at):
            if index_of(key) is not None and (value := self.get(gfid, at, key)) is not None:
                found[key] = value
        return found

    def sync(self) -> None:
        """Bring to the disk what is kept apart from the objects. On any thread."""

    def close(self) -> None:
        """Nothing will be asked any more."""

    def _get(self, at: Where, key: str) -> bytes | None:
        try:
            if isinstance(at, int):
                return self.disk.getxattr(at, key)
            return self.disk.getxattr(at, key, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            return None

    def _set(self, at: Where, key: str, value: bytes, flags: int = 0) -> None:
        if isinstance(at, int):
            self.disk.setxattr(at, key, value, flags)
        else:
            self.disk.setxattr(at, key, value, flags, follow_symlinks=False)

    def _remove(self, at: Where, key: str) -> None:
        if isinstance(at, int):
            self.disk.removexattr(at, key)
        else:
            self.disk.removexattr(at, key, follow_symlinks=False)


def _path_value(place: Place) -> bytes:
    parent, name = place
    return f"{parent.text}/".encode() + name


def trusted_allowed(disk: Disk, at: Where) -> bool:
    """Whether this process may keep `trusted.*` attributes here: tried, as it depends on more than the user id. With
    the key that matters most: a mounted GlusterFS volume keeps that one for itself, and takes any other."""
    metadata = InodeMetadata(disk)
    try:
        metadata.set(Gfid(), at, GFID_KEY, ROOT_GFID)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP):
            return False
        raise
    with suppress(OSError):
        metadata.remove(Gfid(), at, GFID_KEY)
    return True
