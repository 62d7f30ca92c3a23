"""storage/posix: where system calls are made, and that it makes no difference to the answers."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

import volgraph
from tests.translators.storage.bricks import Hand
from tests.translators.storage.sick import seams_with
from volgraph.graph import ROOT_GFID, Call, Flock, Graph, Loc, LockCommand
from volgraph.graph.disk import Disk
from volgraph.testing import check
from volgraph.testing.conformance import contracts
from volgraph.testing.failing_disk import SickDisk
from volgraph.translators import Posix

pytestmark = pytest.mark.anyio


# --- worker mode: the same answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "mode"), [("asyncio", "xattr"), ("trio", "sidecar")])
def test_a_brick_on_its_own_thread_keeps_every_contract(tmp_path: Path, backend: str, mode: str) -> None:
    folders = iter(range(1000))

    def brick() -> Posix:
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        return Posix(
            "brick", directory=str(folder), metadata=mode if os.geteuid() == 0 else "sidecar", io_mode="worker"
        )

    check(lambda child: child, brick=brick, backend=backend, only=contracts())


async def test_every_call_of_a_worker_brick_is_made_on_its_own_thread(tmp_path: Path) -> None:
    class Where(SickDisk):
        def __init__(self) -> None:
            self._threads: set[int] = set()

        def called(self, name: str, call: Any, args: Any, more: Any) -> Any:
            self._threads.add(threading.get_ident())
            return call(*args, **more)

    disk = Where()
    brick = Posix("brick", directory=str(tmp_path), io_mode="worker")
    graph = Graph(brick, seams_with(disk))  # here the mount table may be read
    disk._threads.clear()
    async with graph:
        hand = Hand(brick, tmp_path)
        await brick.fsync(Call(), await hand.opened(await hand.file(b"f", b"x" * 5000)))
        await brick.setattr(Call(), Loc(await hand.find(b"f")), volgraph.graph.NewAttributes(size=1, mode=0o600))
        await hand.names()
        await brick.inodelk(Call(lk_owner=b"o"), "d", Loc(ROOT_GFID), LockCommand.SET, Flock())
    assert len(disk._threads) == 1
    assert threading.get_ident() not in disk._threads


# --- which mode -------------------------------------------------------------------------------------------------------


class Mounted(Disk):
    """A machine with these mounts; what lies on a file system that may hang must not be touched."""

    def __init__(self, table: str, untouchable: Path) -> None:
        self._table, self._untouchable = table, os.fsencode(untouchable)

    def mounts(self) -> bytes:
        return self._table.encode()

    def readlink(self, path: Any, *, dir_fd: int | None = None) -> Any:
        assert not os.fsencode(path).startswith(self._untouchable), path
        return os.readlink(path, dir_fd=dir_fd)


@pytest.mark.parametrize(
    ("kind", "worker"),
    [("ext4", False), ("nfs4", True), ("fuse.glusterfs", True), ("fuseblk", False), ("cifs", True), ("9p", True)],
)
@pytest.mark.parametrize("through", ["the mount", "a symlink"])
async def test_auto_goes_by_the_mount_table_and_touches_nothing(
    tmp_path: Path, kind: str, worker: bool, through: str
) -> None:
    mount = tmp_path / "with space"
    brick_directory = mount / "deep" / "brick"
    brick_directory.mkdir(parents=True)
    (tmp_path / "link").symlink_to("with space/deep")
    directory = brick_directory if through == "the mount" else tmp_path / "link" / "brick"
    escaped = str(mount).replace(" ", "\\040")
    table = f"20 1 0:5 / / rw - ext4 /dev/root rw\n33 20 0:9 / {escaped} rw,relatime shared:1 - {kind} server:/x rw\n"
    disk = Mounted(table, mount if worker else tmp_path / "nowhere")
    brick = Posix("brick", directory=str(directory))
    async with Graph(brick, seams_with(disk)):
        assert brick._on_worker is worker


@pytest.mark.parametrize(("option", "worker"), [("inline", False), ("worker", True)])
async def test_a_mode_that_is_given_counts_whatever_is_mounted(tmp_path: Path, option: str, worker: bool) -> None:
    table = f"33 20 0:9 / {tmp_path} rw - {'ext4' if worker else 'nfs'} x rw\n"
    brick = Posix("brick", directory=str(tmp_path), io_mode=option)
    async with Graph(brick, seams_with(Mounted(table, tmp_path / "nowhere"))):
        assert brick._on_worker is worker
