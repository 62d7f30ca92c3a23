"""A server of ours, as people run it: `volgraph serve` in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from tests.interop.real_gluster import STOP_SECONDS, Mount, wait_until
from tests.interop.volfiles import volume


@attrs.define(eq=False)
class OurServer:
    """Serves `directory` as the volume `brick`."""

    folder: Path
    directory: Path
    process: "subprocess.Popen[str]"
    port: int

    @property
    def remote(self) -> tuple[int, str]:
        """Port and remote-subvolume, as a client needs them."""
        return self.port, "brick"


def brick_spec(directory: Path, port: int = 0, spec_for_clients: Path | None = None) -> str:
    options: dict[str, str | int | Path] = {"listen-port": port, "auth.addr.brick.allow": "127.0.0.1"}
    if spec_for_clients is not None:
        options["volume-filename"] = spec_for_clients
    return volume("brick", "storage/posix", {"directory": directory}) + volume(
        "server", "protocol/server", options, "brick"
    )


@contextmanager
def our_server(
    folder: Path, name: str = "ours", port: int = 0, spec_for_clients: Path | None = None
) -> Iterator[OurServer]:
    """A running server over a directory of that name."""
    directory = folder / name
    directory.mkdir(exist_ok=True)
    spec = folder / f"{name}.vol"
    spec.write_text(brick_spec(directory, port, spec_for_clients))
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "volgraph", "serve", spec], stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("serving"):
            raise RuntimeError((folder / f"{name}.log").read_text())
        yield OurServer(folder, directory, process, int(line.rpartition(":")[2]))
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
        assert process.stdout is not None
        process.stdout.close()


@attrs.define(eq=False)
class ToldMount(Mount):
    """A mount that asks a server for its spec."""

    port: int

    def start(self) -> None:
        self.path.mkdir(exist_ok=True)
        with self.folder.joinpath(f"{self.name}.out").open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *("glusterfs", "-N", "--volfile-server=127.0.0.1", f"--volfile-server-port={self.port}"),
                    *("--volfile-id=brick", "-l", self.log, self.path),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_until(self.answers, f"{self.path} is mounted and answers")
