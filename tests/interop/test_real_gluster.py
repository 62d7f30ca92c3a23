"""The harness itself: what the interop tests rely on holds between GlusterFS's own programs."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.interop.real_gluster import Brick, Gluster, Mount, free_port, is_mount_point, wait_until
from tests.interop.volfiles import client_volume, replicate_volfile

pytestmark = pytest.mark.interop


def program(*command: str | Path) -> str:
    """What a program prints. A mount is used by programs, because those can be timed out."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def heal_queue(brick: Brick) -> list[str]:
    """The gfids that the brick holds pending marks for."""
    names = os.listdir(brick.directory / ".glusterfs/indices/xattrop")
    return [name for name in names if not name.startswith("xattrop-")]


def mirror_of_two(gluster: Gluster) -> tuple[list[Brick], Mount]:
    bricks = [gluster.brick("b0"), gluster.brick("b1")]
    return bricks, gluster.mount("mnt", replicate_volfile([brick.remote for brick in bricks]))


def test_a_mounted_brick_lists_copies_renames_and_deletes(gluster: Gluster, tmp_path: Path) -> None:
    brick = gluster.brick("b0")
    mount = gluster.mount("mnt", client_volume("client", *brick.remote))
    source = tmp_path / "source"
    source.write_bytes(os.urandom(300_000))

    program("mkdir", mount.path / "d")
    program("cp", source, mount.path / "d/copy")
    assert program("ls", mount.path / "d") == "copy\n"
    assert (brick.directory / "d/copy").read_bytes() == source.read_bytes()

    program("mv", mount.path / "d/copy", mount.path / "moved")
    program("cmp", source, mount.path / "moved")
    assert program("ls", mount.path).split() == ["d", "moved"]

    program("rm", "-r", mount.path / "d", mount.path / "moved")
    assert sorted(os.listdir(brick.directory)) == [".glusterfs"]


def test_a_replicate_of_two_bricks_survives_the_loss_of_one(gluster: Gluster) -> None:
    bricks, mount = mirror_of_two(gluster)
    program("sh", "-c", f"echo before > {mount.path}/old")
    assert [(brick.directory / "old").read_text() for brick in bricks] == ["before\n", "before\n"]

    bricks[1].kill()
    program("sh", "-c", f"echo after > {mount.path}/new")

    assert program("cat", mount.path / "old", mount.path / "new") == "before\nafter\n"
    assert not (bricks[1].directory / "new").exists()
    assert os.getxattr(bricks[0].directory / "new", "trusted.afr.mirror-client-1") != bytes(12)
    assert heal_queue(bricks[0])


def test_a_killed_brick_comes_back_on_its_port_and_takes_writes_again(gluster: Gluster) -> None:
    bricks, mount = mirror_of_two(gluster)
    bricks[1].kill()
    bricks[1].start()

    def reaches_the_returned_brick() -> bool:
        program("mkdir", mount.path / "both")
        if (bricks[1].directory / "both").is_dir():
            return True
        program("rmdir", mount.path / "both")
        return False

    wait_until(reaches_the_returned_brick, "the client is connected to the returned brick again")
    assert (bricks[0].directory / "both").is_dir()


def test_leaving_ends_every_process_and_mount_also_after_a_failure(tmp_path: Path) -> None:
    class Failure(Exception):
        pass

    pids: list[int] = []
    mounts: list[Mount] = []
    with pytest.raises(Failure), Gluster(tmp_path) as gluster:
        bricks, mount = mirror_of_two(gluster)
        pids += [bricks[0].pid, bricks[1].pid, mount.pid]
        mounts.append(mount)
        assert is_mount_point(mount.path)
        raise Failure

    assert not is_mount_point(mounts[0].path)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_mount_whose_client_was_killed_leaves_no_dead_mount(gluster: Gluster) -> None:
    brick = gluster.brick("b0")
    mount = gluster.mount("mnt", client_volume("client", *brick.remote))

    mount.kill()

    assert not is_mount_point(mount.path)
    assert os.listdir(mount.path) == []


def test_a_brick_that_cannot_start_says_why(tmp_path: Path, gluster: Gluster) -> None:
    del gluster  # only for its check that there is a GlusterFS
    brick = Brick("broken", tmp_path, tmp_path / "directory")
    brick.volfile.write_text("volume x\n    type storage/none-such\nend-volume\n")

    brick.run("glusterfsd")
    with pytest.raises(RuntimeError, match="none-such"):
        wait_until(brick.listens, "the broken brick listens")
    brick.stop()


def test_a_port_is_given_once() -> None:
    ports = [free_port() for _ in range(20)]

    assert len(set(ports)) == 20
    assert all(20000 <= port < 30000 for port in ports)
