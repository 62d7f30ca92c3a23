"""The model machine itself: it makes each step on both sides and compares what came of it."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import attrs

from ..paths import components
from ..translators.storage.name_rules import RESERVED_IN_ROOT
from ..volume import Volume
from .like_a_directory_plain import SEEKS, PlainDirectory
from .like_a_directory_rules import (
    OPTIONAL,
    REFUSALS,
    Differs,
    Entries,
    Outcome,
    judge,
    judge_listings,
    judge_sought,
    shown,
)
from .like_a_directory_stack import StackedDirectory
from .like_a_directory_steps import (
    MODES,
    NEEDS_A_FILE,
    OPEN_TO_THE_OWNER,
    OPERATIONS,
    SLOTS,
    WHERE_OWNERS_COUNT,
    Plan,
    Scene,
    Step,
)

REAL_PATH_BYTES_MAX = 3800


@attrs.define
class Tally:
    """What the machine has done: the steps, by operation, and how many of them both sides answered without error."""

    steps: Counter[str] = attrs.field(factory=Counter)
    done: Counter[str] = attrs.field(factory=Counter)
    refused: Counter[str] = attrs.field(factory=Counter)
    """Optional operations that the stack answered with EOPNOTSUPP."""

    @property
    def total(self) -> int:
        return self.steps.total()

    def __str__(self) -> str:
        told = f"{self.total} steps of {len(self.steps)} kinds, {self.done.total()} without an error"
        return told + (f"; not built: {', '.join(sorted(self.refused))}" if self.refused else "")


@attrs.define(eq=False)
class Machine:
    """Makes each step on both sides and compares what came of it."""

    plain: PlainDirectory
    stack: StackedDirectory
    tally: Tally
    history: list[Step] = attrs.field(factory=list)
    possible: list[str] = attrs.field(factory=list)
    owner_counts: bool = True
    """The stack forbids an ordinary user what a kernel forbids."""
    _steady: dict[int, Entries] = attrs.field(factory=dict)
    _paths: tuple[list[bytes], list[bytes]] | None = None
    _lead_out: bool = False
    """There are symlinks that may lead out of the directory."""

    @property
    def _real_root(self) -> bytes:
        return os.path.realpath(self.plain.root)

    async def get_ready(self) -> None:
        """The two roots are made alike, and what cannot be compared here is left out."""
        volume = self.stack.volume
        await volume.chown("/", os.geteuid(), os.getegid())
        await volume.chmod("/", 0o755)
        await volume.utime("/")
        self.owner_counts = os.geteuid() == 0 or await self._owner_counts(volume)
        refused = set() if self.owner_counts else set(WHERE_OWNERS_COUNT)
        refused |= _not_done_here(self.plain)
        self.possible = [each for each in OPERATIONS if each not in refused]

    async def _owner_counts(self, volume: Volume) -> bool:
        await volume.write_bytes("/probe", b"")
        await volume.chmod("/probe", 0)
        try:
            await volume.read_bytes("/probe")
        except PermissionError:
            return True
        finally:
            await volume.unlink("/probe")
        return False

    def scene(self, plan: Plan) -> Callable[[], Scene]:
        names, root = plan.names, os.geteuid() == 0
        modes = MODES if self.owner_counts else OPEN_TO_THE_OWNER
        owners = (0, 1, 1000, -1) if root else (-1, os.geteuid(), 0)

        def now() -> Scene:
            directories, others = self._known()
            return Scene(
                names, directories, others, modes, root, owners, list(self.plain.files), list(self.plain.streams)
            )

        return now

    def _known(self) -> tuple[list[bytes], list[bytes]]:
        if self._paths is None:
            found = list(self.plain.walk())
            directories = [b"", *(path for path, directory in found if directory)]
            self._paths = directories, [path for path, directory in found if not directory]
        return self._paths

    # --- one step ----------------------------------------------------------------------------------------------------

    async def make(self, step: Step) -> None:
        if self._leads_out(step):
            return
        self.history.append(step)
        stack = await self._on_stack(step)
        if stack.code in REFUSALS and step[0] in OPTIONAL:
            self.tally.refused[step[0]] += 1
            return
        plain = self._on_plain(step)
        self.tally.steps[step[0]] += 1
        self.tally.done[step[0]] += not plain.code
        await self._judge(step, plain, stack)
        if step[0] in NAMES_CHANGE:
            self._paths = None
        if step[0] not in ASK_ONLY:
            await self._compare_around(step)
        if step[0] == "list_start" and not plain.code:
            self._steady[step[1]] = self.plain.entries_in(step[1])
        if self.plain.streams:
            judge_listings(self.plain, self.stack, self._steady)

    async def _judge(self, step: Step, plain: Outcome, stack: Outcome) -> None:
        if step[0] == "seek" and SEEKS[step[3]] in (os.SEEK_DATA, os.SEEK_HOLE) and step[1] in self.plain.files:
            judge_sought(step, plain, stack, self.plain)
            self.plain.seek(step[1], 0, 0)
            await self.stack.seek(step[1], 0, 0)
        else:
            judge(step, plain, stack)

    async def _on_stack(self, step: Step) -> Outcome:
        try:
            return Outcome(await getattr(self.stack, step[0])(*step[1:]))
        except OSError as error:
            return Outcome(code=error.errno or -1)
        except Exception as error:
            raise Differs(f"{shown(step)}: the stack raised {error!r}") from error

    def _on_plain(self, step: Step) -> Outcome:
        try:
            return Outcome(getattr(self.plain, step[0])(*step[1:]))
        except OSError as error:
            return Outcome(code=error.errno or -1)

    def _leads_out(self, step: Step) -> bool:
        """A path that leaves the directory, where a volume ends at its root; that enters what is a brick's own; or that
        is too long for the kernel. Nor does an ordinary user shut the root: the brick in it would be shut too."""
        paths = _paths_of(step)
        if step[0] == "symlink" and (b".." in step[1] or RESERVED_IN_ROOT in step[1]):
            self._lead_out = True
        if any(len(self.plain.root) + len(path) > REAL_PATH_BYTES_MAX for path in paths):
            return True
        if any(components(path)[:1] == [RESERVED_IN_ROOT] for path in paths):
            return True
        if step[0] == "chmod" and not step[2] & 0o100 and os.path.realpath(self.plain.at(step[1])) == self._real_root:
            return os.geteuid() != 0
        if not self._lead_out and not any(b"/../" in path or RESERVED_IN_ROOT in path for path in paths):
            return False
        inside, reserved = self._real_root + b"/", self._real_root + b"/" + RESERVED_IN_ROOT + b"/"
        meant = [os.path.realpath(self.plain.at(path)) + b"/" for path in paths]
        return any(not path.startswith(inside) or path.startswith(reserved) for path in meant)

    # --- what came of it ---------------------------------------------------------------------------------------------

    async def _compare_around(self, step: Step) -> None:
        """The objects that a step names, and the directories that they stand in."""
        around = {path for path in _paths_of(step) if path}
        around |= {os.path.dirname(path) for path in around}
        for path in sorted(around):
            await self._compare("lstat", path)
        if isinstance(step[1], int) and step[1] in self.plain.files:
            await self._compare("fstat", step[1])

    async def _compare(self, *step: object) -> None:
        if not self._leads_out(step):
            judge(step, self._on_plain(step), await self._on_stack(step))

    async def compare_all(self) -> None:
        """At the end: every name, its attributes, contents and extended attributes, and what is still open."""
        self._paths = None
        directories, others = self._known()
        for path in directories:
            await self._compare("scandir", path)
        for path in others:
            for question in ("lstat", "readlink", "read_bytes"):
                await self._compare(question, path)
        if "listxattr" in self.possible:
            for path in [*directories, *others]:
                await self._compare("listxattr", path, False)
        for slot in self.plain.files:
            await self._compare("fstat", slot)
            await self._compare("pread", slot, 1 << 20, 0)
        await self._compare_identities(others)
        for stream in self.plain.streams:
            while not self.stack.streams[stream].end:
                await self._compare("list_more", stream, 1 << 16)
        judge_listings(self.plain, self.stack, self._steady)

    async def _compare_identities(self, paths: list[bytes]) -> None:
        """Names that are one object on one side are one object on the other."""
        pairs: dict[int, int] = {}
        for path in paths:
            with suppress(PermissionError):
                plain, stack = self.plain.ino(path), await self.stack.ino(path)
                if pairs.setdefault(plain, stack) != stack:
                    raise Differs(f"{path!r} and another name are one object in the directory, and two in the stack")
        if len(set(pairs.values())) < len(pairs):
            raise Differs("two objects of the directory have one inode number in the stack")


WITHOUT_A_PATH = NEEDS_A_FILE | {"umask", "list_more"}
PATH_IS_SECOND = frozenset(("open", "list_start", "symlink"))
NAMES_CHANGE = frozenset(("mkdir", "makedirs", "mknod", "symlink", "link", "rename", "unlink", "rmdir", "open"))
NAMES_CHANGE |= {"write_bytes", "chmod"}
"""What is there may be something else after these; chmod opens and shuts directories."""
ASK_ONLY = frozenset(("stat", "lstat", "readlink", "access", "statvfs", "read_bytes", "listdir", "scandir"))
ASK_ONLY |= {"list_start", "list_more", "getxattr", "listxattr", "close", "pread", "read", "seek", "fstat", "fsync"}


def _paths_of(step: Step) -> tuple[bytes, ...]:
    if step[0] in WITHOUT_A_PATH:
        return ()
    if step[0] in PATH_IS_SECOND:
        return (step[2],)
    return step[1:3] if step[0] in ("rename", "link") else (step[1],)


def _not_done_here(plain: PlainDirectory) -> set[str]:
    """Operations that the file system of the directory does not know."""
    probe = b"probe"
    plain.write_bytes(probe, b"1")
    plain.open(SLOTS, probe, "r+b", 0)
    refused: set[str] = set()
    for name, *args in (
        ("reserve", SLOTS, False, 0, 1),
        ("punch", SLOTS, 0, 1),
        ("zero", SLOTS, 0, 1),
        ("copy", SLOTS, 0, SLOTS, 8, 1),
        ("setxattr", probe, "user.probe", b"1", 0, True),
    ):
        try:
            getattr(plain, name)(*args)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                raise
            refused |= {"setxattr", "getxattr", "listxattr", "removexattr"} if name == "setxattr" else {name}
    plain.close(SLOTS)
    plain.unlink(probe)
    return refused
