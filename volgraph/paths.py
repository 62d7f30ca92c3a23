"""Paths to objects: each component is looked up, symlinks are followed and `..` is walked, as a kernel does it."""

from __future__ import annotations

import errno
import os
from collections import deque
from typing import AnyStr

import attrs

from .caller import Caller
from .errors import StrPath
from .graph import NULL_GFID, ROOT_GFID, Gfid, Iatt, Loc, fail

SYMLINKS_MAX = 40
TARGET_BYTES_MAX = 4096


@attrs.define
class Place:
    """A name in a directory and what stands there; `iatt` is None where nothing does. The root has no name."""

    parent: Gfid
    name: bytes
    iatt: Iatt | None

    @property
    def loc(self) -> Loc:
        return Loc(NULL_GFID if self.iatt is None else self.iatt.gfid, self.parent, self.name)

    @property
    def is_root(self) -> bool:
        return not self.name

    @property
    def found(self) -> Iatt:
        """What stands there. ENOENT."""
        if self.iatt is None:
            raise fail(errno.ENOENT)
        return self.iatt


def components(path: bytes) -> list[bytes]:
    return [name for name in path.split(b"/") if name not in (b"", b".")]


def as_bytes(path: StrPath) -> bytes:
    """The bytes of a path. ENOENT an empty one; ValueError one with a NUL."""
    raw = os.fsencode(path)
    if not raw:
        raise fail(errno.ENOENT)
    if b"\0" in raw:
        raise ValueError("embedded null byte")
    return raw


def as_given(path: AnyStr | os.PathLike[AnyStr], name: bytes) -> AnyStr:
    """A name in the type of the path that was asked for."""
    raw = os.fspath(path)
    return name if isinstance(raw, bytes) else os.fsdecode(name)


def wants_directory(path: bytes) -> bool:
    """A path that can only mean a directory: `a/`, `a/.`, `a/..`."""
    return path.endswith(b"/") or path.rpartition(b"/")[2] in (b".", b"..")


def ends_in_dots(path: bytes) -> bool:
    """Its last component is `.` or `..`: not a name that could be removed or moved."""
    return path.rstrip(b"/").rpartition(b"/")[2] in (b".", b"..")


def steps(path: bytes, *, slash: bool) -> list[bytes]:
    """The components of a path; and where the last of them has to be a directory, what says so: a dot, or, if that is
    to be told, nothing behind a slash."""
    end = [b"."] if ends_in_dots(path) else [b""] if slash and path.endswith(b"/") else []
    return components(path) + end


@attrs.define(eq=False)
class Paths:
    """Resolves paths from the root of the volume. Nothing is remembered from one path to the next."""

    caller: Caller

    async def find(self, path: StrPath, *, follow: bool = True) -> Place:
        """The object that a path names. ENOENT ENOTDIR ELOOP."""
        raw = as_bytes(path)
        place = await self.place(path, follow=follow or wants_directory(raw))
        if wants_directory(raw) and not place.found.is_dir:
            raise fail(errno.ENOTDIR)
        place.found  # noqa: B018 (raises ENOENT)
        return place

    async def place(self, path: StrPath, *, follow: bool = False, file: bool = False) -> Place:
        """The place that a path names, whether anything stands there or not. ENOENT (a directory on the way) ENOTDIR
        ELOOP. `file`: one may be made there; EISDIR for a name with a slash behind it, whether it is there or not."""
        raw = as_bytes(path)
        todo = deque(steps(raw, slash=file))
        trail = [Place(NULL_GFID, b"", None)]  # the root, whose attributes are asked for only if it is the goal
        links = 0
        while todo:
            name = todo.popleft()
            if name in (b"", b".", b".."):
                if name:
                    await self._search(trail[-1])
                if name == b"..":
                    del trail[max(1, len(trail) - 1) :]
                continue
            if file and len(todo) == 1 and not todo[0]:
                await self._search(trail[-1])
                raise fail(errno.EISDIR)
            place = await self.child(_gfid(trail[-1]), name)
            if place.iatt is None:
                if todo:
                    raise fail(errno.ENOENT)
                return place
            if place.iatt.is_symlink and (todo or follow):
                links += 1
                target = await self.target(place)
                if links > SYMLINKS_MAX or not target:
                    raise fail(errno.ELOOP if target else errno.ENOENT)
                if target.startswith(b"/"):
                    del trail[1:]
                todo.extendleft(reversed(steps(target, slash=True)))
                continue
            if todo and not place.iatt.is_dir:
                raise fail(errno.ENOTDIR)
            trail.append(place)
        if trail[-1].is_root:
            reply = await self.caller.wind(self.caller.top.lookup, self.caller.call, Loc(ROOT_GFID))
            return Place(NULL_GFID, b"", reply.iatt)
        return trail[-1]

    async def _search(self, place: Place) -> None:
        """A step from a directory to itself, or up, asks for the right to search it, as one down does. EACCES."""
        if self.caller.call.uid and not place.is_root:
            await self.caller.wind(self.caller.top.access, self.caller.call, Loc(_gfid(place)), os.X_OK)

    async def nameless(self, path: StrPath) -> bool:
        """Whether a path ends in no name that could be made, moved or removed: in `.` or `..`, or at the root. What is
        wrong on the way there is raised: ENOENT ENOTDIR ELOOP."""
        raw = as_bytes(path)
        if components(raw) and not ends_in_dots(raw):
            return False
        await self.find(raw)
        return True

    async def to_make(self, path: StrPath, *, directory: bool = False) -> Place:
        """The free name of what is to be made. EEXIST; ENOENT (a directory on the way, or a name with a slash behind it
        that is to be none)."""
        if await self.nameless(path):
            raise fail(errno.EEXIST)
        place = await self.place(path)
        if place.iatt is not None:
            raise fail(errno.EEXIST)
        if wants_directory(as_bytes(path)) and not directory:
            raise fail(errno.ENOENT)
        return place

    async def to_remove(self, path: StrPath) -> Place:
        """The name that is to be removed. ENOENT ENOTDIR."""
        place = await self.place(path)
        if wants_directory(as_bytes(path)) and not place.found.is_dir:
            raise fail(errno.ENOTDIR)
        place.found  # noqa: B018 (raises ENOENT)
        return place

    async def child(self, parent: Gfid, name: bytes) -> Place:
        """Look up one name. An object that a brick found without a gfid is given one by this call."""
        try:
            reply = await self.caller.wind(self.caller.top.lookup, self.caller.making(), Loc(parent=parent, name=name))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return Place(parent, name, None)
        return Place(parent, name, reply.iatt)

    async def target(self, place: Place) -> bytes:
        """The text of a symlink."""
        wound = self.caller.top.readlink
        return (await self.caller.wind(wound, self.caller.call, place.loc, TARGET_BYTES_MAX)).target


def _gfid(place: Place) -> Gfid:
    return ROOT_GFID if place.iatt is None else place.iatt.gfid
