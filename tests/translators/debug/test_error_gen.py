"""debug/error-gen: the chosen fops fail at the rate asked for, before the child sees them; all others are untouched."""

import errno
import os
from inspect import signature
from pathlib import Path

import pytest

from volgraph.graph import FOPS, ROOT_GFID, ROOT_LOC, Call, Done, Fd, Gfid, Graph, Loc, link
from volgraph.testing.seams import simulated
from volgraph.translators import Afr, ErrorGen, Memory
from volgraph.volspec import SpecError, parse

pytestmark = pytest.mark.anyio

GFID = Gfid.from_text("11111111-2222-3333-4444-555555555555")


async def failures(node: ErrorGen, count: int = 20) -> list[int]:
    """Which of so many stat fops fail, counted from 1."""
    failed = []
    for number in range(1, count + 1):
        try:
            await node.stat(Call(), ROOT_LOC)
        except OSError:
            failed.append(number)
    return failed


async def made(node: ErrorGen) -> Fd:
    fd = Fd(GFID, os.O_RDWR)
    await node.create(Call(xdata={"gfid-req": GFID}), Loc(parent=ROOT_GFID, name=b"f"), os.O_RDWR, 0o644, 0, fd)
    return fd


@pytest.mark.parametrize(
    ("percent", "failed"), [(0, []), (10, [10, 20]), (25, [4, 8, 12, 16, 20]), (40, [3, 5, 8, 10, 13, 15, 18, 20])]
)
async def test_failures_are_evenly_spaced(percent: float, failed: list[int]) -> None:
    node = ErrorGen("faulty", [Memory("brick")], failure=percent)
    async with Graph(node):
        assert await failures(node) == failed


async def test_the_errno_and_the_node_are_told() -> None:
    node = ErrorGen("faulty", [Memory("brick")], failure=100, error_no="ENOSPC")
    async with Graph(node):
        with pytest.raises(OSError, match="faulty: statfs") as caught:
            node.statfs(Call(), ROOT_LOC)

    assert caught.value.errno == errno.ENOSPC


async def test_a_fop_that_fails_has_changed_nothing() -> None:
    node = ErrorGen("faulty", [Memory("brick")], failure=100, enable="create")
    async with Graph(node):
        with pytest.raises(OSError):
            await made(node)
        with pytest.raises(FileNotFoundError):
            await node.lookup(Call(), Loc(parent=ROOT_GFID, name=b"f"))


@pytest.mark.parametrize("name", FOPS)
async def test_every_fop_can_fail_alone(name: str) -> None:
    node = ErrorGen("faulty", [Memory("brick")], enable={name: 100}, failure=0)
    async with Graph(node):
        with pytest.raises(OSError) as caught:
            getattr(node, name)(*[None] * len(signature(getattr(node, name)).parameters))
        assert caught.value.errno == errno.EIO
        if name != "stat":
            assert isinstance(node.stat(Call(), ROOT_LOC), Done)


async def test_fops_are_counted_each_by_itself_at_a_rate_of_its_own() -> None:
    node = ErrorGen("faulty", [Memory("brick")], failure=50, enable="stat:25,access")
    async with Graph(node):
        for _ in range(3):
            await node.stat(Call(), ROOT_LOC)
        await node.access(Call(), ROOT_LOC, 4)
        with pytest.raises(OSError):
            node.access(Call(), ROOT_LOC, 4)
        with pytest.raises(OSError):
            node.stat(Call(), ROOT_LOC)


async def test_random_failures_follow_the_seed_and_the_rate() -> None:
    async def drawn(seed: int) -> list[int]:
        node = ErrorGen("faulty", [Memory("brick")], failure=30, random_failure=True)
        async with Graph(node, simulated(seed)):
            return await failures(node, 1000)

    first = await drawn(1)
    assert await drawn(1) == first
    assert await drawn(2) != first
    assert 240 < len(first) < 360


async def test_fops_fail_only_while_the_trigger_file_exists(tmp_path: Path) -> None:
    trigger = tmp_path / "fail-now"
    node = ErrorGen("faulty", [Memory("brick")], failure=50, trigger_file=str(trigger))
    async with Graph(node):
        assert await failures(node, 3) == []
        trigger.touch()
        assert await failures(node, 4) == [2, 4]
        trigger.unlink()
        assert await failures(node, 3) == []


async def test_a_short_write_writes_the_first_half_and_says_so() -> None:
    node = ErrorGen("faulty", [Memory("brick")], failure=100, error_no="short-write")
    async with Graph(node):
        fd = await made(node)
        assert (await node.writev(Call(), fd, b"abcdef", 1)).count == 3
        assert (await node.writev(Call(), fd, memoryview(b"x"), 9)).count == 1
        assert bytes((await node.readv(Call(), fd, 99, 0)).data) == b"\0abc\0\0\0\0\0x"


async def test_a_mirror_blames_the_copy_that_wrote_short() -> None:
    mirror = Afr(
        "mirror",
        [ErrorGen("a", [Memory("a-brick")], error_no="short-write", enable="writev:100"), Memory("b")],
        quorum_type="none",
    )
    fd = Fd(GFID, os.O_RDWR)
    async with Graph(mirror) as graph:
        assert await graph.up(5)
        await mirror.create(Call(xdata={"gfid-req": GFID}), Loc(parent=ROOT_GFID, name=b"f"), os.O_RDWR, 0o644, 0, fd)
        assert (await mirror.writev(Call(), fd, b"abcdef", 0)).count == 6
        await mirror.fsync(Call(), fd)
        await mirror.flush(Call(), fd)
        mirror.release(fd)
        assert bytes((await mirror.readv(Call(), Fd(GFID), 99, 0)).data) == b"abcdef"
        (entry,) = (await mirror.pending()).pending
        assert (entry.blamed, entry.sources) == (("a",), ("b",))


FAULTY = "volume brick\n type storage/memory\nend-volume\nvolume faulty\n type debug/error-gen\n"


def linked(*lines: str) -> ErrorGen:
    text = FAULTY + "".join(f" option {line}\n" for line in lines) + " subvolumes brick\nend-volume\n"
    top = link(parse(text)).top
    assert isinstance(top, ErrorGen)
    return top


def test_a_spec_gives_every_option_in_glusterfs_spellings_too() -> None:
    node = linked("failure 2.5%", "error-no enospc", "error-fops WRITE:50%,Read,fxattrop", "random-failure on")

    assert (node.failure, node.error_no, node.random_failure) == (2.5, "ENOSPC", True)
    assert node.enable == ("writev:50", "readv", "fxattrop")
    assert linked("error-no GF_ERROR_SHORT_WRITE").error_no == "short-write"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("enable writv", "option 'enable': no fop is called 'writv': did you mean 'writev'?"),
        ("enable stat,zzzzzz", "option 'enable': no fop is called 'zzzzzz'"),
        ("enable stat:101", "option 'enable': '101' is not a percentage: write a number from 0 to 100"),
        ("enable read,readv:5", "option 'enable': 'readv' stands there twice"),
        ("error-no ENOSPCE", "option 'error-no': no errno is called 'ENOSPCE': did you mean 'ENOSPC'?"),
        ("error-no shortwrite", "option 'error-no': no errno is called 'shortwrite': did you mean 'short-write'?"),
        ("trigger-file now", "option 'trigger-file': 'now' is not an absolute path without '..'"),
        ("failure 101", "option 'failure': '101' is not a percentage: write a number from 0 to 100"),
    ],
)
def test_a_wrong_value_is_told_at_its_place_with_the_nearest_one(line: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        linked(line)

    (problem,) = caught.value.problems
    assert problem.message == message
    assert problem.position is not None
    assert (problem.position.line, problem.position.column) == (6, 10 + line.index(" "))


def test_a_short_write_of_another_fop_is_a_located_error() -> None:
    with pytest.raises(SpecError) as caught:
        linked("enable writev,fsync", "error-no short-write")

    (problem,) = caught.value.problems
    assert problem.message == "a short-write is of writev alone, not of fsync"
    assert problem.position is not None
    assert problem.position.line == 7


@pytest.mark.parametrize("wrong", [{"failure": 101}, {"enable": ["writv"]}, {"error_no": "EEIO"}, {"error_no": 9999}])
def test_a_wrong_value_is_refused_in_python_too(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        ErrorGen("faulty", [Memory("brick")], **wrong)  # type: ignore[arg-type]


def test_python_callers_may_give_the_number_of_the_errno() -> None:
    assert ErrorGen("faulty", [Memory("brick")], error_no=errno.EDQUOT).error_no == "EDQUOT"
