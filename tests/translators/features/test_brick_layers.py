"""features/locks and features/index: stock volfiles load, and the layers vanish."""

import pytest

from volgraph.graph import FOPS, Graph, link
from volgraph.translators import Index, Locks, Memory
from volgraph.volspec import parse

BRICK = """
volume brick
  type storage/memory
end-volume
volume locks
  type {locks}
  option notify-contention yes
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


@pytest.mark.parametrize("layer", [Locks, Index])
def test_every_fop_is_the_childs_own_once_linked(layer: type[Locks | Index]) -> None:
    brick = Memory("brick")
    graph = Graph(layer("layer", [brick]))

    assert all(getattr(graph.top, fop) == getattr(brick, fop) for fop in FOPS)
