"""serve, status, heal: run a graph, look at it, mend it."""

from __future__ import annotations

import argparse
import os
import signal
from typing import TYPE_CHECKING, Any

import anyio

from ..graph import State
from ..graph.render import tree
from ..status import NodeStatus
from .screen import strokes
from .specs import add_spec_options, inside, linked, opened, run

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
    for parser in (serve_parser, status_parser, heal_parser):
        add_spec_options(parser)
