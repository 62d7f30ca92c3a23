"""The sidecar: gfids and `trusted.*` attributes in one sqlite file, for a process that may not set them on files.

`user.*` attributes would not do instead: symlinks, fifos and read-only files take none.

A row counts only if it still describes the object at hand: the type and the inode agree, and either the place where
the object was found agrees too, or the object's own handle is a hard link to it (then the inode cannot have been
reused). A rename notes the new place before it happens, and keeps the old one as a power loss may undo it: so a row
knows the object wherever a crash leaves it. There is room for two places: before a directory is moved once more, the
move before is put on the disk.

Changes survive the end of the process at once; they survive a power loss from the next fsync or fsyncdir on.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat as mode_bits
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import attrs

from ....graph import Gfid, fail
from ..heal_index import index_of
from .metadata import InodeMetadata
from .places import NOWHERE, READ_DIRECTORY, Found, Place, Where

FILE_NAME = "volgraph.sidecar"
NAME_MAX = 255
VALUE_MAX = 65536

FORMAT = 1
"""Which layout a database has: its `user_version`. 0 is one that was made before they had numbers."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    gfid BLOB PRIMARY KEY, kind INTEGER NOT NULL, ino INTEGER NOT NULL UNIQUE,
    parent BLOB NOT NULL, name BLOB NOT NULL, other_parent BLOB, other_name BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS xattrs (
    gfid BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (gfid, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lent (gfid BLOB PRIMARY KEY, mode INTEGER NOT NULL, wider INTEGER NOT NULL) WITHOUT ROWID;
"""
_ERRNO = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}
_DAMAGED = frozenset((sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT))
_TABLES = {"objects", "xattrs", "lent"}
_COLUMNS = ["gfid", "kind", "ino", "parent", "name", "other_parent", "other_name"]
_EARLIER = [*_COLUMNS[:5], "next_parent", "next_name"]
_FROM_EARLIER = """
ALTER TABLE objects RENAME COLUMN next_parent TO other_parent;
ALTER TABLE objects RENAME COLUMN next_name TO other_name;
"""


@attrs.define(eq=False)
class SidecarMetadata(InodeMetadata):
    """Keeps gfids and `trusted.*` in sqlite; attributes of the other namespaces stay on the objects.

    EINVAL: a later version has made the database. EUCLEAN: it is damaged. EACCES: it may only be read."""

    apart: ClassVar[bool] = True

    path: str
    read_only: bool = False
    _database: sqlite3.Connection = attrs.field(init=False)
    _log: int = attrs.field(init=False)
    """The log that sqlite writes first. Open from the start: later its path may be shut to the brick's own user."""
    _depth: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        if not self.read_only:
            self._check_writable()
        self._database = self.disk.database(self.path)
        try:
            with _os_errors(opening=True):
                # The brick's owner is alone on the file: no shared memory beside it, no lock for each statement.
                self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = NORMAL")
                self._lay_out()
                if self.read_only:
                    self._database.execute("PRAGMA query_only = ON")
            self._log = -1 if self.read_only else self.disk.open(f"{self.path}-wal", os.O_RDONLY)
        except BaseException:
            self._database.close()
            raise

    def _check_writable(self) -> None:
        """The kernel is asked: sqlite opens what may only be read all the same, and fails later. EACCES EROFS."""
        for path in (self.path, f"{self.path}-wal"):
            with suppress(FileNotFoundError):
                self.disk.close(self.disk.open(path, os.O_RDWR))

    def _lay_out(self) -> None:
        """Make the tables of a new database; bring one of an earlier layout to this one."""
        found = self._database.execute("PRAGMA user_version").fetchone()[0]
        if found == FORMAT:
            there = {row[0] for row in self._database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if _TABLES - there:
                raise _damaged(f"it has no table {', '.join(sorted(_TABLES - there))}")
            return
        columns = [row[1] for row in self._database.execute("PRAGMA table_info(objects)")]
        if found or columns not in ([], _COLUMNS, _EARLIER):
            raise fail(
                errno.EINVAL,
                f".glusterfs/{FILE_NAME} is of format {found}, which this version of volgraph does not know (it knows"
                f" {FORMAT}): open the brick with the version that made it, or a later one",
            )
        change = _FROM_EARLIER if columns == _EARLIER else ""
        self._database.executescript(f"BEGIN IMMEDIATE; {change} {_SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")

    # --- identity ----------------------------------------------------------------------------------------------------

    def claim(self, at: Where, st: os.stat_result, place: Place) -> tuple[Gfid, bool] | None:
        row = self._one(
            "SELECT gfid, kind, parent, name, other_parent, other_name FROM objects WHERE ino = ?", _ino(st)
        )
        if row is None or row[1] != mode_bits.S_IFMT(st.st_mode):
            return None
        return Gfid(row[0]), tuple(row[2:4]) == place or tuple(row[4:6]) == place

    def record(self, gfid: Gfid, at: Where, st: os.stat_result, place: Place, new: bool = False) -> None:
        with self.together():
            old = self._one("SELECT ino FROM objects WHERE gfid = ?", gfid)
            if old is not None and old[0] != _ino(st):
                self.forget(gfid)
            stale = self._one("SELECT gfid FROM objects WHERE ino = ?", _ino(st))
            if stale is not None and stale[0] != gfid:
                self.forget(Gfid(stale[0]))
            self._do(
                "INSERT OR REPLACE INTO objects (gfid, kind, ino, parent, name) VALUES (?, ?, ?, ?, ?)",
                gfid,
                mode_bits.S_IFMT(st.st_mode),
                _ino(st),
                *place,
            )

    def forget(self, gfid: Gfid) -> None:
        with self.together():
            self._do("DELETE FROM objects WHERE gfid = ?", gfid)
            self._do("DELETE FROM xattrs WHERE gfid = ?", gfid)

    def restore(self, gfid: Gfid, at: Where, st: os.stat_result, place: Place = NOWHERE) -> None:
        claim = self.claim(at, st, place)
        if claim is not None and claim[0] == gfid:
            return
        if mode_bits.S_ISDIR(st.st_mode) and (claim is not None or self.places_of(gfid)):
            return  # a symlink leads there, which does not prove the inode
        self.record(gfid, at, st, place)

    def gfids(self, after: Gfid, most: int) -> list[Gfid]:
        with _os_errors():
            rows = self._database.execute(
                "SELECT gfid FROM objects WHERE gfid > ?1 UNION SELECT gfid FROM xattrs WHERE gfid > ?1"
                " ORDER BY gfid LIMIT ?2",
                (after, most),
            ).fetchall()
        return [Gfid(row[0]) for row in rows]

    def places_of(self, gfid: Gfid) -> list[Place]:
        row = self._one("SELECT parent, name, other_parent, other_name FROM objects WHERE gfid = ?", gfid)
        places = [] if row is None else [row[:2], row[2:]]
        return [(Gfid(parent), name) for parent, name in places if name is not None]

    def settle(self, found: Found) -> None:
        if not found.is_dir or len(set(self.places_of(found.gfid))) < 2:
            return
        try:
            parent = self.disk.open(b".", READ_DIRECTORY, dir_fd=found.dir_fd)
        except PermissionError:  # it may not be read: then all of the file system is synced
            self.disk.syncfs(self._log)
            return
        try:
            self.disk.fsync(parent)
        finally:
            self.disk.close(parent)

    def before_rename(self, found: Found, new: Place) -> None:
        if not found.hidden:
            self._do("UPDATE objects SET other_parent = ?, other_name = ? WHERE gfid = ?", *new, found.gfid)
            if found.is_dir:  # no hard link will tell, after a power loss, which object has come to the new place
                self.sync()

    def after_rename(self, found: Found, at: Where, old: Place, new: Place) -> None:
        if not found.hidden:
            self._do(
                "UPDATE objects SET parent = ?, name = ?, other_parent = ?, other_name = ? WHERE gfid = ?",
                *new,
                *old,
                found.gfid,
            )

    def rename_failed(self, found: Found) -> None:
        if not found.hidden:
            self._do("UPDATE objects SET other_parent = NULL, other_name = NULL WHERE gfid = ?", found.gfid)

    def _names_changed(self, gfid: Gfid, at: Where, gone: Place | None, come: Place | None) -> None:
        """A row names one place of an object; one with several names has a handle that pins it."""

    # --- modes lent --------------------------------------------------------------------------------------------------

    def lend(self, gfid: Gfid, mode: int, wider: int) -> None:
        self._do("INSERT OR REPLACE INTO lent VALUES (?, ?, ?)", gfid, mode, wider)

    def lent(self) -> dict[Gfid, tuple[int, int]]:
        with _os_errors():
            rows = self._database.execute("SELECT gfid, mode, wider FROM lent").fetchall()
        return {Gfid(gfid): (mode, wider) for gfid, mode, wider in rows}

    def taken_back(self, gfid: Gfid) -> None:
        self._do("DELETE FROM lent WHERE gfid = ?", gfid)

    # --- extended attributes -----------------------------------------------------------------------------------------

    def get(self, gfid: Gfid, at: Where, key: str) -> bytes | None:
        if not key.startswith("trusted."):
            return self._get(at, key)
        row = self._one("SELECT value FROM xattrs WHERE gfid = ? AND key = ?", gfid, os.fsencode(key))
        return None if row is None else row[0]

    def set(self, gfid: Gfid, at: Where, key: str, value: bytes, flags: int = 0) -> None:
        if not key.startswith("trusted."):
            self._set(at, key, value, flags)
            return
        if len(os.fsencode(key)) > NAME_MAX:
            raise fail(errno.ERANGE, key[:32])
        if len(value) > VALUE_MAX:
            raise fail(errno.E2BIG, key)
        if flags:
            known = self.get(gfid, at, key) is not None
            if flags & os.XATTR_CREATE and known:
                raise fail(errno.EEXIST, key)
            if flags & os.XATTR_REPLACE and not known:
                raise fail(errno.ENODATA, key)
        self._do("INSERT OR REPLACE INTO xattrs VALUES (?, ?, ?)", gfid, os.fsencode(key), bytes(value))

    def set_all(self, gfid: Gfid, at: Where, values: Mapping[str, bytes], flags: int = 0) -> None:
        with self.together():
            super().set_all(gfid, at, values, flags)

    def remove(self, gfid: Gfid, at: Where, key: str) -> None:
        if not key.startswith("trusted."):
            self._remove(at, key)
        elif not self._do("DELETE FROM xattrs WHERE gfid = ? AND key = ?", gfid, os.fsencode(key)):
            raise fail(errno.ENODATA, key)

    def keys(self, gfid: Gfid, at: Where) -> list[str]:
        with _os_errors():
            rows = self._database.execute("SELECT key FROM xattrs WHERE gfid = ? ORDER BY key", (gfid,)).fetchall()
        on_object = [key for key in super().keys(gfid, at) if not key.startswith("trusted.")]
        return [os.fsdecode(row[0]) for row in rows] + on_object

    def counters(self, gfid: Gfid, at: Where) -> dict[str, bytes]:
        with _os_errors():
            rows = self._database.execute("SELECT key, value FROM xattrs WHERE gfid = ?", (gfid,)).fetchall()
        found = {os.fsdecode(key): value for key, value in rows}
        return {key: value for key, value in found.items() if index_of(key) is not None}

    # --- the database ------------------------------------------------------------------------------------------------

    @contextmanager
    def together(self) -> Iterator[None]:
        """Changes made within are kept all or none."""
        if self._depth == 0:
            self._whole("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._depth == 0 and self._database.in_transaction:
                self._do("ROLLBACK")
            raise
        self._depth -= 1
        if self._depth == 0:
            self._whole("COMMIT")

    def _whole(self, statement: str) -> None:
        """Begin or end a transaction; if that fails there is none."""
        try:
            self._do(statement)
        except OSError:
            if self._database.in_transaction:
                self._do("ROLLBACK")
            raise

    def sync(self) -> None:
        if not self.read_only:
            self.disk.fsync(self._log)

    def close(self) -> None:
        try:
            if not self.read_only:
                self.disk.close(self._log)
        finally:
            self._database.close()

    def _one(self, statement: str, *values: object) -> Any:
        with _os_errors():
            return self._database.execute(statement, values).fetchone()

    def _do(self, statement: str, *values: object) -> int:
        """Run a statement; returns how many rows it changed."""
        with _os_errors():
            return self._database.execute(statement, values).rowcount


def _ino(st: os.stat_result) -> int:
    """The inode number as sqlite keeps it, in 64 bits with a sign."""
    return st.st_ino if st.st_ino < 1 << 63 else st.st_ino - (1 << 64)


def _damaged(how: str) -> OSError:
    return fail(
        errno.EUCLEAN,
        f".glusterfs/{FILE_NAME} is damaged ({how}): put it back from a backup, or an empty directory in the place of"
        " this brick, and heal it from the other copies, or copy the files into it through the volume",
    )


@contextmanager
def _os_errors(opening: bool = False) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if opening and code in _DAMAGED:
            raise _damaged(str(error)) from error
        raise fail(_ERRNO.get(code, errno.EIO), f"sidecar: {error}") from error
