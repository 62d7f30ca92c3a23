"""storage/posix as an ordinary user: no trusted.* attributes, modes that bind, files that others own.

Where the tests run as root, each of these is done by a child process that has become `nobody`.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.translators.storage.bricks import AS_ROOT, fails, running
from tests.translators.storage.ordinary_user import USER, as_user, users_folder
from volgraph.graph import ROOT_GFID, Call, Fd, Loc, NewAttributes, XattropKind

HEAL = Call(pid=-6)
"""A call of the system's own."""

needs_root = pytest.mark.skipif(not AS_ROOT, reason="needs root, to make files of another owner")


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that the ordinary user owns and can reach."""
    with users_folder() as folder:
        yield folder


on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@on_both
def test_every_kind_of_object_and_mode_is_kept_with_its_gfid_and_counters(directory: Path, backend: str) -> None:
    async def scenario(directory: Path) -> None:
        made = {}
        async with running(directory) as hand:
            brick = hand.brick
            assert brick.brick.metadata.apart, "auto means sidecar"
            for mode in (0o644, 0o444, 0o400, 0o000):
                made[b"f%o" % mode] = await hand.file(b"f%o" % mode, b"data", mode=mode)
                made[b"d%o" % mode] = await hand.dir(b"d%o" % mode, mode=mode)
            made[b"d555"] = await hand.dir(b"d555", mode=0o555)
            made[b"l"] = (await hand.symlink(b"l", b"/etc/passwd")).iatt.gfid
            fifo = await brick.mknod(hand.call(), Loc(parent=ROOT_GFID, name=b"p"), stat.S_IFIFO | 0o400, 0, 0)
            made[b"p"] = fifo.iatt.gfid
            for gfid in made.values():
                await brick.xattrop(Call(), Loc(gfid), XattropKind.ADD_ARRAY, {"trusted.afr.x": b"\0\0\0\1" * 3})
            with fails(errno.EPERM):
                loc = Loc(parent=ROOT_GFID, name=b"dev")
                brick.mknod(hand.call(), loc, stat.S_IFCHR | 0o600, os.makedev(1, 3), 0)
            with fails(errno.EPERM):
                brick.setattr(Call(), Loc(made[b"f644"]), NewAttributes(uid=0))
            with fails(errno.EACCES):
                await hand.opened(made[b"f444"])
            with fails(errno.EACCES):
                brick.mkdir(hand.call(), Loc(parent=made[b"d555"], name=b"x"), 0o755, 0)
        async with running(directory) as hand:
            for name, gfid in made.items():
                assert await hand.find(name) == gfid
                iatt = (await hand.brick.stat(Call(), Loc(gfid))).iatt
                assert iatt.nlink == (2 if iatt.is_dir else 1)
                assert (await hand.brick.getxattr(Call(), Loc(gfid), "trusted.afr.x")).values
            assert set(hand.brick.brick.index.listed["xattrop"]) == set(made.values())
            for name, gfid in made.items():
                iatt = (await hand.brick.stat(Call(), Loc(gfid))).iatt
                take = hand.brick.rmdir if iatt.is_dir else hand.brick.unlink
                await take(Call(), Loc(parent=ROOT_GFID, name=name))
            assert await hand.names() == []

    as_user(backend, scenario, directory)


@on_both
def test_healing_writes_what_modes_forbid_and_leaves_the_modes_as_they_were(directory: Path, backend: str) -> None:
    async def scenario(directory: Path) -> None:
        async with running(directory) as hand:
            brick = hand.brick
            file, folder = await hand.file(b"f", b"old", mode=0o444), await hand.dir(b"d", mode=0o555)
            shut = await hand.file(b"shut", b"secret", mode=0)
            await brick.ftruncate(HEAL, Fd(file), 0)
            await brick.writev(HEAL, Fd(file), b"mended", 0)
            await brick.setxattr(HEAL, Loc(file), {"user.mine": b"1"})
            assert bytes((await brick.readv(HEAL, Fd(shut), 100, 0)).data) == b"secret"
            making = Call(pid=-6, xdata={"gfid-req": hand.gfid()})
            await brick.mkdir(making, Loc(parent=folder, name=b"made"), 0o555, 0)
            await brick.rename(HEAL, Loc(parent=folder, name=b"made"), Loc(parent=folder, name=b"moved"))

            assert await hand.read(file) == b"mended"
            assert await hand.names(folder) == [b"moved"]
            for gfid, mode in ((file, 0o444), (folder, 0o555), (shut, 0)):
                assert stat.S_IMODE((await brick.stat(Call(), Loc(gfid))).iatt.mode) == mode
            assert brick.brick.metadata.lent() == {}
            with fails(errno.EACCES):
                brick.writev(Call(pid=1), Fd(file), b"x", 0)
            with fails(errno.EACCES):
                brick.rmdir(Call(pid=1), Loc(parent=folder, name=b"moved"))
            await brick.rmdir(HEAL, Loc(parent=folder, name=b"moved"))
            assert await hand.names(folder) == []

    as_user(backend, scenario, directory)


def test_a_mode_lent_when_the_process_was_killed_is_set_back_at_the_start(directory: Path) -> None:
    async def scenario(directory: Path) -> None:
        async with running(directory) as hand:
            file, changed = await hand.file(b"f", mode=0o444), await hand.file(b"g", mode=0o444)
            for gfid in (file, changed):
                hand.brick.brick.metadata.lend(gfid, 0o444, 0o644)
        os.chmod(directory / "f", 0o644)
        os.chmod(directory / "g", 0o600)
        async with running(directory) as hand:
            for gfid, mode in ((file, 0o444), (changed, 0o600)):
                assert stat.S_IMODE((await hand.brick.stat(Call(), Loc(gfid))).iatt.mode) == mode
            assert hand.brick.brick.metadata.lent() == {}

    as_user("asyncio", scenario, directory)


@needs_root
@on_both
def test_a_file_of_another_owner_is_adopted_without_a_hard_link(directory: Path, backend: str) -> None:
    (directory / "foreign").write_bytes(b"root's")
    os.link(directory / "foreign", directory / "second name")

    async def scenario(directory: Path) -> None:
        async with running(directory) as hand:
            call = hand.call()
            gfid = (await hand.brick.lookup(call, Loc(parent=ROOT_GFID, name=b"foreign"))).iatt.gfid
            assert gfid == call.asked("gfid-req")
            assert not os.path.lexists(hand.handle(gfid))
            again = await hand.brick.lookup(hand.call(), Loc(parent=ROOT_GFID, name=b"second name"))
            assert (again.iatt.gfid, again.iatt.nlink) == (gfid, 2)
            await hand.brick.unlink(Call(), Loc(parent=ROOT_GFID, name=b"second name"))
            await hand.brick.setxattr(Call(), Loc(gfid), {"trusted.mine": b"1"})
            await hand.brick.rename(
                Call(), Loc(parent=ROOT_GFID, name=b"foreign"), Loc(parent=ROOT_GFID, name=b"renamed")
            )
        async with running(directory) as hand:
            found = await hand.brick.lookup(Call(xdata={"list-xattr": 1}), Loc(parent=ROOT_GFID, name=b"renamed"))
            assert (found.iatt.gfid, found.iatt.nlink, found.xdata) == (gfid, 1, {"trusted.mine": b"1"})
            assert await hand.read(gfid) == b"root's"
            await hand.brick.unlink(Call(), Loc(parent=ROOT_GFID, name=b"renamed"))
            with fails(errno.ESTALE):
                hand.brick.stat(Call(), Loc(gfid))

    as_user(backend, scenario, directory)


@needs_root
def test_a_brick_made_by_root_is_refused_with_the_way_to_convert_it(directory: Path) -> None:
    async def make() -> None:
        async with running(directory, "xattr") as hand:
            await hand.file(b"f")

    async def scenario(directory: Path) -> None:
        with pytest.raises(OSError, match="run as root, or to convert it"):
            async with running(directory):
                pass

    anyio.run(make)
    for path in (directory / ".glusterfs").rglob("*"):
        os.chown(path, USER.pw_uid, USER.pw_gid, follow_symlinks=False)
    os.chown(directory / ".glusterfs", USER.pw_uid, USER.pw_gid)
    as_user("asyncio", scenario, directory)


@on_both
def test_what_is_fsynced_stays_so_after_the_root_was_made_unsearchable(directory: Path, backend: str) -> None:
    """Whatever its own user does to the modes in it, an open brick goes on."""

    async def scenario(directory: Path) -> None:
        async with running(directory) as hand:
            file, folder = await hand.file(b"f"), await hand.dir(b"d")
            below = await hand.dir(b"below", folder)
            await hand.brick.setattr(Call(), Loc(ROOT_GFID), NewAttributes(mode=0o600))
            fd = await hand.opened(file)
            await hand.brick.writev(Call(), fd, b"data", 0)
            await hand.brick.setxattr(Call(), Loc(file), {"trusted.mine": b"1"})
            await hand.brick.fsync(Call(), fd)
            await hand.brick.fsyncdir(Call(), Fd(folder))
            old, new = Loc(parent=folder, name=b"below"), Loc(parent=folder, name=b"moved")
            await hand.brick.rename(Call(), old, new)  # that of a directory syncs too
            hand.brick.release(fd)
        os.chmod(directory, 0o700)
        async with running(directory) as hand:
            assert await hand.find(b"moved", folder) == below
            assert (await hand.brick.getxattr(Call(), Loc(file), "trusted.mine")).values == {"trusted.mine": b"1"}

    as_user(backend, scenario, directory)
