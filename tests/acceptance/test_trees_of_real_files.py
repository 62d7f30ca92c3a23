"""A real tree in every shape of stack: a brick is lost, the tree changed, the brick comes back and is healed; and then
the disks themselves are compared."""

from collections.abc import Iterable
from pathlib import Path

import anyio
import pytest

import volgraph
from tests.acceptance.brick_contents import contents
from tests.acceptance.real_trees import LocalFiles, Plan, make_tree, plan
from tests.acceptance.serving import Served
from tests.acceptance.shapes import SHAPES, Shape
from volgraph.graph import State, Translator
from volgraph.translators import Afr, Client, Posix

pytestmark = pytest.mark.anyio

FILES = 1000
FEW_FILES = 60
TREE = b"/tree/"
UP_SECONDS = 60.0


def local(folder: Path, names: Iterable[str]) -> dict[str, Translator]:
    """Bricks of this process."""
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


async def told(volume: volgraph.Volume, name: str, state: State) -> None:
    with anyio.fail_after(UP_SECONDS):
        while volume.graph.node(name).state is not state:
            await volume.graph.next_change()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("kind", SHAPES)
async def test_a_served_brick_is_killed_and_a_thousand_files_heal(kind: str, tmp_path: Path) -> None:
    shape, expected, lost = SHAPES[kind], Expected(tmp_path / "expected", FILES), "a"
    made(tmp_path, shape)
    with Served.brick(tmp_path / lost) as server:
        bricks = local(tmp_path, shape.bricks) | {lost: remote(lost, server)}
        async with volgraph.open(shape.build(bricks)) as volume:
            await expected.fill(volume)
            for afr in reversed(volume.graph.find(Afr)):  # directories stay marked for a while, for changes to come
                await afr.rest()
            assert expected.wrong(shape, tmp_path) == []
            server.kill()
            await told(volume, lost, State.DOWN)
            await expected.change(volume)
            server.start()
            await told(volume, lost, State.UP)
            report = await volume.heal()
            assert (report.pending, report.split_brain, report.failed) == ([], [], [])
    assert expected.wrong(shape, tmp_path) == []


LOST = [
    *(("mirror", lost) for lost in ("a", "b")),
    *(("binary tree", lost) for lost in ("a", "d", "ac", "cd")),
    *(("unify over mirrors", lost) for lost in ("a", "d", "m", "bcn")),
    *(("mirror of unifies", lost) for lost in ("b", "c", "m", "n")),
]


@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.parametrize(("kind", "lost"), LOST)
async def test_the_directories_of_some_bricks_are_away_for_a_while(kind: str, lost: str, tmp_path: Path) -> None:
    """As a disk that was not mounted: the volume is opened without it."""
    shape, expected = SHAPES[kind], Expected(tmp_path / "expected", FEW_FILES)
    made(tmp_path, shape)
    async with volgraph.open(shape.build(local(tmp_path, shape.bricks))) as volume:
        await expected.fill(volume)
    for name in lost:
        (tmp_path / name).rename(tmp_path / f"{name}-away")
    async with volgraph.open(shape.build(local(tmp_path, shape.bricks))) as volume:
        await expected.change(volume)
    for name in lost:
        (tmp_path / f"{name}-away").rename(tmp_path / name)
    assert expected.wrong(shape, tmp_path) != []
    async with volgraph.open(shape.build(local(tmp_path, shape.bricks))) as volume:
        report = await volume.heal()
        assert (report.pending, report.split_brain, report.failed) == ([], [], [])
    assert expected.wrong(shape, tmp_path) == []
