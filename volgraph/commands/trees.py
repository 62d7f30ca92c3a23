"""cp: files and trees into a volume, out of it, and from one to another."""

from __future__ import annotations

import argparse
import errno
import os
import stat as mode_bits
from contextlib import AsyncExitStack
from typing import Any

from ..copying import LocalTree, Tree, VolumeTree, copy
from ..volume import Volume
from .files import into
from .screen import progress
from .specs import Inside, Usage, add_spec_options, opened, place, run


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
    async with AsyncExitStack() as stack:
        volumes: dict[str, Volume] = {}
        for each in (source, target):
            if isinstance(each, Inside) and each.spec not in volumes:
                volumes[each.spec] = await stack.enter_async_context(opened(args, each.spec))
        here: Tree = VolumeTree(volumes[source.spec]) if isinstance(source, Inside) else LocalTree()
        there: Tree = VolumeTree(volumes[target.spec]) if isinstance(target, Inside) else LocalTree()
        if isinstance(target, Inside):
            goal: Inside | str = await into(volumes[target.spec], source, target)
        else:
            goal = os.path.join(target, os.path.basename(os.fspath(source))) if os.path.isdir(target) else target
        await _copy(args, here, source, there, goal)


async def _copy(args: argparse.Namespace, here: Tree, source: Inside | str, there: Tree, goal: Inside | str) -> None:
    if not args.r and mode_bits.S_ISDIR((await here.stat(os.fsencode(source))).st_mode):
        raise OSError(errno.EISDIR, "Is a directory (cp -r copies it)", str(source))
    with progress(f"{source} -> {goal}") as step:
        await copy(here, os.fsencode(source), there, os.fsencode(goal), progress=step)
