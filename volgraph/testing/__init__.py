"""The testing kit: for the author of a translator, and for whoever wants to see what replication promises.

testing.check(lambda child: Upper("upper", [child]))          # every contract of a translator, one by one
testing.like_a_directory(lambda child: Upper("u", [child]))   # thousands of random steps, compared with a directory
history = testing.simulate(tree, workload, faults, seed=7)    # a cluster under virtual time
testing.assert_invariants(history)
testing.assert_or_shrink(history)                             # the same; a failure tells the smallest plan that fails
report = testing.sweep(replicate, testing.WRITEV, copies=2)   # one change under every schedule of faults
child = testing.Fated("a", [brick], fates={...})              # a child that fails where it is told to

`trees()`, `workloads()` and `faults(tree)` are Hypothesis strategies, loaded when they are first asked for.

Its files, by what they serve:

    check, conformance, contract, contracts_*, fop_bench    the contracts of a translator
    like_a_directory_*                                      random steps, compared with a plain directory
    sweep, bench, operations*, schedules, fated, rewind     one replicated change under every schedule of faults
    invariants, meanings                                    what must hold after it, and under which ids
    simulate, cluster, tree, workload, losses, shrinking    a whole cluster under virtual time
    history, views, linearizable, lock_histories            what was seen there, judged
    loop, trio_loop, timers, network, seams, by_hand        virtual time, and what a simulated host has for its seams
    transcript, strategies                                  what happened, in order; what Hypothesis draws
    mutants*, hunts, stage                                  planted bugs of replication, and what must find them
    power_loss*, failing_disk                               disks that lose power, fail or hang, under storage/posix
"""

from typing import TYPE_CHECKING, Any

# Not loaded lazily, as all else is: some of these are named as their modules are, and must be bound after them.
from .check import check
from .fated import OK, REPLY_LOST, REQUEST_LOST, Fate, Fated, Phase, Where, failing, short
from .history import History, assert_invariants, violations
from .loop import run
from .network import SimNetwork
from .operations import WRITEV
from .operations_names import CREATE
from .seams import simulated
from .shrinking import assert_or_shrink, shrink
from .simulate import simulate
from .sweep import SweepReport, sweep, sweep_heal
from .transcript import SimDeadlock, SimLivelock
from .tree import Tree, afr, brick, unify
from .workload import Fault, draw_faults, draw_workload

if TYPE_CHECKING:
    from .like_a_directory_runs import like_a_directory
    from .strategies import faults, trees, workloads

__all__ = [
    "CREATE",
    "OK",
    "REPLY_LOST",
    "REQUEST_LOST",
    "WRITEV",
    "Fate",
    "Fated",
    "Fault",
    "History",
    "Phase",
    "SimDeadlock",
    "SimLivelock",
    "SimNetwork",
    "SweepReport",
    "Tree",
    "Where",
    "afr",
    "assert_invariants",
    "assert_or_shrink",
    "brick",
    "check",
    "draw_faults",
    "draw_workload",
    "failing",
    "faults",
    "like_a_directory",
    "run",
    "short",
    "shrink",
    "simulate",
    "simulated",
    "sweep",
    "sweep_heal",
    "trees",
    "unify",
    "violations",
    "workloads",
]


def __getattr__(name: str) -> Any:
    """What needs Hypothesis, which a program that only checks or simulates does not."""
    if name in ("faults", "trees", "workloads"):
        from . import strategies

        return getattr(strategies, name)
    if name == "like_a_directory":
        from .like_a_directory_runs import like_a_directory

        return like_a_directory
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
