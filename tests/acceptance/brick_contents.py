"""What brick directories hold, read from the disk by plain system calls, and where they differ."""

import hashlib
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import attrs

OWN = b".glusterfs"
GFID = "trusted.gfid"


@attrs.frozen
class Object:
    """One name on a brick, in everything that copies must have in common."""

    kind: str
    mode: int
    links: int
    contents: str
    """Size and hash of a file, target of a symlink."""
    xattrs: tuple[tuple[str, bytes], ...]
    gfid: bytes
    """Empty where the brick keeps it elsewhere than on the file."""

    @property
    def as_entry(self) -> "Object":
        """What a namespace knows of it: no contents, and no attributes of a file."""
        is_directory = self.kind == "directory"
        return attrs.evolve(self, contents="", links=0, xattrs=self.xattrs if is_directory else ())


Contents = dict[bytes, Object]


def contents(brick: Path, *, is_brick: bool = True) -> Contents:
    """Every object below a directory, by path. A brick's own records are left out, as is its root."""
    found: Contents = {}
    root = os.fsencode(brick)
    for folder, folders, files in os.walk(root):
        if folder == root:
            folders[:] = [name for name in folders if not name.startswith(OWN)]
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            with suppress(FileNotFoundError):  # it may go while we look
                found[os.path.relpath(path, root)] = _object(path, is_brick)
    return found


def _object(path: bytes, is_brick: bool) -> Object:
    st = os.lstat(path)
    kind, contents, links = "directory", "", 0
    if stat.S_ISLNK(st.st_mode):
        kind, contents = "symlink", os.fsdecode(os.readlink(path))
    elif stat.S_ISREG(st.st_mode):
        with open(path, "rb") as file:
            kind, contents = "file", f"{st.st_size} {hashlib.file_digest(file, 'sha256').hexdigest()}"
    if kind != "directory":
        links = st.st_nlink - (1 if is_brick else 0)  # a brick's handle is one more
    names = os.listxattr(path, follow_symlinks=False)
    xattrs = tuple((name, os.getxattr(path, name)) for name in sorted(names) if name.startswith("user."))
    gfid = os.getxattr(path, GFID, follow_symlinks=False) if GFID in names else b""
    return Object(kind, stat.S_IMODE(st.st_mode), links, contents, xattrs, gfid)


def without_gfids(found: Contents) -> Contents:
    return {path: attrs.evolve(each, gfid=b"") for path, each in found.items()}


def without_links(found: Contents) -> Contents:
    return {path: attrs.evolve(each, links=0) for path, each in found.items()}


def differences(left: Contents, right: Contents) -> list[str]:
    """Where two sets of contents differ; empty if they are equal."""
    found = []
    for path in sorted(left.keys() | right.keys()):
        a, b = left.get(path), right.get(path)
        if a is None or b is None:
            found.append(f"{path!r}: only on the {'right' if a is None else 'left'}: {a or b}")
        elif a != b:
            fields = [name for name in attrs.fields_dict(Object) if getattr(a, name) != getattr(b, name)]
            told = ", ".join(f"{name} {getattr(a, name)!r} / {getattr(b, name)!r}" for name in fields)
            found.append(f"{path!r}: {told}")
    return found


def spread(bricks: Iterable[Path]) -> tuple[Contents, list[str]]:
    """What a unify's children hold together, and what is wrong: a file must be on exactly one of them, a directory on
    all, with the same gfid and mode."""
    parts = {brick.name: contents(brick) for brick in bricks}
    whole: Contents = {}
    wrong: list[str] = []
    for path in sorted({path for part in parts.values() for path in part}):
        holders = {name: part[path] for name, part in parts.items() if path in part}
        first = next(iter(holders.values()))
        if first.kind == "directory":
            if len(holders) != len(parts):
                wrong.append(f"{path!r}: a directory, but only on {', '.join(holders)}")
            if len({(each.kind, each.mode, each.gfid) for each in holders.values()}) > 1:
                wrong.append(f"{path!r}: not alike on {', '.join(holders)}")
        elif len(holders) > 1:
            wrong.append(f"{path!r}: on {', '.join(holders)}")
        whole[path] = first
    return whole, wrong


def entries(found: Contents, *, xattrs: bool) -> Contents:
    """A tree as a namespace has it. `xattrs` says whether directories have theirs there."""
    made = {path: each.as_entry for path, each in found.items()}
    return made if xattrs else {path: attrs.evolve(each, xattrs=()) for path, each in made.items()}


def marks(brick: Path) -> list[str]:
    """Counters of replication that are not zero, and entries in the heal index. Only root can see the counters."""
    found = []
    for folder, folders, files in os.walk(os.fsencode(brick)):
        folders[:] = [name for name in folders if not name.startswith(OWN)]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for path in (folder, *(os.path.join(folder, name) for name in (*links, *files))):
            with suppress(FileNotFoundError):
                found += _counters(path)
    for index in ("xattrop", "dirty"):
        listed = brick / ".glusterfs/indices" / index
        if listed.is_dir():
            found += [f"{brick.name} {index} {name}" for name in os.listdir(listed) if not name.startswith(index)]
    return found


def _counters(path: bytes) -> list[str]:
    names = os.listxattr(path, follow_symlinks=False)
    counters = [name for name in names if name.startswith("trusted.afr.") and not name.endswith(".volgraph-id")]
    values = {name: os.getxattr(path, name, follow_symlinks=False) for name in counters}
    return [f"{path!r}: {name} {value.hex()}" for name, value in values.items() if any(value)]
