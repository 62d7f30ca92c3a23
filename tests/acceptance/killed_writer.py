"""A program that writes through a mirror of served bricks, and says on its standard output what was acknowledged.

    python -m tests.acceptance.killed_writer PORT PORT SEED

It writes blocks, appends, makes, renames and removes files at random, for ever: it is there to be killed. Each line is
written when the change is acked: `write NAME BLOCK VALUE`, `make NAME`, `move OLD NEW`, `remove NAME`. A line that
begins with `about` says what is begun.
"""

from __future__ import annotations

import random
import sys

import anyio

import volgraph
from volgraph.translators import Afr, Client

BLOCK = 512
BLOCKS = 8


def mirror(ports: list[int]) -> Afr:
    bricks = [
        Client(f"b{n}", remote_host="127.0.0.1", remote_port=port, remote_subvolume="brick")
        for n, port in enumerate(ports)
    ]
    return Afr("mirror", bricks, self_heal_daemon=False)


def block(value: int) -> bytes:
    return b"%0*d" % (BLOCK, value)


async def work(ports: list[int], seed: int) -> None:
    rng, value, names = random.Random(seed), seed * 1_000_000, list[str]()
    async with volgraph.open(mirror(ports)) as volume:

        async def acked(line: str, change: object) -> None:
            print("about", line, flush=True)
            await change  # type: ignore[misc]
            print(line, flush=True)

        async def write(name: str) -> None:
            nonlocal value
            async with volume.open(f"/{name}", "r+b") as file:
                for _ in range(rng.randrange(1, 4)):
                    value += 1
                    at = rng.randrange(BLOCKS)
                    await acked(f"write {name} {at} {value}", file.pwrite(block(value), at * BLOCK))

        for number in range(1_000_000):
            kind = rng.random()
            if not names or (kind < 0.2 and len(names) < 20):
                name = f"f{seed}-{number}"
                await acked(f"make {name}", volume.write_bytes(f"/{name}", b""))
                names.append(name)
            elif kind < 0.8:
                await write(rng.choice(names))
            elif kind < 0.9:
                old, new = names.pop(rng.randrange(len(names))), f"m{seed}-{number}"
                await acked(f"move {old} {new}", volume.rename(f"/{old}", f"/{new}"))
                names.append(new)
            else:
                name = names.pop(rng.randrange(len(names)))
                await acked(f"remove {name}", volume.unlink(f"/{name}"))


if __name__ == "__main__":
    anyio.run(work, [int(port) for port in sys.argv[1:3]], int(sys.argv[3]))
