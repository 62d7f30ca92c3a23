"""heal, pending and status of a volume: what is missed, by name, and what is left."""

import errno
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs
import pytest

import volgraph
from volgraph import Translator, Volume, fail
from volgraph.graph import ChildDown, ChildUp
from volgraph.translators import Afr, Memory

pytestmark = pytest.mark.anyio

R = TypeVar("R")
P = ParamSpec("P")


@attrs.define(eq=False)
class Switch(Translator):
    """Cuts its child off, and puts it back. As with a connection, what was locked over it is given back."""

    off: bool = attrs.field(default=False, init=False)
    _clients: set[str] = attrs.field(factory=set, init=False)

    async def rested(self) -> None:
        """When nothing is kept for changes to come: what goes now leaves no mark of a change that may be under way."""
        for afr in reversed(self.graph.find(Afr)):
            await afr.rest()

    def turn(self, off: bool) -> None:
        self.off = off
        for client in sorted(self._clients) if off else ():
            self.child.disconnect(client)
        self.rise(ChildDown(self, "switched off") if off else ChildUp(self))

    def relay(
        self, fop: Callable[Concatenate[Any, P], Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[R]:
        if self.off:
            raise fail(errno.ENOTCONN, self.name)
        call: Any = args[0]
        self._clients.add(call.client)
        return super().relay(fop, *args, **kwargs)


def switched(name: str) -> Switch:
    return Switch(name, (Memory(f"{name}-brick"),))


def mirror(name: str, *children: Translator) -> Afr:
    return Afr(name, children, self_heal_daemon=False)


async def change_without(vol: Volume, switch: Switch) -> None:
    """Write, make and remove names while one brick is away."""
    await vol.makedirs("/d/gone")
    await vol.write_bytes("/d/kept", b"old")
    await switch.rested()
    switch.turn(off=True)
    await vol.write_bytes("/d/kept", b"new")
    await vol.write_bytes("/d/more", b"more")
    await vol.rmdir("/d/gone")
    switch.turn(off=False)


async def test_what_a_brick_missed_is_pending_by_name_and_then_healed(anyio_backend: str) -> None:
    a, b = switched("a"), switched("b")
    async with volgraph.open(mirror("m", a, b)) as vol:
        await change_without(vol, b)
        pending = await vol.pending()
        status = vol.status()
        healed = await vol.heal()
        a.turn(off=True)  # from here on only the healed brick answers
        on_b = {path: await vol.read_bytes(path) for path in ("/d/kept", "/d/more")}
        names = sorted(await vol.listdir("/d"))

    assert {item.path for item in pending.pending} == {b"/d", b"/d/kept", b"/d/more"}
    assert {item.blamed for item in pending.pending} == {("b",)}
    assert status.pending == 3
    assert healed.clean
    assert {item.path for item in healed.healed} >= {b"/d", b"/d/kept"}
    assert on_b == {"/d/kept": b"new", "/d/more": b"more"}
    assert names == ["kept", "more"]


async def test_healing_one_path_leaves_the_others_pending(anyio_backend: str) -> None:
    a, b = switched("a"), switched("b")
    async with volgraph.open(mirror("m", a, b)) as vol:
        for path in ("/one", "/two"):
            await vol.write_bytes(path, b"old")
        await b.rested()
        b.turn(off=True)
        for path in ("/one", "/two"):
            await vol.write_bytes(path, b"new")
        b.turn(off=False)
        await vol.heal("/one")
        pending = await vol.pending()

    assert [item.path for item in pending.pending] == [b"/two"]


async def test_a_child_that_is_away_leaves_its_part_pending(anyio_backend: str) -> None:
    a, b = switched("a"), switched("b")
    async with volgraph.open(mirror("m", a, b)) as vol:
        await change_without(vol, b)
        b.turn(off=True)
        report = await vol.heal()

    assert not report.clean
    assert {item.path for item in report.pending} == {b"/d", b"/d/kept", b"/d/more"}


async def test_a_mirror_of_mirrors_is_healed_at_every_level(anyio_backend: str) -> None:
    switches = [switched(name) for name in "abcd"]
    a, b, c, d = switches
    left, right = mirror("left", a, b), mirror("right", c, d)
    top = Afr("top", (left, right), self_heal_daemon=False, known_children=False)
    async with volgraph.open(top) as vol:
        await vol.write_bytes("/f", b"old")
        b.turn(off=True)
        await vol.write_bytes("/f", b"newer")
        for switch in (c, d):
            switch.turn(off=True)
        await vol.write_bytes("/f", b"newest")
        for switch in (b, c, d):
            switch.turn(off=False)
        report = await vol.heal()
        copies = []
        for kept in switches:
            for switch in switches:
                switch.turn(off=switch is not kept)
            copies.append(await vol.read_bytes("/f"))

    assert report.clean
    assert copies == [b"newest"] * 4


async def test_a_volume_without_replication_has_nothing_to_heal(anyio_backend: str) -> None:
    async with volgraph.open(Memory("m")) as vol:
        assert (await vol.heal(full=True)).clean
        assert (await vol.pending()).clean
        assert vol.status().pending is None
