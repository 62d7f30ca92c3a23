"""What an ordinary user may do, as the kernel says: a generated table of scenes and operations, tried on a plain
directory by a forked process that gives up root. Nobody wrote down an expected verdict."""

import errno
import itertools
import os
import pickle
import random
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from volgraph.translators.storage import acl as acls

CALLER, STRANGER = 1001, 1009
GROUP, SECOND_GROUP, FOREIGN_GROUP = 2001, 2002, 2009
LONG_AGO = 10**18
TRUSTED, SECURITY, USER = "trusted.a", "security.a", "user.a"


class Thing(NamedTuple):
    """One object of a scene. `acl`: (tag, id, rights) of named entries, with a mask of the mode's group bits."""

    owner: int
    group: int
    mode: int
    acl: tuple[tuple[int, int, int], ...] = ()

    def access_list(self) -> bytes | None:
        if not self.acl:
            return None
        mode = self.mode
        entries = [
            acls.AclEntry(acls.USER_OBJ, mode >> 6 & 7),
            *(acls.AclEntry(tag, rights, id) for tag, id, rights in self.acl if tag == acls.USER),
            acls.AclEntry(acls.GROUP_OBJ, mode & 7),
            *(acls.AclEntry(tag, rights, id) for tag, id, rights in self.acl if tag == acls.GROUP),
            acls.AclEntry(acls.MASK, mode >> 3 & 7),
            acls.AclEntry(acls.OTHER, mode & 7),
        ]
        return acls.packed(entries)


class Case(NamedTuple):
    """`d` is a directory, `d/f` a file and `d/s` a directory in it; `e` another directory with `e/g` and `e/t`, which
    are the stranger's, where the caller may do everything."""

    d: Thing
    f: Thing
    s: Thing
    operation: str


OPEN = Thing(0, 0, 0o777)
PLAIN = Thing(STRANGER, FOREIGN_GROUP, 0o644)

OWNERS = (
    (CALLER, GROUP),
    (CALLER, FOREIGN_GROUP),
    (STRANGER, GROUP),
    (STRANGER, SECOND_GROUP),
    (STRANGER, FOREIGN_GROUP),
)
MODES = (0, 0o400, 0o200, 0o600, 0o040, 0o020, 0o060, 0o004, 0o002, 0o006, 0o070, 0o707, 0o770, 0o777)
PROGRAMS = (0o4755, 0o2755, 0o2745, 0o6777, 0o6666, 0o1777, 0o3777)
ACLS: tuple[tuple[tuple[int, int, int], ...], ...] = (
    (),
    *(((acls.USER, CALLER, rights),) for rights in (0, 4, 6, 7)),
    *(((acls.GROUP, SECOND_GROUP, rights),) for rights in (0, 2, 7)),
    ((acls.USER, STRANGER, 7), (acls.GROUP, FOREIGN_GROUP, 7)),
    ((acls.GROUP, GROUP, 4), (acls.GROUP, SECOND_GROUP, 2)),
)


def things() -> Iterator[Thing]:
    for (owner, group), mode, acl in itertools.product(OWNERS, MODES + PROGRAMS, ACLS):
        yield Thing(owner, group, mode, acl)


# --- what the caller tries: by path, for the kernel ------------------------------------------------------------------


def _opened(path: str, flags: int) -> None:
    os.close(os.open(path, flags))


def _written(path: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(fd, b"x", 0)
    finally:
        os.close(fd)


def _may(path: str, mask: int) -> None:
    if not os.access(path, mask):
        raise PermissionError(errno.EACCES, path)


LIST = acls.packed([acls.AclEntry(tag, rights) for tag, rights in ((1, 6), (4, 4), (0x20, 4))])

ON_AN_OBJECT: dict[str, Callable[[str], object]] = {
    "open to read": lambda path: _opened(path, os.O_RDONLY),
    "open to write": lambda path: _opened(path, os.O_WRONLY),
    "open for both": lambda path: _opened(path, os.O_RDWR),
    "open and empty": lambda path: _opened(path, os.O_WRONLY | os.O_TRUNC),
    "open without access time": lambda path: _opened(path, os.O_RDONLY | os.O_NOATIME),
    "write": _written,
    "truncate": lambda path: os.truncate(path, 1),
    "may read": lambda path: _may(path, 4),
    "may write": lambda path: _may(path, 2),
    "may execute": lambda path: _may(path, 1),
    "may all": lambda path: _may(path, 7),
    "chmod": lambda path: os.chmod(path, 0o640),
    "chmod with set-group-id": lambda path: os.chmod(path, 0o2770),
    "chown to itself": lambda path: os.chown(path, CALLER, -1),
    "chown to a stranger": lambda path: os.chown(path, STRANGER, -1),
    "chgrp to a group of its own": lambda path: os.chown(path, -1, SECOND_GROUP),
    "chgrp to a foreign group": lambda path: os.chown(path, -1, FOREIGN_GROUP),
    "touch": lambda path: os.utime(path),
    "set times": lambda path: os.utime(path, ns=(LONG_AGO, LONG_AGO)),
    "get user xattr": lambda path: os.getxattr(path, USER),
    "set user xattr": lambda path: os.setxattr(path, USER, b"2"),
    "remove user xattr": lambda path: os.removexattr(path, USER),
    "get trusted xattr": lambda path: os.getxattr(path, TRUSTED),
    "set trusted xattr": lambda path: os.setxattr(path, TRUSTED, b"2"),
    "remove trusted xattr": lambda path: os.removexattr(path, TRUSTED),
    "set security xattr": lambda path: os.setxattr(path, SECURITY, b"2"),
    "set access list": lambda path: os.setxattr(path, acls.ACCESS, LIST),
}
FILES_ALONE = frozenset(("open to write", "open for both", "open and empty", "write", "truncate"))
"""Of a directory these are refused for what it is."""

IN_A_DIRECTORY: dict[str, Callable[[str], object]] = {
    "look up": lambda at: os.lstat(f"{at}/d/f"),
    "look up nothing": lambda at: os.lstat(f"{at}/d/n"),
    "list": lambda at: os.listdir(f"{at}/d"),
    "create": lambda at: os.close(os.open(f"{at}/d/n", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o2755)),
    "create over": lambda at: os.close(os.open(f"{at}/d/f", os.O_CREAT | os.O_RDWR, 0o644)),
    "create what is there": lambda at: os.close(os.open(f"{at}/d/f", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)),
    "mkdir": lambda at: os.mkdir(f"{at}/d/n", 0o755),
    "mkdir what is there": lambda at: os.mkdir(f"{at}/d/f", 0o755),
    "symlink": lambda at: os.symlink("t", f"{at}/d/n"),
    "make a fifo": lambda at: os.mknod(f"{at}/d/n", stat.S_IFIFO | 0o644),
    "make a device": lambda at: os.mknod(f"{at}/d/n", stat.S_IFCHR | 0o644, os.makedev(1, 3)),
    "unlink": lambda at: os.unlink(f"{at}/d/f"),
    "unlink nothing": lambda at: os.unlink(f"{at}/d/n"),
    "unlink a directory": lambda at: os.unlink(f"{at}/d/s"),
    "rmdir": lambda at: os.rmdir(f"{at}/d/s"),
    "rmdir a file": lambda at: os.rmdir(f"{at}/d/f"),
    "rename": lambda at: os.rename(f"{at}/d/f", f"{at}/d/n"),
    "rename to itself": lambda at: os.rename(f"{at}/d/f", f"{at}/d/f"),
    "rename nothing": lambda at: os.rename(f"{at}/d/n", f"{at}/e/n"),
    "move out": lambda at: os.rename(f"{at}/d/f", f"{at}/e/n"),
    "move in": lambda at: os.rename(f"{at}/e/g", f"{at}/d/n"),
    "move in over": lambda at: os.rename(f"{at}/e/g", f"{at}/d/f"),
    "move a directory out": lambda at: os.rename(f"{at}/d/s", f"{at}/e/n"),
    "move a directory in": lambda at: os.rename(f"{at}/e/t", f"{at}/d/n"),
    "rename a directory": lambda at: os.rename(f"{at}/d/s", f"{at}/d/n"),
    "link out": lambda at: os.link(f"{at}/d/f", f"{at}/e/n", follow_symlinks=False),
    "link in": lambda at: os.link(f"{at}/e/g", f"{at}/d/n", follow_symlinks=False),
    "link over": lambda at: os.link(f"{at}/e/g", f"{at}/d/f", follow_symlinks=False),
}


def _set_so(name: str, value: str) -> bool:
    return Path("/proc/sys/fs", name).read_text(encoding="ascii").strip() == value


def cases(count: int | None, seed: int = 1) -> list[Case]:
    """So many of them, drawn; all for None. What depends on uncommon settings of this machine is left out."""
    drawn = list(_all_cases())
    if not _set_so("protected_hardlinks", "1"):
        drawn = [case for case in drawn if not case.operation.startswith("link")]
    if not _set_so("protected_regular", "0"):
        drawn = [case for case in drawn if case.operation != "create over" or not case.d.mode & stat.S_ISVTX]
    return drawn if count is None else random.Random(seed).sample(drawn, count)


def _all_cases() -> Iterator[Case]:
    for thing in things():
        for operation in ON_AN_OBJECT:
            yield Case(OPEN, thing, PLAIN, f"file: {operation}")
            if operation not in FILES_ALONE:
                yield Case(OPEN, PLAIN, thing, f"directory: {operation}")
        for operation in IN_A_DIRECTORY:
            if operation.startswith("link out"):
                yield Case(OPEN, thing, PLAIN, operation)
            for inside in (PLAIN, Thing(CALLER, GROUP, 0o755), Thing(STRANGER, FOREIGN_GROUP, 0o777)):
                yield Case(thing, inside, inside, operation)


# --- the kernel's verdicts -------------------------------------------------------------------------------------------

State = dict[str, tuple[int, int, int]]
"""Of every name of a scene: mode with type, owner, group."""


class Verdict(NamedTuple):
    error: str
    state: State


def kernel_verdicts(base: Path, table: list[Case]) -> list[Verdict]:
    """Needs root, and a file system with access control lists."""
    base.chmod(0o755)
    for number, case in enumerate(table):
        _build(base / f"{number}", case)
    errors = _as_caller(base, table)
    return [Verdict(error, _state(base / f"{number}")) for number, error in enumerate(errors)]


def _build(at: Path, case: Case) -> None:
    for directory in ("", "d", "e", "d/s", "e/t"):
        (at / directory).mkdir()
    for file in ("d/f", "e/g"):
        (at / file).write_bytes(b"0123456789")
    for path, thing in (("d/f", case.f), ("d/s", case.s), ("e/g", PLAIN), ("e/t", PLAIN), ("e", OPEN), ("d", case.d)):
        os.setxattr(at / path, USER, b"1")
        os.setxattr(at / path, TRUSTED, b"1")
        os.chown(at / path, thing.owner, thing.group)
        os.chmod(at / path, thing.mode)
        value = thing.access_list()
        if value is not None:
            os.setxattr(at / path, acls.ACCESS, value)


def _as_caller(base: Path, table: list[Case]) -> list[str]:
    """Try each operation in a process of the caller's own."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the child calls nothing that they hold
        child = os.fork()
    if child == 0:
        code = 1
        try:
            os.chdir(base)  # before: the way to it may be closed to others
            os.umask(0)
            os.setgroups([SECOND_GROUP])
            os.setresgid(GROUP, GROUP, GROUP)
            os.setresuid(CALLER, CALLER, CALLER)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump([_error(f"{number}", case.operation) for number, case in enumerate(table)], pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        sent = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    errors: list[str] = pickle.loads(sent)
    return errors


def _error(at: str, operation: str) -> str:
    kind, colon, on_object = operation.partition(": ")
    try:
        if colon:
            ON_AN_OBJECT[on_object](f"{at}/d/{'f' if kind == 'file' else 's'}")
        else:
            IN_A_DIRECTORY[operation](at)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


def _state(at: Path) -> State:
    found: State = {}
    for directory in ("d", "e"):
        for name in os.listdir(at / directory):
            st = os.lstat(at / directory / name)
            found[f"{directory}/{name}"] = (st.st_mode, st.st_uid, st.st_gid)
    return found
