"""What kind of file system a directory lies on, found out without touching it: one whose server is gone would hang."""

from __future__ import annotations

import errno
import os
import re

from ....graph.disk import Disk

MAY_HANG = frozenset(
    ("9p", "afs", "autofs", "ceph", "cifs", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2")
) | frozenset(("orangefs", "smb3", "smbfs", "virtiofs"))
"""File systems that wait for a server, by name; besides all that begin with `fuse`."""

LINKS_MAX = 40
"""As many symlinks as Linux follows in one path."""

_OCTAL = re.compile(rb"\\([0-7]{3})")


def may_hang(disk: Disk, directory: str) -> bool:
    """Whether a directory lies on a file system that waits for a server. False where that cannot be found out."""
    try:
        kinds = _kinds(disk.mounts())
        return any(_waits(kind) for kind in _met(disk, os.fsencode(directory), kinds))
    except OSError:
        return False


def _waits(kind: str) -> bool:
    return kind in MAY_HANG or (kind.startswith("fuse") and kind not in ("fuseblk", "fusectl"))


def _kinds(table: bytes) -> dict[bytes, str]:
    """File system types by mount point; of several at one place the last lies on top."""
    kinds: dict[bytes, str] = {}
    for line in table.splitlines():
        left, _, right = line.partition(b" - ")
        fields, kind = left.split(b" "), right.partition(b" ")[0]
        if len(fields) > 4:
            kinds[_OCTAL.sub(lambda octal: bytes((int(octal[1], 8),)), fields[4])] = kind.decode(errors="replace")
    return kinds


def _met(disk: Disk, directory: bytes, kinds: dict[bytes, str]) -> list[str]:
    """The file systems on the way to a directory, as far as the first that may hang: nothing beyond is touched."""
    met = [kinds.get(b"/", "")]
    here, rest, links = b"", directory.split(b"/")[::-1], 0
    while rest and not _waits(met[-1]):
        name = rest.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            here = here.rpartition(b"/")[0]
            continue
        path = here + b"/" + name
        if path in kinds:
            met.append(kinds[path])
            here = path
            continue
        try:
            target = disk.readlink(path)
        except OSError as error:
            if error.errno != errno.EINVAL:  # nothing is there, or not to be seen: opening it will say so
                break
            here = path
            continue
        links += 1
        if links > LINKS_MAX:
            break
        if target.startswith(b"/"):
            here = b""
        rest += target.split(b"/")[::-1]
    return met
