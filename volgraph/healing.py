"""Healing every afr of a graph, and finding the names of what is healed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from . import listing
from .errors import StrPath
from .graph import ROOT_GFID, Gfid, Graph, Iatt, State, fail

if TYPE_CHECKING:
    from .translators.cluster.afr import Afr
    from .translators.cluster.afr.report import HealReport
    from .volume import Volume

ROUNDS_MAX = 100
"""Healing one level may mark something at another; what is not healed after so many rounds is left as pending."""


async def heal(volume: Volume, path: StrPath, full: bool) -> HealReport:
    """Heal each afr, those below first, again and again until a round heals nothing more."""
    from .translators.cluster.afr.report import HealReport

    report = HealReport()
    goals: list[Gfid | None] = [None] if os.fsencode(path).strip(b"/") == b"" else [*await _below(volume, path)]
    for number in range(ROUNDS_MAX):
        found = HealReport()
        for afr in _afrs(volume.graph):
            for gfid in goals:
                found.add(await afr.heal(gfid, full and number == 0))
        report.healed += found.healed
        report.pending, report.split_brain, report.failed = found.pending, found.split_brain, found.failed
        if not found.healed:
            break
    await _seen_by_unify(volume)
    return await named(volume, report)


async def _seen_by_unify(volume: Volume) -> None:
    """A unify mends a directory that one of its children has missed a change of when it is looked up: so look."""
    from .translators.cluster.unify import Unify

    if volume.graph.find(Unify) and volume.graph.top.state is State.UP:
        await listing.visit_tree(volume._caller, ROOT_GFID, b"/", lambda path, iatt: True)


async def accept(graph: Graph, name: str) -> None:
    """Take a child for one of its afr's that was kept out. EINVAL no afr has a child of that name."""
    from .translators.cluster.afr import Afr

    above = [afr for afr in graph.find(Afr) if any(child.name == name for child in afr.children)]
    if not above:
        known = sorted({child.name for afr in graph.find(Afr) for child in afr.children})
        has = f"they have {', '.join(known)}" if known else "there is none"
        raise fail(errno.EINVAL, f"no cluster/afr has a child '{name}' ({has})")
    for afr in above:
        await afr.accept(name)


def kept_out(graph: Graph) -> dict[str, str]:
    """The children that take no part because their afr does not know them, and why."""
    from .translators.cluster.afr import Afr

    return {name: why for afr in graph.find(Afr) for name, why in afr.known.reasons.items()}


async def pending(graph: Graph) -> dict[str, HealReport]:
    """What each afr that is up has to heal, by its name."""
    return {afr.name: await afr.pending() for afr in _afrs(graph)}


def together(reports: Iterable[HealReport]) -> HealReport:
    from .translators.cluster.afr.report import HealReport

    whole = HealReport()
    for report in reports:
        whole.add(report)
    return whole


async def named(volume: Volume, report: HealReport) -> HealReport:
    """Put a path to each item that has one. A walk of the tree, which ends when all are found."""
    items = [*report.healed, *report.pending, *report.split_brain, *report.failed]
    paths: dict[Gfid, bytes] = {ROOT_GFID: b"/"}
    wanted = {item.gfid for item in items} - paths.keys()

    def note(path: bytes, iatt: Iatt) -> bool:
        if iatt.gfid in wanted:
            wanted.discard(iatt.gfid)
            paths[iatt.gfid] = path
        return bool(wanted)

    if wanted and volume.graph.top.state is State.UP:
        await listing.visit_tree(volume._caller, ROOT_GFID, b"/", note)
    for item in items:
        item.path = paths.get(item.gfid, item.path)
    return report


def _afrs(graph: Graph) -> list[Afr]:
    from .translators.cluster.afr import Afr

    return [afr for afr in graph.find(Afr) if afr.state is State.UP]


async def _below(volume: Volume, path: StrPath) -> list[Gfid]:
    """The object at a path and all below it."""
    iatt = await volume._find(path, follow=False)
    found = [iatt.gfid]

    def note(path: bytes, each: Iatt) -> bool:
        found.append(each.gfid)
        return True

    if iatt.is_dir:
        await listing.visit_tree(volume._caller, iatt.gfid, b"", note)
    return found
