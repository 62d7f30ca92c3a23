"""ls, cat, stat, mkdir, mv, rm: names inside volumes."""

from __future__ import annotations

import argparse
import errno
import os
import stat as mode_bits
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from ..files import IO_BYTES_MAX
from ..graph import ROOT_GFID
from ..probing import advice
from ..volspec.errors import printable
from ..volume import Volume
from .screen import complain, name_of
from .specs import Inside, Usage, add_command, add_spec_options, inside, opened, place, run, volumes

Work: TypeAlias = Callable[[argparse.Namespace, Volume, Inside], Awaitable[None]]


def register(commands: Any) -> None:
    def add(name: str, help: str, run_it: Any, *flags: tuple[str, str]) -> None:
        parser = add_command(commands, name, help)
        for flag, meaning in flags:
            parser.add_argument(flag, action="store_true", help=meaning, dest=flag.lstrip("-"))
        parser.add_argument("places", nargs="+", metavar="SPEC:/path", help="a path inside the volume of a spec")
        add_spec_options(parser)
        parser.set_defaults(run=run_it)

    add(
        "ls",
        "list directories",
        lambda args: run(on_each, args, inside, ls),
        ("-l", "with mode, size and time"),
        ("-N", "names as they are, on a terminal too"),
    )
    add("cat", "print files", lambda args: run(on_each, args, named, cat))
    add("stat", "print what is known of a name", lambda args: run(on_each, args, inside, stat))
    add(
        "mkdir",
        "make directories",
        lambda args: run(on_each, args, named, mkdir),
        ("-p", "those above too; no error if it is there"),
    )
    add(
        "rm",
        "remove names",
        lambda args: run(on_each, args, named, rm),
        ("-r", "directories, with all below them"),
        ("-f", "no error if there is none"),
        ("--everything", "with -r: also of SPEC:/, all that is in the volume"),
    )
    parser = add_command(commands, "mv", "rename within a volume")
    parser.add_argument("old", metavar="SPEC:/old")
    parser.add_argument("new", metavar="SPEC:/new", help="the new name, or a directory to move into")
    add_spec_options(parser)
    parser.set_defaults(run=lambda args: run(mv, args))


async def on_each(args: argparse.Namespace, where: Callable[[str], Inside], work: Work) -> int:
    """Do the work at every place of the command line. What cannot be done is told, and the rest is done all the same:
    status 1."""
    places = [where(text) for text in args.places]
    status = 0
    async with volumes(args) as volume_of:
        for each in places:
            volume = await volume_of(each.spec)
            try:
                await work(args, volume, each)
            except OSError as error:
                if error.filename is None:  # not of the volume: nobody reads what we print, or its disk is full
                    raise
                complain(error)
                status = 1
    return status


async def ls(args: argparse.Namespace, volume: Volume, where: Inside) -> None:
    st = await volume.lstat(where)
    listed = [(where.path, st)]
    if mode_bits.S_ISDIR(st.st_mode):
        listed = [(entry.name, entry.stat()) async for entry in volume.scandir(where)]
        if len(args.places) > 1:
            print(f"{name_of(str(where))}:")
        if not listed:
            await advise(volume, where)
    for name, each in sorted(listed):
        print(await _long(volume, where.join(name), name, each, args.N) if args.l else name_of(name, args.N))


async def advise(volume: Volume, where: Inside) -> None:
    """A volume with nothing in it may be a mirror of which only one copy is empty."""
    if (await volume.stat(where)).st_ino == ROOT_GFID.ino:
        for name, what in (await advice(volume.graph)).items():
            print(f"volgraph: {printable(f'{where.spec}: {name}: {what}')}", file=sys.stderr)


async def _long(volume: Volume, where: Inside, name: str, st: os.stat_result, literal: bool) -> str:
    when = _when(st.st_mtime_ns // 10**9)
    shown = await _with_target(volume, where, name, st, literal)
    return f"{mode_bits.filemode(st.st_mode)} {st.st_uid:5} {st.st_gid:5} {st.st_size:10} {when} {shown}"


async def _with_target(volume: Volume, where: Inside, name: str, st: os.stat_result, literal: bool = False) -> str:
    if not mode_bits.S_ISLNK(st.st_mode):
        return name_of(name, literal)
    return f"{name_of(name, literal)} -> {name_of(await volume.readlink(where), literal)}"


async def cat(args: argparse.Namespace, volume: Volume, where: Inside) -> None:
    async with volume.open(where, "rb") as file:
        while data := await file.read(IO_BYTES_MAX):
            sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


async def stat(args: argparse.Namespace, volume: Volume, where: Inside) -> None:
    st = await volume.lstat(where)
    kind = mode_bits.filemode(st.st_mode)
    print(await _with_target(volume, where, str(where), st))
    print(f"  mode   {kind} ({mode_bits.S_IMODE(st.st_mode):04o})  links {st.st_nlink}  inode {st.st_ino}")
    print(f"  owner  {st.st_uid}:{st.st_gid}")
    print(f"  size   {st.st_size} bytes in {st.st_blocks} blocks")
    for name, ns in (("access", st.st_atime_ns), ("modify", st.st_mtime_ns), ("change", st.st_ctime_ns)):
        seconds, part = divmod(ns, 10**9)
        print(f"  {name} {_when(seconds)}.{part:09d}")


def _when(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):  # a server may say what it likes
        return f"@{seconds}"


async def mkdir(args: argparse.Namespace, volume: Volume, where: Inside) -> None:
    if args.p:
        await volume.makedirs(where, exist_ok=True)
    else:
        await volume.mkdir(where)


async def rm(args: argparse.Namespace, volume: Volume, where: Inside) -> None:
    try:
        st = await volume.lstat(where)
    except (FileNotFoundError, NotADirectoryError):
        if args.f:
            return
        raise
    if not mode_bits.S_ISDIR(st.st_mode):
        await volume.unlink(where)
    elif args.r and not args.everything and st.st_ino == ROOT_GFID.ino:
        raise OSError(errno.EPERM, "Is the whole volume (rm -r --everything empties it)", str(where))
    elif args.r:
        await volume.rmtree(where)
    else:
        raise OSError(errno.EISDIR, "Is a directory (rm -r removes it)", str(where))


async def mv(args: argparse.Namespace) -> None:
    old, new = named(args.old), named(args.new)
    if old.spec != new.spec:
        raise Usage("mv works within one volume; use cp, then rm")
    async with opened(args, old.spec) as volume:
        await volume.rename(old, await into(volume, old, new))


async def into(volume: Volume, source: Inside, target: Inside) -> Inside:
    """The target itself, or, where it is a directory, the name of the source in it: as cp and mv have it."""
    return target.join(last_name(source)) if await holds_a_directory(volume, target) else target


async def holds_a_directory(volume: Volume, where: Inside) -> bool:
    return await volume.exists(where) and mode_bits.S_ISDIR((await volume.stat(where)).st_mode)


def last_name(source: Inside | str) -> str:
    return os.path.basename(os.fspath(source).rstrip("/"))


def named(text: str) -> Inside:
    """A path inside a volume that is written in full."""
    found = place(text)
    if isinstance(found, str):
        raise Usage(f"{text}: no path in a volume: write SPEC:/path")
    return found
