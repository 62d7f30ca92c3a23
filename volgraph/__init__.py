"""Storage as a graph of async translators: assemble, replicate, serve, heal and test volumes.

    async with volgraph.open("mirror.vol") as vol:
        await vol.write_bytes("/a", b"text")

Everything here is loaded on first use, so that `import volgraph` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import graph, testing, translators, volspec
    from .graph import (
        Call,
        Capability,
        Done,
        Fd,
        Gfid,
        Graph,
        Iatt,
        Loc,
        ProtocolError,
        Seams,
        Translator,
        fail,
        link,
        option,
    )
    from .opening import open, open_sync
    from .status import NodeStatus
    from .translators.cluster.afr.report import HealItem, HealReport
    from .volspec import Spec, SpecError, load, parse
    from .volume import Volume
    from .volume_sync import VolumeSync

    __version__: str

_MODULES = frozenset(("graph", "testing", "translators", "volspec"))
_HOMES = {
    **dict.fromkeys(("Call", "Capability", "Done", "Fd", "Gfid", "Graph", "Iatt", "Loc"), ".graph"),
    **dict.fromkeys(("ProtocolError", "Seams", "Translator", "fail", "link", "option"), ".graph"),
    **dict.fromkeys(("open", "open_sync"), ".opening"),
    **dict.fromkeys(("Spec", "SpecError", "load", "parse"), ".volspec"),
    **dict.fromkeys(("HealItem", "HealReport"), ".translators.cluster.afr.report"),
    "NodeStatus": ".status",
    "Volume": ".volume",
    "VolumeSync": ".volume_sync",
}

__all__ = [
    "Call",
    "Capability",
    "Done",
    "Fd",
    "Gfid",
    "Graph",
    "HealItem",
    "HealReport",
    "Iatt",
    "Loc",
    "NodeStatus",
    "ProtocolError",
    "Seams",
    "Spec",
    "SpecError",
    "Translator",
    "Volume",
    "VolumeSync",
    "__version__",
    "fail",
    "graph",
    "link",
    "load",
    "open",
    "open_sync",
    "option",
    "parse",
    "testing",
    "translators",
    "volspec",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
