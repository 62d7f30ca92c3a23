"""stat, utime, chown and extended attributes, beyond what the comparison with `os` shows."""

import errno
import os
import stat

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
