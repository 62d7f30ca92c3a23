"""A state of a disk made real: files in a fresh directory, and the sidecar's database as it was."""

from __future__ import annotations

import os
import sqlite3
import stat as mode_bits

from .power_loss_model import ROOT, Image, Snapshot

DATABASE = b".glusterfs/volgraph.sidecar"


def rebuild(image: Image, directory: str) -> dict[int, int]:
    """Fill an empty directory; returns which object each inode is. The image's database becomes the one here."""
    paths = {ROOT: os.fsencode(directory)}
    for above, name, thing in image.tree():
        path = paths[above] + b"/" + name
        if thing in paths:
            os.link(paths[thing], path, follow_symlinks=False)
        else:
            paths[thing] = path
            _make(image, thing, path)
    for thing, path in paths.items():
        _dress(image, thing, path)
    found = {os.lstat(path).st_ino: thing for thing, path in paths.items()}
    if (ROOT, b".glusterfs") not in image.entries:
        image.database = None
    if image.database is not None:
        image.database = _moved(image.database, found)
        with open(paths[ROOT] + b"/" + DATABASE, "wb") as file:
            file.write(image.database.data)
    return found


def _make(image: Image, thing: int, path: bytes) -> None:
    born = image.objects[thing]
    if born.is_dir:
        os.mkdir(path)
    elif mode_bits.S_ISLNK(born.mode):
        os.symlink(born.target, path)
    elif mode_bits.S_ISREG(born.mode):
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(fd, image.data.get(thing, b""))
        os.close(fd)
    else:
        os.mknod(path, born.mode, born.device)


def _dress(image: Image, thing: int, path: bytes) -> None:
    born = image.objects[thing]
    owner = image.attributes.get((thing, "owner"), born.owner)
    if owner != (os.geteuid(), os.getegid()):
        os.chown(path, *owner, follow_symlinks=False)
    if not mode_bits.S_ISLNK(born.mode):
        os.chmod(path, mode_bits.S_IMODE(image.attributes.get((thing, "mode"), born.mode)))
    for (_, key), value in image.xattrs(thing).items():
        os.setxattr(path, key, value, follow_symlinks=False)


def _moved(snapshot: Snapshot, now: dict[int, int]) -> Snapshot:
    """Rows name inodes, which are others here; those of objects that are gone are no object's."""
    inode_of = {thing: inode for inode, thing in now.items()}
    plain = bytearray(snapshot.data)
    plain[18] = plain[19] = 1  # not in WAL mode: in memory there is no such thing
    database = sqlite3.connect(":memory:", isolation_level=None)
    try:
        database.deserialize(bytes(plain))
        rows = database.execute("SELECT * FROM objects").fetchall()
        database.execute("BEGIN")
        database.execute("DELETE FROM objects")
        for number, (gfid, kind, inode, *places) in enumerate(rows):
            new = inode_of.get(snapshot.inodes.get(inode, -1), (1 << 62) + number)
            database.execute("INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)", (gfid, kind, new, *places))
        database.execute("COMMIT")
        return Snapshot(database.serialize(), now)
    finally:
        database.close()
