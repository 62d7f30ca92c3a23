"""cluster/afr: replication."""

from .afr import Afr
from .report import HealItem, HealReport

__all__ = ["Afr", "HealItem", "HealReport"]
