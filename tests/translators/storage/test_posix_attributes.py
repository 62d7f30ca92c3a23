"""storage/posix: attributes, and who may have what of an object."""

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.translators.storage.bricks import AS_ROOT, fails, in_both_modes, running
from volgraph.graph import NOW_NS, ROOT_GFID, Call, Loc, NewAttributes

pytestmark = [pytest.mark.anyio, in_both_modes]


async def test_setattr_changes_what_is_named_and_nothing_else(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        gfid = await hand.file(b"f", b"12345")
        changed = await brick.setattr(Call(), Loc(gfid), NewAttributes(mode=0o600, mtime_ns=5_000_000_007))
        assert changed.post is not None
        assert stat.S_IMODE(changed.post.mode) == 0o600
        assert changed.post.mtime_ns == 5_000_000_007
        assert changed.pre is not None
        assert changed.post.atime_ns == changed.pre.atime_ns

        fd = await hand.opened(gfid)
        await brick.fsetattr(Call(), fd, NewAttributes(atime_ns=9, size=2))
        iatt = (await brick.fstat(Call(), fd)).iatt
        assert (iatt.atime_ns, iatt.size) == (9, 2)
        await brick.fsetattr(Call(), fd, NewAttributes(mtime_ns=NOW_NS))
        assert (await brick.fstat(Call(), fd)).iatt.mtime_ns > 5_000_000_007
        same = (await brick.fstat(Call(), fd)).iatt
        await brick.setattr(Call(), Loc(gfid), NewAttributes(uid=same.uid, gid=same.gid))
        folder = await hand.dir(b"d")
        changed = await brick.setattr(Call(), Loc(folder), NewAttributes(mode=0, atime_ns=3, mtime_ns=4))
        assert changed.post is not None
        assert (stat.S_IMODE(changed.post.mode), changed.post.atime_ns, changed.post.mtime_ns) == (0, 3, 4)
        await brick.rmdir(Call(), Loc(parent=ROOT_GFID, name=b"d"))
        brick.release(fd)
        with fails(errno.ESTALE):
            brick.setattr(Call(), Loc(hand.gfid()), NewAttributes(mode=0o600))


@pytest.mark.skipif(not AS_ROOT, reason="needs root, to give files away")
async def test_a_new_owner_and_a_set_user_id_mode_are_both_kept(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f")
        link = (await hand.symlink(b"l", b"f")).iatt.gfid
        changed = await hand.brick.setattr(Call(), Loc(gfid), NewAttributes(uid=7, gid=8, mode=0o4755))
        assert changed.post is not None
        assert (changed.post.uid, changed.post.gid, stat.S_IMODE(changed.post.mode)) == (7, 8, 0o4755)
        await hand.brick.setattr(Call(), Loc(link), NewAttributes(uid=9))
        assert (await hand.brick.stat(Call(), Loc(link))).iatt.uid == 9
        assert (await hand.brick.stat(Call(), Loc(gfid))).iatt.uid == 7


async def test_access_judges_by_the_callers_identity(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f", mode=0o640)
        st = (await hand.brick.stat(Call(), Loc(gfid))).iatt
        stranger = Call(uid=st.uid + 1, gid=st.gid + 1)
        member = Call(uid=st.uid + 1, gid=1, groups=(st.gid,))
        await hand.brick.access(Call(uid=st.uid, gid=st.gid), Loc(gfid), 6)
        await hand.brick.access(member, Loc(gfid), 4)
        with fails(errno.EACCES):
            hand.brick.access(member, Loc(gfid), 2)
        with fails(errno.EACCES):
            hand.brick.access(stranger, Loc(gfid), 4)
        with fails(errno.EACCES):
            hand.brick.access(Call(uid=0), Loc(gfid), 1)


async def test_statfs_tells_of_the_file_system(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        space = await hand.brick.statfs(Call(), Loc(ROOT_GFID))
        assert space.blocks == os.statvfs(tmp_path).f_blocks
        assert space.namemax == 255
