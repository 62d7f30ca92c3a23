"""What healers of GlusterFS ask in ways of their own, put into ordinary fops."""

import struct
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest

from volgraph.graph import ROOT_GFID, ROOT_LOC, Call, Fd, Graph, Loc, Translator, XattropKind
from volgraph.graph.types import Gfid
from volgraph.translators import Memory, Posix
from volgraph.translators.protocol.healers import ANSWERS

pytestmark = pytest.mark.anyio

FILE = Gfid(b"f" * 16)
DIRECTORY = Gfid(b"d" * 16)
BLAME = "trusted.afr.mirror-client-1"


@pytest.fixture(params=["memory", "posix"])
async def brick(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Translator]:
    """With a directory `d` and a file `f` in the root."""
    node: Translator = Memory("m") if request.param == "memory" else Posix("p", directory=str(tmp_path))
    async with Graph(node):
        await node.mkdir(making(DIRECTORY), Loc(parent=ROOT_GFID, name=b"d"), 0o755, 0)
        await node.mknod(making(FILE), Loc(parent=ROOT_GFID, name=b"f"), 0o100644, 0, 0)
        yield node


def making(gfid: Gfid, **more: Any) -> Call:
    return Call(xdata={"gfid-req": gfid, **more})


async def ask(fop: str, brick: Translator, call: Call, *args: Any) -> Any:
    answer = ANSWERS[fop](brick, call, args)
    assert answer is not None
    return await answer


async def test_without_a_name_the_attributes_named_in_xdata_are_removed(brick: Translator) -> None:
    values = {"user.one": b"1", "user.two": b"2", "user.three": b"3"}
    await brick.setxattr(Call(), Loc(FILE), values)

    await ask("removexattr", brick, Call(xdata={"user.one": b"1", "user.gone": b"", "user.three": b"3"}), Loc(FILE), "")

    assert set((await brick.getxattr(Call(), Loc(FILE), None)).values) == {"user.two"}


async def test_without_a_name_and_without_xdata_nothing_is_removed(brick: Translator) -> None:
    await brick.setxattr(Call(), Loc(FILE), {"user.one": b"1"})

    await ask("removexattr", brick, Call(), Loc(FILE), "")

    assert set((await brick.getxattr(Call(), Loc(FILE), None)).values) == {"user.one"}


async def test_a_file_that_has_another_name_already_gets_one_more(brick: Translator) -> None:
    new = Loc(parent=DIRECTORY, name=b"moved here")

    await ask("mknod", brick, making(FILE, **{"glusterfs-internal-fop": b"yes"}), new, 0o100644, 0, 0)

    found = await brick.lookup(Call(), new)
    assert (found.iatt.gfid, found.iatt.nlink) == (FILE, 2)


async def test_a_name_that_is_taken_stays_what_it_is(brick: Translator) -> None:
    taken = Loc(parent=ROOT_GFID, name=b"d")

    with pytest.raises(FileExistsError):
        await ask("mknod", brick, making(FILE, **{"glusterfs-internal-fop": b"yes"}), taken, 0o100644, 0, 0)

    assert (await brick.lookup(Call(), taken)).iatt.gfid == DIRECTORY


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ((0, 0, 1), (1, 0, 1)),  # a healer that looks only at listed names would find none
        ((1, 1, 1), (1, 1, 1)),
        ((1, 0, 0), (1, 0, 0)),
        ((0, 1, 0), (0, 1, 0)),
    ],
)
async def test_blame_for_names_is_blame_for_all_names(
    brick: Translator, sent: tuple[int, ...], stored: tuple[int, ...]
) -> None:
    values = {BLAME: struct.pack(">3i", *sent), "trusted.afr.dirty": struct.pack(">3i", 0, 0, 1)}

    reply = await ask("xattrop", brick, Call(), Loc(DIRECTORY), XattropKind.ADD_ARRAY, values)

    assert reply.values == {BLAME: struct.pack(">3i", *stored), "trusted.afr.dirty": values["trusted.afr.dirty"]}


async def test_what_is_said_of_a_move_is_stored_as_it_is_sent(brick: Translator) -> None:
    values = {f"{BLAME}.volgraph-moved": struct.pack(">3i", 0, 0, 1)}

    reply = await ask("xattrop", brick, Call(), Loc(DIRECTORY), XattropKind.ADD_ARRAY, values)

    assert reply.values == values


async def test_blame_is_taken_back_as_it_is_sent(brick: Translator) -> None:
    def add(*counters: int) -> Awaitable[Any]:
        values = {BLAME: struct.pack(">3i", *counters)}
        return ask("xattrop", brick, Call(), Loc(DIRECTORY), XattropKind.ADD_ARRAY, values)

    await add(0, 0, 2)
    await add(-2, 0, -2)

    assert not any((await brick.getxattr(Call(), Loc(DIRECTORY), BLAME)).values[BLAME])


@pytest.mark.parametrize(
    ("fop", "args"),
    [
        ("removexattr", (Loc(FILE), "user.one")),
        ("mknod", (Loc(parent=ROOT_GFID, name=b"new"), 0o100644, 0, 0)),
        ("xattrop", (Loc(FILE), XattropKind.ADD_ARRAY, {"user.count": bytes(12)})),
    ],
)
def test_an_ordinary_call_is_left_alone(fop: str, args: tuple[Any, ...]) -> None:
    assert ANSWERS[fop](Memory("m"), making(FILE), args) is None


async def test_a_brick_tells_a_healer_where_it_is(tmp_path: Path) -> None:
    brick = Posix("p", directory=str(tmp_path))
    async with Graph(brick):
        place = (await brick.getxattr(Call(), ROOT_LOC, "trusted.glusterfs.pathinfo")).values
        await brick.mknod(making(FILE), Loc(parent=ROOT_GFID, name=b"f"), 0o100644, 0, 0)
        path = (await brick.getxattr(Call(), Loc(FILE), "glusterfs.gfid2path")).values

    assert place["trusted.glusterfs.pathinfo"].startswith(b"<POSIX(%b):" % bytes(tmp_path))
    assert path == {"glusterfs.gfid2path": f"<gfid:{FILE.text}>".encode()}


async def test_the_index_of_changed_names_is_there_and_empty(brick: Translator) -> None:
    key = "glusterfs.xattrop_entry_changes_gfid"
    await brick.xattrop(Call(), Loc(DIRECTORY), XattropKind.ADD_ARRAY, {BLAME: struct.pack(">3i", 1, 0, 1)})

    gfid = Gfid((await brick.getxattr(Call(), ROOT_LOC, key)).values[key])

    fd = Fd(gfid, is_dir=True)
    await brick.opendir(Call(), Loc(gfid), fd)

    assert (await brick.readdir(Call(), fd, 4096, 0)).entries == []
    assert gfid == (await brick.lookup(Call(), Loc(gfid))).iatt.gfid
    brick.release(fd)
