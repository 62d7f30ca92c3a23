"""A real GlusterFS client works on a brick that we serve."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.gfapi import Gfapi, in_child, require_gfapi
from tests.interop.our_server import OurServer, ToldMount, our_server
from tests.interop.real_gluster import Gluster, Mount, wait_until
from tests.interop.volfiles import client_volume, replicate_volfile

pytestmark = pytest.mark.interop


def program(*command: str | Path) -> str:
    """What a program prints; in a process of its own, because a mount that hangs would hold us too."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def shell(script: str, folder: Path) -> str:
    return program("sh", "-ec", f"cd {folder}; {script}")


@pytest.fixture
def server(gluster: Gluster, tmp_path: Path) -> Iterator[OurServer]:
    del gluster  # its check that there is a GlusterFS; and it ends before the server does
    with our_server(tmp_path) as running:
        yield running


@pytest.fixture
def mount(server: OurServer, gluster: Gluster) -> Iterator[Mount]:
    mounted = gluster.mount("mnt", client_volume("client", *server.remote))
    yield mounted
    mounted.stop()


def test_a_mount_lists_copies_reads_moves_and_deletes(mount: Mount, server: OurServer, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_001))

    assert shell("ls", mount.path) == ""
    program("mkdir", mount.path / "d")
    program("cp", source, mount.path / "d/copy")
    assert (server.directory / "d/copy").read_bytes() == source.read_bytes()
    program("cmp", source, mount.path / "d/copy")

    program("mv", mount.path / "d/copy", mount.path / "moved")
    assert shell("ls -a", mount.path).split() == [".", "..", "d", "moved"]
    assert shell("cat moved | cksum", mount.path) == program("sh", "-c", f"cat {source} | cksum")

    program("rm", "-r", mount.path / "d", mount.path / "moved")
    assert shell("ls", mount.path) == ""
    assert os.listdir(server.directory) == [".glusterfs"]


def test_links_modes_times_and_sizes(mount: Mount, server: OurServer) -> None:
    shell("echo hello > f; ln -s f s; ln f h; chmod 640 f; touch -d @1000000000 f; mkdir d", mount.path)
    shell("truncate -s 3 h; printf XY >> f", mount.path)

    on_brick = server.directory
    assert (on_brick / "h").read_text() == "helXY"
    assert os.readlink(on_brick / "s") == "f"
    assert shell("stat -c '%a %h %s %F' f", mount.path) == "640 2 5 regular file\n"
    assert stat.S_IMODE((on_brick / "f").stat().st_mode) == 0o640
    assert shell("cat s", mount.path) == "helXY"
    shell("touch -d @1000000000 f", mount.path)
    assert shell("stat -c %Y h", mount.path) == "1000000000\n"
    assert "brick" not in shell("df --output=size . | tail -1", mount.path)


def test_a_whole_tree_is_copied_compared_and_removed(mount: Mount, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(120):
        folder = tree / f"d{number % 7}" / f"e{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}").write_bytes(os.urandom(number * 321))
    (tree / "link").symlink_to("d1/e1")

    program("cp", "-a", tree, mount.path / "tree")
    program("diff", "-r", tree, mount.path / "tree")
    assert shell("find tree | wc -l", mount.path) == program("sh", "-c", f"find {tree} | wc -l")
    program("rm", "-rf", mount.path / "tree")
    assert shell("ls", mount.path) == ""


def test_a_file_that_was_removed_stays_readable_while_it_is_open(mount: Mount) -> None:
    assert shell("echo data > f; exec 3< f; rm f; cat <&3; ls", mount.path) == "data\n"


def test_a_file_put_into_the_brick_is_found(mount: Mount, server: OurServer) -> None:
    """It has no gfid yet: the client's lookup gives it one."""
    (server.directory / "f").write_text("from outside")

    assert shell("ls", mount.path) == "f\n"
    assert shell("cat f", mount.path) == "from outside"


def test_a_directory_longer_than_one_listing(mount: Mount) -> None:
    shell("seq 1500 | sed s/^/file-with-a-long-name-/ | xargs touch", mount.path)

    assert shell("ls | wc -l", mount.path).strip() == "1500"


def test_xattrs_are_kept(mount: Mount) -> None:
    (mount.path / "f").write_text("x")
    script = "import os; os.setxattr('f', 'user.hue', b'red'); print(os.getxattr('f', 'user.hue'), os.listxattr('f'))"
    assert program("sh", "-ec", f'cd {mount.path}; python3 -c "{script}"') == "b'red' ['user.hue']\n"


def test_the_mount_goes_on_after_the_server_came_back(gluster: Gluster, tmp_path: Path) -> None:
    with our_server(tmp_path) as server:
        mount = gluster.mount("mnt", client_volume("client", *server.remote))
        (mount.path / "f").write_text("before")
        port = server.port
    with our_server(tmp_path, port=port):

        def reads() -> bool:
            found = subprocess.run(["cat", mount.path / "f"], capture_output=True, text=True, timeout=30)
            return found.stdout == "before"

        wait_until(reads, "the mount reads again")
        mount.stop()


def test_a_client_is_told_its_spec(gluster: Gluster, tmp_path: Path) -> None:
    """As `mount -t glusterfs host:volume` does: the spec comes from the server."""
    spec = tmp_path / "told.vol"
    with our_server(tmp_path, spec_for_clients=spec) as server:
        spec.write_text(client_volume("client", *server.remote))
        mount = ToldMount("mnt", tmp_path, tmp_path / "mnt", "", server.port)
        mount.start()
        try:
            assert shell("echo through > f; ls", mount.path) == "f\n"
            assert (server.directory / "f").read_text() == "through\n"
        finally:
            mount.stop()


def test_libgfapi_works_on_it(server: OurServer, tmp_path: Path) -> None:
    require_gfapi()
    volfile = tmp_path / "client.vol"
    volfile.write_text(client_volume("client", *server.remote))

    assert in_child(volfile, some_calls, log=tmp_path / "gfapi.log") == [5, stat.S_IFREG | 0o644, 1]


def some_calls(client: Gfapi) -> list[int]:
    client.mkdir("/d")
    fd = client.creat("/d/new")
    assert client.pwrite(fd, b"hello world", 0) == 11
    assert client.pread(fd, 5, 6) == b"world"
    client.fsync(fd)
    client.ftruncate(fd, 5)
    client.close(fd)
    client.rename("/d/new", "/file")
    client.rmdir("/d")
    found = client.stat("/file")
    return [found.st_size, found.st_mode, found.st_nlink]


def test_a_real_replicate_keeps_a_copy_on_our_brick(server: OurServer, gluster: Gluster) -> None:
    real = gluster.brick("b0")
    mount = gluster.mount("mnt", replicate_volfile([real.remote, server.remote]))

    shell("mkdir d; echo one > d/f; echo two >> d/f; mv d/f g", mount.path)

    assert (real.directory / "g").read_text() == "one\ntwo\n" == (server.directory / "g").read_text()
    for brick in (real, server):
        marks = {name: os.getxattr(brick.directory / "g", name) for name in os.listxattr(brick.directory / "g")}
        assert not any(any(value) for name, value in marks.items() if name.startswith("trusted.afr."))
    mount.stop()
