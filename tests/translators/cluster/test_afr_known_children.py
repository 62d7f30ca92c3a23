"""An afr knows its children: what is not one of its copies takes no part, and deletes and overwrites nothing."""

from __future__ import annotations

import errno
import itertools
import logging
from typing import Any

import anyio
import pytest

import volgraph
from tests.translators.cluster.bench import Gate, Switch, afr_of
from tests.translators.cluster.identity_bench import KEY, NAMES, disks, identity, mirror, used
from volgraph.graph import (
    ROOT_GFID,
    ROOT_LOC,
    Acknowledged,
    Call,
    ChildChanged,
    Done,
    Graph,
    NewAttributes,
    State,
    Translator,
    fail,
    link,
)
from volgraph.translators.cluster.afr import Afr, known_children
from volgraph.translators.cluster.afr.identities import NOBODY, Admission, Identity, admit
from volgraph.translators.cluster.unify import Unify
from volgraph.translators.storage.memory import Memory, MemoryStore
from volgraph.volspec import parse

pytestmark = pytest.mark.anyio

# --- first use -------------------------------------------------------------------------------------------------------


async def test_at_first_use_each_child_gets_its_own_id_and_those_of_all() -> None:
    stores = disks(3)
    async with mirror(stores) as bench:
        assert bench.top.state is State.UP
        assert afr_of(bench).up == {0, 1, 2}
        found = [identity(store) for store in stores]
        assert len({each.own for each in found if each is not None}) == 3
        for number, each in enumerate(found):
            assert each is not None
            assert each.own == each.everyone[number] != NOBODY
            assert each.everyone == tuple(other.own for other in found if other is not None)
        assert bench.marks() == [{}, {}, {}], "an id is no mark"


async def test_at_first_use_nothing_is_done_before_every_child_is_there_and_it_says_who_is_missing() -> None:
    stores = disks(2)
    async with mirror(stores, off=[1]) as bench:
        assert bench.top.state is State.DOWN
        assert bench.top.down_reason == "first use needs every child: b1 down"
        with pytest.raises(OSError) as caught:
            await bench.write("f", b"x")
        assert caught.value.errno == errno.ENOTCONN
        assert [identity(store) for store in stores] == [None, None]
        bench.switches[1].turn(True)

        await bench.write("f", b"x")
        assert bench.images_equal()


@pytest.mark.parametrize("written", range(4))
async def test_a_first_use_that_was_killed_is_ended_by_the_next_client(written: int) -> None:
    """After any number of the writes of a first use."""
    stores = disks(3)
    left = itertools.count(1)

    def dies(name: str, args: tuple[Any, ...]) -> OSError | None:
        return fail(errno.ENOTCONN) if name == "setxattr" and next(left) > written else None

    bricks = [Memory(f"m{number}", store=store) for number, store in enumerate(stores)]
    switches = [Switch(f"b{number}", (brick,), refuse=dies) for number, brick in enumerate(bricks)]
    async with Graph(Afr("mirror", switches)) as graph:
        assert (graph.top.state is State.UP) == (written == 3), "two of three know each other by then"
    assert sum(identity(store) is not None for store in stores) == min(written, 3)

    async with mirror(stores) as bench:
        assert afr_of(bench).up == {0, 1, 2}
        await bench.write("f", b"x")
        assert bench.images_equal()


@pytest.mark.parametrize("child", [0, 1])
@pytest.mark.parametrize("fop", ["lookup", "setxattr"])
async def test_two_clients_that_start_at_once_give_out_one_set_of_ids(child: int, fop: str) -> None:
    """The first one is held back at some point, and hears then what was true before the second one was done."""
    stores = disks(2)
    switches = [Switch(f"b{number}", (Memory(f"m{number}", store=store),)) for number, store in enumerate(stores)]
    gate = Gate(switches[child], fop)
    first = Afr("mirror", switches, self_heal_daemon=False)
    async with Graph(first) as graph, mirror(stores) as second:
        assert gate.busy
        assert not first.settled
        gate.open()
        await graph.heard_from_all(5)
        assert first.up == {0, 1}
        assert await second.graph.up(5)
        assert afr_of(second).up == {0, 1}
        found = [identity(store) for store in stores]
        assert all(each is not None and each.fits(number) for number, each in enumerate(found))
        assert len({each.everyone for each in found if each is not None}) == 1


# --- afterwards ------------------------------------------------------------------------------------------------------


async def test_a_known_mirror_starts_with_a_child_away() -> None:
    stores = await used(2)
    async with mirror(stores, off=[0]) as bench:
        assert bench.top.state is State.UP
        await bench.write("d/f", b"precious")
        bench.switches[0].turn(True)
        assert (await afr_of(bench).heal()).clean
        assert bench.images_equal()


@pytest.mark.parametrize("empty", [0, 1])
@pytest.mark.parametrize("other_first", [False, True])
async def test_an_empty_mount_point_stays_out_and_deletes_nothing(empty: int, other_first: bool) -> None:
    stores = await used(2)
    kept = stores[empty]
    stores[empty] = MemoryStore()
    async with mirror(stores, off=[empty] if other_first else [], self_heal_daemon=True) as bench:
        bench.switches[empty].turn(True)
        afr = afr_of(bench)
        assert bench.top.state is State.UP
        assert afr.up == {1 - empty}
        assert afr.known.reasons == {f"b{empty}": "it is not known here: a new disk or an empty mount point?"}
        assert afr.health == f"up, b{empty} kept out: it is not known here: a new disk or an empty mount point?"
        await bench.write("d/g", b"goes on")
        report = await afr.heal(full=True)
        assert not report.healed
        assert report.pending
        assert await bench.read("d/f") == b"precious"
        assert list(bench.bricks[empty].image()) == ["/"]

    stores[empty] = kept
    async with mirror(stores) as bench:  # mounted again
        assert (await afr_of(bench).heal()).clean
        assert bench.images_equal()
        assert await bench.read("d/g") == b"goes on"


async def test_an_empty_mount_point_does_not_count_for_the_quorum() -> None:
    stores = await used(3)
    stores[0], stores[2] = disks(2)
    async with mirror(stores) as bench:
        assert bench.top.state is State.DOWN
        reason = "it is not known here: a new disk or an empty mount point?"
        assert bench.top.down_reason == f"below quorum: b0 is kept out: {reason}; b2 is kept out: {reason}"


async def test_swapped_bricks_stay_out() -> None:
    stores = await used(3)
    stores[1], stores[2] = stores[2], stores[1]
    async with mirror(stores, quorum_type="none") as bench:
        assert afr_of(bench).up == {0}
        assert afr_of(bench).known.reasons == {
            "b1": "it is the copy that belongs at the place of b2",
            "b2": "it is the copy that belongs at the place of b1",
        }
        with pytest.raises(OSError) as caught:
            await bench.write("d/f", b"x")
            await afr_of(bench).accept("no such child")
        assert caught.value.errno == errno.EINVAL


async def test_two_swapped_bricks_of_two_are_no_mirror() -> None:
    stores = await used(2)
    async with mirror(reversed(stores)) as bench:
        assert bench.top.state is State.DOWN
        for name in ("b0", "b1"):
            with pytest.raises(OSError) as caught:
                await afr_of(bench).accept(name)
            assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_brick_of_another_volume_stays_out(place: int) -> None:
    stores, others = await used(3), await used(3)
    stores[place] = others[place]
    before = others[place].image()
    async with mirror(stores) as bench:
        assert afr_of(bench).up == {0, 1, 2} - {place}
        assert "does not belong together" in afr_of(bench).known.reasons[f"b{place}"]
        await bench.write("d/f", b"new")
        await afr_of(bench).heal(full=True)
        assert others[place].image() == before


async def test_a_brick_of_another_volume_does_not_take_the_place_of_one_that_serves() -> None:
    stores, others = await used(2), await used(2)
    async with mirror([others[0], stores[1]], off=[0]) as bench:
        bench.switches[0].turn(True)
        assert bench.top.state is State.UP
        assert afr_of(bench).up == {1}


# --- children that cannot be known -----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EPERM, errno.EROFS])
@pytest.mark.parametrize("child", [0, 1])
async def test_children_that_keep_no_ids_work_without_the_check(
    code: int, child: int, caplog: pytest.LogCaptureFixture
) -> None:
    stores = disks(2)
    switches = [Switch(f"b{number}", (Memory(f"m{number}", store=store),)) for number, store in enumerate(stores)]
    switches[child].refuse = lambda name, args: fail(code) if name == "setxattr" else None
    top = Afr("mirror", switches)
    with caplog.at_level(logging.WARNING, "volgraph.afr"):
        async with Graph(top):
            assert top.up == {0, 1}
            assert f"b{child} refuses {KEY}" in caplog.text


@pytest.mark.parametrize("child", [0, 1])
async def test_a_child_that_drops_its_id_in_silence_works_without_the_check(child: int) -> None:
    switches = [Switch(f"b{number}", (Memory(f"m{number}"),)) for number in range(2)]
    node = switches[child]

    def dropping(fop: Any, *args: Any, **kwargs: Any) -> Any:
        if fop.__name__ == "setxattr":
            return Done(Acknowledged())
        return Translator.relay(node, fop, *args, **kwargs)

    node.relay = dropping  # type: ignore[method-assign]
    top = Afr("mirror", switches)
    async with Graph(top):
        assert top.up == {0, 1}
        assert not top.known.checking


async def test_a_child_that_is_asked_again_says_the_same_and_stays_known() -> None:
    async with mirror(disks(2)) as bench:
        for switch in bench.switches:
            switch.rise(ChildChanged(switch))
        assert afr_of(bench).known.checking
        assert afr_of(bench).up == {0, 1}


async def test_with_the_option_off_nothing_is_written_and_everybody_takes_part() -> None:
    stores = disks(2)
    async with mirror(stores, off=[1], known_children=False) as bench:
        assert bench.top.state is State.UP
        bench.switches[1].turn(True)
        assert afr_of(bench).up == {0, 1}
    assert [identity(store) for store in stores] == [None, None]


async def test_the_option_can_be_written_in_a_spec() -> None:
    afr = link(parse(SPEC)).find(Afr)[0]

    assert not afr.known_children


SPEC = """
volume a
  type storage/memory
end-volume
volume m
  type cluster/afr
  option known-children off
  subvolumes a
end-volume
"""


async def test_a_root_that_cannot_be_looked_up_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_children, "RETRY_SECONDS", 0.01)
    stores = await used(2)
    switches = [Switch(f"b{number}", (Memory(f"m{number}", store=store),)) for number, store in enumerate(stores)]
    switches[1].refuse = lambda name, args: fail(errno.EIO) if name == "lookup" else None
    top = Afr("mirror", switches)
    async with Graph(top) as graph:
        assert top.up == {0}
        assert "its root cannot be looked up" in top.known.reasons["b1"]
        switches[1].refuse = lambda name, args: None
        with anyio.fail_after(5):
            while top.up != {0, 1}:
                await graph.next_change()


# --- in trees --------------------------------------------------------------------------------------------------------


def pair(name: str, stores: list[MemoryStore]) -> Afr:
    return Afr(name, [Memory(f"{name}{number}", store=store) for number, store in enumerate(stores)])


async def test_each_level_of_a_tree_knows_its_own_children() -> None:
    stores = disks(4)
    top = Afr("top", [pair("left", stores[:2]), pair("right", stores[2:])])
    async with Graph(top) as graph:
        assert await graph.up(5)
        keys = [sorted(key for key in store.inodes[ROOT_GFID].xattrs if key.endswith("-id")) for store in stores]
        for number, side in enumerate(("left", "left", "right", "right")):
            assert keys[number] == [f"trusted.afr.{side}.volgraph-id", "trusted.afr.top.volgraph-id"]
        uppers = [identity(store, "trusted.afr.top.volgraph-id") for store in stores]
        assert uppers[0] == uppers[1] != uppers[2] == uppers[3]


async def test_swapped_pairs_and_a_replaced_disk_below_are_found_at_their_own_level() -> None:
    stores = disks(4)
    async with Graph(Afr("top", [pair("left", stores[:2]), pair("right", stores[2:])])) as graph:
        assert await graph.up(5)
    top = Afr("top", [pair("right", stores[2:]), pair("left", stores[:2])])
    async with Graph(top) as graph:
        await graph.heard_from_all(5)
        assert top.state is State.DOWN
        assert "belongs at the place of" in top.down_reason
    left = pair("left", [stores[0], MemoryStore()])
    top = Afr("top", [left, pair("right", stores[2:])])
    async with Graph(top) as graph:
        await graph.heard_from_all(5)
        assert top.up == {0, 1}
        assert left.up == {0}
        await left.accept("left1")
        assert (await left.heal(full=True)).clean
        assert left.up == {0, 1}


async def test_a_mirror_of_unifies_knows_them() -> None:
    stores = disks(6)

    def pool(name: str, stores: list[MemoryStore]) -> Translator:
        bricks = [Memory(f"{name}{number}", store=store) for number, store in enumerate(stores)]
        return Unify(name, bricks[:2], namespace=bricks[2], scheduler="rr")

    def top(left: list[MemoryStore], right: list[MemoryStore]) -> Afr:
        return Afr("mirror", [pool("left", left), pool("right", right)])

    for left, right, state in (
        (stores[:3], stores[3:], State.UP),
        (stores[:3], stores[3:], State.UP),
        (stores[3:], stores[:3], State.DOWN),
    ):
        afr = top(left, right)
        async with Graph(afr) as graph:
            await graph.heard_from_all(5)
            assert afr.state is state, afr.down_reason
            assert len(afr.up) == (2 if state is State.UP else 0)


async def test_applications_neither_see_nor_set_ids() -> None:
    async with volgraph.open(Afr("mirror", [Memory("a"), Memory("b")])) as volume:
        assert await volume.listxattr("/") == []
        with pytest.raises(PermissionError):
            await volume.setxattr("/", KEY, b"x")
    async with mirror(await used(2)) as bench:
        with pytest.raises(PermissionError):
            await bench.top.setxattr(bench.call, ROOT_LOC, {KEY: b"x"})
        assert KEY not in (await bench.top.getxattr(bench.call, ROOT_LOC, None)).values
        reply = await bench.top.lookup(Call(xdata={KEY: 64}), ROOT_LOC)
        assert KEY not in (reply.xdata or {})


async def test_healing_attributes_leaves_ids_alone() -> None:
    stores = await used(2)
    before = [identity(store) for store in stores]
    async with mirror(stores, off=[1]) as bench:
        await bench.top.setattr(bench.call, ROOT_LOC, NewAttributes(mode=0o700))
        bench.switches[1].turn(True)
        report = await afr_of(bench).heal()
        assert report.healed
        assert report.clean
    assert [identity(store) for store in stores] == before


# --- the verdict -----------------------------------------------------------------------------------------------------

IDS = tuple(bytes([letter]) * 16 for letter in b"xyz")
OTHERS = tuple(bytes([letter]) * 16 for letter in b"uvw")


def test_whatever_is_said_nobody_unknown_takes_part_beside_one_that_is_known() -> None:
    """All that three children may say, and be silent about."""
    choices = [None, *(Identity(own, ids) for ids in (IDS, OTHERS) for own in (*ids, NOBODY)), Identity(NOBODY, ())]
    silent = object()
    for said in itertools.product([silent, *choices], repeat=3):
        known: dict[int, Any] = {child: each for child, each in enumerate(said) if each is not silent}
        admission = admit(NAMES, known, (), IDS)
        for child in admission.admitted:
            assert known[child].everyone[child] == known[child].own != NOBODY
        assert len({known[child].everyone for child in admission.admitted}) <= 1
        if admission.write is not None:
            assert len(known) == 3
            assert not admission.admitted
            others = [each for each in known.values() if each is not None]
            assert all(each.everyone == admission.write[1].everyone for each in others)


def test_an_id_that_makes_no_sense_is_one_that_is_not_known() -> None:
    for value in (b"short", b"x" * 16, b"x" * 40, NOBODY):
        said = {0: Identity(IDS[0], IDS[:2]), 1: Identity.read(value)}
        assert admit(NAMES[:2], said, (), ()).admitted == {0}
    assert Identity.read(b"") is Identity.read(None) is Identity.read(7) is None


def test_an_identity_is_read_as_it_was_written() -> None:
    assert Identity.read(Identity(IDS[1], IDS).packed) == Identity(IDS[1], IDS)
    assert Identity(IDS[1], IDS).packed == b"".join((IDS[1], *IDS))
    assert admit(NAMES[:2], {}, (), IDS[:2]) == Admission(frozenset(), first_use=True)
