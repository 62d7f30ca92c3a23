"""status, df and tree: what they show of a volume, of its bricks and of its names."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

import volgraph
from volgraph import NodeStatus, Volume
from volgraph.command import main
from volgraph.commands.screen import human
from volgraph.commands.state import _line
from volgraph.probing import SUSPECT_KEY
from volgraph.translators import Afr, Memory, Posix

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(mirror_folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(command: str, *arguments: str) -> tuple[int, str, str]:
        status = main([command, "--set", f"dir={mirror_folder}", *arguments])
        return status, *capsys.readouterr()

    return call


def told(run: Run) -> dict[str, dict[str, Any]]:
    """The JSON status: every node by its name."""
    nodes, todo = {}, [json.loads(run("status", "--format", "json", "m.vol")[1])]
    while todo:
        node = todo.pop()
        nodes[node["name"]] = node
        todo += node["children"]
    return nodes


# --- status ----------------------------------------------------------------------------------------------------------


def test_status_shows_state_latency_and_room_of_each_brick(run: Run, tmp_path: Path) -> None:
    status, out, error = run("status", "m.vol")
    top, a, b = out.splitlines()
    nodes = told(run)
    room = os.statvfs(tmp_path)

    assert (status, error) == (0, "")
    assert top == "mirror (cluster/afr) up, 0 to be healed"
    for line in (a, b):
        assert " (storage/posix) up, " in line
        assert " ms, " in line
        assert line.endswith(" free")
    assert nodes["mirror"]["latency"] is None
    for name in "ab":
        assert 0 < nodes[name]["latency"] < 10
        assert nodes[name]["size"] == room.f_blocks * room.f_frsize
        assert 0 < nodes[name]["free"] <= nodes[name]["size"]


def test_status_says_which_brick_is_down_and_why_and_what_it_has_missed(run: Run, tmp_path: Path) -> None:
    run("mkdir", "m.vol:/d")
    (tmp_path / "b").rename(tmp_path / "away")
    run("mkdir", "m.vol:/e")
    status, out, _ = run("status", "m.vol")
    nodes = told(run)

    assert status == 0
    (b,) = (line for line in out.splitlines() if line.startswith("└── b (storage/posix) down: "))
    assert "No such file or directory" in b
    assert f"{tmp_path}/b" in b
    assert nodes["mirror"]["pending"] >= 1
    assert nodes["b"]["state"] == "down"
    assert nodes["b"]["latency"] is None
    (tmp_path / "a").rename(tmp_path / "gone")
    assert run("status", "m.vol")[0] == 1


def test_status_says_what_a_mirror_waits_for_at_first_use(run: Run, tmp_path: Path) -> None:
    """A server that takes the connection, and says nothing."""
    (tmp_path / "m.vol").write_text(
        "volume a\n  type storage/posix\n  option directory ${dir}/a\nend-volume\n"
        "volume far\n  type protocol/client\n  option remote-host 127.0.0.1\n  option remote-port ${port}\n"
        "  option remote-subvolume far\nend-volume\n"
        "volume mirror\n  type cluster/afr\n  subvolumes a far\nend-volume\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as mute:
        given = ("--set", f"port={mute.getsockname()[1]}", "--wait", "0.3", "m.vol")
        status, out, _ = run("status", *given)
        _, _, error = run("ls", *given)

    top, _, far = out.splitlines()
    assert status == 1
    assert top == "mirror (cluster/afr) unknown: first use needs every child: no word yet from far"
    assert far == "└── far (protocol/client) unknown: no answer yet"
    assert error == (
        "volgraph: mirror is not up: far: no answer in 0.3 s;"
        " mirror: first use needs every child: no word yet from far\n"
    )


def test_a_full_directory_beside_an_empty_one_is_told_with_what_to_do(run: Run, tmp_path: Path) -> None:
    """Nothing is marked, as nobody knows which of them is right: a person has to say so."""
    (tmp_path / "a/photos").mkdir()
    hint = "b is empty and a is not: heal --accept b fills it"

    assert run("status", "m.vol")[1].splitlines()[0] == f"mirror (cluster/afr) up, {hint}, 0 to be healed"
    assert told(run)["mirror"]["health"] == [hint]
    said = f"volgraph: m.vol: mirror: {hint}\n"
    assert run("ls", "m.vol")[2] == run("tree", "m.vol")[2] == said
    for asked in (("--info",), ("--full",)):
        status, out, _ = run("heal", *asked, "m.vol")
        assert out.splitlines()[-1] == f"mirror: {hint}"
        assert status == (asked == ("--full",))
    assert run("heal", "--accept", "b", "m.vol")[0] == 0
    assert run("ls", "m.vol") == (0, "photos\n", "")
    assert run("status", "m.vol")[1].splitlines()[0] == "mirror (cluster/afr) up, 0 to be healed"


def test_an_empty_mirror_and_one_that_is_to_be_healed_get_no_such_advice(run: Run, tmp_path: Path) -> None:
    assert run("ls", "m.vol") == (0, "", "")
    (tmp_path / "b").rename(tmp_path / "away")
    run("mkdir", "m.vol:/d")
    (tmp_path / "away").rename(tmp_path / "b")
    status, out, error = run("heal", "--info", "m.vol")

    assert (status, error) == (0, "")
    assert out.splitlines()[-1] == "0 healed, 2 pending, 0 in split-brain, 0 failed"


@pytest.mark.anyio
async def test_a_brick_that_is_suspect_or_full_says_so_here_and_behind_a_server(anyio_backend: str) -> None:
    near, far = Memory("near"), Memory("far")
    near.health = "up, suspect, full"  # type: ignore[attr-defined]
    real = far.lookup

    def lookup(*args: Any) -> Any:
        reply = real(*args)
        reply.value.xdata = {SUSPECT_KEY: 1}
        return reply

    async with volgraph.open(Afr("mirror", (near, far))) as vol:
        far.lookup = lookup  # type: ignore[method-assign, assignment]
        before = vol.status()
        probed = await vol.probe()

    assert [child.health for child in before.children] == [("suspect", "full"), ()]
    assert [child.health for child in probed.children] == [("suspect", "full"), ("suspect",)]
    assert before.children[0].latency is None
    assert all(child.latency is not None for child in probed.children)


@pytest.mark.anyio
async def test_a_brick_that_does_not_answer_keeps_nobody(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import anyio

    monkeypatch.setattr("volgraph.probing.PROBE_SECONDS", 0.05)
    slow, quick = Memory("slow"), Memory("quick")

    async def never(*args: Any) -> None:
        await anyio.sleep_forever()

    async with volgraph.open(Afr("mirror", (slow, quick))) as vol:
        slow.lookup = never  # type: ignore[method-assign, assignment]
        with anyio.fail_after(5):
            probed = await vol.probe()
        del slow.lookup

    assert [child.latency is None for child in probed.children] == [True, False]


def test_a_node_is_one_line_whatever_is_known_of_it() -> None:
    node = NodeStatus("near", "storage/posix", "up", health=("suspect", "full"), latency=0.00123, size=2048, free=1024)
    down = NodeStatus("far", "protocol/client", "down", reason="host: \x1b[31mrefused\n")

    assert _line(node) == "near (storage/posix) up, suspect, full, 1.2 ms, 1.0 KiB of 2.0 KiB free"
    assert _line(down) == "far (protocol/client) down: host: ?[31mrefused?"


def test_a_latency_too_short_for_its_digits_is_not_told_as_none() -> None:
    node = NodeStatus("near", "storage/posix", "up")
    told = [_line(attrs.evolve(node, latency=seconds)) for seconds in (0.0, 0.00004, 0.0001, 0.25)]

    assert [line.partition(" up, ")[2] for line in told] == ["<0.1 ms", "<0.1 ms", "0.1 ms", "250.0 ms"]


def test_sizes_are_told_as_people_read_them() -> None:
    sizes = {0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 102_348: "99.9 KiB", 102_400: "100 KiB", 5 << 40: "5.0 TiB"}

    assert {size: human(size) for size in sizes} == sizes
    assert human(1 << 70) == "1048576 PiB"


# --- df --------------------------------------------------------------------------------------------------------------


def test_df_tells_the_room_of_volumes_for_people_and_for_programs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "small.vol").write_text("volume m\n  type storage/memory\n  option size-limit 64MB\nend-volume\n")
    status, out, error = run("df", "m.vol", "small.vol:/")
    _, as_json, _ = run("df", "--format", "json", "m.vol", "small.vol")
    posix, memory = json.loads(as_json)
    room = os.statvfs(tmp_path)

    assert (status, error) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["VOLUME", "SIZE", "USED", "FREE", "USED", "%"]
    assert [line[0] for line in lines[1:]] == ["m.vol:/", "small.vol:/"]
    assert lines[2][1:3] == ["64.0", "MiB"]
    assert posix["size"] == room.f_blocks * room.f_frsize
    assert (memory["size"], memory["volume"]) == (64 << 20, "small.vol:/")
    assert memory["used"] + memory["free"] == memory["size"]


# --- tree ------------------------------------------------------------------------------------------------------------


def test_tree_draws_names_in_order_with_links_and_counts(run: Run, tmp_path: Path) -> None:
    run("mkdir", "-p", "m.vol:/b/deep/er", "m.vol:/a")
    (tmp_path / "f").write_text("x")
    os.symlink("../f", tmp_path / "link")
    for place in ("m.vol:/b/deep/f", "m.vol:/c"):
        run("cp", "f", place)
    (tmp_path / "t").mkdir()
    os.rename(tmp_path / "link", tmp_path / "t/link")
    run("cp", "-r", "t", "m.vol:/b")

    assert run("tree", "m.vol") == (
        0,
        "m.vol:/\n"
        "├── a\n"
        "├── b\n"
        "│   ├── deep\n"
        "│   │   ├── er\n"
        "│   │   └── f\n"
        "│   └── t\n"
        "│       └── link -> ../f\n"
        "└── c\n"
        "\n"
        "5 directories, 3 others\n",
        "",
    )
    assert run("tree", "m.vol:/b/deep")[1].splitlines()[-1] == "1 directory, 1 other"
    assert run("tree", "m.vol:/c") == (1, "", "volgraph: m.vol:/c: Not a directory\n")


@pytest.mark.anyio
async def test_the_health_of_a_real_brick_is_told(tmp_path: Path, anyio_backend: str) -> None:
    (tmp_path / "brick").mkdir()
    top = Posix("p", directory=str(tmp_path / "brick"))
    async with volgraph.open(top) as vol:
        assert isinstance(vol, Volume)
        top.suspect = True
        assert (await vol.probe()).health == ("suspect",)
