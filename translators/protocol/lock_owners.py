"""Who owns a lock at the next server down.

There, all that comes through one connection is one client. A graph that serves clients of its own sends them on through
a single one, so that the owner must tell them apart: two clients may well use the same lock owner.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from ...graph import Call
from .wire.rpc import lock_owner

OWNER_BYTES_MAX = 64
DIGEST_BYTES = 16


def wire_owner(call: Call) -> bytes:
    """The lock owner of a call as the server below sees it: the caller's own, or one for this client and owner."""
    owner = call.lk_owner or lock_owner(call)
    if not call.client and len(owner) <= OWNER_BYTES_MAX:
        return owner
    return _mixed(call.client, owner)


@lru_cache(maxsize=4096)
def _mixed(client: str, owner: bytes) -> bytes:
    return blake2b(owner, digest_size=DIGEST_BYTES, key=blake2b(client.encode(), digest_size=32).digest()).digest()
