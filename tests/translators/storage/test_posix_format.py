"""storage/posix: what stands on disk, and what a start makes of what it finds there."""

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.translators.storage.bricks import MODES, Hand, fails, in_both_modes, running
from volgraph.graph import ROOT_GFID, Call, Fd, Gfid, Loc, Seams
from volgraph.graph.disk import Disk
from volgraph.graph.pool import Pool

pytestmark = pytest.mark.anyio

with_xattrs = pytest.mark.skipif("xattr" not in MODES, reason="needs root, for trusted.* attributes")


def xattrs(path: Path) -> dict[str, bytes]:
    return {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)}


# --- the format of GlusterFS ------------------------------------------------------------------------------------------


@with_xattrs
async def test_a_new_brick_has_the_marks_of_a_glusterfs_brick(tmp_path: Path) -> None:
    async with running(tmp_path, "xattr"):
        pass
    own = tmp_path / ".glusterfs"

    assert xattrs(tmp_path) == {"trusted.gfid": ROOT_GFID}
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert os.readlink(own / "00/00/00000000-0000-0000-0000-000000000001") == "../../.."
    for folder in ("unlink", "landfill", "indices/xattrop", "indices/dirty", "00/00"):
        assert stat.S_IMODE((own / folder).stat().st_mode) == 0o700


@with_xattrs
async def test_files_symlinks_and_fifos_have_hard_links_as_handles_and_directories_have_symlinks(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, "xattr") as hand:
        folder = await hand.dir(b"d")
        inner = await hand.dir(b"inner", parent=folder)
        file = await hand.file(b"f", b"x", parent=folder)
        link = (await hand.symlink(b"l", b"f", parent=folder)).iatt.gfid
        fifo = (await hand.brick.mknod(hand.call(), Loc(parent=folder, name=b"p"), stat.S_IFIFO | 0o600, 0, 0)).iatt
        handles = {name: hand.handle(gfid) for name, gfid in (("f", file), ("l", link), ("p", fifo.gfid))}

        for name, handle in handles.items():
            st = (tmp_path / "d" / name).lstat()
            assert handle.lstat().st_ino == st.st_ino
            assert st.st_nlink == 2
        assert os.readlink(hand.handle(folder)) == "../../00/00/00000000-0000-0000-0000-000000000001/d"
        assert os.readlink(hand.handle(inner)) == f"../../{folder.text[:2]}/{folder.text[2:4]}/{folder.text}/inner"
        assert hand.handle(inner).resolve() == tmp_path / "d" / "inner"
        for path, gfid in ((tmp_path / "d", folder), (tmp_path / "d/f", file), (tmp_path / "d/l", link)):
            assert xattrs(path) == {"trusted.gfid": gfid}


@with_xattrs
async def test_the_index_holds_links_to_a_file_beside_them(tmp_path: Path) -> None:
    async with running(tmp_path, "xattr") as hand:
        gfid = await hand.file(b"f")
        await hand.brick.setxattr(Call(), Loc(gfid), {"trusted.afr.x": b"\0\0\0\1" * 3})
        index = tmp_path / ".glusterfs/indices/xattrop"
        (other,) = (name for name in os.listdir(index) if name != gfid.text)

        assert other.startswith("xattrop-")
        assert (index / other).stat().st_ino == (index / gfid.text).stat().st_ino


@with_xattrs
async def test_names_that_glusterfs_noted_on_a_file_are_kept_true(tmp_path: Path) -> None:
    xxhash = pytest.importorskip("xxhash")

    def note(gfid: Gfid, name: bytes) -> tuple[str, bytes]:
        value = gfid.text.encode() + b"/" + name
        return "trusted.gfid2path." + xxhash.xxh64_hexdigest(value, seed=0), value

    async with running(tmp_path, "xattr") as hand:
        folder = await hand.dir(b"d")
        gfid = await hand.file(b"f")
    os.setxattr(tmp_path / "f", *note(ROOT_GFID, b"f"))
    async with running(tmp_path, "xattr") as hand:
        await hand.brick.link(Call(), Loc(gfid), Loc(parent=folder, name=b"g"))
        both = dict((note(ROOT_GFID, b"f"), note(folder, b"g")))
        assert xattrs(tmp_path / "f") == {"trusted.gfid": gfid, **both}

        await hand.brick.rename(Call(), Loc(parent=ROOT_GFID, name=b"f"), Loc(parent=folder, name=b"h"))
        both = dict((note(folder, b"g"), note(folder, b"h")))
        assert xattrs(tmp_path / "d/h") == {"trusted.gfid": gfid, **both}
        assert (await hand.brick.getxattr(Call(), Loc(gfid), None)).values == {}

        await hand.brick.unlink(Call(), Loc(parent=folder, name=b"g"))
        assert xattrs(tmp_path / "d/h") == {"trusted.gfid": gfid, **dict([note(folder, b"h")])}


# --- a restart --------------------------------------------------------------------------------------------------------


async def tree(hand: Hand) -> dict[bytes, Gfid]:
    """One object of each kind, and what stands in a directory."""
    folder = await hand.dir(b"d")
    fifo = await hand.brick.mknod(hand.call(), Loc(parent=ROOT_GFID, name=b"p"), stat.S_IFIFO | 0o400, 0, 0)
    return {
        b"d": folder,
        b"d/f": await hand.file(b"f", b"contents", parent=folder, mode=0o444),
        b"d/e": await hand.dir(b"e", parent=folder, mode=0o555),
        b"l": (await hand.symlink(b"l", b"/nowhere")).iatt.gfid,
        b"p": fifo.iatt.gfid,
    }


async def found(hand: Hand, made: dict[bytes, Gfid]) -> dict[bytes, Gfid]:
    return {path: await hand.find(path.rpartition(b"/")[2], made[b"d"] if b"/" in path else ROOT_GFID) for path in made}


@in_both_modes
async def test_a_restart_finds_the_same_objects_under_the_same_gfids(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        made = await tree(hand)
        for gfid in made.values():
            await hand.brick.setxattr(Call(), Loc(gfid), {"trusted.mine": gfid})
    async with running(tmp_path) as hand:
        assert await found(hand, made) == made
        for gfid in made.values():
            assert (await hand.brick.stat(Call(), Loc(gfid))).iatt.gfid == gfid
            assert (await hand.brick.getxattr(Call(), Loc(gfid), "trusted.mine")).values == {"trusted.mine": gfid}
        assert await hand.read(made[b"d/f"]) == b"contents"


@in_both_modes
async def test_a_start_removes_files_without_a_name_and_objects_half_made(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gone, kept = await hand.file(b"gone", b"x"), await hand.file(b"kept", b"y")
        inside = await hand.file(b"inside", b"z", parent=await hand.dir(b"tree"))
    own = tmp_path / ".glusterfs"
    os.unlink(tmp_path / "gone")
    os.rename(own / gone.text[:2] / gone.text[2:4] / gone.text, own / "unlink" / gone.text)
    (own / "volgraph.new" / str(gone.text)).mkdir()
    os.symlink("x", own / "volgraph.new" / "y.handle")
    os.rename(tmp_path / "tree", own / "landfill" / "tree")
    async with running(tmp_path, mode) as hand:
        assert [os.listdir(own / folder) for folder in ("unlink", "volgraph.new", "landfill")] == [[], [], []]
        for gfid in (gone, inside):
            assert not os.path.lexists(hand.handle(gfid))
            with fails(errno.ESTALE):
                hand.brick.stat(Call(), Loc(gfid))
        assert await hand.names() == [b"kept"]
        assert await hand.read(kept) == b"y"


@in_both_modes
async def test_an_object_whose_only_link_is_its_handle_does_not_exist(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f", b"x")
        os.unlink(tmp_path / "f")
        with fails(errno.ESTALE):
            hand.brick.stat(Call(), Loc(gfid))
        with fails(errno.ENOENT):
            hand.brick.lookup(Call(), Loc(gfid))
        made = await hand.brick.mknod(Call(xdata={"gfid-req": gfid}), Loc(parent=ROOT_GFID, name=b"f"), 0o644, 0, 0)
        assert (made.iatt.gfid, made.iatt.size, made.iatt.nlink) == (gfid, 0, 1)


@in_both_modes
@pytest.mark.parametrize("kind", ["file", "symlink", "directory"])
async def test_a_maker_that_fails_at_any_step_leaves_nothing(tmp_path: Path, mode: str, kind: str) -> None:
    """ENOSPC at the n-th call that changes the disk, for every n there is."""

    class Full(Disk):
        left = 0

        def __getattribute__(self, name: str) -> object:
            if name in ("open", "mkdir", "symlink", "link", "rename", "chmod", "setxattr", "mknod") and self.left:
                self.left -= 1
                if not self.left:
                    raise OSError(errno.ENOSPC, "full")
            return object.__getattribute__(self, name)

    async def make(hand: Hand, gfid: Gfid) -> None:
        call, loc = Call(xdata={"gfid-req": gfid, "trusted.mine": b"1"}), Loc(parent=ROOT_GFID, name=b"new")
        if kind == "file":
            fd = Fd()
            await hand.brick.create(call, loc, os.O_RDWR, 0o666, 0, fd)
            hand.brick.release(fd)
        elif kind == "symlink":
            await hand.brick.symlink(call, b"target", loc, 0)
        else:
            await hand.brick.mkdir(call, loc, 0o777, 0)

    disk = Full()
    seams = Seams()
    assert isinstance(seams.blocking, Pool)
    seams.blocking.disk = disk
    async with running(tmp_path, mode, seams) as hand:
        steps = 0
        while True:
            steps += 1
            gfid = hand.gfid()
            disk.left = steps
            try:
                await make(hand, gfid)
                break
            except OSError as error:
                failed = error.errno
            disk.left = 0
            assert failed == errno.ENOSPC
            assert await hand.names() == []
            assert not os.path.lexists(hand.handle(gfid))
            assert os.listdir(tmp_path / ".glusterfs/volgraph.new") == []
        disk.left = 0
        assert steps > 3
        assert await hand.find(b"new") == gfid
        await make_again(hand, gfid)


async def make_again(hand: Hand, gfid: Gfid) -> None:
    """What is removed leaves its name and its gfid free."""
    iatt = (await hand.brick.stat(Call(), Loc(gfid))).iatt
    take = hand.brick.rmdir if iatt.is_dir else hand.brick.unlink
    await take(Call(), Loc(parent=ROOT_GFID, name=b"new"))
    made = await hand.brick.mkdir(Call(xdata={"gfid-req": gfid}), Loc(parent=ROOT_GFID, name=b"new"), 0o755, 0)
    assert made.iatt.gfid == gfid


@in_both_modes
async def test_a_crash_amid_the_rename_of_a_directory_loses_no_gfid(tmp_path: Path, mode: str) -> None:
    class Crash(Exception):
        pass

    class Dying(Disk):
        armed = False

        def rename(self, source: bytes, target: bytes, **dirs: int) -> None:  # type: ignore[override]
            os.rename(source, target, **dirs)
            if self.armed:
                raise Crash

    disk = Dying()
    seams = Seams()
    assert isinstance(seams.blocking, Pool)
    seams.blocking.disk = disk
    async with running(tmp_path, mode, seams) as hand:
        folder = await hand.dir(b"old")
        inside = await hand.file(b"f", b"x", parent=folder)
        disk.armed = True
        with pytest.raises(Crash):
            hand.brick.rename(Call(), Loc(parent=ROOT_GFID, name=b"old"), Loc(parent=ROOT_GFID, name=b"new"))
        disk.armed = False
    async with running(tmp_path, mode) as hand:
        assert await hand.names() == [b"new"]
        assert await hand.find(b"new") == folder
        assert await hand.find(b"f", folder) == inside
        assert (await hand.brick.stat(Call(), Loc(folder))).iatt.is_dir
    seams.blocking = Pool()
    seams.blocking.disk = disk
    async with running(tmp_path, mode, seams) as hand:
        assert await hand.find(b"new") == folder
        disk.armed = True
        with pytest.raises(Crash):
            hand.brick.rename(Call(), Loc(parent=ROOT_GFID, name=b"new"), Loc(parent=ROOT_GFID, name=b"newer"))
        disk.armed = False
    async with running(tmp_path, mode) as hand:
        assert await hand.find(b"newer") == folder


async def test_the_sidecar_does_without_hard_links(tmp_path: Path) -> None:
    class Linkless(Disk):
        def link(self, *args: object, **dirs: object) -> None:
            raise PermissionError(errno.EPERM, "links are refused")

    def seams() -> Seams:
        made = Seams()
        assert isinstance(made.blocking, Pool)
        made.blocking.disk = Linkless()
        return made

    async with running(tmp_path, "sidecar", seams()) as hand:
        made = await tree(hand)
        one = Fd(made[b"d/f"])
        await hand.brick.setxattr(Call(), Loc(made[b"d/f"]), {"trusted.afr.x": b"\0\0\0\1" * 3})
        assert (await hand.brick.fstat(Call(), one)).iatt.nlink == 1
        await hand.brick.rename(Call(), Loc(parent=made[b"d"], name=b"f"), Loc(parent=ROOT_GFID, name=b"g"))
        assert await hand.read(made[b"d/f"]) == b"contents"
    async with running(tmp_path, "sidecar", seams()) as hand:
        file = made.pop(b"d/f")
        assert await found(hand, made) == made
        assert await hand.find(b"g") == file
        assert await hand.read(file) == b"contents"
        assert list(hand.brick.brick.index.listed["xattrop"]) == [file]
        fd = await hand.opened(file, os.O_RDONLY)
        await hand.brick.unlink(Call(), Loc(parent=ROOT_GFID, name=b"g"))
        with fails(errno.ESTALE):
            hand.brick.stat(Call(), Loc(file))
        assert bytes((await hand.brick.readv(Call(), fd, 100, 0)).data) == b"contents"
        hand.brick.release(fd)
