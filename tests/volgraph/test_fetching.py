"""gluster://HOST[:PORT]/ID: a volume whose spec a server hands out."""

import errno
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

import volgraph
from volgraph import Graph, Seams, SpecError
from volgraph.command import main
from volgraph.commands.specs import Inside, place
from volgraph.fetching import address_of
from volgraph.testing.network import SimNetwork
from volgraph.translators import Memory, Server

CLIENT = """volume far
  type protocol/client
  option remote-host {host}
  option remote-port {port}
  option remote-subvolume brick
end-volume
volume threads
  type performance/io-threads
  subvolumes far
end-volume
"""
POSIX = "volume p\n  type storage/posix\n  option directory /srv/p\nend-volume\n"


def server(folder: Path, host: str, port: int) -> Server:
    (folder / "client.vol").write_text(CLIENT.format(host=host, port=port))
    (folder / "posix.vol").write_text(POSIX)
    (folder / "broken.vol").write_text("volume p\n  type storage/posx\nend-volume\n")
    files = {name: str(folder / f"{name}.vol") for name in ("posix", "broken")}
    return Server(
        "server",
        (Memory("brick"),),
        listen_port=port,
        auth={"brick": "*"},
        volume_filename=str(folder / "client.vol"),
        volume_filenames=files,
    )


@pytest.fixture
async def network(tmp_path: Path, anyio_backend: str) -> AsyncIterator[SimNetwork]:
    network = SimNetwork(seed=1, delay=(0.0, 0.0))
    async with Graph(server(tmp_path, "server", 24007), Seams(network=network.at("server"))):
        yield network


@pytest.mark.parametrize("url", ["gluster://server/any", "gluster://server"])
def test_load_reads_files_and_says_how_to_get_a_spec_from_a_server(url: str) -> None:
    with pytest.raises(SpecError) as caught:
        volgraph.load(url)

    assert str(caught.value) == (
        f"{url}: load reads a file, and this spec is handed out by a server\n"
        "  hint: volgraph.open takes it as it is; for a file of it: volgraph show URL --format vol >FILE"
    )


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["gluster://server/any", "gluster://server:24007/any/other"])
async def test_the_volume_of_a_fetched_spec_opens_like_any(network: SimNetwork, url: str) -> None:
    async with volgraph.open(url, seams=Seams(network=network.at("client"))) as vol:
        await vol.write_bytes("/f", b"text")
        assert await vol.read_bytes("/f") == b"text"
        assert [node.name for node in vol.graph.nodes] == ["far", "threads"]
    async with volgraph.open(url, top="far", seams=Seams(network=network.at("client"))) as vol:
        assert await vol.listdir("/") == ["f"]


@pytest.mark.anyio
async def test_a_server_does_not_say_which_directory_here_is_used(network: SimNetwork) -> None:
    with pytest.raises(SpecError, match=r"gluster://server/posix:2:8: a fetched spec may not use storage/posix"):
        async with volgraph.open("gluster://server/posix", seams=Seams(network=network.at("client"))):
            pass


@pytest.mark.anyio
async def test_what_is_wrong_with_a_fetched_spec_is_located_in_it(network: SimNetwork) -> None:
    with pytest.raises(SpecError, match=r"gluster://server/broken:2:8: unknown type 'storage/posx'"):
        async with volgraph.open("gluster://server/broken", seams=Seams(network=network.at("client"))):
            pass


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_an_error_with_the_url(network: SimNetwork) -> None:
    with anyio.fail_after(5), pytest.raises(OSError) as caught:
        async with volgraph.open("gluster://elsewhere/any", wait=0.5, seams=Seams(network=network.at("client"))):
            pass

    assert caught.value.filename == "gluster://elsewhere/any"
    assert caught.value.errno


def test_the_parts_of_an_address() -> None:
    assert address_of("gluster://host/vol") == ("host", 24007, "vol")
    assert address_of("gluster://10.0.0.1:1/a/b") == ("10.0.0.1", 1, "a/b")
    assert address_of("gluster://[fe80::1]:24008/v") == ("fe80::1", 24008, "v")
    for wrong in (
        "gluster://",
        "gluster://host",
        "gluster://host/",
        "gluster://h:0/v",
        "gluster://h:65536/v",
        "gluster:///v",
    ):
        with pytest.raises(OSError) as caught:
            address_of(wrong)
        assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, wrong)


def test_a_path_in_a_fetched_volume_is_told_from_its_address() -> None:
    assert place("gluster://host/vol:/a:/b") == Inside("gluster://host/vol", "/a:/b")
    assert place("gluster://host:24007/vol:/") == Inside("gluster://host:24007/vol", "/")
    assert place("gluster://host/vol") == "gluster://host/vol"


# --- the command line, over real sockets -----------------------------------------------------------------------------


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    top = server(tmp_path, "127.0.0.1", 0)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Graph(top)):
        (tmp_path / "client.vol").write_text(CLIENT.format(host="127.0.0.1", port=top.port))
        yield f"gluster://127.0.0.1:{top.port}/any"


def test_commands_take_an_address_for_a_spec(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f").write_text("some text\n")

    for command in (["cp", str(tmp_path / "f"), f"{url}:/f"], ["cat", f"{url}:/f"], ["ls", url], ["ls", f"{url}:/f"]):
        assert main(command) == 0
    assert capsys.readouterr() == ("some text\nf\n/f\n", "")
    assert main(["show", url]) == 0
    assert capsys.readouterr().out.startswith("threads (performance/io-threads)\n")
    assert main(["show", "--format", "vol", url]) == main(["status", url]) == main(["check", url]) == 0
    assert f"{url}: ok, 2 volumes, top threads\n" in capsys.readouterr().out
    assert main(["ls", url.replace("/any", "/posix")]) == 1
    assert "a fetched spec may not use storage/posix" in capsys.readouterr().err


def test_an_address_that_is_none_or_nobody_answers_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "gluster://host"]) == 1
    assert capsys.readouterr().err == "volgraph: gluster://host: Write gluster://HOST[:PORT]/ID\n"
    assert main(["check", "gluster://127.0.0.1:1/v"]) == 1
    assert capsys.readouterr().err == "volgraph: gluster://127.0.0.1:1/v: Connection refused\n"
