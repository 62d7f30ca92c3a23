"""features/locks and features/index: stock volfiles load, and the layers vanish."""

import pytest

from volgraph.graph import (
    FOPS,
    ROOT_LOC,
    Call,
    Contention,
    Event,
    Flock,
    Graph,
    LockCommand,
    Seams,
    Translator,
    link,
)
from volgraph.graph.seams import Clock
from volgraph.translators import Index, Locks, Memory
from volgraph.volspec import parse

BRICK = """
volume brick
  type storage/memory
end-volume
volume locks
  type {locks}
  option notify-contention yes
  option notify-contention-delay 2
  option mandatory-locking off
  subvolumes brick
end-volume
volume index
  type features/index
  option index-base /srv/a/.glusterfs/indices
  option xattrop-pending-watchlist trusted.afr.vol-
  subvolumes locks
end-volume
"""


@pytest.mark.parametrize("locks", ["features/locks", "features/posix-locks"])
def test_the_options_of_a_stock_volfile_are_accepted(locks: str) -> None:
    graph = link(parse(BRICK.format(locks=locks)))

    assert [type(node) for node in graph.nodes] == [Memory, Locks, Index]


@pytest.mark.anyio
@pytest.mark.parametrize("notices", [True, False])
async def test_the_brick_does_as_the_options_of_its_locks_say(notices: bool) -> None:
    heard: list[float] = []

    class Top(Translator):
        def notify(self, event: Event) -> None:
            if isinstance(event, Contention):
                heard.append(clock.now)
            else:
                super().notify(event)

    brick, clock = Memory("brick"), Standing()
    top = Top("top", [Locks("locks", [brick], notify_contention=notices, notify_contention_delay=2)])
    async with Graph(top, Seams(clock=clock)):
        await top.inodelk(Call(lk_owner=b"a"), "d", ROOT_LOC, LockCommand.SET, Flock())
        for clock.now in (0.0, 1.9, 2.0, 3.0, 4.0):
            with pytest.raises(BlockingIOError):
                await top.inodelk(Call(lk_owner=b"b"), "d", ROOT_LOC, LockCommand.SET, Flock())
    assert heard == ([0.0, 2.0, 4.0] if notices else [])


class Standing(Clock):
    """A clock that is set by hand."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize("layer", [Locks, Index])
def test_every_fop_is_the_childs_own_once_linked(layer: type[Locks | Index]) -> None:
    brick = Memory("brick")
    graph = Graph(layer("layer", [brick]))

    assert all(getattr(graph.top, fop) == getattr(brick, fop) for fop in FOPS)
