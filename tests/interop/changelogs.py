"""What replication has left on a brick: the counters of each object, and what the indices name; by path."""

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import attrs

PREFIX = "trusted.afr."
IDENTITY = ".volgraph-id"
MOVED = ".volgraph-moved"
GFID = "trusted.gfid"

Counters = tuple[int, int, int]
"""Data, metadata, entry."""
Marks = dict[str, Counters]
"""By `dirty`, or the index of the child that is blamed, or of one that missed a move of the object, as `1 moved`. What
is zero is left out."""


@attrs.frozen
class Found:
    """What one brick has of one object."""

    kind: str = "nothing"
    marks: Marks = attrs.field(factory=dict)


NOTHING = Found()


@attrs.frozen
class Left:
    """All that one brick says of a tree. Paths are relative to its top, which is "."."""

    objects: dict[str, Found]
    indices: dict[str, set[str]]
    """`xattrop` and `dirty`: the objects they name."""
    changed_names: dict[str, set[str]]
    """The index `entry-changes`: directories, and names in them."""


def left_on(bricks: Sequence[Path], top: str) -> list[Left]:
    """What is below the same folder of each brick."""
    tops = [brick / top for brick in bricks]
    objects = [paths(each) for each in tops]
    names = [
        {os.getxattr(path, GFID, follow_symlinks=False): str(path.relative_to(each)) for path in found}
        for each, found in zip(tops, objects, strict=True)
    ]
    everywhere = {gfid: name for known in names for gfid, name in known.items()}  # an index may name what is gone
    return [
        _left(brick, brick / top, found, {**everywhere, **known})
        for brick, found, known in zip(bricks, objects, names, strict=True)
    ]


def _left(brick: Path, top: Path, objects: Sequence[Path], names: dict[bytes, str]) -> Left:
    indices = brick / ".glusterfs/indices"

    def named(index: str) -> dict[str, Path]:
        """What an index names of this tree. Its own files have no gfid's name."""
        found = {}
        for path in indices.joinpath(index).iterdir() if indices.joinpath(index).is_dir() else ():
            if not path.name.startswith(index):
                name = names.get(bytes.fromhex(path.name.replace("-", "")))
                if name is not None:
                    found[name] = path
        return found

    return Left(
        objects={str(path.relative_to(top)): Found(kind_of(path), marks_of(path)) for path in objects},
        indices={index: set(named(index)) for index in ("xattrop", "dirty")},
        changed_names={name: set(os.listdir(path)) for name, path in named("entry-changes").items()},
    )


def paths(top: Path) -> list[Path]:
    found = [top]
    for folder, folders, files in os.walk(top):
        found += [Path(folder, name) for name in (*folders, *files)]
    return found


def kind_of(path: Path) -> str:
    if path.is_symlink():
        return "symlink"
    return "directory" if path.is_dir() else "file" if path.is_file() else "special file"


def marks_of(path: Path) -> Marks:
    found: Marks = {}
    for name in os.listxattr(path, follow_symlinks=False):
        if name.startswith(PREFIX) and not name.endswith(IDENTITY):
            value = os.getxattr(path, name, follow_symlinks=False)
            if any(value):
                data, metadata, entry = struct.unpack(">3I", value)
                key = name.removeprefix(PREFIX).removesuffix(MOVED).rpartition("-")[2]
                found[f"{key} moved" if name.endswith(MOVED) else key] = data, metadata, entry
    return found
