"""A client killed by SIGKILL in the midst of changes over real sockets loses nothing acked, and leaves its marks."""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import volgraph
from tests.acceptance.brick_contents import contents, differences, without_links
from tests.acceptance.killed_writer import BLOCK, block, mirror
from tests.acceptance.serving import Served

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

ROOT = Path(__file__).parents[2]
LINES_MAX = 120
SILENCE_SECONDS = 60.0

Files = dict[str, dict[int, int]]
"""By name, the value in each block that was written."""


def killed_after(lines: int, ports: list[int], seed: int, log: Path) -> list[str]:
    """What a writer said until it was killed, at a moment of no one's choosing after so many lines."""
    command = [sys.executable, "-m", "tests.acceptance.killed_writer", *map(str, ports), str(seed)]
    with log.open("ab") as errors:
        writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors)
    assert writer.stdout is not None
    said = b""
    try:
        while said.count(b"\n") < lines:
            ready, _, _ = select.select([writer.stdout], [], [], SILENCE_SECONDS)
            more = os.read(writer.stdout.fileno(), 1 << 16) if ready else b""
            assert more, f"the writer ended: {log.read_text()}"
            said += more
    finally:
        writer.kill()
        said += writer.stdout.read()
        writer.stdout.close()
        writer.wait()
    return said.decode().splitlines()


def replay(said: list[str], files: Files) -> list[str]:
    """Apply what was acked; the one change, if any, that was begun and not acked."""
    open_change: list[str] = []
    for line in said:
        words = line.split()
        if words[0] == "about":
            open_change = words[1:]
            continue
        apply(words, files)
        open_change = []
    return open_change


def apply(words: list[str], files: Files) -> None:
    match words:
        case ["make", name]:
            files[name] = {}
        case ["write", name, at, value]:
            files[name][int(at)] = int(value)
        case ["move", old, new]:
            files[new] = files.pop(old)
        case ["remove", name]:
            del files[name]


async def found(volume: volgraph.Volume) -> Files:
    files: Files = {}
    for name in await volume.listdir("/"):
        data = await volume.read_bytes(f"/{name}")
        blocks = {at // BLOCK: data[at : at + BLOCK] for at in range(0, len(data), BLOCK)}
        files[name] = {at: int(each) for at, each in blocks.items() if each.strip(b"\0")}
        for at, value in files[name].items():
            assert blocks[at] == block(value), f"{name}: block {at} is torn"
    return files


async def killed_again_and_again(folder: Path, rounds: int, seed: int) -> int:
    rng, acked = random.Random(seed), 0
    bricks = [folder / name for name in ("a", "b")]
    for brick in bricks:
        brick.mkdir()
    files: Files = {}
    with Served.brick(bricks[0]) as one, Served.brick(bricks[1]) as two:
        ports = [one.port, two.port]
        for number in range(rounds):
            said = killed_after(rng.randrange(LINES_MAX), ports, seed * 1000 + number, folder / "writer.log")
            acked += sum(not line.startswith("about") for line in said)
            maybe = replay(said, files)
            unequal = differences(without_links(contents(bricks[0])), without_links(contents(bricks[1])))
            async with volgraph.open(mirror(ports)) as volume:
                marked = await volume.heal()
                assert marked.clean, marked
                seen = await found(volume)
            with_maybe = {name: dict(blocks) for name, blocks in files.items()}
            if maybe:
                apply(maybe, with_maybe)
            assert seen in (files, with_maybe), (number, maybe)
            assert not unequal or marked.healed, (number, unequal)
            assert differences(contents(bricks[0]), contents(bricks[1])) == []
            files = seen
    return acked


async def test_a_killed_writer_loses_nothing_that_was_acked_and_leaves_no_difference_unmarked(tmp_path: Path) -> None:
    assert await killed_again_and_again(tmp_path, rounds=6, seed=1) > 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 6))
async def test_many_killed_writers_lose_nothing_that_was_acked(
    tmp_path: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    acked = await killed_again_and_again(tmp_path, rounds=100, seed=seed)
    record_property("killed writers", f"seed {seed}: 100 writers killed, {acked} changes acked, none lost")
