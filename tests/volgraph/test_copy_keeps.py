"""What a copy keeps: kinds, owners, modes, times, extended attributes, holes, hard links; in, and out again."""

import os
import stat
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import volgraph
from volgraph import Translator, Volume
from volgraph.copy_attributes import kept, mode_of
from volgraph.translators import Memory, Posix

pytestmark = pytest.mark.anyio

IS_ROOT = os.geteuid() == 0
MEBI = 1 << 20


def picture(root: Path) -> dict[str, Any]:
    """All that a copy keeps of every name below a directory, and which names are one file."""
    found, names = {}, defaultdict(list)
    for folder, folders, files in os.walk(root):
        for name in (".", *folders, *files):
            path = os.path.normpath(os.path.join(folder, name))
            seen = os.lstat(path)
            inside = os.path.relpath(path, root)
            names[seen.st_ino].append(inside)
            xattrs = {key: os.getxattr(path, key, follow_symlinks=False) for key in _listed(path)}
            found[inside] = (*_plain(seen), _contents(path, seen), xattrs)
    groups = sorted(sorted(set(each)) for each in names.values() if len(set(each)) > 1)
    return {"names": found, "hard links": groups}


def _plain(seen: os.stat_result) -> tuple[int, ...]:
    return seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, seen.st_rdev


def _listed(path: str) -> list[str]:
    return [name for name in os.listxattr(path, follow_symlinks=False) if name.startswith("user.")]


def _contents(path: str, seen: os.stat_result) -> bytes:
    if stat.S_ISLNK(seen.st_mode):
        return os.fsencode(os.readlink(path))
    return Path(path).read_bytes() if stat.S_ISREG(seen.st_mode) else b""


def make_tree(root: Path) -> None:
    (root / "d/empty").mkdir(parents=True)
    (root / "file").write_bytes(b"text")
    (root / "d/big").write_bytes(os.urandom(3 * MEBI + 7))
    (root / "none").write_bytes(b"")
    with (root / "holes").open("wb") as file:
        for offset in (2 * MEBI, 5 * MEBI):
            file.seek(offset)
            file.write(b"data")
        file.truncate(9 * MEBI)
    os.link(root / "file", root / "d/same")
    os.link(root / "file", root / "d/empty/third")
    os.symlink("../file", root / "d/link")
    os.symlink("/nowhere", root / "dangling")
    os.link(root / "dangling", root / "dangling-too", follow_symlinks=False)
    os.mkfifo(root / "fifo", 0o640)
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\n")).write_bytes(b"odd")
    for path, key in (("file", "user.one"), ("d", "user.of-a-directory"), ("none", "user.empty")):
        os.setxattr(root / path, key, b"" if path == "none" else b"\0value\xff")
    if IS_ROOT:
        os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.mknod(root / "socket", stat.S_IFSOCK | 0o600)
        os.chown(root / "d/big", 1234, 4321)
        os.chown(root / "d/link", 1234, 4321, follow_symlinks=False)
    os.chmod(root / "file", 0o4604)
    os.chmod(root / "none", 0o444)
    for path in ("file", "dangling", "fifo", "d/empty"):
        os.utime(root / path, ns=(11, 22_000_000_033), follow_symlinks=False)
    os.chmod(root / "d/empty", 0o555)
    os.utime(root / "d", ns=(7, 8))


async def test_a_tree_comes_out_as_it_went_in(vol: Volume, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    make_tree(source)
    count = await vol.copy_in(source, "/copy")
    out = await vol.copy_out("/copy", target)

    assert picture(target) == picture(source)
    assert out == count
    specials = 3 if IS_ROOT else 1
    assert (count.files, count.links, count.directories, count.symlinks, count.specials) == (5, 3, 3, 2, specials)
    assert count.bytes < 4 * MEBI  # the holes were not read
    assert count.failed == 0


async def test_copying_again_changes_nothing(vol: Volume, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    make_tree(source)
    if not IS_ROOT:  # who may not write to what is there already, as with cp
        os.chmod(source / "none", 0o644)
        os.chmod(source / "d/empty", 0o755)
    for _ in range(2):
        await vol.copy_in(source, "/copy")
    for _ in range(2):
        await vol.copy_out("/copy", target)

    assert picture(target) == picture(source)


async def test_a_copy_from_volume_to_volume_keeps_the_same(vol: Volume, tmp_path: Path, anyio_backend: str) -> None:
    from volgraph.copy_volume import VolumeTree
    from volgraph.copying import Copy

    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    make_tree(source)
    await vol.copy_in(source, "/copy")
    async with volgraph.open(Memory("other")) as other:
        await Copy(VolumeTree(vol), VolumeTree(other)).run("/copy", "/again")
        await other.copy_out("/again", target)

    assert picture(target) == picture(source)


async def test_what_cp_would_make_of_it_is_what_we_make(tmp_path: Path, anyio_backend: str) -> None:
    source, target, brick = tmp_path / "source", tmp_path / "target", tmp_path / "brick"
    for folder in (source, brick):
        folder.mkdir()
    make_tree(source)
    subprocess.run(["cp", "-a", source, target], check=True)
    async with volgraph.open(Posix("p", directory=str(brick))) as vol:
        await vol.copy_in(source, "/copy")

    assert picture(brick / "copy") == picture(target)


@pytest.mark.parametrize("make", [lambda folder: Memory("m"), lambda folder: Posix("p", directory=str(folder))])
async def test_a_hole_of_a_gibibyte_is_copied_without_reading_it(
    tmp_path: Path, anyio_backend: str, make: Callable[[Path], Translator]
) -> None:
    (tmp_path / "brick").mkdir()
    with (tmp_path / "hole").open("wb") as file:
        file.seek(512 * MEBI)
        file.write(b"in the middle")
        file.truncate(1024 * MEBI)
    async with volgraph.open(make(tmp_path / "brick")) as vol:
        into = await vol.copy_in(tmp_path / "hole", "/hole")
        inside = await vol.stat("/hole")
        out = await vol.copy_out("/hole", tmp_path / "back")
    back = (tmp_path / "back").stat()

    assert max(into.bytes, out.bytes) < MEBI
    assert inside.st_size == back.st_size == 1024 * MEBI
    assert max(inside.st_blocks, back.st_blocks) * 512 < MEBI
    with (tmp_path / "back").open("rb") as file:
        file.seek(512 * MEBI)
        assert file.read(20) == b"in the middle" + bytes(7)


SHAPES = st.lists(
    st.tuples(
        st.sampled_from(("file", "directory", "symlink", "link", "fifo")),
        st.binary(min_size=1, max_size=12).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b"..")),
        st.integers(0, 7),
        st.integers(0o400, 0o777),
        st.integers(0, 2**40),
    ),
    max_size=12,
)


def grow(root: Path, shape: list[tuple[str, bytes, int, int, int]]) -> None:
    """A tree as drawn: each name goes below one of the directories made so far."""
    folders, files = [os.fsencode(root)], list[bytes]()
    for kind, name, number, mode, time in shape:
        path = os.path.join(folders[number % len(folders)], name)
        if os.path.lexists(path):
            continue
        if kind == "directory":
            os.mkdir(path, mode | 0o700)
            folders.append(path)
        elif kind == "symlink":
            os.symlink(name, path)
        elif kind == "fifo":
            os.mkfifo(path, mode)
        elif kind == "link" and files:
            os.link(files[number % len(files)], path)
        else:
            with open(path, "wb") as file:
                file.seek(number * 70_000)
                file.write(name)
            os.chmod(path, mode)
            files.append(path)
        os.utime(path, ns=(time, time), follow_symlinks=False)


@pytest.mark.parametrize("kind", ["memory", "posix"])
def test_any_tree_comes_out_as_it_went_in(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    @settings(max_examples=20)
    @given(SHAPES)
    def prove(shape: list[tuple[str, bytes, int, int, int]]) -> None:
        folder = tmp_path_factory.mktemp(kind)
        for name in ("source", "brick"):
            (folder / name).mkdir()
        grow(folder / "source", shape)
        top: Translator = Memory("m") if kind == "memory" else Posix("p", directory=str(folder / "brick"))
        with volgraph.open_sync(top) as vol:
            count = vol.copy_in(folder / "source", "/t")
            assert vol.copy_out("/t", folder / "target") == count
        assert picture(folder / "target") == picture(folder / "source")

    prove()


async def test_only_root_keeps_owners_and_nobody_gives_set_id_bits_away(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    os.chmod(tmp_path / "f", 0o6755)
    seen = (tmp_path / "f").stat()
    with mock.patch("os.geteuid", return_value=seen.st_uid + 1):
        assert mode_of(seen, owned=False) == 0o755
        assert kept({"user.a": b"", "trusted.b": b""}) == {"user.a": b""}
    assert mode_of(seen, owned=True) == 0o6755
    assert kept({"trusted.gfid": b"", "trusted.afr.dirty": b"", "security.selinux": b""}) == {}
