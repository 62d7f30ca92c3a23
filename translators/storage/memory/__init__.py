"""storage/memory: a brick in memory."""

from .memory import Memory
from .store import Item, MemoryStore

__all__ = ["Item", "Memory", "MemoryStore"]
