"""storage/posix: extended attributes, counters and the heal index, and the keys of a lookup."""

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.translators.storage.bricks import fails, in_both_modes, running
from volgraph.graph import ROOT_GFID, Call, EntryLockCommand, Fd, Flock, Loc, LockCommand, LockType, XattropKind
from volgraph.translators.storage.heal_index import DIRTY_INDEX_GFID, XATTROP_INDEX_GFID

pytestmark = [pytest.mark.anyio, in_both_modes]


async def test_xattrs_are_set_listed_and_removed_on_every_kind_of_object(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        read_only = await hand.file(b"f", mode=0o444)
        folder = await hand.dir(b"d")
        link = (await hand.symlink(b"l", b"f")).iatt.gfid
        fifo = (await brick.mknod(hand.call(), Loc(parent=ROOT_GFID, name=b"p"), stat.S_IFIFO | 0o600, 0, 0)).iatt.gfid
        for gfid in (read_only, folder, link, fifo):
            loc = Loc(gfid)
            await brick.setxattr(Call(), loc, {"trusted.one": b"1", "trusted.two": b""})
            assert (await brick.getxattr(Call(), loc, None)).values == {"trusted.one": b"1", "trusted.two": b""}
            assert (await brick.getxattr(Call(), loc, "trusted.two")).values == {"trusted.two": b""}
            await brick.removexattr(Call(), loc, "trusted.one")
            with fails(errno.ENODATA):
                brick.getxattr(Call(), loc, "trusted.one")
            with fails(errno.ENODATA):
                brick.removexattr(Call(), loc, "trusted.one")
            with fails(errno.EEXIST):
                brick.setxattr(Call(), loc, {"trusted.two": b"2"}, os.XATTR_CREATE)
            with fails(errno.ENODATA):
                brick.setxattr(Call(), loc, {"trusted.one": b"2"}, os.XATTR_REPLACE)
        await brick.setxattr(Call(), Loc(folder), {"user.mine": b"kept on the object"})
        assert os.getxattr(tmp_path / "d", "user.mine") == b"kept on the object"
        with fails(errno.ESTALE):
            brick.getxattr(Call(), Loc(hand.gfid()), None)
        with fails(errno.EOPNOTSUPP):
            brick.setxattr(Call(), Loc(folder), {"nonsense": b"1"})


async def test_the_gfid_can_be_neither_seen_nor_changed_as_an_attribute(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f")
        await hand.brick.setxattr(Call(), Loc(gfid), {"trusted.gfid": bytes(16), "trusted.x": b"1"})
        asked = Call(xdata={"trusted.gfid": 1, "list-xattr": 1})
        found = await hand.brick.lookup(asked, Loc(parent=ROOT_GFID, name=b"f"))
        assert found.iatt.gfid == gfid
        assert found.xdata == {"trusted.x": b"1"}
        with fails(errno.ENODATA):
            hand.brick.getxattr(Call(), Loc(gfid), "trusted.gfid")
        with fails(errno.EPERM):
            hand.brick.removexattr(Call(), Loc(gfid), "trusted.gfid")


async def test_xattrop_adds_and_answers_the_new_value(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick, key = hand.brick, "trusted.afr.other"
        gfid = await hand.file(b"f")
        one, minus = b"\0\0\0\1" * 3, b"\xff\xff\xff\xff" * 3
        added = await brick.xattrop(Call(), Loc(gfid), XattropKind.ADD_ARRAY, {key: one})
        assert added.values == {key: one}
        fd = await hand.opened(gfid)
        added = await brick.fxattrop(Call(), fd, XattropKind.ADD_ARRAY, {key: one, "trusted.afr.dirty": bytes(12)})
        assert added.values == {key: b"\0\0\0\2" * 3, "trusted.afr.dirty": bytes(12)}
        assert added.post is not None
        brick.release(fd)
        assert (await brick.getxattr(Call(), Loc(gfid), None)).values == {key: b"\0\0\0\2" * 3}
        for _ in range(2):
            await brick.xattrop(Call(), Loc(gfid), XattropKind.ADD_ARRAY, {key: minus})
        assert (await brick.getxattr(Call(), Loc(gfid), key)).values == {key: bytes(12)}
        with fails(errno.EINVAL):
            brick.xattrop(Call(), Loc(gfid), XattropKind.ADD_ARRAY, {"trusted.y": b"\0\0\0\1", key: one * 2})
        with fails(errno.ENODATA):
            brick.getxattr(Call(), Loc(gfid), "trusted.y")


@pytest.mark.parametrize(
    ("kind", "stored", "sent", "answer", "kept"),
    [
        (XattropKind.ADD_ARRAY64, b"\0" * 7 + b"\5", b"\0" * 7 + b"\2", b"\0" * 7 + b"\7", b"\0" * 7 + b"\7"),
        (XattropKind.GET_AND_SET, b"old", b"new", b"old", b"new"),
        (XattropKind.ADD_ARRAY_WITH_DEFAULT, None, b"\0\0\0\1\0\0\0\7", b"\0\0\0\10", b"\0\0\0\10"),
        (XattropKind.ADD_ARRAY_WITH_DEFAULT, b"\0\0\0\2", b"\0\0\0\1\0\0\0\7", b"\0\0\0\3", b"\0\0\0\3"),
    ],
)
async def test_xattrop_adds_long_counters_exchanges_and_adds_with_a_default(
    tmp_path: Path, mode: str, kind: XattropKind, stored: bytes | None, sent: bytes, answer: bytes, kept: bytes
) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.dir(b"d")
        if stored is not None:
            await hand.brick.setxattr(Call(), Loc(gfid), {"trusted.k": stored})
        assert (await hand.brick.xattrop(Call(), Loc(gfid), kind, {"trusted.k": sent})).values == {"trusted.k": answer}
        assert (await hand.brick.getxattr(Call(), Loc(gfid), "trusted.k")).values == {"trusted.k": kept}


async def test_the_heal_index_lists_exactly_what_bears_a_counter(tmp_path: Path, mode: str) -> None:
    one, minus = b"\0\0\0\1" * 3, b"\xff\xff\xff\xff" * 3
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        file, folder = await hand.file(b"f"), await hand.dir(b"d")
        root = Loc(ROOT_GFID)
        keys = ("glusterfs.xattrop_index_gfid", "glusterfs.xattrop_dirty_gfid")
        assert [(await brick.getxattr(Call(), root, key)).values[key] for key in keys] == [
            XATTROP_INDEX_GFID,
            DIRTY_INDEX_GFID,
        ]
        add = XattropKind.ADD_ARRAY
        await brick.xattrop(Call(), Loc(file), add, {"trusted.afr.a": one, "trusted.afr.b": one})
        await brick.xattrop(Call(), Loc(folder), add, {"trusted.afr.dirty": one})
        await brick.setxattr(Call(), Loc(folder), {"trusted.afr.m.volgraph-id": one})

        assert [entry.name for entry in await hand.entries(XATTROP_INDEX_GFID)] == [file.text.encode()]
        assert [entry.name for entry in await hand.entries(DIRTY_INDEX_GFID)] == [folder.text.encode()]
        asked = Call(xdata={"link-count": "glusterfs.xattrop_index_count"})
        assert (await brick.lookup(asked, root)).xdata == {"link-count": 1}
        assert (tmp_path / ".glusterfs/indices/xattrop" / file.text).exists()

        await brick.xattrop(Call(), Loc(file), add, {"trusted.afr.a": minus})
        assert len(await hand.entries(XATTROP_INDEX_GFID)) == 1, "the other counter keeps it"
        await brick.removexattr(Call(), Loc(file), "trusted.afr.b")
        assert await hand.entries(XATTROP_INDEX_GFID) == []
        await brick.xattrop(Call(), Loc(file), add, {"trusted.afr.a": one})

    async with running(tmp_path, mode) as hand:
        fd = Fd(XATTROP_INDEX_GFID)
        await hand.brick.opendir(Call(), Loc(XATTROP_INDEX_GFID), fd)
        names = [entry.name for entry in (await hand.brick.readdir(Call(), fd, 1 << 20, 0)).entries]
        hand.brick.release(fd)
        assert names == [file.text.encode()], "it is there after a restart"
        await hand.brick.unlink(Call(), Loc(parent=XATTROP_INDEX_GFID, name=names[0]))
        assert await hand.entries(XATTROP_INDEX_GFID) == []
        with fails(errno.ENOENT):
            hand.brick.unlink(Call(), Loc(parent=XATTROP_INDEX_GFID, name=names[0]))
        with fails(errno.EPERM):
            hand.brick.mkdir(hand.call(), Loc(parent=XATTROP_INDEX_GFID, name=b"x"), 0o755, 0)
        await hand.brick.rmdir(Call(), Loc(parent=ROOT_GFID, name=b"d"))
        assert await hand.entries(DIRTY_INDEX_GFID) == [], "what is removed needs no healing"


async def test_lookup_answers_the_keys_asked_for(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        gfid = await hand.file(b"f", b"small")
        await brick.setxattr(Call(), Loc(gfid), {"trusted.afr.a": bytes(12), "trusted.b": b"2"})
        fd = await hand.opened(gfid)
        me = Call(client="c", lk_owner=b"1")
        await brick.inodelk(me, "dom", Loc(gfid), LockCommand.SET, Flock(LockType.WRITE))
        await brick.entrylk(me, "dom", Loc(ROOT_GFID), b"f", EntryLockCommand.TRY, LockType.WRITE)
        asked = Call(
            xdata={
                "trusted.afr.a": 12,
                "trusted.none": 1,
                "trusted.b*": 1,
                "glusterfs.open-fd-count": 1,
                "glusterfs.inodelk-count": 1,
                "glusterfs.inodelk-dom-count": "other",
                "glusterfs.entrylk-count": 1,
                "glusterfs.parent-entrylk": 1,
                "glusterfs.content": 5,
                "never.heard.of": 1,
            }
        )
        expected = {
            "trusted.afr.a": bytes(12),
            "trusted.b": b"2",
            "glusterfs.open-fd-count": 1,
            "glusterfs.inodelk-count": 1,
            "glusterfs.inodelk-dom-count": 0,
            "glusterfs.entrylk-count": 0,
            "glusterfs.parent-entrylk": 1,
            "glusterfs.content": b"small",
        }
        assert (await brick.lookup(asked, Loc(parent=ROOT_GFID, name=b"f"))).xdata == expected
        (entry,) = await hand.entries(ROOT_GFID, asked)
        assert entry.xdata == expected
        brick.release(fd)
        small = Call(xdata={"glusterfs.content": 4})
        assert (await brick.lookup(small, Loc(gfid))).xdata is None
