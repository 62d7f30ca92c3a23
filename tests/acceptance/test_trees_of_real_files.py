"""A real tree in every shape of stack: a brick is lost, the tree changed, the brick comes back and is healed; and then
the disks themselves are compared."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

import volgraph
from tests.acceptance.brick_contents import contents
from tests.acceptance.real_trees import LocalFiles, Plan, make_tree, plan
from tests.acceptance.serving import Served
from tests.acceptance.shapes import SHAPES, Shape
from volgraph.graph import State, Translator
from volgraph.translators import Client, Posix

pytestmark = pytest.mark.anyio

FILES = 1000
FEW_FILES = 60
TREE = b"/tree/"
UP_SECONDS = 60.0


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Real sockets and disks: one loop is enough."""
    return "asyncio"


def local(folder: Path, names: str) -> dict[str, Translator]:
    """Bricks of this process; the directory of a new one is made."""
    return {name: Posix(name, directory=str(folder / name)) for name in names}


def remote(name: str, server: Served) -> Client:
    return Client(
        name, remote_host="127.0.0.1", remote_port=server.port, remote_subvolume="brick", reconnect_interval=0.05
    )


class Expected:
    """The tree beside the volume, to which the same happens."""

    def __init__(self, folder: Path, files: int) -> None:
        self.folder = folder
        folder.mkdir()
        make_tree(folder / "tree", files)
        self.plan: Plan = plan(folder / "tree")
        self.tree = folder / "tree"

    async def fill(self, volume: volgraph.Volume) -> None:
        await volume.copy_in(self.tree, "/tree")
        await self.plan.prepare(volume, TREE)
        await self.plan.prepare(LocalFiles(self.tree), b"")

    async def change(self, volume: volgraph.Volume) -> None:
        await self.plan.carry_out(volume, TREE)
        await self.plan.carry_out(LocalFiles(self.tree), b"")

    def wrong(self, shape: Shape, folder: Path) -> list[str]:
        return shape.wrong(folder, contents(self.folder, is_brick=False))


def made(folder: Path, shape: Shape) -> None:
    for name in shape.bricks:
        (folder / name).mkdir()


async def is_up(volume: volgraph.Volume, name: str) -> None:
    with anyio.fail_after(UP_SECONDS):
        while volume.graph.node(name).state is not State.UP:
            await volume.graph.next_change()


async def is_down(volume: volgraph.Volume, name: str) -> None:
    with anyio.fail_after(UP_SECONDS):
        while volume.graph.node(name).state is not State.DOWN:
            await volume.graph.next_change()


@pytest.mark.parametrize("kind", SHAPES)
async def test_a_served_brick_is_killed_and_a_thousand_files_heal(kind: str, tmp_path: Path) -> None:
    shape, expected = SHAPES[kind], Expected(tmp_path / "expected", FILES)
    made(tmp_path, shape)
    lost = "a"
    with Served.brick(tmp_path / lost) as server:
        bricks = local(tmp_path, "".join(shape.bricks)) | {lost: remote(lost, server)}
        async with volgraph.open(shape.build(bricks)) as volume:
            clock = [time.monotonic()]
            await expected.fill(volume)
            clock.append(time.monotonic())
            assert expected.wrong(shape, tmp_path) == []
            clock.append(time.monotonic())
            server.kill()
            await is_down(volume, lost)
            await expected.change(volume)
            clock.append(time.monotonic())
            assert expected.wrong(shape, tmp_path) != []
            clock.append(time.monotonic())
            server.start()
            await is_up(volume, lost)
            clock.append(time.monotonic())
            report = await volume.heal()
            clock.append(time.monotonic())
        print([round(b - a, 1) for a, b in zip(clock, clock[1:])])
        assert (report.pending, report.split_brain, report.failed) == ([], [], [])
    assert expected.wrong(shape, tmp_path) == []
