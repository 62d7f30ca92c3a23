"""Our replication and the real one work on the same copies, and either heals what the other left behind.

Bricks are real (`glusterfsd`) or ours (`volgraph serve`). Who writes is a volume of ours, or a FUSE mount of the real
replicate; who heals is ours, or the real self-heal daemon. A tree of files goes through a day of changes while one
brick is away. Then the brick directories must be equal, with no mark left on either.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio
import attrs
import pytest

import volgraph
from tests.acceptance.brick_contents import contents, differences, marks, without_gfids, without_links
from tests.acceptance.real_trees import LocalFiles, Plan, make_tree, plan
from tests.acceptance.serving import Served
from tests.interop.real_gluster import Brick, Gluster, Mount, wait_until
from tests.interop.volfiles import heal_daemon_volfile, replicate_volfile
from volgraph.graph import State
from volgraph.translators import Afr, Client
from volgraph.translators.cluster.afr.changelog import MOVED_SUFFIX

pytestmark = [pytest.mark.interop, pytest.mark.anyio]

FILES = 120
TREE = b"/tree/"
SECONDS = 60.0


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Real sockets: one loop is enough."""
    return "asyncio"


@attrs.define
class Pair:
    """Two bricks of one kind, and the tree as it must be on both."""

    bricks: Sequence[Brick | Served]
    remotes: list[tuple[int, str]]
    folder: Path
    tree: Path
    plan: Plan

    def wrong(self, *, links: bool = True) -> list[str]:
        """The real healer moves what it replaces into a hidden directory, which its next round, minutes later, empties:
        until then some files have a link more there."""
        return [*self.differing(links=links), *self.marks()]

    def differing(self, *, links: bool = True) -> list[str]:
        left, right = (contents(self.folder / name) for name in ("b0", "b1"))
        expected = contents(self.tree.parent, is_brick=False)
        if not links:
            left, right, expected = (without_links(each) for each in (left, right, expected))
        return [*differences(left, right), *differences(without_gfids(left), expected)]

    def marks(self) -> list[str]:
        return [mark for name in ("b0", "b1") for mark in marks(self.folder / name)]

    def counters_of_glusterfs(self) -> list[str]:
        """What its healer takes back. What we say of moves, on the objects that moved, it does not know."""
        return [mark for mark in self.marks() if MOVED_SUFFIX not in mark and " xattrop " not in mark]

    async def fill(self, volume: volgraph.Volume) -> None:
        await volume.copy_in(self.tree, "/tree")
        await self.plan.prepare(volume, TREE)
        await self.plan.prepare(LocalFiles(self.tree), b"")

    async def change(self, volume: volgraph.Volume) -> None:
        await self.plan.carry_out(volume, TREE)
        await self.plan.carry_out(LocalFiles(self.tree), b"")

    async def fill_through(self, mount: Mount) -> None:
        self._through(mount, "fill")
        await self.plan.prepare(LocalFiles(self.tree), b"")
        wait_until(lambda: not self.marks(), "the client has taken its marks back")

    async def change_through(self, mount: Mount) -> None:
        self._through(mount, "change")
        await self.plan.carry_out(LocalFiles(self.tree), b"")

    def _through(self, mount: Mount, step: str) -> None:
        """By a process that can be killed, as a mount may hang."""
        command = [sys.executable, "-m", "tests.acceptance.real_trees", step, str(self.tree), str(mount.path / "tree")]
        subprocess.run(command, check=True, timeout=SECONDS)


@pytest.fixture(params=["real bricks", "our bricks"])
def pair(request: pytest.FixtureRequest, gluster: Gluster, tmp_path: Path) -> Iterator[Pair]:
    folder = tmp_path / "expected"
    folder.mkdir()
    make_tree(folder / "tree", FILES)
    with _bricks(request.param, gluster, tmp_path) as (bricks, remotes):
        yield Pair(bricks, remotes, tmp_path, folder / "tree", plan(folder / "tree"))


@contextmanager
def _bricks(
    kind: str, gluster: Gluster, folder: Path
) -> Iterator[tuple[Sequence[Brick | Served], list[tuple[int, str]]]]:
    if kind == "real bricks":
        real = [gluster.brick(name) for name in ("b0", "b1")]
        yield real, [brick.remote for brick in real]
        return
    for name in ("b0", "b1"):
        (folder / name).mkdir()
    with Served.brick(folder / "b0") as first, Served.brick(folder / "b1") as second:
        yield (first, second), [(server.port, "brick") for server in (first, second)]


def our_afr(remotes: Sequence[tuple[int, str]]) -> Afr:
    """Children under the names that the real one uses: so both understand each other's marks."""
    return Afr("mirror", [_client(number, *remote) for number, remote in enumerate(remotes)])


def _client(number: int, port: int, subvolume: str) -> Client:
    return Client(
        f"mirror-client-{number}",
        remote_host="127.0.0.1",
        remote_port=port,
        remote_subvolume=subvolume,
        reconnect_interval=0.05,
    )


async def told(volume: volgraph.Volume, number: int, state: State) -> None:
    with anyio.fail_after(SECONDS):
        while volume.graph.node(f"mirror-client-{number}").state is not state:
            await volume.graph.next_change()


async def heal(volume: volgraph.Volume) -> None:
    report = await volume.heal()
    assert (report.pending, report.split_brain, report.failed) == ([], [], [])


def heal_with_the_daemon(gluster: Gluster, pair: Pair) -> None:
    daemon = gluster.heal_daemon("shd", heal_daemon_volfile(pair.remotes))
    wait_until(lambda: not pair.counters_of_glusterfs(), "the daemon has healed everything", SECONDS)
    daemon.stop()


def mount_of(gluster: Gluster, pair: Pair) -> Mount:
    return gluster.mount("mnt", replicate_volfile(pair.remotes))


@pytest.mark.parametrize("lost", [0, 1])
async def test_we_write_and_we_heal(pair: Pair, lost: int) -> None:
    async with volgraph.open(our_afr(pair.remotes)) as volume:
        await pair.fill(volume)
        assert pair.wrong() == []
        pair.bricks[lost].kill()
        await told(volume, lost, State.DOWN)
        await pair.change(volume)
        pair.bricks[lost].start()
        await told(volume, lost, State.UP)
        await heal(volume)
    assert pair.wrong() == []


@pytest.mark.parametrize("lost", [0, 1])
async def test_we_write_and_the_real_daemon_heals(gluster: Gluster, pair: Pair, lost: int) -> None:
    async with volgraph.open(our_afr(pair.remotes)) as volume:
        await pair.fill(volume)
        pair.bricks[lost].kill()
        await told(volume, lost, State.DOWN)
        await pair.change(volume)
    assert pair.marks()
    pair.bricks[lost].start()
    heal_with_the_daemon(gluster, pair)
    assert pair.differing(links=False) == []
    async with volgraph.open(our_afr(pair.remotes)) as volume:
        assert (await volume.heal(full=True)).clean
    assert pair.wrong(links=False) == []


@pytest.mark.parametrize("lost", [0, 1])
async def test_the_real_client_writes_and_we_heal(gluster: Gluster, pair: Pair, lost: int) -> None:
    mount = mount_of(gluster, pair)
    await pair.fill_through(mount)
    assert pair.wrong() == []
    pair.bricks[lost].kill()
    await pair.change_through(mount)
    mount.stop()
    assert pair.marks()
    pair.bricks[lost].start()
    async with volgraph.open(our_afr(pair.remotes)) as volume:
        await heal(volume)
    assert pair.wrong() == []


@pytest.mark.parametrize("lost", [0, 1])
async def test_the_real_client_writes_and_the_real_daemon_heals(gluster: Gluster, pair: Pair, lost: int) -> None:
    mount = mount_of(gluster, pair)
    await pair.fill_through(mount)
    pair.bricks[lost].kill()
    await pair.change_through(mount)
    assert pair.marks()
    pair.bricks[lost].start()
    heal_with_the_daemon(gluster, pair)
    mount.stop()
    assert pair.wrong(links=False) == []
