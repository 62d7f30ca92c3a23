"""The stacks that the Volume API is tried over; and plugins as an installer would leave them."""

import shutil
import tomllib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import volgraph
from volgraph import Graph, Seams, Translator
from volgraph.testing.network import SimNetwork
from volgraph.translators import Afr, Client, Memory, Posix, Server, Unify

PORT = 24007


def memory(folder: Path) -> Translator:
    return Memory("m")


def posix(folder: Path) -> Translator:
    (folder / "brick").mkdir()
    return Posix("p", directory=str(folder / "brick"))


def mirror(folder: Path) -> Translator:
    return Afr("mirror", (Memory("a"), Memory("b")))


def unified(folder: Path) -> Translator:
    return Unify("all", (Memory("a"), Memory("b")), namespace=Memory("names"))


def remote(folder: Path) -> Translator:
    return Client("far", remote_host="server", remote_port=PORT, remote_subvolume="brick")


STACKS = {"memory": memory, "posix": posix, "mirror": mirror, "unify": unified, "remote": remote}


@pytest.fixture(params=STACKS)
async def vol(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[volgraph.Volume]:
    """An empty volume, once over each stack. There is a server, too, for the stack that asks for it."""
    network = SimNetwork(seed=1, delay=(0.0, 0.0))
    server = Server("server", (Memory("brick"),), listen_port=PORT, auth={"brick": "*"})
    async with Graph(server, Seams(network=network.at("server"))):
        top = STACKS[request.param](tmp_path)
        async with volgraph.open(top, seams=Seams(network=network.at("client"))) as volume:
            yield volume


@pytest.fixture
async def scratch(anyio_backend: str) -> AsyncIterator[volgraph.Volume]:
    """An empty volume in memory, for what does not depend on the stack."""
    async with volgraph.open(Memory("m")) as volume:
        yield volume


MIRROR = """
volume a
  type storage/posix
  option directory ${dir}/a
end-volume
volume b
  type storage/posix
  option directory ${dir}/b
end-volume
volume mirror
  type cluster/afr
  subvolumes a b
end-volume
"""


@pytest.fixture
def mirror_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with `m.vol`, a mirror of the two directories in it: `--set dir=FOLDER`."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "m.vol").write_text(MIRROR)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def install(tmp_path: Path) -> Callable[[Path], Path]:
    """Puts a package's modules, and the record of its entry points, where an installer would; gives that folder."""
    site = tmp_path / "site"

    def put(package: Path) -> Path:
        project = tomllib.loads((package / "pyproject.toml").read_text())
        meta = project["project"]
        record = site / f"{meta['name'].replace('-', '_')}-{meta['version']}.dist-info"
        record.mkdir(parents=True)
        for module in project["tool"]["setuptools"]["py-modules"]:
            shutil.copy(package / f"{module}.py", site)
        about = f"Metadata-Version: 2.1\nName: {meta['name']}\nVersion: {meta['version']}\n"
        (record / "METADATA").write_text(about)
        lines = [
            f"[{group}]\n" + "".join(f"{name} = {where}\n" for name, where in points.items())
            for group, points in meta["entry-points"].items()
        ]
        (record / "entry_points.txt").write_text("\n".join(lines))
        return site

    return put
