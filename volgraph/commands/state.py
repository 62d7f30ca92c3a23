"""serve, status, heal: run a graph, look at it, mend it."""

from __future__ import annotations

import argparse
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import anyio
import attrs

from ..graph.render import tree
from ..healing import accept, kept_out, pending
from ..probing import advice, probe
from ..status import NodeStatus, status_of
from ..volspec.errors import printable
from .screen import human, strokes
from .specs import Usage, add_command, add_spec_options, inside, linked, opened, run

if TYPE_CHECKING:
    from ..translators.cluster.afr.report import HealItem, HealReport


LATENCY_SECONDS_MIN = 0.0001
"""What is shorter has no digits left."""


def register(commands: Any) -> None:
    serve_parser = add_command(
        commands,
        "serve",
        "run a spec that exports volumes until SIGTERM or SIGINT",
        "It has a volume of type protocol/server: examples/served.vol is one.",
    )
    serve_parser.add_argument("spec", metavar="SPEC")
    serve_parser.set_defaults(run=lambda args: run(serve, args))
    status_parser = add_command(
        commands,
        "status",
        "the tree, with each node's state and what is to be healed",
        "Status 1 if the volume is down.",
    )
    status_parser.add_argument("spec", metavar="SPEC")
    status_parser.add_argument("--format", choices=("tree", "json"), default="tree")
    status_parser.set_defaults(run=lambda args: run(status, args))
    heal_parser = add_command(
        commands,
        "heal",
        "bring every copy up to date; status 1 if something is left",
        "What is pending waits for a copy that is away; what is in split-brain, for a person to decide;"
        " what failed names the error.",
    )
    heal_parser.add_argument("spec", metavar="SPEC[:/path]", help="with a path: only that, and all below it")
    heal_parser.add_argument("--info", action="store_true", help="only say what is to be healed")
    heal_parser.add_argument("--full", action="store_true", help="compare everything, marked or not")
    heal_parser.add_argument(
        "--accept",
        metavar="CHILD",
        help="fill a child from the others, as one that has nothing: one that is kept out, or stands beside a full one",
    )
    heal_parser.set_defaults(run=lambda args: run(heal, args))
    add_spec_options(serve_parser, waits=False)
    for parser in (status_parser, heal_parser):
        add_spec_options(parser)


async def serve(args: argparse.Namespace) -> int:
    from ..translators.protocol.server import Server

    graph = await linked(args, args.spec)
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
    graph = await linked(args, args.spec)
    async with graph:
        await graph.heard_from_all(args.wait)
        top = status_of(graph.top, await pending(graph), await probe(graph))
    if args.format == "json":
        print(json.dumps(attrs.asdict(top), indent=2))
    else:
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
    """`near (storage/posix) up, suspect, 0.1 ms, 7.5 GiB of 20 GiB free`"""
    facts = [node.state + (f": {node.reason}" if node.reason else ""), *node.health]
    if node.pending is not None:
        facts.append(f"{node.pending} to be healed")
    if node.latency is not None:
        facts.append(f"{node.latency * 1000:.1f} ms" if node.latency >= LATENCY_SECONDS_MIN else "<0.1 ms")
    if node.size is not None and node.free is not None:
        facts.append(f"{human(node.free)} of {human(node.size)} free")
    return printable(f"{node.name} ({node.type}) {', '.join(facts)}")


async def heal(args: argparse.Namespace) -> int:
    where = inside(args.spec)
    if args.accept:  # of a volume that may be down until then
        graph = await linked(args, where.spec)
        async with graph:
            await graph.heard_from_all(args.wait)
            await accept(graph, args.accept)
    async with opened(args, where.spec) as volume:
        if args.info:
            report = await volume.pending()
        else:
            report = await volume.heal(where, args.full or args.accept is not None)
        out, advised = kept_out(volume.graph), await advice(volume.graph)
    print_report(report)
    for name, why in out.items():
        print(printable(f"{'kept out':11}  {name}: {why} (if it is to be filled: heal --accept {name})"))
    for name, what in advised.items():
        print(printable(f"{name}: {what}"))
    return 0 if args.info or (report.clean and not out and not advised) else 1


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
