"""Histories of failures, to be played by any client of a mirror.

Each tells in its docstring what happens. Every operation has a directory of its own, so that each object shows what one
operation has left behind.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from tests.interop.changelogs import paths
from tests.interop.mirrors import Play, Step
from tests.interop.real_gluster import wait_until


@attrs.frozen
class Operation:
    """What is done in a directory of its own, what must be there before, and what is done there when the same happens
    once more."""

    name: str
    before: Sequence[Step]
    steps: Sequence[Step]
    again: Sequence[Step] = ()

    @property
    def single(self) -> bool:
        """Does one change follow from no other?"""
        return sum(step[0] not in ("open", "close") for step in self.steps) == 1

    @property
    def of_contents(self) -> bool:
        return any(step[0] == "write" for step in self.steps)


FILE: list[Step] = [("create", "f", 1), ("write", 1, "contents", 0), ("close", 1)]
DIRECTORY: list[Step] = [("mkdir", "d")]
OPENED: Step = ("open", "f", 1)
CLOSED: Step = ("close", 1)
WHILE_OPEN_SECONDS = 30
"""For so long a file that is open keeps its lock and its mark."""

OPERATIONS = [
    Operation("write", FILE, [OPENED, ("write", 1, "new", 0), CLOSED], [OPENED, ("write", 1, "newer", 0), CLOSED]),
    Operation("append", FILE, [OPENED, ("write", 1, "new", 8), CLOSED]),
    Operation("write-each-opened", FILE, [OPENED, ("write", 1, "new", 0), CLOSED] * 3),
    Operation("truncate", FILE, [("truncate", "f", 3)], [("truncate", "f", 2)]),
    Operation("ftruncate", FILE, [OPENED, ("ftruncate", 1, 3), CLOSED]),
    Operation("fallocate", FILE, [OPENED, ("fallocate", 1, 0, 100), CLOSED]),
    Operation("chmod", FILE, [("chmod", "f", 0o600)], [("chmod", "f", 0o640)]),
    Operation("chmod-directory", DIRECTORY, [("chmod", "d", 0o700)], [("chmod", "d", 0o750)]),
    Operation("chown", FILE, [("chown", "f", 12, 34)]),
    Operation("setxattr", FILE, [("setxattr", "f", "user.x", "value")], [("setxattr", "f", "user.y", "value")]),
    Operation("removexattr", [*FILE, ("setxattr", "f", "user.x", "value")], [("removexattr", "f", "user.x")]),
    Operation("chmod-and-write", FILE, [("chmod", "f", 0o600), OPENED, ("write", 1, "new", 0), CLOSED]),
    Operation("create", [], [("create", "f", 1), CLOSED], [("create", "g", 1), CLOSED]),
    Operation("create-and-write", [], FILE, [OPENED, ("write", 1, "newer", 0), CLOSED]),
    Operation("create-two", [], [("create", "f", 1), CLOSED, ("create", "g", 1), CLOSED]),
    Operation("mknod-file", [], [("mknod", "f", 0o100600, 0)]),
    Operation("mknod-fifo", [], [("mknod", "f", 0o010600, 0)]),
    Operation("mknod-device", [], [("mknod", "f", 0o020600, 0x103)]),
    Operation("mkdir", [], [("mkdir", "d")], [("mkdir", "e")]),
    Operation("mkdir-and-fill", [], [("mkdir", "d"), ("mkdir", "d/e"), ("create", "d/f", 1), CLOSED]),
    Operation("symlink", [], [("symlink", "target", "f")]),
    Operation("link", FILE, [("link", "f", "g")], [("unlink", "f")]),
    Operation("link-elsewhere", [*FILE, *DIRECTORY], [("link", "f", "d/g")]),
    Operation("unlink", FILE, [("unlink", "f")], [("mkdir", "g")]),
    Operation("unlink-one-of-two", [*FILE, ("link", "f", "g")], [("unlink", "f")]),
    Operation("create-and-unlink", [], [("create", "f", 1), CLOSED, ("unlink", "f")]),
    Operation("unlink-and-create", FILE, [("unlink", "f"), *FILE]),
    Operation("rmdir", DIRECTORY, [("rmdir", "d")]),
    Operation("rename", FILE, [("rename", "f", "g")], [("rename", "g", "h")]),
    Operation("rename-over", [*FILE, ("create", "g", 1), CLOSED], [("rename", "f", "g")]),
    Operation("rename-elsewhere", [*FILE, *DIRECTORY], [("rename", "f", "d/g")]),
    Operation("rename-directory", [*DIRECTORY, ("mkdir", "e")], [("rename", "d", "e/g")]),
    Operation("rename-directory-over", [*DIRECTORY, ("mkdir", "e"), ("mkdir", "e/g")], [("rename", "d", "e/g")]),
    Operation("one-open-file", FILE, [OPENED, ("write", 1, "a", 0), ("write", 1, "b", 5), ("fsync", 1), CLOSED]),
]


SINGLE = [operation for operation in OPERATIONS if operation.single]
OF_CONTENTS = [operation for operation in OPERATIONS if operation.of_contents]
REPEATED = [operation for operation in OPERATIONS if operation.again]


def prepare(play: Play, operations: Sequence[Operation] = OPERATIONS) -> None:
    """All is well: what the operations need is made, and every mark is taken back."""
    play.client()
    play.do("", ("mkdir", ""))
    for operation in operations:
        play.do("", ("mkdir", operation.name))
        play.do(operation.name, *operation.before)
    play.settle()


def operate(play: Play, operations: Sequence[Operation] = OPERATIONS) -> None:
    for operation in operations:
        play.do(operation.name, *operation.steps)


# --- copies that are away --------------------------------------------------------------------------------------------


def all_well(play: Play) -> None:
    """Nothing fails."""
    prepare(play)
    operate(play)
    play.settle()


def second_copy_away(play: Play) -> None:
    """The second copy is away."""
    prepare(play)
    play.lose(1)
    operate(play)


def first_copy_away(play: Play) -> None:
    """The first copy is away."""
    prepare(play)
    play.lose(0)
    operate(play)


def third_copy_away(play: Play) -> None:
    """One copy of three is away."""
    prepare(play, SINGLE)
    play.lose(2)
    operate(play, SINGLE)


def two_of_three_away(play: Play) -> None:
    """Two copies of three are away."""
    prepare(play, SINGLE)
    play.lose(1)
    play.lose(2)
    operate(play, SINGLE)


def away_and_back(play: Play) -> None:
    """The second copy is away, comes back, is not healed, and all is changed once more."""
    prepare(play, REPEATED)
    play.lose(1)
    operate(play, REPEATED)
    play.back(1)
    for operation in REPEATED:
        play.do(operation.name, *operation.again)


def one_away_then_the_other(play: Play) -> None:
    """The second copy is away, comes back, is not healed; then the first is away, and all is changed once more."""
    prepare(play, REPEATED)
    play.lose(1)
    operate(play, REPEATED)
    play.back(1)
    play.lose(0)
    for operation in REPEATED:
        play.do(operation.name, *operation.again)


# --- bricks that refuse ----------------------------------------------------------------------------------------------


def one_refuses(play: Play) -> None:
    """The second brick answers every change with ENOSPC."""
    prepare(play)
    play.turn(1, "ENOSPC")
    operate(play)


def both_refuse(play: Play) -> None:
    """Both bricks answer every change with ENOSPC."""
    prepare(play, SINGLE)
    play.turn(0, "ENOSPC")
    play.turn(1, "ENOSPC")
    operate(play, SINGLE)


def both_refuse_differently(play: Play) -> None:
    """The first brick answers every change with ENOSPC, the second with EIO."""
    prepare(play, SINGLE)
    play.turn(0, "ENOSPC")
    play.turn(1, "EIO")
    operate(play, SINGLE)


def short_writes(play: Play) -> None:
    """The second brick writes half of what it is given."""
    prepare(play, OF_CONTENTS)
    play.turn(1, "short-write")
    operate(play, OF_CONTENTS)


def two_of_three_refuse(play: Play) -> None:
    """Of three bricks the second answers every change with ENOSPC, the third with EIO."""
    prepare(play, SINGLE)
    play.turn(1, "ENOSPC")
    play.turn(2, "EIO")
    operate(play, SINGLE)


def one_of_three_away_one_refuses(play: Play) -> None:
    """Of three copies the second is away, and the third brick answers every change with EIO."""
    prepare(play, SINGLE)
    play.lose(1)
    play.turn(2, "EIO")
    operate(play, SINGLE)


# --- in the midst of a change ----------------------------------------------------------------------------------------


def brick_killed_in_the_midst(play: Play) -> None:
    """The first brick has done changes; the second is killed before it does them, and the client goes on."""
    prepare(play, SINGLE)
    files = begin_all(play)
    play.kill(1)
    play.ended()
    play.do("", *(("close", number) for number in files))


def brick_and_client_killed_in_the_midst(play: Play) -> None:
    """The first brick has done changes; the client is killed, and the second brick before it does them."""
    prepare(play, SINGLE)
    begin_all(play)
    play.kill_client()
    play.kill(1)


def begin_all(play: Play) -> list[int]:
    """Each single change, until the first brick has done it; the second is late. Gives the files that are open."""
    play.turn(1, "late")
    before = {operation.name: seen(play.on(0, operation.name)) for operation in SINGLE}
    files = []
    for number, operation in enumerate(SINGLE):
        for step in operation.steps:
            if step == OPENED:
                play.do(operation.name, ("open", "f", number))
                files.append(number)
            elif step != CLOSED:
                play.begin(operation.name, *(number if word == 1 else word for word in step))
    wait_until(
        lambda: all(seen(play.on(0, name)) != was for name, was in before.items()), "the first brick has done all"
    )
    return files


def open_files_lose_a_copy(play: Play) -> None:
    """Files are open and have just been written when the second brick is killed."""
    names = open_and_write(play)
    play.kill(1)
    play.sees()
    for number, name in enumerate(names):
        play.do(name, *WHILE_OPEN[name](number), ("close", number))


def client_killed_after_writes(play: Play) -> None:
    """The client is killed when it has just written files that are open."""
    names = open_and_write(play)
    for number, name in enumerate(names):
        play.do(name, *WHILE_OPEN[name](number))
    play.kill_client()


WHILE_OPEN: dict[str, Callable[[int], list[Step]]] = {
    "nothing": lambda number: [],
    "overwrite": lambda number: [("write", number, "later", 0)],
    "overwrite-twice": lambda number: [("write", number, "later", 0), ("write", number, "last", 0)],
    "ftruncate": lambda number: [("ftruncate", number, 2)],
    "fsync": lambda number: [("fsync", number)],
    "write-and-fsync": lambda number: [("write", number, "later", 0), ("fsync", number)],
    "chmod": lambda number: [("chmod", "f", 0o600)],
}


def open_and_write(play: Play) -> list[str]:
    play.options["post-op-delay-secs"] = WHILE_OPEN_SECONDS
    play.client()
    play.do("", ("mkdir", ""))
    for name in WHILE_OPEN:
        play.do("", ("mkdir", name))
        play.do(name, *FILE)
    play.settle()
    for number, name in enumerate(WHILE_OPEN):
        play.do(name, ("open", "f", number), ("write", number, "new", 0))
    return list(WHILE_OPEN)


def seen(folder: Path) -> list[tuple[object, ...]]:
    """What a change would change."""
    found: list[tuple[object, ...]] = []
    for path in paths(folder):
        st = path.lstat()
        xattrs = [name for name in os.listxattr(path, follow_symlinks=False) if name.startswith("user.")]
        contents = path.read_bytes() if path.is_file() else b""
        found.append((str(path), st.st_mode, st.st_uid, st.st_nlink, contents, xattrs))
    return found


# --- all of them -----------------------------------------------------------------------------------------------------


@attrs.frozen
class History:
    """`troubled` tells which bricks it takes: ours, which can be told to make trouble, or real ones."""

    play: Callable[[Play], None]
    copies: int = 2
    troubled: bool = False
    optimistic: Sequence[bool] = (False,)
    """With which settings of `optimistic-change-log` it is played."""

    @property
    def name(self) -> str:
        return self.play.__name__

    @property
    def told(self) -> str:
        return (self.play.__doc__ or "").strip()


BOTH = (False, True)

HISTORIES = [
    History(all_well),
    History(second_copy_away, optimistic=BOTH),
    History(first_copy_away),
    History(second_copy_away, troubled=True),
    History(third_copy_away, 3),
    History(two_of_three_away, 3),
    History(away_and_back),
    History(one_away_then_the_other),
    History(open_files_lose_a_copy),
    History(client_killed_after_writes),
    History(one_refuses, troubled=True, optimistic=BOTH),
    History(both_refuse, troubled=True),
    History(both_refuse_differently, troubled=True, optimistic=BOTH),
    History(short_writes, troubled=True),
    History(brick_killed_in_the_midst, troubled=True),
    History(brick_and_client_killed_in_the_midst, troubled=True, optimistic=BOTH),
    History(two_of_three_refuse, 3, troubled=True, optimistic=BOTH),
    History(one_of_three_away_one_refuses, 3, troubled=True),
]
