"""The ctypes client of libgfapi: its signatures are right, and its process ends."""

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.interop.gfapi import Gfapi, in_child, require_gfapi
from tests.interop.real_gluster import Gluster
from tests.interop.volfiles import client_volume, replicate_volfile

pytestmark = pytest.mark.interop


@pytest.fixture
def volfile(gluster: Gluster, tmp_path: Path) -> Path:
    """A mirror of two running bricks, b0 and b1."""
    require_gfapi()
    path = tmp_path / "client.vol"
    path.write_text(replicate_volfile([gluster.brick(name).remote for name in ("b0", "b1")]))
    return path


def every_call(client: Gfapi) -> list[int]:
    client.mkdir("/d")
    fd = client.creat("/d/new")
    assert client.pwrite(fd, b"hello world", 0) == 11
    assert client.pread(fd, 5, 6) == b"world"
    client.fsync(fd)
    client.ftruncate(fd, 5)
    assert client.fstat(fd).st_size == 5
    client.close(fd)
    client.rename("/d/new", "/file")
    client.rmdir("/d")
    fd = client.open("/file")
    assert client.pread(fd, 100, 0) == b"hello"
    client.close(fd)
    client.close(client.creat("/gone"))
    client.unlink("/gone")
    found = client.stat("/file")
    return [found.st_size, found.st_mode, found.st_nlink, found.st_uid, found.st_mtime_sec]


def size_of(client: Gfapi, path: str) -> int:
    return client.stat(path).st_size


def fail_with_the_mode(client: Gfapi) -> None:
    raise LookupError(client.stat("/").st_mode)


def test_every_call_does_on_the_brick_what_it_says(volfile: Path, tmp_path: Path) -> None:
    found = in_child(volfile, every_call, log=tmp_path / "gfapi.log")

    on_brick = (tmp_path / "b0/file").stat()
    assert found == [5, stat.S_IFREG | 0o644, 1, os.getuid(), int(on_brick.st_mtime)]
    assert (tmp_path / "b0/file").read_bytes() == b"hello"
    assert sorted(name for name in os.listdir(tmp_path / "b0") if name[0] != ".") == ["file"]


def test_an_error_of_the_client_comes_back_with_its_errno(volfile: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        in_child(volfile, size_of, "/none", log=tmp_path / "gfapi.log")

    assert caught.value.errno == errno.ENOENT


def test_any_other_failure_in_the_child_is_told(volfile: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"LookupError: {stat.S_IFDIR | 0o755}"):
        in_child(volfile, fail_with_the_mode, log=tmp_path / "gfapi.log")


def test_a_lone_client_volume_answers_too(gluster: Gluster, tmp_path: Path) -> None:
    require_gfapi()
    brick = gluster.brick("b0")
    (brick.directory / "file").write_bytes(b"12345")
    volfile = tmp_path / "client.vol"
    volfile.write_text(client_volume("client", *brick.remote))

    assert in_child(volfile, size_of, "/file", log=tmp_path / "gfapi.log") == 5
