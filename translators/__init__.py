"""The built-in translators. Each is loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cluster.afr import Afr
    from .cluster.distribute import Distribute
    from .cluster.unify import Unify
    from .debug.delay_gen import DelayGen
    from .debug.error_gen import ErrorGen
    from .debug.trace import Trace
    from .features.index import Index
    from .features.locks import Locks
    from .features.read_only import ReadOnly
    from .performance.pass_through import PassThrough
    from .protocol.client import Client
    from .protocol.server import Server
    from .storage.memory import Memory
    from .storage.posix import Posix

_HOMES = {
    "Afr": ".cluster.afr",
    "Client": ".protocol.client",
    "DelayGen": ".debug.delay_gen",
    "Distribute": ".cluster.distribute",
    "ErrorGen": ".debug.error_gen",
    "Index": ".features.index",
    "Locks": ".features.locks",
    "Memory": ".storage.memory",
    "PassThrough": ".performance.pass_through",
    "Posix": ".storage.posix",
    "ReadOnly": ".features.read_only",
    "Server": ".protocol.server",
    "Trace": ".debug.trace",
    "Unify": ".cluster.unify",
}

__all__ = [
    "Afr",
    "Client",
    "DelayGen",
    "Distribute",
    "ErrorGen",
    "Index",
    "Locks",
    "Memory",
    "PassThrough",
    "Posix",
    "ReadOnly",
    "Server",
    "Trace",
    "Unify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
