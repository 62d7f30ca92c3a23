"""cp: files and trees into a volume, out of it, and from one to another."""

from __future__ import annotations

import argparse
import errno
import os
import stat as mode_bits
from typing import Any

from ..copying import LocalTree, Tree, VolumeTree, copy
from .files import into
from .screen import progress
from .specs import Inside, Usage, add_spec_options, place, run, volumes


def register(commands: Any) -> None:
    parser = commands.add_parser("cp", help="copy files and trees into, out of, or between volumes")
    parser.add_argument("-r", action="store_true", help="directories, with all below them")
    parser.add_argument("source", metavar="FROM", help="a local path or SPEC:/path")
    parser.add_argument("target", metavar="TO", help="a local path or SPEC:/path; a directory is copied into")
    add_spec_options(parser)
    parser.set_defaults(run=lambda args: run(cp, args))


async def cp(args: argparse.Namespace) -> None:
    source, target = place(args.source), place(args.target)
    if isinstance(source, str) and isinstance(target, str):
        raise Usage("one of the two must be SPEC:/path; for local files there is cp")
    async with volumes(args) as volume_of:
        here: Tree = LocalTree()
        if isinstance(source, Inside):
            here = VolumeTree(await volume_of(source.spec))
        there: Tree = LocalTree()
        goal: Inside | str = target
        if isinstance(target, Inside):
            volume = await volume_of(target.spec)
            there, goal = VolumeTree(volume), await into(volume, source, target)
        elif os.path.isdir(target):
            goal = os.path.join(target, os.path.basename(os.fspath(source).rstrip("/")))
        await _copy(args, here, source, there, goal)


async def _copy(args: argparse.Namespace, here: Tree, source: Inside | str, there: Tree, goal: Inside | str) -> None:
    if not args.r and mode_bits.S_ISDIR((await here.stat(os.fspath(source))).st_mode):
        raise OSError(errno.EISDIR, "Is a directory (cp -r copies it)", str(source))
    with progress(f"{source} -> {goal}") as step:
        await copy(here, os.fspath(source), there, os.fspath(goal), progress=step)
