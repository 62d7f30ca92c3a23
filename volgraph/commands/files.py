"""ls, cat, stat, mkdir, mv, rm: names inside one volume."""

from __future__ import annotations

import argparse
import os
import stat as mode_bits
import sys
import time
from typing import Any

from ..files import IO_BYTES_MAX
from ..volume import Volume
from .specs import Inside, Usage, add_spec_options, inside, opened, place, run


def register(commands: Any) -> None:
    def add(name: str, help: str, work: Any, *flags: tuple[str, str], nargs: str = "+") -> None:
        parser = commands.add_parser(name, help=help)
        for flag, meaning in flags:
            parser.add_argument(flag, action="store_true", help=meaning, dest=flag.lstrip("-"))
        parser.add_argument("places", nargs=nargs, metavar="SPEC:/path")
        add_spec_options(parser)
        parser.set_defaults(run=lambda args: run(work, args))

    add("ls", "list a directory", ls, ("-l", "with mode, size and time"))
    add("cat", "print files", cat)
    add("stat", "print what is known of a name", stat)
    add("mkdir", "make directories", mkdir, ("-p", "those above too; no error if it is there"))
    add("mv", "rename within a volume", mv, nargs="*")
    add("rm", "remove names", rm, ("-r", "directories, with all below them"), ("-f", "no error if there is none"))


async def ls(args: argparse.Namespace) -> None:
    for text in args.places:
        where = inside(text)
        async with opened(args, where.spec) as volume:
            st = await volume.lstat(where)
            if mode_bits.S_ISDIR(st.st_mode):
                listed = [(entry.name, entry.stat()) async for entry in volume.scandir(where)]
            else:
                listed = [(where.path, st)]
            for name, each in sorted(listed, key=lambda pair: pair[0]):
                print(await _long(volume, where, name, each) if args.l else name)


async def _long(volume: Volume, where: Inside, name: str, st: os.stat_result) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(st.st_mtime))
    arrow = f" -> {await volume.readlink(where.join(name))}" if mode_bits.S_ISLNK(st.st_mode) else ""
    return f"{mode_bits.filemode(st.st_mode)} {st.st_uid:5} {st.st_gid:5} {st.st_size:10} {when} {name}{arrow}"


async def cat(args: argparse.Namespace) -> None:
    for text in args.places:
        where = _named(text)
        async with opened(args, where.spec) as volume, volume.open(where, "rb") as file:
            while data := await file.read(IO_BYTES_MAX):
                sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


async def stat(args: argparse.Namespace) -> None:
    for text in args.places:
        where = inside(text)
        async with opened(args, where.spec) as volume:
            st = await volume.lstat(where)
            kind = mode_bits.filemode(st.st_mode)
            print(f"{where}")
            print(f"  mode   {kind} ({mode_bits.S_IMODE(st.st_mode):04o})  links {st.st_nlink}  inode {st.st_ino}")
            print(f"  owner  {st.st_uid}:{st.st_gid}")
            print(f"  size   {st.st_size} bytes in {st.st_blocks} blocks")
            for name, ns in (("access", st.st_atime_ns), ("modify", st.st_mtime_ns), ("change", st.st_ctime_ns)):
                seconds, part = divmod(ns, 10**9)
                print(f"  {name} {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))}.{part:09d}")


async def mkdir(args: argparse.Namespace) -> None:
    for text in args.places:
        where = _named(text)
        async with opened(args, where.spec) as volume:
            if args.p:
                await volume.makedirs(where, exist_ok=True)
            else:
                await volume.mkdir(where)


async def mv(args: argparse.Namespace) -> None:
    if len(args.places) != 2:
        raise Usage("mv takes two: SPEC:/old SPEC:/new")
    old, new = map(_named, args.places)
    if old.spec != new.spec:
        raise Usage("mv works within one volume; use cp, then rm")
    async with opened(args, old.spec) as volume:
        await volume.rename(old, await into(volume, old, new))


async def rm(args: argparse.Namespace) -> None:
    for text in args.places:
        where = _named(text)
        async with opened(args, where.spec) as volume:
            try:
                st = await volume.lstat(where)
            except FileNotFoundError:
                if args.f:
                    continue
                raise
            if args.r and mode_bits.S_ISDIR(st.st_mode):
                await volume.rmtree(where)
            else:
                await volume.unlink(where)


async def into(volume: Volume, source: Inside | str, target: Inside) -> Inside:
    """The target itself, or, where it is a directory, the name of the source in it: as cp and mv have it."""
    if await volume.exists(target) and mode_bits.S_ISDIR((await volume.stat(target)).st_mode):
        return target.join(os.path.basename(os.fspath(source).rstrip("/")))
    return target


def _named(text: str) -> Inside:
    found = place(text)
    if isinstance(found, str):
        raise Usage(f"{text}: write SPEC:/path")
    return found
