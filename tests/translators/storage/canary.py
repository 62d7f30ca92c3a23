"""A tree outside of a brick that nobody may touch, and programs that swap names inside."""

import ctypes
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CANARY = b"CANARY"
AT_FDCWD, RENAME_EXCHANGE = -100, 2

_renameat2 = ctypes.CDLL(None, use_errno=True).renameat2


def exchange(one: Path, other: Path) -> None:
    """Two names of the disk, in one step."""
    if _renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(one))


def make_canary(above: Path) -> Path:
    """A tree outside, with the names that the tree inside has, and contents that would betray it."""
    canary = above / "outside"
    for folder in (canary, canary / "s"):
        folder.mkdir()
        for name in ("f", "g", "CANARY-name"):
            (folder / name).write_bytes(CANARY)
            (folder / name).chmod(0o666)
    os.symlink("CANARY", canary / "link")
    (canary / "empty").mkdir()
    for path in [canary, *canary.rglob("*")]:
        os.utime(path, (1, 1), follow_symlinks=False)
    return canary


def picture(canary: Path) -> dict[str, Any]:
    """All of it that could be changed."""
    seen = {}
    for path in sorted([canary, *canary.rglob("*")]):
        st = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(st.st_mode) else b""
        keys = {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)}
        seen[str(path)] = st.st_mode, st.st_nlink, st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns, content, keys
    return seen


EXCHANGES = """
import ctypes, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print(count)))
swap, count = ctypes.CDLL(None).renameat2, 0
names = [os.fsencode(name) for name in sys.argv[1:]]
print("ready", flush=True)
while True:
    for one, other in zip(names[::2], names[1::2]):
        count += not swap(-100, one, -100, other, 2)
"""
"""A program: each two names are exchanged, again and again; told to end, it says how often."""

DANCES = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print(count)))
count = 0
print("ready", flush=True)
while True:
    for one, other in zip(sys.argv[1::2], sys.argv[2::2]):
        for old, new in ((one, one + ".away"), (other, one), (one, other), (one + ".away", one)):
            try:
                os.rename(old, new)
                count += 1
            except OSError:
                pass
"""
"""The same in three renames, so that there are moments in which a name stands for nothing."""


@contextmanager
def swapping(program: str, *paths: Path) -> Iterator[list[int]]:
    """Within, the program runs; the list has the number of its swaps in the end."""
    swaps: list[int] = []
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, paths)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        try:
            yield swaps
        finally:
            running.terminate()
            swaps.append(int(running.stdout.read().split()[-1]))
