"""storage/posix: one owner at a time, one way of keeping metadata, and a directory that is missing."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.translators.storage.bricks import MODES, in_both_modes, running
from volgraph.graph import ROOT_GFID, Call, Graph, Loc, Seams, State, Translator
from volgraph.graph.disk import Disk
from volgraph.graph.pool import Pool
from volgraph.translators.storage.posix import Posix

pytestmark = pytest.mark.anyio

HOLD = """
import sys, anyio
from volgraph.graph import Graph
from volgraph.translators.storage.posix import Posix

async def main():
    async with Graph(Posix("brick", directory=sys.argv[1])):
        print("held", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


def holder(directory: Path) -> subprocess.Popen[str]:
    """Another process that has the brick, and has said so."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(directory)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


class Booted(Disk):
    """The machine as it is after another boot."""

    def boot_id(self) -> str:
        return "another-boot"


def after_a_boot() -> Seams:
    seams = Seams()
    assert isinstance(seams.blocking, Pool)
    seams.blocking.disk = Booted()
    return seams


async def test_a_brick_in_use_is_refused_and_the_error_names_the_process(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        with pytest.raises(OSError) as caught:
            async with running(tmp_path):
                pass
    finally:
        end(process)
    assert caught.value.errno == errno.EBUSY
    assert f"pid {process.pid}" in str(caught.value)
    async with running(tmp_path) as hand:
        assert not hand.brick.suspect, "the process was killed, but the machine went on"


async def test_a_brick_is_free_again_after_its_owner_has_ended(tmp_path: Path) -> None:
    async with running(tmp_path) as hand:
        with pytest.raises(OSError) as caught:
            async with running(tmp_path):
                pass
        assert caught.value.errno == errno.EBUSY
        assert str(os.getpid()) in str(caught.value)
        await hand.file(b"f")
    async with running(tmp_path) as hand:
        assert await hand.names() == [b"f"]


async def test_a_brick_in_use_fails_the_start_under_a_cluster_too(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with running(tmp_path / "b"):
        with pytest.raises(OSError) as caught:
            async with Graph(Cluster("c", [posix("a", tmp_path), posix("b", tmp_path)])):
                pass
    assert caught.value.errno == errno.EBUSY
    async with running(tmp_path / "a"):
        pass


async def test_a_forked_child_does_not_hold_the_brick(tmp_path: Path) -> None:
    ready, go_on = os.pipe(), os.pipe()
    async with running(tmp_path):
        child = os.fork()
        if child == 0:
            os.write(ready[1], b"x")
            os.read(go_on[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
    try:
        async with running(tmp_path):
            pass
    finally:
        os.write(go_on[1], b"x")
        os.waitpid(child, 0)
        for fd in (*ready, *go_on):
            os.close(fd)


async def test_a_program_started_meanwhile_does_not_inherit_the_brick(tmp_path: Path) -> None:
    async with running(tmp_path):
        process = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        async with running(tmp_path):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@in_both_modes
async def test_an_unclean_end_under_another_boot_makes_the_brick_suspect(tmp_path: Path, mode: str) -> None:
    record = tmp_path / ".glusterfs" / "volgraph.owner"
    async with running(tmp_path, mode) as hand:
        held = record.read_bytes()
        assert f"pid {os.getpid()}\n".encode() in held
        assert not hand.brick.suspect
    async with running(tmp_path, mode, after_a_boot()) as hand:
        assert not hand.brick.suspect, "it ended cleanly"

    record.write_bytes(held)
    async with running(tmp_path, mode, after_a_boot()) as hand:
        assert hand.brick.suspect
        for call in (Call(), Call(xdata={"list-xattr": 1})):
            assert (await hand.brick.lookup(call, Loc(ROOT_GFID))).xdata == {"volgraph.suspect": 1}
        file = await hand.file(b"f")
        assert (await hand.brick.lookup(Call(), Loc(file))).xdata is None
        held = record.read_bytes()

    record.write_bytes(held)
    async with running(tmp_path, mode, after_a_boot()) as hand:
        assert hand.brick.suspect, "killed once more before it was ever ended cleanly"
    async with running(tmp_path, mode, after_a_boot()) as hand:
        assert hand.brick.suspect, "ended cleanly, but nothing has been made good"


async def test_a_forked_child_forgets_the_brick_without_a_word(tmp_path: Path) -> None:
    async with running(tmp_path):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert b"clean 0" in (tmp_path / ".glusterfs" / "volgraph.owner").read_bytes()


@pytest.mark.skipif(len(MODES) < 2, reason="needs root, for trusted.* attributes")
@pytest.mark.parametrize(("first", "second"), [("xattr", "sidecar"), ("sidecar", "xattr")])
async def test_a_brick_opened_in_the_other_mode_is_refused_with_the_way_to_convert_it(
    tmp_path: Path, first: str, second: str
) -> None:
    async with running(tmp_path, first):
        pass
    with pytest.raises(OSError, match="to convert it") as caught:
        async with running(tmp_path, second):
            pass
    assert caught.value.errno == errno.EINVAL
    async with running(tmp_path, "auto") as hand:
        await hand.file(b"f")
        assert hand.brick.brick.metadata.apart == (first == "sidecar")


async def test_without_trusted_attributes_auto_means_sidecar_and_xattr_an_error(tmp_path: Path) -> None:
    class Refusing(Disk):
        def setxattr(self, *args: object, **more: object) -> None:
            raise PermissionError(errno.EPERM, "no")

    def seams() -> Seams:
        made = Seams()
        assert isinstance(made.blocking, Pool)
        made.blocking.disk = Refusing()
        return made

    with pytest.raises(OSError, match="refused here"):
        async with running(tmp_path, "xattr", seams()):
            pass
    async with running(tmp_path, "auto", seams()) as hand:
        gfid = await hand.file(b"f")
    async with running(tmp_path, "sidecar") as hand:
        assert await hand.find(b"f") == gfid


@pytest.mark.skipif(len(MODES) < 2, reason="needs root, for trusted.* attributes")
async def test_a_directory_inside_a_brick_is_no_brick(tmp_path: Path) -> None:
    async with running(tmp_path, "xattr") as hand:
        await hand.dir(b"d")
    with pytest.raises(OSError, match="inside another brick"):
        async with running(tmp_path / "d", "xattr"):
            pass


VOLUME = "0a1b2c3d-0000-4000-8000-00000000000f"


@pytest.mark.skipif(len(MODES) < 2, reason="needs root, for trusted.* attributes")
async def test_a_brick_starts_only_in_the_volume_that_its_directory_belongs_to(tmp_path: Path) -> None:
    os.setxattr(tmp_path, "trusted.glusterfs.volume-id", bytes.fromhex(VOLUME.replace("-", "")))
    async with running(tmp_path, volume_id=VOLUME.upper()) as hand:
        await hand.file(b"f", b"x")
    async with running(tmp_path) as hand:
        assert await hand.names() == [b"f"]
    another = VOLUME.replace("f", "e")
    with pytest.raises(OSError, match=f"belongs to volume {VOLUME}, not to {another}") as caught:
        async with running(tmp_path, volume_id=another):
            pass
    assert caught.value.errno == errno.EINVAL


@in_both_modes
async def test_a_directory_without_a_volume_id_is_left_alone_when_one_is_asked_for(tmp_path: Path, mode: str) -> None:
    with pytest.raises(OSError, match=r"no trusted\.glusterfs\.volume-id .* Is its disk mounted") as caught:
        async with running(tmp_path, mode, volume_id=VOLUME):
            pass
    assert caught.value.errno == errno.ENODATA
    assert os.listdir(tmp_path) == []


async def test_below_a_cluster_a_disk_that_is_not_mounted_is_a_child_that_is_down(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "empty").mkdir()
    there = posix("there", tmp_path)
    empty = Posix("empty", directory=str(tmp_path / "empty"), volume_id=VOLUME)
    async with Graph(Cluster("c", [there, empty])):
        assert there.state is State.UP
        assert empty.state is State.DOWN
        assert "Is its disk mounted?" in empty.down_reason


@pytest.mark.parametrize(
    ("given", "kept"),
    [("1", "1%"), ("100", "100%"), ("2.5%", "2.5%"), ("0", "0%"), ("101", "101"), ("1GB", str(1 << 30)), (5, "5%")],
)
def test_the_reserve_is_a_size_or_percent_and_a_small_bare_number_is_percent(given: str | int, kept: str) -> None:
    assert str(Posix("p", directory="/d", reserve=given).reserve) == kept  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["101%", "-1", "much", ""])
def test_what_is_no_reserve_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        Posix("p", directory="/d", reserve=given)  # type: ignore[arg-type]


class Cluster(Translator):
    """Two children or more; up as soon as it has heard from all."""

    children_allowed = (2, None)


def posix(name: str, folder: Path) -> Posix:
    return Posix(name, directory=str(folder / name))


async def test_a_missing_directory_alone_is_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with running(tmp_path / "none"):
            pass
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        async with running(tmp_path / "file"):
            pass


async def test_a_missing_directory_under_a_cluster_is_a_child_that_is_down(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    there, missing = posix("there", tmp_path), posix("missing", tmp_path)
    async with Graph(Cluster("c", [there, Layer("layer", [missing])])):
        assert there.state is State.UP
        assert missing.state is State.DOWN
        assert "missing" in missing.down_reason
        with pytest.raises(OSError) as caught:
            missing.lookup(Call(), Loc(ROOT_GFID))
        assert caught.value.errno == errno.ENOTCONN


class Layer(Translator):
    """Hands everything on."""


async def test_a_directory_of_a_stopped_brick_is_not_reached_any_more(tmp_path: Path) -> None:
    async with running(tmp_path) as hand:
        gfid = await hand.file(b"f", b"x")
        fd = await hand.opened(gfid)
    for fop in (
        lambda: hand.brick.lookup(Call(), Loc(ROOT_GFID)),
        lambda: hand.brick.readv(Call(), fd, 1, 0),
        lambda: hand.brick.fstat(Call(), fd),
    ):
        with pytest.raises(OSError) as caught:
            fop()
        assert caught.value.errno in (errno.ENOTCONN, errno.EBADF)
    hand.brick.release(fd)


async def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    async with running(tmp_path) as hand:
        folder = await hand.dir(b"d")
        gfid = await hand.file(b"f", b"x", parent=folder)
        await hand.opened(gfid)
        await hand.names(folder)
    assert sorted(os.listdir("/proc/self/fd")) == before


class ReadOnlyDisk(Disk):
    """A file system that the kernel has made read-only, as it does after an error."""

    def open(
        self,
        path: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        flags: int,
        mode: int = 0o777,
        *,
        dir_fd: int | None = None,
    ) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return super().open(path, flags, mode, dir_fd=dir_fd)


def read_only() -> Seams:
    seams = Seams()
    assert isinstance(seams.blocking, Pool)
    seams.blocking.disk = ReadOnlyDisk()
    return seams


async def test_a_brick_that_cannot_be_written_is_named_by_the_error(tmp_path: Path) -> None:
    (tmp_path / "brick").mkdir()
    with pytest.raises(OSError, match=re.escape(f"brick {tmp_path}/brick: ")) as caught:
        async with Graph(posix("brick", tmp_path), read_only()):
            pass
    assert caught.value.errno == errno.EROFS


async def test_a_brick_that_cannot_be_written_is_a_child_that_is_down(tmp_path: Path) -> None:
    (tmp_path / "brick").mkdir()
    brick, missing = posix("brick", tmp_path), posix("missing", tmp_path)
    async with Graph(Cluster("c", [brick, missing]), read_only()):
        assert brick.state is State.DOWN
        assert "Read-only file system" in brick.down_reason
