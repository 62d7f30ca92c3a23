"""The sidecar's database: which layouts of it are opened, and what is said of others."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.translators.storage.bricks import fails, running
from volgraph.graph import ROOT_GFID, Call, Loc
from volgraph.translators.storage.posix.sidecar import FILE_NAME, FORMAT

pytestmark = pytest.mark.anyio


@contextmanager
def database(brick: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(brick / ".glusterfs" / "volgraph.sidecar", isolation_level=None)) as opened:
        yield opened


async def test_a_new_database_says_its_format(tmp_path: Path) -> None:
    async with running(tmp_path, "sidecar"):
        pass
    with database(tmp_path) as opened:
        assert opened.execute("PRAGMA user_version").fetchone() == (FORMAT,)


@pytest.mark.parametrize("renamed", [False, True], ids=["present names", "earlier names"])
async def test_a_database_without_a_number_keeps_its_objects_and_gets_one(tmp_path: Path, renamed: bool) -> None:
    """The first ones had none, and the very first other names for two columns."""
    async with running(tmp_path, "sidecar") as hand:
        folder, file = await hand.dir(b"d"), await hand.file(b"f")
        await hand.brick.setxattr(Call(), Loc(file), {"trusted.mine": b"1"})
    with database(tmp_path) as opened:
        opened.execute("PRAGMA user_version = 0")
        if renamed:
            opened.execute("ALTER TABLE objects RENAME COLUMN other_parent TO next_parent")
            opened.execute("ALTER TABLE objects RENAME COLUMN other_name TO next_name")
    async with running(tmp_path, "sidecar") as hand:
        assert await hand.find(b"d") == folder
        assert (await hand.brick.getxattr(Call(), Loc(file), "trusted.mine")).values == {"trusted.mine": b"1"}
        await hand.brick.rename(hand.call(), *(Loc(parent=ROOT_GFID, name=name) for name in (b"d", b"e")))
    with database(tmp_path) as opened:
        assert opened.execute("PRAGMA user_version").fetchone() == (FORMAT,)


async def test_a_database_of_a_later_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with running(tmp_path, "sidecar"):
        pass
    with database(tmp_path) as opened:
        opened.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(OSError, match="open the brick with the version that made it") as caught:
        async with running(tmp_path, "sidecar"):
            pass
    assert caught.value.errno == errno.EINVAL
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("table", ["objects", "xattrs", "lent"])
async def test_a_database_that_has_lost_a_table_is_refused_with_what_to_do(tmp_path: Path, table: str) -> None:
    async with running(tmp_path, "sidecar"):
        pass
    with database(tmp_path) as opened:
        opened.execute(f"DROP TABLE {table}")
    with pytest.raises(OSError, match=f"damaged .it has no table {table}.: put it back from a backup") as caught:
        async with running(tmp_path, "sidecar"):
            pass
    assert caught.value.errno == errno.EUCLEAN
    assert str(tmp_path) in str(caught.value)


async def test_what_is_no_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with running(tmp_path, "sidecar"):
        pass
    (tmp_path / ".glusterfs" / FILE_NAME).write_bytes(b"garbage" * 1000)
    with pytest.raises(OSError, match=r"damaged .file is not a database.: put it back from a backup") as caught:
        async with running(tmp_path, "sidecar"):
            pass
    assert caught.value.errno == errno.EUCLEAN


async def test_a_database_of_other_tables_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with running(tmp_path, "sidecar"):
        pass
    with database(tmp_path) as opened:
        opened.executescript("PRAGMA user_version = 0; DROP TABLE objects; CREATE TABLE objects (other);")
    with fails(errno.EINVAL):
        async with running(tmp_path, "sidecar"):
            pass
    with database(tmp_path) as opened:
        assert [row[1] for row in opened.execute("PRAGMA table_info(objects)")] == ["other"]
