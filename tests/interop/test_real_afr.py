"""Our replication and the real one work on the same copies, and either heals what the other left behind."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

import volgraph
from tests.acceptance.brick_contents import contents, differences, marks, without_gfids
from tests.acceptance.real_trees import LocalFiles, make_tree, plan
from tests.acceptance.serving import Served
from tests.interop.real_gluster import Brick, Gluster, wait_until
from tests.interop.volfiles import heal_daemon_volfile, replicate_volfile
from volgraph.graph import State
from volgraph.translators import Afr, Client

pytestmark = [pytest.mark.interop, pytest.mark.anyio]

FILES = 120
HEAL_SECONDS = 60.0
Remote = tuple[int, str]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Expected:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.tree = folder, folder / "tree"
        make_tree(self.tree, FILES)
        self.plan = plan(self.tree)

    async def fill(self, volume: volgraph.Volume) -> None:
        await volume.copy_in(self.tree, "/tree")
        await self.plan.prepare(volume, b"/tree/")
        await self.plan.prepare(LocalFiles(self.tree), b"")

    def fill_mount(self, mount: Path) -> None:
        self._on("fill", mount)

    def _on(self, step, mount):
        command = [sys.executable, "-m", "tests.acceptance.real_trees", step, str(self.tree), str(mount / "tree")]
        subprocess.run(command, check=True, timeout=100)

    async def prepared(self):
        await self.plan.prepare(LocalFiles(self.tree), b"")

    async def change(self, volume: volgraph.Volume) -> None:
        await self.plan.carry_out(volume, b"/tree/")
        await self.changed()

    def change_mount(self, mount: Path) -> None:
        self._on("change", mount)

    async def changed(self) -> None:
        await self.plan.carry_out(LocalFiles(self.tree), b"")

    def wrong(self, bricks: Sequence[Path]) -> list[str]:
        left, right = map(contents, bricks)
        return [
            *differences(left, right),
            *differences(without_gfids(left), contents(self.folder, is_brick=False)),
            *(mark for brick in bricks for mark in marks(brick)),
        ]


def our_afr(remotes: Sequence[Remote]) -> Afr:
    """Under the names that the real one uses, so that both understand each other's marks."""
    return Afr(
        "mirror",
        [
            Client(
                f"mirror-client-{number}",
                remote_host="127.0.0.1",
                remote_port=port,
                remote_subvolume=subvolume,
                reconnect_interval=0.05,
            )
            for number, (port, subvolume) in enumerate(remotes)
        ],
    )


async def told(volume: volgraph.Volume, name: str, state: State) -> None:
    with anyio.fail_after(60):
        while volume.graph.node(name).state is not state:
            await volume.graph.next_change()


@pytest.mark.parametrize("lost", [0, 1])
async def test_our_afr_over_real_bricks(gluster: Gluster, tmp_path: Path, lost: int) -> None:
    expected = Expected(tmp_path / "expected")
    bricks = [gluster.brick("b0"), gluster.brick("b1")]
    folders = [brick.directory for brick in bricks]
    async with volgraph.open(our_afr([brick.remote for brick in bricks])) as volume:
        await expected.fill(volume)
        assert expected.wrong(folders) == []
        bricks[lost].kill()
        await told(volume, f"mirror-client-{lost}", State.DOWN)
        await expected.change(volume)
        bricks[lost].start()
        await told(volume, f"mirror-client-{lost}", State.UP)
        report = await volume.heal()
        assert (report.pending, report.split_brain, report.failed) == ([], [], [])
    assert expected.wrong(folders) == []


@pytest.mark.parametrize("lost", [0, 1])
async def test_the_real_daemon_heals_our_bricks(gluster: Gluster, tmp_path: Path, lost: int) -> None:
    expected = Expected(tmp_path / "expected")
    folders = [tmp_path / "b0", tmp_path / "b1"]
    with ExitStack() as stack:
        for folder in folders:
            folder.mkdir()
        servers = [stack.enter_context(Served.brick(folder)) for folder in folders]
        remotes = [(server.port, "brick") for server in servers]
        mount = gluster.mount("mnt", replicate_volfile(remotes))
        expected.fill_mount(mount.path)
        await expected.prepared()
        wait_until(lambda: expected.wrong(folders) == [], "settled")
        servers[lost].kill()
        expected.change_mount(mount.path)
        await expected.changed()
        servers[lost].start()
        daemon = gluster.heal_daemon("shd", heal_daemon_volfile(remotes))
        wait_until(lambda: not any(map(marks, folders)), "healed", HEAL_SECONDS)
        daemon.stop()
        mount.stop()
    assert expected.wrong(folders) == []
