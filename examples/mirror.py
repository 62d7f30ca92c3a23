"""A mirror of two directories. mirror.vol and mirror.yaml say the same.

Run it, where FOLDER (an absolute path; /srv unless given) holds the directories a and b: python mirror.py FOLDER
"""

import asyncio
import sys

import volgraph
from volgraph.translators import Afr, Posix


def mirror(folder: str = "/srv") -> Afr:
    return Afr("mirror", [Posix("a", directory=f"{folder}/a"), Posix("b", directory=f"{folder}/b")])


async def main(folder: str = "/srv") -> None:
    async with volgraph.open(mirror(folder)) as vol:
        await vol.write_bytes("/hello", b"world\n")
        print((await vol.read_bytes("/hello")).decode(), end="")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
