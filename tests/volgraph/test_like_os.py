"""The Volume API answers as `os` does: each call of the table is made on a directory and on a volume that are alike."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from volgraph import Volume

pytestmark = pytest.mark.anyio

CALLS: list[tuple[Any, ...]] = [
    ("stat", "file"),
    ("stat", "file/"),
    ("stat", "dir"),
    ("stat", "dir/"),
    ("stat", "dir/."),
    ("stat", "dir/.."),
    ("stat", "dir/../file"),
    ("stat", "file/.."),
    ("stat", "file/x"),
    ("stat", "missing"),
    ("stat", "missing/x"),
    ("stat", "to-file"),
    ("stat", "to-file/"),
    ("stat", "to-dir"),
    ("stat", "to-dir/inner"),
    ("stat", "to-dir/../file"),
    ("stat", "dangling"),
    ("stat", "loop"),
    ("stat", "loop/x"),
    ("stat", "dir/up/file"),
    ("stat", "./dir//./inner"),
    ("stat", "x" * 256),
    ("stat", ""),
    ("lstat", "to-file"),
    ("lstat", "to-dir"),
    ("lstat", "to-dir/"),
    ("lstat", "dangling"),
    ("lstat", "loop"),
    ("listdir", "."),
    ("listdir", "dir"),
    ("listdir", "to-dir"),
    ("listdir", "empty"),
    ("listdir", "file"),
    ("listdir", "missing"),
    ("readlink", "to-file"),
    ("readlink", "dangling"),
    ("readlink", "loop"),
    ("readlink", "file"),
    ("readlink", "dir"),
    ("readlink", "missing"),
    ("mkdir", "new"),
    ("mkdir", "new/"),
    ("mkdir", "dir"),
    ("mkdir", "file"),
    ("mkdir", "dangling"),
    ("mkdir", "missing/new"),
    ("mkdir", "file/new"),
    ("mkdir", "to-dir/new"),
    ("mkdir", "x" * 255),
    ("mkdir", "x" * 256),
    ("mkdir", b"\xff\xfe"),
    ("mkdir", "line\nfeed"),
    ("unlink", "file"),
    ("unlink", "to-file"),
    ("unlink", "to-dir"),
    ("unlink", "dangling"),
    ("unlink", "loop"),
    ("unlink", "dir"),
    ("unlink", "missing"),
    ("unlink", "file/x"),
    ("unlink", "file/"),
    ("rmdir", "empty"),
    ("rmdir", "empty/"),
    ("rmdir", "dir"),
    ("rmdir", "file"),
    ("rmdir", "to-dir"),
    ("rmdir", "to-dir/"),
    ("rmdir", "missing"),
    ("rmdir", "empty/."),
    ("rename", "file", "new"),
    ("rename", "file", "dir/new"),
    ("rename", "file", "to-dir/new"),
    ("rename", "file", "other"),
    ("rename", "file", "file"),
    ("rename", "file", "twin"),
    ("rename", "file", "dir"),
    ("rename", "file", "dangling"),
    ("rename", "file", "missing/new"),
    ("rename", "file", "new/"),
    ("rename", "dir", "new"),
    ("rename", "dir", "new/"),
    ("rename", "dir", "empty"),
    ("rename", "dir", "full"),
    ("rename", "dir", "file"),
    ("rename", "dir", "dir/into-itself"),
    ("rename", "dir", "dir/sub/into-itself"),
    ("rename", "dangling", "new"),
    ("rename", "missing", "new"),
    ("rename", "file/x", "new"),
    ("link", "file", "new"),
    ("link", "file", "dir/new"),
    ("link", "file", "other"),
    ("link", "dir", "new"),
    ("link", "to-file", "new"),
    ("link", "missing", "new"),
    ("link", "file", "missing/new"),
    ("symlink", "anything", "new"),
    ("symlink", "anything", "file"),
    ("symlink", "anything", "missing/new"),
    ("symlink", "", "new"),
    ("truncate", "file", 3),
    ("truncate", "file", 300),
    ("truncate", "to-file", 0),
    ("truncate", "dir", 0),
    ("truncate", "missing", 0),
    ("truncate", "file", -1),
    ("chmod", "file", 0o640),
    ("chmod", "to-file", 0o604),
    ("chmod", "dir", 0o750),
    ("chmod", "missing", 0o600),
    ("utime", "file", (1.5, 2.25)),
    ("utime", "to-file", (3, 4)),
    ("utime", "missing", None),
    ("makedirs", "a/b/c"),
    ("makedirs", "dir/new"),
    ("makedirs", "dir"),
    ("makedirs", "file/new"),
    ("makedirs", "file"),
]

OF_PATHS: list[tuple[Any, ...]] = [
    ("stat", "to-slash"),
    ("stat", "to-file-slash"),
    ("stat", "to-file-dot"),
    ("lstat", "to-file-slash"),
    ("mkdir", "new/."),
    ("mkdir", "file/"),
    ("mkdir", "dir/."),
    ("mkdir", "dir/.."),
    ("mkdir", "dangling/"),
    ("unlink", "dir/"),
    ("unlink", "dir/."),
    ("unlink", "dir/.."),
    ("unlink", "file/."),
    ("unlink", "missing/."),
    ("unlink", "to-file-slash"),
    ("unlink", "to-file-slash/"),
    ("rmdir", "dir/.."),
    ("rmdir", "dir/sub/.."),
    ("rmdir", "file/."),
    ("rmdir", "missing/."),
    ("rmdir", "missing/.."),
    ("rename", "file", "dir/."),
    ("rename", "file", "missing/."),
    ("rename", "dir/.", "new"),
    ("rename", "dir/sub/..", "new"),
    ("rename", "missing/.", "new"),
    ("rename", "missing/x", "dir/."),
    ("rename", "missing", "dir/."),
    ("rename", "dir/.", "missing/x"),
    ("rename", "dir", "to-dir/"),
    ("rename", "to-dir/", "new"),
    ("link", "file", "new/"),
    ("link", "file", "other/"),
    ("link", "file/", "new"),
    ("link", "file", "dir/."),
    ("symlink", "anything", "new/"),
    ("symlink", "anything", "new/."),
    ("symlink", "anything", "file/"),
    ("mknod", "new"),
    ("mknod", "new/"),
    ("mknod", "file"),
    ("mknod", "dir/."),
    ("write_bytes", "new", b"x"),
    ("write_bytes", "new/", b"x"),
    ("write_bytes", "new/.", b"x"),
    ("write_bytes", "file", b"x"),
    ("write_bytes", "file/", b"x"),
    ("write_bytes", "file/.", b"x"),
    ("write_bytes", "dir", b"x"),
    ("write_bytes", "dir/..", b"x"),
    ("write_bytes", "missing/new/", b"x"),
    ("write_bytes", "file/new/", b"x"),
    ("write_bytes", "loop/new/", b"x"),
    ("write_bytes", "x" * 256 + "/", b"x"),
    ("write_bytes", "dangling", b"x"),
    ("write_bytes", "dangling-slash", b"x"),
    ("write_bytes", "dangling-dot", b"x"),
    ("write_bytes", "to-slash", b"x"),
    ("write_bytes", "to-slash/new", b"x"),
    ("write_bytes", "to-file-slash", b"x"),
    ("write_bytes", "to-file-dot", b"x"),
    ("write_bytes", "to-long/", b"x"),
    ("truncate", "file/", 0),
    ("truncate", "to-file-slash", 0),
    ("listdir", "to-slash"),
]
"""What a slash or a dot behind a name means: that is found out above every stack."""


class Directory:
    """`os`, on paths below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = os.fsencode(root)

    def call(self, name: str, *args: Any) -> Any:
        paths = {"rename": 2, "link": 2, "symlink": 2}.get(name, 1)
        first = 1 if name == "symlink" else 0
        placed = [
            self.root + b"/" + os.fsencode(arg) if first <= number < paths and arg != "" else arg
            for number, arg in enumerate(args)
        ]
        if name == "listdir":
            return sorted(os.fsdecode(each) for each in os.listdir(placed[0]))
        if name == "write_bytes":
            with open(placed[0], "wb", buffering=0) as file:
                return file.write(placed[1])
        answer = getattr(os, name)(*placed)
        return os.fsdecode(answer) if name == "readlink" else answer


def prepare(root: Path) -> None:
    for name in ("dir", "dir/sub", "empty", "full"):
        (root / name).mkdir()
    for name in ("file", "other", "dir/inner", "full/x"):
        (root / name).write_bytes(name.encode())
    os.link(root / "file", root / "twin")
    for name, target in LINKS.items():
        os.symlink(target, root / name)


LINKS = {"to-file": "file", "to-dir": "dir", "dangling": "nowhere", "loop": "loop", "dir/up": "../"}
LINKS |= {"to-slash": "dir/", "to-file-slash": "file/", "to-file-dot": "file/."}
LINKS |= {"dangling-slash": "new/", "dangling-dot": "new/.", "to-long": "x" * 256}


async def prepare_volume(vol: Volume) -> None:
    for name in ("dir", "dir/sub", "empty", "full"):
        await vol.mkdir(name)
    for name in ("file", "other", "dir/inner", "full/x"):
        await vol.write_bytes(name, name.encode())
    await vol.link("file", "twin")
    for name, target in LINKS.items():
        await vol.symlink(target, name)


def plain(answer: Any) -> Any:
    """What of an answer must be equal on both."""
    if isinstance(answer, os.stat_result):
        size = 0 if stat.S_ISDIR(answer.st_mode) else answer.st_size
        return answer.st_mode, size
    return answer


def tree_of(root: Path) -> dict[str, Any]:
    """Every name with its mode, size, links, and contents; times only where a test sets them."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            st = os.lstat(path)
            text = os.readlink(path) if stat.S_ISLNK(st.st_mode) else ""
            data = Path(path).read_bytes() if stat.S_ISREG(st.st_mode) else b""
            links = 0 if stat.S_ISDIR(st.st_mode) else st.st_nlink
            old = st.st_mtime_ns if st.st_mtime < 100 else None
            found[os.path.relpath(path, root)] = (st.st_mode, links, text, data, old)
    return found


async def tree_of_volume(vol: Volume) -> dict[str, Any]:
    found = {}
    async for above, folders, others in vol.walk("/"):
        for name in (*folders, *others):
            path = os.path.join(above, name)
            st = await vol.lstat(path)
            text = await vol.readlink(path) if stat.S_ISLNK(st.st_mode) else ""
            data = await vol.read_bytes(path) if stat.S_ISREG(st.st_mode) else b""
            links = 0 if stat.S_ISDIR(st.st_mode) else st.st_nlink
            old = st.st_mtime_ns if st.st_mtime < 100 else None
            found[os.path.relpath(path, "/")] = (st.st_mode, links, text, data, old)
    return found


async def outcome(answer: Any) -> Any:
    """The answer, or the errno."""
    try:
        return plain(await answer if hasattr(answer, "__await__") else answer())
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def shown(call: tuple[Any, ...]) -> str:
    return f"{call[0]} {' '.join(map(repr, call[1:]))}"[:60]


@pytest.mark.parametrize("call", CALLS, ids=shown)
async def test_a_call_answers_and_leaves_the_tree_as_it_does_on_a_directory(
    vol: Volume, tmp_path: Path, call: tuple[Any, ...]
) -> None:
    await compare(vol, tmp_path, call)


@pytest.mark.parametrize("call", OF_PATHS, ids=shown)
async def test_a_slash_or_a_dot_behind_a_name_means_what_it_means_in_a_directory(
    scratch: Volume, tmp_path: Path, call: tuple[Any, ...]
) -> None:
    await compare(scratch, tmp_path, call)


async def compare(vol: Volume, tmp_path: Path, call: tuple[Any, ...]) -> None:
    name, *args = call
    root = tmp_path / "like"
    root.mkdir()
    prepare(root)
    await prepare_volume(vol)
    directory = Directory(root)

    expected = await outcome(lambda: directory.call(name, *args))
    answer = await outcome(getattr(vol, name)(*args))

    assert (sorted(answer) if name == "listdir" and isinstance(answer, list) else answer) == expected
    assert await tree_of_volume(vol) == tree_of(root)
