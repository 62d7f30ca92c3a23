"""A real GlusterFS on loopback, in a temporary folder: bricks (`glusterfsd`), FUSE mounts (`glusterfs`)
and self-heal daemons (`glustershd`).

Its programs run in the foreground (-N), so that their pids are ours to end, each in its own process group. A
`Gluster` ends all that it started, in reverse, however its test ends:

    with Gluster(tmp_path) as gluster:
        bricks = [gluster.brick("b0"), gluster.brick("b1")]
        mount = gluster.mount("mnt", replicate_volfile([brick.remote for brick in bricks]))
        bricks[1].kill()
        (mount.path / "file").write_text("still there")
"""

import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import unittest
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import attrs

from tests.interop.volfiles import brick_volfile

START_SECONDS = 20.0
STOP_SECONDS = 5.0
PROBE_SECONDS = 5.0

_ports_given: set[int] = set()


class Missing(unittest.SkipTest):
    """A program that cannot run here, and why. Raised in a test it skips it; a benchmark says so and goes on."""

    def __init__(self, program: str, why: str = "not installed") -> None:
        super().__init__(f"NOT RUN: {program} ({why})")


def require_gluster(folder: Path) -> None:
    """Missing, without the programs, root, or `trusted.*` xattrs in the folder."""
    for program in ("glusterfsd", "glusterfs"):
        if shutil.which(program) is None:
            raise Missing(program)
    if os.geteuid() != 0:
        raise Missing("glusterfsd", "needs root")
    try:
        os.setxattr(folder, "trusted.volgraph-probe", b"1")
        os.removexattr(folder, "trusted.volgraph-probe")
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP}:
            raise
        raise Missing("glusterfsd", "no trusted xattrs in the temporary folder") from None


def require_fuse() -> None:
    """Missing, where nothing can be mounted."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        raise Missing("glusterfs", f"/dev/fuse: {error.strerror}") from None


def free_port() -> int:
    """A loopback port, given once. Outside the ephemeral range, where a probe could connect to itself."""
    for port in random.sample(range(20000, 30000), 100):
        if port in _ports_given:
            continue
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _ports_given.add(port)
            return port
    raise OSError(errno.EADDRINUSE, "no free port between 20000 and 29999")


def wait_until(ready: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Return when `ready` says so; TimeoutError after that many seconds. Other programs give us no event."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} s still not: {what}")
        time.sleep(0.02)


@attrs.define(eq=False)
class Daemon:
    """One program of GlusterFS. `folder` takes its volfile and its log."""

    name: str
    folder: Path
    process: "subprocess.Popen[bytes] | None" = attrs.field(default=None, init=False)

    @property
    def volfile(self) -> Path:
        return self.folder / f"{self.name}.vol"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} is not running"
        return self.process.pid

    def run(self, *command: str | Path) -> None:
        """Start the program, in a process group of its own. It need not be ready yet."""
        assert self.process is None, f"{self.name} is running"
        foreground = [*command, "-N", "-f", self.volfile, "-l", self.log]
        with self.folder.joinpath(f"{self.name}.out").open("ab") as output:
            self.process = subprocess.Popen(
                foreground, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    def check_alive(self) -> None:
        """RuntimeError with the end of the log if the program has ended by itself."""
        assert self.process is not None
        if (status := self.process.poll()) is not None:
            log = self.log.read_text(errors="replace") if self.log.exists() else ""
            raise RuntimeError(f"{self.name} ended with status {status}:\n" + "\n".join(log.splitlines()[-15:]))

    def signal(self, number: int) -> None:
        """To the whole process group; one that is gone already is well."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def freeze(self) -> None:
        """Stop it (SIGSTOP) as a hung machine would, and return once none of its threads runs any more."""
        self.signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_SECONDS
        while any(state not in "TZ" for state in self._thread_states()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} does not stop")
            time.sleep(0.002)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def _thread_states(self) -> list[str]:
        return [
            stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{self.pid}/task").glob("*/stat")
        ]

    def kill(self) -> None:
        """End at once, with nothing flushed or said: a crash. Does nothing to one that does not run."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait(STOP_SECONDS)
            self.process = None

    def stop(self) -> None:
        """End in good order, or by force if that takes too long."""
        if self.process is not None:
            self.signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
            self.kill()


@attrs.define(eq=False)
class Brick(Daemon):
    """A real brick over `directory`. After kill() or stop(), start() brings it back on the same port."""

    directory: Path
    port: int = attrs.field(factory=free_port)

    @property
    def remote(self) -> tuple[int, str]:
        """Port and remote-subvolume, as a client needs them."""
        return self.port, str(self.directory)

    def start(self) -> None:
        # features/index starts before storage/posix and needs a folder there.
        self.directory.joinpath(".glusterfs/indices").mkdir(parents=True, exist_ok=True)
        self.volfile.write_text(brick_volfile(self.directory, self.port))
        self.run(
            "glusterfsd",
            *("-p", self.folder / f"{self.name}.pid"),
            *("--brick-name", self.directory),
            *("--brick-port", str(self.port)),
            *("--process-name", "brick"),
        )
        wait_until(self.listens, f"{self.name} listens on port {self.port}")

    def listens(self) -> bool:
        self.check_alive()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


@attrs.define(eq=False)
class Mount(Daemon):
    """A FUSE mount of a client volfile. The kernel caches no attributes or names, so it asks the bricks."""

    path: Path
    spec: str

    def start(self) -> None:
        self.path.mkdir(exist_ok=True)
        self.volfile.write_text(self.spec)
        self.run("glusterfs", "--process-name", "fuse", "--attribute-timeout=0", "--entry-timeout=0", self.path)
        wait_until(self.answers, f"{self.path} is mounted and answers")

    def answers(self) -> bool:
        """Asked by a process of its own, which can be killed: a mount whose brick hangs would hold us too."""
        self.check_alive()
        if not os.path.ismount(self.path):
            return False
        try:
            probe = subprocess.run(["stat", "-f", self.path], capture_output=True, timeout=PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return probe.returncode == 0

    def stop(self) -> None:
        """Unmount first: a client that ends before leaves a dead mount behind."""
        try:
            self.unmount()
        finally:
            super().stop()

    def kill(self) -> None:
        super().kill()
        self.unmount()

    def unmount(self) -> None:
        if is_mount_point(self.path):
            subprocess.run(["umount", "-l", self.path], check=True, capture_output=True, timeout=STOP_SECONDS)


@attrs.define(eq=False)
class HealDaemon(Daemon):
    """glustershd: heals what the bricks' indices name, as soon as it reaches them all."""

    spec: str

    def start(self) -> None:
        self.volfile.write_text(self.spec)
        self.run("glusterfs", "--process-name", "glustershd", "--client-pid=-6")


def is_mount_point(path: Path) -> bool:
    """By the kernel's table: a dead mount cannot be asked itself."""
    escaped = str(path).replace("\\", r"\134").replace(" ", r"\040")
    return any(line.split()[1] == escaped for line in Path("/proc/self/mounts").read_text().splitlines())


@attrs.define(eq=False)
class Gluster:
    """The real bricks and mounts of one test, below `folder`."""

    folder: Path
    _owned: ExitStack = attrs.field(factory=ExitStack, init=False)

    def __enter__(self) -> "Gluster":
        require_gluster(self.folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owned.close()

    def brick(self, name: str, directory: Path | None = None) -> Brick:
        """A running brick over a directory, by default a new one of that name."""
        brick = Brick(name, self.folder, directory or self.folder / name)
        self._own(brick)
        brick.start()
        return brick

    def mount(self, name: str, spec: str) -> Mount:
        """A mounted client volfile, its top volume the last one."""
        require_fuse()
        mount = Mount(name, self.folder, self.folder / name, spec)
        self._own(mount)
        mount.start()
        return mount

    def heal_daemon(self, name: str, spec: str) -> HealDaemon:
        """A running self-heal daemon over a volfile of its own kind."""
        daemon = HealDaemon(name, self.folder, spec)
        self._own(daemon)
        daemon.start()
        return daemon

    def _own(self, daemon: Daemon) -> None:
        """Before it starts: one that fails half-way is ended too."""
        self._owned.callback(daemon.stop)
