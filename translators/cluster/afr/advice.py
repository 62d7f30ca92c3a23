"""What an afr cannot know and a person does: a child that is empty beside a full one, and has missed nothing.

So it is where a directory that was full before is mirrored to a new one. Nothing is on record, so nothing is healed,
and a listing shows what the child that is read from has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....graph import ROOT_GFID, ROOT_LOC, Call, Fd, Translator
from .changelog import Record

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

LOOK_BYTES = 4096
"""Of a listing: enough for one name."""


async def advice(afr: ReplicaSet) -> str:
    """What to do about it, "" where all is as it should be, or what is wrong is on record. OSError a child fails."""
    call, empty = afr.crawler.call(), dict[str, bool]()
    for child in afr.children_up():  # one by one: whoever waits no longer than he likes leaves nothing under way
        found = await child.lookup(call.with_xdata(dict(afr.keys.asked)), ROOT_LOC)
        if Record.read(afr.keys, found.xdata).marked:
            return ""
        empty[child.name] = await _is_empty(child, call)
    full = next((name for name in empty if not empty[name]), "")
    names = [name for name in empty if full and empty[name]]
    return "; ".join(f"{name} is empty and {full} is not: heal --accept {name} fills it" for name in names)


async def _is_empty(node: Translator, call: Call) -> bool:
    fd = Fd(ROOT_GFID, is_dir=True)
    await node.opendir(call, ROOT_LOC, fd)
    try:
        reply = await node.readdir(call, fd, LOOK_BYTES, 0)
    finally:
        node.release(fd)
    return not any(entry.name not in (b".", b"..") for entry in reply.entries)
