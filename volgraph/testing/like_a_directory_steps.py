"""The steps of the model machine: what Hypothesis draws, and what is done, both as data.

A step is a tuple that can be printed and done again: `("rename", b"a", b"d/b")`. What is drawn for it is ten bytes: the
first chooses among the operations in use, the others among what is there when its turn comes. So most steps are about
objects that exist, and a list of steps stays meaningful when some are left out.
"""

from __future__ import annotations

import os
import stat as mode_bits
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import attrs

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "volgraph.testing.like_a_directory needs Hypothesis: pip install 'volgraph[test]'", name=error.name
    ) from error

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

T = TypeVar("T")
Step: TypeAlias = tuple[Any, ...]

NAMES = (
    b"a",
    b"b",
    b"c",
    b"n" * 255,
    b"long" * 64,  # one byte too many
    "ü".encode() * 127,
    b"new\nline",
    b"...",
    b"..a",
    b" ",
    b"\xff\xfe\x80",
    b".glusterfs",
    b"-rf",
)
MODES = (0o644, 0o755, 0o600, 0o444, 0o400, 0o555, 0o000, 0o777, 0o640, 0o4755, 0o2755, 0o1777, 0o6711, 0o2770, 0o311)
OPEN_TO_THE_OWNER = (0o644, 0o755, 0o600, 0o700, 0o777, 0o640, 0o711)
KINDS = (mode_bits.S_IFIFO, mode_bits.S_IFSOCK, mode_bits.S_IFREG, 0)
DEVICES = ((mode_bits.S_IFCHR, os.makedev(1, 3)), (mode_bits.S_IFBLK, os.makedev(7, 200)))
OFFSETS = (0, 1, 5, 100, 4095, 4096, 4097, 8192, 65536, 200_000, -1)
SIZES = (0, 1, 3, 10, 100, 4096, 5000, 70_000)
DATA = tuple(
    letter * size for letter, size in zip((b"0", b"A", b"B", b"C", b"D", b"E", b"F", b"G"), SIZES, strict=True)
)
"""Digits and capitals only, for translators that change the letters."""
OPEN_MODES = ("rb", "r+b", "wb", "w+b", "ab", "a+b", "xb", "x+b")
TIMES = (0, 1, 10**9 + 1, 981_173_106_123_456_789)
"""Nanoseconds, all before `RECENT_NS`."""
XATTRS = (
    *["user.a"] * 6,
    "user.b",
    "user.b",
    "user.\udcff",
    "user." + "x" * 250,
    "user." + "x" * 251,
    "user.",
    "plain",
    "other.a",
)
VALUES = (b"", b"1", b"TWO", b"\x00\n\xff", b"L" * 1000, b"M" * 65_537)
SLOTS = 3
STREAMS = 2
PATH_BYTES_MAX = 900
STEPS_OF_A_PLAN = (40, 80)


@attrs.define
class Scene:
    """What a step chooses among: the names in use, and the paths that exist (of directories, of all else)."""

    names: Sequence[bytes]
    directories: Sequence[bytes]
    others: Sequence[bytes]
    modes: Sequence[int]
    devices: bool
    owners: Sequence[int]
    slots: Sequence[int] = ()
    """Where files are open."""
    streams: Sequence[int] = ()
    """Where listings are under way."""


class Dice:
    def __init__(self, numbers: bytes, scene: Scene) -> None:
        self._numbers = iter(numbers)
        self.scene = scene

    def pick(self, choices: Sequence[T]) -> T:
        return choices[next(self._numbers, 0) % len(choices)]

    # --- paths -------------------------------------------------------------------------------------------------------

    def there(self) -> bytes:
        """A path that exists; every other time one of the first three, so that steps meet each other."""
        paths = [*self.scene.others, *self.scene.directories]
        return self.pick(self.pick((paths, paths[:3])))

    def directory(self) -> bytes:
        return self.pick(self.scene.directories)

    def file(self) -> bytes:
        """Mostly what is no directory."""
        return self.pick(self.scene.others or self.scene.directories) if self.pick(range(4)) else self.path()

    def folder(self) -> bytes:
        """Mostly a directory."""
        return self.directory() if self.pick(range(4)) else self.path()

    def beside(self) -> bytes:
        """A name in a directory that exists; something may stand there. A few have a slash or a dot behind them."""
        path = self._joined(self.directory(), self.pick(self.scene.names))
        return path + self.pick((b"",) * 14 + (b"/", b"/."))

    def path(self) -> bytes:
        """Mostly one that exists; now and then a strange one."""
        return self.pick((self.there, self.there, self.there, self.there, self.beside, self.beside, self.odd))()

    def odd(self) -> bytes:
        """Through a file or a symlink, back through `..`, with a slash at the end."""
        path = self.there()
        forms = (path + b"/" + self.pick(self.scene.names), path + b"/../" + path, b"./" + path, path + b"/")
        odd = self.pick(forms)
        return odd if path and len(odd) <= PATH_BYTES_MAX else path

    @staticmethod
    def _joined(directory: bytes, name: bytes) -> bytes:
        path = directory + b"/" + name if directory else name
        return path if len(path) <= PATH_BYTES_MAX else name

    # --- all else ----------------------------------------------------------------------------------------------------

    def target(self) -> bytes:
        """What a symlink says: a name beside it, downwards, upwards, nowhere."""
        name, path = self.pick(self.scene.names), self.there()
        nowhere = b"/nowhere/at/all"
        down, slash = name + b"/" + name, name + b"/"
        return self.pick((name, path or b".", b"../" + name, b"./" + name, down, slash, nowhere, b"T" * 4000))

    def slot(self) -> int:
        return self.pick(self.scene.slots or (0,))

    def offset(self) -> int:
        return self.pick(OFFSETS)

    def size(self) -> int:
        return self.pick(SIZES)

    def follow(self) -> bool:
        return self.pick((True, True, False))


def _mknod(dice: Dice) -> Step:
    kinds = [(kind, 0) for kind in KINDS]
    if dice.scene.devices:
        kinds += DEVICES
    kind, rdev = dice.pick(kinds)
    return dice.beside(), kind | dice.pick(dice.scene.modes), rdev


def _makedirs(dice: Dice) -> Step:
    names = [dice.pick(dice.scene.names) for _ in range(6)]
    return (dice.pick((b"/".join(names[:3]), b"/".join(names))),)


def _chown(dice: Dice) -> Step:
    """To change neither is nothing to a fop; a kernel takes away set-user-id even then."""
    owners = [(uid, gid) for uid in dice.scene.owners for gid in dice.scene.owners if (uid, gid) != (-1, -1)]
    return dice.path(), *dice.pick(owners), dice.follow()


def _length(dice: Dice) -> int:
    return dice.pick((1, 100, 4096, 8192, 70_000, 0))


_DRAWN: dict[str, Callable[[Dice], Step]] = {
    "mkdir": lambda dice: (dice.beside(), dice.pick(dice.scene.modes)),
    "open": lambda dice: (
        dice.pick(range(SLOTS)),
        dice.pick((dice.beside, dice.file))(),
        dice.pick(OPEN_MODES),
        dice.pick(dice.scene.modes),
    ),
    "write_bytes": lambda dice: (dice.pick((dice.beside, dice.file))(), dice.pick(DATA)),
    "makedirs": _makedirs,
    "mknod": _mknod,
    "symlink": lambda dice: (dice.target(), dice.beside()),
    "link": lambda dice: (dice.file(), dice.beside()),
    "rename": lambda dice: (dice.pick((dice.file, dice.folder))(), dice.pick((dice.beside, dice.path, dice.there))()),
    "unlink": lambda dice: (dice.file(),),
    "rmdir": lambda dice: (dice.folder(),),
    "stat": lambda dice: (dice.path(),),
    "lstat": lambda dice: (dice.path(),),
    "readlink": lambda dice: (dice.file(),),
    "access": lambda dice: (dice.path(), dice.pick(range(8))),
    "statvfs": lambda dice: (dice.path(),),
    "chmod": lambda dice: (dice.path(), dice.pick(dice.scene.modes)),
    "chown": _chown,
    "utime": lambda dice: (dice.path(), dice.pick(TIMES), dice.pick(TIMES), dice.follow()),
    "truncate": lambda dice: (dice.file(), dice.offset()),
    "read_bytes": lambda dice: (dice.file(),),
    "listdir": lambda dice: (dice.folder(),),
    "scandir": lambda dice: (dice.folder(),),
    "list_start": lambda dice: (dice.pick(range(STREAMS)), dice.folder()),
    "list_more": lambda dice: (dice.pick(dice.scene.streams or (0,)), dice.pick((1, 300, 600, 1 << 16))),
    "setxattr": lambda dice: (
        dice.path(),
        dice.pick(XATTRS),
        dice.pick(VALUES),
        dice.pick((0, 0, os.XATTR_CREATE, os.XATTR_REPLACE)),
        dice.follow(),
    ),
    "getxattr": lambda dice: (dice.path(), dice.pick(XATTRS), dice.follow()),
    "listxattr": lambda dice: (dice.path(), dice.follow()),
    "removexattr": lambda dice: (dice.path(), dice.pick(XATTRS), dice.follow()),
    "close": lambda dice: (dice.slot(),),
    "pread": lambda dice: (dice.slot(), dice.size(), dice.offset()),
    "pwrite": lambda dice: (dice.slot(), dice.pick(DATA), dice.offset()),
    "read": lambda dice: (dice.slot(), dice.size()),
    "write": lambda dice: (dice.slot(), dice.pick(DATA)),
    "seek": lambda dice: (dice.slot(), dice.offset(), dice.pick(range(5))),
    "ftruncate": lambda dice: (dice.slot(), dice.offset()),
    "fstat": lambda dice: (dice.slot(),),
    "fchmod": lambda dice: (dice.slot(), dice.pick(dice.scene.modes)),
    "futime": lambda dice: (dice.slot(), dice.pick(TIMES), dice.pick(TIMES)),
    "fsync": lambda dice: (dice.slot(), dice.pick((False, True))),
    "reserve": lambda dice: (dice.slot(), dice.pick((False, True)), dice.offset(), _length(dice)),
    "punch": lambda dice: (dice.slot(), dice.offset(), _length(dice)),
    "zero": lambda dice: (dice.slot(), dice.offset(), _length(dice)),
    "copy": lambda dice: (dice.slot(), dice.offset(), dice.slot(), dice.offset(), _length(dice)),
    "umask": lambda dice: (dice.pick((0o022, 0o077, 0o000, 0o027)),),
}

NEEDS_A_FILE = frozenset(("close", "pread", "pwrite", "read", "write", "seek", "copy", "reserve", "punch", "zero"))
NEEDS_A_FILE |= {"ftruncate", "fstat", "fchmod", "futime", "fsync"}

ALWAYS = ("mkdir", "open", "write_bytes")
"""In use in every example: without them there is nothing to work on."""
OPERATIONS = tuple(_DRAWN)
_FIRST_OF = {"getxattr": "setxattr", "listxattr": "setxattr", "removexattr": "setxattr", "list_more": "list_start"}
"""In use together with another one."""
WHERE_OWNERS_COUNT = ("chown",)
"""Left out where the stack lets an ordinary user do what a kernel would not."""

_BYTES_PER_STEP = 16


@attrs.frozen
class Plan:
    """What is drawn: which operations are in use, which names, and for each step the bytes to choose by."""

    use: int
    names: Sequence[bytes]
    steps: Sequence[bytes]

    @classmethod
    def drawn(cls, random: Random) -> Plan:
        use = random.getrandbits(64)
        if random.random() < 0.7:
            use &= random.getrandbits(64)
        names = random.sample(NAMES, random.choice((2, 3, 4, 5, 9)))
        count = random.randint(*STEPS_OF_A_PLAN)
        return cls(use, names, [random.randbytes(_BYTES_PER_STEP) for _ in range(count)])

    def operations(self, possible: Sequence[str]) -> list[str]:
        used = {each for number, each in enumerate(OPERATIONS) if self.use >> number & 1}
        return [each for each in possible if _FIRST_OF.get(each, each) in used or each in ALWAYS]

    def play(self, possible: Sequence[str], scene: Callable[[], Scene]) -> Iterator[Step]:
        """The steps, each chosen when its turn comes."""
        operations = self.operations(possible)
        for drawn in self.steps:
            operation, now = operations[drawn[0] % len(operations)], scene()
            if operation in NEEDS_A_FILE and not now.slots:
                operation = "open"
            elif operation == "list_more" and not now.streams:
                operation = "list_start"
            yield (operation, *_DRAWN[operation](Dice(drawn[1:], now)))


def plans() -> SearchStrategy[Plan]:
    """Hypothesis draws the seed of a random generator, and that all else: mutated plans would all be alike, and what
    is shown in the end is the shortest list of steps, not of bytes."""
    return st.randoms(use_true_random=True).map(Plan.drawn)
