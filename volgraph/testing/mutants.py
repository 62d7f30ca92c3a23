"""Historic bugs (and some of our own devising, L1 and on), planted one at a time: the tests are worth what they kill.

    python -m volgraph.testing.mutants

Each mutant breaks one function, mostly of cluster/afr, in the way a real replication system once had it, and names the
hunt that must kill it. Unbroken code passes the same hunts. F01 and on number bugs that GlusterFS, mostly, once had and
mended; those of storage/posix are in `power_loss_mutants`. I01 and on, by which a hunt tells what it has found broken,
are in meanings.py.

Two of the historic bugs cannot be planted. F25 (a policy decides a split-brain by size, and sizes are equal): no
policy decides here, a split-brain waits for a person. F53 (an arbiter is read from): there are no arbiters, every child
holds all the data.
"""

from __future__ import annotations

import time

import attrs

from .hunts import Mutant, majority, mirror
from .mutants_below import BELOW
from .mutants_changes import CHANGES
from .mutants_healing import HEALING
from .mutants_keeping import KEEPING
from .mutants_laggards import LAGGARDS
from .mutants_locks import LOCKS
from .mutants_power import POWER
from .mutants_reading import READING

__all__ = ["MUTANTS", "Hunted", "Mutant", "hunt", "majority", "mirror"]

MUTANTS = tuple(
    sorted((*CHANGES, *KEEPING, *HEALING, *LAGGARDS, *POWER, *READING, *LOCKS, *BELOW), key=lambda mutant: mutant.id)
)


@attrs.frozen
class Hunted:
    mutant: Mutant
    found: str
    seconds: float

    @property
    def killed(self) -> bool:
        return bool(self.found)

    def __str__(self) -> str:
        how = f"killed in {self.seconds:.2f} s by {self.found}" if self.killed else f"SURVIVED {self.seconds:.2f} s"
        return f"{self.mutant.id}: {self.mutant.broken}\n    {how}"


def hunt(mutant: Mutant) -> Hunted:
    """Plant it, and see whether it is found."""
    started = time.perf_counter()
    with mutant.plant():
        found = mutant.hunt()
    return Hunted(mutant, found, time.perf_counter() - started)


def main() -> None:
    started = time.perf_counter()
    hunted = [hunt(mutant) for mutant in MUTANTS]
    for each in hunted:
        print(each)
    killed = sum(each.killed for each in hunted)
    print(f"{killed} of {len(hunted)} killed in {time.perf_counter() - started:.1f} s")
    raise SystemExit(killed != len(hunted))


if __name__ == "__main__":
    main()
