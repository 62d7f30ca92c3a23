"""df: how much room volumes have."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..volume import Volume
from .screen import human, table
from .specs import Inside, add_command, add_spec_options, inside, run, volumes


def register(commands: Any) -> None:
    parser = add_command(commands, "df", "how much room volumes have")
    parser.add_argument("places", nargs="+", metavar="SPEC[:/path]")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="json: in bytes")
    add_spec_options(parser)
    parser.set_defaults(run=lambda args: run(df, args))


async def df(args: argparse.Namespace) -> None:
    """Of a mirror what its smallest copy has; of a unify what all have together."""
    places = [inside(text) for text in args.places]
    async with volumes(args) as volume_of:
        found = [await _room(await volume_of(where.spec), where) for where in places]
    if args.format == "json":
        print(json.dumps(found, indent=2))
    else:
        rows = [
            (each["volume"], *map(human, (each["size"], each["used"], each["free"])), _share(each)) for each in found
        ]
        table(("VOLUME", "SIZE", "USED", "FREE", "USED %"), rows)


async def _room(volume: Volume, where: Inside) -> dict[str, Any]:
    """As df(1) counts it: what is free is what an ordinary user may still take."""
    space = await volume.statvfs(where)
    size, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
    used = (space.f_blocks - space.f_bfree) * space.f_frsize
    files = {"files": space.f_files, "files_free": space.f_favail}
    return {"volume": str(where), "size": size, "used": used, "free": free, **files}


def _share(room: dict[str, Any]) -> str:
    whole = room["used"] + room["free"]
    return f"{100 * room['used'] / whole:.0f}" if whole else "-"
