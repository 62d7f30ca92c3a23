"""Parse and link: how long for a spec of many volumes, and whether the time grows in step with its size."""

from __future__ import annotations

import gc
from collections.abc import Callable

import attrs

from benchmarks.measure import Case, Scale, Series, by_turns
from benchmarks.tables import Row, Table, at_most
from volgraph.graph import link
from volgraph.volspec import Spec, parse, parse_yaml

TURNS = 4
BOUND_VOLUMES, BOUND_SECONDS = 10_000, 1.0
BOUND_GROWTH = 1.5
"""How many times as long as in the smallest spec one volume may take in the largest, with Python's collector off: on,
it goes over all objects again and again, and takes up to as long as all the rest. Work in step with the square of the
size would take 16 times as long."""


def mirrors(volumes: int) -> str:
    """A volfile of at most so many volumes: a unify over mirrors of two bricks each, and its namespace."""
    pairs = range((volumes - 2) // 3)
    text = [
        f"volume brick{pair}{side}\n  type storage/posix\n  option directory /srv/{pair}{side}\nend-volume\n"
        for pair in pairs
        for side in "ab"
    ]
    text += [
        f"volume mirror{pair}\n  type cluster/afr\n  subvolumes brick{pair}a brick{pair}b\nend-volume\n"
        for pair in pairs
    ]
    names = " ".join(f"mirror{pair}" for pair in pairs)
    text.append("volume names\n  type storage/posix\n  option directory /srv/names\nend-volume\n")
    text.append(f"volume all\n  type cluster/unify\n  option namespace names\n  subvolumes {names}\nend-volume\n")
    return "\n".join(text)


def reading(text: str, read: Callable[[str], Spec] = parse, collector: bool = True) -> Case:
    """Text to a linked graph."""

    async def run(count: int) -> None:
        if not collector:
            gc.disable()
        for _ in range(count):
            link(read(text))
        gc.enable()

    async def collect() -> None:  # a graph is full of cycles: nobody pays for what another has left
        gc.collect()

    return Case(run, collect)


async def specs(scale: Scale) -> Table:
    """Nothing is started, and no disk is touched."""
    texts = {volumes: mirrors(volumes) for volumes in scale.volumes}
    smallest, *larger = scale.volumes
    largest = larger[-1]
    yaml = parse(texts[smallest]).to_yaml()
    cases = [
        reading(texts[smallest], collector=False),
        reading(texts[largest], collector=False),
        reading(yaml, parse_yaml),
        *(reading(text) for text in texts.values()),
    ]
    once = attrs.evolve(scale, turns=min(scale.turns, TURNS), calls=1)
    small_work, large_work, in_yaml, small, *others = await by_turns(once, cases)
    rows = [Row(f"{smallest:,} volumes, YAML", in_yaml, f"{smallest:,}, volfile", small)]
    for volumes, ours in zip(larger, others, strict=True):
        row = Row(f"{volumes:,} volumes", ours, *in_proportion(smallest, small, volumes))
        if volumes <= BOUND_VOLUMES:
            row = attrs.evolve(row, bound=f"<= {BOUND_SECONDS:g} s", met=ours.best("cpu") <= BOUND_SECONDS)
        rows.append(row)
    peer = in_proportion(smallest, small_work, largest)
    rows.append(at_most(BOUND_GROWTH, "cpu", f"{largest:,} volumes, collector off", large_work, *peer))
    about = "parse and link, against the smallest in proportion (CPU time)"
    return Table("specs", about, "cpu", rows)


def in_proportion(smallest: int, series: Series, volumes: int) -> tuple[str, Series]:
    """What the smallest spec would take if it had so many volumes; and the name of that peer."""
    times = volumes / smallest
    scaled = Series([each * times for each in series.wall], [each * times for each in series.cpu])
    return f"{smallest:,} volumes x {times:g}", scaled
