"""`volgraph serve` in a process of its own: to be killed, frozen, and started again on the same port."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import attrs

from volgraph.translators import Client

START_SECONDS = 60.0
STOP_SECONDS = 10.0

BRICK = """\
volume brick
  type storage/posix
  option directory {directory}
end-volume
volume server
  type protocol/server
  option transport.socket.bind-address 127.0.0.1
  option transport.socket.listen-port {port}
  option auth.addr.brick.allow 127.0.0.1
  subvolumes brick
end-volume
"""


@attrs.define(eq=False)
class Served:
    """A running `volgraph serve`. `spec` is its volfile, with `{port}` where the port goes; 0, the first time, lets the
    system choose, and the one that it chose is kept."""

    folder: Path
    name: str
    spec: str
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def brick(cls, directory: Path) -> "Served":
        """Serves one directory as the volume `brick`."""
        return cls(directory.parent, directory.name, BRICK.replace("{directory}", str(directory)))

    def start(self) -> None:
        """Returns when it serves."""
        spec = self.folder / f"{self.name}.vol"
        spec.write_text(self.spec.replace("{port}", str(self.port)))
        with (self.folder / f"{self.name}.log").open("ab") as log:
            command = [sys.executable, "-m", "volgraph", "serve", str(spec)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        self.port = int(self._first_line().rpartition(":")[2])

    def _first_line(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith("serving"):
            raise RuntimeError(f"{self.name} does not serve: " + (self.folder / f"{self.name}.log").read_text())
        return line

    def kill(self) -> None:
        """End it at once, with nothing flushed or said."""
        if self.process is not None:
            self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order, or by force if that takes too long."""
        if self.process is not None:
            self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """It says nothing any more, as a machine whose cable was pulled: its connections stay open."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)  # not before it has really stopped

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def _end(self, number: int) -> None:
        process, self.process = self.process, None
        assert process is not None
        assert process.stdout is not None
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
        process.stdout.close()

    def __enter__(self) -> "Served":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def client(name: str, server: Served, volume: str = "brick", timeout: float = 42.0) -> Client:
    """A volume that a server exports, `timeout` seconds of whose silence count as its death."""
    return Client(
        name,
        remote_host="127.0.0.1",
        remote_port=server.port,
        remote_subvolume=volume,
        ping_timeout=timeout,
        reconnect_interval=0.05,
    )
