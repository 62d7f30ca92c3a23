"""Open files: positions, modes, sizes, locks, closing."""

import errno
import os

import anyio
import pytest

from volgraph import Volume
from volgraph.files import IO_BYTES_MAX, Mode

pytestmark = pytest.mark.anyio


async def test_what_is_written_is_read_back_whatever_its_size(vol: Volume) -> None:
    for size in (0, 1, 4096, IO_BYTES_MAX, IO_BYTES_MAX + 1, 2 * IO_BYTES_MAX + 7):
        data = os.urandom(size)

        assert await vol.write_bytes("/f", data) == size
        assert await vol.read_bytes("/f") == data


async def test_writing_replaces_longer_contents(vol: Volume) -> None:
    await vol.write_bytes("/f", b"a long text")
    await vol.write_bytes("/f", b"short")

    assert await vol.read_bytes("/f") == b"short"


async def test_position_moves_with_reads_writes_and_seeks(vol: Volume) -> None:
    async with vol.open("/f", "w+b") as file:
        assert await file.write(b"0123456789") == 10
        assert await file.tell() == 10
        assert await file.seek(2) == 2
        assert await file.read(3) == b"234"
        assert await file.seek(-1, os.SEEK_CUR) == 4
        assert await file.seek(-2, os.SEEK_END) == 8
        assert await file.read() == b"89"
        assert await file.read() == b""
        assert await file.pread(3, 1) == b"123"
        assert await file.pwrite(b"XY", 1) == 2
        assert await file.tell() == 10
        buffer = bytearray(4)
        await file.seek(0)
        assert await file.readinto(buffer) == 4
        assert buffer == b"0XY3"
        with pytest.raises(OSError, match="Invalid argument"):
            await file.seek(-1)


async def test_writing_behind_the_end_leaves_zeros_between(vol: Volume) -> None:
    async with vol.open("/f", "wb") as file:
        await file.pwrite(b"x", 5)

    assert await vol.read_bytes("/f") == b"\0\0\0\0\0x"


async def test_appending_goes_to_the_end_wherever_the_position_is(vol: Volume) -> None:
    await vol.write_bytes("/f", b"one ")
    async with vol.open("/f", "a+b") as file:
        await file.write(b"two ")
        await file.seek(0)
        await file.write(b"three")

        assert await file.tell() == 13
        await file.seek(0)
        assert await file.read() == b"one two three"


async def test_truncate_cuts_at_the_position_or_at_a_size(vol: Volume) -> None:
    async with vol.open("/f", "w+b") as file:
        await file.write(b"0123456789")
        assert await file.truncate(6) == 6
        await file.seek(4)
        assert await file.truncate() == 4
        assert (await file.stat()).st_size == 4

    assert await vol.read_bytes("/f") == b"0123"


@pytest.mark.parametrize("mode", ["", "rw", "rt", "b", "r++", "rb+b", "U"])
async def test_a_mode_that_makes_no_sense_is_a_value_error(scratch: Volume, mode: str) -> None:
    with pytest.raises(ValueError, match="invalid mode"):
        scratch.open("/f", mode)


async def test_modes_mean_what_they_mean_to_open() -> None:
    assert Mode.parse("r") == Mode(True, False, False, False, False, False)
    assert Mode.parse("r+b") == Mode(True, True, False, False, False, False)
    assert Mode.parse("wb") == Mode(False, True, True, False, True, False)
    assert Mode.parse("x+") == Mode(True, True, True, True, False, False)
    assert Mode.parse("ab") == Mode(False, True, True, False, False, True)


async def test_an_exclusive_open_refuses_what_is_there_even_a_dangling_link(vol: Volume) -> None:
    await vol.write_bytes("/f", b"")
    await vol.symlink("nowhere", "/dangling")

    for path in ("/f", "/dangling"):
        with pytest.raises(FileExistsError):
            await vol.open(path, "xb")


async def test_writing_through_a_dangling_link_makes_its_target(vol: Volume) -> None:
    await vol.mkdir("/d")
    await vol.symlink("d/target", "/link")
    await vol.write_bytes("/link", b"text")

    assert await vol.read_bytes("/d/target") == b"text"


@pytest.mark.parametrize(
    ("path", "mode", "code"),
    [
        ("/missing", "rb", errno.ENOENT),
        ("/missing", "r+b", errno.ENOENT),
        ("/missing/", "wb", errno.EISDIR),
        ("/missing/x", "wb", errno.ENOENT),
        ("/dir", "rb", errno.EISDIR),
        ("/dir", "wb", errno.EISDIR),
        ("/file/", "rb", errno.ENOTDIR),
        ("/file/x", "wb", errno.ENOTDIR),
        ("/", "wb", errno.EISDIR),
    ],
)
async def test_a_file_that_cannot_be_opened_is_an_error_that_names_it(
    vol: Volume, path: str, mode: str, code: int
) -> None:
    await vol.mkdir("/dir")
    await vol.write_bytes("/file", b"")

    with pytest.raises(OSError) as caught:
        await vol.open(path, mode)

    assert (caught.value.errno, caught.value.filename) == (code, path)


async def test_sizes_and_offsets_below_zero_are_invalid_and_change_nothing(vol: Volume) -> None:
    await vol.write_bytes("/f", b"contents")
    async with vol.open("/f", "r+b") as file:
        for refused in (file.pread(3, -1), file.pread(-1, 0), file.pwrite(b"x", -1), file.seek(-1), file.truncate(-1)):
            with pytest.raises(OSError) as caught:
                await refused
            assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, "/f")

    assert await vol.read_bytes("/f") == b"contents"


async def test_no_position_or_lock_lies_behind_the_largest_offset(vol: Volume) -> None:
    """It has 63 bits, as lseek(2) and fcntl(2) have it."""
    last = (1 << 63) - 1
    async with vol.open("/f", "w+b") as file:
        await file.write(b"text")
        for offset, whence in (
            (last + 1, os.SEEK_SET),
            (1 << 64, os.SEEK_SET),
            (last, os.SEEK_CUR),
            (last, os.SEEK_END),
        ):
            with pytest.raises(OSError) as caught:
                await file.seek(offset, whence)
            assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, "/f")
            assert await file.tell() == 4
        for start, length in ((last + 1, 0), (last, 2), (0, 1 << 64)):
            with pytest.raises(OSError) as caught:
                file.lock(start, length)
            assert caught.value.errno == errno.EOVERFLOW
        async with file.lock(last, 1):
            assert await file.seek(last) == last


async def test_what_is_no_data_leaves_the_file_as_it_is(vol: Volume) -> None:
    await vol.write_bytes("/f", b"contents")
    for path in ("/f", "/new"):
        with pytest.raises(TypeError):
            await vol.write_bytes(path, "text")  # type: ignore[arg-type]

    assert await vol.listdir("/") == ["f"]
    assert await vol.read_bytes("/f") == b"contents"


async def test_an_fd_is_used_only_as_it_was_opened(vol: Volume) -> None:
    async with vol.open("/f", "wb") as file:
        with pytest.raises(OSError) as caught:
            await file.read()
        assert caught.value.errno == errno.EBADF
    async with vol.open("/f", "rb") as file:
        for refused in (file.write(b"x"), file.truncate(0)):
            with pytest.raises(OSError) as caught:
                await refused
            assert (caught.value.errno, caught.value.filename) == (errno.EBADF, "/f")
    with pytest.raises(ValueError, match="closed file"):
        await file.read()
    await file.close()  # closing twice is no error


async def test_a_file_stays_readable_after_its_name_is_gone(vol: Volume) -> None:
    await vol.write_bytes("/f", b"still here")
    async with vol.open("/f", "rb") as file:
        await vol.unlink("/f")
        assert await file.read() == b"still here"


async def test_a_file_opened_by_await_is_closed_by_hand_or_with_the_volume(vol: Volume) -> None:
    file = await vol.open("/f", "wb")
    await file.write(b"text")
    await file.fsync()
    await file.flush()
    await file.close()
    left_open = await vol.open("/f", "rb")
    vol.close()

    assert file.closed
    assert left_open.closed


async def test_new_files_get_the_mode_that_the_umask_leaves(vol: Volume) -> None:
    vol._caller.umask = 0o027
    await vol.write_bytes("/f", b"")
    await vol.mkdir("/d")

    assert (await vol.stat("/f")).st_mode & 0o7777 == 0o640
    assert (await vol.stat("/d")).st_mode & 0o7777 == 0o750


async def test_two_openers_of_a_new_file_get_the_same_one(vol: Volume) -> None:
    async with anyio.create_task_group() as tasks:
        for letter in b"ab":
            tasks.start_soon(vol.write_bytes, "/f", bytes([letter]) * 10)

    assert await vol.read_bytes("/f") in (b"a" * 10, b"b" * 10)
    assert await vol.listdir("/") == ["f"]


async def test_a_lock_keeps_other_files_out_until_it_is_given_back(scratch: Volume) -> None:
    await scratch.write_bytes("/f", b"")
    async with scratch.open("/f", "r+b") as mine, scratch.open("/f", "r+b") as other:
        async with mine.lock(0, 10):
            with pytest.raises(OSError) as caught:
                async with other.lock(5, 1, wait=False):
                    pytest.fail("both hold it")
            assert caught.value.errno == errno.EAGAIN
            async with other.lock(10, 5, wait=False):
                pass  # another range
        async with other.lock(5, 1, wait=False):
            pass


async def test_shared_locks_stand_beside_each_other_and_a_waiter_gets_its_turn(scratch: Volume) -> None:
    await scratch.write_bytes("/f", b"")
    order = []
    waiting = anyio.Event()

    async def writer() -> None:
        async with scratch.open("/f", "r+b") as file:
            waiting.set()
            async with file.lock():
                order.append("writer")

    async with scratch.open("/f", "rb") as one, scratch.open("/f", "rb") as two, anyio.create_task_group() as tasks:
        shared = one.lock(shared=True), two.lock(shared=True)
        async with shared[0], shared[1]:
            tasks.start_soon(writer)
            await waiting.wait()
            await anyio.lowlevel.checkpoint()
            order.append("readers")

    assert order == ["readers", "writer"]


async def test_closing_a_file_gives_its_locks_back(scratch: Volume) -> None:
    await scratch.write_bytes("/f", b"")
    holder = await scratch.open("/f", "r+b")
    async with holder.lock():
        await holder.close()
        async with scratch.open("/f", "r+b") as other, other.lock(wait=False):
            pass


async def test_a_long_run_of_ready_answers_leaves_room_for_other_tasks(scratch: Volume) -> None:
    turns = 0
    done = False

    async def other() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        for _ in range(640):
            await scratch.exists("/nothing")
        done = True

    assert turns >= 10
