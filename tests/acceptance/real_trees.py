"""A real tree of files, made the same way every time, and the changes that happen to it.

The changes are written once, for anything that has the methods of a Volume: so they are also made to a plain local
directory (`LocalFiles`), which then says what every brick must hold.
"""

import asyncio
import os
import random
import shutil
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

SIZES = (0, 1, 100, 511, 1000, 3000, 4095, 4096, 4097, 10_000)
LARGE_SIZES = (65_536, 131_073, 1 << 20, (1 << 20) + 1, 3_000_000)
MODES = (0o644, 0o600, 0o755, 0o444, 0o640, 0o664, 0o400, 0o711)
DIRECTORY_MODES = (0o755, 0o700, 0o2775, 0o1777)
ODD_NAMES = (
    b" leading and trailing ",
    b"-rf",
    b"new\nline",
    b"tab\tquote'double\"back\\slash",
    b"...",
    b"*?[a]",
    b"\xff\xfe not utf-8",
    "naïve-日本語".encode(),
    b"n" * 255,
    b".hidden",
    b"a:b",
    b"#~$;&|",
)
FILES_PER_DIRECTORY = 20


class OpenFile(Protocol):
    async def write(self, data: bytes, /) -> int: ...
    async def pwrite(self, data: bytes, offset: int, /) -> int: ...


class Files(Protocol):
    """What the changes need: a part of a Volume."""

    def open(self, path: bytes, mode: str, /) -> AbstractAsyncContextManager[OpenFile]: ...
    async def write_bytes(self, path: bytes, data: bytes, /) -> int: ...
    async def mkdir(self, path: bytes, mode: int = 0o777, /) -> None: ...
    async def rename(self, old: bytes, new: bytes, /) -> None: ...
    async def unlink(self, path: bytes, /) -> None: ...
    async def rmtree(self, path: bytes, /) -> None: ...
    async def symlink(self, target: bytes, path: bytes, /) -> None: ...
    async def link(self, old: bytes, new: bytes, /) -> None: ...
    async def chmod(self, path: bytes, mode: int, /) -> None: ...
    async def truncate(self, path: bytes, size: int, /) -> None: ...
    async def setxattr(self, path: bytes, name: str, value: bytes, /) -> None: ...
    async def removexattr(self, path: bytes, name: str, /) -> None: ...


# --- the tree ----------------------------------------------------------------------------------------------------


def make_tree(folder: Path, files: int, seed: int = 1) -> None:
    """`files` regular files of all sizes and modes in nested directories, symlinks, and odd names."""
    chance = random.Random(seed)
    folder.mkdir()
    directories = [os.fsencode(folder)]
    for number in range(max(16, files // FILES_PER_DIRECTORY)):
        path = os.path.join(chance.choice(directories[:12]), b"d%d" % number)
        os.mkdir(path)
        directories.append(path)
    names = list(ODD_NAMES)
    for number in range(files):
        name = names.pop() if names and number % 5 == 0 else b"f%d" % number
        _write(os.path.join(chance.choice(directories), name), content(chance, number))
    _make_links(directories, chance)
    for number, path in enumerate(sorted(_files_below(folder))):
        os.chmod(path, MODES[number % len(MODES)])
    for number, path in enumerate(directories[1:]):
        os.chmod(path, DIRECTORY_MODES[number % len(DIRECTORY_MODES)])


def content(chance: random.Random, number: int) -> bytes:
    """Mostly small, some empty, some above 1 MiB; one in fifty has a hole's worth of zeros."""
    size = LARGE_SIZES[number // 60 % len(LARGE_SIZES)] if number % 60 == 7 else SIZES[number % len(SIZES)]
    data = chance.randbytes(size)
    return data[: size // 4] + bytes(size // 2) + data[: size // 4] if number % 50 == 7 else data


def _make_links(directories: list[bytes], chance: random.Random) -> None:
    for number, path in enumerate(directories[1::3]):
        os.symlink(b"../" * (number % 4) + b"d%d" % number, os.path.join(path, b"link%d" % number))
        os.symlink(b"nowhere/" + chance.randbytes(20).hex().encode(), os.path.join(path, b"dangling%d" % number))


def _write(path: bytes, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _files_below(folder: Path) -> list[bytes]:
    found = []
    for path, _, names in os.walk(os.fsencode(folder)):
        found += [os.path.join(path, name) for name in names]
    return [path for path in found if not os.path.islink(path)]


# --- what happens to it ------------------------------------------------------------------------------------------


def plan(folder: Path, seed: int = 2) -> "Plan":
    """Choose what is to happen to the tree that stands in this folder."""
    root = os.fsencode(folder)
    files = [os.path.relpath(path, root) for path in sorted(_files_below(folder))]
    directories = [
        os.path.relpath(os.path.join(path, name), root)
        for path, names, _ in os.walk(root)
        for name in sorted(names)
        if not os.path.islink(os.path.join(path, name))
    ]
    chance = random.Random(seed)
    chance.shuffle(files)
    files.sort(key=lambda path: not os.lstat(os.path.join(root, path)).st_mode & stat.S_IWUSR)  # who is no root may not
    return Plan(files, sorted(directories), chance)


class Plan:
    """A day in the life of a tree: everything that can happen to files and names, several times each."""

    def __init__(self, files: list[bytes], directories: list[bytes], chance: random.Random) -> None:
        self.chance = chance
        share = max(3, len(files) // 40)
        self.some = [files[start : start + share] for start in range(0, 13 * share, share)]
        self.directories = directories

    async def prepare(self, tree: Files, root: bytes) -> None:
        """Give some files the attributes that the changes will take away."""
        for name in self.some[7]:
            await tree.setxattr(root + name, "user.from-before", b"to be removed")

    async def carry_out(self, tree: Files, root: bytes) -> None:
        """Make all the changes below `root`. Each call makes the very same ones."""
        state = self.chance.getstate()
        await self._change_contents(tree, root)
        await self._change_attributes(tree, root)
        await self._change_names(tree, root)
        await self._change_directories(tree, root)
        self.chance.setstate(state)

    async def _change_contents(self, tree: Files, root: bytes) -> None:
        overwritten, appended, patched, cut, grown = self.some[:5]
        for number, name in enumerate(overwritten):
            await tree.write_bytes(root + name, self.chance.randbytes(SIZES[number % len(SIZES)]))
        for name in appended:
            async with tree.open(root + name, "ab") as file:
                await file.write(self.chance.randbytes(777))
        for name in patched:
            async with tree.open(root + name, "r+b") as file:
                await file.pwrite(b"in the middle", 50)
        for name in cut:
            await tree.truncate(root + name, 10)
        for name in grown:
            await tree.truncate(root + name, 5000)

    async def _change_attributes(self, tree: Files, root: bytes) -> None:
        moded, marked, unmarked = self.some[5:8]
        for number, name in enumerate(moded):
            await tree.chmod(root + name, (0o600, 0o751, 0o666)[number % 3])
        for name in marked:
            await tree.setxattr(root + name, "user.colour", self.chance.randbytes(30))
            await tree.setxattr(root + name, "user.empty", b"")
        for name in unmarked:
            await tree.removexattr(root + name, "user.from-before")
        for number, name in enumerate(self.directories[::9]):
            await tree.chmod(root + name, (0o711, 0o770)[number % 2])
            await tree.setxattr(root + name, "user.place", name[:10])

    async def _change_names(self, tree: Files, root: bytes) -> None:
        moved, replaced, removed, replacing, recycled = self.some[8:13]
        goals = self.directories
        for number, name in enumerate(moved):
            await tree.rename(root + name, root + goals[number * 7 % len(goals)] + b"/moved%d" % number)
        for over, name in zip(replaced, replacing, strict=True):
            await tree.rename(root + name, root + over)
        for name in removed:
            await tree.unlink(root + name)
        for number, name in enumerate(recycled):
            await tree.rename(root + name, root + name[:200] + b".old")
            if number % 3 == 0:
                await tree.write_bytes(root + name, b"a new file under an old name")
            elif number % 3 == 1:
                await tree.symlink(b"was a file", root + name)
            else:
                await tree.mkdir(root + name)
                await tree.write_bytes(root + name + b"/inside", b"was a file")
            await tree.link(root + name[:200] + b".old", root + b"linked%d" % number)

    async def _change_directories(self, tree: Files, root: bytes) -> None:
        leaves = [
            name for name in self.directories if not any(other.startswith(name + b"/") for other in self.directories)
        ]
        gone, renamed, moved, became_a_file = leaves[:2], leaves[2], leaves[3], leaves[4]
        for name in gone:
            await tree.rmtree(root + name)
        await tree.rename(root + renamed, root + renamed + b"-renamed")
        await tree.write_bytes(root + renamed + b"-renamed/new", b"in a directory that moved")
        await tree.mkdir(root + b"fresh", 0o750)
        await tree.mkdir(root + b"fresh/deep")
        await tree.rename(root + moved, root + b"fresh/deep/moved here")
        await tree.write_bytes(root + b"fresh/large", self.chance.randbytes(1_500_000))
        await tree.write_bytes(root + b"fresh/empty", b"")
        await tree.symlink(b"deep/moved here", root + b"fresh/link")
        await tree.rmtree(root + became_a_file)
        await tree.write_bytes(root + became_a_file, b"was a directory")
        above = self.directories[0]
        await tree.rename(root + above, root + b"above")  # with all that is below it, and was changed before


class LocalFile:
    def __init__(self, fd: int) -> None:
        self.fd = fd

    async def write(self, data: bytes) -> int:
        return os.write(self.fd, data)

    async def pwrite(self, data: bytes, offset: int) -> int:
        return os.pwrite(self.fd, data, offset)


class LocalFiles:
    """A local directory with the methods that the changes need: what a volume must be like after them."""

    def __init__(self, folder: Path) -> None:
        self.folder = os.fsencode(folder)

    @asynccontextmanager
    async def open(self, path: bytes, mode: str) -> AsyncIterator[OpenFile]:
        with open(self.at(path), mode, buffering=0) as file:
            yield LocalFile(file.fileno())

    def at(self, path: bytes) -> bytes:
        return os.path.join(self.folder, path.lstrip(b"/"))

    async def write_bytes(self, path: bytes, data: bytes) -> int:
        _write(self.at(path), data)
        return len(data)

    async def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        os.mkdir(self.at(path), mode)

    async def rename(self, old: bytes, new: bytes) -> None:
        os.rename(self.at(old), self.at(new))

    async def unlink(self, path: bytes) -> None:
        os.unlink(self.at(path))

    async def rmtree(self, path: bytes) -> None:
        shutil.rmtree(self.at(path))

    async def symlink(self, target: bytes, path: bytes) -> None:
        os.symlink(target, self.at(path))

    async def link(self, old: bytes, new: bytes) -> None:
        os.link(self.at(old), self.at(new))

    async def chmod(self, path: bytes, mode: int) -> None:
        os.chmod(self.at(path), mode)

    async def truncate(self, path: bytes, size: int) -> None:
        os.truncate(self.at(path), size)

    async def setxattr(self, path: bytes, name: str, value: bytes) -> None:
        os.setxattr(self.at(path), name, value)

    async def removexattr(self, path: bytes, name: str) -> None:
        os.removexattr(self.at(path), name)


def main(step: str, tree: str, goal: str) -> None:
    """`python -m tests.acceptance.real_trees fill|change TREE GOAL`: do at GOAL what the plan for TREE says. It is a
    process of its own because a mount may hang."""
    made, files = plan(Path(tree)), LocalFiles(Path(goal))
    if step == "fill":
        shutil.copytree(tree, goal, symlinks=True)
        asyncio.run(made.prepare(files, b""))
    else:
        asyncio.run(made.carry_out(files, b""))


if __name__ == "__main__":
    main(*sys.argv[1:])
