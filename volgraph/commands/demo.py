"""demo: the main job, shown on this machine."""

from __future__ import annotations

from typing import Any

from ..demo import demo
from .specs import run


def register(commands: Any) -> None:
    parser = commands.add_parser(
        "demo", help="mirror a real tree on a local and a served directory, lose the server, heal, compare"
    )
    parser.set_defaults(run=lambda args: run(demo))
