"""The extended attributes that an afr keeps for itself (its changelog, who its children are) are hidden from whoever is
above it, and refused."""

from __future__ import annotations

import errno
from collections.abc import Collection
from typing import TYPE_CHECKING

import attrs

from ....graph import Xattrs, Xdata, fail
from .changelog import Keys

if TYPE_CHECKING:
    from .replica_set import ReplicaSet


def without_own(keys: Keys, xdata: Xdata | None) -> Xdata | None:
    if xdata is None or not any(map(keys.owned, xdata)):
        return xdata
    return {name: value for name, value in xdata.items() if not keys.owned(name)}


def hide_own(keys: Keys, reply: Xattrs) -> Xattrs:
    if any(map(keys.owned, reply.values)):
        values = {name: value for name, value in reply.values.items() if not keys.owned(name)}
        return attrs.evolve(reply, values=values)
    return reply


def refuse_hidden(keys: Keys, name: str | None) -> None:
    """ENODATA: not to be read here."""
    if name is not None and (keys.owned(name) or name.startswith("glusterfs.xattrop_")):
        raise fail(errno.ENODATA, name)  # an index is one brick's, not the volume's


def refuse_own(afr: ReplicaSet, names: Collection[str], code: int) -> None:
    """Not to be changed from above, either."""
    for name in names:
        if afr.keys.owned(name):
            error = fail(code, name)
            error.add_note(
                f"{afr.name} keeps its own changelog under this key: an afr above it needs other names, by its "
                "options afr-pending-xattr and afr-dirty-xattr"
            )
            raise error
