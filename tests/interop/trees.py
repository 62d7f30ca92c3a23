"""A tree with one of everything that a file system can hold: filling it, changing it, and telling all that is in it.

On a mount this runs in a process of its own, which can be timed out:

    in_child(fill, mount.path)
    assert in_child(seen, mount.path) == seen(plain)
"""

import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[2]

LONG = "n" * 255
DEEP = 60
"""Levels: the kernel alone follows 40 symlinks, as which the handles of directories stand for each other."""
ODD_NAMES = ("a\nb", os.fsdecode(b"\xff\xfe\x80"), "-rf", " ", "\u00fc\u4e2d", "back\\slash", LONG)
SPARSE_BYTES = 8 << 20
ATIME = 2 * 10**18
"""In 2033: reading a file moves no atime that lies ahead."""
MTIME = 10**18 + 123_456_789

Tree = dict[str, dict[str, Any]]


# --- filling ---------------------------------------------------------------------------------------------------------


def fill(root: Path) -> None:
    files(root)
    special_files(root)
    directories(root)
    attributes(root)
    set_times(root)


def files(root: Path) -> None:
    (root / "plain").write_bytes(bytes(range(256)) * 1200)
    (root / "empty").touch()
    with (root / "sparse").open("wb") as file:
        file.truncate(SPARSE_BYTES)
        file.seek(SPARSE_BYTES // 2)
        file.write(b"in the middle")
    (root / "odd").mkdir()
    for name in ODD_NAMES:
        (root / "odd" / name).write_text(f"the contents of {name!r}", errors="surrogateescape")
    (root / "d" / "e").mkdir(parents=True)
    (root / "linked").write_text("one file, three names")
    for other in ("d/linked", "d/e/third"):
        os.link(root / "linked", root / other)
    (root / "came").write_text("renamed")
    (root / "gone").write_text("replaced")
    os.rename(root / "came", root / "gone")
    (root / "removed").write_text("x")
    os.unlink(root / "removed")
    os.rename(root / "d/linked", root / "d/e/moved link")
    os.link(root / "gone", root / "second")
    os.unlink(root / "second")


def special_files(root: Path) -> None:
    folder = root / "special"
    folder.mkdir()
    os.mkfifo(folder / "fifo", 0o640)
    os.mknod(folder / "socket", stat.S_IFSOCK | 0o600)
    os.mknod(folder / "character", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(folder / "block", stat.S_IFBLK | 0o660, os.makedev(7, 99))
    os.symlink("../plain", folder / "relative")
    os.symlink("/nowhere/" + "x" * 1000, folder / "dangling")
    os.symlink(os.fsdecode(b"\xff\n"), folder / "no text")
    os.symlink("../d", folder / "to a directory")
    os.link(folder / "dangling", folder / "dangling too", follow_symlinks=False)


def directories(root: Path) -> None:
    (root / "from" / "inner").mkdir(parents=True)
    (root / "from" / "inner" / "file").write_text("moved with its directory")
    (root / "to" / "replaced").mkdir(parents=True)
    os.rename(root / "from" / "inner", root / "to" / "replaced")
    (root / "to be removed").mkdir()
    os.rmdir(root / "to be removed")
    deep = root
    for level in range(DEEP):
        deep /= f"level-{level}"
        deep.mkdir()
    (deep / "bottom").write_text("far down")


def attributes(root: Path) -> None:
    for name, mode in (("4755", 0o4755), ("2750", 0o2750), ("0000", 0o000), ("0444", 0o444), ("1666", 0o1666)):
        file = root / f"mode {name}"
        file.write_text(name)
        os.chown(file, 12, 34)
        os.chmod(file, mode)
    for name, mode in (("1777", 0o1777), ("2775", 0o2775), ("0000", 0o000)):
        folder = root / f"directory {name}"
        folder.mkdir()
        os.chown(folder, 56, 78)
        os.chmod(folder, mode)
    (root / "directory 2775" / "inherits the group").touch()
    os.chown(root / "special" / "dangling", 12, 34, follow_symlinks=False)
    for path in (root / "plain", root / "d"):
        os.setxattr(path, "user.binary", bytes(range(200)))
        os.setxattr(path, "user.ümlaut", b"value")
        os.setxattr(path, "user.removed", b"x")
        os.removexattr(path, "user.removed")


def set_times(root: Path) -> None:
    """The same whenever it was filled: an mtime of its own to the nanosecond for each object."""
    inodes: dict[int, int] = {}
    with closing(Local(root)) as tree:
        for number, path in enumerate(sorted(all_paths(tree))):
            mtime = inodes.setdefault(tree.lstat(path).st_ino, MTIME + number * 1_000_000_007)
            os.utime(tree.at(path), ns=(ATIME, mtime), follow_symlinks=False)


def change(root: Path) -> None:
    """What changes names of files that have several, and of directories that hold something."""
    os.rename(root / "linked", root / "d" / "linked again")
    os.unlink(root / "d/e/third")
    os.link(root / "plain", root / "odd" / "plain too")
    os.rename(root / "to", root / "d" / "e" / "went")
    os.rename(root / "special" / "fifo", root / "fifo")
    os.unlink(root / "special" / "dangling")
    with (root / "plain").open("ab") as file:
        file.write(b"appended")
    with (root / "sparse").open("r+b") as file:
        file.truncate(SPARSE_BYTES // 4)
    os.chmod(root / "mode 0444", 0o400)
    set_times(root)


def hold_and_remove(root: Path) -> None:
    """Remove a file that is open, and say so; keep it open until the input ends."""
    with (root / "held").open("wb") as file:
        file.write(b"nobody else can see this")
        os.unlink(root / "held")
        print("held", flush=True)
        sys.stdin.read()


# --- telling ---------------------------------------------------------------------------------------------------------


class Reading(Protocol):
    """What telling takes. Paths are relative, with "" for the root."""

    def listdir(self, path: str) -> list[str]: ...
    def lstat(self, path: str) -> os.stat_result: ...
    def readlink(self, path: str) -> str: ...
    def read(self, path: str) -> bytes: ...
    def xattrs(self, path: str) -> dict[str, bytes]: ...


class Local:
    """A local folder. Directories are kept open: on a mount without caches a long path is one round trip a level."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: dict[str, int] = {}

    def at(self, path: str) -> str:
        """The last name below its open directory."""
        if not path:
            return str(self.root)
        folder, _, name = path.rpartition("/")
        if folder not in self._open:
            self._open[folder] = os.open(self.at(folder), os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._open[folder]}/{name}"

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def listdir(self, path: str) -> list[str]:
        return os.listdir(self.at(path))

    def lstat(self, path: str) -> os.stat_result:
        return os.lstat(self.at(path))

    def readlink(self, path: str) -> str:
        return os.readlink(self.at(path))

    def read(self, path: str) -> bytes:
        return Path(self.at(path)).read_bytes()

    def xattrs(self, path: str) -> dict[str, bytes]:
        at = self.at(path)
        return {name: os.getxattr(at, name, follow_symlinks=False) for name in os.listxattr(at, follow_symlinks=False)}


def seen(root: Path) -> Tree:
    with closing(Local(root)) as tree:
        return told(tree)


def all_paths(tree: Reading) -> Iterator[str]:
    """Each before what is in it; of a brick's root not its own folder."""
    todo = [""]
    while todo:
        path = todo.pop()
        yield path
        if stat.S_ISDIR(tree.lstat(path).st_mode):
            todo += [f"{path}/{name}".lstrip("/") for name in tree.listdir(path) if path or name != ".glusterfs"]


def told(tree: Reading) -> Tree:
    """All of it; but no ctime, which nobody can set, and no link counts of directories."""
    return {path: _told(tree, path) for path in all_paths(tree)}


def _told(tree: Reading, path: str) -> dict[str, Any]:
    st = tree.lstat(path)
    about: dict[str, Any] = {"uid": st.st_uid, "gid": st.st_gid, "mode": f"{st.st_mode:o}"}
    about["mtime"], about["atime"] = st.st_mtime_ns, st.st_atime_ns
    about["xattrs"] = {key: value.hex() for key, value in tree.xattrs(path).items() if key.startswith("user.")}
    if not stat.S_ISDIR(st.st_mode):
        about["nlink"] = st.st_nlink
    if stat.S_ISREG(st.st_mode):
        about["size"], about["contents"] = st.st_size, hashlib.sha256(tree.read(path)).hexdigest()
        about["holes"] = st.st_blocks * 512 < st.st_size // 2
    elif stat.S_ISLNK(st.st_mode):
        about["target"] = tree.readlink(path)
    elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        about["device"] = st.st_rdev
    return about


def all_times(root: Path) -> dict[str, list[int]]:
    """ctime, mtime and atime of each object."""
    with closing(Local(root)) as tree:
        stats = {path: tree.lstat(path) for path in all_paths(tree)}
    return {path: [st.st_ctime_ns, st.st_mtime_ns, st.st_atime_ns] for path, st in stats.items()}


# --- in a process of its own -----------------------------------------------------------------------------------------


def in_child(work: Callable[[Path], Any], root: Path) -> Any:
    """What `work` returns (JSON says it), a minute at most."""
    child = subprocess.run(child_command(work, root), cwd=ROOT, capture_output=True, text=True, timeout=60)
    if child.returncode:
        raise RuntimeError(f"{work.__name__} {root}: {child.stderr}")
    return json.loads(child.stdout)


def child_command(work: Callable[[Path], Any], root: Path) -> list[str]:
    return [sys.executable, "-m", "tests.interop.trees", work.__name__, str(root)]


if __name__ == "__main__":
    os.umask(0o022)
    answer = globals()[sys.argv[1]](Path(sys.argv[2]))
    if sys.argv[1] != hold_and_remove.__name__:
        print(json.dumps(answer))
