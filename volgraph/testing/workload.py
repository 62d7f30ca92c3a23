"""What simulated clients do, and what goes wrong meanwhile, as data: drawn from a seed, printed, and run again."""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence
from enum import Enum
from typing import get_args

import attrs

from ..translators.storage.memory import Keep
from .tree import Tree

BLOCK_BYTES = 16
BLOCKS = 3
"""Blocks per file. A write replaces one block whole, with a value that no other write has."""
NAMES = (b"x", b"y", b"z")


class Do(Enum):
    CREATE = "create"
    WRITE = "write"
    READ = "read"
    LOOKUP = "lookup"
    UNLINK = "unlink"
    RENAME = "rename"
    SYNC = "sync"
    """fsync of a file, then of the directory that it is in."""


@attrs.frozen
class Step:
    """One thing that a client does, after a pause in seconds. `block` is for reads and writes, `target` for renames."""

    pause: float
    do: Do
    name: bytes
    block: int = 0
    target: bytes = b""

    def __str__(self) -> str:
        about = f" block {self.block}" if self.do in (Do.READ, Do.WRITE) else ""
        about += f" to {self.target.decode()}" if self.target else ""
        return f"after {self.pause:.3f} s {self.do.value} {self.name.decode()}{about}"


Workload = Sequence[Sequence[Step]]
"""For each client the steps that it makes one after the other."""


class Go(Enum):
    """What a fault does. Those of two hosts name a client and a brick, `CLIENT_KILL` a client, the others a brick."""

    CUT = "cut"
    PARTITION = "partition"
    BLACK_HOLE = "black hole"
    MEND = "mend"
    KILL = "kill"
    RESTART = "restart"
    FULL = "full disk"
    ROOM = "room again"
    SICK = "sick disk"
    CURED = "cured disk"
    SKEW = "skew"
    CLIENT_KILL = "kill client"


@attrs.frozen
class Fault:
    """At a virtual time in seconds. `keep` is what a killed brick has left of what was not synced: less than all where
    the power went as well. `every` says which calls of a sick disk fail, `code` with which errno (0: writes are short).
    `seconds` is the skew of a brick's wall clock, or how long a killed client stays away."""

    when: float
    what: Go
    brick: str
    client: int = 0
    seconds: float = 0.0
    keep: Keep = "all"
    every: int = 1
    code: int = 0

    @property
    def loses_power(self) -> bool:
        return self.what is Go.KILL and self.keep != "all"

    def __str__(self) -> str:
        whom = f"client-{self.client} and {self.brick}" if self.what in BETWEEN else self.brick
        about = ""
        if self.what is Go.SKEW:
            about = f" by {self.seconds:.0f} s"
        elif self.what is Go.CLIENT_KILL:
            whom, about = f"client-{self.client}", f" for {self.seconds:.3f} s"
        elif self.loses_power:
            about = f" keeping {self.keep}"
        elif self.what is Go.SICK:
            about = f", every {self.every}. call {errno.errorcode.get(self.code, 'short')}"
        return f"at {self.when:.3f} s {self.what.value} {whom}{about}"


BETWEEN = frozenset((Go.CUT, Go.PARTITION, Go.BLACK_HOLE, Go.MEND))
UNDONE_BY = {Go.PARTITION: Go.MEND, Go.KILL: Go.RESTART, Go.FULL: Go.ROOM, Go.SICK: Go.CURED}
BREAKING = (Go.CUT, Go.PARTITION, Go.BLACK_HOLE, Go.KILL, Go.KILL, Go.FULL, Go.SICK, Go.SKEW, Go.CLIENT_KILL)
CRASHES: tuple[Keep, ...] = get_args(Keep)

LIKELY = (Do.WRITE,) * 6 + (Do.READ,) * 6 + (Do.CREATE,) * 4 + (Do.SYNC,) * 2 + (Do.LOOKUP, Do.UNLINK, Do.RENAME)


def draw_workload(seed: int, clients: int = 2, steps: int = 20, pause: float = 3.0) -> list[list[Step]]:
    """Each client makes a file, then `steps` steps, with `pause` seconds between them on the average."""
    rng = random.Random(f"{seed}/workload")
    return [
        [Step(0.0, Do.CREATE, NAMES[number % len(NAMES)]), *(draw_step(rng, pause) for _ in range(steps))]
        for number in range(clients)
    ]


def draw_step(rng: random.Random, pause: float) -> Step:
    do = rng.choice(LIKELY)
    target = rng.choice(NAMES) if do is Do.RENAME else b""
    return Step(round(rng.expovariate(1 / pause), 3), do, rng.choice(NAMES), rng.randrange(BLOCKS), target)


def draw_faults(seed: int, tree: Tree, clients: int = 2, count: int = 6, seconds: float = 60.0) -> list[Fault]:
    """Faults over `seconds` of virtual time. What breaks one brick is mended before another is broken in this way.
    The power goes only where there is a copy: what was not fsynced to a brick that has none is simply lost."""
    rng = random.Random(f"{seed}/faults")
    bricks, mirrored = sorted(tree.bricks()), set(tree.mirrored())
    found: list[Fault] = []
    when = 0.0
    for _ in range(count):
        when += rng.expovariate(count / seconds)
        brick = rng.choice(bricks)
        crashes = CRASHES if brick in mirrored else CRASHES[:1]
        fault = draw_fault(rng, round(when, 3), brick, rng.randrange(clients), crashes)
        found.append(fault)
        undo = UNDONE_BY.get(fault.what)
        if undo is not None:
            when += rng.expovariate(count / seconds)
            found.append(Fault(round(when, 3), undo, fault.brick, fault.client))
    return found


def draw_fault(rng: random.Random, when: float, brick: str, client: int, crashes: Sequence[Keep] = CRASHES) -> Fault:
    what = rng.choice(BREAKING)
    if what is Go.KILL:
        return Fault(when, what, brick, keep=rng.choice(crashes))
    if what is Go.SICK:
        return Fault(when, what, brick, every=rng.randint(2, 12), code=rng.choice((errno.EIO, 0)))
    if what is Go.SKEW:
        return Fault(when, what, brick, seconds=round(rng.uniform(-9e7, 9e7)))
    if what is Go.CLIENT_KILL:
        return Fault(when, what, brick, client, round(rng.expovariate(1 / 3), 3))
    return Fault(when, what, brick, client if what in BETWEEN else 0)
