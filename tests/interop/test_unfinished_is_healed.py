"""What a killed client left half done on two copies is healed, whosever client it was, by either healer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import volgraph
from tests.acceptance.brick_contents import contents, differences, marks
from tests.interop.gfapi import require_gfapi
from tests.interop.histories import brick_and_client_killed_in_the_midst, client_killed_after_writes
from tests.interop.mirrors import Mirror, Play, mirror
from tests.interop.real_gluster import Gluster, require_gluster, wait_until
from tests.interop.sessions import Kind
from tests.interop.volfiles import Option, heal_daemon_volfile, replicate_volfile

pytestmark = pytest.mark.interop

SECONDS = 60.0
ANNOUNCED: dict[str, Option] = {"optimistic-change-log": "off", "self-heal-daemon": "off"}
NOT_BY_THE_DAEMON = ("rename-over", "rename-directory", "rename-directory-over")
"""Half done renames that GlusterFS's healer leaves as they are, also those of its own client: two objects at one name,
and a directory at two places."""

History = Callable[[Play], None]


@pytest.fixture(params=[client_killed_after_writes, brick_and_client_killed_in_the_midst])
def history(request: pytest.FixtureRequest, tmp_path: Path) -> History:
    require_gluster(tmp_path)
    require_gfapi()
    found: History = request.param
    return found


@contextmanager
def left_by(writer: Kind, history: History, folder: Path) -> Iterator[Mirror]:
    """All bricks are back, and there are marks on them."""
    with mirror(folder / "bricks", 2, troubled=history is brick_and_client_killed_in_the_midst) as where:
        history(Play(writer, where, "top", dict(ANNOUNCED)))
        where.mend()
        assert counters(where)
        yield where


def heal(where: Mirror) -> None:
    spec = where.folder / "heal.vol"
    spec.write_text(replicate_volfile([brick.remote for brick in where.bricks]))
    with volgraph.open_sync(spec) as volume:
        assert volume.heal().clean
    assert [mark for directory in where.directories for mark in marks(directory)] == []
    assert differences(*map(contents, where.directories)) == []


def counters(where: Mirror) -> list[str]:
    """Without those that the daemon leaves."""
    found = [mark for directory in where.directories for mark in marks(directory) if "trusted.afr" in mark]
    return [mark for mark in found if not any(f"/top/{place}" in mark for place in NOT_BY_THE_DAEMON)]


def test_we_heal_what_a_killed_client_of_glusterfs_left(history: History, tmp_path: Path) -> None:
    with left_by("theirs", history, tmp_path) as where:
        heal(where)


def test_the_real_daemon_heals_what_our_killed_client_left(history: History, tmp_path: Path, gluster: Gluster) -> None:
    """The daemon must compare all names of a directory: a granular one looks at those alone that are on a list, which
    our clients do not write, and takes the mark back."""
    with left_by("ours", history, tmp_path) as where:
        spec = heal_daemon_volfile([brick.remote for brick in where.bricks])
        every_name = "granular-entry-heal off\n    option heal-timeout 5"
        daemon = gluster.heal_daemon("shd", spec.replace("granular-entry-heal on", every_name))
        wait_until(lambda: not counters(where), "the daemon has healed what it can", SECONDS)
        daemon.stop()
        wrong = differences(*map(contents, where.directories))
        assert [each for each in wrong if not any(f"top/{place}/" in each for place in NOT_BY_THE_DAEMON)] == []
        heal(where)
