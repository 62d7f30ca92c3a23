"""debug/trace: one line per fop, nothing else changed."""

import logging
import os
from collections.abc import Awaitable
from typing import Any

import pytest

from volgraph.graph import (
    ROOT_GFID,
    ROOT_LOC,
    Acknowledged,
    Attributes,
    Call,
    Coming,
    Done,
    Fd,
    Flock,
    Gfid,
    Graph,
    Loc,
    LockCommand,
    LockType,
    Translator,
)
from volgraph.graph.options import read_text
from volgraph.translators import Memory, Trace

pytestmark = pytest.mark.anyio

GFID = Gfid.from_text("11111111-2222-3333-4444-555555555555")
FD = f"fd {GFID.text}"


async def made(trace: Trace, name: bytes = b"f") -> Fd:
    fd = Fd(GFID, os.O_RDWR)
    await trace.create(Call(xdata={"gfid-req": GFID}), Loc(parent=ROOT_GFID, name=name), os.O_RDWR, 0o644, 0, fd)
    return fd


async def test_a_line_names_node_fop_arguments_and_result() -> None:
    trace = Trace("watched", [Memory("brick")])
    async with Graph(trace):
        fd = await made(trace)
        await trace.writev(Call(uid=7, gid=8, lk_owner=b"\xab"), fd, b"SECRET", 3)
        await trace.getxattr(Call(), Loc(GFID), None)

    create, write, get = trace.lines
    assert create.startswith(f"watched: create(<0:0 ['gfid-req']>, {ROOT_GFID.text}/f, 2, 420, 0, {FD}) -> Made(")
    assert write.startswith(
        f"watched: writev(<7:8 owner ab>, {FD}, <6 bytes>, 3, 0) -> Written(count=6, pre={GFID.text}"
    )
    assert write.endswith(" us")
    assert "SECRET" not in write
    assert get.startswith(f"watched: getxattr(<0:0>, {GFID.text}, None) -> Xattrs()")


async def test_an_error_is_written_as_its_errno_and_raised() -> None:
    trace = Trace("t", [Memory("brick")])
    async with Graph(trace):
        with pytest.raises(FileNotFoundError):
            await trace.lookup(Call(), Loc(parent=ROOT_GFID, name=b"missing"))

    assert " -> ENOENT " in trace.lines[-1]


async def test_a_name_cannot_break_or_flood_a_line() -> None:
    trace = Trace("t", [Memory("brick")])
    async with Graph(trace):
        await made(trace, b"a\nb\xff" + b"n" * 250)
        await trace.setxattr(Call(xdata={"a\nb": 1}), Loc(GFID), {"user.x\n": b"1" * 9999, "user.y": b"2" * 9999})

    assert all("\n" not in line for line in trace.lines)
    assert all(len(line) < 1000 for line in trace.lines)
    assert "/a\\nb\\xffnnn" in trace.lines[0]
    assert "<9999 bytes>" in trace.lines[1]


async def test_a_lock_that_waits_is_written_when_it_is_granted() -> None:
    trace = Trace("t", [Memory("brick")])
    async with Graph(trace):
        await trace.inodelk(Call(lk_owner=b"a"), "d", ROOT_LOC, LockCommand.SET, Flock())
        waiting = trace.inodelk(Call(lk_owner=b"b"), "d", ROOT_LOC, LockCommand.WAIT, Flock())
        assert isinstance(waiting, Coming)
        assert len(trace.lines) == 1
        await trace.inodelk(Call(lk_owner=b"a"), "d", ROOT_LOC, LockCommand.SET, Flock(LockType.UNLOCK))
        assert await waiting == Acknowledged()

    assert [line.split("(")[0] for line in trace.lines] == ["t: inodelk"] * 3
    assert sorted("WAIT" in line for line in trace.lines) == [False, False, True]


async def test_what_was_answered_at_once_still_is() -> None:
    trace = Trace("t", [Memory("brick")])
    async with Graph(trace):
        assert isinstance(trace.stat(Call(), ROOT_LOC), Done)


async def test_a_child_that_is_a_coroutine_is_traced_too() -> None:
    class Slow(Translator):
        async def stat(self, call: Call, loc: Loc) -> Attributes:
            return await self.child.stat(call, loc)

        async def access(self, call: Call, loc: Loc, mask: int) -> Acknowledged:
            raise PermissionError(13, "no")

    trace = Trace("t", [Slow("slow", [Memory("brick")])])
    async with Graph(trace):
        answer: Awaitable[Any] = trace.stat(Call(), ROOT_LOC)
        assert not trace.lines
        await answer
        with pytest.raises(PermissionError):
            await trace.access(Call(), ROOT_LOC, 4)

    assert [line.split(" -> ")[1].split()[0] for line in trace.lines] == [
        f"Attributes(iatt={ROOT_GFID.text})",
        "EACCES",
    ]


async def test_history_is_bounded_and_lines_go_to_the_logger(caplog: pytest.LogCaptureFixture) -> None:
    trace = Trace("t", [Memory("brick")], history=2, log_level="info")
    caplog.set_level(logging.INFO, "volgraph.trace")
    async with Graph(trace):
        for _ in range(5):
            await trace.stat(Call(), ROOT_LOC)

    assert len(trace.lines) == 2
    assert [record.levelno for record in caplog.records] == [logging.INFO] * 5
    assert caplog.messages[-1] == trace.lines[-1]


@pytest.mark.parametrize(
    ("filters", "written"),
    [
        ({"include_ops": "stat,access"}, ["stat", "access"]),
        ({"exclude_ops": ["stat"]}, ["statfs", "access"]),
        ({"include_ops": "stat,access", "exclude_ops": "ACCESS"}, ["stat"]),
    ],
)
async def test_filters_choose_which_fops_are_written(filters: dict[str, Any], written: list[str]) -> None:
    trace = Trace("t", [Memory("brick")], **filters)
    async with Graph(trace):
        assert isinstance(trace.stat(Call(), ROOT_LOC), Done)
        await trace.statfs(Call(), ROOT_LOC)
        await trace.access(Call(), ROOT_LOC, 4)

    assert [line.split()[1].split("(")[0] for line in trace.lines] == written


def test_a_filter_with_an_unknown_fop_names_the_nearest_one() -> None:
    fields, wrong = read_text(Trace, {"include-ops": "lookup,writve", "exclude-ops": "read"})

    assert fields == {"exclude_ops": ("readv",)}
    assert wrong["include-ops"].message == ("option 'include-ops': no fop is called 'writve': did you mean 'writev'?")
    assert wrong["include-ops"].in_value
