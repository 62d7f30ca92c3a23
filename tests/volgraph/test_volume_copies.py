"""Trees into a volume and out again."""

import errno
import os
from pathlib import Path

import pytest

from volgraph import Volume

pytestmark = pytest.mark.anyio


def make_tree(root: Path) -> None:
    (root / "d/empty").mkdir(parents=True)
    (root / "d/ro").mkdir()
    (root / "file").write_bytes(b"text")
    (root / "d/big").write_bytes(os.urandom(3_000_000))
    (root / "d/ro/inside").write_bytes(b"")
    os.symlink("../file", root / "d/link")
    os.symlink("/nowhere", root / "dangling")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\n")).write_bytes(b"odd")
    os.chmod(root / "file", 0o604)
    os.utime(root / "file", ns=(11, 22_000_000_033))
    os.utime(root / "dangling", ns=(5, 6), follow_symlinks=False)
    os.chmod(root / "d/ro", 0o555)
    os.utime(root / "d", ns=(7, 8))


def picture(root: Path) -> dict[bytes, tuple[int, int, bytes]]:
    """Everything below a directory: mode, time, contents."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in (b".", *folders, *files):
            path = os.path.join(folder, name)
            st = os.lstat(path)
            data = os.readlink(path) if os.path.islink(path) else b""
            if os.path.isfile(path) and not data:
                data = Path(os.fsdecode(path)).read_bytes()
            found[os.path.relpath(path, os.fsencode(root))] = (st.st_mode, st.st_mtime_ns, data)
    return found


async def test_a_tree_comes_out_as_it_went_in(vol: Volume, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    make_tree(source)
    count = await vol.copy_in(source, "/copy")
    out = await vol.copy_out("/copy", target)

    assert picture(target) == picture(source)
    assert (count.files, count.directories, count.symlinks) == (4, 4, 2)
    assert out == count
    assert count.bytes == 3_000_007


async def test_copying_again_replaces_files_and_fills_directories(vol: Volume, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    make_tree(source)
    await vol.copy_in(source, "/copy")
    await vol.write_bytes("/copy/other", b"stays")
    (source / "file").write_bytes(b"longer than before")
    await vol.copy_in(source, "/copy")
    await vol.copy_out("/copy", target)
    await vol.copy_out("/copy", target)

    assert (target / "file").read_bytes() == b"longer than before"
    assert (target / "other").read_bytes() == b"stays"


async def test_one_file_is_copied_to_the_name_given(vol: Volume, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"text")
    await vol.copy_in(tmp_path / "f", "/g")
    await vol.copy_out("/g", tmp_path / "h")

    assert (tmp_path / "h").read_bytes() == b"text"


async def test_only_what_is_chosen_is_copied_and_progress_is_told(scratch: Volume, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"12")
    told: list[tuple[str, int]] = []
    await scratch.copy_in(
        tmp_path, "/t", choose=lambda path: not path.endswith("b"), progress=lambda *step: told.append(step)
    )

    assert sorted(await scratch.listdir("/t")) == ["a", "c"]
    assert told == [("/t", 0), ("/t/a", 2), ("/t/c", 2)]


async def test_a_file_in_the_way_of_a_directory_is_an_error_and_stays(vol: Volume, tmp_path: Path) -> None:
    (tmp_path / "s/d").mkdir(parents=True)
    await vol.mkdir("/t")
    await vol.write_bytes("/t/d", b"mine")
    with pytest.raises(FileExistsError):
        await vol.copy_in(tmp_path / "s", "/t")

    assert await vol.read_bytes("/t/d") == b"mine"


async def test_nothing_is_written_through_a_local_link_that_stands_in_the_way(scratch: Volume, tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (outside / "f").write_bytes(b"precious")
    os.symlink(outside, target / "d")
    os.symlink(outside / "f", target / "f")
    await scratch.makedirs("/t/d")
    await scratch.write_bytes("/t/d/new", b"x")
    await scratch.mkdir("/u")
    await scratch.write_bytes("/u/f", b"x")

    with pytest.raises(FileExistsError):
        await scratch.copy_out("/t", target)
    with pytest.raises(OSError) as caught:
        await scratch.copy_out("/u", target)
    assert caught.value.errno == errno.ELOOP
    assert os.listdir(outside) == ["f"]
    assert (outside / "f").read_bytes() == b"precious"


async def test_a_fifo_that_stands_where_a_file_goes_makes_nobody_wait(scratch: Volume, tmp_path: Path) -> None:
    await scratch.write_bytes("/f", b"x")
    os.mkfifo(tmp_path / "f")
    with pytest.raises(OSError) as caught:
        await scratch.copy_out("/f", tmp_path / "f")

    assert (caught.value.errno, caught.value.filename) == (errno.ENXIO, f"{tmp_path}/f")


async def test_errors_of_a_copy_name_paths_as_text(scratch: Volume, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as outside:
        await scratch.copy_in(tmp_path / "none", "/t")
    with pytest.raises(FileNotFoundError) as inside:
        await scratch.copy_out("/none", tmp_path / "t")

    assert (outside.value.filename, inside.value.filename) == (f"{tmp_path}/none", "/none")
