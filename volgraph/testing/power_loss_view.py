"""What callers see of a brick, taken through its fops."""

from __future__ import annotations

import stat as mode_bits
from typing import Any, TypeAlias

import attrs

from ..graph import ROOT_GFID, Call, Fd, Gfid, Loc
from ..translators.storage.heal_index import XATTROP_INDEX_GFID
from ..translators.storage.posix import Posix
from .by_hand import answer, by_hand

Place: TypeAlias = tuple[Gfid, bytes]

CONTENT_MAX = 4096


def done(reply: Any) -> Any:
    """The answer to a fop that waits for nothing."""
    return by_hand(answer(reply))


@attrs.define
class Seen:
    """One object."""

    kind: int
    nlink: int
    mode: int
    owner: tuple[int, int]
    data: bytes
    target: bytes
    xattrs: dict[str, bytes]


@attrs.define
class View:
    """Everything in a brick."""

    names: dict[Place, Gfid] = attrs.field(factory=dict)
    objects: dict[Gfid, Seen] = attrs.field(factory=dict)
    adopted: set[Gfid] = attrs.field(factory=set)
    """Those that had no gfid until the lookups of this view offered one."""


def view(brick: Posix) -> View:
    """List every directory, then reach every object by its gfid. OSError: one of them cannot be reached."""
    found = View()
    todo = [ROOT_GFID]
    found.objects[ROOT_GFID] = seen(brick, ROOT_GFID)
    while todo:
        parent = todo.pop()
        for entry in done(brick.readdirp(Call(), Fd(parent), 1 << 20, 0)).entries:
            gfid = entry.gfid
            if gfid is None:
                gfid = _adopted(brick, parent, entry.name)
                found.adopted.add(gfid)
            found.names[parent, entry.name] = gfid
            if gfid not in found.objects:
                found.objects[gfid] = seen(brick, gfid)
                if mode_bits.S_ISDIR(found.objects[gfid].kind):
                    todo.append(gfid)
    return found


def _adopted(brick: Posix, parent: Gfid, name: bytes) -> Gfid:
    """As a lookup from above does it."""
    wanted = brick.seams.new_gfid()
    return done(brick.lookup(Call(xdata={"gfid-req": wanted}), Loc(parent=parent, name=name))).iatt.gfid  # type: ignore[no-any-return]


def seen(brick: Posix, gfid: Gfid) -> Seen:
    iatt = done(brick.stat(Call(), Loc(gfid))).iatt
    kind = mode_bits.S_IFMT(iatt.mode)
    data = done(brick.readv(Call(), Fd(gfid), CONTENT_MAX, 0)).data if kind == mode_bits.S_IFREG else b""
    target = done(brick.readlink(Call(), Loc(gfid), 4096)).target if kind == mode_bits.S_IFLNK else b""
    xattrs = done(brick.getxattr(Call(), Loc(gfid), None)).values
    return Seen(kind, iatt.nlink, mode_bits.S_IMODE(iatt.mode), (iatt.uid, iatt.gid), bytes(data), target, dict(xattrs))


def listed(brick: Posix) -> set[Gfid]:
    """What the index of pending heals names."""
    entries = done(brick.readdir(Call(), Fd(XATTROP_INDEX_GFID), 1 << 20, 0)).entries
    return {Gfid.from_text(entry.name.decode()) for entry in entries}
