"""Which class a type name stands for: entry points of the group `volgraph.translators`, loaded on first use.

The built-in types use the same group as everybody's plugins. A spec can never name a module.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata

from .translator import Translator

GROUP = "volgraph.translators"

KNOWN_TO_GLUSTERFS = frozenset(
    (
        *("cluster/" + name for name in ("dht", "disperse", "nufa", "stripe", "switch", "ha", "map", "random")),
        "debug/sink",
        *("encryption/" + name for name in ("crypt", "rot-13")),
        *("features/" + name for name in ("access-control", "arbiter", "bit-rot", "bitrot-stub", "cloudsync")),
        *("features/" + name for name in ("changetimerecorder", "compress", "filter", "fixed-id", "leases")),
        *("features/" + name for name in ("mac-compat", "marker", "namespace", "quiesce", "quota")),
        *("features/" + name for name in ("sdfs", "selinux", "shard", "simple-quota", "snapview-client")),
        *("features/" + name for name in ("snapview-server", "thin-arbiter", "trash", "upcall", "worm")),
        *("mgmt/glusterd", "mount/fuse", "nfs/server", "storage/bd", "storage/bdb", "system/posix-acl"),
    )
)
"""Types of GlusterFS that are not built here (yet); one that is registered under such a name counts as built."""


class Types(Mapping[str, type[Translator]]):
    """The installed types, with a caller's own ones in front."""

    def __init__(self, own: Mapping[str, type[Translator]] | None = None) -> None:
        self._own = dict(own or {})

    def __getitem__(self, name: str) -> type[Translator]:
        own = self._own.get(name)
        if own is not None:
            return own
        return _load(*_entry_points()[name])

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._own, *_entry_points()}))

    def __len__(self) -> int:
        return len({*self._own, *_entry_points()})

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in _entry_points()


def load_class(reference: str) -> type[Translator]:
    """The class behind `module:Class`, for `--plugin`. ValueError says what is wrong with the reference."""
    module, _, name = reference.partition(":")
    if not module or not name:
        raise ValueError(f"'{reference}' names no class: write module:Class")
    return _load(metadata.EntryPoint(name=reference, value=reference, group=GROUP))


@cache
def _entry_points() -> dict[str, tuple[metadata.EntryPoint, ...]]:
    """By type. One that several packages declare is an error for whoever uses it, not for everybody."""
    found: dict[str, tuple[metadata.EntryPoint, ...]] = {}
    for entry in metadata.entry_points(group=GROUP):
        others = found.get(entry.name, ())
        if entry.value not in (other.value for other in others):
            found[entry.name] = (*others, entry)
    return found


def _load(entry: metadata.EntryPoint, *others: metadata.EntryPoint) -> type[Translator]:
    if others:
        values = ", ".join(each.value for each in (entry, *others))
        raise ValueError(f"several packages declare the type {entry.name}: {values}")
    try:
        loaded = entry.load()
    except Exception as error:  # whatever somebody else's module raises
        raise ValueError(f"cannot load {entry.value}: {_in_one_line(error)}") from error
    if not (isinstance(loaded, type) and issubclass(loaded, Translator)):
        raise ValueError(f"{entry.value} is not a Translator class")
    return loaded


def _in_one_line(error: Exception) -> str:
    """What happened, and where, in somebody else's module."""
    said = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, ImportError | AttributeError | SyntaxError):  # these say where
        return said
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {said} ({place.filename}:{place.lineno})"
