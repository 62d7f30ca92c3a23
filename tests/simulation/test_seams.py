"""The seams of a simulated host: each follows the seed and the virtual clock, and makes no thread."""

import threading

import anyio
import pytest

from volgraph.graph import Done
from volgraph.testing.loop import BACKENDS, run
from volgraph.testing.network import SimNetwork
from volgraph.testing.seams import START_NS, SimClock, simulated

both_backends = pytest.mark.parametrize("backend", BACKENDS)


@both_backends
def test_wall_time_follows_the_virtual_clock_and_its_skew(backend: str) -> None:
    async def main() -> list[int]:
        clock = SimClock()
        times = [clock.time_ns()]
        await clock.sleep(1.5)
        times.append(clock.time_ns())
        clock.skew_seconds = -3600
        times.append(clock.time_ns())
        return times

    start, later, skewed = run(main, 1, backend).value

    assert start == START_NS
    assert later == START_NS + 1_500_000_000
    assert skewed == later - 3_600_000_000_000


def test_random_numbers_follow_seed_and_host() -> None:
    gfids = [simulated(seed, host).new_gfid() for seed, host in ((1, "a"), (1, "a"), (1, "b"), (2, "a"))]

    assert gfids[0] == gfids[1]
    assert len(set(gfids)) == 3


def test_blocking_calls_are_made_at_once_in_this_thread() -> None:
    blocking = simulated(1).blocking
    answer = blocking.run(threading.get_ident)

    assert isinstance(answer, Done)
    assert answer.value == threading.get_ident()


@both_backends
def test_errors_of_blocking_calls_come_when_awaited(backend: str) -> None:
    def broken() -> None:
        raise FileNotFoundError

    async def main() -> None:
        answer = simulated(1).blocking.run(broken)
        with pytest.raises(FileNotFoundError):
            await answer

    run(main, 1, backend)


@both_backends
def test_hosts_reach_each_other_on_one_network_only(backend: str) -> None:
    class Deaf:
        def received(self, data: object) -> None: ...
        def lost(self, error: object) -> None: ...

    async def main() -> None:
        network = SimNetwork(1)
        await simulated(1, "server", network).network.listen("0.0.0.0", 80, lambda _: Deaf())
        await simulated(1, "client", network).network.connect("server", 80, Deaf())
        with pytest.raises(ConnectionRefusedError):
            await simulated(1, "client").network.connect("server", 80, Deaf())
        await anyio.sleep(1)

    run(main, 1, backend)
