"""What healers of GlusterFS ask of a brick in ways of their own, put into the fops that every translator has."""

from __future__ import annotations

import errno
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ...graph import Acknowledged, Call, Gfid, Loc, Translator, XattropKind

Answer = Callable[[Translator, Call, Sequence[Any]], Awaitable[Any] | None]

INTERNAL = "glusterfs-internal-fop"
AFR = "trusted.afr."
OURS = ".volgraph-"
"""Within a key: one that no client of GlusterFS knows."""
COUNTERS = struct.Struct(">3i")
"""Data, metadata and entry: what an xattrop adds to them, or takes away."""


def _removexattr(volume: Translator, call: Call, args: Sequence[Any]) -> Awaitable[Any] | None:
    return None if args[1] else _remove_all(volume.removexattr, call, args[0])


def _fremovexattr(volume: Translator, call: Call, args: Sequence[Any]) -> Awaitable[Any] | None:
    return None if args[1] else _remove_all(volume.fremovexattr, call, args[0])


async def _remove_all(remove: Callable[..., Awaitable[Any]], call: Call, target: Any) -> Acknowledged:
    """Without a name, the attributes to remove are those that xdata names. One that is gone is well."""
    for name in call.xdata or ():
        try:
            await remove(call.with_xdata(None), target, name)
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise
    return Acknowledged()


def _mknod(volume: Translator, call: Call, args: Sequence[Any]) -> Awaitable[Any] | None:
    return _make_or_link(volume, call, args[0], args) if call.asked(INTERNAL) is not None else None


async def _make_or_link(volume: Translator, call: Call, loc: Loc, args: Sequence[Any]) -> Any:
    """An object that was renamed, and is met at its new name first, is there already: it gets one more name."""
    try:
        return await volume.mknod(call, *args)
    except FileExistsError:
        gfid = call.asked("gfid-req")
        if not isinstance(gfid, bytes) or len(gfid) != 16:
            raise
        return await volume.link(call.with_xdata(None), Loc(Gfid(gfid)), loc)


def _xattrop(volume: Translator, call: Call, args: Sequence[Any]) -> Awaitable[Any] | None:
    """Blame for changed names becomes blame for all names of the directory. GlusterFS would have the brick list which
    names changed (granular entry heal); no such list is kept here, and without it its healers would look at none."""
    loc, kind, values = args
    if kind != XattropKind.ADD_ARRAY or not any(key.startswith(AFR) for key in values):
        return None
    return volume.xattrop(call, loc, kind, {key: _of_all_names(key, value) for key, value in values.items()})


def _of_all_names(key: str, value: bytes) -> bytes:
    if not key.startswith(AFR) or key.endswith("dirty") or OURS in key or len(value) != COUNTERS.size:
        return value
    data, metadata, entry = COUNTERS.unpack(value)
    return value if data or entry <= 0 else COUNTERS.pack(entry, metadata, entry)


ANSWERS: dict[str, Answer] = {
    "removexattr": _removexattr,
    "fremovexattr": _fremovexattr,
    "mknod": _mknod,
    "xattrop": _xattrop,
}
"""By fop: an answer, or None where the call is an ordinary one."""
