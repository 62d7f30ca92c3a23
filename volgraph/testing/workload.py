"""What simulated clients do, and what goes wrong meanwhile, as data: drawn from a seed, printed, and run again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import Enum

import attrs

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
    """What a fault does. Those of two hosts name a client and a brick, the others a brick."""

    CUT = "cut"
    PARTITION = "partition"
    BLACK_HOLE = "black hole"
    MEND = "mend"
    KILL = "kill"
    POWER_LOSS = "power loss"
    RESTART = "restart"
    SKEW = "skew"


@attrs.frozen
class Fault:
    """At a virtual time in seconds. `seconds` is the skew of a brick's wall clock."""

    when: float
    what: Go
    brick: str
    client: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        whom = f"client-{self.client} and {self.brick}" if self.what in BETWEEN else self.brick
        about = f" by {self.seconds:.0f} s" if self.what is Go.SKEW else ""
        return f"at {self.when:.3f} s {self.what.value} {whom}{about}"


BETWEEN = frozenset((Go.CUT, Go.PARTITION, Go.BLACK_HOLE, Go.MEND))

LIKELY = (Do.WRITE,) * 6 + (Do.READ,) * 6 + (Do.CREATE,) * 4 + (Do.LOOKUP, Do.UNLINK, Do.RENAME)


def draw_workload(seed: int, clients: int = 2, steps: int = 20, pause: float = 1.0) -> list[list[Step]]:
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
    """Faults over `seconds` of virtual time. What breaks one brick is mended before another is broken in this way."""
    rng = random.Random(f"{seed}/faults")
    bricks = sorted(tree.bricks())
    found: list[Fault] = []
    when = 0.0
    for _ in range(count):
        when += rng.expovariate(count / seconds)
        what = rng.choice((Go.CUT, Go.PARTITION, Go.BLACK_HOLE, Go.KILL, Go.SKEW))
        fault = Fault(round(when, 3), what, rng.choice(bricks), rng.randrange(clients), round(rng.uniform(-9e7, 9e7)))
        found.append(fault)
        undo = {Go.PARTITION: Go.MEND, Go.KILL: Go.RESTART}.get(what)
        if undo is not None:
            when += rng.expovariate(count / seconds)
            found.append(attrs.evolve(fault, when=round(when, 3), what=undo))
    return found
