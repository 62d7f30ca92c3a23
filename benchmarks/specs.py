"""Parse and link: how long for a spec of many volumes, and whether the time grows in step with its size."""

from __future__ import annotations

import attrs

from benchmarks.measure import Case, Scale, Series, by_turns
from benchmarks.tables import Row, Table, at_most
from volgraph.graph import link
from volgraph.volspec import parse, parse_yaml

BOUND_SECONDS = 1.0
BOUND_VOLUMES = 10_000
BOUND_GROWTH = 1.5
"""How many times as long as in the smallest spec one volume may take: what Python's collector and caches cost."""


def mirrors(volumes: int) -> str:
    """A unify over mirrors of two bricks each: as many volumes as wanted, less at most two."""
    lines: list[str] = []
    pairs = (volumes - 2) // 3
    for pair in range(pairs):
        for side in "ab":
            lines.append(f"volume brick{pair}{side}\n  type storage/posix\n  option directory /srv/{pair}{side}")
            lines.append("end-volume\n")
        lines.append(f"volume mirror{pair}\n  type cluster/afr\n  subvolumes brick{pair}a brick{pair}b\nend-volume\n")
    names = " ".join(f"mirror{pair}" for pair in range(pairs))
    lines.append("volume names\n  type storage/posix\n  option directory /srv/names\nend-volume\n")
    lines.append(f"volume all\n  type cluster/unify\n  option namespace names\n  subvolumes {names}\nend-volume\n")
    return "\n".join(lines)


def reading(text: str, form: str = "volfile") -> Case:
    """Text to a linked graph."""

    async def run(count: int) -> None:
        for _ in range(count):
            link(parse(text) if form == "volfile" else parse_yaml(text))

    return Case(run)


def per_volume(series: Series, volumes: int) -> Series:
    return Series([each / volumes for each in series.wall], [each / volumes for each in series.cpu])


async def specs(scale: Scale) -> Table:
    """Nothing is started, and no disk is touched."""
    texts = {volumes: mirrors(volumes) for volumes in scale.volumes}
    once = attrs.evolve(scale, turns=min(scale.turns, 5), calls=1)
    found = dict(zip(texts, await by_turns(once, [reading(text) for text in texts.values()]), strict=True))
    smallest = scale.volumes[0]
    peer = per_volume(found[smallest], smallest)
    peer_name = f"1 volume of {smallest:,}"
    judged = min(scale.volumes, key=lambda volumes: abs(volumes - BOUND_VOLUMES))
    met = found[judged].best("cpu") <= BOUND_SECONDS
    rows = [Row(f"{judged:,} volumes, all", found[judged], bound=f"<= {BOUND_SECONDS:g} s", met=met)]
    for volumes in scale.volumes[1:]:
        ours = per_volume(found[volumes], volumes)
        rows.append(at_most(BOUND_GROWTH, "cpu", f"1 volume of {volumes:,}", ours, peer_name, peer))
    yaml = parse(texts[smallest]).to_yaml()
    (series,) = await by_turns(once, [reading(yaml, "yaml")])
    rows.append(Row(f"1 volume of {smallest:,}, YAML", per_volume(series, smallest), peer_name, peer))
    about = "parse and link a volfile: a unify over mirrors of two bricks (CPU time)"
    return Table("specs", about, "cpu", rows)
