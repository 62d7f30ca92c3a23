"""A brick of ours on a mounted GlusterFS volume, which keeps `trusted.gfid` for itself: so ours goes in a sidecar."""

import os
import stat
from contextlib import closing
from pathlib import Path

import pytest

import volgraph
from tests.interop.real_gluster import Gluster
from tests.interop.trees import Local, all_paths
from tests.interop.volfiles import client_volume
from volgraph.translators import Posix

pytestmark = pytest.mark.interop

MODE = ".glusterfs/volgraph.metadata"


@pytest.fixture
def directory(gluster: Gluster) -> Path:
    server = gluster.brick("server")
    found = gluster.mount("mnt", client_volume("remote", *server.remote)).path / "brick"
    found.mkdir()
    return found


def test_a_brick_on_a_mounted_volume_chooses_the_sidecar_and_does_all_a_brick_does(directory: Path) -> None:
    with volgraph.open_sync(Posix("brick", directory=str(directory))) as volume:
        volume.mkdir("/d")
        volume.write_bytes("/f", b"contents")
        volume.link("/f", "/d/g")
        volume.rename("/f", "/d/f")
        volume.symlink("f", "/d/s")
        volume.mknod("/d/p", stat.S_IFIFO | 0o600)
        volume.chmod("/d/f", 0o640)
        volume.setxattr("/d/f", "user.x", b"value")
        volume.truncate("/d/f", 4)
        volume.write_bytes("/gone", b"x")
        volume.unlink("/gone")
    assert (directory / MODE).read_text().split() == ["sidecar"]

    with volgraph.open_sync(Posix("brick", directory=str(directory))) as volume:
        assert sorted(volume.listdir("/d")) == ["f", "g", "p", "s"]
        assert volume.read_bytes("/d/s") == b"cont"
        assert volume.getxattr("/d/g", "user.x") == b"value"
        found = volume.lstat("/d/f")
        assert (found.st_nlink, stat.S_IMODE(found.st_mode)) == (2, 0o640)
        assert stat.S_ISFIFO(volume.lstat("/d/p").st_mode)
    with closing(Local(directory)) as tree:
        assert set(all_paths(tree)) == {"", "d", "d/f", "d/g", "d/p", "d/s"}
    assert os.listxattr(directory / "d") == []
