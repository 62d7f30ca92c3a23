"""What `Volume.status` answers: the graph as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from .graph import State, Translator, children_first
from .probing import Probe

if TYPE_CHECKING:
    from .translators.cluster.afr.report import HealReport


@attrs.frozen
class NodeStatus:
    """One node. `state` is up, down or unknown; `reason` says why it is not up; `health` what else is to be known of a
    brick that is up: suspect (its machine went down while it was in use), full, read-only; or of an afr: which children
    are kept out, or empty beside full ones, and what to do.

    `pending` counts objects that are to be healed (None: nobody asked yet, or the node does not replicate). `latency`
    in seconds, `size` and `free` in bytes are what a leaf last answered (None: nobody asked yet, or it did not).
    """

    name: str
    type: str
    state: str
    reason: str = ""
    health: tuple[str, ...] = ()
    pending: int | None = None
    latency: float | None = None
    size: int | None = None
    free: int | None = None
    children: tuple[NodeStatus, ...] = ()


def status_of(top: Translator, reports: Mapping[str, HealReport], probes: Mapping[str, Probe]) -> NodeStatus:
    """`reports`: what is to be healed, `probes`: what the leaves answered; both by the name of the node. A node with
    two parents is one value in both."""
    made: dict[Translator, NodeStatus] = {}
    for node in children_first(top):
        report, probe = reports.get(node.name), probes.get(node.name)
        made[node] = NodeStatus(
            name=node.name,
            type=node.type_name,
            state=node.state.value,
            reason=_reason(node),
            health=_health(node, probe),
            pending=None if report is None else len(report.pending) + len(report.split_brain) + len(report.failed),
            latency=None if probe is None else probe.latency,
            size=None if probe is None else probe.size,
            free=None if probe is None else probe.free,
            children=tuple(made[child] for child in node.below),
        )
    return made[top]


def _reason(node: Translator) -> str:
    """Why it is not up; "" if it is."""
    if node.down_reason or node.state is not State.UNKNOWN:
        return node.down_reason
    silent = [child.name for child in node.below if child.state is State.UNKNOWN]
    return f"no word yet from {', '.join(silent)}" if silent else "no answer yet"


def _health(node: Translator, probe: Probe | None) -> tuple[str, ...]:
    """What a brick of this process says of itself, and one behind a server in its answers."""
    if node.state is not State.UP:
        return ()
    said: str = getattr(node, "health", "")
    words = [word.strip() for word in said.split(",")[1:]]  # the first says whether it is up
    if probe is not None and probe.suspect and "suspect" not in words:
        words.append("suspect")
    if probe is not None and probe.advice:
        words.append(probe.advice)
    return tuple(words)
