"""Bricks of ours that make trouble while they are told to: changes refused, cut short, or done too late."""

from pathlib import Path

import attrs

from tests.acceptance.serving import Served
from tests.interop.volfiles import Option, volume

CHANGES = (
    *("writev", "truncate", "ftruncate", "fallocate", "setattr", "fsetattr", "setxattr", "removexattr", "create"),
    *("mknod", "mkdir", "symlink", "link", "unlink", "rmdir", "rename"),
)
"""The fops that change something; what replication itself writes down is none of them."""

REFUSALS = ("ENOSPC", "EIO")
SHORT = "short-write"
LATE = "late"
LATE_MICROSECONDS = 3_600_000_000
"""Whoever is late is killed before."""


@attrs.define(eq=False)
class TroubledBrick(Served):
    """`volgraph serve` over a directory of its own. It makes a kind of trouble while the switch of that name is on."""

    @classmethod
    def of(cls, folder: Path, name: str) -> "TroubledBrick":
        folder.joinpath(name).mkdir()
        return cls(folder, name, _spec(folder, name))

    @property
    def directory(self) -> Path:
        return self.folder / self.name

    @property
    def remote(self) -> tuple[int, str]:
        return self.port, "brick"

    def turn(self, *troubles: str) -> None:
        """These are on from now on, and no others."""
        for trouble in (*REFUSALS, SHORT, LATE):
            switch = self.folder / f"{self.name}.{trouble}"
            if trouble in troubles:
                switch.touch()
            else:
                switch.unlink(missing_ok=True)


def _spec(folder: Path, name: str) -> str:
    """One layer for each kind of trouble, each with a switch."""
    refusing: dict[str, Option] = {"failure": 100, "enable": ",".join(CHANGES)}
    late: dict[str, Option] = {"delay-percentage": 100, "delay-duration": LATE_MICROSECONDS}
    layers: list[tuple[str, str, dict[str, Option]]] = [
        (LATE, "debug/delay-gen", {**late, "enable": ",".join(CHANGES)}),
        (SHORT, "debug/error-gen", {"failure": 100, "error-no": SHORT, "enable": "writev"}),
    ]
    layers += [(error, "debug/error-gen", {**refusing, "error-no": error}) for error in REFUSALS]
    text, below = volume("posix", "storage/posix", {"directory": folder / name}), "posix"
    for trouble, kind, options in layers:
        text += volume(trouble, kind, {**options, "trigger-file": folder / f"{name}.{trouble}"}, below)
        below = trouble
    server: dict[str, Option] = {
        "transport.socket.bind-address": "127.0.0.1",
        "transport.socket.listen-port": "{port}",
        "auth.addr.brick.allow": "127.0.0.1",
    }
    return text + volume("brick", "debug/io-stats", {}, below) + volume("server", "protocol/server", server, "brick")
