"""cluster/unify: one namespace over many children."""

from .unify import Unify

__all__ = ["Unify"]
