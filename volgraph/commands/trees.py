"""cp, tree: whole trees, into a volume, out of it, from one to another, and on the screen."""

from __future__ import annotations

import argparse
import errno
import os
import stat as mode_bits
from collections.abc import Awaitable, Callable
from typing import Any

from ..copy_local import LocalTree
from ..copy_volume import VolumeTree
from ..copying import Copy, Tree
from ..listing import DirEntry
from ..volume import Volume
from .files import advise, holds_a_directory, last_name, on_each
from .screen import complain, name_of, progress, strokes
from .specs import Inside, Usage, add_command, add_spec_options, inside, place, run, volumes


def register(commands: Any) -> None:
    cp_parser = add_command(
        commands,
        "cp",
        "copy files and trees into, out of, or between volumes",
        "As cp -a does it. A file that cannot be copied whole is told, and removed at its new place, unless it was"
        " there before.",
    )
    cp_parser.add_argument("-r", action="store_true", help="directories, with all below them")
    cp_parser.add_argument("sources", nargs="+", metavar="FROM", help="a local path or SPEC:/path")
    cp_parser.add_argument("target", metavar="TO", help="a local path or SPEC:/path; a directory is copied into")
    add_spec_options(cp_parser)
    cp_parser.set_defaults(run=lambda args: run(cp, args))
    tree_parser = add_command(commands, "tree", "draw directories, with all below them")
    tree_parser.add_argument("places", nargs="+", metavar="SPEC:/path", help="a path inside the volume of a spec")
    add_spec_options(tree_parser)
    tree_parser.set_defaults(run=lambda args: run(on_each, args, inside, tree))


# --- cp --------------------------------------------------------------------------------------------------------------


async def cp(args: argparse.Namespace) -> int:
    """What cannot be copied is told, and the rest is copied all the same: status 1."""
    sources, target = [place(text) for text in args.sources], place(args.target)
    if isinstance(target, str) and any(isinstance(source, str) for source in sources):
        raise Usage("one of the two must be SPEC:/path; for local files there is cp")
    status = 0
    async with volumes(args) as volume_of:
        there, goal_of = await _target(volume_of, target, len(sources) > 1)
        for source in sources:
            here = VolumeTree(await volume_of(source.spec)) if isinstance(source, Inside) else LocalTree()
            try:
                failed = await _copy(args, here, source, there, goal_of(source))
            except OSError as error:
                complain(error)
                failed = 1
            status |= failed > 0
    return status


async def _target(
    volume_of: Callable[[str], Awaitable[Volume]], target: Inside | str, several: bool
) -> tuple[Tree, Callable[[Inside | str], Inside | str]]:
    """The side that is copied to, and what a source is called there. ENOTDIR several go to what is no directory."""
    tree: Tree = LocalTree()
    is_directory = isinstance(target, str) and os.path.isdir(target)
    if isinstance(target, Inside):
        volume = await volume_of(target.spec)
        tree = VolumeTree(volume)
        is_directory = await holds_a_directory(volume, target)
    if several and not is_directory:
        raise OSError(errno.ENOTDIR, "Not a directory", str(target))

    def goal_of(source: Inside | str) -> Inside | str:
        if not is_directory:
            return target
        name = last_name(source)
        return target.join(name) if isinstance(target, Inside) else os.path.join(target, name)

    return tree, goal_of


async def _copy(args: argparse.Namespace, here: Tree, source: Inside | str, there: Tree, goal: Inside | str) -> int:
    """Copy one of the sources; answers how many names could not be copied."""
    st = await here.stat(os.fspath(source), True)
    if not args.r and not mode_bits.S_ISREG(st.st_mode):
        code, kind = (errno.EISDIR, "Is a directory") if mode_bits.S_ISDIR(st.st_mode) else (errno.EINVAL, "Not a file")
        raise OSError(code, f"{kind} (cp -r copies it)", str(source))
    size = st.st_size if mode_bits.S_ISREG(st.st_mode) else None
    with progress(f"{source} -> {goal}", size) as step:
        copy = Copy(here, there, progress=step, on_error=complain)
        return (await copy.run(os.fspath(source), os.fspath(goal))).failed


# --- tree ------------------------------------------------------------------------------------------------------------


async def tree(args: argparse.Namespace, volume: Volume, where: Inside) -> None:
    lines = strokes()
    counts = [0, 0]
    todo = await _below(volume, where.path, "")
    if not todo:
        await advise(volume, where)
    print(name_of(str(where)))
    while todo:
        lead, last, entry = todo.pop()
        shown = name_of(entry.name)
        if entry.is_symlink():
            shown += f" -> {name_of(await volume.readlink(entry.path))}"
        print(f"{lead}{lines.end if last else lines.fork}{shown}")
        counts[not entry.is_dir()] += 1
        if entry.is_dir():
            todo += await _below(volume, entry.path, lead + (lines.gap if last else lines.bar))
    directories, others = counts
    print(f"\n{directories} director{'y' if directories == 1 else 'ies'}, {others} other{'' if others == 1 else 's'}")


async def _below(volume: Volume, path: str, lead: str) -> list[tuple[str, bool, DirEntry[str]]]:
    """What is drawn below a directory, the last first: the first is taken from the end."""
    entries = sorted([entry async for entry in volume.scandir(path)], key=lambda entry: entry.name, reverse=True)
    return [(lead, number == 0, entry) for number, entry in enumerate(entries)]
