"""A namespace that is empty over children that hold something: lost, or never built. Every name would seem deleted."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from ....graph import ROOT_GFID, Call, Fd, Gfid, Loc, Translator, fail

if TYPE_CHECKING:
    from .unify import Unify


async def refuse_lost_namespace(unify: Unify) -> None:
    """EIO for a lost namespace. Asked once, or again until a name was seen, or every child was and is empty."""
    if unify.namespace_trusted:
        return
    call, down = unify.own_call(), unify.children_down()
    if await is_empty(unify.namespace, call):
        for child in unify.children:
            if child in down or await is_empty(child, call):
                continue
            if await is_empty(unify.namespace, call):  # and not just filled by another client
                raise fail(
                    errno.EIO,
                    f"{unify.name}: the namespace is empty, but {child.name} is not; rebuilding it is not supported",
                )
        if down:
            return
    unify.namespace_trusted = True


async def is_empty(node: Translator, call: Call, gfid: Gfid = ROOT_GFID) -> bool:
    """Whether a directory of this node has no names."""
    fd = Fd(gfid, is_dir=True)
    await node.opendir(call, Loc(gfid), fd)
    try:
        return not (await node.readdir(call, fd, 4096, 0)).entries
    finally:
        node.release(fd)
