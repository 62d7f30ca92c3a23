"""The testing kit: for the author of a translator, and for whoever wants to see what replication promises.

testing.check(lambda child: Upper("upper", [child]))          # every contract of a translator, one by one
history = testing.simulate(tree, workload, faults, seed=7)    # a cluster under virtual time
testing.assert_invariants(history)
"""

# Not loaded lazily, as all else is: some of these are named as their modules are, and must be bound after them.
from .check import check
from .history import History, assert_invariants
from .simulate import simulate
from .tree import Tree, afr, brick, unify
from .workload import draw_faults, draw_workload

__all__ = [
    "History",
    "Tree",
    "afr",
    "assert_invariants",
    "brick",
    "check",
    "draw_faults",
    "draw_workload",
    "simulate",
    "unify",
]
