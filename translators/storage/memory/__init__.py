"""storage/memory: a brick in memory."""

from .faults import Fault, Faults
from .journal import Keep
from .memory import Memory
from .store import Item, MemoryStore

__all__ = ["Fault", "Faults", "Item", "Keep", "Memory", "MemoryStore"]
