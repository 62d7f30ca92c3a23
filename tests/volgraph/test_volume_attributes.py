"""stat, utime, chown and extended attributes, beyond what the comparison with `os` shows."""

import errno
import os
import stat
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from volgraph import Volume

pytestmark = pytest.mark.anyio


async def test_stat_answers_as_os_does_with_an_inode_number_of_its_own(vol: Volume) -> None:
    await vol.write_bytes("/f", b"12345")
    await vol.link("/f", "/g")
    st = await vol.stat("/f")

    assert isinstance(st, os.stat_result)
    assert stat.S_ISREG(st.st_mode)
    assert (st.st_size, st.st_nlink, st.st_uid) == (5, 2, os.geteuid())
    assert st.st_ino == (await vol.stat("/g")).st_ino != (await vol.stat("/")).st_ino
    assert st.st_mtime == pytest.approx(st.st_mtime_ns / 1e9)
    assert abs(st.st_mtime_ns - st.st_ctime_ns) < 10**9


async def test_times_are_set_to_the_nanosecond_and_to_now(vol: Volume) -> None:
    await vol.write_bytes("/f", b"")
    await vol.symlink("f", "/l")
    await vol.utime("/f", ns=(1, 2_000_000_003))
    await vol.utime("/l", ns=(4, 5), follow_symlinks=False)
    of_link, of_file = await vol.lstat("/l"), await vol.stat("/l")  # in this order: to follow a link is to read it

    assert (of_file.st_atime_ns, of_file.st_mtime_ns) == (1, 2_000_000_003)
    assert (of_link.st_atime_ns, of_link.st_mtime_ns) == (4, 5)
    await vol.utime("/f")
    assert (await vol.stat("/f")).st_mtime > 1_000_000_000
    with pytest.raises(ValueError, match="not both"):
        await vol.utime("/f", (1, 2), ns=(1, 2))


async def test_the_nanosecond_before_1970_is_a_time_and_not_now(vol: Volume) -> None:
    await vol.write_bytes("/f", b"")
    await vol.utime("/f", ns=(-1, -1))
    st = await vol.stat("/f")

    assert (st.st_atime_ns, st.st_mtime_ns) == (-1, -1)


@pytest.mark.parametrize("seconds", [1 << 63, -(1 << 63) - 1, 1 << 70])
async def test_a_time_of_more_than_64_bits_is_refused(vol: Volume, seconds: int) -> None:
    """As by `os.utime`, which cannot hand it to the kernel. Shorter ones a file system may still round to what it has
    room for."""
    await vol.write_bytes("/f", b"")
    await vol.utime("/f", ns=(1, 2))
    for ns in ((seconds * 10**9, 0), (0, seconds * 10**9)):
        with pytest.raises(OSError) as caught:
            await vol.utime("/f", ns=ns)
        assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, "/f")

    assert (await vol.stat("/f")).st_mtime_ns == 2


@pytest.mark.parametrize("mode", [1 << 31, 1 << 32, -(1 << 31) - 1])
async def test_a_mode_that_is_no_int_of_the_kernel_is_refused(vol: Volume, mode: int) -> None:
    await vol.write_bytes("/f", b"")
    await vol.chmod("/f", 0o640)
    for refuse in (partial(vol.chmod, "/f"), partial(vol.mkdir, "/d")):
        with pytest.raises(OSError) as caught:
            await refuse(mode)
        assert caught.value.errno == errno.EINVAL

    assert stat.S_IMODE((await vol.stat("/f")).st_mode) == 0o640
    assert await vol.listdir("/") == ["f"]


@pytest.mark.parametrize("number", [-2, 1 << 32, 1 << 64])
async def test_an_owner_or_a_device_that_cannot_be_one_is_refused(vol: Volume, number: int) -> None:
    await vol.write_bytes("/f", b"")
    calls: list[Callable[[], Awaitable[None]]] = [
        lambda: vol.chown("/f", number, -1),
        lambda: vol.chown("/f", -1, number),
        lambda: vol.mknod("/n", stat.S_IFCHR | 0o600, number),
    ]
    for refuse in calls:
        with pytest.raises(OSError) as caught:
            await refuse()
        assert caught.value.errno in (errno.EINVAL, errno.EPERM)

    assert (await vol.stat("/f")).st_uid == os.geteuid()
    assert await vol.listdir("/") == ["f"]


@pytest.mark.parametrize("size", [1 << 63, 1 << 64, -1])
async def test_a_size_that_no_file_can_have_is_refused(vol: Volume, size: int) -> None:
    await vol.write_bytes("/f", b"text")
    with pytest.raises(OSError) as caught:
        await vol.truncate("/f", size)

    assert caught.value.errno in (errno.EINVAL, errno.EFBIG)
    assert await vol.read_bytes("/f") == b"text"


@pytest.mark.parametrize("number", [1.5, "1", None, b"1"])
async def test_a_number_that_is_none_is_a_type_error_and_changes_nothing(vol: Volume, number: Any) -> None:
    """As from `os`. A brick that kept it would differ from its mirror for good."""
    await vol.write_bytes("/f", b"text")
    before = await vol.stat("/f")
    async with vol.open("/f", "r+b") as file:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: vol.chown("/f", number, 0),
            lambda: vol.chown("/f", 0, number),
            lambda: vol.chmod("/f", number),
            lambda: vol.mkdir("/d", number),
            lambda: vol.mknod("/n", number),
            lambda: vol.mknod("/n", stat.S_IFIFO | 0o600, number),
            lambda: vol.utime("/f", ns=(number, 0)),
            lambda: vol.utime("/f", ns=(0, number)),
            lambda: vol.truncate("/f", number),
            lambda: vol.setxattr("/f", "user.a", b"", number),
            lambda: file.pread(1, number),
            lambda: file.pwrite(b"x", number),
            lambda: file.pwrite(b"", number),
            lambda: file.seek(number),
            lambda: file.seek(number, os.SEEK_DATA),
            lambda: file.allocate(number, 1),
            lambda: file.allocate(0, number),
        ]
        if number is not None:
            calls += [lambda: file.truncate(number), lambda: file.pread(number, 0)]
        for refuse in calls:
            with pytest.raises(TypeError):
                await refuse()

        assert await file.tell() == 0
    after = await vol.stat("/f")
    assert (after, after.st_mtime_ns, after.st_ctime_ns) == (before, before.st_mtime_ns, before.st_ctime_ns)
    assert await vol.listdir("/") == ["f"]
    assert await vol.read_bytes("/f") == b"text"


@pytest.mark.parametrize("name", ["trusted.gfid", "trusted.glusterfs.volume-id", "trusted.afr.dirty"])
async def test_what_bricks_and_mirrors_keep_for_themselves_is_not_set_by_applications(vol: Volume, name: str) -> None:
    await vol.write_bytes("/f", b"")
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: vol.setxattr("/f", name, bytes(16)),
        lambda: vol.removexattr("/f", name),
    ]
    for refuse in calls:
        with pytest.raises(PermissionError):
            await refuse()


async def test_minus_one_leaves_an_owner_as_it_is(vol: Volume) -> None:
    await vol.write_bytes("/f", b"")
    await vol.chown("/f", -1, -1)
    await vol.chown("/f", os.geteuid(), -1)

    assert (await vol.stat("/f")).st_uid == os.geteuid()


async def test_statvfs_answers_as_os_does(vol: Volume) -> None:
    space = await vol.statvfs("/")

    assert isinstance(space, os.statvfs_result)
    assert space.f_bsize > 0
    assert space.f_blocks >= space.f_bavail
    assert space.f_namemax == 255


async def test_extended_attributes_are_set_listed_read_and_removed(vol: Volume) -> None:
    await vol.write_bytes("/f", b"")
    await vol.setxattr("/f", "user.one", b"1")
    await vol.setxattr("/f", b"user.two", b"")

    assert {"user.one", "user.two"} <= set(await vol.listxattr("/f"))
    assert await vol.getxattr("/f", "user.one") == b"1"
    assert await vol.getxattr("/f", "user.two") == b""
    await vol.removexattr("/f", "user.one")
    for lacking in (vol.getxattr("/f", "user.one"), vol.removexattr("/f", "user.one")):
        with pytest.raises(OSError) as caught:
            await lacking
        assert (caught.value.errno, caught.value.filename) == (errno.ENODATA, "/f")


async def test_the_value_of_an_extended_attribute_is_bytes(vol: Volume) -> None:
    await vol.write_bytes("/f", b"")
    with pytest.raises(TypeError):
        await vol.setxattr("/f", "user.k", 5)  # type: ignore[arg-type]

    assert await vol.listxattr("/f") == []


async def test_flags_of_setxattr_are_obeyed(vol: Volume) -> None:
    await vol.write_bytes("/f", b"")
    with pytest.raises(OSError) as replaced:
        await vol.setxattr("/f", "user.x", b"", os.XATTR_REPLACE)
    await vol.setxattr("/f", "user.x", b"", os.XATTR_CREATE)
    with pytest.raises(OSError) as created:
        await vol.setxattr("/f", "user.x", b"", os.XATTR_CREATE)

    assert (replaced.value.errno, created.value.errno) == (errno.ENODATA, errno.EEXIST)


async def test_attributes_of_replication_are_hidden_and_refused(vol: Volume) -> None:
    await vol.write_bytes("/f", b"")
    for refused in (vol.setxattr("/f", "trusted.afr.x", b"\0" * 12), vol.removexattr("/f", "trusted.afr.dirty")):
        with pytest.raises(PermissionError):
            await refused
    with pytest.raises(OSError) as caught:
        await vol.getxattr("/f", "trusted.afr.dirty")

    assert caught.value.errno == errno.ENODATA
    assert not [name for name in await vol.listxattr("/") if name.startswith("trusted.afr.")]
