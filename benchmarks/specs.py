"""Parse and link: how long for a spec of many volumes, and whether the time grows in step with its size."""

from __future__ import annotations

import gc

import attrs

from benchmarks.measure import Case, Scale, Series, by_turns
from benchmarks.tables import Row, Table
from volgraph.graph import link
from volgraph.volspec import parse, parse_yaml

TURNS = 4
BOUND_VOLUMES, BOUND_SECONDS = 10_000, 1.0
BOUND_GROWTH = 2.0
"""How many times as long as in the smallest spec one volume may take. Python's collector, which goes over all objects
again and again, takes up to 1.7 of it; work in step with the square of the size would take 16."""


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


def reading(text: str, form: str = "volfile") -> Case:
    """Text to a linked graph."""

    async def run(count: int) -> None:
        for _ in range(count):
            link(parse(text) if form == "volfile" else parse_yaml(text))

    async def collect() -> None:  # a graph is full of cycles: nobody pays for what another has left
        gc.collect()

    return Case(run, collect)


async def specs(scale: Scale) -> Table:
    """Nothing is started, and no disk is touched."""
    once = attrs.evolve(scale, turns=min(scale.turns, TURNS), calls=1)
    texts = {volumes: mirrors(volumes) for volumes in scale.volumes}
    smallest, *larger = scale.volumes
    yaml = parse(texts[smallest]).to_yaml()
    first, in_yaml, *others = await by_turns(
        once, [reading(texts[smallest]), reading(yaml, "yaml"), *(reading(texts[volumes]) for volumes in larger)]
    )
    rows = [Row(f"{smallest:,} volumes, YAML", in_yaml, f"{smallest:,} volumes, volfile", first)]
    for volumes, ours in zip(larger, others, strict=True):
        times = volumes / smallest
        peer = Series([each * times for each in first.wall], [each * times for each in first.cpu])
        bound, met = _bound(volumes, ours, peer)
        rows.append(Row(f"{volumes:,} volumes, volfile", ours, f"{smallest:,} volumes x {times:g}", peer, bound, met))
    about = "parse and link, against the smallest in proportion (CPU time)"
    return Table("specs", about, "cpu", rows)


def _bound(volumes: int, ours: Series, peer: Series) -> tuple[str, bool]:
    bound, met = f"<= {BOUND_GROWTH:g} x", ours.best("cpu") <= BOUND_GROWTH * peer.best("cpu")
    if volumes <= BOUND_VOLUMES:
        bound, met = f"<= {BOUND_SECONDS:g} s, {bound}", met and ours.best("cpu") <= BOUND_SECONDS
    return bound, met
