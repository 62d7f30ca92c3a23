"""A brick that can be read and not written: it is opened as it stands, and whatever would change it is EROFS."""

import errno
import logging
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.translators.storage.bricks import AS_ROOT, fails, in_both_modes, running
from tests.translators.storage.ordinary_user import as_user, users_folder
from tests.translators.storage.posix_cases import CASES, World, at
from tests.translators.storage.sick import seams_with
from volgraph.graph import ROOT_GFID, Call, Fd, Graph, Loc, Seams, State
from volgraph.testing.failing_disk import FailingDisk, SickDisk
from volgraph.translators import Afr, Locks, Memory, Posix
from volgraph.translators.storage.posix.reading_only import CHANGING_CALLS, CHANGING_FLAGS

pytestmark = pytest.mark.anyio

LOG = "volgraph.posix"


class MountedReadOnly(SickDisk):
    """What the kernel says of a file system that is mounted so."""

    def called(self, name: str, call: Any, args: tuple[Any, ...], more: dict[str, Any]) -> Any:
        if name in CHANGING_CALLS or (name == "open" and args[1] & CHANGING_FLAGS):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return call(*args, **more)


def read_only() -> Seams:
    return seams_with(MountedReadOnly())


def everything(directory: Path) -> dict[str, object]:
    """What stands in a brick, its bookkeeping too. (Where it is read a sqlite database may be touched.)"""
    found: dict[str, object] = {}
    for path in [directory, *directory.rglob("*")]:
        st = path.lstat()
        what = path.read_bytes() if stat.S_ISREG(st.st_mode) else os.readlink(path) if path.is_symlink() else None
        found[str(path)] = (st.st_mode, st.st_ino, st.st_nlink, st.st_mtime_ns, st.st_ctime_ns, what)
    return found


async def filled(directory: Path, mode: str) -> World:
    async with running(directory, mode, io_mode="inline", health_check_interval=0) as hand:
        w = World(hand.brick, directory, FailingDisk())
        await w.fill()
    return w


@in_both_modes
async def test_a_read_only_brick_is_read_whole_and_every_change_is_refused(tmp_path: Path, mode: str) -> None:
    before = await filled(tmp_path, mode)
    stood = everything(tmp_path)
    async with running(tmp_path, "auto", read_only(), io_mode="inline") as hand:
        w = World(hand.brick, tmp_path, FailingDisk())
        w.d, w.f, w.new = before.d, before.f, w.gfid()
        w.fd, w.dir_fd = await w.opened(w.f, os.O_RDONLY), Fd(w.d)
        await w.brick.opendir(Call(), Loc(w.d), w.dir_fd)

        assert await w.names() == [b"d", b"empty", b"s", b"second", b"tree"]
        assert await w.find(b"f", w.d) == w.f
        assert await w.read(w.f) == b"data" * 2000
        for name, one in CASES.items():
            if one.effect is None and name != "open":  # which opens for writing
                await one.act(w)
            else:
                with pytest.raises(OSError) as caught:
                    await one.act(w)
                refused = (errno.EROFS, errno.EBADF)  # the latter through a file that is open for reading
                assert caught.value.errno in refused, f"{name}: {caught.value}"
        with fails(errno.EROFS):
            w.brick.access(Call(), Loc(w.f), os.W_OK)
        for fd in (w.fd, w.dir_fd):
            w.brick.release(fd)

    assert everything(tmp_path) == stood


async def test_a_read_only_brick_says_so_once_and_in_its_status(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(tmp_path, "auto")
    with caplog.at_level(logging.WARNING, LOG):
        async with running(tmp_path, "auto", read_only(), health_check_interval=0.01) as hand:
            await hand.brick.examined()
            assert hand.brick.health == "up, read-only"
    (line,) = [record.getMessage() for record in caplog.records if record.name == LOG]
    assert line == f"brick: brick {tmp_path} is read, and takes no changes: Read-only file system"
    async with running(tmp_path) as hand:
        assert hand.brick.health == "up"


async def test_below_a_cluster_it_is_a_child_that_is_down(tmp_path: Path) -> None:
    """Changes go on without it there, and what it has missed is healed when it can be written again."""
    await filled(tmp_path, "auto")
    brick = Posix("brick", directory=str(tmp_path))
    async with Graph(Afr("mirror", [brick, Memory("other")]), read_only()):
        assert brick.state is State.DOWN
        assert "Read-only file system" in brick.down_reason
    async with Graph(Locks("locks", [Posix("brick", directory=str(tmp_path))]), read_only()) as alone:
        assert alone.top.state is State.UP


async def test_a_directory_that_was_never_a_brick_cannot_become_one(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"data")
    with pytest.raises(OSError, match="has not been a brick before") as caught:
        async with running(tmp_path, "auto", read_only()):
            pass
    assert caught.value.errno == errno.EROFS
    assert str(tmp_path) in str(caught.value)
    assert os.listdir(tmp_path) == ["f"]


@in_both_modes
async def test_many_read_it_at_once_but_nobody_while_one_writes(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as writer:
        gfid = await writer.file(b"f", b"data")
        with fails(errno.EBUSY):
            async with running(tmp_path, "auto", read_only()):
                pass
    async with running(tmp_path, "auto", read_only()) as one, running(tmp_path, "auto", read_only()) as other:
        assert await one.read(gfid) == await other.read(gfid) == b"data"
        with fails(errno.EBUSY):
            async with running(tmp_path, mode):
                pass


@in_both_modes
async def test_a_brick_of_the_other_mode_is_refused_as_ever(tmp_path: Path, mode: str) -> None:
    await filled(tmp_path, mode)
    with pytest.raises(OSError, match="to convert it") as caught:
        async with running(tmp_path, "sidecar" if mode == "xattr" else "xattr", read_only()):
            pass
    assert caught.value.errno == errno.EINVAL


async def test_what_only_the_log_of_the_sidecar_says_is_read(tmp_path: Path) -> None:
    """After a kill the last changes stand in the log alone."""
    async with running(tmp_path, "sidecar") as hand:
        gfid = await hand.file(b"f")
    database = tmp_path / ".glusterfs" / "volgraph.sidecar"
    killed = (
        "import os, sqlite3, sys; database = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "database.execute('INSERT INTO xattrs VALUES (?, ?, ?)', (bytes.fromhex(sys.argv[2]), b'trusted.mine', b'1'));"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", killed, str(database), gfid.hex()], check=True)
    assert os.path.getsize(f"{database}-wal") > 0
    async with running(tmp_path, "auto", read_only()) as hand:
        assert (await hand.brick.getxattr(Call(), Loc(gfid), "trusted.mine")).values == {"trusted.mine": b"1"}
        with fails(errno.EROFS):
            hand.brick.setxattr(Call(), Loc(gfid), {"trusted.mine": b"2"})


@pytest.fixture
def users() -> Iterator[Path]:
    with users_folder() as folder:
        yield folder


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_brick_that_its_own_user_may_only_read(users: Path, backend: str) -> None:
    async def scenario(directory: Path) -> None:
        async with running(directory) as hand:
            folder = await hand.dir(b"d")
            gfid = await hand.file(b"f", b"data", folder)
        paths = [directory, *directory.rglob("*")]
        modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in paths if not path.is_symlink()}
        for path, mode in modes.items():
            path.chmod(mode & 0o555)
        async with running(directory) as hand:
            assert hand.brick.health == "up, read-only"
            assert await hand.names(folder) == [b"f"]
            assert await hand.read(gfid) == b"data"
            for parent in (ROOT_GFID, folder):
                with fails(errno.EROFS):
                    await hand.dir(b"new", parent)
        for path, mode in modes.items():
            path.chmod(mode)
        async with running(directory) as hand:
            await hand.brick.unlink(Call(), at(folder, b"f"))

    as_user(backend, scenario, users)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_brick_whose_database_alone_may_only_be_read(users: Path, backend: str) -> None:
    async def scenario(directory: Path) -> None:
        async with running(directory, "sidecar") as hand:
            gfid = await hand.file(b"f", b"data")
        (directory / ".glusterfs" / "volgraph.sidecar").chmod(0o444)
        async with running(directory, "sidecar") as hand:
            assert hand.brick.health == "up, read-only"
            assert await hand.read(gfid) == b"data"
        (directory / ".glusterfs" / "volgraph.sidecar").chmod(0o644)
        async with running(directory, "sidecar") as hand:
            assert hand.brick.health == "up"

    as_user(backend, scenario, users)


@pytest.mark.skipif(not AS_ROOT or shutil.which("unshare") is None, reason="NOT RUN: needs root, and unshare")
async def test_a_brick_on_a_file_system_that_is_mounted_read_only(tmp_path: Path) -> None:
    brick = tmp_path / "brick"
    brick.mkdir()
    await filled(brick, "auto")
    spec = tmp_path / "p.vol"
    spec.write_text(f"volume p\n  type storage/posix\n  option directory {brick}\nend-volume\n")
    mount = f"mount --bind {brick} {brick} && mount -o remount,bind,ro {brick} || exit 77"
    volgraph = f"{sys.executable} -m volgraph"
    lines = [f"{volgraph} {command}" for command in (f"ls {spec}", f"mkdir {spec}:/new", f"status {spec}")]
    told = subprocess.run(["unshare", "-m", "sh", "-c", "; ".join([mount, *lines])], capture_output=True, text=True)
    if told.returncode == 77 or "unshare" in told.stderr:
        pytest.skip("NOT RUN: no mounts of one's own here")

    *names, status = told.stdout.splitlines()
    assert names == ["d", "empty", "s", "second", "tree"]
    assert status.startswith("p (storage/posix) up, read-only, ")
    assert f"volgraph: {spec}:/new: Read-only file system\n" in told.stderr
