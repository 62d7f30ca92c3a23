"""The heal index of a brick: which objects bear marks that replication has to look at.

An object is listed as long as one of its `trusted.afr.*` counters is not zero: under `dirty` for a counter of work in
progress, under `xattrop` for one that blames a copy. Whoever heals reads the two lists through ordinary fops, as
directories whose names are gfids: `getxattr(root, XATTROP_KEY)` answers the gfid of such a directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from ...graph import Gfid

XATTROP = "xattrop"
DIRTY = "dirty"
INDEXES = (XATTROP, DIRTY)

XATTROP_KEY = "glusterfs.xattrop_index_gfid"
DIRTY_KEY = "glusterfs.xattrop_dirty_gfid"
XATTROP_INDEX_GFID = Gfid.from_text("8a3c1f52-6d0e-4b7a-9c55-1f2e7d9b4a01")
DIRTY_INDEX_GFID = Gfid.from_text("8a3c1f52-6d0e-4b7a-9c55-1f2e7d9b4a02")

ENTRY_CHANGES = "entry-changes"
"""GlusterFS's third index: for each directory, the names that changed in it (granular entry heal). It is always empty
here: our afr, and our server for clients of GlusterFS, blame a directory for all its names. But it must be there: a
healer of GlusterFS that cannot open it makes one round only, and leaves what the next would heal."""
ENTRY_CHANGES_KEY = "glusterfs.xattrop_entry_changes_gfid"
ENTRY_CHANGES_GFID = Gfid.from_text("8a3c1f52-6d0e-4b7a-9c55-1f2e7d9b4a03")

INDEX_GFID_OF_KEY = {
    XATTROP_KEY: XATTROP_INDEX_GFID,
    DIRTY_KEY: DIRTY_INDEX_GFID,
    ENTRY_CHANGES_KEY: ENTRY_CHANGES_GFID,
}
INDEX_OF_GFID = {XATTROP_INDEX_GFID: XATTROP, DIRTY_INDEX_GFID: DIRTY, ENTRY_CHANGES_GFID: ENTRY_CHANGES}

COUNT_KEY = "link-count"
COUNT_VALUE = "glusterfs.xattrop_index_count"
"""xdata of a lookup: `link-count` with this value asks how many objects the xattrop index lists."""

AFR_PREFIX = "trusted.afr."
IDENTITY_SUFFIX = ".volgraph-id"
"""An afr's identity of its children is kept under such a key: a name, not a counter."""


@lru_cache(maxsize=1024)
def index_of(key: str) -> str | None:
    """Which index a counter under this key belongs to; None where the key is no counter."""
    if not key.startswith(AFR_PREFIX) or key.endswith(IDENTITY_SUFFIX):
        return None
    return DIRTY if key.rpartition(".")[2] == DIRTY else XATTROP


def marked(xattrs: Mapping[str, bytes]) -> set[str]:
    """The indexes that have to list an object with these xattrs."""
    return {index for key, value in xattrs.items() if any(value) and (index := index_of(key)) is not None}
