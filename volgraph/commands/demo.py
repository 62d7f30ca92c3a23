"""demo: the main job, shown on this machine."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from ..demo import FILES_MAX, FILES_MIN, demo
from .specs import add_command, run


def register(commands: Any) -> None:
    parser = add_command(
        commands,
        "demo",
        "mirror a real tree on a local and a served directory, lose the server, heal, compare",
        "All of it in a temporary directory, in half a minute.",
    )
    parser.add_argument("--files", type=_files, default=FILES_MAX, help=f"at most so many (default {FILES_MAX})")
    parser.set_defaults(run=lambda args: run(demo, args.files))


def _files(text: str) -> int:
    count = int(text) if text.isdecimal() else 0
    if count < FILES_MIN:
        raise ArgumentTypeError(f"at least {FILES_MIN}, or there is too little to see")
    return count
