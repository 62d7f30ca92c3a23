"""features/read-only: what changes a volume gets EROFS and changes nothing; everything else passes."""

import errno
import os
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from volgraph import testing
from volgraph.graph import (
    FOPS,
    ROOT_GFID,
    ROOT_LOC,
    Call,
    Coming,
    Done,
    Fd,
    FopKind,
    Gfid,
    Graph,
    Loc,
    Translator,
    link,
)
from volgraph.testing.conformance import contracts
from volgraph.translators import Memory, ReadOnly
from volgraph.volspec import parse

pytestmark = pytest.mark.anyio

GFID = Gfid.from_text("11111111-2222-3333-4444-555555555555")
# fmt: off
REFUSED = {
    "mknod", "mkdir", "symlink", "link", "unlink", "rmdir", "rename", "create", "setattr", "fsetattr",
    "writev", "truncate", "ftruncate", "fallocate", "discard", "zerofill", "copy_file_range", "setxattr",
    "fsetxattr", "removexattr", "fremovexattr", "xattrop", "fxattrop",
}
# fmt: on


class Witness(Translator):
    """Takes every fop with any arguments, and notes its name."""

    children_allowed = (0, 0)

    def __init__(self) -> None:
        super().__init__("witness")
        self.seen: list[str] = []

    def relay(self, fop: Any, *args: Any, **kwargs: Any) -> Any:
        self.seen.append(fop.__name__)
        return Done(None)


def call(node: Translator, name: str) -> None:
    """Call a fop with as many zeros as it takes."""
    fop = getattr(node, name)
    fop(*[0] * len(signature(fop).parameters))


@pytest.mark.parametrize("name", FOPS)
def test_a_fop_is_refused_if_and_only_if_it_changes_something(name: str) -> None:
    witness = Witness()
    node = ReadOnly("ro", [witness])
    Graph(node)
    if name in REFUSED:
        with pytest.raises(OSError, match=f"ro: {name}") as caught:
            call(node, name)
        assert (caught.value.errno, witness.seen) == (errno.EROFS, [])
    else:
        call(node, name)
        assert witness.seen == [name]


def test_every_fop_of_a_changing_kind_is_refused_except_fsync() -> None:
    kinds = (FopKind.DATA, FopKind.METADATA, FopKind.ENTRY)

    assert {name for name, kind in FOPS.items() if kind in kinds} - REFUSED == {"fsync"}


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_TRUNC, os.O_CREAT, os.O_RDWR | os.O_APPEND])
async def test_a_file_opens_for_reading_alone(flags: int) -> None:
    brick = Memory("brick")
    node = ReadOnly("ro", [brick])
    async with Graph(node):
        fd = Fd(GFID, os.O_RDWR)
        where = Loc(parent=ROOT_GFID, name=b"f")
        await brick.create(Call(xdata={"gfid-req": GFID}), where, os.O_RDWR, 0o644, 0, fd)
        await brick.writev(Call(), fd, b"kept", 0)

        with pytest.raises(OSError) as caught:
            await node.open(Call(), Loc(GFID), flags, Fd(GFID, flags))
        assert caught.value.errno == errno.EROFS

        reading = Fd(GFID, os.O_RDONLY)
        await node.open(Call(), Loc(GFID), os.O_RDONLY, reading)
        assert bytes((await node.readv(Call(), reading, 99, 0)).data) == b"kept"


@pytest.mark.parametrize(("mask", "allowed"), [(0, True), (4, True), (5, True), (2, False), (6, False)])
async def test_nobody_has_the_right_to_write(mask: int, allowed: bool) -> None:
    node = ReadOnly("ro", [Memory("brick")])
    async with Graph(node):
        if allowed:
            await node.access(Call(), ROOT_LOC, mask)
        else:
            with pytest.raises(OSError) as caught:
                await node.access(Call(), ROOT_LOC, mask)
            assert caught.value.errno == errno.EROFS


async def test_a_volume_over_it_reads_and_refuses(tmp_path: Path) -> None:
    import volgraph

    (tmp_path / "f").write_bytes(b"here before")
    brick = volgraph.translators.Posix("brick", directory=str(tmp_path))
    async with volgraph.open(ReadOnly("ro", [brick])) as vol:
        assert await vol.read_bytes("/f") == b"here before"
        assert await vol.listdir("/") == ["f"]
        for change in (vol.write_bytes("/g", b""), vol.unlink("/f"), vol.mkdir("/d"), vol.chmod("/f", 0o600)):
            with pytest.raises(OSError) as caught:
                await change
            assert caught.value.errno == errno.EROFS

    assert (tmp_path / "f").read_bytes() == b"here before"


def test_switched_off_it_hands_everything_on() -> None:
    text = """
        volume brick
          type storage/memory
        end-volume
        volume ro
          type features/read-only
          option read-only off
          subvolumes brick
        end-volume
    """
    node = link(parse(text)).top

    assert isinstance(node, ReadOnly)
    assert node.read_only is False
    testing.check(lambda child: ReadOnly("ro", [child], read_only=False), only=contracts()[::10])


async def test_what_it_does_not_refuse_is_answered_as_the_child_answers() -> None:
    node = ReadOnly("ro", [Memory("brick")])
    async with Graph(node):
        assert isinstance(node.stat(Call(), ROOT_LOC), Done | Coming)
