"""What `Volume.status` answers: the graph as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from .graph import Translator, children_first

if TYPE_CHECKING:
    from .translators.cluster.afr.report import HealReport


@attrs.frozen
class NodeStatus:
    """One node. `state` is up, down or unknown; `reason` says why it is down; `pending` counts objects that are to be
    healed (None: nobody asked yet, or the node does not replicate); `latency` in seconds (None: not measured)."""

    name: str
    type: str
    state: str
    reason: str = ""
    pending: int | None = None
    latency: float | None = None
    children: tuple[NodeStatus, ...] = ()


def status_of(top: Translator, reports: Mapping[str, HealReport]) -> NodeStatus:
    """`reports`: what is to be healed, by the name of the afr. A node with two parents is one value in both."""
    made: dict[Translator, NodeStatus] = {}
    for node in children_first(top):
        report = reports.get(node.name)
        made[node] = NodeStatus(
            name=node.name,
            type=node.type_name,
            state=node.state.value,
            reason=node.down_reason,
            pending=None if report is None else len(report.pending) + len(report.split_brain) + len(report.failed),
            children=tuple(made[child] for child in node.below),
        )
    return made[top]
