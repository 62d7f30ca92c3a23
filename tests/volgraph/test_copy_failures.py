"""What a copy does where it cannot: it names what failed and goes on, leaves its bounds nowhere, and refuses itself."""

import errno
import os
import stat
from collections.abc import Awaitable
from pathlib import Path

import anyio
import attrs
import pytest

import volgraph
from volgraph import Call, Fd, Gfid, Loc, Translator, Volume, fail
from volgraph.copy_volume import VolumeTree
from volgraph.copying import Copy
from volgraph.graph import NULL_GFID, Data, Made
from volgraph.translators import Memory, Posix

pytestmark = pytest.mark.anyio

MEBI = 1 << 20


@attrs.define(eq=False)
class Bad(Translator):
    """Nothing called `bad` can be made, and nothing of which `spoilt` holds the gfid can be read."""

    spoilt: set[Gfid] = attrs.field(factory=set, kw_only=True)

    def create(self, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> Awaitable[Made]:
        if loc.name == b"bad":
            raise fail(errno.ENOSPC, loc.name)
        return self.child.create(call, loc, flags, mode, umask, fd)

    def mkdir(self, call: Call, loc: Loc, mode: int, umask: int) -> Awaitable[Made]:
        if loc.name == b"bad-directory":
            raise fail(errno.ENOSPC, loc.name)
        return self.child.mkdir(call, loc, mode, umask)

    def readv(self, call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> Awaitable[Data]:
        if fd.gfid in self.spoilt:
            raise fail(errno.EIO, "the disk")
        return self.child.readv(call, fd, size, offset, flags)


@attrs.define(eq=False)
class Breaking(Translator):
    """Of a file called `broken` nothing can be read behind the first two MiB."""

    broken: Gfid = attrs.field(init=False, default=NULL_GFID)

    async def create(self, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> Made:
        made = await self.child.create(call, loc, flags, mode, umask, fd)
        if loc.name == b"broken":
            self.broken = made.iatt.gfid
        return made

    def readv(self, call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> Awaitable[Data]:
        if fd.gfid == self.broken and offset >= 2 * MEBI:
            raise fail(errno.EIO, "the disk")
        return self.child.readv(call, fd, size, offset, flags)


def told(errors: list[OSError]) -> list[tuple[int | None, object]]:
    return sorted((error.errno, error.filename) for error in errors)


async def test_what_cannot_be_made_is_told_by_name_and_the_rest_is_copied(tmp_path: Path, anyio_backend: str) -> None:
    for name in ("a/bad-directory", "d"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("bad", "a/bad", "a/bad-directory/lost", "a/good", "good"):
        (tmp_path / name).write_bytes(b"text")
    errors: list[OSError] = []
    async with volgraph.open(Bad("bad", (Memory("m"),))) as vol:
        count = await vol.copy_in(tmp_path, "/t", on_error=errors.append)
        made = sorted([os.path.join(above, name) async for above, folders, files in vol.walk("/") for name in files])

    assert told(errors) == [(errno.ENOSPC, f"/t/{name}") for name in ("a/bad", "a/bad-directory", "bad")]
    assert made == ["/t/a/good", "/t/good"]
    assert (count.failed, count.files) == (3, 2)


async def test_what_cannot_be_read_is_told_by_name_and_the_rest_is_copied(tmp_path: Path, anyio_backend: str) -> None:
    top = Bad("bad", (Memory("m"),))
    errors: list[OSError] = []
    async with volgraph.open(top) as vol:
        await vol.mkdir("/t")
        for name in ("a", "b", "c"):
            await vol.write_bytes(f"/t/{name}", b"text")
        top.spoilt.add((await vol._find("/t/b", False)).gfid)
        count = await vol.copy_out("/t", tmp_path / "out", on_error=errors.append)

    assert told(errors) == [(errno.EIO, "/t/b")]
    assert errors[0].__notes__ == ["from the disk"]
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "c"]
    assert (tmp_path / "out/c").read_bytes() == b"text"
    assert (count.failed, count.files) == (1, 2)


async def test_without_anybody_to_tell_the_first_failure_ends_it(tmp_path: Path, anyio_backend: str) -> None:
    for name in ("bad", "good"):
        (tmp_path / name).write_bytes(b"text")
    async with volgraph.open(Bad("bad", (Memory("m"),))) as vol:
        with pytest.raises(OSError) as caught:
            await vol.copy_in(tmp_path, "/t")
        assert await vol.listdir("/t") == []

    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/t/bad")


@pytest.mark.parametrize("stood_there", [False, True], ids=["a new name", "a name that was there"])
async def test_of_a_file_that_breaks_off_only_what_the_copy_has_made_is_removed(
    tmp_path: Path, anyio_backend: str, stood_there: bool
) -> None:
    """Under its name it would look whole. So out of a volume, where the source fails, as into one that is full."""
    top = Breaking("breaking", (Memory("m", size_limit=8 * MEBI),))
    (tmp_path / "in").mkdir()
    for name, size in (("long", 9), ("brief", 1)):
        (tmp_path / "in" / name).write_bytes(bytes(size * MEBI))
    errors: list[OSError] = []
    async with volgraph.open(top) as vol:
        await vol.mkdir("/t")
        if stood_there:
            (tmp_path / "out").mkdir()
            (tmp_path / "out/broken").write_bytes(b"old")
            await vol.write_bytes("/t/long", b"old")
        await vol.copy_in(tmp_path / "in", "/t", on_error=errors.append)
        assert sorted(await vol.listdir("/t")) == ["brief", *["long"] * stood_there]
        if stood_there:
            await vol.unlink("/t/long")
        await vol.write_bytes("/t/broken", bytes(4 * MEBI))
        await vol.copy_out("/t", tmp_path / "out", on_error=errors.append)
        assert sorted(os.listdir(tmp_path / "out")) == ["brief", *["broken"] * stood_there]

    assert [error.errno for error in errors] == [errno.ENOSPC, errno.EIO]


async def test_a_copy_that_is_cancelled_leaves_no_half_file(tmp_path: Path, anyio_backend: str) -> None:
    (tmp_path / "f").write_bytes(bytes(64 * MEBI))
    async with volgraph.open(Memory("m")) as vol:
        with anyio.CancelScope() as scope:
            await vol.copy_in(tmp_path / "f", "/f", progress=lambda path, size: scope.cancel())
        left = await vol.listdir("/")

    assert scope.cancelled_caught
    assert left == []


async def test_what_a_copy_goes_through_or_into_stays_though_it_breaks_off(tmp_path: Path, anyio_backend: str) -> None:
    """A link that was named as the goal, and what is no file."""
    (tmp_path / "behind").write_bytes(b"old")
    (tmp_path / "link").symlink_to("behind")
    async with volgraph.open(Breaking("breaking", (Memory("m"),))) as vol:
        await vol.write_bytes("/broken", bytes(4 * MEBI))
        with pytest.raises(OSError):
            await vol.copy_out("/broken", tmp_path / "link")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "behind").exists()
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


async def test_a_long_file_is_told_on_its_way_and_all_bytes_once(scratch: Volume, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/long").write_bytes(bytes(40 * MEBI))
    (tmp_path / "t/short").write_bytes(b"12345")
    steps: list[tuple[str, int]] = []
    await scratch.copy_in(tmp_path / "t", "/t", progress=lambda *step: steps.append(step))

    assert steps == [("/t", 0), *[("/t/long", size * MEBI) for size in (16, 16, 8)], ("/t/short", 5)]


# --- bounds ----------------------------------------------------------------------------------------------------------


async def test_a_link_that_takes_the_place_of_a_file_meanwhile_is_not_read(scratch: Volume, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "t/f").write_bytes(b"plain")

    def swap(path: str) -> bool:
        os.unlink(path)
        os.symlink(tmp_path / "secret", path)
        return True

    with pytest.raises(OSError) as caught:
        await scratch.copy_in(tmp_path / "t", "/t", choose=swap)

    assert (caught.value.errno, caught.value.filename) == (errno.ELOOP, f"{tmp_path}/t/f")
    assert await scratch.listdir("/t") == []


async def test_a_fifo_that_takes_the_place_of_a_file_meanwhile_makes_nobody_wait(
    scratch: Volume, tmp_path: Path
) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/f").write_bytes(b"plain")

    def swap(path: str) -> bool:
        os.unlink(path)
        os.mkfifo(path)
        return True

    with pytest.raises(OSError) as caught:
        await scratch.copy_in(tmp_path / "t", "/t", choose=swap)

    assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, f"{tmp_path}/t/f")


async def test_nothing_is_written_through_a_link_of_the_volume_that_stands_in_the_way(
    vol: Volume, tmp_path: Path
) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/f").write_bytes(b"new")
    await vol.mkdir("/t")
    await vol.write_bytes("/precious", b"old")
    await vol.symlink("/precious", "/t/f")
    with pytest.raises(OSError) as caught:
        await vol.copy_in(tmp_path / "t", "/t")

    assert (caught.value.errno, caught.value.filename) == (errno.ELOOP, "/t/f")
    assert await vol.read_bytes("/precious") == b"old"


async def test_the_goal_itself_may_be_a_link_as_it_was_named(vol: Volume, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"new")
    await vol.write_bytes("/behind", b"old")
    await vol.symlink("behind", "/link")
    await vol.copy_in(tmp_path / "f", "/link")
    os.symlink("there", tmp_path / "link")
    await vol.copy_out("/link", tmp_path / "link")

    assert await vol.read_bytes("/behind") == b"new"
    assert (tmp_path / "there").read_bytes() == b"new"


async def test_a_device_is_written_to_and_stays_what_it_is(scratch: Volume, tmp_path: Path) -> None:
    device = "/dev/null"
    if os.geteuid() == 0:  # who could change it, were this broken
        device = str(tmp_path / "null")
        os.mknod(device, stat.S_IFCHR | 0o622, os.makedev(1, 3))
    before = os.stat(device).st_mode
    await scratch.write_bytes("/f", b"text")
    await scratch.chmod("/f", 0o640)
    await scratch.copy_out("/f", device)

    assert os.stat(device).st_mode == before


# --- itself ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "goal"),
    [
        ("/t", "/t"),
        ("/t", "/t/"),
        ("/t", "/t/new"),
        ("/t", "/t/d"),
        ("/t", "/t/d/new"),
        ("/t", "/link/new"),
        ("/t", "/link/d/.."),
        ("/link", "/t/new"),
        ("/", "/new"),
        ("/t/f", "/t/f"),
        ("/t/f", "/hard"),
        ("/t/f", "/soft"),
    ],
)
async def test_nothing_is_copied_onto_or_into_itself(scratch: Volume, source: str, goal: str) -> None:
    vol = scratch
    await vol.makedirs("/t/d")
    await vol.write_bytes("/t/f", b"text")
    await vol.link("/t/f", "/hard")
    await vol.symlink("t", "/link")
    await vol.symlink("t/f", "/soft")
    with pytest.raises(OSError) as caught:
        await Copy(VolumeTree(vol), VolumeTree(vol)).run(source, goal)

    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, source)
    assert [above async for above, _, _ in vol.walk("/")] == ["/", "/t", "/t/d"]
    assert await vol.read_bytes("/t/f") == b"text"


async def test_a_hard_link_of_a_file_is_not_emptied_by_its_own_copy(vol: Volume) -> None:
    for name in ("/t", "/u"):
        await vol.mkdir(name)
    await vol.write_bytes("/t/f", b"text")
    await vol.link("/t/f", "/u/f")
    with pytest.raises(OSError) as caught:
        await Copy(VolumeTree(vol), VolumeTree(vol)).run("/t", "/u")

    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, "/t/f")
    assert await vol.read_bytes("/t/f") == b"text"


async def test_a_volume_is_not_filled_with_its_own_brick(tmp_path: Path, anyio_backend: str) -> None:
    (tmp_path / "brick/d").mkdir(parents=True)
    (tmp_path / "brick/d/f").write_bytes(b"text")
    (tmp_path / "brick.txt").write_bytes(b"beside it")
    errors: list[OSError] = []
    async with volgraph.open(Posix("p", directory=str(tmp_path / "brick"))) as vol:
        for refused in (
            vol.copy_in(tmp_path / "brick", "/new"),
            vol.copy_in(tmp_path / "brick/d/f", "/d/f"),
            vol.copy_out("/d", tmp_path / "brick/d/new"),
            vol.copy_out("/d/f", tmp_path / "brick/d/f"),
        ):
            with pytest.raises(OSError, match="brick of the volume") as caught:
                await refused
            assert caught.value.errno == errno.EINVAL
        await vol.copy_in(tmp_path, "/whole", on_error=errors.append)

        assert await vol.listdir("/whole") == ["brick.txt"]
        assert await vol.read_bytes("/d/f") == b"text"
    assert told(errors) == [(errno.EINVAL, f"{tmp_path}/brick")]
