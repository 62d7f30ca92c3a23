"""serve, status, heal: run a graph, look at it, mend it."""

from __future__ import annotations

import argparse
import os
import signal
from typing import TYPE_CHECKING, Any

import anyio

from ..graph.render import tree
from ..healing import pending
from ..status import NodeStatus, status_of
from .screen import strokes
from .specs import Usage, add_spec_options, inside, linked, opened, run

if TYPE_CHECKING:
    from ..translators.cluster.afr.report import HealItem, HealReport


def register(commands: Any) -> None:
    serve_parser = commands.add_parser("serve", help="run a spec that exports volumes until SIGTERM or SIGINT")
    serve_parser.add_argument("spec", metavar="SPEC")
    serve_parser.set_defaults(run=lambda args: run(serve, args))
    status_parser = commands.add_parser("status", help="the tree, with each node's state and what is to be healed")
    status_parser.add_argument("spec", metavar="SPEC")
    status_parser.set_defaults(run=lambda args: run(status, args))
    heal_parser = commands.add_parser("heal", help="bring every copy up to date; status 1 if something is left")
    heal_parser.add_argument("spec", metavar="SPEC[:/path]")
    heal_parser.add_argument("--info", action="store_true", help="only say what is to be healed")
    heal_parser.add_argument("--full", action="store_true", help="compare everything, marked or not")
    heal_parser.set_defaults(run=lambda args: run(heal, args))
    add_spec_options(serve_parser, waits=False)
    for parser in (status_parser, heal_parser):
        add_spec_options(parser)


async def serve(args: argparse.Namespace) -> int:
    from ..translators.protocol.server import Server

    graph = linked(args, args.spec)
    servers = graph.find(Server)
    if not servers:
        raise Usage(f"{args.spec}: nothing to serve: no volume of type protocol/server below {graph.top.name}")
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with graph:
            for server in servers:
                exports = ", ".join(child.name for child in server.children)
                print(f"serving {exports} on {server.bind_address}:{server.port}", flush=True)
            async for _ in signals:
                break
    return 0


async def status(args: argparse.Namespace) -> int:
    """Told of a volume that is down, too."""
    graph = linked(args, args.spec)
    async with graph:
        await graph.heard_from_all(args.wait)
        top = status_of(graph.top, await pending(graph))
        nodes = {each.name: each for each in _flat(top)}
        print(tree(graph.top, lambda node: _line(nodes[node.name]), strokes()))
    return 0 if top.state == "up" else 1


def _flat(top: NodeStatus) -> list[NodeStatus]:
    found, todo = [], [top]
    while todo:
        node = todo.pop()
        found.append(node)
        todo += node.children
    return found


def _line(node: NodeStatus) -> str:
    reason = f": {node.reason}" if node.reason else ""
    pending = f", {node.pending} to be healed" if node.pending is not None else ""
    return f"{node.name} ({node.type}) {node.state}{reason}{pending}"


async def heal(args: argparse.Namespace) -> int:
    where = inside(args.spec)
    async with opened(args, where.spec) as volume:
        if args.info:
            report = await volume.pending()
        else:
            report = await volume.heal(where, args.full)
    print_report(report)
    return 0 if report.clean or args.info else 1


def print_report(report: HealReport) -> None:
    for title, items in (
        ("healed", report.healed),
        ("pending", report.pending),
        ("split-brain", report.split_brain),
        ("failed", report.failed),
    ):
        for item in items:
            print(f"{title:11}  {_item(item)}")
    counts = (len(report.healed), len(report.pending), len(report.split_brain), len(report.failed))
    print("{} healed, {} pending, {} in split-brain, {} failed".format(*counts))


def _item(item: HealItem) -> str:
    name = item.gfid.text if item.path is None else os.fsdecode(item.path)
    blamed = f"  blamed: {', '.join(item.blamed)}" if item.blamed else ""
    return f"{name}{blamed}{f'  ({item.reason})' if item.reason else ''}"
